-- The gateway is killed at every point of a five-step job: before and after each commit, each
-- publish, each answer that it gets, once as a process dies (what was written stays), once as the
-- power goes (what was not synced is lost, and the machine boots anew). Each time the job must end
-- SUCCEEDED, its finished steps done once. docs/how-to/check-durability.md says how to go on from a
-- point that fails.

local killer = require("spec.support.killer")
local worlds = require("spec.support.world")

-- The way of the job once the store is there, as the design has it: nothing more, nothing less.
local WAY = {
  "publish $next/get", "accepted $next/get/accepted QUEUED",
  "commit", -- the row, before the claim
  "publish JOB/update IN_PROGRESS", "accepted JOB/update/accepted",
  "commit", "commit",           -- one, two
  "commit", "commit",           -- three: that it begins, and its end
  "commit", "commit",           -- four, five
  "commit",                     -- the outcome
  "publish JOB/update SUCCEEDED", "accepted JOB/update/accepted",
}

local function words(point)
  if point.kind == "commit" then
    return "commit"
  end
  return (("%s %s"):format(point.kind, point.detail):gsub("%$aws/things/[^/]+/jobs/", "")
    :gsub("job%-gw[^/]*", "JOB"))
end

local function is_point(point)
  return point.kind == "commit" or point.kind == "publish" or point.kind == "accepted"
end

describe("a five-step job in a gateway that is killed", function()
  local world, points, things

  setup(function()
    world, things, points = worlds.start({ tls = false }), 0, {}
  end)
  teardown(function()
    world:stop()
  end)

  local function prepare(options)
    things = things + 1
    return killer.prepare(world, ("gw-%d"):format(things), options)
  end

  -- Every point, in order, from the first look on; those before it make the store.
  local function reference()
    if #points > 0 then
      return points
    end
    local case = prepare({})
    case:run()
    assert.same({}, case:problems())
    for _, point in ipairs(case.spy:points()) do
      if is_point(point) then
        points[#points + 1] = point
      end
    end
    return points
  end

  it("comes past each point of its way once, when nobody kills it", function()
    local way, on_the_way = {}, false
    for _, point in ipairs(reference()) do
      on_the_way = on_the_way or point.kind == "publish"
      way[#way + 1] = on_the_way and words(point) or nil
    end
    assert.same(WAY, way)
  end)

  -- Kill at each point of a kind; what was wrong, in words, and how many points there were.
  local function sweep(kind, when, power)
    local wrong, mine = {}, {}
    for _, point in ipairs(reference()) do
      mine[#mine + 1] = point.kind == kind and point or nil
    end
    killer.each(#mine, function(i)
      local case = prepare({ power = power, certain = true })
      local kill = ("%s %s %d"):format(kind, when, mine[i].n)
      case:run(kill)
      table.move(case:problems(), 1, 100, #wrong + 1, wrong)
      if not case.runs[1].in_time or not case.spy:has_killed() then
        wrong[#wrong + 1] = kill .. ": the point was never reached"
      end
    end)
    return wrong, #mine
  end

  local EXPECTED = { commit = 8, publish = 3, accepted = 3 } -- and those of making the store
  for _, mode in ipairs({ "the process dies", "the power goes" }) do
    for _, kind in ipairs({ "commit", "publish", "accepted" }) do
      for _, when in ipairs({ "before", "after" }) do
        it(("ends well when %s %s any %s"):format(mode, when, kind), function()
          local wrong, count = sweep(kind, when, mode == "the power goes")
          assert.same({}, wrong)
          assert.is_true(count >= EXPECTED[kind], count .. " points of " .. kind)
        end)
      end
    end
  end
end)
