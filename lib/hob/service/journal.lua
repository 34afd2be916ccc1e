--- The service's memory of what it told devices about their updates: each one accepted or rejected,
--- in order. A test counts here what was accepted, and how often.
---
--- Entries are packed, in chunks that never change once they are full: a hundred thousand tables,
--- or one table of so many places, would be gone through by the garbage collector again and again.
--- Spec: spec/unit/service_journal_spec.lua
local M = {}
M.__index = M

local KEPT = 100000
local CHUNK = 512
local EVENTS = {
  ["service.update_accepted"] = "accepted", ["service.update_rejected"] = "rejected",
}
local FORMAT = "s2s2jjs1s1j" -- thing, job, execution, version (0: none), answer, code, timestamp

---@param kept integer?  how many updates are remembered: 100000
---@return table
function M.new(kept)
  return setmetatable({ chunks = {}, open = {}, count = 0, kept = kept or KEPT }, M)
end

--- An event of the engine; others than updates are passed over.
function M:add(event, now)
  local answer = EVENTS[event.event]
  if not answer then
    return
  end
  local open = self.open
  open[#open + 1] = FORMAT:pack(event.thing, event.job, event.execution or 0, event.version or 0,
    answer, event.code, math.floor(now))
  self.count = self.count + 1
  if #open == CHUNK then
    self.chunks[#self.chunks + 1], self.open = open, {}
    if self.count - CHUNK >= self.kept then
      table.remove(self.chunks, 1)
      self.count = self.count - CHUNK
    end
  end
end

local function read(packed)
  local thing, job, execution, version, answer, code, timestamp = FORMAT:unpack(packed)
  return {
    thingName = thing, jobId = job, executionNumber = execution > 0 and execution or nil,
    versionNumber = version > 0 and version or nil, answer = answer, code = code,
    timestamp = timestamp,
  }
end

--- The updates of a thing, of a job, or all.
---@return table[]
function M:list(thing, job)
  local found, surplus = {}, self.count - self.kept
  for i = 1, #self.chunks + 1 do
    for _, packed in ipairs(self.chunks[i] or self.open) do
      surplus = surplus - 1
      local entry = surplus < 0 and read(packed)
      if entry and (not thing or entry.thingName == thing) and (not job or entry.jobId == job) then
        found[#found + 1] = entry
      end
    end
  end
  return found
end

return M
