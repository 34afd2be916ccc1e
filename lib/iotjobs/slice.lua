--- A value cut out of JSON text by its bytes. A job document may be refused by `hob.json` (an
--- integer over 2^53, too many levels): what is wrong in it must not hide the message around it.
--- In text that is no JSON it finds some part of the text, or nothing; it never fails.
--- Spec: spec/unit/iotjobs_payload_spec.lua
local M = {}

-- The position behind the string that begins at `at`; nil: it does not end.
local function behind_string(text, at)
  at = at + 1
  while true do
    local found = text:find('["\\]', at)
    if not found then
      return nil
    elseif text:byte(found) == 34 then -- "
      return found + 1
    end
    at = found + 2
  end
end

local STEP = { ["{"] = 1, ["["] = 1, ["}"] = -1, ["]"] = -1 }

local function behind_brackets(text, at)
  local depth = 0
  repeat
    at = text:find('["{}%[%]]', at)
    if not at then
      return nil
    end
    local step = STEP[text:sub(at, at)]
    at = step and at + 1 or behind_string(text, at)
    depth = depth + (step or 0)
  until depth == 0 or not at
  return at
end

local function behind_value(text, at)
  local first = text:sub(at, at)
  if first == '"' then
    return behind_string(text, at)
  elseif first == "{" or first == "[" then
    return behind_brackets(text, at)
  end
  return text:find("[,}%]%s]", at)
end

-- Members of the object that begins at `at`, as positions of name and value.
local function members(text, at)
  at = at + 1
  return function()
    local name = at and text:find("%S", at)
    if not name or text:sub(name, name) ~= '"' then
      return nil
    end
    local behind_name = behind_string(text, name)
    local value = behind_name and text:match("^%s*:%s*()", behind_name)
    local behind = value and behind_value(text, value)
    if not behind then
      return nil
    end
    at = text:match("^%s*,()", behind)
    return text:sub(name + 1, behind_name - 2), value, behind
  end
end

--- Put `null` in the place of the value at a path.
---@param text string
---@param path string[]  names of members, from the outermost
---@return string|nil rest  nil: there is no such value
---@return string|nil value
function M.cut(text, path)
  local at, behind = text:match("^%s*()"), nil
  for _, wanted in ipairs(path) do
    local found
    if not at or text:sub(at, at) ~= "{" then
      return nil
    end
    for name, value, value_behind in members(text, at) do
      if name == wanted then
        found, behind = value, value_behind -- of several the last one counts
      end
    end
    at = found
  end
  if not at then
    return nil
  end
  return text:sub(1, at - 1) .. "null" .. text:sub(behind), text:sub(at, behind - 1)
end

return M
