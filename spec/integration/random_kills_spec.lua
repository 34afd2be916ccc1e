-- The gateway is killed at 200 random moments of a five-step job, one job each: after so many calls
-- into the kernel or after so many microseconds, as a dying process or as a power cut, and one in
-- four a second time while it goes on.
--
--     HOB_SPEC_SEED=N   the same moments again (those counted in calls: exactly)
--     HOB_SPEC_KILLS=N  so many (default 200; 20 under a sanitizer)

local killer = require("spec.support.killer")
local shim = require("spec.support.shim")
local time = require("hob.time")
local worlds = require("spec.support.world")

local seed = tonumber(os.getenv("HOB_SPEC_SEED")) or math.floor(time.now())
local kills = tonumber(os.getenv("HOB_SPEC_KILLS")) or (shim.is_sanitized() and 20 or 200)

describe("a five-step job", function()
  local world

  setup(function()
    world = worlds.start({ tls = false })
  end)
  teardown(function()
    world:stop()
  end)

  -- How long the way is, in calls and in microseconds.
  local function measure()
    local case = killer.prepare(world, "gw-0", {})
    local began = time.mono()
    case:kill("")
    local microseconds = math.floor((time.mono() - began) * 1e6)
    case:resume()
    case:settle()
    assert.same({}, case:problems())
    local points = case.spy:points("accepted")
    return points[#points].call, microseconds
  end

  -- One or two kills; all is drawn before anything runs, so that a seed gives the same ones.
  local function draw(kind, most)
    local function moment()
      return ("%s - %d"):format(kind, math.random(most))
    end
    local power, twice, first, second = math.random(2) == 1, math.random(4) == 1, moment(), moment()
    return { power = power, kills = twice and { first, second } or { first } }
  end

  local function survives(kind, most)
    math.randomseed(seed)
    local wrong, in_time, plan = {}, 0, {}
    for i = 1, kills // 2 do
      plan[i] = draw(kind, most)
    end
    killer.each(#plan, function(i)
      local case = killer.prepare(world, ("gw-%s-%d"):format(kind, i), { power = plan[i].power })
      case:run(table.unpack(plan[i].kills))
      in_time = in_time + (case.runs[1].in_time and 1 or 0)
      table.move(case:problems(), 1, 100, #wrong + 1, wrong)
    end)
    assert.same({}, wrong)
    assert.is_true(in_time >= #plan / 3, ("%d of %d kills came before the end of the job"):format(
      in_time, #plan))
  end

  local most = {}

  it("comes to its end when nobody kills it", function()
    most.call, most.usec = measure()
  end)

  for _, kind in ipairs({ "call", "usec" }) do
    local words = kind == "call" and "random calls into the kernel" or "random instants"
    it(("survives %d kills at %s (seed %d)"):format(kills // 2, words, seed), function()
      survives(kind, most[kind] or select(kind == "call" and 1 or 2, measure()))
    end)
  end
end)
