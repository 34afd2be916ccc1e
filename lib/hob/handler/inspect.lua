-- inspect.lua - one handler's file as Hob sees it when it loads it. Runs in a throw-away sandbox,
-- by hob.sandbox, and answers in JSON. Spec: spec/unit/handler_inspect_spec.lua

local contract = require("hob.job.contract")
local json = require("hob.json")
local schema = require("hob.job.schema")

local M = {}

-- The language's own, whatever a handler does to its globals.
local assert, getmetatable, ipairs, load, pairs = assert, getmetatable, ipairs, load, pairs
local pcall, require, setmetatable, tostring, type = pcall, require, setmetatable, tostring, type
local globals = _G
local gmatch, match, sort = string.gmatch, string.match, table.sort

local PLAIN = { description = "string", timeout = "number", max_runs = "number",
  max_age = "number", rerun = "boolean", args_at = "string" }

-- What JSON can say of a value; a function becomes its kind.
local function plain(value, depth)
  if type(value) ~= "table" then
    local sayable = type(value) == "string" or type(value) == "number" or type(value) == "boolean"
    return sayable and value or type(value)
  elseif value == json.null or depth > 8 then
    return value == json.null and value or "table"
  end
  local result = {}
  for key, member in pairs(value) do
    result[type(key) == "number" and key or tostring(key)] = plain(member, depth + 1)
  end
  return result
end

local function text_of(value)
  local text, why = json.encode(value)
  return text, why
end

local function examples_of(handler)
  local found = {}
  for i, example in ipairs(contract.examples(handler)) do
    local text = text_of(example.document) or text_of(plain(example.document, 0))
    found[i] = { document = text, description = example.description }
  end
  return found
end

local function describe(handler)
  local about = { api = handler.api, names = plain(handler.names or {}, 0),
    positional = plain(handler.positional or {}, 0), has = {}, examples = examples_of(handler) }
  for name, kind in pairs(PLAIN) do
    about[name] = type(handler[name]) == kind and handler[name] or nil
  end
  for name in pairs(handler) do
    about.has[#about.has + 1] = tostring(name)
  end
  sort(about.has)
  about.memory = handler.memory ~= nil and tostring(handler.memory) or nil
  about.cpu = handler.cpu ~= nil and tostring(handler.cpu) or nil
  about.requires = handler.requires and plain(handler.requires, 0)
  if type(handler.args) == "table" then
    about.args = schema.describe(handler.args)
    for _, row in ipairs(about.args) do
      row.default = row.default ~= nil and (text_of(row.default) or tostring(row.default)) or nil
    end
  end
  return about
end

-- What a module gives, as far as it can be told: its functions and members.
local function members_of(name)
  local ok, module = pcall(require, name)
  if not ok then
    return { error = tostring(module) }
  elseif type(module) ~= "table" or getmetatable(module) ~= nil then
    return { open = true }
  end
  local members = {}
  for key, value in pairs(module) do
    if type(key) == "string" then
      members[key] = type(value)
    end
  end
  return { members = members }
end

local ACTIONS = {}

-- Which member a message of the contract is about: "args.port.min: expected ...".
local function path_of(message)
  local name = match(message, "^unknown member '(.-)'")
  if name then
    return { name }
  end
  local path = {}
  for part in gmatch(match(message, "^([%w_.%[%]]+)") or "", "[%w_]+") do
    path[#path + 1] = part
  end
  return path
end

-- Take away what was complained of, so that the next complaint is heard.
local function without(handler, path)
  local name = path[1]
  if path[1] == "args" and type(handler.args) == "table" and handler.args[path[2]] ~= nil then
    handler.args[path[2]] = "any?"
    return true
  end
  if name == "run" or name == "api" then
    handler[name] = name == "run" and function() end or 1
    return true
  elseif name == nil or handler[name] == nil then
    return false
  end
  handler[name] = nil
  return true
end

-- All that is wrong with a handler's table, not only the first.
local function problems_of(handler)
  local problems = {}
  for _ = 1, 50 do
    local message = contract.check(handler)
    if not message then
      break
    end
    local path = path_of(message)
    problems[#problems + 1] = { message = message, path = path }
    if type(handler) ~= "table" or not without(handler, path) then
      return problems
    end
  end
  for _, message in ipairs(contract.check_examples(handler)) do
    problems[#problems + 1] = { message = message, path = path_of(message) }
  end
  return problems
end

-- Stands for a module that is not there, so that the rest of the file can be looked at.
local STUB = {}
setmetatable(STUB, { __index = function() return STUB end, __call = function() return STUB end })

-- What is made of a stand-in is taken for right; the name of the member may still be wrong.
local function without_stubs(handler)
  if type(handler) ~= "table" or handler == STUB then
    return nil
  end
  for _, name in ipairs(contract.members) do
    if handler[name] == STUB then
      handler[name] = name == "run" and function() end or nil
    end
  end
  return handler
end

local function load_without(source, path)
  local chunk = load(source, "@" .. path, "t", setmetatable({ require = function(name)
    local ok, module = pcall(require, name)
    return ok and module or STUB
  end }, { __index = globals, __newindex = globals }))
  local ok, handler = pcall(chunk)
  return ok and without_stubs(handler) or nil
end

--- A handler's file.
--- @return table  { raised =, problems = } or { problems =, handler = }
function ACTIONS.handler(path, source)
  local _, chunk, why = pcall(load, source, "@" .. path, "t")
  if not chunk then
    return { syntax = why }
  end
  local ok, handler = pcall(chunk)
  if not ok then
    local rest = load_without(source, path)
    return { raised = tostring(handler), problems = rest ~= nil and problems_of(rest) or nil }
  end
  local about = type(handler) == "table" and contract.check(handler) == nil and describe(handler)
  return { problems = problems_of(handler), handler = about or nil }
end

--- Modules by their names, one a line.
function ACTIONS.modules(names)
  local found = {}
  for name in gmatch(names, "[^\n]+") do
    found[name] = members_of(name)
  end
  return found
end

--- The globals of a handler, and what is in its libraries.
function ACTIONS.globals()
  local found = {}
  for name, value in pairs(globals) do
    local members = {}
    if type(value) == "table" and value ~= globals then
      for key in pairs(value) do
        members[#members + 1] = key
      end
    end
    found[name] = { kind = type(value), members = members }
  end
  return found
end

---@param action string  "handler", "modules" or "globals"
---@param ... string
---@return string json
function M.run(action, ...)
  return assert(json.encode(ACTIONS[action](...)))
end

return M
