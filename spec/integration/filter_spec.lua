-- job_filter: several agents share one thing, and none touches the jobs of another.

local fs = require("hob.fs")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
}
local QUICK = '{"operation":"quick"}'

describe("job_filter", function()
  local world, touched

  before_each(function()
    world = worlds.start({ tls = false })
    touched = {}
    world:before(function(topic, request)
      local job = topic:match("/jobs/([^/]+)/update$")
      if job then
        touched[job] = (touched[job] or "") .. request.status .. " "
      end
    end)
  end)
  after_each(function()
    world:stop()
  end)

  -- A gateway with a client id of its own, so that several can serve one thing.
  local function start(name, filter, config)
    config = config or {}
    config.client_id = name
    local gateway = world:gateway({ scripts = SCRIPTS, config = config, launch = false })
    local text = assert(fs.read(gateway.config))
    assert(fs.write(gateway.config, (text:gsub("}\n$", function()
      return ("  job_filter = %s,\n}\n"):format(filter)
    end))))
    gateway:launch()
    return gateway
  end

  local function ready(gateway)
    gateway:wait_event("jobs.subscribed")
    return gateway
  end

  for _, slots in ipairs({ 1, 3 }) do
    it(("lets two gateways serve one thing with %d slots each; neither touches a job of the "
      .. "other (field failure 21)"):format(slots), function()
      local a = ready(start("a", '"a-"', { max_concurrent_jobs = slots }))
      local b = ready(start("b", '"b-"', { max_concurrent_jobs = slots }))
      for i = 1, 6 do
        world:create("a-" .. i, QUICK)
        world:create("b-" .. i, QUICK)
      end
      for i = 1, 6 do
        for _, name in ipairs({ "a-", "b-" }) do
          assert.equal("SUCCEEDED", world:ended(name .. i).status)
          assert.equal("IN_PROGRESS SUCCEEDED ", touched[name .. i])
        end
      end
      for _, pair in ipairs({ { a, "^a%-" }, { b, "^b%-" } }) do
        assert.equal(6, pair[1]:count("job.started"))
        for _, event in ipairs(pair[1].events) do
          assert.is_true(event.event ~= "job.claimed" or event.job:match(pair[2]) ~= nil)
        end
      end
    end)
  end

  it("finds a job behind ten of another agent as soon as the service shows it", function()
    local gateway = start("a", '"mine-"')
    ready(gateway)
    for i = 1, 12 do
      world:create(("other-%02d"):format(i), QUICK)
    end
    world:create("mine-1", QUICK)
    gateway:wait_event("job.ignored")
    assert.equal("QUEUED", world:describe("mine-1").status) -- the list ends before it
    for i = 1, 3 do
      world:control("cancel_job", ("other-%02d"):format(i), {}, true, time.now())
    end
    assert.equal("SUCCEEDED", world:ended("mine-1").status)
    for i = 1, 12 do
      assert.is_nil(touched[("other-%02d"):format(i)])
    end
  end)

  it("finds a job behind others that were there before it", function()
    for i = 1, 5 do
      world:create("other-" .. i, QUICK)
    end
    world:create("mine-1", QUICK)
    start("a", '"mine-"')
    assert.equal("SUCCEEDED", world:ended("mine-1").status)
    for i = 1, 5 do
      assert.is_nil(touched["other-" .. i])
    end
  end)

  it("does not take what another agent has begun for a loss of its own state", function()
    world:create("other-1", QUICK)
    world:update_behind("other-1", { status = "IN_PROGRESS" })
    start("a", '"mine-"')
    world:create("mine-1", QUICK)
    assert.equal("SUCCEEDED", world:ended("mine-1").status)
    assert.equal("IN_PROGRESS", world:describe("other-1").status)
  end)

  it("asks a function that sees id, number and document", function()
    local gateway = start("a", [[function(job)
      return job.id:find("^x") ~= nil and job.execution_number == 1
        and job.document.operation == "quick" and #job.document.list == 2
    end]])
    ready(gateway)
    world:create("x-1", '{"operation":"quick","list":[1]}')
    world:create("y-2", '{"operation":"quick","list":[1,2]}')
    world:create("x-3", '{"operation":"quick","list":[1,2]}')
    assert.equal("SUCCEEDED", world:ended("x-3").status)
    assert.is_nil(touched["x-1"])
    assert.is_nil(touched["y-2"])
    assert.equal(0, gateway:count("job.filter_failed"))
  end)

  it("takes an error, an endless loop and no clear answer for no, and says so once", function()
    local gateway = start("a", [[function(job)
      if job.id == "raises" then return job.document.nothing.there end
      if job.id == "loops" then while true do end end
      if job.id == "silent" then return nil end
      if job.id == "reaches" then return os.time() > 0 end
      return true
    end]], { poll = 1 })
    ready(gateway)
    for _, name in ipairs({ "raises", "loops", "silent", "reaches" }) do
      world:create(name, QUICK)
      gateway:wait_event("job.filter_failed", { job = name })
    end
    world:create("good", QUICK)
    assert.equal("SUCCEEDED", world:ended("good").status)
    local list = wait_until(function() -- asked afresh, and not said again
      return gateway:count("job.ignored") >= 8 and gateway.events
    end, worlds.PATIENCE, "another poll")
    local said = {}
    for _, event in ipairs(list) do
      if event.event == "job.filter_failed" then
        assert.is_nil(said[event.job])
        said[event.job] = event.msg
      end
    end
    assert.matches("hob.conf.lua:%d+: .*nothing", said.raises)
    assert.matches("200 ms", said.loops)
    assert.matches("expected true or false, got nil", said.silent)
    assert.matches("'os'", said.reaches)
    for _, name in ipairs({ "raises", "loops", "silent", "reaches" }) do
      assert.is_nil(touched[name])
    end
  end)

  it("is asked for each job, though that takes longer than it is to the next poll", function()
    for i = 1, 6 do
      world:create("other-" .. i, QUICK)
    end
    world:create("mine", QUICK)
    world:fault{ op = "describe", action = "delay", delayMs = 400 }
    start("a", 'function(job) return job.id == "mine" end', { poll = 1 })
    assert.equal("SUCCEEDED", world:ended("mine").status)
  end)

  it("is asked once for each job, not for each notification", function()
    local asked = 0
    start("a", 'function(job) return job.id:find("^mine") ~= nil end', { max_concurrent_jobs = 2 })
    world:before(function(topic)
      asked = asked + (topic:match("/jobs/other%-%d+/get$") and 1 or 0)
    end)
    wait_until(function() return world.gateways[1]:count("jobs.subscribed") > 0 end, 30, "it")
    for i = 1, 4 do
      world:create("other-" .. i, QUICK)
    end
    for i = 1, 8 do
      world:create("mine-" .. i, QUICK)
      assert.equal("SUCCEEDED", world:ended("mine-" .. i).status)
    end
    assert.is_true(asked <= 4, tostring(asked))
  end)

  it("goes on with its own job also when the filter has changed since", function()
    local scripts = { ["wait.lua"] = [[
      local fs = require("hob.fs")
      return { api = 1, args = { go = "string" }, run = function(job, args)
        while not fs.stat(args.go) do job:sleep(0.01) end
      end }
    ]] }
    local go = world:path("go")
    local gateway = world:gateway({ scripts = scripts })
    world:create("job", ('{"operation":"wait","go":"%s"}'):format(go))
    gateway:wait_event("job.started")
    gateway:kill()
    local text = assert(fs.read(gateway.config))
    assert(fs.write(gateway.config, (text:gsub("}\n$", '  job_filter = "other-",\n}\n'))))
    assert(fs.write(go, ""))
    gateway:launch()
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("that is neither text nor a function keeps Hob from starting, naming the key", function()
    local gateway = start("a", "7")
    assert.equal(2, assert(gateway:wait_end()).code)
    assert.matches("job_filter: expected", table.concat(gateway.lines, "\n"))
  end)
end)
