-- What a handler requires before a job of it is begun, under the real `hob run`: the job stays
-- QUEUED in the cloud and costs no message, others go first, and it runs as soon as it may.
--
-- Where the clock matters the gateway runs under libfaketime (Debian's package faketime), which
-- gives it the time that a file says; its monotonic clock is left alone.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local shim = require("spec.support.shim")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local QUICK = "return { api = 1, run = function() return { ran = true } end }"

local function handler(members)
  return ("return { api = 1, %s, run = function() return { ran = true } end }"):format(members)
end

local SCRIPTS = {
  ["quick.lua"] = QUICK,
  ["night.lua"] = handler('requires = { window = "02:00-04:00" }'),
  ["clock.lua"] = handler("requires = { clock = true }"),
  ["room.lua"] = handler('requires = { disk = "4000000G" }'),
  ["tool.lua"] = handler('requires = { commands = { "rauc-of-no-one" } }'),
  ["daylight.lua"] = handler('requires = { window = "02:00-04:00", otherwise = "reject" }'),
  ["fresh.lua"] = handler("max_age = 3600"),
  ["fresh_night.lua"] = handler('max_age = 3600, requires = { window = "02:00-04:00" }'),
}

local function library()
  local found = exec.run({ "sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1" }).stdout
  return found:match("^[^\n]+") or error("libfaketime is missing: ./dev setup installs it")
end

-- What the gateway's clock is to say, as libfaketime wants it: in UTC, and the gateway's zone is.
local function hour(text, day)
  return ("@20%02d-06-%02d %s"):format(30, day or 15, text)
end

describe("a handler's requires", function()
  local world, gateway, clock, pid, asked

  -- Written in one piece: the gateway reads it each time that it asks for the time.
  local function set(text)
    assert(fs.write(clock, text .. "\n"))
  end

  -- Without a time: the time of this machine.
  local function start(time, options)
    options = options or {}
    clock, pid = time and world:path("clock"), nil
    if time then
      set(time)
    end
    gateway = world:gateway({
      scripts = options.scripts or SCRIPTS, config = options.config,
      env = time and {
        LD_PRELOAD = library(), FAKETIME_TIMESTAMP_FILE = clock, FAKETIME_NO_CACHE = "1",
        FAKETIME_DONT_FAKE_MONOTONIC = "1", NO_FAKE_STAT = "1", TZ = "UTC",
      },
    })
    pid = time and gateway.process:pid()
    gateway:wait_event("jobs.subscribed")
  end

  local function timed(name, fn)
    if shim.is_sanitized() then
      pending(name .. ": libfaketime cannot be preloaded beside the sanitizers' runtime")
    else
      it(name, fn)
    end
  end

  before_each(function()
    world = worlds.start({ tls = false })
    asked = {}
    world:before(function(topic)
      asked[#asked + 1] = topic:match("/jobs/(.+)$")
    end)
  end)
  after_each(function()
    world:stop()
    if pid then -- libfaketime leaves these behind when its process is killed
      fs.remove("/dev/shm/faketime_shm_" .. pid)
      fs.remove("/dev/shm/sem.faketime_sem_" .. pid)
    end
  end)

  local function create(id, operation)
    world:create(id, ('{"operation":"%s"}'):format(operation))
  end

  -- One that waits is there, and one behind it has run.
  local function waits(id, operation)
    create(id, operation)
    gateway:wait_event("job.waits", { job = id })
    create("behind", "quick")
    assert.equal("SUCCEEDED", world:ended("behind").status)
    assert.equal("QUEUED", world:describe(id).status)
    assert.equal(1, world:describe(id).versionNumber) -- nobody has touched it
  end

  local function jobs()
    local result = exec.run({ worlds.hob(), "jobs", "--json", "--data", gateway.dir .. "/data" })
    assert.equal(0, result.code, result.stderr)
    return assert(json.decode(result.stdout)).jobs
  end

  describe("window", function()
    timed("lets a job wait, others go first, and begins in it (field failure 21)", function()
      start(hour("01:59:58"))
      create("job", "night")
      local event = gateway:wait_event("job.waits", { job = "job" })
      assert.matches("^requires.window: waits for 02:00%-04:00, it is 01:59$", event.msg)
      assert.equal("NOT_MET", event.code)
      create("behind", "quick")
      local execution = world:ended("job")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal(3, execution.versionNumber) -- the claim, and the result
      assert.equal("SUCCEEDED", world:ended("behind").status)
      assert.equal(1, gateway:count("job.waits"))
    end)

    timed("costs no message while it is waited for; one behind it is asked by its id", function()
      start(hour("12:00:00"))
      waits("job", "night")
      local before = #asked
      create("one-more", "quick")
      assert.equal("SUCCEEDED", world:ended("one-more").status)
      assert.same({ "one-more/get", "one-more/update", "one-more/update" },
        { table.unpack(asked, before + 1) })
    end)

    timed("is looked at at once when the clock is set", function()
      start("@1970-01-01 00:01:00")
      create("job", "night")
      local event = gateway:wait_event("job.waits", { job = "job" })
      assert.matches("and the clock is not set$", event.msg)
      set(hour("12:00:00"))
      create("behind", "quick")
      assert.equal("SUCCEEDED", world:ended("behind").status)
      assert.equal("QUEUED", world:describe("job").status)
      set(hour("02:30:00"))
      assert.equal("SUCCEEDED", world:ended("job").status)
    end)

    timed("shows in hob jobs why a job waits, and how long", function()
      start(hour("01:00:00"))
      waits("job", "night")
      local job = jobs()[1]
      assert.equal("job", job.jobId)
      assert.equal("waiting", job.state)
      assert.matches("^night@%x+$", job.handler)
      assert.equal("requires.window: waits for 02:00-04:00, it is 01:00", job.why)
      assert.equal("window", job.waitsFor)
      assert.is_true(job.resumeInSeconds <= 3600 and job.resumeInSeconds > 3000)
    end)

    timed("holds no slot, and nothing on the disk: two that wait, and one that runs", function()
      start(hour("12:00:00"), { config = { max_concurrent_jobs = 1 } })
      create("one", "night")
      create("two", "night")
      gateway:wait_event("job.waits", { job = "one" })
      gateway:wait_event("job.waits", { job = "two" })
      create("behind", "quick")
      assert.equal("SUCCEEDED", world:ended("behind").status)
      assert.same({}, fs.list(gateway.dir .. "/data/work"))
      set(hour("03:00:00", 16))
      assert.equal("SUCCEEDED", world:ended("one").status)
      assert.equal("SUCCEEDED", world:ended("two").status)
      assert.is_true(world:ended("one").lastUpdatedAt <= world:ended("two").lastUpdatedAt)
    end)

    timed("refuses at once, if the handler says so", function()
      start(hour("12:00:00"))
      create("job", "daylight")
      local execution = world:ended("job")
      assert.equal("REJECTED", execution.status)
      assert.equal("NOT_MET", execution.details.code)
      assert.equal("requires.window: waits for 02:00-04:00, it is 12:00", execution.details.reason)
      assert.matches("^daylight@", execution.details.handler)
      assert.equal(2, execution.versionNumber) -- never started
    end)

    timed("is not asked for again after a restart in the middle of a job", function()
      local slow = [[return { api = 1, requires = { window = "02:00-04:00" }, run = function(job)
        if job:step("first", function() return true end) and job.attempt == 1 then
          job:sleep(1000)
        end
        return { attempts = job.attempt }
      end }]]
      start(hour("03:00:00"), { scripts = { ["night.lua"] = slow } })
      create("job", "night")
      gateway:wait_event("job.step", { job = "job" })
      gateway:kill()
      set(hour("12:00:00"))
      gateway:launch()
      local execution = world:ended("job")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("2", execution.details.attempts)
    end)
  end)

  timed("is asked for again when the claim was lost on its way, with the power", function()
    start(hour("03:00:00"))
    local claims = 0
    world:answer_with(function(topic)
      claims = claims + (topic:match("/job/update$") and 1 or 0)
      return topic:match("/job/update$") and "drop" or nil
    end)
    create("job", "night")
    wait_until(function() return claims > 0 end, worlds.PATIENCE, "a claim")
    gateway:kill()
    world:answer_with(nil)
    set(hour("12:00:00"))
    gateway:launch()
    gateway:wait_event("job.waits", { job = "job" })
    assert.equal(1, world:describe("job").versionNumber)
    set(hour("02:30:00", 16))
    local execution = world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal(3, execution.versionNumber)
  end)

  it("goes on waiting, and says no more, when the service is asked afresh", function()
    start(nil, { config = { poll = 1 } })
    create("job", "room")
    gateway:wait_event("job.waits", { job = "job" })
    local polls = 0
    world:before(function(topic)
      polls = polls + (topic:match("/jobs/%$next/get$") and 1 or 0)
      assert(not topic:match("/jobs/job/"), topic)
    end)
    wait_until(function() return polls >= 2 end, worlds.PATIENCE, "two polls")
    assert.equal("QUEUED", world:describe("job").status)
    assert.equal(1, gateway:count("job.waits"))
  end)

  it("forgets a job that is cancelled while it waits", function()
    start()
    waits("job", "room")
    assert.equal(1, #jobs())
    world:control("cancel_job", "job", {}, true, os.time())
    wait_until(function() return #jobs() == 0 end, worlds.PATIENCE, "an empty list of jobs")
    assert.equal("CANCELED", world:describe("job").status)
    assert.equal(1, gateway:count("job.waits"))
  end)

  timed("lets a job wait for the clock, and begins when it is set (field failure 7)", function()
    start("@1970-01-01 00:01:00")
    waits("job", "clock")
    local event = gateway:wait_event("job.waits")
    assert.matches("^requires.clock: it is not set, it says 1970", event.msg)
    set(hour("12:00:00"))
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("lets a job wait for room on the disk, and asks again when its handler is changed "
    .. "(field failure 13)", function()
    start()
    waits("job", "room")
    assert.matches("free in the data directory, needs 4000000.0 GB$", jobs()[1].why)
    assert(fs.write(gateway.dir .. "/scripts/room.lua", handler('requires = { disk = "1k" }')))
    gateway.process:kill("HUP")
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("is looked at again when another job has ended", function()
    start(nil, { scripts = {
      ["file.lua"] = handler(('requires = { commands = { "%s/tool" }, otherwise = "wait" }')
        :format(world.dir)),
      ["quick.lua"] = QUICK,
    } })
    waits("job", "file")
    exec.check({ "sh", "-c", ("echo '#!/bin/sh' > %s/tool; chmod 755 %s/tool"):format(world.dir,
      world.dir) })
    create("another", "quick")
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("refuses a job whose program is not there", function()
    start()
    create("job", "tool")
    local execution = world:ended("job")
    assert.equal("REJECTED", execution.status)
    assert.equal("NOT_MET", execution.details.code)
    assert.equal("requires.commands: rauc-of-no-one: not found in PATH", execution.details.reason)
  end)

  describe("max_age", function()
    timed("refuses a job that has waited too long, with both times", function()
      start("+2h")
      create("job", "fresh")
      local execution = world:ended("job")
      assert.equal("REJECTED", execution.status)
      assert.equal("TOO_OLD", execution.details.code)
      assert.matches("^too old: queued at 20%S+Z, and now it is 20%S+Z: 2 h; the handler's max_age "
        .. "is 1 h$", execution.details.reason)
      assert.equal(2, execution.versionNumber)
    end)

    timed("takes one that has not, and does not judge by a clock that is behind", function()
      start("+0")
      create("job", "fresh")
      assert.equal("SUCCEEDED", world:ended("job").status)
      set("-2h")
      create("job-2", "fresh")
      assert.equal("SUCCEEDED", world:ended("job-2").status)
    end)

    timed("ends a job that waits when its time is over", function()
      start("@1970-01-01 00:01:00")
      create("job", "fresh_night")
      gateway:wait_event("job.waits", { job = "job" })
      set("+2h")
      local execution = world:ended("job")
      assert.equal("REJECTED", execution.status)
      assert.equal("TOO_OLD", execution.details.code)
    end)
  end)
end)
