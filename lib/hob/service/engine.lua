--- The state of the local Jobs service: things, groups, jobs, executions, timers; and what a change
--- to them makes the service say. No I/O and no clock: `now` is handed in, messages are handed
--- back, in the order in which they are to be published.
---
--- `hob.service.device` adds what devices ask for over MQTT, `hob.service.control` what the owner
--- asks for over HTTP. Facts: AWS IoT Core Developer Guide, "Jobs".
--- Spec: spec/unit/service_engine_spec.lua
---
--- Objects carry their `kind` and hold scalars, lists and maps of them, and each other; those
--- marked * follow from the rest, and `hob.service.engine.adopt` makes them again:
---   thing      name arn id registered deleted attributes type_name billing_group version groups
---              topic* pending* records*
---   group      name arn id description attributes parent version created_at  members*
---   job        id arn document targets target_selection status ... waiting waiting_from ending
---              deadline executions* open* counts* target_things* target_groups*
---              heap_index* artifacts*
---   execution  thing job number status version seq ... job_deadline step_deadline
---              deadline* prev* next* list* heap_index* texts*
---   settings   events created_at updated_at
local deadlines = require("hob.service.engine.deadlines")
local events_out = require("hob.service.engine.events_out")
local json_text = require("hob.service.json_text")
local ordered = require("hob.service.engine.ordered")
local pending = require("hob.service.engine.pending")
local retries = require("hob.service.engine.retries")
local rollout = require("hob.service.engine.rollout")
local rules = require("hob.service.rules")
local texts = require("hob.service.texts")
local uuid = require("hob.service.engine.uuid")

---@class hob.service.message
---@field topic string
---@field payload string

---@class hob.service.engine
local M = {}
M.__index = M

---@class hob.service.engine.options
---@field minute_ms integer?  how long a minute of a timer lasts; 60000
---@field region string?
---@field account string?
---@field events boolean?     publish $aws/events/job... from the start
---@field on_event fun(event: table)?  {level, event, text, thing, job, execution, code, version}

---@param options hob.service.engine.options?
---@return hob.service.engine
function M.new(options)
  options = options or {}
  return setmetatable({
    things = {}, -- by name
    groups = {}, -- by name
    jobs = {},   -- by id
    continuous = {}, -- the jobs that follow their groups: a set
    settings = {
      kind = "settings",
      events = { JOB = options.events or false, JOB_EXECUTION = options.events or false },
    },
    sorted = {}, -- lists in the order of their keys, made when they are asked for
    deadlines = deadlines.new(),
    minute = (options.minute_ms or 60000) / 1000,
    arn_head = ("arn:aws:iot:%s:%s:"):format(options.region or "us-east-1",
      options.account or "123456789012"),
    on_event = options.on_event or function() end,
    seq = 0,
    touched = {}, -- what the store has to write: see `touch`
  }, M)
end

--- Whoever changes a thing, group, job, execution or the settings says so here; the store writes it
--- at the end of the turn.
---@param object table
---@param gone boolean?  it is no more
function M:touch(object, gone)
  self.touched[object] = gone and "gone" or "changed"
end

--- There is no store: nothing is remembered for it.
function M:store_nothing()
  self.touch = function() end
end

--- What was touched since the last call.
---@return table<table, "changed"|"gone">
function M:take_touched()
  local touched = self.touched
  if next(touched) ~= nil then
    self.touched = {}
  end
  return touched
end

--- `kind` is "thing", "thinggroup" or "job".
function M:arn(kind, id)
  return self.arn_head .. kind .. "/" .. id
end

---@return string
function M:region()
  return self.arn_head:match("^arn:aws:iot:([^:]*)")
end

--- Tell the observer what happened to an execution.
function M:tell(event, execution, code, text)
  self.on_event{
    level = "info", event = event, text = text, thing = execution.thing.name,
    job = execution.job.id, execution = execution.number, code = code,
    version = execution.version,
  }
end

--- Append a message.
---@param members table|string  a payload, or text
function M.say(out, topic, members)
  out[#out + 1] = { topic = topic, payload = json_text.encode(members) }
end

--- The things, groups or jobs in the order of `key`; to be read only.
---@param what "things"|"groups"|"jobs"
---@param key string
function M:in_order(what, key)
  local list = self.sorted[what]
  if not list then
    list = {}
    for _, item in pairs(self[what]) do
      list[#list + 1] = item
    end
    list = ordered.sorted(list, function(item) return item[key] end)
    self.sorted[what] = list
  end
  return list
end

--- Enter a thing, group or job, or strike it out.
---@param what "things"|"groups"|"jobs"
---@param item table|nil
function M:enter(what, key, item)
  self[what][key], self.sorted[what] = item, nil
end

--- A thing, made if there is none: also one that nobody has registered may have jobs.
---@param name string
---@return table
function M:thing(name)
  local thing = self.things[name]
  if not thing then
    thing = {
      kind = "thing", name = name, arn = self:arn("thing", name), id = uuid.new(), version = 1,
      attributes = {}, groups = {}, pending = pending.new(), records = {},
      topic = "$aws/things/" .. name .. "/jobs/",
    }
    self:enter("things", name, thing)
    self:touch(thing)
  elseif thing.deleted then
    thing.deleted, thing.id, thing.version = nil, uuid.new(), 1
    self:touch(thing)
  end
  return thing
end

--- The execution of a job on a thing; the latest if no number is given.
---@return table|nil
function M:find(thing_name, job_id, number)
  local thing = self.things[thing_name]
  local record = thing and thing.records[job_id]
  if not record then
    return nil
  end
  return number and record[number] or not number and record[record.latest] or nil
end

--- What a change gives devices to know: `notify` when the pending list gained or lost a member,
--- `notify-next` when another execution is first in it. `after` are messages for others, `more` the
--- changes that came of this one.
local function changed(thing, front, notify, after, more)
  return { thing = thing, notify = notify, next = thing.pending:front() ~= front, after = after,
    more = more }
end

local function append(out, messages)
  table.move(messages or {}, 1, messages and #messages or 0, #out + 1, out)
end

function M:announce(out, change, now)
  local thing = change.thing
  if change.notify then
    M.say(out, thing.topic .. "notify", texts.pending(thing, now))
  end
  if change.next then
    M.say(out, thing.topic .. "notify-next", texts.next(thing, now))
  end
  append(out, change.after)
  for _, one in ipairs(change.more or {}) do
    self:announce(out, one, now)
  end
  append(out, change.last)
end

--- Both notifications of a thing as it is now: for whoever knows that some were lost.
---@return hob.service.message[]
function M:state_of(thing_name, now)
  local out, thing = {}, self.things[thing_name]
  if thing then
    self:announce(out, { thing = thing, notify = true, next = true }, now)
  end
  return out
end

local function count(job, status, change)
  job.counts[status] = job.counts[status] + change
end

--- Link an execution to its thing and its job.
function M.link(_, execution)
  local thing, job = execution.thing, execution.job
  local record = thing.records[job.id] or { latest = 0 }
  record.latest = math.max(record.latest, execution.number)
  record[execution.number] = execution
  thing.records[job.id] = record
  table.insert(job.executions, execution)
  count(job, execution.status, 1)
  if not rules.TERMINAL[execution.status] then
    thing.pending:add(execution)
    job.open = job.open + 1
  end
end

local function enqueue(self, job, thing, now, retry)
  local record = thing.records[job.id]
  self.seq = self.seq + 1
  local execution = {
    kind = "execution", thing = thing, job = job, number = (record and record.latest or 0) + 1,
    status = "QUEUED", version = 1, seq = self.seq, queued_at = math.floor(now),
    updated_at = math.floor(now),
  }
  for name, value in pairs(retry or {}) do
    execution[name] = value
  end
  self:link(execution)
  self:touch(execution)
  return execution
end

--- A new execution of a job on a thing.
---@return table change  for `announce`
function M:queue(job, thing_name, now)
  local thing = self:thing(thing_name)
  local front = thing.pending:front()
  enqueue(self, job, thing, now)
  return changed(thing, front, true)
end

--- A snapshot job is over with its last execution.
---@return hob.service.message[]|nil
function M:complete(job, now)
  if job.open > 0 or job.status ~= "IN_PROGRESS" or rollout.is_open(job)
    or job.target_selection == "CONTINUOUS" then
    return nil
  end
  local after = {}
  job.status, job.completed_at, job.updated_at = "COMPLETED", math.floor(now), math.floor(now)
  self:touch(job)
  events_out.job(self, after, job, "completed", now)
  return after
end

--- No more executions of a job: neither from its rollout nor from its groups.
function M:close_job(job, status, now)
  job.status, job.updated_at = status, math.floor(now)
  job.completed_at = job.completed_at or math.floor(now)
  job.waiting, job.waiting_from = nil, nil
  self.deadlines:set(job, nil)
  self.continuous[job] = nil
  self:touch(job)
end

--- A job is given up: what is QUEUED is cancelled, what is IN_PROGRESS goes on.
---@return table[] changes
---@return hob.service.message[] last
local function give_up(self, job, criterion, now)
  local more, last = {}, {}
  self:close_job(job, "CANCELED", now)
  job.reason_code = "ABORT_CRITERIA_MET"
  job.comment = ("%s: at least %g%% of %d executions or more"):format(criterion.failureType,
    criterion.thresholdPercentage, criterion.minNumberOfExecutedThings)
  self.on_event{ level = "warn", event = "service.job_aborted", job = job.id, code = "CANCELED",
    text = "given up: " .. job.comment }
  for _, execution in ipairs(job.executions) do
    if execution.status == "QUEUED" then
      more[#more + 1] = self:move(execution, "CANCELED", now)
      self:tell("service.execution_canceled", execution, "CANCELED", "cancelled with its job")
    end
  end
  events_out.job(self, last, job, "canceled", now)
  return more, last
end

--- Try again what failed, if the job says so.
local function try_again(self, execution, now)
  local retry = execution.job.status == "IN_PROGRESS" and retries.following(execution)
  if retry then
    local following = enqueue(self, execution.job, execution.thing, now, retry)
    self:tell("service.execution_retried", following, "QUEUED",
      ("retry %d after %s"):format(retry.retry_attempt, execution.status))
  end
end

--- Set, keep or discard (-1) the step timer; the in-progress timer bounds it.
function M:arm(execution, step_minutes, now)
  if step_minutes then
    execution.step_deadline = step_minutes > 0 and now + step_minutes * self.minute or nil
  end
  local step, whole = execution.step_deadline, execution.job_deadline
  self.deadlines:set(execution, step and whole and math.min(step, whole) or step or whole)
end

local function start(self, execution, now)
  execution.started_at = math.floor(now)
  local minutes = execution.job.minutes
  execution.job_deadline = minutes and now + minutes * self.minute or nil
end

--- What follows from the end of an execution.
---@return table change
local function ended(self, execution, front, now)
  local job, after, more, last = execution.job, {}, nil, nil
  self.deadlines:set(execution, nil)
  job.open = job.open - 1
  events_out.execution(self, after, execution, execution.status:lower(), now)
  local criterion = job.status == "IN_PROGRESS" and retries.given_up(job)
  if criterion then
    more, last = give_up(self, job, criterion, now)
  end
  try_again(self, execution, now)
  append(after, self:complete(job, now))
  local change = changed(execution.thing, front, true, after, more)
  change.last = last
  return change
end

--- Give an execution a status, and count its version up. Who may do so is the caller's concern.
---@param details table|nil  nil: unchanged; the map is replaced as a whole
---@param step_minutes integer|nil
---@return table change  for `announce`
function M:move(execution, status, now, details, step_minutes)
  local thing = execution.thing
  local front = thing.pending:front()
  local is_end = rules.TERMINAL[status] or false
  if status ~= execution.status then
    thing.pending:remove(execution)
    count(execution.job, execution.status, -1)
    count(execution.job, status, 1)
    execution.status = status
    if not is_end then
      thing.pending:add(execution)
      start(self, execution, now)
    end
  end
  execution.version = execution.version + 1
  execution.updated_at = math.floor(now)
  if details then
    execution.details = next(details) ~= nil and details or nil
  end
  self:touch(execution)
  if is_end then
    return ended(self, execution, front, now)
  end
  self:arm(execution, step_minutes, now)
  return changed(thing, front, false)
end

local function seq_of(execution)
  return execution.seq
end

local function unlink(thing, execution)
  local job = execution.job
  local record = thing.records[job.id]
  record[execution.number] = nil
  while record.latest > 0 and not record[record.latest] do
    record.latest = record.latest - 1
  end
  if record.latest == 0 then
    thing.records[job.id] = nil
  end
  table.remove(job.executions, ordered.place_after(job.executions, execution.seq, seq_of) - 1)
  count(job, execution.status, -1)
end

--- A thing that was deleted stays for as long as executions name it.
function M:forget(thing)
  if thing.deleted and next(thing.records) == nil then
    self:enter("things", thing.name, nil)
    self:touch(thing, true)
  end
end

--- An execution disappears, as if it had never been.
---@return table change
function M:drop(execution, now)
  local thing, job, after = execution.thing, execution.job, {}
  local front = thing.pending:front()
  local was_pending = thing.pending:remove(execution)
  self.deadlines:set(execution, nil)
  unlink(thing, execution)
  events_out.execution(self, after, execution, "deleted", now)
  if was_pending then
    job.open = job.open - 1
    append(after, self:complete(job, now))
  end
  self:touch(execution, true)
  if rollout.is_open(job) then -- so that it is not queued anew after a restart
    self:touch(job)
  end
  self:forget(thing)
  return changed(thing, front, was_pending, after)
end

--- An execution that a thing is no longer to do.
---@return table change
function M:remove(execution, now, why)
  local change = self:move(execution, "REMOVED", now)
  self:tell("service.execution_removed", execution, "REMOVED", why)
  return change
end

--- Queue the next batch of a job's executions, and see to the one after it.
function M:roll_out(out, job, now)
  for _, name in ipairs(rollout.take(job)) do
    local thing = self.things[name]
    -- it may have been deleted meanwhile, have left or joined the groups of a continuous job, or
    -- have got its execution before a restart
    if thing and not thing.deleted and not thing.records[job.id]
      and (job.target_selection ~= "CONTINUOUS" or self:reaches(job, thing)) then
      self:announce(out, self:queue(job, name, now), now)
    end
  end
  local open = rollout.is_open(job)
  self.deadlines:set(job, open and now + rollout.pause(job, self.minute) or nil)
  if job.rollout or not open then -- else a long list would be stored with each portion
    self:touch(job)
  end
  append(out, self:complete(job, now))
end

--- When `tick` has something to do.
---@return number|nil
function M:next_deadline()
  return self.deadlines:next()
end

--- End what is over its time, queue what is due.
---@return hob.service.message[]
function M:tick(now)
  local out = {}
  local item = self.deadlines:due(now)
  while item do
    if item.kind == "job" and item.ending then
      self:end_job(out, item, now)
    elseif item.kind == "job" then
      self:roll_out(out, item, now)
    else
      local change = self:move(item, "TIMED_OUT", now)
      self:tell("service.execution_timed_out", item, "TIMED_OUT", "timed out")
      self:announce(out, change, now)
    end
    item = self.deadlines:due(now)
  end
  return out
end

return M
