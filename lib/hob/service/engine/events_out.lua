--- The events of the fleet, $aws/events/job... and $aws/events/jobExecution...: for whoever watches
--- jobs without being a device. Switched on by UpdateEventConfigurations, or by the engine's option
--- `events`. Shapes: AWS IoT Core Developer Guide, "Jobs events".
local json_text = require("hob.service.json_text")
local uuid = require("hob.service.engine.uuid")
local views = require("hob.service.views")

local M = {}

local function event(kind, operation, now)
  return { eventType = kind, eventId = uuid.new(), timestamp = math.floor(now),
    operation = operation }
end

-- In these events AWS tells a job's times in milliseconds.
local function ms(seconds)
  return seconds and seconds * 1000
end

--- Append what became of an execution: "succeeded", "deleted" ...
function M.execution(engine, out, execution, operation, now)
  if not engine.settings.events.JOB_EXECUTION then
    return
  end
  local body = event("JOB_EXECUTION", operation, now)
  body.jobId, body.thingArn = execution.job.id, execution.thing.arn
  body.status = operation == "deleted" and "DELETED" or execution.status
  body.statusDetails = execution.details
  engine.say(out, ("$aws/events/jobExecution/%s/%s"):format(body.jobId, operation), body)
end

local STATUS = { cancellation_in_progress = "CANCELLATION_IN_PROGRESS",
  deletion_in_progress = "DELETION_IN_PROGRESS", deleted = "DELETED" }

--- Append what becomes of a job: "completed", "canceled", "cancellation_in_progress" ...
function M.job(engine, out, job, operation, now)
  if not engine.settings.events.JOB then
    return
  end
  local body = event("JOB", operation, now)
  body.jobId, body.status = job.id, STATUS[operation] or job.status
  body.targetSelection, body.targets = job.target_selection, json_text.list(job.targets)
  body.description, body.comment = job.description, job.comment
  body.createdAt, body.lastUpdatedAt = ms(job.created_at), ms(job.updated_at)
  if operation == "completed" then
    body.completedAt, body.jobProcessDetails = ms(job.completed_at), views.process_details(job)
  end
  engine.say(out, ("$aws/events/job/%s/%s"):format(job.id, operation), body)
end

return M
