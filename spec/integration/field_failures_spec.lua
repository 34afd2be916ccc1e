-- What goes wrong with job agents in the field, where no other spec is its home: see
-- docs/explanation/field-failures.md, which names a spec for each.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PLUGIN = "/usr/lib/%s-linux-gnu/mosquitto_dynamic_security.so"
local FILE = ("0123456789abcdef"):rep(65536) -- as spec/support/peers/http_bad.lua has it
local CUT = #FILE * 3 // 10
local JOBS = "$aws/things/gw-1/jobs/"

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["rolls-back.lua"] = [[
    local fs = require("hob.fs")
    local function mark(args, what)
      return assert(fs.write(args.marks, (fs.read(args.marks) or "") .. what .. "\n"))
    end
    return { api = 1, args = { marks = "string" },
      run = function(job, args)
        for i = 1, 3 do
          job:step("step " .. i, function() mark(args, "step " .. i) end)
          job:progress(i * 30)
          job:sleep(1.1)
        end
      end,
      cleanup = function(_, args) mark(args, "rolled back") end,
    }
  ]],
}

describe("in the field", function()
  local world, gateway

  after_each(function()
    world:stop()
  end)

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  it("a document whose URL differs each time it is handed out is one job (field failure 1)",
    function()
      world = worlds.start({ tls = false })
      local handed_out = 0
      world.engine.create_job = function(engine, id, request, now)
        local result, out = getmetatable(engine).__index.create_job(engine, id, request, now)
        for _, message in ipairs(out or {}) do
          message.payload = message.payload:gsub("sig=0", "sig=announced")
        end
        return result, out
      end
      world:after(function(_, _, out)
        for _, message in ipairs(out) do
          handed_out = handed_out + 1
          message.payload = message.payload:gsub("sig=0", "sig=" .. handed_out)
        end
        return out
      end)
      world:fault({ op = "notify-next", action = "duplicate" })
      start({ max_concurrent_jobs = 2 })
      for i = 1, 3 do
        world:create("job-" .. i, '{"operation":"quick","url":"https://host/file?sig=0"}')
        assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
        assert.equal(1, world:terminal_updates("job-" .. i))
      end
      assert.equal(3, gateway:count("job.started"))
    end)

  it("reports that fail change nothing of what the device does (field failure 6)", function()
    world = worlds.start({ tls = false })
    local marks, refused = world:path("marks"), 0
    start()
    world:answer_with(function(topic, request)
      if topic:find("/update$") and request.statusDetails then
        refused = refused + 1
        return refused < 5 and { code = "InternalError", message = "not now" } or nil
      end
    end)
    world:create("job", json.encode({ operation = "rolls-back", marks = marks }))
    assert.equal("SUCCEEDED", world:ended("job").status)
    assert.is_true(refused >= 5)
    assert.equal("step 1\nstep 2\nstep 3\n", fs.read(marks))
    assert.equal(1, world:terminal_updates("job"))
  end)

  it("the largest document that AWS takes reaches its handler whole (field failure 14)", function()
    world = worlds.start({ tls = false })
    start()
    local head = '{"operation":"quick","text":"'
    world:create("job", head .. ("x"):rep(32768 - #head - 2) .. '"}')
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  describe("a mistake in the policy", function()
    local rules

    local function write_rules(allow)
      local acls = { { acltype = "subscribeLiteral", topic = JOBS .. "+/update/+", priority = 9,
        allow = allow } }
      assert(fs.write(rules, assert(json.encode({
        defaultACLAccess = { publishClientSend = true, publishClientReceive = true,
          subscribe = true, unsubscribe = true },
        anonymousGroup = "everybody",
        groups = { { groupname = "everybody", roles = { { rolename = "device" } } } },
        roles = { { rolename = "device", acls = acls } },
      }))))
    end

    before_each(function()
      rules = assert(fs.tempdir()) .. "/rules.json"
      write_rules(false)
      local plugin = PLUGIN:format("x86_64")
      plugin = fs.stat(plugin) and plugin or PLUGIN:format("aarch64")
      world = worlds.start({ tls = false,
        conf = ("plugin %s\nplugin_opt_config_file %s"):format(plugin, rules) })
    end)
    after_each(function()
      fs.remove(rules:match("^(.*)/"), { recursive = true })
    end)

    it("is named with topic and action; Hob stays, and works once it is mended (field failure 15)",
      function()
        world:create("job", '{"operation":"quick"}')
        gateway = world:gateway({ scripts = SCRIPTS, config = { request_timeout = 0.5 } })
        local refused = gateway:wait_event("jobs.subscribe_refused", nil, 2)
        assert.matches("refused the subscription to " .. JOBS .. "+/update/+;", refused.msg, 1,
          true)
        assert.matches("must allow iot:Subscribe on topicfilter/" .. JOBS .. "*/update/* and "
          .. "iot:Receive on topic/" .. JOBS .. "*/update/*", refused.action, 1, true)
        world.broker:kill()
        write_rules(true)
        world.broker:start_again()
        assert.equal("SUCCEEDED", world:ended("job").status)
        assert.equal(1, gateway:count("job.started"))
        assert.equal(1, world:terminal_updates("job"))
        assert.equal(1, gateway:count("hob.started"))
      end)
  end)

  describe("a presigned URL", function()
    local server, to, digest

    before_each(function()
      world = worlds.start({ tls = false })
      server = peer.start("http_bad")
      to = world:path("image")
      digest = exec.check({ "sha256sum", stdin = FILE }).stdout:match("%x+")
      gateway = world:gateway({ launch = false, scripts = {
        ["download-file.lua"] = assert(fs.read("scripts/download-file.lua")),
        ["lib/fresh_url.lua"] = assert(fs.read("scripts/lib/fresh_url.lua")) } })
    end)
    after_each(function()
      server:stop()
    end)

    local function document(query)
      return json.encode({ operation = "download-file", to = to, sha256 = digest,
        url = ("http://127.0.0.1:%d/presigned?%s"):format(server.port, query) })
    end

    local function killed_in_the_middle()
      wait_until(function()
        local part = fs.stat(to .. ".part")
        return part and part.size == CUT
      end, worlds.PATIENCE, "the first part of the file")
      gateway:kill()
    end

    it("that expired meanwhile is asked for again: the file goes on where it stopped, and its "
      .. "digest is right (field failure 18)", function()
      local old, new = "key=a%2Fb%20c&sig=old%2B1", "key=a%2Fb%20c&sig=new%2B2"
      world:create("job", document(old))
      gateway:launch()
      killed_in_the_middle()
      world.engine.jobs.job.document = document(new)
      gateway:launch()
      local execution = world:ended("job")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal(digest, execution.details.sha256)
      assert.equal(FILE, fs.read(to))
      local line = "GET /presigned?%s range=bytes=" .. CUT .. '- if-range="v1" '
      assert.equal(3, #server:lines("^GET"))
      assert.is_truthy(server:lines("^GET.*")[2]:find(line:format(old), 1, true))
      assert.is_truthy(server:lines("^GET.*")[3]:find(line:format(new), 1, true))
    end)

    it("that stays expired is told as such, without its secrets (field failure 18)", function()
      world:create("job", document("sig=old"))
      gateway:launch()
      killed_in_the_middle()
      gateway:launch()
      local details = world:ended("job").details
      assert.equal("EHTTP", details.code)
      assert.equal(("HTTP 403 from http://127.0.0.1:%d/presigned; no fresh URL: "):format(
        server.port) .. "the service has no other URL for it", details.reason)
    end)
  end)
end)
