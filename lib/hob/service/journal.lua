--- The service's memory of what it told devices about their updates: each one accepted or rejected,
--- in order. A test counts here what was accepted, and how often.
local M = {}
M.__index = M

local KEPT = 100000
local EVENTS = {
  ["service.update_accepted"] = "accepted", ["service.update_rejected"] = "rejected",
}

---@param kept integer?  how many updates are remembered: 100000
---@return table
function M.new(kept)
  return setmetatable({ first = 1, last = 0, kept = kept or KEPT }, M)
end

--- An event of the engine; others than updates are passed over.
function M:add(event, now)
  local answer = EVENTS[event.event]
  if not answer then
    return
  end
  self.last = self.last + 1
  -- the event itself is kept: nobody else needs it any more
  event.answer, event.at, event.text = answer, now, nil
  self[self.last] = event
  if self.last - self.first >= self.kept then
    self[self.first] = nil
    self.first = self.first + 1
  end
end

--- The updates of a thing, of a job, or all.
---@return table[]
function M:list(thing, job)
  local found = {}
  for i = self.first, self.last do
    local event = self[i]
    if (not thing or event.thing == thing) and (not job or event.job == job) then
      found[#found + 1] = {
        thingName = event.thing, jobId = event.job, executionNumber = event.execution,
        versionNumber = event.version, answer = event.answer, code = event.code,
        timestamp = math.floor(event.at),
      }
    end
  end
  return found
end

return M
