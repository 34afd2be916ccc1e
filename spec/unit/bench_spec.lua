-- What `./dev bench` makes of its rounds, and what its exit status says.
local exec = require("hob.exec")
local futures = require("hob.future")
local plot = require("spec.bench.plot")
local report = require("spec.bench.report")
local rounds = require("spec.bench.rounds")
local runner = require("spec.bench.runner")
local worlds = require("spec.support.world")

describe("the rounds of a bench", function()
  it("have each candidate once, every other round in the reverse order", function()
    local order = {}
    local function candidate(name)
      return { name = name, run = function(round)
        order[#order + 1] = name .. round
        return { jobs_s = round }
      end }
    end
    local results = rounds.alternate(3, { candidate("a"), candidate("b"), candidate("c") })
    assert.are.same({ "a1", "b1", "c1", "c2", "b2", "a2", "a3", "b3", "c3" }, order)
    assert.are.same({ 1, 2, 3 }, rounds.column(results.b, "jobs_s"))
  end)

  it("give a median that one slow round does not move", function()
    assert.are.equal(3, rounds.median({ 900, 3, 2, 4, 1 }))
    assert.are.equal(2.5, rounds.median({ 4, 1, 3, 2 }))
    assert.are.equal(7, rounds.median({ 7 }))
  end)

  it("give quantiles between the figures, and leave the list as it was", function()
    local list = { 30, 10, 20, 40, 50 }
    assert.are.equal(50, rounds.quantile(list, 1))
    assert.are.equal(10, rounds.quantile(list, 0))
    assert.are.equal(48, rounds.quantile(list, 0.95))
    assert.are.same({ 30, 10, 20, 40, 50 }, list)
  end)

  it("make a ratio of two figures of the same round, not of two medians", function()
    local mine = { { cpu_us = 10 }, { cpu_us = 400 }, { cpu_us = 30 } }
    local other = { { cpu_us = 20 }, { cpu_us = 100 }, { cpu_us = 10 } }
    local median, low, high = rounds.ratio(mine, other, "cpu_us")
    assert.are.same({ 3, 0.5, 4 }, { median, low, high })
  end)

  it("name the figure that a round did not give", function()
    assert.has_error(function() rounds.column({ { cpu_us = 1 }, {} }, "cpu_us") end, "cpu_us")
  end)
end)

describe("a figure of a bench", function()
  local function reached(value, goal, quick, unit)
    return report.reached({ value = value, at_most = goal.at_most, at_least = goal.at_least,
      unit = unit or "ratio" }, quick)
  end

  it("reaches its goal at the goal itself, and not beyond it", function()
    assert.is_true(reached(1.2, { at_most = 1.2 }))
    assert.is_false(reached(1.21, { at_most = 1.2 }))
    assert.is_true(reached(0.5, { at_least = 0.5 }))
    assert.is_false(reached(0.49, { at_least = 0.5 }))
    assert.is_true(reached(99, {}))
  end)

  it("fails with --quick only beyond a factor of two", function()
    assert.is_true(reached(2.4, { at_most = 1.2 }, true))
    assert.is_false(reached(2.41, { at_most = 1.2 }, true))
    assert.is_true(reached(0.25, { at_least = 0.5 }, true))
    assert.is_false(reached(0.24, { at_least = 0.5 }, true))
  end)

  it("does not fail with --quick if it is about the slowest few", function()
    local figure = { value = 9, unit = "ratio", at_most = 3, tail = true }
    assert.is_true(report.reached(figure, true))
    assert.is_false(report.reached(figure))
  end)

  it("does not fail with --quick if it is a time", function()
    for _, unit in ipairs({ "s", "ms", "us" }) do
      assert.is_true(reached(900, { at_most = 10 }, true, unit))
      assert.is_false(reached(900, { at_most = 10 }, false, unit))
    end
    assert.is_false(reached(900, { at_most = 10 }, true, "KB"))
  end)

  it("is told with its goal, and in which rounds it was between what", function()
    local lines = report.lines({
      { row = "ops", what = "jobs/s", value = 0.7, unit = "ratio", at_least = 1, low = 0.6,
        high = 0.91, hob = 700, peer = 1000, versus = "floor" },
      { row = "idle", what = "RSS", value = 5.5, unit = "MB" },
    }, false)
    local function words(line)
      return (line:gsub("%s+", " "))
    end
    assert.are.equal("ops jobs/s 0.70 >= 1 NO 0.60 to 0.91 700 1000 floor", words(lines[2]))
    assert.are.equal("idle RSS 5.50 MB", words(lines[3]))
  end)

  it("says with --quick what it did not decide", function()
    local function verdict(value, unit)
      local line = report.lines({ { row = "vm", what = "a job", value = value, unit = unit,
        at_most = 10, versus = "." } }, true)[2]
      return line:match("<= 10%s%s+(.-)%s%s")
    end
    assert.are.equal("yes", verdict(10, "KB"))
    assert.are.equal("nearly", verdict(15, "KB"))
    assert.are.equal("NO", verdict(21, "KB"))
    assert.are.equal("not judged", verdict(21, "us"))
  end)
end)

describe("a run of benches", function()
  local said

  -- Benches by name: a function each.
  local function run(benches, more)
    said = {}
    local given = { rounds = 3, say = function(line) said[#said + 1] = line end,
      load = function(name)
        return { what = name, run = assert(benches[name], "no bench " .. name) }
      end }
    for key, value in pairs(more or {}) do
      given[key] = value
    end
    local names = {}
    for name in pairs(benches) do
      names[#names + 1] = name
    end
    table.sort(names)
    return runner.run(given.names or names, given)
  end

  local function telling(value, goal)
    return function(bench)
      bench:figure({ what = "it", value = value, unit = "ratio", at_most = goal })
    end
  end

  it("gives exit status 0 when every goal is reached", function()
    local result = run({ a = telling(1, 2), b = telling(5) })
    assert.are.equal(0, runner.status(result))
    assert.are.same({ "a", "b" }, { result.figures[1].row, result.figures[2].row })
  end)

  it("gives 1 when one goal is missed, whatever comes after it", function()
    assert.are.equal(1, runner.status(run({ a = telling(3, 2), b = telling(1, 2) })))
  end)

  it("gives 0 for the same figures with --quick, up to a factor of two", function()
    assert.are.equal(0, runner.status(run({ a = telling(3, 2) }), true))
    assert.are.equal(1, runner.status(run({ a = telling(4.5, 2) }), true))
  end)

  it("gives 1 when a bench breaks, runs the others, and keeps what it had measured", function()
    local result = run({
      a = function(bench)
        telling(1, 2)(bench)
        error("the broker is gone")
      end,
      b = telling(1, 2),
    })
    assert.are.equal(1, runner.status(result))
    assert.are.equal(1, runner.status(result, true))
    assert.are.equal("a", result.broken[1].row)
    assert.is_truthy(result.broken[1].why:find("the broker is gone", 1, true))
    assert.are.equal(2, #result.figures)
  end)

  it("gives 1 when a bench cannot be loaded", function()
    local result = run({ a = telling(1, 2) }, { names = { "other", "a" } })
    assert.are.same({ 1, "other", 1 },
      { runner.status(result), result.broken[1].row, #result.figures })
  end)

  it("gives 1 when a bench hangs, says so, and begins no other one", function()
    local result = run({
      a = function(bench)
        telling(1, 2)(bench)
        futures.new():result()
      end,
      b = telling(1, 2),
    }, { limit = 0.05 })
    assert.are.equal(1, runner.status(result))
    assert.are.equal("not at its end after 0.05 s", result.broken[1].why)
    assert.are.same({ "b" }, result.skipped)
    assert.are.equal("a", result.figures[1].row)
  end)

  it("leaves out what the time is up for, which is no failure", function()
    local result = run({ a = telling(1, 2), b = telling(9, 2) }, { seconds = 0 })
    assert.are.same({ "b" }, result.skipped)
    assert.are.equal(0, runner.status(result))
  end)

  it("does not take what is no number for a figure", function()
    for _, value in ipairs({ 0 / 0, math.huge, "fast" }) do
      local result = run({ a = telling(value, 2) })
      assert.are.equal(1, runner.status(result))
      assert.is_truthy(result.broken[1].why:find("'it' is no number", 1, true))
    end
  end)

  it("lets a bench compare rounds, and two figures of its own", function()
    local result = run({ a = function(bench)
      local results = { hob = { { t = 1, p = 2 }, { t = 3, p = 6 } },
        floor = { { t = 2 }, { t = 4 } } }
      bench:ratio("t", results, "hob", "floor", "t", { at_most = 1 })
      bench:spread("p to t", results.hob, "p", "t", { at_most = 3 })
    end })
    assert.are.same({ 0.625, 2, 3, "floor" }, { result.figures[1].value, result.figures[1].hob,
      result.figures[1].peer, result.figures[1].versus })
    assert.are.same({ 2, "t" }, { result.figures[2].value, result.figures[2].versus })
  end)
end)

describe("./dev bench", function()
  local function call(...)
    return assert(exec.run({ worlds.hob(), "lua", "spec/bench/run.lua", ... }))
  end

  it("names the benches when one is not known", function()
    local ran = call("frob")
    assert.are.equal(2, ran.code)
    assert.is_truthy(ran.stderr:find("no bench 'frob'; there are: ops jobs", 1, true))
  end)

  it("has a module for each bench that it names", function()
    local ran = call("--help")
    assert.are.equal(0, ran.code)
    local count = 0
    for name in ran.stdout:match("NAME is one of: ([^\n]+)"):gmatch("%S+") do
      local module = require("spec.bench.rows." .. name)
      assert.are.equal(name, module.name)
      assert.is_truthy(module.what)
      assert.are.equal("function", type(module.run))
      count = count + 1
    end
    assert.is_true(count > 5)
  end)
end)

describe("a scaling curve", function()
  it("is told to gnuplot with its points, and names cannot end a text", function()
    local script = plot.script({ name = "n", title = "It's many", x = "things", y = "MB",
      series = { { label = "all", points = { { 100, 4.5 }, { 1000, 40 } } } } }, "/tmp/n.svg")
    assert.is_truthy(script:find("set title 'It''s many'", 1, true))
    assert.is_truthy(script:find("$data1 << END\n100 4.5\n1000 40\nEND\n", 1, true))
    assert.is_truthy(script:find("plot $data1 using 1:2", 1, true))
  end)
end)
