-- outcome.lua - what run() came to, as status and statusDetails. The codes and keys are a contract:
-- docs/reference/outcomes.md. Specs: spec/integration/job_spec.lua, outcome_spec.lua

local errors = require("hob.job.errors")
local steps = require("hob.job.steps")

local M = {}

-- The language's own, whatever a handler does to its globals.
local getmetatable, ipairs, pairs, tostring, type = getmetatable, ipairs, pairs, tostring, type
local format, floor, math_type, sort = string.format, math.floor, math.type, table.sort

local OWN = { reason = true, code = true, step = true, handler = true, attempt = true,
  progress = true, cleanup_error = true }
local HANDLERS_DETAILS = 4
---Hob's own keys, and how many more are the handler's.
M.OWN, M.HANDLERS_DETAILS = OWN, HANDLERS_DETAILS

local TAILS = { stdout = true, stderr = true } -- the end of them is what counts

---A detail as text; nil: it cannot be one.
function M.text_of(value)
  if type(value) == "string" then
    return value
  elseif math_type(value) == "float" and value == floor(value) and value > -2 ^ 53
    and value < 2 ^ 53 then
    return format("%d", value)
  elseif type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  elseif getmetatable(value) == false and type(value) == "table" then
    return errors.message_of(value) -- a step's error
  end
end

local function why_not(key, text, count)
  if OWN[key] then
    return "the name is Hob's own"
  elseif #key > 128 or not key:find("^[%w:_-]+$") then
    return "a name is 1 to 128 of [a-zA-Z0-9:_-]"
  elseif not text then
    return "expected string, number or boolean"
  elseif count == HANDLERS_DETAILS then
    return "more than " .. HANDLERS_DETAILS
  end
end

-- What the program printed that was run with `report = true`.
local function add_reported(core, list, details)
  local reported, count = core:reported(), 0
  for _, key in ipairs(reported and { "stdout", "stderr" } or {}) do
    if details[key] == nil and reported[key] ~= "" then
      list[#list + 1] = { key, errors.tail(reported[key], reported[key .. "_cut"]), true }
      count = count + 1
    end
  end
  return count
end

local function add_details(core, list, details)
  local keys, count = {}, add_reported(core, list, details)
  for key in pairs(details) do
    keys[#keys + 1] = key
  end
  sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local text = M.text_of(details[key])
    local why = why_not(tostring(key), text, count)
    local is_unwanted = details[key] == false and TAILS[key]
    if why and not is_unwanted then
      core:log("warn", "job.detail_dropped",
        format("detail '%s' is not reported: %s", tostring(key), why))
    elseif not is_unwanted then
      count = count + 1
      list[#list + 1] = { tostring(key), text, TAILS[key] or false }
    end
  end
end

---@class hob.ending
---@field reason? string
---@field code? string
---@field step? string
---@field details? any  the handler's own
---@field succeeded? boolean

---@param ending hob.ending
local function finish(core, status, kind, ending)
  local facts = core:facts()
  local list = {}
  for _, key in ipairs({ "reason", "code", "step" }) do
    if ending[key] then
      list[#list + 1] = { key, ending[key] }
    end
  end
  list[#list + 1] = { "handler", facts.handler }
  if facts.attempt > 1 then
    list[#list + 1] = { "attempt", tostring(facts.attempt) }
  end
  add_details(core, list, type(ending.details) == "table" and ending.details or {})
  core:outcome(status, kind, list)
end

-- An error, raised or returned as the reason.
local function ending_of(err, code, otherwise)
  local failure = errors.failure(err, code, otherwise)
  local step = type(err) == "table" and type(err.step) == "string" and err.step or nil
  return { reason = failure.message, code = failure.code, step = step }
end

---What run() returned or raised.
---@param results table  packed, of pcall
---@return hob.ending
function M.read(results)
  local first, second, third = results[2], results[3], results[4]
  if not results[1] then
    return ending_of(first, nil, "LUA_ERROR")
  elseif results.n == 1 or first == true or type(first) == "table" then
    return { details = first, succeeded = true }
  elseif not first and second ~= nil then
    local ending = ending_of(second, third, "FAILED")
    ending.details = third
    return ending
  end
  return { code = "BAD_RESULT", reason = format(
    "run returned %s: expected nothing, true, a table of details, or nil and a reason",
    (first == nil or first == false) and tostring(first) .. " without a reason"
      or "a " .. type(first)) }
end

---What run() returned or raised: no value, true or a table: SUCCEEDED; nil or false with a reason,
---or an error: FAILED.
---@param results table  packed, of pcall
function M.conclude(job, results)
  local core = job._core
  local ending = M.read(results)
  local missing = steps.unasked(job)
  if missing then
    finish(core, "FAILED", "failed", { code = "REPLAY_MISMATCH", step = missing, reason = format(
      "replay mismatch: run() ended without asking for the saved step '%s'%s", missing,
      ending.succeeded and "" or "; it ended with: " .. ending.reason) })
  elseif ending.succeeded then
    finish(core, "SUCCEEDED", "succeeded", ending)
  else
    finish(core, "FAILED", ending.code == "INTERRUPTED" and "interrupted" or "failed", ending)
  end
end

---already_done said so: nothing was done.
function M.already_done(job)
  finish(job._core, "SUCCEEDED", "succeeded",
    { code = "ALREADY_DONE", reason = "already done: nothing was changed" })
end

return M
