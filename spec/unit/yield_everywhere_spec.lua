-- A forced yield may come between any two instructions of a handler. Here it comes between all of
-- them: each program must give what the same one gives in Lua itself, which knows no tasks.

local task = require("hob_units").task

-- Each returns a text (or a few values) that says what has happened in it, in order.
local PROGRAMS = {
  ["a loop"] = [[
    local x = 0
    for i = 1, 100 do x = x + i end
    for i = 10, 1, -3 do x = x * 2 + i end
    local n = 0
    while n < 10 do n = n + 1 if n % 2 == 0 then goto continue end x = x + n ::continue:: end
    repeat local last = n n = n - 1 until last == 3
    return x, n]],
  ["calls, tail calls and variable arguments"] = [[
    local function count(n, acc) if n == 0 then return acc end return count(n - 1, acc + n) end
    local function pack(...) return select("#", ...), ... end
    local function pass(...) return pack(...) end
    return count(50, 0), pass(1, nil, "three", nil)]],
  ["closures"] = [[
    local fns = {}
    for i = 1, 4 do
      local n = i
      fns[i] = { add = function(m) n = n + m return n end, get = function() return n end }
    end
    fns[1].add(10) fns[3].add(5)
    return fns[1].get(), fns[2].get(), fns[3].get(), fns[4].get()]],
  ["pcall"] = [[
    local function fail(v) error(v, 0) end
    local ok, a = pcall(fail, "one")
    local ok2, b = pcall(pcall, fail, "two")
    local ok3, c, d = pcall(function() return "three", "four" end)
    local ok4, e = pcall(fail, { "five" })
    local ok5, f = pcall(function() pcall(fail, "six") error("seven", 0) end)
    return table.concat({ tostring(ok), a, tostring(ok2), tostring(b), tostring(ok3), c, d,
      tostring(ok4), e[1], tostring(ok5), f }, " ")]],
  ["pcall around a runtime error, with its place"] = [[
    local ok, m = pcall(function()
      local t = nil
      return t.x
    end)
    local ok2, m2 = pcall(function() return 1 + {} end)
    return m, m2, select(2, pcall(nil))]],
  ["pcall in pcall in pcall, in a loop"] = [[
    local log = {}
    for i = 1, 5 do
      pcall(function()
        pcall(function()
          local ok, m = pcall(error, "deep" .. i, 0)
          log[#log + 1] = m
          error("middle", 0)
        end)
        log[#log + 1] = "after"
      end)
    end
    return table.concat(log, " ")]],
  ["xpcall and its handler"] = [[
    local log = {}
    local function handler(m) for i = 1, 5 do log[#log + 1] = i end return "handled " .. m end
    local a, b = xpcall(error, handler, "one", 0)
    local c, d, e = xpcall(function(...) return ... end, handler, "two", "three")
    local f, g = xpcall(function() local x = nil; x() end, handler)
    return tostring(a), b, tostring(c), d, e, tostring(f), g, #log]],
  ["xpcall whose handler fails"] = [[
    local ok, m = xpcall(error, function() error("again", 0) end, "one")
    return tostring(ok), type(m)]],
  ["iterators"] = [[
    local function range(n)
      local i = 0
      return function() i = i + 1 if i <= n then return i end end
    end
    local log = {}
    for i in range(4) do
      for j in range(3) do
        if j == 3 then break end
        log[#log + 1] = i .. ":" .. j
      end
    end
    local function stateless(limit, i) if i < limit then return i + 1, i * i end end
    for i, sq in stateless, 4, 0 do log[#log + 1] = i .. "=" .. sq end
    for i, v in ipairs({ "a", "b", nil, "d" }) do log[#log + 1] = i .. v end
    for k, v in pairs({ 10, 20 }) do log[#log + 1] = k .. v end
    for w in ("one two"):gmatch("%a+") do log[#log + 1] = w end
    return table.concat(log, " ")]],
  ["an iterator that fails"] = [[
    local n = 0
    local ok, m = pcall(function()
      for _ in function() n = n + 1 if n == 3 then error("third", 0) end return n end do end
    end)
    return tostring(ok), m, n]],
  ["the closing value of a for loop"] = [[
    local log = {}
    local function loop(how)
      local guard = setmetatable({}, { __close = function(_, e)
        log[#log + 1] = how .. tostring(e)
      end })
      local n = 0
      for i in function() n = n + 1 return n < 4 and n or nil end, nil, nil, guard do
        if how == "break" and i == 2 then break end
        if how == "error" and i == 2 then error("planted", 0) end
        if how == "return" and i == 2 then return i end
      end
    end
    loop("end") loop("break") loop("return") pcall(loop, "error")
    return table.concat(log, " ")]],
  ["__index and __newindex"] = [[
    local log = {}
    local base = setmetatable({}, { __index = function(_, k)
      log[#log + 1] = "get " .. k
      return k .. "!"
    end })
    local t = setmetatable({}, { __index = base, __newindex = function(s, k, v)
      log[#log + 1] = "set " .. k rawset(s, k, v .. v) end })
    t.a = "x"
    t.a = "y"
    log[#log + 1] = t.a .. t.b .. t[1]
    return table.concat(log, " ")]],
  ["arithmetic and bitwise metamethods"] = [[
    local names = { "add", "sub", "mul", "div", "mod", "pow", "unm", "idiv", "band", "bor", "bxor",
      "shl", "shr", "bnot", "concat" }
    local m, log = {}, {}
    for _, name in ipairs(names) do
      m["__" .. name] = function()
        local s = 0
        for i = 1, 3 do s = s + i end
        return name .. s
      end
    end
    local t = setmetatable({}, m)
    return table.concat({ t + 1, 1 - t, t * t, t / 1, t % 2, 2 ^ t, -t, t // 1, t & 1, 1 | t, t ~ 1,
      t << 1, 1 >> t, ~t, t .. "x", "x" .. t, 1 .. t .. 2 }, " ")]],
  ["comparison metamethods"] = [[
    local m = {}
    m.__eq = function(a, b) return a.n == b.n end
    m.__lt = function(a, b) return a.n < b.n end
    m.__le = function(a, b) return a.n <= b.n end
    local function new(n) return setmetatable({ n = n }, m) end
    local a, b, c = new(1), new(2), new(1)
    local log = {}
    for _, v in ipairs({ a == b, a == c, a ~= b, a < b, b < a, a <= c, b > a, b >= a }) do
      log[#log + 1] = tostring(v)
    end
    if a < b and not (b < a) and a == c then log[#log + 1] = "both" end
    return table.concat(log, " ")]],
  ["__call, __len, __tostring and __pairs"] = [[
    local t = setmetatable({}, {
      __call = function(self, ...) return select("#", ...), ... end,
      __len = function() return 7 end,
      __tostring = function() return "me" end,
      __pairs = function() return function(_, k) if not k then return 1, "one" end end end })
    local out = { t(1, 2), #t, tostring(t) }
    for k, v in pairs(t) do out[#out + 1] = k .. v end
    return table.concat(out, " "), pcall(t, "x")]],
  ["a metamethod that fails"] = [[
    local t = setmetatable({}, { __index = function(_, k) error("no " .. k, 0) end,
      __add = function() error("no sum", 0) end })
    local a, b = pcall(function() return t.x end)
    local c, d = pcall(function() return t + 1 end)
    return tostring(a), b, tostring(c), d]],
  ["concatenation of many"] = [[
    local m = setmetatable({}, { __concat = function(a, b)
      return (type(a) == "table" and "T" or a) .. (type(b) == "table" and "T" or b) end })
    return "a" .. 1 .. m .. 2.5 .. "z" .. m .. m]],
  ["<close> variables, at each kind of end"] = [[
    local log = {}
    local function guard(name)
      return setmetatable({}, { __close = function(_, e)
        for i = 1, 3 do log[#log + 1] = name .. i end
        log[#log + 1] = tostring(e)
      end })
    end
    do local a <close> = guard("a") local b <close> = guard("b") end
    local function returns() local c <close> = guard("c") return "r1", "r2" end
    log[#log + 1] = table.concat({ returns() }, "+")
    for i = 1, 2 do local d <close> = guard("d") if i == 1 then goto next end break ::next:: end
    local ok, m = pcall(function() local e <close> = guard("e") error("planted", 0) end)
    log[#log + 1] = m
    ok, m = pcall(function()
      local f <close> = guard("f")
      local g <close> = setmetatable({}, { __close = function() error("from close", 0) end })
      error("first", 0)
    end)
    log[#log + 1] = m
    return table.concat(log, " ")]],
  ["<close> with a tail call's results kept"] = [[
    local meta = { __close = function() return "ignored" end }
    local function guard() return setmetatable({}, meta) end
    local function many() return 1, 2, 3 end
    local function f() local _ <close> = guard() return many() end
    return f()]],
  ["coroutine.wrap as a generator"] = [[
    local gen = coroutine.wrap(function(a)
      for i = 1, 3 do a = a + coroutine.yield(a * i) end
      return "end"
    end)
    return gen(1), gen(2), gen(3), gen(4)]],
  ["coroutines in coroutines in coroutines"] = [[
    local log = {}
    local function level(n)
      return coroutine.wrap(function(...)
        if n == 0 then
          for i = 1, 3 do log[#log + 1] = "leaf" .. i coroutine.yield(i) end
          return
        end
        local inner = level(n - 1)
        for v in inner do coroutine.yield(v * 10) end
      end)
    end
    for v in level(4) do log[#log + 1] = v end
    return table.concat(log, " ")]],
  ["coroutine.resume, status and close"] = [[
    local log = {}
    local co
    co = coroutine.create(function(a)
      log[#log + 1] = coroutine.status(co) .. a
      local b = coroutine.yield("y1")
      log[#log + 1] = b
      local inner = coroutine.create(function() log[#log + 1] = coroutine.status(co) end)
      coroutine.resume(inner)
      coroutine.yield("y2")
      log[#log + 1] = "not reached"
    end)
    local function say(...) for _, v in ipairs({ ... }) do log[#log + 1] = tostring(v) end end
    say(coroutine.status(co)) say(coroutine.resume(co, "A")) say(coroutine.resume(co, "B"))
    say(coroutine.close(co)) say(coroutine.status(co)) say(coroutine.resume(co))
    say(coroutine.isyieldable())
    return table.concat(log, " ")]],
  ["coroutines that fail"] = [[
    local log = {}
    local co = coroutine.create(function() coroutine.yield(1) error("planted", 0) end)
    for i = 1, 3 do
      local ok, v = coroutine.resume(co)
      log[#log + 1] = tostring(ok) .. tostring(v)
    end
    local wrapped = coroutine.wrap(function() error({ code = 5 }) end)
    local ok, e = pcall(wrapped)
    log[#log + 1] = e.code
    ok, e = pcall(coroutine.wrap(function()
      local ok, m = pcall(function() coroutine.yield("in pcall") error("later", 0) end)
      return m
    end))
    log[#log + 1] = e
    return table.concat(log, " ")]],
  ["a yield across pcall, metamethods and iterators"] = [[
    local log = {}
    local co = coroutine.wrap(function()
      local t = setmetatable({}, {
        __index = function(_, k) return coroutine.yield("index " .. k) end,
        __add = function(a, b) return coroutine.yield("add") end,
        __lt = function() return coroutine.yield("lt") end,
        __concat = function() return coroutine.yield("concat") end,
        __call = function(_, v) return coroutine.yield("call " .. v) end,
        __close = function() coroutine.yield("close") end })
      log[#log + 1] = t.x
      log[#log + 1] = t + 1
      log[#log + 1] = tostring(t < t)
      log[#log + 1] = t .. "x"
      log[#log + 1] = t("v")
      for v in function() return coroutine.yield("iterate") end do log[#log + 1] = v end
      local ok, m = pcall(function() coroutine.yield("pcall") error("e", 0) end)
      log[#log + 1] = m
      do local c <close> = t end
      return "done"
    end)
    local value = co()
    local n = 0
    while value ~= "done" do
      log[#log + 1] = "[" .. value .. "]"
      n = n + 1
      if value == "iterate" and n > 8 then value = co(nil) else value = co("r" .. n) end
    end
    return table.concat(log, " ")]],
  ["wrap inside an iterator inside pcall inside wrap"] = [[
    local function each(t)
      return coroutine.wrap(function() for _, v in ipairs(t) do coroutine.yield(v) end end)
    end
    local outer = coroutine.wrap(function()
      local ok, m = pcall(function()
        for v in each({ 1, 2, 3 }) do
          for w in each({ "a", "b" }) do coroutine.yield(v .. w) end
          if v == 3 then error("end", 0) end
        end
      end)
      coroutine.yield(m)
    end)
    local log = {}
    for v in outer do log[#log + 1] = v end
    return table.concat(log, " ")]],
  ["callbacks of functions in C"] = [[
    local t = { 5, 2, 8, 1, 9, 3 }
    table.sort(t, function(a, b) local x = 0 for i = 1, 3 do x = x + i end return a > b end)
    local s = ("hello world"):gsub("%a+", function(w)
      local r = {} for c in w:gmatch(".") do table.insert(r, 1, c) end return table.concat(r) end)
    local ok, m = pcall(table.sort, { 3, 2, 1 }, function() error("in sort", 0) end)
    local chunks, i = { "return ", "4", "2" }, 0
    local f = load(function() i = i + 1 return chunks[i] end)
    return table.concat(t, ","), s, m, f(),
      tostring(setmetatable({}, { __tostring = function() return "text" end }))]],
  ["waits among all that"] = [[
    local log = {}
    local t = setmetatable({}, { __index = function(_, k) return pause(1, k) end,
      __close = function() log[#log + 1] = pause(1, "closed") end })
    local gen = coroutine.wrap(function()
      for i = 1, 2 do
        pcall(function() coroutine.yield(pause(1, "g" .. i)) error("x") end)
      end
    end)
    for v in gen do log[#log + 1] = v end
    log[#log + 1] = t.name
    do local c <close> = t log[#log + 1] = "body" end
    local ok, m = xpcall(function() pause(2, "w") error("after a wait", 0) end,
      function(m) return m .. "!" end)
    log[#log + 1] = m
    return table.concat(log, " ")]],
  ["an error without anybody to catch it"] = [[
    local function deep(n) if n == 0 then error("planted") end return deep(n - 1) + 1 end
    return deep(5)]],
  ["integer and float for loops, division and overflow"] = [[
    local log = {}
    for i = math.maxinteger - 2, math.maxinteger do log[#log + 1] = i end
    for x = 1.0, 0.5, -0.25 do log[#log + 1] = x end
    log[#log + 1] = 7 // 2 log[#log + 1] = -7 // 2 log[#log + 1] = 7 % -3
    log[#log + 1] = 1 / 2 log[#log + 1] = math.mininteger // -1
    return table.concat(log, " ")]],
}

local function in_order(t)
  local names = {}
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("a forced yield", function()
  local function is_the_same(name, every)
    local plain = table.pack(task.plain(PROGRAMS[name]))
    local result = task.run{ code = PROGRAMS[name], yield_every = every, turns = 1000000,
      after = "pause(1) return select(2, pcall(coroutine.wrap(function() return 'fine' end)))" }
    assert.is_true(result.ended, "it ends")
    assert.equal(plain[1], result.ok, result.message)
    if plain[1] then
      assert.same({ table.unpack(plain, 2, plain.n) }, result.results)
    else
      assert.equal(plain[2], result.message)
    end
    assert.same({ "fine" }, result.after.results)
    return result
  end

  describe("at every instruction is not seen by", function()
    for _, name in ipairs(in_order(PROGRAMS)) do
      it(name, function()
        local result = is_the_same(name, 1)
        assert.is_true(result.turns > 10, "it is made: " .. result.turns .. " turns")
      end)
    end
  end)

  it("at every second, third, and so on, is not seen by any of them", function()
    for _, name in ipairs(in_order(PROGRAMS)) do
      for every = 2, 7 do
        is_the_same(name, every)
      end
    end
  end)

  describe("at every instruction, with an engine error on its way,", function()
    local PRELUDE = [[
      local function guard(name)
        return setmetatable({}, { __close = function() local x = 0 for i = 1, 9 do x = x + i end
          note("closed " .. name) end })
      end
      local outer <close> = guard("outer")
      local function work()
        while true do
          pcall(function()
            local t = setmetatable({}, { __index = function(_, k) return k end })
            for i in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(t[i]) end end) do
              xpcall(error, function(m) return m end, i)
              local _ <close> = setmetatable({}, { __close = function() pcall(error) end })
            end
          end)
        end
      end
    ]]

    -- The turn it comes in is each of hundreds: so it meets each place of the loop.
    it("ends what catches everything, wherever it comes, and closes", function()
      for turn = 1, 400 do
        local result = task.run{ yield_every = 1, turns = 1000000, code = PRELUDE
          .. ("cancel('cancelled', %d) "):format(turn)
          .. "local co = coroutine.wrap(function() local _ <close> = guard('inner') work() end) "
          .. "while true do pcall(co) note('escaped') end",
          after = "pause(1) return 'fine'" }
        assert.equal("cancelled", result.kind, "turn " .. turn .. result.message)
        assert.equal("closed outer", result.notes[#result.notes], "turn " .. turn)
        for _, line in ipairs(result.notes) do
          assert.not_equal("escaped", line)
        end
        assert.same({ "fine" }, result.after.results)
      end
    end)

    it("is caught by a time limit, and by nothing in it", function()
      local result = task.run{ yield_every = 1, turns = 1000000, code = PRELUDE .. [[
        local ended = within(0.005, function() local _ <close> = guard("inner") work() end)
        return tostring(ended), select(2, pcall(error, "own", 0))]] }
      assert.same({ "nil", "own" }, result.results, result.message)
      assert.same({ "closed inner", "closed outer" }, result.notes)
    end)
  end)
end)
