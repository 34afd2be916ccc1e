-- limits.lua - what a handler's own members `memory` and `cpu` say of what its jobs may use.
-- Specs: spec/unit/limits_spec.lua, spec/integration/limits_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local tonumber, tostring, type = tonumber, tostring, type
local format, match = string.format, string.match
local floor, to_integer = math.floor, math.tointeger

local MEMORY_MIN, MEMORY_MAX = 1 << 20, 4 << 30
local CPU_MAX = 604800
local UNITS = { [""] = 1, k = 1 << 10, K = 1 << 10, M = 1 << 20, G = 1 << 30 }

---A size in bytes: 1048576, "16M", "512k", "1.5G".
---@param size any
---@return integer? bytes  nil: it is none
function M.bytes(size)
  local digits, unit = tostring(size), ""
  if type(size) == "string" then
    digits, unit = match(size, "^(%d+%.?%d*)([kKMG]?)$")
  elseif type(size) ~= "number" then
    return nil
  end
  local number = digits and tonumber(digits)
  return number and to_integer(floor(number * UNITS[unit]))
end

local function shown(value)
  return type(value) == "string" and format("%q", value) or tostring(value)
end

---What is wrong with the two members of a handler's table.
---@param handler table
---@return string? message  nil: nothing
function M.check(handler)
  local memory, cpu = handler.memory, handler.cpu
  local bytes = memory ~= nil and M.bytes(memory)
  if memory ~= nil and not (bytes and bytes >= MEMORY_MIN and bytes <= MEMORY_MAX) then
    return format('memory: expected a size from "1M" to "4G" (bytes, or such as "16M"), got %s',
      shown(memory))
  elseif cpu ~= nil and not (type(cpu) == "number" and cpu >= 0 and cpu <= CPU_MAX) then
    return format("cpu: expected seconds, 0 (no limit) to %d, got %s", CPU_MAX, shown(cpu))
  end
end

---What it asks for; nil where it does not say.
---@param handler table  checked
---@return integer? memory  bytes
---@return number? cpu      seconds
function M.of(handler)
  return handler.memory ~= nil and M.bytes(handler.memory) or nil, handler.cpu
end

return M
