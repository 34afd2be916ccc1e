--- What the owner of the fleet asks of the service: AWS IoT Jobs' control plane, as functions.
--- Each returns its answer's members and the messages that are to be published, or nil and an
--- error {type, status, message} in AWS's words.
--- Spec: spec/unit/service_control_spec.lua
local documents = require("hob.service.document")
local engine = require("hob.service.engine")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")
local views = require("hob.service.views")

local M = {}

local STATUS = {
  InvalidRequestException = 400, ResourceNotFoundException = 404,
  ResourceAlreadyExistsException = 409, InvalidStateTransitionException = 409,
  VersionConflictException = 409, LimitExceededException = 410,
  InternalFailureException = 500,
}

--- @return nil
--- @return table error
function M.fail(kind, format, ...)
  return nil, { type = kind, status = STATUS[kind], message = format:format(...) }
end
local fail = M.fail

local PAGE_MAX = 250

--- One page of a list, by AWS's maxResults and nextToken (here: where the next page begins).
local function page(items, query, view)
  local limit = tonumber(query.maxResults or PAGE_MAX)
  local first = tonumber(query.nextToken or 1)
  if math.type(limit) ~= "integer" or limit < 1 or limit > PAGE_MAX then
    return fail("InvalidRequestException", "maxResults: expected 1-250, got %s", query.maxResults)
  elseif math.type(first) ~= "integer" or first < 1 then
    return fail("InvalidRequestException", "nextToken: not one of this service's")
  end
  local out, last = {}, math.min(#items, first + limit - 1)
  for i = first, last do
    out[#out + 1] = view(items[i])
  end
  return json_text.list(out), nil, last < #items and tostring(last + 1) or nil
end

local function no_job(id)
  return fail("ResourceNotFoundException", "Job %s cannot be found", id)
end

local function no_execution(thing, job, number)
  return fail("ResourceNotFoundException", "No execution%s of job %s exists for thing %s",
    number and " " .. number or "", job, thing)
end

--- @return string|nil thing  the thing's name
local function target_thing(target)
  local name = type(target) == "string" and target:match("^arn:[^:]+:iot:[^:]*:[^:]*:thing/(.+)$")
  if not name or not rules.thing_name(name) then
    return fail("InvalidRequestException", "targets: expected arn:aws:iot:REGION:ACCOUNT:thing/NAME"
      .. " with a name of 1-128 of [a-zA-Z0-9:_-], got %s", tostring(target))
  end
  return name
end

local function target_things(targets)
  if type(targets) ~= "table" or #targets == 0 then
    return fail("InvalidRequestException", "targets: expected a list of at least one thing's ARN")
  end
  local names, seen = {}, {}
  for _, target in ipairs(targets) do
    local name, why = target_thing(target)
    if not name then
      return nil, why
    end
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

local function timeout_minutes(config)
  config = rules.present(config)
  if config == nil then
    return nil
  elseif type(config) ~= "table" then
    return nil, "timeoutConfig: expected an object"
  end
  return rules.integer(config.inProgressTimeoutInMinutes,
    "timeoutConfig.inProgressTimeoutInMinutes", 1, rules.MINUTES_MAX)
end

--- The parts of a CreateJob request, checked.
local function job_request(id, body)
  if not rules.job_id(id) then
    return fail("InvalidRequestException", "jobId: expected 1-64 of [a-zA-Z0-9_-]")
  end
  local names, why = target_things(body.targets)
  if not names then
    return nil, why
  end
  local document, message = documents.from_request(body)
  if not document then
    return fail("InvalidRequestException", "%s", message)
  end
  local minutes
  minutes, message = timeout_minutes(body.timeoutConfig)
  if message then
    return fail("InvalidRequestException", "%s", message)
  end
  local description
  description, message = rules.description(body.description)
  if message then
    return fail("InvalidRequestException", "%s", message)
  end
  return { names = names, document = document, minutes = minutes, description = description }
end

local function new_job(self, id, request, body, now)
  self.seq = self.seq + 1
  return {
    id = id, arn = self:arn("job", id), document = request.document, minutes = request.minutes,
    description = request.description, targets = table.move(body.targets, 1, #body.targets, 1, {}),
    status = "IN_PROGRESS", created_at = math.floor(now), updated_at = math.floor(now),
    executions = {}, open = 0, seq = self.seq,
  }
end

local function job_answer(job)
  return { jobArn = job.arn, jobId = job.id, description = job.description }
end

local function tell_job(self, event, job, text)
  self.on_event{ level = "info", event = event, job = job.id, code = job.status, text = text }
end

--- CreateJob.
---@param body table  the request, decoded
function engine:create_job(id, body, now)
  local request, why = job_request(id, body)
  if not request then
    return nil, why
  elseif self.jobs[id] then
    return fail("ResourceAlreadyExistsException", "Job %s exists already", id)
  end
  local job, out = new_job(self, id, request, body, now), {}
  self.jobs[id] = job
  self:touch(job)
  tell_job(self, "service.job_created", job, ("created for %d thing%s"):format(#request.names,
    #request.names == 1 and "" or "s"))
  for _, name in ipairs(request.names) do
    self:announce(out, self:queue(job, name, now), now)
  end
  return job_answer(job), out
end

--- DescribeJob.
function engine:describe_job(id)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return { job = views.job(job) }
end

--- GetJobDocument.
function engine:job_document(id)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return { document = job.document }
end

local function by_seq(a, b)
  return a.seq < b.seq
end

--- ListJobs, in the order in which they were created.
---@param query table<string, string>  status, maxResults, nextToken
function engine:list_jobs(query)
  local jobs = {}
  for _, job in pairs(self.jobs) do
    if not query.status or job.status == query.status then
      jobs[#jobs + 1] = job
    end
  end
  table.sort(jobs, by_seq)
  local items, why, token = page(jobs, query, views.job_summary)
  if not items then
    return nil, why
  end
  return { jobs = items, nextToken = token }
end

--- Executions of `items` as a page of summaries beside what `name_of` adds.
local function summaries(executions, query, name, value_of)
  local found = {}
  for _, execution in ipairs(executions) do
    if not query.status or execution.status == query.status then
      found[#found + 1] = execution
    end
  end
  local items, why, token = page(found, query, function(execution)
    return {
      [name] = value_of(execution), jobExecutionSummary = views.control_summary(execution),
    }
  end)
  if not items then
    return nil, why
  end
  return { executionSummaries = items, nextToken = token }
end

--- ListJobExecutionsForJob.
function engine:list_executions_of_job(id, query)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return summaries(job.executions, query, "thingArn", function(execution)
    return execution.thing.arn
  end)
end

--- Every execution of a thing, oldest first.
local function executions_of(thing)
  local found = {}
  for _, record in pairs(thing and thing.records or {}) do
    for number = 1, record.latest do
      found[#found + 1] = record[number]
    end
  end
  table.sort(found, by_seq)
  return found
end

--- ListJobExecutionsForThing. A thing without jobs has an empty list.
---@param query table<string, string>  status, jobId, maxResults, nextToken
function engine:list_executions_of_thing(name, query)
  local found = {}
  for _, execution in ipairs(executions_of(self.things[name])) do
    if not query.jobId or execution.job.id == query.jobId then
      found[#found + 1] = execution
    end
  end
  return summaries(found, query, "jobId", function(execution) return execution.job.id end)
end

--- DescribeJobExecution.
function engine:describe_execution(thing, job, number, now)
  local execution = self:find(thing, job, number)
  if not execution then
    return no_execution(thing, job, number)
  end
  return { execution = views.control_execution(execution, now) }
end

local function cancel_execution(self, out, execution, force, details, now)
  execution.forced = force and execution.status == "IN_PROGRESS" or nil
  local change = self:move(execution, "CANCELED", now, details)
  self:tell("service.execution_canceled", execution, "CANCELED",
    force and "cancelled by force" or "cancelled")
  self:announce(out, change, now)
end

--- CancelJob. Without force only what is QUEUED: a device that has started goes on and reports.
--- How many were cancelled and how many go on are members of Hob's own in the answer.
---@param body table  reasonCode, comment
function engine:cancel_job(id, body, force, now)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  elseif job.status == "COMPLETED" then
    return fail("InvalidRequestException", "Job %s is COMPLETED and cannot be cancelled", id)
  end
  local reason, comment = rules.present(body.reasonCode), rules.present(body.comment)
  if type(reason or "") ~= "string" or type(comment or "") ~= "string" then
    return fail("InvalidRequestException", "reasonCode, comment: expected strings")
  end
  local out = {}
  job.status, job.forced, job.updated_at = "CANCELED", force or nil, math.floor(now)
  job.completed_at = job.completed_at or math.floor(now)
  job.reason_code, job.comment = reason, comment
  self:touch(job)
  local answer = job_answer(job)
  answer.canceledExecutions, answer.runningExecutions = 0, 0
  for _, execution in ipairs(job.executions) do
    if execution.status == "QUEUED" or force and execution.status == "IN_PROGRESS" then
      cancel_execution(self, out, execution, force, nil, now)
      answer.canceledExecutions = answer.canceledExecutions + 1
    elseif execution.status == "IN_PROGRESS" then
      answer.runningExecutions = answer.runningExecutions + 1
    end
  end
  tell_job(self, "service.job_canceled", job, force and "cancelled by force" or "cancelled")
  return answer, out
end

--- CancelJobExecution.
---@param body table  expectedVersion, statusDetails
function engine:cancel_job_execution(thing, job, body, force, now)
  local details, message = rules.status_details(body.statusDetails)
  local expected
  if not message then
    expected, message = rules.expected_version(body.expectedVersion)
  end
  if message then
    return fail("InvalidRequestException", "%s", message)
  end
  local execution = self:find(thing, job)
  if not execution then
    return no_execution(thing, job)
  elseif expected and expected ~= execution.version then
    return fail("VersionConflictException", "Expected version %d but found version %d", expected,
      execution.version)
  elseif rules.TERMINAL[execution.status] then
    return fail("InvalidStateTransitionException", "The execution has ended: %s", execution.status)
  elseif execution.status == "IN_PROGRESS" and not force then
    return fail("InvalidStateTransitionException", "The execution is IN_PROGRESS: use force")
  end
  local out = {}
  cancel_execution(self, out, execution, force, details, now)
  return {}, out
end

local function delete_execution(self, out, execution, now)
  local change = self:drop(execution, now)
  self:tell("service.execution_deleted", execution, execution.status, "deleted")
  self:announce(out, change, now)
end

--- DeleteJob. Its executions disappear with it.
function engine:delete_job(id, force, now)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  elseif job.status == "IN_PROGRESS" and not force then
    return fail("InvalidStateTransitionException", "Job %s is IN_PROGRESS: use force", id)
  end
  local out = {}
  for i = #job.executions, 1, -1 do
    delete_execution(self, out, job.executions[i], now)
  end
  self.jobs[id] = nil
  self:touch(job, true)
  tell_job(self, "service.job_deleted", job, "deleted")
  return {}, out
end

--- DeleteJobExecution.
function engine:delete_job_execution(thing, job, number, force, now)
  local execution = self:find(thing, job, number)
  if not execution then
    return no_execution(thing, job, number)
  elseif not rules.TERMINAL[execution.status] and not force then
    return fail("InvalidStateTransitionException", "The execution is %s: use force",
      execution.status)
  end
  local out = {}
  delete_execution(self, out, execution, now)
  return {}, out
end

--- Hob's own: every execution of the jobs named (all of them if none is), as a device sees them, in
--- the order in which they were queued. For `hob job watch`.
---@param ids string[]|nil
---@param query table<string, string>  maxResults, nextToken
function engine:executions(ids, query, now)
  local found = {}
  for _, id in ipairs(ids or {}) do
    if not self.jobs[id] then
      return no_job(id)
    end
  end
  for _, job in pairs(self.jobs) do
    table.move(job.executions, 1, #job.executions, #found + 1, found)
  end
  local wanted = ids and {}
  for _, id in ipairs(ids or {}) do
    wanted[id] = true
  end
  table.sort(found, by_seq)
  local chosen = {}
  for _, execution in ipairs(found) do
    if not wanted or wanted[execution.job.id] then
      chosen[#chosen + 1] = execution
    end
  end
  local items, why, token = page(chosen, query, function(execution)
    return views.execution(execution, now, false)
  end)
  if not items then
    return nil, why
  end
  return { executions = items, nextToken = token }
end

return M
