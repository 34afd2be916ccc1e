local units = require("hob_units")
local json = units.json

local TEXT_MAX = 256 * 1024
local NULL = json.decode("null")

local function encode(value)
  local out = units.buf.new(2 * TEXT_MAX)
  local ok, message, code = out:encode(value)
  if not ok then
    assert.equal("", out:data())
    return nil, message, code
  end
  return out:data()
end

local function refuses(words, code, value, message, got)
  assert.is_nil(value)
  assert.equal(code, got)
  assert.truthy(message:find(words, 1, true), "no '" .. words .. "' in: " .. message)
end

describe("json decode", function()
  it("makes whole numbers integers again, everywhere", function()
    local value = json.decode('{"a":1,"b":[2,{"c":3.0}],"d":1e3,"e":-0,"f":-7}')
    assert.same({ a = 1, b = { 2, { c = 3 } }, d = 1000, e = 0, f = -7 }, value)
    assert.equal("integer", math.type(value.a))
    assert.equal("integer", math.type(value.b[1]))
    assert.equal("integer", math.type(value.b[2].c))
    assert.equal("integer", math.type(value.d))
    assert.equal("integer", math.type(json.decode("5")))
  end)

  it("keeps numbers that are not whole", function()
    local value = json.decode("[0.1,-1.5,1e-3,1e300]")
    assert.same({ 0.1, -1.5, 0.001, 1e300 }, value)
    for _, number in ipairs(value) do
      assert.equal("float", math.type(number))
    end
  end)

  it("keeps integers up to 2^53 exactly and refuses larger ones", function()
    assert.equal(9007199254740992, json.decode("9007199254740992"))
    assert.equal(-9007199254740992, json.decode("-9007199254740992"))
    assert.equal(9007199254740991, json.decode("9007199254740991"))
    for _, text in ipairs({ "9007199254740993", "-9007199254740993", "12345678901234567890",
      ("9"):rep(400) }) do
      refuses("over 2^53 (send it as a string) at character 6", "EJSON",
        json.decode('{"a":' .. text .. "}"))
    end
  end)

  it("keeps a number with a point or an exponent, however many digits it has", function()
    assert.equal(12345678901234567890.5, json.decode("12345678901234567890.5"))
    assert.equal(12345678901234567890.0, json.decode("12345678901234567890e0"))
  end)

  it("refuses a number that is too large to hold, naming the path", function()
    refuses("a.b[2]: a number too large", "EJSON", json.decode('{"a":{"b":[1,1e999]}}'))
    refuses("the value: a number too large", "EJSON", json.decode("-1e999"))
  end)

  it("goes 32 deep and no deeper", function()
    assert.truthy(json.decode(("["):rep(32) .. ("]"):rep(32)))
    refuses("too many nested data structures (33) at character 33", "EJSON",
      json.decode(("["):rep(33) .. ("]"):rep(33)))
    refuses("nested", "EJSON", json.decode(('{"a":'):rep(33) .. "1" .. ("}"):rep(33)))
    refuses("nested", "EJSON", json.decode(("["):rep(200000)))
  end)

  it("takes 256 KB and no more", function()
    local text = '"' .. ("x"):rep(TEXT_MAX - 2) .. '"'
    assert.equal(TEXT_MAX - 2, #json.decode(text))
    refuses("262145 bytes", "EMSGSIZE", json.decode(text .. " "))
  end)

  it("gives null as a value that is not nil", function()
    assert.equal("userdata", type(NULL))
    assert.equal(NULL, json.decode('{"a":null}').a)
  end)

  it("lets the last of two members of one name win", function()
    assert.same({ a = 2 }, json.decode('{"a":1,"a":2}'))
  end)

  it("decodes escapes, NUL too", function()
    assert.equal('a\0b"\\/\b\f\n\r\té€😀',
      json.decode([["a\u0000b\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00"]]))
  end)

  it("says what it expected, and at which character", function()
    refuses("Expected comma or array end but found the end at character 5", "EJSON",
      json.decode("[1,2"))
    refuses("Expected object key string but found '}' at character 8", "EJSON",
      json.decode('{"a":1,}'))
    refuses("Expected colon but found a number at character 6", "EJSON", json.decode('{"a" 1}'))
    refuses("Expected value but found the end at character 1", "EJSON", json.decode(""))
  end)

  local bad = {
    "NaN", "nan", "[Infinity]", "-Infinity", "inf", "0x10", "[01]", "[1.]", "[1.e5]", "[.5]",
    "[+1]", "[-]", "'a'", '"\\x41"', '"\\ud800"', '"\\ude00"', "tru", "[1]x", "[1] \0", "\0",
    '"a\nb"', '"a\0b"', '"\t"', '"unended', '"\\', "\xef\xbb\xbf1", "[1,,2]", "{1:2}", "[1}",
    "[1 2]", "// x\n1", "1 1", "-.5", "[-.5]", "1e", "[1e+]", "-", "-01", "[1.5.5]", "", " ", "{",
    '{"a"', '{"a":', '{"a":1', '{"a":1,', '"\\u12g4"', '"\\ud83dx"', '"\\ud83d\\u0041"', "[\f1]",
  }
  for _, text in ipairs(bad) do
    it(("refuses %q"):format(text):gsub("\n", "n"), function()
      local value, message, code = json.decode(text)
      assert.is_nil(value)
      assert.equal("EJSON", code)
      assert.truthy(message:find("at character %d+$"), message)
    end)
  end

  it("refuses bytes that are not UTF-8, wherever they are", function()
    for _, byte in ipairs({ "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
      "\x80", "\xf8\x88\x80\x80\x80" }) do
      refuses("Invalid UTF-8 at character 5", "EJSON", json.decode('["ab' .. byte .. '"]'))
      refuses("Invalid UTF-8 at character 3", "EJSON", json.decode('{"' .. byte .. '":1}'))
      assert.is_nil(json.decode("[" .. byte .. "]"))
    end
  end)

  it("leaves no global behind", function()
    json.decode("1")
    assert.is_nil(rawget(_G, "cjson"))
  end)

  it("has settings that nobody else can change", function()
    local ok, cjson = pcall(require, "cjson")
    if not ok then
      return -- not reachable at all
    end
    cjson.decode_max_depth(1000)
    refuses("nested", "EJSON", json.decode(("["):rep(33) .. ("]"):rep(33)))
    cjson.decode_max_depth(1)
    assert.truthy(json.decode("[[[1]]]"))
  end)
end)

describe("json encode", function()
  it("writes members in the order of their names", function()
    assert.equal('{"A":1,"a":2,"aa":3,"b":{"x":true,"y":false},"é":4}',
      encode({ b = { y = false, x = true }, aa = 3, a = 2, A = 1, ["é"] = 4 }))
    local value, list = {}, {}
    for i = 1, 12 do
      value[("a"):rep(i)] = i
      list[i] = ('"%s":%d'):format(("a"):rep(i), i)
    end
    assert.equal("{" .. table.concat(list, ",") .. "}", encode(value))
  end)

  it("writes lists, null and nil", function()
    assert.equal('[1,"two",null,[3]]', encode({ 1, "two", NULL, { 3 } }))
    assert.equal("null", encode(nil))
  end)

  it("writes an empty table as an object", function()
    assert.equal("{}", encode({}))
    assert.equal('{"a":{}}', encode({ a = {} }))
  end)

  it("writes integers up to 2^53 with every digit", function()
    for _, number in ipairs({ 0, -1, 123456789012345, 999999999999999, 9007199254740991,
      9007199254740992, -9007199254740992 }) do
      assert.equal(("%d"):format(number), encode(number))
      assert.equal(("%d"):format(number), encode(number + 0.0))
      assert.equal(number, json.decode(encode(number)))
    end
  end)

  it("refuses larger integers, naming the path", function()
    refuses("a.list[2]: the integer 9007199254740993 is over 2^53", "EINVAL",
      encode({ a = { list = { 1, 9007199254740993 } } }))
    refuses("the value: the integer -9223372036854775808", "EINVAL", encode(math.mininteger))
  end)

  it("writes the fewest digits that give the same number again", function()
    assert.equal("0.1", encode(0.1))
    assert.equal("0.3333333333333333", encode(1 / 3))
    assert.equal("0.30000000000000004", encode(0.1 + 0.2))
    assert.equal("1764000000.123456", encode(1764000000.123456))
    for _, number in ipairs({ 5e-324, 1.7976931348623157e308, -2.5, 1e21, 2 ^ 53 + 2, 2 ^ 60,
      123456789012345680.0 }) do
      local text = encode(number)
      assert.equal(number, json.decode(text), text)
    end
  end)

  it("refuses what is not finite, naming the path", function()
    refuses("a: not a number", "EINVAL", encode({ a = 0 / 0 }))
    refuses("[1]: infinite", "EINVAL", encode({ 1 / 0 }))
    refuses("the value: infinite", "EINVAL", encode(-1 / 0))
  end)

  it("refuses what JSON has not, naming the path and the type", function()
    refuses("result.list[3]: function", "EINVAL", encode({ result = { list = { 1, 2, print } } }))
    refuses("t: thread", "EINVAL", encode({ t = coroutine.create(print) }))
    refuses("f: userdata", "EINVAL", encode({ f = io.stdout }))
    refuses("the value: function", "EINVAL", encode(print))
  end)

  it("refuses mixed and sparse tables and other keys, naming the path", function()
    refuses("a: a mixed table", "EINVAL", encode({ a = { 1, b = 2 } }))
    refuses("a: a sparse list (2 elements, the last is [3])", "EINVAL",
      encode({ a = { 1, nil, 3 } }))
    refuses("the value: a sparse list", "EINVAL", encode({ [2] = 1 }))
    refuses("the value: a table with a key of type boolean", "EINVAL", encode({ [true] = 1 }))
    refuses("the value: a table with a key of type number", "EINVAL", encode({ [1.5] = 1 }))
    refuses("below 1", "EINVAL", encode({ [0] = 1 }))
    refuses("below 1", "EINVAL", encode({ [-1] = 1 }))
    refuses("a sparse list", "EINVAL", encode({ [math.maxinteger] = 1 }))
  end)

  it("refuses a table that contains itself, naming where", function()
    local value = { a = { b = {} } }
    value.a.b.c = value.a
    refuses("a.b.c: a table that contains itself", "EINVAL", encode(value))
  end)

  it("takes a table that is there twice but not in itself", function()
    local one = { 1 }
    assert.equal('{"a":[1],"b":[1]}', encode({ a = one, b = one }))
  end)

  it("goes 32 deep and no deeper", function()
    local function nested(depth)
      local value = 1
      for _ = 1, depth do
        value = { value }
      end
      return value
    end
    assert.truthy(json.decode(encode(nested(32))))
    refuses("nested deeper than 32", "EINVAL", encode(nested(33)))
  end)

  it("refuses strings and names that are not UTF-8, naming the path", function()
    refuses("a[1]: a string that is not UTF-8 at byte 3", "EINVAL", encode({ a = { "xy\xff" } }))
    refuses("not UTF-8 at byte 1", "EINVAL", encode({ ["\x80"] = 1 }))
  end)

  it("escapes what must be, and nothing else", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. "\127é😀\"",
      encode('"\\/\b\f\n\r\t\0\31\127é😀'))
  end)

  it("writes 256 KB and no more", function()
    assert.equal(TEXT_MAX, #encode(("x"):rep(TEXT_MAX - 2)))
    refuses("more than 262144 bytes", "EMSGSIZE", encode(("x"):rep(TEXT_MAX - 1)))
    refuses("more than 262144 bytes", "EMSGSIZE", encode(("\1"):rep(TEXT_MAX // 6 + 1)))
    local list = {}
    for i = 1, TEXT_MAX + 10 do
      list[i] = 1
    end
    refuses("more than 262144 bytes", "EMSGSIZE", encode(list))
  end)

  it("appends nothing when it fails, and fits into the room there is", function()
    local out = units.buf.new(10)
    out:append("head ")
    local ok, message, code = out:encode({ 1, 2, 3 })
    assert.is_nil(ok)
    assert.equal("EMSGSIZE", code)
    assert.truthy(message:find("more than 5 bytes", 1, true))
    assert.equal("head ", out:data())
    assert.is_true(out:encode({ 1, 2 }))
    assert.equal("head [1,2]", out:data())
  end)

  it("asks no metamethod", function()
    local value = setmetatable({ a = 1 }, {
      __index = error, __pairs = error, __len = error, __tostring = error,
    })
    assert.equal('{"a":1}', encode(value))
  end)
end)

describe("json quote", function()
  it("makes any bytes a valid string", function()
    local out = units.buf.new(100)
    out:quote('a"\xff\xe2\x82b\n')
    assert.equal('"a\\"\u{FFFD}\u{FFFD}\u{FFFD}b\\n"', out:data())
  end)

  it("appends nothing when it does not fit", function()
    local out = units.buf.new(5)
    local ok, code = out:quote("abcd")
    assert.is_nil(ok)
    assert.equal("EMSGSIZE", code)
    assert.equal("", out:data())
    assert.is_true(out:quote("abc"))
  end)
end)

describe("json for C", function()
  local doc

  before_each(function()
    doc = json.new()
    assert(doc:parse([==[{
      "execution": { "jobId": "j1", "n": 3, "f": 1.5, "ok": true, "none": null, "o": {}, "l": [] },
      "jobs": { "QUEUED": [ { "jobId": "a" }, { "jobId": "b", "m": [[1, 2], [3]] } ] }
    }]==]))
  end)

  it("knows the type of every place", function()
    local types = {}
    for _, path in ipairs({ "", "execution.jobId", "execution.n", "execution.ok", "execution.none",
      "execution.o", "jobs.QUEUED", "jobs.QUEUED[1].m[0]", "jobs.QUEUED[2]", "x", "execution.n.x",
      "execution.jobId[0]", "execution[0]" }) do
      types[path] = doc:type(path)
    end
    assert.same({
      [""] = "object", ["execution.jobId"] = "string", ["execution.n"] = "number",
      ["execution.ok"] = "boolean", ["execution.none"] = "null", ["execution.o"] = "object",
      ["jobs.QUEUED"] = "array", ["jobs.QUEUED[1].m[0]"] = "array", ["jobs.QUEUED[2]"] = "absent",
      x = "absent", ["execution.n.x"] = "absent", ["execution.jobId[0]"] = "absent",
      ["execution[0]"] = "absent",
    }, types)
  end)

  it("gives what is asked for, or the fallback when it is of another type", function()
    assert.equal("j1", doc:string("execution.jobId"))
    assert.equal("b", doc:string("jobs.QUEUED[1].jobId"))
    assert.is_nil(doc:string("execution.n"))
    assert.is_nil(doc:string("execution.none"))
    assert.equal(3, doc:integer("execution.n"))
    assert.equal(3, doc:integer("jobs.QUEUED[1].m[1][0]"))
    assert.equal(-99, doc:integer("execution.f"))
    assert.equal(-99, doc:integer("execution.jobId"))
    assert.equal(-99, doc:integer("absent"))
    assert.is_true(doc:boolean("execution.ok", false))
    assert.is_true(doc:boolean("execution.n", true))
    assert.is_false(doc:boolean("absent", false))
    assert.equal(2, doc:length("jobs.QUEUED"))
    assert.equal(2, doc:length("jobs.QUEUED[1].m"))
    assert.equal(0, doc:length("execution"))
    assert.equal(0, doc:length("absent"))
  end)

  it("gives strings with NUL whole", function()
    assert(doc:parse('{"a":"x\\u0000y"}'))
    assert.equal("x\0y", doc:string("a"))
  end)

  it("lists members in the order of their names, and stops when told", function()
    local all = { "f:number", "jobId:string", "l:object", "n:number", "none:null", "o:object",
      "ok:boolean" }
    assert.same(all, doc:each("execution"))
    assert.same({ "f:number", "jobId:string" }, doc:each("execution", 2))
    assert.same({}, doc:each("jobs.QUEUED"))
    assert.same({}, doc:each("execution.o"))
    assert.same({}, doc:each("absent"))
  end)

  it("drops the former document, also when the next one is no JSON", function()
    refuses("at character 1", "EJSON", doc:parse("nope"))
    assert.equal("absent", doc:type("execution"))
    assert.equal("absent", doc:type(""))
    assert(doc:parse("[7]"))
    assert.equal("array", doc:type(""))
    assert.equal(7, doc:integer("[0]"))
    refuses("bytes", "EMSGSIZE", doc:parse((" "):rep(TEXT_MAX + 1)))
    assert.equal("absent", doc:type(""))
  end)

  -- What Lua gets of the same text, asked place by place.
  local function same(value, path)
    local kind = doc:type(path)
    if value == NULL then
      return kind == "null"
    elseif type(value) == "table" then
      if value[1] ~= nil then
        local fits = kind == "array" and doc:length(path) == #value
        for i = 1, fits and #value or 0 do
          fits = fits and same(value[i], ("%s[%d]"):format(path, i - 1))
        end
        return fits
      end
      local names, fits = {}, kind == "object"
      for name, member in pairs(value) do
        names[#names + 1] = name
        fits = fits and (name == "" or name:find("[.%[%z]")
          or same(member, path == "" and name or path .. "." .. name))
      end
      return fits and #doc:each(path) == #names
    elseif math.type(value) == "integer" then
      return kind == "number" and doc:integer(path) == value and doc:number(path) == value
    elseif type(value) == "number" then
      return kind == "number" and doc:integer(path) == -99 and doc:number(path) == value
    elseif type(value) == "boolean" then
      return kind == "boolean" and doc:boolean(path, not value) == value
    end
    return kind == "string" and doc:string(path) == value
  end

  it("has the values that Lua gets", function()
    for _, text in ipairs({ "0", "-0", "-1", "1.5", "-0.5e-3", "1E5", "1e+2", "9007199254740992",
      "-9007199254740992", "9007199254740993.0", "1e16", "123456789012345678901234567890e-20",
      "1e-999", '""', '"a\\u0000b"',
      '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00é€😀\127"',
      "true", "false", "null", "[]", "[[]]", "[null]", "[{}]", " \t\r\n[ 1 , 2 ] \n",
      '{"a":1,"b":{"c":[]},"a":"x"}', '{"\\u0061":1,"a":2}', '{"":1}', '{"a\\u0000":1,"a":2}',
      '{"a":[[1,2],[],[3,{"b":4}]],"b":{"c":{"d":5},"e":6},"f":7}',
      ("["):rep(32) .. ("]"):rep(32), ('{"a":'):rep(32) .. "1" .. ("}"):rep(32),
      "[" .. ("1,"):rep(5000) .. "1]", '["' .. ("é"):rep(20000) .. '"]' }) do
      assert(doc:parse(text))
      assert.truthy(same(json.decode(text), ""), text)
    end
  end)

  it("gives places by hand, and what is absent for what is not there", function()
    for text, last in pairs({ ['{"l":[{"a":1},{"a":2,"a":3}]}'] = 3, ['{"l":[]}'] = -99,
      ['{"l":{"a":1}}'] = -99, ["[1]"] = -99, ['{"l":[{"a":"x"}]}'] = -99 }) do
      assert(doc:parse(text))
      assert.equal(last, doc:last_of("l", "a"))
    end
  end)

  it("can be parsed into and asked thousands of times", function()
    for i = 1, 3000 do
      assert(doc:parse('{"a":[' .. i .. "]}"))
      assert.equal(i, doc:integer("a[0]"))
      doc:each("")
    end
  end)
end)

describe("json slice", function()
  local function slice(text, path)
    assert(json.decode(text)) -- what is read here is right; the rest is below
    return json.slice(text, path)
  end

  it("gives the bytes of a member as they came", function()
    local text = '{ "a" : {"x": [1,  2], "s": "}]\\"{" } , "b":null }'
    assert.equal('{"x": [1,  2], "s": "}]\\"{" }', slice(text, "a"))
    assert.equal("[1,  2]", slice(text, "a.x"))
    assert.equal('"}]\\"{"', slice(text, "a.s"))
    assert.equal("null", slice(text, "b"))
  end)

  it("gives the whole without the blanks about it", function()
    assert.equal('{"a":1}', slice(' \n{"a":1}\t ', ""))
    assert.equal("5", slice(" 5 ", ""))
  end)

  it("gives nothing where there is no such member", function()
    for _, path in ipairs({ "c", "a.y", "b.x", "x", "a.x.y" }) do
      assert.is_nil(slice('{"a":{"x":[1]},"b":"x"}', path))
    end
    assert.is_nil(slice('["a"]', "a"))
    assert.is_nil(slice("{}", "a"))
    assert.is_nil(slice('{"ab":1}', "a"))
    assert.is_nil(slice('{"a":1}', "ab"))
  end)

  it("lets the last of two members win, as decoding does", function()
    assert.equal("2", slice('{"a":1,"b":0,"a":2}', "a"))
    assert.is_nil(slice('{"a":{"x":1},"a":{"y":2}}', "a.x"))
    assert.equal("2", slice('{"a":{"x":1},"a":{"y":2}}', "a.y"))
  end)

  it("compares names as they are meant, not as they are written", function()
    assert.equal("1", slice([[{"jo\u0062Id":1}]], "jobId"))
    assert.equal("1", slice([[{"\u00E9\u20ac\ud83d\ude00":1}]], "é€😀"))
    assert.equal("1", slice([[{"a\/\n\"\\":1}]], 'a/\n"\\'))
    assert.is_nil(slice([[{"\\u0061":1}]], "a"))
  end)

  it("is not misled by names within values", function()
    assert.equal("3", slice('{"x":{"a":1},"y":["a",{"a":2}],"z":"\\"a\\":9","a":3}', "a"))
    assert.equal("-1.5e3", slice('{"a":-1.5e3}', "a"))
    assert.equal("true", slice('{"a":true,"b":1}', "a"))
    assert.equal("[]", slice('{"a":[]}', "a"))
  end)

  it("agrees with the decoder on every member of a large document", function()
    local members = {}
    for i = 1, 300 do
      members[i] = ('"k%d" :%s[{"v":"%s\\\\"},%d]'):format(i, (" "):rep(i % 3),
        ("]}"):rep(i % 5), i)
    end
    local text = "{" .. table.concat(members, " , ") .. "}"
    local value = json.decode(text)
    for i = 1, 300 do
      assert.same(value["k" .. i], json.decode(json.slice(text, "k" .. i)))
    end
  end)

  it("reads what cannot be parsed: any depth, any number, any byte in a string", function()
    local deep = ("["):rep(100000) .. ("]"):rep(100000)
    for _, value in ipairs({ deep, "[9007199254740993,1e999]", '{"b":"\xff\xfe"}', '{"b":}' }) do
      assert.is_nil((json.decode('{"a":' .. value .. "}")))
      assert.equal(value, json.slice('{"x":' .. value .. ',"a":' .. value .. ',"b":1}', "a"))
    end
  end)

  it("stays inside any text, valid or not", function()
    local text = '{"a":{"b\\u0041":["x",1]},"c":"\\\\"}'
    for at = 0, #text do
      json.slice(text:sub(1, at), "a.bA")
      json.slice(text:sub(at), "c")
    end
    json.slice('{"', "a")
    json.slice('{"a\\', "a")
    json.slice('{"\\u', "a")
    json.slice('{"\\ud83d\\u', "a")
  end)
end)

describe("utf8", function()
  it("knows valid text", function()
    assert.is_true(units.utf8.valid("aé€😀\u{10FFFF}"))
    for _, text in ipairs({ "\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
      "\xf4\x90\x80\x80", "é\xe2\x82", "\xf0\x9f\x98" }) do
      assert.is_false(units.utf8.valid(text))
    end
  end)

  it("cuts between characters only", function()
    assert.equal("", units.utf8.cut("😀", 3))
    assert.equal("😀", units.utf8.cut("😀", 4))
    assert.equal("a€", units.utf8.cut("a€€", 6))
    assert.equal("abc", units.utf8.cut("abc", 10))
    assert.equal("", units.utf8.cut("abc", 0))
    assert.equal("\x80\x80\x80", units.utf8.cut("\x80\x80\x80\x80\x80", 3))
  end)
end)

describe("hob.json", function()
  local hob_json = require("hob.json")

  it("encodes and decodes", function()
    local value = { a = { 1, 2.5, "x", true, hob_json.null }, b = {} }
    local text = hob_json.encode(value)
    assert.equal('{"a":[1,2.5,"x",true,null],"b":{}}', text)
    assert.same(value, hob_json.decode(text))
    assert.equal("null", hob_json.encode(nil))
  end)

  it("returns nil, why, and a code for what is no JSON or cannot be", function()
    refuses("at character 2", "EJSON", hob_json.decode("[x]"))
    refuses("bytes", "EMSGSIZE", hob_json.decode((" "):rep(TEXT_MAX + 1)))
    refuses("a.f: function", "EINVAL", hob_json.encode({ a = { f = print } }))
    refuses("bytes", "EMSGSIZE", hob_json.encode(("x"):rep(TEXT_MAX)))
  end)

  it("raises on misuse", function()
    assert.has_error(function()
      hob_json.decode(5)
    end, "bad argument #1 to 'decode' (string expected, got number)")
    assert.has_error(function()
      hob_json.encode()
    end, "bad argument #1 to 'encode' (value expected)")
  end)
end)

describe("json without", function()
  local function without(text, path)
    return (json.without(text, path))
  end

  it("has null in the place of the value, the rest as it came", function()
    assert.equal(' { "a" : null , "b":[1, 2] } ', without(' { "a" : {"x":1} , "b":[1, 2] } ', "a"))
    assert.equal('{"a":{"x":1,"y":null},"y":3}', without('{"a":{"x":1,"y":2},"y":3}', "a.y"))
    assert.equal('{"a":null}', without('{"a":"}\\"{"}', "a"))
    assert.equal('{"a":null}', without('{"a":null}', "a"))
  end)

  it("is the same where there is no such member", function()
    for _, text in ipairs({
      "", "{}", "7", '["a"]', '{"b":{"a":1}}', '{"a":7}', '{"a":[{"b":1}]}',
    }) do
      assert.equal(text, without(text, "a.b"))
    end
  end)

  it("replaces every member of that name, however it is written", function()
    assert.equal('{"a":null,"b":1,"a":null,"\\u0061":null}',
      without('{"a":1,"b":1,"a":[[2]],"\\u0061":{"a":3}}', "a"))
    assert.equal('{"a":{"b":null},"a":7,"a":{"b":null,"b":null}}',
      without('{"a":{"b":1},"a":7,"a":{"b":2,"b":3}}', "a.b"))
  end)

  it("does not mend what is no JSON around the value", function()
    for _, text in ipairs({
      '{"a":}', '{"a":}}', '{"a":]}', '{"a":,"b":1}', '{"a"}', '{"a":1', '{"a":[1', '{"a":"x',
      '{"a', '{"a":{"b":1}', '{"a" 1}', '{"a"=1}', '{a:1}', '{"a":1}}', '{"a":[}', '{"',
    }) do
      assert.is_nil((json.decode(without(text, "a"))), text)
    end
  end)

  it("says when it does not fit", function()
    assert.same({ nil, "EMSGSIZE" }, { json.without('{"a":[1,2,3],"b":"........"}', "a", 20) })
  end)

  it("stays inside any text, valid or not", function()
    local text = '{"a":{"b\\u0041":["x",1]},"c":"\\\\"}'
    for at = 0, #text do
      json.without(text:sub(1, at), "a.bA")
      json.without(text:sub(at), "c")
    end
  end)
end)
