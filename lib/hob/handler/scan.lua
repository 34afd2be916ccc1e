--- Which files of a scripts directory are handlers, and which are what they share.
local fs = require("hob.fs")

local M = {}

local NAME = "^[%w_.-]+%.lua$" -- as core/work/handlers.c
local NAME_MAX = 64 + 4

local function listed(folder)
  local names, why, code = fs.list(folder)
  if names then
    table.sort(names)
  end
  return names, why, code
end

local function is_directory(path)
  local stat = fs.stat(path .. "/.")
  return stat ~= nil and stat.type == "directory"
end

local function add_shared(folder, found)
  for _, name in ipairs(listed(folder) or {}) do
    local path = folder .. "/" .. name
    if name:find("^%.") then
      goto next
    elseif is_directory(path) then
      add_shared(path, found)
    elseif name:find("%.lua$") then
      found[#found + 1] = path
    end
    ::next::
  end
end

---@class hob.handler.files
---@field handlers { name: string, path: string }[]
---@field shared string[]     paths in lib/
---@field ignored string[]    names that end in .lua and can be no handler's

---@param scripts string
---@return hob.handler.files|nil files
---@return string|nil message
function M.find(scripts)
  local names, why = listed(scripts)
  if not names then
    return nil, why
  end
  local files = { handlers = {}, shared = {}, ignored = {} }
  for _, name in ipairs(names) do
    local is_lua = name:find("%.lua$") and not name:find("^%.")
    if is_lua and name:find(NAME) and #name <= NAME_MAX and #name > 4 then
      files.handlers[#files.handlers + 1] = { name = name:sub(1, -5),
        path = scripts .. "/" .. name }
    elseif is_lua then
      files.ignored[#files.ignored + 1] = scripts .. "/" .. name
    end
  end
  if is_directory(scripts .. "/lib") then
    add_shared(scripts .. "/lib", files.shared)
  end
  return files
end

return M
