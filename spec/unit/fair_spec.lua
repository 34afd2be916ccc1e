local fair = require("hob_units").fair

local function all(party, count, mark)
  local list = {}
  for i = 1, count do
    list[i] = party .. mark
  end
  return list
end

local function count(turn, party)
  local found = 0
  for _, one in ipairs(turn) do
    found = found + (one == party and 1 or 0)
  end
  return found
end

describe("slices between things", function()
  it("go round: one for each that wants one, in each turn of the loop", function()
    local turns = fair.run({ "A+", "B+", "C+" })
    for turn = 1, 10 do
      assert.same({ "A", "B", "C" }, { table.unpack(turns[turn]) }, "turn " .. turn)
    end
  end)

  it("are one for a thing in a turn, however many of its jobs spin", function()
    local turns = fair.run(all("A", 30, "+"))
    for turn = 1, 10 do
      assert.equal(1, #turns[turn])
    end
  end)

  it("come to one that wakes in the turn in which it wakes, before those that only go on",
    function()
    local list = all("A", 30, "+")
    for _, party in ipairs({ "B", "C", "D" }) do
      list[#list + 1] = party .. "+"
    end
    list[#list + 1] = "Z:5"
    local turns = fair.run(list)
    assert.equal("Z", turns[5][1])
    assert.equal(1, count(turns[5], "A"))
  end)

  it("of one turn are not given twice to a thing that wakes all the time", function()
    local turns = fair.run({ "A+", "A:3", "A:3", "A:3", "B:3" })
    assert.equal(1, count(turns[3], "A"))
    assert.equal(1, count(turns[3], "B"))
  end)

  it("are given to one that goes on beside others that wake all the time and take long", function()
    local turns = fair.run({ "A~", "B~", "C~", "Z+" })
    local found = 0
    for turn = 1, 12 do
      found = found + count(turns[turn], "Z")
    end
    assert.is_true(found >= 2, found .. " of 12")
  end)

  it("come first to one that takes little, beside others that wake all the time and take long",
    function()
    local turns = fair.run({ "A~", "B~", "C~", "Z:8" })
    assert.equal("Z", turns[8][1])
  end)

  it("that a thing wanted before others are given in that order", function()
    assert.same({ { "A" }, { "A" }, { "A" } },
      table.move(fair.run({ "A", "A", "A" }), 1, 3, 1, {}))
  end)

  it("that do not fit into a turn come in the next, to those that had none", function()
    local list = {}
    for i = 1, 24 do
      list[i] = string.char(64 + i) .. "+"
    end
    local turns = fair.run(list)
    local seen = {}
    for turn = 1, 2 do
      assert.is_true(#turns[turn] <= 16)
    end
    for turn = 1, 6 do
      for _, party in ipairs(turns[turn]) do
        seen[party] = (seen[party] or 0) + 1
      end
    end
    for i = 1, 24 do
      assert.is_true((seen[string.char(64 + i)] or 0) >= 2, string.char(64 + i))
    end
  end)

  it("are still given to what a thing wanted that has left: it frees itself in it", function()
    assert.equal(5, fair.leave(5))
  end)
end)
