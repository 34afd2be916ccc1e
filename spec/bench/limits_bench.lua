-- How long the event loop is delayed while a job misbehaves, by the clock on the wall:
--
--     ./dev bench limits [SECONDS]
--
-- One gateway; a job that never ends (each kind for SECONDS, 3) beside a job that asks for the
-- time every millisecond, in the gateway's own process, and notes how late it was asked. Keep-alive
-- is 5 s, so that the connection breaks if it is not told in time. Prints each kind's delays; exit
-- status 1 if a p99 is 10 ms or more, or the connection was lost. Of "patterns" each call takes its
-- time, below the limit of a second, and nothing can interrupt it: shown, not judged.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local fs = require("hob.fs")
local json = require("hob.json")
local process = require("hob.process")
local tables = require("hob.cli.table")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

-- What a run has started ends with it, also when it is broken off.
for _, signal in ipairs({ "INT", "TERM", "HUP" }) do
  process.on_signal(signal, function() process.exit(130) end)
end

local P99_MS = 10
local seconds = tonumber(arg[1]) or 3

local WAYS = {
  { "nothing", "job:sleep(3600)" },
  { "loop", "while true do end" },
  { "pcall", "while true do pcall(error) end" },
  { "coroutine", "coroutine.wrap(function() while true do end end)()" },
  { "recursion", "local function deep() return 1 + deep() end while true do pcall(deep) end" },
  { "catches", [[local function spin() while true do pcall(error) end end
    while true do pcall(xpcall, coroutine.wrap(function() pcall(spin) end), spin) end]] },
  { "garbage", "while true do local t = {} for i = 1, 100 do t[i] = { i } end end" },
  { "allocates", "local t = {} while true do t[#t + 1] = { #t } end" },
  { "texts", "while true do local s = ('x'):rep(1 << 20) .. 'y' end" },
  { "patterns", "while true do pcall(string.find, ('a'):rep(400), 'a-a-b') end", true },
}

local function scripts()
  local lines = {}
  for _, way in ipairs(WAYS) do
    lines[#lines + 1] = ("ways.%s = function(job) %s end"):format(way[1], way[2])
  end
  return {
    ["breach.lua"] = ("local ways = {}\n%s\n"):format(table.concat(lines, "\n")) .. [[
      return { api = 1, cpu = 0, args = { way = "string" },
        run = function(job, args) ways[args.way](job) end }]],
    ["watch.lua"] = [[
      local time, fs = require("hob.time"), require("hob.fs")
      return { api = 1, cpu = 0, args = { seconds = "number", to = "string" },
        run = function(job, args)
          local from, before, late = time.mono(), time.mono(), {}
          while before - from < args.seconds do
            job:sleep(0.001)
            local now = time.mono()
            late[#late + 1] = ("%.3f"):format((now - before - 0.001) * 1000)
            before = now
          end
          assert(fs.write(args.to, table.concat(late, "\n")))
        end }]],
  }
end

local function percentile(sorted, share)
  return sorted[math.max(1, math.ceil(#sorted * share))]
end

local function delays(path)
  local late = {}
  for number in assert(fs.read(path)):gmatch("[^\n]+") do
    late[#late + 1] = tonumber(number)
  end
  table.sort(late)
  return late
end

local world = worlds.start({ tls = false })
local gateway = world:gateway({ scripts = scripts(),
  config = { max_concurrent_jobs = 2, keep_alive = 5, log_level = "info" } })
gateway:wait_event("jobs.subscribed")
local rows, failed = {}, false
for _, way in ipairs(WAYS) do
  local name, to = way[1], world:path("delays")
  world:create(name, json.encode({ operation = "breach", way = name }))
  gateway:wait_event("job.started", { job = name })
  world:create("watch-" .. name, json.encode({ operation = "watch", seconds = seconds, to = to }))
  wait_until(function() return fs.stat(to) end, 60 + seconds, name)
  pcall(world.control, world, "cancel_job_execution", "gw-1", name, {}, true, time.now())
  gateway:wait_event("job.finished", { job = name })
  local late = delays(to)
  local p99 = percentile(late, 0.99)
  failed = failed or (p99 >= P99_MS and not way[3])
  rows[#rows + 1] = { name, #late, ("%.1f"):format(percentile(late, 0.5)), ("%.1f"):format(p99),
    ("%.1f"):format(late[#late]) }
end
local lost = gateway:count("conn.lost")
gateway:stop()
world:stop()
tables.print({ "the job", "looks", "p50 ms", "p99 ms", "max ms" }, rows)
print(("connection lost: %d times"):format(lost))
os.exit((failed or lost > 0) and 1 or 0)
