-- The outbox against a service that throttles, a link that flaps, and answers that are lost, late,
-- doubled, garbled or somebody else's: nothing is lost, nothing is told twice.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local shims = require("spec.support.shim")
local tellings = require("spec.support.telling")
local time = require("hob.time")

local is, once, refused = tellings.is, tellings.once, tellings.refused

describe("the outbox", function()
  local telling, world, gateway

  before_each(function()
    telling = tellings.new()
    world = telling.world
  end)
  after_each(function()
    telling:stop()
  end)

  local function reported_once(job)
    assert.equal("SUCCEEDED", world:ended(job or "job").status)
    gateway:wait_event("job.reported", { job = job or "job", code = "SUCCEEDED" })
    assert.equal(1, world:terminal_updates(job or "job"))
    assert.equal(1, gateway:count("job.started"))
  end

  describe("gets it over though answers", function()
    local function with(fault, patience)
      gateway = telling:start({ config = { request_timeout = patience or 0.3 } })
      fault.job = "job"
      fault.op = "update"
      fault.count = fault.count or 3
      world:fault(fault)
      telling:create("quick")
    end

    it("are lost (field failure 2)", function()
      with({ action = "drop", side = "answer" })
      reported_once()
    end)

    it("are garbled", function()
      with({ action = "garbage" })
      reported_once()
      assert.is_true(gateway:count("jobs.bad_message") > 0)
    end)

    it("come twice", function()
      with({ action = "duplicate", count = 100 }, 30)
      reported_once()
      assert.equal("IN_PROGRESS 1, SUCCEEDED 2", telling:updates())
    end)

    it("come late, when it was asked for again already", function()
      with({ action = "delay", delayMs = 450, count = 4 })
      reported_once()
    end)

    it("are to somebody else's token", function()
      gateway = telling:start({ config = { request_timeout = 0.3 } })
      local foreign = 0
      telling.on_request = function(topic, request)
        if is("SUCCEEDED")(topic, request) and foreign < 2 then
          foreign = foreign + 1
          request.clientToken = nil
          world.side.connection:publish(topic .. "/rejected",
            json.encode({ code = "ResourceNotFound", message = "not yours",
              clientToken = "somebody-else", timestamp = 1 }), { qos = 0 })
        end
      end
      telling:create("quick")
      reported_once()
      assert.equal(0, gateway:count("job.report_refused"))
    end)

    it("are cut off with the connection", function()
      with({ action = "disconnect", side = "answer", count = 1 })
      reported_once()
    end)
  end)

  it("backs off from four times the base when it is throttled, capped (field failure 9)", function()
    local JOBS = 12
    gateway = telling:start({ config = { backoff_base = 0.1, backoff_cap = 0.3 } })
    local refusals = {}
    telling.answer = function(topic, request)
      local job = topic:match("/([^/]+)/update$")
      if job and request.status == "SUCCEEDED" and not refusals[job] then
        refusals[job] = true
        return refused("RequestThrottled")
      end
    end
    for i = 1, JOBS do
      telling:create("quick", nil, "job-" .. i)
    end
    gateway:wait_event("job.reported", {}, JOBS)
    local longest = 0
    for _, event in ipairs(gateway.events) do
      if event.event == "job.report_delayed" then
        longest = math.max(longest, tonumber(event.msg:match("again in ([%d.]+) s")))
      end
    end
    assert.is_true(longest <= 0.3, "capped: " .. longest)
    -- twelve first draws below the base: one in 500,000, if each goes up to the cap
    assert.is_true(longest > 0.1, "longest: " .. longest)
  end)

  it("keeps the pause that a throttled service asked for over a reconnect (field failure 9)",
    function()
      gateway = telling:start({ config = { backoff_base = 0.5, backoff_cap = 2 } })
      telling.answer = once(is("SUCCEEDED"), refused("RequestThrottled"))
      telling:create("quick")
      local event = gateway:wait_event("job.report_delayed")
      world.broker:kill()
      gateway:wait_event("conn.lost")
      world.broker:start_again()
      reported_once()
      local pause = tonumber(event.msg:match("again in ([%d.]+) s"))
      assert.is_true(telling.seen[#telling.seen].at - telling.seen[2].at > pause - 0.1)
    end)

  describe("deep after an outage", function()
    local ROWS = 1000

    local function fill()
      gateway = telling:start({ config = { messages_per_minute = 0 } })
      telling:fill(ROWS)
    end

    local function resident()
      local text = assert(fs.read(("/proc/%d/status"):format(gateway.process:pid())))
      return tonumber(text:match("VmRSS:%s+(%d+) kB"))
    end

    it("does not send all at once, at most eight, and tells all of them (field failure 9)",
      function()
        fill()
        world:fault({ op = "describe", action = "delay", delayMs = 1500 })
        local at_once, first = 0, nil
        telling.on_request = function(topic)
          if topic:match("/deep%-%d+/get$") then
            first = first or time.mono()
            at_once = at_once + (time.mono() - first < 1.5 and 1 or 0) -- none is answered yet
          end
        end
        gateway:launch()
        gateway:wait_event("job.report_refused")
        world.side.faults:remove()
        gateway:wait_event("job.report_refused", {}, ROWS)
        assert.equal(8, at_once)
      end)

    it("sends less at once after a throttle (field failure 9)", function()
      fill()
      world:fault({ op = "describe", action = "delay", delayMs = 700, count = 16 })
      local looks, after, ninth = 0, 0, nil
      telling.on_request = function(topic)
        if topic:match("/deep%-%d+/get$") then
          looks = looks + 1
          if looks > 8 then
            ninth = ninth or time.mono()
            after = after + (time.mono() - ninth < 0.7 and 1 or 0) -- none of these is answered yet
          end
        end
      end
      telling.answer = tellings.times(8, function(topic)
        return topic:match("/deep%-%d+/get$") ~= nil
      end, refused("RequestThrottled"))
      gateway:launch()
      gateway:wait_event("job.report_refused", {}, 20)
      assert.is_true(after >= 1 and after <= 5, "at once: " .. after)
    end)

    it("costs little memory while it waits for a link", function()
      fill()
      world.broker:stop()
      gateway:launch()
      gateway:wait_event("conn.refused")
      local deep = resident()
      gateway:kill()
      exec.check({ "sqlite3", gateway.dir .. "/data/hob.db",
        "DELETE FROM execution WHERE job_id LIKE 'deep-%'" })
      gateway:launch()
      gateway:wait_event("conn.refused", {}, gateway:count("conn.refused") + 1)
      local empty = resident()
      local limit = shims.is_sanitized() and 2100 or 700 -- a sanitizer's allocations are larger
      assert.is_true(deep - empty < limit, ("%d kB with, %d kB without"):format(deep, empty))
    end)
  end)
end)
