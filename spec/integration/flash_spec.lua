-- What a job costs in flash: syncs, and bytes written, below the data directory, as the shim counts
-- the calls. A gateway's flash is soldered in; a job a minute must not wear it out.

local shim = require("spec.support.shim")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SYNCS_MAX, BYTES_MAX = 6, 64 * 1024 -- of a short job

local SCRIPTS = {
  ["short.lua"] = [[
    return { api = 1, run = function(job)
      local n = job:step("work", function() return 41 end)
      job:progress(90, "nearly")
      return { answer = n + 1 }
    end }
  ]],
  ["plain.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["progress.lua"] = [[
    return { api = 1, run = function(job)
      for i = 1, 100 do
        job:progress(i, "part " .. i)
        job:sleep(0.001)
      end
    end }
  ]],
}

describe("the flash", function()
  local world, gateway, spy, looks

  before_each(function()
    world = worlds.start({ tls = false })
    looks = 0
    world:before(function(topic)
      looks = looks + (topic:find("/jobs/$next/get", 1, true) and 1 or 0)
    end)
    gateway = world:gateway({ launch = false, scripts = SCRIPTS, config = { poll = 1 } })
    spy = shim.on(gateway)
    spy:arm()
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
  end)
  after_each(function()
    world:stop()
  end)

  local function work_off(id, operation)
    world:create(id, ('{"operation":"%s"}'):format(operation))
    assert.equal("SUCCEEDED", world:ended(id).status)
    gateway:wait_event("job.reported", { job = id })
  end

  local function cost(id, operation)
    local bytes, syncs = spy:flash()
    work_off(id, operation)
    local bytes_after, syncs_after = spy:flash()
    return bytes_after - bytes, syncs_after - syncs
  end

  local function is_within(bytes, syncs)
    assert.is_true(syncs >= 2, "the claim and the outcome at least are synced, not " .. syncs)
    assert.is_true(syncs <= SYNCS_MAX, syncs .. " syncs")
    assert.is_true(bytes <= BYTES_MAX, bytes .. " bytes")
  end

  it("is spared: 6 syncs and 64 KB for a short job with a step", function()
    is_within(cost("first", "short"))
    is_within(cost("second", "short"))
  end)

  it("is spared: 6 syncs and 64 KB for a job without steps", function()
    is_within(cost("first", "plain"))
  end)

  it("is spared: progress is never written", function()
    local bytes, syncs = cost("plain", "plain")
    local more_bytes, more_syncs = cost("progress", "progress")
    assert.is_true(more_syncs <= syncs + 1, ("%d syncs, %d without"):format(more_syncs, syncs))
    assert.is_true(more_bytes <= bytes + 16 * 1024, ("%d bytes, %d without"):format(more_bytes,
      bytes))
  end)

  it("is spared in the long run, too, with what the log's own upkeep costs", function()
    local count = shim.is_sanitized() and 20 or 60
    work_off("warm-up", "short")
    local bytes, syncs = spy:flash()
    for i = 1, count do
      work_off("job-" .. i, "short")
    end
    local bytes_after, syncs_after = spy:flash()
    assert.is_true((syncs_after - syncs) / count <= SYNCS_MAX)
    assert.is_true((bytes_after - bytes) / count <= BYTES_MAX)
  end)

  it("is left alone while there is nothing to do", function()
    work_off("job", "short")
    local function wait_looks(more)
      local until_then = looks + more
      wait_until(function() return looks >= until_then end, worlds.PATIENCE, more .. " polls")
    end
    wait_looks(1) -- what rides on the next commit may be written once, not now and then
    local bytes, syncs = spy:flash()
    wait_looks(3)
    assert.same({ bytes, syncs }, { spy:flash() })
    assert.is_true(syncs > 0)
  end)
end)
