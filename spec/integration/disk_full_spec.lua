-- A data directory that cannot be written: new jobs wait and say why, running ones end truthfully,
-- nothing is told before it is stored, and all goes on by itself when the disk is well again. The
-- file system's troubles are made by the shim (spec.support.shim).

local exec = require("hob.exec")
local fs = require("hob.fs")
local shim = require("spec.support.shim")
local sides = require("spec.support.both_sides")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["waits.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string", marks = "string" }, run = function(job, args)
      job:step("first", function() assert(fs.append(args.marks, "first\n")) end)
      job:step("wait", function()
        assert(fs.append(args.marks, "wait\n"))
        while not fs.stat(args.go) do job:sleep(0.01) end
      end)
      job:step("last", function() assert(fs.append(args.marks, "last\n")) end)
      return { done = true }
    end }
  ]],
}

describe("a data directory", function()
  local world, gateway, spy, go, marks

  before_each(function()
    world = worlds.start({ tls = false })
    go, marks = world:path("go"), world:path("marks")
    gateway = world:gateway({ launch = false, scripts = SCRIPTS, config = { poll = 1 } })
    spy = shim.on(gateway)
    spy:arm()
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
    world:create("before", '{"operation":"quick"}')
    world:ended("before")
    gateway:wait_event("job.reported")
  end)
  after_each(function()
    world:stop()
  end)

  local function agree(...)
    assert.equal(0, gateway:stop())
    assert.same({}, sides.differences(world, gateway, "gw-1", { "before", ... }))
  end

  local function begin_waiting_job()
    world:create("job", ('{"operation":"waits","go":"%s","marks":"%s"}'):format(go, marks))
    wait_until(function() return fs.read(marks) == "first\nwait\n" end, worlds.PATIENCE, "the step")
  end

  for _, trouble in ipairs({
    { "ENOSPC", "full" }, { "EROFS", "read-only" }, { "EIO", "broken" },
  }) do
    local code, words = trouble[1], trouble[2]

    it(("that is %s leaves jobs in the queue, until it is well again (field failure 13)"):format(
      words), function()
      spy:break_disk(code)
      world:create("job", '{"operation":"quick"}')
      local event = gateway:wait_event("store.failed")
      assert.is_truthy(event.code)
      assert.matches("hob.db", event.msg, 1, true)
      gateway:wait_event("jobs.retry", { code = event.code }, 2) -- it keeps trying
      assert.equal("QUEUED", world:describe("job").status)
      assert.equal(1, world:describe("job").versionNumber)
      spy:mend_disk()
      assert.equal("SUCCEEDED", world:ended("job").status)
      gateway:wait_event("job.reported", { job = "job" })
      assert.equal(1, gateway:count("job.started") - 1)
      agree("job")
    end)

  end

  for _, trouble in ipairs({ { "EROFS", "read-only" }, { "EIO", "broken" } }) do
    it(("that becomes %s while a job runs: its end is the truth, and stored before it is told")
      :format(trouble[2]), function()
      begin_waiting_job()
      spy:break_disk(trouble[1])
      exec.check({ "touch", go })
      gateway:wait_event("store.failed", { job = "job" })
      local refused = #spy:points("refused")
      wait_until(function() return #spy:points("refused") > refused end, worlds.PATIENCE,
        "it to try again")
      assert.equal("IN_PROGRESS", world:describe("job").status)
      spy:mend_disk()
      local execution = world:ended("job")
      gateway:wait_event("job.reported", { job = "job" })
      assert.equal("FAILED", execution.status)
      assert.equal("STORE_FAILED", execution.details.code)
      assert.equal("wait", execution.details.step)
      assert.equal("first\nwait\n", fs.read(marks))
      world:create("next", '{"operation":"quick"}')
      assert.equal("SUCCEEDED", world:ended("next").status)
      gateway:wait_event("job.reported", { job = "next" })
      agree("job", "next")
    end)
  end

  it("that is full still takes the end of a running job: room is kept for it", function()
    begin_waiting_job()
    spy:break_disk("ENOSPC")
    exec.check({ "touch", go })
    local execution = world:ended("job") -- while it is full
    assert.equal("FAILED", execution.status)
    assert.equal("STORE_FAILED", execution.details.code)
    gateway:wait_event("job.reported", { job = "job" })
    spy:mend_disk()
    agree("job")
  end)

  it("that is full when Hob starts again: what was running ends truthfully", function()
    begin_waiting_job()
    gateway:kill()
    spy:break_disk("ENOSPC")
    gateway:launch()
    exec.check({ "touch", go })
    wait_until(function()
      return gateway:count("store.failed") > 0 or gateway:wait_end(0)
    end, worlds.PATIENCE, "what it makes of the full disk")
    spy:mend_disk()
    if not gateway.process then -- it refused to start, with the reason
      gateway:launch()
    end
    local execution = world:ended("job")
    gateway:wait_event("job.reported", { job = "job" })
    assert.is_true(execution.status == "SUCCEEDED" or execution.details.code == "STORE_FAILED")
    assert.equal(1, select(2, fs.read(marks):gsub("first", "")))
    agree("job")
  end)

  describe("whose database is damaged", function()
    local function damage()
      assert.equal(0, gateway:stop())
      local path = gateway.dir .. "/data/hob.db"
      local bytes = ("damage"):rep(2000)
      assert(fs.write(path, bytes))
      return bytes
    end

    local function set_aside()
      for _, name in ipairs(assert(fs.list(gateway.dir .. "/data"))) do
        if name:find("%.damaged") then
          return fs.read(gateway.dir .. "/data/" .. name)
        end
      end
    end

    it("sets it aside, never deletes it, says so, and goes on", function()
      local bytes = damage()
      gateway:launch()
      gateway:wait_event("store.damaged")
      assert.equal(bytes, set_aside())
      world:create("next", '{"operation":"quick"}')
      assert.equal("SUCCEEDED", world:ended("next").status)
      gateway:wait_event("job.reported", { job = "next" })
      assert.equal(0, gateway:stop())
    end)

    it("ends what was running in the cloud as state lost", function()
      begin_waiting_job()
      gateway:kill()
      gateway.process = nil
      local bytes = ("damage"):rep(2000)
      assert(fs.write(gateway.dir .. "/data/hob.db", bytes))
      fs.remove(gateway.dir .. "/data/hob.db-wal")
      gateway:launch()
      local execution = world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("STATE_LOST", execution.details.code)
      assert.equal("first\nwait\n", fs.read(marks))
    end)
  end)
end)
