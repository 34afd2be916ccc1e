--- Identifiers as AWS makes them: random UUIDs (version 4). They only have to differ.
local M = {}

---@return string
function M.new()
  local text = ("xxxxxxxx-xxxx-4xxx-%xxxx-xxxxxxxxxxxx"):format(math.random(8, 11))
  return (text:gsub("x", function() return ("%x"):format(math.random(0, 15)) end))
end

return M
