--- What devices ask of the service: the four operations of the Jobs device MQTT API.
---
--- Checks come in this order: size, JSON, clientToken, topic, members, existence, version,
--- transition.
--- Spec: spec/unit/service_engine_spec.lua
local documents = require("hob.service.documents")
local engine = require("hob.service.engine")
local rules = require("hob.service.rules")
local texts = require("hob.service.texts")
local views = require("hob.service.views")

local M = {}

--- The largest message that AWS IoT takes.
M.PAYLOAD_MAX = 128 * 1024

local EVENTS = { notify = true, ["notify-next"] = true }
local TOPIC_SHOWN = 250 -- characters; a real one has at most 226
local OF_A_THING = { get = "get", ["start-next"] = "start-next" }
local OF_A_JOB = { get = "describe", update = "update" }

--- Where a request goes, by the number of segments: a job may be called "get" or "notify".
---@param topic string
---@return table|nil request  {topic, thing, op, job}; no `op`: no operation has this topic. nil: no
--- request (the service's own messages come back on a plain broker)
function M.route(topic)
  local thing, rest = topic:match("^%$aws/things/([^/]*)/jobs/(.*)$")
  if not thing then
    return nil
  end
  local request = { topic = topic, thing = thing, op = OF_A_THING[rest] }
  if request.op then
    return request
  end
  local job, verb = rest:match("^([^/]*)/([^/]*)$")
  if OF_A_JOB[verb] then
    request.op, request.job = OF_A_JOB[verb], job
  elseif EVENTS[rest] or rest:find("/accepted$") or rest:find("/rejected$") then
    return nil
  end
  return request
end

local function refusal(code, message, execution)
  return nil, { code = code, message = message, execution = execution }
end

--- Run checks of rules.lua over the body, in order; the first that fails is the answer.
---@param checks { [1]: string, [2]: function }[]  a member, and what returns its value or a message
local function checked(body, checks)
  local values = {}
  for _, check in ipairs(checks) do
    local name = check[1]
    local value, message = check[2](body[name], name)
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
    inProgressJobs = request.views.summaries(in_progress),
    queuedJobs = request.views.summaries(queued),
    timestamp = math.floor(now),
  }
end

local START_CHECKS = {
  { "statusDetails", rules.status_details },
  { "stepTimeoutInMinutes", function(value) return rules.step_minutes(value, false) end },
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
  return { execution = request.views.execution(execution, now, true) }, nil, change
end

local DESCRIBE_CHECKS = {
  { "executionNumber", execution_number },
  { "includeJobDocument", rules.boolean },
}

local function not_found(request, number)
  return refusal("ResourceNotFound", ("No execution%s of job %s exists for thing %s"):format(
    number and " " .. number or "", request.job, request.thing))
end

local function describe_next(self, request, values, now)
  local thing = self.things[request.thing]
  local front = thing and thing.pending:front()
  local with_document = values.includeJobDocument ~= false
  return { execution = front and request.views.execution(front, now, with_document) or nil }
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
  return {
    execution = request.views.execution(execution, now, values.includeJobDocument ~= false),
  }
end

local UPDATE_CHECKS = {
  { "status", rules.device_status },
  { "statusDetails", rules.status_details },
  { "expectedVersion", rules.expected_version },
  { "executionNumber", execution_number },
  { "includeJobExecutionState", rules.boolean },
  { "includeJobDocument", rules.boolean },
  { "stepTimeoutInMinutes", function(value) return rules.step_minutes(value, true) end },
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

local HAS_STATE = { VersionMismatch = true, InvalidStateTransition = true }

--- The refusal that a fault puts in the place of an answer: nothing is looked at but what a refusal
--- repeats.
local function planted(self, request, body, code)
  local token = body and rules.present(body.clientToken)
  if code ~= "InvalidJson" and type(token) == "string" then
    request.token = token
  end
  return refusal(code, "A fault was planted", HAS_STATE[code] and request.job
    and self:find(request.thing, request.job) or nil)
end

--- Names, members, and the operation itself: for requests over MQTT, and for those over HTTPS of
--- hob.service.data_routes.
---@param request table  {op, thing, job, views?}; views: hob.service.views, or of its form
---@param body table
---@return table|nil members
---@return table|nil refusal  {code, message, execution}
---@return table|nil change   for `announce`
function engine:operate(request, body, now)
  request.views = request.views or views
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

--- @return table|nil members, table|nil refusal, table|nil change
local function serve(self, request, payload, now, instead)
  if #payload > M.PAYLOAD_MAX then
    return refusal("InvalidRequest", ("payload: at most %d bytes are allowed, got %d"):format(
      M.PAYLOAD_MAX, #payload))
  end
  local body, message = rules.object(payload)
  if instead then
    return planted(self, request, body, instead)
  end
  if not body then
    return refusal("InvalidJson", message)
  end
  local token = rules.present(body.clientToken)
  if token ~= nil and type(token) ~= "string" then
    return refusal("InvalidRequest", "clientToken: expected a string, got " .. type(token))
  end
  request.token, request.asked = token, body.status
  if not request.op then
    return refusal("InvalidTopic", "No operation has this topic: "
      .. rules.cut(request.topic, TOPIC_SHOWN))
  end
  request.views = texts
  return self:operate(request, body, now)
end

--- Tell the observer that a request was refused.
function engine:tell_refusal(request, why)
  local execution = why.execution
  self.on_event{
    level = "info",
    event = request.op == "update" and "service.update_rejected" or "service.request_rejected",
    text = ("%s%s rejected: %s"):format(request.op or rules.cut(request.topic, TOPIC_SHOWN),
      type(request.asked) == "string" and " " .. rules.cut(request.asked, 40) or "", why.message),
    thing = request.thing, job = request.job, execution = execution and execution.number,
    version = execution and execution.version, code = why.code,
  }
end

local function reject(self, out, request, why, now)
  self:tell_refusal(request, why)
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
---@param instead string?  refuse it with this code, whatever it is: see hob.service.faults
---@return hob.service.message[]  to be published in this order
function engine:handle(topic, payload, now, instead)
  local out, request = {}, M.route(topic)
  if not request then
    return out
  end
  local ok, members, why, change = pcall(serve, self, request, payload, now, instead)
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
