-- steps.lua - job:step: what has ended is not done again, however often the handler runs from its
-- first line. This file does a step for the first time; what is rare is in replay.lua, loaded when
-- it is asked for. Specs: spec/integration/steps_spec.lua, spec/integration/replay_spec.lua

local json = require("hob.json")

local M = {}

-- M.around(name, fn) -> the function to run in place of a step's, M.on_saved(name, failure, text):
-- set on a bench only, by lib/hob/handler/recorder.lua; else false.
M.around, M.on_saved = false, false

-- The language's own, whatever a handler does to its globals.
local error, next, pcall, require = error, next, pcall, require
local isyieldable, pack, setmetatable, type = coroutine.isyieldable, table.pack, setmetatable, type

local function rare()
  return require("hob.job.replay")
end

---------------------------------------------------------------- what former runs have saved

---Read it; a job that is new has nothing.
---@param is_new? boolean
function M.load(job, is_new)
  local saved = is_new and {} or job._core:saved()
  local names = {}
  for i = 1, #saved do
    names[saved[i]] = true
  end
  saved.names, saved.next = names, 1
  job._saved, job._asked = saved, {}
  job._reboots = 0
end

---------------------------------------------------------------- saving

-- What cannot be saved is a failure of the step, saved as such: it has been done, and must not be
-- done again. The state that nobody has looked at is as it was.
local function save(job, name, failure, result)
  local core = job._core
  local state, wrong
  if job._has_state then
    state, wrong = rare().encode_state(job)
  end
  local text, message = core:encode(failure or result)
  if not wrong and not text then
    wrong = "step '" .. name .. "': its result cannot be saved: " .. message
  end
  if wrong and not failure then
    failure = { message = rare().clean(wrong), code = "BAD_RESULT" }
    text = core:encode(failure)
  end
  -- Last: the end of the last step is committed with the outcome, if nothing is called in between.
  local decoded = not failure and json.decode(text)
  core:save_step(name, failure ~= nil, text, state)
  if M.on_saved then
    M.on_saved(name, failure, text)
  end
  return failure, decoded
end
M.save = save

---------------------------------------------------------------- running one

---@return table? failure, any result
function M.try_once(job, options, fn)
  local core = job._core
  local results = options.timeout and pack(core.within(options.timeout, fn)) or pack(pcall(fn))
  if results[1] and (results[2] ~= nil or results[3] == nil) then
    return nil, results[2]
  end
  return rare().failure(job, options, results)
end

local function first_try(job, name, options, fn)
  local core = job._core
  core:begin_step(name, options.once, false)
  core:log("info", "job.step", "step '" .. name .. "'")
  return M.try_once(job, options, fn)
end

local function run(job, name, options, fn)
  if M.around then
    fn = M.around(name, fn)
  end
  job._in_step = name
  local failure, result
  if options.tries then
    failure, result = rare().all_tries(job, name, options, fn, first_try)
  else
    failure, result = first_try(job, name, options, fn)
  end
  job._in_step = false
  return save(job, name, failure, result)
end

local function do_step(job, name, options, fn)
  local failure, result
  if options.once or job._core:interrupted() > 0 then
    failure = rare().check_interruptions(job, name, options)
  end
  if failure then
    failure, result = save(job, name, failure)
  else
    failure, result = run(job, name, options, fn)
  end
  return failure, result
end

-- A step, checked already: done, or as it was when it was done.
local function journalled(job, name, options, fn)
  local saved = job._saved
  if saved.names[name] then
    local is_valid, result = rare().saved(job, name, options)
    if is_valid then
      return result
    end
  else
    if saved[1] then
      rare().check_replay(job, name)
    end
    job._asked[name] = true
  end
  local failure, result = do_step(job, name, options, fn)
  if failure then
    if saved.names[name] then
      saved.next = #saved + 1 -- another way is to be expected from here on
    end
    error(rare().step_error(name, failure), 0)
  end
  return result
end
M.journalled = journalled

local function without_null(value)
  if value ~= json.null then
    return value
  end
end

-- In run(), the name is one, and there are no options to look at: nothing can be wrong.
local function is_plain(job, name, options, fn)
  local core = job._core
  return core:is_step_name(name) and type(fn) == "function" and type(options) == "table"
    and next(options) == nil and not job._asked[name] and not job._cleaning and not job._in_step
    and not isyieldable() and core:in_run()
end

---@param job hob.Job
function M.step(job, name, options, fn)
  if fn == nil then
    options, fn = {}, options
  end
  if not job._saved then
    M.load(job, true)
  end
  if not is_plain(job, name, options, fn) then
    local wrong = rare().check_step(job, name, options, fn)
    if wrong then
      error(wrong, 3)
    end
  end
  return without_null(journalled(job, name, options, fn))
end

---Do something once: its result is saved when it has ended, and a run after a crash or a reboot
---gets the saved result instead of doing it again. A function that raises, or returns nil and a
---message, has failed; that is saved too, and raised again at each later run.
---@param job hob.Job
---@param name string      unique within the handler
---@param options? hob.step.options
---@param fn function      its first result must be a JSON value
function M.method(job, name, options, fn)
  -- No tail call: an error's line is found by counting levels.
  local result = M.step(job, name, options, fn)
  return result
end

-- already_done, reboot, results and unasked are in replay.lua.
return setmetatable(M, { __index = function(_, key)
  return rare()[key]
end })
