--- The state of the local Jobs service: things, jobs, executions, timers; and what a change to them
--- makes the service say. No I/O and no clock: `now` is handed in, messages are handed back, in the
--- order in which they are to be published.
---
--- `hob.service.device` adds what devices ask for over MQTT, `hob.service.control` what the owner
--- asks for over HTTP. Facts: AWS IoT Core Developer Guide, "Jobs".
--- Spec: spec/unit/service_engine_spec.lua
local deadlines = require("hob.service.deadlines")
local json_text = require("hob.service.json_text")
local pending = require("hob.service.pending")
local rules = require("hob.service.rules")
local views = require("hob.service.views")

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
---@field on_event fun(event: table)?  {level, event, text, thing, job, execution, code, version}

---@param options hob.service.engine.options?
---@return hob.service.engine
function M.new(options)
  options = options or {}
  return setmetatable({
    things = {}, -- by name; only those that ever had an execution
    jobs = {},   -- by id
    deadlines = deadlines.new(),
    minute = (options.minute_ms or 60000) / 1000,
    arn_head = ("arn:aws:iot:%s:%s:"):format(options.region or "us-east-1",
      options.account or "123456789012"),
    on_event = options.on_event or function() end,
    seq = 0,
    touched = {}, -- what the store has to write: see `touch`
  }, M)
end

--- Whoever changes a thing, group, job or execution says so here; the store writes it at the end of
--- the turn.
---@param object table
---@param gone boolean?  it is no more
function M:touch(object, gone)
  self.touched[object] = gone and "gone" or "changed"
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

--- `kind` is "thing" or "job".
function M:arn(kind, id)
  return self.arn_head .. kind .. "/" .. id
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

local function thing_of(self, name)
  local thing = self.things[name]
  if not thing then
    thing = {
      name = name, arn = self:arn("thing", name), pending = pending.new(), records = {},
      topic = "$aws/things/" .. name .. "/jobs/",
    }
    self.things[name] = thing
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
--- `notify-next` when another execution is first in it.
local function changed(thing, front, notify)
  return { thing = thing, notify = notify, next = thing.pending:front() ~= front }
end

function M.announce(_, out, change, now)
  local thing = change.thing
  if change.notify then
    M.say(out, thing.topic .. "notify", views.pending(thing, now))
  end
  if change.next then
    M.say(out, thing.topic .. "notify-next", views.next(thing, now))
  end
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

--- A new execution of a job on a thing.
function M:queue(job, thing_name, now)
  local thing = thing_of(self, thing_name)
  local front = thing.pending:front()
  local record = thing.records[job.id] or { latest = 0 }
  self.seq = self.seq + 1
  local execution = {
    thing = thing, job = job, number = record.latest + 1, status = "QUEUED", version = 1,
    seq = self.seq, queued_at = math.floor(now), updated_at = math.floor(now),
  }
  record.latest = execution.number
  record[execution.number] = execution
  thing.records[job.id] = record
  thing.pending:add(execution)
  job.executions[#job.executions + 1] = execution
  job.open = job.open + 1
  self:touch(execution)
  return changed(thing, front, true)
end

--- One less that has not ended; the job is over with the last.
local function close_one(self, job, now)
  job.open = job.open - 1
  self:touch(job)
  if job.open == 0 and job.status == "IN_PROGRESS" then
    job.status, job.completed_at, job.updated_at = "COMPLETED", math.floor(now), math.floor(now)
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

--- Give an execution a status, and count its version up. Who may do so is the caller's concern.
---@param details table|nil  nil: unchanged; the map is replaced as a whole
---@param step_minutes integer|nil
---@return table change  for `announce`
function M:move(execution, status, now, details, step_minutes)
  local thing = execution.thing
  local front = thing.pending:front()
  local ended = rules.TERMINAL[status] or false
  if status ~= execution.status then
    thing.pending:remove(execution)
    execution.status = status
    if not ended then
      thing.pending:add(execution)
      start(self, execution, now)
    end
  end
  execution.version = execution.version + 1
  execution.updated_at = math.floor(now)
  if details then
    execution.details = next(details) ~= nil and details or nil
  end
  if ended then
    self.deadlines:set(execution, nil)
    close_one(self, execution.job, now)
  else
    self:arm(execution, step_minutes, now)
  end
  self:touch(execution)
  return changed(thing, front, ended)
end

--- An execution disappears, as if it had never been.
---@return table change
function M:drop(execution, now)
  local thing, job = execution.thing, execution.job
  local front = thing.pending:front()
  local was_pending = thing.pending:remove(execution)
  self.deadlines:set(execution, nil)
  local record = thing.records[job.id]
  record[execution.number] = nil
  while record.latest > 0 and not record[record.latest] do
    record.latest = record.latest - 1
  end
  if record.latest == 0 then
    thing.records[job.id] = nil
  end
  for i, other in ipairs(job.executions) do
    if other == execution then
      table.remove(job.executions, i)
      break
    end
  end
  if was_pending then
    close_one(self, job, now)
  end
  self:touch(execution, true)
  return changed(thing, front, was_pending)
end

--- When `tick` has something to do.
---@return number|nil
function M:next_deadline()
  return self.deadlines:next()
end

--- End what is over its time.
---@return hob.service.message[]
function M:tick(now)
  local out = {}
  local execution = self.deadlines:due(now)
  while execution do
    local change = self:move(execution, "TIMED_OUT", now)
    self:tell("service.execution_timed_out", execution, "TIMED_OUT", "timed out")
    self:announce(out, change, now)
    execution = self.deadlines:due(now)
  end
  return out
end

return M
