-- What can go wrong between a gateway and the service, one thing at a time, while five jobs are
-- worked off: nothing is lost, nothing is done twice, and at the end both sides have the same.
-- Faults of the service are those of `hob service fault`; the network's come from a proxy.

local fs = require("hob.fs")
local json = require("hob.json")
local peers = require("spec.support.peer")
local sides = require("spec.support.both_sides")
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local SCRIPTS = {
  ["two-steps.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { marks = "string", name = "string" }, run = function(job, args)
      job:progress(10, "begun")
      job:step("first", function() assert(fs.append(args.marks, args.name .. " first\n")) end)
      job:progress(60, "half")
      job:step("second", function() assert(fs.append(args.marks, args.name .. " second\n")) end)
      return { name = args.name }
    end }
  ]],
  ["fails.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { marks = "string", name = "string" }, run = function(job, args)
      job:step("first", function() assert(fs.append(args.marks, args.name .. " first\n")) end)
      job:step("second", function()
        assert(fs.append(args.marks, args.name .. " second\n"))
        error("no good", 0)
      end)
    end }
  ]],
}

local JOBS = {
  { "two-steps", "SUCCEEDED" }, { "fails", "FAILED" }, { "two-steps", "SUCCEEDED" },
  { "two-steps", "SUCCEEDED" }, { "fails", "FAILED" },
}

describe("jobs", function()
  local world, proxy, commands, gateway, marks, jobs

  setup(function()
    world = worlds.start({ tls = false })
    commands = world:path("commands")
    assert(fs.write(commands, ""))
    proxy = peers.start("rough_proxy", tostring(world.broker.port), commands)
  end)
  teardown(function()
    proxy:stop()
    world:stop()
  end)

  local count = 0
  before_each(function()
    count = count + 1
    marks = world:path("marks")
    jobs = {}
    gateway = world:gateway({ thing = "gw-" .. count, launch = false, scripts = SCRIPTS, config = {
      port = proxy.port, endpoint = "127.0.0.1", request_timeout = 0.5, poll = 1, keep_alive = 5,
    } })
  end)
  after_each(function()
    world:before(nil)
    world:after(nil)
    world:answer_with(nil)
    world.side.faults:remove()
  end)

  local function thing()
    return "gw-" .. count
  end

  local function is_mine(topic)
    return topic:find("/things/" .. thing() .. "/", 1, true) ~= nil
  end

  local function command(text)
    assert(fs.append(commands, text .. "\n"))
  end

  local function create(list)
    for _, job in ipairs(list or JOBS) do
      local id = ("job-%d-%d"):format(count, #jobs + 1)
      jobs[#jobs + 1] = id
      world:create(id, ('{"operation":"%s","marks":"%s","name":"%s"}'):format(job[1], marks, id),
        thing())
    end
  end

  local function each_ran_once()
    local expected = {}
    for i, id in ipairs(jobs) do
      expected[i] = ("%s first\n%s second\n"):format(id, id)
    end
    assert.equal(table.concat(expected), fs.read(marks))
  end

  local function settled()
    for i, id in ipairs(jobs) do
      local execution = world:ended(id, thing())
      assert.equal(JOBS[(i - 1) % #JOBS + 1][2], execution.status)
      gateway:wait_event("job.reported", { job = id })
    end
    assert.equal(0, gateway:stop())
    assert.same({}, sides.differences(world, gateway, thing(), jobs))
    each_ran_once()
  end

  it("end well when nothing goes wrong", function()
    create()
    gateway:launch()
    settled()
  end)

  -- Meet a share of this thing's messages, by chance.
  local function now_and_then(share, plant)
    math.randomseed(count)
    world:before(function(topic)
      if is_mine(topic) and math.random() < share then
        plant()
      end
    end)
  end

  local function used(action)
    local uses = 0
    for _, fault in ipairs(world.side.faults.list) do
      uses = uses + (fault.action == action and fault.used or 0)
    end
    return uses
  end

  for _, action in ipairs({ "drop", "delay", "duplicate", "garbage", "disconnect" }) do
    it(("end well when 30 %% of the answers meet: %s"):format(action), function()
      now_and_then(0.3, function()
        world:fault({ op = "any", action = action, side = "answer", count = 1, thing = thing(),
          delayMs = action == "delay" and 700 or nil })
      end)
      create()
      gateway:launch()
      settled()
      assert.is_true(used(action) > 0)
    end)

    if action ~= "garbage" and action ~= "duplicate" then
      it(("end well when 30 %% of the requests meet: %s"):format(action), function()
        now_and_then(0.3, function() -- it meets the next one: this request has come through
          world:fault({ op = "any", action = action, side = "request", count = 1,
            thing = thing(), delayMs = action == "delay" and 300 or nil })
        end)
        create()
        gateway:launch()
        settled()
        assert.is_true(used(action) > 0)
      end)
    end
  end

  it("end well when answers carry another request's token", function()
    local wrong = 0
    world:after(function(topic, request, out)
      if not is_mine(topic) or wrong >= 6
        or not request.clientToken then
        return nil
      end
      wrong = wrong + 1
      local changed = {}
      for i, message in ipairs(out) do
        local body = json.decode(message.payload)
        if body.clientToken then
          body.clientToken = "another-" .. wrong
        end
        changed[i] = { topic = message.topic, payload = json.encode(body) }
      end
      return changed
    end)
    create()
    gateway:launch()
    settled()
    assert.equal(6, wrong)
  end)

  it("end well when the service is throttled for a minute of its time", function()
    local minute_over, refused = 60, 0
    world:answer_with(function(topic)
      if not is_mine(topic) or refused * 10 >= minute_over then
        return nil
      end
      refused = refused + 1 -- by its clock ten seconds after the last one
      return { code = "RequestThrottled", message = "said the spec" }
    end)
    create({ JOBS[1] })
    gateway:launch()
    settled()
    assert.equal(6, refused)
  end)

  it("end well when each kind of request is throttled and refused once", function()
    for _, code in ipairs({ "RequestThrottled", "InternalError" }) do
      for _, op in ipairs({ "get", "describe", "update", "update" }) do
        world:fault({ op = op, action = "reject", code = code, count = 1, thing = thing() })
      end
    end
    create()
    gateway:launch()
    settled()
    assert.is_true(used("reject") >= 4)
  end)

  -- ---- the network ----

  -- Do something at every update that the service gets, until it was done `times`.
  local function at_updates(times, act)
    local done = 0
    world:after(function(topic)
      if is_mine(topic) and topic:find("/update$") and done < times then
        done = done + 1
        act(done)
      end
    end)
    return function()
      assert.equal(times, done)
    end
  end

  it("end well when the broker is killed in the middle of each", function()
    local was_met = at_updates(5, function()
      local lost = gateway:count("conn.lost")
      world.broker:kill()
      gateway:wait_event("conn.lost", {}, lost + 1)
      world.broker:start_again()
    end)
    create()
    gateway:launch()
    settled()
    was_met()
  end)

  for _, direction in ipairs({ "up", "down" }) do
    it(("end well when the connection is cut in the middle of a packet, going %s"):format(
      direction), function()
      local already = #proxy:lines("^did cut " .. direction)
      local was_met = at_updates(6, function()
        command("cut " .. direction)
      end)
      create()
      gateway:launch()
      settled()
      was_met()
      assert.is_true(#proxy:lines("^did cut " .. direction) - already >= 3)
    end)
  end

  it("end well when the link is half-open: deaf, but not closed (field failure 8)", function()
    local already = #proxy:lines("^did freeze")
    local was_met = at_updates(3, function(n)
      command("freeze")
      proxy:wait("^did freeze", PATIENCE, already + n)
    end)
    create()
    gateway:launch()
    settled()
    was_met()
  end)

  it("end well when the connection is reset again and again (field failure 9)", function()
    local already = #proxy:lines("^did reset")
    local was_met = at_updates(8, function(n)
      command("reset")
      proxy:wait("^did reset", PATIENCE, already + n)
    end)
    create()
    gateway:launch()
    settled()
    was_met()
  end)

  it("end well when the network comes minutes after the gateway", function()
    create()
    command("refuse")
    gateway:launch()
    gateway:wait_event("conn.refused", {}, 3)
    command("accept")
    settled()
  end)
end)
