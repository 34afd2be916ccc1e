--- A section in which no other task runs.
--- Spec: spec/unit/atomic_spec.lua
local M = {}

local gsub = string.gsub

--- Run `fn` without another task running meanwhile: a task may be switched between any two
--- instructions of Lua, but not inside a callback of a C function that cannot be continued, as this
--- one. `fn` must neither wait nor take long: after 200 ms it would be ended.
---@generic T
---@param fn fun(): T
---@return T
function M.run(fn)
  local result
  gsub(" ", " ", function() result = fn() end)
  return result
end

return M
