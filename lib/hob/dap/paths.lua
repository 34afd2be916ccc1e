--- Files as the editor names them and as the gateway does: `pathMappings` of launch and attach, a
--- list of { localRoot, remoteRoot }. Without it the editor sees the gateway's own files.
local M = {}

---@class hob.dap.paths
---@field list { here: string, there: string }[]
---@field mapped boolean  the editor is elsewhere
local paths = {}
paths.__index = paths

-- A Windows editor writes C:\work and c:/work for one place.
local function slashes(path)
  if path:find("^%a:[\\/]") then
    return path:sub(1, 1):lower() .. path:sub(2):gsub("\\", "/"), true
  end
  return path, false
end

local function root(value, name, i)
  if type(value) ~= "string" or value == "" then
    return nil, ("pathMappings[%d].%s: expected a directory"):format(i, name)
  end
  local path, windows = slashes(value)
  return (path:gsub("(.)/+$", "%1")), windows
end

---@param mappings? table
---@return hob.dap.paths|nil
---@return string|nil message
function M.new(mappings)
  local self = setmetatable({ list = {}, mapped = mappings ~= nil }, paths)
  for i, mapping in ipairs(mappings or {}) do
    if type(mapping) ~= "table" then
      return nil, ("pathMappings[%d]: expected { localRoot, remoteRoot }"):format(i)
    end
    local here, windows = root(mapping.localRoot, "localRoot", i)
    local there, why = root(mapping.remoteRoot, "remoteRoot", i)
    if not here or not there then
      return nil, here and why or windows
    end
    self.list[i] = { here = here, there = there, windows = windows }
  end
  if mappings and #self.list == 0 and next(mappings) ~= nil then
    return nil, "pathMappings: expected a list of { localRoot, remoteRoot }"
  end
  return self
end

local function below(path, folder)
  if path == folder then
    return ""
  elseif folder == "/" then
    return path
  end
  return path:sub(1, #folder + 1) == folder .. "/" and path:sub(#folder + 1) or nil
end

--- The gateway's name of an editor's file.
---@return string|nil path
---@return string|nil message
function paths:to_remote(path)
  local known = slashes(path)
  for _, mapping in ipairs(self.list) do
    local rest = below(known, mapping.here)
    if rest then
      return mapping.there == "/" and rest or mapping.there .. rest
    end
  end
  if self.mapped and #self.list > 0 then
    return nil, path .. " is below no localRoot of pathMappings"
  end
  return path
end

--- The editor's name of a gateway's file.
---@return string path
---@return boolean known  the editor has a file of this name
function paths:to_local(path)
  for _, mapping in ipairs(self.list) do
    local rest = below(path, mapping.there)
    if rest then
      local found = (mapping.here == "/" and "" or mapping.here) .. rest
      return mapping.windows and found:gsub("/", "\\") or found, true
    end
  end
  return path, not self.mapped
end

return M
