-- looking.lua - a job that waits on the bench, and what a person sees of it through hob.debug; for
-- specs of that. On top of debugged.lua.

local debugged = require("spec.support.debugged")
local wait_until = require("spec.support.wait").wait_until

local M = {}

-- A handler that waits where the body says nap().
M.HEAD = [[
local time = require("hob.time")
local function nap() time.sleep(1000) end
]]

function M.waits(body, options)
  local work = debugged.run(M.HEAD .. body, options)
  wait_until(function()
    local job = work.session:jobs()[1]
    if job and job.state == "waiting" and job.waitingIn == "hob.time.sleep" then
      work.thread = job.thread
      return true
    end
    assert(not work.record, work.record and work.record.details.reason)
  end, 20, "the job that waits")
  return work
end

-- The frame of a function, by its name.
function M.frame_of(work, name)
  for _, frame in ipairs(assert(work.session:stack(work.thread))) do
    if frame.name == name then
      return frame
    end
  end
  error("no frame " .. name)
end

function M.scope_of(work, frame, name)
  for _, scope in ipairs(assert(work.session:scopes(frame.id))) do
    if scope.name == name then
      return scope
    end
  end
end

function M.by_name(list)
  local found = {}
  for _, variable in ipairs(list) do
    found[variable.name] = variable
  end
  return found
end

function M.locals_of(work, name)
  local scope = M.scope_of(work, M.frame_of(work, name), "Locals")
  return M.by_name(assert(work.session:variables(scope.ref)))
end

function M.names_of(list)
  local names = {}
  for i, item in ipairs(list) do
    names[i] = item.name
  end
  return names
end

function M.values_of(list)
  local values = {}
  for i, item in ipairs(list) do
    values[i] = item.value
  end
  return values
end

-- An expression in the frame of run(), and how its results look.
function M.ask(work, text, options)
  options = options or {}
  options.frame = options.frame or M.frame_of(work, "run").id
  local results, message, code = work.session:evaluate(text, options)
  return results and table.concat(M.values_of(results), " "), message, code
end

local RUN = [[
return { api = 1, run = function(job, args)
  %s
  nap()
  %s
end }
]]

function M.in_run(before, after)
  return M.waits(RUN:format(before, after or ""))
end

function M.finish(work)
  work.session:cancel(work.thread)
  return work:finish()
end

return M
