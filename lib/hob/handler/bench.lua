-- bench.lua - handlers run for real, without a cloud: what `hob handler run`, --rehearse and
-- hob.testing stand on. The job, its steps, store and sandbox are those of `hob run`; the recorder
-- in the sandbox (recorder.lua) tells of each call that the handler makes.
--
--     local bench <close> = assert(benches.open({ scripts = "scripts" }))
--     local record = assert(bench:run("greet", '{"operation":"greet"}'))
--     print(record.status, record.details.reason)
-- Specs: spec/integration/handler_run_spec.lua, spec/integration/rehearse_spec.lua

local cores = require("hob.bench")
local fs = require("hob.fs")
local json = require("hob.json")
local place = require("hob.handler.place")
local time = require("hob.time")
local values = require("hob.handler.values")

local M = {}

local RUNS_MAX = 100 -- of one execution: reboots, restarts and retries together

---@class hob.bench.options
---@field scripts string        the handlers' directory
---@field thing? string
---@field policy? table         as a configuration says; nil: all is allowed
---@field memory? number        bytes
---@field cpu? number           seconds
---@field timeout? number       of a job whose handler names none
---@field cleanup_timeout? number
---@field debug_hold? number    seconds that a person may hold it; default: a day
---@field wait_debugger? boolean  job:break_here() waits for somebody to attach

---@class hob.bench.run_options
---@field answer? fun(call: table): table|nil  in place of a call: { answer = packed } or nil
---@field cut? string           key of the point at which the power is cut, once
---@field points? boolean       keep the points at which it could be cut
---@field quick? boolean        sleeping takes no time
---@field retries? boolean      after job:retry_later go on at once, else end there
---@field hear? fun(kind: string, event: table)  as it happens
---@field keep? string          a directory; the job's own one is put there as `job` at its end

---@class hob.bench.record
---@field status string         "SUCCEEDED", "FAILED", "REJECTED", or "RETRY_LATER"
---@field details table         as they would be sent
---@field runs integer
---@field calls table[]         { name, arguments, where, phase, step, run }
---@field outside table[]       of these: in run() or while loading, and not in a step
---@field steps table[]         { name, result|failure, run } in the order in which they ended
---@field begun table[]         { name, run } likewise began
---@field said string[]         progress
---@field logs table[]          { level, event, msg, action, step }
---@field points table[]        { key, at, step, name, where }
---@field states string[]       "rebooted", "waits" ...
---@field was_cut boolean

local bench = {}
bench.__index = bench

---------------------------------------------------------------- calls

-- What a handler may call between steps: it is the same each time, or changes nothing.
local HARMLESS = { ["time.sleep"] = true, ["time.after"] = true, ["job:fresh_args"] = true }

local function note_outside(record, call)
  if HARMLESS[call.name] or (call.phase ~= "run" and call.phase ~= "load") then
    return
  end
  local key = call.name .. "\0" .. tostring(call.where)
  if not record.outside[key] then
    record.outside[key] = true
    record.outside[#record.outside + 1] = call
  end
end

---------------------------------------------------------------- points

local function point_key(at, step, number)
  return ("%s\0%s\0%d"):format(at, step or "", number)
end

-- Counts from the beginning of the execution: a rehearsal cuts once, in its first pass.
local function come_to_point(self, at, event)
  local record, options = self.record, self.options
  local step = event.phase == "cleanup" and "cleanup" or event.step
  if not step then
    return nil
  end
  local counter = at .. "\0" .. step
  self.counts[counter] = (self.counts[counter] or 0) + 1
  local point = { key = point_key(at, step, self.counts[counter]), at = at, step = step,
    name = event.name, number = self.counts[counter], where = event.where,
    cleanup = event.phase == "cleanup" }
  if options.points then
    record.points[#record.points + 1] = point
  end
  if options.cut == point.key and not record.was_cut then
    record.was_cut = true
    return { cut = true }
  end
end

---------------------------------------------------------------- what the recorder tells

local tellings = {}

function tellings.plan(self)
  return { points = self.options.points or self.options.cut ~= nil, quick = self.options.quick }
end

function tellings.run(self, event)
  self.run_number, self.work = self.run_number + 1, event.dir
  self:hear("run", { number = self.run_number, attempt = event.attempt })
end

function tellings.call(self, event)
  local record = self.record
  event.run = self.run_number
  if event.phase == "load" then
    event.run = self.run_number + 1
  end
  note_outside(record, event)
  local answer = come_to_point(self, "before", event)
  if answer then
    return answer
  end
  record.calls[#record.calls + 1] = event
  if self.options.answer then
    local packed = self.options.answer(event)
    event.answered = packed
    answer = packed and { answer = packed } or nil
  end
  self:hear("call", event)
  return answer
end

function tellings.done(self, event)
  return come_to_point(self, "after", event)
end

function tellings.sleep(self, event)
  self.slept = self.slept + event.seconds
  if self.options.on_sleep then
    self.options.on_sleep(event.seconds)
  end
  self:hear("sleep", event)
end

tellings["begin"] = function(self, event)
  event.run = self.run_number
  event.mono = time.mono()
  table.insert(self.record.begun, event)
  self.began[event.step] = event.mono
  self:hear("begin", event)
  return come_to_point(self, "begin", event)
end

tellings["end"] = function(self, event)
  return come_to_point(self, "end", event)
end

function tellings.saved(self, event)
  event.run = self.run_number
  event.seconds = self.began[event.step] and time.mono() - self.began[event.step] or 0
  event.result = event.result and json.decode(event.result)
  if event.result == json.null then
    event.result = nil
  end
  table.insert(self.record.steps, event)
  self:hear("saved", event)
  return come_to_point(self, "saved", event)
end

---------------------------------------------------------------- what the core tells

function bench:hear(kind, event)
  if self.options.hear then
    self.options.hear(kind, event)
  end
end

local function on_log(self, line)
  local event = json.decode(line)
  if type(event) ~= "table" then
    return
  end
  if event.event == "job.finished" and self.options.keep and self.work then
    os.rename(self.work, self.options.keep .. "/job") -- it goes next
  end
  table.insert(self.record.logs, event)
  self:hear("log", event)
end

local function on_news(self, kind, text)
  if not self.record then
    return nil -- handlers are loaded: what is broken is told by whoever asks for it
  elseif kind == "log" then
    on_log(self, text)
  elseif kind == "said" then
    table.insert(self.record.said, text)
    self:hear("said", { text = text })
  elseif kind == "stdout" or kind == "stderr" then
    self:hear(kind, { text = text })
  else
    local event = values.read(text)
    local tell = tellings[event.kind]
    local answer = tell and tell(self, event)
    return answer and values.write(answer)
  end
end

---------------------------------------------------------------- one execution

local function new_record()
  return { calls = {}, outside = {}, steps = {}, begun = {}, said = {}, logs = {}, points = {},
    states = {}, was_cut = false }
end

local function finish(self, status)
  local record = self.record
  local row, message = self.core:execution()
  if not row then
    return nil, message
  end
  record.status = status or row.status
  record.details = json.decode(row.details) or {}
  record.runs, record.retries, record.cleanups = row.runs, row.retries, row.cleanups
  record.wait_seconds = row.wait_s
  record.seconds = time.mono() - self.started
  record.slept = self.slept
  record.handler = row.handler
  return record
end

local function follow(self)
  local record = self.record
  for _ = 1, RUNS_MAX do
    local state = self.core:wait()
    if state == "ended" then
      return finish(self)
    end
    table.insert(record.states, state)
    self:hear("state", { state = state })
    if state == "waits" and not self.options.retries then
      return finish(self, "RETRY_LATER")
    end
    local ok, message = self.core:go_on()
    if not ok then
      return nil, message
    end
  end
  return nil, ("given up after %d runs: it reboots or waits for ever"):format(RUNS_MAX)
end

--- Run a handler for a document to its end. ⏳
---@param name string
---@param document string  JSON
---@param options? hob.bench.run_options
---@return hob.bench.record|nil
---@return string|nil message
function bench:run(name, document, options)
  self.options = options or {}
  self.record = new_record()
  self.counts, self.began = {}, {}
  self.run_number, self.slept, self.executions = 0, 0, self.executions + 1
  self.work, self.started = nil, time.mono()
  local ok, message = self.core:begin(name, document)
  if not ok then
    return nil, message
  end
  return follow(self)
end

--- Which handler a device would take for a document, without the routes of its configuration.
---@return string|nil name
---@return string|nil message
function bench:choose(document)
  return self.core:choose(document)
end

--- End what runs, as `hob cancel` does.
function bench:cancel(who)
  self.core:cancel(who)
end

function bench:close()
  if self.core then
    self.core:close()
    self.core = nil
    if not self.kept then
      fs.remove(self.data, { recursive = true })
    end
  end
end

bench.__close = bench.close

---------------------------------------------------------------- life

---@param options hob.bench.options
---@param data? string  an empty directory that stays; default: one that is removed
---@return table|nil bench
---@return string|nil message
function M.open(options, data)
  local self = setmetatable({ executions = 0, kept = data ~= nil,
    thing = options.thing or "bench", options = {} }, bench)
  local message
  self.data, message = data or fs.tempdir(), nil
  if not self.data then
    return nil, message
  end
  self.core, message = cores.new({
    scripts = options.scripts, lib = place.lib(), data = self.data, thing = self.thing,
    policy = options.policy, memory = options.memory, cpu = options.cpu,
    timeout = options.timeout, cleanup_timeout = options.cleanup_timeout,
    debug_hold = options.debug_hold, wait_debugger = options.wait_debugger,
    sink = function(kind, text)
      return on_news(self, kind, text)
    end,
  })
  if not self.core then
    if not data then
      fs.remove(self.data, { recursive = true })
    end
    return nil, message
  end
  return self
end

return M
