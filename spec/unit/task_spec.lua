-- Tasks, seen from Lua: `hob lua` runs its chunk as one, so this spec is one too. What needs a
-- cancel from outside runs in a scheduler of its own: hob_units.task. How engine errors end a task:
-- engine_errors_spec.lua.

local exec = require("hob.exec")
local lfs = require("lfs")
local run = require("hob_units").task.run
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

-- Counts the loop's turns while `fn` runs: 0 if it never let the loop go on.
local function turns_while(fn)
  local turns, timer = -1, nil
  local function tick()
    turns = turns + 1
    timer = time.after(0, tick)
  end
  tick()
  fn()
  timer:cancel()
  return turns
end

local function spin(n)
  local x = 0
  for i = 1, n do
    x = x + i
  end
  return x
end

describe("task", function()
  describe("a suspending call", function()
    it("returns its results to where it stands, while the loop goes on", function()
      local turns = turns_while(function()
        assert.equal("x\n", exec.run({ "echo", "x" }).stdout)
        time.sleep(0.001) -- a quick child may be there at the loop's first turn
      end)
      assert.is_true(turns > 0)
    end)

    it("passes through pcall, xpcall, iterators and metamethods", function()
      local t = setmetatable({}, {
        __index = function(_, key)
          time.sleep(0)
          return key .. "!"
        end,
      })
      local function iterate()
        return function(_, i)
          time.sleep(0)
          if i < 2 then
            return i + 1
          end
        end, nil, 0
      end
      local seen = {}
      local ok, got = pcall(function()
        for i in iterate() do
          seen[#seen + 1] = i
        end
        return select(2, xpcall(function() return t.a end, debug.traceback))
      end)
      assert.is_true(ok)
      assert.equal("a!", got)
      assert.same({ 1, 2 }, seen)
    end)

    it("passes through the script's own coroutines, which keep their own yields", function()
      local gen = coroutine.wrap(function(first)
        for i = first, first + 2 do
          time.sleep(0)
          local inner = coroutine.create(function()
            time.sleep(0)
            coroutine.yield(i * 10)
          end)
          local _, value = coroutine.resume(inner)
          coroutine.yield(value)
        end
      end)
      assert.same({ 10, 20, 30 }, { gen(1), gen(), gen() })
    end)

    it("raises inside a callback of table.sort, naming the reason", function()
      local ok, message = pcall(table.sort, { 3, 2, 1 }, function(a, b)
        time.sleep(0)
        return a < b
      end)
      assert.is_false(ok)
      assert.matches("not possible here", message)
    end)

    it("raises in a coroutine that is driven from table.sort", function()
      local ok, message = pcall(table.sort, { 3, 2, 1 }, function(a, b)
        coroutine.wrap(function() time.sleep(0) end)()
        return a < b
      end)
      assert.is_false(ok)
      assert.matches("not possible here", message)
    end)
  end)

  describe("the forced yield", function()
    it("lets the loop go on during a tight loop", function()
      assert.is_true(turns_while(function() spin(2e6) end) > 5)
    end)

    it("lets the loop go on among slow calls, however few the instructions are", function()
      local result = run{ code = "for _ = 1, 60 do burn(10) end" }
      assert.is_true(result.ok, result.message)
      assert.is_true(result.turns >= 4, result.turns .. " turns")
    end)

    it("lets the loop go on from inside coroutines and protected calls", function()
      local sum
      local turns = turns_while(function()
        sum = coroutine.wrap(function()
          return select(2, pcall(function()
            return coroutine.wrap(function() return spin(2e6) end)()
          end))
        end)()
      end)
      assert.equal(spin(2e6), sum)
      assert.is_true(turns > 5)
    end)

    it("is not seen by the script: results and errors are as without it", function()
      local co = coroutine.create(function(a)
        local b = coroutine.yield(spin(1e5) + a)
        spin(1e5)
        error("end " .. b, 0)
      end)
      assert.same({ true, spin(1e5) + 1 }, { coroutine.resume(co, 1) })
      assert.same({ false, "end 2" }, { coroutine.resume(co, 2) })
      assert.equal("dead", coroutine.status(co))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    end)
  end)

  describe("coroutine functions", function()
    it("behave as Lua's own", function()
      local co
      co = coroutine.create(function()
        assert.equal("running", coroutine.status(co))
        assert.is_false(select(2, coroutine.running()))
        assert.is_true(coroutine.isyieldable())
        coroutine.wrap(function() assert.equal("normal", coroutine.status(co)) end)()
        coroutine.yield()
      end)
      assert.equal("suspended", coroutine.status(co))
      assert.is_true(coroutine.resume(co))
      assert.is_true(coroutine.close(co))
      assert.equal("dead", coroutine.status(co))
      assert.is_true(select(2, coroutine.running()))
      assert.is_false(coroutine.isyieldable())
      assert.has_error(coroutine.yield, "attempt to yield from outside a coroutine")
    end)

    it("close what a failed wrap left open", function()
      local closed = false
      local f = coroutine.wrap(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        error("boom", 0)
      end)
      assert.is_false(pcall(f))
      assert.is_true(closed)
    end)

    it("refuse to resume a coroutine that another task waits in", function()
      local co = coroutine.create(function() time.sleep(3600) end)
      local timer = time.after(0, function() coroutine.resume(co) end)
      wait_until(function() return coroutine.status(co) == "normal" end, 5, "the coroutine to wait")
      assert.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(co) })
      assert.has_error(function() coroutine.close(co) end, "cannot close a normal coroutine")
      timer:cancel()
    end)
  end)

  describe("a finalizer that runs when the state is closed", function()
    it("may call pcall, and starts nothing", function()
      local hob = lfs.symlinkattributes("/proc/self/exe", "target")
      local result = assert(exec.run{ hob, "lua", "-e", [[
          local time = require("hob.time")
          kept = setmetatable({}, { __gc = function()
            print(pcall(error, "planted", 0))
            print(pcall(time.sleep, 1))
            print(pcall(time.after, 0, function() print("ran") end))
          end })
        ]] })
      local lines = {}
      for line in result.stdout:gmatch("[^\n]+") do
        lines[#lines + 1] = line:match("^%a+")
      end
      assert.same({ 0, "" }, { result.code, result.stderr })
      assert.same({ "false", "false", "false" }, lines)
      assert.matches("the script has ended: nothing can be started any more", result.stdout, 1,
        true)
      assert.matches("^false\tplanted\n", result.stdout)
    end)
  end)

  describe("what waits for what comes next", function()
    local function notes(code)
      local result = run{ code = code }
      assert.is_true(result.ok, result.message)
      return result.notes, result.results
    end

    it("comes before the next call of a function in C, once", function()
      assert.same({ "next", "one", "two" }, (notes('before_next() note("one") note("two")')))
    end)

    for what, code in pairs({
      ["a call in a Lua function"] = 'local function f() return note("behind") end f()',
      ["a metamethod in C"] = "local _ = setmetatable_done.member",
      ["an iterator"] = 'for _ in note, "behind" do break end',
      ["a coroutine"] = "co()",
      ["a wait"] = "pause(1)",
      ["a <close> function"] = "do local _ <close> = closes end",
      ["an error"] = "pcall(error)",
    }) do
      it("comes before " .. what, function()
        local list = notes([[
          co = coroutine.wrap(function() note("behind") end)
          setmetatable_done = setmetatable({}, { __index = note })
          closes = setmetatable({}, { __close = function() note("behind") end })
          before_next() ]] .. code)
        assert.equal("next", list[1])
      end)
    end

    it("does not come before what is quiet, nor before Lua functions", function()
      local code = [[
        local function f(n) if n > 0 then return f(n - 1) end return { n } end
        before_next()
        quiet()
        f(10)
        quiet() ]]
      assert.same({}, (notes(code)))
      assert.same({ "next", "end" }, (notes(code .. 'note("end")')))
    end)

    it("does not come after the task's end", function()
      local result = run{ code = "before_next()", after = 'return (before_next())' }
      assert.same({}, result.notes)
      assert.same({ "true" }, result.after.results) -- none is left
    end)

    it("comes before a forced yield", function()
      local list = notes([[
        go(function() note("another") end)
        before_next()
        local x = 0
        for i = 1, 100000 do x = x + i end
        note("end") ]])
      assert.same({ "next", "another", "freed", "end" }, list)
    end)

    it("may end the task", function()
      local result = run{ code = 'before_next(true) pcall(note, "behind")' }
      assert.equal("failed", result.kind)
      assert.same({ "next" }, result.notes)
    end)

    it("is not to be seen from a coroutine of the script's own", function()
      local list, results = notes([[
        return coroutine.wrap(function()
          local sees = before_next()
          note("end")
          return sees
        end)()]])
      assert.same({ "end" }, list)
      assert.same({ "false" }, results)
    end)
  end)

  describe("a callback from the loop", function()
    it("is a task of its own, so it may suspend", function()
      local order = {}
      time.after(0, function()
        order[#order + 1] = "a"
        time.sleep(0)
        exec.run({ "true" })
        order[#order + 1] = "b"
      end)
      wait_until(function() return #order == 2 end, 5, "the callback to end")
      assert.same({ "a", "b" }, order)
    end)

    it("starts in the order of the events", function()
      local order = {}
      for i = 1, 20 do
        time.after(0, function() order[#order + 1] = i end)
      end
      wait_until(function() return #order == 20 end, 5, "twenty timers")
      for i = 1, 20 do
        assert.equal(i, order[i])
      end
    end)

    it("has run up to its first wait before the next begins, however long that takes", function()
      local order = {}
      local function note(what) order[#order + 1] = what end
      for i = 1, 4 do
        time.after(0, function()
          spin(i % 2 * 100000) -- the first and the third are made to yield
          note(i)
          if i == 3 then
            time.sleep(0)
            note("3 again")
          end
        end)
      end
      wait_until(function() return #order == 5 end, 5, "four timers")
      assert.same({ 1, 2, 3, 4, "3 again" }, order)
    end)

    it("does not run once its timer is cancelled", function()
      local ran = false
      local timer = time.after(0, function() ran = true end)
      timer:cancel()
      timer:cancel()
      time.sleep(0.01)
      assert.is_false(ran)
    end)
  end)

  -- Runs the code in a scheduler of its own; afterwards another task of it works as if nothing had
  -- been.
  local function runs(code)
    local result = run{ code = code, after = [[
      local x = 0
      for i = 1, 100000 do x = x + i end
      pause(1)
      return select(2, pcall(coroutine.wrap(function() pause(1) return "fine" end)))]] }
    assert.is_true(result.ended, "it ends: " .. result.message)
    assert.equal(0, result.ops)
    assert.same({ "fine" }, result.after.results, result.after.message)
    assert.is_true(result.after.turns > 10, "the forced yield is on")
    return result
  end

  local function ends(code, ...)
    local result = runs(code)
    assert.is_true(result.ok, result.message)
    assert.same({ ... }, result.results)
    return result
  end

  local function is_cancelled(code, ...)
    local result = runs(code)
    assert.equal("cancelled", result.kind, result.message)
    assert.same({ ... }, result.notes)
    return result
  end

  describe("cancel", function()
    it("ends what the task waits in: its own cancel is called, its results are never asked for",
      function()
        is_cancelled([[cancel("cancelled", 2) pause(0, "op") note("escaped")]], "cancelled op")
      end)

    it("does not cancel an operation that has ended by itself, and drops its results", function()
      is_cancelled([[go(function() cancel() end) pause(1, "op") note("escaped")]], "freed")
    end)

    it("ends also an operation that was begun by the one that cancels", function()
      is_cancelled([[pcall(pause, 0, "op", true) note("escaped")]], "cancelled op")
    end)

    it("comes before the first line of a task that has not run yet", function()
      is_cancelled([[cancel() note("escaped")]])
    end)

    it("keeps its first reason", function()
      local result = is_cancelled([[
        cancel("cancelled", 1)
        cancel("late", 1)
        pause(0, "op")]], "cancelled op")
      assert.equal("cancelled by the spec", result.message)
    end)
  end)

  describe("critical", function()
    it("gives what its function returns, with its arguments", function()
      ends([[return critical(function(...) return select("#", ...), ... end, "a", nil, "b")]],
        "3", "a", "nil", "b")
    end)

    it("hands on an error as it is", function()
      ends([[return pcall(critical, error, "planted", 0)]], "false", "planted")
      ends([[
        local thrown = {}
        local _, caught = pcall(critical, function() error(thrown) end)
        return caught == thrown]], "true")
    end)

    it("refuses what is no function", function()
      local result = runs("critical(nil)")
      assert.matches("bad argument #1 to 'critical' %(function expected, got nil%)", result.message)
    end)

    it("delays a cancel until it has ended, and says so", function()
      is_cancelled([[
        critical(function()
          cancel("cancelled", 1)
          pause(3, "op")
          note(in_critical())
          local x = 0
          for i = 1, 100000 do x = x + i end
          note("all of it")
        end)
        note("escaped")]], "delayed cancelled", "pushed op", "true", "all of it")
    end)

    it("delays a cancel until it has ended by an error", function()
      is_cancelled([[
        pcall(function()
          pcall(critical, function() cancel() error("planted") end)
          note("escaped")
        end)
        note("escaped")]], "delayed cancelled")
    end)

    it("may be nested, and in coroutines and protected calls", function()
      is_cancelled([[
        critical(function()
          pcall(coroutine.wrap(function()
            critical(function() cancel() pause(1, "inner") end)
            pause(1, "outer")
          end))
          pause(1, "last")
        end)
        note("escaped")]], "delayed cancelled", "pushed inner", "pushed outer", "pushed last")
    end)

    it("delays nothing once it is over", function()
      is_cancelled([[
        critical(pause, 1, "op")
        pcall(critical, error)
        note(tostring(in_critical()))
        cancel()
        while true do pcall(pause, 1, "escaped") end]], "pushed op", "false")
    end)

    it("does not delay what the task itself asks for, nor a limit", function()
      local result = runs([[critical(function() raise("reject", "no") end) note("escaped")]])
      assert.equal("reject", result.kind)
      assert.same({}, result.notes)
      result = runs([[critical(function() cancel() cancel("limit/CPU") pause(1) end)]])
      assert.equal("limit/CPU", result.kind)
      assert.same({ "delayed cancelled" }, result.notes)
    end)

    it("cannot be left by a yield of the script's own", function()
      ends([[
        local co = coroutine.create(function()
          critical(function()
            local gen = coroutine.wrap(function() coroutine.yield("its own") end)
            note(gen())
            coroutine.yield()
          end)
        end)
        return coroutine.resume(co)]],
        "false", "code:5: attempt to yield out of a critical section")
    end)

    it("works in a call outside any task", function()
      ends([[
        function section() note(critical(function() return "section" end)) end
        return outside("section")]])
    end)
  end)

  describe("within", function()
    it("gives true and what its function returns", function()
      ends([[return within(60, function() pause(1) return "a", nil, "b" end)]],
        "true", "a", "nil", "b")
      ends([[return within(60, function() end)]], "true")
    end)

    it("gives false and the error value", function()
      ends([[return within(60, function() error("planted", 0) end)]], "false", "planted")
      ends([[
        local thrown = {}
        local ok, caught = within(60, function() error(thrown) end)
        return caught == thrown]], "true")
    end)

    it("gives nil when the time was up: what was waited for is cancelled", function()
      local result = ends([[return within(0.001, function()
        local _ <close> = setmetatable({}, { __close = function() note("closed") end })
        pause(0, "op")
        note("escaped")
      end)]], "nil")
      assert.same({ "cancelled op", "closed" }, result.notes)
    end)

    it("has no limit without seconds, or with very many", function()
      ends([[return within(nil, function() pause(2) return 1 end)]], "true", "1")
      ends([[return within(math.huge, function() pause(2) return 1 end)]], "true", "1")
      ends([[return within(1e300, function() pause(2) return 1 end)]], "true", "1")
    end)

    it("does not begin when there is no time at all", function()
      ends([[return within(0, note, "escaped")]], "nil")
      ends([[return within(-1, note, "escaped")]], "nil")
      ends([[return within(-math.huge, note, "escaped")]], "nil")
    end)

    it("refuses NaN, what is no number and what is no function", function()
      ends([[
        local ok, nan = pcall(within, 0 / 0, note)
        local ok, word = pcall(within, "soon", note)
        local ok, fn = pcall(within, 1)
        return nan, word, fn]], "bad argument #1 to 'within' (expected seconds, got NaN)",
        "bad argument #1 to 'within' (number expected, got string)",
        "bad argument #2 to 'within' (function expected, got no value)")
    end)

    -- What would go on for ever, or until the spec is given up.
    local endless = {
      ["a loop"] = "while true do end",
      ["pcall in a loop"] = [[while true do pcall(function() while true do end end) end]],
      ["a wait in pcall in a loop"] = [[while true do pcall(pause, 0) end]],
      ["xpcall with a handler that loops"] = [[
        local function spin() while true do end end
        while true do xpcall(spin, spin) end]],
      ["a coroutine"] = [[
        while true do coroutine.resume(coroutine.create(function() while true do end end)) end]],
      ["a wait in coroutines in coroutines"] = [[
        coroutine.wrap(function()
          while true do pcall(coroutine.wrap(function() pause(0) end)) end
        end)()]],
      ["a generator"] = [[
        local gen = coroutine.wrap(function() while true do coroutine.yield(1) end end)
        for _ in gen do end]],
      ["__close"] = [[
        local _ <close> = setmetatable({}, { __close = function() while true do end end })]],
      ["__close after its end"] = [[
        local _ <close> = setmetatable({}, { __close = function()
          while true do pcall(error) end
        end })
        pause(0)]],
      ["a metamethod"] = [[
        local t = setmetatable({}, { __index = function() while true do end end })
        while true do pcall(function() return t.x end) end]],
      ["another time limit"] = [[while true do within(60, function() pause(0) end) end]],
      ["many short callbacks of table.sort"] = [[
        while true do
          pcall(table.sort, { 3, 2, 1 }, function(a, b) return a < b end)
        end]],
    }
    for name, code in pairs(endless) do
      it("ends " .. name, function()
        ends(([[
          local results = table.pack(within(0.002, function() %s end))
          note(results.n)
          pause(1)
          return results[1], within(60, function() pause(1) return "as good as new" end)]])
          :format(code), "nil", "true", "as good as new")
      end)
    end

    it("does not save a callback that cannot be interrupted: the whole task ends", function()
      local result = runs([[
        within(0.001, function() table.sort({ 3, 2, 1 }, function() while true do end end) end)
        note("escaped")]])
      assert.equal("limit", result.kind)
      assert.same({}, result.notes)
    end)

    it("leaves the task as good as new, any number of times", function()
      ends([[
        local count = 0
        for i = 1, 20 do
          local ended = within(0.001, function()
            local _ <close> = setmetatable({}, { __close = function() pcall(error) end })
            coroutine.wrap(function() pcall(pause, 0) end)()
          end)
          count = count + (ended == nil and 1 or 0)
          assert(select(2, pcall(error, "own", 0)) == "own")
          assert(pause(1, "next") == "next")
        end
        return count]], "20")
    end)

    it("lets the outer of two end the inner one, too", function()
      local result = ends([[
        return within(0.001, function()
          within(60, function() pause(0, "op") end)
          note("escaped")
        end)]], "nil")
      assert.same({ "cancelled op" }, result.notes)
    end)

    it("goes on after the inner of two", function()
      ends([[
        return within(60, function()
          local inner = within(0.001, function() pause(0) end)
          pause(1)
          return inner, "outer"
        end)]], "true", "nil", "outer")
    end)

    it("counts for both when both are over", function()
      local result = ends([[
        return within(0.001, function()
          within(0.001, function() burn(5) pause(0, "op") end)
          note("escaped")
        end)]], "nil")
      assert.same({ "cancelled op" }, result.notes)
    end)

    it("keeps what its function returns in the last moment", function()
      ends([[return within(0.001, function() burn(5) return "done" end)]], "true", "done")
      ends([[return within(0.001, function() burn(5) error("own", 0) end)]], "false", "own")
    end)

    it("is caught in a coroutine, and by no protected call around it", function()
      ends([[
        return pcall(coroutine.wrap(function()
          local ended = within(0.001, function() pcall(pause, 0) end)
          pause(1)
          coroutine.yield(ended, "yielded")
        end))]], "true", "nil", "yielded")
    end)

    it("cannot be left by a yield of the script's own", function()
      ends([[
        local co = coroutine.create(function() within(60, coroutine.yield) end)
        local _, message = coroutine.resume(co)
        co = coroutine.create(function() return within(60, function()
          local gen = coroutine.wrap(function() coroutine.yield("its own") end)
          return gen()
        end) end)
        return message, coroutine.resume(co)]],
        "nil", "true", "true", "its own")
    end)

    it("lets an end of the whole task through", function()
      is_cancelled([[
        cancel("cancelled", 2)
        within(60, function() pause(0, "op") end)
        note("escaped")]], "cancelled op")
    end)

    it("lets an end of the whole task win that comes while it is ended itself", function()
      is_cancelled([[
        within(0.001, function()
          local _ <close> = setmetatable({}, { __close = function() cancel() end })
          pause(0, "op")
        end)
        note("escaped")]], "cancelled op")
      local result = runs([[
        within(0.001, function()
          local _ <close> = setmetatable({}, { __close = function() raise("reject", "no") end })
          pause(0)
        end)
        note("escaped")]])
      assert.equal("reject", result.kind)
    end)

    it("works in a call outside any task", function()
      ends([[
        function limited() note(tostring(select(2, within(1, function() return "limited" end)))) end
        return outside("limited")]])
    end)

    describe("around a critical section", function()
      it("ends when that has ended", function()
        local result = ends([[
          return within(0.001, function()
            critical(function()
              burn(5)
              pause(2, "op")
              note("all of it")
            end)
            note("escaped")
          end)]], "nil")
        assert.same({ "pushed op", "all of it" }, result.notes)
      end)

      it("ends when that has ended by an error", function()
        ends([[
          return within(0.001, function()
            pcall(critical, function() burn(5) pause(2) error("planted") end)
            note("escaped")
          end)]], "nil")
      end)
    end)

    describe("in a critical section", function()
      it("ends in time", function()
        local result = ends([[
          return critical(function()
            local ended = within(0.001, function() pause(0, "op") end)
            pause(1, "next")
            return ended, in_critical()
          end)]], "nil", "true")
        assert.same({ "cancelled op", "pushed next" }, result.notes)
      end)

      it("ends by itself, also when a cancel is delayed", function()
        is_cancelled([[
          critical(function()
            cancel()
            note(tostring(within(0.001, function() pause(0, "op") end)))
            note(tostring(within(60, function() return pause(1, "next") end)))
          end)
          note("escaped")]], "delayed cancelled", "cancelled op", "nil", "pushed next", "true")
      end)

      it("does not end the one around it", function()
        ends([[
          return within(0.001, function()
            return critical(function()
              within(60, function() burn(5) pause(2, "in both") end)
              note("still")
            end)
          end)]], "nil")
      end)
    end)
  end)

  describe("who is executing", function()
    it("is marked while code of the state is on the stack, and not between", function()
      local result = ends([[
        local seen = executing()
        pause(1)
        go(function() seen = seen + executing() end)
        pause(2)
        function nested() seen = seen + executing() end
        outside("nested")
        seen = seen + executing()
        return seen]], "4")
      assert.is_false(result.executing)
    end)

    it("is not marked any more when nobody wants to know", function()
      ends([[unmark() pause(1) return executing()]], "0")
    end)
  end)

  describe("a callback that the core calls", function()
    it("is made in its own turn, so that no finalizer runs inside the core", function()
      ends([[
        collectgarbage("incremental", 100, 1000, 40) -- a step is a whole cycle
        local finalized
        local function callback() end
        local function try(fn)
          collectgarbage()
          collectgarbage("stop")
          setmetatable({}, { __gc = function() finalized = true end })
          local grows = {}
          finalized = false
          collectgarbage("restart")
          grows[1] = true -- memory is owed now, but a table that grows does not collect
          fn(callback)
          return finalized
        end
        return try(coroutine.create), try(go)]], "true", "false")
    end)

    it("keeps its function, though the caller gives up its reference", function()
      local result = ends([[
        for i = 1, 3 do
          local name = "callback" .. i
          go(function(argument) note(name .. " " .. argument) end)
        end
        collectgarbage()
        pause(3)]])
      assert.same({ "callback1 argument", "freed", "callback2 argument", "freed",
        "callback3 argument", "freed", "pushed pause" }, result.notes)
    end)

    it("begins though the one before it failed after a forced yield", function()
      local notes = ends([[
        go(function()
          local x = 0
          for i = 1, 9000 do x = x + i end
          note("spun")
          error("planted")
        end)
        go(function() note("second") end)
        pause(20)]]).notes
      assert.same({ "spun", "second" }, { notes[1], notes[4] })
    end)

    it("tells an error, and that it was out of memory, to the scheduler's owner", function()
      local result = ends([[go(error) go(function() raise("reject", "no") end) pause(2)]])
      assert.same({ "error argument", "freed", "reject no", "freed", "pushed pause" }, result.notes)
      local n, told = 0
      repeat
        n = n + 1
        result = run{ code = "go(function() end) pause(3)", fail_at = n, fail_for = 2 }
        for i, line in ipairs(result.notes) do
          if line == "memory out of memory" then
            assert.equal("freed", result.notes[i + 1])
            told = true
          end
        end
      until result.failures == 0
      assert.is_true(told)
    end)
  end)
end)
