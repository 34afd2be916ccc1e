-- A hundred jobs in a row, each of which meets something else that can go wrong, drawn by chance:
-- lost, late, doubled and broken answers, throttling, a broker and a gateway that are killed, cut,
-- deaf and reset connections. Nothing is lost, nothing is done twice, both sides end up the same.
--
--     HOB_SPEC_SEED=N  the same draw again

local fs = require("hob.fs")
local peers = require("spec.support.peer")
local shim = require("spec.support.shim")
local sides = require("spec.support.both_sides")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local seed = tonumber(os.getenv("HOB_SPEC_SEED")) or math.floor(time.now())
local JOBS = shim.is_sanitized() and 25 or 100
local PARTS = 4 -- each is a spec of its own; the gateway ends in order between them

local SCRIPTS = {
  ["good.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { marks = "string" }, run = function(job, args)
      job:step("first", function() assert(fs.append(args.marks, job.id .. " first\n")) end)
      job:progress(50, "half")
      job:step("second", function() assert(fs.append(args.marks, job.id .. " second\n")) end)
      return { done = true }
    end }
  ]],
  ["bad.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { marks = "string" }, run = function(job, args)
      job:step("first", function() assert(fs.append(args.marks, job.id .. " first\n")) end)
      job:step("second", function()
        assert(fs.append(args.marks, job.id .. " second\n"))
        return nil, "no good"
      end)
    end, cleanup = function(job, args) fs.append(args.marks, job.id .. " cleanup\n") end }
  ]],
}

describe("a hundred jobs", function()
  local world, proxy, commands, gateway, marks
  local reports -- how often the present job is reported; nil: its kill is still to come

  setup(function()
    world = worlds.start({ tls = false })
    commands, marks = world:path("commands"), world:path("marks")
    assert(fs.write(commands, ""))
    proxy = peers.start("rough_proxy", tostring(world.broker.port), commands)
    gateway = world:gateway({ launch = false, scripts = SCRIPTS, config = { port = proxy.port,
      endpoint = "127.0.0.1", poll = 1, request_timeout = 0.3, keep_alive = 5 } })
  end)
  teardown(function()
    proxy:stop()
    world:stop()
  end)

  -- ---- what can go wrong: each is planted before its job is created ----

  local function fault(action, side, more)
    local given = { op = "any", action = action, side = side, count = math.random(2) }
    for key, value in pairs(more or {}) do
      given[key] = value
    end
    world:fault(given)
  end

  -- At the n-th update that the service gets, before or after it has handled it.
  local function at_update(act)
    local n, count = math.random(3), 0
    local hook = math.random(2) == 1 and "before" or "after"
    world[hook](world, function(topic)
      count = count + (topic:find("/update$") and 1 or 0)
      if count == n and topic:find("/update$") then
        act()
      end
    end)
  end

  local function tell_proxy(command)
    at_update(function() assert(fs.append(commands, command .. "\n")) end)
  end

  local MOMENTS = { "job.claimed", "job.started", "job.step", "job.finished", "job.reported" }

  local function reports_of(job)
    local count = 0
    for _, event in ipairs(gateway.events) do
      count = count + (event.event == "job.reported" and event.job == job and 1 or 0)
    end
    return count
  end

  -- Each job comes past each moment.
  local function kill_gateway(job)
    local moment = MOMENTS[math.random(#MOMENTS)]
    reports = nil
    gateway.on_event = function(event)
      if event.event == moment and event.job == job then
        gateway.on_event = nil
        time.after(0, function() -- not in the task that reads its lines
          gateway:kill()
          local told = sides.query(gateway, ("SELECT 1 FROM execution WHERE job_id = '%s' AND "
            .. "state = 3"):format(job))[1]
          reports = reports_of(job) + (told and 0 or 1)
          gateway:launch()
        end)
      end
    end
  end

  local TROUBLES = {
    { "no trouble", function() end },
    { "lost requests", function() fault("drop", "request") end },
    { "lost answers", function() fault("drop", "answer") end },
    { "late answers", function() fault("delay", "answer", { delayMs = math.random(500) }) end },
    { "late requests", function() fault("delay", "request", { delayMs = math.random(500) }) end },
    { "doubled answers", function() fault("duplicate", "answer") end },
    { "garbled answers", function() fault("garbage", "answer") end },
    { "throttling", function() fault("reject", "request", { code = "RequestThrottled" }) end },
    { "internal errors", function() fault("reject", "request", { code = "InternalError" }) end },
    { "a connection taken away", function() fault("disconnect", "answer", { count = 1 }) end },
    { "a packet cut on its way up", function() tell_proxy("cut up") end },
    { "a packet cut on its way down", function() tell_proxy("cut down") end },
    { "a deaf connection", function() tell_proxy("freeze") end },
    { "a reset connection", function() tell_proxy("reset") end },
    { "a broker that is killed", function()
      at_update(function()
        world.broker:kill()
        world.broker:start_again()
      end)
    end },
    { "a gateway that is killed", kill_gateway, kills = true },
    { "a gateway that is killed", kill_gateway, kills = true },
  }

  local function clear()
    world:before(nil)
    world:after(nil)
    world.side.faults:remove()
    gateway.on_event = nil
  end

  local function count_lines(job, what)
    return select(2, ("\n" .. fs.read(marks)):gsub("\n" .. job .. " " .. what .. "%f[\n]", ""))
  end

  -- A line twice only where a kill can have fallen between the line and its commit.
  local function judge(job, trouble, is_good, say)
    local most = trouble.kills and 2 or 1
    for _, step in ipairs({ "first", "second" }) do
      local lines = count_lines(job, step)
      if lines < 1 or lines > most then
        say("%s (%s): step %s ran %d times", job, trouble[1], step, lines)
      end
    end
    local cleanups = count_lines(job, "cleanup")
    if cleanups < (is_good and 0 or 1) or cleanups > (is_good and 0 or most) then
      say("%s (%s): cleanup ran %d times", job, trouble[1], cleanups)
    end
  end

  local function work_off(first, last, say)
    local list = {}
    for i = first, last do
      local job = ("hundred_%d"):format(i)
      local trouble, is_good = TROUBLES[math.random(#TROUBLES)], math.random(3) > 1
      list[#list + 1] = job
      trouble[2](job)
      world:create(job, ('{"operation":"%s","marks":"%s"}'):format(is_good and "good" or "bad",
        marks))
      local execution = world:ended(job)
      gateway:wait_event("job.reported", { job = job })
      if trouble.kills then -- it may fall between the report and its commit
        wait_until(function() return reports end, worlds.PATIENCE, "the gateway's kill")
        gateway:wait_event("job.reported", { job = job }, math.max(1, reports))
      end
      clear()
      if execution.status ~= (is_good and "SUCCEEDED" or "FAILED") then
        say("%s (%s): %s, %s", job, trouble[1], execution.status, execution.details.reason)
      end
      judge(job, trouble, is_good, say)
    end
    return list
  end

  for part = 1, PARTS do
    local first, last = (part - 1) * JOBS // PARTS + 1, part * JOBS // PARTS
    it(("end well, whatever they meet: %d to %d (seed %d)"):format(first, last, seed), function()
      math.randomseed(seed + part)
      gateway:launch()
      local wrong = {}
      local list = work_off(first, last, function(...)
        wrong[#wrong + 1] = string.format(...)
      end)
      assert.equal(0, gateway:stop())
      table.move(sides.differences(world, gateway, "gw-1", list), 1, 1000, #wrong + 1, wrong)
      assert.same({}, wrong)
    end)
  end
end)
