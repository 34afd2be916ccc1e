-- Places that are taken, waited for in line, and handed on.

local time = require("hob.time")
local turns = require("iotjobs.turns")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = 10

describe("iotjobs.turns", function()
  local entered

  before_each(function() entered = {} end)

  local function enter_later(place, name, seconds)
    time.after(0, function()
      local ok = place:enter(seconds or PATIENCE)
      entered[#entered + 1] = { name, ok }
    end)
  end

  local function wait_entered(count)
    wait_until(function() return #entered == count end, PATIENCE, count .. " that entered")
  end

  local function wait_line(place, length)
    wait_until(function() return place.last - place.first + 1 == length end, PATIENCE, "the line")
  end

  it("lets in as many as there are places, at once", function()
    local place = turns.new(2)
    assert.is_true(place:enter(0))
    assert.is_true(place:enter(0))
    assert.is_false(place:enter(0))
    place:leave()
    assert.is_true(place:enter(0))
  end)

  it("hands a place on in the order of coming", function()
    local place = turns.new(1)
    assert.is_true(place:enter(0))
    for i = 1, 3 do
      enter_later(place, i)
      wait_line(place, i)
    end
    assert.same({}, entered)
    for i = 1, 3 do
      place:leave()
      wait_entered(i)
      assert.same({ i, true }, entered[i])
    end
    place:leave()
    assert.equal(1, place.free)
  end)

  it("passes over who waits no more", function()
    local place = turns.new(1)
    assert.is_true(place:enter(0))
    enter_later(place, "impatient", 0.001)
    wait_entered(1)
    assert.same({ "impatient", false }, entered[1])
    enter_later(place, "patient")
    wait_line(place, 2)
    place:leave()
    wait_entered(2)
    assert.same({ "patient", true }, entered[2])
  end)

  it("loses no place, whoever comes, gives up and goes at the same time", function()
    local place, ended = turns.new(3), 0
    for i = 1, 300 do
      time.after(0, function()
        if place:enter(i % 3 == 0 and 0.002 or PATIENCE) then
          time.sleep(i % 5 / 5000)
          place:leave()
        end
        ended = ended + 1
      end)
    end
    wait_until(function() return ended == 300 end, PATIENCE, "all")
    assert.equal(3, place.free)
    assert.equal(place.first, place.last + 1)
  end)
end)
