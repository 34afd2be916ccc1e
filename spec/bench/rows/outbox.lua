-- After an outage: outcomes of thousands of jobs wait in the store, and go out as fast as
-- messages_per_minute allows and no faster, without being in memory all at once.
local filled = require("spec.bench.filled")
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "outbox", what = "outcomes that waited for a connection" }

local PATIENCE = 600
local HANDLER = "return { api = 1, run = function() end }"

-- Each was claimed, and has ended here; the service waits for its end.
local function leave_behind(rig, store, thing, count)
  local first = rig.jobs or 0
  rig:queue(thing, count)
  for i = first + 1, first + count do
    local id = "job-" .. i
    rig.world:update_behind(id, { status = "IN_PROGRESS" }, thing)
    local theirs = rig.world:describe(id, thing)
    assert(store:add({ thing = thing, job_id = id, queued_at = theirs.queuedAt, state = "ended",
      execution_number = theirs.executionNumber, version = theirs.versionNumber,
      document = rigs.DOCUMENT, handler = "bench", handler_digest = ("0"):rep(64), runs = 1,
      status = "SUCCEEDED", details = '{"handler":"bench@000000000000"}',
      ended_at_s = 1700000000 }))
  end
end

-- What the device says: each request with the time at which it came.
local function listen(rig, thing)
  local prefix, at = "$aws/things/" .. thing .. "/jobs/", {}
  rig.world:before(function(topic)
    if topic:sub(1, #prefix) == prefix then
      at[#at + 1] = time.mono()
    end
  end)
  return at
end

-- The bucket is full at first, and fills again while that goes out: what goes after it goes at the
-- rate. A window that has neither the burst nor the end in it.
local function rate_of(at, bucket)
  local first = bucket + (#at - bucket) * 3 // 5
  local last = bucket + (#at - bucket) * 19 // 20
  return (last - first) / (at[last] - at[first])
end

function M.run(bench)
  local rig <close> = rigs.start()
  local count, bucket = 10000, 6000
  if bench.quick then
    count, bucket = 2000, 3000
  end
  local thing = rig:new_thing()
  local one = rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls",
    { messages_per_minute = bucket }, false)
  bench:say(("filling %d"):format(count))
  filled.with(one.dir, function(store) leave_behind(rig, store, thing, count) end)
  local told, memory, points = 0, {}, {}
  local at = listen(rig, thing)
  rig:on_end(thing, function(number)
    told = number
    if number % (count // 20) == 0 then
      memory[#memory + 1] = proc.memory_kb(one.pid()).rss
      points[#points + 1] = { number, memory[#memory] / 1024 }
    end
  end)
  one.gateway:launch()
  wait_until(function() return told == count end, PATIENCE, function()
    return ("%d outcomes told; %d are"):format(count, told)
  end)
  rig.world:before(nil)
  rig.world:after(nil)
  one.stop()
  local rate, budget, most = rate_of(at, bucket), bucket / 60, math.max(table.unpack(memory))
  bench:figure({ what = "messages/s", value = rate / budget, unit = "ratio", hob = rate,
    peer = budget, versus = "the budget", at_least = 0.95 })
  bench:figure({ what = "messages/s, not more", value = rate / budget, unit = "ratio", hob = rate,
    peer = budget, versus = "the budget", at_most = 1.02 })
  bench:figure({ what = "messages per outcome", value = #at / count, at_most = 2.01 })
  bench:figure({ what = "most KB resident", value = most / memory[1], unit = "ratio", hob = most,
    peer = memory[1], versus = "after a twentieth", at_most = 1.1 })
  bench:curve({ name = "outbox", title = "The gateway while it tells what waited",
    x = "outcomes told", y = "MB resident",
    series = { { label = "MB resident", points = points } } })
end

return M
