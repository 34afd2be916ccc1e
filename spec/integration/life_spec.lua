-- What may go wrong on an execution's way: late answers, programs that do not end, a store that
-- cannot be read, deaths between two commits.

local fs = require("hob.fs")
local lives = require("spec.support.lives")
local shim = require("spec.support.shim")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  -- Takes Hob down in its first step as often as it may.
  ["at-once.lua"] = [[
    return { api = 1, args = ARGS, run = function()
      mark("run")
      exec.run{ "sh", "-c", "kill -9 $PPID" }
      while true do time.sleep(10) end
    end }
  ]],
  -- The second time it tells which time it is.
  ["attempt.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      mark("attempt-" .. job.attempt)
      hold()
      return { is = job.attempt }
    end }
  ]],
  ["once.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:step("only", { interruptions = 1 }, function() mark("only-" .. job.attempt) hold() end)
    end }
  ]],
  -- A program that must not be ended before its grace, which is very long.
  ["patient.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job, args)
      job:step("child", function()
        mark("child")
        exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
          grace = 1000 }
      end)
    end }
  ]],
  ["waits.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      hold()
      mark("end")
    end }
  ]],
  ["later.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      if not fs.read(MARKS):find("later") then
        mark("later")
        job:retry_later(1, "no depot")
      end
      mark("again")
    end }
  ]],
  -- Puts itself off while a program of its takes its time to end.
  ["busy-later.lua"] = [[
    return { api = 1, args = ARGS, run = function(job, args)
      exec.spawn{ "sh", "-c", "trap 'echo termed >>" .. args.pid .. "' TERM; echo $$ >" .. args.pid
        .. "; while true; do sleep 0.05; done", grace = 2 }
      while not fs.stat(args.pid) do time.sleep(0.01) end
      mark("run")
      job:retry_later(1, "no depot")
    end }
  ]],
  -- Its program takes Hob down with its first breath, and lives on.
  ["survivor.lua"] = [[
    return { api = 1, args = ARGS, run = function(job, args)
      job:step("start", function()
        if fs.stat(args.pid) then return true end
        exec.run{ "sh", "-c", "kill -9 $PPID; echo $$ >" .. args.pid .. "; exec sleep 600" }
        hold()
      end)
      local stat = fs.read("/proc/" .. fs.read(args.pid):match("%d+") .. "/stat")
      mark(stat and not stat:find("%) Z ") and "beside" or "alone")
    end }
  ]],
  ["large.lua"] = [[
    return { api = 1, run = function()
      local list = {}
      for i = 1, 1000000 do list[i] = { i } end
    end }
  ]],
  ["prints.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      exec.run{ "echo", job.thing }
      mark("printed")
      hold()
    end }
  ]],
}

describe("an execution", function()
  local life

  local function begin(config, options)
    life = lives.new({ scripts = SCRIPTS, config = config, launch = not options })
    if options then
      options(life)
      life.gateway:launch()
      life.gateway:wait_event("jobs.subscribed")
    end
  end
  after_each(function()
    life:stop()
  end)

  it("counts a first run that a death cut off before anything of it was stored", function()
    begin()
    life:create("job", "at-once")
    for _ = 1, 3 do
      assert(life.gateway:wait_end())
      life.gateway:launch()
    end
    local execution = life.world:ended("job")
    assert.equal("CRASHED", execution.details.code)
    assert.equal("3", execution.details.attempt)
  end)

  it("counts it also for job.attempt, and in the store", function()
    begin()
    life:create("job", "attempt")
    life:wait_marks("attempt-1 ")
    life:power_cut()
    assert.equal(0, life:row("job").runs)
    life.gateway:launch()
    life:wait_marks("attempt-1 attempt-2 ")
    life.gateway:kill()
    assert.equal(2, life:row("job").runs)
    life.gateway:launch()
    life:wait_marks("attempt-1 attempt-2 attempt-3 ")
    life:go()
    assert.equal("3", life.world:ended("job").details.attempt)
  end)

  it("was not interrupted before it began: only its claim had been accepted", function()
    begin()
    local accepted
    life.world:after(function(topic, request)
      if topic:find("/job/update$") and request.status == "IN_PROGRESS" and not accepted then
        accepted = true
        return "drop" -- nobody hears of it
      end
    end)
    life:create("job", "once")
    wait_until(function() return accepted end, worlds.PATIENCE, "the claim")
    life.gateway:kill()
    life.gateway:launch()
    life:wait_marks("only-1 ")
    life:go()
    local execution = life.world:ended("job")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.is_nil(execution.details.attempt)
  end)

  it("does not run beside a program of its that was being started when Hob died", function()
    begin()
    for i = 1, 5 do
      local pid = life.world:path("pid")
      life:create("job-" .. i, "survivor", { pid = pid })
      assert(life.gateway:wait_end())
      lives.wait_pid(pid)
      life.gateway:launch()
      assert.equal("SUCCEEDED", life.world:ended("job-" .. i).status)
      life:wait_marks(("alone "):rep(i))
    end
  end)

  it("that is ended does not wait for its programs' grace, however long", function()
    begin()
    local pid = life.world:path("pid")
    life:create("job", "patient", { pid = pid })
    lives.wait_pid(pid)
    life:cancel("job")
    life:create("after", "next", { pid = pid })
    local said = life.gateway:wait_event("job.waits_for_processes", { job = "job" })
    assert.matches("^sh %(process ", said.msg)
    assert.is_truthy(said.msg:find(fs.read(pid):match("%d+"), 1, true))
    assert.is_truthy(said.msg:find("got TERM", 1, true))
    wait_until(function() return not lives.runs(pid) end, 40, "KILL after half a minute")
    life:wait_marks("child cleanup:cancelled:CANCELLED:child next:alone ")
    assert.equal(1, life.gateway:count("job.waits_for_processes"))
  end)

  it("goes on when what the store has of it can be read again", function()
    local spy
    begin(nil, function(one)
      spy = shim.on(one.gateway)
      spy:arm()
    end)
    life:create("job", "later")
    life.gateway:wait_event("job.waits", { job = "job" })
    spy:break_disk("EROFS")
    local work = life.gateway.dir .. "/data/work" -- so that its directory cannot be made anew
    assert(fs.remove(work, { recursive = true }))
    assert(fs.mkdir(work))
    life.gateway:wait_event("store.failed", { job = "job" })
    life.gateway:wait_event("store.failed_again", { job = "job" })
    spy:mend_disk()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("later again ")
  end)

  it("that cannot be stored is tried again in one rhythm, however much is announced", function()
    local spy
    begin(nil, function(one)
      spy = shim.on(one.gateway)
      spy:arm()
    end)
    spy:break_disk("EIO")
    life:create("job-1", "next")
    life.gateway:wait_event("jobs.retry")
    local announced = 40
    for i = 2, announced do
      life:create("job-" .. i, "next")
      life.world:control("cancel_job_execution", "gw-1", "job-" .. i - 1, {}, true, time.now())
    end
    life.gateway:wait_event("store.failed_again", { job = "job-" .. announced })
    local tries = life.gateway:count("jobs.retry")
    assert.is_true(tries < announced / 2, tries .. " tries")
    spy:mend_disk()
    assert.equal("SUCCEEDED", life.world:ended("job-" .. announced).status)
    assert.equal(1, life.gateway:count("store.failed"))
    assert.equal(1, life.gateway:count("store.works"))
  end)

  it("that is cancelled while it is being put off stays so, also if that is stored late",
    function()
      local spy
      begin(nil, function(one)
        spy = shim.on(one.gateway)
        spy:arm()
      end)
      local pid = life.world:path("pid")
      life:create("job", "busy-later", { pid = pid })
      wait_until(function() return (fs.read(pid) or ""):find("termed") end, worlds.PATIENCE, "TERM")
      spy:break_disk("EIO")
      life:cancel("job")
      life.gateway:wait_event("store.failed", { job = "job" })
      wait_until(function() return not lives.runs(pid) end, worlds.PATIENCE, "the program's end")
      local again = life.gateway:count("store.failed_again")
      life.gateway:wait_event("store.failed_again", { job = "job" }, again + 1)
      spy:mend_disk()
      assert.equal("CANCELED", life:finished("job").code)
      life:create("after", "next")
      assert.equal("SUCCEEDED", life.world:ended("after").status)
      life:wait_marks("run next:alone ")
      assert.equal(0, life.gateway:count("job.waits"))
    end)

  it("keeps what its programs print apart from that of the same job on another thing", function()
    begin(nil, function(one)
      local text = fs.read(one.gateway.config)
      assert(fs.write(one.gateway.config, (text:gsub('thing_name = "gw%-1"',
        'thing_name = "gw-1", things = { {}, { thing_name = "gw-2" } }'))))
    end)
    life.gateway:wait_event("jobs.subscribed", {}, 2)
    local arn = "arn:aws:iot:us-east-1:123456789012:thing/gw-"
    life.world:control("create_job", "job", { targets = { arn .. 1, arn .. 2 },
      document = '{"operation":"prints"}' }, 1000)
    life:wait_marks("printed printed ")
    life:go()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    assert.equal("SUCCEEDED", life.world:ended("job", "gw-2").status)
    local dir = life.gateway.dir .. "/data/output/"
    for _, name in ipairs(assert(fs.list(dir))) do
      local thing = name:match("^(gw%-%d)@job%-")
      local text = fs.read(dir .. name)
      assert.is_truthy(text:find("\n" .. thing .. "\n", 1, true))
      assert.equal(1, select(2, text:gsub("\ngw%-%d\n", "")))
    end
    assert.equal(2, #fs.list(dir))
  end)

  it("gives back the memory that it took", function()
    local function resident()
      local status = assert(fs.read(("/proc/%d/status"):format(life.gateway.process:pid())))
      return tonumber(status:match("VmRSS:%s*(%d+) kB"))
    end
    begin()
    life:create("before", "next")
    life.world:ended("before")
    local before = resident()
    life:create("job", "large")
    life.world:ended("job")
    life.gateway:wait_event("job.reported", { job = "job" })
    if not shim.is_sanitized() then
      assert.is_true(resident() - before < 8 * 1024, resident() - before .. " kB more")
    end
  end)

  it("has the longest names that there are: its directory and its output still fit", function()
    local thing, job = ("t"):rep(128), ("j"):rep(64)
    begin(nil, function(one)
      local text = fs.read(one.gateway.config)
      assert(fs.write(one.gateway.config, (text:gsub('thing_name = "gw%-1"',
        ('thing_name = "%s"'):format(thing)))))
    end)
    life.world:create(job, '{"operation":"prints"}', thing)
    life:go()
    assert.equal("SUCCEEDED", life.world:ended(job, thing).status)
    assert.equal(1, #fs.list(life.gateway.dir .. "/data/output"))
  end)
end)
