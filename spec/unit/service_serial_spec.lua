local serials = require("hob.service.serial")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

describe("hob.service.serial", function()
  local function new()
    local errors = {}
    return serials.new(function(message) table.insert(errors, message) end), errors
  end

  it("enters nothing while a function is suspended, and keeps the order", function()
    local turns, said, busy = new(), {}, false
    local function visit(name)
      return function()
        assert(not busy, "entered twice")
        busy = true
        time.sleep(0.001)
        busy = false
        table.insert(said, name)
      end
    end
    for i = 1, 10 do
      time.after(0, function() turns:post(visit(tostring(i))) end)
    end
    wait_until(function() return #said == 10 end, 5, "all ten")
    assert.equal("1 2 3 4 5 6 7 8 9 10", table.concat(said, " "))
  end)

  it("hands arguments on, at once and after a wait, in order", function()
    local turns, said = new(), {}
    local function say(...)
      table.insert(said, table.concat({ ... }, "+"))
    end
    turns:post(function()
      time.after(0, function() turns:post(say, "b", "c") end)
      time.after(0, function() turns:post(say, "d") end)
      time.sleep(0.005)
      say("a")
    end)
    wait_until(function() return #said == 3 end, 5, "all three")
    turns:post(say, "e", "f")
    assert.equal("a b+c d e+f", table.concat(said, " "))
  end)

  it("tells of an error in a function with arguments, and goes on", function()
    local turns, errors = new()
    turns:post(function(text) error(text, 0) end, "planted")
    assert.same({ "planted" }, errors)
    assert.equal(7, turns:run(function() return 7 end))
  end)

  it("gives results back, also to one that had to wait for its turn", function()
    local turns, late = new(), nil
    time.after(0, function() turns:post(function() time.sleep(0.005) end) end)
    time.after(0, function() late = table.pack(turns:run(function() return 1, nil, 3 end)) end)
    wait_until(function() return late end, 5, "the results")
    assert.same({ 1, nil, 3, n = 3 }, late)
  end)

  it("raises an error of run where it was called, and goes on", function()
    local turns, errors = new()
    local ok, message = pcall(turns.run, turns, function() error("planted", 0) end)
    assert.same({ false, "planted" }, { ok, message })
    turns:post(function() error("posted", 0) end)
    assert.same({ "posted" }, errors)
    assert.equal(7, turns:run(function() return 7 end))
  end)

  it("keeps the order of thousands that wait, and forgets them", function()
    local turns, said, held = new(), {}, true
    time.after(0, function()
      turns:post(function() wait_until(function() return not held end, 30, "the word") end)
    end)
    wait_until(function() return #turns.token == 0 end, 5, "the first turn")
    for i = 1, 5000 do
      turns:post(function() said[#said + 1] = i end)
    end
    held = false
    wait_until(function() return #said == 5000 end, 30, "all")
    for i = 1, 5000 do
      assert.equal(i, said[i])
    end
    assert.is_true(#turns.queue < 200, #turns.queue .. " places are kept")
  end)

  describe("when a task is ended in its turn", function()
    local function hang()
      table.sort({ 1, 2, 3 }, function() -- no task can be switched in here
        while true do end -- luacheck: ignore 542
      end)
    end

    it("goes on with those behind it", function()
      local turns, said = new(), {}
      time.after(0, function() turns:post(hang) end)
      time.after(0, function() turns:post(function() said[1] = "behind" end) end)
      wait_until(function() return said[1] end, 30, "the one behind")
      assert.equal(7, turns:run(function() return 7 end))
    end)

    it("raises that for who waits for its results", function()
      local turns, held, ok, message = new(), true, nil, nil
      time.after(0, function()
        turns:post(function() wait_until(function() return not held end, 30, "the word") end)
      end)
      wait_until(function() return #turns.token == 0 end, 5, "the first turn")
      time.after(0, function() ok, message = pcall(turns.run, turns, hang) end)
      wait_until(function() return #turns.queue > turns.taken end, 5, "the second one")
      held = false
      wait_until(function() return ok ~= nil end, 30, "an end")
      assert.same({ false, "it was ended in its turn" }, { ok, message })
      assert.equal(8, turns:run(function() return 8 end))
    end)
  end)
end)
