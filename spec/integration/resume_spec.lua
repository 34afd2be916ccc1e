-- What an earlier process left goes on: in which order, beside whom, and what never does.

local exec = require("hob.exec")
local fs = require("hob.fs")
local units = require("hob_units")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  -- Waits in its first step for one file, in its second for another. A program does the waiting: a
  -- kill must not meet the job's own Lua, which would be the one to blame then.
  ["two.lua"] = [[
    local exec, fs = require("hob.exec"), require("hob.fs")
    local function wait(path)
      exec.check({ "sh", "-c", "until [ -e $0 ] || [ ! -d ${0%/*} ]; do sleep 0.05; done", path })
    end
    return { api = 1, args = { dir = "string" }, run = function(job, args)
      fs.append(args.dir .. "/marks", job.id .. " begins\n")
      job:step("one", function() wait(args.dir .. "/one-" .. job.id) end)
      job:step("two", function() wait(args.dir .. "/two") end)
      fs.append(args.dir .. "/marks", job.id .. " ends\n")
    end }
  ]],
  ["leaves.lua"] = [[
    local exec, fs = require("hob.exec"), require("hob.fs")
    return { api = 1, args = { dir = "string" }, run = function(job, args)
      job:step("program", function()
        if fs.stat(args.dir .. "/again") then
          return fs.write(args.dir .. "/second", "")
        end
        exec.run{ "sh", "-c", "echo $$ >" .. args.dir .. "/pid; exec sleep 600" }
      end)
    end }
  ]],
}

describe("jobs that an earlier process left", function()
  local world, gateway, dir

  before_each(function()
    world = worlds.start({ tls = false })
    dir = world:path("dir")
    assert(fs.mkdir(dir))
  end)
  after_each(function()
    world:stop()
  end)

  local function start(slots, config)
    config = config or {}
    config.max_concurrent_jobs, config.stop_grace = slots, 0.1
    if config.boot_id_file then
      assert(fs.write(config.boot_id_file, "11111111-1111-1111-1111-111111111111\n"))
    end
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  local function marks()
    return fs.read(dir .. "/marks") or ""
  end

  -- Kill it while no job's Lua runs, so that nobody knows which one was to blame.
  local function kill_when_idle(jobs)
    local boot = assert(fs.read("/proc/sys/kernel/random/boot_id")):gsub("\n", "")
    local copy = world:path("running")
    wait_until(function()
      assert(fs.copy(gateway.dir .. "/data/running", copy))
      local past = assert(units.blackbox.open(copy, boot)):past()
      for _, job in ipairs(past) do
        if job.executing or job.step == "" then
          return false
        end
      end
      return #past == jobs
    end, worlds.PATIENCE, "all jobs to wait in a step")
    gateway:kill()
  end

  local function go(name)
    assert(fs.write(dir .. "/" .. name, ""))
  end

  local function begin(...)
    for _, id in ipairs({ ... }) do
      world:create(id, ('{"operation":"two","dir":"%s"}'):format(dir))
      wait_until(function() return marks():find(id .. " begins", 1, true) end, worlds.PATIENCE,
        id .. " begins")
    end
  end

  -- Change one line of the configuration.
  local function configure(key, value)
    local text = assert(fs.read(gateway.config))
    local changed, count = text:gsub("  " .. key .. " = [^\n]+\n", ("  %s = %s,\n"):format(key,
      value))
    assert.equal(1, count)
    assert(fs.write(gateway.config, changed))
  end

  local function times(what)
    local count = 0
    for _ in marks():gmatch(what .. "\n") do
      count = count + 1
    end
    return count
  end

  local function all_end(...)
    for _, id in ipairs({ ... }) do
      local execution = world:ended(id)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(1, world:terminal_updates(id))
      assert.equal(1, times(id .. " ends"))
    end
  end

  it("go on together after an end in order", function()
    start(3)
    begin("a", "b", "c")
    assert.equal(0, gateway:stop())
    gateway:launch()
    for _, id in ipairs({ "a", "b", "c" }) do
      wait_until(function() return times(id .. " begins") == 2 end, worlds.PATIENCE, id)
    end
    for _, name in ipairs({ "one-a", "one-b", "one-c", "two" }) do
      go(name)
    end
    all_end("a", "b", "c")
  end)

  it("go on together after a power cut (field failure 4)", function()
    local boot = world:path("boot")
    start(2, { boot_id_file = boot })
    begin("a", "b")
    gateway:kill()
    assert(fs.write(boot, "22222222-2222-2222-2222-222222222222\n"))
    gateway:launch()
    for _, id in ipairs({ "a", "b" }) do
      wait_until(function() return times(id .. " begins") == 2 end, worlds.PATIENCE, id)
    end
    for _, name in ipairs({ "one-a", "one-b", "two" }) do
      go(name)
    end
    all_end("a", "b")
  end)

  it("are not charged for reboots in order, however many", function()
    local boot = world:path("boot")
    start(1, { boot_id_file = boot })
    begin("a")
    for i = 2, 5 do
      assert.equal(0, gateway:stop())
      assert(fs.write(boot, ("%d1111111-1111-1111-1111-111111111111\n"):format(i)))
      gateway:launch()
      wait_until(function() return times("a begins") == i end, worlds.PATIENCE, "run " .. i)
    end
    go("one-a")
    go("two")
    all_end("a")
  end)

  it("go on before the connection is there", function()
    start(1)
    begin("a")
    gateway:kill()
    world.broker:kill()
    go("one-a")
    go("two")
    gateway:launch()
    gateway:wait_event("job.finished")
    world.broker:start_again()
    all_end("a")
  end)

  it("go on one at a time when the process died and nobody knows by whom, each until it ends",
    function()
    local asked = 0 -- at each poll
    world:before(function(topic) asked = asked + (topic:match("/c/get$") and 1 or 0) end)
    start(4, { poll = 1 })
    begin("a", "b", "c")
    kill_when_idle(3)
    world:create("new", '{"operation":"quick"}')
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    gateway:wait_event("job.probation")
    wait_until(function() return times("a begins") == 2 end, worlds.PATIENCE, "a")
    assert.equal(1, times("b begins"))
    go("one-a")
    gateway:wait_event("job.step", { job = "a", msg = "step 'two'" })
    assert.equal(1, times("b begins"))
    go("two")
    wait_until(function() return times("b begins") == 2 end, worlds.PATIENCE, "b")
    assert.equal(1, times("a ends"))
    assert.equal(1, times("c begins"))
    assert.equal("QUEUED", world:describe("new").status)
    go("one-b")
    wait_until(function() return times("c begins") == 2 end, worlds.PATIENCE, "c")
    local from = asked
    wait_until(function() return asked > from + 1 end, worlds.PATIENCE, "polls")
    assert.equal("QUEUED", world:describe("new").status)
    go("one-c")
    all_end("a", "b", "c")
    assert.equal("SUCCEEDED", world:ended("new").status)
    assert.equal(3, gateway:count("job.resumed"))
  end)

  it("go on one at a time then, whichever thing of the gateway they belong to", function()
    gateway = world:gateway({ scripts = SCRIPTS, launch = false })
    configure("thing_name", '"gw-1", things = { {}, { thing_name = "gw-2" } }')
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    begin("a")
    world:create("b", ('{"operation":"two","dir":"%s"}'):format(dir), "gw-2")
    wait_until(function() return times("b begins") == 1 end, worlds.PATIENCE, "b")
    kill_when_idle(2)
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 4)
    wait_until(function() return times("[ab] begins") == 3 end, worlds.PATIENCE, "the first one")
    local first, second = "a", "b"
    if times("b begins") == 2 then -- the things of a gateway have no order
      first, second = second, first
    end
    world:create("new", '{"operation":"quick"}', "gw-2")
    go("two")
    assert.equal(1, times(second .. " begins"))
    go("one-" .. first)
    wait_until(function() return times(second .. " begins") == 2 end, worlds.PATIENCE, second)
    assert.equal(1, times(first .. " ends"))
    assert.equal("QUEUED", world:describe("new", "gw-2").status)
    go("one-" .. second)
    all_end("a")
    assert.equal("SUCCEEDED", world:ended("b", "gw-2").status)
    assert.equal("SUCCEEDED", world:ended("new", "gw-2").status)
  end)

  it("wait their turn before any new job when there are more of them than slots", function()
    start(3)
    begin("a", "b", "c")
    assert.equal(0, gateway:stop())
    configure("max_concurrent_jobs", 1)
    world:create("new", '{"operation":"quick"}')
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    for _, name in ipairs({ "one-a", "one-b", "one-c", "two" }) do
      go(name)
    end
    all_end("a", "b", "c")
    assert.equal("SUCCEEDED", world:ended("new").status)
    local resumed, order = 0, {}
    for _, event in ipairs(gateway.events) do
      resumed = resumed + (event.event == "job.resumed" and 1 or 0)
      if resumed > 0 and event.event == "job.finished" then
        order[#order + 1] = event.job
      end
    end
    assert.same({ "a", "b", "c", "new" }, order)
  end)

  it("were cancelled meanwhile: they are given up, also one that waits its turn", function()
    start(2)
    begin("a", "b")
    assert.equal(0, gateway:stop())
    configure("max_concurrent_jobs", 1)
    world.engine:cancel_job("b", {}, true, os.time())
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    go("one-a")
    go("two")
    all_end("a")
    gateway:wait_event("job.gone", { job = "b", code = "CANCELED" })
    assert.equal(0, times("b ends"))
    assert.equal("CANCELED", world:describe("b").status)
    world:create("new", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("new").status)
  end)

  it("left programs running: these are ended first (field failure 11)", function()
    start(1)
    world:create("job", ('{"operation":"leaves","dir":"%s"}'):format(dir))
    local pid = wait_until(function()
      return (fs.read(dir .. "/pid") or ""):match("^(%d+)\n")
    end, worlds.PATIENCE, "the program")
    gateway:kill()
    assert(fs.stat("/proc/" .. pid))
    go("again")
    gateway:launch()
    assert.equal("SUCCEEDED", world:ended("job").status)
    assert.is_nil(fs.stat("/proc/" .. pid .. "/exe") and
      (fs.read("/proc/" .. pid .. "/stat") or ""):match("%) ([RSDT]) ") or nil)
    local ended, begun
    for i, event in ipairs(gateway.events) do
      ended = event.event == "job.children_ended" and i or ended
      begun = event.event == "job.started" and i or begun
    end
    assert.is_true(ended < begun)
  end)

  it("go on with the handler that they were begun with, also if its file is gone", function()
    start(1)
    begin("a")
    go("one-a")
    gateway:wait_event("job.step", { job = "a", msg = "step 'two'" })
    gateway:kill()
    assert(fs.remove(gateway.dir .. "/scripts/two.lua"))
    gateway:launch()
    go("two")
    all_end("a")
  end)

  describe("on an older Hob than the one that ran them", function()
    local function database(statement)
      return (exec.check({ "sqlite3", gateway.dir .. "/data/hob.db", statement }).stdout
        :gsub("\n$", ""))
    end

    local function becomes_newer()
      local version = tonumber(database("PRAGMA user_version"))
      database(("PRAGMA user_version = %d"):format(version + 1))
    end

    it("end truthfully, naming what they did, and the outbox is sent (field failure 22)",
      function()
        start(2)
        begin("a", "b")
        go("one-a")
        gateway:wait_event("job.step", { job = "a", msg = "step 'two'" })
        gateway:kill()
        becomes_newer()
        gateway:launch()
        local a, b = world:ended("a"), world:ended("b")
        assert.equal("FAILED", a.status)
        assert.equal("DOWNGRADE", a.details.code)
        assert.equal("this gateway went back to an older Hob while the job ran; what it did so "
          .. "far: steps one", a.details.reason)
        assert.matches("^two@%x+$", a.details.handler)
        assert.equal("DOWNGRADE", b.details.code)
        assert.matches("no step was finished$", b.details.reason)
        assert.equal(1, times("a begins"))
        assert.equal(1, world:terminal_updates("a"))
      end)

    it("leave it able to work, also when only the service knows that one was begun", function()
      start(1)
      begin("a")
      gateway:kill()
      assert(fs.remove(gateway.dir .. "/data/running"))
      becomes_newer()
      gateway:launch()
      assert.equal("DOWNGRADE", world:ended("a").details.code)
      world:create("new", '{"operation":"quick"}')
      assert.equal("SUCCEEDED", world:ended("new").status)
    end)
  end)
end)
