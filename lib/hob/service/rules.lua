--- What a request to the Jobs service may hold: names, limits, and the words for what is wrong.
--- Every check returns the value, or nil and a message that names the member.
local limits = require("iotjobs.limits")

local json = require("hob.json")

local M = {}

M.DOCUMENT_BYTES = 32768
M.DESCRIPTION_BYTES = 2028
M.MINUTES_MAX = limits.MINUTES_MAX
M.LIST_MAX = 10
M.TERMINAL = {
  SUCCEEDED = true, FAILED = true, TIMED_OUT = true, REJECTED = true, REMOVED = true,
  CANCELED = true,
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

M.job_id = limits.is_job_id
M.thing_name = limits.is_thing_name
M.cut = limits.cut

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
  return limits.status_details(given, "statusDetails")
end

--- @return integer|nil value  nil without a message: not given
--- @return string|nil message
function M.integer(given, name, low, high)
  given = present(given)
  if given == nil then
    return nil
  end
  return limits.integer(given, name, low, high)
end

--- @param discard boolean  -1 discards the timer: only in an update
function M.step_minutes(given, discard)
  given = present(given)
  if given == nil then
    return nil
  end
  return limits.step_minutes(given, "stepTimeoutInMinutes", discard)
end

--- AWS's own C library sends the version as a string.
function M.expected_version(given)
  if type(given) == "string" and given:find("^%d+$") and #given < 16 then
    given = math.tointeger(given)
  end
  return M.integer(given, "expectedVersion", 0, limits.NUMBER_MAX)
end

function M.boolean(given, name)
  given = present(given)
  if given == nil then
    return nil
  end
  return limits.boolean(given, name)
end

--- The status an update asks for.
function M.device_status(given)
  given = present(given)
  if given == nil then
    return nil, "status: required; one of IN_PROGRESS, SUCCEEDED, FAILED, REJECTED"
  elseif given == "QUEUED" then
    return given -- a status, but nobody can go back to it: refused as a transition
  end
  return limits.device_status(given, "status")
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
    return nil, "not JSON: " .. (message or "nothing is there")
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
