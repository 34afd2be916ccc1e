--- One thing at a time: functions run one after another, in the order in which they were handed in.
--- Any task may be suspended between two instructions, and the engine must not be entered twice.
local time = require("hob.time")

local M = {}
M.__index = M

--- @param on_error fun(message: string)  a function that was posted failed
function M.new(on_error)
  return setmetatable({ queue = {}, token = { true }, on_error = on_error }, M)
end

-- table.insert and table.remove are C: no task is suspended inside them, which makes the token's
-- hand-over and the queue's turn indivisible.
local function run(self, fn, ...)
  local ok, message = pcall(fn, ...)
  if not ok then
    self.on_error(tostring(message))
  end
end

local function drain(self)
  while #self.queue > 0 and table.remove(self.token) do
    local fn = table.remove(self.queue, 1)
    while fn do
      run(self, fn)
      fn = table.remove(self.queue, 1)
    end
    table.insert(self.token, true)
  end
end

--- Run `fn` in its turn, with what follows as its arguments; does not wait for it.
---@param fn function
function M:post(fn, ...)
  if select("#", ...) > 0 then
    if #self.queue == 0 and table.remove(self.token) then -- nobody is before it
      run(self, fn, ...)
      table.insert(self.token, true)
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
  local results
  self:post(function() results = table.pack(pcall(fn)) end)
  while not results do
    time.sleep(0.001)
  end
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

return M
