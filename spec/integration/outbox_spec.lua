-- Telling, and claiming, when the service answers otherwise than hoped. Each answer is either the
-- real service's, after somebody changed the execution behind the gateway's back, or our own.

local exec = require("hob.exec")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["refuses.lua"] = [[
    return { api = 1, run = function(job) job:reject("not for this gateway") end }
  ]],
  ["report.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      for i = 1, 50 do
        job:progress(i, "part")
        if i == 1 then job:sleep(0.1) end
      end
      while not fs.stat(args.go) do job:sleep(0.01) end
    end }
  ]],
}

-- A way to answer for world:answer_with: once, when `fits`. A body that is a function is called,
-- and may leave the answer to the service by returning nothing.
local function once(fits, body)
  local done = false
  return function(topic, request)
    if done or not fits(topic, request) then
      return nil
    end
    done = true
    if type(body) == "function" then
      return body()
    end
    return body
  end
end

describe("the outbox", function()
  local world, gateway, seen, answer

  before_each(function()
    world = worlds.start({ tls = false })
    seen, answer = {}, nil
    world:before(function(topic, request)
      local job = topic:match("/jobs/([^/]+)/update$")
      if job then
        seen[#seen + 1] = {
          job = job, status = request.status, version = request.expectedVersion,
          at = time.mono(),
        }
      end
    end)
    world:answer_with(function(topic, request)
      return answer and answer(topic, request)
    end)
  end)
  after_each(function()
    world:stop()
  end)

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  -- "IN_PROGRESS 1, SUCCEEDED 2": the updates of a job in order, with their expectedVersion.
  local function updates(job)
    local list = {}
    for _, update in ipairs(seen) do
      if update.job == job then
        list[#list + 1] = ("%s %s"):format(update.status, update.version)
      end
    end
    return table.concat(list, ", ")
  end

  local function is(status)
    return function(topic, request)
      return topic:match("/jobs/job/update$") ~= nil and request.status == status
    end
  end

  local function always(fits, body)
    answer = function(topic, request)
      return fits(topic, request) and body or nil
    end
  end

  local function refused(code, status, version)
    return {
      code = code, message = "said the spec",
      executionState = status and { status = status, versionNumber = version } or nil,
    }
  end

  -- What the gateway's store holds about an execution, once the process has ended.
  local function stored(what, job)
    assert.equal(0, gateway:stop())
    return (exec.check({ "sqlite3", gateway.dir .. "/data/hob.db",
      ("SELECT %s FROM execution WHERE job_id = '%s'"):format(what, job) }).stdout:gsub("\n$", ""))
  end

  local function create(operation, go)
    world:create("job", ('{"operation":"%s","go":"%s"}'):format(operation, go or ""))
  end

  local function next_job_works()
    world:create("next", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("next").status)
  end

  it("tells an outcome once, with the version that the claim left", function()
    start()
    create("quick")
    world:ended("job")
    gateway:wait_event("job.reported", { job = "job" })
    assert.equal("IN_PROGRESS 1, SUCCEEDED 2", updates("job"))
    assert.equal("accepted", stored("told", "job"))
    gateway:launch()
    next_job_works()
    assert.equal("IN_PROGRESS 1, SUCCEEDED 2", updates("job")) -- not again after a restart
  end)

  describe("progress", function()
    it("is coalesced: the latest wins, at most one a second", function()
      start()
      local go = world:path("go")
      create("report", go)
      wait_until(function() return world:describe("job").details.progress == "50% part" end,
        worlds.PATIENCE, "the latest progress")
      assert.equal("IN_PROGRESS 1, IN_PROGRESS 2, IN_PROGRESS 3", updates("job"))
      assert.is_true(seen[3].at - seen[2].at > 0.5)
      exec.check({ "touch", go })
      world:ended("job")
      assert.equal("IN_PROGRESS 1, IN_PROGRESS 2, IN_PROGRESS 3, SUCCEEDED 4", updates("job"))
    end)

    it("on its way holds the outcome back: one at a time (field failures 3, 24)", function()
      start()
      local go = world:path("go")
      exec.check({ "touch", go })
      local record, held = world.on_request, false
      world:before(function(topic, request)
        record(topic, request)
        if not held and request.statusDetails and request.statusDetails.progress then
          held = true
          gateway:wait_event("job.finished")
        end
      end)
      create("report", go)
      world:ended("job")
      assert.is_true(held)
      assert.equal("IN_PROGRESS 1, IN_PROGRESS 2, SUCCEEDED 3", updates("job"))
    end)

    it("that is refused is let go: the outcome follows", function()
      start()
      local go = world:path("go")
      local function is_progress(_, request)
        return request.statusDetails ~= nil and request.statusDetails.progress ~= nil
      end
      answer = once(is_progress, refused("InvalidRequest"))
      create("report", go)
      wait_until(function() return #seen >= 2 end, worlds.PATIENCE, "progress")
      exec.check({ "touch", go })
      assert.equal("SUCCEEDED", world:ended("job").status)
      assert.equal(0, gateway:count("job.report_refused"))
    end)
  end)

  describe("on VersionMismatch", function()
    it("adopts the version of an execution that is still open", function()
      start()
      answer = once(is("SUCCEEDED"), function()
        world:update_behind("job", { status = "IN_PROGRESS" })
      end)
      create("quick")
      assert.equal("SUCCEEDED", world:ended("job").status)
      gateway:wait_event("job.reported")
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2, SUCCEEDED 3", updates("job"))
    end)

    it("counts as delivered when the service's state is ours", function()
      start()
      answer = once(is("SUCCEEDED"), function()
        world:update_behind("job", { status = "SUCCEEDED" })
      end)
      create("quick")
      gateway:wait_event("job.reported", { code = "SUCCEEDED" })
      assert.equal("accepted", stored("told", "job"))
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2", updates("job"))
    end)

    it("gives up when the execution has ended otherwise, and records both states", function()
      start()
      answer = once(is("SUCCEEDED"), function()
        world:update_behind("job", { status = "FAILED" })
      end)
      create("quick")
      gateway:wait_event("job.report_refused", { code = "VersionMismatch" })
      next_job_works()
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2", updates("job"))
      assert.matches("^SUCCEEDED|VersionMismatch: .*|FAILED$",
        stored("status || '|' || told || '|' || theirs", "job"))
    end)

    it("that contradicts itself is tried again later", function()
      start()
      answer = once(is("SUCCEEDED"), refused("VersionMismatch", "IN_PROGRESS", 2))
      create("quick")
      assert.equal("SUCCEEDED", world:ended("job").status)
      gateway:wait_event("job.report_delayed", { code = "VersionMismatch" })
    end)
  end)

  describe("refused for good", function()
    local function given_up(body, words)
      start()
      always(is("SUCCEEDED"), body)
      create("quick")
      gateway:wait_event("job.report_refused", { code = body.code })
      world:control("cancel_job", "job", {}, true, time.now())
      next_job_works()
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2", updates("job"))
      gateway:wait_event("job.reported", { job = "next" })
      assert.equal(1, gateway:count("job.reported"))
      assert.equal(words, stored("told || '|' || theirs", "job"))
    end

    it("is given up and recorded: cancelled meanwhile", function()
      given_up(refused("InvalidStateTransition", "CANCELED", 3),
        "InvalidStateTransition: said the spec|CANCELED")
    end)

    it("is given up and recorded: no such execution", function()
      given_up(refused("ResourceNotFound"), "ResourceNotFound: said the spec|")
    end)
  end)

  it("tells FAILED where the service takes REJECTED only from QUEUED", function()
    start()
    always(is("REJECTED"), refused("InvalidStateTransition", "IN_PROGRESS", 2))
    create("refuses")
    local execution = world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("not for this gateway", execution.details.reason)
    assert.equal("IN_PROGRESS 1, REJECTED 2, FAILED 2", updates("job"))
  end)

  describe("tries an outcome again", function()
    for _, code in ipairs({ "RequestThrottled", "InternalError", "SomethingNew" }) do
      it("after " .. code, function()
        start()
        answer = once(is("SUCCEEDED"), refused(code))
        create("quick")
        assert.equal("SUCCEEDED", world:ended("job").status)
        gateway:wait_event("job.report_delayed", { code = code })
        assert.equal("IN_PROGRESS 1, SUCCEEDED 2, SUCCEEDED 2", updates("job"))
      end)
    end

    it("when no answer comes", function()
      start({ request_timeout = 0.5 })
      answer = once(is("SUCCEEDED"), "drop")
      create("quick")
      assert.equal("SUCCEEDED", world:ended("job").status)
      gateway:wait_event("job.report_delayed", { code = "no answer" })
    end)
  end)

  describe("across a restart", function()
    it("an outcome that could not be told yet is told; the handler does not run again", function()
      start()
      always(is("SUCCEEDED"), refused("RequestThrottled"))
      create("quick")
      gateway:wait_event("job.report_delayed")
      assert.equal(0, gateway:stop())
      gateway:launch()
      gateway:wait_event("jobs.subscribed", {}, 2)
      gateway:wait_event("job.report_delayed", {}, gateway:count("job.report_delayed") + 1)
      answer = nil
      assert.equal("SUCCEEDED", world:ended("job").status)
      next_job_works()
      assert.equal(1, world:terminal_updates("job"))
      assert.equal(2, gateway:count("job.started")) -- each once
    end)

    it("an outcome is told at once, though no look is answered (field failure 2)", function()
      start()
      always(is("SUCCEEDED"), refused("RequestThrottled"))
      create("quick")
      gateway:wait_event("job.report_delayed")
      assert.equal(0, gateway:stop())
      answer = function(topic)
        return topic:match("/%$next/get$") and "drop" or nil
      end
      gateway:launch()
      assert.equal("SUCCEEDED", world:ended("job").status)
    end)

    it("an outcome that was accepted and lost by the service is told again", function()
      start()
      answer = once(is("SUCCEEDED"), {}) -- accepted, though the service never saw it
      create("quick")
      gateway:wait_event("job.reported")
      assert.equal("IN_PROGRESS", world:describe("job").status)
      assert.equal(0, gateway:stop())
      gateway:launch()
      assert.equal("SUCCEEDED", world:ended("job").status)
      assert.equal(1, gateway:count("job.started"))
      assert.equal(1, gateway:count("job.finished"))
    end)
  end)
end)

describe("the executor", function()
  local world, gateway, answer

  before_each(function()
    world = worlds.start({ tls = false })
    answer = nil
    world:answer_with(function(topic, request)
      return answer and answer(topic, request)
    end)
  end)
  after_each(function()
    world:stop()
  end)

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  local function is(ending)
    return function(topic)
      return topic:match(ending) ~= nil
    end
  end

  for _, code in ipairs({ "RequestThrottled", "InternalError" }) do
    it("claims again after " .. code, function()
      start()
      answer = once(is("/job/update$"), { code = code, message = "said the spec" })
      world:create("job", '{"operation":"quick"}')
      assert.equal("SUCCEEDED", world:ended("job").status)
      gateway:wait_event("jobs.retry", { code = code })
      assert.equal(0, gateway:count("job.claim_refused"))
    end)
  end

  it("claims again when no answer comes", function()
    start({ request_timeout = 0.5 })
    answer = once(is("/job/update$"), "drop")
    world:create("job", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("looks again after a look was refused", function()
    world:create("job", '{"operation":"quick"}')
    answer = once(is("/%$next/get$"), { code = "RequestThrottled", message = "said the spec" })
    start()
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("finds a job whose announcement was lost, at the next poll", function()
    start({ poll = 1 })
    world.engine:create_job("job", {
      targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" },
      document = '{"operation":"quick"}',
    }, time.now()) -- what should be published is thrown away
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("forgets a job that it could not claim", function()
    start()
    answer = once(is("/job/update$"), function()
      world.engine:cancel_job("job", {}, true, time.now())
    end)
    world:create("job", '{"operation":"quick"}')
    gateway:wait_event("job.claim_refused", { job = "job" })
    world:create("next", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("next").status)
    assert.equal(0, gateway:stop())
    assert.equal("next\n", exec.check({ "sqlite3", gateway.dir .. "/data/hob.db",
      "SELECT job_id FROM execution" }).stdout)
  end)

  it("takes the next job when one that was cancelled in the cloud has ended here", function()
    start()
    local go = world:path("go")
    world:create("job", ('{"operation":"report","go":"%s"}'):format(go))
    gateway:wait_event("job.started")
    world:create("next", '{"operation":"quick"}')
    world:control("cancel_job", "job", {}, true, time.now())
    exec.check({ "touch", go })
    assert.equal("SUCCEEDED", world:ended("next").status)
    assert.equal("CANCELED", world:describe("job").status)
  end)

  it("leaves jobs alone that no handler knows, if it is told to", function()
    start({ unknown_jobs = "ignore" })
    world:create("job", '{"operation":"frobnicate"}')
    gateway:wait_event("job.ignored", { job = "job" })
    assert.equal(1, world:describe("job").versionNumber)
    world:create("ours", '{"operation":"quick"}') -- behind it
    assert.equal("SUCCEEDED", world:ended("ours").status)
    assert.equal(1, world:describe("job").versionNumber)
  end)

  it("does not hammer a service that refuses its claims for good", function()
    local claims = 0
    answer = function(topic, request)
      if topic:match("/update$") and request.status == "IN_PROGRESS" then
        claims = claims + 1
        return { code = "InvalidRequest", message = "no" }
      end
    end
    start()
    world:create("job", '{"operation":"quick"}')
    gateway:wait_event("jobs.retry", {}, 3)
    assert.is_true(claims <= gateway:count("jobs.retry") + 1)
  end)

  it("never tells an outcome to another execution with the same job id (field failure 1)",
    function()
      start()
      world.broker:kill()
      gateway:kill()
      world.broker:start_again()
      wait_until(function() return world.side.connection:is_up() end, worlds.PATIENCE,
        "the service")
      for _, document in ipairs({ '{"operation":"quick"}', '{"operation":"refuses"}',
        '{"operation":"nobody"}' }) do
        local id = "reused-" .. #document
        local cut = false
        answer = function(topic, request)
          if not cut and topic:match("/update$") and request.status ~= "IN_PROGRESS" then
            cut = true
            gateway:kill() -- with its outcome in the store
            return "drop"
          end
        end
        gateway:launch()
        world:create(id, document)
        wait_until(function() return cut end, worlds.PATIENCE, "the outcome")
        answer = nil
        local before = world:describe(id)
        wait_until(function() return os.time() > before.queuedAt end, 5, "another second")
        world:control("delete_job", id, true, os.time())
        world:create(id, '{"operation":"report","go":"/nowhere"}')
        gateway:launch()
        wait_until(function() return world:describe(id).details.progress end, worlds.PATIENCE,
          "the second one to run")
        assert.equal("IN_PROGRESS", world:describe(id).status)
        assert.equal(0, world:terminal_updates(id))
        gateway:kill()
        world:control("delete_job", id, true, os.time())
      end
    end)
end)
