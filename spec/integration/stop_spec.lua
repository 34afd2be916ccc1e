-- A stop of Hob while jobs run: the next step, the grace, the limit; and jobs that wait.

local exec = require("hob.exec")
local fs = require("hob.fs")
local lives = require("spec.support.lives")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  ["stops.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") hold() end)
      mark("between")
      job:step("second", function() mark("second") end)
    end }
  ]],
  ["critical.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:step("flash", function()
        job:critical(function() mark("critical") hold() mark("over") end)
        while not fs.stat(GO .. "2") do time.sleep(0.01) end
        mark("flashed")
      end)
    end }
  ]],
  ["once.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:step("flash", { once = true }, function() mark("once") hold() mark("over") end)
      job:step("next", function() mark("next") end)
    end }
  ]],
  ["program.lua"] = [[
    return { api = 1, args = ARGS, run = function(job, args)
      job:step("program", function()
        mark("program")
        exec.check({ "sh", "-c", "echo $$ >$0; until [ -e $1 ] || [ ! -d ${1%/*} ]; do sleep 0.05; "
          .. "done", args.pid, GO, on_line = args.mode and print })
        mark("over")
      end)
    end }
  ]],
  ["later.lua"] = [[
    return { api = 1, args = ARGS, max_runs = 3, timeout = 3600, cleanup = cleanup,
      run = function(job, args)
        job:step("first", function() mark("first") end)
        mark("run")
        local ok, why = pcall(job.step, job, "depot", function()
          mark("depot")
          return nil, "closed"
        end)
        if not fs.stat(GO) then job:retry_later(tonumber(args.mode or "0.05"), "no depot") end
        mark("end")
      end }
  ]],
  ["quick.lua"] = [[
    return { api = 1, args = ARGS, run = function(job) job:step("a", function() mark("a") end) end }
  ]],
}

local life

local function begin(config)
  life = lives.new({ scripts = SCRIPTS, config = config })
end

local function term()
  life.gateway.process:kill("TERM")
  life.gateway:wait_event("hob.stopping")
end

describe("SIGTERM", function()
  after_each(function()
    life:stop()
  end)

  it("lets a job reach its next step; the next process goes on there", function()
    begin({ stop_grace = 20 })
    life:create("job", "stops")
    life:wait_marks("first ")
    term()
    life:go()
    assert.equal(0, life.gateway:wait_end().code)
    life:wait_marks("first between ")
    life.gateway:wait_event("job.suspended", { job = "job" })
    local row = life:row("job")
    assert.equal("", row.boot)
    assert.equal(0, row.interrupted)
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("first between between second ")
  end)

  it("gives it up where it is when its grace is over, and does not count it", function()
    begin({ stop_grace = 0.1, stop_timeout = 20 })
    life:create("job", "stops")
    life:wait_marks("first ")
    term()
    assert.equal(0, life.gateway:wait_end().code)
    local suspended = life.gateway:wait_event("job.suspended", { job = "job" })
    assert.matches("in step 'first'", suspended.msg)
    local row = life:row("job")
    assert.equal("", row.boot)
    assert.equal(0, row.interrupted)
    assert.equal(0, row.deaths)
    life:go()
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("first first between second ")
  end)

  it("waits for a critical section, and then no longer", function()
    begin({ stop_grace = 0.1, stop_timeout = 20 })
    life:create("job", "critical")
    life:wait_marks("critical ")
    term()
    local delayed = life.gateway:wait_event("job.delayed", { job = "job" })
    assert.equal("flash", delayed.step)
    life:go()
    assert.equal(0, life.gateway:wait_end().code)
    assert.equal("critical over ", life:marks())
    assert(fs.write(life.go_path .. "2", ""))
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
  end)

  it("waits for a `once` step", function()
    begin({ stop_grace = 0.1, stop_timeout = 20 })
    life:create("job", "once")
    life:wait_marks("once ")
    term()
    life.gateway:wait_event("job.delayed", { job = "job" })
    life:go()
    assert.equal(0, life.gateway:wait_end().code)
    life:wait_marks("once over ")
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("once over next ")
  end)

  it("gives up also that when stop_timeout is over", function()
    begin({ stop_grace = 0.1, stop_timeout = 0.3 })
    life:create("job", "critical")
    life:wait_marks("critical ")
    term()
    assert.equal(0, life.gateway:wait_end().code)
    life.gateway:wait_event("job.suspended", { job = "job" })
    assert.equal("critical ", life:marks())
  end)

  for _, mode in ipairs({ "", "lines" }) do
    it("does not fail a job whose program was stopped, too, as systemd may do " .. mode, function()
      begin({ stop_grace = 20 })
      local pid = life.world:path("pid")
      life:create("job", "program", { pid = pid, mode = mode ~= "" and mode or nil })
      lives.wait_pid(pid)
      term()
      exec.check({ "kill", (assert(fs.read(pid)):gsub("\n", "")) })
      assert.equal(0, life.gateway:wait_end().code)
      life.gateway:wait_event("job.suspended", { job = "job" })
      life:go()
      life.gateway:launch()
      assert.equal("SUCCEEDED", life.world:ended("job").status)
      life:wait_marks("program program over ")
    end)
  end

  it("leaves no child behind (field failure 11)", function()
    begin({ stop_grace = 0.1, stop_timeout = 20 })
    local pid = life.world:path("pid")
    life:create("job", "stubborn", { pid = pid })
    lives.wait_pid(pid)
    term()
    assert.equal(0, life.gateway:wait_end().code)
    assert.is_false(lives.runs(pid))
  end)
end)

describe("job:retry_later", function()
  after_each(function()
    life:stop()
  end)

  it("runs again after that time, with the steps that ended well; the slot waits", function()
    begin()
    life:create("job", "later")
    life.gateway:wait_event("job.waits", { job = "job" })
    life:go()
    local execution = life.world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    life:wait_marks("first run depot run depot end ")
  end)

  it("says in the cloud that it waits, how long and why", function()
    begin()
    life:create("job", "later", { mode = "600" })
    wait_until(function()
      return life.world:describe("job").details.progress == "waits 600 s: no depot"
    end, worlds.PATIENCE, "the progress")
    assert.equal(71, life.sent[2].minutes)
  end)

  it("is given up after max_runs runs", function()
    begin()
    life:create("job", "later")
    local execution = life.world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("RETRIES_EXHAUSTED", execution.details.code)
    assert.equal("still not possible after 3 runs: no depot", execution.details.reason)
    life:wait_marks("first run depot run depot run depot cleanup:failed:RETRIES_EXHAUSTED:- ")
  end)

  it("goes on waiting in the next process", function()
    begin()
    life:create("job", "later", { mode = "600" })
    life.gateway:wait_event("job.waits", { job = "job" })
    life.gateway:kill()
    local row = life:row("job")
    assert.equal(1, row.retries)
    assert.equal(600, row.wait_s)
    life:go()
    life.gateway:launch()
    life.gateway:wait_event("jobs.subscribed", nil, 2)
    life.gateway:stop()
    assert.equal("first run depot ", life:marks())
    row = life:row("job")
    assert.equal(1, row.runs)
    assert.equal(0, row.interrupted)
  end)

  it("runs when its time came while Hob was down", function()
    begin()
    life:create("job", "later", { mode = "600" })
    life.gateway:wait_event("job.waits", { job = "job" })
    life.gateway:kill()
    life:sql("update execution set resume_at_s = 1")
    life:go()
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
  end)

  it("waits no longer than it asked for, whatever the clock says", function()
    begin()
    life:create("job", "later", { mode = "600" })
    life.gateway:wait_event("job.waits", { job = "job" })
    life.gateway:kill()
    -- It was to wait a second, and the clock is years behind.
    life:sql("update execution set wait_s = 1, resume_at_s = resume_at_s + 100000000")
    life:go()
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
  end)
end)

describe("a short job", function()
  after_each(function()
    life:stop()
  end)

  it("costs two publishes", function()
    begin()
    life:create("job", "quick")
    life.world:ended("job")
    life:create("after", "next")
    life.world:ended("after")
    assert.equal("IN_PROGRESS; SUCCEEDED", life:said("job"))
  end)

  it("costs one more after an interruption: the cloud sees that it goes on", function()
    begin()
    life:create("job", "stops")
    life:wait_marks("first ")
    life:power_cut()
    life.gateway:launch()
    life:wait_marks("first first ")
    wait_until(function() return #life.sent == 2 end, worlds.PATIENCE, "the progress")
    life:go()
    life.world:ended("job")
    assert.equal("IN_PROGRESS; IN_PROGRESS goes on after a power cut or a reboot; SUCCEEDED",
      life:said("job"))
  end)
end)
