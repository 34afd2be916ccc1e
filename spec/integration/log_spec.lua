-- `hob log`, `hob jobs --follow`, and the control commands behind them: what happened, in order.

local exec = require("hob.exec")
local fs = require("hob.fs")
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- Waits at its gate (a file) between its steps.
local GATED = [[
  local exec, fs = require("hob.exec"), require("hob.fs")
  return { api = 1, args = { gate = "string" }, run = function(job, args)
    job:step("download", function()
      job:progress(10, "fetching")
      exec.check{ "sh", "-c", "echo first; echo wrong >&2" }
      return { bytes = 42 }
    end)
    job:step("wait", function()
      job.log.warn("at the gate")
      while not fs.stat(args.gate) do job:sleep(0.02) end
    end)
    job:step("install", function() exec.check{ "sh", "-c", "echo second; printf 'no end'" } end)
    return { done = true }
  end }
]]
local PLAIN = 'return { api = 1, run = function() return { done = true } end }'
local WILD = [[return { api = 1, run = function()
  require("hob.exec").check{ "printf", "10%%\\r100%%\\r\\n\\033[2Jgone\\n" }
end }]]

describe("hob log", function()
  local world, gateway, gate

  before_each(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({
      scripts = { ["gated.lua"] = GATED, ["plain.lua"] = PLAIN, ["wild.lua"] = WILD },
    })
    gate = gateway.dir .. "/gate"
    gateway:wait_event("jobs.subscribed")
  end)
  after_each(function()
    world:stop()
  end)

  local function create(id, operation)
    world:create(id, ('{"operation":"%s","gate":"%s"}'):format(operation, gate))
  end

  local function work_off(id, operation)
    assert(fs.write(gate, ""))
    create(id, operation)
    gateway:wait_event("job.reported", { job = id })
  end

  local function hob(...)
    local command = { worlds.hob(), ... }
    table.move({ "--config", gateway.config }, 1, 2, #command + 1, command)
    command.timeout = PATIENCE
    local result = assert(exec.run(command))
    assert.is_false(result.timed_out, "it did not end: " .. result.stdout .. result.stderr)
    return result
  end

  --- A command that goes on; its lines in `lines` and, of standard error, in `errors`.
  local function follow(...)
    local command = { worlds.hob(), ... }
    table.move({ "--config", gateway.config }, 1, 2, #command + 1, command)
    local found = { lines = {}, errors = {} }
    command.on_line = function(line, is_err)
      local list = is_err and found.errors or found.lines
      list[#list + 1] = line
    end
    found.process = assert(exec.spawn(command))
    finally(function() found.process:kill("KILL") end)
    function found.wait(pattern, list)
      wait_until(function()
        return table.concat(list or found.lines, "\n"):find(pattern) ~= nil
      end, PATIENCE, function()
        return ("%s in\n%s\n%s"):format(pattern, table.concat(found.lines, "\n"),
          table.concat(found.errors, "\n"))
      end)
    end
    return found
  end

  --- These texts come in this order, each once.
  local function assert_order(text, wanted)
    local at = 1
    for _, part in ipairs(wanted) do
      local begin, stop = text:find(part, at, true)
      assert.truthy(begin, ("'%s' is missing, or not there, in\n%s"):format(part, text))
      assert.is_nil(text:find(part, stop + 1, true), ("'%s' comes twice in\n%s"):format(part, text))
      at = stop + 1
    end
  end

  local WHOLE = { "claimed", "started: handler gated@", "step 'download'", "progress: 10% fetching",
    "| sh: first", "step 'wait'", "WARNING: says: at the gate", "step 'install'", "| sh: second",
    "| sh: no end", "finished, SUCCEEDED", "reported, SUCCEEDED" }

  it("shows a job's events and what its programs printed, in order, with its steps", function()
    work_off("fw-1", "gated")
    local result = hob("log", "fw-1")
    assert.same({ 0, "" }, { result.code, result.stderr })
    assert_order(result.stdout, WHOLE)
    assert.truthy(result.stdout:find("Z  download  ! sh: wrong\n"), result.stdout)
    assert.truthy(result.stdout:find("Z  install   | sh: second\n"), result.stdout)
  end)

  it("shows the same of a gateway that does not run, and after a crash", function()
    work_off("fw-1", "gated")
    gateway:kill()
    assert(fs.append(gateway.dir .. "/data/events.log", '{"ts":"2026-11-23T01:02:03.004Z","mo'))
    local result = hob("log", "fw-1")
    assert.same({ 0, "" }, { result.code, result.stderr })
    assert_order(result.stdout, WHOLE)
  end)

  it("follows a job until it has ended and was told, through a reload", function()
    create("fw-1", "gated")
    gateway:wait_event("job.step", { step = "wait" })
    local log = follow("log", "fw-1", "--follow")
    log.wait("at the gate")
    assert.equal(0, hob("reload").code)
    assert(fs.write(gate, ""))
    local result = assert(log.process:wait(PATIENCE), "it goes on")
    assert.equal(0, result.code)
    local text = table.concat(log.lines, "\n")
    assert_order(text, WHOLE)
    assert.is_nil(text:find("handlers", 1, true), "what is not of the job: " .. text)
  end)

  it("goes on with a job whose gateway was killed and came again", function()
    create("fw-1", "gated")
    gateway:wait_event("job.step", { step = "wait" })
    local log = follow("log", "fw-1", "--follow")
    log.wait("at the gate")
    gateway:kill()
    log.wait("the gateway has ended", log.errors)
    assert(fs.write(gate, ""))
    gateway:launch()
    assert.equal(0, assert(log.process:wait(PATIENCE), "it goes on").code)
    assert_order(table.concat(log.lines, "\n"), { "claimed", "step 'download'", "| sh: first",
      "resumed: ", "| sh: second", "finished, SUCCEEDED", "reported, SUCCEEDED" })
  end)

  it("ends at once when there is nothing left to follow", function()
    work_off("fw-1", "gated")
    local result = hob("log", "fw-1", "--follow")
    assert.equal(0, result.code)
    assert_order(result.stdout, WHOLE)
  end)

  it("says of a job that nobody knows which are known, running or stopped", function()
    work_off("fw-1", "plain")
    for _, flag in ipairs({ "--json", "--follow" }) do
      local result = hob("log", "fw-2", flag)
      assert.same({ 1, "" }, { result.code, result.stdout })
      assert.equal("hob log: there is no job 'fw-2' here; known are: fw-1\n", result.stderr)
    end
    gateway:stop()
    local result = hob("log", "fw-2")
    assert.equal("hob log: there is no job 'fw-2' here; known are: fw-1\n", result.stderr)
  end)

  it("says of a job that has not begun that nothing has happened to it yet", function()
    assert.equal(0, hob("drain").code)
    create("fw-1", "plain")
    wait_until(function()
      return hob("jobs").stdout:find("fw-1", 1, true) ~= nil
    end, PATIENCE, "a pending job")
    local result = hob("log", "fw-1")
    assert.equal(0, result.code)
    assert.equal("hob log: nothing has happened to fw-1 yet: it is pending (hob jobs says why)\n",
      result.stderr)
  end)

  it("says of a thing that nothing of it is kept", function()
    local result = hob("log", "--thing", "nobody")
    assert.equal(1, result.code)
    assert.matches("nothing is kept of a thing 'nobody' in ", result.stderr)
  end)

  it("says that nothing of a job is kept any more", function()
    work_off("fw-1", "plain")
    gateway:stop()
    assert(fs.remove(gateway.dir .. "/data/events.log"))
    assert.equal("hob log: nothing is kept any more of fw-1\n", hob("log", "fw-1").stderr)
  end)

  it("shows the gateway's newest events without a job, and goes on with --follow", function()
    work_off("fw-1", "plain")
    local result = hob("log", "--lines", "2")
    assert.truthy(result.stdout:find("^[^\n]*Z  fw%-1  %-  finished, SUCCEEDED[^\n]*\n"
      .. "[^\n]*Z  fw%-1  %-  reported, SUCCEEDED: [^\n]*\n$"), result.stdout)
    local log = follow("log", "--follow", "--lines", "1")
    log.wait("reported")
    work_off("fw-2", "plain")
    log.wait("fw%-2  %-  reported")
    assert.is_nil(table.concat(log.lines, "\n"):find("fw-1  -  finished", 1, true))
    assert.truthy(hob("log").stdout:find("hob.started: hob ", 1, true))
  end)

  it("prints JSON for programs, one object a line", function()
    work_off("fw-1", "gated")
    local kinds, text = {}, ""
    for line in hob("log", "fw-1", "--json").stdout:gmatch("[^\n]+") do
      local item = assert(json.decode(line))
      kinds[item.event and item.event.event or item.output and item.output.stream] = true
      text = text .. (item.output and item.output.stream == "stdout" and item.output.text or "")
    end
    assert.equal("first\nsecond\nno end", text)
    assert.is_true(kinds["job.claimed"] and kinds["job.log"] and kinds.stderr)
  end)

  it("lets no program paint on the terminal of who reads it", function()
    work_off("fw-1", "wild")
    local shown = hob("log", "fw-1").stdout
    assert.truthy(shown:find("| printf: 100%\n", 1, true), shown)
    assert.truthy(shown:find("| printf: \\x1b[2Jgone\n", 1, true), shown)
  end)

  it("follows nothing where no gateway runs: it shows what is kept and says so", function()
    work_off("fw-1", "plain")
    gateway:stop()
    local result = hob("log", "fw-1", "--follow")
    assert.equal(1, result.code)
    assert.truthy(result.stdout:find("reported, SUCCEEDED", 1, true))
    assert.truthy(result.stderr:find("^hob log: nothing can be followed: "))
  end)

  it("is used wrongly with status 2", function()
    for _, flags in ipairs({ { "--execution", "1" }, { "fw-1", "fw-2" }, { "--lines", "0" } }) do
      assert.equal(2, hob("log", table.unpack(flags)).code)
    end
  end)

  it("leaves the gateway alone when who follows is killed", function()
    create("fw-1", "gated")
    gateway:wait_event("job.step", { step = "wait" })
    for _ = 1, 3 do
      local log = follow("log", "fw-1", "--follow")
      log.wait("at the gate")
      log.process:kill("KILL")
      assert(log.process:wait(PATIENCE))
    end
    assert(fs.write(gate, ""))
    gateway:wait_event("job.reported", { job = "fw-1" })
  end)

  describe("jobs --follow", function()
    it("prints a line for each change, from what there is on", function()
      create("fw-1", "gated")
      gateway:wait_event("job.step", { step = "wait" })
      local jobs = follow("jobs", "--follow")
      jobs.wait("fw%-1  gw%-%d+  running, step wait")
      assert(fs.write(gate, ""))
      jobs.wait("fw%-1  gw%-%d+  SUCCEEDED; the service has it")
      work_off("fw-2", "plain")
      jobs.wait("fw%-2  gw%-%d+  SUCCEEDED; the service has it")
    end)

    it("prints JSON lines, and goes on with the gateway's next process", function()
      local jobs = follow("jobs", "--follow", "--json")
      create("fw-1", "gated")
      jobs.wait('"fw%-1"')
      assert(fs.write(gate, ""))
      jobs.wait('"told":"accepted"')
      local last = assert(json.decode(jobs.lines[#jobs.lines]))
      assert.same({ "fw-1", "SUCCEEDED" }, { last.ended.jobId, last.ended.status })
      gateway:kill()
      jobs.wait("the gateway has ended", jobs.errors)
      gateway:launch()
      gateway:wait_event("jobs.subscribed", nil, 2)
      assert(fs.remove(gate))
      create("fw-2", "gated")
      jobs.wait('"fw%-2"')
    end)

    it("is not for what has ended", function()
      assert.equal(2, hob("jobs", "--follow", "--history").code)
    end)
  end)

  describe("the control command journal", function()
    local function ask(request)
      local connection = assert(gateways.connect(gateway.dir .. "/data/hob.sock"))
      local lines = {}
      local last, why = connection:ask(request, function(line) lines[#lines + 1] = line end)
      connection.connection:close()
      return last and lines, why
    end

    it("gives what a job has stored, and where it is", function()
      create("fw-1", "gated")
      gateway:wait_event("job.step", { step = "wait" })
      local lines = assert(ask({ command = "journal", jobId = "fw-1" }))
      local head = lines[1].journal
      assert.same({ "fw-1", 1, "gated", 1, "running", "wait", false }, { head.jobId,
        head.executionNumber, head.handler, head.runs, head.doing, head.step, head.told })
      assert.same({ name = "download", failed = false, result = { bytes = 42 } }, lines[2].step)
      assert.equal(2, #lines)
    end)

    it("has no steps any more once the service knows the outcome", function()
      work_off("fw-1", "gated")
      local lines = assert(ask({ command = "journal", jobId = "fw-1" }))
      assert.is_true(lines[1].journal.told)
      assert.equal("SUCCEEDED", lines[1].journal.status)
      assert.equal(1, #lines)
    end)

    it("knows no job that is not there", function()
      local lines, why = ask({ command = "journal", jobId = "no-such" })
      assert.is_nil(lines)
      assert.equal("job: there is no 'no-such' here", why)
      lines, why = ask({ command = "journal" })
      assert.is_nil(lines)
      assert.equal("jobId: expected the id of a job", why)
    end)
  end)
end)
