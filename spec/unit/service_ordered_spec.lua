-- Lists that ascend by a key.
local ordered = require("hob.service.engine.ordered")
local time = require("hob.time")

local function itself(item)
  return item
end

describe("hob.service.engine.ordered", function()
  it("sorts lists of any length, equal keys staying in their order", function()
    for count = 0, 70 do
      local items, want = {}, {}
      for i = 1, count do
        items[i] = { key = (i * 7919) % 13, place = i }
        want[i] = items[i]
      end
      table.sort(want, function(a, b)
        return a.key < b.key or a.key == b.key and a.place < b.place
      end)
      local got = ordered.sorted(items, function(item) return item.key end)
      assert.equal(count, #got)
      for i = 1, count do
        assert.equal(want[i], got[i])
      end
    end
  end)

  it("lets others go on, however long the list is", function()
    local items, turns, done = {}, 0, false
    for i = 1, 200000 do
      items[i] = (i * 7919) % 199999
    end
    local function tick()
      turns = turns + 1
      if not done then
        time.after(0.001, tick)
      end
    end
    time.after(0.001, tick)
    local got = ordered.sorted(items, itself)
    done = true
    assert.is_true(turns > 3, "nobody else had a turn")
    for i = 2, #got do
      assert(got[i - 1] <= got[i])
    end
  end)
end)
