-- `cleanup` runs once after every end that is not a success, once a step began: whatever ended the
-- job, and wherever the power goes away.

local fs = require("hob.fs")
local lives = require("spec.support.lives")
local shim = require("spec.support.shim")

local HOLD = [[while not fs.stat(GO .. "2") do time.sleep(0.01) end]]

local SCRIPTS = {
  -- Ends in the way that the document names.
  ["ends.lua"] = [[
    local ways = {}
    function ways.succeeded(job) job:step("a", function() mark("a") end) end
    function ways.failed(job)
      job:step("a", function() mark("a") end)
      return nil, "no space"
    end
    function ways.error(job)
      job:step("a", function() mark("a") end)
      local x = nil
      x()
    end
    function ways.failed_step(job)
      job:step("a", function() mark("a") return nil, "no disk", "ENODISK" end)
    end
    function ways.rejected(job)
      job:step("a", function() mark("a") end)
      job:reject("not here")
    end
    function ways.memory(job)
      job:step("a", function()
        mark("a")
        local t = {}
        while true do t[#t + 1] = ("x"):rep(1e6) .. #t end
      end)
    end
    function ways.no_step() mark("none") return nil, "before any step" end
    function ways.no_step_rejected(job) job:reject("before any step") end
    function ways.child_left(job, args)
      job:step("a", function()
        mark("a")
        exec.spawn{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
          grace = 0.2 }
        while not (fs.read(args.pid) or ""):find("\n") do time.sleep(0.01) end
      end)
      return nil, "no"
    end
    return { api = 1, args = ARGS, run = function(job, args) return ways[args.mode](job, args) end,
      cleanup = function(job, args, why)
        local pid = args.pid and fs.read(args.pid):match("%d+")
        if pid then mark(fs.stat("/proc/" .. pid) and "beside" or "alone") end
        cleanup(job, args, why)
      end }
  ]],
  -- Its step is interrupted again and again.
  ["interrupted.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      job:step("wait", { interruptions = 1 }, function() mark("wait") hold() end)
    end }
  ]],
  -- Fails at once; its cleanup holds.
  ["slow.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("a", function() mark("a") return nil, "no disk", "ENODISK" end)
      end,
      cleanup = function(job, _, why)
        mark("cleaning")
        ]] .. HOLD .. [[
        mark("cleaned:" .. why.code)
      end }
  ]],
  -- Would end well if it were run again.
  ["flips.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("a", function() mark("a") end)
        if job.attempt == 1 then return nil, "no" end
        mark("second")
      end,
      cleanup = function()
        mark("cleaning")
        ]] .. HOLD .. [[
        mark("cleaned")
      end }
  ]],
  ["bad.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("a", function() mark("a") return nil, "no disk", "ENODISK" end)
      end,
      cleanup = function(job, args)
        mark("bad")
        if args.mode == "error" then error("cannot undo") end
        if args.mode == "nil" then return nil, "still mounted" end
        if args.mode == "loop" then while true do end end
        if args.mode == "sleep" then time.sleep(1000) end
        if args.mode == "reject" then job:reject("no") end
        if args.mode == "child" then
          exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
            grace = 0.2 }
        end
      end }
  ]],
  -- What it does next is to be stored; the spec says when.
  ["holds.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("a", function() mark("a") end)
      mark("held")
      hold()
      return nil, "no"
    end }
  ]],
  ["puts-off.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("a", function() mark("a") end)
      if job.attempt == 2 then return mark("again") end
      mark("held")
      hold()
      job:retry_later(0.01, "no depot")
    end }
  ]],
  ["reboots.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("a", function() mark("a") end)
      mark("held")
      hold()
      job:reboot("now")
    end }
  ]],
  -- Its end waits for a child, which leaves time for a kill before cleanup.
  ["tough.lua"] = [[
    return { api = 1, args = ARGS, timeout = 2, cleanup = cleanup, run = function(job, args)
      job:step("child", function()
        mark("child")
        exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
          grace = 1000 }
      end)
    end }
  ]],
}

local life

local function begin(config)
  life = lives.new({ scripts = SCRIPTS, config = config })
end

-- After which nothing more may happen on the device.
local function nothing_follows(marks)
  life:create("after", "next")
  assert.equal("SUCCEEDED", life.world:ended("after").status)
  life:wait_marks(marks .. "next:alone ")
end

describe("cleanup", function()
  after_each(function()
    life:stop()
  end)

  describe("runs once after the end that is", function()
    local function ends(mode, status, code, marks, arguments)
      local document = arguments or {}
      document.mode = mode
      life:create("job", "ends", document)
      local execution = life.world:ended("job")
      assert.equal(status, execution.status)
      assert.equal(code, execution.details.code)
      assert.is_nil(execution.details.cleanup_error)
      nothing_follows(marks)
      assert.equal(1, life.world:terminal_updates("job"))
      return execution
    end

    it("a refusal of run", function()
      begin()
      ends("failed", "FAILED", "FAILED", "a cleanup:failed:FAILED:- ")
    end)

    it("an error", function()
      begin()
      ends("error", "FAILED", "LUA_ERROR", "a cleanup:failed:LUA_ERROR:- ")
    end)

    it("a failed step: its code and name are in `why`", function()
      begin()
      ends("failed_step", "FAILED", "ENODISK", "a cleanup:failed:ENODISK:a ")
    end)

    it("a rejection after a step", function()
      begin()
      ends("rejected", "REJECTED", "REJECTED_BY_HANDLER",
        "a cleanup:rejected:REJECTED_BY_HANDLER:- ")
    end)

    it("a limit", function()
      begin({ memory = "16M" })
      ends("memory", "FAILED", "OUT_OF_MEMORY", "a cleanup:limit:OUT_OF_MEMORY:a ")
    end)

    it("an interruption too many", function()
      begin()
      life:create("job", "interrupted")
      life:wait_marks("first wait ")
      life:power_cut()
      life.gateway:launch()
      local execution = life.world:ended("job")
      assert.equal("INTERRUPTED", execution.details.code)
      nothing_follows("first wait cleanup:interrupted:INTERRUPTED:wait ")
    end)

    it("an end whose children are still there: they go first (field failure 11)", function()
      begin()
      local pid = life.world:path("pid")
      ends("child_left", "FAILED", "FAILED", "a alone cleanup:failed:FAILED:- ", { pid = pid })
    end)
  end)

  it("does not run after a success", function()
    begin()
    life:create("job", "ends", { mode = "succeeded" })
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    nothing_follows("a ")
  end)

  it("does not run when no step began", function()
    begin()
    life:create("job", "ends", { mode = "no_step" })
    assert.equal("FAILED", life.world:ended("job").status)
    life:create("rejected", "ends", { mode = "no_step_rejected" })
    assert.equal("REJECTED", life.world:ended("rejected").status)
    nothing_follows("none ")
  end)

  describe("interrupted", function()
    local function in_cleanup()
      life:create("job", "slow")
      life:wait_marks("a cleaning ")
    end

    local function let_go()
      assert(fs.write(life.go_path .. "2", ""))
    end

    it("by a kill runs again, and ends once; the outcome is that of the run", function()
      begin()
      in_cleanup()
      life.gateway:kill()
      let_go()
      life.gateway:launch()
      local execution = life.world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("ENODISK", execution.details.code)
      assert.equal("no disk", execution.details.reason)
      assert.is_nil(execution.details.cleanup_error)
      nothing_follows("a cleaning cleaning cleaned:ENODISK ")
      assert.equal(1, life.world:terminal_updates("job"))
    end)

    it("by a power cut runs again, and ends once (field failure 20)", function()
      begin()
      in_cleanup()
      life:power_cut()
      let_go()
      life.gateway:launch()
      assert.equal("ENODISK", life.world:ended("job").details.code)
      nothing_follows("a cleaning cleaning cleaned:ENODISK ")
    end)

    it("does not lead to another end: run is not called again (field failure 20)", function()
      begin()
      life:create("job", "flips")
      life:wait_marks("a cleaning ")
      life:power_cut()
      let_go()
      life.gateway:launch()
      local execution = life.world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("no", execution.details.reason)
      nothing_follows("a cleaning cleaning cleaned ")
    end)

    it("three times is given up, and the outcome says so", function()
      begin()
      in_cleanup()
      for i = 2, 3 do
        life:power_cut()
        life.gateway:launch()
        life:wait_marks("a " .. ("cleaning "):rep(i))
      end
      life:power_cut()
      life.gateway:launch()
      local execution = life.world:ended("job")
      assert.equal("ENODISK", execution.details.code)
      assert.equal("interrupted 3 times", execution.details.cleanup_error)
      nothing_follows("a cleaning cleaning cleaning ")
    end)

    it("by SIGTERM comes to its end first", function()
      begin({ stop_grace = 0.05 })
      in_cleanup()
      life.gateway.process:kill("TERM")
      local delayed = life.gateway:wait_event("job.delayed", { job = "job" })
      assert.matches("its cleanup", delayed.msg)
      let_go()
      assert(life.gateway:wait_end())
      assert.equal("FAILED", life.world:describe("job").status)
      assert.equal("a cleaning cleaned:ENODISK ", life:marks())
    end)

    it("before it began runs once: the children are gone first", function()
      begin()
      local pid = life.world:path("pid")
      life:create("job", "tough", { pid = pid })
      life.gateway:wait_event("job.ending", { job = "job" })
      life.gateway:kill()
      assert.equal("child ", life:marks())
      life.gateway:launch()
      local execution = life.world:ended("job")
      assert.equal("TIMED_OUT", execution.details.code)
      assert.is_false(lives.runs(pid))
      nothing_follows("child cleanup:timed_out:TIMED_OUT:child ")
    end)
  end)

  describe("that fails is said beside the first reason:", function()
    local function fails(mode, expected, config, arguments)
      begin(config)
      local document = arguments or {}
      document.mode = mode
      life:create("job", "bad", document)
      local execution = life.world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("ENODISK", execution.details.code)
      assert.equal("no disk", execution.details.reason)
      assert.matches(expected, execution.details.cleanup_error)
      life.gateway:wait_event("job.cleanup_failed", { job = "job" })
      nothing_follows("a bad ")
    end

    it("an error", function()
      fails("error", "bad%.lua:%d+: cannot undo")
    end)

    it("nil and a message", function()
      fails("nil", "^still mounted$")
    end)

    it("a rejection", function()
      fails("reject", "reject is not available in cleanup")
    end)

    it("its time is up, while it waits", function()
      fails("sleep", "timed out after 1 s", { cleanup_timeout = 1 })
    end)

    it("its time is up, in a loop", function()
      fails("loop", "timed out after 1 s", { cleanup_timeout = 1 })
    end)
  end)

  it("that is ended leaves no child behind when the next job starts (field failure 12)", function()
    begin({ cleanup_timeout = 3 })
    local pid = life.world:path("pid")
    life:create("job", "bad", { mode = "child", pid = pid })
    lives.wait_pid(pid)
    life:create("after", "next", { pid = pid })
    assert.matches("timed out", life.world:ended("job").details.cleanup_error)
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("a bad next:alone ")
  end)

  it("finds the handler that the job was begun with, also when the file is gone", function()
    begin()
    life:create("job", "slow")
    life:wait_marks("a cleaning ")
    life.gateway:kill()
    assert(fs.remove(life.gateway.dir .. "/scripts/slow.lua"))
    assert(fs.write(life.go_path .. "2", ""))
    life.gateway:launch()
    assert.equal("ENODISK", life.world:ended("job").details.code)
    life:wait_marks("a cleaning cleaning cleaned:ENODISK ")
  end)
end)

describe("a store that cannot be written", function()
  local spy

  local function begin_with_shim()
    life = lives.new({ scripts = SCRIPTS, launch = false })
    spy = shim.on(life.gateway)
    spy:arm()
    life.gateway:launch()
    life.gateway:wait_event("jobs.subscribed")
  end

  after_each(function()
    life:stop()
  end)

  local function fails_and_works_again()
    local failed = life.gateway:wait_event("store.failed", { job = "job" })
    assert.matches("no job is taken or ended", failed.action)
    spy:mend_disk()
    life.gateway:wait_event("store.works", { job = "job" })
  end

  it("keeps the end of a run, then goes on in order: cleanup, outcome, told", function()
    begin_with_shim()
    life:create("job", "holds")
    life:wait_marks("a held ")
    spy:break_disk("EROFS")
    life:go()
    life.gateway:wait_event("store.failed_again", { job = "job" })
    fails_and_works_again()
    local execution = life.world:ended("job")
    assert.equal("FAILED", execution.details.code)
    life:wait_marks("a held cleanup:failed:FAILED:- ")
    assert.equal(1, life.gateway:count("store.failed"))
  end)

  it("keeps an outcome while it waits, and never tells it before", function()
    begin_with_shim()
    life:create("job", "slow")
    life:wait_marks("a cleaning ")
    spy:break_disk("EROFS")
    assert(fs.write(life.go_path .. "2", ""))
    life.gateway:wait_event("store.failed", { job = "job" })
    assert.equal("IN_PROGRESS", life.world:describe("job").status)
    fails_and_works_again()
    assert.equal("ENODISK", life.world:ended("job").details.code)
    life:wait_marks("a cleaning cleaned:ENODISK ")
  end)

  it("delays a wait; the job waits all the same", function()
    begin_with_shim()
    life:create("job", "puts-off")
    life:wait_marks("a held ")
    spy:break_disk("EROFS")
    life:go()
    fails_and_works_again()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("a held again ")
  end)

  it("can be cancelled in, and then ends as cancelled", function()
    begin_with_shim()
    life:create("job", "puts-off")
    life:wait_marks("a held ")
    spy:break_disk("EROFS")
    life:go()
    life.gateway:wait_event("store.failed", { job = "job" })
    life:cancel("job")
    life.gateway:wait_event("job.gone", { job = "job" })
    spy:mend_disk()
    assert.equal("CANCELED", life:finished("job").code)
    life:wait_marks("a held cleanup:cancelled:CANCELLED:- ")
  end)

  it("is waited for before a reboot", function()
    begin_with_shim()
    life:create("job", "reboots")
    life:wait_marks("a held ")
    spy:break_disk("EROFS")
    life:go()
    fails_and_works_again()
    life.gateway:wait_event("job.reboots", { job = "job" })
  end)
end)
