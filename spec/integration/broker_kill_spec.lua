-- The broker is killed and started again at each point of a job's way. Whatever was lost on the
-- wire, the handler runs once and the service accepts exactly one terminal update.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local JOB = [[
  local fs = require("hob.fs")
  return { api = 1, args = { marks = "string", go = "string?" }, run = function(job, args)
    job:step("mark", function() assert(fs.append(args.marks, "ran\n")) end)
    while args.go and not fs.stat(args.go) do job:sleep(0.01) end
    return { done = true }
  end }
]]

local function operation(topic)
  return topic:match("/jobs/(.+)$")
end

local function is_claim(topic, request)
  return operation(topic):match("/update$") and request.status == "IN_PROGRESS"
end

local function is_end(topic, request)
  return operation(topic):match("/update$") and request.status == "SUCCEEDED"
end

local function is_look(topic)
  return operation(topic) == "$next/get"
end

describe("a broker that is killed and started again", function()
  local world, gateway, marks

  before_each(function()
    world = worlds.start()
    marks = world:path("marks")
  end)
  after_each(function()
    world:stop()
  end)

  local function start_gateway()
    gateway = world:gateway({ scripts = { ["work.lua"] = JOB }, config = { request_timeout = 2 } })
    gateway:wait_event("jobs.subscribed")
  end

  local function create(go)
    local document = ('{"operation":"work","marks":"%s"%s}'):format(marks,
      go and (',"go":"%s"'):format(go) or "")
    world:create("job", document)
  end

  local function bounce()
    world.broker:kill()
    gateway:wait_event("conn.lost")
    world.broker:start_again()
  end

  -- Stand between service and broker once, at the first message that `fits`.
  local function once(fits, act)
    local done = false
    return function(topic, request)
      if not done and fits(topic, request) then
        done = true
        return act()
      end
    end
  end

  local function holds()
    assert.equal("SUCCEEDED", world:ended("job").status)
    gateway:wait_event("job.reported", { job = "job" })
    gateway:wait_event("jobs.subscribed", {}, 2)
    assert.equal(1, world:terminal_updates("job"))
    assert.equal("ran\n", assert(fs.read(marks)))
    assert.equal(1, gateway:count("job.started"))
    assert.equal(0, gateway.process and gateway:stop() or 0)
  end

  it("before the claim: the look's answer is lost", function()
    world:before(once(is_look, function()
      world.broker:kill()
      gateway:wait_event("conn.lost")
    end))
    gateway = world:gateway({ scripts = { ["work.lua"] = JOB } })
    gateway:wait_event("conn.lost")
    create()
    world.broker:start_again()
    holds()
  end)

  it("before the claim: the announcement is lost", function()
    start_gateway()
    world.broker:kill()
    create()
    gateway:wait_event("conn.lost")
    world.broker:start_again()
    holds()
  end)

  it("before the claim's accepted: the claim itself is lost", function()
    start_gateway()
    world:before(once(is_claim, function()
      bounce()
      error("the service never saw this claim", 0)
    end))
    create()
    holds()
    world.problems = {} -- the error above
  end)

  it("before the claim's accepted: only its answer is lost", function()
    start_gateway()
    world:after(once(is_claim, function()
      bounce()
      return "drop"
    end))
    create()
    holds()
    assert.equal(3, world:describe("job").versionNumber) -- claimed once
  end)

  it("in the handler, which goes on and ends while there is no broker", function()
    start_gateway()
    local go = world:path("go")
    create(go)
    wait_until(function() return fs.stat(marks) end, worlds.PATIENCE, "the handler to run")
    world.broker:kill()
    gateway:wait_event("conn.lost")
    assert(fs.write(go, ""))
    gateway:wait_event("job.finished")
    assert.equal(0, world:terminal_updates("job"))
    world.broker:start_again()
    holds()
  end)

  it("between the final publish and its accepted: the update itself is lost", function()
    start_gateway()
    world:before(once(is_end, function()
      bounce()
      error("the service never saw this update", 0)
    end))
    create()
    holds()
    world.problems = {}
  end)

  it("between the final publish and its accepted: only its answer is lost", function()
    start_gateway()
    world:after(once(is_end, function()
      bounce()
      return "drop"
    end))
    create()
    holds()
  end)

  it("after the final accepted", function()
    start_gateway()
    create()
    gateway:wait_event("job.reported")
    bounce()
    holds()
  end)
end)
