-- Several users of one connection: listeners with filters, who holds which subscription, and the
-- connection's state, against a real mosquitto.

local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local TIMEOUT = 30

describe("hob.mqtt", function()
  local broker, conn, other
  local closing

  setup(function() broker = brokers.start() end)
  teardown(function() broker:stop() end)

  local function connect(options)
    options = broker:options(options)
    options.backoff_base = 0.02
    local one = mqtt.connect(options)
    closing[#closing + 1] = one
    assert(one:wait_up(TIMEOUT))
    return one
  end

  before_each(function()
    closing = {}
    conn = connect{ client_id = "listens" }
    other = connect{ client_id = "speaks" }
  end)

  after_each(function()
    for _, one in ipairs(closing) do
      one:close()
    end
  end)

  -- A listener that is subscribed, and the list of what it heard.
  local function hear(filter, qos, heard)
    heard = heard or {}
    local listener = conn:listen(filter, function(topic, payload)
      heard[#heard + 1] = topic .. " " .. payload
    end)
    if qos then
      assert.equal(qos, listener:subscribe(qos))
    end
    return listener, heard
  end

  local function say(topic, payload)
    assert(other:publish(topic, payload or "x"))
  end

  -- Everything that was said before has arrived when this has.
  local function settle()
    local seen = false
    local mark = conn:listen("spec/mark", function() seen = true end)
    assert(mark:subscribe(1))
    say("spec/mark")
    wait_until(function() return seen end, TIMEOUT, "the mark")
    mark:close()
  end

  -- Mosquitto's log names a filter alone where it is unsubscribed from, else with its QoS.
  local function unsubscribed(filter)
    return (broker:log() .. "\n"):find("\t" .. filter .. "\n", 1, true) ~= nil
  end

  describe("listen", function()
    it("calls each listener whose filter matches, and no other", function()
      local _, exact = hear("spec/a/b", 1)
      local _, plus = hear("spec/+/b")
      local _, all = hear("spec/a/#")
      local _, none = hear("spec/a")
      local _, none_either = hear("spec/a/c")
      say("spec/a/b", "one")
      settle()
      assert.same({ "spec/a/b one" }, exact)
      assert.same({ "spec/a/b one" }, plus)
      assert.same({ "spec/a/b one" }, all)
      assert.same({ {}, {} }, { none, none_either })
    end)

    it("does not let a wildcard match a topic of the broker's own", function()
      local _, system = hear("$SYS/broker/version", 1)
      local _, wild = hear("#")
      wait_until(function() return #system > 0 end, TIMEOUT, "the retained version")
      assert.same({}, wild)
    end)

    it("starts the calls in the order of arrival", function()
      local _, heard = hear("spec/order", 1)
      local _, also = hear("spec/+", nil, heard)
      for i = 1, 50 do
        say("spec/order", tostring(i))
      end
      wait_until(function() return #heard == 100 end, TIMEOUT, "100 messages")
      for i = 1, 50 do
        local expected = "spec/order " .. i
        assert.same({ expected, expected }, { also[2 * i - 1], also[2 * i] })
      end
    end)

    it("leaves on_message of connect as it was", function()
      local heard = {}
      local both = connect{ client_id = "both", on_message = function(topic)
        heard[#heard + 1] = "connect " .. topic
      end }
      both:listen("spec/both", function(topic) heard[#heard + 1] = "listen " .. topic end)
      assert(both:subscribe("spec/#", 1))
      say("spec/both")
      say("spec/one")
      wait_until(function() return #heard == 3 end, TIMEOUT, "three calls")
      assert.same({ "connect spec/both", "listen spec/both", "connect spec/one" }, heard)
    end)

    it("calls no more once the listener is closed, also for what has come already", function()
      local count, second = 0, nil
      conn:listen("spec/x", function() second:close() end)
      second = conn:listen("spec/x", function() count = count + 1 end)
      assert(conn:subscribe("spec/x", 1))
      say("spec/x")
      settle()
      assert.equal(0, count)
      assert.is_nil((second:subscribe(1)))
    end)

    it("goes on when a listener's function raises, or waits", function()
      local _, heard = hear("spec/y", 1)
      conn:listen("spec/y", function() error("oh") end)
      conn:listen("spec/y", function() time.sleep(100) end)
      say("spec/y", "1")
      say("spec/y", "2")
      settle()
      assert.same({ "spec/y 1", "spec/y 2" }, heard)
    end)

    it("drops what comes while 1000 messages wait for one listener's function", function()
      local calls, go = 0, false
      conn:listen("spec/flood", function()
        calls = calls + 1
        wait_until(function() return go end, TIMEOUT, "the end of the flood")
      end)
      assert(conn:subscribe("spec/flood", 1))
      for i = 1, 1100 do
        if i % 50 == 0 then
          say("spec/flood")
        else
          assert(other:post("spec/flood", "x"))
        end
      end
      settle()
      wait_until(function() return calls == 1000 end, TIMEOUT, "1000 calls")
      go = true
      wait_until(function() -- the hung ones have ended
        say("spec/flood")
        return calls > 1000
      end, TIMEOUT, "a call after the flood")
    end)

    it("lets no more than about 4 MB of messages wait", function()
      local calls, go = 0, false
      conn:listen("spec/large", function()
        calls = calls + 1
        wait_until(function() return go end, TIMEOUT, "the end of the flood")
      end)
      assert(conn:subscribe("spec/large", 1))
      for _ = 1, 30 do
        say("spec/large", ("x"):rep(256 * 1024))
      end
      settle()
      assert.equal(16, calls)
      go = true
    end)

    it("raises on what is no filter or no function", function()
      assert.has_error(function() conn:listen("a/#/b", print) end,
        "bad argument #1 to 'listen' (expected an MQTT topic filter)")
      assert.has_error(function() conn:listen("a") end)
      local listener = conn:listen("a", print)
      assert.has_error(function() listener:subscribe(2) end,
        "bad argument #1 to 'subscribe' (qos: expected 0 or 1)")
    end)
  end)

  describe("subscribe", function()
    it("leaves a filter subscribed until its last user goes", function()
      local first, heard = hear("spec/shared/1", 1)
      local second, heard_too = hear("spec/shared/1", 0)
      assert(conn:subscribe("spec/shared/1", 0))
      first:close()
      say("spec/shared/1", "a")
      settle()
      assert.same({ {}, { "spec/shared/1 a" } }, { heard, heard_too })
      assert.is_true(second:unsubscribe())
      say("spec/shared/1", "b")
      settle()
      assert.same({ "spec/shared/1 a", "spec/shared/1 b" }, heard_too)
      assert.is_false(unsubscribed("spec/shared/1"))
      assert.is_true(conn:unsubscribe("spec/shared/1"))
      say("spec/shared/1", "c")
      settle()
      assert.equal(2, #heard_too)
      assert.is_true(unsubscribed("spec/shared/1"))
    end)

    it("lets go when the last listener is closed", function()
      local listener = hear("spec/shared/2", 1)
      listener:close()
      settle()
      wait_until(function() return unsubscribed("spec/shared/2") end, TIMEOUT, "UNSUBSCRIBE")
    end)

    it("keeps the highest QoS that anybody wants", function()
      local qos_heard = {}
      conn:listen("spec/qos", function(_, _, qos) qos_heard[#qos_heard + 1] = qos end):subscribe(1)
      assert.equal(0, conn:listen("spec/qos", function() end):subscribe(0))
      say("spec/qos")
      settle()
      assert.same({ 1 }, qos_heard)
    end)

    it("counts a listener that subscribes again, as after a reconnect, once", function()
      local listener, heard = hear("spec/again", 1)
      assert.equal(1, listener:subscribe(1))
      listener:close()
      hear("spec/again", nil, heard)
      settle()
      say("spec/again")
      settle()
      assert.same({}, heard)
    end)

    it("with a function does not wait, and calls it with the outcome", function()
      local outcomes = {}
      local function note(...)
        outcomes[#outcomes + 1] = table.pack(...)
      end
      local listener = conn:listen("spec/f", function() end)
      assert.is_true(listener:subscribe(1, note))
      assert.is_true(conn:post("spec/f", "x", { on_done = note }))
      assert.is_true(listener:unsubscribe(note))
      assert.same({}, outcomes)
      wait_until(function() return #outcomes == 3 end, TIMEOUT, "three outcomes")
      assert.same({ { n = 1, 1 }, { n = 1, true }, { n = 1, true } }, outcomes)
    end)
  end)

  describe("on_state", function()
    it("tells up, down and closed", function()
      local told = {}
      conn:on_state(function(state, what, code) told[#told + 1] = { state, what, code } end)
      broker:kill()
      wait_until(function() return #told >= 1 end, TIMEOUT, "down")
      broker:start_again()
      wait_until(function() return told[#told][1] == "up" end, TIMEOUT, "up")
      conn:close()
      wait_until(function() return told[#told][1] == "closed" end, TIMEOUT, "closed")
      assert.equal("down", told[1][1])
      assert.equal("string", type(told[1][2]))
      assert.matches("^E%u+$", told[1][3])
      assert.same({ "up", false }, told[#told - 1])
    end)

    it("is told no more once closed", function()
      local count = 0
      local watch = conn:on_state(function() count = count + 1 end)
      watch:close()
      conn:close()
      assert.equal(0, count)
    end)

    it("calls the functions of what was in flight when the connection is closed", function()
      local outcome
      conn:post("spec/z", "x", { on_done = function(...) outcome = table.pack(...) end })
      conn:close()
      wait_until(function() return outcome end, TIMEOUT, "the outcome")
      assert.is_true(outcome[1] or outcome[3] == "ECANCELED")
    end)
  end)

  it("leaves a script free to end with listeners, watches and requests open", function()
    local code = ([[
      local conn = require("hob.mqtt").connect{ host = "localhost", port = %d, tls = false,
        client_id = "careless" }
      assert(conn:wait_up(30))
      local future = require("hob.future").new()
      local listener = conn:listen("spec/+", print)
      conn:on_state(print)
      assert(listener:subscribe(1, function(...) future:resolve(...) end))
      assert(conn:post("spec/x", "x", { on_done = print }))
      require("hob.time").after(0, function() future:result() end)
      local closed = require("hob.mqtt").connect{ host = "localhost", port = %d, tls = false,
        client_id = "closed" }
      assert(closed:wait_up(30))
      assert(closed:post("spec/x", "x", { on_done = print }))
      closed:on_state(print)
      closed:close()
      print("end")
    ]]):format(broker.port, broker.port)
    local result = exec.run{ worlds.hob(), "lua", "-e", code, timeout = 60 }
    assert.equal(0, result.code, result.stderr)
    assert.matches("end\n$", result.stdout)
  end)

  it("has no gateway's connection in `hob lua`", function()
    local agent, message, code = mqtt.agent()
    assert.is_nil(agent)
    assert.equal("there is no running gateway here", message)
    assert.equal("ENOENT", code)
    assert.is_nil(conn:thing_name())
  end)

  it("makes ids that differ", function()
    assert.matches("^%x+$", mqtt.unique_id())
    assert.equal(32, #mqtt.unique_id())
    assert.are_not.equal(mqtt.unique_id(), mqtt.unique_id())
  end)
end)
