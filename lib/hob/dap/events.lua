--- What the debugger tells, as events of the Debug Adapter Protocol.
local json_text = require("hob.service.json_text")
local words = require("hob.cli.words")

local M = {}

-- Reason of the engine -> reason of the protocol, and what the editor shows.
local REASONS = {
  breakpoint = { "breakpoint", "at a breakpoint" },
  step = { "step", "after a step" },
  pause = { "pause", "paused" },
  exception = { "exception", "at an error" },
  entry = { "entry", "at the handler's beginning" },
  break_here = { "breakpoint", "at job:break_here()" },
  ["function breakpoint"] = { "function breakpoint", "a step of the job begins" },
}

--- Frames and values that were looked at are no more.
local function forget(self, thread)
  for id, of in pairs(self.frame_threads) do
    if of == thread then
      self.frame_threads[id] = nil
    end
  end
  self.expressions = {}
  self.stops[thread] = nil
end

local kinds = {}

function kinds.stopped(self, event)
  local reason = REASONS[event.reason] or { "pause", event.reason }
  local description = reason[2]
  if event.holdLeft and not self.launched then
    description = ("%s; the job goes on by itself in %s"):format(description,
      words.span(math.max(0, math.floor(event.holdLeft))))
  end
  forget(self, event.thread)
  self.stops[event.thread], self.let_go[event.thread] = event, nil
  self:event("stopped", {
    reason = reason[1], description = description, threadId = event.thread, text = event.text,
    allThreadsStopped = false,
    hitBreakpointIds = event.breakpoints and json_text.list(event.breakpoints) or nil,
  })
end

function kinds.continued(self, event)
  forget(self, event.thread)
  if self.let_go[event.thread] then -- the editor knows
    self.let_go[event.thread] = nil
    return
  end
  self:event("continued", { threadId = event.thread, allThreadsContinued = false })
  if event.text then
    self:say(("the job goes on: %s"):format(event.text))
  end
end

function kinds.output(self, event)
  self:say(event.text)
end

-- Line and truth of a breakpoint may change when its file is loaded.
function kinds.breakpoint(self, event)
  self:event("breakpoint", { reason = "changed", breakpoint = {
    id = event.id, verified = event.verified == true, message = event.message,
    line = event.line and event.line - 1 + self.lines_from or nil,
  } })
end

function kinds.started(self, event)
  if not self.only then
    self:event("thread", { reason = "started", threadId = event.thread })
  end
end

function kinds.ended(self, event)
  forget(self, event.thread)
  if self.only and self.only ~= event.thread then
    return
  end
  self:event("thread", { reason = "exited", threadId = event.thread })
  if self.only then
    self:say(event.text or ("the job '%s' has ended"):format(self.job))
    self:event("terminated")
  end
end

--- Called by the engine, as a task of its own.
---@param self hob.dap.session
function M.hear(self, event)
  local tell = kinds[event.event]
  if tell and self.phase ~= "ended" then
    tell(self, event)
  end
end

M.forget = forget

return M
