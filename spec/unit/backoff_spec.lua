local backoff = require("hob_units").backoff

local function draws(number)
  return function()
    return number
  end
end

describe("backoff", function()
  it("doubles the ceiling with every failure, up to the cap", function()
    local b = backoff.new(1000, 60000, 0)
    local ceilings = {}
    for i = 1, 9 do
      ceilings[i] = b:ceiling()
      b:next()
    end
    assert.same({ 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000 }, ceilings)
  end)

  it("draws from 0 to the ceiling, both included", function()
    assert.equal(0, backoff.new(1000, 60000, 0, draws(0)):next())
    assert.equal(1000, backoff.new(1000, 60000, 0, draws(1000)):next())
    assert.equal(0, backoff.new(1000, 60000, 0, draws(1001)):next())
  end)

  it("never waits less than the floor", function()
    local b = backoff.new(1000, 60000, 250, draws(3))
    assert.equal(250, b:next())
    assert.equal(250, b:next())
    assert.equal(700, backoff.new(1000, 60000, 250, draws(700)):next())
  end)

  it("has the floor win over a smaller base and cap", function()
    local b = backoff.new(10, 20, 500, draws(7))
    assert.equal(500, b:ceiling())
    assert.equal(500, b:next())
  end)

  it("can be told to begin higher, and never goes down by it", function()
    local b = backoff.new(1000, 60000, 0, draws(1))
    b:raise(2)
    assert.equal(4000, b:ceiling())
    b:next()
    b:raise(2)
    assert.equal(8000, b:ceiling())
  end)

  it("starts again after a success", function()
    local b = backoff.new(1000, 60000, 0, draws(1))
    for _ = 1, 5 do
      b:next()
    end
    assert.equal(32000, b:ceiling())
    b:reset()
    assert.equal(1000, b:ceiling())
  end)

  it("does not overflow after thousands of failures", function()
    local b = backoff.new(1, -1, 0, draws(5)) -- -1: the largest unsigned number
    for _ = 1, 5000 do
      b:next()
    end
    assert.equal(-1, b:ceiling())
    assert.equal(5, b:next())
  end)

  it("spreads: two of them do not draw the same delays (field failure 9)", function()
    local one, two, same = backoff.new(1 << 30, 1 << 40, 0), backoff.new(1 << 30, 1 << 40, 0), 0
    for _ = 1, 20 do
      local a, b = one:next(), two:next()
      assert.is_true(a <= 1 << 40 and b <= 1 << 40)
      same = same + (a == b and 1 or 0)
    end
    assert.is_true(same <= 1)
  end)
end)
