-- `hob status` and `hob reload`: the commands, against a running gateway.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local sha256 = require("hob_units").mbed.sha256
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local function simple(version)
  return ('return { api = 1, run = function() return { version = "%s" } end }\n'):format(version)
end
local BROKEN = "return {\n  api = 1,\n  run = = 1 }\n"

describe("a running gateway", function()
  local world, gateway

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  local function start(scripts, config)
    config = config or {}
    if config.reload == nil then
      config.reload = false
    end
    gateway = world:gateway({ scripts = scripts, config = config })
    gateway:wait_event("jobs.subscribed")
  end
  local function put(name, text)
    assert(fs.write(gateway.dir .. "/scripts/" .. name, text))
  end
  local function hob(command, flag)
    return exec.run({ worlds.hob(), command, "--config", gateway.config, flag })
  end
  local function status()
    local result = exec.run({ worlds.hob(), "status", "--json", "--config", gateway.config })
    assert.equal(0, result.code, result.stderr)
    return json.decode(result.stdout)
  end

  describe("hob status", function()
    it("tells process, data, things, jobs in hand and each handler's version", function()
      start({ ["a.lua"] = simple("one"), ["b.lua"] = BROKEN })
      local found = status()
      assert.equal(gateway.process:pid(), found.pid)
      assert.matches("^%d+%.%d+%.%d+$", found.version)
      assert.matches("/data$", found.data)
      assert.matches("/scripts$", found.scripts)
      assert.equal("off", found.watch)
      assert.equal(0, found.jobs)
      assert.is_true(found.uptimeSeconds >= 0 and found.startedAt > 1e9)
      assert.equal("gw-1", found.things[1].thing)
      assert.is_true(found.things[1].online)
      assert.is_true(found.things[1].forSeconds >= 0)
      assert.equal(0, found.things[1].untold)
      local a, b = found.handlers[1], found.handlers[2]
      assert.same({ "a", "ok", sha256(simple("one")) }, { a.name, a.state, a.digest })
      assert.is_true(a.loadedAt >= found.startedAt)
      assert.same({ "b", "broken" }, { b.name, b.state })
      assert.matches("b%.lua:3: ", b.error)
      assert.equal(1, found.broken)
    end)

    it("is readable for people", function()
      start({ ["a.lua"] = simple("one"), ["b.lua"] = BROKEN }, { reload = true })
      local text = hob("status").stdout
      assert.matches("^hob [%d.]+, process %d+, up for %d+ s, since 20%d%d%-.-Z\ndata in /", text)
      assert.matches("\ngw%-1: connected to localhost:%d+ for %d+ s\n0 jobs in hand\n", text)
      assert.matches("\nmemory %d+ [KM]B, processor [%d.]+ s, %d+ of %d+ file descriptors\n", text)
      assert.matches("\nstore %d+ [KM]B, output of jobs 0 bytes, %d+ [MG]B free\n", text)
      assert.matches("\nhandlers in .*/scripts; changes are loaded by themselves\n", text)
      assert.matches("\nHANDLER +VERSION +LOADED +STATE\na +" ..
        sha256(simple("one")):sub(1, 12) .. " +20%S+ +ok\nb +%- +%- +broken: its jobs fail\n", text)
      assert.matches("\nhandler b: .*b%.lua:3: ", text)
    end)

    it("counts the jobs in hand, and says why and for how long there is no connection", function()
      start({ ["waits.lua"] = [[
        return { api = 1, run = function(job) job:sleep(600) end }
      ]] })
      world:create("job", '{"operation":"waits"}')
      gateway:wait_event("job.started")
      assert.equal(1, status().jobs)
      world.broker:kill()
      local thing
      wait_until(function()
        thing = status().things[1]
        return not thing.online and thing.why
      end, worlds.PATIENCE, "the loss")
      assert.matches("localhost", thing.why)
      assert.matches("\ngw%-1: not connected for %d+ s: .*localhost", hob("status").stdout)
      world.broker:start_again()
    end)

    it("says that no gateway runs, and how to name one", function()
      start({})
      gateway:stop()
      local result = hob("status")
      assert.equal(1, result.code)
      assert.matches("^hob status: .*does a gateway run there%?", result.stderr)
    end)
  end)

  describe("hob reload", function()
    it("loads the handlers at once, and prints each with its version", function()
      start({ ["a.lua"] = simple("one") })
      put("a.lua", simple("two"))
      put("lib/shared.lua", "return 1")
      local result = hob("reload")
      assert.equal(0, result.code, result.stderr)
      assert.matches("\na +" .. sha256(simple("two")):sub(1, 12) .. " +20%S+ +ok\n", result.stdout)
      world:create("job", '{"operation":"a"}')
      assert.equal("two", world:ended("job").details.version)
      assert.equal(sha256(simple("two")), status().handlers[1].digest)
    end)

    it("exits with 1 and names file and line of what is broken, and the version in use", function()
      start({ ["a.lua"] = simple("one"), ["lib/shared.lua"] = "return 1\n" })
      put("a.lua", BROKEN)
      put("lib/shared.lua", "return\n= 1\n")
      local result = hob("reload")
      assert.equal(1, result.code)
      local good = sha256(simple("one")):sub(1, 12)
      assert.matches("\na +" .. good .. " +20%S+ +broken: its last good version is in use\n",
        result.stdout)
      assert.matches("handler a: .*a%.lua:3: .*; last good version " .. good .. " of a in use\n",
        result.stderr)
      assert.matches("module shared: .*lib/shared%.lua:2: .*; last good version " ..
        sha256("return 1\n"):sub(1, 12) .. " of shared in use\n", result.stderr)
      local handler = json.decode(hob("reload", "--json").stdout).handlers[1]
      assert.equal("last_good", handler.state)
      assert.equal(sha256(simple("one")), handler.digest)
      assert.equal(sha256(BROKEN), handler.brokenDigest)
      put("a.lua", simple("three"))
      put("lib/shared.lua", "return 2\n")
      assert.equal(0, hob("reload").code)
    end)

    it("prints JSON, the other names of handlers in it", function()
      start({ ["a.lua"] = simple("one"):gsub("api = 1,", '%0 names = { "b", "c d" },'),
        ["lib/shared.lua"] = "return\n= 1\n" })
      local result = hob("reload", "--json")
      assert.equal("", result.stderr)
      assert.equal(1, result.code)
      local found = json.decode(result.stdout)
      assert.same({ "b", "c d" }, found.handlers[1].names)
      assert.equal("shared", found.modules[1].name)
      assert.equal(1, found.broken)
    end)

    it("says so when the directory cannot be read, and changes nothing", function()
      start({ ["a.lua"] = simple("one") })
      assert(os.rename(gateway.dir .. "/scripts", gateway.dir .. "/away"))
      local result = hob("reload")
      assert.equal(1, result.code)
      assert.matches("^hob reload: scripts directory .*No such file", result.stderr)
      assert.equal("ok", status().handlers[1].state)
    end)
  end)
end)
