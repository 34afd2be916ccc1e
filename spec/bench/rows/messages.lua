-- How many messages a short job takes: those that the device publishes, and those that AWS IoT
-- meters (each publish, each delivery, each PUBACK of the device), by the broker's log.
local fs = require("hob.fs")
local rigs = require("spec.bench.rig")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "messages", what = "MQTT messages of a short job" }

local PATIENCE = 60
local QUIET = 1 -- seconds without a line about it: the job is over for both sides
local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local function count_lines(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

local function packets(rig, thing)
  local log = assert(fs.read(rig.broker.log_path))
  local name = thing:gsub("%p", "%%%0")
  return {
    published = count_lines(log, "Received PUBLISH from " .. name .. " "),
    delivered = count_lines(log, "Sending PUBLISH to " .. name .. " "),
    acknowledged = count_lines(log, "Received PUBACK from " .. name .. " "),
  }
end

local function all_of(counts)
  return counts.published + counts.delivered + counts.acknowledged
end

local function settled(rig, thing)
  local seen, since = packets(rig, thing), time.mono()
  wait_until(function()
    local now = packets(rig, thing)
    if all_of(now) ~= all_of(seen) then
      seen, since = now, time.mono()
    end
    return time.mono() - since > QUIET
  end, PATIENCE, "quiet")
  return seen
end

function M.run(bench)
  local rig <close> = rigs.start({ conf = "log_type debug" })
  local thing, count = rig:new_thing(), bench.quick and 5 or 20
  local one = rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls")
  local before
  for i = 0, count do -- the first one is not counted: the connection is made meanwhile
    local ended
    rig:on_end(thing, function() ended = true end)
    rig:queue(thing, 1)
    wait_until(function() return ended end, PATIENCE, "job " .. i)
    rig.world:after(nil)
    before = before or settled(rig, thing)
  end
  local after = settled(rig, thing)
  one.stop()
  bench:figure({ what = "PUBLISH packets from the device", at_most = 2, unit = "a job",
    value = (after.published - before.published) / count })
  bench:figure({ what = "messages that AWS IoT meters", at_most = 8, unit = "a job",
    value = (all_of(after) - all_of(before)) / count })
end

return M
