-- What the cloud is told of a job's end: status, code and words are told apart, so that dashboards
-- can group by `code`. docs/reference/outcomes.md is the contract.

local fs = require("hob.fs")
local read = require("spec.support.source").read
local worlds = require("spec.support.world")

local WAYS = [[
  local exec, fs = require("hob.exec"), require("hob.fs")
  local ways = {}
  function ways.exit() exec.check({ "sh", "-c", "echo no disk >&2; exit 3" }) end
  function ways.exit_one(job) job:step("a", function() exec.check({ "false" }) end) end
  function ways.signal() exec.check({ "sh", "-c", "kill -9 $$" }) end
  function ways.stderr_only() return { code_is = exec.check({ "sh", "-c", "echo x >&2" }).code } end
  function ways.too_long() exec.check({ "sleep", "3600", timeout = 0.05 }) end
  function ways.absent() exec.check({ "no-such-program" }) end
  function ways.own() return nil, "the disk is full", "EDISK" end
  function ways.own_details() return nil, "the disk is full", { free = 7 } end
  function ways.lua() local x = nil; return x.y end
  function ways.forgotten() return nil end
  function ways.just_false() return false end
  function ways.reject(job) job:reject("not for this gateway") end
  function ways.endless(job)
    job:step("loop", function() while true do pcall(job.sleep, job, 3600) end end)
  end
  function ways.reported()
    exec.check({ "sh", "-c", "echo out; echo err >&2; exit 1", report = true })
  end
  function ways.reported_well()
    exec.check({ "sh", "-c", "echo out", report = true })
    return { a = 1, b = 2, c = 3, d = 4 }
  end
  function ways.reported_much()
    exec.run({ "sh", "-c", "yes | head -c 3000; printf end", tail = 2000, report = true })
  end
  function ways.tail()
    local much = ("x"):rep(2000)
    return { stdout = much .. "end", other = "begin" .. much }
  end
  return { api = 1, timeout = 3600, run = function(job) return ways[job.document.way](job) end }
]]

local CLEANUP = [[
  local fs, json = require("hob.fs"), require("hob.json")
  local ways = {}
  function ways.fails(job)
    job.state.slot = "B"
    job:step("first", function() return { n = 1 } end)
    pcall(job.step, job, "second", function() error("caught") end)
    job:step("third", function() return nil, "no disk", "ENODISK" end)
  end
  function ways.before(job) error("before any step") end
  function ways.well(job) job:step("first", function() end) end
  function ways.late(job)
    job:step("first", function()
      job:critical(function()
        pcall(job.sleep, job, 3)
        fs.append(job.document.marks, "whole\n")
      end)
      fs.append(job.document.marks, "after\n")
    end)
  end
  function ways.rejects(job) job:step("first", function() end) job:reject("no") end
  ways.cleanup_raises, ways.cleanup_hangs, ways.cleanup_steps = ways.fails, ways.fails, ways.fails
  ways.cleanup_returns = ways.fails
  local cleanups = {}
  function cleanups.cleanup_raises() error("oh, cleanup") end
  function cleanups.cleanup_returns() return nil, "not clean" end
  function cleanups.cleanup_hangs(job) while true do pcall(job.sleep, job, 3600) end end
  function cleanups.cleanup_steps(job)
    local said = {}
    for _, name in ipairs({ "step", "reboot", "restart_hob", "retry_later", "reject" }) do
      said[#said + 1] = select(2, pcall(job[name], job, "x", function() end))
    end
    fs.append(job.document.marks, table.concat(said, "\n") .. "\n")
  end
  return { api = 1, timeout = 3600,
    run = function(job) return ways[job.document.way](job) end,
    cleanup = function(job, args, why)
      assert(fs.append(args.marks, json.encode({ why = why, results = job.results,
        state = job.state }) .. "\n"))
      return (cleanups[job.document.way] or function() end)(job)
    end }
]]

local ASKED = [[
  local fs = require("hob.fs")
  return { api = 1, already_done = function() return false end,
    run = function() error("before any step") end,
    cleanup = function(job) fs.append(job.document.marks, "cleaned\n") end }
]]

-- The same handler where its time is to be over, once it has come so far.
local function short(text)
  local changed, count = text:gsub("timeout = 3600", "timeout = 2")
  assert(count == 1)
  return changed
end

describe("the outcome of a job", function()
  local world, gateway

  setup(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = { ["ways.lua"] = WAYS, ["clean.lua"] = CLEANUP,
        ["asked.lua"] = ASKED, ["short-ways.lua"] = short(WAYS),
        ["short-clean.lua"] = short(CLEANUP) },
      config = { cleanup_timeout = 3 } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
  end)

  local number = 0
  local function run(handler, way, marks)
    number = number + 1
    local id = ("job-%d"):format(number)
    world:create(id, ('{"operation":"%s","way":"%s","marks":"%s"}'):format(handler, way,
      marks or ""))
    local execution = world:ended(id)
    assert.equal(1, world:terminal_updates(id))
    return execution, execution.details
  end
  local function failed(way, code, reason, handler)
    local execution, details = run(handler or "ways", way)
    assert.equal("FAILED", execution.status, way)
    assert.equal(code, details.code, way)
    assert.matches(reason, details.reason)
    return details
  end

  it("tells exit code, signal, time-out and a program that is not there apart "
    .. "(field failure 16)", function()
    failed("exit", "EXIT_CODE", "ways%.lua:3: sh %-c .*: exit code 3: no disk$")
    assert.equal("a", failed("exit_one", "EXIT_CODE", "false: exit code 1$").step)
    failed("signal", "SIGNAL", "killed by signal 9 %(Killed%)$")
    failed("too_long", "TIMED_OUT", "sleep 3600: timed out after 0%.05 s$")
    failed("absent", "NOT_STARTED", "no%-such%-program: not found")
    local execution, details = run("ways", "stderr_only")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("0", details.code_is)
  end)

  it("tells a handler's own word from an error in it, with file and line", function()
    failed("own", "EDISK", "^the disk is full$")
    assert.equal("7", failed("own_details", "FAILED", "^the disk is full$").free)
    failed("lua", "LUA_ERROR", "/ways%.lua:11: attempt to index a nil value")
    failed("forgotten", "BAD_RESULT", "nil without a reason")
    failed("just_false", "BAD_RESULT", "false without a reason")
  end)

  it("is REJECTED only for what can never work here, FAILED for what may next time", function()
    local execution, details = run("ways", "reject")
    assert.equal("REJECTED", execution.status)
    assert.equal("REJECTED_BY_HANDLER", details.code)
  end)

  it("is TIMED_OUT when the handler's `timeout` is over, whatever it catches", function()
    local details = failed("endless", "TIMED_OUT", "^timed out after 2 s$", "short-ways")
    assert.equal("loop", details.step)
  end)

  describe("with what a program printed", function()
    it("has it when `report` asks for it, also when the job ended well", function()
      local details = failed("reported", "EXIT_CODE", "exit code 1")
      assert.equal("out ", details.stdout)
      assert.equal("err ", details.stderr)
      details = select(2, run("ways", "reported_well"))
      assert.equal("out ", details.stdout)
      assert.is_nil(details.stderr)
      assert.equal("3", details.c)
      assert.is_nil(details.d) -- the fifth
    end)

    it("has its end, and says how much is missing", function()
      local details = select(2, run("ways", "reported_much"))
      assert.matches("^%[cut 2043 bytes%] .*yend$", (details.stdout:gsub(" ", "", 0)
        :gsub("y ", "y")))
      details = select(2, run("ways", "tail"))
      assert.matches("^%[cut %d+ characters%] x+end$", details.stdout)
      assert.matches("^beginx+ %[cut %d+ characters%]$", details.other)
    end)
  end)

  it("takes the longest names that AWS has (field failure 14)", function()
    local thing = ("t"):rep(128)
    local id = ("j"):rep(64)
    world:gateway({ thing = thing, scripts = { ["ways.lua"] = WAYS } })
    world:create(id, '{"operation":"ways","way":"stderr_only"}', thing)
    assert.equal("SUCCEEDED", world:ended(id, thing).status)
  end)

  describe("that is no success", function()
    it("is followed by cleanup, which gets args, why, job.results and job.state", function()
      local marks = world:path("marks")
      local execution, details = run("clean", "fails", marks)
      assert.equal("FAILED", execution.status)
      assert.equal("ENODISK", details.code)
      assert.is_nil(details.cleanup_error)
      assert.equal('{"results":{"first":{"n":1}},"state":{"slot":"B"},"why":{"code":"ENODISK",'
        .. '"kind":"failed","reason":"no disk","step":"third"}}\n', fs.read(marks))
    end)

    it("is followed by no cleanup before a step began; nor is a success", function()
      local marks = world:path("marks")
      run("clean", "before", marks)
      run("clean", "well", marks)
      run("asked", "", marks) -- already_done is no step
      assert.is_nil((fs.read(marks)))
      run("clean", "rejects", marks)
      assert.matches('"kind":"rejected"', fs.read(marks))
    end)

    it("waits for a critical section, and says by how much it is late", function()
      local marks = world:path("marks")
      local _, details = run("short-clean", "late", marks)
      assert.equal("TIMED_OUT", details.code)
      assert.matches("^timed out after 2 s %(%d+%.%d s late: a critical section had to end "
        .. "first%)$", details.reason)
      assert.matches('^whole\n{.*"kind":"timed_out".*}\n$', fs.read(marks))
    end)

    it("stays what it was when cleanup fails, and has cleanup_error", function()
      for way, message in pairs({ cleanup_raises = "clean%.lua:%d+: oh, cleanup$",
        cleanup_returns = "^not clean$", cleanup_hangs = "^cleanup timed out after 3 s$" }) do
        local _, details = run("clean", way, world:path("marks"))
        assert.equal("no disk", details.reason)
        assert.matches(message, details.cleanup_error)
      end
    end)

    it("is final: cleanup can neither do steps, nor reboot, nor end it otherwise", function()
      local marks = world:path("marks")
      local _, details = run("clean", "cleanup_steps", marks)
      assert.is_nil(details.cleanup_error)
      local text = fs.read(marks)
      assert.matches("step 'x': a step is not available in cleanup", text)
      assert.matches("job:reboot is not available in cleanup", text)
      assert.matches("job:restart_hob is not available in cleanup", text)
      assert.matches("job:retry_later is not available in cleanup", text)
      assert.matches("job:reject is not available in cleanup", text)
    end)
  end)
end)

describe("docs/reference/outcomes.md", function()
  -- Where codes of outcomes are made; words in capitals there that are none.
  local FILES = { "core/work/job*.c", "core/work/executor*.c", "core/work/slot*.c",
    "bindings/lua_job.c", "bindings/lua_exec.c", "lib/hob/job/*.lua", "lib/hob/job.lua",
    "lib/hob/steps.lua", "lib/hob/steps/program.lua",
    "lib/hob/steps/nested.lua", "lib/hob/steps/document.lua" }
  local OTHERS = { SUCCEEDED = true, REJECTED = true, CANCELED = true, REMOVED = true,
    IN_PROGRESS = true, QUEUED = true, DELETED = true, PUT_OFF = true }

  local function made()
    local pipe = assert(io.popen("ls " .. table.concat(FILES, " ")))
    local found = {}
    for path in pipe:lines() do
      for code in read(path):gmatch('"([A-Z][A-Z_]+)"') do
        found[code] = not OTHERS[code] or nil
      end
    end
    assert(pipe:close())
    return found
  end
  local function listed()
    local found = {}
    for line in read("docs/reference/outcomes.md"):gmatch("[^\n]+") do
      local code = line:match("^| `([A-Z_]+)` | [A-Z]+ |")
      if code then
        assert.is_nil(found[code], code .. " is listed twice")
        found[code] = true
      end
    end
    return found
  end
  local function sorted(set)
    local list = {}
    for key in pairs(set) do
      list[#list + 1] = key
    end
    table.sort(list)
    return table.concat(list, " ")
  end

  it("lists every code that the source can produce, and no other", function()
    assert.equal(sorted(made()), sorted(listed()))
  end)
end)
