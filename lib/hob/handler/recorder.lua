-- recorder.lua - in the sandbox of a job on a bench, before its handler: what the handler gets from
-- `require` tells the bench of each call, which may answer in its place, or cut the power there.
--
-- Hob's own modules (but for the built-in handler of AWS's documents) get the real ones: what a
-- handler calls is recorded once, not what Hob does for it. Between `call` and `done` the real
-- function runs. The other side is lib/hob/handler/bench.lua.
-- Specs: spec/integration/handler_run_spec.lua, rehearse_spec.lua

local values = require("hob.handler.values")
local wire = require("hob.bench.wire")

-- The language's own, whatever a handler does to its globals.
local error, getmetatable, ipairs, pairs, pcall = error, getmetatable, ipairs, pairs, pcall
local setmetatable, tostring, type = setmetatable, tostring, type
local format, pack, unpack = string.format, table.pack, table.unpack

---------------------------------------------------------------- the bench

-- @return what the bench answers: a table, or nil
local function tell(kind, event)
  event.kind = kind
  local answer = wire.tell(values.write(event))
  return answer and values.read(answer) or nil
end

local function tell_point(kind, event)
  local answer = tell(kind, event)
  if answer and answer.cut then
    wire.cut()
  end
  return answer
end

---@class hob.recorder.plan
---@field points? boolean  the power may be cut: tell of the ends of calls, too
---@field quick? boolean   sleeping takes no time
local plan = tell("plan", {}) or {}

---------------------------------------------------------------- where the handler is

local steps -- lib/hob/job/steps.lua
local job   -- of this run; nil while the file is loaded

local function place()
  if not job then
    return "load", nil
  elseif job._cleaning then
    return "cleanup", nil
  elseif job._in_step then
    return "step", job._in_step
  end
  return "run", nil
end

---------------------------------------------------------------- answers in place of a call

local error_meta = { __metatable = false }

function error_meta.__tostring(err)
  return err.message
end

function error_meta.__concat(left, right)
  return tostring(left) .. tostring(right)
end

local function with_place(message, where)
  if not where or message:find("^[^%s:]+:%d+: ") then
    return message
  end
  return where .. ": " .. message
end

local function raise(problem, where)
  if type(problem) == "string" then
    error(with_place(problem, where), 0)
  end
  problem.message = with_place(problem.message, where)
  error(setmetatable(problem, error_meta), 0)
end

-- A process that was never started.
local function fake_process(result, on_line)
  local process = {}
  for _, stream in ipairs(on_line and { "stdout", "stderr" } or {}) do
    for line in (result[stream] or ""):gmatch("[^\n]+") do
      on_line(line, stream == "stderr")
    end
  end
  function process.pid() return 0 end
  function process.kill() return true end
  function process.wait() return result end
  function process.close() end
  return process
end

-- One that never hears anything.
local function fake_subscription()
  local subscription = {}
  function subscription.close() end
  return setmetatable(subscription, { __close = subscription.close })
end

local function answered(name, arguments, answer, where)
  local options = arguments[1]
  if answer.raise then
    raise(answer.raise, where)
  elseif name == "exec.spawn" and type(answer[1]) == "table" then
    return fake_process(answer[1], options.on_line)
  elseif name == "cloud.subscribe" and answer[1] then
    return fake_subscription()
  elseif type(options) == "table" and options.report and type(answer[1]) == "table" then
    wire.report(answer[1])
  end
  return unpack(answer, 1, answer.n)
end

---------------------------------------------------------------- recording

-- What was raised in the real function names the line of the handler, as it would without us.
local function made(results, where)
  local err = results[2]
  if results[1] then
    return unpack(results, 2, results.n)
  elseif type(err) == "string" then
    error(with_place(err, where), 0)
  elseif type(err) == "table" and type(err.message) == "string" then
    err.message = with_place(err.message, where)
  end
  error(err, 0)
end

local function call(name, real, where, ...)
  local arguments = pack(...)
  local phase, step = place()
  local answer = tell_point("call", {
    name = name, arguments = arguments, where = where, phase = phase, step = step,
  })
  if answer and answer.answer then
    local results = pack(pcall(answered, name, arguments, answer.answer, where))
    if plan.points then
      tell_point("done", { name = name, where = where, phase = phase, step = step })
    end
    return made(results, nil)
  end
  local results = pack(pcall(real, ...))
  if plan.points then
    tell_point("done", { name = name, where = where, phase = phase, step = step })
  end
  return made(results, where)
end

local function recorded(name, real)
  return function(...)
    local where, direct = wire.where()
    if not direct then
      return real(...)
    end
    return call(name, real, where, ...)
  end
end

---------------------------------------------------------------- what is recorded

-- Functions that only compute are left alone.
local MODULES = {
  ["hob.aws"] = {}, ["hob.cloud"] = {}, ["hob.exec"] = {}, ["hob.fs"] = {}, ["hob.keys"] = {},
  ["hob.http"] = { escape = true },
  ["hob.scripts"] = {}, ["hob.systemd"] = {}, ["hob.verify"] = { sha256_text = true },
  ["hob.time"] = { text = true },
}

local copies = {}

local function copy_of(name, module)
  if not copies[name] then
    local copy, pure = {}, MODULES[name]
    for key, member in pairs(module) do
      if type(member) == "function" and not pure[key] then
        copy[key] = recorded(name:sub(5) .. "." .. key, member)
      else
        copy[key] = member
      end
    end
    copies[name] = setmetatable(copy, getmetatable(module))
  end
  return copies[name]
end

-- A function in C says neither the line nor the name by which the handler called it.
local function as_called(name, where, real, ...)
  local results = pack(pcall(real, ...))
  if type(results[2]) == "string" and not results[1] then
    results[2] = results[2]:gsub("to '%?'", "to '" .. name .. "'", 1)
  end
  return made(results, where)
end

local function watch_require()
  local real = require
  function _G.require(name)
    local where, direct = wire.where()
    if not direct then
      return real(name)
    end
    local module = as_called("require", where, real, name)
    if MODULES[name] and type(module) == "table" then
      return copy_of(name, module)
    end
    return module
  end
end

-- With an argument they only compute.
local function watch_global(library, name)
  local real = _G[library][name]
  _G[library][name] = function(...)
    local first, second = ...
    local where, direct = wire.where()
    if not direct then
      return real(...)
    elseif name == "time" and first ~= nil or name == "date" and second ~= nil then
      return as_called(library .. "." .. name, where, real, ...)
    end
    return call(library .. "." .. name, real, where, ...)
  end
end

local function watch_globals()
  for _, name in ipairs({ "time", "date", "clock", "getenv" }) do
    watch_global("os", name)
  end
  watch_global("math", "random")
end

local function sleep_quickly()
  local time = require("hob.time")
  function time.sleep(seconds)
    if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
      error(format("sleep: expected seconds, got %s", tostring(seconds)), 2)
    end
    tell("sleep", { seconds = seconds })
  end
end

---------------------------------------------------------------- steps

local function watch_steps()
  steps = require("hob.job.steps")
  require("hob.job").watched = true
  local load_saved = steps.load
  function steps.load(new)
    job = new
    load_saved(new)
    tell("run", { attempt = new.attempt, dir = new.dir })
  end

  function steps.around(name, fn)
    return function()
      tell_point("begin", { step = name })
      local results = pack(pcall(fn))
      tell_point("end", { step = name })
      return made(results, nil)
    end
  end

  function steps.on_saved(name, failure, text)
    tell_point("saved", { step = name, failure = failure, result = not failure and text or nil })
  end
end

-- There is no service that could sign URLs anew.
local function answer_fresh_args()
  local contract = require("hob.job.contract")
  require("hob.job.fresh").args = function(of_job, handler, facts)
    local phase, step = place()
    tell("call", { name = "job:fresh_args", arguments = { n = 0 }, where = wire.where(),
      phase = phase, step = step })
    return contract.read_args(handler, of_job.document, facts)
  end
end

if plan.quick then
  sleep_quickly()
end
watch_steps()
answer_fresh_args()
watch_globals()
watch_require()

return {}
