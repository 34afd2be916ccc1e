-- `hob drain`: no new job begins while a person works on the gateway.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local lives = require("spec.support.lives")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

describe("hob drain", function()
  local life

  before_each(function()
    life = nil
  end)
  after_each(function()
    life:stop()
  end)

  local function hob(...)
    return exec.run({ worlds.hob(), ..., })
  end
  local function drain(...)
    local result = hob("drain", "--config", life.gateway.config, ...)
    return result.code, result.stdout, result.stderr
  end
  local function command(name)
    local result = hob(name, "--json", "--config", life.gateway.config)
    assert.equal(0, result.code, result.stderr)
    return json.decode(result.stdout)
  end
  local function who()
    local user = exec.check({ "id", "-un" }).stdout:gsub("\n", "")
    return "process %d+ of " .. user
  end
  -- The gateway knows of it.
  local function named(job)
    wait_until(function()
      for _, one in ipairs(command("jobs").jobs) do
        if one.jobId == job then
          return one
        end
      end
    end, PATIENCE, "the gateway to know of " .. job)
  end

  it("begins no new job, and goes on with what has begun", function()
    life = lives.new()
    life:create("runs", "endless")
    life:wait_marks("first wait ")
    assert.equal(0, (drain("on")))
    life:create("comes", "next")
    assert(fs.write(life.go_path, ""))
    assert.equal("SUCCEEDED", life.world:ended("runs").status)
    named("comes")
    assert.equal("QUEUED", life.world:describe("comes").status)
    life:wait_marks("first wait end ")
    assert.equal(0, (drain("off")))
    assert.equal("SUCCEEDED", life.world:ended("comes").status)
    life:wait_marks("first wait end next:alone ")
  end)

  it("is `on` without a word, and says who has wanted it since when and why", function()
    life = lives.new()
    local code, text = drain("--reason", "new modem")
    assert.equal(0, code)
    assert.matches("^draining since %d+%-.-Z, by " .. who() .. ": new modem\n", text)
    code, text = drain("status")
    assert.equal(0, code)
    assert.matches("new modem", text)
    local event = life.gateway:wait_event("control.command")
    assert.matches("^" .. who() .. ": drain on: new modem$", event.msg)
    assert.matches("^not draining", select(2, drain("off")))
    assert.matches("drain off$", life.gateway:wait_event("control.command", {}, 2).msg)
  end)

  it("survives a restart of Hob, which says so when it starts", function()
    life = lives.new()
    drain("on", "--reason", "tower work")
    life.gateway:kill()
    life:create("comes", "next")
    life.gateway:launch()
    local event = life.gateway:wait_event("hob.draining")
    assert.matches("by " .. who() .. ": tower work$", event.msg)
    assert.equal("warn", event.level)
    life.gateway:wait_event("jobs.subscribed", {}, 2)
    named("comes")
    assert.equal("QUEUED", life.world:describe("comes").status)
    drain("off")
    assert.equal("SUCCEEDED", life.world:ended("comes").status)
    assert.equal(0, life.gateway:stop())
    life.gateway:launch()
    life.gateway:wait_event("jobs.subscribed", {}, 3)
    assert.equal(1, life.gateway:count("hob.draining"))
  end)

  it("lets a job that was running when Hob ended go on", function()
    life = lives.new()
    life:create("runs", "endless")
    life:wait_marks("first wait ")
    drain("on")
    life.gateway:kill()
    assert(fs.write(life.go_path, ""))
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("runs").status)
  end)

  it("is shown by `hob status` and by `hob jobs`, which says why each job waits", function()
    life = lives.new()
    drain("on", "--reason", "tower work")
    life:create("comes", "next")
    named("comes")
    local status = command("status")
    assert.is_true(status.draining)
    assert.equal("tower work", status.drain.reason)
    assert.matches(who(), status.drain.who)
    local jobs = command("jobs")
    assert.equal("tower work", jobs.drain.reason)
    assert.equal("pending", jobs.jobs[1].state)
    assert.equal("drain", jobs.jobs[1].waitsFor)
    assert.matches("drain", jobs.jobs[1].why)
    for _, name in ipairs({ "status", "jobs" }) do
      local text = hob(name, "--config", life.gateway.config).stdout
      assert.matches("[Dd]rain.*tower work", text)
    end
  end)

  it("counts what has begun and what waits", function()
    life = lives.new()
    life:create("runs", "endless")
    life:wait_marks("first wait ")
    life:create("comes", "next")
    named("comes")
    local _, text = drain("on", "--json")
    local answer = json.decode(text)
    assert.equal(1, answer.begun)
    assert.equal(1, answer.waiting)
    assert.is_true(answer.draining)
  end)

  it("goes on with a claim that was sent: it may have been accepted", function()
    life = lives.new()
    local held = true
    life.world:answer_with(function(topic)
      if topic:match("/comes/update$") and held then
        return { code = "InternalError", message = "said the spec" }
      end
    end)
    life:create("comes", "next")
    life.gateway:wait_event("jobs.retry")
    drain("on")
    held = false
    assert.equal("SUCCEEDED", life.world:ended("comes").status)
  end)

  it("refuses what is no reason", function()
    life = lives.new()
    assert.equal(2, (drain("off", "--reason", "x")))
    assert.equal(2, (drain("maybe")))
    local code, _, err = drain("on", "--reason", ("x"):rep(201))
    assert.equal(1, code)
    assert.matches("200 bytes", err)
    assert.equal(1, (drain("on", "--reason", "two\nlines")))
    assert.matches("^not draining", select(2, drain("status")))
  end)

  it("says that no gateway runs", function()
    life = lives.new()
    assert.equal(0, life.gateway:stop())
    local code, _, err = drain("on")
    assert.equal(1, code)
    assert.matches("does a gateway run there", err)
  end)
end)
