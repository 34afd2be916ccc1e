--- AWS IoT Jobs' limits on what a device sends, and the words for what breaks them. The one table
--- of them in Lua: the module `iotjobs` checks requests with it before they leave, the local Jobs
--- service when they arrive.
---
--- Every check takes the value and the name that the message begins with; it returns the value, or
--- nil and the message.
--- Facts: API reference of `iot-jobs-data`; AWS IoT Core Developer Guide, "AWS IoT Jobs limits".
--- The length of a clientToken is not documented for Jobs: 64 bytes is what Device Shadow takes.
--- Spec: spec/unit/iotjobs_models_spec.lua, spec/unit/service_engine_spec.lua
local M = {}

M.JOB_ID_MAX = 64
M.THING_NAME_MAX = 128
M.CLIENT_TOKEN_MAX = 64
M.MINUTES_MAX = 10080
M.DETAILS_MAX = 10
M.DETAIL_KEY_MAX = 128
M.DETAIL_VALUE_MAX = 1024
M.NUMBER_MAX = 1 << 53

-- What a device may ask for. QUEUED is a status, but nobody can go back to it.
local DEVICE_STATUS = { IN_PROGRESS = true, SUCCEEDED = true, FAILED = true, REJECTED = true }

-- Unicode's category C: control, format, private use, and the non-characters.
local CONTROL = {
  { 0x00, 0x1F }, { 0x7F, 0x9F }, { 0xAD, 0xAD }, { 0x600, 0x605 }, { 0x61C, 0x61C },
  { 0x6DD, 0x6DD }, { 0x70F, 0x70F }, { 0x180E, 0x180E }, { 0x200B, 0x200F }, { 0x202A, 0x202E },
  { 0x2060, 0x206F }, { 0xD800, 0xF8FF }, { 0xFDD0, 0xFDEF }, { 0xFEFF, 0xFEFF },
  { 0xFFF0, 0xFFFB }, { 0xFFFE, 0xFFFF }, { 0xE0000, 0xE0FFF }, { 0xF0000, 0x10FFFF },
}

---@param id any
---@return boolean
function M.is_job_id(id)
  return type(id) == "string" and #id <= M.JOB_ID_MAX and id:find("^[%w_-]+$") ~= nil
end

---@param name any
---@return boolean
function M.is_thing_name(name)
  return type(name) == "string" and #name <= M.THING_NAME_MAX and name:find("^[%w:_-]+$") ~= nil
end

---@param status any
---@return boolean
function M.is_device_status(status)
  return DEVICE_STATUS[status] == true
end

--- At most `count` characters of a text.
---@param text string
---@param count integer
---@return string
function M.cut(text, count)
  local behind = utf8.len(text) and utf8.offset(text, count + 1) or count + 1
  return text:sub(1, behind - 1)
end

-- What came, for a message: a short text itself, else how long it is; of other things the type.
local function shown(value)
  if type(value) == "number" then
    return tostring(value)
  elseif type(value) ~= "string" then
    return type(value)
  elseif #value > 40 then
    return ("'%s...' (%d bytes)"):format(M.cut(value, 20), #value)
  end
  return "'" .. value .. "'"
end

---@param also? string  a wildcard or keyword that is no id but stands for one here
---@param other? string
function M.job_id(value, name, also, other)
  if M.is_job_id(value) or value ~= nil and (value == also or value == other) then
    return value
  end
  local words = (also and ", '" .. also .. "'" or "") .. (other and ", '" .. other .. "'" or "")
  return nil, ("%s: expected 1-64 of [a-zA-Z0-9_-]%s, got %s"):format(name, words, shown(value))
end

function M.thing_name(value, name)
  if M.is_thing_name(value) then
    return value
  end
  return nil, ("%s: expected 1-128 of [a-zA-Z0-9:_-], got %s"):format(name, shown(value))
end

function M.client_token(value, name)
  if type(value) ~= "string" then
    return nil, ("%s: expected a string, got %s"):format(name, type(value))
  elseif value == "" or #value > M.CLIENT_TOKEN_MAX then
    return nil, ("%s: expected 1-64 bytes, got %d"):format(name, #value)
  elseif not utf8.len(value) then
    return nil, name .. ": is not UTF-8"
  end
  return value
end

local function printable(text)
  if not text:find("[^\32-\126]") then
    return true
  end
  for _, code in utf8.codes(text) do
    for _, range in ipairs(CONTROL) do
      if code >= range[1] and code <= range[2] then
        return false, ("U+%04X"):format(code)
      end
    end
  end
  return true
end

local function check_detail(key, value, name)
  if type(key) ~= "string" or #key > M.DETAIL_KEY_MAX or not key:find("^[%w:_-]+$") then
    return ("%s: a key must be 1-128 of [a-zA-Z0-9:_-], got %s"):format(name, shown(key))
  end
  name = name .. "." .. key
  if type(value) ~= "string" then
    return ("%s: expected a string, got %s"):format(name, type(value))
  end
  local length = utf8.len(value)
  if not length then
    return name .. ": is not UTF-8"
  elseif length < 1 or length > M.DETAIL_VALUE_MAX then
    return ("%s: expected 1-1024 characters, got %d"):format(name, length)
  end
  local ok, culprit = printable(value)
  if not ok then
    return ("%s: control character %s is not allowed"):format(name, culprit)
  end
end

function M.status_details(value, name)
  if type(value) ~= "table" then
    return nil, ("%s: expected an object, got %s"):format(name, type(value))
  end
  local count = 0
  for key, text in pairs(value) do
    local message = check_detail(key, text, name)
    if message then
      return nil, message
    end
    count = count + 1
  end
  if count > M.DETAILS_MAX then
    return nil, ("%s: at most 10 members are allowed, got %d"):format(name, count)
  end
  return value
end

---@param also? integer  allowed beside the range
function M.integer(value, name, low, high, also)
  if math.type(value) ~= "integer" then
    return nil, ("%s: expected an integer, got %s"):format(name,
      type(value) == "number" and value or type(value))
  elseif (value < low or value > high) and value ~= also then
    return nil, ("%s: expected %d-%d%s, got %d"):format(name, low, high,
      also and " or " .. also or "", value)
  end
  return value
end

---@param discard boolean  -1 discards the timer: only in an update
function M.step_minutes(value, name, discard)
  return M.integer(value, name, 1, M.MINUTES_MAX, discard and -1 or nil)
end

function M.execution_number(value, name)
  return M.integer(value, name, 1, M.NUMBER_MAX)
end

function M.expected_version(value, name)
  return M.integer(value, name, 0, M.NUMBER_MAX)
end

function M.boolean(value, name)
  if type(value) ~= "boolean" then
    return nil, ("%s: expected true or false, got %s"):format(name, type(value))
  end
  return value
end

function M.device_status(value, name)
  if DEVICE_STATUS[value] then
    return value
  end
  return nil, ("%s: expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED, got %s"):format(name,
    type(value) == "string" and M.cut(value, 40) or type(value))
end

return M
