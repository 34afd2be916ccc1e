-- contract.lua - what a handler's file and a job document must hold.
-- Specs: spec/unit/handlers_spec.lua, spec/integration/job_spec.lua

local limits = require("hob.job.limits")
local schema = require("hob.job.schema")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, next, pairs, pcall = error, ipairs, next, pairs, pcall
local rawlen, require, select, tostring, type = rawlen, require, select, tostring, type
local concat, find, format, sort, sub = table.concat, string.find, string.format, table.sort,
  string.sub
local gsub, math_type, move, to_integer = string.gsub, math.type, table.move, math.tointeger

-- What few handlers need is loaded by them.

local function hint(word, known)
  return require("hob.nearest").hint(word, known)
end

local function read_requires(written)
  return require("hob.job.requires").read(written)
end

---------------------------------------------------------------- the handler's table

local WEEK = 604800
local AGE_MAX = 366 * 86400 -- what AWS keeps
local NAMES, NAME_MAX = 8, 128 -- as handlers.h
local POSITIONS = 32

local MEMBERS = {
  api = "number", description = "string", names = "table", args = { "table", "function" },
  args_at = "string", run = "function", timeout = "number", memory = "any", cpu = "any",
  max_age = "number", max_runs = "number", positional = "table", requires = "table",
  already_done = "function", cleanup = "function", rerun = "boolean", doctor = "function",
  examples = "table",
}

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = tostring(key)
  end
  sort(keys)
  return keys
end

M.members = sorted_keys(MEMBERS)

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

-- A list of 1 to `most` values: else which key is none of it.
local function is_list_of(list, most)
  local count = rawlen(list)
  for key in pairs(list) do
    if math_type(key) ~= "integer" or key < 1 or key > count then
      return false
    end
  end
  return count >= 1 and count <= most
end

local function is_name(value)
  return type(value) == "string" and value ~= "" and value ~= "?" and #value <= NAME_MAX
    and not find(value, "%c")
end

local function check_names(names)
  if names and not is_list_of(names, NAMES) then
    return format('names: expected a list of 1 to %d, such as { "reboot", "?rebootAt" }', NAMES)
  end
  for i, name in ipairs(names or {}) do
    if not is_name(name) then
      return format("names[%d]: expected a text of 1 to %d bytes, got %s", i, NAME_MAX,
        schema.show(name))
    end
  end
end

---@return string name, boolean rest  takes all that is left
local function read_position(word)
  local name, dots = gsub(word, "%.%.%.$", "")
  return name, dots == 1
end

local function check_position(word, i, count, args)
  local name, rest = read_position(type(word) == "string" and word or "")
  if name == "" then
    return format("positional[%d]: expected a name, got %s", i, schema.show(word))
  elseif rest and i < count then
    return format("positional[%d]: '%s' takes all that is left: it can only be the last", i, word)
  elseif type(args) ~= "table" then
    return nil
  elseif args[name] == nil then
    return format("positional[%d]: args has no '%s'%s", i, name,
      hint(name, sorted_keys(args)))
  end
  local kind = type(args[name]) == "table" and args[name][1] or args[name]
  local base = type(kind) == "string" and gsub(kind, "%?$", "")
  if rest and base ~= "list" and base ~= "any" then
    return format("positional[%d]: '%s' gives a list, but args.%s is none", i, word, name)
  end
end

local function check_positional(handler)
  local positional, seen = handler.positional, {}
  if positional and not is_list_of(positional, POSITIONS) then
    return format('positional: expected a list of 1 to %d names, such as { "file", "words..." }',
      POSITIONS)
  end
  for i, word in ipairs(positional or {}) do
    local message = check_position(word, i, #positional, handler.args)
    local name = not message and read_position(word)
    if message then
      return message
    elseif seen[name] then
      return format("positional[%d]: '%s' is there twice", i, name)
    end
    seen[name] = true
  end
end

local function check_values(handler)
  local timeout, max_runs, max_age = handler.timeout, handler.max_runs, handler.max_age
  if timeout and not (timeout > 0 and timeout <= WEEK) then
    return format("timeout: expected seconds, over 0 and at most %d, got %s", WEEK,
      tostring(timeout))
  elseif max_runs and (not to_integer(max_runs) or max_runs < 1 or max_runs > 1000) then
    return format("max_runs: expected a whole number from 1 to 1000, got %s", tostring(max_runs))
  elseif max_age and not (max_age >= 1 and max_age <= AGE_MAX) then
    return format("max_age: expected seconds, 1 to %d, got %s", AGE_MAX, tostring(max_age))
  elseif handler.args_at == "" then
    return "args_at: expected the name of a document's member, got an empty string"
  end
end

local function check_parts(handler)
  local args, message = handler.args, nil
  if type(args) == "table" then
    message = schema.check(args)
  end
  if not message and handler.requires then
    message = select(2, read_requires(handler.requires))
  end
  return message or check_names(handler.names) or check_positional(handler)
end

---What is wrong with one member of a handler's table, whatever the others are.
---@return string? message
function M.check_member(key, value)
  local expected = MEMBERS[key]
  if not expected then
    return format("unknown member '%s' in the handler's table%s (known: %s)", tostring(key),
      hint(tostring(key), M.members), concat(M.members, ", "))
  elseif not fits(value, expected) then
    local words = type(expected) == "table" and concat(expected, " or ") or expected
    return format("%s: expected %s, got %s", key, words, type(value))
  end
end

---What is wrong with a handler's table.
---@return string? message  nil: nothing
function M.check(handler)
  if type(handler) ~= "table" then
    return format("expected the file to return a table with a function `run`, got %s",
      type(handler))
  end
  for _, key in ipairs(sorted_keys(handler)) do
    local message = M.check_member(key, handler[key])
    if message then
      return message
    end
  end
  if not handler.run then
    return "run: expected a function run(job, args), got nil"
  elseif handler.api ~= 1 then
    return format("api: expected 1, got %s", tostring(handler.api))
  end
  return check_values(handler) or limits.check(handler) or check_parts(handler)
end

---What must hold before a job of this handler is begun, for the core; nil: nothing.
---@param handler table  checked
---@return hob.requires?
function M.requirements(handler)
  if not handler.requires and not handler.max_age then
    return nil
  end
  local read = handler.requires and read_requires(handler.requires) or {}
  read.max_age = handler.max_age
  return read
end

---------------------------------------------------------------- the document

---What AWS left in a document: a placeholder that nobody filled in.
---@return string? path
function M.find_placeholder(value, path)
  if type(value) == "string" and sub(value, 1, 10) == "${aws:iot:" then
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

---A value of a document in words, for a message.
M.describe = schema.show

---------------------------------------------------------------- the arguments

local function named_words(handler)
  return concat(handler.positional, ", ")
end

-- The words of a list by their names, or a list of what is left.
local function name_words(handler, list)
  local named = {}
  for i, word in ipairs(handler.positional) do
    local name, rest = read_position(word)
    if rest then
      named[name] = move(list, i, #list, 1, {})
      return named
    end
    named[name] = list[i]
  end
  if #list > #handler.positional then
    return nil, format("args: expected at most %d (%s), got %d", #handler.positional,
      named_words(handler), #list)
  end
  return named
end

-- `return false, "why"` is how `run` refuses, too.
local function ask_function(handler, given, facts)
  local args, why = handler.args(given, facts)
  if not args then
    return nil, why
  elseif type(args) ~= "table" then
    error(format("args returned a %s: expected a table, or nil and why the document is refused",
      type(args)), 0)
  end
  return args
end

local function check_args(handler, given, facts)
  if type(handler.args) == "function" then
    return ask_function(handler, given, facts)
  elseif handler.args then
    return schema.read(handler.args, given, "args")
  end
  return given
end

---The arguments of a handler that was given a list of words, as AWS's step documents give it.
---Without `positional` the list is args.args.
---@param handler table
---@param list any[]
---@return table? args  nil, message: this list can never work here
---@return string? message
function M.read_positional(handler, list, facts)
  if not schema.is_list(list) then
    return nil, "args: expected list, got " .. schema.show(list)
  elseif not handler.positional then
    return check_args(handler, { args = list }, facts)
  end
  local named, message = name_words(handler, list)
  if not named then
    return nil, message
  end
  return check_args(handler, named, facts)
end

-- The document's own list of words: `{"operation":"echo","args":["Hello world!"]}`.
local function with_words(handler, given, list)
  local named, message = name_words(handler, list)
  if not named then
    return nil, message
  end
  local all = {}
  for name, value in pairs(given) do
    all[name] = value
  end
  for name, value in pairs(named) do
    all[name] = value
  end
  return all
end

-- Where the arguments are: in the document, or in its member `args_at`.
local function find_given(handler, document)
  local given = document
  if handler.args_at then
    given = document[handler.args_at]
    if schema.is_absent(given) then
      given = {}
    elseif type(given) ~= "table" then
      return nil, "args: expected object, got " .. schema.show(given)
    end
  end
  local list = given
  if given == document and handler.positional then
    list = document.args
  end
  if handler.positional and type(list) == "table" and list[1] ~= nil then
    return with_words(handler, given == list and {} or given, list)
  elseif given[1] ~= nil and type(handler.args) == "table" then
    return nil, "args: expected object, got a list"
  end
  return given
end

---What run() gets as its second argument.
---@return table? args  nil, message: this document can never work here
---@return string? message
function M.read_args(handler, document, facts)
  local args, message
  local given, why = find_given(handler, document)
  if given then
    args, message = check_args(handler, given, facts)
  else
    message = why
  end
  if args == nil and handler.args_at then
    message = format("%s (args: the document's member '%s')", message or "the handler refuses it",
      handler.args_at)
  end
  return args, message
end

---------------------------------------------------------------- examples

local EXAMPLE_FACTS = { id = "example", thing = "example", execution_number = 1, attempt = 1,
  allowed_commands = {} }

---@class hob.example
---@field document table
---@field description? string

local function read_example(example)
  if type(example) ~= "table" then
    return nil, "expected a document, or { document = ..., description = ... }, got "
      .. type(example)
  elseif type(example.document) ~= "table" then
    return { document = example }
  end
  for key in pairs(example) do
    if key ~= "document" and key ~= "description" then
      return nil, format("unknown member '%s' beside document and description", tostring(key))
    end
  end
  return { document = example.document, description = example.description }
end

---@param handler table  checked
---@return hob.example[]
function M.examples(handler)
  local examples = {}
  for _, written in ipairs(handler.examples or {}) do
    examples[#examples + 1] = read_example(written)
  end
  return examples
end

local function check_example(handler, written)
  local example, message = read_example(written)
  if not example then
    return message
  end
  local placeholder = M.find_placeholder(example.document, "document")
  if placeholder then
    return placeholder .. ": the placeholder ${aws:iot:...} was not filled in"
  end
  local ok, args, why = pcall(M.read_args, handler, example.document, EXAMPLE_FACTS)
  if not ok then
    return "args: " .. tostring(args)
  elseif args == nil then
    return why or "the handler does not accept this document"
  end
end

---Which of a handler's examples its own `args` refuse.
---@param handler table  checked
---@return string[] messages  "examples[2]: args.url: expected string, got nothing"
function M.check_examples(handler)
  local messages = {}
  local examples = handler.examples or {}
  if examples[1] == nil and next(examples) ~= nil then
    messages[1] = "examples: expected a list of documents, got an object"
  end
  for i, written in ipairs(examples) do
    local message = check_example(handler, written)
    if message then
      messages[#messages + 1] = format("examples[%d]: %s", i, message)
    end
  end
  return messages
end

return M
