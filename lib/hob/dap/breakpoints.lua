--- Requests that set breakpoints: at lines, at steps of a job, at errors.
local arguments = require("hob.dap.arguments")
local json_text = require("hob.service.json_text")
local sources = require("hob.dap.sources")

local M = { requests = {} }
local requests = M.requests

local ITEM = { line = "integer", condition = "string?", hitCondition = "string?",
  logMessage = "string?" }
local FUNCTION = { name = "string", condition = "string?", hitCondition = "string?" }

-- What an editor leaves empty is not there.
local function text(value)
  return value ~= nil and value:find("%S") and value or nil
end

-- "= 5" is what other debuggers call "==5".
local function hit(value)
  value = text(value)
  return value and (value:gsub("%s+", ""):gsub("^=(%d)", "==%1"))
end

local function read_items(args, schema)
  local items = {}
  local wrong = arguments.check(args, { breakpoints = "table?", lines = "table?" })
  if wrong then
    return nil, wrong
  end
  local given = args.breakpoints
  if not given then
    given = {}
    for i, line in ipairs(args.lines or {}) do
      given[i] = { line = line }
    end
  end
  for i, item in ipairs(given) do
    wrong = type(item) ~= "table" and "expected an object" or arguments.check(item, schema)
    if wrong then
      return nil, ("breakpoints[%d]: %s"):format(i, wrong)
    end
    items[i] = item
  end
  return items
end

local function unverified(items, why)
  local list = json_text.list({})
  for i in ipairs(items) do
    list[i] = { verified = false, message = why }
  end
  return { breakpoints = list }
end

local function told(self, set, source)
  local list = json_text.list({})
  for i, one in ipairs(set) do
    list[i] = {
      id = one.id, verified = one.verified == true, message = one.message,
      line = one.line and one.line - 1 + self.lines_from or nil, source = source,
    }
  end
  return { breakpoints = list }
end

requests.setBreakpoints = { handle = function(self, args)
  local items, why = read_items(args, ITEM)
  if not items then
    return nil, "setBreakpoints: " .. why
  end
  local wrong = arguments.check(args, { source = "table" })
  if wrong then
    return nil, "setBreakpoints: " .. wrong
  end
  local file
  file, why = sources.file_of(self, args.source)
  if not file then
    return unverified(items, why)
  end
  local wanted = {}
  for i, item in ipairs(items) do
    wanted[i] = { line = item.line + 1 - self.lines_from, condition = text(item.condition),
      hit = hit(item.hitCondition), log = text(item.logMessage) }
  end
  local set
  set, why = self.engine:breakpoints(file, wanted)
  if not set then
    return nil, "setBreakpoints: " .. why
  end
  return told(self, set, args.source)
end }

requests.setFunctionBreakpoints = { handle = function(self, args)
  local items, why = read_items(args, FUNCTION)
  if not items then
    return nil, "setFunctionBreakpoints: " .. why
  end
  local wanted = {}
  for i, item in ipairs(items) do
    wanted[i] = { name = item.name, condition = text(item.condition),
      hit = hit(item.hitCondition) }
  end
  local set
  set, why = self.engine:function_breakpoints(wanted)
  if not set then
    return nil, "setFunctionBreakpoints: " .. why
  end
  return told(self, set)
end }

requests.setExceptionBreakpoints = { handle = function(self, args)
  local wrong = arguments.check(args, { filters = "table" })
  if wrong then
    return nil, "setExceptionBreakpoints: " .. wrong
  end
  local asked = { raised = false, uncaught = false }
  for i, name in ipairs(args.filters) do
    if asked[name] == nil then
      return nil, ("setExceptionBreakpoints: filters[%d]: expected raised or uncaught, got '%s'")
        :format(i, tostring(name))
    end
    asked[name] = true
  end
  local ok, why = self.engine:exceptions(asked)
  if not ok then
    return nil, "setExceptionBreakpoints: " .. tostring(why)
  end
  self.break_mode = asked.raised and "always" or "unhandled"
  return true
end }

requests.breakpointLocations = { handle = function(self, args)
  local wrong = arguments.check(args, { source = "table", line = "integer", endLine = "integer?" })
  if wrong then
    return nil, "breakpointLocations: " .. wrong
  end
  local list = json_text.list({})
  local file = sources.file_of(self, args.source)
  local lines = file and sources.lines_of(self, file, args.source.sourceReference) or {}
  local first = args.line + 1 - self.lines_from
  local last = (args.endLine or args.line) + 1 - self.lines_from
  for _, line in ipairs(lines) do
    if line >= first and line <= last then
      list[#list + 1] = { line = line - 1 + self.lines_from }
    end
  end
  return { breakpoints = list }
end }

return M
