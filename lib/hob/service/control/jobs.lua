--- Jobs as their owner has them: CreateJob and what follows, as functions of the engine; see
--- hob.service.control for the form. Spec: spec/unit/service_jobs_spec.lua
local answers = require("hob.service.control.answers")
local documents = require("hob.service.documents")
local engine = require("hob.service.engine")
local events_out = require("hob.service.engine.events_out")
local job_request = require("hob.service.control.job_request")
local members = require("hob.service.control.members")
local ordered = require("hob.service.engine.ordered")
local rules = require("hob.service.rules")
local targets = require("hob.service.control.targets")
local views = require("hob.service.views")

local fail, no_job = answers.fail, answers.no_job

local TARGETS_MAX = 100

local function job_answer(job)
  return { jobArn = job.arn, jobId = job.id, description = job.description }
end

local function tell_job(self, event, job, text)
  self.on_event{ level = "info", event = event, job = job.id, code = job.status, text = text }
end

local function arns_of(list)
  local arns = {}
  for i, target in ipairs(list) do
    arns[i] = target.arn
  end
  return arns
end

--- The parts of a CreateJob request, checked: what a job keeps of it, and its targets.
local function create_request(id, body)
  local fields = job_request.create(id, body)
  local list = targets.check(body.targets)
  fields.targets = arns_of(list)
  return fields, list
end

--- Fields that follow from nothing else; `request` has the others.
local function new_job(self, id, request, now)
  self.seq = self.seq + 1
  local job = {
    kind = "job", id = id, arn = self:arn("job", id), seq = self.seq, status = "IN_PROGRESS",
    created_at = math.floor(now), updated_at = math.floor(now), executions = {}, open = 0,
    counts = views.no_counts(),
  }
  for name, value in pairs(request) do
    job[name] = value
  end
  return job
end

--- Queue executions on things, the first of them now.
local function send_out(self, out, job, names, now)
  for _, name in ipairs(names) do
    self:thing(name)
  end
  job.waiting, job.waiting_from = names, 1
  self:roll_out(out, job, now)
end

--- CreateJob.
---@param body table  the request, decoded
---@return table|nil answer
---@return table messages_or_error
---@return (fun(): boolean)|nil done  whether all is queued that does not wait for a rollout
function engine:create_job(id, body, now)
  local request, list = members.checked(create_request, id, body)
  if not request then
    return nil, list
  end
  local ok, why = self:know_groups(list)
  if not ok then
    return nil, why
  elseif self.jobs[id] then
    local _, exists = fail("ResourceAlreadyExistsException", "Job %s exists already", id)
    exists.more = { resourceId = id, resourceArn = self.jobs[id].arn }
    return nil, exists
  end
  local document, message, more = documents.from_request(body, self)
  if not document then
    return fail(more or "InvalidRequestException", "%s", message)
  end
  request.document = document
  for name, value in pairs(more) do
    request[name] = value
  end
  local job, out, names = new_job(self, id, request, now), {}, self:things_of(list)
  self:enter("jobs", id, job)
  self:follow(job)
  self:touch(job)
  tell_job(self, "service.job_created", job, ("created for %d thing%s"):format(#names,
    #names == 1 and "" or "s"))
  send_out(self, out, job, names, now)
  return job_answer(job), out, function() return job.waiting == nil or job.rollout ~= nil end
end

--- DescribeJob.
function engine:describe_job(id)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return { job = views.job(job), documentSource = job.document_source }
end

--- GetJobDocument.
function engine:job_document(id)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  end
  return { document = job.document }
end

local JOB_STATUS = { "IN_PROGRESS", "CANCELED", "COMPLETED", "DELETION_IN_PROGRESS", "SCHEDULED" }

local function list_request(query)
  members.one_of(query.status, "status", JOB_STATUS)
  members.one_of(query.targetSelection, "targetSelection", { "CONTINUOUS", "SNAPSHOT" })
  members.namespace(query.namespaceId)
  return { group = members.name(query.thingGroupName, "thingGroupName"),
    id = members.text(query.thingGroupId, "thingGroupId", { min = 1, max = 128,
      pattern = "[%w-]+", words = "characters of [a-zA-Z0-9-]" }) }
end

--- The group that a list of jobs is asked for.
---@return table|false|nil group  false: none was named
---@return table|nil error
local function group_asked(self, request)
  if not request.group and not request.id then
    return false
  end
  for name, group in pairs(self.groups) do
    if (not request.group or name == request.group)
      and (not request.id or group.id == request.id) then
      return group
    end
  end
  return fail("ResourceNotFoundException", "Thing group %s cannot be found",
    request.group or request.id)
end

--- ListJobs, in the order in which they were created.
---@param query table<string, string>  status, targetSelection, thingGroupName, thingGroupId,
--- namespaceId, maxResults, nextToken
function engine:list_jobs(query)
  local request, why = members.checked(list_request, query)
  if not request then
    return nil, why
  end
  local group
  group, why = group_asked(self, request)
  if why then
    return nil, why
  end
  return answers.page(self:in_order("jobs", "seq"), query, {
    name = "jobs", member = "jobs", kind = "number",
    key = function(job) return job.seq end,
    view = function(job) return views.job_summary(job, group and group.id or nil) end,
    keep = function(job)
      return (not query.status or job.status == query.status) and not query.namespaceId
        and (not query.targetSelection or job.target_selection == query.targetSelection)
        and (not group or job.target_groups[group.name])
    end,
  })
end

--- A job that is IN_PROGRESS.
local function running(self, id, action)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  elseif job.status ~= "IN_PROGRESS" then
    return fail("InvalidRequestException", "Job %s is %s and cannot be %s", id, job.status, action)
  end
  return job
end

--- UpdateJob: what is not given stays. What has started keeps its timer, a rollout takes up its new
--- rate with the next batch.
function engine:update_job(id, body, now)
  local request, why = members.checked(job_request.update, id, body)
  if not request then
    return nil, why
  end
  local job
  job, why = running(self, id, "updated")
  if not job then
    return nil, why
  end
  for name, value in pairs(request) do
    job[name] = value
  end
  job.updated_at = math.floor(now)
  self:touch(job)
  tell_job(self, "service.job_updated", job, "updated")
  return {}
end

local function associate_request(body)
  local list = targets.check(body.targets)
  members.prose(body.comment, "comment", rules.DESCRIPTION_BYTES)
  for i, target in ipairs(list) do
    if target.kind ~= "thinggroup" then
      members.refuse("targets[%d]: expected the ARN of a thing group, got %s", i - 1,
        members.shown(target.arn))
    end
  end
  return list
end

--- The targets that a job does not have yet.
local function new_targets(job, list)
  local found = {}
  for _, target in ipairs(list) do
    if not job.target_groups[target.name] then
      found[#found + 1] = target
    end
  end
  return found
end

--- What of `names` a continuous job does not reach yet.
local function not_reached(self, job, names)
  local found = {}
  for _, name in ipairs(names) do
    if not self:reaches(job, self.things[name]) then
      found[#found + 1] = name
    end
  end
  return found
end

--- AssociateTargetsWithJob: more groups for a continuous job.
function engine:associate_targets(id, body, now)
  local list, why = members.checked(associate_request, body)
  if not list then
    return nil, why
  end
  local job
  job, why = running(self, id, "given targets")
  if not job then
    return nil, why
  elseif job.target_selection ~= "CONTINUOUS" then
    return fail("InvalidRequestException", "targets: job %s is %s, only CONTINUOUS ones take more",
      id, job.target_selection)
  end
  local known
  known, why = self:know_groups(list)
  if not known then
    return nil, why
  end
  list = new_targets(job, list)
  if #job.targets + #list > TARGETS_MAX then
    return fail("LimitExceededException", "targets: a job has at most %d, this one would have %d",
      TARGETS_MAX, #job.targets + #list)
  end
  local names, out = not_reached(self, job, self:things_of(list)), {}
  table.move(arns_of(list), 1, #list, #job.targets + 1, job.targets)
  self:follow(job)
  job.updated_at, job.comment = math.floor(now), rules.present(body.comment) or job.comment
  self:touch(job)
  for _, name in ipairs(names) do
    self:announce(out, self:queue(job, name, now), now)
  end
  return job_answer(job), out
end

-- So many executions are ended in one turn; the rest in turns to come, devices being answered
-- between two of them.
local PORTION, PAUSE = 100, 0.001

local ENDINGS = {}

local function seq_of(execution)
  return execution.seq
end

--- @return boolean more
function ENDINGS.cancel(self, out, job, ending, now)
  local first = ordered.place_after(job.executions, ending.after, seq_of)
  local last = math.min(#job.executions, first + PORTION - 1)
  for i = first, last do
    local execution = job.executions[i]
    if execution.status == "QUEUED" or ending.force and execution.status == "IN_PROGRESS" then
      self:cancel(out, execution, ending.force, nil, now)
    end
    ending.after = execution.seq
  end
  return last < #job.executions
end

function ENDINGS.delete(self, out, job, _, now)
  local count = #job.executions
  for i = count, math.max(1, count - PORTION + 1), -1 do
    self:delete(out, job.executions[i], now)
  end
  return count > PORTION
end

local ENDED = {}

function ENDED.cancel(self, out, job, now)
  events_out.job(self, out, job, "canceled", now)
  tell_job(self, "service.job_canceled", job, job.forced and "cancelled by force" or "cancelled")
end

function ENDED.delete(self, out, job, now)
  self:enter("jobs", job.id, nil)
  self:touch(job, true)
  events_out.job(self, out, job, "deleted", now)
  tell_job(self, "service.job_deleted", job, "deleted")
end

--- Go on with a job's cancelling or deletion, which is in `job.ending`.
function engine:end_job(out, job, now)
  local ending = job.ending
  if ENDINGS[ending.how](self, out, job, ending, now) then
    self.deadlines:set(job, now + PAUSE)
    return
  end
  job.ending = nil
  self.deadlines:set(job, nil)
  self:touch(job)
  ENDED[ending.how](self, out, job, now)
end

--- @return fun(): boolean done
local function start_ending(self, out, job, ending, now)
  job.ending = ending
  self:touch(job)
  self:end_job(out, job, now)
  return function() return job.ending ~= ending end
end

--- CancelJob. Without force only what is QUEUED: a device that has started goes on and reports.
---@param body table  reasonCode, comment
---@return table|nil answer
---@return table messages_or_error
---@return (fun(): boolean)|nil done
function engine:cancel_job(id, body, force, now)
  local request, why = members.checked(job_request.cancel, id, body)
  local job = self.jobs[id]
  if not request then
    return nil, why
  elseif not job then
    return no_job(id)
  elseif job.status ~= "IN_PROGRESS" and job.status ~= "CANCELED" then
    return fail("InvalidRequestException", "Job %s is %s and cannot be cancelled", id, job.status)
  end
  local out = {}
  self:close_job(job, "CANCELED", now)
  job.forced = force or job.forced
  job.reason_code = request.reason_code or job.reason_code
  job.comment = request.comment or job.comment
  events_out.job(self, out, job, "cancellation_in_progress", now)
  local done = start_ending(self, out, job, { how = "cancel", force = force, after = 0 }, now)
  return job_answer(job), out, done
end

--- DeleteJob. Its executions disappear with it.
---@return table|nil answer
---@return table messages_or_error
---@return (fun(): boolean)|nil done
function engine:delete_job(id, force, now)
  local job = self.jobs[id]
  if not job then
    return no_job(id)
  elseif job.status == "IN_PROGRESS" and not force then
    return fail("InvalidStateTransitionException", "Job %s is IN_PROGRESS: use force", id)
  elseif job.status == "DELETION_IN_PROGRESS" then
    return fail("InvalidStateTransitionException", "Job %s is being deleted already", id)
  end
  local out = {}
  self:close_job(job, "DELETION_IN_PROGRESS", now)
  events_out.job(self, out, job, "deletion_in_progress", now)
  return {}, out, start_ending(self, out, job, { how = "delete" }, now)
end
