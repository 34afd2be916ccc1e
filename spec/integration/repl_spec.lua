-- `hob repl` against a gateway with real jobs: on a terminal with real keys, and from a pipe.

local exec = require("hob.exec")
local fs = require("hob.fs")
local ptys = require("spec.support.pty")
local shim = require("spec.support.shim")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- Each waits in a step until its local is changed from outside, or a file is there.
local HANDLERS = {
  ["count.lua"] = [[
local time = require("hob.time")

local function sum(numbers)
  local total = 0
  for i, number in ipairs(numbers) do
    local twice = number * 2
    total = total + twice
  end
  return total
end

return { api = 1, run = function(job)
  local numbers = { 1, 2, 3, 4 }
  local go = false
  job:step("prepare", function() return { ready = "yes" } end)
  job:step("wait", function()
    while not go do time.sleep(0.02) end
  end)
  local total = sum(numbers)
  return { total = total }
end }
]],
  ["until_file.lua"] = [[
local fs, time = require("hob.fs"), require("hob.time")
return { api = 1, args = { path = "string" }, run = function(job, args)
  local turns = 0
  job:step("wait", function()
    while not fs.exists(args.path) do
      turns = turns + 1
      time.sleep(0.01)
    end
  end)
  return { done = "yes" }
end }
]],
}

describe("hob repl", function()
  local world, gateway, state, open

  local function start()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = HANDLERS, config = { max_concurrent_jobs = 4 } })
    gateway:wait_event("conn.up")
  end
  local function stop()
    world:stop()
  end

  before_each(function()
    open = {}
    state = assert(fs.tempdir())
  end)
  after_each(function()
    for _, pty in ipairs(open) do
      pty:close()
    end
    fs.remove(state, { recursive = true })
  end)

  local function data()
    return gateway.dir .. "/data"
  end

  local function begin_job(id, operation, path)
    world:create(id, ('{"operation":"%s","path":"%s"}'):format(operation, path or ""))
    gateway:wait_event("job.step", { job = id, step = "wait" })
  end

  local function terminal(...)
    local pty = ptys.start({ worlds.hob(), "repl", "--data", data(), ... }, {
      env = { XDG_STATE_HOME = state, NO_COLOR = "1" }, columns = 120,
    })
    open[#open + 1] = pty
    if not ... then
      pty:expect_line("hob>")
    end
    return pty
  end

  ---------------------------------------------------------------- on a terminal

  describe("on a terminal", function()
    lazy_setup(start)
    lazy_teardown(stop)

    it("evaluates Lua in the gateway, keeps globals, tells errors with a traceback", function()
      local pty = terminal()
      pty:send("x = 20 + 1\r")
      pty:send("x * 2\r")
      pty:expect("\n42\n")
      pty:send("{ 1, name = 'a\\0b', { deep = { deeper = {} } } }\r")
      pty:expect('\n{ 1, { deep = { deeper = {} } }, name = "a\\x00b" }\n')
      pty:send("local t = {} t.me = t return t\r")
      pty:expect("{ me = <itself, 1 up> }")
      pty:send("local function broken() error('boom') end broken()\r")
      pty:expect("boom")
      pty:expect("stack traceback:")
      pty:expect("in local 'broken'")
      pty:send("things[1].thing\r")
      pty:expect('"gw-1"')
      pty:keys("ctrl-d")
      assert.equal(0, (pty:wait()))
      local logged = gateway:wait_event("repl.command").msg
      assert.matches("^process %d+ of %w+: x = 20 %+ 1$", logged)
    end)

    it("goes on with a second prompt until the input is whole", function()
      local pty = terminal()
      pty:send("for i = 1, 3 do\r")
      pty:expect("...>")
      pty:send("print('line ' .. i)\r")
      pty:expect("...>")
      pty:send("end\r")
      pty:expect("\nline 1\nline 2\nline 3\n")
    end)

    it("completes globals, fields, commands and the ids of jobs", function()
      begin_job("count-1", "count")
      local pty = terminal()
      pty:send("thi\t")
      pty:expect_line("hob> things")
      pty:send("\21hob.ti\t")
      pty:expect_line("hob> hob.time")
      pty:send(".sl\t")
      pty:expect_line("hob> hob.time.sleep")
      pty:send("\21:attach co\t")
      pty:expect_line("hob> :attach count-1")
      pty:keys("enter")
      pty:expect("attached to count-1")
      pty:send(":wh\t\r")
      pty:expect(":where")
      pty:expect("count.lua:17")
      pty:send(":up\rnum\t")
      pty:expect_line("count-1> numbers")
    end)

    it("lists what may stand there, when it is more than one", function()
      local pty = terminal()
      pty:send(":st\t\t")
      pty:expect(":step")
      pty:send("\21:de\t\t")
      pty:expect(":delete  :detach")
    end)

    it("brings earlier lines back, also those of an earlier session, from a file of its own",
      function()
        local pty = terminal()
        pty:send("1 + 10\r")
        pty:expect("11")
        pty:send(" 'not kept'\r")
        pty:expect('"not kept"')
        pty:keys("ctrl-d")
        pty:wait()
        local path = state .. "/hob/history"
        assert.equal("1 + 10\n", fs.read(path))
        assert.equal(tonumber("600", 8), assert(fs.stat(path)).mode)
        pty = terminal()
        pty:send("2 + 20\r")
        pty:expect("22")
        pty:keys("up")
        pty:expect_line("hob> 2 + 20")
        pty:keys("up")
        pty:expect_line("hob> 1 + 10")
        pty:keys("down", "enter")
        pty:expect("\n22\n")
      end)

    it("takes code that is pasted with tabs as it is, and remembers all of it", function()
      local pty = terminal()
      pty:send("function g(a)\r\tlocal b = {\r\t\ta,\r\t}\r\treturn b\rend\rg(5)\r")
      pty:expect("hob> g(5)\n{ 5 }\nhob>")
      assert.is_nil(pty:text():find("coroutine", 1, true)) -- what Tab would list
      assert.equal("function g(a)\nlocal b = {\na,\n}\nreturn b\nend\ng(5)\n",
        fs.read(state .. "/hob/history"))
    end)

    it("drops a line by Ctrl-C, and interrupts what runs", function()
      local pty = terminal()
      pty:send("this is nothing")
      pty:expect_line("hob> this is nothing")
      pty:keys("ctrl-c")
      pty:expect("^C\nhob>")
      pty:send("for i = 1, 2 do\r")
      pty:expect("...>")
      pty:keys("ctrl-c")
      pty:expect("^C\nhob>")
      pty:send("print('begun') while true do end\r")
      pty:expect("\nbegun\n")
      pty:keys("ctrl-c")
      pty:expect("interrupted\nhob>")
      pty:send("print('waits') hob.time.sleep(1e6)\r")
      pty:expect("\nwaits\n")
      pty:keys("ctrl-c")
      pty:expect("interrupted\nhob>")
      pty:send("1 + 1\r")
      pty:expect("\n2\n")
    end)

    it("follows the size of the window", function()
      local pty = terminal()
      pty:send("wide = { aaaaaaaaaaaaaaaaaaaa = 1, bbbbbbbbbbbbbbbbbbbb = 2 } wide_2 = wide\r")
      pty:send("wide\r")
      pty:expect("{ aaaaaaaaaaaaaaaaaaaa = 1, bbbbbbbbbbbbbbbbbbbb = 2 }")
      pty:resize(24, 40)
      wait_until(function() -- the signal is on its way
        pty:send("wide\r")
        pty:pump()
        return pty:text():find("{\n  aaaaaaaaaaaaaaaaaaaa = 1,\n", 1, true)
      end, PATIENCE, function() return "a narrow table; the screen:\n" .. pty:text() end)
      pty:keys("ctrl-c")
      pty:send(("x"):rep(50))
      pty:expect(("x"):rep(35) .. "\n" .. ("x"):rep(15))
    end)

    it("ends by Ctrl-D and leaves the terminal as it was", function()
      local pty = terminal()
      assert.is_true(pty:is_raw())
      pty:keys("ctrl-d")
      assert.equal(0, (pty:wait()))
      assert.is_false(pty:is_raw())
    end)

    it("is ended by a signal and leaves the terminal as it was", function()
      local pty = terminal()
      pty:send("half a line")
      pty:expect_line("hob> half a line")
      pty:kill(15)
      assert.equal(0, (pty:wait()))
      assert.is_false(pty:is_raw())
    end)

    it("says so and ends with status 1 when the gateway goes", function()
      local pty = terminal()
      pty:send("half a line")
      pty:expect_line("hob> half a line")
      gateway:kill()
      assert.equal(1, (pty:wait()))
      assert.matches("hob repl: the connection to the gateway is lost: ", pty:text())
      gateway:launch()
    end)
  end)

  ---------------------------------------------------------------- a job

  describe("attached to a job", function()
    before_each(start)
    after_each(stop)

    it("reads and changes locals, stops in a loop, steps; the job succeeds with the new value",
      function()
        begin_job("count-1", "count")
        local pty = terminal("count-1")
        pty:expect("attached to count-1 of gw-1: count@")
        pty:expect("in step wait; it ")
        pty:expect("a stop holds it at most 15 min")
        pty:send("go\r")
        pty:expect("\nfalse\n")
        pty:send("go = true\r")
        pty:expect(":write on")
        pty:send(":where\r")
        pty:expect("count.lua:17")
        pty:expect(">   17      while not go do time.sleep(0.02) end")
        pty:send(":up\r")
        pty:expect("2  run")
        pty:send("numbers\r")
        pty:expect("\n{ 1, 2, 3, 4 }\n")
        pty:send(":break count.lua:7 if i == 3\r")
        pty:expect("breakpoint 1  count.lua:7 if i == 3")
        pty:send(":write on\r")
        pty:expect("assignments are allowed")
        pty:send("numbers[4] = 100\r")
        pty:send("go = true\r")
        pty:expect("count-1 stopped at " .. gateway.dir .. "/scripts/count.lua:7 (breakpoint 1)")
        pty:expect_line("count-1 count.lua:7>")
        pty:send(":locals\r")
        pty:expect("total = 6")
        pty:expect("twice = 6")
        pty:send(":next\r")
        pty:expect("count.lua:5 (after a step)")
        pty:send(":delete 1\r")
        pty:send("total\r")
        pty:expect("\n12\n")
        pty:send("total = 1000\r")
        pty:send(":journal\r")
        pty:expect('finished  prepare\n    { ready = "yes" }')
        pty:send(":continue\r")
        pty:expect("count-1 has ended")
        local execution = world:ended("count-1")
        assert.equal("SUCCEEDED", execution.status)
        assert.equal("1200", execution.details.total)
        gateway:wait_event("debug.write")
        pty:expect_line("hob>")
      end)

    it("steps into a function, goes up and down the stack, and stops where it was left", function()
      begin_job("count-1", "count")
      local pty = terminal("count-1")
      pty:expect("attached")
      pty:send(":break count.lua:19\r:write on\r")
      pty:expect("allowed")
      pty:send("go = true\r")
      pty:expect("count.lua:19 (breakpoint 1)")
      pty:send(":step\r")
      pty:expect("count.lua:4 (after a step)")
      pty:send(":break count.lua:7\r:continue\r")
      pty:expect("count.lua:7 (breakpoint 2)")
      pty:send(":up\r")
      pty:expect("\n2  run")
      pty:send("go\r")
      pty:expect("\ntrue\n")
      pty:send(":down\r")
      pty:expect("\n1  ")
      pty:send("i\r")
      pty:expect("\n1\n")
      pty:send(":delete 2\r:finish\r")
      pty:expect("count.lua:20 (after a step)")
      pty:send("total\r")
      pty:expect("\n20\n")
      pty:send(":continue\r")
      assert.equal("20", world:ended("count-1").details.total)
    end)

    it("has handlers loaded again, and says which of them is broken", function()
      begin_job("count-1", "count")
      local pty = terminal("count-1")
      pty:expect("attached")
      pty:send(":reload\r")
      pty:expect("handlers are loaded; jobs that run keep the version that they began with")
      assert(fs.write(gateway.dir .. "/scripts/count.lua", "return {"))
      pty:send(":reload\r")
      pty:expect("count: ")
      pty:expect("1 broken; jobs that run keep the version that they began with")
    end)

    it("shows a stop above the line that is being typed", function()
      begin_job("count-1", "count")
      local pty = terminal("count-1")
      pty:expect("attached")
      pty:send(":break step prepare\r:break count.lua:19\r:write on\r")
      pty:expect("allowed")
      pty:send("go = true\r")
      pty:expect("count.lua:19 (breakpoint 2)")
      pty:send(":continue")
      pty:expect_line("count-1 count.lua:19> :continue")
      pty:keys("enter")
      assert.equal("SUCCEEDED", world:ended("count-1").status)
    end)

    it("goes on with a half-typed line after a stop", function()
      begin_job("count-1", "count")
      local other, pty = terminal("count-1"), terminal("count-1")
      pty:expect("attached")
      pty:send("1 +")
      pty:expect_line("count-1> 1 +")
      other:expect("attached")
      other:send(":pause\r")
      pty:expect("count-1 stopped at")
      pty:expect_line("count-1 count.lua:17> 1 +")
      pty:send(" 1\r")
      pty:expect("\n2\n")
    end)

    it("says which jobs run when it is another one", function()
      begin_job("count-1", "count")
      local pty = terminal("nothing")
      pty:expect("no job 'nothing' runs; these do: gw-1/count-1")
      pty:expect_line("hob>")
    end)

    it("leaves a job that is held, which goes on and succeeds", function()
      local path = world:path("go")
      begin_job("file-1", "until_file", path)
      local pty = terminal("file-1")
      pty:send(":pause\r")
      pty:expect("file-1 stopped")
      assert(fs.write(path, ""))
      pty:keys("ctrl-d")
      assert.equal(0, (pty:wait()))
      assert.equal("SUCCEEDED", world:ended("file-1").status)
    end)

    it("is killed at a breakpoint, and the job goes on and succeeds", function()
      local path = world:path("go")
      begin_job("file-1", "until_file", path)
      local pty = terminal("file-1")
      pty:send(":break until_file.lua:6\r")
      pty:expect("until_file.lua:6 (breakpoint 1)")
      assert(fs.write(path, ""))
      pty:kill(9)
      local _, signal = pty:wait()
      assert.equal(9, signal)
      assert.equal("SUCCEEDED", world:ended("file-1").status)
    end)
  end)

  ---------------------------------------------------------------- from a pipe

  local function piped(text, ...)
    return assert(exec.run({ worlds.hob(), "repl", "--data", data(), ..., stdin = text,
      timeout = PATIENCE }))
  end

  describe("with its input from a pipe", function()
    lazy_setup(start)
    lazy_teardown(stop)

    it("prints results plainly, without prompt and colour", function()
      local result = piped("1 + 1\nfor i = 1, 2 do\n  print(i)\nend\n\nthings[1].online\n'a\\tb'")
      assert.equal('2\n1\n2\ntrue\n"a\\tb"\n', result.stdout)
      assert.equal("", result.stderr)
      assert.equal(0, result.code)
    end)

    it("goes on after a failure, and ends with status 1", function()
      local result = piped("error('one', 0)\n:explode\n:where\n1 + 1\n")
      assert.matches("^one\n", result.stdout)
      assert.matches(":explode is no command", result.stdout)
      assert.matches(":where is for a job", result.stdout)
      assert.matches("\n2\n$", result.stdout)
      assert.equal(1, result.code)
    end)

    it("ends with status 1 when the input ends in the middle", function()
      local result = piped("for i = 1, 2 do\n")
      assert.equal(1, result.code)
      assert.matches("ends in the middle of: for i = 1, 2 do", result.stderr)
    end)

    it("stops at :quit", function()
      assert.equal("1\n", piped("1\n:quit\n2\n").stdout)
    end)

    it("runs long lines, and says of one that is too long that it is", function()
      local result = piped(("#'%s'\n#'%s'\n1 + 1\n"):format(("x"):rep(100000), ("x"):rep(300000)))
      assert.equal("100000\ntoo long: at most 256 KB may be run at once\n2\n", result.stdout)
      assert.equal(1, result.code)
    end)

    it("does not go on without the job that it is for", function()
      local result = piped("1 + 1\n", "nothing")
      assert.equal("no job 'nothing' runs, and no other does\n", result.stdout)
      assert.equal(1, result.code)
    end)

    it("refuses a breakpoint whose condition makes no sense", function()
      local path = world:path("go")
      begin_job("makes-sense", "until_file", path)
      local result = piped(":break until_file.lua:10 if turns ==\n:breaks\n"
        .. ":break until_file.lua:10\n", "makes-sense")
      assert.matches("\ncondition: the expression is not finished\nno breakpoints\n"
        .. "breakpoint %d+  until_file.lua:10\n", result.stdout)
      assert.equal(1, result.code)
      assert(fs.write(path, ""))
      assert.equal("SUCCEEDED", world:ended("makes-sense").status)
    end)

    it("works a job off between its stops", function()
      begin_job("count-1", "count")
      local result = piped([[
:break count.lua:7 if i == 2
:write on
go = true
:wait 30
twice
:next
total
:breaks
:delete 1
:continue
]], "count-1")
      assert.matches("stopped at [^\n]*count.lua:7 %(breakpoint 1%)", result.stdout)
      assert.matches("\n4\n.*\n6\n1  count.lua:7 if i == 2\n", result.stdout)
      assert.matches("count%-1 has ended", result.stdout)
      assert.equal(0, result.code)
      assert.equal("20", world:ended("count-1").details.total)
    end)

    it("shows what a job has stored, and what it has logged", function()
      begin_job("count-2", "count")
      local result = piped(":journal count-2\n:log count-2\n:jobs\n")
      assert.matches('finished  prepare\n    { ready = "yes" }\ncurrent   wait\n', result.stdout)
      assert.matches("started", result.stdout)
      assert.matches("  count%-2  gw%-1   running  wait ", result.stdout)
      assert.equal(0, result.code)
    end)

    it("cancels a job", function()
      begin_job("count-3", "count")
      local result = piped(":cancel\n", "count-3")
      assert.matches("count%-3 of .- %(running%): it is being ended", result.stdout)
      gateway:wait_event("job.finished", { job = "count-3" })
    end)

    it("attaches and detaches 200 times, and the gateway's memory stays flat", function()
      local path = world:path("go")
      begin_job("file-1", "until_file", path)
      local function resident()
        local text = fs.read(("/proc/%d/status"):format(gateway.process:pid()))
        return tonumber(text:match("VmRSS:%s+(%d+)"))
      end
      local round = (":attach file-1\nturns\n:pause\n:where\n:detach\n"):rep(50)
      local first
      for _ = 1, 4 do
        local result = piped(round)
        assert.equal(0, result.code, result.stdout)
        assert.equal(50, select(2, result.stdout:gsub("detached from file%-1", "")))
        first = first or resident()
      end
      local allowed = shim.is_sanitized() and 300 * 1024 or 2048 -- that keeps what was freed
      assert.is_true(resident() - first < allowed, ("%d KB, then %d"):format(first, resident()))
      assert(fs.write(path, ""))
      assert.equal("SUCCEEDED", world:ended("file-1").status)
    end)

    it("says that no gateway runs there", function()
      gateway:kill()
      local result = piped("1\n")
      assert.equal(1, result.code)
      assert.matches("^hob repl: no gateway runs there: ", result.stderr)
    end)
  end)
end)
