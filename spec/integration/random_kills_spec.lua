-- The gateway is killed at 200 random moments of a five-step job, one job each: after so many calls
-- into the kernel or after so many microseconds, as a dying process or as a power cut, and one in
-- four a second time while it goes on. Then three jobs at once.
--
--     HOB_SPEC_SEED=N   the same moments again (those counted in calls: exactly)
--     HOB_SPEC_KILLS=N  so many (default 200; 20 under a sanitizer)

local fs = require("hob.fs")
local killer = require("spec.support.killer")
local shim = require("spec.support.shim")
local sides = require("spec.support.both_sides")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local seed = tonumber(os.getenv("HOB_SPEC_SEED")) or math.floor(time.now())
local kills = tonumber(os.getenv("HOB_SPEC_KILLS")) or (shim.is_sanitized() and 20 or 200)

-- What was measured while the machine had other work, too, is too long afterwards: each kill that
-- comes late makes the way of those after it so much shorter.
local SHORTER = 0.8

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

  -- One or two kills, as parts of the way; all is drawn before anything runs, so that a seed gives
  -- the same ones.
  local function draw()
    local power, twice = math.random(2) == 1, math.random(4) == 1
    local first, second = math.random(), math.random()
    return { power = power, parts = twice and { first, second } or { first } }
  end

  local function moments(kind, most, parts)
    local list = {}
    for i, part in ipairs(parts) do
      list[i] = ("%s - %d"):format(kind, math.max(1, math.ceil(part * most)))
    end
    return list
  end

  local function survives(kind, most)
    math.randomseed(seed)
    local wrong, in_time, plan = {}, 0, {}
    for i = 1, kills // 2 do
      plan[i] = draw()
    end
    killer.each(#plan, function(i)
      local case = killer.prepare(world, ("gw-%s-%d"):format(kind, i), { power = plan[i].power })
      case:run(table.unpack(moments(kind, most, plan[i].parts)))
      if case.runs[1].in_time then
        in_time = in_time + 1
      elseif kind == "usec" then
        most = most * SHORTER
      end
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

  -- ---- three at once, of one gateway ----

  local NAMES = { "five", "fails", "five" }

  local function begin(i)
    local thing, scripts, jobs = "gw-three-" .. i, {}, {}
    for _, name in ipairs(NAMES) do
      scripts[name .. ".lua"] = killer.MARK .. killer.JOBS[name].script
    end
    local gateway = world:gateway({ thing = thing, launch = false, scripts = scripts,
      config = { max_concurrent_jobs = 3, request_timeout = 2 } })
    for n, name in ipairs(NAMES) do
      jobs[n] = { id = ("three-%d-%d"):format(i, n), kind = killer.JOBS[name],
        marks = world:path("marks") }
      world:create(jobs[n].id, ('{"operation":"%s","marks":"%s"}'):format(name, jobs[n].marks),
        thing)
    end
    return gateway, thing, jobs
  end

  local function all_ended(thing, jobs)
    for _, job in ipairs(jobs) do
      local status = world:describe(job.id, thing).status
      if status == "QUEUED" or status == "IN_PROGRESS" then
        return false
      end
    end
    return true
  end

  -- By this process, or by one before it, as far as its store remembers.
  local function all_told(gateway, before, ids)
    local told = {}
    for i = before + 1, #gateway.events do
      local event = gateway.events[i]
      told[event.job or ""] = told[event.job or ""] or event.event == "job.reported"
    end
    for _, row in ipairs(sides.query(gateway, "SELECT job_id FROM execution WHERE state = 3")) do
      told[row.job_id] = true
    end
    return told[ids[1]] and told[ids[2]] and told[ids[3]]
  end

  -- A kill interrupts one step of each job at most: so many lines more there may be.
  local function judge(job, status, times, say)
    local text, extra = "\n" .. (fs.read(job.marks) or ""), 0
    if status ~= job.kind.status then
      say("%s is %s", job.id, status)
    end
    for _, step in ipairs(job.kind.steps) do
      local _, lines = text:gsub("\n" .. step .. "%f[\n]", "")
      if step == job.kind.once and lines > 1 or step ~= job.kind.once and lines == 0 then
        say("%s: step %s ran %d times", job.id, step, lines)
      end
      extra = extra + math.max(0, lines - 1)
    end
    if extra > times then
      say("%s: %d steps ran again after %d kills", job.id, extra, times)
    end
  end

  local function kill_three(i, plan, say)
    local gateway, thing, jobs = begin(i)
    local spy, ids, times = shim.on(gateway), {}, 0
    for _, kill in ipairs(plan) do
      spy:arm({ kill = kill })
      gateway:launch()
      wait_until(function()
        return gateway:wait_end(0) or all_ended(thing, jobs)
      end, worlds.PATIENCE, kill)
      gateway:kill()
      times = times + 1
    end
    spy:disarm()
    local before = #gateway.events
    gateway:launch()
    for n, job in ipairs(jobs) do
      judge(job, world:ended(job.id, thing).status, times, say)
      ids[n] = job.id
    end
    wait_until(function() return all_told(gateway, before, ids) end, worlds.PATIENCE,
      "all to be told")
    assert.equal(0, gateway:stop())
    for _, difference in ipairs(sides.differences(world, gateway, thing, ids)) do
      say("%s", difference)
    end
  end

  local rounds = kills // 5

  -- Two, not three: the third death without a finished step is the crash brake's.
  it(("beside two others survives one or two kills, %d times (seed %d)"):format(rounds, seed),
    function()
    math.randomseed(seed)
    local wrong, plans = {}, {}
    for i = 1, rounds do
      plans[i] = {}
      for n = 1, math.random(2) do
        plans[i][n] = ("call - %d"):format(150 + math.random(500))
      end
    end
    killer.each(rounds, function(i)
      kill_three(i, plans[i], function(...)
        wrong[#wrong + 1] = table.concat(plans[i], ", ") .. ": " .. string.format(...)
      end)
    end)
    assert.same({}, wrong)
  end)
end)
