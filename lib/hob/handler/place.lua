--- Where `hob handler` finds handlers: by its flags, else here, else those that came with Hob.
local fs = require("hob.fs")

local M = {}

--- Flags of every command of `hob handler`.
M.FLAGS = {
  scripts = { value = "DIR" },
  config = { value = "FILE" },
}

local function is_directory(path)
  local stat = fs.stat(path .. "/.")
  return stat ~= nil and stat.type == "directory"
end

local function folder_of(path)
  return path:match("^(.*)/[^/]*$") or "."
end

local function in_folder(folder, path)
  return path:sub(1, 1) == "/" and path or folder .. "/" .. path
end

--- Where Hob's own Lua modules are.
---@return string folder
function M.lib()
  local path = assert(package.searchpath("hob.handler.place", package.path))
  path = path:gsub("/hob/handler/place%.lua$", "")
  return (path:gsub("/[^/.]+/[^/.]+/%.%./%.%./", "/")) -- of a program in a build tree
end

--- A configuration's table, evaluated with nothing in reach, as `hob run` does.
---@param path string
---@return table|nil config
---@return string|nil message
function M.read_config(path)
  local text, why = fs.read(path)
  if not text then
    return nil, why
  end
  local chunk
  chunk, why = load(text, "@" .. path, "t", {})
  if not chunk then
    return nil, why
  end
  local ok, config = pcall(chunk)
  if not ok then
    return nil, tostring(config)
  elseif type(config) ~= "table" then
    return nil, ("%s: expected the file to return a table, got %s"):format(path, type(config))
  end
  return config
end

--- The directories of a text that has one a line, the first first.
---@param scripts string
---@return string[]
function M.split(scripts)
  local dirs = {}
  for dir in scripts:gmatch("[^\n]+") do
    dirs[#dirs + 1] = #dir > 1 and dir:gsub("/+$", "") or dir
  end
  return dirs
end

local function of_config(path)
  local config, why = M.read_config(path)
  if not config then
    return nil, why
  end
  local dirs = config.scripts or "scripts"
  if type(dirs) ~= "string" and type(dirs) ~= "table" then
    return nil, ("%s: scripts: expected a string or a list of them, got %s"):format(path,
      type(dirs))
  end
  local whole = {}
  for i, dir in ipairs(type(dirs) == "table" and dirs or { dirs }) do
    whole[i] = in_folder(folder_of(path), tostring(dir))
  end
  return { config = config, scripts = table.concat(whole, "\n") }
end

---@class hob.handler.place
---@field scripts string   the directory, or several, one a line
---@field config? table    the configuration's table, with --config

--- The directory that the flags mean.
---@param given table  `scripts` and `config`
---@return hob.handler.place|nil place
---@return string|nil message
function M.find(given)
  local place = {}
  if given.config then
    local found, why = of_config(given.config)
    if not found then
      return nil, "--config: " .. why
    end
    place = found
  end
  if given.scripts then -- a flag: DIR:DIR, but a colon may be of a name, too
    place.scripts = fs.exists(given.scripts) and given.scripts or given.scripts:gsub(":", "\n")
  end
  if not place.scripts then
    local shipped = folder_of(M.lib()) .. "/scripts"
    place.scripts = is_directory("scripts") and "scripts" or shipped
  end
  local dirs = M.split(place.scripts)
  local last = dirs[#dirs] or "\"\"" -- the others may come later
  if not is_directory(last) then
    return nil, ("%s: no such directory; give the handlers' as --scripts DIR"):format(last)
  end
  place.scripts = table.concat(dirs, "\n")
  return place
end

return M
