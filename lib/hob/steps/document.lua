-- document.lua - reading AWS's job documents: with `steps` (schema version "1.0", as in AWS's
-- managed templates), or in the older form {"operation":PROGRAM,"args":[...]}. What can never work
-- here is told with its place before the job is claimed. Parameters of templates are strings, unset
-- ones "".
-- Specs: spec/integration/aws_documents_spec.lua, aws_executables_spec.lua

local contract = require("hob.job.contract")
local errors = require("hob.job.errors")
local json = require("hob.json")
local places = require("hob.steps.places")

local M = {}

local NAME_MAX = 100 -- bytes of a name that a step's name has
local VERSION = "1.0"

---@class hob.steps.action
---@field name string
---@field key string              the step's name: "1 Download-File"
---@field words? string[]         argv of a program
---@field handler? table          else a Lua handler,
---@field label? string           its name and digest,
---@field args? table             and what it gets
---@field user? string            whom the document wants it run as
---@field is_handler? boolean      the program is AWS's handler: the user is its first argument
---@field path string             where it stands in the document
---@field allow_stderr? integer   lines
---@field ignore_failure boolean

---@class hob.steps.plan  a list of actions
---@field with_stdout boolean
---@field conditions integer  how many there are

---------------------------------------------------------------- values

local function fail(path, expected, got)
  return nil, ("%s: expected %s, got %s"):format(path, expected, contract.describe(got))
end

local function is_absent(value)
  return value == nil or value == "" or value == json.null
end

local function is_object(value)
  return type(value) == "table" and value[1] == nil
end

-- A string, or nil if it is absent. nil, message: it is something else.
local function text_in(from, member, path)
  local value = from[member]
  if is_absent(value) then
    return nil
  elseif type(value) ~= "string" then
    return fail(path .. "." .. member, "string", value)
  end
  return value
end

local function flag_in(from, member, path)
  local value = from[member]
  if is_absent(value) or value == "false" or value == false then
    return false
  elseif value == "true" or value == true then
    return true
  end
  return fail(path .. member, "true or false", value)
end

local function lines_in(from, path)
  local value = from.allowStdErr
  if is_absent(value) then
    return nil
  end
  local lines = math.tointeger(tonumber(value))
  if type(value) == "boolean" or not lines or lines < 0 then
    return fail(path .. "allowStdErr", "a number of lines", value)
  end
  return lines
end

local SCALARS = { string = true, number = true, boolean = true }

-- The words that a handler gets, as strings.
local function list_in(from, path)
  local value, words = from.args, {}
  if is_absent(value) then
    return words
  elseif type(value) ~= "table" or next(value) ~= nil and value[1] == nil then
    return fail(path .. "args", "a list of strings", value)
  end
  for i, word in ipairs(value) do
    if not SCALARS[type(word)] then
      return fail(("%sargs[%d]"):format(path, i), "string", word)
    elseif type(word) == "string" and word:find("\0", 1, true) then
      return nil, ("%sargs[%d]: a NUL byte cannot be handed to a program"):format(path, i)
    end
    words[i] = tostring(word)
  end
  return words
end

-- A name of the document as part of a step's name, which has its limits.
local function short(name)
  name = errors.clean(name):gsub("%c", " ")
  if #name > NAME_MAX then
    name = name:sub(1, NAME_MAX):gsub("[\192-\255][\128-\191]*$", "")
  end
  return name
end

---------------------------------------------------------------- what is run

local function read_command(action, input, path)
  local words, message = places.read_command(input.command, path .. ".command")
  action.words = words
  return words and action, message
end

local function read_positional(handler, list, facts)
  local args, message = contract.read_positional(handler, list, facts)
  if args == nil then
    return nil, message or "the handler does not accept these arguments"
  end
  return args
end

-- A Lua handler first, then a program.
local function read_handler(action, name, from, path, facts, is_old_form)
  local list, message = list_in(from, path)
  if not list then
    return nil, message
  end
  local dir
  dir, message = text_in(from, "path", path:gsub("%.$", ""))
  if message then
    return nil, message
  end
  action.handler, action.label = places.find_handler(name)
  if action.handler then
    action.args, message = read_positional(action.handler, list, facts)
    return action.args ~= nil and action or nil, message and path
      .. (message:find("^args") and "" or "args: ") .. message
  end
  local words
  words, message = places.find_program(name, dir)
  if not words then
    return nil, path .. message
  end
  action.words = words
  -- Of the older form, only what lies in a directory is a handler; others are plain programs.
  if not (is_old_form and words.from_path) then
    words[2] = action.user or "" -- as AWS's device client has it, also if it is empty
  end
  table.move(list, 1, #list, #words + 1, words)
  action.is_handler = true
  return action
end

local function check_handler_name(name, path)
  if type(name) ~= "string" or #name > 67 or not name:find("^[%w_.-]+$")
    or name:find("^%.+$") then
    return fail(path, "the name of a handler, 1 to 64 of [A-Za-z0-9_.-]", name)
  end
  return true
end

local KINDS = {
  runCommand = read_command,
  runHandler = function(action, input, path, facts)
    local ok, message = check_handler_name(input.handler, path .. ".handler")
    if not ok then
      return nil, message
    end
    return read_handler(action, input.handler, input, path .. ".", facts)
  end,
}

---------------------------------------------------------------- actions

local function with_user(action, message)
  if not action or not action.user then
    return action, message
  end
  local ok, why = places.check_user(action)
  return ok and action or nil, why and action.path .. ".runAsUser: " .. why
end

local function read_action(given, path, facts)
  if not is_object(given) then
    return fail(path, "object", given)
  elseif type(given.name) ~= "string" or given.name == "" then
    return fail(path .. ".name", "string", given.name)
  elseif not KINDS[given.type] then
    return fail(path .. ".type", '"runCommand" or "runHandler"', given.type)
  elseif not is_object(given.input) then
    return fail(path .. ".input", "object", given.input)
  end
  local action, message = { name = given.name, path = path }
  action.ignore_failure, message = flag_in(given, "ignoreStepFailure", path .. ".")
  if message then
    return nil, message
  end
  action.allow_stderr, message = lines_in(given, path .. ".")
  if message then
    return nil, message
  end
  action.user, message = text_in(given, "runAsUser", path)
  if message then
    return nil, message
  end
  return with_user(KINDS[given.type](action, given.input, path .. ".input", facts))
end

local function add_action(plan, step, path, prefix, facts)
  local action, message = read_action(is_object(step) and step.action, path .. ".action", facts)
  if not action then
    return nil, message
  end
  action.key = prefix .. " " .. short(action.name)
  plan[#plan + 1] = action
  return plan
end

---------------------------------------------------------------- conditions

-- AWS's device client checks them and goes on whatever they say. So does Hob, and says so.
local function check_conditions(conditions)
  if is_absent(conditions) then
    return 0
  elseif type(conditions) ~= "table" or next(conditions) ~= nil and not conditions[1] then
    return fail("conditions", "a list", conditions)
  end
  for i, one in ipairs(conditions) do
    local path = ("conditions[%d]"):format(i)
    if not is_object(one) then
      return fail(path, "object", one)
    elseif type(one.key) ~= "string" or one.key == "" then
      return fail(path .. ".key", "string", one.key)
    elseif type(one.value) ~= "table" or not one.value[1] then
      return fail(path .. ".value", "a list of at least one string", one.value)
    elseif not is_absent(one.type) and type(one.type) ~= "string" then
      return fail(path .. ".type", "string", one.type)
    end
  end
  return #conditions
end

---------------------------------------------------------------- documents

local function read_steps(document, plan, facts)
  if document.version ~= VERSION and document.version ~= 1.0 then
    return fail("version", '"' .. VERSION .. '"', document.version)
  elseif type(document.steps) ~= "table" or not document.steps[1] then
    return fail("steps", "a list of at least one step", document.steps)
  end
  local message
  plan.conditions, message = check_conditions(document.conditions)
  if message then
    return nil, message
  end
  for i, step in ipairs(document.steps) do
    local ok, why = add_action(plan, step, ("steps[%d]"):format(i), tostring(i), facts)
    if not ok then
      return nil, why
    end
  end
  if is_absent(document.finalStep) then
    return plan
  end
  return add_action(plan, document.finalStep, "finalStep", "final", facts)
end

-- As AWS's device client does: as one step of type runHandler.
local function read_old_form(document, plan, facts)
  local name = document.operation
  local ok, message = check_handler_name(name, "operation")
  if not ok then
    return nil, message
  end
  local action = { name = name, path = "operation", key = "1 " .. name, ignore_failure = false }
  action.allow_stderr, message = lines_in(document, "")
  if not message then
    action, message = read_handler(action, name, document, "", facts, true)
  end
  plan[1] = action
  return not message and plan or nil, message
end

---@param document table
---@param facts table
---@return hob.steps.plan? plan
---@return string? message  why it can never work here
function M.read(document, facts)
  local plan, message = { conditions = 0 }
  plan.with_stdout, message = flag_in(document, "includeStdOut", "")
  if message then
    return nil, message
  elseif document.steps == nil and document.version == nil then
    return read_old_form(document, plan, facts)
  end
  return read_steps(document, plan, facts)
end

return M
