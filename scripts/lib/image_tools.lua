-- image_tools.lua - how install-image speaks to RAUC, and to SWUpdate with U-Boot's environment.
-- lib/image_settings.lua changes any of it; this file is Hob's.

local core = require("hob.steps.core")
local exec = require("hob.exec")
local fs = require("hob.fs")
local settings = require("image_settings")
local time = require("hob.time")

local M = {}

local COMMAND_TIMEOUT = 120 -- seconds, of what is no installation
local BUSY_WAIT = 2

local VERSION = { file = "/etc/os-release", pattern = '\nVERSION_ID="?([^"\n]+)' }

-- In the order in which they are looked for. `image` is the name of the downloaded file; `check`
-- says whether the image is one, and with a pattern which version it holds.
local TOOLS = {
  {
    name = "rauc", image = "image.raucb",
    check = { command = { "rauc", "info", "--output-format=json", "{image}" },
      pattern = '"version"%s*:%s*"([^"]*)"' },
    install = { "rauc", "install", "{image}" },
    slot = { command = { "rauc", "status", "--output-format=json" },
      pattern = '"booted"%s*:%s*"([^"]+)"' },
    good = { { "rauc", "status", "mark-good" } },
    bad = { { "rauc", "status", "mark-bad" } },
    undo = { { "rauc", "status", "mark-active", "booted" } },
  },
  {
    name = "swupdate", image = "image.swu",
    install = { "swupdate", "-v", "-i", "{image}" },
    slot = { file = "/proc/cmdline", pattern = "[ \n]root=(%S+)" },
    -- U-Boot's boot counter; `ustate` is SWUpdate's own: 0 is OK, 3 FAILED.
    good = { { "fw_setenv", "upgrade_available", "0" }, { "fw_setenv", "bootcount", "0" },
      { "fw_setenv", "ustate", "0" } },
    bad = { { "fw_setenv", "ustate", "3" }, { "fw_setenv", "bootcount", "255" } },
    undo = { { "fw_setenv", "ustate", "3" }, { "fw_setenv", "bootcount", "255" } },
  },
}

local SETTINGS = { tool = "string", version = "table", health = "table", health_tries = "number",
  install_timeout = "number", on_trial = "string", rauc = "table", swupdate = "table" }

---What lib/image_settings.lua says.
---@param name string
---@return any
function M.setting(name)
  return settings[name]
end

local function check_settings()
  for name, value in pairs(settings) do
    if type(value) ~= SETTINGS[name] then
      error({ code = "BAD_SETTINGS", message = ("lib/image_settings.lua: %s: %s"):format(name,
        SETTINGS[name] and ("expected %s, got %s"):format(SETTINGS[name], type(value))
        or "unknown member") }, 0)
    end
  end
end

local function with_settings(default)
  local tool = {}
  for _, given in ipairs({ default, M.setting(default.name) or {} }) do
    for key, value in pairs(given) do
      tool[key] = value
    end
  end
  return tool
end

---The tool of that name.
function M.of(name)
  for _, tool in ipairs(TOOLS) do
    if tool.name == name then
      return with_settings(tool)
    end
  end
  error({ code = "BAD_SETTINGS", message = ("lib/image_settings.lua: tool: expected rauc or "
    .. "swupdate, got %s"):format(name) }, 0)
end

---The tool that a document, the settings, or else the device has.
---@param name? string
---@return table? tool
---@return string? message
---@return string? code
function M.choose(name)
  check_settings()
  name = name or M.setting("tool")
  for _, tool in ipairs(name and { M.of(name) } or TOOLS) do
    if exec.run({ tool.name, "--version", timeout = COMMAND_TIMEOUT }) then
      return M.of(tool.name)
    end
  end
  return nil, (name or "neither rauc nor swupdate") .. " is " .. (name and "not " or "")
    .. "on this device: nothing that could install an image", "NO_IMAGE_TOOL"
end

---May Hob run what it has to run as root? Before anything is done, and naming the key to set.
---@return boolean? ok
---@return string? message
---@return string? code
function M.may_run(tool)
  local commands = { tool.install }
  for _, list in ipairs({ tool.good, tool.bad, tool.undo }) do
    table.move(list, 1, #list, #commands + 1, commands)
  end
  for _, words in ipairs(commands) do
    local ok, message = core.who(words[1], "root")
    if ok == nil and words[1] ~= "sudo" and message:find("not allowed here", 1, true) then
      return nil, message, "EPERM"
    end
  end
  return true
end

---------------------------------------------------------------- what the device says

local function put(words, places)
  local command = { timeout = COMMAND_TIMEOUT }
  for i, word in ipairs(words) do
    command[i] = word:gsub("{(%l+)}", places or {})
  end
  return command
end

local function read_text(source, places)
  if source.file then
    return fs.read(source.file)
  end
  local command = put(source.command, places)
  local result, message, code = exec.run(command)
  if not result then
    return nil, message, code
  elseif result.code ~= 0 then
    local last = (result.stdout .. "\n" .. result.stderr):match("([^\n]+)%s*$")
    return nil, ("%s: %s%s"):format(table.concat(command, " "), result.words,
      last and ": " .. last or ""), "EXIT_CODE"
  end
  return result.stdout
end

local function read(what, source, places)
  local text, message, code = read_text(source, places)
  if not text then
    return nil, ("%s: %s"):format(what, message), code
  end
  local value = ("\n" .. text):match(source.pattern or "^%s*([^\n]-)%s*%f[\n\0]")
  if not value or value == "" then
    return nil, ("%s: not found in what %s says"):format(what,
      source.file or table.concat(source.command, " ")), "NOT_FOUND"
  end
  return value
end

---The version that runs.
function M.version()
  return read("version", M.setting("version") or VERSION)
end

---The slot that runs.
function M.slot(tool)
  return read("slot", tool.slot)
end

---Is the file an image for this device? Gives the version in it, or false if nothing tells.
function M.check(tool, image)
  if not tool.check then
    return false
  elseif not tool.check.pattern then
    local text, message, code = read_text(tool.check, { image = image })
    return text and false, message, code
  end
  local version, message, code = read("image", tool.check, { image = image })
  if code == "NOT_FOUND" then
    return false
  end
  return version, message, code
end

---------------------------------------------------------------- what changes the device

-- RAUC's service goes on installing when its client was ended, and then does nothing else.
local function is_busy(err)
  local printed = type(err) == "table" and (err.stderr or "") .. (err.stdout or "") or ""
  return printed:find("[Aa]lready processing a different method") ~= nil
end

local function check_patiently(command, seconds)
  for _ = 1, seconds // BUSY_WAIT do
    local ok, result = pcall(exec.check, command)
    if ok then
      return result
    elseif not is_busy(result) then
      error(result, 0)
    end
    time.sleep(BUSY_WAIT)
  end
  return exec.check(command)
end

---Run commands of the tool, one after the other.
---@param list string[][]
function M.run(list)
  for _, words in ipairs(list) do
    check_patiently(put(words), 40)
  end
end

-- What went wrong, where the last line on standard error only says that something did: RAUC's
-- last error, SWUpdate's first.
local function problem_in(line, before)
  return line:match("LastError: (.+)") or before or line:match("^%[ERROR%s*%] : (.+)")
end

local function install_command(tool, slot, image)
  local choice = (tool.select or {})[slot]
  for _, word in ipairs(tool.install) do
    if word:find("{select}", 1, true) and not choice then
      error({ message = ("lib/image_settings.lua: %s.select says nothing for the slot %s"):format(
        tool.name, slot), code = "NOT_FOUND" }, 0)
    end
  end
  local command = put(tool.install, { image = image, select = choice })
  command.timeout = M.setting("install_timeout") or 3600
  return command
end

---Install the image into the slot that does not run.
---@param on_progress fun(percent?: number, text: string)
function M.install(tool, slot, image, on_progress)
  local command, problem = install_command(tool, slot, image), nil
  command.on_line = function(line)
    local percent, text = line:match("^%s*(%d+)%%%s*(.*)")
    on_progress(tonumber(percent), text or line)
    problem = problem_in(line, problem)
  end
  local ok, err = pcall(check_patiently, command, command.timeout)
  if not ok then
    local message = type(err) == "table" and err.message or tostring(err)
    if problem and not message:find(problem, 1, true) then
      message = message .. ": " .. problem
    end
    error({ message = message, code = type(err) == "table" and err.code or nil }, 0)
  end
end

return M
