--- Flags of Hob's commands, read strictly: what is not known is refused, by name.
---
---     local options = require("hob.cli.options")
---     local given, code = options.parse(argv, {
---       command = "hob job list", usage = USAGE,
---       flags = { thing = { value = "T" }, json = {}, port = { value = "N", low = 1, high = 9 } },
---       words = 0,                       -- how many words may stand beside the flags; nil: none
---     })
---     if not given then return code end  -- 0 after --help, 2 after a mistake; it was told already
---
--- `given` holds flags by name with "_" for "-" (`given.no_tls`), and the words at 1, 2, ...
--- Both `--port 1883` and `--port=1883` are understood; `--` ends the flags.
local nearest = require("hob.nearest")

local M = {}

---@class hob.cli.flag
---@field value string?    the name of its value; without one it is a switch
---@field many boolean?    may be given more than once; the values are a list
---@field one_of string[]? the values it may have
---@field low integer?     with high: an integer in this range
---@field high integer?
---@field required boolean?

---@class hob.cli.syntax
---@field command string
---@field usage string
---@field flags table<string, hob.cli.flag>
---@field words integer?

--- Say what is wrong with how a command was used.
---@return nil
---@return integer code
function M.mistake(command, format, ...)
  io.stderr:write(("%s: %s; `%s --help` says more\n"):format(command, format:format(...), command))
  return nil, 2
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

local function convert(name, flag, text)
  if flag.low then
    local value = text:find("^%-?%d+$") and math.tointeger(tonumber(text))
    if not value or value < flag.low or value > flag.high then
      return nil, ("--%s: expected a whole number from %d to %d, got '%s'"):format(name, flag.low,
        flag.high, text)
    end
    return value
  elseif flag.one_of and not contains(flag.one_of, text) then
    return nil, ("--%s: expected %s, got '%s'"):format(name, table.concat(flag.one_of, ", "), text)
  elseif text == "" then
    return nil, ("--%s: expected %s, got nothing"):format(name, flag.value)
  end
  return text
end

local function put(given, name, flag, value)
  local key = name:gsub("-", "_")
  if flag.many then
    given[key] = given[key] or {}
    table.insert(given[key], value)
  elseif given[key] ~= nil then
    return nil, ("--%s is given twice"):format(name)
  else
    given[key] = value
  end
  return true
end

local function unknown(word, flags)
  local known = { "--help" }
  for name in pairs(flags) do
    known[#known + 1] = "--" .. name
  end
  table.sort(known)
  return ("unknown flag %s%s"):format(word, nearest.hint(word, known))
end

--- Take the flag at argv[i].
--- @return integer|nil next, string|nil message
local function take(given, flags, argv, i)
  local name, text = argv[i]:match("^%-%-([^=]+)=?(.*)$")
  local attached = argv[i]:find("=", 1, true) ~= nil
  local flag = name and flags[name]
  if not flag then
    return nil, unknown(argv[i]:match("^[^=]*"), flags)
  elseif not flag.value then
    if attached then
      return nil, ("--%s takes no value"):format(name)
    end
    local ok, message = put(given, name, flag, true)
    return ok and i + 1, message
  end
  if not attached then
    i = i + 1
    text = argv[i]
  end
  if not text then
    return nil, ("--%s: expected %s after it"):format(name, flag.value)
  elseif not attached and flags[text:match("^%-%-([^=]+)") or ""] then
    return nil, ("--%s: expected %s after it, got the flag %s"):format(name, flag.value, text)
  end
  local value, message = convert(name, flag, text)
  if value == nil then
    return nil, message
  end
  local ok
  ok, message = put(given, name, flag, value)
  return ok and i + 1, message
end

local function missing(given, flags)
  local names = {}
  for name, flag in pairs(flags) do
    if flag.required and given[name:gsub("-", "_")] == nil then
      names[#names + 1] = ("--%s %s"):format(name, flag.value)
    end
  end
  table.sort(names)
  return names[1] and table.concat(names, " and ") or nil
end

local function read(argv, syntax)
  local given, i = {}, 1
  while argv[i] do
    local word = argv[i]
    if word == "--" then
      table.move(argv, i + 1, #argv, #given + 1, given)
      break
    elseif word:find("^%-.") then
      local following, message = take(given, syntax.flags, argv, i)
      if not following then
        return nil, message
      end
      i = following
    else
      given[#given + 1] = word
      i = i + 1
    end
  end
  if #given > (syntax.words or 0) then
    return nil, ("'%s' is one word too many"):format(given[(syntax.words or 0) + 1])
  end
  local absent = missing(given, syntax.flags)
  if absent then
    return nil, absent .. " is missing"
  end
  return given
end

local asked -- of M.syntax_of, while it runs: { syntax }

--- What a command accepts: it is run up to the point where it would read its flags.
---@param run fun(argv: string[]): integer|nil  a command's `run`; reads its flags before all else
---@param argv string[]  the words that lead to it, such as { "create" } of `hob job`
---@return hob.cli.syntax|nil  nil: it reads them itself
function M.syntax_of(run, argv)
  asked = {}
  local found = asked
  pcall(run, argv)
  asked = nil
  return found.syntax
end

---@param argv string[]
---@param syntax hob.cli.syntax
---@return table|nil given
---@return integer|nil code  what the command is to exit with
function M.parse(argv, syntax)
  if asked then
    asked.syntax = syntax
    error(asked) -- caught by syntax_of
  end
  for _, word in ipairs(argv) do
    if word == "--" then
      break
    elseif word == "--help" or word == "-h" then
      io.stdout:write(syntax.usage)
      return nil, 0
    end
  end
  local given, message = read(argv, syntax)
  if not given then
    return M.mistake(syntax.command, "%s", message)
  end
  return given
end

--- Where the local Jobs service is, by --service or the environment; it must be a URL.
---@param given table  `service` is filled in
---@return table|nil given
---@return integer|nil code
function M.find_service(given, command)
  local from = given.service and "--service" or "HOB_SERVICE"
  given.service = given.service or os.getenv("HOB_SERVICE") or "http://127.0.0.1:8180"
  if not given.service:find("^https?://[^/]") then
    return M.mistake(command, "%s: expected a URL such as http://127.0.0.1:8180, got '%s'%s",
      from, given.service, given.service:find("://", 1, true) and "" or " (http:// is missing)")
  end
  return given
end

return M
