local options = require("hob.cli.options")
local tables = require("hob.cli.table")

-- Standard output and error of `fn`.
local function captured(fn)
  local text, keep_out, keep_err = {}, io.stdout, io.stderr
  local sink = { write = function(_, ...) text[#text + 1] = table.concat{ ... } end }
  io.stdout, io.stderr = sink, sink -- luacheck: ignore
  local results = table.pack(pcall(fn))
  io.stdout, io.stderr = keep_out, keep_err -- luacheck: ignore
  assert(results[1], results[2])
  return table.concat(text), table.unpack(results, 2, results.n)
end

local SYNTAX = {
  command = "hob fetch", usage = "usage: hob fetch\n", words = 1,
  flags = {
    from = { value = "PLACE" }, count = { value = "N", low = 1, high = 9 }, quick = {},
    tag = { value = "T", many = true }, ["log-level"] = { value = "L", one_of = { "a", "b" } },
  },
}

local function parse(...)
  local argv = { ... }
  return captured(function() return options.parse(argv, SYNTAX) end)
end

describe("hob.cli.options", function()
  it("reads flags in both forms, switches, lists and words", function()
    local _, given = parse("--from", "x", "--count=3", "well", "--quick", "--tag", "1", "--tag=2",
      "--log-level", "b")
    assert.same({ "well", from = "x", count = 3, quick = true, tag = { "1", "2" },
      log_level = "b" }, given)
  end)

  it("takes what follows -- as it is", function()
    local _, given = parse("--quick", "--", "--from")
    assert.same({ "--from", quick = true }, given)
  end)

  it("takes a value that begins with a dash, or holds an equals sign", function()
    local _, given = parse("--from", "-", "--tag", "--x", "--tag=a=b")
    assert.same({ from = "-", tag = { "--x", "a=b" } }, given)
  end)

  it("prints the usage for --help", function()
    local text, given, code = parse("--nonsense", "--help")
    assert.same({ "usage: hob fetch\n", 0 }, { text, code })
    assert.is_nil(given)
  end)

  local MISTAKES = {
    { { "--form", "x" }, "unknown flag --form" },
    { { "--form=x" }, "unknown flag --form;" },
    { { "-f" }, "unknown flag -f;" },
    { { "--qiuck" }, "unknown flag --qiuck; did you mean --quick?;" },
    { { "--from" }, "--from: expected PLACE after it" },
    { { "--from=" }, "--from: expected PLACE, got nothing" },
    { { "--quick=yes" }, "--quick takes no value" },
    { { "--quick", "--quick" }, "--quick is given twice" },
    { { "--count", "0" }, "--count: expected a whole number from 1 to 9, got '0'" },
    { { "--count", "1.5" }, "--count: expected a whole number" },
    { { "--count", "0x5" }, "--count: expected a whole number" },
    { { "--count", "99999999999999999999" }, "--count: expected a whole number" },
    { { "--log-level", "c" }, "--log-level: expected a, b, got 'c'" },
    { { "one", "two" }, "'two' is one word too many" },
  }
  for _, case in ipairs(MISTAKES) do
    it("refuses " .. table.concat(case[1], " "), function()
      local text, given, code = parse(table.unpack(case[1]))
      assert.is_nil(given)
      assert.equal(2, code)
      assert.is_truthy(text:find(case[2], 1, true), text)
      assert.is_truthy(text:find("^hob fetch: .*; `hob fetch %-%-help` says more\n$"), text)
    end)
  end

  it("names every flag that is missing", function()
    local text, given, code = captured(function()
      return options.parse({}, { command = "hob x", usage = "", flags = {
        port = { value = "N", low = 1, high = 2, required = true },
        endpoint = { value = "HOST", required = true }, other = {},
      } })
    end)
    assert.same({ nil, 2 }, { given, code })
    assert.is_truthy(text:find("--endpoint HOST and --port N is missing", 1, true))
  end)
end)

describe("hob.cli.table", function()
  it("aligns columns by characters, not bytes, and ends no line in blanks", function()
    assert.same({ "JOB   STATUS", "h\u{f6}b   QUEUED", "long", },
      tables.lines({ "JOB", "STATUS" }, { { "h\u{f6}b", "QUEUED" }, { "long", "" } }))
  end)

  it("shows control characters and broken text as something harmless", function()
    assert.same({ "a b  ?" }, tables.lines(nil, { { "a\27\nb", "\255" } }))
  end)

  it("cuts the last column to the width", function()
    assert.same({ "a  \u{e9}\u{e9}..." },
      tables.lines(nil, { { "a", ("\u{e9}"):rep(20) } }, { width = 8 }))
  end)
end)

describe("hob job watch", function()
  local watch = require("hob.cli.watch")

  it("reads the percent out of the progress detail", function()
    for progress, percent in pairs{ ["42"] = 42, ["7% unpacking"] = 7, ["250%"] = 100,
      ["soon"] = 0, ["-5"] = 0 } do
      local execution = { status = "IN_PROGRESS", statusDetails = { progress = progress } }
      assert.equal(percent, watch.percent(execution))
    end
    assert.equal(0, watch.percent{ status = "QUEUED" })
    assert.equal(100, watch.percent{ status = "SUCCEEDED" })
  end)

  it("draws a bar of that much", function()
    assert.equal("####......",
      watch.bar({ status = "IN_PROGRESS", statusDetails = { progress = "42" } }, 10))
  end)
end)
