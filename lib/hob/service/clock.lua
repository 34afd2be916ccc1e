--- The service's clock: the wall clock as it was at the start, carried on by the monotonic one.
--- A step of the wall clock, as when a gateway hears from a time server, ends no execution.
local time = require("hob.time")

local M = {}

---@param source { now: (fun(): number), mono: (fun(): number) }?  hob.time
---@return fun(): number  seconds since the epoch
function M.new(source)
  source = source or time
  local offset = source.now() - source.mono()
  return function() return source.mono() + offset end
end

return M
