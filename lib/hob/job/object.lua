-- object.lua - the members of a handler's `job`, but for job:step.
-- Specs: spec/integration/job_spec.lua, spec/integration/steps_spec.lua

local errors = require("hob.job.errors")
local steps = require("hob.job.steps")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local assert, error, ipairs, rawset = assert, error, ipairs, rawset
local tostring, type = tostring, type
local floor, format, max, min = math.floor, string.format, math.max, math.min

local RETRY_MAX = 31 * 86400

---@class hob.Job
---@field id string
---@field thing string
---@field execution_number integer
---@field document table     the job document, decoded
---@field attempt integer    1 for the first run, more after a restart
---@field dir string         a directory of this execution's own
---@field state table        the handler's own; saved with each step
---@field results table      in cleanup: name -> result of each step that ended well
---@field log table          debug, info, warn, error (text)
local Job = {}

---Report how far the job is; coalesced, the latest wins.
---@param percent number 0 to 100
---@param text? string
function Job:progress(percent, text)
  assert(type(percent) == "number", "progress: expected a number of percent")
  assert(text == nil or type(text) == "string", "progress: expected a string as text")
  local line = format("%d%%", floor(max(0, min(100, percent))))
  self._core:progress(text and line .. " " .. text or line)
end

---@param seconds number
function Job.sleep(_, seconds)
  time.sleep(seconds)
end

---Reboot the machine; returns after the reboot.
---@param reason? string
function Job:reboot(reason)
  steps.reboot(self, false, reason)
end

---Start Hob anew, for an update of Hob itself; returns in the new process.
---@param reason? string
function Job:restart_hob(reason)
  steps.reboot(self, true, reason)
end

---Call fn(...); a cancel, a time-out or a stop of Hob that comes meanwhile waits until it is done.
function Job:critical(fn, ...)
  if type(fn) ~= "function" then
    error("critical: expected a function, got " .. type(fn), 2)
  end
  return self._core.critical(fn, ...)
end

---Stop here if a person looks into the job, or `hob run --wait-debugger` waits for one; else do
---nothing.
function Job:break_here()
  self._core:break_here()
end

---Ask the service for the job document once more: the same arguments, with presigned URLs that have
---not expired. Waits for the answer; belongs in a step.
---@return table? args  nil, message, code: there was no answer, or none that `args` accepts
---@return string? message
---@return string? code
function Job:fresh_args()
  return require("hob.job.fresh").args(self, self._handler, self._core:facts())
end

local function check_reason(job, name, reason)
  if job._cleaning then
    error(format("job:%s is not available in cleanup: the job has ended", name), 3)
  elseif type(reason) ~= "string" or reason == "" then
    error(format("%s: expected a reason as string, got %s", name,
      reason == "" and "an empty one" or type(reason)), 3)
  end
end

---End as REJECTED: this document can never work here. Does not return.
---@param reason string
function Job:reject(reason)
  check_reason(self, "reject", reason)
  self._core:raise("rejected", "REJECTED_BY_HANDLER", errors.clean(reason))
end

---Give up for now: run() is called again after that time, with the steps that ended well as they
---are. Does not return.
---@param seconds number
---@param reason string
function Job:retry_later(seconds, reason)
  check_reason(self, "retry_later", reason)
  if type(seconds) ~= "number" or not (seconds > 0 and seconds <= RETRY_MAX) then
    error(format("retry_later: expected seconds, over 0 and at most %d, got %s", RETRY_MAX,
      tostring(seconds)), 2)
  end
  self._core:retry_later(seconds, errors.clean(reason))
end

---------------------------------------------------------------- members made when asked for

local MADE = {}

function MADE.log(job)
  local core, log = job._core, {}
  for _, level in ipairs({ "debug", "info", "warn", "error" }) do
    log[level] = function(text)
      core:log(level, "job.log", tostring(text))
    end
  end
  return log
end

-- Made when it is first asked for: most short jobs have no files.
function MADE.dir(job)
  return job._core:dir()
end

function MADE.state(job)
  if not job._has_state then -- else it was set to nil, which the next step refuses
    job._has_state = true
    return job._core:state()
  end
end

---The member of that name; nil: there is none.
---@param job hob.Job
---@param key any
function M.member(job, key)
  local make = MADE[key]
  if not make then
    return Job[key]
  end
  local member = make(job)
  rawset(job, key, member)
  return member
end

---------------------------------------------------------------- before run()

---For a handler with `already_done`.
---@param job hob.Job
function M.ask_and_run(job, handler, args)
  if steps.already_done(job, function() return handler.already_done(job, args) end) then
    job._done = true
    return
  end
  return handler.run(job, args)
end

return M
