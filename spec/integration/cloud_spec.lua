-- hob.cloud in a handler: the running gateway's own connection, for topics that its owner allows.

local cloud = require("hob.cloud")
local fs = require("hob.fs")
local mqtt = require("hob.mqtt")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local HANDLER = [[
  local cloud, fs, json = require("hob.cloud"), require("hob.fs"), require("hob.json")
  local ways = {}

  function ways.publish(job, args)
    local ok, why, code = cloud.publish(args.topic, args.payload or "hello", args.options)
    return { ok = tostring(ok), why = why or "", error = code or "" }
  end

  function ways.large(job, args)
    local ok, why, code = cloud.publish(args.topic, ("x"):rep(128 * 1024 + 1))
    return { ok = tostring(ok), why = why, error = code }
  end

  function ways.subscribe(job, args)
    local got = {}
    local subscription, why, code = cloud.subscribe(args.topic, function(topic, payload)
      got[#got + 1] = topic .. "=" .. payload
      fs.append(args.marks, topic .. "=" .. payload .. "\n")
    end)
    if not subscription then
      return { ok = "nil", why = why, error = code }
    end
    fs.append(args.marks, "subscribed\n")
    while not fs.stat(args.go) do job:sleep(0.005) end
    if args.close then
      subscription:close()
      subscription:close()
      fs.append(args.marks, "closed\n")
      while not fs.stat(args.go .. "2") do job:sleep(0.005) end
    end
    return { ok = "true", got = table.concat(got, " ") }
  end

  function ways.offline(job, args)
    assert(cloud.wait_online(60)) -- the job itself may have come a moment before all is subscribed
    fs.append(args.marks, "begun\n")
    while cloud.connected() do job:sleep(0.005) end
    local _, _, published = cloud.publish(args.topic, "lost")
    local _, _, subscribed = cloud.subscribe(args.topic, print)
    local none, why, code = cloud.wait_online(0.01)
    fs.append(args.marks, "offline\n")
    local ok = cloud.wait_online(60)
    return { codes = published .. " " .. subscribed, online = tostring(ok),
      early = ("%s %s: %s"):format(tostring(none), code, why),
      after = tostring(cloud.connected()) }
  end

  function ways.reconnect(job, args)
    local files = assert(cloud.files())
    assert(cloud.wait_online(60))
    local ok = assert(cloud.reconnect("the handler wants it", 60))
    return { ok = tostring(ok), after = tostring(cloud.connected()),
      files = files.cert or "none" }
  end

  function ways.misuse()
    local said = {}
    for i, given in ipairs{ { 1, "x" }, { "t", 5 }, { "t", "x", { qos = 2 } },
        { "t", "x", { retian = true } } } do
      local _, why = pcall(cloud.publish, table.unpack(given))
      said[i] = why
    end
    return { said = table.concat(said, "; ") }
  end

  return { api = 1, run = function(job, args) return ways[args.way](job, args) end }
]]

describe("hob.cloud", function()
  local world, gateway, peer, heard

  before_each(function()
    world = worlds.start({ tls = false })
    heard = {}
    peer = mqtt.connect(world.broker:options({ client_id = "peer",
      on_message = function(topic, payload, _, retain)
        heard[#heard + 1] = ("%s=%s%s"):format(topic, payload, retain and " (retained)" or "")
      end }))
    assert(peer:wait_up(PATIENCE))
    assert(peer:subscribe({ "gateways/#", "other/#" }, 1))
  end)
  after_each(function()
    if gateway then
      assert.equal(0, gateway:stop())
    end
    peer:close()
    world:stop()
  end)

  local function start(allow)
    gateway = world:gateway({ scripts = { ["c.lua"] = HANDLER },
      config = { topics = { allow = allow or { "gateways/${thing}/#" } }, request_timeout = 1 } })
    gateway:wait_event("jobs.subscribed")
  end

  local made = 0
  local function create(way, members)
    made = made + 1
    local id = "job-" .. made
    local document = { operation = "c", way = way }
    for key, value in pairs(members or {}) do
      document[key] = value
    end
    world:create(id, require("hob.json").encode(document))
    return id
  end
  local function run(way, members)
    local execution = world:ended(create(way, members))
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    return execution.details
  end
  local function wait_for(list, text)
    wait_until(function()
      for _, one in ipairs(list) do
        if one == text then
          return true
        end
      end
    end, PATIENCE, function() return text .. ", got " .. table.concat(list, " ") end)
  end

  describe("publish", function()
    it("sends on topics that the configuration allows, with its thing's name in them", function()
      start()
      assert.equal("true", run("publish", { topic = "gateways/gw-1/log" }).ok)
      wait_for(heard, "gateways/gw-1/log=hello")
      assert.equal("true", run("publish", { topic = "gateways/gw-1/log", payload = { a = 1 },
        options = { qos = 0 } }).ok)
      wait_for(heard, 'gateways/gw-1/log={"a":1}')
    end)

    it("refuses others, naming the key to set", function()
      start()
      for _, topic in ipairs({ "gateways/gw-2/log", "other/x", "$aws/things/gw-1/shadow/get" }) do
        local details = run("publish", { topic = topic })
        assert.equal("EACCES", details.error)
        assert.matches(topic:gsub("%p", "%%%0") .. ": the configuration does not allow it: set " ..
          "topics = { allow = ", details.why)
      end
      assert.same({}, heard)
    end)

    it("never takes the topics of AWS IoT Jobs, whatever is allowed", function()
      start({ "#", "$aws/#", "$aws/things/${thing}/jobs/#" })
      assert.equal("true", run("publish", { topic = "other/x" }).ok)
      assert.equal("true", run("publish", { topic = "$aws/things/gw-1/shadow/get" }).ok)
      for _, topic in ipairs({ "$aws/things/gw-1/jobs/x/update", "$aws/things/gw-2/jobs/get" }) do
        local details = run("publish", { topic = topic })
        assert.equal("EACCES", details.error)
        assert.matches("are not for hob%.cloud", details.why)
      end
    end)

    it("refuses what AWS would close the connection for", function()
      start({ "#" })
      assert.equal("EMSGSIZE", run("large", { topic = "other/x" }).error)
      assert.equal("EINVAL", run("publish", { topic = "a/b/c/d/e/f/g/h/i" }).error)
      assert.equal("EINVAL", run("publish", { topic = "other/" .. ("x"):rep(251) }).error)
      assert.equal("EINVAL", run("publish", { topic = "other/+" }).error)
      assert.equal("true", run("publish", { topic = "a/b/c/d/e/f/g/h" }).ok)
    end)

    it("raises where it is used wrongly", function()
      start()
      local said = run("misuse").said
      assert.matches("topic: expected string, got number; .*payload: expected string or table, " ..
        "got number; .*qos: expected 0 or 1, got 2; .*unknown option 'retian'", said)
    end)
  end)

  it("makes the connection anew, and says when it is there; the job goes on meanwhile", function()
    start()
    local details = run("reconnect")
    assert.same({ "true", "true", "none" }, { details.ok, details.after, details.files })
    assert.equal(2, gateway:count("jobs.subscribed"))
    assert.matches("the handler wants it", gateway:wait_event("conn.lost").msg, 1, true)
  end)

  describe("without a connection", function()
    it("publishes nothing later, and wait_online ends once jobs can be told of again", function()
      start()
      local marks = world:path("marks")
      local id = create("offline", { topic = "gateways/gw-1/log", marks = marks })
      wait_until(function() return fs.read(marks) == "begun\n" end, PATIENCE, "the job")
      world.broker:kill()
      wait_until(function() return fs.read(marks) == "begun\noffline\n" end, PATIENCE, "offline")
      world.broker:start_again()
      assert(peer:wait_up(PATIENCE))
      assert(peer:subscribe({ "gateways/#" }, 1))
      local execution = world:ended(id)
      local details = execution.details
      assert.equal("SUCCEEDED", execution.status, details.reason)
      assert.equal("ENOTCONN ENOTCONN", details.codes)
      assert.matches("^nil ETIMEDOUT: the service was not reached in 0.01 s: ", details.early)
      assert.equal("true", details.online)
      assert.equal("true", details.after)
      assert.equal(2, gateway:count("jobs.subscribed")) -- what it waited for
      assert.equal("true", run("publish", { topic = "gateways/gw-1/end" }).ok)
      wait_for(heard, "gateways/gw-1/end=hello")
      assert.same({ "gateways/gw-1/end=hello" }, heard)
    end)
  end)

  describe("subscribe", function()
    local function listening(members)
      local marks, go = world:path("marks"), world:path("go")
      members = members or {}
      members.marks, members.go = marks, go
      members.topic = members.topic or "gateways/gw-1/ask/+"
      local id = create("subscribe", members)
      local function wait_marks(text)
        wait_until(function() return (fs.read(marks) or ""):find(text, 1, true) end, PATIENCE,
          function() return text .. ", got " .. tostring(fs.read(marks)) end)
      end
      wait_marks("subscribed")
      return id, go, wait_marks
    end

    it("hears until it is closed", function()
      start()
      local id, go, wait_marks = listening({ close = true })
      assert(peer:publish("gateways/gw-1/ask/a", "one"))
      wait_marks("gateways/gw-1/ask/a=one")
      assert(fs.write(go, ""))
      wait_marks("closed")
      wait_until(function()
        return world.broker:log():find("Received UNSUBSCRIBE from gw-1", 1, true)
      end, PATIENCE, "the UNSUBSCRIBE")
      assert(peer:publish("gateways/gw-1/ask/b", "two"))
      assert(fs.write(go .. "2", ""))
      assert.equal("gateways/gw-1/ask/a=one", world:ended(id).details.got)
    end)

    it("ends with the job", function()
      start()
      local id, go = listening()
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended(id).status)
      wait_until(function()
        return world.broker:log():find("Received UNSUBSCRIBE from gw-1", 1, true)
      end, PATIENCE, "the UNSUBSCRIBE")
    end)

    it("is made anew after the connection was", function()
      start()
      local id, go, wait_marks = listening()
      world.broker:kill()
      world.broker:start_again()
      assert(peer:wait_up(PATIENCE))
      gateway:wait_event("jobs.subscribed", nil, 2)
      wait_until(function()
        local _, count = world.broker:log():gsub("gateways/gw%-1/ask/%+ %(QoS 1%)", "")
        return count >= 2
      end, PATIENCE, "the second SUBSCRIBE")
      assert(peer:publish("gateways/gw-1/ask/a", "again"))
      wait_marks("gateways/gw-1/ask/a=again")
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended(id).status)
    end)

    local function refusal(filter)
      local details = run("subscribe", { topic = filter, marks = "m", go = "g" })
      assert.equal("EACCES", details.error)
      return details.why
    end

    it("refuses filters that reach beyond what is allowed", function()
      start({ "gateways/${thing}/#", "+/shared", "#" })
      for _, filter in ipairs({ "$aws/rules/x", "$aws/things/gw-1/shadow/#" }) do
        assert.matches("set topics = { allow", refusal(filter)) -- wildcards never reach these
      end
      gateway:stop()
      start({ "gateways/${thing}/#", "+/shared" })
      for _, filter in ipairs({ "gateways/#", "gateways/+/x", "#", "+/+", "x/shared/#" }) do
        assert.matches("set topics = { allow", refusal(filter))
      end
    end)

    it("refuses filters that reach the topics of jobs", function()
      start({ "$aws/#" })
      for _, filter in ipairs({ "$aws/things/gw-1/#", "$aws/#", "$aws/+/gw-1/jobs/notify",
        "$aws/things/+/jobs/notify", "$aws/things/+/+/notify", "$aws/things/gw-1/jobs" }) do
        assert.matches("are not for hob%.cloud", refusal(filter))
      end
    end)
  end)

  it("has no gateway in hob lua", function()
    assert.is_false(cloud.connected())
    for _, call in ipairs({ function() return cloud.wait_online(1) end,
      function() return cloud.publish("t", "x") end,
      function() return cloud.subscribe("t", print) end }) do
      local none, why, code = call()
      assert.is_nil(none)
      assert.equal("there is no running gateway here", why)
      assert.equal("ENOTCONN", code)
    end
  end)
end)

describe("topics in the configuration", function()
  it("are MQTT filters, or the gateway does not start", function()
    local world = worlds.start({ tls = false })
    local gateway = world:gateway({ config = { topics = { allow = { "a/#/b" } } } })
    local result = gateway:wait_end()
    assert.equal(2, result.code)
    assert.matches('topics: expected MQTT filters, .*, got "a/#/b"', table.concat(gateway.lines))
    world:stop()
  end)
end)
