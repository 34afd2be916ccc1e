--- Checks of a request's members for the control plane. A check returns the value, nil if it was
--- not given, and raises a refusal that names the member, its limit and what came; `checked` turns
--- a refusal into AWS's InvalidRequestException.
local answers = require("hob.service.control.answers")
local rules = require("hob.service.rules")

local M = {}

local Refusal = {}

function M.refuse(format, ...)
  error(setmetatable({ message = format:format(...) }, Refusal), 0)
end

--- Run checks: their results, or nil and the error.
function M.checked(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if results[1] then
    return table.unpack(results, 2, results.n)
  end
  local why = results[2]
  if getmetatable(why) ~= Refusal then
    error(why, 0)
  end
  return answers.fail("InvalidRequestException", "%s", why.message)
end

--- What came, fit for a message.
local function shown(value)
  if type(value) == "string" then
    return '"' .. rules.cut(value, 60) .. '"'
  elseif type(value) == "table" then
    return value[1] ~= nil and "a list" or "an object"
  elseif value == nil or rules.present(value) == nil then
    return "null"
  end
  return tostring(value)
end
M.shown = shown

local function need(value, name)
  if value == nil then
    M.refuse("%s: required", name)
  end
  return value
end
M.need = need

--- A check of hob.service.rules: value, message.
function M.rule(value, message)
  if message then
    M.refuse("%s", message)
  end
  return value
end

function M.integer(given, name, low, high)
  given = rules.present(given)
  if math.type(given) == "float" and math.tointeger(given) then
    given = math.tointeger(given) -- 5.0
  end
  if given ~= nil and (math.type(given) ~= "integer" or given < low or given > high) then
    M.refuse("%s: expected an integer of %d-%d, got %s", name, low, high, shown(given))
  end
  return given
end

--- @param digits integer  how many are allowed after the point
function M.number(given, name, low, high, digits)
  given = rules.present(given)
  if given == nil then
    return nil
  elseif type(given) ~= "number" or given < low or given > high then
    M.refuse("%s: expected a number of %g-%g, got %s", name, low, high, shown(given))
  end
  local scaled = given * 10 ^ digits
  if math.abs(scaled - math.floor(scaled + 0.5)) > 1e-6 then
    M.refuse("%s: expected at most %d digit%s after the point, got %s", name, digits,
      digits == 1 and "" or "s", shown(given))
  end
  return given
end

---@class hob.service.control.members.text
---@field min integer?      characters
---@field max integer
---@field pattern string?   of the whole text
---@field words string?     the pattern, said
---@field bytes boolean?    count bytes, not characters

local function check_text(given, name, rule)
  if type(given) ~= "string" then
    M.refuse("%s: expected a string, got %s", name, shown(given))
  end
  local length = rule.bytes and #given or utf8.len(given)
  if not length then
    M.refuse("%s: is not UTF-8", name)
  elseif length < (rule.min or 0) or length > rule.max then
    M.refuse("%s: expected %d-%d characters, got %d", name, rule.min or 0, rule.max, length)
  elseif rule.pattern and not given:find("^" .. rule.pattern .. "$") then
    M.refuse("%s: expected %s, got %s", name, rule.words, shown(given))
  end
end

---@param rule hob.service.control.members.text
function M.text(given, name, rule)
  given = rules.present(given)
  if given ~= nil then
    check_text(given, name, rule)
  end
  return given
end

--- Text for people: no control characters.
function M.prose(given, name, max)
  given = M.text(given, name, { max = max })
  if given and (given:find("%c") or given:find("\xC2[\x80-\x9F]")) then
    M.refuse("%s: control characters are not allowed", name)
  end
  return given
end

function M.one_of(given, name, words)
  given = rules.present(given)
  if given == nil then
    return nil
  end
  for _, word in ipairs(words) do
    if word == given then
      return given
    end
  end
  M.refuse("%s: expected %s, got %s", name, table.concat(words, ", "), shown(given))
end

function M.boolean(given, name)
  given = rules.present(given)
  if given ~= nil and type(given) ~= "boolean" then
    M.refuse("%s: expected true or false, got %s", name, shown(given))
  end
  return given
end

function M.object(given, name)
  given = rules.present(given)
  if given ~= nil and (type(given) ~= "table" or given[1] ~= nil) then
    M.refuse("%s: expected an object, got %s", name, shown(given))
  end
  return given
end

--- A list of 'low' to `high` members, each through `check(value, name)`, which makes the new list.
function M.list(given, name, low, high, check)
  given = rules.present(given)
  if given == nil then
    return nil
  elseif type(given) ~= "table" or next(given) ~= nil and given[1] == nil then
    M.refuse("%s: expected a list, got %s", name, shown(given))
  elseif #given < low or #given > high then
    M.refuse("%s: expected a list of %d-%d, got %d", name, low, high, #given)
  end
  local out = {}
  for i, value in ipairs(given) do
    out[i] = check(value, ("%s[%d]"):format(name, i - 1))
  end
  return out
end

--- A map of texts.
---@param key hob.service.control.members.text
---@param value hob.service.control.members.text
---@param high integer  how many there may be
function M.map(given, name, key, value, high)
  given = M.object(given, name)
  if given == nil then
    return nil
  end
  local out, count = {}, 0
  for member, text in pairs(given) do
    check_text(member, name .. ": a key", key)
    check_text(text, name .. "." .. member, value)
    out[member], count = text, count + 1
  end
  if count > high then
    M.refuse("%s: at most %d members are allowed, got %d", name, high, count)
  end
  return out
end

local NAME = { min = 1, max = 128, pattern = "[%w:_-]+", words = "1-128 of [a-zA-Z0-9:_-]" }

--- The name of a thing or a group.
function M.name(given, name)
  return M.text(given, name, NAME)
end

local NAMESPACE = { min = 1, max = 64, pattern = "[%w_-]+", words = "characters of [a-zA-Z0-9_-]" }

function M.namespace(given)
  return M.text(given, "namespaceId", NAMESPACE)
end

function M.job_id(given)
  if not rules.job_id(given) then
    M.refuse("jobId: expected 1-64 of [a-zA-Z0-9_-], got %s", shown(given))
  end
  return given
end

return M
