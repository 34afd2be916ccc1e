local loops = require("hob_units").loop

describe("loop", function()
  local loop

  before_each(function()
    loop = loops.new()
  end)

  after_each(function()
    loop:free()
  end)

  describe("defer", function()
    it("calls in the order of the calls, after the caller has returned", function()
      local order = {}
      for i = 1, 3 do
        loop:defer(function()
          order[#order + 1] = i
        end)
      end
      assert.same({}, order)
      loop:run()
      assert.same({ 1, 2, 3 }, order)
    end)

    it("leaves what is deferred in a deferred call to a later turn", function()
      local order = {}
      loop:defer(function()
        loop:defer(function()
          order[#order + 1] = "later"
        end)
        order[#order + 1] = "first"
      end)
      loop:defer(function()
        order[#order + 1] = "second"
      end)
      loop:run()
      assert.same({ "first", "second", "later" }, order)
    end)

    it("lets timers fire while it defers itself for ever", function()
      local turns, done = 0, false
      local timer
      timer = loop:timer(function()
        done = true
      end)
      local function again()
        turns = turns + 1
        if not done then
          loop:defer(again)
        end
      end
      timer:start(2)
      loop:defer(again)
      loop:run()
      timer:close()
      assert.is_true(done)
      assert.is_true(turns > 1)
    end)

    it("runs what is left when the loop is freed", function()
      local own, ran = loops.new(), 0
      own:defer(function()
        ran = ran + 1
        own:defer(function()
          ran = ran + 1
        end)
      end)
      own:free()
      assert.equal(2, ran)
    end)
  end)

  describe("hold", function()
    it("makes the freeing of the loop wait for its release", function()
      local own, order = loops.new(), {}
      local timer
      timer = own:timer(function()
        order[#order + 1] = "ended"
        timer:close()
        own:release()
      end)
      own:hold()
      timer:start(5)
      own:free()
      order[#order + 1] = "freed"
      assert.same({ "ended", "freed" }, order)
    end)
  end)

  describe("run", function()
    it("returns when nothing is left that could call back", function()
      loop:run()
    end)

    it("returns after stop though something is left, and goes on when run again", function()
      local fired = 0
      local timer
      timer = loop:timer(function()
        fired = fired + 1
        timer:start(1)
        if fired % 2 == 0 then
          loop:stop()
        end
      end)
      timer:start(1)
      loop:run()
      assert.equal(2, fired)
      loop:run()
      assert.equal(4, fired)
      timer:close()
    end)
  end)

  describe("timer", function()
    it("fires once, in the order of the times", function()
      local order, timers = {}, {}
      for _, ms in ipairs({ 30, 1, 15 }) do
        local timer = loop:timer(function()
          order[#order + 1] = ms
        end)
        timer:start(ms)
        timers[#timers + 1] = timer
      end
      loop:run()
      for _, timer in ipairs(timers) do
        assert.is_false(timer:active())
        timer:close()
      end
      assert.same({ 1, 15, 30 }, order)
    end)

    it("does not fire early, also when it is started late in a long turn", function()
      local clock = require("hob_units").clock
      local started, fired
      local timer = loop:timer(function()
        fired = clock.mono()
      end)
      loop:defer(function()
        local begin = clock.mono()
        while clock.mono() < begin + 20 do
          timer:active() -- busy: the loop's idea of now grows old
        end
        started = clock.mono()
        timer:start(15)
        loop:defer(function() end) -- so that the loop does not sit and wait in its poll
      end)
      loop:run()
      timer:close()
      assert.is_true(fired - started >= 14, "fired after " .. fired - started .. " ms")
    end)

    it("can be started again from its own callback, and replaced", function()
      local fired = 0
      local timer
      timer = loop:timer(function()
        fired = fired + 1
        if fired < 3 then
          timer:start(0)
        end
      end)
      timer:start(3600000)
      timer:start(0)
      assert.is_true(timer:active())
      loop:run()
      timer:close()
      assert.equal(3, fired)
    end)

    it("does not keep the loop running once it was stopped", function()
      local timer = loop:timer(function()
        error("a stopped timer fired")
      end)
      timer:start(3600000)
      timer:stop()
      timer:stop()
      assert.is_false(timer:active())
      loop:run()
      timer:close()
    end)

    it("is not called again after close, also when it was due", function()
      local timer = loop:timer(function()
        error("a closed timer fired")
      end)
      timer:start(0)
      timer:close()
      loop:run()
    end)
  end)

  describe("for who waits elsewhere", function()
    local function spin(seconds)
      local from = os.clock()
      while os.clock() - from < seconds do
      end
    end

    it("has nothing to wait for while nothing is awaited", function()
      assert.equal(-1, loop:timeout_ms())
      loop:dispatch()
      assert.equal(-1, loop:timeout_ms())
      assert.is_true(loop:fd() >= 0)
    end)

    it("wants its turn at once for what is deferred, until it was called", function()
      local called = 0
      loop:defer(function()
        called = called + 1
      end)
      assert.equal(0, loop:timeout_ms())
      loop:dispatch()
      assert.equal(1, called)
      assert.equal(-1, loop:timeout_ms())
    end)

    it("says how long until the next timer, as of now, whatever was done meanwhile", function()
      local timer = loop:timer(function() end)
      timer:start(3600000)
      loop:dispatch()
      local before = loop:timeout_ms()
      assert.is_true(before > 3500000 and before <= 3600000)
      spin(0.02)
      assert.is_true(loop:timeout_ms() <= before - 10)
      timer:close()
      assert.equal(0, loop:timeout_ms()) -- what closes wants a turn, too
      loop:dispatch()
      assert.equal(-1, loop:timeout_ms())
    end)
  end)
end)
