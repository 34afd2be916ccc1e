-- Engine errors: cancel, reject, a limit. Whatever Lua code a task is in when one comes, the task
-- ends, its <close> variables are closed, and the scheduler's other tasks go on. Work is counted in
-- turns of the loop, never in seconds.

local run = require("hob_units").task.run

-- What every piece of code below can use.
local PRELUDE = [[
  local function guard(name)
    return setmetatable({}, { __close = function() note("closed " .. name) end })
  end
  local function spin() while true do end end
  local function cancel_here() cancel() spin() end
  local function escaped() note("escaped") end
]]

-- A task of the same scheduler, afterwards: protected calls, waits, coroutines and the forced yield
-- work as if nothing had been.
local AFTER = [[
  local x = 0
  for i = 1, 200000 do x = x + i end
  assert(select("#", pcall(error, "e")) == 2)
  assert(pause(1) == "pause")
  assert(coroutine.wrap(function() pause(1) return "co" end)() == "co")
  assert(within(60, function() return "done" end) == true)
  return critical(function() return "fine" end)
]]

local function noted(result, text)
  for _, line in ipairs(result.notes) do
    if line == text then
      return true
    end
  end
  return false
end

-- Runs the code, which must be ended by an engine error of that kind within so many turns after it
-- was asked for, with nothing of it going on, and with its outermost <close> variable closed.
local function ends_with(kind, code, turns)
  local result = run{ code = PRELUDE .. "local outer <close> = guard('outer') " .. code
    .. " escaped()", after = AFTER }
  assert.is_true(result.ended, "it ends")
  assert.is_false(result.ok)
  assert.equal(kind, result.kind, result.message)
  assert.is_false(noted(result, "escaped"), "nothing goes on")
  assert.is_true(noted(result, "closed outer"), "the <close> variable is closed")
  assert.is_true(result.turns_to_end <= (turns or 1), result.turns_to_end .. " turns")
  assert.equal(0, result.ops, "no operation is left")
  assert.is_true(result.after.ok, "later tasks work: " .. result.after.message)
  assert.equal("fine", result.after.results[1])
  assert.is_true(result.after.turns > 10, "the forced yield is on")
  assert.is_false(result.executing)
  return result
end

describe("an engine error", function()
  describe("ends a task that is in", function()
    local places = {
      ["a tight loop"] = [[cancel_here()]],
      ["a loop of goto, with pcall inside"] = [[
        ::again::
        pcall(cancel_here)
        escaped()
        goto again]],
      ["pcall in a loop"] = [[
        while true do
          pcall(function() local _ <close> = guard("inner") cancel_here() end)
          escaped()
        end]],
      ["pcall in pcall in pcall"] = [[
        pcall(pcall, pcall, function() pcall(cancel_here) escaped() end)]],
      ["pcall of something that is no function, for ever"] = [[
        cancel()
        while true do pcall(nil) end]],
      ["xpcall, whose handler is not called"] = [[
        xpcall(cancel_here, function() note("escaped") end)]],
      ["a message handler that loops"] = [[
        xpcall(error, cancel_here, "planted")]],
      ["a message handler that raises again and again"] = [[
        xpcall(error, function() cancel() error("again") end, "planted")]],
      ["a message handler that catches everything"] = [[
        xpcall(error, function() while true do pcall(cancel_here) escaped() end end, "planted")]],
      ["a message handler of a message handler"] = [[
        xpcall(error, function() xpcall(error, cancel_here, "inner") escaped() end, "planted")]],
      ["an error without a handler that works"] = [[
        pcall(xpcall, error, function(m) cancel() return m .. nil end, "planted")]],
      ["coroutine.resume in a loop"] = [[
        while true do
          coroutine.resume(coroutine.create(function()
            local _ <close> = guard("inner")
            cancel_here()
          end))
          escaped()
        end]],
      ["coroutine.wrap in pcall in a loop"] = [[
        while true do pcall(coroutine.wrap(cancel_here)) escaped() end]],
      ["a generator"] = [[
        local gen = coroutine.wrap(function()
          for i = 1, 10 do
            if i == 3 then pcall(cancel_here) end
            coroutine.yield(i)
          end
        end)
        for i in gen do if i > 2 then escaped() end end]],
      ["coroutines in coroutines"] = [[
        local function nest(depth)
          if depth == 0 then cancel_here() end
          pcall(coroutine.wrap(function()
            local _ <close> = guard("inner")
            coroutine.resume(coroutine.create(nest), depth - 1)
            escaped()
          end))
          escaped()
        end
        nest(10)]],
      ["coroutine.close"] = [[
        local co = coroutine.create(function()
          local _ <close> = setmetatable({}, { __close = cancel_here })
          coroutine.yield()
        end)
        coroutine.resume(co)
        pcall(coroutine.close, co)]],
      ["a <close> function of an ordinary end"] = [[
        pcall(function() local _ <close> = setmetatable({}, { __close = cancel_here }) end)]],
      ["a <close> function of an error"] = [[
        pcall(function()
          local _ <close> = setmetatable({}, { __close = cancel_here })
          error("planted")
        end)]],
      ["the closing value of a for loop"] = [[
        pcall(function()
          for _ in next, { 1 }, nil, setmetatable({}, { __close = cancel_here }) do end
        end)]],
      ["an iterator"] = [[pcall(function() for _ in cancel_here do end end)]],
      ["__pairs"] = [[pcall(pairs, setmetatable({}, { __pairs = cancel_here }))]],
      ["ipairs over __index"] = [[
        pcall(function()
          for _ in ipairs(setmetatable({}, { __index = cancel_here })) do end
        end)]],
      ["table.sort"] = [[pcall(table.sort, { 3, 2, 1 }, cancel_here)]],
      ["table.sort in a coroutine"] = [[
        pcall(coroutine.wrap(function() table.sort({ 3, 2, 1 }, cancel_here) end))]],
      ["a coroutine in table.sort"] = [[
        pcall(table.sort, { 3, 2, 1 }, function() pcall(coroutine.wrap(cancel_here)) end)]],
      ["string.gsub"] = [[pcall(string.gsub, "aaa", "a", cancel_here)]],
      ["the __index of a replacement table"] = [[
        pcall(string.gsub, "aaa", "a", setmetatable({}, { __index = cancel_here }))]],
      ["table.concat and its kin, over metamethods"] = [[
        pcall(table.unpack, setmetatable({}, { __len = function() return 3 end,
          __index = cancel_here }))]],
      ["tostring"] = [[pcall(tostring, setmetatable({}, { __tostring = cancel_here }))]],
      ["string.format"] = [[
        pcall(string.format, "%s", setmetatable({}, { __tostring = cancel_here }))]],
      ["code that was loaded"] = [[
        pcall(load("local f = ... while true do pcall(f) end"), cancel_here)]],
      ["a module that is being loaded"] = [[
        package.preload.planted = cancel_here
        pcall(require, "planted")]],
      ["deep recursion"] = [[
        local function deep(n) if n == 0 then cancel_here() end return 1 + deep(n - 1) end
        pcall(deep, 10000)]],
      ["recursion without an end"] = [[
        cancel()
        local function deep() return 1 + deep() end
        while true do pcall(deep) end]],
      ["recursion through pcall that doubles at each level"] = [[
        local n = 0
        local function deep()
          n = n + 1
          if n == 100 then cancel() end
          pcall(deep)
          pcall(deep)
        end
        deep()]],
      ["coroutines that start one another without an end"] = [[
        cancel()
        local function nest() coroutine.wrap(nest)() end
        while true do pcall(nest) end]],
      ["a stack overflow that is handled"] = [[
        local function deep(...) return 1 + deep(...) end
        xpcall(deep, cancel_here, table.unpack({}, 1, 200))]],
      ["the conversion of its own error to text"] = [[
        error(setmetatable({}, { __tostring = cancel_here }))]],
    }
    for _, name in ipairs{ "index", "newindex", "call", "concat", "add", "unm", "idiv", "band",
      "shl", "len", "eq", "lt", "le" } do
      local use = { index = "return t.x", newindex = "t.x = 1", call = "t()",
        concat = "return t..t", add = "return 1 + t", unm = "return -t",
        idiv = "return t // 1", band = "return t & 1", shl = "return t << 1",
        len = "return #t", eq = "return t == u", lt = "return t < u",
        le = "return t <= u" }
      places["__" .. name] = ([[
        local m = { __%s = cancel_here }
        local t, u = setmetatable({}, m), setmetatable({}, m)
        while true do pcall(function() %s end) escaped() end]]):format(name, use[name])
    end
    local names = {}
    for name in pairs(places) do
      names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
      it(name, function() ends_with("cancelled", places[name]) end)
    end
  end)

  describe("closes the <close> variables", function()
    it("of every function and coroutine on its way, innermost first", function()
      local result = ends_with("cancelled", [[
        pcall(function()
          local a <close> = guard("a")
          coroutine.wrap(function()
            local b <close> = guard("b")
            pcall(function()
              local c1 <close>, c2 <const> = guard("c1"), 1
              local d <close> = guard("d")
              cancel_here()
            end)
          end)()
        end)]])
      assert.same({ "closed d", "closed c1", "closed b", "closed a", "closed outer" }, result.notes)
    end)

    it("also when it comes in a wait deep inside", function()
      local result = ends_with("cancelled", [[
        cancel("cancelled", 3)
        coroutine.wrap(function()
          local a <close> = guard("a")
          while true do
            pcall(coroutine.wrap(function() local b <close> = guard("b") pause(0, "deep") end))
            escaped()
          end
        end)()]], 2)
      assert.same({ "cancelled deep", "closed b", "closed a", "closed outer" }, result.notes)
    end)

    it("of the callbacks of C functions", function()
      local result = ends_with("cancelled", [[
        string.gsub("x", "x", function() local _ <close> = guard("callback") cancel_here() end)]])
      assert.same({ "closed callback", "closed outer" }, result.notes)
    end)

    local function closing(body)
      return "local a <close> = setmetatable({}, { __close = function() " .. body
        .. " end }) local b <close> = guard('b') cancel_here()"
    end

    it("one of which loops: it has a budget, those after it have their turn", function()
      local result = ends_with("cancelled", closing("note('begun') spin()"))
      assert.same({ "closed b", "begun", "closed outer" }, result.notes)
    end)

    it("one of which loops and catches everything", function()
      ends_with("cancelled", closing("while true do pcall(spin) end"))
      ends_with("cancelled", closing("while true do pcall(error, 1) end"))
      ends_with("cancelled", closing("while true do xpcall(spin, spin) end"))
      ends_with("cancelled", closing("while true do coroutine.resume(coroutine.create(spin)) end"))
      ends_with("cancelled", closing("while true do within(60, spin) end"))
      ends_with("cancelled", closing("critical(spin)"))
      ends_with("cancelled", closing("table.sort({ 3, 2, 1 }, spin)"))
    end)

    it("one of which loops in a coroutine", function()
      ends_with("cancelled", [[pcall(coroutine.wrap(function()
        ]] .. closing("note('begun') spin()") .. [[
      end))]])
    end)

    it("of a coroutine that is ended in a callback", function()
      local result = ends_with("cancelled", [[pcall(coroutine.wrap(function()
        local a <close> = setmetatable({}, { __close = function() note("begun") spin() end })
        table.sort({ 3, 2, 1 }, cancel_here)
      end))]])
      assert.same({ "begun", "closed outer" }, result.notes)
    end)

    it("many of which loop", function()
      ends_with("cancelled", [[
        local function deep(n)
          local _ <close> = setmetatable({}, { __close = spin })
          if n == 0 then cancel_here() end
          deep(n - 1)
        end
        deep(150)]])
    end)

    it("one of which raises: the reason is still the first one", function()
      ends_with("cancelled", closing("error('planted')"))
      ends_with("cancelled", "pcall(function() " .. closing("error('planted')") .. " end)")
      ends_with("cancelled", "pcall(coroutine.wrap(function() " .. closing("error('planted')")
        .. " end))")
    end)

    it("one of which handles its own errors", function()
      local result = ends_with("cancelled", closing([[
        local ok, message = pcall(error, "planted", 0)
        note(tostring(ok) .. " " .. message)
        note(tostring(coroutine.resume(coroutine.create(error), "planted")))
        note(tostring(pcall(coroutine.wrap(error), "planted")))
        note(tostring(xpcall(error, function() return "handled" end)))
        note(tostring(within(1, error)))
        note(critical(function() return "critical" end))
        note(tostring(select(2, pcall(critical, error, "own", 0))))]]))
      assert.same({ "closed b", "false planted", "false", "false", "false", "false", "critical",
        "own", "closed outer" }, result.notes)
    end)

    it("one of which yields", function()
      local result = ends_with("cancelled", "pcall(coroutine.wrap(function() " .. closing([[
        local gen = coroutine.wrap(function() coroutine.yield("its own") end)
        note(gen())
        note(select(2, pcall(coroutine.yield)))
        coroutine.yield()
        escaped()]]) .. " end))")
      assert.same({ "closed b", "its own",
        "attempt to yield in a <close> function of what is being ended", "closed outer" },
        result.notes)
    end)

    it("one of which waits: it is told that it cannot", function()
      local result = ends_with("cancelled", closing([[
        local ok, message = pcall(pause, 1)
        note(tostring(ok) .. " " .. message)
        pause(1)
        escaped()]]))
      assert.same({ "closed b",
        "false this call waits, which a <close> function of what is being ended cannot",
        "closed outer" }, result.notes)
    end)

    it("which may call reject: the first reason stands", function()
      local result = ends_with("cancelled", closing("raise('reject', 'no')"))
      assert.equal("cancelled by the spec", result.message)
    end)
  end)

  describe("of its own making", function()
    it("passes through whatever catches", function()
      local result = ends_with("reject", [[
        while true do
          pcall(coroutine.wrap(function() xpcall(raise, print, "reject", "not here") end))
          escaped()
        end]])
      assert.equal("not here", result.message)
    end)

    it("keeps the first reason", function()
      local result = ends_with("reject", [[
        local _ <close> = setmetatable({}, { __close = function() cancel("late") end })
        raise("reject", "first")]])
      assert.equal("first", result.message)
    end)

    it("ends the task even where a function in C swallows it", function()
      local result = run{ code = "while true do swallow(function() raise('reject', 'no') end) end",
        after = AFTER }
      assert.equal("reject", result.kind)
      assert.equal(1, result.turns_to_end)
      result = run{ code = "cancel() while true do swallow(function() pcall(error) end) end",
        after = AFTER }
      assert.equal("cancelled", result.kind)
      assert.equal(1, result.turns_to_end)
      result = run{ code = [[
        while true do swallow(function() cancel() while true do pcall(error) end end) end]],
        after = AFTER }
      assert.equal("cancelled", result.kind)
      assert.equal(1, result.turns_to_end)
      result = run{ code = [[
        while true do load(function() cancel() while true do end end) end]], after = AFTER }
      assert.equal("cancelled", result.kind)
      assert.equal(1, result.turns_to_end)
      assert.same({ "fine" }, result.after.results)
    end)
  end)

  describe("of a limit", function()
    it("ends what cannot be interrupted for 200 ms, and says where", function()
      local result = ends_with("limit", "\npcall(table.sort, { 3, 2, 1 }, function()\nspin() end)")
      assert.matches("^code:%d+: ran for over 200 ms where it cannot be interrupted$",
        result.message)
    end)

    it("ends a message handler, a <close> function of close, a metamethod of C alike", function()
      ends_with("limit", "xpcall(error, spin)")
      ends_with("limit", [[
        local co = coroutine.create(function()
          local _ <close> = setmetatable({}, { __close = spin })
          coroutine.yield()
        end)
        coroutine.resume(co)
        coroutine.close(co)]])
      ends_with("limit", "pcall(tostring, setmetatable({}, { __tostring = spin }))")
    end)

    it("leaves many short callbacks alone", function()
      local result = run{ code = [[
        local function less(a, b) local x = 0 for i = 1, 100 do x = x + i end return a < b end
        for _ = 1, 20000 do table.sort({ 2, 1 }, less) end
        return "done"]] }
      assert.same({ "done" }, result.results, result.message)
    end)

    it("ends a task after one call that held the loop for a second, and says where", function()
      local result = ends_with("limit", "\n\npcall(function() burn(1010)\nspin() end)", 2)
      assert.matches("^code:%d+: a call at or before this line took 1%d%d%d ms of processor",
        result.message)
    end)

    it("finds such a call among few instructions", function()
      local result = run{ code = "while true do burn(300) note('call') end" }
      assert.equal("limit", result.kind)
      assert.is_true(#result.notes < 20, #result.notes .. " calls")
    end)

    it("finds such a call also at the next wait", function()
      local result = ends_with("limit", "burn(1010) pcall(pause, 1)")
      assert.matches("a call at or before this line", result.message)
    end)

    it("does not mind slow calls of Hob's own commands", function()
      local result = run{ code = "trust() burn(1010) pause(1) return 1" }
      assert.same({ "1" }, result.results, result.message)
    end)

    it("does not mind what was over before it could be ended", function()
      assert.is_true(run{ code = "burn(1010) return 1" }.ok)
    end)
  end)

  describe("of memory", function()
    -- Each allocation of the code fails once, from there on for ever or only with its second try.
    local function sweep(options)
      local n, last = 0
      repeat
        n = n + 1
        last = run{ code = PRELUDE .. options.code, after = AFTER, fail_at = n,
          fail_for = options.fail_for, arm = options.arm }
        if last.ended and not last.ok then
          assert.equal("memory", last.kind, "allocation " .. n .. ": " .. last.message)
        end
        assert.equal(0, last.ops)
        if last.ended then
          assert.same({ "fine" }, last.after.results, "allocation " .. n .. last.after.message)
        end
      until last.failures == 0
      assert.is_true(last.ok, last.message)
      return n
    end

    local PATH = [[
      local outer <close> = guard("outer")
      local text = ("x"):rep(100)
      within(60, function()
        critical(function()
          for i = 1, 3 do
            pcall(function() local _ <close> = guard("inner") error({ text .. i }) end)
          end
          xpcall(error, function(m) return m .. text end, "e")
          return { text .. "c" }
        end)
        local gen = coroutine.wrap(function()
          local _ <close> = guard("gen")
          for i = 1, 2 do pause(1, "gen" .. i) coroutine.yield({ text .. i }) end
        end)
        for value in gen do pause(1) end
        local co = coroutine.create(function() local _ <close> = guard("co") coroutine.yield() end)
        coroutine.resume(co)
        coroutine.close(co)
        coroutine.resume(coroutine.create(error), text .. "boom")
        pcall(coroutine.wrap(error), text .. "bang")
      end)
      go(function(argument) note(argument) pause(1) local t = {} for i = 1, 40 do t[i] = {} end end)
      pause(4)
      local function deep(n) if n > 0 then return 1 + deep(n - 1) end return 0 end
      deep(500)
      return #text]]

    it("ends the task wherever it comes, and never the process", function()
      assert.is_true(sweep{ code = PATH } > 60)
      assert.is_true(sweep{ code = PATH, fail_for = 2 } > 60)
    end)

    it("comes also while the scheduler is made", function()
      sweep{ code = "return 1", arm = "setup" }
      sweep{ code = "return 1", arm = "setup", fail_for = 2 }
    end)

    it("comes also on the way of another engine error", function()
      local n = 0
      local result
      repeat
        n = n + 1
        result = run{ code = PRELUDE .. [[
          local a <close> = setmetatable({}, { __close = function()
            local t = {}
            for i = 1, 20 do t[i] = "x" .. i end
            pcall(error, { "x" })
            coroutine.wrap(function() return {} end)()
          end })
          pcall(coroutine.wrap(function() local b <close> = guard("b") cancel_here() end))]],
          after = AFTER, fail_at = n, fail_for = n % 2 == 0 and 2 or nil }
        assert.is_false(result.ok)
        if result.ended then
          assert.is_true(result.kind == "cancelled" or result.kind == "memory", result.message)
          assert.same({ "fine" }, result.after.results)
        end
      until result.failures == 0
      assert.equal("cancelled", result.kind)
      assert.is_true(n > 20)
    end)

    it("does not wait for a critical section, and is not caught by a time limit", function()
      local result = run{ code = [[
        within(60, function()
          critical(function()
            cancel()
            local t = {}
            for i = 1, 1e6 do t[i] = { i } end
          end)
        end)
        note("escaped")]], fail_at = 200 }
      assert.equal("memory", result.kind)
      assert.same({ "delayed cancelled" }, result.notes)
    end)
  end)

  describe("in a coroutine", function()
    it("leaves its own errors as they are", function()
      local result = run{ code = [[
        local co = coroutine.create(function(a) coroutine.yield(a) error({ 1 }) end)
        local ok, value = coroutine.resume(co, "first")
        note(value)
        ok, value = coroutine.resume(co)
        note(type(value))
        note(coroutine.status(co))
        note(select(2, coroutine.resume(co)))
        note(tostring(coroutine.close(co)))
        local ok, message = pcall(coroutine.wrap(function() error("boom") end))
        note(message)
        local fails = coroutine.wrap(function() error("boom", 0) end)
        ok, message = pcall(function() fails() end)
        note(message)]] }
      assert.is_true(result.ok, result.message)
      assert.same({ "first", "table", "dead", "cannot resume dead coroutine", "false",
        "code:9: boom", "code:12: boom" }, result.notes)
    end)

    it("does not overflow the stack of the process when coroutines close one another", function()
      local result = run{ code = [[
        local inner = coroutine.create(function() end)
        for i = 1, 20000 do
          local next_one = inner
          inner = coroutine.create(function()
            local _ <close> = setmetatable({}, { __close = function()
              local ok, message = pcall(coroutine.close, next_one)
              if not ok then note(message) end
            end })
            coroutine.yield()
          end)
          coroutine.resume(inner)
        end
        return coroutine.close(inner)]], after = AFTER }
      assert.same({ "true" }, result.results, result.message)
      assert.same({ "too many coroutines are closed inside one another" }, result.notes)
      assert.same({ "fine" }, result.after.results)
    end)
  end)

  describe("outside a task", function()
    it("ends a call of the core, with the reason", function()
      local result = run{ code = [[
        function loops() while true do pcall(pcall) end end
        function sorts() table.sort({ 3, 2, 1 }, function() while true do end end) end
        function rejects() pcall(raise, "reject", "not here") end
        note(outside("loops"))
        note(outside("sorts"))
        note(outside("rejects"))
        return pause(1)]], after = AFTER }
      assert.same({ "pause" }, result.results, result.message)
      assert.matches("ran for over 200 ms", result.notes[1])
      assert.matches("ran for over 200 ms", result.notes[2])
      assert.equal("not here", result.notes[3])
      assert.same({ "fine" }, result.after.results)
    end)
  end)
end)
