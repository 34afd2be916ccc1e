--- The handlers of a directory, as `hob handler list` and `help` tell of them.
local scan = require("hob.handler.scan")
local headers = require("hob.handler.lint.header")
local look = require("hob.handler.look")
local place = require("hob.handler.place")
local sandbox = require("hob.sandbox")
local sources = require("hob.handler.lint.source")

local M = {}

-- Lua names the line of what it raises; of the table's members only the parser knows it.
local function trouble(found, path, text)
  local problem = found.problems and found.problems[1]
  if found.syntax or found.raised or not problem then
    return found.syntax or found.raised
  elseif sources.ready() then
    local source = sources.parse(path, text)
    if source.tree then
      local line = headers.place(source, headers.find(source.tree), problem)
      return ("%s:%d: %s"):format(path, line, problem.message)
    end
  end
  return ("%s: %s"):format(path, problem.message)
end

---@class hob.handler.entry
---@field name string
---@field path string
---@field built_in boolean
---@field digest string?      SHA-256 of the text
---@field trouble string?     why Hob cannot use it
---@field about table?        what it says of itself: see inspect.lua

local function entry_of(scripts, name, path, built_in)
  local found, text = look.at_file(scripts, path)
  local digest = text and sandbox.digest(text)
  local why = trouble(found, path, text)
  return { name = name, path = path, built_in = built_in, digest = digest, trouble = why,
    about = not why and found.handler or nil }
end

--- The built-in handler for AWS's step documents.
local function built_in(scripts)
  return entry_of(scripts, "aws-steps", place.lib() .. "/hob/steps.lua", true)
end

--- All handlers, the built-in one last.
---@param scripts string
---@return hob.handler.entry[]|nil entries
---@return string|nil message
function M.list(scripts)
  local found, why = scan.find(scripts)
  if not found then
    return nil, why
  end
  local entries = {}
  for i, one in ipairs(found.handlers) do
    entries[i] = entry_of(scripts, one.name, one.path, false)
  end
  entries[#entries + 1] = built_in(scripts)
  return entries
end

--- The handler that a document means by this name.
---@param scripts string
---@param name string   its file's, or one of its `names`
---@return hob.handler.entry|nil entry
---@return string|nil message
---@return string[]|nil known  names
function M.find(scripts, name)
  local entries, why = M.list(scripts)
  if not entries then
    return nil, why
  end
  local known, other = {}, nil
  for _, entry in ipairs(entries) do
    known[#known + 1] = entry.name
    if entry.name == name then
      return entry
    end
    for _, alias in ipairs(entry.about and entry.about.names or {}) do
      known[#known + 1] = alias
      other = other or alias == name and entry
    end
  end
  return other or nil, not other and "no such handler" or nil, known
end

return M
