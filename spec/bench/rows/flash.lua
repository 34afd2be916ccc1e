-- What a job costs in flash: bytes written and syncs below the data directory, as spec/support's
-- shim counts the calls. Counts do not depend on the machine: one round tells them.
local rigs = require("spec.bench.rig")
local shim = require("spec.support.shim")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "flash", what = "bytes and syncs of a short job, and of an idle day" }

local PATIENCE = 120
local POLLS_A_DAY = 96 -- at most: a safety poll each 15 to 30 minutes
local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local function count_polls(rig)
  local polls = { n = 0 }
  rig.world:before(function(topic)
    polls.n = polls.n + (topic:find("/jobs/$next/get", 1, true) and 1 or 0)
  end)
  return polls
end

local function work_off(rig, thing, count)
  local ended = 0
  rig:on_end(thing, function(number) ended = number end)
  rig:queue(thing, count)
  wait_until(function() return ended == count end, PATIENCE, count .. " jobs")
  rig.world:after(nil)
end

local function wait_polls(polls, count)
  local last = polls.n + count
  wait_until(function() return polls.n >= last end, PATIENCE, count .. " polls")
end

function M.run(bench)
  local rig <close> = rigs.start()
  local thing, polls = rig:new_thing(), count_polls(rig)
  local one = rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tcp", { poll = 1 }, false)
  local spy = shim.on(one.gateway)
  spy:arm()
  one.gateway:launch()
  work_off(rig, thing, 1)
  wait_polls(polls, 1)
  local bytes, syncs = spy:flash()
  -- As many as it takes for the log's own upkeep to be among them.
  local jobs = bench.quick and 100 or 500
  work_off(rig, thing, jobs)
  wait_polls(polls, 1) -- what rides on the next commit
  local bytes_after, syncs_after = spy:flash()
  local days = bench.quick and 0.1 or 1
  wait_polls(polls, POLLS_A_DAY * days)
  local bytes_idle, syncs_idle = spy:flash()
  one.stop()
  bench:figure({ what = "KB written per short job", value = (bytes_after - bytes) / jobs / 1024,
    unit = "KB", at_most = 64 })
  bench:figure({ what = "syncs per short job", value = (syncs_after - syncs) / jobs, at_most = 6 })
  bench:figure({ what = "bytes written by the polls of an idle day",
    value = bytes_idle - bytes_after, unit = "bytes", at_most = 0 })
  bench:figure({ what = "syncs of them", value = syncs_idle - syncs_after, at_most = 0 })
end

return M
