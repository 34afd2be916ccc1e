-- The string functions of a job's sandbox against those of this Lua, which are Lua's own: the same
-- results, the same errors; and an end where Lua's own would have none.

local sandbox = require("hob_units").sandbox

-- A chunk that runs cases { name, arguments... } and gives each outcome as a line. Both sides run
-- it: this one with Lua's functions, the sandbox with Hob's.
local RUN = [==[
  local cases = ...
  local function shown(...)
    local parts = {}
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      parts[i] = math.type(value) or type(value)
      parts[i] = parts[i] .. ":" .. string.format("%q", tostring(value))
    end
    return table.concat(parts, " ")
  end
  local calls = {
    gmatch = function(...)
      local seen = {}
      for a, b, c in string.gmatch(...) do
        seen[#seen + 1] = shown(a, b, c)
        if #seen > 60 then break end
      end
      return table.concat(seen, ";")
    end,
    call = function(s, p, n)
      return string.gsub(s, p, function(a, b)
        if b == nil and #tostring(a) % 2 == 0 then return nil end
        return "<" .. tostring(a) .. "|" .. tostring(b) .. ">"
      end, n)
    end,
    lookup = function(s, p) return string.gsub(s, p, { a = "A", b = 1, ["1"] = false }) end,
  }
  local out = {}
  for i, case in ipairs(cases) do
    out[i] = shown(pcall(calls[case[1]] or string[case[1]], table.unpack(case, 2, case.n)))
  end
  return out
]==]

local function literal(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local cells = {}
  for i = 1, value.n or #value do
    cells[i] = literal(value[i])
  end
  return ("{ n = %d, %s }"):format(#cells, table.concat(cells, ",\n"))
end

local function case(...)
  return table.pack(...)
end

-- Runs them on both sides and compares: the first that differs is shown.
local function agree(cases)
  local expected = assert(load(RUN))(cases)
  local result = assert(sandbox(([[
    local expected, cases = %s, %s
    local got = load(%q)(cases)
    for i = 1, #cases do
      if got[i] ~= expected[i] then
        return i .. " got " .. got[i] .. ", expected " .. expected[i]
      end
    end
    return "agree"]]):format(literal(expected), literal(cases), RUN)))
  local number = tonumber(result:match("^%d+"))
  assert.equal("agree", number and literal(cases[number]) .. result or result)
end

-- The same numbers each time.
local function numbers(seed)
  local state = seed
  return function(max)
    state = (state * 1103515245 + 12345) % 2147483648
    return (state >> 8) % max + 1
  end
end

local PIECES = { "a", "b", ".", "%a", "%d", "%s", "%w", "%p", "%x", "%u", "%l", "%c", "%g", "%A",
  "%D", "%S", "%W", "%z", "[ab]", "[^a]", "[%d_]", "[a-c]", "[]]", "[^]]", "[a-]", "[%]a]",
  "[%a-z]", "*", "+", "-", "?", "(", ")", "()", "(a)", "(.-)", "(%w+)", "%1", "%2", "%bab",
  "%b()", "%f[%w]", "%f[^%w]", "^", "$", "%", "%%", "%.", "[", "]", "a-", ".*", "%f", "%b", "\0",
  "1", " ", "=" }
local ALPHABET = { "a", "b", "c", "A", "1", "9", " ", "(", ")", "=", "_", "-", ".", "%", "]", "\n",
  "\0", "\255" }
local REPLACEMENTS = { "", "x", "%0", "%1", "[%1%2]", "%%", "%0%0", "%", "%z", "a%1" }

local function text_of(parts, random, most)
  local text = {}
  for i = 1, random(most) - 1 do
    text[i] = parts[random(#parts)]
  end
  return table.concat(text)
end

local function random_cases(seed, count)
  local random, cases = numbers(seed), {}
  while #cases < count do
    local subject, pattern = text_of(ALPHABET, random, 18), text_of(PIECES, random, 7)
    local init = random(14) - 7
    cases[#cases + 1] = case("find", subject, pattern, init)
    cases[#cases + 1] = case("match", subject, pattern, init)
    cases[#cases + 1] = case("gmatch", subject, pattern)
    cases[#cases + 1] = case("gsub", subject, pattern, REPLACEMENTS[random(#REPLACEMENTS)],
      random(6) - 2)
    cases[#cases + 1] = case("call", subject, pattern)
    cases[#cases + 1] = case("lookup", subject, pattern)
    cases[#cases + 1] = case("find", subject, pattern, init, true)
  end
  return cases
end

describe("the string functions of a sandbox", function()
  it("agree with Lua's on what the manual says of patterns", function()
    agree({
      case("find", "hello world", "o w"), case("find", "hello", "l+"),
      case("find", "a.b", ".", 1, true), case("find", "abc", "b", -2), case("find", "abc", "", 4),
      case("find", "abc", "", 5), case("find", "abc", "a", 10), case("find", "", ""),
      case("find", "abc", "", -10), case("find", "a+b", "+", 1, 1), case("find", "x", nil),
      case("find"), case("match", 12345, "%d%d"),
      case("match", "key = value", "^(%w+)%s*=%s*(%w+)$"),
      case("match", "2026-11-23", "(%d+)-(%d+)-(%d+)"),
      case("match", "  trim me  ", "^%s*(.-)%s*$"), case("match", "f(a(b)c)d", "%b()"),
      case("match", "THE (quick) fox", "%f[%a]%a+%f[%A]"),
      case("match", [["it's"]], [[(["'])(.-)%1]]), case("match", "abc", "()b()"),
      case("match", "a\0b", "%z"), case("match", "a\0b", "[^\0]+$"),
      case("match", ("a"):rep(300), ("a?"):rep(250)), case("match", ("("):rep(40), ("("):rep(40)),
      case("match", "abc", ("()"):rep(33)), case("match", "x", "(x"), case("match", "x", "x)"),
      case("match", "x", "%1"), case("match", "x", "(%1)"), case("match", "x", "[x"),
      case("match", "x", "[]"), case("match", "x", "x%"), case("match", "xb", "%b"),
      case("match", "xb", "xb%"), case("match", "x", "%f"), case("match", "x", "[%"),
      case("match", "x", "[^"), case("match", "y", "x%"), case("match", "ab", "a%f[b]b"),
      case("gmatch", "one two  three", "%a+"), case("gmatch", "a=1, b=2", "(%w+)=(%w+)"),
      case("gmatch", "abc", ""), case("gmatch", "^a^a", "^a"), case("gmatch", "abcabc", "b", 3),
      case("gmatch", "abc", ".", -1), case("gmatch", "abc", ".", 9), case("gmatch", "x", {}),
      case("gsub", "hello", "l", "L"), case("gsub", "hello", "", "-"),
      case("gsub", "hello", "^h", "J"), case("gsub", "hello", "l", "L", 1),
      case("gsub", "hello", "l", "L", 0), case("gsub", "hello", "l", "L", -1),
      case("gsub", "abc", "%w", "%0%0"), case("gsub", "abc", "(a)(b)", "%2%1"),
      case("gsub", "abc", "()", "%1"), case("gsub", "abc", "b", "%2"),
      case("gsub", "abc", "b", "%9"), case("gsub", "abc", "b", "%"),
      case("gsub", "abc", "b", true), case("gsub", "abc", "b"), case("gsub", "abc", "b", 7),
      case("gsub", 121, 2, 3), case("gsub", "abc def", "%f[%w]%w+", "<%0>"),
      case("gsub", "a,b,,c", ",", ";"), case("gsub", "abc", "x*", "-"),
      case("call", "abc", "(.)(.)"), case("lookup", "ab1", "."), case("rep", "ab", 3),
      case("rep", "ab", 3, ","), case("rep", "ab", 0), case("rep", "ab", -1), case("rep", "", 5),
      case("rep", "x", 1, "sep"), case("rep", "x"), case("rep", "x", 2.5), case("rep", 5, "2"),
    })
  end)

  it("agree with Lua's on thousands of patterns, most of which mean nothing", function()
    for seed = 1, 10 do
      agree(random_cases(seed, 1400))
    end
  end)

  describe("end", function()
    local function is_refused(code, words)
      local ok, message = sandbox(code)
      assert.is_nil(ok, code)
      assert.matches(words, message)
    end

    it("a pattern that explodes, through every protected call, with limit, value and place",
      function()
        for _, call in ipairs({ "string.match(S, P)", "string.find(S, P)", "string.gsub(S, P, 'x')",
          "for _ in S:gmatch(P) do end" }) do
          local name = call:match("string%.%a+") or "string.gmatch"
          is_refused(([[
            local S, P = ("a"):rep(200), ("a-"):rep(12) .. "b"
            while true do pcall(function()
              %s
            end) end]]):format(call), "^" .. name:gsub("%.", "%%.") ..
            ": more than 1 s of processor time for one pattern %(subject of 200 bytes%), "
            .. "at code:3$")
        end
      end)

    it("one of balanced characters, and of captures too", function()
      is_refused([[return (("("):rep(1000000):find("%b()"))]], "more than 1 s")
      is_refused([[return (("a"):rep(3000):find("(.+)(.+)%1%2x"))]], "more than 1 s")
    end)

    it("nothing that comes to an end", function()
      assert.equal("1000000 250001", sandbox([[
        local text = ("key = value\n"):rep(50000)
        local n = 0
        for key, value in text:gmatch("(%w+)%s*=%s*(%w+)") do n = n + #key + #value end
        local _, count = (("ab"):rep(250000) .. "ab"):gsub("a", "x")
        return n * 50000 // 20000 .. " " .. count]]))
    end)

    it("a search for a plain text in time, whatever both are", function()
      assert.equal("nil", sandbox([[
        local text = ("a"):rep(8000000)
        return text:find(("a"):rep(4000000) .. "b", 1, true)]]))
    end)

    it("string.rep before it makes more than 16 MB, or nothing for ever", function()
      is_refused([[return ("x"):rep(1 << 40)]],
        "^code:1: string%.rep: 1099511627776 times 1 bytes: one call makes at most 16 MB$")
      is_refused([[return ("x"):rep((16 << 20) + 1)]], "at most 16 MB")
      is_refused([[return ("x"):rep(math.maxinteger, "yy")]], "at most 16 MB")
      assert.equal("16777216", sandbox([[return #("x"):rep(16 << 20)]]))
      assert.equal("0", sandbox([[return #(""):rep(math.maxinteger)]]))
    end)
  end)
end)
