-- case_player.lua - rows of spec/conformance/cases.lua, made ready to play, and what came compared.
local cases = require("spec.conformance.cases")
local json = require("hob.json")

local M = {}

-- A copy with @1, @2 ... as job ids of its own, and @thing as its thing.
local function filled(value, ids)
  if type(value) == "string" then
    return (value:gsub("@(%w+)", function(word)
      return word == "thing" and ids.thing or ids.prefix .. word
    end))
  elseif type(value) ~= "table" or value == cases.TIME or value == cases.SOME
    or value == cases.EMPTY then
    return value
  end
  local out = {}
  for key, member in pairs(value) do
    out[key] = filled(member, ids)
  end
  return out
end

---@param row table
---@param thing string
---@param prefix string  what job ids begin with
---@return table row
function M.ready(row, thing, prefix)
  local copy = filled(row, { thing = thing, prefix = prefix })
  copy.payload = copy.payload or "{}"
  copy.body.timestamp = cases.TIME
  copy.said = copy.said or {}
  for _, message in ipairs(copy.said) do
    message[2].timestamp = cases.TIME
  end
  return copy
end

local compare

local function compare_members(expected, actual, path)
  for key, value in pairs(expected) do
    local problem = compare(value, actual[key], path .. "." .. tostring(key))
    if problem then
      return problem
    end
  end
  for key, value in pairs(actual) do
    if expected[key] == nil then
      return ("%s.%s: expected nothing, got %s"):format(path, key, json.encode(value))
    end
  end
  return nil
end

function compare(expected, actual, path)
  if expected == cases.TIME then
    local good = math.type(actual) == "integer" and actual > 1600000000 and actual < 4000000000
    return not good and ("%s: no time in seconds: %s"):format(path, tostring(actual)) or nil
  elseif expected == cases.SOME then
    local good = math.type(actual) == "integer" and actual >= 0
    return not good and ("%s: no whole number: %s"):format(path, tostring(actual)) or nil
  elseif type(expected) == "table" and type(actual) == "table" then
    return compare_members(expected == cases.EMPTY and {} or expected, actual, path)
  elseif expected ~= actual then
    return ("%s: expected %s, got %s"):format(path, tostring(expected),
      actual == nil and "nothing" or type(actual) == "table" and json.encode(actual)
      or tostring(actual))
  end
  return nil
end

local function check_answer(row, message)
  local body = assert(json.decode(message.payload))
  if row.answer == "rejected" then
    assert(type(body.message) == "string" and body.message ~= "", "a rejection says why")
    body.message = nil
  end
  local problem = compare(row.body, body, "answer")
  assert(not problem, problem and problem .. "\n" .. message.payload)
  assert(not row.holds or message.payload:find(row.holds, 1, true), message.payload)
end

--- Raise unless these messages are what a row expects, no more and no less.
---@param row table  see `ready`
---@param messages { short: string, payload: string }[]
function M.check(row, messages)
  local expected, came = { row.ask .. "/" .. row.answer }, {}
  for i, message in ipairs(row.said) do
    expected[i + 1] = message[1]
  end
  for i, message in ipairs(messages) do
    came[i] = message.short
  end
  assert(table.concat(expected, " ") == table.concat(came, " "), ("expected %s, got %s\n%s"):format(
    table.concat(expected, " "), table.concat(came, " "), messages[1] and messages[1].payload))
  check_answer(row, messages[1])
  for i, message in ipairs(row.said) do
    local problem = compare(message[2], json.decode(messages[i + 1].payload), message[1])
    assert(not problem, problem and problem .. "\n" .. messages[i + 1].payload)
  end
end

return M
