-- job.lua - what surrounds a handler's run(job, args): its arguments, the job object, cleanup.
--
-- The core calls prepare(handler, primitive) in a job's sandbox; what it gives back is run as
-- tasks. This file is there in every job, and has only what each of them needs; the rest of it is
-- in lib/hob/job/, loaded when it is asked for. What is plain is decided before that by
-- core/work/job_plain.h. Specs: spec/integration/job_spec.lua, spec/integration/steps_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local pack, pcall, rawset, require, setmetatable = table.pack, pcall, rawset, require, setmetatable

-- M.watched: steps.load is called for each job; set on a bench only, by its recorder.lua.

---------------------------------------------------------------- the job object

-- Its members are in lib/hob/job/object.lua, those that every job uses in steps.lua.
local Job = {}

function Job.__index(job, key)
  if key == "step" then
    return require("hob.job.steps").method
  end
  return require("hob.job.object").member(job, key)
end

-- A state that is set to nil, before anybody has looked at it, is not as it was.
function Job.__newindex(job, key, value)
  if key == "state" then
    job._has_state = true
  end
  rawset(job, key, value)
end

local function new_job(core, handler, document)
  -- What is read before it is set is false: a member that is nil is looked for.
  local job = { document = document, _core = core, _handler = handler, _saved = false,
    _in_step = false, _cleaning = false, _done = false, _has_state = false }
  local is_new = core:describe(job)
  setmetatable(job, Job)
  if M.watched or not is_new then
    require("hob.job.steps").load(job)
  end
  return job
end

---------------------------------------------------------------- what the core runs

local function conclude(job, ...)
  local saved = job._saved
  if job._done then
    require("hob.job.outcome").already_done(job)
  elseif saved and saved[1] or not job._core:succeed(...) then
    require("hob.job.outcome").conclude(job, pack(...))
  end
end

local function run(core, handler, document, args)
  local job = new_job(core, handler, document)
  if handler.already_done then
    conclude(job, pcall(require("hob.job.object").ask_and_run, job, handler, args))
  else
    conclude(job, pcall(handler.run, job, args))
  end
end

---Get ready to run: nothing has happened to the device yet.
---@param core any
---@param document? table    decoded, if handler and document are plain,
---@param args? table        and what run() gets then
---@return function? run     to be run as a task
---@return any cleanup       likewise; nil: it has none. Of no run: why this can never work here
---@return hob.requires? needs  what must hold before it is begun
---@return integer? memory   bytes
---@return number? cpu       seconds
function M.prepare(handler, core, document, args)
  local needs, memory, cpu
  if not document then
    local why
    document, why, args, needs, memory, cpu = require("hob.job.prepare").read(handler, core:facts())
    if not document then
      return nil, why
    end
  end
  return function() run(core, handler, document, args) end,
    handler.cleanup and require("hob.job.cleanup").of(new_job, core, handler, document, args),
    needs, memory, cpu
end

return M
