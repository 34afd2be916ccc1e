-- contract.lua - what a handler's file and a job document must hold.
-- Specs: spec/unit/handlers_spec.lua, spec/integration/job_spec.lua

local json = require("hob.json")

local M = {}

-- The language's own, whatever a handler does to its globals.
local ipairs, next, pairs, tonumber, tostring, type = ipairs, next, pairs, tonumber, tostring, type
local concat, format, sort = table.concat, string.format, table.sort
local math_type, to_integer = math.type, math.tointeger

---------------------------------------------------------------- the handler's table

local WEEK = 604800

local MEMBERS = {
  api = "number", description = "string", names = "table", args = { "table", "function" },
  args_at = "string", run = "function", timeout = "number", memory = "any", max_age = "number",
  max_runs = "number", positional = "table", requires = "table", already_done = "function",
  cleanup = "function", rerun = "boolean", doctor = "function", examples = "table",
}

-- Members that are accepted, so that a handler can be written for the whole contract, but have no
-- effect in this version: told at loading, never silently.
local NOT_YET = { "memory", "max_age", "positional", "requires", "doctor" }

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = tostring(key)
  end
  sort(keys)
  return keys
end

local function fits(value, expected)
  if expected == "any" then
    return true
  elseif type(expected) == "string" then
    return type(value) == expected
  end
  for _, one in ipairs(expected) do
    if type(value) == one then
      return true
    end
  end
  return false
end

local TYPES = { string = true, number = true, integer = true, boolean = true, table = true,
  list = true, any = true }

local function check_schema(args)
  if type(args) ~= "table" then
    return nil
  end
  for name, spec in pairs(args) do
    local base = type(spec) == "string" and spec:gsub("%?$", "")
    if type(name) ~= "string" or not TYPES[base] then
      return format("args.%s: expected one of %s, with ? if it may be absent, got %s",
        tostring(name), concat(sorted_keys(TYPES), ", "), tostring(spec))
    end
  end
end

local function check_values(handler)
  local timeout, max_runs = handler.timeout, handler.max_runs
  if timeout and not (timeout > 0 and timeout <= WEEK) then
    return format("timeout: expected seconds, over 0 and at most %d, got %s", WEEK,
      tostring(timeout))
  elseif max_runs and (not to_integer(max_runs) or max_runs < 1 or max_runs > 1000) then
    return format("max_runs: expected a whole number from 1 to 1000, got %s", tostring(max_runs))
  end
end

---What is wrong with a handler's table.
---@return string? message  nil: nothing
function M.check(handler)
  if type(handler) ~= "table" then
    return format("expected the file to return a table with a function `run`, got %s",
      type(handler))
  end
  for key, value in pairs(handler) do
    local expected = MEMBERS[key]
    if not expected then
      return format("unknown member '%s' in the handler's table; known: %s", tostring(key),
        concat(sorted_keys(MEMBERS), ", "))
    elseif not fits(value, expected) then
      local words = type(expected) == "table" and concat(expected, " or ") or expected
      return format("%s: expected %s, got %s", key, words, type(value))
    end
  end
  if not handler.run then
    return "run: expected a function run(job, args), got nil"
  elseif handler.api ~= 1 then
    return format("api: expected 1, got %s", tostring(handler.api))
  end
  return check_values(handler) or check_schema(handler.args)
end

---@return string[]  members of this handler's table that have no effect in this version
function M.without_effect(handler)
  local names = {}
  for _, name in ipairs(NOT_YET) do
    if handler[name] ~= nil then
      names[#names + 1] = name
    end
  end
  return names
end

---------------------------------------------------------------- the document

---What AWS left in a document: a placeholder that nobody filled in.
---@return string? path
function M.find_placeholder(value, path)
  if type(value) == "string" and value:sub(1, 10) == "${aws:iot:" then
    return path
  elseif type(value) == "table" then
    for key, member in pairs(value) do
      local name = math_type(key) and format("[%d]", key) or "." .. tostring(key)
      local found = M.find_placeholder(member, path .. name)
      if found then
        return found
      end
    end
  end
end

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

local COERCE = {
  string = function(v)
    if type(v) == "string" then
      return v
    end
  end,
  number = function(v)
    if type(v) == "number" or type(v) == "string" then
      return tonumber(v)
    end
  end,
  integer = function(v)
    if type(v) == "number" or type(v) == "string" then
      return to_integer(tonumber(v))
    end
  end,
  boolean = function(v)
    if v == "true" then
      return true
    elseif v == "false" then
      return false
    elseif type(v) == "boolean" then
      return v
    end
  end,
  table = function(v)
    return type(v) == "table" and v or nil
  end,
  list = function(v)
    return is_list(v) and v or nil
  end,
  any = function(v)
    return v
  end,
}

---A value of a document in words, for a message.
---@return string
function M.describe(value)
  if value == json.null then
    return "null"
  elseif type(value) == "table" then
    return is_list(value) and next(value) ~= nil and "a list" or "an object"
  elseif type(value) == "string" then
    return #value > 40 and format('"%s..."', value:sub(1, 40)) or format('"%s"', value)
  end
  return tostring(value)
end

-- AWS's document parameters are strings, and unset ones "": so values are coerced, "" is absent.
local function check_args(schema, given, path)
  local args = {}
  for name, value in pairs(given) do
    args[name] = value
  end
  for name, spec in pairs(schema) do
    local base, optional = spec:gsub("%?$", "")
    local value = given[name]
    if value == nil or value == "" or value == json.null then
      if optional == 0 then
        return nil, format("%s%s: expected %s, got nothing", path, name, base)
      end
      args[name] = nil
    else
      local fitting = COERCE[base](value)
      if fitting == nil then
        return nil, format("%s%s: expected %s, got %s", path, name, base, M.describe(value))
      end
      args[name] = fitting
    end
  end
  return args
end

---What run() gets as its second argument.
---@return table? args  nil, message: this document can never work here
function M.read_args(handler, document, facts)
  local given, path = document, ""
  if handler.args_at then
    given, path = document[handler.args_at], handler.args_at .. "."
    if type(given) ~= "table" then
      return nil, format("%s: expected object, got %s", handler.args_at, M.describe(given))
    end
  end
  if type(handler.args) == "function" then
    return handler.args(given, facts)
  elseif handler.args then
    return check_args(handler.args, given, path)
  end
  return given
end

return M
