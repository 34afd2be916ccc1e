local benches = require("spec.support.service_bench")
local json = require("hob.json")

local THING = "lamp"
local NOW = math.floor(benches.START)

local function new_bench(jobs, options)
  local bench = benches.new(options)
  for _, id in ipairs(jobs or {}) do
    bench:create(id, THING)
  end
  return bench
end

-- Bring the execution of job "j" to a status.
local function in_status(status)
  local bench = new_bench{ "j" }
  if status == "IN_PROGRESS" or status == "TIMED_OUT" then
    bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
  end
  if status == "TIMED_OUT" then
    bench:wait(60)
  elseif status == "CANCELED" then
    bench:control("cancel_job", "j", {}, false, bench.now)
  elseif status ~= "QUEUED" and status ~= "IN_PROGRESS" then
    bench:ask(THING, "j/update", { status = status })
  end
  assert.equal(status, bench.engine:find(THING, "j").status)
  return bench
end

describe("the Jobs service's engine", function()
  it("answers a status that is cut within a character's reach", function()
    local bench = new_bench{ "j" }
    local body, word = bench:answer(THING, "j/update", { status = ("x"):rep(39) .. "\u{e9}\u{e9}" })
    assert.same({ "rejected", "InvalidRequest" }, { word, body.code })
    assert.is_truthy(body.message:find("x\u{e9}$"), body.message)
  end)

  it("refuses a list as statusDetails, also an empty one", function()
    local bench = new_bench{ "j" }
    bench:ask(THING, "j/update", { status = "IN_PROGRESS", statusDetails = { a = "b" } })
    for _, list in ipairs{ "[]", "[ ]", '["a"]' } do
      local body = bench:answer(THING, "j/update",
        '{"status":"IN_PROGRESS", "statusDetails" : ' .. list .. "}")
      assert.equal("InvalidRequest", body.code, list)
    end
    assert.same({ a = "b" }, bench.engine:find(THING, "j").details)
    bench:ask(THING, "j/update", '{"clientToken":"\\"statusDetails\\":[]",'
      .. '"status":"IN_PROGRESS","statusDetails":{}}')
    assert.is_nil(bench.engine:find(THING, "j").details)
  end)

  describe("get", function()
    it("answers both lists, empty as [], when nothing is pending", function()
      local said = new_bench():ask(THING, "get", { clientToken = "t" })
      assert.equal("get/accepted", said:text())
      assert.equal(('{"clientToken":"t","inProgressJobs":[],"queuedJobs":[],"timestamp":%d}')
        :format(NOW), said[1].payload)
    end)

    it("answers summaries without status and without document", function()
      local bench = new_bench{ "a", "b" }
      bench:ask(THING, "start-next")
      local body = bench:answer(THING, "get")
      assert.same({ { jobId = "a", queuedAt = NOW, startedAt = NOW, lastUpdatedAt = NOW,
        versionNumber = 2, executionNumber = 1 } }, body.inProgressJobs)
      assert.same({ { jobId = "b", queuedAt = NOW, lastUpdatedAt = NOW, versionNumber = 1,
        executionNumber = 1 } }, body.queuedJobs)
    end)

    it("answers at most 10 in all, those IN_PROGRESS first", function()
      local bench = new_bench()
      for i = 1, 15 do
        bench:create("j" .. i, THING)
      end
      bench:ask(THING, "j14/update", { status = "IN_PROGRESS" })
      bench:ask(THING, "j12/update", { status = "IN_PROGRESS" })
      local body = bench:answer(THING, "get")
      local ids = {}
      for _, list in ipairs{ body.inProgressJobs, body.queuedJobs } do
        for _, summary in ipairs(list) do
          ids[#ids + 1] = summary.jobId
        end
      end
      assert.equal("j12 j14 j1 j2 j3 j4 j5 j6 j7 j8", table.concat(ids, " "))
    end)

    it("keeps nothing of a thing that nobody gave a job", function()
      local bench = new_bench()
      bench:ask("stranger", "get")
      bench:ask("stranger", "start-next")
      bench:ask("stranger", "$next/get")
      assert.is_nil(next(bench.engine.things))
    end)
  end)

  describe("start-next", function()
    it("starts the first that is queued and hands out its document", function()
      local bench = new_bench{ "a", "b" }
      bench.now = bench.now + 5
      local said = bench:ask(THING, "start-next",
        { statusDetails = { phase = "one" }, stepTimeoutInMinutes = 2, clientToken = "t" })
      assert.equal("start-next/accepted", said:text())
      assert.same({
        timestamp = NOW + 5, clientToken = "t",
        execution = {
          jobId = "a", thingName = THING, status = "IN_PROGRESS", statusDetails = { phase = "one" },
          queuedAt = NOW, startedAt = NOW + 5, lastUpdatedAt = NOW + 5, versionNumber = 2,
          executionNumber = 1, approximateSecondsBeforeTimedOut = 120,
          jobDocument = { operation = "a" },
        },
      }, said[1].body)
    end)

    it("hands out what is IN_PROGRESS again, unchanged", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next", { statusDetails = { phase = "one" } })
      bench.now = bench.now + 5
      local body = bench:answer(THING, "start-next",
        { statusDetails = { phase = "two" }, stepTimeoutInMinutes = 5 })
      assert.equal(2, body.execution.versionNumber)
      assert.equal(NOW, body.execution.lastUpdatedAt)
      assert.same({ phase = "one" }, body.execution.statusDetails)
      assert.is_nil(body.execution.approximateSecondsBeforeTimedOut)
      assert.is_nil(bench.engine:next_deadline())
    end)

    it("answers without an execution when nothing is pending", function()
      local said = new_bench():ask(THING, "start-next", { clientToken = "t" })
      assert.equal(('{"clientToken":"t","timestamp":%d}'):format(NOW), said[1].payload)
    end)

    it("hands out the earliest queued of several IN_PROGRESS, not the earliest started", function()
      local bench = new_bench{ "a", "b", "c" }
      bench:ask(THING, "c/update", { status = "IN_PROGRESS" })
      bench:ask(THING, "b/update", { status = "IN_PROGRESS" })
      assert.equal("b", bench:answer(THING, "start-next").execution.jobId)
    end)
  end)

  describe("describe", function()
    it("hands out the document's own bytes", function()
      local bench = benches.new()
      local document = '{ "b" : [ ],\n  "a": 1.50, "e": {}, "z\\u00e9": 123456789012345 }'
      bench:create("a", THING, { document = document })
      for _, operation in ipairs{ "a/get", "$next/get", "start-next" } do
        local said = bench:ask(THING, operation)
        assert.is_truthy(said[1].payload:find('"jobDocument":' .. document, 1, true), operation)
      end
      local said = bench:ask(THING, "a/update",
        { status = "IN_PROGRESS", includeJobDocument = true })
      assert.is_truthy(said[1].payload:find('"jobDocument":' .. document, 1, true))
    end)

    it("leaves the document out when it is told so", function()
      local bench = new_bench{ "a" }
      assert.is_nil(bench:answer(THING, "a/get", { includeJobDocument = false })
        .execution.jobDocument)
      assert.is_nil(bench:answer(THING, "$next/get", { includeJobDocument = false })
        .execution.jobDocument)
    end)

    it("has no statusDetails, no startedAt and no timer before there are any", function()
      local execution = new_bench{ "a" }:answer(THING, "a/get").execution
      assert.same({ jobId = "a", thingName = THING, status = "QUEUED", queuedAt = NOW,
        lastUpdatedAt = NOW, versionNumber = 1, executionNumber = 1,
        jobDocument = { operation = "a" } }, execution)
    end)

    it("changes nothing", function()
      local bench = new_bench{ "a" }
      assert.equal("$next/get/accepted", bench:ask(THING, "$next/get"):text())
      assert.equal(1, bench:answer(THING, "$next/get").execution.versionNumber)
    end)

    it("answers $next without an execution when nothing is pending", function()
      local said = new_bench():ask(THING, "$next/get", { clientToken = "t" })
      assert.equal(('{"clientToken":"t","timestamp":%d}'):format(NOW), said[1].payload)
    end)

    it("finds an execution by its number", function()
      local bench = new_bench{ "a" }
      assert.equal("a", bench:answer(THING, "a/get", { executionNumber = 1 }).execution.jobId)
      assert.equal("ResourceNotFound", bench:answer(THING, "a/get", { executionNumber = 2 }).code)
    end)

    it("takes jobs called like operations", function()
      local bench = new_bench{ "get", "notify", "accepted-1" }
      assert.equal("get", bench:answer(THING, "get/get").execution.jobId)
      assert.equal("notify", bench:answer(THING, "notify/get").execution.jobId)
      assert.equal("accepted", select(2, bench:answer(THING, "get/update",
        { status = "IN_PROGRESS" })))
    end)
  end)

  describe("update", function()
    it("answers only token and timestamp unless it is asked for more", function()
      local said = new_bench{ "a" }:ask(THING, "a/update",
        { status = "IN_PROGRESS", clientToken = "t" })
      assert.equal("a/update/accepted", said:text())
      assert.equal(('{"clientToken":"t","timestamp":%d}'):format(NOW), said[1].payload)
    end)

    it("answers the new state when it is asked for", function()
      local body = new_bench{ "a" }:answer(THING, "a/update",
        { status = "IN_PROGRESS", statusDetails = { k = "v" }, includeJobExecutionState = true })
      assert.same({ status = "IN_PROGRESS", statusDetails = { k = "v" }, versionNumber = 2 },
        body.executionState)
    end)

    it("keeps the details it is not given, and replaces the map it is given", function()
      local bench = new_bench{ "a" }
      local function details_after(given)
        bench:ask(THING, "a/update", json.decode(given))
        return bench:answer(THING, "a/get").execution.statusDetails
      end
      assert.same({ x = "1" }, details_after('{"status":"IN_PROGRESS","statusDetails":{"x":"1"}}'))
      assert.same({ x = "1" }, details_after('{"status":"IN_PROGRESS"}'))
      assert.same({ y = "2" }, details_after('{"status":"IN_PROGRESS","statusDetails":{"y":"2"}}'))
      bench:ask(THING, "a/update", '{"status":"IN_PROGRESS","statusDetails":{}}')
      assert.is_nil(bench:answer(THING, "a/get").execution.statusDetails)
    end)

    it("counts the version up once for each accepted update", function()
      local bench = new_bench{ "a" }
      for version = 2, 5 do
        local body = bench:answer(THING, "a/update", { status = "IN_PROGRESS",
          expectedVersion = version - 1, includeJobExecutionState = true })
        assert.equal(version, body.executionState.versionNumber)
      end
    end)

    it("takes expectedVersion as a string too", function()
      local bench = new_bench{ "a" }
      local _, word = bench:answer(THING, "a/update",
        { status = "IN_PROGRESS", expectedVersion = "1" })
      assert.equal("accepted", word)
      local body = bench:answer(THING, "a/update",
        { status = "IN_PROGRESS", expectedVersion = "1" })
      assert.equal("VersionMismatch", body.code)
    end)

    it("refuses another version with the current state, and changes nothing", function()
      local bench = new_bench{ "a" }
      local said = bench:ask(THING, "a/update",
        { status = "FAILED", expectedVersion = 99, clientToken = "t" })
      assert.equal("a/update/rejected", said:text())
      assert.same({ code = "VersionMismatch", clientToken = "t", timestamp = NOW,
        message = "Expected version 99 but found version 1",
        executionState = { status = "QUEUED", versionNumber = 1 } }, said[1].body)
      assert.equal("QUEUED", bench.engine:find(THING, "a").status)
    end)

    it("checks the members before the existence, and the version before the transition", function()
      local bench = in_status("SUCCEEDED")
      assert.equal("InvalidRequest", bench:answer(THING, "none/update", { status = "DONE" }).code)
      assert.equal("ResourceNotFound",
        bench:answer(THING, "none/update", { status = "FAILED", expectedVersion = 7 }).code)
      assert.equal("VersionMismatch",
        bench:answer(THING, "j/update", { status = "FAILED", expectedVersion = 7 }).code)
      assert.equal("InvalidStateTransition",
        bench:answer(THING, "j/update", { status = "FAILED", expectedVersion = 2 }).code)
    end)

    it("tells an observer of every answer, once", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "a/update", { status = "IN_PROGRESS" })
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      assert.equal(2, bench:count("service.update_accepted"))
      assert.equal(1, bench:count("service.update_rejected"))
      local last = bench.events[#bench.events]
      assert.same({ THING, "a", 1, "InvalidStateTransition" },
        { last.thing, last.job, last.execution, last.code })
    end)
  end)

  describe("the state machine", function()
    local ACCEPTED = {
      QUEUED = { IN_PROGRESS = true, SUCCEEDED = true, FAILED = true, REJECTED = true },
      IN_PROGRESS = { IN_PROGRESS = true, SUCCEEDED = true, FAILED = true, REJECTED = true },
    }
    local INVALID = { CANCELED = true, TIMED_OUT = true, REMOVED = true }
    local FROM = { "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT",
      "CANCELED" }
    local TO = { "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT",
      "CANCELED", "REMOVED" }

    local function expected(from, to)
      if ACCEPTED[from] and ACCEPTED[from][to] then
        return "accepted"
      end
      return INVALID[to] and "InvalidRequest" or "InvalidStateTransition"
    end

    for _, from in ipairs(FROM) do
      for _, to in ipairs(TO) do
        it(("%s -> %s by a device: %s"):format(from, to, expected(from, to)), function()
          local bench = in_status(from)
          local version = bench.engine:find(THING, "j").version
          local body, word = bench:answer(THING, "j/update", { status = to })
          assert.equal(expected(from, to), body.code or word)
          local execution = bench.engine:find(THING, "j")
          if word == "accepted" then
            assert.same({ to, version + 1 }, { execution.status, execution.version })
          else
            assert.same({ from, version }, { execution.status, execution.version })
            local state = body.code == "InvalidStateTransition"
              and { status = from, versionNumber = version } or nil
            assert.same(state, body.executionState)
          end
        end)
      end
    end
  end)

  describe("notifications", function()
    -- job ids by place in the list: the front is "a"
    local CASES = {
      { "a job queued in an empty list", {}, function(b) return b:create("a", THING) end,
        "notify notify-next" },
      { "a job queued behind others", { "a" }, function(b) return b:create("b", THING) end,
        "notify" },
      { "the front started by start-next", { "a", "b" },
        function(b) return b:ask(THING, "start-next") end, "start-next/accepted" },
      { "the front started by update", { "a", "b" },
        function(b) return b:ask(THING, "a/update", { status = "IN_PROGRESS" }) end,
        "a/update/accepted" },
      { "another one started, which becomes the front", { "a", "b" },
        function(b) return b:ask(THING, "b/update", { status = "IN_PROGRESS" }) end,
        "b/update/accepted notify-next" },
      { "another one started, which does not become the front", { "a", "b" },
        function(b)
          b:ask(THING, "start-next")
          return b:ask(THING, "b/update", { status = "IN_PROGRESS" })
        end, "b/update/accepted" },
      { "IN_PROGRESS -> IN_PROGRESS with details and a timer", { "a", "b" },
        function(b)
          b:ask(THING, "start-next")
          return b:ask(THING, "a/update", { status = "IN_PROGRESS", statusDetails = { k = "v" },
            stepTimeoutInMinutes = 1 })
        end, "a/update/accepted" },
      { "the front ended", { "a", "b" },
        function(b) return b:ask(THING, "a/update", { status = "FAILED" }) end,
        "a/update/accepted notify notify-next" },
      { "the only one ended", { "a" },
        function(b) return b:ask(THING, "a/update", { status = "SUCCEEDED" }) end,
        "a/update/accepted notify notify-next" },
      { "another one ended", { "a", "b" },
        function(b) return b:ask(THING, "b/update", { status = "REJECTED" }) end,
        "b/update/accepted notify" },
      { "the front timed out", { "a", "b" },
        function(b)
          b:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
          return b:wait(60)
        end, "notify notify-next" },
      { "the front cancelled", { "a", "b" },
        function(b) return b:control("cancel_job", "a", {}, false, b.now) end,
        "notify notify-next" },
      { "another one cancelled", { "a", "b" },
        function(b) return b:control("cancel_job", "b", {}, false, b.now) end, "notify" },
      { "a job cancelled without force while it is IN_PROGRESS", { "a", "b" },
        function(b)
          b:ask(THING, "start-next")
          return b:control("cancel_job", "a", {}, false, b.now)
        end, "" },
      { "the front deleted", { "a", "b" },
        function(b) return b:control("delete_job", "a", true, b.now) end, "notify notify-next" },
      { "another one deleted", { "a", "b" },
        function(b) return b:control("delete_job", "b", true, b.now) end, "notify" },
      { "one deleted that had ended", { "a", "b" },
        function(b)
          b:ask(THING, "a/update", { status = "FAILED" })
          return b:control("delete_job", "a", false, b.now)
        end, "" },
      { "a rejected request", { "a" },
        function(b) return b:ask(THING, "a/update", { status = "FAILED", expectedVersion = 9 }) end,
        "a/update/rejected" },
    }
    for _, case in ipairs(CASES) do
      it(case[1] .. ": " .. (case[4] == "" and "nothing" or case[4]), function()
        assert.equal(case[4], case[3](new_bench(case[2])):text())
      end)
    end

    it("carry the whole pending list, and leave out what is empty", function()
      local bench = new_bench{ "a", "b", "c" }
      bench:ask(THING, "start-next")
      local said = bench:ask(THING, "c/update", { status = "REJECTED" })
      assert.equal("notify", said[2].short)
      local jobs = said[2].body.jobs
      assert.equal("a", jobs.IN_PROGRESS[1].jobId)
      assert.equal("b", jobs.QUEUED[1].jobId)
      assert.is_nil(jobs.QUEUED[2])
      said = bench:ask(THING, "b/update", { status = "REJECTED" })
      assert.is_nil(said[2].body.jobs.QUEUED)
      said = bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      assert.equal(('{"jobs":{},"timestamp":%d}'):format(NOW), said[2].payload)
      assert.equal(('{"timestamp":%d}'):format(NOW), said[3].payload)
    end)

    it("name the next execution with its document", function()
      local bench = new_bench{ "a", "b" }
      local said = bench:ask(THING, "a/update", { status = "FAILED" })
      assert.equal("b", said[3].body.execution.jobId)
      assert.equal("QUEUED", said[3].body.execution.status)
      assert.same({ operation = "b" }, said[3].body.execution.jobDocument)
    end)

    it("hold at most 10 executions", function()
      local bench, said = new_bench(), nil
      for i = 1, 12 do
        said = bench:create("j" .. i, THING)
      end
      assert.equal(10, #said[1].body.jobs.QUEUED)
    end)

    it("go to the things that are concerned, and to no other", function()
      local bench = benches.new()
      local said = bench:create("a", { "lamp", "oven", "lamp" })
      assert.same({ "$aws/things/lamp/jobs/notify", "$aws/things/lamp/jobs/notify-next",
        "$aws/things/oven/jobs/notify", "$aws/things/oven/jobs/notify-next" },
        { said[1].topic, said[2].topic, said[3].topic, said[4].topic })
      assert.is_nil(said[5])
    end)
  end)

  describe("timers", function()
    local function left(bench)
      return bench:answer(THING, "$next/get").execution.approximateSecondsBeforeTimedOut
    end

    it("end an execution as TIMED_OUT, and a later update is refused", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
      assert.equal("", bench:wait(59.9):text())
      local said = bench:wait(0.1)
      assert.equal("notify notify-next", said:text())
      assert.equal(1, bench:count("service.execution_timed_out"))
      local body = bench:answer(THING, "a/update", { status = "SUCCEEDED" })
      assert.equal("InvalidStateTransition", body.code)
      assert.same({ status = "TIMED_OUT", versionNumber = 3 }, body.executionState)
    end)

    it("are replaced by a new value, left alone without one, and discarded by -1", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
      bench:wait(30)
      bench:ask(THING, "a/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = 2 })
      assert.equal(120, left(bench))
      bench:wait(30)
      bench:ask(THING, "a/update", { status = "IN_PROGRESS" })
      assert.equal(90, left(bench))
      bench:ask(THING, "a/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = -1 })
      assert.is_nil(left(bench))
      assert.equal("", bench:wait(100000):text())
    end)

    it("of a job begin when it starts, and bound the step's", function()
      local bench = benches.new()
      bench:create("a", THING, { timeoutConfig = { inProgressTimeoutInMinutes = 20 } })
      assert.equal("", bench:wait(3600):text())
      assert.is_nil(left(bench))
      bench:ask(THING, "start-next", { stepTimeoutInMinutes = 7 })
      assert.equal(420, left(bench))
      bench:wait(300)
      bench:ask(THING, "a/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = 5 })
      bench:wait(180)
      bench:ask(THING, "a/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = 19 })
      assert.equal(720, left(bench))
      bench:ask(THING, "a/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = -1 })
      assert.equal(720, left(bench))
      assert.equal("", bench:wait(719):text())
      assert.equal("notify notify-next", bench:wait(1):text())
    end)

    it("end with the execution", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      assert.is_nil(bench.engine:next_deadline())
      assert.equal("", bench:wait(1000):text())
    end)

    it("of many executions end in order, and in one tick if it comes late", function()
      local bench = benches.new()
      local minutes = { 5, 3, 9, 1, 7, 2, 8, 4, 6 }
      for _, minute in ipairs(minutes) do
        bench:create("j" .. minute, "t" .. minute)
        bench:ask("t" .. minute, "start-next", { stepTimeoutInMinutes = minute })
      end
      bench:ask("t2", "j2/update", { status = "IN_PROGRESS", stepTimeoutInMinutes = -1 })
      bench:control("delete_job", "j4", true, bench.now)
      assert.equal(bench.now + 60, bench.engine:next_deadline())
      local said = bench:wait(600)
      local things = {}
      for _, message in ipairs(said) do
        if message.short == "notify" then
          things[#things + 1] = message.topic:match("things/([^/]+)")
        end
      end
      assert.equal("t1 t3 t5 t6 t7 t8 t9", table.concat(things, " "))
      assert.is_nil(bench.engine:next_deadline())
    end)

    it("stay in order whichever of them are set, moved and dropped", function()
      local heap, items, draw = require("hob.service.engine.deadlines").new(), {}, 1
      local function pick(limit) -- the same numbers in every run
        draw = draw * 16807 % 2147483647
        return draw % limit + 1
      end
      for i = 1, 60 do
        items[i] = {}
      end
      for _ = 1, 2000 do
        local item = items[pick(#items)]
        heap:set(item, pick(4) > 1 and pick(1000) or nil)
        local soonest
        for _, other in ipairs(items) do
          soonest = math.min(soonest or math.huge, other.deadline or math.huge)
        end
        assert.equal(soonest, heap:next() or math.huge)
      end
    end)

    it("run as fast as a minute is told to last", function()
      local bench = new_bench({ "a" }, { minute_ms = 100 })
      bench:ask(THING, "start-next", { stepTimeoutInMinutes = 10 })
      assert.equal(bench.now + 1, bench.engine:next_deadline())
    end)
  end)

  describe("rejections", function()
    local long = ("x"):rep(1025)
    local eleven = {}
    for i = 1, 11 do
      eleven["k" .. i] = "v"
    end
    local function details(given)
      return { status = "IN_PROGRESS", statusDetails = given }
    end
    local function minutes(given)
      return { status = "IN_PROGRESS", stepTimeoutInMinutes = given }
    end
    local CASES = {
      { "InvalidTopic", "frob", {} },
      { "InvalidTopic", "a/frob", {} },
      { "InvalidTopic", "a/get/frob", {} },
      { "InvalidTopic", "", {} },
      { "InvalidJson", "get", "{" },
      { "InvalidJson", "get", '{"a":1}x' },
      { "InvalidJson", "get", '{"a":"\255"}' },
      { "InvalidJson", "get", "[]" },
      { "InvalidJson", "get", '["a"]' },
      { "InvalidJson", "get", '"a"' },
      { "InvalidJson", "get", "1" },
      { "InvalidJson", "get", "null" },
      { "InvalidJson", "get", "\0\1\2" },
      { "InvalidJson", "get", ('{"a":'):rep(200) .. "1" .. ("}"):rep(200) },
      { "InvalidJson", "frob", "{" },
      { "InvalidRequest", "get", { clientToken = 7 } },
      { "InvalidRequest", "$next/update", { status = "FAILED" } },
      { "InvalidRequest", "a b/get", {} },
      { "InvalidRequest", ("j"):rep(65) .. "/get", {} },
      { "InvalidRequest", "a/get", { executionNumber = "1" } },
      { "InvalidRequest", "a/get", { executionNumber = 0 } },
      { "InvalidRequest", "a/get", { executionNumber = 1.5 } },
      { "InvalidRequest", "a/get", { includeJobDocument = "true" } },
      { "InvalidRequest", "start-next", { stepTimeoutInMinutes = 0 } },
      { "InvalidRequest", "start-next", { stepTimeoutInMinutes = -1 } },
      { "InvalidRequest", "start-next", { stepTimeoutInMinutes = 10081 } },
      { "InvalidRequest", "start-next", { statusDetails = { k = 1 } } },
      { "InvalidRequest", "a/update", {} },
      { "InvalidRequest", "a/update", "" },
      { "InvalidRequest", "a/update", { status = "DONE" } },
      { "InvalidRequest", "a/update", { status = "in_progress" } },
      { "InvalidRequest", "a/update", { status = 1 } },
      { "InvalidRequest", "a/update", '{"status":null}' },
      { "InvalidRequest", "a/update", '{"status":["FAILED"]}' },
      { "InvalidRequest", "a/update", details("text") },
      { "InvalidRequest", "a/update", details{ k = true } },
      { "InvalidRequest", "a/update", details{ k = { x = "y" } } },
      { "InvalidRequest", "a/update", details{ k = "" } },
      { "InvalidRequest", "a/update", details{ k = long } },
      { "InvalidRequest", "a/update", details{ k = "two\nlines" } },
      { "InvalidRequest", "a/update", details{ k = "a\ttab" } },
      { "InvalidRequest", "a/update", details{ k = "del\127" } },
      { "InvalidRequest", "a/update", details{ k = "\u{200B}zero width" } },
      { "InvalidRequest", "a/update", details{ ["a key"] = "v" } },
      { "InvalidRequest", "a/update", details{ [("k"):rep(129)] = "v" } },
      { "InvalidRequest", "a/update", details{ [""] = "v" } },
      { "InvalidRequest", "a/update", details(eleven) },
      { "InvalidRequest", "a/update", '{"status":"FAILED","statusDetails":["a"]}' },
      { "InvalidRequest", "a/update", minutes(0) },
      { "InvalidRequest", "a/update", minutes(-2) },
      { "InvalidRequest", "a/update", minutes(10081) },
      { "InvalidRequest", "a/update", minutes("5") },
      { "InvalidRequest", "a/update", { status = "FAILED", expectedVersion = "one" } },
      { "InvalidRequest", "a/update", { status = "FAILED", expectedVersion = -1 } },
      { "InvalidRequest", "a/update", { status = "FAILED", expectedVersion = 1.5 } },
      { "InvalidRequest", "a/update", { status = "FAILED", includeJobDocument = 1 } },
      { "InvalidRequest", "a/update", { status = "FAILED", includeJobExecutionState = "yes" } },
      { "ResourceNotFound", "none/get", {} },
      { "ResourceNotFound", "none/update", { status = "FAILED" } },
      { "ResourceNotFound", "a/update", { status = "FAILED", executionNumber = 2 } },
    }
    for i, case in ipairs(CASES) do
      local code, operation, body = case[1], case[2], case[3]
      it(("%d: %s for %s"):format(i, code, operation:sub(1, 30)), function()
        local bench = new_bench{ "a" }
        local said = bench:ask(THING, operation, body)
        assert.equal(operation .. "/rejected", said:text())
        assert.equal(code, said[1].body.code)
        assert.equal(NOW, said[1].body.timestamp)
        assert.is_true(#said[1].body.message > 5)
        assert.is_nil(said[1].body.executionState)
        local execution = bench.engine:find(THING, "a")
        assert.same({ "QUEUED", 1 }, { execution.status, execution.version })
      end)
    end

    it("TerminalStateReached for describe of what has ended", function()
      for _, status in ipairs{ "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED" } do
        local body = in_status(status):answer(THING, "j/get", { clientToken = "t" })
        assert.same({ "TerminalStateReached", "t" }, { body.code, body.clientToken })
        assert.is_nil(body.executionState)
      end
    end)

    it("InternalError when the service itself fails, and it goes on", function()
      local bench = new_bench{ "a" }
      bench.engine.find = function() error("planted") end
      local body = bench:answer(THING, "a/get", { clientToken = "t" })
      assert.same({ "InternalError", "t" }, { body.code, body.clientToken })
      assert.is_nil(body.message:find("planted"))
      assert.equal(1, bench:count("service.internal_error"))
      bench.engine.find = nil
      assert.equal("accepted", select(2, bench:answer(THING, "a/get")))
    end)

    it("echo the clientToken wherever the body could be read", function()
      for _, operation in ipairs{ "frob", "none/get", "a/update" } do
        assert.equal("t", new_bench{ "a" }:answer(THING, operation, { clientToken = "t" })
          .clientToken)
      end
    end)

    it("refuse a thing's name that is none", function()
      local said = new_bench():publish("$aws/things/a b/jobs/get", "{}")
      assert.equal("InvalidRequest", said[1].body.code)
      said = new_bench():publish(("$aws/things/%s/jobs/get"):format(("t"):rep(129)), "{}")
      assert.equal("InvalidRequest", said[1].body.code)
    end)
  end)

  describe("what it takes", function()
    it("reads an empty payload as {}", function()
      for _, operation in ipairs{ "get", "start-next", "$next/get", "a/get" } do
        assert.equal("accepted", select(2, new_bench{ "a" }:answer(THING, operation, "")))
      end
    end)

    it("ignores unknown members, and takes null for an absent one", function()
      local _, word = new_bench{ "a" }:answer(THING, "a/update",
        '{"status":"IN_PROGRESS","thingName":"x","jobId":"y","expectedVersion":null,'
        .. '"clientToken":null,"statusDetails":null,"stepTimeoutInMinutes":null}')
      assert.equal("accepted", word)
    end)

    it("takes details up to every limit", function()
      local full = {}
      for i = 1, 10 do
        full[("k:_-%02d"):format(i) .. ("x"):rep(122)] = ("\u{e9}"):rep(1024)
      end
      local bench = new_bench{ "a" }
      local _, word = bench:answer(THING, "a/update",
        { status = "IN_PROGRESS", statusDetails = full })
      assert.equal("accepted", word)
      assert.same(full, bench:answer(THING, "a/get").execution.statusDetails)
    end)

    it("takes the step timer's limits", function()
      local bench = new_bench{ "a" }
      for _, minutes in ipairs{ 1, 10080, -1 } do
        assert.equal("accepted", select(2, bench:answer(THING, "a/update",
          { status = "IN_PROGRESS", stepTimeoutInMinutes = minutes })))
      end
    end)

    it("says nothing to what is no request: its own messages, and foreign topics", function()
      local bench = new_bench{ "a" }
      for _, topic in ipairs{
        "$aws/things/lamp/jobs/notify", "$aws/things/lamp/jobs/notify-next",
        "$aws/things/lamp/jobs/get/accepted", "$aws/things/lamp/jobs/start-next/rejected",
        "$aws/things/lamp/jobs/frob/rejected", "$aws/things/lamp/jobs/a/update/accepted",
        "$aws/things/lamp/jobs/a/get/rejected", "$aws/things/lamp/shadow/get",
        "$aws/things/lamp/jobs", "$aws/things", "", "/", "jobs/get", "a/things/lamp/jobs/get",
      } do
        assert.equal(0, #bench:publish(topic, "{"), topic)
      end
    end)
  end)
end)
