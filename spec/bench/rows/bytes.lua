-- What goes over the network: TCP payload, both ways, over TLS, as a proxy counts it; beside the
-- floor, which has the same keep-alive.
local peer = require("spec.support.peer")
local rigs = require("spec.bench.rig")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "bytes", what = "bytes of a connection, a short job and an idle hour" }

local PATIENCE = 60
local QUIET = 1.5       -- seconds without a byte: what was begun is over
local KEEP_ALIVE = 60   -- seconds, of both
local SHORT = 5         -- the shortest one that Hob takes: to count what a ping takes
-- Hob asks for work though nothing was said: after its `poll` (1800 s), or up to half of it sooner.
local POLLS_AN_HOUR = 3600 / (1800 * 0.75)
local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local function total(proxy)
  local last = proxy:lines("^bytes %d+ %d+")
  local up, down = (last[#last] or "0 0"):match("(%d+) (%d+)")
  return tonumber(up) + tonumber(down)
end

-- The bytes so far, once nothing moves any more.
local function settled(proxy)
  local seen, since = total(proxy), time.mono()
  wait_until(function()
    local now = total(proxy)
    if now ~= seen then
      seen, since = now, time.mono()
    end
    return seen > 0 and time.mono() - since > QUIET
  end, PATIENCE, "quiet")
  return seen
end

-- The same rig, whose agents go through the proxy.
local function through(rig, proxy)
  return setmetatable({ port = function() return proxy.port end }, { __index = rig })
end

local function of_jobs(rig, proxy, thing, count)
  local before = settled(proxy)
  for i = 1, count do
    local ended
    rig:on_end(thing, function() ended = true end)
    rig:queue(thing, 1)
    wait_until(function() return ended end, PATIENCE, "job " .. i)
    rig.world:after(nil)
  end
  return (settled(proxy) - before) / count
end

local function connected(rig, count, start)
  local proxy, thing = peer.start("counting_proxy", tostring(rig:port("tls"))), rig:new_thing()
  local one = start(through(rig, proxy), thing)
  local of_connect = settled(proxy)
  local of_job = of_jobs(rig, proxy, thing, count)
  one.stop()
  proxy:stop()
  return { connect = of_connect, job = of_job }
end

-- Its first `count` times `what` happens again after the connection has become quiet.
local function of_each(rig, count, seconds, start)
  local proxy, thing = peer.start("counting_proxy", tostring(rig:port("tls"))), rig:new_thing()
  local one = start(through(rig, proxy), thing)
  local before, times = settled(proxy), 0
  local seen = before
  wait_until(function()
    local now = total(proxy)
    times, seen = times + (now ~= seen and 1 or 0), now
    return times == count
  end, (count + 1) * seconds + PATIENCE, count .. " times")
  one.stop()
  proxy:stop()
  return (seen - before) / count
end

local function gateway(rig, thing, more)
  return rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls", more)
end

function M.run(bench)
  local rig <close> = rigs.start()
  local count = bench.quick and 10 or 50
  local hob = connected(rig, count, function(via, thing) return gateway(via, thing) end)
  local floor = connected(rig, count, function(via, thing)
    return via:floor(thing, "jobs", "tls")
  end)
  local pings = bench.quick and 1 or 2
  local ping = of_each(rig, pings, SHORT, function(via, thing)
    return gateway(via, thing, { keep_alive = SHORT })
  end)
  local floor_ping = of_each(rig, pings, SHORT, function(via, thing)
    return via:floor(thing, "ops", "tls", "--keep-alive", tostring(SHORT))
  end)
  local poll = of_each(rig, pings, SHORT, function(via, thing)
    return gateway(via, thing, { poll = 2 * QUIET })
  end)
  local an_hour = 3600 / KEEP_ALIVE
  hob.hour = (an_hour - POLLS_AN_HOUR) * ping + POLLS_AN_HOUR * poll
  floor.hour = an_hour * floor_ping
  for _, what in ipairs({ { "connect", "to connect" }, { "job", "per short job" },
      { "hour", "per idle hour" } }) do
    local mine, other = hob[what[1]], floor[what[1]]
    bench:figure({ what = "bytes " .. what[2], value = mine / other, unit = "ratio", hob = mine,
      peer = other, versus = "floor", at_most = 1.2 })
  end
end

return M
