-- source.lua - the project's own files, for specs that read them.
local fs = require("hob.fs")

local M = {}

---Where the project lies.
M.root = debug.getinfo(1, "S").source:match("^@(.*)/spec/support/[^/]*$") or "."

---@param path string  from the project's top
function M.read(path)
  return assert(fs.read(M.root .. "/" .. path))
end

---@return string[]
function M.sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

return M
