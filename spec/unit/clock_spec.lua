local clock = require("hob_units").clock

describe("clock", function()
  describe("text", function()
    it("is ISO 8601 in UTC with milliseconds", function()
      assert.equal("2026-11-22T23:18:47.012Z", clock.text(1795389527012))
      assert.equal("1970-01-01T00:00:00.000Z", clock.text(0))
    end)

    it("knows leap days and the time before 1970", function()
      assert.equal("2024-02-29T12:00:00.000Z", clock.text(1709208000000))
      assert.equal("1969-12-31T23:59:59.999Z", clock.text(-1))
    end)

    it("stays in the years that fit", function()
      assert.equal("9999-12-31T23:59:59.999Z", clock.text(math.maxinteger))
      assert.equal("0000-01-01T00:00:00.000Z", clock.text(math.mininteger))
    end)
  end)

  describe("span", function()
    it("uses the largest unit that fits, rounded down", function()
      local spans = {}
      for i, seconds in ipairs({ 0, 1, 59, 60, 3599, 7200, 86399, 86400, 3 * 86400 + 5 }) do
        spans[i] = clock.span(seconds)
      end
      assert.same({ "0 s", "1 s", "59 s", "1 min", "59 min", "2 h", "23 h", "1 day", "3 days" },
        spans)
    end)

    it("drops the sign", function()
      assert.equal("2 h", clock.span(-7201))
      assert.equal("106751991167300 days", clock.span(math.mininteger))
    end)
  end)

  it("has a monotonic clock that never goes back", function()
    local last = clock.mono()
    for _ = 1, 1000 do
      local now = clock.mono()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("has a wall clock that agrees with Lua's", function()
    local before = os.time()
    local now = clock.wall()
    local after = os.time()
    assert.is_true(now >= before * 1000 and now < (after + 1) * 1000)
  end)
end)
