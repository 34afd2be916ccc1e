--- Whom a job is for: the ARNs of things and groups, and which things they reach.
local engine = require("hob.service.engine")
local answers = require("hob.service.control.answers")
local members = require("hob.service.control.members")
local ordered = require("hob.service.engine.ordered")
local rules = require("hob.service.rules")

local M = {}

local MOST = 100000

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

--- The targets of a request, each once: { {kind, name, arn} ... }. Raises a refusal.
function M.check(given)
  local seen = {}
  local list = members.list(given, "targets", 1, MOST, function(arn, where)
    local kind, name = M.parse(arn)
    if not kind then
      members.refuse("%s: expected arn:aws:iot:REGION:ACCOUNT:thing/NAME or ...:thinggroup/NAME"
        .. " with a name of 1-128 of [a-zA-Z0-9:_-], got %s", where, members.shown(arn))
    end
    return { kind = kind, name = name, arn = arn }
  end)
  local out = {}
  for _, target in ipairs(members.need(list, "targets")) do
    local key = target.kind .. "/" .. target.name
    if not seen[key] then
      seen[key], out[#out + 1] = true, target
    end
  end
  return out
end

--- @return boolean|nil ok, table|nil error
function engine:know_groups(targets)
  for _, target in ipairs(targets) do
    if target.kind == "thinggroup" and not self.groups[target.name] then
      return answers.fail("ResourceNotFoundException", "Thing group %s cannot be found",
        target.name)
    end
  end
  return true
end

--- The names of the things that targets reach, each once: in the order of the targets, a group's by
--- name.
---@return string[]
function engine:things_of(targets)
  local names, seen = {}, {}
  local function add(name)
    if not seen[name] then
      seen[name], names[#names + 1] = true, name
    end
  end
  for _, target in ipairs(targets) do
    if target.kind == "thing" then
      add(target.name)
    else
      for _, name in ipairs(self:members_of(self.groups[target.name], true)) do
        add(name)
      end
    end
  end
  return names
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
