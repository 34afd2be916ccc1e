-- rig.lua - what the benches of whole agents stand on: one mosquitto, in the clear and with mutual
-- TLS, the local Jobs service in this process, and the agents as processes of their own.
--
--     local rig = require("spec.bench.rig").start()
--     local drained = rig:drain(1000, function(thing) return rig:floor(thing, "ops", "tls") end)
--     drained.jobs_s, drained.cpu_us, drained.p50_ms, drained.p99_ms
--     rig:stop()
--
-- An agent is { pid = fn(), stop = fn() }. The service sees the end of each job, so that all agents
-- are timed by the same clock and at the same place; nothing is asked of them.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local proc = require("spec.bench.proc")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local M = {}

local PATIENCE, STALL = 3600, 60 -- seconds: in all, and without a job's end
local TERMINAL = { SUCCEEDED = true, FAILED = true, REJECTED = true }
M.MODULES = "build/conformance/node_modules" -- of node
M.DOCUMENT = '{"operation":"bench","text":"hello"}'

local rig = {}
rig.__index = rig

---@param options? { conf: string? }  more lines for mosquitto.conf
function M.start(options)
  local self = setmetatable({ things = 0, agents = {}, under = {} }, rig)
  self.world = worlds.start({ plain = true, log_type = "information",
    conf = options and options.conf })
  self.broker = self.world.broker
  return self
end

--- Everything that it has started ends, also what a bench that broke has left.
function rig:stop()
  local left = {}
  for one in pairs(self.agents) do
    left[#left + 1] = one
  end
  for _, one in ipairs(left) do
    one.stop()
  end
  self.world:stop()
end
rig.__close = rig.stop

--- A name that no thing had.
function rig:new_thing()
  self.things = self.things + 1
  return ("bench-%d"):format(self.things)
end

---@param transport "tcp"|"tls"
function rig:port(transport)
  return transport == "tls" and self.broker.port or self.broker.plain_port
end

---------------------------------------------------------------- agents

--- From now on agents run under another program, such as valgrind.
---@param words string[]  what stands before an agent's own command; none: as they are
function rig:put_under(words)
  self.under = words
  self.program = words[1] and self.world:path("hob-run") or nil
  if self.program then
    assert(fs.write(self.program, ("#!/bin/sh\nexec %s '%s' run --config \"$1\"\n"):format(
      table.concat(words, " "), self:hob()), { mode = tonumber("755", 8) }))
  end
end

--- Any program; its lines are in `said`.
---@param words table  as for hob.exec
function rig:agent(words)
  local said = {}
  table.move(words, 1, #words, #self.under + 1)
  table.move(self.under, 1, #self.under, 1, words)
  words.on_line = function(line)
    said[#said + 1] = line
  end
  local process = assert(exec.spawn(words))
  local one = {
    said = said,
    pid = function() return process:pid() end,
    ended = function() return process:wait(0) ~= nil end,
  }
  one.stop = function()
    self.agents[one] = nil
    process:kill("TERM")
    if not process:wait(30) then
      process:kill("KILL")
    end
  end
  self.agents[one] = true
  return one
end

function rig:hob() -- luacheck: ignore self
  return worlds.hob()
end

-- The client's certificate is one for all: the broker does not look at its name.
---@param mode "ops"|"jobs"
---@param transport "tcp"|"tls"
---@param ... string  more words
function rig:floor(thing, mode, transport, ...)
  local words = { self:hob():match("^(.*)/[^/]*$") .. "/hob_floor", self.broker.host,
    tostring(self:port(transport)), thing, mode }
  if transport == "tls" then
    local client = self.broker.client
    table.move({ "--tls", self.broker.pki.ca, client.cert, client.key }, 1, 4, #words + 1, words)
  end
  local more = { ... }
  return self:agent(table.move(more, 1, #more, #words + 1, words))
end

--- The AWS IoT Device SDK v2 for JavaScript, by one of its two Jobs clients.
---@param mode "ops"|"jobs"
---@param client "v1"|"v2"
---@param transport "tcp"|"tls"
function rig:sdk(thing, mode, client, transport)
  local modules = M.MODULES
  assert(fs.stat(modules), modules .. " is missing: ./dev bench installs it")
  return self:agent({ "node", "spec/bench/sdk.js", json.encode({
    tcp_port = self.broker.plain_port, tls_port = self.broker.port, ca = self.broker.pki.ca,
    cert = self.broker.client.cert, key = self.broker.client.key,
  }), thing, mode, client, transport, env = {
    NODE_PATH = modules, LD_PRELOAD = self:hob():match("^(.*)/[^/]*$") .. "/modules/hob_nodelay.so",
  } })
end

--- The operations alone, by the module `iotjobs`.
function rig:ops(thing, transport)
  local client = self.broker.client
  return self:agent({ self:hob(), "lua", "spec/bench/ops_agent.lua", self.broker.host,
    tostring(self:port(transport)), thing,
    table.unpack(transport == "tls" and { self.broker.pki.ca, client.cert, client.key } or {}) })
end

--- `hob run`, with nothing in its way that another agent has not: its budget is off, and its log
--- goes to a file, which is in none of the directories that it watches.
---@param scripts table<string, string>
---@param more? table  of the configuration
---@param launch? boolean  false: gateway:launch() does, once its files are there
---@param program? string  in place of `hob run --config`
function rig:gateway(thing, scripts, transport, more, launch, program)
  local config = {
    tls = transport == "tls", port = self:port(transport), messages_per_minute = 0,
    log_level = "info", log_target = "../" .. thing .. ".log", backoff_base = 1, backoff_cap = 10,
    keep_alive = 60,
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  local one = self.world:gateway({ thing = thing, scripts = scripts, config = config,
    launch = launch, program = program or self.program })
  return {
    gateway = one, dir = one.dir,
    pid = function() return one.process:pid() end,
    ended = function() return not one.process or one.process:wait(0) ~= nil end,
    stop = function() one:stop() end,
  }
end

---------------------------------------------------------------- what is timed

---@param thing string
---@param count integer
---@param document? string
function rig:queue(thing, count, document)
  for _ = 1, count do
    self.jobs = (self.jobs or 0) + 1
    self.world:create("job-" .. self.jobs, document or M.DOCUMENT, thing)
  end
end

--- Calls fn(number) as the service has accepted the end of each job of a thing.
function rig:on_end(thing, fn)
  local prefix, count = "$aws/things/" .. thing .. "/jobs/", 0
  self.world:after(function(topic, request, out)
    if TERMINAL[request.status] and topic:sub(1, #prefix) == prefix
        and out[1] and out[1].topic:find("/accepted$") then
      count = count + 1
      fn(count)
    end
  end)
end

local function intervals_ms(times)
  local out = {}
  for i = 2, #times do
    out[i - 1] = (times[i] - times[i - 1]) * 1000
  end
  return out
end

-- Wait until fn() is true, as long as count() grows and the agent lives; how fast is not judged.
local function wait_moving(one, fn, count, what)
  local seen, moved, asked = count(), time.mono(), time.mono()
  local why
  wait_until(function()
    local now = time.mono()
    if count() ~= seen then
      seen, moved = count(), now
    end
    if now - asked > 1 then
      asked = now
      why = one.ended() and "the agent has ended" or nil
    end
    why = why or now - moved > STALL and ("none for %g s"):format(STALL) or nil
    return fn() or why
  end, PATIENCE, what)
  assert(fn(), why and ("%s while waiting for %s"):format(why, what()))
end

local function last_lines(one)
  local lines = one.said or one.gateway.lines
  return table.concat(lines, "\n", math.max(1, #lines - 20))
end

--- Queue jobs for a new thing, start its agent, and time it from the end of the first tenth of them
--- to the end of the last.
---@param count integer
---@param start fun(thing: string): table
---@param document? string
function rig:drain(count, start, document)
  local thing, times = self:new_thing(), {}
  self:queue(thing, count, document)
  local skipped, cpu, last_cpu, one = count // 10, nil, nil, nil
  self:on_end(thing, function(number)
    if number == skipped then
      cpu = proc.cpu_s(one.pid())
    elseif number == count then
      last_cpu = proc.cpu_s(one.pid())
    end
    if number >= skipped then
      times[#times + 1] = time.mono()
    end
  end)
  one = start(thing)
  wait_moving(one, function() return last_cpu end, function() return #times end, function()
    return ("the end of %d jobs; %d after the first %d have ended; the agent's last lines:\n%s")
      :format(count, #times, skipped, last_lines(one))
  end)
  self.world:after(nil)
  one.stop()
  local each = intervals_ms(times)
  return {
    jobs_s = #each / (times[#times] - times[1]), cpu_us = (last_cpu - cpu) / #each * 1e6,
    p50_ms = rounds.median(each), p99_ms = rounds.quantile(each, 0.99),
    max_ms = math.max(table.unpack(each)),
  }
end

--- An agent that is drained, for rounds.alternate.
---@param name string
---@param count integer
---@param start fun(thing: string): table
---@return rounds.candidate
function rig:candidate(name, count, start)
  return { name = name, run = function() return self:drain(count, start) end }
end

return M
