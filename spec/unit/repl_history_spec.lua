local fs = require("hob.fs")
local histories = require("hob.repl.history")

describe("the history of hob repl", function()
  local dir, path

  before_each(function()
    dir = assert(fs.tempdir())
    path = dir .. "/state/hob/history"
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function mode()
    return ("%o"):format(assert(fs.stat(path)).mode)
  end

  it("is a file that only its user may read, made with its directories", function()
    local history, problem = histories.open(path)
    assert.is_nil(problem)
    assert.is_true(history:add("jobs"))
    assert.equal("jobs\n", fs.read(path))
    assert.equal("600", mode())
  end)

  it("is made private when it was not", function()
    assert(fs.mkdir(dir .. "/state/hob"))
    assert(fs.write(path, "old\n", { mode = "644" }))
    assert.same({ "old" }, histories.open(path).lines)
    assert.equal("600", mode())
  end)

  it("keeps no empty line, none that begins with a blank, and none twice in a row", function()
    local history = histories.open(path)
    for _, line in ipairs({ "a", "", " secret", "a", "b", "a" }) do
      history:add(line)
    end
    assert.equal("a\nb\na\n", fs.read(path))
  end)

  it("keeps the lines that belong to one that is kept, however they begin", function()
    local history = histories.open(path)
    history:add("for i = 1, 2 do")
    assert.is_true(history:add("  print(i)", true))
    assert.is_false(history:add("   ", true))
    assert.equal("for i = 1, 2 do\n  print(i)\n", fs.read(path))
  end)

  it("is shared by sessions that are open at once", function()
    local one, other = histories.open(path), histories.open(path)
    one:add("one")
    other:add("other")
    assert.same({ "one", "other" }, histories.open(path).lines)
  end)

  it("is cut to its newest lines once it has twice as many", function()
    assert(fs.mkdir(dir .. "/state/hob"))
    local lines = {}
    for i = 1, 2 * histories.MAX + 1 do
      lines[i] = "line " .. i
    end
    assert(fs.write(path, table.concat(lines, "\n") .. "\n"))
    local history = histories.open(path)
    assert.equal(histories.MAX, #history.lines)
    assert.equal("line " .. 2 * histories.MAX + 1, history.lines[histories.MAX])
    assert.equal(histories.MAX, select(2, fs.read(path):gsub("\n", "")))
    assert.equal("600", mode())
  end)

  it("does without a file that cannot be made, and says why", function()
    assert(fs.write(dir .. "/state", "a file"))
    local history, problem = histories.open(path)
    assert.is_truthy(problem:find(dir .. "/state", 1, true))
    assert.is_true(history:add("still works"))
    assert.same({ "still works" }, history.lines)
    assert.same({}, histories.open(nil).lines)
  end)
end)
