-- job.lua - what surrounds a handler's run(job, args): its arguments, the job object, cleanup.
--
-- The core calls prepare(handler, primitive) in a job's sandbox; what it gives back is run as
-- tasks. The parts are in lib/hob/job/. Specs: spec/integration/job_spec.lua,
-- spec/integration/steps_spec.lua, spec/unit/handlers_spec.lua

local contract = require("hob.job.contract")
local errors = require("hob.job.errors")
local fresh = require("hob.job.fresh")
local json = require("hob.json")
local outcomes = require("hob.job.outcome")
local steps = require("hob.job.steps")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local assert, error, ipairs, pcall, setmetatable = assert, error, ipairs, pcall, setmetatable
local tostring, type = tostring, type
local floor, format, max, min, pack = math.floor, string.format, math.max, math.min, table.pack

local RETRY_MAX = 31 * 86400

M.check = contract.check
M.check_examples = contract.check_examples
M.clean = errors.clean

---------------------------------------------------------------- the job object

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
Job.__index = Job

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

---Do something once: its result is saved when it has ended, and a run after a crash or a reboot
---gets the saved result instead of doing it again. A function that raises, or returns nil and a
---message, has failed; that is saved too, and raised again at each later run.
---@param name string      unique within the handler
---@param options? hob.step.options
---@param fn function      its first result must be a JSON value
function Job:step(name, options, fn)
  -- No tail call: an error's line is found by counting levels.
  local result = steps.step(self, name, options, fn)
  return result
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
  return fresh.args(self, self._handler, self._core:facts())
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

local function make_log(core)
  local log = {}
  for _, level in ipairs({ "debug", "info", "warn", "error" }) do
    log[level] = function(text)
      core:log(level, "job.log", tostring(text))
    end
  end
  return log
end

local function new_job(core, handler, document)
  local facts = core:facts()
  local job = setmetatable({
    id = facts.id,
    thing = facts.thing,
    execution_number = facts.execution_number,
    attempt = facts.attempt,
    document = document,
    dir = facts.work_dir,
    log = make_log(core),
    _core = core,
    _handler = handler,
  }, Job)
  steps.load(job)
  return job
end

---------------------------------------------------------------- what the core runs

local function run(core, handler, document, args)
  local job = new_job(core, handler, document)
  local ask = handler.already_done
  local results = pack(pcall(function()
    if ask and steps.already_done(job, function() return ask(job, args) end) then
      job._done = true
      return
    end
    return handler.run(job, args)
  end))
  if job._done then
    outcomes.already_done(job)
  else
    outcomes.conclude(job, results)
  end
end

local function clean_up(core, handler, document, args)
  local job = new_job(core, handler, document)
  job._cleaning = true
  job.results = steps.results(job)
  local results = pack(pcall(handler.cleanup, job, args, core:why()))
  if not results[1] then
    error(errors.message_of(results[2]), 0)
  elseif results[2] == nil and results[3] ~= nil then
    error(errors.message_of(results[3]), 0)
  end
end

---Get ready to run: nothing has happened to the device yet.
---@return function? run      to be run as a task
---@return any cleanup        likewise; nil: it has none. Of no run: why this can never work here
---@return hob.requires?      what must hold before it is begun
function M.prepare(handler, core)
  local wrong = contract.check(handler)
  if wrong then
    error(wrong, 0)
  end
  local facts = core:facts()
  local document, message = json.decode(facts.document)
  if type(document) ~= "table" then
    return nil, "job document: " .. (message and "no JSON: " .. message
      or "expected an object, got " .. contract.describe(document))
  end
  local placeholder = contract.find_placeholder(document, "document")
  if placeholder then
    return nil, placeholder .. ": the placeholder ${aws:iot:...} was not filled in"
  end
  local args, why = contract.read_args(handler, document, facts)
  if args == nil then
    return nil, why or "the handler does not accept this document"
  end
  return function() run(core, handler, document, args) end,
    handler.cleanup and function() clean_up(core, handler, document, args) end,
    contract.requirements(handler)
end

return M
