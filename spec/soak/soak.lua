-- soak.lua - `./dev soak`: a gateway works off jobs of every kind over TLS while its broker is
-- killed and started again every few seconds. At the end both sides must have the same final state
-- of every job, and the gateway as much memory and as many descriptors as early on.
--
--     hob lua spec/soak/soak.lua [SECONDS]          (default 600)
--     HOB_SOAK_SEED=N                               the same choices again
--
-- Memory is read when everything is told and nothing runs: once after a fifth of the time, which is
-- when caches have filled, and once at the end.

local root = arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or "."
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local fs = require("hob.fs")
local jobs = require("spec.soak.jobs")
local process = require("hob.process")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

require("hob.log").configure({ level = "error" })

local SECONDS = tonumber(arg[1] or 600)
if not SECONDS or SECONDS < 10 then
  io.stderr:write("soak: expected how many seconds to run, at least 10\n")
  os.exit(2)
end
local seed = tonumber(os.getenv("HOB_SOAK_SEED")) or math.floor(time.now())

local MEMORY_MAX = 0.05        -- how much more or less at the end, as a share
local IN_LINE = 6              -- jobs that wait or run at any moment
local UP_S, DOWN_S = { 2, 6 }, { 0.1, 1.5 } -- how long the broker is up and down
local WARM_UP = 1000           -- short jobs before the clock starts
local PATIENCE = 120           -- for all that was begun to be told

local function say(...)
  io.stdout:write(string.format(...), "\n")
  io.stdout:flush()
end

local function between(range)
  return range[1] + math.random() * (range[2] - range[1])
end

---------------------------------------------------------------- the gateway's memory

local function status_kb(pid, name)
  local text = fs.read(("/proc/%d/status"):format(pid)) or ""
  return tonumber(text:match(name .. ":%s+(%d+) kB")) or 0
end

local function sample(gateway)
  local pid = gateway.process:pid()
  local names = assert(fs.list(("/proc/%d/fd"):format(pid)))
  return { resident = status_kb(pid, "VmRSS"), peak = status_kb(pid, "VmHWM"), open = #names }
end

---------------------------------------------------------------- a broker that flaps

local function flap(world, state)
  while not state.over do
    time.sleep(between(UP_S))
    if not state.over and not state.calm then
      world.broker:kill()
      time.sleep(between(DOWN_S))
      world.broker:start_again()
      state.flaps = state.flaps + 1
    end
  end
  state.flapping = false
end

---------------------------------------------------------------- the stream of jobs

-- How a job stands here, by the gateway's log; the store forgets old ones.
local function watch(gateway, state)
  gateway.on_event = function(event)
    gateway.events, gateway.lines = {}, {}
    local job = event.job and state.jobs[event.job]
    if not job then
      return
    end
    if event.event == "job.started" then
      job.started = true
    elseif event.event == "job.finished" then
      job.ours = event.code
      job.ends = (job.ends or 0) + 1
    elseif event.event == "job.reported" or event.event == "job.report_refused" then
      job.told = true
    end
  end
end

local OPEN = { QUEUED = true, IN_PROGRESS = true }

local function is_over(world, job)
  local theirs = world:describe(job.id)
  return theirs and not OPEN[theirs.status] and job.ours ~= nil
end

local function create(world, state, kind)
  state.created = state.created + 1
  state.in_line = state.in_line + 1
  kind = kind or jobs.KINDS[math.random(#jobs.KINDS)]
  local job = { id = ("soak-%d"):format(state.created), kind = kind }
  state.jobs[job.id], state.open[job.id] = job, job
  world:create(job.id, ('{"operation":"%s"}'):format(kind.name))
end

-- Cancel what is to be cancelled, count what has ended.
local function tend(world, state)
  for id, job in pairs(state.open) do
    if job.kind.cancel and job.started and not job.cancelled then
      job.cancelled = true
      world:control("cancel_job", id, {}, true, time.now())
    end
    if is_over(world, job) then
      job.theirs = world:describe(id).status
      state.open[id], state.in_line = nil, state.in_line - 1
      state.ended = state.ended + 1
    end
  end
end

local function work(world, state, seconds)
  local deadline = time.mono() + seconds
  while time.mono() < deadline do
    tend(world, state)
    while state.in_line < IN_LINE do
      create(world, state)
    end
    time.sleep(0.02)
  end
end

local function wait_ended(world, state)
  wait_until(function()
    tend(world, state)
    return state.in_line == 0
  end, PATIENCE, function()
    return ("the end of %d jobs; %s"):format(state.in_line, world:explain())
  end)
end

-- As on a gateway that has been in use: the page cache of the store is full.
local function fill_caches(world, state)
  state.calm = true
  for _ = 1, WARM_UP do
    while state.in_line >= IN_LINE do
      tend(world, state)
      time.sleep(0.005)
    end
    create(world, state, jobs.LAST[#jobs.LAST])
  end
  wait_ended(world, state)
  state.calm = false
end

-- Until all that was begun has ended and was told, with the broker up. The allocator gives memory
-- back when a large job ends: what lies about depends on what came since. So each sample is taken
-- after the same jobs, one after the other.
local function settle(world, gateway, state)
  state.calm = true
  wait_ended(world, state)
  for _, kind in ipairs(jobs.LAST) do
    create(world, state, kind)
    wait_ended(world, state)
  end
  time.sleep(1) -- what is kept for a moment
  local now = sample(gateway)
  state.calm = false
  return now
end

---------------------------------------------------------------- what it came to

local function judge(state, early, late, exit_code)
  local wrong = {}
  for id, job in pairs(state.jobs) do
    if not job.kind.ends[job.theirs] then
      wrong[#wrong + 1] = ("%s (%s) is %s in the service"):format(id, job.kind.name, job.theirs)
    end
    if job.ours ~= job.theirs then
      wrong[#wrong + 1] = ("%s (%s) is %s here and %s in the service"):format(id, job.kind.name,
        job.ours, job.theirs)
    end
    if job.ends ~= 1 then
      wrong[#wrong + 1] = ("%s (%s) ended %s times"):format(id, job.kind.name, job.ends)
    end
  end
  local share = (late.resident - early.resident) / early.resident
  if math.abs(share) >= MEMORY_MAX then
    wrong[#wrong + 1] = ("resident memory changed by %.1f %%"):format(share * 100)
  end
  if early.open ~= late.open then
    wrong[#wrong + 1] = ("descriptors: %d, then %d"):format(early.open, late.open)
  end
  if exit_code ~= 0 then
    wrong[#wrong + 1] = ("the gateway ended with %d"):format(exit_code)
  end
  return wrong, share
end

local function show(state, early, late, share)
  local counts = {}
  for _, job in pairs(state.jobs) do
    local key = ("%-10s %s"):format(job.kind.name, job.theirs)
    counts[key] = (counts[key] or 0) + 1
  end
  local keys = {}
  for key in pairs(counts) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  say("\n  job        ended as      count")
  for _, key in ipairs(keys) do
    local kind, status = key:match("^(%S+)%s+(%S+)$")
    say("  %-10s %-12s %6d", kind, status, counts[key])
  end
  say("\n                        after 1/5     at the end")
  say("  resident memory, KB   %9d %14d   %+.1f %%", early.resident, late.resident, share * 100)
  say("  its peak, KB          %9d %14d", early.peak, late.peak)
  say("  descriptors           %9d %14d", early.open, late.open)
  say("  jobs ended            %9d %14d", early.ended, state.ended)
  say("  broker killed         %9d %14d\n", early.flaps, state.flaps)
end

local function main()
  math.randomseed(seed)
  say("soak: %d s, seed %d", SECONDS, seed)
  local world = worlds.start()
  local gateway = world:gateway({ scripts = jobs.SCRIPTS, launch = false,
    config = { log_level = "info", max_concurrent_jobs = 2, request_timeout = 2, poll = 5,
      messages_per_minute = 6000 } })
  local state = { jobs = {}, open = {}, in_line = 0, created = 0, ended = 0, flaps = 0,
    flapping = true }
  watch(gateway, state)
  gateway:launch()
  fill_caches(world, state)
  time.after(0, function() flap(world, state) end)
  work(world, state, SECONDS / 5)
  local early = settle(world, gateway, state)
  early.ended, early.flaps = state.ended, state.flaps
  work(world, state, SECONDS * 4 / 5)
  local late = settle(world, gateway, state)
  state.over = true
  wait_until(function() return not state.flapping end, PATIENCE, "the broker's last rest")
  local exit_code = gateway:stop()
  local wrong, share = judge(state, early, late, exit_code)
  show(state, early, late, share)
  world:stop()
  for i = 1, math.min(#wrong, 50) do
    say("soak: %s", wrong[i])
  end
  say("soak: %s", #wrong == 0 and "all well" or #wrong .. " things are wrong")
  process.exit(#wrong == 0 and 0 or 1)
end

main()
