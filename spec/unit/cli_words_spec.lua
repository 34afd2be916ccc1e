-- Flags of Hob's commands, and tables for people.

local exec = require("hob.exec")
local fs = require("hob.fs")
local tables = require("hob.cli.table")
local worlds = require("spec.support.world")

describe("a flag of a command", function()
  it("does not take the next flag for its value", function()
    for _, words in ipairs({
      { "support", "-o", "--data", "/nowhere" }, { "metrics", "--output", "--socket=/nowhere" },
      { "status", "--check", "--offline", "--json" }, { "log", "--thing", "--follow" },
    }) do
      local result = exec.run({ worlds.hob(), table.unpack(words) })
      assert.equal(words[1] == "status" and 3 or 2, result.code, table.concat(words, " "))
      assert.matches("expected %S+ after it, got the flag %-%-%l+", result.stderr)
    end
  end)

  it("may have a value that looks like one, behind a =", function()
    local result = exec.run({ worlds.hob(), "status", "--data=--json" })
    assert.equal(1, result.code)
    assert.matches("%-%-json/hob%.sock", result.stderr)
  end)
end)

describe("--config of a command", function()
  local dir
  before_each(function() dir = assert(fs.tempdir()) end)
  after_each(function() fs.remove(dir, { recursive = true }) end)

  local function status(text)
    assert(fs.write(dir .. "/hob.conf.lua", text))
    local result = exec.run({ worlds.hob(), "status", "--config", dir .. "/hob.conf.lua" })
    return result.code, result.stderr
  end

  it("names the data directory, relative to the file, whatever else is wrong in it", function()
    local code, text = status('return { data = "d", bogus = 1 }')
    assert.equal(1, code)
    assert.truthy(text:find(dir .. "/d/hob.sock: ", 1, true), text)
  end)

  it("is misused with a file that is none, or does not come to an end", function()
    for text, why in pairs({
      ["while true do end"] = "does not come to an end", ["return {"] = "unexpected symbol",
      ["return { port = 1 }"] = "has no `data`", ["return 1"] = "a table",
    }) do
      local code, said = status(text)
      assert.equal(2, code)
      assert.truthy(said:find("hob status: --config: " .. dir .. "/hob.conf.lua:", 1, true), said)
      assert.truthy(said:find(why, 1, true), said)
    end
  end)
end)

describe("what a command says", function()
  local function shell(line)
    return exec.run({ "sh", "-c", line, "sh", worlds.hob() })
  end

  it("is told not to be written where there is no room, with exit status 1", function()
    local result = shell('"$1" completion bash >/dev/full')
    assert.equal(1, result.code)
    assert.matches("^hob completion: what it says could not be written", result.stderr)
    assert.equal(0, shell('"$1" completion bash').code)
    assert.equal("", shell('"$1" completion bash | head -c 1 >/dev/null').stderr)
  end)

  it("may have nowhere to go: standard streams that are closed break nothing", function()
    for _, closed in ipairs({ ">&-", "<&- >&-", "<&- >&- 2>&-" }) do
      assert.equal(1, shell('"$1" status --data /nowhere ' .. closed).code, closed)
      assert.equal(0, shell('"$1" completion bash ' .. closed).code, closed)
    end
  end)
end)

describe("hob.cli.table", function()
  it("cuts the last column, but not where nothing of it could be read any more", function()
    local rows = { { "a", ("word "):rep(8) } }
    assert.same({ "a  word..." }, tables.lines(nil, rows, { width = 10 }))
    assert.same({ "a  word..." }, tables.lines(nil, rows, { width = 10, least = 7 }))
    assert.same({ "a  " .. ("word "):rep(7) .. "word" },
      tables.lines(nil, rows, { width = 10, least = 8 }))
  end)

  it("lets nothing through that a terminal obeys", function()
    assert.same({ "x [31m  2J \u{E9}\u{A0}" },
      tables.lines(nil, { { "x\27[31m\n\u{9B}2J\u{7F}\u{E9}\u{A0}" } }))
    assert.same({ "x?2J" }, tables.lines(nil, { { "x\x9B2J" } }))
  end)
end)
