--- Asks a throw-away sandbox, as Hob loads handlers in one: see inspect.lua.
local fs = require("hob.fs")
local json = require("hob.json")
local place = require("hob.handler.place")
local sandbox = require("hob.sandbox")

local M = {}

local function ask(scripts, ...)
  local text, why = sandbox.call({ module = "hob.handler.inspect", lib = place.lib(),
    scripts = scripts }, ...)
  if not text then
    return nil, why
  end
  return assert(json.decode(text))
end

---@class hob.handler.found
---@field syntax string?     Lua's words: it does not compile
---@field raised string?     it does not load, or a limit ended it
---@field problems { message: string, path: string[] }[]?  of its table
---@field handler table?     what it says of itself, if Hob can use it

--- A handler's text, loaded.
---@param scripts string
---@param path string
---@param text string
---@return hob.handler.found
function M.at_text(scripts, path, text)
  local found, why = ask(scripts, "handler", path, text)
  return found or { raised = why }
end

--- A handler's file, loaded.
---@return hob.handler.found
---@return string|nil text
function M.at_file(scripts, path)
  local text, why = fs.read(path)
  if not text then
    return { raised = why }
  end
  return M.at_text(scripts, path, text), text
end

--- What is wrong with it, in one line; nil: nothing.
---@param found hob.handler.found
---@return string|nil message
function M.trouble(found, path)
  local problem = found.problems and found.problems[1]
  return found.syntax or found.raised or problem and ("%s: %s"):format(path, problem.message) or nil
end

--- The members of a module as a handler gets it.
---@return table  { members = { name = type } } | { open = true } | { error = }
function M.at_module(scripts, name)
  local found, why = ask(scripts, "modules", name)
  return found and found[name] or { error = why or "module '" .. name .. "' not found" }
end

--- A handler's globals: name -> { kind, members }.
---@return table|nil globals
---@return string|nil message
function M.at_globals()
  return ask(nil, "globals")
end

return M
