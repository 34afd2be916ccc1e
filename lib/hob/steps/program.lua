-- program.lua - a step of one of AWS's documents that is a program: run, and what came of it.
-- Exit code, signal, time-out and want of memory are told apart; what it prints on standard error
-- fails nothing unless `allowStdErr` says so. Spec: spec/integration/aws_executables_spec.lua

local core = require("hob.steps.core")
local errors = require("hob.job.errors")
local exec = require("hob.exec")

local M = {}

local KEPT = 256 * 1024 -- of each stream, to count its lines
local TAIL_MAX = 960    -- of each stream, to report; as errors.tail has it

local function count_lines(text)
  local _, lines = text:gsub("\n", "")
  return lines + ((text == "" or text:sub(-1) == "\n") and 0 or 1)
end

local function too_many_errors(action, result)
  local lines = count_lines(result.stderr)
  if action.allow_stderr and (lines > action.allow_stderr or result.stderr_cut > 0) then
    local more = result.stderr_cut > 0 and " or more" or ""
    return ("%s: %d lines%s on standard error, allowed are %d"):format(action.words[1], lines,
      more, action.allow_stderr)
  end
end

-- The same codes as of hob.exec.check.
local function code_of(result)
  return result.timed_out and "TIMED_OUT" or result.out_of_memory and "OUT_OF_MEMORY"
    or result.signal and "SIGNAL" or result.code and "EXIT_CODE" or "STATUS_TAKEN"
end

-- How it ended, if not well: words and a code.
local function judge(action, result)
  if result.code == 0 and not result.timed_out then
    return too_many_errors(action, result), "FAILED"
  end
  local last = result.stderr:match("([^\n]+)%s*$")
  return ("%s: %s%s"):format(action.words[1], result.words,
    last and ": " .. errors.clean(last) or ""), code_of(result)
end

-- The end of what it printed, from a whole character on, and how much came before.
local function tail_of(text, cut)
  local kept = #text > TAIL_MAX and text:sub(-TAIL_MAX):gsub("^[\128-\191]+", "") or text
  return errors.clean(kept), cut + #text - #kept
end

-- A handler that may do all that Hob may changes to the user by itself, as AWS's do.
local function user_of(action)
  return not (action.is_handler and core.who(action.words[1])) and action.user or nil
end

local function start(action)
  local options = table.move(action.words, 1, #action.words, 1, { tail = KEPT })
  options.user = user_of(action)
  return exec.run(options)
end

local function run(action)
  local result, message = start(action)
  if not result then
    return { problem = errors.clean(message), code = "NOT_STARTED", step = action.key }
  end
  local problem, code = judge(action, result)
  local ending = { problem = problem, code = problem and code, step = action.key }
  ending.stdout, ending.stdout_cut = tail_of(result.stdout, result.stdout_cut)
  ending.stderr, ending.stderr_cut = tail_of(result.stderr, result.stderr_cut)
  return ending
end

---@param job hob.Job
---@param action hob.steps.action
---@return hob.steps.ending
function M.run(job, action)
  return job:step(action.key, function()
    job._core:log("info", "job.action", ("'%s' is the program %s"):format(errors.clean(action.name),
      errors.clean(action.words[1])))
    return run(action)
  end)
end

return M
