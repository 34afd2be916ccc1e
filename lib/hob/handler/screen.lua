-- screen.lua - what a person sees of a handler on the bench.
-- Spec: spec/integration/handler_run_spec.lua

local json = require("hob.json")
local time = require("hob.time")
local values = require("hob.handler.values")

local M = {}

local WIDTH = 160

-- Said by lines of their own, or of no use to somebody who looks at one handler.
local QUIET = { ["job.started"] = true, ["job.step"] = true, ["job.finished"] = true,
  ["job.reboots"] = true, ["job.restarts"] = true, ["job.rebooted"] = true,
  ["job.waits"] = true, ["job.ending"] = true, ["job.cleanup"] = true }
local LOUD = { ["job.log"] = true, ["lua.print"] = true, ["lua.log"] = true }

local STATES = {
  rebooted = "reboot: simulated here; a new run begins, as after the reboot",
  restarted = "restart of Hob: simulated here; a new run begins, as in the new process",
  cut = "power cut (simulated); a new run begins",
}

local function shorten(text)
  text = text:gsub("%c", " ")
  return #text > WIDTH and text:sub(1, WIDTH):gsub("[\192-\255]?[\128-\191]*$", "") .. "..." or text
end

local function milliseconds(seconds)
  return seconds < 10 and ("%.0f ms"):format(seconds * 1000) or ("%.1f s"):format(seconds)
end

---------------------------------------------------------------- as it happens

local kinds = {}

function kinds.run(self, event)
  if event.number > 1 then
    self:line("run %d", event.number)
  end
end

kinds["begin"] = function(self, event)
  self:line("step '%s'", event.step)
end

function kinds.saved(self, event)
  local failure = event.failure
  if event.step:sub(1, 4) == "hob:" and event.step ~= "hob:already_done" then
    return
  elseif failure then
    self:line("  failed after %s: %s (%s)", milliseconds(event.seconds), failure.message,
      failure.code)
  else
    self:line("  ended after %s, result %s", milliseconds(event.seconds),
      values.show(event.result, WIDTH - 40))
  end
end

function kinds.said(self, event)
  self:line("progress: %s", event.text)
end

function kinds.state(self, event)
  local words = STATES[event.state]
  if words then
    self:line("%s", words)
  elseif self.retries then
    self:line("the time of waiting is skipped (--retries)")
  end
end

function kinds.sleep(self, event)
  self:line("  %s%s s: skipped", "sleep ", ("%.10g"):format(event.seconds))
end

-- In a dry run: what would have been done; else only where nothing is done here.
function kinds.call(self, event)
  if not event.answered then
    if self.calls then
      self:line("  call: %s", self.written(event))
    end
  elseif self.dry then
    self:line("  not done: %s", self.written(event))
  else
    self:line("  simulated here: %s", self.written(event))
  end
end

function kinds.log(self, event)
  local level = event.level
  if LOUD[event.event] and (level ~= "debug" or self.calls) then
    self:line("%s: %s", level == "info" and "log" or "log, " .. level, event.msg)
  elseif not QUIET[event.event] and (level == "warn" or level == "error" or self.calls) then
    self:line("hob, %s: %s%s", level, event.msg, event.action and " - " .. event.action or "")
  end
end

--- A call as one would write it.
function M.written(event)
  local text = event.name .. values.show_arguments(event.arguments, WIDTH - 40)
  return text .. (event.where and "  (" .. event.where .. ")" or "")
end

local screen = { written = M.written }
screen.__index = screen

function screen:line(format, ...)
  io.stdout:write(("%9.3f  %s\n"):format(time.mono() - self.start, shorten(format:format(...))))
  io.stdout:flush() -- somebody may look through a pipe
end

function screen:hear(kind, event)
  local show = kinds[kind]
  if show then
    show(self, event)
  end
end

---@param options { dry: boolean, calls: boolean, retries: boolean }
function M.new(options)
  return setmetatable({ start = time.mono(), dry = options.dry, calls = options.calls,
    retries = options.retries }, screen)
end

---------------------------------------------------------------- at the end

local function sorted(details)
  local keys = {}
  for key in pairs(details) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

--- Calls outside of steps, in words.
---@return string[]
function M.warnings(record)
  local lines = {}
  for _, call in ipairs(record.outside) do
    lines[#lines + 1] = ("%s: %s is called %s: after a restart it may say something else; put it "
      .. "into a step, or into already_done"):format(call.where or "?", call.name,
      call.phase == "load" and "while the file is loaded" or "between steps")
  end
  return lines
end

--- The outcome as it would be sent.
function M.outcome(record)
  io.stdout:write(("%s  after %.2f s, %d run%s\n"):format(record.status, record.seconds,
    record.runs, record.runs == 1 and "" or "s"))
  for _, key in ipairs(sorted(record.details)) do
    io.stdout:write(("  %-10s %s\n"):format(key, tostring(record.details[key])))
  end
  for _, line in ipairs(M.warnings(record)) do
    io.stdout:write("warning: ", line, "\n")
  end
end

local SHOWN_MAX = 4096

local function plain_call(call)
  return { name = call.name, arguments = values.show_arguments(call.arguments, SHOWN_MAX),
    where = call.where, step = call.step, phase = call.phase, run = call.run }
end

local function plain_step(step)
  return { name = step.step, run = step.run, seconds = step.seconds, failure = step.failure,
    result = values.show(step.result, SHOWN_MAX) }
end

local function plain_log(event)
  return { level = event.level, event = event.event, msg = event.msg }
end

local function as_it_is(item)
  return item
end

--- Write one JSON object on one line, however many items its lists have.
---@param members table
---@param lists table<string, table[]>  name -> { list, function that makes an item plain }
function M.write_object(members, lists)
  local parts = {}
  for _, key in ipairs(sorted(members)) do
    parts[#parts + 1] = ("%s:%s"):format(json.encode(key), assert(json.encode(members[key])))
  end
  for _, key in ipairs(sorted(lists)) do
    local items, plain = {}, lists[key][2] or as_it_is
    for i, item in ipairs(lists[key][1]) do
      items[i] = assert(json.encode(plain(item)))
    end
    parts[#parts + 1] = ("%s:[%s]"):format(json.encode(key), table.concat(items, ","))
  end
  io.stdout:write("{", table.concat(parts, ","), "}\n")
end

--- The same for machines.
function M.json(record)
  M.write_object({
    status = record.status, details = record.details, runs = record.runs,
    seconds = record.seconds,
  }, {
    progress = { record.said }, states = { record.states }, steps = { record.steps, plain_step },
    calls = { record.calls, plain_call }, outside = { record.outside, plain_call },
    log = { record.logs, plain_log },
  })
end

return M
