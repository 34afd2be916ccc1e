-- hob.doctor.report: each check of `hob doctor` for itself.

local reports = require("hob.doctor.report")
local time = require("hob.time")

describe("hob.doctor.report", function()
  local function report(timeout, total)
    local heard = {}
    return reports.new({ timeout = timeout, total = total, hear = function(finding)
      heard[#heard + 1] = finding
    end }), heard
  end

  it("tells each finding as it is made, and counts them", function()
    local one, heard = report(5, 60)
    local result = one:check("clock", "here", function(say)
      say:ok("right")
      assert.equal(1, #heard)
      say:warning("slow", "wind it")
      return "given back"
    end)
    assert.equal("given back", result)
    assert.same({ "clock", "here", "warning", "slow", "wind it" }, { heard[2].check,
      heard[2].subject, heard[2].state, heard[2].text, heard[2].action })
    assert.same({ ok = 1, info = 0, warning = 1, failed = 0 }, one.counts)
  end)

  it("makes one line of each", function()
    local one, heard = report(5, 60)
    one:check("x", nil, function(say)
      say:failed("first\n  second\27[1m")
    end)
    assert.equal("first | second?[1m", heard[1].text)
  end)

  it("goes on after a check that raises, and says which", function()
    local one, heard = report(5, 60)
    assert.is_nil(one:check("x", "y", function()
      error("oops")
    end))
    one:check("next", nil, function(say) say:ok("fine") end)
    assert.equal("failed", heard[1].state)
    assert.matches("^the check itself went wrong: .*doctor_report_spec%.lua:%d+: oops",
      heard[1].text)
    assert.equal("ok", heard[2].state)
  end)

  it("ends a check that takes longer than it may", function()
    local one, heard = report(0.05, 60)
    local ended = false
    one:check("sleeps", nil, function()
      local _ <close> = setmetatable({}, { __close = function() ended = true end })
      time.sleep(1000)
    end)
    one:check("spins", nil, function()
      while true do end -- luacheck: ignore 542
    end)
    assert.is_true(ended)
    assert.equal(2, one.counts.failed)
    for _, finding in ipairs(heard) do
      assert.matches("^no answer within 0%.05 s$", finding.text)
      assert.matches("%-%-timeout", finding.action)
    end
  end)

  it("begins no check when the time for all is over", function()
    local one, heard = report(5, 0)
    local begun = false
    one:check("late", nil, function()
      begun = true
    end)
    assert.is_false(begun)
    assert.equal("warning", heard[1].state)
    assert.matches("^not looked at", heard[1].text)
  end)
end)
