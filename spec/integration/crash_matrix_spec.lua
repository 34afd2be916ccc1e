-- The gateway is killed at every point of a job: before and after each commit, each publish, each
-- answer that it gets, once as a process dies (what was written stays), once as the power goes
-- (what was not synced is lost, and the machine boots anew). Each time the job must end as it
-- should, its finished steps done once. docs/how-to/check-durability.md says how to go on from a
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
  "commit",                     -- four
  "commit",                     -- five, which nothing comes after, and the outcome
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

describe("in a gateway that is killed", function()
  local world, things, references

  setup(function()
    world, things, references = worlds.start({ tls = false }), 0, {}
  end)
  teardown(function()
    world:stop()
  end)

  local function prepare(options)
    things = things + 1
    return killer.prepare(world, ("gw-%d"):format(things), options)
  end

  -- Every point of a job (of its second process, after the reboot), in order; those that make the
  -- store come first.
  local function reference(job, process)
    local key = job .. process
    if not references[key] then
      local case = prepare({ job = killer.JOBS[job], process = process })
      case:kill("")
      local points = {}
      for _, point in ipairs(case.spy:points()) do
        points[#points + 1] = is_point(point) and point or nil
      end
      case:resume()
      case:settle()
      assert.same({}, case:problems())
      references[key] = points
    end
    return references[key]
  end

  -- Kill at each point of these kinds; what was wrong, in words, and how many points were reached.
  -- Only the five-step job comes past the same ones each time: two answers may come in one read.
  local function sweep(job, process, kinds, when, power)
    local wrong, mine, reached = {}, {}, {}
    for _, point in ipairs(reference(job, process)) do
      mine[#mine + 1] = kinds[point.kind] and point or nil
    end
    killer.each(#mine, function(i)
      local case = prepare({ job = killer.JOBS[job], process = process, power = power,
        certain = job == "five" })
      local kill = ("%s %s %d"):format(mine[i].kind, when, mine[i].n)
      case:run(kill)
      table.move(case:problems(), 1, 100, #wrong + 1, wrong)
      if case.spy:has_killed() then
        table.insert(reached, kill) -- indivisible: other workers do it, too
      elseif job == "five" then
        wrong[#wrong + 1] = kill .. ": the point was never reached"
      end
    end)
    return wrong, #reached
  end

  local MODES = { "the process dies", "the power goes" }

  describe("a five-step job", function()
    it("comes past each point of its way once, when nobody kills it", function()
      local way, on_the_way = {}, false
      for _, point in ipairs(reference("five", 1)) do
        on_the_way = on_the_way or point.kind == "publish"
        way[#way + 1] = on_the_way and words(point) or nil
      end
      assert.same(WAY, way)
    end)

    local EXPECTED = { commit = 7, publish = 3, accepted = 3 } -- and those of making the store
    for _, mode in ipairs(MODES) do
      for _, kind in ipairs({ "commit", "publish", "accepted" }) do
        for _, when in ipairs({ "before", "after" }) do
          it(("ends well when %s %s any %s"):format(mode, when, kind), function()
            local wrong, count = sweep("five", 1, { [kind] = true }, when, mode == MODES[2])
            assert.same({}, wrong)
            assert.is_true(count >= EXPECTED[kind], count .. " points of " .. kind)
          end)
        end
      end
    end
  end)

  local ALL = { commit = true, publish = true, accepted = true }

  local function survives(job, process, at_least)
    for _, mode in ipairs(MODES) do
      for _, when in ipairs({ "before", "after" }) do
        it(("when %s %s any point%s"):format(mode, when,
          process == 2 and " after the reboot" or ""), function()
          local wrong, count = sweep(job, process, ALL, when, mode == MODES[2])
          assert.same({}, wrong)
          assert.is_true(count >= at_least, count .. " points were reached")
        end)
      end
    end
  end

  describe("a job that fails takes the same branch again, and is cleaned up after once,", function()
    survives("fails", 1, 14)
  end)

  describe("a document that can never work is refused, and never begun,", function()
    survives("refused", 1, 6)
  end)

  describe("a job that reboots goes on after it, each of its steps done once,", function()
    survives("reboots", 1, 10)
    survives("reboots", 2, 6)
  end)
end)
