--- What the service says of a job and an execution: the members of AWS's shapes, as Lua tables for
--- `json_text.encode`. Absent members are absent, never null.
local documents = require("hob.service.documents")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")

local M = {}

--- Until it times out; nil: no timer runs.
---@return integer|nil
local function seconds_left(execution, now)
  local deadline = execution.deadline
  return deadline and math.max(0, math.ceil(deadline - now)) or nil
end

M.seconds_left = seconds_left

--- JobExecutionSummary: in lists and in `notify`.
function M.summary(execution)
  return {
    jobId = execution.job.id,
    queuedAt = execution.queued_at,
    startedAt = execution.started_at,
    lastUpdatedAt = execution.updated_at,
    versionNumber = execution.version,
    executionNumber = execution.number,
  }
end

--- JobExecutionState: in answers to an update.
function M.state(execution)
  return {
    status = execution.status,
    statusDetails = execution.details,
    versionNumber = execution.version,
  }
end

--- JobExecution as a device sees it. The document goes out as the bytes that came in.
---@param with_document boolean
function M.execution(execution, now, with_document)
  local members = M.summary(execution)
  members.thingName = execution.thing.name
  members.status = execution.status
  members.statusDetails = execution.details
  members.approximateSecondsBeforeTimedOut = seconds_left(execution, now)
  members.jobDocument = with_document and documents.hand_out(execution, now) or nil
  return members
end

--- The payload of `notify`.
function M.pending(thing, now)
  local in_progress, queued = thing.pending:head(rules.LIST_MAX)
  local jobs = {}
  for name, items in pairs{ IN_PROGRESS = in_progress, QUEUED = queued } do
    jobs[name] = items[1] and M.summaries(items) or nil
  end
  return { timestamp = math.floor(now), jobs = jobs }
end

function M.summaries(executions)
  local items = {}
  for i, execution in ipairs(executions) do
    items[i] = M.summary(execution)
  end
  return json_text.list(items)
end

--- The payload of `notify-next`.
function M.next(thing, now)
  local front = thing.pending:front()
  return {
    timestamp = math.floor(now),
    execution = front and M.execution(front, now, true) or nil,
  }
end

--- JobExecution as the control side tells it.
function M.control_execution(execution, now)
  return {
    jobId = execution.job.id,
    thingArn = execution.thing.arn,
    status = execution.status,
    forceCanceled = execution.forced,
    statusDetails = execution.details and { detailsMap = execution.details } or nil,
    queuedAt = execution.queued_at,
    startedAt = execution.started_at,
    lastUpdatedAt = execution.updated_at,
    executionNumber = execution.number,
    versionNumber = execution.version,
    approximateSecondsBeforeTimedOut = seconds_left(execution, now),
  }
end

--- JobExecutionSummary of the control side, which has the status and no version.
function M.control_summary(execution)
  return {
    status = execution.status,
    queuedAt = execution.queued_at,
    startedAt = execution.started_at,
    lastUpdatedAt = execution.updated_at,
    executionNumber = execution.number,
    retryAttempt = execution.retry_attempt,
  }
end

local function list_of(items)
  return items and json_text.list(table.move(items, 1, #items, 1, {})) or nil
end

local COUNTED = {
  CANCELED = "numberOfCanceledThings", SUCCEEDED = "numberOfSucceededThings",
  FAILED = "numberOfFailedThings", REJECTED = "numberOfRejectedThings",
  QUEUED = "numberOfQueuedThings", IN_PROGRESS = "numberOfInProgressThings",
  REMOVED = "numberOfRemovedThings", TIMED_OUT = "numberOfTimedOutThings",
}

--- A job's executions by status, before it has any.
function M.no_counts()
  local counts = {}
  for status in pairs(COUNTED) do
    counts[status] = 0
  end
  return counts
end

--- JobProcessDetails. As at AWS, the members named after things count executions: with retries,
--- there are more of them.
function M.process_details(job)
  local details = {}
  for status, name in pairs(COUNTED) do
    details[name] = job.counts[status]
  end
  details.processingTargets = job.waiting and list_of(job.targets) or nil
  return details
end

local function criteria(list)
  return list and { criteriaList = list_of(list) } or nil
end

--- Job, of DescribeJob.
function M.job(job)
  return {
    jobArn = job.arn,
    jobId = job.id,
    targetSelection = job.target_selection,
    status = job.status,
    forceCanceled = job.forced,
    reasonCode = job.reason_code,
    comment = job.comment,
    targets = list_of(job.targets),
    description = job.description,
    presignedUrlConfig = job.presigned,
    jobExecutionsRolloutConfig = job.rollout,
    abortConfig = criteria(job.abort),
    createdAt = job.created_at,
    lastUpdatedAt = job.updated_at,
    completedAt = job.completed_at,
    jobProcessDetails = M.process_details(job),
    timeoutConfig = job.minutes and { inProgressTimeoutInMinutes = job.minutes } or nil,
    jobTemplateArn = job.template_arn,
    jobExecutionsRetryConfig = criteria(job.retry),
    documentParameters = job.parameters,
    isConcurrent = job.waiting ~= nil,
    destinationPackageVersions = list_of(job.packages),
  }
end

--- JobSummary, of ListJobs.
---@param group_id string|nil  the group that was asked for
function M.job_summary(job, group_id)
  return {
    jobArn = job.arn,
    jobId = job.id,
    thingGroupId = group_id,
    targetSelection = job.target_selection,
    status = job.status,
    createdAt = job.created_at,
    lastUpdatedAt = job.updated_at,
    completedAt = job.completed_at,
    isConcurrent = job.waiting ~= nil,
  }
end

return M
