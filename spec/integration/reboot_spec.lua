-- job:reboot and job:restart_hob: the machine is a file with a boot id, the reboot a command that
-- changes it and kills the gateway.

local fs = require("hob.fs")
local lives = require("spec.support.lives")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  ["update.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("install", function() mark("install") end)
      job:reboot("into the new slot")
      mark("back")
      job:step("confirm", function() mark("confirm") end)
      return { confirmed = true }
    end }
  ]],
  ["twice.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:reboot("first")
      job:step("between", function() mark("between") end)
      job:reboot("second")
      mark("end")
    end }
  ]],
  -- Passes for done as soon as the new version runs: asked once, before the reboot.
  ["done.lua"] = [[
    return { api = 1, args = ARGS,
      already_done = function() mark("asked") return fs.stat(GO) ~= nil end,
      run = function(job)
        job:step("install", function() mark("install") assert(fs.write(GO, "")) end)
        job:reboot("")
        job:step("confirm", function() mark("confirm") end)
      end }
  ]],
  -- Its confirmation fails for good; the next boot would pass it.
  ["back.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      job:reboot("into the new slot")
      local ok = pcall(job.step, job, "confirm", function()
        mark("confirm")
        assert(fs.stat(GO), "fell back")
      end)
      if not ok then
        job:step("roll back", function() mark("rollback") hold() end)
        return nil, "rolled back"
      end
    end }
  ]],
  ["restart.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("install", function() mark("install") end)
      job:restart_hob("a new Hob")
      mark("back")
    end }
  ]],
}

-- A machine that goes down: another boot id, and the process that asked is gone.
local BOOTS = [[
  echo "$$" >> %s.asked
  n=$(wc -l < %s.asked)
  echo "boot-by-command-$n" > %s
  kill -9 $PPID
]]

local life

local function begin(command, config)
  local values = { reboot_command = { "true" }, reboot_wait = 0.2 }
  for key, value in pairs(config or {}) do
    values[key] = value
  end
  life = lives.new({ scripts = SCRIPTS, config = values, launch = false })
  local path = life.world:path("reboot.sh")
  local text = command:gsub("%%s", life.boot_path)
  assert(fs.write(path, text))
  local conf = fs.read(life.gateway.config)
  conf = conf:gsub("reboot_command = %b{}", ('reboot_command = { "sh", "%s" }'):format(path))
  assert(fs.write(life.gateway.config, conf))
  life.gateway:launch()
  life.gateway:wait_event("jobs.subscribed")
end

-- The gateway was killed by the reboot; the machine is up again.
local function comes_up()
  assert(life.gateway:wait_end(), "the gateway was not killed")
  life.gateway:launch()
end

local function asked()
  local _, count = (fs.read(life.boot_path .. ".asked") or ""):gsub("\n", "")
  return count
end

describe("job:reboot", function()
  after_each(function()
    life:stop()
  end)

  it("goes on after the reboot, once (field failures 5 and 6)", function()
    begin(BOOTS)
    life:create("job", "update")
    assert(life.gateway:wait_end())
    assert.equal("IN_PROGRESS", life.world:describe("job").status)
    assert.equal("rebooting: into the new slot", life.world:describe("job").details.progress)
    life.gateway:launch()
    local execution = life.world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("true", execution.details.confirmed)
    assert.equal("install back confirm ", life:marks())
    assert.equal(1, asked())
    assert.equal(1, life.world:terminal_updates("job"))
    life.gateway:wait_event("job.rebooted", { job = "job" })
  end)

  it("is not asked for again by a restart after it (field failure 5)", function()
    begin(BOOTS)
    life:create("job", "twice")
    comes_up()
    life:wait_marks("between ")
    comes_up()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("between end ")
    assert.equal(2, asked())
  end)

  it("says what the service should know before the machine goes down", function()
    begin(BOOTS)
    life:create("job", "update")
    comes_up()
    life.world:ended("job")
    assert.matches("^IN_PROGRESS; IN_PROGRESS rebooting: into the new slot; ", life:said("job"))
  end)

  it("does not wait for the service for ever", function()
    begin(BOOTS)
    life.world:answer_with(function(topic, request)
      if topic:find("/update$") and (request.statusDetails or {}).progress then
        return "drop"
      end
    end)
    life:create("job", "update")
    comes_up()
    life.world:answer_with(nil)
    assert.equal("SUCCEEDED", life.world:ended("job").status)
  end)

  it("is counted as the end in order that it is: not as a crash", function()
    begin(BOOTS)
    life:create("job", "update")
    assert(life.gateway:wait_end())
    local row = life:row("job")
    assert.equal("", row.boot)
    assert.equal(0, row.interrupted)
    assert.equal(0, row.deaths)
    life.gateway:launch()
    life.world:ended("job")
  end)

  it("that does not happen is asked for three times, then FAILED (field failure 5)", function()
    begin("echo x >> %s.asked")
    life:create("job", "update")
    local execution = life.world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("REBOOT_FAILED", execution.details.code)
    assert.matches("^asked for 3 reboots, but the boot id has not changed: the command ended well",
      execution.details.reason)
    assert.equal(3, asked())
    life:wait_marks("install cleanup:failed:REBOOT_FAILED:hob:reboot 1 ")
  end)

  it("whose command fails is told in the command's own words", function()
    begin("echo x >> %s.asked; echo 'Access denied' >&2; exit 4")
    life:create("job", "update")
    local execution = life.world:ended("job")
    assert.equal("REBOOT_FAILED", execution.details.code)
    assert.matches("exit code 4: Access denied$", execution.details.reason)
    assert.equal(3, asked())
    life.gateway:wait_event("job.reboot_failed", { job = "job" }, 3)
  end)

  it("whose command does not exist says so", function()
    begin("true")
    local conf = fs.read(life.gateway.config):gsub("reboot_command = %b{}",
      'reboot_command = { "no-such-reboot" }')
    life.gateway:stop()
    assert(fs.write(life.gateway.config, conf))
    life.gateway:launch()
    life:create("job", "update")
    local execution = life.world:ended("job")
    assert.equal("REBOOT_FAILED", execution.details.code)
    assert.matches("no%-such%-reboot: not found in PATH", execution.details.reason)
  end)

  it("is asked for again when the gateway was killed between the ask and the reboot", function()
    -- The first time only the process goes down.
    begin("echo x >> %s.asked; [ $(wc -l < %s.asked) = 1 ] || echo other > %s; kill -9 $PPID")
    life:create("job", "update")
    comes_up()
    comes_up()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    assert.equal(2, asked())
    assert.equal("install back confirm ", life:marks())
  end)

  it("that only brings Hob down is given up after three times, over all processes", function()
    begin("echo x >> %s.asked; kill -9 $PPID")
    life:create("job", "update")
    for _ = 1, 3 do
      comes_up()
    end
    local execution = life.world:ended("job")
    assert.equal("REBOOT_FAILED", execution.details.code)
    assert.matches("only Hob was started again", execution.details.reason)
    assert.equal(3, asked())
  end)

  it("lets no new job begin meanwhile", function()
    begin("echo x >> %s.asked", { max_concurrent_jobs = 2, reboot_wait = 1 })
    life:create("job", "update")
    wait_until(function() return asked() > 0 end, worlds.PATIENCE, "the reboot")
    life:create("after", "next")
    life.world:ended("job")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    life:wait_marks("install cleanup:failed:REBOOT_FAILED:hob:reboot 1 next:alone ")
  end)

  it("can be cancelled while it does not happen", function()
    begin("echo x >> %s.asked", { reboot_wait = 1000 })
    life:create("job", "update")
    wait_until(function() return asked() > 0 end, worlds.PATIENCE, "the reboot")
    life:cancel("job")
    assert.equal("CANCELED", life:finished("job").code)
    life:wait_marks("install cleanup:cancelled:CANCELLED:hob:reboot 1 ")
    life:create("after", "next")
    assert.equal("SUCCEEDED", life.world:ended("after").status)
    assert.equal(1, asked())
  end)

  it("ends in order when SIGTERM comes because of it", function()
    begin("echo x >> %s.asked; echo other > %s; kill -TERM $PPID", { reboot_wait = 1000 })
    life:create("job", "update")
    comes_up()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    assert.equal("install back confirm ", life:marks())
    assert.equal(1, asked())
  end)

  it("does not ask `already_done` again: it still confirms (field failure 19)", function()
    begin(BOOTS)
    life:create("job", "done")
    comes_up()
    assert.equal("SUCCEEDED", life.world:ended("job").status)
    life:wait_marks("asked install confirm ")
  end)

  it("takes the same branch after a power cut in the roll-back (field failure 20)", function()
    begin(BOOTS)
    life:create("job", "back")
    comes_up()
    life:wait_marks("confirm rollback ")
    life.gateway:kill()
    life:boot("boot-after-the-cut")
    life:go() -- by now the confirmation would pass
    life.gateway:launch()
    local execution = life.world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("rolled back", execution.details.reason)
    life:wait_marks("confirm rollback rollback ")
  end)
end)

describe("job:restart_hob", function()
  after_each(function()
    life:stop()
  end)

  it("goes on in the new process, once (field failure 17)", function()
    begin("true")
    life:create("job", "restart")
    local execution = life.world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("install back ", life:marks())
    life.gateway:wait_event("hob.started", nil, 2)
    assert.matches("^IN_PROGRESS; IN_PROGRESS restarting Hob: a new Hob; ", life:said("job"))
    assert.equal(1, life.world:terminal_updates("job"))
  end)
end)
