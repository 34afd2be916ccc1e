-- cleanup.lua - what surrounds a handler's cleanup(job, args, why).
-- Specs: spec/integration/job_spec.lua, spec/integration/replay_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, pack, pcall, require = error, table.pack, pcall, require

---The function to be run as a task.
---@param new_job fun(core: any, handler: table, document: table): hob.Job
---@return function
function M.of(new_job, core, handler, document, args)
  return function()
    local errors = require("hob.job.errors")
    local job = new_job(core, handler, document)
    job._cleaning = true
    job.results = require("hob.job.steps").results(job)
    local results = pack(pcall(handler.cleanup, job, args, core:why()))
    if not results[1] then
      error(errors.message_of(results[2]), 0)
    elseif results[2] == nil and results[3] ~= nil then
      error(errors.message_of(results[3]), 0)
    end
  end
end

return M
