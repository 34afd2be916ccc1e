--- Which files of a scripts directory are handlers, and which are what they share.
local fs = require("hob.fs")
local place = require("hob.handler.place")

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

-- What has a name in an earlier directory is shadowed.
local function find_in(scripts, files, seen)
  local names, why, code = listed(scripts)
  if not names then
    return nil, why, code
  end
  for _, name in ipairs(names) do
    local is_lua = name:find("%.lua$") and not name:find("^%.")
    if seen[name] then
      goto next
    elseif is_lua and name:find(NAME) and #name <= NAME_MAX and #name > 4 then
      seen[name] = true
      files.handlers[#files.handlers + 1] = { name = name:sub(1, -5),
        path = scripts .. "/" .. name }
    elseif is_lua then
      files.ignored[#files.ignored + 1] = scripts .. "/" .. name
    end
    ::next::
  end
  local shared = {}
  if is_directory(scripts .. "/lib") then
    add_shared(scripts .. "/lib", shared)
  end
  for _, path in ipairs(shared) do
    local name = path:sub(#scripts + 2)
    files.shared[#files.shared + 1] = not seen[name] and path or nil
    seen[name] = true
  end
  return true
end

---@param scripts string  one directory, or several as hob.handler.place has them
---@return hob.handler.files|nil files
---@return string|nil message
function M.find(scripts)
  local files, seen = { handlers = {}, shared = {}, ignored = {} }, {}
  local dirs = place.split(scripts)
  for i, dir in ipairs(dirs) do
    local ok, why, code = find_in(dir, files, seen)
    if not ok and (i == #dirs or code ~= "ENOENT") then
      return nil, why
    end
  end
  if dirs[2] then
    table.sort(files.handlers, function(a, b) return a.name < b.name end)
  end
  return files
end

return M
