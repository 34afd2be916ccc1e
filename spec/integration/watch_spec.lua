-- Does the service still want what runs? Four sources say that it may not; only its answer to a
-- question about that very execution counts.

local fs = require("hob.fs")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["wait.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string", marks = "string?" }, run = function(job, args)
      while not fs.stat(args.go) do job:sleep(0.01) end
      if args.marks then fs.append(args.marks, job.id .. " ran to its end\n") end
    end }
  ]],
  -- A program that takes its time to go when it is told to.
  ["stubborn.lua"] = [=[
    local exec = require("hob.exec")
    return { api = 1, args = { marks = "string" }, run = function(job, args)
      exec.run({ "sh", "-c", [[
        trap 'echo told >>"$0"; sleep 0.3; echo gone >>"$0"; exit 0' TERM
        echo up >>"$0"
        while :; do sleep 0.05; done
      ]], args.marks })
    end }
  ]=],
  ["mark.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { marks = "string" }, run = function(job, args)
      fs.append(args.marks, "next\n")
    end }
  ]],
  ["talk.lua"] = [[
    return { api = 1, run = function(job)
      for i = 1, 1000 do job:progress(i % 100, "part " .. i) job:sleep(0.2) end
    end }
  ]],
}

describe("a job that the service has ended", function()
  local world, gateway, go, marks, requests

  before_each(function()
    world = worlds.start({ tls = false })
    go, marks, requests = world:path("go"), world:path("marks"), {}
    world:before(function(topic, request)
      requests[#requests + 1] = topic:match("/jobs/(.+)$") .. " " .. (request.status or "")
    end)
  end)
  after_each(function()
    world:stop()
  end)

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  local function begin(id, operation)
    world:create(id, ('{"operation":"%s","go":"%s","marks":"%s"}'):format(operation or "wait", go,
      marks))
    gateway:wait_event("job.started", { job = id })
  end

  local function cancel(id)
    world:control("cancel_job", id, {}, true, time.now())
  end

  local function next_job_works()
    world:create("next", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("next").status)
  end

  local function did_not_end_well()
    next_job_works()
    assert.is_nil(fs.read(marks))
  end

  local function gone(code, id)
    return gateway:wait_event("job.gone", { job = id or "job", code = code })
  end

  describe("is given up", function()
    it("when notify and notify-next do not name it any more (field failure 12)", function()
      start()
      begin("job")
      cancel("job")
      gone("CANCELED")
      did_not_end_well()
      assert.equal("CANCELED", world:describe("job").status)
    end)

    it("with its programs, and only when they are gone the next one begins (field failure 12)",
      function()
        start()
        begin("job", "stubborn")
        wait_until(function() return fs.read(marks) == "up\n" end, worlds.PATIENCE, "the program")
        world:create("next", ('{"operation":"mark","marks":"%s"}'):format(marks))
        cancel("job")
        assert.equal("SUCCEEDED", world:ended("next").status)
        assert.equal("up\ntold\ngone\nnext\n", fs.read(marks))
      end)

    it("when only notify says so", function()
      start()
      begin("job")
      world:fault({ op = "notify-next", action = "drop" })
      cancel("job")
      gone("CANCELED")
    end)

    it("when only notify-next says so", function()
      start()
      begin("job")
      world:fault({ op = "notify", action = "drop" })
      cancel("job")
      gone("CANCELED")
    end)

    it("when an update is refused", function()
      start()
      begin("job", "talk")
      world:fault({ op = "notify-next", action = "drop" })
      world:fault({ op = "notify", action = "drop" })
      cancel("job")
      gone("CANCELED")
      assert.is_nil(table.concat(requests, ","):find("job/get ", 1, true))
    end)

    it("when it was cancelled while there was no connection", function()
      start()
      begin("job")
      world.broker:kill()
      gateway:wait_event("conn.lost")
      world.engine:cancel_job("job", {}, true, time.now())
      world.broker:start_again()
      gone("CANCELED")
      did_not_end_well()
    end)

    it("when its time-out has passed in the cloud", function()
      world:stop()
      world = worlds.start({ tls = false, minute_ms = 700 })
      go = world:path("go")
      start()
      world:control("create_job", "job", {
        targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" },
        document = ('{"operation":"wait","go":"%s"}'):format(go),
        timeoutConfig = { inProgressTimeoutInMinutes = 1 },
      }, time.now())
      gone("TIMED_OUT")
      assert.equal("TIMED_OUT", world:describe("job").status)
    end)

    it("when it was deleted", function()
      start()
      begin("job")
      world:control("delete_job", "job", true, time.now())
      gone("DELETED")
      did_not_end_well()
    end)

    for _, slots in ipairs({ 1, 2 }) do
      it(("when its id belongs to another execution by now, which runs once it is gone, with %d "
        .. "slots"):format(slots), function()
        start({ max_concurrent_jobs = slots })
        begin("job", "stubborn")
        wait_until(function() return fs.read(marks) == "up\n" end, worlds.PATIENCE, "the program")
        local before = world:describe("job").queuedAt
        wait_until(function() return os.time() > before end, 5, "another second")
        world:control("delete_job", "job", true, time.now())
        world:create("job", ('{"operation":"mark","marks":"%s"}'):format(marks))
        gone("DELETED")
        assert.equal("SUCCEEDED", world:ended("job").status)
        assert.equal("up\ntold\ngone\nnext\n", fs.read(marks))
      end)
    end

    it("among several that go on", function()
      start({ max_concurrent_jobs = 3 })
      for i = 1, 3 do
        begin("job-" .. i)
      end
      cancel("job-2")
      gone("CANCELED", "job-2")
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended("job-1").status)
      assert.equal("SUCCEEDED", world:ended("job-3").status)
      assert.equal(1, gateway:count("job.gone"))
      assert.is_nil(fs.read(marks):find("job-2", 1, true))
    end)

    it("before it ran, if its claim was on its way: then it never runs", function()
      local held
      world:before(function(topic, request)
        if topic:match("/job/update$") and request.status == "IN_PROGRESS" and not held then
          held = true
          world.engine:cancel_job("job", {}, true, time.now())
        end
      end)
      start()
      world:create("job", '{"operation":"quick"}')
      gateway:wait_event("job.claim_refused", { job = "job" })
      next_job_works()
      assert.equal(1, gateway:count("job.started"))
    end)
  end)

  describe("is not given up", function()
    local function goes_on()
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended("job").status)
      assert.equal(0, gateway:count("job.gone"))
      assert.equal(1, gateway:count("job.started"))
    end

    it("for notifications that do not name it, while the service still has it", function()
      start()
      begin("job")
      local from = #requests
      world.side:settle({
        { topic = "$aws/things/gw-1/jobs/notify", payload = '{"timestamp":1,"jobs":{}}' },
        { topic = "$aws/things/gw-1/jobs/notify-next", payload = '{"timestamp":1}' },
      })
      wait_until(function() return #requests > from end, worlds.PATIENCE, "a question")
      goes_on()
    end)

    it("for questions that are throttled, or have no answer: they are asked again", function()
      start({ request_timeout = 0.5 })
      begin("job")
      world:fault({ op = "describe", job = "job", action = "reject", code = "RequestThrottled",
        count = 2 })
      world:fault({ op = "describe", job = "job", action = "drop", count = 1 })
      world.side:settle({
        { topic = "$aws/things/gw-1/jobs/notify", payload = '{"timestamp":1,"jobs":{}}' },
      })
      gateway:wait_event("jobs.retry", { job = "job" }, 3)
      goes_on()
    end)

    it("for a broker that was started anew", function()
      start()
      begin("job")
      world.broker:start_again()
      gateway:wait_event("jobs.subscribed", {}, 2)
      goes_on()
    end)

    it("for a list that is cut before it", function()
      start({ max_concurrent_jobs = 2 })
      for i = 1, 11 do
        world:create("other-" .. i, '{"operation":"quick"}', "gw-2")
      end
      begin("job")
      local names = {}
      for i = 1, 10 do
        names[i] = ('{"jobId":"other-%d","queuedAt":1,"lastUpdatedAt":1,"versionNumber":1,'
          .. '"executionNumber":1}'):format(i)
      end
      world.side:settle({ { topic = "$aws/things/gw-1/jobs/notify",
        payload = '{"timestamp":1,"jobs":{"IN_PROGRESS":[' .. table.concat(names, ",") .. "]}}" } })
      wait_until(function()
        return table.concat(requests, ","):find("job/get ", 1, true)
      end, worlds.PATIENCE, "a question")
      goes_on()
    end)

    it("for an announcement that was made before its claim", function()
      start()
      begin("job")
      world.side:settle({ { topic = "$aws/things/gw-1/jobs/notify-next", payload =
        '{"timestamp":1,"execution":{"jobId":"before","status":"QUEUED","queuedAt":1,'
        .. '"lastUpdatedAt":1,"versionNumber":1,"executionNumber":1,'
        .. '"jobDocument":{"operation":"quick"}}}' } })
      wait_until(function()
        return table.concat(requests, ","):find("job/get ", 1, true)
      end, worlds.PATIENCE, "a question")
      goes_on()
    end)
  end)

  it("is asked about seldom, however often it is not named", function()
    start()
    begin("job")
    local asked, since = 0, time.mono()
    world:before(function(topic)
      asked = asked + (topic:match("/job/get$") and 1 or 0)
    end)
    for i = 1, 20 do
      local from = time.mono()
      world.side:settle({
        { topic = "$aws/things/gw-1/jobs/notify", payload = '{"timestamp":1,"jobs":{}}' },
      })
      wait_until(function() return asked >= i or time.mono() > from + 0.05 end, worlds.PATIENCE,
        "an answer, or none")
    end
    local most = 2 + (time.mono() - since) / 2
    assert.is_true(asked >= 1 and asked <= most, ("%d questions"):format(asked))
    assert(fs.write(go, ""))
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)
end)
