-- replay.lua - what a step needs only now and then: its options, what former runs have saved,
-- interruptions, failures; and job:reboot. Loaded by steps.lua when it is asked for.
-- Specs: spec/integration/steps_spec.lua, spec/integration/replay_spec.lua

local errors = require("hob.job.errors")
local steps = require("hob.job.steps")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, pcall, tostring, type = error, ipairs, pairs, pcall, tostring, type
local concat, sort = table.concat, table.sort
local format, min, to_integer, utf8_len = string.format, math.min, math.tointeger, utf8.len
local isyieldable, sleep = coroutine.isyieldable, time.sleep

local RESERVED = "hob:"
local NAME_MAX = 128
local WEEK = 604800
local BACKOFF, BACKOFF_MAX = 1, 3600
local INTERRUPTIONS = 3

---------------------------------------------------------------- options

---@class hob.step.options
---@field once? boolean         never run again after an interruption: it raises INTERRUPTED
---@field valid? function       valid(result) -> is it still so? If not, the step runs again
---@field timeout? number       seconds, of each try
---@field tries? integer        1 to 1000, default 1
---@field backoff? number       seconds before the second try, doubled from there up to an hour
---@field interruptions? integer  how many are too many; default 3

local function is_whole(value, first, last)
  return type(value) == "number" and to_integer(value) and value >= first and value <= last
end

local OPTIONS = {
  once = { "true or false", function(v) return type(v) == "boolean" end },
  valid = { "a function", function(v) return type(v) == "function" end },
  timeout = { "seconds, over 0 and at most 604800",
    function(v) return type(v) == "number" and v > 0 and v <= WEEK end },
  tries = { "a whole number from 1 to 1000", function(v) return is_whole(v, 1, 1000) end },
  backoff = { "seconds, over 0 and at most 3600",
    function(v) return type(v) == "number" and v > 0 and v <= BACKOFF_MAX end },
  interruptions = { "a whole number from 1 to 1000", function(v) return is_whole(v, 1, 1000) end },
}

local function known_options()
  local names = {}
  for name in pairs(OPTIONS) do
    names[#names + 1] = name
  end
  sort(names)
  return concat(names, ", ")
end

local function in_words(value)
  return type(value) == "string" and format("%q", value) or tostring(value)
end

local function check_options(name, options)
  if type(options) ~= "table" then
    return format("step '%s': options: expected a table, got %s", name, type(options))
  end
  for key, value in pairs(options) do
    local option = OPTIONS[key]
    if not option then
      return format("step '%s': unknown option '%s'; known: %s", name, tostring(key),
        known_options())
    elseif not option[2](value) then
      return format("step '%s': %s: expected %s, got %s", name, key, option[1], in_words(value))
    end
  end
end

---------------------------------------------------------------- where a step may stand

local function check_place(job, what)
  if job._cleaning then
    return format("%s is not available in cleanup; it runs once, without steps", what)
  elseif job._in_step then
    return format("%s cannot stand inside the step '%s'", what, job._in_step)
  elseif isyieldable() then
    return what .. " cannot stand in a coroutine"
  elseif not job._core:in_run() then
    return what .. " cannot stand in a callback, only in run()"
  end
end

---@return string? message  nil: nothing is wrong
function M.check_step(job, name, options, fn)
  if type(name) ~= "string" or name == "" or #name > NAME_MAX then
    return format("step: expected a name of 1 to %d bytes, got %s", NAME_MAX, in_words(name))
  elseif name:sub(1, #RESERVED) == RESERVED then
    return format("step '%s': names that begin with '%s' are Hob's own", name, RESERVED)
  elseif name:find("%c") or not utf8_len(name) then
    return format("step %q: expected a name without control characters, in UTF-8", name)
  elseif type(fn) ~= "function" then
    return format("step '%s': expected a function, got %s", name, type(fn))
  elseif job._asked[name] then
    return format("step '%s': the name is used twice; in a loop, add the index", name)
  end
  local wrong = check_place(job, "a step")
  return wrong and format("step '%s': %s", name, wrong) or check_options(name, options)
end

---------------------------------------------------------------- replay

---The first saved step that this run has not asked for.
---@return string?
function M.unasked(job)
  local saved = job._saved
  while saved and saved[saved.next] and job._asked[saved[saved.next]] do
    saved.next = saved.next + 1
  end
  return saved and saved[saved.next] or nil
end

---`name` is about to be done for the first time: all that was done before it must have been asked
---for, or the handler has taken another way than it took then.
function M.check_replay(job, name)
  local missing = M.unasked(job)
  if missing then
    job._core:set_step(name)
    job._core:raise("failed", "REPLAY_MISMATCH", format(
      "replay mismatch: the new step '%s' comes where the saved step '%s' was; a handler must ask "
      .. "for the same steps in the same order again (does it read the world between steps?)",
      name, missing))
  end
end

local function is_valid(job, name, options, result)
  if not options.valid then
    return true
  end
  job._in_step = name
  local ok, valid = pcall(options.valid, result)
  job._in_step = false
  if not ok then
    error(valid, 0)
  end
  return valid
end

---A step that a former run has done; raises as it failed then.
---@return boolean is_valid  false: what it made is not there any more, it must run again
---@return any result
function M.saved(job, name, options)
  local failed, saved = job._core:saved_step(name)
  job._asked[name] = true
  if failed then
    error(errors.step_error(name, saved), 0)
  elseif is_valid(job, name, options, saved) then
    return true, saved
  end
  job._core:log("info", "job.step_invalid", "step '" .. name .. "' runs again: what it made is "
    .. "not there any more", name)
  return false
end

---------------------------------------------------------------- failures

M.clean, M.step_error = errors.clean, errors.step_error

---@return string? text
---@return string? message
function M.encode_state(job)
  if type(job.state) ~= "table" then
    return nil, "job.state: expected a table, got " .. type(job.state)
  end
  local text, message = job._core:encode(job.state)
  if not text then
    local joint = message:find("^the value") and ": " or message:sub(1, 1) == "[" and "" or "."
    return nil, "job.state" .. joint .. message
  end
  return text
end

---What a try came to that has not ended well.
---@param results table  packed, of pcall or within
function M.failure(job, options, results)
  if results[1] == nil then
    job._core:end_children()
    return errors.failure(format("timed out after %.10g s (the step's timeout)", options.timeout),
      nil, "TIMED_OUT")
  elseif not results[1] then
    return errors.failure(results[2], nil, "LUA_ERROR")
  end
  return errors.failure(results[3], results[4], "FAILED")
end

function M.all_tries(job, name, options, fn, first_try)
  local tries, wait = options.tries, options.backoff or BACKOFF
  local failure, result = first_try(job, name, options, fn)
  for i = 2, tries do
    if not failure then
      break
    end
    job._core:log("warn", "job.step_retry", format("%s; try %d of %d in %.10g s", failure.message,
      i, tries, wait))
    sleep(wait)
    wait = min(2 * wait, BACKOFF_MAX)
    job._core:begin_step(name, options.once, true)
    failure, result = steps.try_once(job, options, fn)
  end
  return failure, result
end

---Too many interruptions, or one too many for a `once` step.
---@return table? failure
function M.check_interruptions(job, name, options)
  local core = job._core
  if options.once and core:unsaved_once(name) then
    return { message = format("step '%s' was interrupted and must not be run twice", name),
      code = "INTERRUPTED" }
  end
  local count = core:interrupted()
  if count >= (options.interruptions or INTERRUPTIONS) then
    core:set_step(name)
    core:raise("interrupted", "INTERRUPTED", format("interrupted %s in step '%s'",
      count == 1 and "once" or count .. " times", name))
  end
end

---------------------------------------------------------------- beside steps

local function load_new(job)
  if not job._saved then
    steps.load(job, true)
  end
end

---Asked once, before the first step; the answer is saved, also when it is no.
---@param index? integer  of the handler among several
---@return boolean
function M.already_done(job, fn, index)
  load_new(job)
  return steps.journalled(job, RESERVED .. "already_done" .. (index or ""), {}, function()
    local answer, message, code = fn()
    if answer == nil and message ~= nil then
      return nil, message, code
    end
    return answer and true or false
  end)
end

---@param restart boolean  of Hob, not of the machine
function M.reboot(job, restart, reason)
  local what = restart and "job:restart_hob" or "job:reboot"
  local wrong = check_place(job, what)
  if reason ~= nil and type(reason) ~= "string" then
    wrong = format("%s: expected a reason as string, got %s", what, type(reason))
  end
  if wrong then
    error(wrong, 3)
  end
  load_new(job)
  job._reboots = job._reboots + 1
  local name = format("%sreboot %d", RESERVED, job._reboots)
  if not job._saved.names[name] then
    M.check_replay(job, name)
    job._core:reboot(restart, name, errors.clean(reason or "no reason given"))
    steps.save(job, name, nil, true)
  end
  job._asked[name] = true
end

local function without_null(value)
  if value ~= nil and value ~= require("hob.json").null then
    return value
  end
end

---Name -> result of the steps that ended well, for cleanup.
---@param names? string[]  those that are saved by now; default: those of former runs
function M.results(job, names)
  local results = {}
  for _, name in ipairs(names or job._saved) do
    local failed, saved = job._core:saved_step(name)
    if not failed and name:sub(1, #RESERVED) ~= RESERVED then
      results[name] = without_null(saved)
    end
  end
  return results
end

return M
