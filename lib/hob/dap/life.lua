--- Requests of the Debug Adapter Protocol that begin and end a session.
local arguments = require("hob.dap.arguments")
local events = require("hob.dap.events")
local json_text = require("hob.service.json_text")
local paths = require("hob.dap.paths")

local M = { requests = {} }
local requests = M.requests

M.FILTERS = {
  { filter = "raised", label = "Raised errors", default = false,
    description = "every error that is raised in a handler, also one that it catches" },
  { filter = "uncaught", label = "Uncaught errors", default = true,
    description = "errors that end a job or a step" },
}

---------------------------------------------------------------- initialize

local function capabilities()
  return {
    supportsConfigurationDoneRequest = true,
    supportsFunctionBreakpoints = true,
    supportsConditionalBreakpoints = true,
    supportsHitConditionalBreakpoints = true,
    supportsLogPoints = true,
    supportsBreakpointLocationsRequest = true,
    supportsEvaluateForHovers = true,
    supportsSetVariable = true,
    supportsSetExpression = true,
    supportsCompletionsRequest = true,
    completionTriggerCharacters = json_text.list({ ".", ":" }),
    supportsExceptionInfoRequest = true,
    supportsTerminateRequest = true,
    supportTerminateDebuggee = true,
    supportsDelayedStackTraceLoading = true,
    exceptionBreakpointFilters = json_text.list(M.FILTERS),
  }
end

requests.initialize = { phases = { new = true }, handle = function(self, args)
  local wrong = arguments.check(args, { linesStartAt1 = "boolean?", columnsStartAt1 = "boolean?",
    pathFormat = "string?" })
  if wrong then
    return nil, "initialize: " .. wrong
  elseif args.pathFormat and args.pathFormat ~= "path" then
    return nil, "initialize: pathFormat: expected path, got " .. args.pathFormat
  end
  self.lines_from = args.linesStartAt1 == false and 0 or 1
  self.columns_from = args.columnsStartAt1 == false and 0 or 1
  self.phase = "known"
  return capabilities()
end }

---------------------------------------------------------------- attach and launch

local ATTACH = { job = "string?", thing = "string?", data = "string?", socket = "string?",
  config = "string?", stopOnEntry = "boolean?", write = "boolean?", pathMappings = "table?" }

-- The engine's session: from here on there are breakpoints.
local function open(self, args)
  local debugger = self.transport.debug or require("hob.debug")
  local mappings, why = paths.new(args.pathMappings)
  if not mappings then
    return nil, why
  end
  self.engine, why = debugger.open({
    who = self.transport.who,
    on_event = function(event)
      events.hear(self, event)
    end,
  })
  if not self.engine then
    return nil, why
  end
  self.paths, self.stop_on_entry = mappings, args.stopOnEntry == true
  if self.stop_on_entry then
    self.engine:entry(true)
  end
  return true
end

-- It did not work; the editor may ask again.
local function give_up(self, name, why)
  for _, member in ipairs({ "engine", "launched" }) do
    if self[member] then
      self[member]:close()
      self[member] = nil
    end
  end
  return nil, name .. ": " .. why
end

local function begun(self, args, schema)
  self.phase = "begun"
  return true, nil, function()
    for _, hint in ipairs(arguments.misspelt(args, schema)) do
      self:say(hint, "important")
    end
    self:event("initialized")
  end
end

local function names_of(jobs)
  local names, seen = {}, {}
  for _, job in ipairs(jobs) do
    if not seen[job.jobId] then
      names[#names + 1] = job.jobId
    end
    seen[job.jobId] = true
  end
  table.sort(names)
  return names[1] and "running: " .. table.concat(names, ", ") or "no job is running"
end

-- The thread of the job that is meant; nil: all of them.
local function find_job(self, args)
  if not args.job then
    return true
  end
  local jobs, found, things = self.engine:jobs(), nil, {}
  for _, job in ipairs(jobs) do
    if job.jobId == args.job and (not args.thing or job.thing == args.thing) then
      found, things[#things + 1] = job, job.thing
    end
  end
  if things[2] then
    table.sort(things)
    return nil, ("several things have a job '%s' that runs: say in `thing` which one (%s)"):format(
      args.job, table.concat(things, ", "))
  elseif found then
    self.only, self.job = found.thread, found.jobId
    return true
  end
  return nil, ("the job '%s' does not run here%s; %s"):format(args.job,
    args.thing and " for " .. args.thing or "", names_of(jobs))
end

local function attach_here(self, args)
  self.only, self.writing = nil, args.write == true
  local ok, why = open(self, args)
  if ok then
    ok, why = find_job(self, args)
  end
  if ok and self.writing then
    ok, why = self.engine:write(true)
  end
  if not ok then
    return give_up(self, "attach", why)
  end
  return begun(self, args, ATTACH)
end

requests.attach = { phases = { known = true }, handle = function(self, args, request)
  local wrong = arguments.check(args, ATTACH)
  if wrong then
    return nil, "attach: " .. wrong
  elseif not self.transport.bridge then
    return attach_here(self, args)
  end
  local ok, why = self.transport.bridge(request, self.texts, self.reader.rest)
  if not ok then
    return nil, "attach: " .. why
  end
  self.deaf = true -- the gateway has answered, and everything after it, too
  self:finish()
  return true
end }

requests.launch = { phases = { known = true }, handle = function(self, args)
  if self.transport.kind ~= "stdio" then
    return nil, "launch: a gateway is attached to; `hob dap` launches"
  end
  local launches = require("hob.dap.launch")
  local ok, why
  self.launched, why = launches.prepare(args)
  if not self.launched then
    return nil, "launch: " .. why
  end
  self.writing = true
  ok, why = open(self, args)
  if ok then
    ok, why = self.engine:write(true)
  end
  if not ok then
    return give_up(self, "launch", why)
  end
  return begun(self, args, launches.SCHEMA)
end }

-- How long each may be held, which the engine knows when it is attached.
local function say_limits(self, info)
  local infos = { info.text and info or nil }
  if not self.only and not self.launched then
    infos = self.engine:jobs()
  end
  for _, one in ipairs(infos) do
    if one.text then
      self:say(("%s: %s"):format(one.jobId or self.job or "job", one.text))
    end
  end
end

local function pause_at_entry(self)
  for _, job in ipairs(self.engine:jobs()) do
    if not self.only or job.thread == self.only then
      self.engine:pause(job.thread)
    end
  end
end

requests.configurationDone = { phases = { begun = true }, handle = function(self)
  self.phase = "going"
  if self.launched and self.launched.no_debug then
    return true, nil, function()
      self.launched:start(self)
    end
  end
  local info, why = self.engine:attach(self.only)
  if not info then
    self:say("hob dap: " .. why, "important")
    self:event("terminated")
    return nil, "configurationDone: " .. why
  end
  say_limits(self, info)
  return true, nil, function()
    if self.launched then
      self.launched:start(self)
    elseif self.stop_on_entry then
      pause_at_entry(self)
    end
  end
end }

---------------------------------------------------------------- ends

local function cancel_attached(self)
  if not self.only then
    return nil, "this session is attached to all jobs; attach to the one that is to be cancelled"
  elseif not self.writing then
    return nil, "this session only looks; to cancel jobs, attach with \"write\": true"
  end
  return self.engine:cancel(self.only)
end

requests.terminate = { handle = function(self)
  if not self.launched then
    return nil, "terminate: the job is a gateway's own and goes on; disconnect, or cancel it by "
      .. "disconnect with terminateDebuggee"
  end
  self.launched:cancel(self)
  return true
end }

local ANY = { new = true, known = true, begun = true, going = true }

requests.disconnect = { phases = ANY, handle = function(self, args)
  local asked = args.terminateDebuggee
  if self.launched and asked == false then
    self.launched:let_go(self)
  elseif self.engine and not self.launched and asked == true and args.restart ~= true then
    local ok, why = cancel_attached(self)
    if not ok then
      self:say("the job goes on: " .. why, "important")
    end
  end
  self:finish()
  return true
end }

return M
