local random = require("hob_units").random

describe("random", function()
  it("gives hexadecimal digits, one less than the room", function()
    for _, room in ipairs({ 1, 2, 17, 33 }) do
      local text = random.hex(room)
      assert.equal(room - 1, #text)
      assert.truthy(text:find("^[0-9a-f]*$"))
    end
    assert.equal("", random.hex(1))
  end)

  it("uses every digit", function()
    local seen, count = {}, 0
    for _ = 1, 50 do
      for digit in random.hex(129):gmatch(".") do
        if not seen[digit] then
          seen[digit], count = true, count + 1
        end
      end
    end
    assert.equal(16, count)
  end)

  it("fills the whole of what it is given, also more than the kernel gives at once", function()
    local bytes = random.bytes(100000)
    assert.equal(100000, #bytes)
    for at = 1, #bytes, 10000 do
      assert.is_nil(bytes:sub(at, at + 9999):find(("\0"):rep(32), 1, true))
    end
  end)

  it("does not repeat itself", function()
    assert.not_equal(random.u64(), random.u64())
    assert.not_equal(random.hex(33), random.hex(33))
  end)
end)
