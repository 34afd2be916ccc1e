--- Whom a job is for, as a request says it: the ARNs of things and groups.
local engine = require("hob.service.engine")
local answers = require("hob.service.control.answers")
local members = require("hob.service.control.members")
local reach = require("hob.service.engine.reach")

local M = {}

local MOST = 100000

--- The targets of a request, each once: { {kind, name, arn} ... }. Raises a refusal.
function M.check(given)
  local seen = {}
  local list = members.list(given, "targets", 1, MOST, function(arn, where)
    local kind, name = reach.parse(arn)
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

return M
