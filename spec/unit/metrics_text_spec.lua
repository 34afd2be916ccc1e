-- Lines of Prometheus's text format, and what is counted for them.

local exposition = require("spec.support.exposition")
local units = require("hob_units")

local metrics, tally = units.metrics, units.tally

describe("metrics_text", function()
  local HEAD = metrics.head("hob_x", "gauge", "Help.")

  local function read(...)
    return exposition.parse(HEAD .. metrics.sample("hob_x", ...)).families.hob_x.samples[1]
  end

  it("writes HELP and TYPE before the samples", function()
    assert.equal("# HELP hob_x Help.\n# TYPE hob_x gauge\n", HEAD)
    assert.equal("hob_x 1\n", metrics.sample("hob_x", 1))
    assert.equal('hob_x{a="b",c="d"} 1\n', metrics.sample("hob_x", 1, "a", "b", "c", "d"))
  end)

  it("escapes \\, \" and the end of a line in a label's value", function()
    for _, hostile in ipairs({ '"', "\\", "\n", '\\"', "\\n", 'a"} 1\nhob_evil{b="', "{},=", "",
      " ", "ü€😀", "tab\there" }) do
      local sample = read(7, "thing", hostile, "handler", hostile)
      assert.same({ thing = hostile, handler = hostile }, sample.labels)
      assert.equal(7, sample.value)
    end
  end)

  it("makes valid UTF-8 of what is none", function()
    assert.equal("a\u{FFFD}b\u{FFFD}", read(1, "thing", "a\xFFb\xC3").labels.thing)
    assert.equal("\u{FFFD}\u{FFFD}\n", read(1, "thing", "\xED\xA0\n").labels.thing)
  end)

  it("writes whole numbers in full and others with 15 digits", function()
    for _, value in ipairs({ 0, 1, -1, 4294967296, 9007199254740991, 0.015, 1e300, -2.5 }) do
      assert.equal(value, read(value).value)
    end
    assert.equal("hob_x 9007199254740991\n", metrics.sample("hob_x", 9007199254740991))
    assert.equal("hob_x 0.015\n", metrics.sample("hob_x", 0.015))
  end)
end)

describe("the reader of this spec", function()
  it("refuses what a collector would", function()
    local good = metrics.head("hob_x", "gauge", "Help.") .. 'hob_x{a="b"} 1\n'
    exposition.parse(good)
    for _, bad in ipairs({ good .. good, good .. 'hob_x{a="b"} 2\n', good .. "hob_y 1\n",
      good .. "\n", good:sub(1, -2), good .. 'hob_x{a="c} 1\n', good .. 'hob_x{a="\\x"} 1\n',
      good .. 'hob_x{a="c" } 1\n', good .. "hob_x 1 2 3\n", good .. "hob_x one\n",
      good .. "hob-x 1\n", (good:gsub("gauge", "counter")), (good:gsub("# HELP.-\n", "")),
      good .. '# TYPE hob_x gauge\n', good .. 'hob_x{a="b",a="c"} 1\n' }) do
      assert.is_false(pcall(exposition.parse, bad), bad)
    end
  end)
end)

describe("the tally", function()
  it("counts by handler, status and kind of end", function()
    local counts = tally.new()
    counts:ended("a", "SUCCEEDED", "succeeded")
    counts:ended("a", "FAILED", "timed_out")
    counts:ended("a", "SUCCEEDED", "succeeded")
    counts:ended("", "REJECTED", "rejected")
    assert.same({ { "a", "SUCCEEDED", "succeeded", 2 }, { "a", "FAILED", "timed_out", 1 },
      { "", "REJECTED", "rejected", 1 } }, counts:rows())
  end)

  it("tells 64 handlers apart and counts all others together", function()
    local counts = tally.new()
    for i = 1, 200 do
      counts:ended("handler-" .. i, "SUCCEEDED", "succeeded")
      counts:ended("handler-1", "FAILED", "failed")
    end
    local names, all, others = {}, 0, 0
    for _, row in ipairs(counts:rows()) do
      names[row[1]] = true
      all = all + row[4]
      others = others + (row[1] == "(other)" and row[4] or 0)
    end
    local count = 0
    for _ in pairs(names) do
      count = count + 1
    end
    assert.equal(65, count)
    assert.same({ 400, 136 }, { all, others })
  end)

  it("never holds more than 512 rows", function()
    local counts = tally.new()
    for i = 1, 60 do
      for status = 1, 12 do
        counts:ended("handler-" .. i, "S" .. status, "failed")
      end
    end
    assert.equal(512, #counts:rows())
  end)
end)

describe("a connection's causes", function()
  it("are a few, whatever the code is", function()
    for code, cause in pairs({ ERESOLVE = "resolve", ETLS = "tls", EREFUSED = "refused",
      ECONNREFUSED = "network", ECONNRESET = "network", ENOTCONN = "network", EPROTO = "protocol",
      ETIMEDOUT = "timeout", EMSGSIZE = "protocol", ENOENT = "local", EACCES = "local" }) do
      assert.equal(cause, units.mqtt_counts.cause(code), code)
    end
  end)
end)
