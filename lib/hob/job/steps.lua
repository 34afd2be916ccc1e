-- steps.lua - job:step, job:reboot and what else is journalled: what has ended is not done again,
-- however often the handler runs from its first line.
-- Specs: spec/integration/steps_spec.lua, spec/integration/replay_spec.lua

local errors = require("hob.job.errors")
local json = require("hob.json")
local time = require("hob.time")

local M = {}

-- M.around(name, fn) -> the function to run in place of a step's, M.on_saved(name, failure, text):
-- set on a bench only, by lib/hob/handler/recorder.lua.

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, pcall, tostring, type = error, ipairs, pairs, pcall, tostring, type
local concat, pack, sort = table.concat, table.pack, table.sort
local format, min, to_integer, utf8_len = string.format, math.min, math.tointeger, utf8.len
local isyieldable = coroutine.isyieldable
local sleep = time.sleep

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

local function check_step(job, name, options, fn)
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
  while saved[saved.next] and job._asked[saved[saved.next]] do
    saved.next = saved.next + 1
  end
  return saved[saved.next]
end

---Read what former runs have saved.
function M.load(job)
  local saved = job._core:saved()
  local names = {}
  for _, name in ipairs(saved) do
    names[name] = true
  end
  saved.names, saved.next = names, 1
  job._saved, job._asked = saved, {}
  job._reboots = 0
  job.state = job._core:state()
end

---`name` is about to be done for the first time: all that was done before it must have been asked
---for, or the handler has taken another way than it took then.
local function check_replay(job, name)
  local missing = M.unasked(job)
  if missing then
    job._core:set_step(name)
    job._core:raise("failed", "REPLAY_MISMATCH", format(
      "replay mismatch: the new step '%s' comes where the saved step '%s' was; a handler must ask "
      .. "for the same steps in the same order again (does it read the world between steps?)",
      name, missing))
  end
end

---------------------------------------------------------------- running one

local function encode_state(job)
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

-- Saves what a step came to. What cannot be saved is a failure of the step, saved as such: it has
-- been done, and must not be done again.
local function save(job, name, failure, result)
  local core = job._core
  local state, wrong = encode_state(job)
  local text, message = core:encode(failure or result)
  if not wrong and not text then
    wrong = format("step '%s': its result cannot be saved: %s", name, message)
  end
  if wrong and not failure then
    failure = { message = errors.clean(wrong), code = "BAD_RESULT" }
    text = core:encode(failure)
  end
  core:save_step(name, failure ~= nil, text, state)
  if M.on_saved then
    M.on_saved(name, failure, text)
  end
  return failure, text
end

local function one_try(job, options, fn)
  local core = job._core
  local results = options.timeout and pack(core.within(options.timeout, fn)) or pack(pcall(fn))
  if results[1] == nil then
    core:end_children()
    return errors.failure(format("timed out after %.10g s (the step's timeout)", options.timeout),
      nil, "TIMED_OUT")
  elseif not results[1] then
    return errors.failure(results[2], nil, "LUA_ERROR")
  elseif results[2] == nil and results[3] ~= nil then
    return errors.failure(results[3], results[4], "FAILED")
  end
  return nil, results[2]
end

local function all_tries(job, name, options, fn)
  local tries, wait = options.tries or 1, options.backoff or BACKOFF
  local failure, result
  for i = 1, tries do
    job._core:begin_step(name, options.once, i > 1)
    if i == 1 then
      job._core:log("info", "job.step", "step '" .. name .. "'")
    end
    failure, result = one_try(job, options, fn)
    if not failure or i == tries then
      break
    end
    job._core:log("warn", "job.step_retry", format("%s; try %d of %d in %.10g s", failure.message,
      i + 1, tries, wait))
    sleep(wait)
    wait = min(2 * wait, BACKOFF_MAX)
  end
  return failure, result
end

local function run(job, name, options, fn)
  job._in_step = name
  local failure, result = all_tries(job, name, options, M.around and M.around(name, fn) or fn)
  job._in_step = nil
  return save(job, name, failure, result)
end

-- Too many interruptions, or one too many for a `once` step.
local function check_interruptions(job, name, options)
  local core = job._core
  if options.once and core:unsaved_once(name) then
    return { message = format("step '%s' was interrupted and must not be run twice", name),
      code = "INTERRUPTED" }
  end
  local count = core:facts().interrupted
  if count >= (options.interruptions or INTERRUPTIONS) then
    core:set_step(name)
    core:raise("interrupted", "INTERRUPTED", format("interrupted %s in step '%s'",
      count == 1 and "once" or count .. " times", name))
  end
end

local function do_step(job, name, options, fn)
  local failure = check_interruptions(job, name, options)
  local text
  if failure then
    failure, text = save(job, name, failure)
  else
    failure, text = run(job, name, options, fn)
  end
  return failure, not failure and json.decode(text)
end

local function is_valid(job, name, options, result)
  if not options.valid then
    return true
  end
  job._in_step = name
  local ok, valid = pcall(options.valid, result)
  job._in_step = nil
  if not ok then
    error(valid, 0)
  end
  return valid
end

-- A step, checked already: done, or as it was when it was done.
local function journalled(job, name, options, fn)
  local is_saved = job._saved.names[name]
  local failed, saved
  if is_saved then
    failed, saved = job._core:saved_step(name)
    job._asked[name] = true
    if failed then
      error(errors.step_error(name, saved), 0)
    elseif is_valid(job, name, options, saved) then
      return saved
    end
    job._core:log("info", "job.step_invalid", "step '" .. name .. "' runs again: what it made is "
      .. "not there any more", name)
  else
    check_replay(job, name)
    job._asked[name] = true
  end
  local failure, result = do_step(job, name, options, fn)
  if failure then
    if is_saved then
      job._saved.next = #job._saved + 1 -- another way is to be expected from here on
    end
    error(errors.step_error(name, failure), 0)
  end
  return result
end

local function without_null(value)
  if value ~= json.null then
    return value
  end
end

---@param job hob.Job
function M.step(job, name, options, fn)
  if fn == nil then
    options, fn = {}, options
  end
  local wrong = check_step(job, name, options, fn)
  if wrong then
    error(wrong, 3)
  end
  return without_null(journalled(job, name, options, fn))
end

---Asked once, before the first step; the answer is saved, also when it is no.
---@param index? integer  of the handler among several
---@return boolean
function M.already_done(job, fn, index)
  return journalled(job, RESERVED .. "already_done" .. (index or ""), {}, function()
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
  job._reboots = job._reboots + 1
  local name = format("%sreboot %d", RESERVED, job._reboots)
  if not job._saved.names[name] then
    check_replay(job, name)
    job._core:reboot(restart, name, errors.clean(reason or "no reason given"))
    save(job, name, nil, true)
  end
  job._asked[name] = true
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
