-- What systemd is told: READY, RELOADING, STOPPING, more time for a stop; and WATCHDOG, which a
-- loop that is held stops telling.

local lives = require("spec.support.lives")
local shims = require("spec.support.shim")
local supervisors = require("hob_units").supervisor
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

-- Watchdog messages are due twice in this time.
local WATCHDOG_S = 0.4

local SCRIPTS = {
  ["critical.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:step("flash", function() job:critical(function() mark("critical") hold() end) end)
    end }
  ]],
  ["spins.lua"] = [[
    return { api = 1, cpu = 0, run = function() while true do pcall(error) end end }
  ]],
  ["hangs.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      job:step("read", { interruptions = 100 }, function()
        mark("read")
        return fs.read(job.dir .. "/gone-for-ever")
      end)
    end }
  ]],
  ["ends-hob.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:restart_hob("an update")
      mark("new")
    end }
  ]],
  ["asks.lua"] = [[
    return { api = 1, run = function()
      local env = exec.check({ "env" }).stdout
      return { told = env:match("NOTIFY_SOCKET[^\n]*") or env:match("WATCHDOG_[^\n]*") or "no" }
    end }
  ]],
}

describe("systemd", function()
  local life, supervisor, heard, env, numbers

  before_each(function()
    numbers = (numbers or 0) + 1
  end)
  after_each(function()
    life:stop()
    if supervisor then
      supervisor:close()
      supervisor = nil
    end
  end)

  local function listen()
    local message = supervisor and supervisor:read()
    while message do
      for line in message:gmatch("[^\n]+") do
        heard[#heard + 1] = line
        heard.last_watchdog = line == "WATCHDOG=1" and time.mono() or heard.last_watchdog
      end
      message = supervisor:read()
    end
  end

  local function count(line)
    listen()
    local found = 0
    for _, other in ipairs(heard) do
      found = found + (other:find(line) and 1 or 0)
    end
    return found
  end

  -- How often in all, from the beginning.
  local function hears(line, times)
    wait_until(function() return count(line) >= (times or 1) end, worlds.PATIENCE, function()
      return ("%s; heard:\n%s"):format(line, table.concat(heard, "\n"))
    end)
  end

  local function begin(options)
    options = options or {}
    life = lives.new({ scripts = SCRIPTS, config = options.config, launch = false })
    local name = options.abstract and ("@%s/notify-%d"):format(life.world.dir, numbers)
      or life.world:path("notify")
    if not options.deaf then
      supervisor = supervisors.open(name)
    end
    heard, env = {}, { NOTIFY_SOCKET = name, WATCHDOG_PID = options.pid,
      WATCHDOG_USEC = tostring(math.floor(WATCHDOG_S * 1e6)) }
    for key, value in pairs(options.env or {}) do
      env[key] = value
    end
    life.gateway.env = env
  end

  local function launch()
    life.gateway:launch():wait_event("jobs.subscribed")
  end

  it("is told READY=1 when hob works, and what it does, also in the abstract namespace", function()
    begin({ abstract = true })
    launch()
    hears("^READY=1$")
    hears("^STATUS=at work for 1 thing$")
  end)

  it("is told RELOADING=1 before a reload, with the time, and READY=1 after it", function()
    begin()
    launch()
    hears("^READY=1$")
    local in_us = 0 -- of those that are no whole milliseconds
    for round = 1, 3 do
      local before = time.mono()
      life.gateway.process:kill("HUP")
      hears("^RELOADING=1$", round)
      hears("^MONOTONIC_USEC=%d+$", round)
      hears("^READY=1$", round + 1)
      local stamp
      for _, line in ipairs(heard) do
        stamp = tonumber(line:match("^MONOTONIC_USEC=(%d+)$")) or stamp
      end
      assert.is_true(stamp >= math.floor(before * 1000) * 1000 and stamp <= time.mono() * 1e6 + 1)
      in_us = in_us + (stamp % 1000 ~= 0 and 1 or 0)
    end
    assert.is_true(in_us > 0, "systemd takes a time before its request for no answer")
    assert.equal(0, count("^STOPPING"))
  end)

  it("is told STOPPING=1, and asked for time while a critical section delays the stop", function()
    begin({ config = { stop_grace = 0.1, stop_timeout = 60 } })
    launch()
    life:create("job", "critical")
    life:wait_marks("critical ")
    life.gateway.process:kill("TERM")
    hears("^STOPPING=1$")
    hears("^STATUS=SIGTERM$")
    hears("^EXTEND_TIMEOUT_USEC=20000000$")
    local before = count("^WATCHDOG=1$")
    life.gateway:wait_event("job.delayed")
    hears("^WATCHDOG=1$", before + 2)
    life:go()
    assert.equal(0, life.gateway:wait_end().code)
  end)

  it("waits for the new process of a restart, and is not told of a stop", function()
    begin()
    launch()
    life:create("job", "ends-hob")
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    hears("^RELOADING=1$")
    hears("^READY=1$", 2)
    assert.equal(0, count("^STOPPING"))
  end)

  it("is told by hob alone: a job's programs do not know where", function()
    begin()
    launch()
    life:create("job", "asks")
    assert.equal("no", life.world:ended("job").details.told)
    life:create("again", "ends-hob")
    assert.equal("SUCCEEDED", life.world:ended("again").status)
    hears("^READY=1$", 2) -- the new process does
    life:create("then", "asks")
    assert.equal("no", life.world:ended("then").details.told)
  end)

  describe("is told WATCHDOG=1", function()
    it("twice in its time, while a job spins too", function()
      begin()
      launch()
      hears("^WATCHDOG=1$", 3)
      life:create("job", "spins")
      life.gateway:wait_event("job.started")
      hears("^WATCHDOG=1$", count("^WATCHDOG=1$") + 4)
    end)

    it("only if that is wanted, of this process", function()
      begin({ pid = "1" })
      launch()
      life:create("job", "next")
      assert.equal("SUCCEEDED", life.world:ended("job").status)
      hears("^READY=1$")
      assert.equal(0, count("^WATCHDOG"))
    end)

    it("no more when a job's call never returns; the third such end is that job's", function()
      begin({ env = { HOB_SHIM_HOLD = "gone-for-ever" } })
      local shim = shims.on(life.gateway)
      shim:arm()
      for key, value in pairs(env) do
        life.gateway.env[key] = value
      end
      launch()
      life:create("job", "hangs")
      for run = 1, 3 do
        life:wait_marks("first " .. ("read "):rep(run))
        hears("^READY=1$", run)
        heard.last_watchdog = time.mono()
        wait_until(function() -- as systemd does
          listen()
          return time.mono() - heard.last_watchdog > WATCHDOG_S * 2
        end, worlds.PATIENCE, "the silence")
        life.gateway.process:kill(6) -- SIGABRT
        assert.equal(6, life.gateway:wait_end().signal)
        life.gateway:launch()
      end
      local execution = life.world:ended("job")
      assert.equal("FAILED", execution.status)
      assert.equal("CRASHED", execution.details.code)
      assert.equal("took the runtime down 3 times in step 'read'", execution.details.reason)
      life:wait_marks("first read read read cleanup:crashed:CRASHED:read ")
    end)
  end)

  describe("that cannot be told", function()
    it("is named in the log once, and jobs are done all the same", function()
      begin({ deaf = true })
      launch()
      local failed = life.gateway:wait_event("notify.failed")
      assert.matches("^systemd cannot be told at .*notify: ", failed.msg)
      life:create("job", "next")
      assert.equal("SUCCEEDED", life.world:ended("job").status)
      assert.equal(1, life.gateway:count("notify.failed"))
    end)

    it("is also one whose name is no socket's", function()
      begin({ deaf = true, env = { NOTIFY_SOCKET = "vsock:2:1" } })
      launch()
      assert.matches("vsock:2:1", life.gateway:wait_event("notify.failed").msg)
    end)
  end)
end)
