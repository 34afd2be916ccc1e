--- One Lua file for lint: its text, its tree, and where in it a node is. The tree is that of
--- luacheck's parser (see docs/adr), with each name bound by scope.lua.
local scope = require("hob.handler.lint.scope")

local M = {}

local PLACES = ";/usr/share/lua/5.1/?.lua;/usr/share/lua/5.4/?.lua" -- where Debian has it
local MISSING = "lint needs luacheck's parser, which is not installed here: apt install lua-check"

local parser, decoder

-- Its modules are plain Lua; nothing else is looked for in those places.
local function load_parser()
  if parser then
    return true
  end
  local path = package.path
  package.path = path .. PLACES
  local ok, found = pcall(function()
    return { require("luacheck.parser"), require("luacheck.decoder") }
  end)
  package.path = path
  if not ok then
    return nil, tostring(found):find("module 'luacheck", 1, true) and MISSING
      or "luacheck's parser cannot be used: " .. tostring(found)
  end
  parser, decoder = found[1], found[2]
  return true
end

--- Whether files can be parsed here.
---@return boolean|nil ok
---@return string|nil message
function M.ready()
  return load_parser()
end

---@class hob.lint.source
---@field path string
---@field text string
---@field tree table?       nil: it does not parse
---@field comments table[]
local Source = {}
Source.__index = Source

--- Where a node begins.
---@return integer line
---@return integer column  in characters, from 1
function Source:place(node)
  local start = self.line_offsets[node.line]
  return node.line, start and node.offset and node.offset - start + 1 or 1
end

-- Lua's own words, as a person will read them when the handler is loaded; its line, the parser's
-- column.
local function syntax_error(source, why, problem)
  local at = type(problem) == "table" and problem or nil
  if why then
    local words = why:match("^[^\n]*")
    local line, message = words:sub(#source.path + 1):match("^:(%d+): (.*)$")
    line = tonumber(message and message:match(" at line (%d+)$") or line) or 1
    return { line = line, message = message or words,
      column = at and at.line == line and select(2, source:place(at)) or 1 }
  elseif at then
    local line, column = source:place(at)
    return { line = line, column = column, message = at.msg }
  end
end

--- Parse a file's text.
---@param path string
---@param text string
---@return hob.lint.source source
---@return table|nil problem  { line, column, message }
function M.parse(path, text)
  assert(load_parser())
  local source = setmetatable({ path = path, text = text, comments = {} }, Source)
  source.line_offsets = {}
  -- In a pcall: a message handler further out would make something else of the words.
  local _, _, why = pcall(load, text, "@" .. path, "t")
  if text:sub(1, 3) == "\xEF\xBB\xBF" then
    return source, { line = 1, column = 1,
      message = "the file begins with a byte order mark: save it as UTF-8 without one" }
  elseif why and why:find("overflow", 1, true) then -- nested too deep for the parser, too
    return source, syntax_error(source, why)
  end
  local ok, tree, comments = pcall(parser.parse, decoder.decode(text), source.line_offsets, {})
  if ok then
    source.tree, source.comments = tree, comments
    scope.bind(tree, path)
  end
  return source, syntax_error(source, why, not ok and tree or nil)
end

return M
