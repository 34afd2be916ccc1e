-- systemd.lua - units, by systemctl and systemd-run, which know systemd better than anybody.
--
-- The world failing returns nil, message, "CODE"; misuse raises. Names of units are checked before
-- a program sees them, and come behind `--`, so that none is an option.
-- Spec: spec/unit/systemd_spec.lua

local exec = require("hob.exec")
local time = require("hob.time")

---@class hob.systemd
local M = {}

local PAUSE, PAUSE_MAX = 0.1, 1 -- seconds between two looks at a unit
local NAME_MAX = 255

-- `level` counts from the function that was called from outside, which says 1.
local function bad(level, ...)
  error(string.format(...), level + 2)
end

local function check_unit(unit, level)
  if type(unit) ~= "string" then
    bad(level + 1, "unit: expected the name of a unit, got %s", type(unit))
  elseif unit == "" or #unit > NAME_MAX or unit:find("^%-") or unit:find("[^%w:_.\\@-]") then
    bad(level + 1, "unit: %q is no name of a unit (letters, digits and : _ . \\ @ -, no - first)",
      unit:sub(1, 60))
  end
  return unit
end

local function check_options(options, known, level)
  if options ~= nil and type(options) ~= "table" then
    bad(level + 1, "expected a table of options, got %s", type(options))
  end
  for name in pairs(options or {}) do
    if math.type(name) ~= "integer" and not known[name] then
      local list = {}
      for one in pairs(known) do
        list[#list + 1] = one
      end
      table.sort(list)
      bad(level + 1, "unknown option '%s'; known: %s", tostring(name), table.concat(list, ", "))
    end
  end
  return options or {}
end

local function last_line(text)
  return text:match("([^\r\n]+)%s*$")
end

-- What the tools say in words only; LC_ALL=C keeps them the same.
local function why_failed(result)
  local text = result.stderr
  if text:find("not been booted with systemd", 1, true)
    or text:find("Failed to connect to bus", 1, true) then
    return "EUNSUPPORTED", "systemd is not running here"
  elseif text:find("authentication required", 1, true) or text:find("Access denied", 1, true)
    or text:find("ermission denied", 1, true) then
    return "EACCES", nil, "; privileged = { \"%s\" } in hob.conf.lua lets handlers do that"
  elseif result.code == 5 or text:find("not found", 1, true)
    or text:find("not loaded", 1, true) then
    return "ENOENT"
  end
  return result.timed_out and "ETIMEDOUT" or "EEXEC"
end

---@return table? result  of hob.exec, ended well
---@return string? message
---@return string? code
local function call(words, what, timeout)
  words.env = { LC_ALL = "C", SYSTEMD_COLORS = "0", SYSTEMD_PAGER = "" }
  words.timeout = timeout
  local result, message, code = exec.run(words)
  if not result and code == "ENOENT" then
    return nil, what .. ": systemd is not installed here: " .. message, "EUNSUPPORTED"
  elseif not result then
    return nil, what .. ": " .. message, code
  elseif result.code == 0 and not result.timed_out then
    return result
  end
  local name, instead, hint = why_failed(result)
  return nil, ("%s: %s%s"):format(what,
    instead or last_line(result.stderr) or words[1] .. ": " .. result.words,
    hint and hint:format(words[1]) or ""), name
end

---------------------------------------------------------------- verbs

local VERB_OPTIONS = { timeout = true, no_block = true }

local function verb(name)
  return function(unit, options)
    check_unit(unit, 1)
    options = check_options(options, VERB_OPTIONS, 1)
    local words = { "systemctl", "--no-ask-password" }
    if options.no_block then
      words[#words + 1] = "--no-block"
    end
    table.move({ name, "--", unit }, 1, 3, #words + 1, words)
    local result, message, code = call(words, ("systemctl %s %s"):format(name, unit),
      options.timeout)
    if not result then
      return nil, message, code
    end
    return true
  end
end

M.start = verb("start")
M.stop = verb("stop")
M.restart = verb("restart")
M.reload = verb("reload")
M.enable = verb("enable")
M.disable = verb("disable")

---------------------------------------------------------------- looking

local SHOWN = { "Id", "Description", "LoadState", "ActiveState", "SubState", "UnitFileState",
  "Transient", "MainPID", "Result", "ExecMainCode", "ExecMainStatus", "NRestarts" }
local NUMBERS = { MainPID = true, ExecMainCode = true, ExecMainStatus = true, NRestarts = true }

---@param unit string
---@return table? status  as systemctl show says it, `{ ActiveState = "active", MainPID = 7, ... }`
---@return string? message
---@return string? code
function M.status(unit)
  check_unit(unit, 1)
  local result, message, code = call({ "systemctl", "show", "--no-pager",
    "--property=" .. table.concat(SHOWN, ","), "--", unit }, "systemctl show " .. unit)
  if not result then
    return nil, message, code
  end
  local status = {}
  for line in result.stdout:gmatch("[^\n]+") do
    local name, value = line:match("^(%w+)=(.*)$")
    if name then
      status[name] = NUMBERS[name] and math.tointeger(tonumber(value)) or value
    end
  end
  if not status.ActiveState then
    return nil, ("systemctl show %s: an answer without ActiveState"):format(unit), "EPROTO"
  end
  return status
end

local function is_gone(status)
  return status.LoadState == "not-found"
end

---@param unit string
---@return boolean? active
---@return string? state  `"active"`, `"failed"`; or the message
---@return string? code
function M.is_active(unit)
  check_unit(unit, 1)
  local status, message, code = M.status(unit)
  if not status then
    return nil, message, code
  elseif is_gone(status) then
    return nil, unit .. ": there is no such unit", "ENOENT"
  end
  return status.ActiveState == "active" or status.ActiveState == "reloading", status.ActiveState
end

-- Call `look` until it gives something, or the time is up (then its words are told).
local function look_until(seconds, look)
  local deadline, pause = seconds and time.mono() + seconds, PAUSE
  while true do
    local done, words, code = look()
    if done ~= false then
      return done, words, code
    end
    local left = deadline and deadline - time.mono() or pause
    if left <= 0 then
      return nil, ("%s, after %g s"):format(words, seconds), "ETIMEDOUT"
    end
    time.sleep(math.min(pause, left))
    pause = math.min(pause * 2, PAUSE_MAX)
  end
end

local STATES = { active = true, inactive = true, failed = true, activating = true,
  deactivating = true, reloading = true }

local function how_it_failed(status)
  local how = status.Result or "failed"
  if how == "exit-code" and status.ExecMainStatus then
    how = "exit code " .. status.ExecMainStatus
  end
  return how
end

---Waits until a unit is in a state. One that was to become active and failed is not waited for.
---@param unit string
---@param state string
---@param seconds number
---@return boolean? reached
---@return string? message
---@return string? code
function M.wait(unit, state, seconds)
  check_unit(unit, 1)
  if not STATES[state] then
    bad(1, "state: expected active, inactive, failed, activating, deactivating or reloading, "
      .. "got %s", tostring(state))
  elseif type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    bad(1, "seconds: expected a number, got %s", tostring(seconds))
  end
  return look_until(seconds, function()
    local status, message, code = M.status(unit)
    if not status then
      return nil, message, code
    elseif status.ActiveState == state then
      return true
    elseif state == "active" and status.ActiveState == "failed" then
      return nil, ("%s has failed: %s"):format(unit, how_it_failed(status)), "EEXEC"
    elseif state == "active" and is_gone(status) then
      return nil, unit .. ": there is no such unit", "ENOENT"
    end
    return false, ("%s is %s (%s), not %s"):format(unit, status.ActiveState,
      status.SubState or "?", state)
  end)
end

---------------------------------------------------------------- transient units

local RUN_OPTIONS = { unit = true, user = true, group = true, properties = true, env = true,
  cwd = true, description = true, timeout = true, wait = true }

local function check_text(value, name, level)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    bad(level + 1, "%s: expected a string, got %s", name, kind)
  end
  local text = tostring(value)
  if text:find("[\n\r%z]") then
    bad(level + 1, "%s: expected one line", name)
  end
  return text
end

local function sorted(table_of, name, level)
  if table_of ~= nil and type(table_of) ~= "table" then
    bad(level + 1, "%s: expected { NAME = \"value\" }, got %s", name, type(table_of))
  end
  local keys = {}
  for key in pairs(table_of or {}) do
    if type(key) ~= "string" or not key:find("^[%a_][%w_]*$") then
      bad(level + 1, "%s: %s is no name", name, tostring(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local function add_pairs(words, flag, given, name, level)
  for _, key in ipairs(sorted(given, name, level + 1)) do
    words[#words + 1] = ("%s%s=%s"):format(flag, key,
      check_text(given[key], name .. "." .. key, level + 1))
  end
end

local function add_text(words, flag, value, name, level)
  if value ~= nil then
    words[#words + 1] = flag .. check_text(value, name, level + 1)
  end
end

local function run_words(options, unit, level)
  local words = { "systemd-run", "--no-ask-password", "--quiet", "--remain-after-exit",
    "--unit=" .. unit }
  add_text(words, "--uid=", options.user, "user", level + 1)
  add_text(words, "--gid=", options.group, "group", level + 1)
  add_text(words, "--description=", options.description, "description", level + 1)
  add_text(words, "--working-directory=", options.cwd, "cwd", level + 1)
  add_text(words, "--property=RuntimeMaxSec=", options.timeout, "timeout", level + 1)
  add_pairs(words, "--property=", options.properties, "properties", level + 1)
  add_pairs(words, "--setenv=", options.env, "env", level + 1)
  words[#words + 1] = "--"
  for i, word in ipairs(options) do
    words[#words + 1] = check_text(word, ("argument %d of the command"):format(i - 1), level + 1)
  end
  return words
end

local CLD_EXITED = 1

-- nil while it runs.
local function end_of(status)
  local over = status.ActiveState == "failed" or status.ActiveState == "inactive"
    or (status.ActiveState == "active" and status.SubState == "exited")
  if not over then
    return nil
  end
  local exited = status.ExecMainCode == CLD_EXITED
  return {
    unit = status.Id,
    result = status.Result,
    code = exited and status.ExecMainStatus or nil,
    signal = not exited and status.ExecMainCode ~= 0 and status.ExecMainStatus or nil,
    timed_out = status.Result == "timeout",
  }
end

-- It stays until somebody has read how it ended; then its name is free again.
local function forget(unit)
  call({ "systemctl", "--no-ask-password", "stop", "--", unit }, "systemctl stop " .. unit)
  call({ "systemctl", "--no-ask-password", "reset-failed", "--", unit },
    "systemctl reset-failed " .. unit)
end

local function wait_for_end(unit)
  local result, message, code = look_until(nil, function()
    local status, why, name = M.status(unit)
    if not status then
      return nil, why, name
    elseif is_gone(status) then
      return nil, unit .. ": the unit is gone, and nobody knows how it ended", "ENOENT"
    end
    return end_of(status) or false
  end)
  if result then
    forget(unit)
  end
  return result, message, code
end

---Runs a program as a transient unit of systemd's: it goes on when Hob is started again, and
---whoever calls this then with the same unit waits for the one that runs.
---@param options table
---@return table? result
---@return string? message
---@return string? code
function M.run(options)
  if type(options) ~= "table" then
    bad(1, "expected { \"program\", \"argument\", ..., unit = \"name\" }, got %s", type(options))
  end
  check_options(options, RUN_OPTIONS, 1)
  local unit = check_unit(options.unit, 1)
  if type(options[1]) ~= "string" or options[1] == "" then
    bad(1, "expected { \"program\", \"argument\", ..., unit = \"name\" }")
  end
  unit = unit:find("%.service$") and unit or unit .. ".service"
  local words = run_words(options, unit, 1)
  local status, message, code = M.status(unit)
  if not status then
    return nil, message, code
  elseif is_gone(status) then
    local started
    started, message, code = call(words, "systemd-run " .. unit)
    if not started then
      return nil, message, code
    end
  elseif status.Transient ~= "yes" then
    return nil, unit .. ": a unit of this name is installed on this system", "EEXIST"
  end
  if options.wait == false then
    return { unit = unit, attached = not is_gone(status) }
  end
  local result
  result, message, code = wait_for_end(unit)
  if result then
    result.attached = not is_gone(status)
  end
  return result, message, code
end

return M
