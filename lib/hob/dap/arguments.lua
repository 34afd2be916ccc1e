--- Arguments of requests: what an editor sends is checked before anything is done with it.
local json = require("hob.json")
local nearest = require("hob.nearest")

local M = {}

local function type_of(value)
  if value == json.null then
    return "null"
  end
  local kind = math.type(value) or type(value)
  return kind == "float" and "number" or kind == "table" and "object" or kind
end

local function fits(value, wanted)
  if wanted == "any" then
    return true
  elseif wanted == "number" then
    return type(value) == "number"
  elseif wanted == "integer" then
    return math.type(value) == "integer"
  end
  return type(value) == wanted and value ~= json.null
end

--- Compare with a schema: a member's name and its type, with "?" if it may be absent or null. A
--- null is taken out. Members that the schema does not name are the editor's own business.
---@param args table
---@param schema table<string, string>
---@return string|nil problem
function M.check(args, schema)
  local names = {}
  for name in pairs(schema) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local wanted, value = schema[name], args[name]
    local optional = wanted:sub(-1) == "?"
    if value == json.null and optional then
      args[name], value = nil, nil
    end
    if value == nil and not optional then
      return ("%s is missing"):format(name)
    elseif value ~= nil and not fits(value, (wanted:gsub("%?$", ""))) then
      wanted = wanted:gsub("%?$", ""):gsub("^table$", "object")
      return ("%s: expected %s, got %s"):format(name, wanted, type_of(value))
    end
  end
end

-- What every editor puts beside the arguments.
local EDITORS_OWN = { name = true, type = true, request = true }

--- Members that nobody knows, but that are nearly one of the schema's: 'jbo' would mean all jobs.
---@param args table
---@param schema table<string, string>
---@return string[] hints  in words
function M.misspelt(args, schema)
  local known, hints = {}, {}
  for name in pairs(schema) do
    known[#known + 1] = name
  end
  table.sort(known)
  for name in pairs(args) do
    local meant = type(name) == "string" and not schema[name] and not EDITORS_OWN[name]
      and nearest.of(name, known)
    if meant then
      hints[#hints + 1] = ("the argument '%s' is not known; did you mean %s?"):format(name, meant)
    end
  end
  table.sort(hints)
  return hints
end

return M
