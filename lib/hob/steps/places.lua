-- places.lua - where the handlers and programs that AWS's documents name are on this gateway, and
-- which of them documents may name: the configuration's `commands`, `handler_dir` and `users`.
-- A refusal names the key to set. Spec: spec/integration/aws_executables_spec.lua

local contract = require("hob.job.contract")
local core = require("hob.steps.core")

local M = {}

local DEFAULT = "default" -- AWS's word for the directory that the agent is configured with

local function not_allowed(program)
  return nil, ("'%s' is not allowed on this gateway; add it to "
    .. "commands = { allow = { ... } } in its configuration"):format(program)
end

-- Words separated by commas; `\\,` is a comma.
local function split(command)
  local words = {}
  local text = command:gsub("\\,", "\0")
  for word in (text .. ","):gmatch("([^,]*),") do
    words[#words + 1] = word:gsub("%z", ","):match("^%s*(.-)%s*$")
  end
  return words
end

local function is_list_of_words(command)
  for _, word in ipairs(type(command) == "table" and command or {}) do
    if type(word) ~= "string" then
      return false
    end
  end
  return type(command) == "table" and command[1] ~= nil
end

---The command of runCommand: text as in AWS's templates, or a list of words.
---@param command any
---@param path string  where it stands in the document
---@return string[]? words
---@return string? message
function M.read_command(command, path)
  local is_text = type(command) == "string" and command ~= ""
  if not is_text and not is_list_of_words(command) then
    return nil, ("%s: expected string, got %s"):format(path, contract.describe(command))
  end
  local all = is_text and command or table.concat(command)
  if all:find("\0", 1, true) then
    return nil, path .. ": a NUL byte cannot be handed to a program"
  end
  local words = is_text and split(command) or table.move(command, 1, #command, 1, {})
  if words[1] == "" or words[1]:find("%s") then
    return nil, ("%s: expected a program without blanks as its first word, got %s"):format(path,
      contract.describe(words[1]))
  elseif not core.allows(words[1]) then
    return nil, path .. ": " .. select(2, not_allowed(words[1]))
  end
  return words
end

---Whom the document wants a program, or the programs of a Lua handler, run as.
---@param action hob.steps.action  with its words, or its handler
---@return boolean? ok
---@return string? message
function M.check_user(action)
  local user = action.user
  if not user:find("^[%w_][%w_.-]*%$?$") or #user > 256 then
    return nil, ("expected the name of a user, got %s"):format(contract.describe(user))
  end
  local ok, message = core.who(action.words and action.words[1] or action.label, user)
  local is_roots = (user == "root" or user == "0") and action.handler and ok == nil
    and message:find("not allowed here", 1, true)
  if is_roots and core.has_privileged() then
    return true -- it depends on the programs that it runs
  elseif is_roots then
    message = action.label .. ": running as root is not allowed here; add its programs to "
      .. 'privileged = { ... }, or "root" to users = { ... } in hob.conf.lua'
  end
  return ok ~= nil or nil, message
end

---------------------------------------------------------------- Lua handlers

---@param name string  as the document has it; a final .sh is dropped
---@return table? handler  nil: there is none of that name. Raises if it is broken
---@return string? label   name and digest
function M.find_handler(name)
  name = name:gsub("%.sh$", "")
  local text, path, digest = core.handler(name)
  if not text then
    return nil
  end
  local chunk, message = load(text, "@" .. path, "t")
  if not chunk then
    error(message, 0)
  end
  local handler = chunk()
  local wrong = contract.check(handler)
  if wrong then
    error(("%s: %s"):format(path, wrong), 0)
  end
  return handler, ("%s@%s"):format(name, digest:sub(1, 12))
end

---------------------------------------------------------------- programs

local function without_slash(dir)
  return dir ~= "/" and dir:gsub("/+$", "") or dir
end

local function has_dots(path)
  return ("/" .. path .. "/"):find("/%.%.?/") ~= nil
end

-- Of a job that was begun already, the step that needs it says that it is gone.
local function check_program(path)
  local ok, message, code = core.program(path)
  return ok or core.resumed(), message, code
end

local function in_directory(dir, name)
  if dir:sub(1, 1) ~= "/" or has_dots(dir) then
    return nil, ("path: expected %q or an absolute path without '..', got %s"):format(DEFAULT,
      contract.describe(dir))
  end
  local path = without_slash(dir) .. "/" .. name
  if not core.allows(path) then
    return nil, "path: " .. select(2, not_allowed(path)) .. ", or have handler_dir name "
      .. "the directory"
  end
  local ok, message = check_program(path)
  return ok and { path } or nil, not ok and "handler: " .. message or nil
end

-- The handler directory is the owner's: what lies there may be named. What does not may still be
-- found through PATH, if the document names no place.
local function in_handler_dir(dir, name, anywhere)
  local path = dir .. "/" .. name
  local ok, message, code = core.program(path)
  if not ok and anywhere and code == "ENOENT" and core.allows(name) then
    return { name, from_path = true }
  end
  ok = ok or check_program(path)
  return ok and { path } or nil, message, code
end

local function nowhere(name, dir, why)
  return nil, ("handler: there is no Lua handler '%s'%s, and no program of that name is allowed; "
    .. "add it to commands = { allow = { ... } }%s"):format(name:gsub("%.sh$", ""),
    why and ", " .. why or "", dir and "" or ", or set handler_dir, in the configuration")
end

---@param name string   checked: no path
---@param dir? string   the document's `path`
---@return string[]? words    the beginning of its command; from_path: found through PATH
---@return string? message    begins with the member that is wrong
function M.find_program(name, dir)
  local own = core.handler_dir()
  own = own and without_slash(own)
  if dir and dir ~= DEFAULT and without_slash(dir) ~= own then
    return in_directory(dir, name)
  elseif own then
    local words, message, code = in_handler_dir(own, name, dir == nil)
    if words or dir or code ~= "ENOENT" then
      return words, not words and "handler: " .. message or nil
    end
    return nowhere(name, own, ("no %s in %s"):format(name, own))
  elseif dir then
    return nil, 'path: "default" means the directory that handler_dir names in the configuration '
      .. "of this gateway, which does not set it"
  elseif core.allows(name) then
    return { name, from_path = true }
  end
  return nowhere(name)
end

return M
