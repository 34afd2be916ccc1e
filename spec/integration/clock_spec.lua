-- A wall clock that jumps by decades under the real `hob run`: nothing changes but stamps in the
-- log. A clock that is wrong at the boot: TLS refuses, Hob says "clock", and waits for it.
--
-- The gateway runs under libfaketime (Debian's package faketime), which gives it the time that a
-- file says; its monotonic clock is left alone.

local exec = require("hob.exec")
local fs = require("hob.fs")
local shim = require("spec.support.shim")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local JUMPS = { "+30y", "-30y" }
local YEARS = 25 * 365 * 86400 -- a jump is more than this

local function library()
  local found = exec.run({ "sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1" }).stdout
  return found:match("^[^\n]+") or error("libfaketime is missing: ./dev setup installs it")
end

-- Waits as its document says, and tells how long that was by both clocks.
local WAITS = [[
  local exec, time = require("hob.exec"), require("hob.time")
  return { api = 1, timeout = 600, run = function(job)
    local mono, wall = time.mono(), time.now()
    local how = job:step("wait", function()
      if job.document.sleep then
        job:sleep(job.document.sleep)
      elseif job.document.timeout then
        return exec.run{ "sleep", "1000", timeout = job.document.timeout }.words
      elseif job.document.program then
        return exec.run{ "sleep", tostring(job.document.program) }.words
      end
    end)
    return { how = how, mono = time.mono() - mono, wall = time.now() - wall }
  end }
]]

-- Has 1.5 s for what would take a day.
local LATE = [[
  return { api = 1, timeout = 1.5, run = function(job)
    job:step("wait", function() job:sleep(86400) end)
  end }
]]

-- The first run is put off.
local LATER = [[
  local time = require("hob.time")
  return { api = 1, run = function(job)
    local began = job:step("began", function() return time.mono() end)
    if job.attempt == 1 then
      job:retry_later(1.5, "not now")
    end
    return { mono = time.mono() - began }
  end }
]]

describe("a wall clock", function()
  if shim.is_sanitized() then
    pending("that jumps: libfaketime and the sanitizers' runtime cannot be preloaded together")
    return
  end

  local world, clock, pid

  -- Written in one piece: the gateway reads it each time that it asks for the time.
  local function set(text)
    assert(fs.write(clock, text .. "\n"))
  end

  local function gateway(options)
    clock = world:path("clock")
    set(options.clock or "+0")
    options.env = {
      LD_PRELOAD = library(), FAKETIME_TIMESTAMP_FILE = clock, FAKETIME_NO_CACHE = "1",
      FAKETIME_DONT_FAKE_MONOTONIC = "1", NO_FAKE_STAT = "1",
    }
    local hob = world:gateway(options)
    pid = hob.process:pid()
    return hob
  end

  after_each(function()
    world:stop()
    -- libfaketime leaves these behind when its process is killed.
    fs.remove("/dev/shm/faketime_shm_" .. pid)
    fs.remove("/dev/shm/sem.faketime_sem_" .. pid)
  end)

  -- Processor time of the gateway so far, in seconds.
  local function processor()
    local stat = assert(fs.read(("/proc/%d/stat"):format(pid))):match("%) (.*)")
    local fields = {}
    for field in stat:gmatch("%S+") do
      fields[#fields + 1] = tonumber(field) or field
    end
    return (fields[12] + fields[13]) / 100
  end

  describe("that jumps by 30 years", function()
    local hob

    before_each(function()
      world = worlds.start({ tls = false })
      hob = gateway({ scripts = { ["waits.lua"] = WAITS, ["late.lua"] = LATE,
        ["later.lua"] = LATER }, config = { keep_alive = 5 } })
      hob:wait_event("jobs.subscribed")
    end)

    -- Create a job, jump when it waits, and give how it ended.
    local function jump_within(jump, document, event, fields)
      world:create("job", document)
      hob:wait_event(event or "job.step", fields or { job = "job" })
      set(jump)
      local execution = world:ended("job")
      assert.equal(0, hob:count("conn.lost"))
      assert.equal(1, world:terminal_updates("job"))
      return execution
    end

    local function jumped(execution)
      assert.is_true(math.abs(tonumber(execution.details.wall)) > YEARS, execution.details.wall)
    end

    for _, jump in ipairs(JUMPS) do
      describe(("(%s)"):format(jump), function()
        it("changes nothing for job:sleep", function()
          local execution = jump_within(jump, '{"operation":"waits","sleep":1.5}')
          assert.equal("SUCCEEDED", execution.status)
          jumped(execution)
          local mono = tonumber(execution.details.mono)
          assert.is_true(mono >= 1.5 and mono < 60, mono)
        end)

        it("changes nothing for a program that runs", function()
          local execution = jump_within(jump, '{"operation":"waits","program":1}')
          assert.equal("SUCCEEDED", execution.status)
          assert.equal("exit code 0", execution.details.how)
          jumped(execution)
        end)

        it("changes nothing for the time-out of a program", function()
          local execution = jump_within(jump, '{"operation":"waits","timeout":1.5}')
          assert.equal("SUCCEEDED", execution.status)
          assert.equal("timed out after 1.5 s", execution.details.how)
          jumped(execution)
          local mono = tonumber(execution.details.mono)
          assert.is_true(mono >= 1.5 and mono < 60, mono)
        end)

        it("changes nothing for the time-out of a job", function()
          local before = time.mono()
          local execution = jump_within(jump, '{"operation":"late"}')
          assert.equal("FAILED", execution.status)
          assert.equal("TIMED_OUT", execution.details.code)
          assert.is_true(time.mono() - before >= 1.5)
        end)

        it("changes nothing for a job that is put off", function()
          local execution = jump_within(jump, '{"operation":"later"}', "job.waits")
          assert.equal("SUCCEEDED", execution.status, execution.details.reason)
          local mono = tonumber(execution.details.mono)
          assert.is_true(mono >= 1.5 and mono < 60, mono)
        end)

        it("changes nothing for a gateway that has nothing to do but its keep-alive", function()
          -- A job that says nothing for more than 1.5 keep-alives: no traffic but pings.
          local used, before = processor(), time.mono()
          local execution = jump_within(jump, '{"operation":"waits","sleep":9}')
          assert.equal("SUCCEEDED", execution.status)
          jumped(execution)
          local share = (processor() - used) / (time.mono() - before)
          assert.is_true(share < 0.2, ("%.0f %% of the processor"):format(share * 100))
          assert.equal(1, hob:count("conn.up"))
        end)

        it("changes nothing for the next try to connect", function()
          world.broker:kill()
          hob:wait_event("conn.refused")
          set(jump)
          local refused = hob:count("conn.refused")
          wait_until(function() return hob:count("conn.refused") > refused end, worlds.PATIENCE,
            "one more try")
          world.broker:start_again()
          hob:wait_event("jobs.subscribed", nil, 2)
          world:create("after", '{"operation":"waits"}')
          assert.equal("SUCCEEDED", world:ended("after").status)
        end)

        it("shows in the stamps of the log, and nowhere else", function()
          set(jump)
          world:create("job", '{"operation":"waits"}')
          assert.equal("SUCCEEDED", world:ended("job").status)
          local started, finished = hob.events[1], hob:wait_event("job.finished")
          local years = tonumber(finished.ts:sub(1, 4)) - tonumber(started.ts:sub(1, 4))
          assert.equal(jump == "+30y" and 30 or -30, years)
          assert.is_true(finished.mono >= started.mono and finished.mono < started.mono + 600)
        end)

        it("does not keep the process from ending in order", function()
          set(jump)
          assert.equal(0, hob:stop())
        end)
      end)
    end

    it("back and forth leaves a queue of jobs in order", function()
      for i = 1, 10 do
        world:create("job-" .. i, '{"operation":"waits","sleep":0.05}')
      end
      for i = 1, 10 do
        hob:wait_event("job.step", { job = "job-" .. i })
        set(({ "+30y", "-30y", "+0", "-56y" })[i % 4 + 1])
      end
      for i = 1, 10 do
        assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
        assert.equal(1, world:terminal_updates("job-" .. i))
      end
      assert.equal(0, hob:count("conn.lost"))
    end)
  end)

  describe("that is wrong when TLS is asked for", function()
    before_each(function()
      world = worlds.start()
    end)

    local function refused(at)
      local hob = gateway({ clock = at, scripts = { ["waits.lua"] = WAITS },
        config = { backoff_base = 600, backoff_cap = 600 } })
      return hob, hob:wait_event("conn.refused")
    end

    local function works_when_set(hob)
      assert.is_nil(hob.events[#hob.events].event:match("conn.up"))
      set("+0")
      hob:wait_event("conn.clock_set")
      hob:wait_event("jobs.subscribed")
      world:create("job", '{"operation":"waits"}')
      assert.equal("SUCCEEDED", world:ended("job").status)
      assert.equal(1, hob:count("conn.refused"))
    end

    it("because it begins in 1970 is named as the cause, and waited for (field failure 7)",
      function()
        local hob, event = refused("@1970-01-01 00:01:00")
        assert.equal("ETLS", event.code)
        assert.matches("is not valid before 20%d%d%-[%d:TZ.-]+, and the clock says 1970%-01%-01",
          event.msg)
        assert.matches("set the time", event.msg, 1, true)
        assert.matches("clock", event.action, 1, true)
        works_when_set(hob)
      end)

    it("because it is far ahead is named as well, and waited for (field failure 7)", function()
      local hob, event = refused("+30y")
      assert.equal("ETLS", event.code)
      assert.matches("expired %d+ days ago, on [^;]+; the clock says 20%d%d%-", event.msg)
      works_when_set(hob)
    end)

    it("is no reason to try without end: one look a second, and no more", function()
      local hob = refused("@1970-01-01 00:01:00")
      local used, before = processor(), time.mono()
      wait_until(function() return time.mono() - before > 3 end, 20, "some time of waiting")
      assert.is_true(processor() - used < 0.3, processor() - used)
      assert.equal(1, hob:count("conn.refused"))
      assert.equal(0, hob:count("conn.clock_set"))
    end)
  end)
end)
