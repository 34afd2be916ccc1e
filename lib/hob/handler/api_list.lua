--- What lib/hob/api.lua says of the library: its classes with their fields and functions, its
--- modules with theirs. One text for editors, for the reference page and for lint.
local fs = require("hob.fs")

local M = {}

---@class hob.api.class
---@field fields table<string, string>     name -> type
---@field functions table<string, hob.api.param[]>

---@class hob.api.param
---@field name string
---@field type string

local function new_class(classes, name)
  classes[name] = classes[name] or { fields = {}, functions = {} }
  return classes[name]
end

--- Take an annotation; true if it was one that belongs to what follows.
local function annotation(state, line)
  local class = line:match("^%-%-%-@class ([%w_.]+)")
  local field, kind = line:match("^%-%-%-@field ([%w_]+)%??%s+(%S+)")
  local param, param_kind = line:match("^%-%-%-@param ([%w_.]+)%??%s+(%S+)")
  if class then
    state.class = class
    new_class(state.classes, class)
  elseif field and state.class then
    state.classes[state.class].fields[field] = kind
  elseif param then
    state.params[#state.params + 1] = { name = param, type = param_kind }
  end
end

local function take_line(state, line)
  local made = line:match("^local ([%w_]+) = {}")
  local owner, name = line:match("^function ([%w_]+)[.:]([%w_]+)%(")
  if line:find("^%-%-%-") then
    annotation(state, line)
  elseif made and state.class then
    state.owners[made] = state.class
  elseif owner and state.owners[owner] then
    state.classes[state.owners[owner]].functions[name] = state.params
  end
  if not line:find("^%-%-%-") then
    state.class, state.params = nil, {}
  end
end

---@param text string
---@return table<string, hob.api.class> classes  "hob.exec", "hob.Job", "hob.exec.RunOptions", ...
function M.parse(text)
  local state = { classes = {}, owners = {}, params = {} }
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    take_line(state, line)
  end
  return state.classes
end

--- What Hob's own annotations say.
---@param lib string  the directory of Hob's Lua files
---@return table<string, hob.api.class>
function M.load(lib)
  return M.parse(assert(fs.read(lib .. "/hob/api.lua")))
end

--- The members of a class, fields and functions, sorted.
---@param class hob.api.class
---@return string[]
function M.names(class)
  local names = {}
  for name in pairs(class.fields) do
    names[#names + 1] = name
  end
  for name in pairs(class.functions) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return M
