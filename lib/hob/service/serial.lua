--- One thing at a time: functions run one after another, in the order in which they were handed in.
--- Any task may be suspended between two instructions, and the engine must not be entered twice.
--- Spec: spec/unit/service_serial_spec.lua
local atomic = require("hob.atomic")
local future = require("hob.future")
local time = require("hob.time")

local M = {}
M.__index = M

local COMPACT = 64 -- from so many places on that have been taken, the queue is shortened

local drain

--- @param on_error fun(message: string)  a function that was posted failed
function M.new(on_error)
  local self = setmetatable({ queue = {}, taken = 0, token = { true }, on_error = on_error }, M)
  -- Gives the token back, also when its holder's task is ended; then others go on with the queue.
  self.turn = setmetatable({}, {
    __close = function(_, why)
      table.insert(self.token, true)
      if why ~= nil then
        time.after(0, function() drain(self) end)
      end
    end,
  })
  return self
end

local function run(self, fn, ...)
  local ok, message = pcall(fn, ...)
  if not ok then
    self.on_error(tostring(message))
  end
end

-- Taken places hold false, so that the queue's length stays what it was. Who has the token shortens
-- it now and then, when that costs no more than what was taken.
local function next_of(self)
  local queue, place = self.queue, self.taken + 1
  local fn = queue[place]
  queue[place], self.taken = false, place
  if place >= COMPACT and place * 2 >= #queue then
    atomic.run(function()
      table.move(queue, place + 1, #queue + place, 1)
      self.taken = 0
    end)
  end
  return fn
end

-- table.insert and table.remove are C: no task is suspended inside them, which makes the token's
-- hand-over indivisible. Whoever gives it back looks into the queue once more.
function drain(self)
  while self.taken < #self.queue and table.remove(self.token) do
    local _ <close> = self.turn
    while self.taken < #self.queue do
      run(self, next_of(self))
    end
  end
end

-- There is nobody before it.
local function at_once(self, fn, ...)
  local _ <close> = self.turn
  run(self, fn, ...)
end

--- Run `fn` in its turn, with what follows as its arguments; does not wait for it.
---@param fn function
function M:post(fn, ...)
  if select("#", ...) > 0 then
    if self.taken == #self.queue and table.remove(self.token) then
      at_once(self, fn, ...)
      return drain(self)
    end
    local call, arguments = fn, table.pack(...)
    fn = function() call(table.unpack(arguments, 1, arguments.n)) end
  end
  table.insert(self.queue, fn)
  drain(self)
end

--- Run `fn` in its turn, and wait for its results. An error in it is raised here.
function M:run(fn)
  local results = future.new()
  local ended = setmetatable({}, {
    __close = function() results:resolve(false, "it was ended in its turn") end,
  })
  self:post(function()
    local _ <close> = ended
    results:resolve(pcall(fn))
  end)
  local answer = table.pack(results:result())
  if not answer[1] then
    error(answer[2], 0)
  end
  return table.unpack(answer, 2, answer.n)
end

return M
