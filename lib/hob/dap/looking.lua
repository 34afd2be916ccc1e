--- Requests that look into a job: threads, its stack, values.
local arguments = require("hob.dap.arguments")
local json_text = require("hob.service.json_text")
local log = require("hob.log")
local sources = require("hob.dap.sources")

local M = { requests = {} }
local requests = M.requests

local FRAMES = 50 -- where the editor does not say how many
local LOGGED_MAX = 1000

-- A handler that checks the arguments first, and names the request in what goes wrong.
local function define(name, schema, handle, more)
  local request = more or {}
  request.handle = function(self, args)
    local wrong = arguments.check(args, schema)
    local body, why
    if not wrong then
      body, why = handle(self, args)
    end
    if not body then
      return nil, ("%s: %s"):format(name, wrong or tostring(why))
    end
    return body
  end
  requests[name] = request
end

---------------------------------------------------------------- threads

local function thread_name(job)
  local at = job.step and job.step ~= "" and (", step '%s'"):format(job.step) or ""
  return ("%s (%s%s)"):format(job.jobId, (job.handler or "?"):gsub("@.*", ""), at)
end

requests.threads = { handle = function(self)
  local list = json_text.list({})
  for _, job in ipairs(self.engine:jobs()) do
    if not self.only or job.thread == self.only then
      list[#list + 1] = { id = job.thread, name = thread_name(job) }
    end
  end
  return { threads = list }
end }

---------------------------------------------------------------- the stack

local function one_frame(self, thread, frame, seen)
  self.frame_threads[frame.id] = thread
  local source = sources.of_frame(self, thread, frame, seen)
  local line = frame.line and frame.line > 0 and source and frame.line - 1 + self.lines_from or 0
  return {
    id = frame.id, name = frame.name, source = source, line = line, column = self.columns_from,
    presentationHint = (frame.own or frame.kind == "C" or not source) and "subtle" or nil,
  }
end

define("stackTrace", { threadId = "integer", startFrame = "integer?", levels = "integer?" },
  function(self, args)
    local first, count = args.startFrame or 0, args.levels or 0
    if first < 0 or count < 0 then
      return nil, "startFrame and levels: expected numbers from 0 on"
    end
    local frames, total = self.engine:stack(args.threadId, {
      first = first, count = count > 0 and count or FRAMES, own = true,
    })
    if not frames then
      return nil, total
    end
    local list, seen = json_text.list({}), {}
    for i, frame in ipairs(frames) do
      list[i] = one_frame(self, args.threadId, frame, seen)
    end
    return { stackFrames = list, totalFrames = total }
  end)

---------------------------------------------------------------- values

local HINTS = { Locals = "locals", Globals = "globals" }

define("scopes", { frameId = "integer" }, function(self, args)
  local scopes, why = self.engine:scopes(args.frameId)
  if not scopes then
    return nil, why
  end
  local list = json_text.list({})
  for i, scope in ipairs(scopes) do
    list[i] = { name = scope.name, variablesReference = scope.ref, namedVariables = scope.count,
      presentationHint = HINTS[scope.name], expensive = scope.name == "Globals" }
    self.expressions[scope.ref] = ""
  end
  return { scopes = list }
end)

-- How a member of what `base` is an expression for is written in Lua; nil: it cannot be.
local function expression_of(base, name)
  if not base or name:find("^%(") then
    return nil
  elseif name:sub(1, 1) == "[" then
    return base ~= "" and base .. name or nil
  end
  return base == "" and name or base .. "." .. name
end

local function one_variable(self, variable, base)
  local expression = expression_of(base, variable.name)
  local ref = variable.ref or 0
  if ref > 0 and expression then
    self.expressions[ref] = expression
  end
  return {
    name = variable.name, value = variable.value, type = variable.type, variablesReference = ref,
    evaluateName = expression,
    indexedVariables = ref > 0 and (variable.indexed or 0) > 0 and variable.indexed or nil,
    namedVariables = ref > 0 and (variable.named or 0) > 0 and variable.named or nil,
  }
end

define("variables", { variablesReference = "integer", filter = "string?", start = "integer?",
  count = "integer?" },
  function(self, args)
    if args.filter and args.filter ~= "indexed" and args.filter ~= "named" then
      return nil, "filter: expected indexed or named, got " .. args.filter
    elseif (args.start or 0) < 0 or (args.count or 0) < 0 then
      return nil, "start and count: expected numbers from 0 on"
    end
    local base = self.expressions[args.variablesReference]
    local variables, why = self.engine:variables(args.variablesReference, {
      first = args.start, count = (args.count or 0) > 0 and args.count or nil,
      filter = args.filter,
    })
    if not variables then
      return nil, why
    end
    local list = json_text.list({})
    for i, variable in ipairs(variables) do
      list[i] = one_variable(self, variable, base)
    end
    return { variables = list }
  end)

local function thread_of(self, frame)
  if frame then
    return self.frame_threads[frame]
  elseif self.only then
    return self.only
  end
  local only, count = nil, 0
  for thread in pairs(self.stops) do
    only, count = thread, count + 1
  end
  return count == 1 and only or nil
end

-- What somebody does to a job, for the gateway's log.
local function note(self, text, frame)
  if self.transport.kind ~= "attach" then
    return -- a bench of the editor's own
  end
  local thread = thread_of(self, frame)
  local job = thread and self.engine:info(thread)
  log.info("dap.command", ("%s: %s"):format(self.transport.who, text:sub(1, LOGGED_MAX)),
    job and { job = job.jobId, thing = job.thing, execution = job.executionNumber })
end

local READS = "only looks: for assignments attach with \"write\": true, or say `:write on` in the "
  .. "debug console"

define("setVariable", { variablesReference = "integer", name = "string", value = "string" },
  function(self, args)
    if not self.writing then
      return nil, "this session " .. READS
    end
    note(self, ("%s = %s"):format(args.name, args.value))
    local variable, why = self.engine:set(args.variablesReference, args.name, args.value)
    if not variable then
      return nil, why
    end
    local new = one_variable(self, variable, nil)
    return { value = new.value, type = new.type, variablesReference = new.variablesReference,
      indexedVariables = new.indexedVariables, namedVariables = new.namedVariables }
  end, { aside = true })

---------------------------------------------------------------- expressions

-- What lies under the mouse: a name and its members. Anything else could do something.
local function only_reads(text)
  local rest = text:gsub("%b[]", function(index)
    index = index:match("^%[%s*(.-)%s*%]$")
    return (index:find("^%-?%d+$") or index:find('^"[^"\\]*"$') or index:find("^'[^'\\]*'$")
      or index:find("^[%a_][%w_%.]*$")) and "" or "("
  end)
  return rest:find("^%s*[%a_][%w_%.%s]*$") ~= nil
end

local function shown(self, values, expression)
  if #values == 1 then
    local one = one_variable(self, values[1], nil)
    if one.variablesReference > 0 and expression:find("^[%a_][%w_%.]*$") then
      self.expressions[one.variablesReference] = expression
    end
    return { result = one.value, type = one.type, variablesReference = one.variablesReference,
      indexedVariables = one.indexedVariables, namedVariables = one.namedVariables }
  end
  local texts = {}
  for i, value in ipairs(values) do
    texts[i] = value.value
  end
  return { result = table.concat(texts, ", "), variablesReference = 0 }
end

-- Without a frame: in the script's innermost, which is not Hob's own (`job:break_here`, a sleep).
local function evaluate(self, text, frame, write)
  local thread = thread_of(self, frame)
  if thread and not frame then
    local frames = self.engine:stack(thread, { first = 0, count = 1 })
    frame = frames and frames[1] and frames[1].id
  end
  return self.engine:evaluate(text, { thread = thread, frame = frame, write = write })
end

-- Commands of the debug console; the rest of what is typed there is Lua.
local function command(self, text)
  local wanted = text:match("^%s*:write%s+(%a+)%s*$")
  if wanted == "on" or wanted == "off" then
    local ok, why = self.engine:write(wanted == "on")
    if ok == nil and why then
      return nil, why
    end
    self.writing = wanted == "on"
    return { result = self.writing and "assignments change the job from now on"
      or "assignments are refused from now on", variablesReference = 0 }
  end
  return nil, "there is `:write on` and `:write off`; anything else is Lua"
end

define("evaluate", { expression = "string", frameId = "integer?", context = "string?" },
  function(self, args)
    local text, context = args.expression, args.context or "repl"
    if context == "repl" and text:find("^%s*:") then
      return command(self, text)
    elseif context == "hover" and not only_reads(text) then
      return nil, "only names and their members are looked up under the mouse"
    end
    if context == "repl" then
      note(self, text, args.frameId)
    end
    local values, why = evaluate(self, text, args.frameId, context == "repl" and self.writing)
    if not values then
      return nil, why
    end
    return shown(self, values, text)
  end, { aside = true })

define("setExpression", { expression = "string", value = "string", frameId = "integer?" },
  function(self, args)
    if not self.writing then
      return nil, "this session " .. READS
    end
    local assignment = args.expression .. " = " .. args.value
    note(self, assignment, args.frameId)
    local values, why = evaluate(self, assignment, args.frameId, true)
    if values then
      values, why = evaluate(self, args.expression, args.frameId, false)
    end
    if not values then
      return nil, why
    end
    local body = shown(self, values, args.expression)
    body.value, body.result = body.result, nil
    return body
  end, { aside = true })

---------------------------------------------------------------- completions

-- Columns count UTF-16 units; Lua counts bytes.
local function bytes_before(text, units)
  local at = 1
  while units > 0 and at <= #text do
    local byte = text:byte(at)
    local length = byte < 0x80 and 1 or byte < 0xE0 and 2 or byte < 0xF0 and 3 or 4
    at, units = at + length, units - (length == 4 and 2 or 1)
  end
  return math.min(at - 1, #text)
end

local function units_of(text)
  local units = 0
  for _, code in utf8.codes(text, true) do
    units = units + (code >= 0x10000 and 2 or 1)
  end
  return units
end

define("completions", { text = "string", column = "integer", line = "integer?",
  frameId = "integer?" },
  function(self, args)
    local lines = {}
    for line in (args.text .. "\n"):gmatch("(.-)\n") do
      lines[#lines + 1] = line
    end
    local line = lines[(args.line or self.lines_from) + 1 - self.lines_from] or ""
    local typed = line:sub(1, bytes_before(line, args.column - self.columns_from))
    local words, from = self.engine:complete(typed, {
      thread = thread_of(self, args.frameId), frame = args.frameId,
    })
    if not words then
      return nil, from
    end
    local begun = typed:sub(1, from - 1)
    local list = json_text.list({})
    for i, word in ipairs(words) do
      list[i] = { label = word, text = word, start = units_of(begun) + self.columns_from,
        length = units_of(typed) - units_of(begun) }
    end
    return { targets = list }
  end)

---------------------------------------------------------------- errors

define("exceptionInfo", { threadId = "integer" }, function(self, args)
  local stop = self.stops[args.threadId]
  if not stop or stop.reason ~= "exception" then
    return nil, "this thread has not stopped at an error"
  end
  return {
    exceptionId = "Lua error", description = stop.text, breakMode = self.break_mode or "never",
    details = { message = stop.text,
      stackTrace = stop.file and ("%s:%d"):format(stop.file, stop.line or 0) or nil },
  }
end)

return M
