-- An agent at rest: what it holds 5 s after it has connected over TLS, and how often it wakes. Hob
-- has its store open and ten handlers loaded.
--
-- Hob runs from a copy, of itself and of all libraries but the C library's: so none of its pages
-- are those of this process, and what counts as its own is what a machine has that runs no other
-- program with them.
local exec = require("hob.exec")
local fs = require("hob.fs")
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "idle", what = "memory and wake-ups at rest, connected over TLS" }

local PATIENCE, REST = 30, 5
local KEEP_ALIVE = 120 -- seconds: none falls into the time that is looked at
local MINIMAL = "build/minimal/root/usr/bin/hob"

local SCRIPTS = {}
for i = 1, 10 do
  SCRIPTS["bench-" .. i .. ".lua"] = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]
end

-- `lib` is two levels above the program; where its libraries lie is said by the wrapper.
local COPY = [[
mkdir -p "$1/a/b" && cp -L "$2" "$1/a/b/hob" && cp -r "$3" "$1/lib" || exit 1
ldd "$2" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | grep -v '/lib[cm]\.so' |
  xargs -I{} cp -L {} "$1/a/b"
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s run --config "$1"\n' "$1/a/b" "$1/a/b/hob" >"$1/run"
chmod 755 "$1/run"]]

local function copy(rig)
  local dir = rig.world:path("copy")
  exec.check({ "sh", "-c", COPY, "sh", dir, rig:hob(), "lib" })
  return dir .. "/run"
end

local function wrap(rig, program)
  local path = rig.world:path("run")
  assert(fs.write(path, ("#!/bin/sh\nexec '%s' run --config \"$1\"\n"):format(program),
    { mode = tonumber("755", 8) }))
  return path
end

-- All of them, each once it has asked the service for work, and what they hold after a rest.
local function settle(rig, starts)
  local agents, asked = {}, {}
  rig.world:before(function(topic) asked[topic:match("^%$aws/things/([^/]+)")] = true end)
  for _, start in ipairs(starts) do
    local thing = rig:new_thing()
    agents[start.name] = start.run(thing)
    wait_until(function() return asked[thing] end, PATIENCE, "the first question of " .. start.name)
  end
  rig.world:before(nil)
  time.sleep(REST)
  local held = {}
  for name, one in pairs(agents) do
    held[name] = proc.memory_kb(one.pid())
    held[name].peak = proc.status_kb(one.pid(), "VmHWM")
  end
  return agents, held
end

local function stop(agents)
  for _, one in pairs(agents) do
    one.stop()
  end
end

local function gateway(rig, program)
  return function(thing)
    return rig:gateway(thing, SCRIPTS, "tls", { keep_alive = KEEP_ALIVE }, nil, program)
  end
end

local function minimal(bench, rig)
  if not fs.stat(MINIMAL) then
    bench:say("no " .. MINIMAL .. ": packaging/minimal.sh builds it, then it is measured, too")
    return
  end
  local agents, held = settle(rig, { { name = "minimal", run = gateway(rig, wrap(rig, MINIMAL)) } })
  stop(agents)
  bench:figure({ what = "HOB_MINIMAL: resident", value = held.minimal.rss / 1024, unit = "MB",
    at_most = 6 })
  bench:figure({ what = "HOB_MINIMAL: its own", value = held.minimal.private / 1024, unit = "MB" })
end

local function wakes(bench, agents)
  local seconds, before, total = bench.quick and 10 or 30, {}, {}
  for name, one in pairs(agents) do
    before[name] = proc.wakes(one.pid())
  end
  time.sleep(seconds)
  for name, one in pairs(agents) do
    total[name] = (proc.wakes(one.pid()) - before[name]) / seconds * 10
  end
  bench:figure({ what = "wake-ups in 10 s beside the keep-alive", value = total.hob, unit = "times",
    hob = total.hob, peer = total.floor, versus = "floor", at_most = 1 })
end

function M.run(bench)
  local rig <close> = rigs.start()
  local results, program = { hob = {}, floor = {} }, copy(rig)
  local starts = {
    { name = "hob", run = gateway(rig, program) },
    { name = "floor", run = function(thing)
      return rig:floor(thing, "jobs", "tls", "--keep-alive", tostring(KEEP_ALIVE))
    end },
  }
  for round = 1, bench.rounds do
    local agents, held = settle(rig, starts)
    starts[1], starts[2] = starts[2], starts[1]
    for name, one in pairs(held) do
      results[name][round] = one
    end
    if round == bench.rounds then
      wakes(bench, agents)
    end
    stop(agents)
  end
  bench:ratio("resident kB", results, "hob", "floor", "rss", { at_most = 1.0 })
  bench:ratio("proportional share, kB", results, "hob", "floor", "pss", {})
  bench:ratio("resident kB, the most since its start", results, "hob", "floor", "peak", {})
  bench:figure({ what = "its own alone", value =
    rounds.median(rounds.column(results.hob, "private")) / 1024, unit = "MB", at_most = 4 })
  minimal(bench, rig)
end

return M
