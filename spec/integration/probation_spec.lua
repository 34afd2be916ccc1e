-- After a death that nobody is known to be guilty of, what was at work goes on alone, one after the
-- other, each until it ends or waits: so whoever takes the process down is found, whatever its
-- neighbours do meanwhile.

local lives = require("spec.support.lives")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  -- Takes Hob down in its first step, each time.
  ["killer.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      job:step("flash", { interruptions = 100 }, function()
        mark("flash")
        hold()
        exec.run{ "sh", "-c", "kill -9 $PPID" }
        hold_for_ever()
      end)
    end }
  ]],
  -- Many steps, each of which ends soon.
  ["steps.lua"] = [[
    return { api = 1, args = ARGS, cleanup = cleanup, run = function(job)
      for i = 1, 40 do
        job:step("step " .. i, { interruptions = 100 }, function() time.sleep(0.02) end)
      end
    end }
  ]],
  ["waits.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      if not fs.read(MARKS):find("later") then
        mark("later")
        job:retry_later(600, "no depot")
      end
      mark("again")
    end }
  ]],
  ["puts-off.lua"] = [[
    return { api = 1, args = ARGS, run = function(job)
      mark(job.id)
      hold()
      if not fs.read(MARKS):find("later") then
        mark("later")
        job:retry_later(0.2, "no depot")
      end
    end }
  ]],
}
for name, text in pairs(SCRIPTS) do
  SCRIPTS[name] = text:gsub("hold_for_ever%(%)", "while true do time.sleep(10) end")
end

local MOST = 4 -- one beside the other, and its own three

describe("after a death that nobody is known to be guilty of", function()
  local life

  local function begin_held(...)
    life = lives.new({ scripts = SCRIPTS, config = { max_concurrent_jobs = 2 } })
    for _, one in ipairs({ ... }) do
      life:create(one[1], one[2])
      life.gateway:wait_event("job.started", { job = one[1] })
    end
  end

  local function begin(...)
    begin_held(...)
    life:go()
  end

  after_each(function()
    life:stop()
  end)

  -- @return how often the gateway was taken down
  local function restart_until(over)
    local deaths = 0
    wait_until(function()
      if life.gateway:wait_end(0.02) then
        deaths = deaths + 1
        assert(deaths <= MOST, "taken down more than " .. MOST .. " times")
        life.gateway:launch()
      end
      return over()
    end, worlds.PATIENCE, "the end; " .. life.world:explain())
    return deaths
  end

  local function ended(id)
    return function()
      local status = life.world:describe(id).status
      return status ~= "QUEUED" and status ~= "IN_PROGRESS"
    end
  end

  for _, order in ipairs({ { "killer", "steps" }, { "steps", "killer" } }) do
    it(("the killer is found beside one that finishes step after step (%s first)"):format(
      order[1]), function()
      begin({ order[1], order[1] }, { order[2], order[2] })
      local deaths = restart_until(function()
        return ended("killer")() and ended("steps")()
      end)
      assert.is_true(deaths >= 3)
      local killer = life.world:describe("killer")
      assert.equal("CRASHED", killer.details.code)
      assert.equal("took the runtime down 3 times in step 'flash'", killer.details.reason)
      assert.equal("SUCCEEDED", life.world:describe("steps").status)
      assert.equal(1, life.world:terminal_updates("killer"))
      assert.equal(1, life.world:terminal_updates("steps"))
    end)
  end

  it("one that waits for its time makes room for the next", function()
    begin_held({ "a", "puts-off" }, { "b", "puts-off" })
    life.gateway:kill()
    life:go()
    life.gateway:launch()
    life.gateway:wait_event("job.probation")
    assert.equal("SUCCEEDED", life.world:ended("a").status)
    assert.equal("SUCCEEDED", life.world:ended("b").status)
  end)

  it("one whose waiting is over does not run beside a suspect", function()
    life = lives.new({ scripts = SCRIPTS, config = { max_concurrent_jobs = 4, poll = 1 } })
    life:create("w", "waits")
    life.gateway:wait_event("job.waits", { job = "w" })
    for _, id in ipairs({ "a", "b" }) do
      life:create(id, "endless")
      life.gateway:wait_event("job.started", { job = id })
    end
    wait_until(function() return life:marks():find("wait .*wait") end, worlds.PATIENCE, "both")
    life.gateway:kill()
    life:sql("update execution set resume_at_s = 1 where job_id = 'w'") -- its time has come
    local asked = 0 -- at each poll, twice a second at most
    life.on_request = function(topic) asked = asked + (topic:match("/a/get$") and 1 or 0) end
    life.gateway:launch()
    life.gateway:wait_event("job.probation")
    life.gateway:wait_event("jobs.subscribed", {}, 2)
    wait_until(function() return asked > 2 end, worlds.PATIENCE, "polls")
    assert.is_nil(life:marks():find("again"))
    life:go()
    for _, id in ipairs({ "a", "b", "w" }) do
      assert.equal("SUCCEEDED", life.world:ended(id).status)
    end
    life:wait_marks("later first wait first wait wait end wait end again ")
  end)

  it("who was stopped in order by the second SIGTERM is under no suspicion", function()
    life = lives.new({ scripts = SCRIPTS, config = { max_concurrent_jobs = 2, stop_grace = 60,
      stop_timeout = 60 } })
    life:create("a", "puts-off")
    life:create("b", "puts-off")
    life.gateway:wait_event("job.started", { job = "a" })
    life.gateway:wait_event("job.started", { job = "b" })
    life.gateway.process:kill("TERM")
    life.gateway:wait_event("hob.stopping")
    life.gateway.process:kill("TERM")
    assert(life.gateway:wait_end())
    life:go()
    life.gateway:launch()
    assert.equal("SUCCEEDED", life.world:ended("a").status)
    assert.equal("SUCCEEDED", life.world:ended("b").status)
    assert.equal(0, life.gateway:count("job.probation"))
  end)
end)
