-- `hob run` is killed and started again: what was stored is told, what was done is not done again.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local JOB = [[
  local fs = require("hob.fs")
  return { api = 1, args = { marks = "string", go = "string" }, run = function(job, args)
    local first = job:step("first", function() fs.append(args.marks, "first\n") return 41 end)
    job:step("wait", function()
      fs.append(args.marks, "wait\n")
      while not fs.stat(args.go) do job:sleep(0.01) end
    end)
    return { answer = first + 1, attempt_seen = job.attempt }
  end }
]]

describe("hob run, killed and started again", function()
  local world, gateway, marks, go

  before_each(function()
    world = worlds.start({ tls = false })
    marks, go = world:path("marks"), world:path("go")
    gateway = world:gateway({ scripts = { ["work.lua"] = JOB } })
    gateway:wait_event("jobs.subscribed")
    world:create("job", ('{"operation":"work","marks":"%s","go":"%s"}'):format(marks, go))
  end)
  after_each(function()
    world:stop()
  end)

  local function wait_marks(text)
    wait_until(function() return fs.read(marks) == text end, worlds.PATIENCE, "marks: " .. text)
  end

  it("goes on in the step that was interrupted; a finished step is not run again", function()
    wait_marks("first\nwait\n")
    gateway:kill()
    assert(fs.write(go, ""))
    gateway:launch()
    local execution = world:ended("job")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("42", execution.details.answer)
    assert.equal("2", execution.details.attempt)
    assert.equal("first\nwait\nwait\n", fs.read(marks))
    assert.equal(1, world:terminal_updates("job"))
  end)

  it("counts each run, also one that was killed before it finished a step", function()
    wait_marks("first\nwait\n")
    for i = 2, 3 do
      gateway:kill()
      gateway:launch()
      wait_marks("first\n" .. ("wait\n"):rep(i))
    end
    assert(fs.write(go, ""))
    assert.equal("3", world:ended("job").details.attempt)
  end)

  it("raises a failed step's saved error again, without doing the step again", function()
    wait_marks("first\nwait\n")
    gateway:kill()
    local failing = [[
      local fs = require("hob.fs")
      return { api = 1, args = { marks = "string", go = "string" }, run = function(job, args)
        local ok, why = pcall(job.step, job, "fails", function()
          fs.append(args.marks, "tried\n")
          return nil, "no disk"
        end)
        if job.attempt == 1 then fs.append(args.marks, "then\n") end
        while not fs.stat(args.go) do job:sleep(0.01) end
        return { ok = ok, why = why }
      end }
    ]]
    gateway = world:gateway({ scripts = { ["work.lua"] = failing }, thing = "gw-2" })
    marks = world:path("marks")
    world:create("fails", ('{"operation":"work","marks":"%s","go":"%s"}'):format(marks, go), "gw-2")
    wait_marks("tried\nthen\n")
    gateway:kill()
    assert(fs.write(go, ""))
    gateway:launch()
    local details = world:ended("fails", "gw-2").details
    assert.equal("false", details.ok)
    assert.equal("no disk", details.why)
    assert.equal("2", details.attempt)
    assert.equal("tried\nthen\n", fs.read(marks))
  end)

  it("tells an outcome that was stored but not told, runs nothing (field failure 2)", function()
    wait_marks("first\nwait\n")
    world.broker:kill()
    gateway:wait_event("conn.lost")
    assert(fs.write(go, ""))
    gateway:wait_event("job.finished")
    gateway:kill()
    world.broker:start_again()
    gateway:launch()
    assert.equal("SUCCEEDED", world:ended("job").status)
    gateway:wait_event("job.reported")
    assert.equal("first\nwait\n", fs.read(marks))
    assert.equal(1, gateway:count("job.started"))
    assert.equal(1, world:terminal_updates("job"))
  end)

  it("finds its claim again when it was killed before the claim's answer", function()
    wait_marks("first\nwait\n")
    assert(fs.write(go, ""))
    world:ended("job")
    assert(fs.remove(go))
    local killed = false
    world:after(function(topic, request)
      if not killed and topic:match("/update$") and request.status == "IN_PROGRESS" then
        killed = true
        gateway:kill()
      end
    end)
    world:create("second", ('{"operation":"work","marks":"%s","go":"%s"}'):format(marks, go))
    wait_until(function() return killed and not gateway.process end, worlds.PATIENCE, "the claim")
    assert(fs.write(go, ""))
    gateway:launch()
    local execution = world:ended("second")
    assert.equal("SUCCEEDED", execution.status)
    assert.is_nil(execution.details.attempt)
    assert.equal(1, world:terminal_updates("second"))
  end)

  it("fails an execution that the store does not know as state lost", function()
    wait_marks("first\nwait\n")
    gateway:kill()
    assert(fs.remove(gateway.dir .. "/data", { recursive = true }))
    gateway:launch()
    local execution = world:ended("job")
    assert.equal("FAILED", execution.status)
    assert.equal("STATE_LOST", execution.details.code)
    assert.equal("first\nwait\n", fs.read(marks))
  end)

  it("ends in order on SIGTERM: the running job is left to the next process", function()
    wait_marks("first\nwait\n")
    gateway:kill()
    gateway = world:gateway({ scripts = { ["work.lua"] = JOB }, thing = "gw-2",
      config = { stop_timeout = 0.1 } })
    world:create("other", ('{"operation":"work","marks":"%s","go":"%s"}')
      :format(world:path("marks"), go), "gw-2")
    gateway:wait_event("job.step", { step = "wait" })
    assert.equal(0, gateway:stop())
    gateway:wait_event("job.suspended")
    assert.equal("IN_PROGRESS", world:describe("other", "gw-2").status)
    assert(fs.write(go, ""))
    gateway:launch()
    assert.equal("SUCCEEDED", world:ended("other", "gw-2").status)
  end)

  it("ends at once on a second SIGTERM, which is no job's fault", function()
    wait_marks("first\nwait\n")
    for i = 2, 5 do
      gateway.process:kill("TERM")
      gateway:wait_event("hob.stopping", {}, 2 * i - 3)
      gateway.process:kill("TERM")
      local result = assert(gateway:wait_end())
      assert.equal(1, result.code)
      gateway:launch()
      wait_marks("first\n" .. ("wait\n"):rep(i))
    end
    assert(fs.write(go, ""))
    assert.equal("SUCCEEDED", world:ended("job").status)
  end)

  it("tells what ended while it was stopping, before it ends", function()
    wait_marks("first\nwait\n")
    gateway.process:kill("TERM")
    gateway:wait_event("hob.stopping")
    assert(fs.write(go, ""))
    gateway:wait_event("hob.stopped")
    assert.equal("SUCCEEDED", world:describe("job").status)
    assert.equal(1, world:terminal_updates("job"))
  end)
end)
