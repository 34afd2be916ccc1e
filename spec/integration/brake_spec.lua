-- Who takes the runtime down three times within one boot is not started again; power cuts and
-- innocent neighbours are not counted.

local lives = require("spec.support.lives")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

-- Takes Hob down in the place that the document names, as often as the file `go` has lines left.
local KILL = [[exec.run{ "sh", "-c", "kill -9 $PPID" } hold()]]

local SCRIPTS = {
  ["killer.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job, args)
      job:step("first", function() mark("first") end)
      if args.mode == "between" then mark("between") ]] .. KILL .. [[ end
      job:step("flash", { interruptions = 100 }, function()
        mark("flash")
        ]] .. KILL .. [[
      end)
    end }
  ]],
  -- In its very first step, before anything of it was committed.
  ["at-once.lua"] = [[
    return { api = 1, args = ARGS, run = function()
      mark("run")
      ]] .. KILL .. [[
    end }
  ]],
  -- Kills twice in each of two steps, and comes through.
  ["steps.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      for i = 1, 2 do
        job:step("step " .. i, { interruptions = 100 }, function()
          mark("s" .. i)
          local _, count = fs.read(MARKS):gsub("s" .. i .. " ", "")
          if count < 3 then ]] .. KILL .. [[ end
        end)
      end
    end }
  ]],
  ["innocent.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      job:step("wait", { interruptions = 100 }, function() mark("waits") hold() end)
      mark("innocent")
    end }
  ]],
  -- Takes Hob down while its own code runs: for a second nothing interrupts a single match.
  ["executing.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("match", { interruptions = 100 }, function()
        mark("match")
        exec.spawn{ "sh", "-c", "sleep 0.3; kill -9 $PPID" }
        return (("a"):rep(32):find(("a?"):rep(32) .. ("a"):rep(32)))
      end)
    end }
  ]],
  ["first.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("only", { interruptions = 1 }, function() mark("only") hold() end)
    end }
  ]],
  -- Twice in a step that then ends, twice more after a wait.
  ["waits-between.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      local function often(text)
        mark(text)
        local _, count = fs.read(MARKS):gsub(text .. " ", "")
        if count < 3 then ]] .. KILL .. [[ end
      end
      job:step("a", { interruptions = 100 }, function() often("a") end)
      if not fs.read(MARKS):find("later") then mark("later") job:retry_later(0.01, "no depot") end
      job:step("b", { interruptions = 100 }, function() often("b") end)
    end }
  ]],
  ["cleanup-kills.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("a", function() mark("a") return nil, "no disk", "ENODISK" end)
      end,
      cleanup = function()
        mark("cleaning")
        ]] .. KILL .. [[
      end }
  ]],
}

local life

local function begin(config)
  life = lives.new({ scripts = SCRIPTS, config = config })
end

local function falls_and_comes_up(times)
  for _ = 1, times do
    assert(life.gateway:wait_end(), "the gateway was not taken down")
    life.gateway:launch()
  end
end

describe("the crash brake", function()
  after_each(function()
    life:stop()
  end)

  it("ends a job that took the runtime down three times in a step", function()
    begin()
    life:create("job", "killer")
    falls_and_comes_up(3)
    local execution = life.world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("CRASHED", execution.details.code)
    assert.equal("took the runtime down 3 times in step 'flash'", execution.details.reason)
    assert.equal("flash", execution.details.step)
    assert.equal("3", execution.details.attempt)
    life:wait_marks("first flash flash flash cleanup:crashed:CRASHED:flash ")
    local brake = life.gateway:wait_event("job.crash_brake", { job = "job" })
    assert.equal("flash", brake.step)
  end)

  it("never starts it again", function()
    begin()
    life:create("job", "killer")
    falls_and_comes_up(3)
    life.world:ended("job")
    life.gateway:stop()
    life.gateway:launch()
    life:create("after", "next")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("first flash flash flash cleanup:crashed:CRASHED:flash next:alone ")
    assert.equal(1, life.world:terminal_updates("job"))
  end)

  it("says when it was between two steps", function()
    begin()
    life:create("job", "killer", { mode = "between" })
    falls_and_comes_up(3)
    local execution = life.world:ended("job")
    assert.equal("CRASHED", execution.details.code)
    assert.equal("took the runtime down 3 times between two steps", execution.details.reason)
    assert.is_nil(execution.details.step)
  end)

  it("counts a job that never finished a step, nor began one", function()
    begin()
    life:create("job", "at-once")
    falls_and_comes_up(3)
    local execution = life.world:ended("job")
    assert.equal("CRASHED", execution.details.code)
    life:wait_marks("run run run ")
  end)

  it("begins anew with each finished step", function()
    begin()
    life:create("job", "steps")
    falls_and_comes_up(4)
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("s1 s1 s1 s2 s2 s2 ")
  end)

  it("begins anew with each finished step, also when a wait comes after it", function()
    begin()
    life:create("job", "waits-between")
    falls_and_comes_up(4)
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("a a a later b b b ")
  end)

  it("does not count power cuts", function()
    begin()
    life:create("job", "innocent")
    for i = 1, 4 do
      life:wait_marks("first " .. ("waits "):rep(i))
      life:power_cut()
      life.gateway:launch()
    end
    life:wait_marks("first " .. ("waits "):rep(5))
    life:go()
    local execution = life.world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("5", execution.details.attempt)
  end)

  it("counts within one boot", function()
    begin()
    life:create("job", "killer")
    falls_and_comes_up(2)
    assert(life.gateway:wait_end())
    life:boot("another") -- by all signs a power cut
    life.gateway:launch()
    falls_and_comes_up(3)
    assert.equal("CRASHED", life.world:ended("job").details.code)
    life:wait_marks("first " .. ("flash "):rep(6) .. "cleanup:crashed:CRASHED:flash ")
  end)

  it("does not charge an innocent neighbour", function()
    begin({ max_concurrent_jobs = 2 })
    life:create("neighbour", "innocent")
    life:wait_marks("first waits ")
    life:create("job", "killer")
    -- Whether the first death has a name at once depends on where it met the process. If it has
    -- none, the neighbour goes on first, alone.
    wait_until(function()
      if life.gateway:wait_end(0.02) then
        life.gateway:launch()
      end
      if life:marks():find("waits .*waits") then
        life:go()
      end
      return life.world:describe("job").status == "FAILED"
    end, worlds.PATIENCE, "the brake; " .. life.world:explain())
    local execution = life.world:describe("job")
    assert.equal("took the runtime down 3 times in step 'flash'", execution.details.reason)
    assert.equal("SUCCEEDED", life.world:ended("neighbour").status)
    assert.equal(1, life.gateway:count("job.crash_brake"))
  end)

  it("charges the one whose code was running, and nobody beside it", function()
    begin({ max_concurrent_jobs = 2 })
    life:create("neighbour", "innocent")
    life:wait_marks("first waits ")
    life:create("job", "executing")
    falls_and_comes_up(3)
    local execution = life.world:ended("job")
    assert.equal("took the runtime down 3 times in step 'match'", execution.details.reason)
    life:go()
    assert.equal("SUCCEEDED", life.world:ended("neighbour").status)
    assert.equal(1, life.gateway:count("job.crash_brake"))
  end)

  it("is not what counts a power cut in the very first step; that is an interruption", function()
    begin()
    life:create("job", "first")
    life:wait_marks("only ")
    life:power_cut()
    life.gateway:launch()
    assert.equal("INTERRUPTED", life.world:ended("job").details.code)
    life:wait_marks("only cleanup:interrupted:INTERRUPTED:only ")
  end)

  it("is not for cleanup, which has its own three tries", function()
    begin()
    life:create("job", "cleanup-kills")
    falls_and_comes_up(3)
    local execution = life.world:ended("job")
    assert.equal("ENODISK", execution.details.code)
    assert.equal("interrupted 3 times", execution.details.cleanup_error)
    life:wait_marks("a cleaning cleaning cleaning ")
  end)

  it("shows in the cloud that the job goes on, and after what", function()
    begin()
    life:create("job", "innocent")
    life:wait_marks("first waits ")
    life.gateway:kill()
    life.gateway:launch()
    wait_until(function()
      return life.world:describe("job").details.progress
        == "goes on after it took the runtime down in step 'wait'"
    end, worlds.PATIENCE, "the progress; " .. life:said("job"))
  end)
end)
