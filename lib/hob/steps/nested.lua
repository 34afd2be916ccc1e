-- nested.lua - a step of one of AWS's documents that is a Lua handler: it runs in the same job, as
-- if it were alone. Its steps' names have the action's before them ("1 Download-File/download"),
-- its state is a member of job.state. Spec: spec/integration/aws_documents_spec.lua

local errors = require("hob.job.errors")
local outcomes = require("hob.job.outcome")
local steps = require("hob.job.steps")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, pcall, rawset = error, ipairs, pairs, pcall, rawset
local setmetatable, type = setmetatable, type
local pack = table.pack

local STEP_MAX = 128 -- bytes of a step's name
local RESERVED = "hob:"

---@class hob.steps.ending
---@field problem? string   why it failed
---@field code? string
---@field step string       which step, for the report
---@field details? table    of a Lua handler
---@field done? boolean     it had been done already
---@field stdout? string    of a program
---@field stderr? string
---@field stdout_cut? integer
---@field stderr_cut? integer

---------------------------------------------------------------- the job that it sees

local Nested = {}

-- Members of its own first, then what every job has.
local function member_of(self, key)
  if key == "state" then
    local states = self._root.state
    states[self._action.key] = states[self._action.key] or {}
    return states[self._action.key]
  elseif Nested[key] ~= nil then
    return Nested[key]
  end
  return self._root[key]
end

local function set_member(self, key, value)
  if key == "state" then
    self._root.state[self._action.key] = value
  else
    rawset(self, key, value)
  end
end

-- The name of one of its steps in the job. What is no name is left to be refused as such.
local function name_in_job(self, name)
  if type(name) ~= "string" or name == "" or name:sub(1, #RESERVED) == RESERVED then
    return name
  end
  local full = self._action.key .. "/" .. name
  return #full <= STEP_MAX and full or self._action.key:match("^%S+") .. "/" .. name
end

function Nested:step(name, options, fn)
  -- No tail call: an error's line is found by counting levels.
  local result = steps.step(self._root, name_in_job(self, name), options, fn)
  return result
end

function Nested:progress(percent, text)
  local share = type(percent) == "number" and percent >= 0 and percent <= 100 and percent or 0
  self._root:progress((self._index - 1 + share / 100) * 100 / self._count,
    self._action.name .. (text and ": " .. text or ""))
end

function Nested:reboot(reason)
  steps.reboot(self._root, false, reason)
end

function Nested:restart_hob(reason)
  steps.reboot(self._root, true, reason)
end

function Nested:fresh_args()
  local plan, message, code = self._root:fresh_args()
  local action = plan and plan[self._index]
  if not action then
    return nil, message or "the document has other steps now", code or "BAD_DOCUMENT"
  end
  return action.args
end

---@param job hob.Job
---@param plan hob.steps.plan
---@param index integer
local function new(job, plan, index)
  local self = { _root = job, _index = index, _count = #plan, _action = plan[index] }
  self.user = plan[index].user
  return setmetatable(self, { __index = member_of, __newindex = set_member })
end

---------------------------------------------------------------- running it

-- What can be saved, and be a detail; the rest is told, as at the end of a job.
local function plain(job, details)
  local texts = {}
  for key, value in pairs(details or {}) do
    texts[key] = outcomes.text_of(value)
    if not texts[key] then
      job._core:log("warn", "job.detail_dropped", ("detail '%s' is not reported: expected string, "
        .. "number or boolean"):format(key))
    end
  end
  return texts
end

local function ending_of(self, results)
  local key = self._action.key
  if self._done then
    return { done = true, step = key }
  end
  local ending = outcomes.read(results)
  local details = plain(self._root, type(ending.details) == "table" and ending.details)
  if ending.succeeded then
    return { details = details, step = key }
  end
  return { problem = ending.reason, code = ending.code, step = ending.step or key,
    details = details }
end

local function run(self)
  local handler, args = self._action.handler, self._action.args
  local results = pack(pcall(function()
    local ask = handler.already_done
    if ask and steps.already_done(self._root, function() return ask(self, args) end,
      self._index) then
      rawset(self, "_done", true)
      return
    end
    return handler.run(self, args)
  end))
  return ending_of(self, results)
end

---------------------------------------------------------------- cleaning up after it

local function results_of(self, names)
  local results = {}
  for name, result in pairs(steps.results(self._root, names)) do
    local own = name:match("^" .. self._action.key:gsub("%p", "%%%0") .. "/(.+)$")
      or name:match("^" .. self._action.key:match("^%S+") .. "/(.+)$")
    if own then
      results[own] = result
    end
  end
  return results
end

local function call_cleanup(self, why, names)
  rawset(self, "results", results_of(self, names))
  rawset(self, "_cleaning", true)
  local ok, result, message = pcall(self._action.handler.cleanup, self, self._action.args, why)
  if not ok then
    return nil, errors.message_of(result)
  elseif result == nil and message ~= nil then
    return nil, errors.message_of(message)
  end
  return true
end

-- It failed, and the job goes on: its cleanup is a step of the job.
local function clean_now(self, ending)
  local job, key = self._root, self._action.key
  local why = { kind = "failed", reason = ending.problem, code = ending.code, step = ending.step }
  local ok, err = pcall(steps.step, job, key .. " cleanup", function()
    return call_cleanup(self, why, job._core:saved())
  end)
  if not ok then
    job._core:log("warn", "job.action_cleanup_failed", errors.message_of(err))
  end
end

---@param job hob.Job
---@param plan hob.steps.plan
---@param index integer
---@return hob.steps.ending
function M.run(job, plan, index)
  local action, self = plan[index], new(job, plan, index)
  job._core:log("info", "job.action", ("'%s' is the handler %s"):format(errors.clean(action.name),
    action.label))
  local ending = run(self)
  if index < #plan then -- that it has ended: its cleanup is over with that
    local ended = ending
    ending = job:step(action.key, function() return ended end)
  end
  if ending.problem and action.ignore_failure and action.handler.cleanup then
    clean_now(self, ending)
  end
  return ending
end

local function begins_with(text, beginning)
  return text ~= nil and text:sub(1, #beginning) == beginning
end

-- Did one of its steps begin, and did it not end well since?
local function is_open(job, action, why)
  local key, number = action.key .. "/", action.key:match("^%S+") .. "/"
  local began = begins_with(why.step, key) or begins_with(why.step, number)
  for _, name in ipairs(job._saved) do
    began = began or begins_with(name, key) or begins_with(name, number)
  end
  local ended = job.results[action.key]
  local cleaned = job.results[action.key .. " cleanup"]
  return began and not cleaned and not (ended and not ended.problem)
end

---Does the plan have a handler with a cleanup?
function M.has_cleanup(plan)
  for _, action in ipairs(plan) do
    if action.handler and action.handler.cleanup then
      return true
    end
  end
  return false
end

---The job has ended, and not well: the handlers that were at work clean up, the last one first.
function M.clean_up(job, plan, why)
  local problem
  for index = #plan, 1, -1 do
    local action = plan[index]
    if action.handler and action.handler.cleanup and is_open(job, action, why) then
      local ok, message = call_cleanup(new(job, plan, index), why)
      problem = problem or not ok and message or nil
    end
  end
  if problem then
    error(problem, 0)
  end
end

return M
