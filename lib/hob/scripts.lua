--- The gateway's own scripts: which version of each is in use, and whether another one would work.
--- For the shipped handler update-handler, and others that change handlers. `hob.scripts` in
--- lib/hob/api.lua says what each function does.
--- Spec: spec/handlers/update_handler_spec.lua
local core = require("hob.scripts.core")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, pairs, tostring, type = error, pairs, tostring, type
local format, math_type = string.format, math.type

local PAUSE = 0.05 -- seconds; hot reload takes a fifth of one

---@return string[]|nil directories
---@return string|nil message
---@return string|nil code
function M.directories()
  local directories, message, code = core.list()
  if not directories then
    return nil, message, code
  end
  local list = {}
  for directory in directories:gmatch("[^\n]+") do
    list[#list + 1] = directory
  end
  return list
end

---@return string|nil directory
---@return string|nil message
---@return string|nil code
function M.directory()
  local directories, message, code = M.directories()
  return directories and directories[1], message, code
end

---@return boolean|nil watched
---@return string|nil message
---@return string|nil code
function M.is_watched()
  local directory, files, watched = core.list()
  if not directory then
    return nil, files, watched
  end
  return watched
end

---@return table<string, hob.scripts.Version>|nil files
---@return string|nil message
---@return string|nil code
function M.list()
  local directory, files, code = core.list()
  if not directory then
    return nil, files, code
  end
  return files
end

---------------------------------------------------------------- would it work?

local function misuse(text, ...)
  error(format(text, ...), 3)
end

-- @return is it a module, its name for `require` or the handler's
local function name_of(file)
  local module = file:match("^lib/(.+)%.lua$")
  if module then
    return true, (module:gsub("/", "."))
  end
  return false, file:match("^([^/]+)%.lua$")
end

local function works_now(version)
  return not version.error and not version.newer
end

-- One at a time: each holds up the loop for a moment.
local function try_with_handlers(name, text)
  local files, message, code = M.list()
  if not files then
    return nil, message, code
  end
  for file, version in pairs(files) do
    local is_module, handler = name_of(file)
    if not is_module and works_now(version) then
      local ok, problem, why = core.try(true, name, text, handler)
      if not ok and why ~= "ENOENT" then -- gone meanwhile
        return nil, format("%s would not work with it: %s", file, problem), why
      end
      time.sleep(0)
    end
  end
  return true
end

---@param file string
---@param text string|nil
---@return true|nil ok
---@return string|nil message
---@return string|nil code
function M.try(file, text)
  local is_module, name = name_of(type(file) == "string" and file or "")
  if not name then
    misuse("try: expected a file such as \"reboot.lua\" or \"lib/packages.lua\"")
  elseif text ~= nil and type(text) ~= "string" then
    misuse("try: expected a text, got %s", type(text))
  elseif not is_module and text then
    return core.try(false, name, text)
  elseif not is_module then
    return true
  end
  if text then
    local ok, message, code = core.try(true, name, text)
    if not ok then
      return nil, message, code
    end
  end
  return try_with_handlers(name, text)
end

---------------------------------------------------------------- is it taken?

-- @return nil: not yet
local function judge(file, version, sha256)
  if not sha256 then
    return version == nil or nil
  elseif not version then
    return nil
  end
  local on_disk = version.newer or version
  if on_disk.sha256 ~= sha256 then
    return nil
  elseif on_disk.error then
    return false, format("%s is broken, and is not taken: %s", file, on_disk.error), "EHANDLER"
  end
  return true
end

---@param file string
---@param sha256 string|false
---@param seconds number
---@return true|nil taken
---@return string|nil message
---@return string|nil code
function M.wait(file, sha256, seconds)
  if type(file) ~= "string" then
    misuse("wait: expected a file name, got %s", type(file))
  elseif sha256 ~= false and type(sha256) ~= "string" then
    misuse("wait: expected a SHA-256 or false, got %s", type(sha256))
  elseif not math_type(seconds) or seconds ~= seconds or seconds < 0 then
    misuse("wait: expected seconds, got %s", tostring(seconds))
  end
  local deadline = time.mono() + seconds
  while true do
    local files, message, code = M.list()
    if not files then
      return nil, message, code
    end
    local taken, why, refusal = judge(file, files[file], sha256)
    if taken ~= nil then
      return taken or nil, why, refusal
    elseif time.mono() >= deadline then
      return nil, format("hot reload has not %s within %g s", sha256 and "taken " .. file
        or "noticed that " .. file .. " is gone", seconds), "ETIMEDOUT"
    end
    time.sleep(PAUSE)
  end
end

return M
