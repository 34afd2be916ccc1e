-- A running execution is ended from outside: first it, then its children, cleanup, the next one.

local fs = require("hob.fs")
local json = require("hob.json")
local lives = require("spec.support.lives")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  -- Says how far it is, again and again.
  ["talks.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("talk", function()
        mark("talk")
        for i = 1, 1e9 do
          if fs.stat(GO) then job:progress(i % 100) end
          time.sleep(0.01)
        end
      end)
    end }
  ]],
  -- Holds in a critical section, then would go on.
  ["critical.lua"] = [[
    return { api = 1, args = ARGS, timeout = 3600, cleanup = cleanup, run = function(job)
      job:step("flash", function()
        job:critical(function() mark("critical") hold() mark("over") end)
        mark("after")
      end)
    end }
  ]],
  ["critical-timeout.lua"] = [[
    return { api = 1, args = ARGS, timeout = 2, cleanup = cleanup, run = function(job)
      job:step("flash", function()
        job:critical(function() mark("critical") hold() mark("over") end)
        mark("after")
      end)
    end }
  ]],
  -- A cleanup that takes as long as we want.
  ["slow-cleanup.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("first", function() mark("first") hold() end)
        return nil, "no"
      end,
      cleanup = function()
        mark("cleaning")
        while not fs.stat(GO .. "2") do time.sleep(0.01) end
        mark("cleaned")
      end }
  ]],
  ["later.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      job:retry_later(3600, "no depot")
    end }
  ]],
  ["minutes.lua"] = [[
    return { api = 1, args = ARGS, timeout = 100, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") hold() end)
    end }
  ]],
  ["slow-child.lua"] = [[
    return { api = 1, args = ARGS, timeout = 2, cleanup = cleanup, run = function(job, args)
      job:step("child", function()
        mark("child")
        exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
          grace = 0.2 }
      end)
    end }
  ]],
  ["slow-step.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job, args)
      local ok, err = pcall(job.step, job, "child", { timeout = 2 }, function()
        exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
          grace = 0.2 }
      end)
      local pid = fs.read(args.pid):match("%d+")
      mark(tostring(err.code) .. ":" .. (fs.stat("/proc/" .. pid) and "beside" or "alone"))
      error(err, 0)
    end }
  ]],
}

local life

local function begin(options)
  options = options or {}
  options.scripts = SCRIPTS
  life = lives.new(options)
end

local function details_of(event)
  return json.decode(event.msg)
end

describe("a cancel by the service", function()
  after_each(function()
    life:stop()
  end)

  it("ends the step, has cleanup done, and sends nothing (field failure 12)", function()
    begin()
    life:create("job", "endless")
    life:wait_marks("first wait ")
    life:cancel("job")
    life:finished("job")
    life:wait_marks("first wait cleanup:cancelled:CANCELLED:wait ")
    life:create("after", "next")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    assert.equal("IN_PROGRESS", life:said("job"))
    assert.equal("CANCELED", life.world:describe("job").status)
  end)

  it("is stored as the service's own, and is never told, also not by the next process", function()
    begin()
    life:create("job", "endless")
    life:wait_marks("first wait ")
    life:cancel("job")
    assert.equal("CANCELED", life:finished("job").code)
    life.gateway:stop()
    local row = life:row("job")
    assert.equal("CANCELED", row.status)
    assert.equal("CANCELED", row.theirs)
    assert.matches("not sent", row.told)
    assert.matches('"reason":"cancelled in the cloud"', row.details)
    life.gateway:launch()
    life.gateway:wait_event("jobs.subscribed", nil, 2)
    life:create("after", "next")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    assert.equal("IN_PROGRESS", life:said("job"))
  end)

  it("ends children that ignore TERM, before the next job starts (field failures 11 and 12)",
    function()
      begin()
      local pid = life.world:path("pid")
      life:create("job", "stubborn", { pid = pid })
      lives.wait_pid(pid)
      life:create("after", "next", { pid = pid })
      life:cancel("job")
      assert.equal("SUCCEEDED", life.world:ended("after").status)
      life:wait_marks("child cleanup:cancelled:CANCELLED:child next:alone ")
      assert.is_false(lives.runs(pid))
    end)

  describe("is learnt", function()
    local function cancelled_by(pattern)
      life:change(pattern, "cancel_job_execution", "gw-1", "job", {}, true, time.now())
    end

    local function ends_it()
      assert.equal("CANCELED", life:finished("job").code)
      assert.matches("cleanup:cancelled:CANCELLED", life:marks())
      assert.equal("CANCELED", life.world:describe("job").status)
    end

    it("from notify", function()
      begin()
      life:create("job", "endless")
      life:wait_marks("first wait ")
      cancelled_by("/notify$")
      ends_it()
    end)

    it("from notify-next", function()
      begin()
      life:create("job", "endless")
      life:wait_marks("first wait ")
      cancelled_by("/notify%-next$")
      ends_it()
    end)

    it("from an update that is refused", function()
      begin()
      life:create("job", "talks")
      life:wait_marks("talk ")
      cancelled_by("^$")
      life:go()
      ends_it()
    end)

    it("by asking after a reconnect", function()
      begin()
      life:create("job", "endless")
      life:wait_marks("first wait ")
      cancelled_by("^$")
      life.world.broker:kill()
      life.gateway:wait_event("conn.lost")
      life.world.broker:start_again()
      ends_it()
    end)

    it("by the next process, which has cleanup done", function()
      begin()
      life:create("job", "endless")
      life:wait_marks("first wait ")
      life.gateway:kill()
      cancelled_by("^$")
      life.gateway:launch()
      assert.equal("CANCELED", life:finished("job").code)
      assert.matches("cleanup:cancelled:CANCELLED", life:marks())
    end)
  end)

  it("is REMOVED here when the execution was deleted", function()
    begin()
    life:create("job", "endless")
    life:wait_marks("first wait ")
    life:change("", "delete_job_execution", "gw-1", "job", 1, true, time.now())
    local event = life:finished("job")
    assert.equal("REMOVED", event.code)
    assert.equal("deleted in the cloud", details_of(event).reason)
    life:wait_marks("first wait cleanup:cancelled:CANCELLED:wait ")
  end)

  it("is TIMED_OUT here when the service's step timer ran out", function()
    begin({ world = { minute_ms = 100 } })
    life:create("job", "minutes")
    local event = life:finished("job")
    assert.equal("TIMED_OUT", event.code)
    assert.equal("TIMED_OUT", details_of(event).code)
    life:wait_marks("first cleanup:timed_out:TIMED_OUT:first ")
    assert.equal("TIMED_OUT", life.world:describe("job").status)
    assert.equal(0, life.world:terminal_updates("job"))
  end)

  it("waits until a critical section has ended; log and reason say so", function()
    begin()
    life:create("job", "critical")
    life:wait_marks("critical ")
    life:cancel("job")
    local delayed = life.gateway:wait_event("job.delayed", { job = "job" })
    assert.equal("flash", delayed.step)
    assert.matches("cancelled in the cloud", delayed.msg)
    assert.equal("critical ", life:marks())
    life:go()
    local event = life:finished("job")
    life:wait_marks("critical over cleanup:cancelled:CANCELLED:flash ")
    assert.matches("^cancelled in the cloud %(%d+%.%d s late: a critical section",
      details_of(event).reason)
  end)

  it("does not stop cleanup, nor is the end before it told any more", function()
    begin()
    life:create("job", "slow-cleanup")
    life:wait_marks("first ")
    life:go()
    life:wait_marks("first cleaning ")
    life:cancel("job")
    life:create("after", "next")
    life.gateway:wait_event("jobs.subscribed")
    assert.equal("first cleaning ", life:marks())
    assert(fs.write(life.go_path .. "2", ""))
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("first cleaning cleaned next:alone ")
    assert.equal("CANCELED", life.world:describe("job").status)
  end)

  it("ends one that waits, with its cleanup", function()
    begin()
    life:create("job", "later")
    life.gateway:wait_event("job.waits", { job = "job" })
    life:create("after", "next")
    life:cancel("job")
    assert.equal("CANCELED", life:finished("job").code)
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("first cleanup:cancelled:CANCELLED:- next:alone ")
  end)

  it("of one whose claim is on its way leaves nothing behind", function()
    begin()
    local cancelled
    life.on_request = function(topic)
      if topic:find("/jobs/job/update$") and not cancelled then
        cancelled = true
        life.world.engine:cancel_job_execution("gw-1", "job", {}, true, time.now())
      end
    end
    life:create("job", "endless")
    life.gateway:wait_event("job.claim_refused", { job = "job" })
    life:create("after", "next")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("next:alone ")
  end)
end)

describe("a time-out", function()
  after_each(function()
    life:stop()
  end)

  it("of the handler ends children that ignore TERM, then cleans up, then tells (field failure 11)",
    function()
      begin()
      local pid = life.world:path("pid")
      life:create("job", "slow-child", { pid = pid })
      life:create("after", "next", { pid = pid })
      local execution = life.world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("TIMED_OUT", execution.details.code)
      assert.equal("child", execution.details.step)
      assert.is_false(lives.runs(pid))
      assert.equal("SUCCEEDED", life.world:ended("after").status)
      life:wait_marks("child cleanup:timed_out:TIMED_OUT:child next:alone ")
    end)

  it("of a step ends its children before the handler goes on (field failure 11)", function()
    begin()
    local pid = life.world:path("pid")
    life:create("job", "slow-step", { pid = pid })
    local execution = life.world:ended("job")
    assert.equal("TIMED_OUT", execution.details.code)
    life:wait_marks("TIMED_OUT:alone cleanup:failed:TIMED_OUT:child ")
  end)

  it("waits until a critical section has ended", function()
    begin()
    life:create("job", "critical-timeout")
    life:wait_marks("critical ")
    life.gateway:wait_event("job.delayed", { job = "job" })
    life:go()
    local execution = life.world:ended("job")
    assert.equal("TIMED_OUT", execution.details.code)
    assert.matches("^timed out after 2 s %(%d+%.%d s late", execution.details.reason)
    life:wait_marks("critical over cleanup:timed_out:TIMED_OUT:flash ")
  end)

  it("is told to the service with the claim, with room for cleanup", function()
    begin({ config = { cleanup_timeout = 60 } })
    life:create("job", "minutes")
    wait_until(function() return life.sent[1] end, worlds.PATIENCE, "the claim")
    assert.equal(3, life.sent[1].minutes)
  end)

  it("is at most what AWS takes", function()
    begin({ config = { job_timeout = 604800 } })
    life:create("job", "endless")
    wait_until(function() return life.sent[1] end, worlds.PATIENCE, "the claim")
    assert.equal(10080, life.sent[1].minutes)
  end)

  it("of the configuration is named as such", function()
    begin({ config = { job_timeout = 0.3 } })
    life:create("job", "endless")
    assert.equal("timed out after 0.3 s: its handler has no timeout of its own "
      .. "(config key job_timeout)", life.world:ended("job").details.reason)
  end)

  it("is told again with progress: what is left of it", function()
    begin({ config = { job_timeout = 600 } })
    life:create("job", "talks")
    life:go()
    wait_until(function() return life.sent[2] end, worlds.PATIENCE, "progress")
    assert.equal(11, life.sent[1].minutes)
    assert.equal(11, life.sent[2].minutes)
  end)
end)
