--- Times as Hob's commands print them.
local time = require("hob.time")

local M = {}

--- A length of time: "42 s", "9 min", "3 h 5 min".
---@param seconds integer?
---@return string
function M.span(seconds)
  if not seconds then
    return ""
  elseif seconds < 120 then
    return ("%d s"):format(seconds)
  elseif seconds < 7200 then
    return ("%d min"):format(seconds // 60)
  end
  return ("%d h %d min"):format(seconds // 3600, seconds % 3600 // 60)
end

--- A moment, in UTC: "2026-11-23T06:35:52Z".
---@param seconds number  since 1970
---@return string
function M.clock(seconds)
  return (time.text(seconds):gsub("%.000Z$", "Z"))
end

return M
