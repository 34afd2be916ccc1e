-- The speed of the local Jobs service: `./dev bench service` for the table of all benches, or
--
--     build/release/hob lua spec/bench/service_bench.lua [--rate N] [--seconds N] [--things N]
--
-- mosquitto, `hob service` and a load generator (spec/bench/load.c) on this machine; the generator
-- asks for all things at a fixed rate, and counts latency from the time at which each request was
-- due. Exit status 1 if a request had no good answer, the rate was missed, or p99 is too high.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local json = require("hob.json")
local options = require("hob.cli.options")
local this_process = require("hob.process")
local services = require("spec.support.jobs_service")
local tables = require("hob.cli.table")

-- What a run has started ends with it, also when it is broken off.
for _, signal in ipairs({ "INT", "TERM", "HUP" }) do
  this_process.on_signal(signal, function() this_process.exit(130) end)
end

local P99_MS = 20
local CYCLE = 10 -- requests for one job, see load.c
local TICKS = 100 -- of /proc/PID/stat, a second

local USAGE = [[
usage: hob lua spec/bench/service_bench.lua [flags]

  --rate N         requests a second (5000)
  --seconds N      for so long (10)
  --things N       of so many things (1000)
  --connections N  that share so many connections (4)
  --flag TEXT      a flag for `hob service`, may be given more than once
  --json           the figures for programs
]]

--- Of a process; with `children` of those of its children that have ended.
local function cpu_seconds(pid, children)
  local file = assert(io.open(("/proc/%s/stat"):format(pid), "r"))
  local fields = {}
  for field in file:read("a"):match("^.*%) (.*)$"):gmatch("%S+") do
    fields[#fields + 1] = field
  end
  file:close()
  local first = children and 14 or 12
  return (fields[first] + fields[first + 1]) / TICKS
end

local function memory_mb(pid)
  local file = assert(io.open(("/proc/%d/status"):format(pid), "r"))
  local kb = file:read("a"):match("VmHWM:%s+(%d+)")
  file:close()
  return kb // 1024
end

local function create_jobs(service, given)
  local targets = {}
  for i = 1, given.things do
    targets[i] = ("arn:aws:iot:us-east-1:123456789012:thing/bench-%d"):format(i - 1)
  end
  local rounds = given.rate * given.seconds / given.things
  for i = 0, math.ceil(rounds / CYCLE) + 1 do
    local answer, status = service:call("PUT", "/jobs/bench-" .. i, {
      targets = targets, document = '{"operation":"bench","args":{"round":' .. i .. "}}",
    })
    assert(status == 200, answer.message)
  end
end

local function load(broker, given, on_start)
  local generator = services.BINARY:match("^(.*)/[^/]*$") .. "/hob_load"
  local lines = {}
  local process = assert(exec.spawn{ generator, broker.host, tostring(broker.port),
    tostring(given.things), tostring(given.connections), tostring(given.rate),
    tostring(given.seconds),
    on_line = function(line, is_err)
      if is_err then
        io.stderr:write(line, "\n")
      else
        table.insert(lines, line)
      end
    end })
  local usage = on_start(process:pid())
  local result = assert(process:wait(given.seconds * 3 + 60))
  assert(result.code == 0, "the load generator failed")
  return assert(json.decode(lines[1])), usage
end

--- What this whole machine has worked, in seconds of all its processors, and what its host took.
---@return number worked, number stolen
local function cpu_of_machine()
  local file = assert(io.open("/proc/stat", "r"))
  local user, nice, system, _, _, irq, softirq, stolen = file:read("l"):match(
    "^cpu +(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)")
  file:close()
  return (user + nice + system + irq + softirq) / TICKS, stolen / TICKS
end

local function measure(broker, service, given)
  local pids = { broker = broker.process:pid(), service = service.process:pid() }
  local before, of_load, machine, stolen = {}, cpu_seconds("self", true), cpu_of_machine()
  local result = load(broker, given, function()
    for name, pid in pairs(pids) do
      before[name] = cpu_seconds(pid)
    end
  end)
  result.cpu = { load = cpu_seconds("self", true) - of_load }
  local machine_now, stolen_now = cpu_of_machine()
  result.cpu.others = machine_now - machine - result.cpu.load
  result.cpu.stolen = stolen_now - stolen
  for name, pid in pairs(pids) do
    result.cpu[name] = cpu_seconds(pid) - before[name]
    result.cpu.others = math.max(0, result.cpu.others - result.cpu[name])
  end
  result.memory = memory_mb(pids.service)
  return result
end

local function verdict(result, given)
  local rate = result.answered / result.seconds
  local bad = {}
  if result.answered < result.requests or result.rejected > 0 or result.unknown > 0 then
    bad[#bad + 1] = ("%d without answer, %d rejected, %d twice"):format(
      result.requests - result.answered, result.rejected, result.unknown)
  end
  if rate < given.rate * 0.99 then
    bad[#bad + 1] = ("the rate was missed: %.0f of %d"):format(rate, given.rate)
  end
  if result.p99_ms >= P99_MS then
    bad[#bad + 1] = ("p99 is %.1f ms, not under %d"):format(result.p99_ms, P99_MS)
  end
  return bad
end

local function tell(result, given)
  local function percent(name)
    return ("%.0f %%, %.0f us a request"):format(result.cpu[name] / result.seconds * 100,
      result.cpu[name] / result.answered * 1e6)
  end
  tables.print({ "WHAT", "MEASURED", "WANTED" }, {
    { "requests a second", ("%.0f"):format(result.answered / result.seconds),
      tostring(given.rate) },
    { "answers", tostring(result.answered), tostring(result.requests) },
    { "notifications", tostring(result.notifications), "" },
    { "p50", ("%.2f ms"):format(result.p50_ms), "" },
    { "p99", ("%.2f ms"):format(result.p99_ms), ("< %d ms"):format(P99_MS) },
    { "slowest", ("%.2f ms"):format(result.max_ms), "" },
    { "CPU hob service", percent("service"), "" },
    { "CPU mosquitto", percent("broker"), "" },
    { "CPU load generator", percent("load"), "" },
    { "CPU of what else runs here", percent("others"), "" },
    { "CPU taken by a virtual machine's host", percent("stolen"), "" },
    { "memory hob service", result.memory .. " MB", "" },
  })
end

local function main()
  local given, code = options.parse(arg, {
    command = "service_bench.lua", usage = USAGE, flags = {
      rate = { value = "N", low = 1, high = 100000 },
      seconds = { value = "N", low = 1, high = 600 },
      things = { value = "N", low = 1, high = 3000 },
      connections = { value = "N", low = 1, high = 32 },
      flag = { value = "TEXT", many = true }, json = {},
    },
  })
  if not given then
    return code
  end
  given.rate, given.seconds = given.rate or 5000, given.seconds or 10
  given.things, given.connections = given.things or 1000, given.connections or 4
  local broker = brokers.start{ log_type = "information", conf = "max_inflight_messages 1000" }
  local service = services.start{ broker = broker,
    flags = { "--log-level", "warn", table.unpack(given.flag or {}) } }
  create_jobs(service, given)
  service:peer("bench-after"):settle() -- what the new jobs made it say has gone out
  local result = measure(broker, service, given)
  service:stop()
  broker:stop()
  if given.json then
    print(json.encode(result))
    return 0
  end
  tell(result, given)
  local bad = verdict(result, given)
  for _, line in ipairs(bad) do
    io.stderr:write("service_bench: ", line, "\n")
  end
  return bad[1] and 1 or 0
end

os.exit(main())
