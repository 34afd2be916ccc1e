-- Things that use another thing's connection (`connection = "gw-1"`), as a gateway's sub-devices
-- do: each has its own jobs, outcomes and handlers' topics, and none of them shuts the others out.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = worlds.PATIENCE

local SCRIPTS = {
  ["greet.lua"] = [[
return { api = 1, args = { wait = "string?" }, run = function(job, args)
  if args.wait then
    local fs, time = require("hob.fs"), require("hob.time")
    job:step("wait", function()
      while not fs.exists(args.wait) do time.sleep(0.02) end
    end)
  end
  return { who = job.thing }
end }]],
  ["talk.lua"] = [[
return { api = 1, run = function(job)
  local cloud = require("hob.cloud")
  local heard
  assert(cloud.subscribe("of/" .. job.thing .. "/+", function(topic, text)
    heard = topic .. "=" .. text
  end))
  assert(cloud.publish("of/" .. job.thing .. "/word", "hello"))
  local time = require("hob.time")
  for _ = 1, 500 do
    if heard then break end
    time.sleep(0.02)
  end
  return { heard = heard or "nothing" }
end }]],
  ["anew.lua"] = [[
return { api = 1, run = function(job)
  local cloud = require("hob.cloud")
  local _, files, first = cloud.files()
  local _, anew, second = cloud.reconnect("to see")
  return { files = files, anew = anew, codes = tostring(first) .. " " .. tostring(second) }
end }]],
  ["flood.lua"] = [[
return { api = 1, run = function(job)
  local cloud, fs, time = require("hob.cloud"), require("hob.fs"), require("hob.time")
  local args = job.document
  local count = 0
  while not fs.exists(args.stop) do
    cloud.publish("of/" .. job.thing .. "/flood", ("x"):rep(1000), { qos = 0 })
    count = count + 1
  end
  return { count = count }
end }]],
}

describe("things over the connection of another", function()
  local world, gateway

  after_each(function()
    if world then
      world:stop()
      world = nil
    end
  end)

  -- gw-1 and so many sub-devices, which stand before it.
  local function start(count, options)
    options = options or {}
    world = world or worlds.start({ tls = false, log_type = options.log_type })
    local things = {}
    for i = 1, count do
      things[i] = ('{ thing_name = "sub-%d", connection = "gw-1" }'):format(i)
    end
    things[count + 1] = '{ thing_name = "gw-1" }'
    local config = { things = { lua = "{ " .. table.concat(things, ", ") .. " }" },
      topics = { allow = { "of/${thing}/#" } } }
    for key, value in pairs(options.config or {}) do
      config[key] = value
    end
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    return gateway
  end

  local function names(count)
    local list = { "gw-1" }
    for i = 1, count do
      list[i + 1] = "sub-" .. i
    end
    return list
  end

  local function tool(...)
    local words = { worlds.hob(), ... }
    words[#words + 1] = "--config"
    words[#words + 1] = gateway.config
    return exec.run(words)
  end

  it("each do their jobs, over one connection", function()
    start(20)
    for _, name in ipairs(names(20)) do
      world:create("job-of-" .. name, '{"operation":"greet"}', name)
    end
    for _, name in ipairs(names(20)) do
      local execution = world:ended("job-of-" .. name, name)
      assert.equal("SUCCEEDED", execution.status)
      assert.equal(name, execution.details.who)
    end
    assert.equal(1, gateway:count("conn.up"))
    local _, clients = world.broker:log():gsub("New client connected from [^\n]* as sub", "")
    assert.equal(0, clients)
    assert.equal(0, gateway:stop())
  end)

  it("are said to be so by hob status", function()
    start(1)
    gateway:wait_event("jobs.subscribed", { thing = "sub-1" })
    local result = tool("status")
    assert.matches("sub%-1: connected via gw%-1 for", result.stdout)
    assert.matches("gw%-1: connected to localhost:%d+ for", result.stdout)
    local found = json.decode(tool("status", "--json").stdout)
    assert.equal("gw-1", found.things[2].via)
    assert.is_nil(found.things[1].via)
  end)

  it("come back with it, and tell what ended meanwhile", function()
    start(12)
    local go = world:path("go")
    for i = 1, 12 do
      world:create("job-" .. i, ('{"operation":"greet","wait":%q}'):format(go), "sub-" .. i)
      gateway:wait_event("job.started", { thing = "sub-" .. i })
    end
    world.broker:kill()
    gateway:wait_event("conn.lost")
    assert(fs.write(go, ""))
    gateway:wait_event("job.finished", nil, 12)
    world.broker:start_again()
    for i = 1, 12 do
      assert.equal("SUCCEEDED", world:ended("job-" .. i, "sub-" .. i).status)
    end
    assert.equal(12, gateway:count("job.started"))
  end)

  it("go on after a power cut, each with its own", function()
    start(2)
    local go = world:path("go")
    for i = 1, 2 do
      world:create("job-" .. i, ('{"operation":"greet","wait":%q}'):format(go), "sub-" .. i)
      gateway:wait_event("job.started", { thing = "sub-" .. i })
    end
    gateway:kill()
    assert(fs.write(go, ""))
    gateway:launch()
    for i = 1, 2 do
      assert.equal("sub-" .. i, world:ended("job-" .. i, "sub-" .. i).details.who)
    end
  end)

  it("have their own topics in handlers", function()
    start(2)
    for i = 1, 2 do
      world:create("job-" .. i, '{"operation":"talk"}', "sub-" .. i)
    end
    for i = 1, 2 do
      local execution = world:ended("job-" .. i, "sub-" .. i)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(("of/sub-%d/word=hello"):format(i), execution.details.heard)
    end
  end)

  it("do not make it anew, nor change its certificate", function()
    start(1)
    world:create("job", '{"operation":"anew"}', "sub-1")
    local details = world:ended("job", "sub-1").details
    assert.equal("the connection is not that of sub-1 (it goes via gw-1): what is to change about "
      .. "it is that one's business", details.anew)
    assert.equal(details.anew, details.files)
    assert.equal("EPERM EPERM", details.codes)
    assert.equal(1, gateway:count("conn.up"))
  end)

  it("do not wait for one that floods the connection", function()
    start(3)
    local stop = world:path("stop")
    world:create("flood", ('{"operation":"flood","stop":%q}'):format(stop), "sub-1")
    gateway:wait_event("job.started", { thing = "sub-1" })
    for i = 2, 3 do
      world:create("job-" .. i, '{"operation":"greet"}', "sub-" .. i)
      assert.equal("SUCCEEDED", world:ended("job-" .. i, "sub-" .. i).status)
    end
    assert(fs.write(stop, ""))
    assert.equal("SUCCEEDED", world:ended("flood", "sub-1").status)
  end)

  it("may be many: they come up in portions, and no job is lost", function()
    world = worlds.start({ tls = false, log_type = "information" })
    start(150, { config = { log_level = "info" } })
    for i = 1, 150 do
      world:create("job-" .. i, '{"operation":"greet"}', "sub-" .. i)
    end
    for i = 1, 150 do
      assert.equal("SUCCEEDED", world:ended("job-" .. i, "sub-" .. i).status)
    end
    assert.equal(150, gateway:count("job.started"))
  end)

  describe("when the policy does not allow one of them to subscribe", function()
    local PLUGIN = "/usr/lib/%s-linux-gnu/mosquitto_dynamic_security.so"
    local rules

    before_each(function()
      rules = assert(fs.tempdir()) .. "/rules.json"
      assert(fs.write(rules, json.encode({
        defaultACLAccess = { publishClientSend = true, publishClientReceive = true,
          subscribe = true, unsubscribe = true },
        anonymousGroup = "everybody",
        groups = { { groupname = "everybody", roles = { { rolename = "device" } } } },
        roles = { { rolename = "device", acls = { { acltype = "subscribeLiteral", priority = 9,
          topic = "$aws/things/sub-2/jobs/notify-next", allow = false } } } },
      })))
      local plugin = PLUGIN:format("x86_64")
      plugin = fs.stat(plugin) and plugin or PLUGIN:format("aarch64")
      world = worlds.start({ tls = false,
        conf = ("plugin %s\nplugin_opt_config_file %s"):format(plugin, rules) })
    end)

    after_each(function() fs.remove(rules:match("^(.*)/"), { recursive = true }) end)

    it("names it, and the others are as if nothing was (field failure 15)", function()
      start(3)
      local refused = gateway:wait_event("jobs.subscribe_refused", { thing = "sub-2" })
      assert.matches("refused the subscription to $aws/things/sub-2/jobs/notify-next;",
        refused.msg, 1, true)
      for _, name in ipairs(names(3)) do
        world:create("job-of-" .. name, '{"operation":"greet"}', name)
      end
      for _, name in ipairs(names(3)) do -- sub-2 hears of it by notify
        assert.equal("SUCCEEDED", world:ended("job-of-" .. name, name).status)
      end
      assert.equal(0, gateway:count("conn.lost"))
    end)
  end)

  describe("at run time", function()
    it("are added to a thing that is there, and that one stays while they use it", function()
      start(1)
      gateway:wait_event("jobs.subscribed", { thing = "sub-1" })
      local added = tool("thing", "add", "late", "--connection", "gw-1")
      assert.equal(0, added.code, added.stderr)
      world:create("job", '{"operation":"greet"}', "late")
      assert.equal("late", world:ended("job", "late").details.who)

      local result = tool("thing", "remove", "gw-1")
      assert.equal(1, result.code)
      assert.matches("other things use the connection of 'gw%-1': remove them first %(2 are "
        .. "there%)", result.stderr)

      assert.equal(0, tool("thing", "remove", "late").code)
      assert.equal(0, tool("thing", "remove", "sub-1").code)
      wait_until(function() -- the broker was told
        return world.broker:log():find("Received UNSUBSCRIBE from gw-1", 1, true)
      end, PATIENCE, "UNSUBSCRIBE")
      assert.equal(0, tool("thing", "remove", "gw-1").code)
    end)

    it("need one with a connection of its own", function()
      start(1)
      gateway:wait_event("jobs.subscribed", { thing = "sub-1" })
      local result = tool("thing", "add", "late", "--connection", "nobody")
      assert.equal(1, result.code)
      assert.matches("connection: expected the name of another thing of this gateway, got 'nobody'",
        result.stderr)
      result = tool("thing", "add", "late", "--connection", "sub-1")
      assert.equal(1, result.code)
      assert.matches("'sub%-1' uses that of 'gw%-1'", result.stderr)
    end)
  end)

  describe("in the configuration", function()
    local function refused(things)
      world = world or worlds.start({ tls = false })
      gateway = world:gateway({ config = { things = { lua = things } } })
      local result = gateway:wait_end()
      assert.equal(2, result.code)
      return table.concat(gateway.lines)
    end

    it("name a thing that is there, is another one, and has a connection", function()
      local what = "hob.conf.lua:%d+: things%[%d%].connection: expected the name of another of the "
        .. "things, one with a connection of its own, got "
      assert.matches(what .. '"gw%-2", which is not there',
        refused('{ { thing_name = "gw-1" }, { thing_name = "sub-1", connection = "gw-2" } }'))
      assert.matches(what .. '"sub%-1", which is this one',
        refused('{ { thing_name = "gw-1" }, { thing_name = "sub-1", connection = "sub-1" } }'))
      assert.matches(what .. '"sub%-2", which uses that of sub%-1',
        refused('{ { thing_name = "sub-1", connection = "sub-2" }, '
          .. '{ thing_name = "sub-2", connection = "sub-1" } }'))
    end)
  end)
end)
