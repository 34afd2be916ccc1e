-- The notation of a handler's `args`, as a handler's own sandbox reads it.

local contract = require("hob.job.contract")
local json = require("hob.json")
local nearest = require("hob.nearest")
local schema = require("hob.job.schema")
local units = require("hob_units")

local function read(kind, value)
  local args, message = schema.read({ a = kind }, { a = value }, "args")
  if message then
    return nil, message
  end
  return args.a
end

describe("a handler's args", function()
  describe("takes", function()
    -- kind, what is given, what run() gets
    local cases = {
      { "string", "x", "x" }, { "string", "12", "12" },
      { "number", 1.5, 1.5 }, { "number", "1.5", 1.5 }, { "number", "-3e2", -300.0 },
      { "number", " 7 ", 7 },
      { "integer", 30, 30 }, { "integer", "30", 30 }, { "integer", 30.0, 30 },
      { "integer", "-2", -2 },
      { "boolean", true, true }, { "boolean", "true", true }, { "boolean", "false", false },
      { { "enum", "low", "high" }, "high", "high" },
      { { "enum", 1, 2 }, "2", 2 }, { { "enum", 1, 2 }, 1, 1 },
      { { "integer", min = 1, max = 65535 }, "65535", 65535 },
      { { "number", min = 0.5 }, 0.5, 0.5 },
      { { "string", max = 3 }, "abc", "abc" },
      { { "string", pattern = "^%l+$" }, "abc", "abc" },
    }
    for _, case in ipairs(cases) do
      local name = type(case[1]) == "table" and case[1][1] .. " with options" or case[1]
      it(("%s: %s"):format(name, json.encode(case[2])), function()
        local value, message = read(case[1], case[2])
        assert.is_nil(message)
        assert.equal(case[3], value)
        assert.equal(math.type(case[3]), math.type(value))
      end)
    end

    it("a list, an empty one too, which JSON cannot tell from an empty object", function()
      assert.same({ 1, "x" }, read("list", { 1, "x" }))
      assert.same({}, read("list", json.decode("{}")))
    end)

    it("a list of one kind, whose elements are coerced", function()
      assert.same({ 1, 2 }, read({ "list", of = "integer" }, { "1", 2 }))
      assert.same({ { url = "u", size = 5 } },
        read({ "list", of = { url = "string", size = "integer?" } }, { { url = "u", size = "5" } }))
      assert.same({ { 1 }, { 2, 3 } },
        read({ "list", of = { "list", of = "integer" } }, { { "1" }, { 2, "3" } }))
    end)

    it("a list without the elements that are absent and may be", function()
      assert.same({ "a", "b" }, read({ "list", of = "string?" }, { "a", "", json.null, "b" }))
      local _, message = read({ "list", of = "string" }, { "a", "" })
      assert.equal("args.a[2]: expected string, got nothing", message)
    end)

    it("a table of fields, in both notations", function()
      for _, kind in ipairs({ { host = "string", port = "integer?" },
        { "table", fields = { host = "string", port = "integer?" } } }) do
        assert.same({ host = "h", port = 1, other = true },
          read(kind, { host = "h", port = "1", other = true }))
        assert.same({ host = "h" }, read(kind, { host = "h", port = "" }))
      end
    end)

    it("anything as any, but not nothing", function()
      assert.equal(false, read("any", false))
      assert.same({ 1 }, read("any", { 1 }))
      assert.equal("args.a: expected any, got nothing", select(2, read("any", "")))
    end)

    it("members that it does not name, as they came", function()
      local args = schema.read({ a = "integer" }, { a = "1", b = "2", c = "" }, "args")
      assert.same({ a = 1, b = "2", c = "" }, args)
    end)
  end)

  describe("counts as absent", function()
    for _, absent in ipairs({ '""', "null" }) do
      it(absent .. " (field failure 26)", function()
        local value = json.decode(('{"a":%s}'):format(absent)).a
        for _, kind in ipairs({ "string", "number", "boolean", "table", "list" }) do
          local args = assert(schema.read({ a = kind .. "?" }, { a = value }, "args"))
          assert.is_nil(args.a)
          local _, message = read(kind, value)
          assert.equal(("args.a: expected %s, got nothing"):format(kind), message)
        end
      end)
    end

    it("what has a default, and takes that instead, a copy for each job", function()
      local kind = { "list", of = "string", default = { "x" } }
      local one, other = read(kind, nil), read(kind, "")
      assert.same({ "x" }, one)
      one[1] = "changed"
      assert.same({ "x" }, other)
      assert.equal(8080, read({ "integer", default = 8080 }, nil))
      assert.equal(false, read({ "boolean", default = false }, json.null))
      assert.equal(1, read({ "integer", default = 8080 }, "1"))
    end)

    it("a field of a table that is there", function()
      local kind = { "table?", fields = { n = { "integer", default = 3 } } }
      assert.is_nil(read(kind, nil))
      assert.same({ n = 3 }, read(kind, json.decode("{}")))
    end)
  end)

  describe("refuses", function()
    local function refused(kind, value, message)
      local got, words = read(kind, value)
      assert.is_nil(got)
      assert.equal(message, words)
    end

    it("what has another type, naming the path, what it expected and what it got", function()
      refused("string", 5, "args.a: expected string, got number 5")
      refused("string", true, "args.a: expected string, got boolean true")
      refused("string", { 1 }, "args.a: expected string, got a list")
      refused("boolean", "yes", 'args.a: expected boolean, got string "yes"')
      refused("integer", 1.5, "args.a: expected integer, got number 1.5")
      refused("number", "0x10", 'args.a: expected number, got string "0x10"')
      refused("number", "1e999", 'args.a: expected number, got string "1e999"')
      refused("number", "nan", 'args.a: expected number, got string "nan"')
      refused("table", "x", 'args.a: expected table, got string "x"')
      refused("list", { x = 1 }, "args.a: expected list, got an object")
      refused({ b = "string" }, { "x" }, "args.a: expected object, got a list")
    end)

    it("what is deep inside, with its whole path", function()
      refused({ "list", of = { url = "string" } }, { { url = "x" }, { url = 5 } },
        "args.a[2].url: expected string, got number 5")
      refused({ b = { c = { "list", of = "integer" } } }, { b = { c = { 1, 2, "x" } } },
        'args.a.b.c[3]: expected integer, got string "x"')
    end)

    it("what is out of range", function()
      refused({ "integer", min = 1, max = 65535 }, "70000",
        "args.a: expected 1 to 65535, got 70000")
      refused({ "number", min = 0 }, -0.5, "args.a: expected at least 0, got -0.5")
      refused({ "string", max = 3 }, "abcd", "args.a: expected at most 3 bytes, got 4")
      refused({ "list", min = 1 }, json.decode("[]"),
        "args.a: expected at least 1 elements, got 0")
      refused({ "string", pattern = "^%l+$" }, "ABC",
        'args.a: expected a string matching ^%l+$, got string "ABC"')
      refused({ "enum", "low", 2 }, "mid", 'args.a: expected one of "low", 2, got string "mid"')
    end)

    it("a text that is too long before its pattern sees it", function()
      refused({ "string", max = 10, pattern = ("a?"):rep(30) .. ("a"):rep(30) }, ("a"):rep(29),
        "args.a: expected at most 10 bytes, got 29")
    end)

    it("without showing what is long, or a secret", function()
      refused("integer", ("x"):rep(41), "args.a: expected integer, got string of 41 bytes")
      refused("integer", "https://h/f?X-Sig=abc",
        'args.a: expected integer, got string "https://h/f?..."')
      refused("integer", "two\nlines", 'args.a: expected integer, got string "two lines"')
      for _, name in ipairs({ "password", "api_token", "privateKey", "client_secret" }) do
        local _, message = schema.read({ [name] = "integer" }, { [name] = "hunter2" }, "args")
        assert.equal(("args.%s: expected integer, got string of 7 bytes"):format(name), message)
      end
      local _, message = schema.read({ tokens = { "list", of = "string" } }, { tokens = { 17 } },
        "args")
      assert.equal("args.tokens[1]: expected string, got number", message)
    end)
  end)

  describe("checks itself", function()
    local function wrong(written, message)
      assert.equal(message, schema.check(written))
    end
    local TYPES = " (types: any, boolean, enum, integer, list, number, string, table; ? after it "
      .. "if it may be absent)"

    it("and finds nothing wrong with what the documentation shows", function()
      assert.is_nil(schema.check({
        url = "string", level = { "enum", "low", "high" },
        port = { "integer?", min = 1, max = 65535 },
        name = { "string", pattern = "^[a-z]+$", max = 64 },
        files = { "list", of = { url = "string", to = "string" } },
        proxy = { host = "string", port = { "integer", default = 3128 } },
        tls = { "table?", fields = { ca = "string" } },
      }))
      assert.is_nil(schema.check({}))
    end)

    it("naming an unknown type, with what was meant", function()
      wrong({ url = "strnig" },
        "args.url: unknown type 'strnig'; did you mean string?" .. TYPES)
      wrong({ a = { "list", of = { b = { "intger" } } } },
        "args.a[].b: unknown type 'intger'; did you mean integer?" .. TYPES)
      wrong({ a = { b = "nothing" } }, "args.a.b: unknown type 'nothing'" .. TYPES)
    end)

    it("naming an unknown option, with what was meant", function()
      wrong({ a = { "string", mx = 1 } }, "args.a: unknown option 'mx' of type string; did you "
        .. "mean max? (options: default, max, min, pattern)")
      wrong({ a = { "boolean", min = 1 } },
        "args.a: unknown option 'min' of type boolean (options: default)")
      wrong({ a = { "integer", "x" } },
        "args.a: unknown option '2' of type integer (options: default, max, min)")
    end)

    it("naming options that cannot be", function()
      wrong({ a = { "integer", min = "1" } }, "args.a.min: expected number, got string")
      wrong({ a = { "integer", min = 2, max = 1 } }, "args.a: min 2 is over max 1")
      wrong({ a = { "string", min = -1 } },
        "args.a.min: expected a whole number of bytes, got -1")
      wrong({ a = { "string", pattern = "[" } }, "args.a.pattern: malformed pattern (missing ']')")
      wrong({ a = { "enum" } }, 'args.a: expected values after "enum", got none')
      wrong({ a = { "enum", true } },
        "args.a: expected strings or numbers as values of an enum, got boolean at 1")
      wrong({ a = { "integer", default = "x" } },
        'args.a.default: expected integer, got string "x"')
      wrong({ a = { "integer", min = 1, default = 0 } }, "args.a.default: expected at least 1, "
        .. "got 0")
      wrong({ a = { "string", default = "" } }, 'args.a.default: "" counts as absent')
      wrong({ a = { "list", of = 5 } },
        'args.a[]: expected a type such as "string", or a table, got number')
    end)

    it("naming what is no schema", function()
      wrong("string", "args: expected a table of fields, got string")
      wrong({ "string" }, 'args: expected names of fields, got "string" at 1; a list is { "list", '
        .. "of = ... }")
      wrong({ a = 5 }, 'args.a: expected a type such as "string", or a table, got number')
      wrong({ a = { 5 } }, 'args.a[1]: expected a type such as "string", got number')
      wrong({ a = setmetatable({}, {}) },
        "args.a: expected a plain table, got one with a metatable")
      local deep = {}
      deep.a = deep
      assert.matches("nested more than 16 deep", schema.check(deep))
    end)
  end)

  it("describes itself for people, each field before those inside of it", function()
    local rows = {}
    for i, row in ipairs(schema.describe({
      url = "string", level = { "enum?", "low", "high" },
      port = { "integer", min = 1, max = 65535, default = 80 },
      files = { "list", of = { to = "string?", url = { "string", max = 9 } } },
      words = { "list?", max = 4, of = { "string", pattern = "^%l" } },
      tls = { "table?", fields = { ca = "string" } },
    })) do
      rows[i] = ("%d %s: %s%s%s%s"):format(row.depth, row.path, row.type,
        row.optional and "?" or "", row.range ~= "" and ", " .. row.range or "",
        row.default and " = " .. tostring(row.default) or "")
    end
    assert.same({
      "0 files: list of tables",
      "1 files[].to: string?",
      "1 files[].url: string, at most 9 bytes",
      '0 level: enum?, "low", "high"',
      "0 port: integer?, 1 to 65535 = 80",
      "0 tls: table?",
      "1 tls.ca: string",
      "0 url: string",
      "0 words: list of strings?, at most 4 elements; each matching ^%l",
    }, rows)
  end)

  it("is read in a handler's sandbox, whatever the handler does to its globals", function()
    local result, message = units.sandbox([[
      local schema = require("hob.job.schema")
      string.find, string.gsub, table.concat, pairs, type = nil, nil, nil, nil, nil
      local args = schema.read({ n = { "integer", min = 1 } }, { n = "5" }, "args")
      return args.n + 1
    ]])
    assert.equal("6", result, message)
  end)
end)

describe("hob.nearest", function()
  it("gives the word that was meant, or none", function()
    local known = { "timeout", "run", "args", "args_at", "cleanup", "api" }
    assert.equal("timeout", nearest.of("timout", known))
    assert.equal("timeout", nearest.of("tiemout", known))
    assert.equal("run", nearest.of("rnu", known))
    assert.equal("args_at", nearest.of("argsat", known))
    assert.is_nil(nearest.of("zebra", known))
    assert.is_nil(nearest.of("x", known))
    assert.is_nil(nearest.of("", known))
    assert.equal("; did you mean cleanup?", nearest.hint("clenup", known))
    assert.equal("", nearest.hint("zebra", known))
  end)
end)

describe("reading a document's arguments", function()
  local FACTS = { id = "j", thing = "t" }

  it("is told the member that holds them, when args_at names one", function()
    local handler = { args_at = "payload", args = { n = "integer" } }
    assert.same({ n = 1 }, contract.read_args(handler, { payload = { n = "1" } }, FACTS))
    assert.equal("args.n: expected integer, got nothing (args: the document's member 'payload')",
      select(2, contract.read_args(handler, { n = 1 }, FACTS)))
    assert.equal("args: expected object, got a list (args: the document's member 'payload')",
      select(2, contract.read_args(handler, { payload = { 1 } }, FACTS)))
  end)

  it("is a function's, which may refuse", function()
    local handler = { args = function(document, facts)
      if not document.ok then
        return nil, "ok: not set"
      end
      return { thing = facts.thing }
    end }
    assert.same({ thing = "t" }, contract.read_args(handler, { ok = true }, FACTS))
    assert.equal("ok: not set", select(2, contract.read_args(handler, {}, FACTS)))
  end)

  it("is a function's, which may say false, and nothing else that is no table", function()
    local function ask(...)
      local answer = table.pack(...)
      return contract.read_args({ args = function()
        return table.unpack(answer, 1, answer.n)
      end }, {}, FACTS)
    end
    assert.same({ n = 2, nil, "too old" }, table.pack(ask(false, "too old")))
    assert.is_nil((ask()))
    for _, value in ipairs({ 5, true, "words" }) do
      assert.error_matches(function() ask(value) end, "^args returned a " .. type(value) ..
        ": expected a table, or nil and why the document is refused$")
    end
  end)

  describe("with positional", function()
    local handler = { positional = { "file", "count", "words..." },
      args = { file = "string", count = "integer?", words = { "list?", of = "string" } } }

    it("names the document's list of words", function()
      assert.same({ operation = "x", args = { "f", "2" }, file = "f", count = 2, words = {} },
        contract.read_args(handler, { operation = "x", args = { "f", "2" } }, FACTS))
    end)

    it("names the words of a step", function()
      assert.same({ file = "f", count = 2, words = { "a", "b" } },
        contract.read_positional(handler, { "f", "2", "a", "b" }, FACTS))
      assert.same({ file = "f", words = {} }, contract.read_positional(handler, { "f", "" }, FACTS))
      assert.equal('args.count: expected integer, got string "x"',
        select(2, contract.read_positional(handler, { "f", "x" }, FACTS)))
      assert.equal("args.file: expected string, got nothing",
        select(2, contract.read_positional(handler, {}, FACTS)))
    end)

    it("refuses more words than there are names", function()
      assert.equal("args: expected at most 1 (message), got 2",
        select(2, contract.read_positional({ positional = { "message" } }, { "a", "b" }, FACTS)))
    end)

    it("takes the words from args_at's member", function()
      local at = { args_at = "params", positional = { "n" }, args = { n = "integer" } }
      assert.same({ n = 5 }, contract.read_args(at, { params = { "5" } }, FACTS))
      assert.same({ n = 5 }, contract.read_args(at, { params = { n = "5" } }, FACTS))
    end)

    it("is not needed: the list is args.args", function()
      assert.same({ args = { "a" } }, contract.read_positional({}, { "a" }, FACTS))
    end)
  end)

  it("finds a placeholder that nobody filled in, wherever it is (field failure 26)", function()
    local function found(text)
      return contract.find_placeholder(json.decode(text), "document")
    end
    assert.equal("document.url", found('{"url":"${aws:iot:s3-presigned-url:x}"}'))
    assert.equal("document.files[2].url",
      found('{"files":[{"url":"a"},{"url":"${aws:iot:s3-presigned-url-v2:x}"}]}'))
    assert.equal("document.a.b", found('{"a":{"b":"${aws:iot:parameter:x}"}}'))
    assert.is_nil(found('{"note":"see ${aws:iot:parameter:x}"}'))
  end)
end)

describe("a handler's examples", function()
  it("are checked against its own args", function()
    local handler = { args = { n = "integer" }, examples = {
      { n = 1 }, { document = { n = "x" }, description = "wrong" }, { document = { n = 2 }, x = 1 },
      5, { n = "${aws:iot:parameter:n}" },
    } }
    assert.same({
      'examples[2]: args.n: expected integer, got string "x"',
      "examples[3]: unknown member 'x' beside document and description",
      "examples[4]: expected a document, or { document = ..., description = ... }, got number",
      "examples[5]: document.n: the placeholder ${aws:iot:...} was not filled in",
    }, contract.check_examples(handler))
  end)

  it("may stand alone or with a description", function()
    local handler = { examples = { { n = 1 }, { document = { n = 2 }, description = "two" } } }
    assert.same({}, contract.check_examples(handler))
    assert.same({ { document = { n = 1 } }, { document = { n = 2 }, description = "two" } },
      contract.examples(handler))
  end)

  it("do not end in an error of a function args", function()
    local handler = { args = function(document) return document.a.b end, examples = { { x = 1 } } }
    assert.matches("^examples%[1%]: args: .*attempt to index", contract.check_examples(handler)[1])
  end)
end)
