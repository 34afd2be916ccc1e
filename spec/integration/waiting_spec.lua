-- `hob jobs`: also what has not begun, and why each of these jobs waits.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local sessions = require("spec.support.sessions")
local sockets = require("hob.local")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SLEEPS = "return { api = 1, run = function(job) job:sleep(600) end }"
local QUICK = "return { api = 1, run = function() return true end }"

local function requires(what)
  return ("return { api = 1, requires = { %s }, run = function() return true end }"):format(what)
end

describe("hob jobs, of what has not begun", function()
  local world, gateway

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  local function start(scripts, config, env)
    gateway = world:gateway({ scripts = scripts, config = config or {}, env = env })
    gateway:wait_event("jobs.subscribed")
  end

  local function create(id, operation)
    world:create(id, ('{"operation":"%s"}'):format(operation))
  end

  local function hob(command, ...)
    local result = exec.run({ worlds.hob(), command, "--config", gateway.config, ... })
    assert.equal(0, result.code, result.stderr)
    return result.stdout
  end

  local function jobs()
    local found = {}
    for _, job in ipairs(json.decode(hob("jobs", "--json")).jobs) do
      found[job.jobId] = job
    end
    return found
  end

  -- Wait until the job waits for this, then give its line.
  local function waits_for(id, what)
    local found
    wait_until(function()
      found = jobs()[id]
      return found and found.waitsFor == what
    end, worlds.PATIENCE, function()
      return ("%s to wait for %s; it is %s"):format(id, what, found and json.encode(found))
    end)
    return found
  end

  it("names the job that is in hand as the reason, in the service's order", function()
    start({ ["sleeps.lua"] = SLEEPS })
    create("first", "sleeps")
    gateway:wait_event("job.started")
    create("second", "sleeps")
    create("third", "sleeps")
    local job = waits_for("third", "job")
    assert.equal("pending", job.state)
    assert.equal("another job of this thing is in hand: one at a time", job.why)
    assert.same({ 0, 1 }, { job.attempt, job.executionNumber })
    assert.is_nil(jobs().first.waitsFor)
    local text = hob("jobs")
    assert.matches("\nfirst +gw%-1 +running +.-\nsecond +gw%-1 +pending +%- +%- +%- +%- +another "
      .. "job.-\nthird +gw%-1 +pending ", text)
    local status = json.decode(hob("status", "--json"))
    assert.same({ 1, 2 }, { status.jobs, status.pending })
    assert.matches("\n1 job in hand, 2 not begun %(`hob jobs` says why%)\n", hob("status"))
  end)

  it("says so when all places are taken", function()
    start({ ["sleeps.lua"] = SLEEPS }, { max_concurrent_jobs = 2 })
    for _, id in ipairs({ "a", "b" }) do
      create(id, "sleeps")
      gateway:wait_event("job.started", { job = id })
    end
    create("c", "sleeps")
    assert.equal("as many jobs are in hand as max_concurrent_jobs allows",
      waits_for("c", "job").why)
  end)

  it("tells the disk and the programs that its handler's requires wants", function()
    start({
      ["room.lua"] = requires('disk = "4000000G"'),
      ["tool.lua"] = requires('commands = { "rauc-of-no-one" }, otherwise = "wait"'),
    })
    create("disk", "room")
    create("tool", "tool")
    assert.matches("^requires%.disk: ", waits_for("disk", "disk").why)
    assert.matches("^requires%.commands: rauc%-of%-no%-one", waits_for("tool", "commands").why)
    assert.equal("waiting", jobs().disk.state)
  end)

  it("says that there is no connection", function()
    start({ ["sleeps.lua"] = SLEEPS })
    create("first", "sleeps")
    gateway:wait_event("job.started")
    create("second", "sleeps")
    waits_for("second", "job")
    world.broker:kill()
    assert.matches("^no connection", waits_for("second", "offline").why)
    world.broker:start_again()
    waits_for("second", "job")
  end)

  it("says that the gateway drains", function()
    start({ ["sleeps.lua"] = SLEEPS })
    create("first", "sleeps")
    gateway:wait_event("job.started")
    create("second", "sleeps")
    waits_for("second", "job")
    hob("drain", "on")
    assert.matches("drains", waits_for("second", "drain").why)
    assert.is_true(json.decode(hob("status", "--json")).draining)
    assert.matches("\ndraining: no new jobs are taken, since 20.-, by process %d+ of ",
      hob("status"))
    hob("drain", "off")
    waits_for("second", "job")
  end)

  it("shows what is not for this gateway as ignored: job_filter (field failure 21)", function()
    start({ ["quick.lua"] = QUICK, ["sleeps.lua"] = SLEEPS }, { job_filter = "ours-" })
    create("theirs-1", "quick")
    create("ours-1", "quick")
    assert.equal("SUCCEEDED", world:ended("ours-1").status)
    local job = waits_for("theirs-1", "filter")
    assert.equal("ignored", job.state)
    assert.equal("not this gateway's: job_filter", job.why)
    assert.equal(0, json.decode(hob("status", "--json")).pending)
    assert.matches('\nhob_jobs_pending{thing="gw%-1"} 0\n', hob("metrics"))
    create("ours-2", "sleeps")
    gateway:wait_event("job.started", { job = "ours-2" })
    create("theirs-2", "quick") -- nobody has looked at this one: there is no place for it
    assert.equal("ignored", waits_for("theirs-2", "filter").state)
  end)

  it("shows what no handler knows as ignored, with unknown_jobs = \"ignore\"", function()
    start({ ["quick.lua"] = QUICK }, { unknown_jobs = "ignore" })
    create("strange", "something")
    gateway:wait_event("job.ignored")
    local job = waits_for("strange", "handler")
    assert.equal("ignored", job.state)
    assert.matches("no handler here knows it", job.why)
    assert(fs.write(gateway.dir .. "/scripts/something.lua", QUICK))
    assert.equal("SUCCEEDED", world:ended("strange").status)
  end)

  it("shows a job that a person holds with the debugger, and so does hob status", function()
    local server = [[
      local M = {}
      function M.serve(transport)
        local session = require("hob.debug").open({ on_event = function() end, who = "a spec" })
        assert(session:attach(1))
        assert(session:pause(1))
        while transport.read() do end
      end
      return M
    ]]
    start({ ["sleeps.lua"] = SLEEPS }, {},
      { HOB_LIB_DIR = sessions.lib(world, { repl = server, dap = server }) })
    create("job", "sleeps")
    gateway:wait_event("job.started")
    local connection = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
    assert(connection:send('{"command":"dap"}\n'))
    assert.equal("running", waits_for("job", "debugger").state)
    assert.equal("the debugger holds it: `hob repl JOB` shows where", jobs().job.why)
    assert.equal(1, json.decode(hob("status", "--json")).held)
    assert.matches("\n1 job is held by a debugger\n", hob("status"))
    assert.matches("\nhob_jobs_held 1\n", hob("metrics"))
    local result = exec.run({ worlds.hob(), "status", "--check", "--free-mb", "1,0", "--config",
      gateway.config })
    assert.equal(1, result.code)
    assert.matches("^HOB WARNING %- 1 job is held by a debugger | ", result.stdout)
    connection:close()
    wait_until(function()
      return not jobs().job.waitsFor
    end, worlds.PATIENCE, "the job to go on")
    assert.equal(0, json.decode(hob("status", "--json")).held)
  end)

  it("says for how long retry_later waits, and for what a reboot", function()
    start({ ["later.lua"] = [[return { api = 1, run = function(job)
      job:retry_later(500, "the valve is open") end }]] })
    create("later", "later")
    local job = waits_for("later", "time")
    assert.equal("waiting", job.state)
    assert.is_true(job.resumeInSeconds > 400)
    assert.equal("the valve is open", job.why)
  end)
end)
