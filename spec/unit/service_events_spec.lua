-- The events of the fleet: $aws/events/job/..., $aws/events/jobExecution/...
local benches = require("spec.support.service_bench")

local NOW = math.floor(benches.START)
local ARN = "arn:aws:iot:us-east-1:123456789012:thing/lamp"

-- The topics of the events among what was said, after $aws/events/.
local function events_in(said)
  local list = {}
  for _, message in ipairs(said) do
    list[#list + 1] = message.topic:match("^%$aws/events/(.+)$")
  end
  return table.concat(list, " ")
end

local function find(said, topic)
  for _, message in ipairs(said) do
    if message.topic == "$aws/events/" .. topic then
      local body = message.body
      assert.truthy(body.eventId:find("^%x+%-%x+%-4%x+%-%x+%-%x+$"))
      body.eventId = nil
      return body
    end
  end
  error("no event " .. topic)
end

local function new_bench(more)
  local bench = benches.new{ events = true }
  bench:create("j", "lamp", more)
  return bench
end

describe("events of the fleet", function()
  it("are not published unless they are switched on", function()
    local bench = benches.new()
    bench:create("j", "lamp")
    local said = bench:ask("lamp", "j/update", { status = "SUCCEEDED" })
    assert.equal("", events_in(said))
  end)

  it("tell the end of an execution and of its job, after what the device is told", function()
    local bench = new_bench{ description = "a lamp" }
    bench:ask("lamp", "start-next")
    local said = bench:ask("lamp", "j/update",
      { status = "SUCCEEDED", statusDetails = { a = "b" } })
    assert.equal("j/update/accepted notify notify-next $aws/events/jobExecution/j/succeeded"
      .. " $aws/events/job/j/completed", said:text())
    assert.same({ eventType = "JOB_EXECUTION", timestamp = NOW, operation = "succeeded",
      jobId = "j", thingArn = ARN, status = "SUCCEEDED", statusDetails = { a = "b" } },
      find(said, "jobExecution/j/succeeded"))
    local job = find(said, "job/j/completed")
    assert.same({ 1, 0 }, { job.jobProcessDetails.numberOfSucceededThings,
      job.jobProcessDetails.numberOfFailedThings })
    job.jobProcessDetails = nil
    assert.same({ eventType = "JOB", timestamp = NOW, operation = "completed", jobId = "j",
      status = "COMPLETED", targetSelection = "SNAPSHOT", targets = { benches.arn("lamp") },
      description = "a lamp", createdAt = NOW * 1000, lastUpdatedAt = NOW * 1000,
      completedAt = NOW * 1000 }, job)
  end)

  it("name each end of an execution", function()
    for status, operation in pairs{ FAILED = "failed", REJECTED = "rejected" } do
      local said = new_bench():ask("lamp", "j/update", { status = status })
      assert.equal(status, find(said, "jobExecution/j/" .. operation).status)
    end
    local bench = new_bench()
    bench:ask("lamp", "start-next", { stepTimeoutInMinutes = 1 })
    assert.equal("jobExecution/j/timed_out job/j/completed", events_in(bench:wait(60)))
    bench = new_bench()
    assert.equal("jobExecution/j/removed job/j/completed",
      events_in(bench:control("delete_thing", "lamp", {}, bench.now)))
    bench = new_bench()
    assert.equal("jobExecution/j/canceled job/j/completed",
      events_in(bench:control("cancel_job_execution", "lamp", "j", {}, false, bench.now)))
    bench = new_bench()
    local said = bench:control("delete_job_execution", "lamp", "j", 1, true, bench.now)
    assert.equal("jobExecution/j/deleted job/j/completed", events_in(said))
    assert.equal("DELETED", find(said, "jobExecution/j/deleted").status)
  end)

  it("frame a job's cancellation", function()
    local said = new_bench():control("cancel_job", "j", { comment = "why" }, false, NOW)
    assert.equal("job/j/cancellation_in_progress jobExecution/j/canceled job/j/canceled",
      events_in(said))
    local first = find(said, "job/j/cancellation_in_progress")
    assert.same({ "CANCELLATION_IN_PROGRESS", "why" }, { first.status, first.comment })
    assert.equal("CANCELED", find(said, "job/j/canceled").status)
  end)

  it("frame a job's deletion", function()
    local said = new_bench():control("delete_job", "j", true, NOW)
    assert.equal("job/j/deletion_in_progress jobExecution/j/deleted job/j/deleted",
      events_in(said))
    assert.equal("DELETION_IN_PROGRESS", find(said, "job/j/deletion_in_progress").status)
    assert.equal("DELETED", find(said, "job/j/deleted").status)
  end)

  it("tell that a job is given up", function()
    local bench = benches.new{ events = true }
    bench:create("j", { "a", "b" }, { abortConfig = { criteriaList = { { failureType = "FAILED",
      action = "CANCEL", thresholdPercentage = 1, minNumberOfExecutedThings = 1 } } } })
    assert.equal("jobExecution/j/failed jobExecution/j/canceled job/j/canceled",
      events_in(bench:ask("a", "j/update", { status = "FAILED" })))
  end)

  it("do not tell of a retry that the job is over", function()
    local bench = new_bench{ jobExecutionsRetryConfig = { criteriaList = {
      { failureType = "FAILED", numberOfRetries = 1 } } } }
    assert.equal("jobExecution/j/failed",
      events_in(bench:ask("lamp", "j/update", { status = "FAILED" })))
  end)

  describe("are switched by UpdateEventConfigurations", function()
    it("each kind on its own", function()
      local bench = benches.new()
      bench:create("j", "lamp")
      bench:create("k", "lamp")
      bench:control("update_events", { eventConfigurations = { JOB = { Enabled = true } } }, NOW)
      assert.equal("job/j/completed",
        events_in(bench:ask("lamp", "j/update", { status = "SUCCEEDED" })))
      bench:control("update_events", { eventConfigurations = { JOB = { Enabled = false },
        JOB_EXECUTION = { Enabled = true } } }, NOW + 5)
      assert.equal("jobExecution/k/succeeded",
        events_in(bench:ask("lamp", "k/update", { status = "SUCCEEDED" })))
      local answer = bench.engine:describe_events()
      assert.same({ false, true, false, NOW, NOW + 5 }, {
        answer.eventConfigurations.JOB.Enabled, answer.eventConfigurations.JOB_EXECUTION.Enabled,
        answer.eventConfigurations.THING.Enabled, answer.creationDate, answer.lastModifiedDate })
    end)

    it("which refuses an unknown kind and what is no boolean", function()
      local bench = benches.new()
      for _, config in ipairs{ { JOBS = { Enabled = true } }, { JOB = { Enabled = "yes" } },
        { JOB = true }, "on" } do
        assert.equal("InvalidRequestException",
          bench:refused("update_events", { eventConfigurations = config }, NOW).type)
      end
      assert.is_false(bench.engine:describe_events().eventConfigurations.JOB.Enabled)
    end)
  end)
end)
