--- Waiting in specs: for events, never for time to pass.
local time = require("hob.time")

local M = {}

local POLL_SECONDS = 0.005

--- Call `fn` until it returns a true value, and give that back; raises at the deadline.
---@generic T
---@param fn fun(): T?
---@param seconds number how long at most
---@param what string|fun(): string what was waited for: "the broker's port"; a function says it at
---the deadline
---@return T
function M.wait_until(fn, seconds, what)
  local deadline = time.mono() + seconds
  while true do
    local value = fn()
    if value then
      return value
    end
    if time.mono() >= deadline then
      local words = type(what) == "function" and what() or what
      error(("waited %g s in vain for %s"):format(seconds, words), 2)
    end
    time.sleep(POLL_SECONDS)
  end
end

return M
