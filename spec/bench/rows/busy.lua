-- How long the event loop is delayed while ten handlers compute without pause: one of them has a
-- timer beside its loop, set to a millisecond again and again. (More than ten at once would hide
-- from Hob: the service lists ten.) By two clocks: that on the wall, which also has what other
-- programs of the machine took, and the process's own, which has not: how much it computed from the
-- moment at which the timer was due. Beside both, the same timer when nobody computes.
local fs = require("hob.fs")
local json = require("hob.json")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "busy", what = "the event loop beside ten handlers that compute" }

local OTHERS, SLEEP = 9, 0.001

local SCRIPTS = {
  ["spin.lua"] = [[
return { api = 1, cpu = 0, timeout = 600, run = function()
  local n = 0
  while true do n = n + n % 7 end
end }]],
  ["watch.lua"] = [[
local time, fs, json = require("hob.time"), require("hob.fs"), require("hob.json")
return { api = 1, cpu = 0, timeout = 600, args = { seconds = "number", sleep = "number",
    to = "string", computes = "boolean" },
  run = function(job, args)
    local late, own, ends = {}, {}, time.mono() + args.seconds
    local function watch()
      local at, cpu = time.mono(), os.clock()
      time.after(args.sleep, function()
        late[#late + 1] = time.mono() - at - args.sleep
        own[#own + 1] = math.max(0, os.clock() - cpu - args.sleep)
        watch()
      end)
    end
    watch()
    if not args.computes then
      job:sleep(args.seconds)
    end
    local n = 0
    while time.mono() < ends do n = n + n % 7 end
    assert(fs.write(args.to, json.encode({ late = late, own = own })))
  end }]],
}

local function watch(rig, thing, seconds, spinners)
  local to = rig.world:path("late-" .. thing)
  for _ = 1, spinners do
    rig:queue(thing, 1, json.encode({ operation = "spin" }))
  end
  local one = rig:gateway(thing, SCRIPTS, "tls", {
    max_concurrent_jobs = OTHERS + 1, log_target = "stderr" })
  wait_until(function() return one.gateway:count("job.started") == spinners end, 60, "spinners")
  rig:queue(thing, 1, json.encode({ operation = "watch", seconds = seconds, sleep = SLEEP,
    to = to, computes = spinners > 0 }))
  wait_until(function() return fs.stat(to) end, 60 + seconds, "the delays of " .. thing)
  one.gateway:kill()
  local found = json.decode(assert(fs.read(to)))
  local function ms(list, part)
    return rounds.quantile(list, part) * 1000
  end
  return { p99_ms = ms(found.late, 0.99), max_ms = ms(found.late, 1), p50_ms = ms(found.late, 0.5),
    own_p99_ms = ms(found.own, 0.99), own_max_ms = ms(found.own, 1) }
end

function M.run(bench)
  local rig <close> = rigs.start()
  local seconds = bench.quick and 1 or 3
  local results = rounds.alternate(bench.rounds, {
    { name = "busy", run = function()
      return watch(rig, rig:new_thing(), seconds, OTHERS)
    end },
    { name = "alone", run = function()
      return watch(rig, rig:new_thing(), seconds, 0)
    end },
  })
  local function tell(what, key, goal)
    local column = rounds.column(results.busy, key)
    bench:figure({ what = what, value = rounds.median(column), unit = "ms",
      low = math.min(table.unpack(column)), high = math.max(table.unpack(column)),
      hob = rounds.median(column), peer = rounds.median(rounds.column(results.alone, key)),
      versus = "nobody computes", at_most = goal })
  end
  tell("p99 of the delay that is Hob's own", "own_p99_ms", 10)
  tell("the longest of these", "own_max_ms")
  tell("p99 by the clock on the wall", "p99_ms")
  tell("its median", "p50_ms")
end

return M
