-- The gateway's side of `hob repl`, with a client, a gateway and a debugger that are made up.

local futures = require("hob.future")
local json = require("hob.json")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = tonumber(os.getenv("HOB_SPEC_PATIENCE")) or 30

local SOURCE = "one\ntwo\nthree\nfour\nfive\nsix\n"

-- What hob.debug would give, and what was asked of it.
local function new_debugger(jobs)
  local self = { calls = {}, answers = {} }
  local function note(name, ...)
    self.calls[#self.calls + 1] = table.concat({ name, ... }, " ")
  end
  local session = {}
  function session.jobs() return jobs end
  function session.attach(_, thread)
    note("attach", thread)
    return { jobId = jobs[thread].jobId, thing = jobs[thread].thing, handler = "h@1",
      step = "fetch", state = "waiting", waitingIn = "hob.time.sleep",
      text = "held at most 15 min: the configuration's debug_hold" }
  end
  function session.detach(_, thread)
    note("detach", thread)
    return true
  end
  function session.info(_, thread)
    return { jobId = jobs[thread].jobId, step = "fetch", state = self.state or "waiting",
      waitingIn = "hob.time.sleep", file = "/x/h.lua", line = 3 }
  end
  function session.stack(_, _, page)
    local all = { { id = 11, name = "inner", file = "/x/h.lua", line = 3, kind = "Lua" },
      { id = 12, name = "run", file = "/x/h.lua", line = 6, kind = "Lua", coroutine = 2 } }
    return { table.unpack(all, page.first + 1, page.first + page.count) }, #all
  end
  function session.source() return SOURCE end
  function session.evaluate(_, text, options)
    note("evaluate", text, options.frame, tostring(options.write))
    local answer = table.remove(self.answers, 1)
    if answer then
      return table.unpack(answer, 1, 3)
    end
    return { { name = "", value = "{...} 2 items", type = "table", ref = 5, indexed = 1,
      named = 1, identity = "0x1" } }
  end
  function session.variables(_, ref, page)
    if ref == 5 and page.first > 0 then
      return {}
    elseif ref == 5 then
      return { { name = "[1]", value = '"a"', type = "string", ref = 0 },
        { name = "me", value = "{...} 2 items", type = "table", ref = 6, indexed = 1, named = 1,
          identity = "0x1" } }
    end
    return { { name = "x", value = "1", type = "number", ref = 0 } }
  end
  function session.scopes()
    return { { name = "Locals", ref = 7, count = 1 }, { name = "Globals", ref = 8, count = 9 } }
  end
  function session.breakpoints(_, file, list)
    note("breakpoints", file, #list, list[#list] and list[#list].condition or "-")
    local set = {}
    for i, one in ipairs(list) do
      set[i] = { id = 100 + i, verified = true, line = one.line + 1 }
    end
    return set
  end
  function session.continue(_, thread)
    note("continue", thread)
    return true
  end
  function session.pause() return nil, "it does not want to", "EINVAL" end
  function session.step(_, thread, how)
    note("step", thread, how)
    time.after(0, function()
      self.tell({ event = "stopped", thread = thread, reason = "step", file = "/x/h.lua",
        line = 4, holdLeft = 899 })
    end)
    return true
  end
  function session.write(_, allowed) note("write", tostring(allowed)) end
  function session.complete() return { "total" }, 3 end
  function session.close() note("close") end
  function self.open(options)
    self.tell = options.on_event
    note("open", options.who)
    return session
  end
  return self
end

describe("hob.repl.server", function()
  local sent, rest, inbox, debugger, gone, serving

  local function load_server(jobs)
    for name in pairs(package.loaded) do
      if name:find("^hob%.repl%.") and name ~= "hob.repl.core" then
        package.loaded[name] = nil
      end
    end
    debugger = new_debugger(jobs)
    package.loaded["hob.debug"] = debugger
    package.loaded["hob.console"] = { ask = function(request, each)
      if request.command == "jobs" then
        each({ job = { jobId = "later", thing = "gw", state = "waiting", why = "its window" } })
        return { things = { { thing = "gw" } } }
      end
      if request.command == "journal" and request.jobId == "old" then
        each({ journal = { jobId = "old", thing = request.thing or "gw", executionNumber = 1,
          status = "FAILED", told = true } })
        return {}
      end
      return nil, "asked for " .. request.command, "ENOENT"
    end }
    return require("hob.repl.server")
  end

  local JOBS = {
    { thread = 1, jobId = "fw", thing = "gw" }, { thread = 2, jobId = "same", thing = "gw" },
    { thread = 3, jobId = "same", thing = "lamp" },
  }

  before_each(function()
    sent, rest, inbox, gone = {}, 0, {}, false
    local waker = futures.new()
    local server = load_server(JOBS)
    serving = futures.new()
    local transport = {
      who = "process 1 of me", kind = "attach",
      read = function()
        while not inbox[1] and not gone do
          waker:result()
          waker = futures.new()
        end
        return table.remove(inbox, 1)
      end,
      write = function(text)
        sent[#sent + 1] = text
        return true
      end,
    }
    inbox.wake = function()
      waker:resolve()
    end
    time.after(0, function()
      server.serve(transport)
      serving:resolve()
    end)
  end)
  after_each(function()
    gone = true
    inbox.wake()
    serving:result(PATIENCE)
    package.loaded["hob.debug"], package.loaded["hob.console"] = nil, nil
  end)

  local function send(text)
    table.insert(inbox, text)
    inbox.wake()
  end

  -- The next line that was sent.
  local function line()
    rest = rest + 1
    wait_until(function() return sent[rest] end, PATIENCE, "a line of the server")
    return json.decode(sent[rest])
  end

  -- All text of a run, and its end.
  local function run(text)
    send(json.encode({ id = 7, run = text }) .. "\n")
    local out = {}
    while true do
      local one = line()
      if one.id == 7 and one["end"] then
        return table.concat(out), one
      end
      out[#out + 1] = one.text
    end
  end

  it("greets with the prompt", function()
    local hello = line()
    assert.equal("hob> ", hello.prompt)
    assert.equal("process 1 of me", hello.hello.who)
  end)

  describe("after its greeting", function()
    before_each(function()
      line()
    end)

    it("runs Lua and gives what it prints, its results, and an end", function()
      local text, ended = run("print('a', 1) return 2, nil")
      assert.equal("a    1\n2\nnil\n", text)
      assert.is_true(ended.ok)
      assert.equal("hob> ", ended.prompt)
    end)

    it("keeps globals, and the last result as _", function()
      run("x = 5")
      assert.equal("5\n", (run("x")))
      assert.equal("6\n", (run("_ + 1")))
      assert.is_nil(rawget(_G, "x"))
    end)

    it("tells an error with its traceback, without files of its own", function()
      local text, ended = run("error('boom')")
      assert.matches("^repl:1: boom\nstack traceback:\n", text)
      assert.is_nil(text:find("hob/repl", 1, true))
      assert.is_false(ended.ok)
      assert.matches("^error value: { code = 1 }", (run("error({ code = 1 })")))
    end)

    it("asks for more where the text has no end", function()
      local text, ended = run("for i = 1, 2 do")
      assert.equal("", text)
      assert.is_true(ended.more)
      for _, begun in ipairs({ "1 +", "{", "x = {", "f(", "[[", "'a' .." }) do
        assert.is_true(select(2, run(begun)).more, begun)
      end
      for _, wrong in ipairs({ "x = = 1", "1 + )", "1 2", "'a", "end" }) do
        assert.is_nil(select(2, run(wrong)).more, wrong)
      end
      assert.equal("3\n", (run("1 +\n2")))
    end)

    it("takes lines in pieces, and several at once", function()
      send('{"id":1,"ru')
      send('n":"1"}\n{"id":2,"complete":"prin"}\n')
      local seen = {}
      for _ = 1, 3 do
        local one = line()
        seen[one.id] = (seen[one.id] or 0) + 1
      end
      assert.same({ 2, 1 }, seen)
    end)

    it("takes a long line that comes in pieces", function()
      local text = json.encode({ id = 7, run = "#'" .. ("x"):rep(200000) .. "'" }) .. "\n"
      for at = 1, #text, 65536 do
        send(text:sub(at, at + 65535))
      end
      assert.equal("200000\n", line().text)
      assert.is_true(line().ok)
    end)

    it("refuses what it does not understand, and goes on", function()
      for text, code in pairs({ ["what"] = "EJSON", ["[1"] = "EJSON", ["{}"] = "EINVAL",
        ['{"run":1}'] = "EINVAL", ['{"complete":{}}'] = "EINVAL",
        ['{"id":"a","run":"1"}'] = "EINVAL" }) do
        send(text .. "\n")
        assert.equal(code, line().error.code, text)
      end
      assert.equal("1\n", (run("1")))
    end)

    it("refuses a second run while one goes on, and interrupts that", function()
      send('{"id":1,"run":"while true do end"}\n{"id":2,"run":"1"}\n')
      local refused = line()
      assert.equal(2, refused.id)
      assert.equal("EBUSY", refused.error.code)
      send('{"interrupt":true}\n')
      assert.equal("interrupted\n", line().text)
      assert.is_false(line().ok)
      assert.equal("1\n", (run("1")))
    end)

    it("cuts the output of a run that does not end, and lets others read", function()
      local text = run("for i = 1, 40000 do print(('x'):rep(50)) end")
      assert.is_true(#text < 1024 * 1024 + 100)
      assert.matches("\n%.%.%. output cut after 1048576 bytes\n$", text)
    end)

    it("sends only UTF-8 without control characters", function()
      assert.equal("\\xFF\\x1B[2J\n", (run("print('\\xff\\27[2J')")))
    end)

    it("shows more of the last result on demand", function()
      local text = run("local t = {} for i = 1, 60 do t[i] = i end return t")
      assert.matches("%.%.%. 20 more", text)
      assert.matches(":more", text)
      assert.matches("  60\n}\n$", (run(":more")))
      run(":set items 3")
      assert.matches("{ 1, 2, 3, %.%.%. 1 more }", (run("{ 1, 2, 3, 4 }")))
      assert.is_false(select(2, run(":set items 0")).ok)
      assert.is_false(select(2, run(":set colour 1")).ok)
    end)

    it("lists its commands, and says more of one", function()
      assert.matches(":attach ID", (run(":help")))
      assert.matches("THING/ID", (run(":help att")))
      local text, ended = run(":detahc")
      assert.matches(":detahc is no command.*detach", text)
      assert.is_false(ended.ok)
      assert.matches(":de may be :detach, :delete", (run(":de")))
      assert.matches("for a job", (run(":where")))
    end)

    it("shows no line of its help wider than a terminal", function()
      for line_of_it in run(":help"):gmatch("[^\n]+") do
        assert.is_true(#line_of_it < 80, line_of_it)
      end
    end)

    it("tells of a job that has ended, which may be named with its thing", function()
      assert.equal("old of lamp, execution 1: no handler, run 0\n"
        .. "it has ended: FAILED; its steps are not kept any more\n", (run(":journal lamp/old")))
    end)

    it("completes", function()
      local function words(text)
        send(json.encode({ id = 3, complete = text }) .. "\n")
        local answer = line()
        return table.concat(answer.words or {}, " "), answer.from
      end
      assert.same({ "things", 1 }, { words("thi") })
      assert.same({ "string.format" and "format", 8 }, { words("string.form") })
      assert.same({ ":write", 1 }, { words(":wr") })
      assert.same({ "later", 9 }, { words(":attach la") })
      assert.same({ "on", 8 }, { words(":write on") })
      assert.same({ "time", 5 }, { words("hob.ti") })
      run("deep = { inner = setmetatable({ one = 1 }, { __index = { other = 2 } }) }")
      assert.same({ "one other", 12 }, { words("deep.inner.o") })
      run("deep[1], deep['a-b'] = { two = 2 }, deep")
      assert.same({ "two", 15 }, { words("print(deep[1].") })
      assert.same({ "two", 16 }, { words('deep["a-b"][1].t') })
      assert.same({ "state", 9 }, { words("jobs[1].st") })
      assert.same({ "state", 12 }, { words("jobs.later.st") })
      assert.same({ "", 1 }, { words("print().st") })
      assert.same({ "string", 4 }, { words("1..stri") })
      assert.same({ "", 1 }, { words("nothing.at.all.") })
    end)

    describe("attached to a job", function()
      before_each(function()
        run(":attach fw")
      end)

      it("says where it is and how long it may be held", function()
        local text, ended = run(":attach fw")
        assert.matches("attached to fw of gw: h@1, in step fetch; it waits in hob.time.sleep", text)
        assert.matches("held at most 15 min", text)
        assert.equal("fw> ", ended.prompt)
      end)

      it("names the jobs when it is not clear which one is meant", function()
        assert.matches("several: gw/same, lamp/same; say THING/ID", (run(":attach same")))
        assert.matches("attached to same of lamp", (run(":attach lamp/same")))
        assert.matches("no job 'x' runs; these do: gw/fw", (run(":attach x")))
        assert.matches("'later' does not run: it is waiting: its window", (run(":attach later")))
        assert.matches("'gw/later' does not run: it is waiting", (run(":attach gw/later")))
        assert.matches("'old' has ended: FAILED; `:log old` shows", (run(":attach old")))
      end)

      it("evaluates in the frame that is looked at, reading only", function()
        assert.equal('{ "a", me = <itself, 1 up> }\n', (run("numbers")))
        run(":up")
        run("numbers")
        run(":write on")
        run("numbers")
        run(":detach")
        assert.same({ "open process 1 of me", "attach 1", "evaluate numbers 11 nil",
          "evaluate numbers 12 nil", "write true", "evaluate numbers 12 true", "write false",
          "detach 1" }, debugger.calls)
      end)

      it("tries again where the job went on meanwhile, unless something may be changed", function()
        local stale = { nil, "the job has gone on", "ESTALE" }
        debugger.answers = { stale, stale }
        assert.matches("^{", (run("x")))
        debugger.answers = { stale, stale, stale, stale, stale, stale }
        assert.matches("the job has gone on; `:pause` holds it", (run("x")))
        run(":write on")
        debugger.answers = { stale }
        assert.matches("the job has gone on", (run("x = 1")))
      end)

      it("shows the stack with the source around the line", function()
        local text = run(":where")
        assert.matches("%*  1  inner  /x/h.lua:3", text)
        assert.matches("   2  run    /x/h.lua:6  %(coroutine 2%)", text)
        assert.matches("     2  two\n>    3  three\n     4  four", text)
        assert.matches("there are frames 1 to 2", (run(":frame 3")))
      end)

      it("shows locals", function()
        assert.equal("Locals\n  x = 1\n", (run(":locals")))
      end)

      it("sets, lists and deletes breakpoints, a file's all together", function()
        assert.equal("breakpoint 1  h.lua:3 if x == 1\n", (run(":break h.lua:2 if x == 1")))
        assert.equal("breakpoint 2  /x/h.lua:5\n", (run(":break 4")))
        run(":break h.lua:9")
        run(":delete 1")
        assert.equal("2  /x/h.lua:5\n3  h.lua:10\n", (run(":breaks")))
        assert.matches("there is no breakpoint 1", (run(":delete 1")))
        assert.matches("expected FILE:LINE", (run(":break")))
        assert.matches("expected FILE:LINE", (run(":break h.lua:0")))
        assert.same({ "breakpoints h.lua 1 x == 1", "breakpoints /x/h.lua 1 -",
          "breakpoints h.lua 2 -", "breakpoints h.lua 1 -" },
          { table.unpack(debugger.calls, 3) })
      end)

      it("says how long a stop may last, no less than it may", function()
        for left, words in pairs({ [899.997] = "15 min", [120] = "2 min", [59.2] = "60 s" }) do
          debugger.tell({ event = "stopped", thread = 1, reason = "pause", holdLeft = left })
          assert.equal(("fw stopped (paused); held for at most %s\n"):format(words), line().text)
        end
      end)

      it("tells a stop and an end by themselves, with the new prompt", function()
        debugger.tell({ event = "stopped", thread = 1, reason = "breakpoint", file = "/x/h.lua",
          line = 3, breakpoints = {}, holdLeft = 60 })
        local stop = line()
        assert.equal("stopped", stop.event)
        assert.equal("fw h.lua:3> ", stop.prompt)
        assert.equal("fw stopped at /x/h.lua:3 (breakpoint); held for at most 60 s\n"
          .. ">    3  three\n", stop.text)
        debugger.tell({ event = "stopped", thread = 2, reason = "pause" })
        debugger.tell({ event = "continued", thread = 1, text = "the hold's limit" })
        assert.equal("fw goes on: the hold's limit\n", line().text)
        debugger.tell({ event = "ended", thread = 1 })
        local ended = line()
        assert.matches("fw has ended", ended.text)
        assert.equal("hob> ", ended.prompt)
      end)

      it("waits for the stop that a step ends in, and shows it as the step's", function()
        assert.equal("fw is not held: `:pause` first, or `:break`\n", (run(":next")))
        debugger.state = "held"
        local text, ended = run(":next")
        assert.matches("fw stopped at /x/h.lua:4 %(after a step%)", text)
        assert.equal("fw h.lua:4> ", ended.prompt)
        assert.equal("step 1 over", debugger.calls[#debugger.calls])
      end)

      it("lets it go on: a person is told of the next stop, a script waits for it", function()
        send('{"options":{"terminal":true}}\n')
        local text, ended = run(":continue")
        assert.equal("", text)
        assert.is_true(ended.ok)
        send('{"options":{"terminal":false}}\n')
        send('{"id":9,"run":":continue"}\n')
        wait_until(function()
          return debugger.calls[#debugger.calls] == "continue 1" and #debugger.calls == 4
        end, PATIENCE, "the second continue")
        debugger.tell({ event = "ended", thread = 1 })
        assert.matches("fw has ended", line().text)
        assert.equal(9, line().id)
      end)

      it("can be interrupted while it waits for the job", function()
        send('{"id":9,"run":":wait"}\n{"interrupt":true}\n')
        assert.equal("interrupted\n", line().text)
        assert.is_false(line().ok)
        debugger.tell({ event = "stopped", thread = 1, reason = "pause" })
        assert.equal("stopped", line().event)
      end)

      it("says why something did not work", function()
        assert.equal("it does not want to\n", (run(":pause")))
      end)

      it("completes in the job", function()
        send('{"id":3,"complete":"x to"}\n')
        local answer = line()
        assert.same({ "total" }, answer.words)
        assert.equal(3, answer.from)
      end)

      it("closes the debugger's session when the client goes", function()
        gone = true
        inbox.wake()
        serving:result(PATIENCE)
        assert.equal("close", debugger.calls[#debugger.calls])
      end)
    end)
  end)
end)
