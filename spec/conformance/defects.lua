-- Defects for the local Jobs service: {what a device or an owner would suffer, file below
-- lib/hob/service, the code, what stands there instead}. The code must occur once in the file.
-- spec/integration/defects_spec.lua plants each in a copy and runs the service's specs against it.
return {
  -- versions and details
  { "an accepted update does not count the version up", "engine.lua",
    "execution.version = execution.version + 1", "execution.version = execution.version + 0" },
  { "statusDetails that are empty do not empty them", "engine.lua",
    "execution.details = next(details) ~= nil and details or nil",
    "execution.details = next(details) ~= nil and details or execution.details" },
  { "an expectedVersion that is too low is taken", "device.lua",
    "if expected and expected ~= execution.version then",
    "if expected and expected > execution.version then" },
  { "VersionMismatch has no executionState", "device.lua",
    "execution.version), execution)", "execution.version))" },

  -- transitions
  { "an execution that has ended can be updated", "device.lua",
    'elseif rules.TERMINAL[execution.status] or values.status == "QUEUED" then',
    'elseif values.status == "QUEUED" then' },
  { "a device can queue an execution again", "device.lua",
    'elseif rules.TERMINAL[execution.status] or values.status == "QUEUED" then',
    "elseif rules.TERMINAL[execution.status] then" },
  { "an execution that has ended can be described", "device.lua",
    'elseif rules.TERMINAL[execution.status] then\n    return refusal("TerminalStateReached"',
    'elseif execution.status == "NEVER" then\n    return refusal("TerminalStateReached"' },
  { "start-next starts what runs already", "device.lua",
    'if execution.status == "QUEUED" then', "if execution then" },

  -- answers
  { "a rejection does not repeat the clientToken", "device.lua",
    "code = why.code, message = why.message, clientToken = request.token,",
    "code = why.code, message = why.message," },
  { "times are milliseconds", "device.lua",
    "members.timestamp, members.clientToken = math.floor(now), request.token",
    "members.timestamp, members.clientToken = math.floor(now * 1000), request.token" },
  { "startedAt is when it was queued", "views.lua",
    "startedAt = execution.started_at,\n    lastUpdatedAt = execution.updated_at,\n"
      .. "    versionNumber",
    "startedAt = execution.queued_at,\n    lastUpdatedAt = execution.updated_at,\n"
      .. "    versionNumber" },
  { "the job document is always sent", "device.lua",
    "local with_document = values.includeJobDocument ~= false", "local with_document = true" },

  -- the queue and what is told of it
  { "$next names what is QUEUED before what is IN_PROGRESS", "engine/pending.lua",
    "return self.IN_PROGRESS.first or self.QUEUED.first",
    "return self.QUEUED.first or self.IN_PROGRESS.first" },
  { "the newest execution comes first", "engine/pending.lua",
    "while before and before.seq > execution.seq do", "while before do" },
  { "no notify when the front ends", "engine.lua",
    "if change.notify then", "if change.notify and not change.next then" },
  { "no notify-next when another execution starts and becomes the front", "engine.lua",
    "if change.next then", "if change.next and change.notify then" },
  { "notify-next comes before notify", "engine.lua",
    'M.say(out, thing.topic .. "notify", texts.pending(thing, now))',
    'table.insert(out, 1, { topic = thing.topic .. "notify",'
      .. " payload = json_text.encode(texts.pending(thing, now)) })" },
  { "eleven executions are listed", "rules.lua", "M.LIST_MAX = 10", "M.LIST_MAX = 11" },

  -- timers
  { "a step timer outlives the in-progress timer", "engine.lua",
    "step and whole and math.min(step, whole)", "step and whole and math.max(step, whole)" },
  { "-1 does not discard the step timer", "engine.lua",
    "execution.step_deadline = step_minutes > 0 and now + step_minutes * self.minute or nil",
    "execution.step_deadline = now + math.abs(step_minutes) * self.minute" },
  { "the in-progress timer runs while an execution is QUEUED", "engine.lua",
    "  self:link(execution)\n  self:touch(execution)\n  return execution",
    "  self:link(execution)\n  self:touch(execution)\n  if job.minutes then\n"
      .. "    execution.job_deadline = now + job.minutes * self.minute\n"
      .. "    self:arm(execution, nil, now)\n  end\n  return execution" },

  -- the owner's side
  { "cancelling without force ends what is IN_PROGRESS", "control/jobs.lua",
    'if execution.status == "QUEUED" or ending.force and execution.status == "IN_PROGRESS" then',
    'if execution.status == "QUEUED" or execution.status == "IN_PROGRESS" then' },
  { "an execution that was deleted is still found", "engine.lua",
    "record[execution.number] = nil", "record[execution.number + 1] = nil" },
  { "what a device rejects is tried again", "engine/retries.lua",
    'local USED = { FAILED = "failed_retries", TIMED_OUT = "timed_out_retries" }',
    'local USED = { FAILED = "failed_retries", TIMED_OUT = "timed_out_retries",'
      .. ' REJECTED = "failed_retries" }' },
  { "one retry more than was asked for", "engine/retries.lua",
    "count < criterion.numberOfRetries", "count <= criterion.numberOfRetries" },
  { "a thing that leaves a continuous job's group keeps its execution", "engine/reach.lua",
    "elseif not after then", "elseif not after and not before[job] then" },
  { "a rollout queues one thing too many a minute", "engine/rollout.lua",
    "first + M.rate(job) - 1)", "first + M.rate(job))" },
  { "a presigned URL lives for an hour, whatever was asked for", "documents/artifacts.lua",
    "(now + expires * self.scale)", "(now + 3600 * self.scale)" },
  { "an abort criterion needs no executions", "engine/retries.lua",
    "executed >= criterion.minNumberOfExecutedThings", "executed >= 1" },
  { "an execution loses its details in a restart", "store.lua",
    'execution = set("thing job deadline', 'execution = set("details thing job deadline' },
}
