-- messages_per_minute: what is said costs money, and a fleet that says too much is throttled.

local tellings = require("spec.support.telling")

local SCRIPTS = {
  ["quick.lua"] = tellings.SCRIPTS["quick.lua"],
  -- Says something new all the time, for as long as four messages a second would take.
  ["talks.lua"] = [[
    return { api = 1, run = function(job)
      for i = 1, 200 do
        job:progress(i % 100, "part " .. i)
        job:sleep(0.025)
      end
    end }
  ]],
}

describe("the budget of messages", function()
  local telling, world, gateway

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  it("keeps its last quarter for outcomes: progress waits, the outcome does not (field failure 9)",
    function()
      gateway = telling:start({ scripts = SCRIPTS, config = { messages_per_minute = 4 } })
      telling:create("talks")
      assert.equal("SUCCEEDED", world:ended("job").status)
      -- the claim is not the outbox's; of four messages three may be progress
      assert.equal("IN_PROGRESS 1, IN_PROGRESS 2, IN_PROGRESS 3, IN_PROGRESS 4, SUCCEEDED 5",
        telling:updates())
      assert.equal(0, gateway:count("jobs.budget_spent"))
    end)

  it("makes outcomes wait where nothing is left, in their order, and says so", function()
    gateway = telling:start({ scripts = SCRIPTS, config = { messages_per_minute = 300 } })
    telling:fill(320)
    local begin = #telling.seen
    gateway:launch()
    gateway:wait_event("jobs.budget_spent")
    assert.is_true(#telling.seen - begin >= 290) -- the last eight may be on their way
    gateway:wait_event("job.report_refused", {}, 305)
    local list, first = {}, telling.seen[begin + 1].at
    for i = begin + 1, #telling.seen do
      list[#list + 1] = telling.seen[i].job
    end
    local sorted = table.move(list, 1, #list, 1, {})
    table.sort(sorted)
    assert.same(sorted, list)
    local seconds = telling.seen[#telling.seen].at - first
    assert.is_true(#list <= 300 + 5 * seconds + 1, ("%d in %g s"):format(#list, seconds))
    assert.equal(1, gateway:count("jobs.budget_spent"))
  end)

  it("of 0 is none", function()
    gateway = telling:start({ scripts = SCRIPTS, config = { messages_per_minute = 0 } })
    telling:fill(700)
    gateway:launch()
    gateway:wait_event("job.report_refused", {}, 700)
    assert.equal(0, gateway:count("jobs.budget_spent"))
  end)
end)
