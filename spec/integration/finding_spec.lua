-- Finding work: look, then claim. What is announced only looks; a job is claimed by its id, in the
-- service's order, with as few messages as can be; what gets lost on the way is found anyway.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  -- Longer than a gateway waits before it asks for what it was not told.
  ["short.lua"] = "return { api = 1, run = function(job) job:sleep(0.4) end }",
  ["wait.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      while not fs.stat(args.go) do job:sleep(0.01) end
    end }
  ]],
}

describe("finding work", function()
  local world, gateway, requests

  before_each(function()
    world = worlds.start({ tls = false })
    requests = {}
    world:before(function(topic, request)
      requests[#requests + 1] = {
        what = topic:match("/jobs/(.+)$"), status = request.status,
        version = request.expectedVersion, minutes = request.stepTimeoutInMinutes,
        number = request.executionNumber,
      }
    end)
  end)
  after_each(function()
    world:stop()
  end)

  local function count(what)
    local seen = 0
    for _, request in ipairs(requests) do
      seen = seen + (request.what:match(what) and 1 or 0)
    end
    return seen
  end

  local function said()
    local list = {}
    for i, request in ipairs(requests) do
      list[i] = request.what .. (request.status and " " .. request.status or "")
    end
    return table.concat(list, ", ")
  end

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    wait_until(function() return count("^$next/get$") > 0 end, worlds.PATIENCE, "the first look")
  end

  local function run(id, operation)
    world:create(id, ('{"operation":"%s"}'):format(operation or "quick"))
    assert.equal("SUCCEEDED", world:ended(id).status)
    gateway:wait_event("job.reported", { job = id })
  end

  describe("costs few messages:", function()
    for _, slots in ipairs({ 1, 4 }) do
      it(("two for a short job, its claim and its result, with %d slots"):format(slots), function()
        start({ max_concurrent_jobs = slots })
        local from = #requests
        for i = 1, 4 do
          run("job-" .. i, "short")
        end
        assert.equal(8, #requests - from, said())
      end)
    end

    it("two for each of a burst of jobs that run one after the other", function()
      start()
      local from = #requests
      for i = 1, 12 do
        world:create("job-" .. i, '{"operation":"quick"}')
      end
      for i = 1, 12 do
        gateway:wait_event("job.reported", { job = "job-" .. i })
      end
      run("last", "short")
      assert.equal(26, #requests - from, said())
    end)

    it("one question for each job that nothing announced with its document", function()
      start({ max_concurrent_jobs = 4 })
      local from = #requests
      for i = 1, 8 do
        world:create("job-" .. i, '{"operation":"quick"}')
      end
      for i = 1, 8 do
        gateway:wait_event("job.reported", { job = "job-" .. i })
      end
      assert.equal(0, count("^get$"), said())
      assert.is_true(#requests - from <= 24, said())
    end)

    it("none for a flood of notifications that bring nothing new", function()
      start()
      local go = world:path("go")
      world:create("job", ('{"operation":"wait","go":"%s"}'):format(go))
      gateway:wait_event("job.started")
      local from = #requests
      for _ = 1, 50 do
        world:control("create_job", "noise", { targets = { "arn:aws:iot:us-east-1:123456789012:"
          .. "thing/gw-1" }, document = '{"operation":"quick"}' }, os.time())
        world:control("delete_job", "noise", true, os.time())
      end
      assert(fs.write(go, ""))
      gateway:wait_event("job.reported", { job = "job" })
      assert.equal(1, #requests - from, said())
    end)
  end)

  it("claims by id, with the version that was seen and the execution's number", function()
    start()
    run("job")
    for _, request in ipairs(requests) do
      if request.status == "IN_PROGRESS" then
        assert.equal("job/update", request.what)
        assert.equal(1, request.version)
        assert.equal(1, request.number)
      end
    end
    assert.equal(0, count("start%-next"))
  end)

  it("names the handler's time-out in the claim, in minutes", function()
    gateway = world:gateway({ scripts = {
      ["quick.lua"] = "return { api = 1, timeout = 90, run = function() end }",
    } })
    gateway:wait_event("jobs.subscribed")
    run("job")
    assert.matches("IN_PROGRESS", said())
    for _, request in ipairs(requests) do
      if request.status == "IN_PROGRESS" then
        assert.is_true(request.minutes >= 2, tostring(request.minutes))
      end
    end
  end)

  it("refuses what can never work in one message, without having started it", function()
    start({ max_concurrent_jobs = 3 })
    local from = #requests
    world:create("job", '{"operation":"nobody-knows"}')
    assert.equal("REJECTED", world:ended("job").status)
    gateway:wait_event("job.reported")
    assert.equal("job/update REJECTED", said():match("[^,]+$"):gsub("^ ", ""))
    assert.equal(1, #requests - from)
  end)

  it("takes what is announced twice once (field failure 1)", function()
    world:fault({ op = "notify-next", action = "duplicate" })
    world:fault({ op = "notify", action = "duplicate" })
    world:fault({ op = "update", action = "duplicate" })
    start({ max_concurrent_jobs = 2 })
    for i = 1, 5 do
      run("job-" .. i)
      assert.equal(1, world:terminal_updates("job-" .. i))
    end
    assert.equal(5, gateway:count("job.started"))
  end)

  it("finds a job whose announcements were lost, by its poll", function()
    world:fault({ op = "notify-next", action = "drop" })
    world:fault({ op = "notify", action = "drop" })
    start({ poll = 1 })
    world:create("job", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("finds all jobs whose announcements were lost, one after the other's end", function()
    start()
    world:fault({ op = "notify-next", action = "drop" })
    for i = 1, 3 do
      world:create("job-" .. i, '{"operation":"quick"}')
    end
    for i = 1, 3 do
      assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
    end
  end)

  it("asks again, later and later, while the service throttles (field failure 9)", function()
    world:fault({ op = "describe", action = "reject", code = "RequestThrottled", count = 3 })
    world:create("job", '{"operation":"quick"}')
    gateway = world:gateway({ scripts = SCRIPTS })
    assert.equal("SUCCEEDED", world:ended("job").status)
    assert.is_true(gateway:count("jobs.retry") >= 3)
  end)

  it("claims again after a claim without an answer, and runs the job once", function()
    start({ request_timeout = 0.5 })
    world:fault({ op = "update", action = "drop", side = "answer", count = 1 })
    world:create("job", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("job").status)
    assert.equal(1, gateway:count("job.started"))
  end)

  it("finds what was queued while the broker was away, though it was never announced " ..
    "(field failure 23)", function()
    start()
    world.broker:kill()
    gateway:wait_event("conn.lost")
    world.engine:create_job("job", { targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" },
      document = '{"operation":"quick"}' }, os.time())
    world.broker:start_again()
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("leaves a job alone that no handler knows, and takes it once there is one (field failure 21)",
    function()
      start({ unknown_jobs = "ignore" })
      world:create("job", '{"operation":"later"}')
      gateway:wait_event("job.ignored", { job = "job" })
      run("behind")
      assert.equal("QUEUED", world:describe("job").status)
      assert(fs.write(gateway.dir .. "/scripts/later.lua", SCRIPTS["quick.lua"]))
      gateway.process:kill("HUP")
      assert.equal("SUCCEEDED", world:ended("job").status)
    end)

  it("runs one that is begun but unknown here again if its handler says rerun", function()
    local scripts = { ["again.lua"] =
      "return { api = 1, rerun = true, run = function(job) return { n = 1 } end }" }
    world:create("job", '{"operation":"again"}')
    world:update_behind("job", { status = "IN_PROGRESS" })
    gateway = world:gateway({ scripts = scripts })
    local execution = world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal(3, execution.versionNumber) -- not claimed again
    gateway:wait_event("job.resumed")
  end)

  it("never believes an announcement alone that a job was begun without it", function()
    start()
    run("one")
    -- As a stale notify-next would name a job that ended long ago: the service does not know it.
    world.side:settle({ { topic = "$aws/things/gw-1/jobs/notify-next", payload =
      '{"timestamp":1,"execution":{"jobId":"old","status":"IN_PROGRESS","queuedAt":1,'
      .. '"lastUpdatedAt":1,"versionNumber":2,"executionNumber":1,'
      .. '"jobDocument":{"operation":"quick"}}}' } })
    run("two", "short")
    for _, event in ipairs(gateway.events) do
      assert.not_equal("old", event.job)
    end
  end)
end)
