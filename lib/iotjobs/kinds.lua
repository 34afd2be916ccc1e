--- What a field of a model may hold. A kind has two sides:
---  check(value, where)  what a program puts in: strict, AWS's limits apply
---  read(value, where)   what the service sent, decoded: types are checked, limits are its own
--- Both return the value to keep, or nil and a message that begins with `where`.
local enums = require("iotjobs.enums")
local limits = require("iotjobs.limits")

local json = require("hob.json")

local M = {}

-- Nobody's clock shows this many seconds (the year 5138): these are milliseconds.
local MILLISECONDS_FROM = 1e11

-- After decoding, `[]` and `{}` are one and the same: an empty table.
local function type_of(value)
  if value == json.null then
    return "null"
  elseif type(value) ~= "table" then
    return type(value)
  end
  return rawget(value, 1) ~= nil and "list" or "object"
end

local WITH_ARTICLE = {
  object = "an object", list = "a list", integer = "an integer", string = "a string",
  number = "a number",
}

local function mismatch(expected, value, where)
  return nil, ("%s: expected %s, got %s"):format(where, WITH_ARTICLE[expected], type_of(value))
end

---@return table|nil
---@return string|nil message
function M.object(value, where)
  if type_of(value) == "object" then
    return value
  end
  return mismatch("object", value, where)
end

---@return table|nil
---@return string|nil message
function M.list(value, where)
  if type(value) == "table" and (rawget(value, 1) ~= nil or next(value) == nil) then
    return value
  end
  return mismatch("list", value, where)
end

local function text(value, where)
  if type(value) == "string" then
    return value
  end
  return mismatch("string", value, where)
end

local function integer(value, where)
  local whole = type(value) == "number" and math.tointeger(value)
  if whole then
    return whole
  end
  return mismatch("integer", value, where)
end

local function number(value, where)
  if type(value) == "number" and value == value then
    return value
  end
  return mismatch("number", value, where)
end

local function seconds(value, where)
  local given, message = number(value, where)
  if not given then
    return nil, message
  elseif given > MILLISECONDS_FROM then
    given = given / 1000
  end
  return math.tointeger(given) or given
end

local function text_map(value, where)
  local map, message = M.object(value, where)
  if not map then
    return nil, message
  end
  for key, member in pairs(map) do
    local _, wrong = text(member, ("%s.%s"):format(where, limits.cut(tostring(key), 40)))
    if wrong then
      return nil, wrong
    end
  end
  return map
end

local function document(value, where)
  return M.object(value, where)
end

-- The HTTPS data plane tells the document as a string; whether MQTT ever does is not known.
local function read_document(value, where)
  if type(value) ~= "string" then
    return M.object(value, where)
  end
  local decoded, message = json.decode(value)
  if decoded == nil then
    return nil, where .. ": " .. message
  end
  return M.object(decoded, where)
end

local function one_of(enumeration)
  local known, names = {}, {}
  for _, member in pairs(enumeration) do
    known[member] = true
    names[#names + 1] = member
  end
  table.sort(names)
  local words = table.concat(names, ", ")
  return function(value, where)
    if known[value] then
      return value
    end
    return nil, ("%s: expected one of %s; got %s"):format(where, words,
      type(value) == "string" and limits.cut(value, 40) or type(value))
  end
end

-- 2.0 is what arithmetic makes of 2.
local function whole(check)
  return function(value, where)
    return check(type(value) == "number" and math.tointeger(value) or value, where)
  end
end

local function job_id(value, where)
  return limits.job_id(value, where)
end

-- Of requests: what leaves is checked, nothing of it is ever read.
M.client_token = { check = limits.client_token }
M.execution_number = { check = whole(limits.execution_number) }
M.expected_version = { check = whole(limits.expected_version) }
M.boolean = { check = limits.boolean }
M.job_id = { check = job_id }
M.job_id_or_next = {
  check = function(value, where) return limits.job_id(value, where, "$next") end,
}
M.job_id_or_all = { check = function(value, where) return limits.job_id(value, where, "+") end }
M.job_id_next_or_all = {
  check = function(value, where) return limits.job_id(value, where, "$next", "+") end,
}
M.thing_name = { check = limits.thing_name }
M.device_status = { check = limits.device_status }
M.details_to_send = { check = limits.status_details }
M.step_minutes = {
  check = whole(function(value, where) return limits.step_minutes(value, where, false) end),
}
M.step_minutes_or_discard = {
  check = whole(function(value, where) return limits.step_minutes(value, where, true) end),
}

-- Of answers and events. A status or a code of tomorrow is no reason to drop a message.
M.text = { check = text, read = text }
M.integer = { check = integer, read = integer }
M.time = { check = number, read = seconds }
M.details = { check = text_map, read = text_map }
M.document = { check = document, read = read_document }
M.note = { check = text, read = function() end } -- ours: the service has no such member
M.status = { check = one_of(enums.JobStatus), read = text }
M.code = { check = one_of(enums.RejectedErrorCode), read = text }
M.known_job_id = { check = job_id, read = job_id }
M.known_thing_name = { check = limits.thing_name, read = limits.thing_name }

--- A model inside a model; a list of them; lists of them by status.
---@param class string
function M.one(class)
  return { class = class, shape = "one" }
end

function M.list_of(class)
  return { class = class, shape = "list" }
end

function M.lists_of(class)
  return { class = class, shape = "lists" }
end

return M
