-- What many things in one process cost: `./dev bench things [N...] [--json]`, or
--
--     build/release/hob lua spec/bench/things_bench.lua [N...]     (100 300 1000)
--
-- For each N: a broker with mutual TLS, a certificate (EC P-256) for each thing, the local Jobs
-- service in this process, and one `hob run` for N things. Memory is what the kernel says is
-- resident (VmRSS of /proc/PID/status), less that of the same process without any thing; it is read
-- when all are connected and nothing moves, and again after a job for each. Everything shares this
-- machine's processors. Exit status 1 if a job was lost, or a thing takes more than the goal.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local tables = require("hob.cli.table")
local things = require("spec.support.things")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local GOAL_KB = 60 -- of a connected thing
local PATIENCE = 600
local TICKS = 100 -- of /proc/PID/stat, a second

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

---------------------------------------------------------------- what is read

local function status(pid, name)
  return tonumber(fs.read(("/proc/%d/status"):format(pid)):match(name .. ":%s+(%d+)"))
end

local function descriptors(pid)
  local count = -1 -- the one that looks
  for _ in require("lfs").dir(("/proc/%d/fd"):format(pid)) do
    count = count + 1
  end
  return count - 2
end

local function cpu_seconds(pid)
  local fields = {}
  for field in fs.read(("/proc/%d/stat"):format(pid)):match("^.*%) (.*)$"):gmatch("%S+") do
    fields[#fields + 1] = field
  end
  return (fields[12] + fields[13]) / TICKS
end

---------------------------------------------------------------- one N

local function wait_for(what, fn)
  return wait_until(fn, PATIENCE, what)
end

local function gateway_of(world, list)
  return world:gateway({ scripts = { ["say.lua"] = HANDLER }, config = {
    things = { lua = things.config(list) }, log_level = "info", keep_alive = 600,
    connect_timeout = 120, request_timeout = 120, poll = 86400, connect_rate = 0,
    backoff_base = 1, backoff_cap = 10 } })
end

-- Of a process that has no thing at all.
local function base_kb(world)
  local gateway = gateway_of(world, {})
  gateway:wait_event("hob.started")
  local kb = status(gateway.process:pid(), "VmRSS")
  gateway:stop()
  return kb
end

local function ended(world, list, job)
  local count = 0
  for _, thing in ipairs(list) do
    local found = world:describe(job, thing.name)
    count = count + (found and found.status == "SUCCEEDED" and 1 or 0)
  end
  return count
end

local function measure(pairs_of, count)
  local world = worlds.start({ pki = pairs_of.pki, log_type = "information",
    conf = "max_connections -1" })
  local list = table.move(pairs_of.list, 1, count, 1, {})
  local base = base_kb(world)
  local gateway = gateway_of(world, list)
  local pid = gateway.process:pid()
  local began = time.mono()
  gateway:wait_event("hob.started")
  local started = time.mono()
  wait_for("all connected", function()
    return gateway:count("jobs.subscribed") >= count
  end)
  local connected = time.mono()
  local kb, cpu = status(pid, "VmRSS"), cpu_seconds(pid)
  local fds = descriptors(pid)
  local job_began = time.mono()
  world:create_for("say", json.encode({ operation = "say", text = "hello" }), list)
  wait_for("all jobs", function()
    return gateway:count("job.finished") >= count and ended(world, list, "say") == count
  end)
  local done = time.mono()
  local row = {
    things = count, base_kb = base, connected_kb = kb, kb_per_thing = (kb - base) / count,
    after_jobs_kb = status(pid, "VmRSS"),
    after_jobs_kb_per_thing = (status(pid, "VmRSS") - base) / count,
    peak_kb = status(pid, "VmHWM"), descriptors = fds, start_s = started - began,
    connect_s = connected - started, connect_cpu_s = cpu, jobs_s = done - job_began,
    jobs_cpu_s = cpu_seconds(pid) - cpu, lost = count - ended(world, list, "say"),
    reconnects = gateway:count("conn.lost") + gateway:count("conn.refused"),
  }
  gateway:stop()
  world:stop()
  return row
end

---------------------------------------------------------------- the whole

local counts, as_json = {}, false
for _, word in ipairs(arg) do
  if word == "--json" then
    as_json = true
  else
    counts[#counts + 1] = assert(tonumber(word), "expected how many things, or --json")
  end
end
if #counts == 0 then
  counts = { 100, 300, 1000 }
end

io.stderr:write(("making %d certificates ...\n"):format(math.max(table.unpack(counts))))
local made = things.make(math.max(table.unpack(counts)))
local rows, failed = {}, false
for i, count in ipairs(counts) do
  io.stderr:write(("%d things ...\n"):format(count))
  rows[i] = measure(made, count)
  failed = failed or rows[i].lost > 0 or rows[i].kb_per_thing > GOAL_KB
end
made.pki:remove()

if as_json then
  print(json.encode({ goal_kb = GOAL_KB, processors = tonumber((exec.check({ "nproc" }).stdout)),
    rows = rows }))
else
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = { row.things, ("%.1f"):format(row.kb_per_thing),
      ("%.1f"):format(row.after_jobs_kb_per_thing), ("%.1f"):format(row.peak_kb / 1024),
      ("%.1f"):format(row.descriptors / row.things), ("%.1f"):format(row.connect_s),
      ("%.1f"):format(row.connect_cpu_s), ("%.1f"):format(row.jobs_s),
      ("%.1f"):format(row.jobs_cpu_s), row.lost, row.reconnects }
  end
  tables.print({ "things", "KB each", "after jobs", "peak MB", "fds each", "connect s", "cpu s",
    "jobs s", "cpu s", "lost", "again" }, lines)
end
os.exit(failed and 1 or 0)
