--- Objects that were saved, back in an engine. They come as they were touched (the fields that
--- hob.service.engine lists), an execution with the name of its thing and the id of its job; in
--- the order settings, groups, things, jobs, executions by `seq`. Nothing is published or touched.
local engine = require("hob.service.engine")
local pending = require("hob.service.engine.pending")
local rules = require("hob.service.rules")
local views = require("hob.service.views")
require("hob.service.engine.reach")

local KINDS = {}

function KINDS.settings(self, settings)
  self.settings = settings
end

function KINDS.group(self, group)
  group.members = {}
  self:enter("groups", group.name, group)
end

function KINDS.thing(self, thing)
  thing.pending, thing.records = pending.new(), {}
  thing.topic = "$aws/things/" .. thing.name .. "/jobs/"
  self:enter("things", thing.name, thing)
  for _, name in ipairs(thing.groups) do
    self.groups[name].members[thing.name] = true
  end
end

function KINDS.job(self, job)
  local deadline = job.deadline
  job.executions, job.open, job.counts, job.deadline = {}, 0, views.no_counts(), nil
  self.seq = math.max(self.seq, job.seq)
  self:enter("jobs", job.id, job)
  self:follow(job)
  self.deadlines:set(job, deadline)
end

function KINDS.execution(self, execution)
  execution.thing, execution.job = self.things[execution.thing], self.jobs[execution.job]
  execution.deadline = nil
  self.seq = math.max(self.seq, execution.seq)
  self:link(execution)
  if not rules.TERMINAL[execution.status] then
    self:arm(execution, nil, 0)
  end
end

---@param object table
function engine:adopt(object)
  KINDS[object.kind](self, object)
end
