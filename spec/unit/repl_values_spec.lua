local texts = require("hob.repl.text")
local values = require("hob.repl.values")

local function shown(value, options)
  return (values.show(values.node(value), options))
end

describe("a value in the REPL", function()
  it("is written as Lua writes it", function()
    assert.equal("nil", shown(nil))
    assert.equal("true", shown(true))
    assert.equal("42", shown(42))
    assert.equal("1.0", shown(1.0))
    assert.equal("0.1", shown(0.1))
    assert.equal("inf", shown(math.huge))
    assert.equal("-inf", shown(-math.huge))
    assert.equal("nan", shown(0 / 0))
    assert.equal("nan", shown(-(0 / 0)))
    assert.matches("^function: ", shown(print))
  end)

  it("is a quoted string, what is no text as bytes", function()
    assert.equal('"a\\n\\"b\\"\\t\\\\"', shown('a\n"b"\t\\'))
    assert.equal('"\\x00\\x1B[31m\\xFF"', shown("\0\27[31m\255"))
    assert.equal('"ä ✓"', shown("ä ✓"))
  end)

  it("is cut where it is long, and says how long it is", function()
    local text = shown(("x"):rep(1000))
    assert.equal('"' .. ("x"):rep(200) .. '"... (1000 bytes)', text)
  end)

  it("never ends in the middle of a character", function()
    assert.is_truthy(utf8.len(shown("x" .. ("ä"):rep(200))))
  end)
end)

describe("a table in the REPL", function()
  it("has its list first, then its names in order, then the rest", function()
    assert.equal('{ 1, "b", a = 1, ["a b"] = 2, ["end"] = 3, [-1] = 4, [2.5] = 5, [true] = 6 }',
      shown({ 1, "b", a = 1, ["a b"] = 2, ["end"] = 3, [-1] = 4, [2.5] = 5, [true] = 6 }))
  end)

  it("is empty", function()
    assert.equal("{}", shown({}))
  end)

  it("takes several lines where one is too short", function()
    local text = shown({ one = ("x"):rep(30), two = { three = ("y"):rep(30) } }, { width = 50 })
    assert.equal(('{\n  one = "%s",\n  two = { three = "%s" }\n}'):format(("x"):rep(30),
      ("y"):rep(30)), text)
  end)

  it("says where it contains itself", function()
    local inner, outer = {}, { name = "outer" }
    outer.inner, inner.outer, inner.me = inner, outer, inner
    assert.equal('{ inner = { me = <itself, 1 up>, outer = <itself, 2 up> }, name = "outer" }',
      shown(outer))
  end)

  it("is shown twice where it is there twice, without being a cycle", function()
    local twice = { 1 }
    assert.equal("{ { 1 }, { 1 } }", shown({ twice, twice }))
  end)

  it("is shown to a depth, and says that it goes on", function()
    local text, cut = values.show(values.node({ { { { { 1 } } } } }), { depth = 2 })
    assert.equal("{ { {...} 1 item } }", text)
    assert.is_true(cut)
  end)

  it("is cut after so many items, and says how many there are", function()
    local list = {}
    for i = 1, 100 do
      list[i] = i
    end
    local text, cut = values.show(values.node(list), { items = 3 })
    assert.equal("{ 1, 2, 3, ... 97 more }", text)
    assert.is_true(cut)
    assert.is_false(select(2, values.show(values.node({ 1 }))))
  end)

  it("runs none of its metamethods but __pairs", function()
    local function fail()
      error("it ran")
    end
    local hostile = setmetatable({ a = 1 }, { __index = fail, __len = fail, __tostring = fail,
      __name = fail, __eq = fail, __lt = fail })
    assert.equal("{ a = 1 }", shown(hostile))
    local object = setmetatable({ [{}] = "hidden" }, { __pairs = function()
      return next, { shown = "yes" }
    end })
    assert.equal('{ shown = "yes" }', shown(object))
    assert.equal("{ a = 1 }", shown(setmetatable({ a = 1 }, { __pairs = fail })))
  end)

  it("of a million items is looked at only as far as it is shown", function()
    local huge = {}
    for i = 1, 100000 do
      huge["k" .. i] = i
    end
    local text = shown(huge, { items = 2 })
    assert.matches("^{ k%d+ = %d+, k%d+ = %d+, %.%.%. %d+ more }$", text)
    assert.matches("more than 20000 items", values.node(huge).text)
  end)
end)

describe("text of a stranger", function()
  it("cannot do anything to the terminal", function()
    assert.equal("a\\x1B[2Jb\\x07\n", texts.clean("a\27[2Jb\7\n"))
    assert.equal("a\\x0Db", texts.clean("a\rb"))
    assert.equal("x?y", texts.clean("x\u{9b}y"))
    assert.equal("\\xFF\\xC3(", texts.clean("\255\195("))
  end)

  it("is coloured only where there are colours, and is cleaned in any case", function()
    assert.equal("a\\x1Bb", texts.paint(false, "here", "a\27b"))
    assert.equal("\27[1ma\\x1Bb\27[0m", texts.paint(true, "here", "a\27b"))
    assert.equal(3, texts.width("\27[1mabc\27[0m"))
  end)
end)
