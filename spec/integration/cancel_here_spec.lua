-- `hob cancel`: a person at the gateway ends a job there.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local lives = require("spec.support.lives")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local SCRIPTS = {
  ["later.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("first", function() mark("first") end)
      job:retry_later(3600, "no depot")
    end }
  ]],
  ["window.lua"] = [[
    return { api = 1, args = ARGS, requires = { disk = 1 << 50 }, run = function() mark("ran") end }
  ]],
  ["slow-cleanup.lua"] = [[
    return { api = 1, args = ARGS,
      run = function(job)
        job:step("first", function() mark("first") hold() end)
      end,
      cleanup = function()
        mark("cleaning")
        while not fs.stat(GO .. "2") do time.sleep(0.01) end
      end }
  ]],
}

describe("hob cancel", function()
  local life

  local function begin(options)
    options = options or {}
    options.scripts = SCRIPTS
    life = lives.new(options)
  end
  after_each(function()
    life:stop()
  end)

  local function cancel(...)
    local result = exec.run({ worlds.hob(), "cancel", "--config", life.gateway.config, ... })
    return result.code, result.stdout, result.stderr
  end
  local function cancel_json(...)
    local code, text, err = cancel("--json", ...)
    assert.equal("", err)
    return code, json.decode(text)
  end
  local function in_hand(job)
    local result = exec.run({ worlds.hob(), "jobs", "--json", "--config", life.gateway.config })
    for _, one in ipairs(json.decode(result.stdout).jobs) do
      if one.jobId == job then
        return one
      end
    end
  end
  local REASON = "^cancelled by process %d+ of %S+ here$"

  it("ends a running job: its step, its cleanup, FAILED in the cloud with who did it", function()
    begin()
    life:create("job", "endless")
    life:wait_marks("first wait ")
    local code, text = cancel("job")
    assert.equal(0, code)
    assert.matches("gw%-1 job, execution 1 %(running%): it is being ended", text)
    local ended = life.world:ended("job")
    assert.equal("FAILED", ended.status)
    assert.equal("CANCELLED", ended.details.code)
    assert.matches(REASON, ended.details.reason)
    life:wait_marks("first wait cleanup:cancelled:CANCELLED:wait ")
    local said = life.gateway:wait_event("control.command", { job = "job", thing = "gw-1" })
    assert.matches("process %d+ of %S+: cancel, execution 1$", said.msg)
  end)

  it("ends one that waits for its time, and one that asked for a reboot", function()
    begin({ config = { reboot_wait = 3600 } })
    life:create("job", "later")
    wait_until(function()
      local job = in_hand("job")
      return job and job.state == "waiting"
    end, PATIENCE, "retry_later")
    local _, answer = cancel_json("job")
    assert.equal("waiting", answer.state)
    assert.equal("FAILED", life.world:ended("job").status)
    life:wait_marks("first cleanup:cancelled:CANCELLED:- ")
  end)

  it("refuses one that waits for its `requires`: REJECTED, though it has never begun", function()
    begin()
    life:create("job", "window")
    life.gateway:wait_event("job.waits")
    local code, answer = cancel_json("job")
    assert.equal(0, code)
    assert.equal("waiting", answer.state)
    assert.matches("not begun", answer.what)
    local ended = life.world:ended("job")
    assert.equal("REJECTED", ended.status)
    assert.matches(REASON, ended.details.reason)
    assert.is_nil(in_hand("job"))
    assert.equal("REJECTED", life:said("job"))
  end)

  it("refuses one that only the service's list names, also when another one runs", function()
    begin()
    life:create("runs", "endless")
    life:wait_marks("first wait ")
    life:create("job", "next")
    wait_until(function() return in_hand("job") end, PATIENCE, "the list")
    local _, answer = cancel_json("job")
    assert.equal("pending", answer.state)
    assert.equal("REJECTED", life.world:ended("job").status)
    assert(fs.write(life.go_path, ""))
    assert.equal("SUCCEEDED", life.world:ended("runs").status)
    life:wait_marks("first wait end ")
  end)

  it("keeps a refusal that could not be told, across a restart", function()
    begin()
    life:create("job", "window")
    life.gateway:wait_event("job.waits")
    life.world:answer_with(function(topic)
      return topic:match("/job/") and "drop"
    end)
    assert.equal(0, (cancel("job")))
    assert.is_nil(in_hand("job"))
    life.gateway:kill()
    life.world:answer_with(nil)
    life.gateway:launch()
    assert.equal("REJECTED", life.world:ended("job").status)
  end)

  it("ends one whose claim is on its way, once the service says that it is ours", function()
    begin()
    local held = true
    life.world:answer_with(function(topic, request)
      if topic:match("/job/update$") and request.status == "IN_PROGRESS" and held then
        held = "seen"
        return { code = "InternalError", message = "said the spec" }
      elseif topic:match("/job/update$") and held then
        return { code = "InternalError", message = "said the spec" }
      end
    end)
    life:create("job", "endless")
    wait_until(function() return held == "seen" end, PATIENCE, "the claim")
    local _, answer = cancel_json("job")
    assert.equal("claiming", answer.state)
    held = nil
    assert.equal("FAILED", life.world:ended("job").status)
    assert.matches(REASON, life.world:describe("job").details.reason)
    assert.equal("", life:marks())
  end)

  it("ends one that waits to be resumed: its cleanup runs, its `run` does not", function()
    begin({ config = { max_concurrent_jobs = 2 } })
    life:create("one", "endless")
    life:wait_marks("first wait ")
    life:create("two", "endless")
    life:wait_marks("first wait first wait ")
    life.gateway:kill()
    life.gateway:launch()
    life.gateway:wait_event("job.probation") -- who has killed it? One goes on at a time
    local waits
    wait_until(function()
      local one, two = in_hand("one"), in_hand("two")
      waits = one and one.state == "resuming" and "one" or two and two.state == "resuming" and "two"
      return waits and (one.state == "running" or two.state == "running")
    end, PATIENCE, "one of them to go on")
    local code, answer = cancel_json(waits)
    assert.equal(0, code)
    assert.equal("resuming", answer.state)
    assert.matches("when its turn comes", answer.what)
    assert.equal(1, (cancel(waits))) -- that is decided already
    assert(fs.write(life.go_path, ""))
    assert.equal("SUCCEEDED", life.world:ended(waits == "one" and "two" or "one").status)
    local ended = life.world:ended(waits)
    assert.equal("FAILED", ended.status)
    assert.matches(REASON, ended.details.reason)
    assert.matches("cleanup:cancelled:CANCELLED", life:marks())
    assert.equal(1, select(2, life:marks():gsub("end ", "")))
  end)

  it("says of one that was ending already that nothing changes", function()
    begin()
    life:create("job", "slow-cleanup")
    life:wait_marks("first ")
    assert.equal(0, (cancel("job")))
    life:wait_marks("first cleaning ")
    local code, text = cancel("job")
    assert.equal(1, code)
    assert.matches("ending already", text)
    assert(fs.write(life.go_path .. "2", ""))
    assert.equal("FAILED", life.world:ended("job").status)
  end)

  it("names what is in hand where the job is not", function()
    begin()
    assert.matches("in hand: nothing", select(3, cancel("job")))
    life:create("runs", "endless")
    life:wait_marks("first wait ")
    local code, _, err = cancel("job")
    assert.equal(1, code)
    assert.matches("job 'job' is not in hand here; in hand: runs", err)
    code, _, err = cancel("runs", "--execution", "7")
    assert.equal(1, code)
    assert.matches("execution 1 of it", err)
    assert.matches("no thing 'lamp'", select(3, cancel("runs", "--thing", "lamp")))
    assert.equal(0, (cancel("runs", "--thing", "gw-1", "--execution", "1")))
  end)

  it("is misused without a job, or with more than one", function()
    begin()
    assert.equal(2, (cancel()))
    assert.equal(2, (cancel("a", "b")))
    assert.equal(2, (cancel("a", "--execution", "0")))
    local code, _, err = cancel("\xFF")
    assert.equal(1, code)
    assert.matches("^hob cancel: this cannot be asked: .*UTF%-8", err)
  end)
end)

describe("hob cancel on a gateway of several things", function()
  it("names those that have the job in hand, and wants to know which is meant", function()
    local world = worlds.start({ tls = false })
    finally(function() world:stop() end)
    local gateway = world:gateway({ scripts = { ["waits.lua"] = [[
      return { api = 1, run = function(job) job:retry_later(3600, "no depot") end } ]] },
      config = { things = { lua = '{ { thing_name = "gw-1" }, { thing_name = "gw-2" } }' } } })
    gateway:wait_event("jobs.subscribed", nil, 2)
    world:control("create_job", "both", { document = '{"operation":"waits"}', targets = {
      "arn:aws:iot:us-east-1:123456789012:thing/gw-1",
      "arn:aws:iot:us-east-1:123456789012:thing/gw-2" } }, time.now())
    gateway:wait_event("job.waits", nil, 2)
    local function cancel(...)
      return exec.run({ worlds.hob(), "cancel", "both", "--config", gateway.config, ... })
    end
    local result = cancel()
    assert.equal(1, result.code)
    assert.matches("in hand 2 times %(gw%-1 execution 1, gw%-2 execution 1%): say of which thing",
      result.stderr)
    assert.equal(0, cancel("--thing", "gw-2").code)
  end)
end)
