--- Which things the targets of a job reach, and what follows when a thing joins or leaves a group:
--- functions of the engine. Spec: spec/unit/service_groups_spec.lua
local engine = require("hob.service.engine")
local ordered = require("hob.service.engine.ordered")
local rules = require("hob.service.rules")

local M = {}

--- @return string|nil kind  "thing" or "thinggroup"
---@return string|nil name
function M.parse(arn)
  local kind, name
  if type(arn) == "string" then
    kind, name = arn:match("^arn:[^:]+:iot:[^:]*:[^:]*:(%l+)/(.+)$")
  end
  if (kind == "thing" or kind == "thinggroup") and rules.thing_name(name) then
    return kind, name
  end
  return nil
end

--- A continuous job's targets as sets, for `reaches`.
function engine:follow(job)
  job.target_things, job.target_groups = {}, {}
  for _, arn in ipairs(job.targets) do
    local kind, name = M.parse(arn)
    job[kind == "thing" and "target_things" or "target_groups"][name] = true
  end
  if job.target_selection == "CONTINUOUS" and job.status == "IN_PROGRESS" then
    self.continuous[job] = true
  end
end

--- Whether a thing is among the targets of a continuous job.
function engine:reaches(job, thing)
  if job.target_things[thing.name] then
    return true
  end
  for _, name in ipairs(thing.groups) do
    local group = self.groups[name]
    while group do
      if job.target_groups[group.name] then
        return true
      end
      group = group.parent and self.groups[group.parent]
    end
  end
  return false
end

local function leave(self, out, job, thing, now)
  local execution = self:find(thing.name, job.id)
  if execution and not rules.TERMINAL[execution.status] then
    self:announce(out, self:remove(execution, now, "the thing left the job's targets"), now)
  end
end

--- Change the groups of a thing by `change()`: continuous jobs then reach it, or no longer do.
---@param change fun()
function engine:regroup(out, thing, now, change)
  local before, jobs = {}, {}
  for job in pairs(self.continuous) do
    jobs[#jobs + 1], before[job] = job, self:reaches(job, thing)
  end
  change()
  self:touch(thing)
  for _, job in ipairs(ordered.sorted(jobs, function(job) return job.seq end)) do
    local after = self:reaches(job, thing)
    if after and not before[job] then
      self:announce(out, self:queue(job, thing.name, now), now)
    elseif not after then
      leave(self, out, job, thing, now)
    end
  end
end

return M
