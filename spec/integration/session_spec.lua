-- The broker's memory of us, and what is done about a link that is up but deaf.

local fs = require("hob.fs")
local mqtt = require("hob.mqtt")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["quick.lua"] = "return { api = 1, run = function() return { done = true } end }",
  ["wait.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      while not fs.stat(args.go) do job:sleep(0.01) end
    end }
  ]],
}
local QUICK = '{"operation":"quick"}'

describe("the session", function()
  local world, gateway

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  local function start(config)
    gateway = world:gateway({ scripts = SCRIPTS, config = config })
    gateway:wait_event("jobs.subscribed")
  end

  -- Cut the gateway's connection, by another client with its name. `clean`: its session goes, too.
  local function cut(version, clean)
    local thief = mqtt.connect(world.broker:options({ client_id = "gw-1", clean = clean,
      protocol = version }))
    assert(thief:wait_up(worlds.PATIENCE))
    gateway:wait_event("conn.lost")
    thief:close()
    gateway:wait_event("jobs.subscribed", {}, 2)
  end

  local function works(id)
    world:create(id, QUICK)
    assert.equal("SUCCEEDED", world:ended(id).status)
    assert.equal(1, world:terminal_updates(id))
  end

  for _, version in ipairs({ 4, 5 }) do
    describe("of MQTT " .. (version == 4 and "3.1.1" or "5"), function()
      it("is kept by the broker with persistent_session, and subscribed to anew all the same",
        function()
          start({ persistent_session = true, mqtt_version = version })
          works("one")
          cut(version, false)
          works("two")
          assert.equal(0, gateway:count("conn.session_lost"))
        end)

      it("that the broker did not keep is said in the log, and work is found anyway " ..
        "(field failures 8 and 23)", function()
          start({ persistent_session = true, mqtt_version = version })
          works("one")
          world.broker:start_again()
          local event = gateway:wait_event("conn.session_lost")
          assert.equal("warn", event.level)
          assert.matches('did not keep the session of "gw%-1"', event.msg)
          works("two")
          assert.equal(1, gateway:count("conn.session_lost"))
        end)

      it("delivers what was announced while Hob was away, which then runs once", function()
        start({ persistent_session = true, mqtt_version = version })
        gateway:kill()
        for i = 1, 3 do
          world:create("job-" .. i, QUICK)
        end
        gateway:launch()
        for i = 1, 3 do
          assert.equal("SUCCEEDED", world:ended("job-" .. i).status)
          assert.equal(1, world:terminal_updates("job-" .. i))
        end
        assert.equal(3, gateway:count("job.started"))
        assert.matches("Sending PUBLISH to gw%-1 %(d0, q1, r0, m%d+, '[^']*/notify%-next'",
          world.broker:log())
      end)
    end)
  end

  it("is not missed by who did not ask for one", function()
    start()
    world.broker:start_again()
    gateway:wait_event("jobs.subscribed", {}, 2)
    works("one")
    assert.equal(0, gateway:count("conn.session_lost"))
  end)

  describe("that is up but deaf", function()
    it("is made anew after two requests without an answer (field failure 8)", function()
      local deaf = false
      world:answer_with(function() return deaf and "drop" or nil end)
      start({ request_timeout = 0.3 })
      works("one")
      deaf = true
      world:create("two", QUICK)
      local event = gateway:wait_event("conn.lost")
      assert.matches("no answer came to 2 requests in a row", event.msg)
      deaf = false
      assert.equal("SUCCEEDED", world:ended("two").status)
    end)

    it("for one kind of request only is made anew, too", function()
      local deaf = true
      world:answer_with(function(topic)
        return deaf and topic:match("/update$") and "drop" or nil
      end)
      local go = world:path("go")
      start({ request_timeout = 0.5, max_concurrent_jobs = 4, poll = 1 })
      world:create("one", ('{"operation":"wait","go":"%s"}'):format(go))
      gateway:wait_event("conn.lost")
      deaf = false
      assert(fs.write(go, ""))
      assert.equal("SUCCEEDED", world:ended("one").status)
    end)

    it("is not supposed while others that were sent later are answered", function()
      local lost = {}
      world:answer_with(function(topic, request)
        local job = topic:match("/(stuck%-%d)/update$")
        if job and request.status == "SUCCEEDED" and not lost[job] then
          lost[job] = true
          return "drop"
        end
        return nil
      end)
      start({ request_timeout = 5, max_concurrent_jobs = 4 })
      for i = 1, 3 do
        world:create("stuck-" .. i, QUICK)
      end
      wait_until(function() return lost["stuck-1"] and lost["stuck-2"] and lost["stuck-3"] end,
        worlds.PATIENCE, "three answers that are lost")
      works("last")
      for i = 1, 3 do
        assert.equal("SUCCEEDED", world:ended("stuck-" .. i).status)
      end
      assert.is_true(gateway:count("jobs.no_answer") >= 3)
      assert.equal(0, gateway:count("conn.lost"))
    end)
  end)
end)
