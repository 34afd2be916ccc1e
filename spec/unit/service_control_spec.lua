local benches = require("spec.support.service_bench")

local THING = "lamp"
local NOW = math.floor(benches.START)

local function new_bench(jobs)
  local bench = benches.new()
  for _, id in ipairs(jobs or {}) do
    bench:create(id, THING)
  end
  return bench
end

local function status_of(bench, job, thing)
  local execution = bench.engine:find(thing or THING, job)
  return execution and execution.status
end

local function job_status(bench, id)
  return bench.engine.jobs[id].status
end

describe("the Jobs service's control side", function()
  describe("create_job", function()
    it("answers the job's ARN and tells of it once", function()
      local bench = new_bench()
      local _, answer = bench:create("a", { "lamp", "oven" }, { description = "two at once" })
      assert.same({ jobId = "a", description = "two at once",
        jobArn = "arn:aws:iot:us-east-1:123456789012:job/a" }, answer)
      assert.equal(1, bench:count("service.job_created"))
      assert.same({ "QUEUED", "QUEUED" }, { status_of(bench, "a"), status_of(bench, "a", "oven") })
    end)

    it("refuses an id that is taken", function()
      local bench = new_bench{ "a" }
      local why = bench:refused("create_job", "a",
        { targets = { benches.arn(THING) }, document = "{}" }, NOW)
      assert.same({ "ResourceAlreadyExistsException", 409 }, { why.type, why.status })
    end)

    it("says null where a target is null", function()
      local why = new_bench():refused("create_job", "a",
        { targets = { require("hob.json").null }, document = "{}" }, NOW)
      assert.is_truthy(why.message:find("got null$"), why.message)
    end)

    it("takes an id again after the job was deleted", function()
      local bench = new_bench{ "a" }
      bench:control("delete_job", "a", true, bench.now)
      bench.now = bench.now + 7
      bench:create("a", THING)
      local execution = bench:answer(THING, "a/get").execution
      assert.same({ 1, 1, NOW + 7 },
        { execution.executionNumber, execution.versionNumber, execution.queuedAt })
    end)

    it("takes a document of 32768 bytes as it is", function()
      local document = '{"a":"' .. ("x"):rep(32768 - 8) .. '"}'
      assert.equal(32768, #document)
      local bench = new_bench()
      bench:create("a", THING, { document = document })
      assert.same({ document = document }, bench.engine:job_document("a"))
    end)

    local ARN = { benches.arn(THING) }
    local CASES = {
      { "an id with other characters", "a.b", { targets = ARN, document = "{}" } },
      { "an id of 65 characters", ("j"):rep(65), { targets = ARN, document = "{}" } },
      { "no targets", "a", { document = "{}" } },
      { "an empty list of targets", "a", { targets = {}, document = "{}" } },
      { "a target that is no ARN", "a", { targets = { "lamp" }, document = "{}" } },
      { "a target that is a number", "a", { targets = { 7 }, document = "{}" } },
      { "a thing's name with a blank", "a", { targets = { benches.arn("a b") }, document = "{}" } },
      { "no document", "a", { targets = ARN } },
      { "a document that is not a string", "a", { targets = ARN, document = { x = 1 } } },
      { "an empty document", "a", { targets = ARN, document = "" } },
      { "a document that is not JSON", "a", { targets = ARN, document = "{," } },
      { "a document that is a list", "a", { targets = ARN, document = "[]" } },
      { "a document of 32769 bytes", "a",
        { targets = ARN, document = '{"a":"' .. ("x"):rep(32769 - 8) .. '"}' } },
      { "a timeoutConfig that is no object", "a",
        { targets = ARN, document = "{}", timeoutConfig = 5 } },
      { "a time-out of 0 minutes", "a", { targets = ARN, document = "{}",
        timeoutConfig = { inProgressTimeoutInMinutes = 0 } } },
      { "a time-out of 10081 minutes", "a", { targets = ARN, document = "{}",
        timeoutConfig = { inProgressTimeoutInMinutes = 10081 } } },
      { "a description that is a number", "a",
        { targets = ARN, document = "{}", description = 1 } },
    }
    for _, case in ipairs(CASES) do
      it("refuses " .. case[1], function()
        local bench = new_bench()
        local why = bench:refused("create_job", case[2], case[3], NOW)
        assert.same({ "InvalidRequestException", 400 }, { why.type, why.status })
        assert.is_nil(next(bench.engine.jobs))
        assert.is_nil(next(bench.engine.things))
      end)
    end
  end)

  describe("describe_job", function()
    it("counts the executions by status", function()
      local bench = new_bench()
      bench:create("a", { "t1", "t2", "t3", "t4" },
        { timeoutConfig = { inProgressTimeoutInMinutes = 3 } })
      bench:ask("t1", "start-next")
      bench:ask("t2", "a/update", { status = "SUCCEEDED" })
      bench:ask("t3", "a/update", { status = "FAILED" })
      local job = bench.engine:describe_job("a").job
      assert.same({ "IN_PROGRESS", 3, 4 },
        { job.status, job.timeoutConfig.inProgressTimeoutInMinutes, #job.targets })
      local details = job.jobProcessDetails
      assert.same({ 1, 1, 1, 1, 0 }, { details.numberOfInProgressThings,
        details.numberOfSucceededThings, details.numberOfFailedThings,
        details.numberOfQueuedThings, details.numberOfTimedOutThings })
    end)

    it("is COMPLETED with the last execution's end, and not before", function()
      local bench = new_bench()
      bench:create("a", { "t1", "t2" })
      bench:ask("t1", "a/update", { status = "SUCCEEDED" })
      assert.equal("IN_PROGRESS", job_status(bench, "a"))
      bench.now = bench.now + 9
      bench:ask("t2", "a/update", { status = "FAILED" })
      assert.equal("COMPLETED", job_status(bench, "a"))
      assert.equal(NOW + 9, bench.engine:describe_job("a").job.completedAt)
    end)

    it("refuses an unknown job", function()
      for _, name in ipairs{ "describe_job", "job_document" } do
        local why = new_bench():refused(name, "none")
        assert.same({ "ResourceNotFoundException", 404 }, { why.type, why.status })
      end
    end)
  end)

  describe("lists", function()
    it("name the jobs in the order of their creation, by status and in pages", function()
      local bench = new_bench{ "c", "a", "b" }
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      local function ids(query)
        local found, answer = {}, bench.engine:list_jobs(query)
        for i, job in ipairs(answer.jobs) do
          found[i] = job.jobId
        end
        return table.concat(found, " "), answer.nextToken
      end
      assert.equal("c a b", (ids{}))
      assert.equal("a", (ids{ status = "COMPLETED" }))
      local page, token = ids{ maxResults = "2" }
      assert.equal("c a", page)
      assert.same({ "b" }, { ids{ maxResults = "2", nextToken = token } })
      assert.equal(400, bench:refused("list_jobs", { maxResults = "0" }).status)
      assert.equal(400, bench:refused("list_jobs", { maxResults = "many" }).status)
      assert.equal(400, bench:refused("list_jobs", { nextToken = "x" }).status)
    end)

    it("keep the order of many jobs", function()
      local bench, ids = new_bench(), {}
      for i = 1, 30 do
        ids[i] = ("job-%d"):format(i * 7 % 31)
        bench:create(ids[i], THING)
      end
      for i, job in ipairs(bench.engine:list_jobs{}.jobs) do
        assert.equal(ids[i], job.jobId)
      end
    end)

    it("name a thing's executions, ended ones too", function()
      local bench = new_bench{ "a", "b" }
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      local answer = bench.engine:list_executions_of_thing(THING, {})
      assert.same({
        { jobId = "a", jobExecutionSummary = { status = "SUCCEEDED", queuedAt = NOW,
          lastUpdatedAt = NOW, executionNumber = 1 } },
        { jobId = "b", jobExecutionSummary = { status = "QUEUED", queuedAt = NOW,
          lastUpdatedAt = NOW, executionNumber = 1 } },
      }, setmetatable(answer.executionSummaries, nil))
      assert.equal(1, #bench.engine:list_executions_of_thing(THING, { status = "QUEUED" })
        .executionSummaries)
      assert.equal(1, #bench.engine:list_executions_of_thing(THING, { jobId = "b" })
        .executionSummaries)
      assert.equal(0, #bench.engine:list_executions_of_thing("stranger", {}).executionSummaries)
    end)

    it("name a job's executions", function()
      local bench = new_bench()
      bench:create("a", { "t1", "t2" })
      local answer = bench.engine:list_executions_of_job("a", {})
      assert.equal("arn:aws:iot:us-east-1:123456789012:thing/t2",
        answer.executionSummaries[2].thingArn)
      assert.equal(404, bench:refused("list_executions_of_job", "none", {}).status)
    end)
  end)

  describe("describe_execution", function()
    it("has AWS's members", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next", { statusDetails = { k = "v" }, stepTimeoutInMinutes = 1 })
      assert.same({ execution = { jobId = "a", status = "IN_PROGRESS", executionNumber = 1,
        thingArn = "arn:aws:iot:us-east-1:123456789012:thing/lamp", versionNumber = 2,
        statusDetails = { detailsMap = { k = "v" } }, queuedAt = NOW, startedAt = NOW,
        lastUpdatedAt = NOW, approximateSecondsBeforeTimedOut = 60 } },
        bench.engine:describe_execution(THING, "a", nil, bench.now))
    end)

    it("refuses an unknown thing, job or number", function()
      local bench = new_bench{ "a" }
      for _, case in ipairs{ { "oven", "a" }, { THING, "b" }, { THING, "a", 2 } } do
        local why = bench:refused("describe_execution", case[1], case[2], case[3], NOW)
        assert.same({ "ResourceNotFoundException", 404 }, { why.type, why.status })
      end
    end)
  end)

  describe("cancel_job", function()
    it("leaves what is IN_PROGRESS alone, which may still report", function()
      local bench = new_bench()
      bench:create("a", { "t1", "t2" })
      bench:ask("t1", "start-next")
      bench:control("cancel_job", "a", { reasonCode = "WRONG", comment = "sorry" }, false,
        bench.now)
      assert.same({ "IN_PROGRESS", "CANCELED", "CANCELED" },
        { status_of(bench, "a", "t1"), status_of(bench, "a", "t2"), job_status(bench, "a") })
      assert.equal("accepted", select(2, bench:answer("t1", "a/update", { status = "SUCCEEDED" })))
      local job = bench.engine:describe_job("a").job
      assert.same({ "CANCELED", "WRONG", "sorry" }, { job.status, job.reasonCode, job.comment })
    end)

    it("by force ends what is IN_PROGRESS; the device learns it from its update", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next")
      assert.equal("notify notify-next",
        bench:control("cancel_job", "a", {}, true, bench.now):text())
      local body = bench:answer(THING, "a/update", { status = "SUCCEEDED" })
      assert.equal("InvalidStateTransition", body.code)
      assert.same({ status = "CANCELED", versionNumber = 3 }, body.executionState)
      assert.is_true(bench.engine:describe_execution(THING, "a", nil, NOW).execution.forceCanceled)
    end)

    it("may be followed by a cancel by force, which keeps the reason", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next")
      bench:control("cancel_job", "a", { reasonCode = "FIRST" }, false, bench.now)
      bench:control("cancel_job", "a", { comment = "then" }, true, bench.now)
      assert.equal("CANCELED", status_of(bench, "a"))
      bench:control("cancel_job", "a", {}, false, bench.now)
      local job = bench:job("a")
      assert.same({ "FIRST", "then", true }, { job.reasonCode, job.comment, job.forceCanceled })
    end)

    it("refuses an unknown job and one that is COMPLETED", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "a/update", { status = "SUCCEEDED" })
      assert.equal(404, bench:refused("cancel_job", "none", {}, true, NOW).status)
      assert.equal("InvalidRequestException",
        bench:refused("cancel_job", "a", {}, true, NOW).type)
    end)
  end)

  describe("cancel_job_execution", function()
    local function cancel(bench, body, force)
      return bench.engine:cancel_job_execution(THING, "a", body, force, bench.now)
    end

    it("cancels what is QUEUED, with details", function()
      local bench = new_bench{ "a" }
      assert(cancel(bench, { expectedVersion = 1, statusDetails = { why = "late" } }, false))
      local execution = bench.engine:find(THING, "a")
      assert.same({ "CANCELED", 2, { why = "late" } },
        { execution.status, execution.version, execution.details })
      assert.equal("COMPLETED", job_status(bench, "a"))
    end)

    it("needs force for what is IN_PROGRESS", function()
      local bench = new_bench{ "a" }
      bench:ask(THING, "start-next")
      local _, why = cancel(bench, {}, false)
      assert.same({ "InvalidStateTransitionException", 409 }, { why.type, why.status })
      assert(cancel(bench, {}, true))
      assert.equal("CANCELED", status_of(bench, "a"))
    end)

    it("refuses another version, what has ended, what is not there and bad details", function()
      local bench = new_bench{ "a" }
      assert.equal("VersionConflictException",
        select(2, cancel(bench, { expectedVersion = 2 }, false)).type)
      assert.equal("InvalidRequestException",
        select(2, cancel(bench, { statusDetails = { k = "\n" } }, false)).type)
      bench:ask(THING, "a/update", { status = "FAILED" })
      assert.equal("InvalidStateTransitionException", select(2, cancel(bench, {}, true)).type)
      assert.equal("ResourceNotFoundException", bench:refused("cancel_job_execution", "oven", "a",
        {}, true, NOW).type)
    end)
  end)

  describe("delete_job", function()
    it("needs force while the job is IN_PROGRESS", function()
      local bench = new_bench{ "a" }
      local why = bench:refused("delete_job", "a", false, NOW)
      assert.same({ "InvalidStateTransitionException", 409 }, { why.type, why.status })
      bench:ask(THING, "a/update", { status = "FAILED" })
      bench:control("delete_job", "a", false, bench.now)
      assert.equal(404, bench:refused("describe_job", "a").status)
      assert.equal(404, bench:refused("delete_job", "a", true, NOW).status)
    end)

    it("makes its executions vanish for the device", function()
      local bench = new_bench()
      bench:create("a", { "t1", "t2" })
      bench:ask("t1", "start-next")
      assert.equal("notify notify-next notify notify-next",
        bench:control("delete_job", "a", true, bench.now):text())
      for _, operation in ipairs{ "a/get", "a/update" } do
        assert.equal("ResourceNotFound",
          bench:answer("t1", operation, { status = "SUCCEEDED" }).code)
      end
      assert.equal(2, bench:count("service.execution_deleted"))
      assert.is_nil(bench:answer("t2", "start-next").execution)
    end)
  end)

  describe("delete_job_execution", function()
    it("needs force until it has ended", function()
      local bench = new_bench{ "a" }
      assert.equal("InvalidStateTransitionException",
        bench:refused("delete_job_execution", THING, "a", 1, false, NOW).type)
      assert.equal("ResourceNotFoundException",
        bench:refused("delete_job_execution", THING, "a", 2, true, NOW).type)
      assert.equal("notify notify-next",
        bench:control("delete_job_execution", THING, "a", 1, true, bench.now):text())
      assert.is_nil(status_of(bench, "a"))
      assert.equal("COMPLETED", job_status(bench, "a"))
      assert.equal(0, bench:job("a").jobProcessDetails.numberOfQueuedThings)
    end)
  end)

  describe("executions", function()
    it("name all executions in the order of their queue time, or those of some jobs", function()
      local bench = new_bench()
      bench:create("b", { "t1", "t2" })
      bench:create("a", "t1")
      local function names(ids)
        local found = {}
        for i, execution in ipairs(bench.engine:executions(ids, {}, NOW).executions) do
          found[i] = execution.jobId .. "@" .. execution.thingName
        end
        return table.concat(found, " ")
      end
      assert.equal("b@t1 b@t2 a@t1", names())
      assert.equal("a@t1", names{ "a" })
      assert.equal(404, bench:refused("executions", { "a", "none" }, {}, NOW).status)
    end)
  end)

  it("keeps a journal of the updates' answers", function()
    local journal = require("hob.service.journal").new()
    local bench = new_bench{ "a" }
    for _, status in ipairs{ "IN_PROGRESS", "SUCCEEDED", "SUCCEEDED" } do
      bench:ask(THING, "a/update", { status = status })
    end
    for _, event in ipairs(bench.events) do
      journal:add(event, bench.now)
    end
    local answers = {}
    for i, entry in ipairs(journal:list(THING, "a")) do
      answers[i] = entry.answer .. " " .. entry.code .. " " .. entry.versionNumber
    end
    assert.same({ "accepted IN_PROGRESS 2", "accepted SUCCEEDED 3",
      "rejected InvalidStateTransition 3" }, answers)
    assert.same({}, journal:list("oven"))
  end)
end)
