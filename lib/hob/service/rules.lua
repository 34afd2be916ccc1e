--- What a request to the Jobs service may hold: names, limits, and the words for what is wrong.
--- Every check returns the value, or nil and a message that names the member.
local json = require("hob.json")

local M = {}

M.DOCUMENT_BYTES = 32768
M.DESCRIPTION_BYTES = 2028
M.MINUTES_MAX = 10080
M.LIST_MAX = 10
M.DETAILS_MAX = 10
M.DETAIL_KEY_MAX = 128
M.DETAIL_VALUE_MAX = 1024
M.TERMINAL = {
  SUCCEEDED = true, FAILED = true, TIMED_OUT = true, REJECTED = true, REMOVED = true,
  CANCELED = true,
}

-- What a device may ask for. QUEUED is a status, but nobody can go back to it.
local DEVICE_STATUS = { IN_PROGRESS = true, SUCCEEDED = true, FAILED = true, REJECTED = true }

-- Unicode's category C: control, format, private use, and the non-characters.
local CONTROL = {
  { 0x00, 0x1F }, { 0x7F, 0x9F }, { 0xAD, 0xAD }, { 0x600, 0x605 }, { 0x61C, 0x61C },
  { 0x6DD, 0x6DD }, { 0x70F, 0x70F }, { 0x180E, 0x180E }, { 0x200B, 0x200F }, { 0x202A, 0x202E },
  { 0x2060, 0x206F }, { 0xD800, 0xF8FF }, { 0xFDD0, 0xFDEF }, { 0xFEFF, 0xFEFF },
  { 0xFFF0, 0xFFFB }, { 0xFFFE, 0xFFFF }, { 0xE0000, 0xE0FFF }, { 0xF0000, 0x10FFFF },
}

-- What `[]` stands for where it must be told from `{}`: `hob.json` makes an empty table of both.
local EMPTY_LIST = {}

local function present(value)
  if value == json.null then
    return nil
  end
  return value
end
--- `null` counts as absent.
M.present = present

---@param id any
---@return boolean
function M.job_id(id)
  return type(id) == "string" and #id <= 64 and id:find("^[%w_-]+$") ~= nil
end

---@param name any
---@return boolean
function M.thing_name(name)
  return type(name) == "string" and #name <= 128 and name:find("^[%w:_-]+$") ~= nil
end

--- At most `count` characters of a text.
---@param text string
---@param count integer
---@return string
function M.cut(text, count)
  local behind = utf8.len(text) and utf8.offset(text, count + 1) or count + 1
  return text:sub(1, behind - 1)
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

local function check_detail(key, value)
  if type(key) ~= "string" or #key > M.DETAIL_KEY_MAX or not key:find("^[%w:_-]+$") then
    return nil, "statusDetails: a key must be 1-128 of [a-zA-Z0-9:_-]"
  elseif type(value) ~= "string" then
    return nil, ("statusDetails.%s: expected a string, got %s"):format(key, type(value))
  end
  local length = utf8.len(value)
  if not length or length < 1 or length > M.DETAIL_VALUE_MAX then
    return nil, ("statusDetails.%s: expected 1-1024 characters, got %s"):format(key, length or "?")
  end
  local ok, culprit = printable(value)
  if not ok then
    return nil, ("statusDetails.%s: control character %s is not allowed"):format(key, culprit)
  end
  return true
end

--- @return table|nil details  nil without a message: not given
--- @return string|nil message
function M.status_details(given)
  given = present(given)
  if given == nil then
    return nil
  elseif type(given) ~= "table" or given == EMPTY_LIST then
    return nil, "statusDetails: expected an object, got "
      .. (given == EMPTY_LIST and "a list" or type(given))
  end
  local count = 0
  for key, value in pairs(given) do
    local ok, message = check_detail(key, value)
    if not ok then
      return nil, message
    end
    count = count + 1
  end
  if count > M.DETAILS_MAX then
    return nil, ("statusDetails: at most 10 members are allowed, got %d"):format(count)
  end
  return given
end

--- @return integer|nil value  nil without a message: not given
--- @return string|nil message
function M.integer(given, name, low, high)
  given = present(given)
  if given == nil then
    return nil
  elseif math.type(given) ~= "integer" then
    return nil, ("%s: expected an integer, got %s"):format(name, type(given))
  elseif given < low or given > high then
    return nil, ("%s: expected %d-%d, got %d"):format(name, low, high, given)
  end
  return given
end

--- @param discard boolean  -1 discards the timer: only in an update
function M.step_minutes(given, discard)
  if discard and given == -1 then
    return -1
  end
  return M.integer(given, "stepTimeoutInMinutes", 1, M.MINUTES_MAX)
end

--- AWS's own C library sends the version as a string.
function M.expected_version(given)
  if type(given) == "string" and given:find("^%d+$") and #given < 16 then
    given = math.tointeger(given)
  end
  return M.integer(given, "expectedVersion", 0, 1 << 53)
end

function M.boolean(given, name)
  given = present(given)
  if given ~= nil and type(given) ~= "boolean" then
    return nil, ("%s: expected true or false, got %s"):format(name, type(given))
  end
  return given
end

--- The status an update asks for.
function M.device_status(given)
  given = present(given)
  if given == nil then
    return nil, "status: required; one of IN_PROGRESS, SUCCEEDED, FAILED, REJECTED"
  elseif given == "QUEUED" or DEVICE_STATUS[given] then
    return given
  end
  return nil, ("status: expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED, got %s"):format(
    type(given) == "string" and M.cut(given, 40) or type(given))
end

--- An object from text.
--- @return table|nil
--- @return string|nil message
function M.object(text)
  if text:find("^%s*$") then
    return {}
  end
  local value, message = json.decode(text)
  if value == nil then
    return nil, message or "not JSON"
  elseif not text:find("^%s*{") then
    return nil, "expected a JSON object"
  end
  local details = value.statusDetails
  if type(details) == "table" and next(details) == nil
    and text:find('[{,%s]"statusDetails"%s*:%s*%[') then
    value.statusDetails = EMPTY_LIST
  end
  return value
end

--- A job's description.
--- @return string|nil description  nil without a message: not given
--- @return string|nil message
function M.description(text)
  text = present(text)
  if text == nil then
    return nil
  elseif type(text) ~= "string" or #text > M.DESCRIPTION_BYTES then
    return nil, "description: expected a string of at most 2028 bytes"
  elseif not utf8.len(text) then
    return nil, "description: is not UTF-8"
  end
  return text
end

--- A job document, as text.
--- @return string|nil
--- @return string|nil message
function M.document(text)
  text = present(text)
  if type(text) ~= "string" then
    return nil, "document: expected the job document as a string, got " .. type(text)
  elseif #text > M.DOCUMENT_BYTES then
    return nil, ("document: at most 32768 bytes are allowed, got %d"):format(#text)
  elseif text:find("^%s*$") then
    return nil, "document: expected a JSON object, got nothing"
  end
  local value, message = M.object(text)
  if not value then
    return nil, "document: " .. message
  end
  return text
end

return M
