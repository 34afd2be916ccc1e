--- Lint of one file: what its checks share, and what they found.
local api_list = require("hob.handler.api_list")
local flow = require("hob.handler.lint.flow")
local fs = require("hob.fs")
local headers = require("hob.handler.lint.header")
local language = require("hob.handler.lint.language")
local look = require("hob.handler.look")
local place = require("hob.handler.place")
local scope = require("hob.handler.lint.scope")
local sources = require("hob.handler.lint.source")

local M = {}

local SOURCE_MAX = 1 << 20 -- as core/work/handlers.c

---@class hob.lint.finding
---@field file string
---@field line integer
---@field column integer
---@field code string
---@field message string

---@class hob.lint.surroundings  what all files of a directory share
local Surroundings = {}
Surroundings.__index = Surroundings

---@param scripts string  the directory
---@return hob.lint.surroundings|nil surroundings
---@return string|nil message  the parser is not there
function M.surroundings(scripts)
  local ok, why = sources.ready()
  if not ok then
    return nil, why
  end
  local globals
  globals, why = look.at_globals()
  if not globals then
    return nil, why
  end
  for _, library in pairs(globals) do
    library.set = {}
    for _, name in ipairs(library.members) do
      library.set[name] = true
    end
  end
  return setmetatable({ scripts = scripts, globals = globals, api = api_list.load(place.lib()),
    modules = {}, shared = {} }, Surroundings)
end

function Surroundings:module(name)
  self.modules[name] = self.modules[name] or look.at_module(self.scripts, name)
  return self.modules[name]
end

-- The table that a module of scripts/lib returns.
function Surroundings:shared_header(name)
  if self.shared[name] == nil then
    local path, text
    for _, dir in ipairs(name:find("..", 1, true) and {} or place.split(self.scripts)) do
      path = ("%s/lib/%s.lua"):format(dir, (name:gsub("%.", "/")))
      text = text or fs.read(path)
    end
    local source = text and sources.parse(path, text)
    self.shared[name] = source and source.tree and headers.find(source.tree) or false
  end
  return self.shared[name]
end

---------------------------------------------------------------- findings

local function allowed_lines(source)
  local lines = {}
  for _, comment in ipairs(source.comments) do
    for codes in comment.contents:gmatch("lint: allow ([%w_, -]+)") do
      for code in codes:gmatch("[%w-]+") do
        lines[comment.line .. code] = true
        lines[comment.line + 1 .. code] = true
      end
    end
  end
  return lines
end

local function new_report(source, findings)
  local seen, allowed = {}, allowed_lines(source)
  local function at(line, column, code, message)
    local key = ("%d:%d:%s:%s"):format(line, column, code, message)
    if not seen[key] and not allowed[line .. code] then
      seen[key] = true
      findings[#findings + 1] = { file = source.path, line = line, column = column, code = code,
        message = message }
    end
  end
  return function(node, code, message)
    local line, column = source:place(node)
    at(line, column, code, message)
  end, at
end

local function locals_of(tree, names)
  scope.each(tree, function(node)
    if node.tag == "Id" and node.var then
      names[#names + 1] = node.var.name
    end
  end)
end

local function new_lint(surroundings, source, findings)
  local report, report_at = new_report(source, findings)
  local known
  return {
    path = source.path, report = report, report_at = report_at, told = {}, written = {},
    globals = surroundings.globals, api = surroundings.api,
    module = function(name) return surroundings:module(name) end,
    shared_member = function(module, name)
      local header = surroundings:shared_header(module)
      return header and header.members[name] and header.members[name].value
    end,
    names_here = function()
      if not known then
        known = {}
        for name in pairs(surroundings.globals) do
          known[#known + 1] = name
        end
        locals_of(source.tree, known)
      end
      return known
    end,
  }
end

-- A missing module is what loading stops at, too.
local function drop_repeats(findings)
  local lines, messages = {}, {}
  for _, one in ipairs(findings) do
    if one.code == "missing-module" then
      lines[one.line], messages[one.message] = true, true
    end
  end
  for i = #findings, 1, -1 do
    local one = findings[i]
    if one.code == "load" and (lines[one.line] or messages[one.message]) then
      table.remove(findings, i)
    end
  end
end

--- Look at one file.
---@param surroundings hob.lint.surroundings
---@param file { path: string, text: string, shared: boolean? }  shared: it is in lib/
---@return hob.lint.finding[] findings  in their order
---@return table|nil handler             what it says of itself, if Hob can use it
---@return hob.lint.header|nil header
function M.check(surroundings, file)
  local findings = {}
  if #file.text > SOURCE_MAX then
    return { { file = file.path, line = 1, column = 1, code = "load",
      message = "larger than 1 MB: Hob does not load it" } }
  end
  local source, problem = sources.parse(file.path, file.text)
  local lint = new_lint(surroundings, source, findings)
  if problem then
    lint.report_at(problem.line, problem.column, "syntax", problem.message)
    return findings
  end
  local header = headers.find(source.tree)
  language.check(source, lint)
  local found
  if not file.shared then
    found = look.at_text(surroundings.scripts, file.path, file.text)
    headers.check(found, header, lint)
    flow.check(source.tree, header, lint)
    drop_repeats(findings)
  end
  table.sort(findings, function(a, b)
    if a.line ~= b.line then
      return a.line < b.line
    elseif a.column ~= b.column then
      return a.column < b.column
    end
    return a.message < b.message
  end)
  return findings, found and found.handler, header
end

return M
