--- How many may be at something at once: who comes when all places are taken waits in line.
--- Spec: spec/unit/iotjobs_turns_spec.lua
local atomic = require("hob.atomic")
local future = require("hob.future")

local M = {}

---@class iotjobs.turns
---@field free integer  places; while there is one, nobody waits
local Turns = {}
Turns.__index = Turns

---@param places integer
---@return iotjobs.turns
function M.new(places)
  return setmetatable({ free = places, first = 1, last = 0 }, Turns)
end

--- A place, if one is free. Only in a section in which no other task runs.
---@return boolean
function Turns:try()
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  return false
end

-- nil: a place is free, and now taken.
local function line_up(self)
  if self:try() then
    return nil
  end
  local turn = future.new()
  self.last = self.last + 1
  self[self.last] = turn
  return turn
end

--- Wait for a place. Whoever has one gives it back with `leave`.
---@param seconds number
---@return boolean  false: there was none in time
function Turns:enter(seconds)
  local turn = atomic.run(line_up, self)
  if not turn then
    return true
  end
  local settled = false
  local _ <close> = setmetatable({}, {
    __close = function() -- of a task that is ended while it waits
      if not settled and not turn:resolve(false) then
        self:leave()
      end
    end,
  })
  -- Who cannot end its turn was given a place in this moment.
  local entered = turn:result(seconds) == true or not turn:resolve(false)
  settled = true
  return entered
end

--- Likewise in a section in which no other task runs.
function Turns:give_back()
  while self.first <= self.last do
    local turn = self[self.first]
    self[self.first] = nil
    self.first = self.first + 1
    if turn:resolve(true) then
      return
    end
  end
  self.free = self.free + 1
end

function Turns:leave()
  atomic.run(self.give_back, self)
end

return M
