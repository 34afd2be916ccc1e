-- Executions queued minute by minute: jobExecutionsRolloutConfig.
local benches = require("spec.support.service_bench")

local function things(count)
  local names = {}
  for i = 1, count do
    names[i] = ("t%02d"):format(i)
  end
  return names
end

local function queued(bench)
  return #bench.engine.jobs.j.executions
end

local function rollout(config)
  return { jobExecutionsRolloutConfig = config }
end

-- How many executions there are after each minute.
local function counts(bench, minutes)
  local list = { queued(bench) }
  for i = 1, minutes do
    bench:wait(60)
    list[i + 1] = queued(bench)
  end
  return list
end

describe("a rollout", function()
  it("queues maximumPerMinute executions a minute", function()
    local bench = benches.new()
    local said = bench:create("j", things(5), rollout{ maximumPerMinute = 2 })
    assert.equal(4, #said)
    assert.equal(bench.now + 60, bench.engine:next_deadline())
    assert.equal("", bench:wait(59):text())
    said = bench:wait(1)
    assert.equal("notify notify-next notify notify-next", said:text())
    assert.equal("$aws/things/t03/jobs/notify", said[1].topic)
    assert.equal("t01#1 QUEUED, t02#1 QUEUED, t03#1 QUEUED, t04#1 QUEUED",
      bench:executions("j"))
    bench:wait(60)
    assert.equal(5, queued(bench))
    assert.is_nil(bench.engine:next_deadline())
  end)

  it("is told by DescribeJob while it lasts", function()
    local bench = benches.new()
    bench:create("j", things(3), rollout{ maximumPerMinute = 2 })
    local job = bench:job("j")
    assert.same({ true, 3, 2, 2 }, { job.isConcurrent, #job.jobProcessDetails.processingTargets,
      job.jobProcessDetails.numberOfQueuedThings,
      job.jobExecutionsRolloutConfig.maximumPerMinute })
    bench:wait(60)
    job = bench:job("j")
    assert.same({ false, 3 }, { job.isConcurrent, job.jobProcessDetails.numberOfQueuedThings })
    assert.is_nil(job.jobProcessDetails.processingTargets)
  end)

  it("takes a minute of the service's own length", function()
    local bench = benches.new{ minute_ms = 100 }
    bench:create("j", things(2), rollout{ maximumPerMinute = 1 })
    bench:wait(0.1)
    assert.equal(2, queued(bench))
  end)

  it("keeps the job open until its last thing has been reached", function()
    local bench = benches.new()
    bench:create("j", things(2), rollout{ maximumPerMinute = 1 })
    bench:ask("t01", "j/update", { status = "SUCCEEDED" })
    assert.equal("IN_PROGRESS", bench:job("j").status)
    bench:wait(60)
    bench:ask("t02", "j/update", { status = "SUCCEEDED" })
    assert.equal("COMPLETED", bench:job("j").status)
  end)

  it("grows by incrementFactor with every numberOfNotifiedThings", function()
    local bench = benches.new()
    bench:create("j", things(60), rollout{ exponentialRate = { baseRatePerMinute = 5,
      incrementFactor = 2, rateIncreaseCriteria = { numberOfNotifiedThings = 10 } } })
    -- 5 a minute up to 10, 10 a minute up to 20, 20 up to 30 (reached within a batch) ...
    assert.same({ 5, 10, 20, 40, 60 }, counts(bench, 4))
    bench:control("delete_job", "j", true, bench.now)
    bench:create("j", things(60), rollout{ exponentialRate = { baseRatePerMinute = 2,
      incrementFactor = 2, rateIncreaseCriteria = { numberOfNotifiedThings = 1 } } })
    assert.same({ 2, 10, 60 }, counts(bench, 2))
  end)

  it("grows with every numberOfSucceededThings", function()
    local bench = benches.new()
    bench:create("j", things(30), rollout{ exponentialRate = { baseRatePerMinute = 4,
      incrementFactor = 1.5, rateIncreaseCriteria = { numberOfSucceededThings = 2 } } })
    assert.same({ 4, 8 }, counts(bench, 1))
    bench:ask("t01", "j/update", { status = "SUCCEEDED" })
    bench:ask("t02", "j/update", { status = "FAILED" })
    assert.same({ 8, 12 }, counts(bench, 1))
    bench:ask("t03", "j/update", { status = "SUCCEEDED" })
    assert.same({ 12, 18, 24 }, counts(bench, 2))
  end)

  it("never goes beyond maximumPerMinute", function()
    local bench = benches.new()
    bench:create("j", things(40), rollout{ maximumPerMinute = 12, exponentialRate = {
      baseRatePerMinute = 5, incrementFactor = 5,
      rateIncreaseCriteria = { numberOfNotifiedThings = 5 } } })
    assert.same({ 5, 17, 29, 40 }, counts(bench, 3))
  end)

  it("takes up a new rate with the next batch", function()
    local bench = benches.new()
    bench:create("j", things(10), rollout{ maximumPerMinute = 1 })
    bench:control("update_job", "j", rollout{ maximumPerMinute = 9 }, bench.now)
    assert.same({ 1, 10 }, counts(bench, 1))
  end)

  it("ends with the job: cancelled, deleted", function()
    local bench = benches.new()
    bench:create("j", things(3), rollout{ maximumPerMinute = 1 })
    bench:control("cancel_job", "j", {}, false, bench.now)
    assert.is_nil(bench.engine:next_deadline())
    assert.equal("t01#1 CANCELED", bench:executions("j"))
    assert.is_false(bench:job("j").isConcurrent)
    bench:create("k", things(3), rollout{ maximumPerMinute = 1 })
    bench:control("delete_job", "k", true, bench.now)
    assert.is_nil(bench.engine:next_deadline())
    assert.equal("", bench:wait(60):text())
  end)

  it("passes over a thing that was deleted meanwhile", function()
    local bench = benches.new()
    bench:create("old", "t03")
    bench:create("j", things(3), rollout{ maximumPerMinute = 1 })
    bench:control("delete_thing", "t02", {}, bench.now)
    bench:control("delete_thing", "t03", {}, bench.now) -- it stays, for its execution of "old"
    bench:ask("t01", "j/update", { status = "SUCCEEDED" })
    assert.equal("IN_PROGRESS", bench:job("j").status)
    assert.equal("", bench:wait(60):text())
    assert.equal("", bench:wait(60):text())
    assert.equal("COMPLETED", bench:job("j").status)
    assert.equal("t01#1 SUCCEEDED", bench:executions("j"))
  end)

  it("of a continuous job passes over who left, and reaches who joins at once", function()
    local bench = benches.new()
    bench:group("g", things(3))
    local config = rollout{ maximumPerMinute = 1 }
    config.targetSelection = "CONTINUOUS"
    bench:create_for_groups("j", { "g" }, config)
    bench:leave("g", "t02")
    bench:leave("g", "t03")
    bench:join("g", "t03")
    bench:control("create_thing", "t04", {})
    bench:join("g", "t04")
    assert.equal("t01#1 QUEUED, t03#1 QUEUED, t04#1 QUEUED", bench:executions("j"))
    counts(bench, 3)
    assert.equal("t01#1 QUEUED, t03#1 QUEUED, t04#1 QUEUED", bench:executions("j"))
    assert.equal("IN_PROGRESS", bench:job("j").status)
  end)

  it("of 10,000 executions leaves the others alone when a device asks", function()
    local bench = benches.new()
    local names = {}
    for i = 1, 10000 do
      names[i] = "t" .. i
    end
    bench:create("j", names)
    local job, reads = bench.engine.jobs.j, 0
    local executions = job.executions
    job.executions = setmetatable({}, {
      __index = function(_, key)
        reads = reads + 1
        return executions[key]
      end,
      __len = function() return #executions end,
      __newindex = executions,
    })
    bench:ask("t5000", "start-next")
    bench:ask("t5000", "j/update", { status = "IN_PROGRESS" })
    bench:ask("t5000", "j/update", { status = "SUCCEEDED" })
    assert.equal(0, reads)
    bench:control("delete_job_execution", "t1", "j", 1, true, bench.now)
    assert.truthy(reads > 0)
  end)
end)
