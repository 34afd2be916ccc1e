-- schema.lua - the notation of a handler's `args`: what a value may be, checked and coerced.
--
-- A schema is a table of fields, name -> kind:
--
--   url   = "string"                                  a type; "?" after it: may be absent
--   level = { "enum", "low", "high" }                 one of these
--   port  = { "integer?", min = 1, max = 65535 }      options of the type
--   files = { "list", of = { url = "string" } }       a list; `of` is a kind
--   proxy = { host = "string", port = "integer?" }    without a type: a table with these fields
--   tls   = { "table?", fields = { ca = "string" } }  the same, and it may be absent
--
-- docs/reference/handlers.md has the table of types and options. Spec: spec/unit/schema_spec.lua

local json = require("hob.json")

local M = {}

-- The language's own, whatever a handler does to its globals.
local getmetatable, ipairs, next, pairs, pcall, rawlen = getmetatable, ipairs, next, pairs, pcall,
  rawlen
local require, tonumber, tostring, type = require, tonumber, tostring, type
local concat, find, format, gsub = table.concat, string.find, string.format, string.gsub
local lower, match, sort, sub = string.lower, string.match, table.sort, string.sub
local huge, math_type, to_integer = math.huge, math.type, math.tointeger

local DEEPEST = 16 -- levels of a schema
local SHOWN = 40   -- bytes of a value that a message shows

---------------------------------------------------------------- values in words

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

local SECRET = { "pass", "secret", "token", "key", "credential" }

local function is_secret(path)
  local name = lower(match(gsub(path or "", "%[%d+%]$", ""), "[^.]*$"))
  for _, word in ipairs(SECRET) do
    if find(name, word, 1, true) then
      return true
    end
  end
  return false
end

local function describe_string(value, path)
  if #value > SHOWN or is_secret(path) then
    return format("string of %d bytes", #value)
  end
  -- The query of a presigned URL is a key.
  return '"' .. gsub(gsub(value, "(://[^?]*%?).*", "%1..."), "%c", " ") .. '"'
end

---A value of a document in words, for a message. Nothing long, and nothing secret.
---@param path? string  where it is: what is called a password is not shown
---@return string
function M.show(value, path)
  if value == nil then
    return "nothing"
  elseif value == json.null then
    return "null"
  elseif type(value) == "table" then
    return is_list(value) and next(value) ~= nil and "a list" or "an object"
  elseif type(value) == "string" then
    return describe_string(value, path)
  end
  return is_secret(path) and type(value) or tostring(value)
end

-- "string "x"", "number 5".
local function got(value, path)
  local words, kind = M.show(value, path), type(value)
  local plain = kind == "string" or kind == "number" or kind == "boolean"
  return plain and sub(words, 1, #kind) ~= kind and kind .. " " .. words or words
end

---------------------------------------------------------------- coercion

-- AWS's document parameters are strings, and unset ones "".
local function is_absent(value)
  return value == nil or value == "" or value == json.null
end

local function to_number(value)
  if type(value) == "string" and find(value, "^%s*[-+]?%.?%d[%d.eE+-]*%s*$") then
    value = tonumber(value)
  end
  if type(value) == "number" and value == value and value ~= huge and value ~= -huge then
    return value
  end
  return nil
end

local COERCE = {
  string = function(value)
    return type(value) == "string" and value or nil
  end,
  number = to_number,
  integer = function(value)
    value = to_number(value)
    return value and to_integer(value)
  end,
  boolean = function(value)
    if value == "true" then
      return true
    elseif value == "false" then
      return false
    elseif type(value) == "boolean" then
      return value
    end
  end,
  table = function(value)
    return type(value) == "table" and value or nil
  end,
  list = function(value)
    return is_list(value) and value or nil
  end,
  any = function(value)
    return value
  end,
  enum = function(value, kind)
    for _, one in ipairs(kind.values) do
      if value == one or type(one) == "number" and to_number(value) == one then
        return one
      end
    end
  end,
}

local TYPES = {}
for name in pairs(COERCE) do
  TYPES[#TYPES + 1] = name
end
sort(TYPES)

-- Which options each type takes, beside `default`.
local OPTIONS = {
  string = { "min", "max", "pattern" },
  number = { "min", "max" },
  integer = { "min", "max" },
  list = { "min", "max", "of" },
  table = { "fields" },
  boolean = {}, any = {}, enum = {},
}

---------------------------------------------------------------- the notation

---@class hob.schema.kind   one kind, taken apart
---@field type string
---@field optional boolean
---@field min? number
---@field max? number
---@field pattern? string
---@field of? any           as written
---@field fields? table     as written
---@field values? any[]     of an enum
---@field default? any

---@return hob.schema.kind
local function read_kind(kind)
  if type(kind) == "string" then
    local base, optional = gsub(kind, "%?$", "")
    return { type = base, optional = optional == 1 }
  elseif kind[1] == nil then
    return { type = "table", optional = false, fields = kind }
  end
  local base, optional = gsub(kind[1], "%?$", "")
  local read = {
    type = base, optional = optional == 1 or kind.default ~= nil, min = kind.min, max = kind.max,
    pattern = kind.pattern, of = kind.of, fields = kind.fields, default = kind.default,
  }
  if base == "enum" then
    read.values = {}
    for i = 2, rawlen(kind) do
      read.values[i - 1] = kind[i]
    end
  end
  return read
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return names
end

local function number_words(value)
  return math_type(value) == "float" and to_integer(value) and format("%d", value)
    or tostring(value)
end

local UNIT = { string = " bytes", list = " elements" }

---The range, pattern or values of a kind; "" if it has none.
local function range_words(kind)
  local unit, words = UNIT[kind.type] or "", {}
  if kind.min and kind.max then
    words[1] = format("%s to %s%s", number_words(kind.min), number_words(kind.max), unit)
  elseif kind.min then
    words[1] = format("at least %s%s", number_words(kind.min), unit)
  elseif kind.max then
    words[1] = format("at most %s%s", number_words(kind.max), unit)
  end
  if kind.pattern then
    words[#words + 1] = "matching " .. kind.pattern
  end
  for _, value in ipairs(kind.values or {}) do
    words[#words + 1] = type(value) == "string" and '"' .. value .. '"' or tostring(value)
  end
  return concat(words, ", ")
end

local PLURAL = { string = "strings", number = "numbers", integer = "integers", list = "lists",
  boolean = "booleans", table = "tables", enum = "words" }

local function type_words(kind)
  local of = kind.type == "list" and kind.of and PLURAL[read_kind(kind.of).type]
  return of and "list of " .. of or kind.type
end

---------------------------------------------------------------- checking a value

local check_fields, check_kind

local function expected(kind, value, path)
  local words = kind.type == "enum" and "one of " .. range_words(kind)
    or kind.fields and "object" or kind.type
  return format("%s: expected %s, got %s", path, words, got(value, path))
end

local function size_of(kind, value)
  return UNIT[kind.type] and rawlen(value) or value
end

-- `max` before `pattern`: a pattern meets no text that is longer than it may be.
local function check_range(kind, value, path)
  local size = size_of(kind, value)
  if kind.min and size < kind.min or kind.max and size > kind.max then
    local unit = UNIT[kind.type]
    return format("%s: expected %s, got %s", path,
      range_words({ type = kind.type, min = kind.min, max = kind.max }),
      unit and format("%d", size) or number_words(size))
  elseif kind.pattern and not find(value, kind.pattern) then
    return format("%s: expected a string matching %s, got %s", path, kind.pattern,
      got(value, path))
  end
end

local function check_list(kind, list, path)
  local checked = {}
  for i, value in ipairs(list) do
    local fitting, message = check_kind(kind.of, value, format("%s[%d]", path, i))
    if message then
      return nil, message
    end
    checked[#checked + 1] = fitting
  end
  return checked
end

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, member in pairs(value) do
    result[key] = copy(member)
  end
  return result
end

local function check_inside(kind, value, path)
  if kind.type == "list" and kind.of then
    return check_list(kind, value, path)
  elseif kind.fields then
    if value[1] ~= nil then
      return nil, expected(kind, value, path)
    end
    return check_fields(kind.fields, value, path)
  end
  return value
end

---@return any fitting  nil without a message: it is absent, and may be
---@return string? message
function check_kind(written, value, path)
  local kind = read_kind(written)
  if is_absent(value) then
    if kind.default ~= nil then
      value = copy(kind.default)
    elseif kind.optional then
      return nil
    else
      return nil, expected(kind, nil, path)
    end
  end
  local fitting = COERCE[kind.type](value, kind)
  if fitting == nil then
    return nil, expected(kind, value, path)
  end
  local message = check_range(kind, fitting, path)
  if message then
    return nil, message
  end
  return check_inside(kind, fitting, path)
end

function check_fields(fields, given, path)
  local checked = {}
  for name, value in pairs(given) do
    checked[name] = value
  end
  for _, name in ipairs(sorted_names(fields)) do
    local value, message = check_kind(fields[name], given[name], path .. "." .. name)
    if message then
      return nil, message
    end
    checked[name] = value
  end
  return checked
end

---Check and coerce. Members that the schema does not name stay as they are.
---@param schema table
---@param given table
---@param path string      what the message calls it: "args"
---@return table? args
---@return string? message  "args.files[2].url: expected string, got number 5"
function M.read(schema, given, path)
  return check_fields(schema, given, path)
end

---------------------------------------------------------------- checking a schema

local check_schema, check_one

local function contains(list, value)
  for _, one in ipairs(list) do
    if one == value then
      return true
    end
  end
  return false
end

local function check_type(base, path)
  if not COERCE[base] then
    return format("%s: unknown type '%s'%s (types: %s; ? after it if it may be absent)", path, base,
      require("hob.nearest").hint(base, TYPES), concat(TYPES, ", "))
  end
end

local function check_values(kind, path)
  if kind.values and #kind.values == 0 then
    return format('%s: expected values after "enum", got none', path)
  end
  for i, value in ipairs(kind.values or {}) do
    if type(value) ~= "string" and type(value) ~= "number" or value == "" then
      return format("%s: expected strings or numbers as values of an enum, got %s at %d", path,
        value == "" and 'an empty string' or type(value), i)
    end
  end
end

local function check_limits(kind, path)
  for _, name in ipairs({ "min", "max" }) do
    local value = kind[name]
    if value ~= nil and not to_number(value) or type(value) == "string" then
      return format("%s.%s: expected number, got %s", path, name, type(value))
    elseif value and UNIT[kind.type] and (not to_integer(value) or value < 0) then
      return format("%s.%s: expected a whole number of%s, got %s", path, name, UNIT[kind.type],
        tostring(value))
    end
  end
  if kind.min and kind.max and kind.min > kind.max then
    return format("%s: min %s is over max %s", path, number_words(kind.min),
      number_words(kind.max))
  end
end

local function check_pattern(kind, path)
  if kind.pattern == nil then
    return nil
  elseif type(kind.pattern) ~= "string" then
    return format("%s.pattern: expected string, got %s", path, type(kind.pattern))
  end
  local ok, message = pcall(find, "", kind.pattern)
  return not ok and format("%s.pattern: %s", path, message) or nil
end

local function check_options(written, kind, path)
  local known = { "default" }
  for _, name in ipairs(OPTIONS[kind.type]) do
    known[#known + 1] = name
  end
  for name in pairs(written) do
    local is_value = math_type(name) == "integer" and (name == 1 or kind.type == "enum")
    if not is_value and not contains(known, name) then
      local hint = type(name) == "string" and require("hob.nearest").hint(name, known) or ""
      sort(known)
      return format("%s: unknown option '%s' of type %s%s (options: %s)", path, tostring(name),
        kind.type, hint, concat(known, ", "))
    end
  end
end

local function check_default(written, kind, path)
  if kind.default == nil then
    return nil
  end
  local _, message = check_kind(written, kind.default, path .. ".default")
  if kind.default == "" then
    message = format('%s.default: "" counts as absent', path)
  end
  return message
end

local function check_parts(kind, path, depth)
  if kind.of ~= nil then
    return check_one(kind.of, path .. "[]", depth + 1)
  elseif kind.fields ~= nil then
    return check_schema(kind.fields, path, depth + 1)
  end
end

-- Without a type it is a table of fields, whose names tell what is wrong.
local function check_written(written, path)
  if type(written) ~= "string" and type(written) ~= "table" then
    return format('%s: expected a type such as "string", or a table, got %s', path, type(written))
  elseif type(written) == "table" and written[1] ~= nil and type(written[1]) ~= "string" then
    return format('%s[1]: expected a type such as "string", got %s', path, type(written[1]))
  elseif type(written) == "table" and getmetatable(written) then
    return format("%s: expected a plain table, got one with a metatable", path)
  end
end

function check_one(written, path, depth)
  if depth > DEEPEST then
    return format("%s: nested more than %d deep", path, DEEPEST)
  end
  local message = check_written(written, path)
  if message then
    return message
  end
  local kind = read_kind(written)
  message = check_type(kind.type, path)
  if not message and type(written) == "table" and written[1] ~= nil then
    message = check_options(written, kind, path)
  end
  return message or check_values(kind, path) or check_limits(kind, path)
    or check_pattern(kind, path) or check_parts(kind, path, depth)
    or check_default(written, kind, path)
end

function check_schema(fields, path, depth)
  if type(fields) ~= "table" or getmetatable(fields) then
    return format("%s: expected a table of fields, got %s", path,
      type(fields) == "table" and "one with a metatable" or type(fields))
  end
  for _, name in ipairs(sorted_names(fields)) do
    if type(name) ~= "string" or name == "" then
      return format("%s: expected names of fields, got %s; a list is { \"list\", of = ... }", path,
        type(name) == "string" and "an empty one" or format("%s at %s", M.show(fields[name]),
          tostring(name)))
    end
    local message = check_one(fields[name], path .. "." .. name, depth)
    if message then
      return message
    end
  end
end

---What is wrong with a schema.
---@param schema any
---@return string? message  nil: nothing. "args.port.min: expected number, got string"
function M.check(schema)
  return check_schema(schema, "args", 1)
end

---------------------------------------------------------------- describing a schema

---@class hob.schema.row
---@field path string       "files[].url"
---@field name string       its last part
---@field depth integer     0 for the fields of `args` themselves
---@field type string       in words: "list of tables"
---@field optional boolean
---@field range string      "1 to 65535", "matching ^%l+$", '"low", "high"'; "" if there is none
---@field default? any

local describe_fields

local function describe_inside(kind, path, depth, rows)
  if kind.fields then
    describe_fields(kind.fields, path .. ".", depth + 1, rows)
  elseif kind.of then
    local of = read_kind(kind.of)
    local range = range_words(of)
    if range ~= "" then
      local row = rows[#rows]
      row.range = (row.range ~= "" and row.range .. "; " or "") .. "each " .. range
    end
    describe_inside(of, path .. "[]", depth, rows)
  end
end

function describe_fields(fields, path, depth, rows)
  for _, name in ipairs(sorted_names(fields)) do
    local kind = read_kind(fields[name])
    rows[#rows + 1] = {
      path = path .. name, name = name, depth = depth, type = type_words(kind),
      optional = kind.optional, range = range_words(kind), default = kind.default,
    }
    describe_inside(kind, path .. name, depth, rows)
  end
end

---The fields of a schema that M.check found right, each before those inside of it, by name.
---@param schema table
---@return hob.schema.row[]
function M.describe(schema)
  local rows = {}
  describe_fields(schema, "", 0, rows)
  return rows
end

M.is_list, M.is_absent = is_list, is_absent

return M
