local budgets = require("hob_units").budget

-- Take as many as there are at once, with this reserve.
local function drain(budget, reserve, now)
  local count = 0
  while budget:wait(reserve, now) == 0 and count < 10000 do
    budget:take()
    count = count + 1
  end
  return count
end

describe("a budget", function()
  it("holds a minute's worth at the beginning", function()
    assert.equal(60, drain(budgets.new(60, 0), 0, 0))
  end)

  it("says when the next message may go", function()
    local budget = budgets.new(60, 5000)
    drain(budget, 0, 5000)
    local ms = budget:wait(0, 5000)
    assert.is_true(ms > 990 and ms <= 1001, ms)
    assert.is_true(budget:wait(0, 5000 + ms - 10) > 0)
    assert.equal(0, budget:wait(0, 5000 + ms))
  end)

  it("fills as time goes by, never over a minute's worth", function()
    local budget = budgets.new(60, 0)
    drain(budget, 0, 0)
    assert.equal(30, drain(budget, 0, 30000))
    assert.equal(60, drain(budget, 0, 30000 + 24 * 3600 * 1000))
  end)

  it("keeps a part for what is more urgent", function()
    local budget = budgets.new(100, 0)
    assert.equal(75, drain(budget, 0.25, 0))
    assert.equal(25, drain(budget, 0, 0))
    assert.is_true(budget:wait(0.25, 0) > budget:wait(0, 0))
  end)

  it("lets everybody through in the end, however small it is", function()
    for _, per_minute in ipairs({ 0.01, 0.5, 1, 2, 3 }) do
      local budget = budgets.new(per_minute, 0)
      drain(budget, 0, 0)
      local now = 0
      for _ = 1, 3 do
        now = now + budget:wait(0.25, now)
        assert.equal(0, budget:wait(0.25, now))
        budget:take()
      end
    end
  end)

  it("is not moved by a clock that stands still or goes back", function()
    local budget = budgets.new(60, 10000)
    drain(budget, 0, 10000)
    assert.is_true(budget:wait(0, 10000) > 0)
    assert.is_true(budget:wait(0, 0) > 0)
    assert.equal(0, budget:wait(0, 11002))
  end)

  it("of 0 is no limit", function()
    assert.equal(10000, drain(budgets.new(0, 0), 0.25, 0))
  end)
end)
