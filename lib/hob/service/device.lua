--- What devices ask of the service: the four operations of the Jobs device MQTT API.
---
--- Checks come in this order: JSON, clientToken, topic, members, existence, version, transition.
--- Spec: spec/unit/service_engine_spec.lua
local documents = require("hob.service.document")
local engine = require("hob.service.engine")
local rules = require("hob.service.rules")
local views = require("hob.service.views")

local M = {}

local ANSWERS = { accepted = true, rejected = true }
local EVENTS = { notify = true, ["notify-next"] = true }

local function split(topic)
  local parts = {}
  for part in (topic .. "/"):gmatch("([^/]*)/") do
    parts[#parts + 1] = part
  end
  return parts
end

--- Where a request goes, by the number of segments: a job may be called "get" or "notify".
---@return table|nil  nil: no request (the service's own messages come back on a plain broker)
local function route(topic)
  local parts = split(topic)
  if parts[1] ~= "$aws" or parts[2] ~= "things" or parts[4] ~= "jobs" or #parts < 5 then
    return nil
  end
  local first, second = parts[5], parts[6]
  if ANSWERS[parts[#parts]] or #parts == 5 and EVENTS[first] then
    return nil
  end
  local request = { topic = topic, thing = parts[3] }
  if #parts == 5 and (first == "get" or first == "start-next") then
    request.op = first
  elseif #parts == 6 and (second == "get" or second == "update") then
    request.op = second == "get" and "describe" or "update"
    request.job = first
  end
  return request
end

local function refusal(code, message, execution)
  return nil, { code = code, message = message, execution = execution }
end

--- Run checks of rules.lua over the body; the first that fails is the answer.
local function checked(body, checks)
  local values = {}
  for name, check in pairs(checks) do
    local value, message = check(body[name], name)
    if message then
      return refusal("InvalidRequest", message)
    end
    values[name] = value
  end
  return values
end

local function execution_number(value, name)
  return rules.integer(value, name, 1, 1 << 53)
end

local OPS = {}

local GET_CHECKS = {}

function OPS.get(self, request, _, now)
  local thing = self.things[request.thing]
  local in_progress, queued = {}, {}
  if thing then
    in_progress, queued = thing.pending:head(rules.LIST_MAX)
  end
  return {
    inProgressJobs = views.summaries(in_progress), queuedJobs = views.summaries(queued),
    timestamp = math.floor(now),
  }
end

local START_CHECKS = {
  statusDetails = rules.status_details,
  stepTimeoutInMinutes = function(value) return rules.step_minutes(value, false) end,
}

OPS["start-next"] = function(self, request, values, now)
  local thing = self.things[request.thing]
  local execution = thing and thing.pending:front()
  if not execution then
    return {}
  end
  local change
  if execution.status == "QUEUED" then
    change = self:move(execution, "IN_PROGRESS", now, values.statusDetails,
      values.stepTimeoutInMinutes)
    self:tell("service.execution_started", execution, "IN_PROGRESS", "started by start-next")
  end
  return { execution = views.execution(execution, now, true) }, nil, change
end

local DESCRIBE_CHECKS = {
  executionNumber = execution_number,
  includeJobDocument = rules.boolean,
}

local function not_found(request, number)
  return refusal("ResourceNotFound", ("No execution%s of job %s exists for thing %s"):format(
    number and " " .. number or "", request.job, request.thing))
end

local function describe_next(self, request, values, now)
  local thing = self.things[request.thing]
  local front = thing and thing.pending:front()
  local with_document = values.includeJobDocument ~= false
  return { execution = front and views.execution(front, now, with_document) or nil }
end

function OPS.describe(self, request, values, now)
  if request.job == "$next" then
    return describe_next(self, request, values, now)
  end
  local execution = self:find(request.thing, request.job, values.executionNumber)
  if not execution then
    return not_found(request, values.executionNumber)
  elseif rules.TERMINAL[execution.status] then
    return refusal("TerminalStateReached", ("The execution is in terminal status %s"):format(
      execution.status))
  end
  return { execution = views.execution(execution, now, values.includeJobDocument ~= false) }
end

local UPDATE_CHECKS = {
  status = rules.device_status,
  statusDetails = rules.status_details,
  expectedVersion = rules.expected_version,
  executionNumber = execution_number,
  includeJobExecutionState = rules.boolean,
  includeJobDocument = rules.boolean,
  stepTimeoutInMinutes = function(value) return rules.step_minutes(value, true) end,
}

--- Whether the execution is there, in the version meant, and may go where the device wants it.
local function find_for_update(self, request, values)
  local execution = self:find(request.thing, request.job, values.executionNumber)
  if not execution then
    return not_found(request, values.executionNumber)
  end
  local expected = values.expectedVersion
  if expected and expected ~= execution.version then
    return refusal("VersionMismatch", ("Expected version %d but found version %d"):format(expected,
      execution.version), execution)
  elseif rules.TERMINAL[execution.status] or values.status == "QUEUED" then
    return refusal("InvalidStateTransition", ("Cannot go from %s to %s"):format(execution.status,
      values.status), execution)
  end
  return execution
end

function OPS.update(self, request, values, now)
  local execution, why = find_for_update(self, request, values)
  if not execution then
    return nil, why
  end
  local change = self:move(execution, values.status, now, values.statusDetails,
    values.stepTimeoutInMinutes)
  self:tell("service.update_accepted", execution, values.status,
    ("%s accepted, now version %d"):format(values.status, execution.version))
  return {
    executionState = values.includeJobExecutionState and views.state(execution) or nil,
    jobDocument = values.includeJobDocument and documents.hand_out(execution, now) or nil,
  }, nil, change
end

local CHECKS = {
  get = GET_CHECKS, ["start-next"] = START_CHECKS, describe = DESCRIBE_CHECKS,
  update = UPDATE_CHECKS,
}

local function check_names(request)
  if not rules.thing_name(request.thing) then
    return refusal("InvalidRequest", "thing name: expected 1-128 of [a-zA-Z0-9:_-]")
  elseif request.job and not rules.job_id(request.job)
    and not (request.op == "describe" and request.job == "$next") then
    return refusal("InvalidRequest", "job id: expected 1-64 of [a-zA-Z0-9_-]")
  end
  return true
end

--- @return table|nil members, table|nil refusal, table|nil change
local function serve(self, request, payload, now)
  local body, message = rules.object(payload)
  if not body then
    return refusal("InvalidJson", message)
  end
  local token = rules.present(body.clientToken)
  if token ~= nil and type(token) ~= "string" then
    return refusal("InvalidRequest", "clientToken: expected a string, got " .. type(token))
  end
  request.token, request.asked = token, body.status
  if not request.op then
    return refusal("InvalidTopic", "No operation has this topic: " .. request.topic)
  end
  local named, why = check_names(request)
  if not named then
    return nil, why
  end
  local values
  values, why = checked(body, CHECKS[request.op])
  if not values then
    return nil, why
  end
  return OPS[request.op](self, request, values, now)
end

local function tell_refusal(self, request, why)
  local execution = why.execution
  self.on_event{
    level = "info",
    event = request.op == "update" and "service.update_rejected" or "service.request_rejected",
    text = ("%s%s rejected: %s"):format(request.op or request.topic,
      type(request.asked) == "string" and " " .. rules.cut(request.asked, 40) or "", why.message),
    thing = request.thing, job = request.job, execution = execution and execution.number,
    version = execution and execution.version, code = why.code,
  }
end

local function reject(self, out, request, why, now)
  tell_refusal(self, request, why)
  engine.say(out, request.topic .. "/rejected", {
    code = why.code, message = why.message, clientToken = request.token,
    timestamp = math.floor(now),
    executionState = why.execution and views.state(why.execution) or nil,
  })
end

--- Answer one message from a device.
---@param topic string
---@param payload string
---@param now number  seconds since the epoch
---@return hob.service.message[]  to be published in this order
function engine:handle(topic, payload, now)
  local out, request = {}, route(topic)
  if not request then
    return out
  end
  local ok, members, why, change = pcall(serve, self, request, payload, now)
  if not ok then
    self.on_event{ level = "error", event = "service.internal_error", text = tostring(members),
      thing = request.thing, job = request.job, code = "InternalError" }
    reject(self, out, request, { code = "InternalError", message = "The service failed" }, now)
  elseif not members then
    reject(self, out, request, why, now)
  else
    members.timestamp, members.clientToken = math.floor(now), request.token
    engine.say(out, topic .. "/accepted", members)
    if change then
      self:announce(out, change, now)
    end
  end
  return out
end

return M
