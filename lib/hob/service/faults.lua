--- Faults planted in the service: what goes wrong between a device and the service, on demand, for
--- tests and demonstrations. A fault meets requests before the service sees them, or answers and
--- notifications before they are published. No I/O: `hob.service.mqtt_side` does what it says.
--- Spec: spec/unit/service_faults_spec.lua
local device = require("hob.service.device")
local provisioning = require("hob.service.provisioning")
local rules = require("hob.service.rules")

---@class hob.service.fault
---@field faultId integer
---@field op string
---@field action string
---@field side "request"|"answer"
---@field used integer       how often it was used
---@field count integer?     after so many uses it has ended
---@field code string?
---@field delayMs integer?
---@field thing string?
---@field job string?

local M = {}
M.__index = M

M.OPS = { "get", "start-next", "describe", "update", "notify", "notify-next",
  "create-certificate", "register-thing", "any" }
M.CODES = {
  "InvalidTopic", "InvalidJson", "InvalidRequest", "InvalidStateTransition", "ResourceNotFound",
  "VersionMismatch", "InternalError", "RequestThrottled", "TerminalStateReached",
}
M.ACTIONS = { "drop", "delay", "duplicate", "reject", "garbage", "disconnect" }
M.SIDES = { "request", "answer" }
M.DELAY_MAX = 600000
M.COUNT_MAX = 1000000
local FAULTS_MAX = 100

-- Where an action can be, the usual place first.
local PLACES = {
  drop = { "request", "answer" }, delay = { "answer", "request" },
  duplicate = { "answer", "request" }, reject = { "request" }, garbage = { "answer" },
  disconnect = { "request", "answer" },
}
local EVENTS = { notify = true, ["notify-next"] = true }
local NAMES_A_JOB = { describe = true, update = true, any = true }
local MEMBERS = {
  op = true, action = true, side = true, code = true, delayMs = true, thing = true, job = true,
  count = true,
}

local function one_of(given, name, list)
  for _, value in ipairs(list) do
    if given == value then
      return value
    end
  end
  return nil, ("%s: expected %s, got %s"):format(name, table.concat(list, ", "),
    given == nil and "nothing" or type(given) == "string" and "'" .. rules.cut(given, 40) .. "'"
    or type(given))
end

local function check_side(body)
  local places = PLACES[body.action]
  if body.side ~= nil then
    local side, message = one_of(body.side, "side", M.SIDES)
    if not side then
      return nil, message
    end
    places = one_of(side, "", places) and { side } or {}
    if not places[1] then
      return nil, ("side: %s cannot be on the side of the %s"):format(body.action, side)
    end
  end
  if not EVENTS[body.op] then
    return places[1]
  elseif not one_of("answer", "", body.side and places or PLACES[body.action]) then
    return nil, ("op: %s is no request: it cannot be met by %s%s"):format(body.op, body.action,
      body.side and " on the side of the request" or "")
  end
  return "answer"
end

local function check_code(body)
  if body.action ~= "reject" then
    return nil, body.code ~= nil and "code: only reject has one" or nil
  end
  return one_of(body.code == nil and "InternalError" or body.code, "code", M.CODES)
end

local function check_delay(body)
  if body.action == "delay" and body.delayMs == nil then
    return nil, "delayMs: delay needs it"
  elseif body.action ~= "delay" and body.delayMs ~= nil then
    return nil, "delayMs: only delay has one"
  end
  return rules.integer(body.delayMs, "delayMs", 1, M.DELAY_MAX)
end

local function check_thing(body)
  if body.thing ~= nil and not rules.thing_name(body.thing) then
    return nil, "thing: expected 1-128 of [a-zA-Z0-9:_-]"
  end
  return body.thing
end

local function check_job(body)
  if body.job == nil then
    return nil
  elseif body.job ~= "$next" and not rules.job_id(body.job) then
    return nil, "job: expected 1-64 of [a-zA-Z0-9_-], or $next"
  elseif not NAMES_A_JOB[body.op] then
    return nil, ("job: the topic of %s names none"):format(body.op)
  end
  return body.job
end

--- What a new fault is to be; the first thing that is wrong with it is told.
---@param given table  op, action, side, code, delayMs, thing, job, count; as JSON brought them
---@return table|nil fault
---@return string|nil message  names the member
function M.check(given)
  local body, unknown = {}, nil
  for name, value in pairs(given) do
    if not MEMBERS[name] then
      unknown = (not unknown or tostring(name) < unknown) and tostring(name) or unknown
    end
    body[name] = rules.present(value)
  end
  if unknown then
    return nil, ("%s: is no member of a fault"):format(rules.cut(unknown, 40))
  end
  local fault = {}
  for _, step in ipairs{
    { "op", function() return one_of(body.op, "op", M.OPS) end },
    { "action", function() return one_of(body.action, "action", M.ACTIONS) end },
    { "side", check_side }, { "code", check_code }, { "delayMs", check_delay },
    { "thing", check_thing }, { "job", check_job },
    { "count", function() return rules.integer(body.count, "count", 1, M.COUNT_MAX) end },
  } do
    local value, message = step[2](body)
    if message then
      return nil, message
    end
    fault[step[1]] = value
  end
  return fault
end

---@param on_event fun(event: table)?  as of hob.service.engine
---@return table
function M.new(on_event)
  return setmetatable({ list = {}, last_id = 0, on_event = on_event or function() end }, M)
end

local function has_ended(fault)
  return fault.count ~= nil and fault.used >= fault.count
end

--- One that has ended makes room.
local function make_room(self)
  for i, fault in ipairs(self.list) do
    if #self.list < FAULTS_MAX then
      return true
    elseif has_ended(fault) then
      table.remove(self.list, i)
      return true
    end
  end
  return #self.list < FAULTS_MAX
end

---@param given table  see `check`
---@return hob.service.fault|nil
---@return string|nil message
function M:add(given)
  local fault, message = M.check(given)
  if not fault then
    return nil, message
  elseif not make_room(self) then
    return nil, ("there are %d faults already: remove some"):format(FAULTS_MAX)
  end
  self.last_id = self.last_id + 1
  fault.faultId, fault.used = self.last_id, 0
  table.insert(self.list, fault)
  return fault
end

--- Take faults away.
---@param id integer|nil  nil: all
---@return integer removed
function M:remove(id)
  local kept = {}
  for _, fault in ipairs(self.list) do
    if id and fault.faultId ~= id then
      kept[#kept + 1] = fault
    end
  end
  local removed = #self.list - #kept
  self.list = kept
  return removed
end

local function fits(fault, side, request)
  return fault.side == side and not has_ended(fault)
    and (fault.op == request.op or fault.op == "any" and request.op ~= nil)
    and (fault.thing == nil or fault.thing == request.thing)
    and (fault.job == nil or fault.job == request.job)
end

local function use(self, side, request)
  for _, fault in ipairs(self.list) do
    if fits(fault, side, request) then
      fault.used = fault.used + 1
      self.on_event{
        level = "info", event = "service.fault_used",
        text = ("%s: %s of the %s, by fault %d (%d%s)"):format(request.op, fault.action,
          EVENTS[request.op] and "notification" or side, fault.faultId, fault.used,
          fault.count and " of " .. fault.count or ""),
        thing = request.thing, job = request.job, code = fault.code,
      }
      return fault
    end
  end
  return nil
end

local function request_of(topic)
  return device.route(topic) or provisioning.route(topic)
end

--- The first fault that meets a request; it is used by this.
---@param topic string
---@return hob.service.fault|nil
function M:of_request(topic)
  if not self.list[1] then
    return nil
  end
  local request = request_of(topic)
  return request and use(self, "request", request)
end

--- The first fault that meets an answer or a notification; it is used by this.
---@param topic string
---@return hob.service.fault|nil
function M:of_answer(topic)
  if not self.list[1] then
    return nil
  end
  local asked = topic:match("^(.+)/accepted$") or topic:match("^(.+)/rejected$")
  if asked then
    local request = request_of(asked)
    return request and use(self, "answer", request)
  end
  local thing, event = topic:match("^%$aws/things/([^/]+)/jobs/(notify[^/]*)$")
  return EVENTS[event] and use(self, "answer", { op = event, thing = thing })
end

-- What no decoder may choke on: no JSON, and no UTF-8.
local GARBAGE = { '{"timestamp":17,"execution":{"jobId', "\255\254{\0\195(\"}\128\27[31m" }

---@param fault hob.service.fault
---@return string payload
function M.garbage(fault)
  return GARBAGE[fault.used % #GARBAGE + 1]
end

return M
