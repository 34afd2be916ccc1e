-- What programs print: the real `hob run`, jobs whose programs print too much, too long, the wrong
-- bytes, at the wrong time. None of it stops or fails a job by itself.

local fs = require("hob.fs")
local json = require("hob.json")
local shim = require("spec.support.shim")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local MB = 1024 * 1024

-- The document's `script` in a shell; `args` go to it as options of run.
local SHELL = [[
  local exec = require("hob.exec")
  return { api = 1, run = function(job)
    local given = job.document
    local result = job:step("run", function()
      local r = exec.run{ "sh", "-c", given.script, timeout = given.timeout, grace = given.grace,
        tail = 64 }
      return { words = r.words, timed_out = r.timed_out, stdout = #r.stdout, stderr = #r.stderr,
        stdout_cut = r.stdout_cut, stderr_cut = r.stderr_cut }
    end)
    return { words = result.words, stdout = result.stdout + result.stdout_cut,
      stderr = result.stderr + result.stderr_cut, timed_out = result.timed_out }
  end }
]]

local LINES = [[
  local exec = require("hob.exec")
  return { api = 1, run = function(job)
    local lines, longest = 0, 0
    local result = job:step("run", function()
      local process = exec.spawn{ "sh", "-c", job.document.script,
        on_line = function(line) lines, longest = lines + 1, math.max(longest, #line) end }
      return process:wait()
    end)
    return { words = result.words, lines = lines, longest = longest }
  end }
]]

local CHECK = [[
  local exec = require("hob.exec")
  return { api = 1, run = function(job)
    job:step("run", function() exec.check{ "sh", "-c", job.document.script } end)
  end }
]]

local function alive(pid)
  local stat = fs.read(("/proc/%d/stat"):format(pid))
  return stat ~= nil and not stat:match("%) Z")
end

describe("what programs print", function()
  local world, gateway

  setup(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = { ["shell.lua"] = SHELL, ["lines.lua"] = LINES,
      ["check.lua"] = CHECK } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
  end)

  local number = 0
  ---@param more? table  other members of the document
  local function start(operation, script, more)
    number = number + 1
    local document = { operation = operation, script = script }
    for key, value in pairs(more or {}) do
      document[key] = value
    end
    world:create("job-" .. number, json.encode(document))
    return "job-" .. number
  end

  local function run(...)
    local id = start(...)
    return world:ended(id), id
  end

  -- Most memory that the gateway has ever had, in bytes.
  local function most_memory()
    local status = assert(fs.read(("/proc/%d/status"):format(gateway.process:pid())))
    return tonumber(status:match("VmHWM:%s*(%d+) kB")) * 1024
  end

  local function files_of(id)
    local found, bytes = {}, 0
    for _, name in ipairs(assert(fs.list(gateway.dir .. "/data/output"))) do
      if name:find("@" .. id .. "-", 1, true) then
        found[#found + 1] = gateway.dir .. "/data/output/" .. name
        bytes = bytes + fs.stat(found[#found]).size
      end
    end
    table.sort(found)
    return found, bytes
  end

  it("a flood of 200 MB is read as it comes; its newest bytes are kept (field failures 10, 13)",
    function()
      run("shell", "echo warm")
      local before = most_memory()
      local execution, id = run("shell", "yes 'one more line of it' | head -c 209715200; echo end")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("exit code 0", execution.details.words)
      assert.equal(tostring(200 * MB + 4), execution.details.stdout)
      if not shim.is_sanitized() then
        assert.is_true(most_memory() - before < 4 * MB, most_memory() - before)
      end
      local files, bytes = files_of(id)
      assert.equal(2, #files)
      assert.is_true(bytes <= MB + 4096, bytes)
      assert.is_true(bytes >= MB / 2, bytes)
      assert.matches("end\n$", fs.read(files[1]))
    end)

  it("10 MB without a newline are no harm, also to a handler that wants lines (field failure 10)",
    function()
      local before = most_memory()
      local execution = run("lines", "head -c 10485760 /dev/zero | tr '\\0' x; echo; echo next")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("2", execution.details.lines)
      assert.equal("65536", execution.details.longest)
      if not shim.is_sanitized() then
        assert.is_true(most_memory() - before < 4 * MB, most_memory() - before)
      end
    end)

  it("NUL bytes and invalid UTF-8 are kept as they came (field failure 10)", function()
    local execution, id = run("shell", "printf 'a\\000b\\377\\376c\\n'; printf '\\303' >&2")
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("7", execution.details.stdout)
    local text = assert(fs.read(files_of(id)[1]))
    assert.matches("--- sh, standard output, ", text, 1, true)
    assert.matches("\na\0b\xff\xfec\n", text, 1, true)
    assert.matches("--- sh, standard error, ", text, 1, true)
    assert.matches("\n\xc3", text, 1, true)
  end)

  it("in the reason of a failure they are told in valid UTF-8 (field failure 10)", function()
    local execution = run("check", "printf 'bad \\377\\000 end\\n' >&2; exit 3")
    assert.equal("FAILED", execution.status)
    assert.equal("EXIT_CODE", execution.details.code)
    assert.matches("exit code 3: bad ", execution.details.reason, 1, true)
    assert.truthy(utf8.len(execution.details.reason))
  end)

  it("a MB on standard error before standard output closes hangs nothing (field failure 25)",
    function()
      local execution = run("shell", "head -c 1048576 /dev/zero >&2; echo done")
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("exit code 0", execution.details.words)
      assert.equal("1048576", execution.details.stderr)
      assert.equal("5", execution.details.stdout)
    end)

  it("a background child that keeps standard output open does not keep the job (field failure 25)",
    function()
      local pid_file = world:path("pid")
      local execution = run("shell", ("sleep 1000 & echo $! >%s; exit 0"):format(pid_file))
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("exit code 0", execution.details.words)
      assert.is_false(alive(tonumber(fs.read(pid_file))))
    end)

  it("a background child that lets go of it is ended with the job (field failures 11, 12)",
    function()
      local pid_file = world:path("pid")
      local execution = run("shell",
        ("(exec >/dev/null 2>&1; trap '' TERM; while :; do sleep 0.02; done) & echo $! >%s")
          :format(pid_file), { grace = 0.2 })
      assert.equal("SUCCEEDED", execution.status)
      assert.is_false(alive(tonumber(fs.read(pid_file))))
    end)

  it("`yes` is ended at its time-out, and the job goes on (field failures 10, 11)", function()
    local execution = run("shell", "yes", { timeout = 0.5 })
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("timed out after 0.5 s", execution.details.words)
    assert.equal("true", execution.details.timed_out)
  end)

  it("a program that is ended with its job is heard to its end (field failures 10, 12)", function()
    local id = start("shell",
      "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done")
    local file = wait_until(function()
      return fs.stat(gateway.dir .. "/data/output") and files_of(id)[1]
    end, worlds.PATIENCE, "the first output")
    world:control("cancel_job", id, {}, true, os.time())
    assert.equal("CANCELED", world:ended(id).status)
    wait_until(function()
      return fs.read(file):find("bye\n", 1, true)
    end, worlds.PATIENCE, "the last word")
  end)

  it("is no reason to lose the connection", function()
    assert.equal(0, gateway:count("conn.lost"))
    assert.equal(1, gateway:count("conn.up"))
  end)
end)
