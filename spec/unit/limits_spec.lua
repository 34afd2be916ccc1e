-- What a job may use: the handler's own members, the processor time of its Lua state, and how long
-- a slice of it holds the loop. In processor time only: no clock on the wall.

local limits = require("hob.job.limits")
local run = require("hob_units").task.run
local sandbox = require("hob_units").sandbox

describe("hob.job.limits", function()
  it("reads sizes as the configuration does", function()
    for given, bytes in pairs({ ["16M"] = 16 << 20, ["2048k"] = 2 << 20, ["2048K"] = 2 << 20,
      ["1.5G"] = 3 << 29, ["4G"] = 4 << 30, ["1048576"] = 1 << 20, [2 << 20] = 2 << 20,
      [1572864.5] = 1572864 }) do
      assert.equal(bytes, limits.bytes(given), tostring(given))
    end
    for _, none in ipairs({ "", "M", "16 M", "16MB", "-1M", "0x10", "1e6", "M16", " 16M", true, {},
      0 / 0, math.huge }) do
      assert.is_nil(limits.bytes(none), tostring(none))
    end
  end)

  it("names the member, what was expected and what there is", function()
    assert.is_nil(limits.check({}))
    assert.is_nil(limits.check({ memory = "1M", cpu = 0 }))
    assert.is_nil(limits.check({ memory = 4 << 30, cpu = 604800 }))
    for _, memory in ipairs({ "lots", "1023k", "5G", 1000, true, -1, 0 / 0 }) do
      assert.matches('^memory: expected a size from "1M" to "4G" %(bytes, or such as "16M"%), got ',
        limits.check({ memory = memory }) or tostring(memory))
    end
    assert.matches('got "lots"$', limits.check({ memory = "lots" }))
    for _, cpu in ipairs({ "60", -1, 604801, true, 0 / 0, math.huge }) do
      assert.matches("^cpu: expected seconds, 0 %(no limit%) to 604800, got ",
        limits.check({ cpu = cpu }) or tostring(cpu))
    end
  end)

  it("gives what is asked for", function()
    assert.same({ 16 << 20, 1.5 }, { limits.of({ memory = "16M", cpu = 1.5 }) })
    assert.same({ nil, 0 }, { limits.of({ cpu = 0 }) })
    assert.same({}, { limits.of({}) })
  end)
end)

-- What no budget would ever end, and what may be on the stack when its time is over.
local ENDLESS = {
  ["a loop"] = "\nwhile true do end",
  ["pcall in a loop"] = "\nwhile true do pcall(error) end",
  ["pcall of a loop in a loop"] = [[

    while true do pcall(function() while true do end end) end]],
  ["a coroutine"] = [[

    coroutine.wrap(function() while true do end end)()]],
  ["coroutines, made again and again"] = [[

    while true do coroutine.resume(coroutine.create(function() while true do end end)) end]],
  ["a generator"] = [[

    for _ in coroutine.wrap(function() while true do coroutine.yield(1) end end) do end]],
  ["recursion that comes to its end"] = [[

    local function deep(n) return n == 0 and 0 or 1 + deep(n - 1) end
    while true do deep(15000) end]],
  ["a stack that overflows, which is caught"] = [[

    local function deep(...) return 1 + deep(...) end
    while true do pcall(deep, table.unpack({}, 1, 200)) end]],
  ["coroutines in one another that are caught"] = [[

    local function nest() coroutine.wrap(nest)() end
    while true do pcall(nest) end]],
  ["a metamethod"] = [[

    local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end })
    while true do pcall(function() return t[1] end) end]],
  ["many short callbacks of functions in C"] = [[

    while true do
      pcall(table.sort, { 3, 2, 1 }, function(a, b) return a < b end)
      pcall(string.gsub, "abc", ".", function() end)
    end]],
  ["waits"] = "\nwhile true do local x = 0 for i = 1, 3000 do x = x + i end pause(1) end",
  ["waits that are caught"] = "\nwhile true do pcall(pause, 1) pcall(error) end",
  ["a critical section"] = "\ncritical(function() while true do pcall(error) end end)",
  ["a time limit"] = "\nwhile true do within(60, function() while true do end end) end",
  ["garbage"] = "\nwhile true do local t = {} for i = 1, 10 do t[i] = { i } end end",
  ["slow calls"] = "\nwhile true do burn(1) end",
}

local function names_of(t)
  local names = {}
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("the budget of processor time", function()
  for _, name in ipairs(names_of(ENDLESS)) do
    it("ends " .. name .. ", with limit, value and place", function()
      local code = ENDLESS[name]
      local result = run{ cpu_ms = 250, turns = 10000000, code = [[
        local outer <close> = setmetatable({}, { __close = function() note("closed") end })]]
        .. code .. "\nnote('escaped')" }
      assert.equal("limit", result.kind, result.message)
      assert.matches("^used more than 0%.25 s of processor time %(cpu%), at code:%d+$",
        result.message)
      if not code:find("pause") then -- which notes too much
        assert.same({ "closed" }, result.notes)
      end
      assert.is_true(result.cpu_us >= 250000, result.cpu_us .. " us")
      -- Between two turns of the loop: the rest of it goes on meanwhile.
      local all, long = 0, 0
      for span, count in ipairs(result.slices) do
        all, long = all + count, long + (span > 4 and count or 0)
      end
      -- The first slow calls come before it is known that they are; and Lua moves a stack of 16 MB
      -- in one go.
      local moves = name == "a stack that overflows, which is caught"
      assert.is_true(long <= math.max(2, all // 100) or moves,
        ("%d of %d slices took 10 ms and more of the processor"):format(long, all))
      assert.equal(0, result.ops)
    end)
  end

  it("is that of all tasks of the state together, and of nothing else", function()
    local result = run{ cpu_ms = 200, turns = 10000000, code = [[
      local function work() while true do pcall(error) end end
      for _ = 1, 4 do go(work) end
      pause(0)]] }
    assert.is_false(result.ended, "waiting costs nothing, and nobody but the callbacks works")
    assert.equal("limit used more than 0.2 s of processor time (cpu), at code:1", result.notes[1])
  end)

  it("does not mind what stays below it", function()
    local result = run{ cpu_ms = 60000, code = [[
      local x = 0
      for i = 1, 300000 do x = x + i end
      pause(3)
      return x]] }
    assert.same({ "45000150000" }, result.results, result.message)
    assert.is_true(result.cpu_us > 0)
  end)

  it("ends also what closes, when its time is over", function()
    local result = run{ cpu_ms = 100, code = [[
      local function spin() while true do pcall(error) end end
      local a <close> = setmetatable({}, { __close = spin })
      while true do end]] }
    assert.equal("limit", result.kind)
    assert.matches("used more than 0%.1 s of processor time", result.message)
  end)
end)

describe("recursion", function()
  local DEEP = "local function deep(n) return n == 0 and 0 or 1 + deep(n - 1) end\n"

  it("may be deep", function()
    assert.same({ "19000" }, run{ code = DEEP .. "return deep(19000)" }.results)
  end)

  it("without an end is ended with limit, value and place, before its stack is in the way",
    function()
      for _, code in ipairs({ "return deep(-1)", "while true do pcall(deep, -1) end",
        "xpcall(deep, function() while true do end end, -1)",
        "while true do pcall(coroutine.wrap(deep), -1) end" }) do
        local result = run{ code = DEEP .. code }
        assert.equal("limit", result.kind, result.message)
        assert.equal("more than 20000 calls inside one another (recursion), at code:1",
          result.message)
        assert.is_true(result.longest_us < 100000, result.longest_us .. " us")
      end
    end)

  it("has no such limit in Hob's own commands", function()
    assert.same({ "100000" }, run{ code = "trust()\n" .. DEEP .. "return deep(100000)" }.results)
  end)
end)

describe("the forced yield", function()
  it("comes after a few milliseconds of slow calls", function()
    local result = run{ code = "for _ = 1, 300 do burn(1) end" }
    assert.is_true(result.ok, result.message)
    local long = 0
    for span = 5, #result.slices do -- 10 ms and more
      long = long + result.slices[span]
    end
    assert.is_true(long <= 3, table.concat(result.slices, " "))
  end)
end)

describe("the limit of memory", function()
  -- `grows`: a block that may be a stack, at which nobody can look meanwhile from Lua 5.4.5 on.
  local function is_refused(code, where, grows)
    local ok, message = sandbox(code, 4 << 20)
    local words = "more than 4 MB of memory (memory)"
    assert.is_nil(ok)
    if not grows or message ~= words then
      assert.equal(words .. ", at code:" .. where, message)
    end
  end

  it("is told with its value and the line that asked for more", function()
    is_refused("local t = {}\nwhile true do\n t[#t + 1] = {} end", 3)
    is_refused("local t = {}\nwhile true do\n t[#t + 1] = ('x'):rep(1000) .. #t end", 3)
    is_refused("local s = 'x'\nwhile true do s =\n s .. s end", 3)
    is_refused("local t = {}\n\nfor i = 1, 1e9 do t[i] = function() return i end end", 3)
    is_refused("\n\nreturn ('x'):rep(5 << 20)", 3)
    is_refused("local function deep(...)\n return 1 + deep(1, 2, ...) end\nreturn deep()", 2, true)
    is_refused("local t = {}\nfor i = 1, 1e9 do\n t[i] = coroutine.create(print) end", 3)
    is_refused("\nlocal t = {} for i = 1, 1e9 do t[i] = i end", 2, true)
  end)

  it("is caught by nothing, wherever it comes", function()
    for _, around in ipairs({ "pcall(%s)", "xpcall(%s, function() return 1 end)",
      "pcall(pcall, %s)", "coroutine.resume(coroutine.create(%s))", "pcall(coroutine.wrap(%s))",
      "pcall(table.sort, { 2, 1 }, %s)" }) do
      is_refused(("while true do " .. around .. " end"):format(
        "function() local t = {} while true do t[#t + 1] = { #t } end end"), 1)
    end
  end)

  it("does not count garbage", function()
    assert.equal("done", sandbox(
      "for i = 1, 600 do local s = ('x'):rep(20000) .. i end return 'done'", 4 << 20))
  end)
end)
