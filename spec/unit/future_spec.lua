-- hob.future: a result that is not there yet.

local future = require("hob.future")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local function in_a_task(fn)
  time.after(0, fn)
end

describe("hob.future", function()
  it("gives what it was resolved with, at once and ever after", function()
    local one = future.new()
    assert.is_false(one:done())
    assert.is_true(one:resolve(1, nil, "three", nil))
    assert.is_true(one:done())
    assert.same({ n = 4, 1, nil, "three", nil }, table.pack(one:result()))
    assert.same({ n = 4, 1, nil, "three", nil }, table.pack(one:result(0)))
  end)

  it("keeps the first result", function()
    local one = future.new()
    one:resolve("first")
    assert.is_false(one:resolve("second"))
    assert.equal("first", one:result())
  end)

  it("wakes every task that waits, the first one first", function()
    local one, woken = future.new(), {}
    for i = 1, 3 do
      in_a_task(function()
        local value = one:result()
        woken[#woken + 1] = i .. value
      end)
    end
    in_a_task(function() one:resolve("!") end)
    wait_until(function() return #woken == 3 end, 10, "three tasks")
    assert.same({ "1!", "2!", "3!" }, woken)
  end)

  it("gives nil and ETIMEDOUT when it is not there in time, and may come later", function()
    local one = future.new()
    local value, message, code = one:result(0.01)
    assert.is_nil(value)
    assert.equal("there was no result within 0.01 s", message)
    assert.equal("ETIMEDOUT", code)
    assert.is_false(one:done())
    in_a_task(function() one:resolve("late") end)
    assert.equal("late", one:result(10))
  end)

  it("raises on a time-out that is none", function()
    local one = future.new()
    assert.has_error(function() one:result(-1) end)
    assert.has_error(function() one:result("soon") end)
  end)

  it("says what it is", function()
    local one = future.new()
    assert.equal("hob.future (not done)", tostring(one))
    one:resolve()
    assert.equal("hob.future (done)", tostring(one))
    assert.equal(0, select("#", one:result()))
  end)
end)
