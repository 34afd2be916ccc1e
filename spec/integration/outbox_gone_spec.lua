-- What the outbox makes of an execution that the service has ended, or changed, while it runs here.

local exec = require("hob.exec")
local fs = require("hob.fs")
local tellings = require("spec.support.telling")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local is, is_progress, once, refused = tellings.is, tellings.is_progress, tellings.once,
  tellings.refused

describe("progress that meets VersionMismatch", function()
  local telling, world, go

  before_each(function()
    telling = tellings.new()
    world = telling.world
    go = world:path("go")
  end)
  after_each(function()
    telling:stop()
  end)

  local function shown(text)
    wait_until(function() return world:describe("job").details.progress == text end,
      worlds.PATIENCE, text .. "; " .. world:explain())
  end

  local function let_go()
    exec.check({ "touch", go .. ".2" })
    assert.equal("SUCCEEDED", world:ended("job").status)
  end

  it("is sent again with the version that the execution has (field failure 3)", function()
    telling:start()
    telling.answer = once(is_progress, function()
      world:update_behind("job", { status = "IN_PROGRESS" })
    end)
    telling:create("twice", go)
    shown("1% first")
    assert.equal("IN_PROGRESS 1, IN_PROGRESS 2, look, IN_PROGRESS 3", telling:updates("job", true))
    exec.check({ "touch", go })
    let_go()
  end)

  it("after a resume: the latest is sent, though nothing new is said", function()
    telling:start()
    telling:create("twice", go)
    shown("1% first")
    telling.gateway:kill()
    world:update_behind("job", { status = "IN_PROGRESS", statusDetails = { by = "another" } })
    telling.on_request = function(topic)
      if topic:match("/%$next/get$") then -- behind the answer that brought the version
        telling.on_answer_once = true
      end
    end
    world:after(function(topic)
      if telling.on_answer_once and topic:match("/%$next/get$") then
        telling.on_answer_once = nil
        world:update_behind("job", { status = "IN_PROGRESS" })
      end
    end)
    telling.gateway:launch()
    shown("1% first")
    exec.check({ "touch", go })
    let_go()
  end)

  it("does not forget what was said while an earlier one was on its way", function()
    telling:start()
    local held
    world:after(function(_, request)
      if is_progress(nil, request) and not held then
        held = true
        exec.check({ "touch", go })
        wait_until(function() return fs.stat(go .. ".said") end, worlds.PATIENCE, "more progress")
      end
    end)
    telling:create("twice", go)
    shown("2% second")
    let_go()
  end)

  it("sends what was said last, not what was refused", function()
    telling:start()
    local held
    telling.answer = once(is_progress, function()
      exec.check({ "touch", go }) -- meanwhile the handler says more
      held = true
      world:update_behind("job", { status = "IN_PROGRESS" })
    end)
    telling:create("twice", go)
    shown("2% second")
    assert.is_true(held)
    let_go()
  end)

  it("is not told to another execution that has the same job id by now", function()
    telling:start()
    telling:create("twice", go)
    shown("1% first")
    world:control("delete_job", "job", true, os.time() + 5)
    world:control("create_job", "job", { document = '{"operation":"twice"}', targets = {
      "arn:aws:iot:us-east-1:123456789012:thing/other",
      "arn:aws:iot:us-east-1:123456789012:thing/gw-1" } }, os.time() + 5)
    for _ = 1, 5 do
      world:update_behind("job", { status = "IN_PROGRESS", statusDetails = { mine = "no" } })
    end
    exec.check({ "touch", go })
    wait_until(function() return telling:updates("job", true):match("look") end, worlds.PATIENCE,
      "a look; " .. world:explain())
    exec.check({ "touch", go .. ".2" })
    telling.gateway:stop()
    assert.equal("no", world:describe("job").details.mine)
    assert.equal("IN_PROGRESS", world:describe("job").status)
  end)

  it("does not spin when somebody else keeps changing the execution", function()
    telling:start()
    telling.answer = tellings.times(4, is_progress, function()
      world:update_behind("job", { status = "IN_PROGRESS" })
    end)
    telling:create("twice", go)
    shown("1% first")
    assert.is_true(telling.gateway:count("job.report_delayed") >= 3)
    exec.check({ "touch", go })
    let_go()
  end)
end)

-- Nothing announces it: only the refusal of the next progress tells.
describe("a running job whose progress is refused", function()
  local telling, world, gateway

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  local function ends_as(status, theirs, change)
    gateway = telling:start()
    telling:create("report", "/nowhere")
    wait_until(function() return world:describe("job").details.progress end, worlds.PATIENCE,
      "progress")
    change()
    gateway:wait_event("job.finished", { code = status })
    gateway:stop()
    assert.equal(theirs, telling:stored("theirs"))
    assert.equal(0, world:terminal_updates("job"))
  end

  it("because it was cancelled is ended here (field failure 12)", function()
    ends_as("CANCELED", "CANCELED", function()
      world.engine:cancel_job("job", {}, true, os.time())
    end)
  end)

  it("because it timed out there is ended here", function()
    ends_as("TIMED_OUT", "TIMED_OUT", function()
      telling.answer = tellings.always(is_progress,
        refused("InvalidStateTransition", "TIMED_OUT", 9))
    end)
  end)

  it("with a version and the end is ended here", function()
    ends_as("REMOVED", "REMOVED", function()
      telling.answer = tellings.always(is_progress, refused("VersionMismatch", "REMOVED", 9))
    end)
  end)

  it("because it does not exist any more is ended here", function()
    gateway = telling:start()
    telling:create("report", "/nowhere")
    wait_until(function() return world:describe("job").details.progress end, worlds.PATIENCE,
      "progress")
    world.engine:delete_job("job", true, os.time())
    gateway:wait_event("job.finished")
    telling:create("quick", nil, "next")
    assert.equal("SUCCEEDED", world:ended("next").status)
  end)

  it("because its id is another execution's is ended here, and that one is left alone", function()
    gateway = telling:start()
    telling:create("report", "/nowhere")
    wait_until(function() return world:describe("job").details.progress end, worlds.PATIENCE,
      "progress")
    world.engine:delete_job("job", true, os.time() + 5)
    world.engine:create_job("job", { document = '{"operation":"nobody"}',
      targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" } }, os.time() + 5)
    gateway:wait_event("job.finished")
    assert.equal(0, world:terminal_updates("job"))
  end)
end)

describe("progress", function()
  local telling, world

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  it("sets the service's step timer anew, by the handler's timeout", function()
    telling:start({ scripts = { ["slow.lua"] = [[
      return { api = 1, timeout = 600, run = function(job)
        job:progress(1, "begun")
        job:sleep(3600)
      end }
    ]] } })
    telling:create("slow")
    wait_until(function() return #telling.seen >= 2 end, worlds.PATIENCE, "progress")
    local minutes = telling.seen[2].minutes
    assert.is_true(minutes >= 10 and minutes <= 12, tostring(minutes))
  end)

  it("is said before a reboot, as far as it can be in that time", function()
    local rebooted = world:path("rebooted")
    telling:start({
      scripts = { ["boot.lua"] = [[
        return { api = 1, run = function(job)
          job:progress(7, "almost")
          job:reboot("into the other slot")
        end }
      ]] },
      config = { reboot_command = { "touch", rebooted }, reboot_wait = 60 },
    })
    local early
    world:after(function(_, request)
      if is_progress(nil, request) then -- held until another job has come and waits
        world.engine:create_job("other", { document = '{"operation":"boot"}',
          targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" } }, os.time())
        early = fs.stat(rebooted) ~= nil
      end
    end)
    telling:create("boot")
    wait_until(function() return fs.stat(rebooted) end, worlds.PATIENCE,
      "the reboot; " .. world:explain())
    assert.is_false(early)
    local last = telling.seen[#telling.seen]
    assert.matches("almost", telling.seen[2].details.progress)
    assert.equal("IN_PROGRESS", last.status)
  end)

  it("that cannot be said does not keep a reboot from happening", function()
    local rebooted = world:path("rebooted")
    telling:start({
      scripts = { ["boot.lua"] = [[
        return { api = 1, run = function(job)
          job:progress(7, "almost")
          job:reboot("into the other slot")
        end }
      ]] },
      config = { reboot_command = { "touch", rebooted }, reboot_wait = 60, request_timeout = 60 },
    })
    telling.answer = tellings.always(is_progress, "drop")
    telling:create("boot")
    wait_until(function() return fs.stat(rebooted) end, worlds.PATIENCE,
      "the reboot; " .. world:explain())
  end)
end)

describe("an outcome", function()
  local telling, world

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  it("that meets VersionMismatch looks before it adopts: the id may be another's by now",
    function()
      telling:start()
      telling.answer = once(is("SUCCEEDED"), function()
        world.engine:delete_job("job", true, os.time() + 5)
        world.engine:create_job("job", { document = '{"operation":"nobody"}',
          targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" } }, os.time() + 5)
        for _ = 1, 4 do
          world:update_behind("job", { status = "IN_PROGRESS" })
        end
      end)
      telling:create("quick")
      telling.gateway:wait_event("job.report_refused", { code = "ResourceNotFound" })
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2", telling:updates())
    end)

  it("that waited over a lost link looks first, for the same reason", function()
    telling:start()
    local asked
    telling.answer = once(is("REJECTED"), function()
      asked = true
      return "drop"
    end)
    telling:create("nobody") -- REJECTED with version 1, which fits a new execution, too
    wait_until(function() return asked end, worlds.PATIENCE, "the outcome")
    world.broker:kill()
    telling.gateway:wait_event("conn.lost")
    world.engine:delete_job("job", true, os.time() + 5)
    world.engine:create_job("job", { document = '{"operation":"quick"}',
      targets = { "arn:aws:iot:us-east-1:123456789012:thing/gw-1" } }, os.time() + 5)
    world.broker:start_again()
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("is told without its details where they are refused: the end is known (field failure 2)",
    function()
      telling:start()
      telling.answer = once(is("SUCCEEDED"), refused("InvalidRequest"))
      telling:create("quick")
      local execution = world:ended("job")
      assert.equal("SUCCEEDED", execution.status)
      assert.matches("details of this outcome were refused", execution.details.reason)
      telling.gateway:wait_event("job.reported")
      assert.equal(0, telling.gateway:stop())
      assert.equal("accepted without details", telling:stored("told"))
      assert.matches('"done":"true"', telling:stored("details"), 1, true)
    end)

  it("that is refused without details, too, is given up and recorded", function()
    telling:start()
    telling.answer = tellings.always(is("SUCCEEDED"), refused("InvalidRequest"))
    telling:create("quick")
    telling.gateway:wait_event("job.report_refused", { code = "InvalidRequest" })
    assert.equal("IN_PROGRESS 1, SUCCEEDED 2, SUCCEEDED 2", telling:updates())
  end)

  it("REJECTED that was told as FAILED counts as told after a restart", function()
    telling:start()
    local refusals = 0
    telling.answer = function(topic, request)
      if is("REJECTED")(topic, request) then
        refusals = refusals + 1
        return refused("InvalidStateTransition", "IN_PROGRESS", 2)
      end
    end
    local lost
    world:after(function(topic, request)
      if not lost and is("FAILED")(topic, request) then
        telling.gateway:kill()
        lost = true
        return "drop"
      end
    end)
    telling:create("refuses")
    wait_until(function() return lost end, worlds.PATIENCE, "FAILED to be told")
    telling.answer = nil
    telling.gateway:launch()
    telling.gateway:wait_event("job.reported", { code = "FAILED" })
    assert.equal(0, telling.gateway:stop())
    assert.equal("accepted as FAILED|FAILED", telling:stored("told || '|' || theirs"))
    assert.equal(1, world:terminal_updates("job"))
  end)
end)
