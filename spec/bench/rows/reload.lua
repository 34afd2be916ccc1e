-- A handler is saved again and again while jobs run: how long until the new version is live, and
-- whether a job is lost, run twice or fails.
local fs = require("hob.fs")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "reload", what = "save -> live, under load" }

local PATIENCE, AHEAD = 60, 10 -- seconds; jobs that wait at any time

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { version = job:step("say", function() return "%d" end) }
end }]]

-- A gateway whose log comes here at once: what is live says so in it.
local function start(rig, thing)
  return rig:gateway(thing, { ["bench.lua"] = HANDLER:format(0) }, "tls",
    { log_target = "stderr" }).gateway
end

local function live_ms(gateway, number)
  local live
  gateway.on_event = function(event)
    live = live or event.event == "handler.reloaded" and time.mono()
  end
  assert(fs.write(gateway.dir .. "/scripts/bench.lua", HANDLER:format(number)))
  local saved = time.mono()
  wait_until(function() return live end, PATIENCE, function()
    return ("version %d to be live; the gateway's last lines:\n%s"):format(number,
      table.concat(gateway.lines, "\n", math.max(1, #gateway.lines - 10)))
  end)
  return (live - saved) * 1000
end

-- Jobs never run out while it is measured.
local function keep_busy(rig, thing)
  local load = { created = 0, ended = 0, on = true }
  local function fill()
    if load.on and load.created - load.ended < AHEAD then
      load.created = load.created + AHEAD
      rig:queue(thing, AHEAD)
    end
  end
  rig:on_end(thing, function(number)
    load.ended = number
    time.after(0, fill)
  end)
  fill()
  return load
end

local function wrong(rig, thing, count)
  local other, versions, twice = 0, {}, 0
  for i = rig.jobs - count + 1, rig.jobs do
    local execution = rig.world:describe("job-" .. i, thing)
    if execution.status ~= "SUCCEEDED" then
      other = other + 1
    else
      versions[execution.details.version] = true
    end
    twice = twice + (rig.world:terminal_updates("job-" .. i) > 1 and 1 or 0)
  end
  local kinds = 0
  for _ in pairs(versions) do
    kinds = kinds + 1
  end
  return other, twice, kinds
end

function M.run(bench)
  local rig <close> = rigs.start()
  local reloads, thing = bench.quick and 20 or 100, rig:new_thing()
  local gateway = start(rig, thing)
  gateway:wait_event("jobs.subscribed")
  local load, times = keep_busy(rig, thing), {}
  for number = 1, reloads do
    times[number] = live_ms(gateway, number)
  end
  load.on = false
  wait_until(function() return load.ended >= load.created end, PATIENCE, function()
    return ("the end of %d jobs; %d have ended"):format(load.created, load.ended)
  end)
  local other, twice, versions = wrong(rig, thing, load.created)
  gateway:stop()
  bench:figure({ what = "save -> live, median", value = rounds.median(times), unit = "ms",
    at_most = 300, low = math.min(table.unpack(times)), high = math.max(table.unpack(times)) })
  bench:figure({ what = ("jobs lost or failed over %d reloads"):format(reloads), value = other,
    unit = "", at_most = 0, hob = load.created - other, peer = load.created, versus = "created" })
  bench:figure({ what = "jobs told twice", value = twice, unit = "", at_most = 0 })
  bench:figure({ what = "versions that jobs ran", value = versions, unit = "" })
end

return M
