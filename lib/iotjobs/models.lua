--- The classes and enumerations of AWS IoT Jobs: objects with named fields, checked as they are
--- filled, and their way to JSON and back.
---
--- An object is empty to the raw functions: its values live in a table of its own, so that every
--- assignment passes `__newindex`. What a field may hold is in classes.lua and kinds.lua.
--- Spec: spec/unit/iotjobs_models_spec.lua; the reference is docs/reference/iotjobs.md
local classes = require("iotjobs.classes")
local core = require("hob.iotjobs.core")
local enums = require("iotjobs.enums")
local kinds = require("iotjobs.kinds")
local limits = require("iotjobs.limits")
local slice = require("iotjobs.slice")

local json = require("hob.json")

local M = {}

local NULL = json.null
local OPENING = ("{"):byte()
local KIND_NAMES = {}
for name, kind in pairs(kinds) do
  KIND_NAMES[kind] = name
end
local VALUES = {} -- the key of an object's values
local CLASS_OF = {} -- metatable -> class

---------------------------------------------------------------- what an object is

local function class_of(value)
  return type(value) == "table" and CLASS_OF[getmetatable(value)] or nil
end

--- The name of a model's class.
---@param value any
---@return string|nil  nil: not a model
function M.class_of(value)
  local class = class_of(value)
  return class and class.name
end

local function type_of(value)
  return M.class_of(value) or type(value)
end

local function check_one(class_name, value, where)
  if M.class_of(value) == class_name then
    return value
  end
  return nil, ("%s: expected a %s, got %s"):format(where, class_name, type_of(value))
end

local function check_list(class_name, value, where)
  local items, message = kinds.list(value, where)
  if not items then
    return nil, message
  end
  for i, item in ipairs(items) do
    local _, wrong = check_one(class_name, item, ("%s[%d]"):format(where, i))
    if wrong then
      return nil, wrong
    end
  end
  return items
end

local function check_lists(class_name, value, where)
  local map, message = kinds.object(value, where)
  if not map then
    return nil, message
  end
  for status, items in pairs(map) do
    local _, wrong = check_list(class_name, items, ("%s.%s"):format(where, tostring(status)))
    if wrong then
      return nil, wrong
    end
  end
  return map
end

local CHECK_SHAPE = { one = check_one, list = check_list, lists = check_lists }

-- The value to keep, or nil and a message.
local function checked(field, value, where)
  local kind = field.kind
  if type(value) == "table" and class_of(value) and kind.shape ~= "one" then
    return nil, ("%s: a %s cannot stand here"):format(where, type_of(value))
  elseif kind.shape then
    return CHECK_SHAPE[kind.shape](kind.class, value, where)
  end
  return kind.check(value, where)
end

local function no_such_field(class, key)
  return ("%s has no field '%s'; it has %s"):format(class.name, limits.cut(tostring(key), 40),
    table.concat(class.fields, ", "))
end

-- The message if it cannot be done.
local function put(class, values, key, value)
  local field = class.by_name[key]
  if not field then
    return no_such_field(class, key)
  elseif value == nil then
    values[key] = nil
    return nil
  end
  local kept, message = checked(field, value, field.where)
  if message then
    return message
  end
  values[key] = kept
end

---------------------------------------------------------------- readable

local show

local function show_members(values, names, open, close)
  local out = {}
  for _, name in ipairs(names) do
    if values[name] ~= nil then
      out[#out + 1] = ("%s=%s"):format(name, show(values[name], name))
    end
  end
  return open .. table.concat(out, ", ") .. close
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- A document is not shown: its presigned URLs are secrets, and objects end up in logs.
function show(value, name)
  if type(value) == "string" then
    local text = #value > 60 and limits.cut(value, 57) .. "..." or value
    return (("%q"):format(text):gsub("\\\n", "\\n"))
  elseif type(value) ~= "table" or class_of(value) then
    return tostring(value)
  elseif name == "job_document" then
    return "{...}"
  elseif value[1] == nil then
    return show_members(value, sorted_keys(value), "{", "}")
  end
  local out = {}
  for i, item in ipairs(value) do
    out[i] = show(item)
  end
  return "[" .. table.concat(out, ", ") .. "]"
end

---------------------------------------------------------------- classes

local function instance(class, values)
  return setmetatable({ [VALUES] = values }, class.meta)
end

local function object_metatable(class)
  local function next_field(values, key)
    local at = key == nil and 0 or class.by_name[key].at
    for i = at + 1, #class.fields do
      local name = class.fields[i]
      if values[name] ~= nil then
        return name, values[name]
      end
    end
  end
  return {
    __name = "iotjobs." .. class.name,
    __index = function(object, key)
      if class.by_name[key] then
        return rawget(object, VALUES)[key]
      elseif key == "class" then
        return class.name
      end
      error(no_such_field(class, key), 2)
    end,
    __newindex = function(object, key, value)
      local message = put(class, rawget(object, VALUES), key, value)
      if message then
        error(message, 2)
      end
    end,
    __pairs = function(object)
      return next_field, rawget(object, VALUES), nil
    end,
    __tostring = function(object)
      return show_members(rawget(object, VALUES), class.fields, class.name .. "{", "}")
    end,
  }
end

-- The values, or nil and why they cannot be put in.
local function put_all(class, fields)
  local values = core.fill(class.checks, fields)
  if values then
    return values
  end
  values = {}
  for key, value in pairs(fields) do
    local message = put(class, values, key, value)
    if message then
      return nil, message
    end
  end
  return values
end

local function construct(class, fields)
  if fields ~= nil and type(fields) ~= "table" then
    error(("%s: expected a table of fields, got %s"):format(class.name, type(fields)), 3)
  end
  local values, message = put_all(class, fields or {})
  if message then
    error(message, 3)
  end
  return instance(class, values)
end

local function camel(name)
  return (name:gsub("_(%l)", string.upper))
end

local function define(name, description)
  local class = { name = name, body = description.body or false, fields = {}, by_name = {},
    list = {}, required = {}, readable = true, plan = {} }
  for i, entry in ipairs(description) do
    local field_name = entry[1]
    class.fields[i] = field_name
    class.by_name[field_name] = {
      name = field_name, at = i, kind = entry[2], member = camel(field_name),
      topic = entry.topic, required = entry.required, where = name .. "." .. field_name,
    }
    class.list[i] = class.by_name[field_name]
    class.readable = class.readable and (entry[2].shape or entry[2].read) ~= nil
    class.required[#class.required + 1] = entry.required and class.list[i] or nil
  end
  class.meta = object_metatable(class)
  CLASS_OF[class.meta] = class
  M[name] = setmetatable(class, {
    __call = function(self, fields)
      local object = construct(self, fields) -- no tail call: the error's level counts on this frame
      return object
    end,
    __tostring = function() return "iotjobs." .. name end,
  })
end

for name, description in pairs(classes) do
  define(name, description)
end

-- For the short way (bindings/lua_iotjobs.c): each field by the name of its kind.
local function plan(class)
  class.checks, class.plan.key, class.plan.meta = {}, VALUES, class.meta
  class.plan.needs_id = class.by_name.job_id and true or nil
  for i, field in ipairs(class.list) do
    local kind = field.kind
    class.checks[field.name] = core.checks[KIND_NAMES[kind]]
    table.move({ field.name, field.member, core.kinds[kind.shape or KIND_NAMES[kind]] or 0,
      kind.shape == "one" and M[kind.class].plan }, 1, 4, 4 * i - 3, class.plan)
  end
end

for name in pairs(classes) do
  plan(M[name])
end

M.JobStatus = enums.JobStatus
M.RejectedErrorCode = enums.RejectedErrorCode
-- What a rejected request-response carries: the SDKs have it under both names.
M.V2ErrorResponse = M.RejectedError

---------------------------------------------------------------- to the service

--- What is wrong with an object that is to be used: a required field is missing, or a table in
--- it was changed after it was put in.
---@param object any
---@param class_name? string  the class that is expected; default: any
---@return string|nil message  nil: nothing is wrong
function M.problem(object, class_name)
  local class = class_of(object)
  if not class or class_name and class.name ~= class_name then
    return ("expected a %s, got %s"):format(class_name or "model of iotjobs", type_of(object))
  end
  local values = rawget(object, VALUES)
  for _, field in ipairs(class.list) do
    local name, message = field.name, nil
    if values[name] ~= nil then
      message = put(class, values, name, values[name])
    elseif field.required then
      message = field.where .. " is required"
    end
    if message then
      return message
    end
  end
end

-- Of an object of another class, what this one has, too.
local function shared_values(class, request)
  local shared = {}
  for name, value in pairs(rawget(request, VALUES)) do
    shared[name] = class.by_name[name] and value
  end
  return shared
end

local function lacking(class, values)
  for _, field in ipairs(class.required) do
    if values[field.name] == nil then
      return field.where .. " is required"
    end
  end
end

--- An object of a class made of a request, with all checks, as if it were written anew: a table in
--- it may have been changed since.
---@param class_name string
---@param request any         a table of fields, an object of the class, or one of `also`
---@param thing_name? string  where it names none
---@param also? string        another class, of which what is known here is taken
---@return table|nil object
---@return string|nil message
function M.complete(class_name, request, thing_name, also)
  local class, given = M[class_name], class_of(request)
  if type(request) ~= "table" or given and given ~= class and given.name ~= also then
    return nil, ("request: expected a %s, got %s"):format(class_name, type_of(request))
  end
  local fields = request
  if given then
    fields = given == class and rawget(request, VALUES) or shared_values(class, request)
  end
  local values, message = put_all(class, fields)
  if values and values.thing_name == nil and thing_name ~= nil then
    message = put(class, values, "thing_name", thing_name)
  end
  message = message or lacking(class, values)
  if message then
    return nil, message
  end
  return instance(class, values)
end

--- Raise if there is a problem.
---@param object any
---@param class_name? string
---@param level? integer  whose line the error names: 1 (default) the caller's, 2 that of its caller
function M.check(object, class_name, level)
  local message = M.problem(object, class_name)
  if message then
    error(message, (level or 1) + 1)
  end
end

local function body_of(class, values)
  local body = {}
  for name, value in pairs(values) do
    local field = class.by_name[name]
    if not field.topic then
      body[field.member] = value
    end
  end
  return body
end

--- The body of a request. What belongs to the topic (thing_name, job_id) is not in it.
---@param request table  one of the four requests; raises if it lacks something
---@param level? integer  as in `check`
---@return string json
function M.to_payload(request, level)
  level = (level or 1) + 1
  local class = class_of(request)
  if not class or not class.body then
    error(("to_payload: expected a request, got %s"):format(type_of(request)), level)
  end
  M.check(request, nil, level)
  local text, message = M.encode(request)
  return text or error(message, level)
end

--- Likewise, of a request that `complete` has made.
---@param request table
---@return string|nil json
---@return string|nil message
function M.encode(request)
  local class = class_of(request)
  local text, message = json.encode(body_of(class, rawget(request, VALUES)))
  return text, message and class.name .. ": " .. message
end

---------------------------------------------------------------- from the service

local read_object

local function path_to(base, name)
  return base == "" and name or base .. "." .. name
end

-- Without an id it names no job: AWS's SDKs show "nothing pending" as an empty execution.
local function nameless(class, members)
  return class.by_name.job_id and (members.jobId == nil or members.jobId == json.null)
end

local function read_one(class_name, value, where)
  local members, message = kinds.object(value, where)
  if not members then
    return nil, message
  elseif nameless(M[class_name], members) then
    return nil
  end
  return read_object(M[class_name], members, where)
end

local function read_list(class_name, value, where)
  local items, message = kinds.list(value, where)
  if not items then
    return nil, message
  end
  local out = {}
  for i, item in ipairs(items) do
    local object, wrong = read_one(class_name, item, ("%s[%d]"):format(where, i))
    if wrong then
      return nil, wrong
    end
    out[#out + 1] = object
  end
  return out
end

local function read_lists(class_name, value, where)
  local map, message = kinds.object(value, where)
  if not map then
    return nil, message
  end
  local out = {}
  for status, items in pairs(map) do
    if items ~= json.null then
      local list, wrong = read_list(class_name, items, path_to(where, limits.cut(status, 40)))
      if wrong then
        return nil, wrong
      end
      out[status] = list
    end
  end
  return out
end

local READ_SHAPE = { one = read_one, list = read_list, lists = read_lists }

-- Where it is in the message is made up only for words about it.
local function read_field(field, value, where)
  local kind = field.kind
  if kind.shape then
    return READ_SHAPE[kind.shape](kind.class, value, path_to(where, field.member))
  end
  local read, message = kind.read(value, where)
  if message then
    return kind.read(value, path_to(where, field.member))
  end
  return read
end

-- A list that was left out is an empty one, so that nobody need ask before walking it.
local function absent(kind)
  return (kind.shape == "list" or kind.shape == "lists") and {} or nil
end

function read_object(class, members, where)
  local values = {}
  for _, field in ipairs(class.list) do
    local value, message = members[field.member], nil
    if value == nil or value == NULL then
      value = field.kind.shape and absent(field.kind)
    else
      value, message = read_field(field, value, where)
    end
    if message then
      return nil, message
    end
    values[field.name] = value or nil
  end
  return instance(class, values)
end

local DOCUMENT_AT = { job_document = { "jobDocument" }, execution = { "execution", "jobDocument" } }

-- Decode without the job document, which `hob.json` may have refused; then alone, if it can be.
local function decode_around_document(class, text)
  for field, path in pairs(DOCUMENT_AT) do
    local rest, document = nil, nil
    if class.by_name[field] then
      rest, document = slice.cut(text, path)
    end
    local members = rest and json.decode(rest)
    local holder = members and (field == "execution" and members.execution or members)
    if type(holder) == "table" then -- a name may be written in two ways, and the other one counted
      local decoded, why = json.decode(document)
      holder.jobDocument = decoded
      return members, why
    end
  end
end

-- Members, or nil and a message; then what is wrong with the document, if only that is wrong.
local function decode(class, text)
  local members, message = json.decode(text)
  if members ~= nil then
    return members
  end
  local rest, why = decode_around_document(class, text)
  return rest, message, why
end

local function note_document(object, why)
  local class = class_of(object)
  if class.by_name.job_document_error then
    object.job_document_error = why
  elseif object.execution then
    object.execution.job_document_error = why
  end
end

--- An answer or an event from what the service sent. Unknown members are ignored, `null` is absent.
---@param class_name string  raises if it is no class that comes from the service
---@param text string
---@return table|nil object
---@return string|nil message
---@return "EJSON"|"EPROTO"|nil code  not JSON, or not what the class holds
function M.from_payload(class_name, text)
  local class = classes[class_name] and M[class_name]
    or class_name == "V2ErrorResponse" and M.RejectedError
  if not class or not class.readable then
    error("from_payload: no answer or event is called " .. tostring(class_name), 2)
  elseif type(text) ~= "string" then
    error("from_payload: expected the payload as a string, got " .. type(text), 2)
  elseif text:byte() ~= OPENING and text:find("^%s*$") then
    return nil, "the payload is empty", "EJSON"
  end
  local members, message, document_why = decode(class, text)
  if members == nil then
    return nil, message, "EJSON"
  elseif text:byte() ~= OPENING and not text:find("^%s*{") then
    return nil, "expected an object, got " .. (text:find("^%s*%[") and "list" or type(members)),
      "EPROTO"
  end
  local object = core.read(class.plan, members)
  if not object then
    object, message = read_object(class, members, "")
  end
  if not object then
    return nil, message, "EPROTO"
  elseif document_why then
    note_document(object, document_why)
  end
  return object
end

return M
