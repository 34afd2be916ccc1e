-- Several jobs at once: as many as max_concurrent_jobs, begun in the service's order; one at a time
-- by default, and then the next only when the former is gone.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["some.lua"] = [[
    return { api = 1, args = { seconds = "number" }, run = function(job, args)
      job:sleep(args.seconds)
    end }
  ]],
  ["wait.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      while not fs.stat(args.go) do job:sleep(0.01) end
    end }
  ]],
}

describe("several jobs at once", function()
  local world, gateway

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  local function start(slots, config)
    config = config or {}
    config.max_concurrent_jobs = slots
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  local function order(name)
    local list = {}
    for _, event in ipairs(gateway.events) do
      if event.event == name then
        list[#list + 1] = event.job
      end
    end
    return table.concat(list, " ")
  end

  -- How many ran at once at the most, from the gateway's own log.
  local function most_at_once()
    local now, most = 0, 0
    for _, event in ipairs(gateway.events) do
      now = now + (event.event == "job.started" and 1 or event.event == "job.finished" and -1 or 0)
      most = math.max(most, now)
    end
    return most
  end

  local function create_many(count, operation)
    local names = {}
    for i = 1, count do
      names[i] = ("job-%02d"):format(i)
      world:create(names[i], ('{"operation":"%s","seconds":%g}'):format(operation or "some",
        i % 3 * 0.05))
    end
    return names
  end

  for _, slots in ipairs({ 1, 2, 4 }) do
    it(("begins 12 jobs in the service's order, %d at a time"):format(slots), function()
      start(slots)
      local names = create_many(12)
      for _, name in ipairs(names) do
        assert.equal("SUCCEEDED", world:ended(name).status)
        assert.equal(1, world:terminal_updates(name))
      end
      assert.equal(table.concat(names, " "), order("job.claimed"))
      assert.equal(table.concat(names, " "), order("job.started"))
      assert.is_true(most_at_once() <= slots)
    end)

    it(("finds 12 jobs that were there before it, %d at a time"):format(slots), function()
      local names = create_many(12)
      start(slots)
      for _, name in ipairs(names) do
        assert.equal("SUCCEEDED", world:ended(name).status)
      end
      assert.equal(table.concat(names, " "), order("job.claimed"))
      assert.is_true(most_at_once() <= slots)
    end)
  end

  it("runs one at a time if nothing is said", function()
    gateway = world:gateway({ scripts = SCRIPTS })
    gateway:wait_event("jobs.subscribed")
    for _, name in ipairs(create_many(4)) do
      world:ended(name)
    end
    assert.equal(1, most_at_once())
  end)

  for _, slots in ipairs({ 2, 4 }) do
    it(("fills %d slots, and holds a job back while they are taken: it is not started"):format(
      slots), function()
      start(slots)
      local go = world:path("go")
      for i = 1, slots + 1 do
        world:create("job-" .. i, ('{"operation":"wait","go":"%s"}'):format(go))
      end
      gateway:wait_event("job.started", {}, slots)
      assert.equal("QUEUED", world:describe("job-" .. slots + 1).status)
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended("job-" .. slots + 1).status)
      assert.equal(slots, most_at_once())
    end)
  end

  it("lets a quick job pass by a slow one", function()
    start(2)
    local go = world:path("go")
    world:create("slow", ('{"operation":"wait","go":"%s"}'):format(go))
    for i = 1, 5 do
      world:create("quick-" .. i, '{"operation":"quick"}')
      assert.equal("SUCCEEDED", world:ended("quick-" .. i).status)
    end
    assert.equal("IN_PROGRESS", world:describe("slow").status)
    assert(fs.write(go, ""))
    assert.equal("SUCCEEDED", world:ended("slow").status)
  end)

  it("goes by the version that somebody else has made meanwhile (field failure 3)", function()
    start(2)
    local go = world:path("go")
    for i = 1, 2 do
      world:create("job-" .. i, ('{"operation":"wait","go":"%s"}'):format(go))
    end
    gateway:wait_event("job.started", {}, 2)
    for i = 1, 2 do
      world:update_behind("job-" .. i, { status = "IN_PROGRESS" })
    end
    assert(fs.write(go, ""))
    for i = 1, 2 do
      assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
      assert.equal(1, world:terminal_updates("job-" .. i))
    end
  end)

  it("tells each result after its claim, never before (field failure 24)", function()
    local updates = {}
    world:before(function(topic, request)
      local job = topic:match("/jobs/([^/]+)/update$")
      if job then
        updates[job] = (updates[job] or "") .. request.status .. request.expectedVersion .. " "
      end
    end)
    start(4)
    local names = create_many(20, "quick")
    for _, name in ipairs(names) do
      world:ended(name)
    end
    for _, name in ipairs(names) do
      assert.equal("IN_PROGRESS1 SUCCEEDED2 ", updates[name])
    end
  end)

  it("goes on with the others while one result cannot be told (field failure 2)", function()
    local throttled = true
    world:answer_with(function(topic, request)
      return throttled and topic:match("/stuck/update$") and request.status == "SUCCEEDED"
        and { code = "RequestThrottled", message = "later" } or nil
    end)
    start(2)
    world:create("stuck", '{"operation":"quick"}')
    for i = 1, 4 do
      world:create("job-" .. i, '{"operation":"quick"}')
    end
    for i = 1, 4 do
      assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
    end
    world.broker:kill()
    gateway:wait_event("conn.lost")
    world.engine:create_job("unannounced", { targets = {
      "arn:aws:iot:us-east-1:123456789012:thing/gw-1" }, document = '{"operation":"quick"}' },
      os.time())
    world.broker:start_again()
    assert.equal("SUCCEEDED", world:ended("unannounced").status)
    throttled = false
    assert.equal("SUCCEEDED", world:ended("stuck").status)
    assert.equal(1, world:terminal_updates("stuck"))
  end)

  it("begins the next of one at a time when the end of the former was told", function()
    local refused, throttled = 0, true
    world:answer_with(function(topic, request)
      if throttled and topic:match("/stuck/update$") and request.status == "SUCCEEDED" then
        refused = refused + 1
        return { code = "RequestThrottled", message = "later" }
      end
      return nil
    end)
    start(1)
    world:create("stuck", '{"operation":"quick"}')
    world:create("next", '{"operation":"quick"}')
    wait_until(function() return refused >= 3 end, worlds.PATIENCE, "three tries")
    assert.equal("QUEUED", world:describe("next").status)
    throttled = false
    assert.equal("SUCCEEDED", world:ended("next").status)
    assert.equal("SUCCEEDED", world:describe("stuck").status)
  end)

  it("survives kill -9 while three claims are on their way, and runs each job once", function()
    local claims, killed = 0, false
    world:after(function(topic, request)
      if killed or not topic:match("/update$") or request.status ~= "IN_PROGRESS" then
        return nil
      end
      claims = claims + 1
      if claims == 3 then
        killed = true
        gateway:kill()
      end
      return "drop"
    end)
    start(3)
    local names = create_many(5, "quick")
    wait_until(function() return killed and not gateway.process end, worlds.PATIENCE, "3 claims")
    assert.equal(0, gateway:count("job.started"))
    gateway:launch()
    for _, name in ipairs(names) do
      assert.equal("SUCCEEDED", world:ended(name).status)
      assert.equal(1, world:terminal_updates(name))
    end
    gateway:wait_event("job.started", {}, 5)
    assert.equal(5, gateway:count("job.started"))
  end)

  it("forgets a claim whose job was cancelled while Hob was away: it never ran", function()
    local killed = false
    world:before(function(topic)
      if not killed and topic:match("/update$") then
        killed = true
        gateway:kill()
      end
    end)
    start(2)
    world:create("job", '{"operation":"quick"}')
    wait_until(function() return killed and not gateway.process end, worlds.PATIENCE, "the claim")
    wait_until(function() return world:describe("job").status == "IN_PROGRESS" end,
      worlds.PATIENCE, "the claim's end")
    world:control("cancel_job", "job", {}, true, os.time())
    gateway:launch()
    gateway:wait_event("job.claim_refused", { job = "job" })
    world:create("next", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("next").status)
    assert.equal("CANCELED", world:describe("job").status)
    assert.equal(1, gateway:count("job.started"))
  end)
end)
