-- mangle.lua - valid payloads of the jobs service, and what a broken or hostile one makes of them.
--
--     local mangle = require("spec.support.mangle")
--     for class, text in pairs(mangle.VALID) do ... end
--     local broken = mangle.text(text, seed)     -- the same for the same seed

local json = require("hob.json")

local M = {}

local EXECUTION = '{"jobId":"j","thingName":"t","status":"QUEUED","statusDetails":{"a":"b"},'
  .. '"queuedAt":1700000000,"lastUpdatedAt":1700000001,"startedAt":1700000002,"versionNumber":1,'
  .. '"executionNumber":1,"approximateSecondsBeforeTimedOut":60,"jobDocument":{"operation":"x",'
  .. '"list":[1,2,{"deep":[true,null]}]}}'
local SUMMARY = '{"jobId":"j","queuedAt":1,"lastUpdatedAt":2,"startedAt":3,"versionNumber":1,'
  .. '"executionNumber":1}'
local STATE = '{"status":"CANCELED","statusDetails":{"a":"b"},"versionNumber":4}'

M.VALID = {
  DescribeJobExecutionResponse = '{"execution":' .. EXECUTION
    .. ',"timestamp":1700000009,"clientToken":"x"}',
  StartNextJobExecutionResponse = '{"execution":' .. EXECUTION
    .. ',"timestamp":1700000009,"clientToken":"x"}',
  GetPendingJobExecutionsResponse = '{"inProgressJobs":[' .. SUMMARY .. '],"queuedJobs":['
    .. SUMMARY .. "," .. SUMMARY .. '],"timestamp":1,"clientToken":"x"}',
  UpdateJobExecutionResponse = '{"executionState":' .. STATE
    .. ',"jobDocument":{"operation":"x"},"timestamp":1,"clientToken":"x"}',
  RejectedError = '{"code":"VersionMismatch","message":"no","executionState":' .. STATE
    .. ',"timestamp":1,"clientToken":"x"}',
  JobExecutionsChangedEvent = '{"jobs":{"QUEUED":[' .. SUMMARY .. '],"IN_PROGRESS":[' .. SUMMARY
    .. ']},"timestamp":1}',
  NextJobExecutionChangedEvent = '{"execution":' .. EXECUTION .. ',"timestamp":1}',
}

-- In the place of a value.
local VALUES = {
  "null", "true", "0", "-1", "1.5", "1e999", "-1e308", "9007199254740993", "1e11", "1e300",
  "18446744073709551616", '""', '"\\u0000"', '"\\ud800"', '"\xff\xfe"', '"\0"', "[]", "{}", "[1]",
  "[null]", "[[[]]]", '{"a":1}', '{"":{}}', '{"jobId":7}', '[{"jobId":"j"},null,5]', "NaN",
  ("["):rep(300) .. ("]"):rep(300), ('{"a":'):rep(300) .. "1" .. ("}"):rep(300),
  '"' .. ("x"):rep(5000) .. '"', '"' .. ("\\u00e9"):rep(2000) .. '"',
}
local BYTES = { "\0", '"', "{", "}", "[", "]", ",", ":", "\\", "\xff", "\xc0", " ", "5", "-", "" }

-- A generator of its own: the same everywhere.
local function dice(seed)
  local state = seed * 2654435761 % 4294967296
  return function(sides)
    state = (state * 1664525 + 1013904223) % 4294967296
    return state // 65536 % sides + 1
  end
end

-- Where values begin and end: scalars, and what brackets hold.
local function values_of(text)
  local found = {}
  for from, value, to in text:gmatch('[:%[,]()("[^"]*")()') do
    found[#found + 1] = { from, to, value }
  end
  for from, _, to in text:gmatch("[:%[,]()([%d.]+)()") do
    found[#found + 1] = { from, to }
  end
  for from, _, to in text:gmatch("()(%b{})()") do
    found[#found + 1] = { from, to }
  end
  for from, _, to in text:gmatch(":()(%b{})()") do
    found[#found + 1] = { from, to }
  end
  for from, _, to in text:gmatch(":()(%b[])()") do
    found[#found + 1] = { from, to }
  end
  return found
end

local WAYS = {
  function(text, roll) -- another value
    local found = values_of(text)
    local place = found[roll(math.max(1, #found))]
    return place and text:sub(1, place[1] - 1) .. VALUES[roll(#VALUES)] .. text:sub(place[2])
      or text
  end,
  function(text, roll) -- another byte
    local at = roll(#text + 1)
    return text:sub(1, at - 1) .. BYTES[roll(#BYTES)] .. text:sub(at + 1)
  end,
  function(text, roll) return text:sub(1, roll(#text + 1) - 1) end, -- cut off
  function(text, roll) -- a piece twice
    local from = roll(#text + 1)
    local to = math.min(#text, from + roll(80))
    return text:sub(1, to) .. text:sub(from)
  end,
  function(text, roll) -- a member of the same name, written in another way
    local names = {}
    for name in text:gmatch('"(%a+)":') do
      names[#names + 1] = name
    end
    local name = names[roll(math.max(1, #names))]
    if not name then
      return text
    end
    local other = ("\\u%04x%s"):format(name:byte(), name:sub(2))
    return ('%s,"%s":%s}'):format(text:gsub("}%s*$", ""), other, VALUES[roll(#VALUES)])
  end,
  function(text, roll) -- a name that is none
    return (text:gsub('"(%a+)":', VALUES[roll(#VALUES)]:gsub("%%", "%%%%") .. ":", 1))
  end,
}

---@param text string
---@param seed integer
---@return string
function M.text(text, seed)
  local roll = dice(seed)
  for _ = 1, roll(3) do
    text = WAYS[roll(#WAYS)](text, roll)
  end
  return text
end

for class, text in pairs(M.VALID) do
  assert(json.decode(text), class)
end

return M
