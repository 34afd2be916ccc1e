-- What the service does about executions that fail: it tries again, or gives the job up.
local benches = require("spec.support.service_bench")

local THING = "lamp"

local function retries(...)
  local list = {}
  for i, pair in ipairs{ ... } do
    list[i] = { failureType = pair[1], numberOfRetries = pair[2] }
  end
  return { jobExecutionsRetryConfig = { criteriaList = list } }
end

local function new_bench(config, things)
  local bench = benches.new()
  bench:create("j", things or THING, config)
  return bench
end

local function fail(bench, status, thing)
  return bench:ask(thing or THING, "j/update", { status = status or "FAILED" })
end

describe("a retry", function()
  it("queues the next execution of the job on the thing, and tells it", function()
    local bench = new_bench(retries{ "FAILED", 2 })
    bench:ask(THING, "start-next")
    bench.now = bench.now + 5
    local said = fail(bench)
    assert.equal("j/update/accepted notify notify-next", said:text())
    assert.same({ { jobId = "j", executionNumber = 2, versionNumber = 1,
      queuedAt = math.floor(bench.now), lastUpdatedAt = math.floor(bench.now) } },
      said[2].body.jobs.QUEUED)
    assert.is_nil(said[2].body.jobs.IN_PROGRESS)
    assert.same({ "j", 2, "QUEUED" }, { said[3].body.execution.jobId,
      said[3].body.execution.executionNumber, said[3].body.execution.status })
    assert.equal("lamp#1 FAILED, lamp#2 QUEUED", bench:executions("j"))
    assert.equal(1, bench:count("service.execution_retried"))
  end)

  it("keeps the job open until the last execution has ended", function()
    local bench = new_bench(retries{ "FAILED", 2 })
    for number = 1, 3 do
      assert.equal("IN_PROGRESS", bench:job("j").status)
      local execution = bench:answer(THING, "start-next").execution
      assert.equal(number, execution.executionNumber)
      fail(bench)
    end
    assert.same({ "COMPLETED", 3, 0 }, { bench:job("j").status,
      bench:job("j").jobProcessDetails.numberOfFailedThings,
      bench:job("j").jobProcessDetails.numberOfQueuedThings })
    assert.equal("lamp#1 FAILED, lamp#2 FAILED, lamp#3 FAILED", bench:executions("j"))
    assert.is_nil(bench:answer(THING, "start-next").execution)
  end)

  it("ends with the first success", function()
    local bench = new_bench(retries{ "ALL", 10 })
    fail(bench)
    fail(bench, "SUCCEEDED")
    assert.equal("lamp#1 FAILED, lamp#2 SUCCEEDED", bench:executions("j"))
    assert.equal("COMPLETED", bench:job("j").status)
  end)

  it("follows a time-out", function()
    local config = retries{ "TIMED_OUT", 1 }
    config.timeoutConfig = { inProgressTimeoutInMinutes = 1 }
    local bench = new_bench(config)
    bench:ask(THING, "start-next")
    assert.equal("notify notify-next", bench:wait(60):text())
    assert.equal("lamp#1 TIMED_OUT, lamp#2 QUEUED", bench:executions("j"))
    assert.is_nil(bench.engine:next_deadline())
    bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
    bench:wait(60)
    assert.equal("lamp#1 TIMED_OUT, lamp#2 TIMED_OUT", bench:executions("j"))
  end)

  it("never follows REJECTED, CANCELED or a deletion", function()
    local bench = new_bench(retries{ "ALL", 3 }, { "a", "b", "c" })
    fail(bench, "REJECTED", "a")
    bench:control("cancel_job_execution", "b", "j", {}, true, bench.now)
    bench:control("delete_job_execution", "c", "j", 1, true, bench.now)
    assert.equal("a#1 REJECTED, b#1 CANCELED", bench:executions("j"))
  end)

  it("is counted for each failure type on its own, and for ALL together", function()
    local config = retries({ "FAILED", 1 }, { "TIMED_OUT", 1 })
    local function run(bench, ...)
      for _, status in ipairs{ ... } do
        bench:ask(THING, "start-next", { stepTimeoutInMinutes = 1 })
        if status == "TIMED_OUT" then
          bench:wait(60)
        else
          fail(bench, status)
        end
      end
      return #bench.engine.jobs.j.executions
    end
    assert.equal(2, run(new_bench(config), "FAILED", "FAILED"))
    assert.equal(3, run(new_bench(config), "FAILED", "TIMED_OUT", "FAILED"))
    assert.equal(3, run(new_bench(config), "TIMED_OUT", "FAILED", "TIMED_OUT"))
    assert.equal(3, run(new_bench(retries{ "ALL", 2 }), "TIMED_OUT", "FAILED", "FAILED"))
    assert.equal(1, run(new_bench(retries{ "TIMED_OUT", 2 }), "FAILED"))
    assert.equal(1, run(new_bench(retries{ "FAILED", 0 }), "FAILED"))
  end)

  it("is for the things that failed only", function()
    local bench = new_bench(retries{ "FAILED", 1 }, { "a", "b" })
    fail(bench, "FAILED", "a")
    fail(bench, "SUCCEEDED", "b")
    assert.equal("a#1 FAILED, b#1 SUCCEEDED, a#2 QUEUED", bench:executions("j"))
  end)

  it("waits behind the jobs that were queued before it", function()
    local bench = new_bench(retries{ "FAILED", 1 })
    bench:create("k", THING)
    local said = fail(bench)
    assert.equal("j/update/accepted notify notify-next", said:text())
    assert.equal("k", said[3].body.execution.jobId)
  end)

  it("is not made for a job that was cancelled meanwhile", function()
    local bench = new_bench(retries{ "FAILED", 3 })
    bench:ask(THING, "start-next")
    bench:control("cancel_job", "j", {}, false, bench.now)
    fail(bench)
    assert.equal("lamp#1 FAILED", bench:executions("j"))
  end)

  it("leaves the former execution to whoever names its number", function()
    local bench = new_bench(retries{ "FAILED", 1 })
    fail(bench)
    assert.equal("InvalidStateTransition", bench:answer(THING, "j/update",
      { status = "SUCCEEDED", executionNumber = 1 }).code)
    assert.equal("accepted", select(2, bench:answer(THING, "j/update",
      { status = "SUCCEEDED", expectedVersion = 1 })))
    assert.equal("FAILED",
      bench.engine:describe_execution(THING, "j", 1, bench.now).execution.status)
  end)

  it("is numbered in the list of executions", function()
    local bench = new_bench(retries{ "FAILED", 2 })
    fail(bench)
    fail(bench)
    local attempts = {}
    for i, one in ipairs(bench.engine:list_executions_of_job("j", {}).executionSummaries) do
      attempts[i] = one.jobExecutionSummary.retryAttempt or 0
    end
    assert.same({ 0, 1, 2 }, attempts)
  end)

  it("starts anew for a thing that left a continuous job's group and came back", function()
    local bench = benches.new()
    bench:group("g", { THING })
    local config = retries{ "FAILED", 1 }
    config.targetSelection = "CONTINUOUS"
    bench:create_for_groups("j", { "g" }, config)
    fail(bench)
    bench:leave("g", THING)
    bench:join("g", THING)
    fail(bench)
    assert.equal("lamp#1 FAILED, lamp#2 REMOVED, lamp#3 FAILED, lamp#4 QUEUED",
      bench:executions("j"))
  end)
end)

describe("an abort", function()
  local function config(...)
    local list = {}
    for i, one in ipairs{ ... } do
      list[i] = { failureType = one[1], action = "CANCEL", thresholdPercentage = one[2],
        minNumberOfExecutedThings = one[3] }
    end
    return { abortConfig = { criteriaList = list } }
  end

  local THINGS = { "t1", "t2", "t3", "t4", "t5" }

  it("cancels the job and what is QUEUED; what is IN_PROGRESS goes on", function()
    local bench = new_bench(config{ "FAILED", 50, 2 }, THINGS)
    bench:ask("t4", "start-next")
    fail(bench, "SUCCEEDED", "t1")
    assert.equal("IN_PROGRESS", bench:job("j").status)
    local said = fail(bench, "FAILED", "t2")
    assert.equal("j/update/accepted notify notify-next notify notify-next notify notify-next",
      said:text())
    assert.equal("t1#1 SUCCEEDED, t2#1 FAILED, t3#1 CANCELED, t4#1 IN_PROGRESS, t5#1 CANCELED",
      bench:executions("j"))
    local job = bench:job("j")
    assert.same({ "CANCELED", "ABORT_CRITERIA_MET" }, { job.status, job.reasonCode })
    assert.truthy(job.completedAt)
    assert.equal(1, bench:count("service.job_aborted"))
    fail(bench, "SUCCEEDED", "t4")
    assert.equal("CANCELED", bench:job("j").status)
  end)

  it("waits until enough have been executed", function()
    local bench = new_bench(config{ "FAILED", 1, 3 }, THINGS)
    fail(bench, "FAILED", "t1")
    fail(bench, "FAILED", "t2")
    assert.equal("IN_PROGRESS", bench:job("j").status)
    fail(bench, "SUCCEEDED", "t3")
    assert.equal("CANCELED", bench:job("j").status)
  end)

  it("waits until the percentage is reached", function()
    local bench = new_bench(config{ "FAILED", 66.67, 1 }, THINGS)
    fail(bench, "SUCCEEDED", "t1")
    fail(bench, "FAILED", "t2")
    fail(bench, "FAILED", "t3")
    assert.equal("IN_PROGRESS", bench:job("j").status) -- 66.66...
    fail(bench, "FAILED", "t4")
    assert.equal("CANCELED", bench:job("j").status)
  end)

  it("counts the failures of its type only; ALL are FAILED, REJECTED and TIMED_OUT", function()
    local function after(failure_type, ...)
      local bench = new_bench(config{ failure_type, 100, 3 }, THINGS)
      for i, status in ipairs{ ... } do
        bench:ask("t" .. i, "start-next", { stepTimeoutInMinutes = 1 })
        if status == "TIMED_OUT" then
          bench:wait(60)
        else
          fail(bench, status, "t" .. i)
        end
      end
      return bench:job("j").status
    end
    assert.equal("IN_PROGRESS", after("FAILED", "FAILED", "REJECTED", "FAILED"))
    assert.equal("CANCELED", after("FAILED", "FAILED", "FAILED", "FAILED"))
    assert.equal("CANCELED", after("REJECTED", "REJECTED", "REJECTED", "REJECTED"))
    assert.equal("CANCELED", after("TIMED_OUT", "TIMED_OUT", "TIMED_OUT", "TIMED_OUT"))
    assert.equal("CANCELED", after("ALL", "FAILED", "REJECTED", "TIMED_OUT"))
    assert.equal("IN_PROGRESS", after("ALL", "FAILED", "SUCCEEDED", "TIMED_OUT"))
  end)

  it("needs one of several criteria, and at least one failure", function()
    local bench = new_bench(config({ "REJECTED", 10, 1 }, { "FAILED", 0, 1 }), THINGS)
    fail(bench, "SUCCEEDED", "t1")
    assert.equal("IN_PROGRESS", bench:job("j").status)
    fail(bench, "FAILED", "t2")
    assert.equal("CANCELED", bench:job("j").status)
  end)

  it("makes no retry of the failure that brought it about, nor of later ones", function()
    local both = config{ "FAILED", 50, 1 }
    both.jobExecutionsRetryConfig = retries{ "FAILED", 3 }.jobExecutionsRetryConfig
    local bench = new_bench(both, { "t1", "t2" })
    bench:ask("t2", "start-next")
    fail(bench, "FAILED", "t1")
    fail(bench, "FAILED", "t2")
    assert.equal("t1#1 FAILED, t2#1 FAILED", bench:executions("j"))
  end)

  it("cancels retries that are QUEUED", function()
    local both = config{ "FAILED", 60, 3 }
    both.jobExecutionsRetryConfig = retries{ "FAILED", 3 }.jobExecutionsRetryConfig
    local bench = new_bench(both, { "t1", "t2", "t3" })
    fail(bench, "FAILED", "t1")
    fail(bench, "SUCCEEDED", "t2")
    fail(bench, "FAILED", "t3")
    assert.equal("t1#1 FAILED, t2#1 SUCCEEDED, t3#1 FAILED, t1#2 CANCELED",
      bench:executions("j"))
  end)

  it("stops the rollout", function()
    local slow = config{ "FAILED", 50, 1 }
    slow.jobExecutionsRolloutConfig = { maximumPerMinute = 1 }
    local bench = new_bench(slow, THINGS)
    fail(bench, "FAILED", "t1")
    assert.equal("CANCELED", bench:job("j").status)
    assert.equal("", bench:wait(600):text())
    assert.equal("t1#1 FAILED", bench:executions("j"))
  end)
end)
