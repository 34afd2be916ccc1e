--- Waiting in specs: for events, never for time to pass.
local time = require("hob.time")

local M = {}

local POLL_SECONDS = 0.005

--- Call `fn` until it returns a true value, and give that back; raises at the deadline.
---@generic T
---@param fn fun(): T?
---@param seconds number how long at most
---@param what string what was waited for: "the broker's port"
---@return T
function M.wait_until(fn, seconds, what)
  local deadline = time.mono() + seconds
  while true do
    local value = fn()
    if value then
      return value
    end
    if time.mono() >= deadline then
      error(("waited %g s in vain for %s"):format(seconds, what), 2)
    end
    time.sleep(POLL_SECONDS)
  end
end

return M
