local atomic = require("hob.atomic")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = 10

describe("hob.atomic.run", function()
  it("runs without another task between two of its instructions", function()
    local shared, disturbed, ended = 0, false, 0
    local function work()
      for _ = 1, 10 do
        atomic.run(function()
          shared = shared + 1
          local before = shared
          for _ = 1, 30000 do -- more than a task runs at a stretch
            disturbed = disturbed or shared ~= before
          end
        end)
      end
      ended = ended + 1
    end
    time.after(0, work)
    time.after(0, work)
    wait_until(function() return ended == 2 end, PATIENCE, "both")
    assert.equal(20, shared)
    assert.is_false(disturbed)
  end)

  it("gives what the function returns, and raises what it raises", function()
    assert.equal(7, atomic.run(function() return 7 end))
    assert.error_matches(function()
      atomic.run(function() error("on purpose") end)
    end, "on purpose")
  end)
end)
