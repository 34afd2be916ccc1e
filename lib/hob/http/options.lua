-- options.lua - tables of options, for hob.http, hob.aws and hob.verify: none that nobody reads.

local M = {}

-- The language's own, whatever a handler does to its globals.
local format, ipairs, pairs, type = string.format, ipairs, pairs, type
local concat, sort = table.concat, table.sort

---A set of names.
---@param ... string[]
---@return table<string, true>
function M.set(...)
  local set = {}
  for _, list in ipairs({ ... }) do
    for _, name in ipairs(list) do
      set[name] = true
    end
  end
  return set
end

---@return string? wrong  what to raise
function M.check(name, options, known)
  if type(options) ~= "table" then
    return format("%s: expected a table of options, got %s", name, type(options))
  end
  for option in pairs(options) do
    if type(option) == "string" and not known[option] then
      local names = {}
      for one in pairs(known) do
        names[#names + 1] = one
      end
      sort(names)
      return format("unknown option '%s'; known: %s", option, concat(names, ", "))
    end
  end
end

return M
