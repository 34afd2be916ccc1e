-- `hob jobs`: what this gateway has in hand, and the ended jobs with both sides' view.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local shim = require("spec.support.shim")
local time = require("hob.time")
local tellings = require("spec.support.telling")
local worlds = require("spec.support.world")

local always, is, refused = tellings.always, tellings.is, tellings.refused

describe("hob jobs", function()
  local telling, world, gateway

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  local function start(options)
    gateway = telling:start(options)
  end

  local function hob(...)
    local result = assert(exec.run({ worlds.hob(), "jobs", timeout = worlds.PATIENCE, ... }))
    assert.is_false(result.timed_out)
    return result
  end

  local function ask(...)
    local result = hob("--config", gateway.config, "--json", ...)
    assert.equal(0, result.code, result.stderr)
    return assert(json.decode(result.stdout))
  end

  local function history(job)
    for _, one in ipairs(ask("--history").jobs) do
      if one.jobId == job then
        return one
      end
    end
    error("not in the history: " .. job)
  end

  local function run(operation, job)
    telling:create(operation, nil, job)
    gateway:wait_event("job.finished", { job = job })
  end

  describe("--history", function()
    it("shows what the service accepted, and when", function()
      start()
      local before = os.time()
      run("refuses", "job")
      gateway:wait_event("job.reported")
      local job = history("job")
      assert.equal("REJECTED", job.status)
      assert.equal("REJECTED_BY_HANDLER", job.code)
      assert.equal("not for this gateway", job.reason)
      assert.equal("refuses", job.handler)
      assert.equal("accepted", job.told)
      assert.is_true(job.toldAt >= before and job.toldAt <= os.time())
      assert.is_true(job.endedAt >= before and job.endedAt <= job.toldAt)
      assert.is_nil(job.theirs)
    end)

    it("shows both sides where the service has another end (field failure 3)", function()
      start()
      telling.answer = always(is("SUCCEEDED"), refused("InvalidStateTransition", "TIMED_OUT", 3))
      run("quick", "job")
      gateway:wait_event("job.report_refused")
      local job = history("job")
      assert.same({ "SUCCEEDED", "refused", "TIMED_OUT", "InvalidStateTransition: said the spec" },
        { job.status, job.told, job.theirs, job.toldAs })
    end)

    it("does not claim to know what the service has where that did not say so", function()
      start()
      telling.answer = always(is("SUCCEEDED"), refused("InvalidRequest"))
      run("quick", "job")
      gateway:wait_event("job.report_refused")
      assert.matches("InvalidRequest 20%S+; it did not say what it has",
        hob("--config", gateway.config, "--history").stdout)
    end)

    it("shows that the service has no such execution any more", function()
      start()
      telling.answer = always(is("SUCCEEDED"), refused("ResourceNotFound"))
      run("quick", "job")
      gateway:wait_event("job.report_refused")
      local job = history("job")
      assert.same({ "SUCCEEDED", "refused" }, { job.status, job.told })
      assert.is_nil(job.theirs)
      assert.matches("it has no such execution", hob("--config", gateway.config,
        "--history").stdout)
    end)

    it("shows what was cancelled in the cloud as theirs", function()
      start()
      telling:create("report", "/nowhere")
      gateway:wait_event("job.started")
      world:control("cancel_job", "job", {}, true, os.time())
      gateway:wait_event("job.finished")
      local job = history("job")
      assert.equal("CANCELED", job.status)
      assert.equal("theirs", job.told)
      assert.equal("CANCELED", job.theirs)
    end)

    it("shows what waits to be told, and says so beside the running ones (field failure 2)",
      function()
        start()
        telling.answer = always(is("SUCCEEDED"), refused("RequestThrottled"))
        run("quick", "job")
        local job = history("job")
        assert.same({ "SUCCEEDED", "waiting" }, { job.status, job.told })
        assert.is_nil(job.toldAt)
        assert.equal(1, ask().things[1].untold)
        local text = hob("--config", gateway.config).stdout
        assert.matches("gw%-1: 1 outcome that the service does not have yet", text)
      end)

    it("is the newest first, as many as are asked for, over any number of pages", function()
      start({ config = { messages_per_minute = 0 } })
      telling:fill(130, 100)
      gateway:launch()
      gateway:wait_event("job.report_refused", {}, 130)
      local function page(...)
        local out = world:path("out")
        exec.check({ "sh", "-c", [[out=$1; shift; exec "$@" > "$out"]], "sh", out, worlds.hob(),
          "jobs", "--config", gateway.config, "--json", "--history", ... })
        return assert(json.decode(fs.read(out))).jobs
      end
      local jobs = page("--limit", "125")
      assert.equal(125, #jobs)
      for i, job in ipairs(jobs) do
        assert.equal(("deep-%04d"):format(131 - i), job.jobId)
      end
      assert.equal(50, #page())
      assert.equal("first", page("--limit", "1000")[131].jobId)
      assert.equal(0, gateway:stop())
      assert.equal("deep-0006", page("--limit", "125")[125].jobId)
    end)

    it("is as it was when no gateway runs, and says that none does", function()
      start()
      run("quick", "job")
      gateway:wait_event("job.reported")
      local before = history("job")
      assert.equal(0, gateway:stop())
      local answer = ask("--history")
      assert.equal("stopped", answer.gateway)
      assert.same(before, answer.jobs[1])
      local result = hob("--data", gateway.dir .. "/data", "--history")
      assert.equal(0, result.code)
      assert.matches("no gateway runs with .*this is what its store knows", result.stderr)
      assert.matches("job%s+gw%-1%s+SUCCEEDED", result.stdout)
      gateway:launch() -- the store is as it was
      gateway:wait_event("jobs.subscribed", {}, 2)
      assert.same(before, history("job"))
    end)
  end)

  it("shows what runs, and what it was in the middle of when the gateway died", function()
    start()
    telling:create("report", "/nowhere")
    gateway:wait_event("job.started")
    local result = hob("--config", gateway.config)
    assert.matches("^JOB +THING +STATE +STEP +HANDLER +RUN +FOR +WHY\n", result.stdout)
    assert.matches("\njob +gw%-1 +running +%- +report@%x+ +1 +%d+ s\n", result.stdout)
    local answer = ask()
    assert.equal("running", answer.gateway)
    assert.equal("running", answer.jobs[1].state)
    gateway:kill()
    answer = ask()
    assert.equal("stopped", answer.gateway)
    assert.equal("job", answer.jobs[1].jobId)
    assert.is_nil(answer.jobs[2])
  end)

  it("says why a job waits, and for how long", function()
    start({ scripts = { ["later.lua"] = [[
      return { api = 1, run = function(job) job:retry_later(3600, "the valve is open") end }
    ]] } })
    telling:create("later")
    gateway:wait_event("job.started")
    local job
    repeat
      job = ask().jobs[1]
    until job.state == "waiting"
    assert.equal("the valve is open", job.why)
    assert.is_true(job.resumeInSeconds > 3000 and job.resumeInSeconds <= 3600)
    assert.matches("again in 59 min: the valve is open", hob("--config", gateway.config).stdout)
    assert.equal(0, gateway:stop())
    job = ask().jobs[1]
    assert.equal("waiting", job.state)
    assert.is_true(job.resumeAt > os.time() + 3000)
  end)

  it("says that a cancelled job ends when its critical section has ended", function()
    start({ scripts = { ["flash.lua"] = [[
      return { api = 1, run = function(job) job:critical(function() job:sleep(3600) end) end }
    ]] } })
    telling:create("flash")
    gateway:wait_event("job.started")
    assert.is_nil(ask().jobs[1].why)
    world:control("cancel_job_execution", "gw-1", "job", {}, true, time.now())
    gateway:wait_event("job.delayed")
    assert.equal("it is cancelled: it ends when its critical section has ended", ask().jobs[1].why)
  end)

  it("has nothing to show at first, and says so", function()
    start()
    assert.equal("no job in hand\n", hob("--config", gateway.config).stdout)
    assert.equal("no job has ended here yet\n", hob("--config", gateway.config,
      "--history").stdout)
    assert.same({}, ask().jobs)
  end)

  it("says when the gateway is not connected", function()
    start()
    world.broker:kill()
    gateway:wait_event("conn.lost")
    assert.matches("gw%-1: not connected to the service", hob("--config", gateway.config).stdout)
    world.broker:start_again()
  end)

  it("exits with 1 where neither a gateway nor a store is, and makes none", function()
    start()
    local result = hob("--data", gateway.dir)
    assert.equal(1, result.code)
    assert.matches("there is no store", result.stderr)
    assert.is_nil(fs.stat(gateway.dir .. "/hob.db"))
    assert.equal(1, hob("--socket", gateway.dir .. "/nothing.sock").code)
  end)

  it("exits with 1 where the store is damaged, and leaves it for the next start", function()
    start()
    run("quick", "job")
    gateway:kill()
    local path = gateway.dir .. "/data/hob.db"
    assert(fs.remove(path .. "-wal"))
    assert(fs.write(path, "no database"))
    for _, flag in ipairs({ "--json", "--history" }) do
      local result = hob("--data", gateway.dir .. "/data", flag)
      assert.equal(1, result.code, result.stdout)
      assert.matches("hob%.db: is damaged: ", result.stderr)
    end
    local text = assert(exec.run({ worlds.hob(), "log", "x", "--data", gateway.dir .. "/data" }))
    assert.matches("not known: " .. path:gsub("%W", "%%%0") .. ": is damaged", text.stderr)
    assert.equal("no database", assert(fs.read(path)))
    assert.is_nil(table.concat(fs.list(gateway.dir .. "/data"), " "):find("damaged-", 1, true))
  end)

  it("exits with 1 where a gateway runs whose socket is gone; the store is left alone", function()
    start()
    exec.check({ "rm", gateway.dir .. "/data/hob.sock" })
    local result = hob("--config", gateway.config)
    assert.equal(1, result.code)
    assert.matches("a gateway uses .*but its control socket cannot be reached", result.stderr)
    run("quick", "job")
  end)

  for misuse, words in pairs({
    ["--limit 5"] = "%-%-limit goes with %-%-history",
    ["--data /a --socket /b"] = "one of %-%-data, %-%-socket and %-%-config",
    ["--history --limit 0"] = "from 1 to 10000",
    ["--histroy"] = "unknown flag",
    ["--config /nowhere"] = "%-%-config: /nowhere: cannot read the configuration",
    ["extra"] = "one word too many",
  }) do
    it("exits with 2 and says what is wrong: " .. misuse, function()
      local words_of = {}
      for word in misuse:gmatch("%S+") do
        words_of[#words_of + 1] = word
      end
      local result = hob(table.unpack(words_of))
      assert.equal(2, result.code)
      assert.matches(words, result.stderr)
      assert.equal("", result.stdout)
    end)
  end

  describe("what was told but could not be noted", function()
    -- What "delivered" rides on never comes: as after a power cut, or with a full disk.
    local function told_again()
      gateway:launch()
      gateway:wait_event("job.reported", {}, 2)
      assert.equal(1, world:terminal_updates("job"))
      assert.equal(1, gateway:count("job.started"))
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2, look, SUCCEEDED 2", telling:updates("job", true))
      assert.equal("accepted", history("job").told)
    end

    it("because of a power cut is told again, which is harmless (field failure 4)", function()
      start()
      run("quick", "job")
      gateway:wait_event("job.reported")
      gateway:kill()
      told_again()
    end)

    it("because the disk is full is told again, which is harmless (field failure 13)", function()
      gateway = world:gateway({ scripts = tellings.SCRIPTS, launch = false })
      telling.gateway = gateway
      local spy = shim.on(gateway)
      spy:arm()
      gateway:launch()
      gateway:wait_event("jobs.subscribed")
      local broken
      world:after(function(topic, request)
        if is("SUCCEEDED")(topic, request) and not broken then
          broken = true
          spy:break_disk("EIO")
        end
      end)
      run("quick", "job")
      gateway:wait_event("job.reported")
      gateway:stop()
      assert.is_true(broken)
      spy:mend_disk()
      told_again()
    end)
  end)
end)
