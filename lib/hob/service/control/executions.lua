--- Executions as the owner of the fleet has them, as functions of the engine; see
--- hob.service.control for the form. Spec: spec/unit/service_control_spec.lua
local answers = require("hob.service.control.answers")
local engine = require("hob.service.engine")
local deadlines = require("hob.service.engine.deadlines")
local members = require("hob.service.control.members")
local ordered = require("hob.service.engine.ordered")
local rules = require("hob.service.rules")
local views = require("hob.service.views")

local fail, no_job, no_execution = answers.fail, answers.no_job, answers.no_execution

local STATUS = { "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED",
  "REMOVED", "CANCELED" }

local function seq_of(execution)
  return execution.seq
end

local function list_request(query)
  members.one_of(query.status, "status", STATUS)
  members.namespace(query.namespaceId)
  return true
end

--- A page of summaries, each beside the member `name`.
local function summaries(executions, query, list, name, value_of)
  local ok, why = members.checked(list_request, query)
  if not ok then
    return nil, why
  end
  return answers.page(executions, query, {
    name = list, member = "executionSummaries", kind = "number", key = seq_of,
    view = function(execution)
      return {
        [name] = value_of(execution), jobExecutionSummary = views.control_summary(execution),
      }
    end,
    keep = function(execution)
      return (not query.status or execution.status == query.status) and not query.namespaceId
        and (not query.jobId or execution.job.id == query.jobId)
    end,
  })
end

--- ListJobExecutionsForJob.
---@param query table<string, string>  status, maxResults, nextToken
function engine:list_executions_of_job(id, query)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return summaries(job.executions, query, "executions of job " .. id, "thingArn",
    function(execution) return execution.thing.arn end)
end

--- Every execution of a thing, oldest first.
local function executions_of(thing)
  local found = {}
  for _, record in pairs(thing and thing.records or {}) do
    for number = 1, record.latest do
      found[#found + 1] = record[number]
    end
  end
  return ordered.sorted(found, seq_of)
end

--- ListJobExecutionsForThing. A thing without jobs has an empty list.
---@param query table<string, string>  status, jobId, namespaceId, maxResults, nextToken
function engine:list_executions_of_thing(name, query)
  return summaries(executions_of(self.things[name]), query, "executions of thing " .. name, "jobId",
    function(execution) return execution.job.id end)
end

--- DescribeJobExecution.
function engine:describe_execution(thing, job, number, now)
  local execution = self:find(thing, job, number)
  if not execution then
    return no_execution(thing, job, number)
  end
  return { execution = views.control_execution(execution, now) }
end

--- End an execution as CANCELED.
function engine:cancel(out, execution, force, details, now)
  execution.forced = force and execution.status == "IN_PROGRESS" or nil
  local change = self:move(execution, "CANCELED", now, details)
  self:tell("service.execution_canceled", execution, "CANCELED",
    force and "cancelled by force" or "cancelled")
  self:announce(out, change, now)
end

local function cancel_request(body)
  return {
    details = members.rule(rules.status_details(body.statusDetails)),
    version = members.rule(rules.expected_version(body.expectedVersion)),
  }
end

--- CancelJobExecution.
---@param body table  expectedVersion, statusDetails
function engine:cancel_job_execution(thing, job, body, force, now)
  local request, why = members.checked(cancel_request, body)
  if not request then
    return nil, why
  end
  local execution, expected = self:find(thing, job), request.version
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
  self:cancel(out, execution, force, request.details, now)
  return {}, out
end

--- Delete an execution, whatever its status.
function engine:delete(out, execution, now)
  local change = self:drop(execution, now)
  self:tell("service.execution_deleted", execution, execution.status, "deleted")
  self:announce(out, change, now)
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
  self:delete(out, execution, now)
  return {}, out
end

--- The first `count` executions of some jobs after a `seq`, in the order in which they were queued:
--- each job's are in this order, the job whose next one is the oldest is asked first.
local function executions_after(jobs, seq, count)
  local found, next_ones = {}, deadlines.new()
  for _, job in pairs(jobs) do
    local at = ordered.place_after(job.executions, seq, seq_of)
    if job.executions[at] then
      next_ones:set({ list = job.executions, at = at }, job.executions[at].seq)
    end
  end
  while #found < count and next_ones[1] do
    local one = next_ones[1]
    found[#found + 1], one.at = one.list[one.at], one.at + 1
    next_ones:set(one, one.list[one.at] and one.list[one.at].seq)
  end
  return found
end

--- Hob's own: every execution of the jobs named (all of them if none is), as a device sees them, in
--- the order in which they were queued. For `hob job watch`.
---@param ids string[]|nil
---@param query table<string, string>  jobs, maxResults, nextToken
function engine:executions(ids, query, now)
  local jobs = ids and {} or self.jobs
  for _, id in ipairs(ids or {}) do
    if not self.jobs[id] then
      return no_job(id)
    end
    jobs[id] = self.jobs[id]
  end
  local function after(seq, count)
    return executions_after(jobs, seq, count)
  end
  return answers.page(after, query, {
    name = "all executions", member = "executions", kind = "number", key = seq_of,
    view = function(execution) return views.execution(execution, now, false) end,
  })
end
