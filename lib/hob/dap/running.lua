--- Requests that let a job run, step or stop.
local arguments = require("hob.dap.arguments")
local events = require("hob.dap.events")

local M = { requests = {} }
local requests = M.requests

-- The editor thinks that the thread runs once it has the answer; so what it looked at is forgotten
-- before, and an event of the new run comes after.
local function let_run(name, act)
  requests[name] = { phases = { going = true }, handle = function(self, args)
    local wrong = arguments.check(args, { threadId = "integer" })
    if wrong then
      return nil, name .. ": " .. wrong
    end
    local stop = self.stops[args.threadId]
    events.forget(self, args.threadId)
    self.let_go[args.threadId] = true
    local ok, why = act(self, args.threadId)
    if not ok then
      self.let_go[args.threadId] = nil
      self.stops[args.threadId] = stop
      return nil, name .. ": " .. tostring(why)
    end
    return name == "continue" and { allThreadsContinued = false } or true
  end }
end

let_run("continue", function(self, thread)
  return self.engine:continue(thread)
end)

for name, how in pairs({ next = "over", stepIn = "in", stepOut = "out" }) do
  let_run(name, function(self, thread)
    return self.engine:step(thread, how)
  end)
end

requests.pause = { phases = { going = true }, handle = function(self, args)
  local wrong = arguments.check(args, { threadId = "integer" })
  if wrong then
    return nil, "pause: " .. wrong
  end
  local ok, why = self.engine:pause(args.threadId)
  if not ok then
    return nil, "pause: " .. tostring(why)
  end
  return true
end }

return M
