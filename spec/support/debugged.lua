-- debugged.lua - a handler on the bench, and a debugger's session beside it, in one process.
--
--     local work <close> = debugged.run(HANDLER, { breaks = { 3 } })
--     local stop = work:stopped()             -- waits for the event
--     work.session:continue(stop.thread)
--     assert.equal("SUCCEEDED", work:finish().status)
--
-- The text is a whole handler; line numbers are those of the text. What the session is told is in
-- `events`, in its order; `stopped` and `event` take the next one of a kind that was not taken yet.

local benches = require("hob.handler.bench")
local debugger = require("hob.debug")
local fs = require("hob.fs")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = 20

local M = {}

local work = {}
work.__index = work

--- The next event of a kind; waits for it.
function work:event(kind)
  local found
  wait_until(function()
    for i, event in ipairs(self.events) do
      if event.event == kind then
        found = table.remove(self.events, i)
        return true
      end
    end
    return self.record ~= nil and kind ~= "ended" -- it will not come any more
  end, PATIENCE, "the event " .. kind)
  return found
end

function work:stopped()
  local stop = self:event("stopped")
  if not stop then
    error(("no stop came: the job ended %s (%s)"):format(self.record.status,
      tostring(self.record.details.reason)), 2)
  end
  self.thread = stop.thread
  return stop
end

--- Go on in one way, and wait for the next stop: "continue", "in", "over", "out".
function work:go(how)
  local done, message
  if how == "continue" then
    done, message = self.session:continue(self.thread)
  else
    done, message = self.session:step(self.thread, how)
  end
  assert(done, message)
  return self:stopped()
end

--- It is let go, and runs to its end.
function work:finish()
  if self.thread and not self.record then
    local done, message, code = self.session:continue(self.thread)
    assert(done or code == "EINVAL" or code == "ENOENT", message)
  end
  wait_until(function() return self.record ~= nil end, PATIENCE, "the job's end")
  return self.record
end

--- The value of a local of the innermost frame, as it is shown.
function work:value(name)
  local frames = assert(self.session:stack(self.thread, { first = 0, count = 1 }))
  for _, scope in ipairs(assert(self.session:scopes(frames[1].id))) do
    if scope.name == "Locals" then
      for _, variable in ipairs(assert(self.session:variables(scope.ref, {}))) do
        if variable.name == name then
          return variable.value
        end
      end
    end
  end
end

--- The outputs that were told so far.
function work:outputs()
  local texts = {}
  for _, event in ipairs(self.events) do
    if event.event == "output" then
      texts[#texts + 1] = event.text
    end
  end
  return texts
end

function work.open(who)
  local events = {}
  local session = assert(debugger.open({
    who = who or "a spec", on_event = function(event) events[#events + 1] = event end }))
  return session, events
end

work.__close = function(self)
  self.session:close()
  for _, other in ipairs(self.others) do
    other:close()
  end
  self.bench:close()
  fs.remove(self.scripts, { recursive = true })
  fs.remove(self.data, { recursive = true })
end

---@param text string      the handler
---@param options? table   breaks (lines or breakpoints), bench (options of hob.handler.bench),
--- exceptions, steps (function breakpoints), attach = false, document, files (name -> text), entry
function M.run(text, options)
  options = options or {}
  local self = setmetatable({ others = {} }, work)
  self.scripts = assert(fs.tempdir())
  self.file = self.scripts .. "/work.lua"
  assert(fs.write(self.file, text))
  for name, other in pairs(options.files or {}) do
    local folder = name:match("^(.*)/")
    if folder then
      fs.mkdir(self.scripts .. "/" .. folder)
    end
    assert(fs.write(self.scripts .. "/" .. name, other))
  end
  local settings = { scripts = self.scripts }
  for key, value in pairs(options.bench or {}) do
    settings[key] = value
  end
  self.data = assert(fs.tempdir())
  self.bench = assert(benches.open(settings, self.data))
  self.session, self.events = self.open("the spec")
  if options.attach ~= false then
    assert(self.session:attach())
  end
  if options.entry then
    self.session:entry(true)
  end
  self.session:exceptions(options.exceptions or {})
  if options.steps then
    self.set = assert(self.session:function_breakpoints(options.steps))
  end
  if options.breaks then
    local list = {}
    for i, wanted in ipairs(options.breaks) do
      list[i] = type(wanted) == "number" and { line = wanted } or wanted
    end
    self.set = assert(self.session:breakpoints(self.file, list))
  end
  time.after(0, function()
    local record, message = self.bench:run("work", options.document or '{"operation":"work"}',
      options.run)
    self.record = record or { status = "ERROR", details = { reason = message } }
  end)
  return self
end

return M
