-- `hob run` as a process: its signals, its log, and what must never be in it.

local fs = require("hob.fs")
local httpd = require("hob.httpd")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- A port of this machine on which nothing listens.
local function closed_port()
  local server = httpd.listen({ address = "127.0.0.1", port = 0, on_request = function() end })
  local port = server:port()
  server:close()
  return port
end

describe("hob run", function()
  local world

  setup(function()
    world = worlds.start()
  end)
  teardown(function()
    world:stop()
  end)

  local number = 0
  local function start(options)
    number = number + 1
    options.thing = "gw-" .. number
    local gateway = world:gateway(options)
    return gateway, options.thing
  end

  describe("on SIGTERM", function()
    it("ends in order: status 0, hob.stopped last", function()
      local gateway = start({})
      gateway:wait_event("jobs.subscribed")
      assert.equal(0, gateway:stop())
      assert.equal("hob.stopped", gateway.events[#gateway.events].event)
      assert.equal(1, gateway:count("hob.stopping"))
    end)

    it("ends promptly while no broker can be reached", function()
      local gateway = start({ config = { endpoint = "127.0.0.1", port = closed_port(),
        backoff_base = 3600, backoff_cap = 3600 } })
      gateway:wait_event("conn.refused")
      assert.equal(0, gateway:stop())
      assert.equal(1, gateway:count("hob.stopped"))
    end)

    it("ends promptly in the middle of a handshake that nobody answers", function()
      local peer = require("spec.support.peer").start("greeter")
      finally(function()
        peer:stop()
      end)
      local gateway = start({ config = { endpoint = "localhost", port = peer.port,
        connect_timeout = 600 } })
      gateway:wait_event("hob.started")
      assert.equal(0, gateway:stop())
    end)

    it("lets the running job reach its end", function()
      local gate = world:path("gate")
      local gateway, thing = start({ scripts = { ["gated.lua"] = ([[
        local fs, time = require("hob.fs"), require("hob.time")
        return { api = 1, run = function(job)
          job:progress(1, "waits")
          while not fs.stat(%q) do time.sleep(0.005) end
        end } ]]):format(gate) }, config = { stop_timeout = 60 } })
      gateway:wait_event("jobs.subscribed")
      world:create("gated", '{"operation":"gated"}', thing)
      gateway:wait_event("job.started")
      gateway.process:kill("TERM")
      gateway:wait_event("hob.stopping")
      assert(fs.write(gate, ""))
      assert.equal(0, assert(gateway.process:wait(PATIENCE)).code)
      gateway.process = nil
      assert.equal(1, gateway:count("job.finished"))
      assert.equal("SUCCEEDED", gateway:wait_event("job.finished").code)
    end)
  end)

  describe("on SIGHUP", function()
    local GOOD = "return { api = 1, run = function() return { version = %d } end }"

    it("loads mended handlers; the next job has the new version", function()
      local gateway, thing = start({ scripts = { ["v.lua"] = GOOD:format(1) } })
      world:create("v1", '{"operation":"v"}', thing)
      assert.equal("1", world:ended("v1", thing).details.version)
      assert(fs.write(gateway.dir .. "/scripts/v.lua", GOOD:format(2)))
      gateway.process:kill("HUP")
      gateway:wait_event("handlers.loaded", nil, 2)
      world:create("v2", '{"operation":"v"}', thing)
      assert.equal("2", world:ended("v2", thing).details.version)
      assert.equal(0, gateway:stop())
    end)

    it("says in the log which handler is broken; the others go on", function()
      local gateway, thing = start({ scripts = { ["v.lua"] = GOOD:format(1) } })
      gateway:wait_event("handlers.loaded")
      assert(fs.write(gateway.dir .. "/scripts/broken.lua", "return {\n api = }"))
      gateway.process:kill("HUP")
      local event = gateway:wait_event("handler.broken")
      assert.matches("broken.lua:2: unexpected symbol near '}'", event.msg, 1, true)
      world:create("still", '{"operation":"v"}', thing)
      assert.equal("SUCCEEDED", world:ended("still", thing).status)
      world:create("asks-broken", '{"operation":"broken"}', thing)
      local execution = world:ended("asks-broken", thing)
      assert.equal("HANDLER_BROKEN", execution.details.code)
      assert.matches("broken.lua:2:", execution.details.reason, 1, true)
      assert.equal(0, gateway:stop())
    end)

    it("opens the log's file anew, so that it can be rotated (field failure 13)", function()
      local gateway = start({ config = { log_target = "hob.log" } })
      local function log_has(name, event)
        wait_until(function()
          return (fs.read(gateway.dir .. "/" .. name) or ""):find('"' .. event .. '"', 1, true)
        end, PATIENCE, event .. " in " .. name)
      end
      log_has("hob.log", "jobs.subscribed")
      assert(os.rename(gateway.dir .. "/hob.log", gateway.dir .. "/hob.log.1"))
      gateway.process:kill("HUP")
      log_has("hob.log", "handlers.loaded")
      assert.equal(0, gateway:stop())
      log_has("hob.log", "hob.stopped")
      assert.is_nil(fs.read(gateway.dir .. "/hob.log.1"):find("hob.stopped", 1, true))
    end)

    it("loads the handlers also when the log cannot be opened anew, and says so", function()
      local gateway, thing = start({ scripts = { ["v.lua"] = GOOD:format(1) },
        config = { log_target = "logs/hob.log" } })
      assert.equal(1, gateway.process:wait(PATIENCE).code) -- there is no directory yet
      assert(fs.mkdir(gateway.dir .. "/logs"))
      gateway:launch()
      local log = gateway.dir .. "/logs/hob.log"
      wait_until(function()
        return (fs.read(log) or ""):find("jobs.subscribed", 1, true)
      end, PATIENCE, "jobs.subscribed")
      assert(os.rename(gateway.dir .. "/logs", gateway.dir .. "/moved"))
      assert(fs.write(gateway.dir .. "/scripts/v.lua", GOOD:format(2)))
      gateway.process:kill("HUP")
      wait_until(function()
        return fs.read(gateway.dir .. "/moved/hob.log"):find("hob.reload_failed", 1, true)
      end, PATIENCE, "hob.reload_failed")
      world:create("after-hup", '{"operation":"v"}', thing)
      assert.equal("2", world:ended("after-hup", thing).details.version)
      assert.equal(0, gateway:stop())
    end)
  end)

  describe("log", function()
    it("never has a passphrase, nor the query of a URL, in either form", function()
      local secret, passphrase = "X-Amz-Signature-31415926", "tell-nobody-27182"
      local pair = world.pki:issue({ cn = "gw", san = {}, passphrase = passphrase })
      for _, form in ipairs({ "text", "json" }) do
        local gateway, thing = start({
          config = { log_format = form, log_level = "debug", key_passphrase = passphrase,
            cert = pair.cert, key = pair.key },
          scripts = { ["fetch.lua"] = [[
            local http = require("hob.http")
            return { api = 1, args = { url = "string" }, run = function(job, args)
              job.log.info("fetching " .. args.url)
              print("printing " .. args.url)
              local ok, why = http.download{ url = args.url, to = "file" }
              return ok, why .. " from " .. args.url
            end } ]] },
        })
        local url = ("http://127.0.0.1:%d/image?sig=%s"):format(closed_port(), secret)
        world:create("fetch-" .. form, ('{"operation":"fetch","url":"%s"}'):format(url), thing)
        assert.equal("FAILED", world:ended("fetch-" .. form, thing).status)
        assert.equal(0, gateway:stop())
        local log = table.concat(gateway.lines, "\n")
        assert.matches("fetching http://127.0.0.1", log, 1, true)
        assert.matches("printing http://127.0.0.1", log, 1, true)
        assert.is_nil(log:find(secret, 1, true), log)
        assert.is_nil(log:find(passphrase, 1, true))
      end
    end)
  end)

  it("ends at once when a second signal comes", function()
    local gateway, thing = start({ scripts = { ["wait.lua"] =
      "return { api = 1, run = function(job) job:sleep(3600) end }" },
      config = { stop_timeout = 3600 } })
    gateway:wait_event("jobs.subscribed")
    world:create("long", '{"operation":"wait"}', thing)
    gateway:wait_event("job.started")
    gateway.process:kill("TERM")
    gateway:wait_event("hob.stopping")
    gateway.process:kill("TERM")
    local result = assert(gateway.process:wait(PATIENCE))
    assert.equal(1, result.code)
    gateway.process = nil
  end)
end)
