-- The service's MQTT side on a connection that the spec plays.
local clocks = require("hob.service.clock")
local serials = require("hob.service.serial")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 5

-- A connection that takes `room` messages, and plays nothing by itself.
local function new_connection()
  local connection = { sent = {}, room = math.huge, up = true, granted = { 1, 1 } }
  function connection.is_up() return connection.up end
  function connection.wait_up() return connection.up or nil, "planted" end
  function connection.close() end
  function connection.subscribe()
    if connection.on_subscribe then
      connection.on_subscribe()
    end
    return connection.granted, "planted", "ECANCELED"
  end
  function connection.post(_, topic)
    if not connection.up then
      return nil, "not connected to the broker", "ENOTCONN"
    elseif connection.room <= 0 then
      return nil, "too many messages wait for the broker's answer", "EBUSY"
    end
    connection.room = connection.room - 1
    table.insert(connection.sent, topic)
    return true
  end
  return connection
end

describe("hob.service.mqtt_side", function()
  local keep, logged

  -- The module over a library and a log of the spec's own.
  local function start(connection, options)
    for name, value in pairs{
      ["hob.mqtt"] = { connect = function(given)
        connection.on_up = given.on_up
        return connection
      end },
      ["hob.log"] = setmetatable({}, { __index = function()
        return function(event) table.insert(logged, event) end
      end }),
    } do
      keep[name] = package.loaded[name]
      package.loaded[name] = value
    end
    keep["hob.service.mqtt_side"] = package.loaded["hob.service.mqtt_side"]
    package.loaded["hob.service.mqtt_side"] = nil
    local module = require("hob.service.mqtt_side")
    local given = {
      engine = { state_of = function(_, thing)
        return { { topic = "$aws/things/" .. thing .. "/jobs/notify-next", payload = "again" } }
      end },
      serial = serials.new(error), clock = clocks.new(), connect = { host = "h", port = 1 },
    }
    for name, value in pairs(options or {}) do
      given[name] = value
    end
    given.engine.store_nothing = function() end
    return module.start(given)
  end

  before_each(function() keep, logged = {}, {} end)

  after_each(function()
    for _, name in ipairs{ "hob.mqtt", "hob.log", "hob.service.mqtt_side" } do
      package.loaded[name] = keep[name]
    end
  end)

  local function say(side, ...)
    local messages = {}
    for i, name in ipairs{ ... } do
      messages[i] = { topic = "$aws/things/" .. name .. "/jobs/notify-next", payload = "x" }
    end
    side.serial:run(function() side:publish(messages) end)
  end

  local function sent(connection)
    local names = {}
    for i, topic in ipairs(connection.sent) do
      names[i] = topic:match("things/([^/]+)")
    end
    return table.concat(names, " ")
  end

  it("keeps what the connection has no room for, in order, until it has", function()
    local connection = new_connection()
    local side = start(connection)
    connection.room = 1
    say(side, "a", "b", "c")
    assert.equal("a", sent(connection))
    connection.room = 1
    say(side, "d")
    wait_until(function() return #connection.sent == 2 end, SECONDS, "the second message")
    connection.room = 9
    wait_until(function() return #connection.sent == 4 end, SECONDS, "all messages")
    assert.equal("a b c d", sent(connection))
    assert.same({}, logged)
    side:close()
  end)

  it("warns once when too much waits, and tells those concerned when there is room", function()
    local connection = new_connection()
    local side = start(connection, { waiting_max = 2 })
    connection.room = 0
    say(side, "a", "b", "c", "c")
    assert.same({ "service.unsent" }, logged)
    connection.room = 9
    wait_until(function() return #connection.sent == 3 end, SECONDS, "the third message")
    assert.equal("a b c", sent(connection))
    side:close()
  end)

  it("tells the things concerned at the next connect what they missed", function()
    local connection = new_connection()
    local side = start(connection)
    connection.up = false
    say(side, "a", "a")
    assert.same({ "service.unsent", "service.unsent" }, logged)
    connection.up = true
    connection.on_up()
    wait_until(function() return #connection.sent > 0 end, SECONDS, "the missed message")
    assert.equal("a", sent(connection))
    connection.on_up()
    assert.equal("a", sent(connection))
    side:close()
  end)

  it("does not complain of a subscription that its own end cut short", function()
    local connection = new_connection()
    local side = start(connection)
    connection.granted = nil
    connection.on_subscribe = function() side:close() end
    connection.on_up()
    assert.same({}, logged)
    assert.same({ nil, "it is being closed" }, { side:wait_ready(SECONDS) })
  end)

  it("ends executions by the clock that it was given", function()
    local connection, ticked = new_connection(), {}
    local side = start(connection, {
      clock = function() return 1000 end,
      engine = {
        next_deadline = function() return not ticked[1] and 999 or nil end,
        tick = function(_, now)
          table.insert(ticked, now)
          return {}
        end,
      },
    })
    side:set_timer()
    wait_until(function() return ticked[1] end, SECONDS, "the tick")
    assert.same({ 1000 }, ticked)
    side:close()
  end)
end)

describe("hob.service.clock", function()
  it("begins as the wall clock, and is not moved by a step of it", function()
    local wall, mono = 1000, 5
    local clock = clocks.new{ now = function() return wall end, mono = function() return mono end }
    assert.equal(1000, clock())
    wall, mono = 99999, 7
    assert.equal(1002, clock())
  end)

  it("takes hob.time's clocks by itself", function()
    local before = time.mono()
    local clock = clocks.new()
    local apart = math.abs(clock() - time.now())
    assert.is_true(apart <= time.mono() - before + 1)
  end)
end)

describe("hob.service.json_text", function()
  local encode = require("hob.service.json_text").encode

  it("puts U+FFFD for bytes that are not UTF-8", function()
    for text, expected in pairs{ ["\255"] = "\u{fffd}", ["a\u{e9}\195"] = "a\u{e9}\u{fffd}",
      ["\195(b"] = "\u{fffd}(b", ["\u{e9}"] = "\u{e9}" } do
      assert.equal('"' .. expected .. '"', encode(text))
    end
  end)
end)

describe("the Jobs service's client", function()
  local client = require("hob.cli.service_client")

  it("asks for smaller pages where one is too large to be read", function()
    local api, asked = client.new("http://127.0.0.1:1"), {}
    function api.call(_, _, _, query)
      local first = tonumber(query.nextToken or 1)
      table.insert(asked, query.maxResults)
      if query.maxResults > 3 then
        return nil, "too large", client.TOO_LARGE
      end
      local items = {}
      for i = first, math.min(first + query.maxResults - 1, 7) do
        table.insert(items, i)
      end
      local following = first + query.maxResults
      return { items = items, nextToken = following <= 7 and tostring(following) or nil }
    end
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, (api:list({ "x" }, { maxResults = 25 }, "items")))
    assert.same({ 25, 12, 6, 3, 3, 3 }, asked)
  end)

  it("gives up where a single item is too large", function()
    local api = client.new("http://127.0.0.1:1")
    function api.call() return nil, "too large", client.TOO_LARGE end
    assert.same({ nil, "too large" }, { api:list({ "x" }, nil, "items"), (select(2,
      api:list({ "x" }, nil, "items"))) })
  end)
end)
