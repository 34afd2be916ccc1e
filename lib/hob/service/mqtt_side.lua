--- The service's place on the broker: requests of devices in, answers and notifications out. Faults
--- that were planted (`hob.service.faults`) are met here.
local device = require("hob.service.device")
local faults = require("hob.service.faults")
local provisioning = require("hob.service.provisioning")
local log = require("hob.log")
local mqtt = require("hob.mqtt")
local rules = require("hob.service.rules")
local serials = require("hob.service.serial")
local time = require("hob.time")

local M = {}
M.__index = M

-- Every request, and every near miss of one (answered InvalidTopic). The service's own messages
-- stay away by MQTT 5's No Local; the engine passes over those that a broker brings back anyhow.
--
-- QoS 0 is enough from the broker to here: a link that breaks loses the same, as the session is
-- clean, and a PUBACK for each request costs both sides time.
local FILTERS = { "$aws/things/+/jobs/#" }
local SUBSCRIBE_AGAIN = 5

-- The connection takes some thousand messages that the broker has not acknowledged; what is more
-- than that waits here, in order.
local WAITING_MAX = 100000
local WAITING_BYTES = 64 * 1024 * 1024
local PUMP_AGAIN = 0.005
local HELD_MAX = 10000

-- What is larger than a device may send is refused by the engine, which tells the device why; what
-- is much larger is dropped by the connection, which logs it.
local PAYLOAD_MAX = 8 * device.PAYLOAD_MAX

--- A device whose notification is lost is told again later, for only the service knows that
--- something was to be said.
local function miss(self, message)
  local thing = message.topic:match("^%$aws/things/([^/]+)/jobs/notify")
  if thing then
    self.missed[thing] = true
  end
end

--- @return boolean busy  the connection takes no more for now
local function post(self, message)
  local ok, why, code = nil, "not connected", nil
  if self.connection then
    ok, why, code = self.connection:post(message.topic, message.payload, { qos = 1 })
  end
  if code == "EBUSY" then
    return true
  elseif not ok then
    log.warn("service.unsent", ("not published on %s: %s"):format(message.topic, why))
    miss(self, message)
  end
  return false
end

local function tell_missed(self)
  local missed = self.missed
  self.missed = {}
  for thing in pairs(missed) do
    self:publish(self.engine:state_of(thing, self.clock()))
  end
end

local pump

local function pump_later(self)
  self.pump_timer = time.after(PUMP_AGAIN, function()
    self.serial:post(function() pump(self) end)
  end)
end

local function keep(self, message)
  local waiting = self.waiting
  local size = #message.topic + #message.payload
  if waiting.last - waiting.first + 1 >= self.waiting_max
    or waiting.bytes + size > WAITING_BYTES then
    if not self.overflowed then
      log.warn("service.unsent", ("%d messages wait for the broker: what comes now is dropped,"
        .. " and the things concerned are told when there is room"):format(
        waiting.last - waiting.first + 1), { action = "see why the broker is so slow" })
    end
    self.overflowed = true
    miss(self, message)
    return
  end
  if waiting.first > waiting.last then
    pump_later(self)
  end
  waiting.last = waiting.last + 1
  waiting[waiting.last] = message
  waiting.bytes = waiting.bytes + size
end

--- Hand on what waits, until the connection is full again.
function pump(self)
  local waiting = self.waiting
  while waiting.first <= waiting.last do
    local message = waiting[waiting.first]
    if self.closing then
      return
    elseif post(self, message) then
      return pump_later(self)
    end
    waiting[waiting.first] = nil
    waiting.first = waiting.first + 1
    waiting.bytes = waiting.bytes - #message.topic - #message.payload
  end
  if self.overflowed then
    self.overflowed = false
    tell_missed(self)
  end
end

local function send(self, message)
  if self.waiting.first <= self.waiting.last or post(self, message) then
    keep(self, message)
  end
end

--- Run `fn` in its turn, in so many milliseconds. Nothing else waits for it.
local function later(self, delay_ms, fn)
  if self.held_count >= HELD_MAX then
    log.warn("service.unsent", ("%d messages are held by faults: no more are held back"):format(
      self.held_count))
    return fn()
  end
  local timer
  timer = time.after(delay_ms / 1000, function()
    self.serial:post(function()
      if self.held[timer] then
        self.held[timer], self.held_count = nil, self.held_count - 1
        fn()
      end
    end)
  end)
  self.held[timer], self.held_count = true, self.held_count + 1
end

-- What faults make of an answer or a notification.
local ANSWERED = {
  drop = function() end,
  delay = function(self, message, fault)
    later(self, fault.delayMs, function() send(self, message) end)
  end,
  duplicate = function(self, message)
    send(self, message)
    send(self, message)
  end,
  garbage = function(self, message, fault)
    send(self, { topic = message.topic, payload = faults.garbage(fault) })
  end,
  disconnect = function(self, message)
    self.connection:reconnect("a fault was planted")
    send(self, message)
  end,
}

--- Publish in this order, without waiting; call it in the serial's turn.
function M:publish(messages)
  for _, message in ipairs(messages) do
    local fault = self.faults:of_answer(message.topic)
    if fault then
      ANSWERED[fault.action](self, message, fault)
    else
      send(self, message)
    end
  end
end

local function refused(filters, granted)
  for i, qos in ipairs(granted) do
    if qos >= 128 then
      return filters[i]
    end
  end
  return nil
end

--- Subscribe until it is granted, or until the link is another one.
local function subscribe(self)
  local link = self.links
  local function gone()
    return self.closing or self.links ~= link or not self.connection:is_up()
  end
  while not gone() do
    local granted, why = self.connection:subscribe(self.filters, 0, { no_local = true })
    if not granted and gone() then
      return
    end
    local filter = granted and refused(self.filters, granted)
    if granted and not filter then
      self.subscribed = true
      log.info("service.subscribed", "listening to the things of " .. self.broker)
      self.serial:post(function() tell_missed(self) end)
      return
    end
    log.warn("service.subscribe_refused", ("cannot subscribe to %s: %s"):format(
      filter or "the devices' topics", filter and "the broker refused it" or why), {
        action = "allow the service's client to read and write $aws/things/#",
      })
    time.sleep(SUBSCRIBE_AGAIN)
  end
end

--- One timer, set to the engine's next deadline.
function M:set_timer()
  local deadline = self.engine:next_deadline()
  if deadline == self.armed then
    return
  end
  if self.timer then
    self.timer:cancel()
  end
  self.armed, self.timer = deadline, nil
  if deadline then
    self.timer = time.after(math.max(0, deadline - self.clock()), function()
      self.serial:post(function()
        self.armed, self.timer = nil, nil
        self:settle(self.engine:tick(self.clock()))
      end)
    end)
  end
end

--- What cannot be stored is not told either: after a restart it would not be true. The devices ask
--- again, and hear of what they missed when the store can be written again.
local function not_stored(self, messages, why)
  log.error("service.not_stored", why, { action = "see to the disk of --data" })
  for _, message in ipairs(messages) do
    miss(self, message)
  end
  self.unstored = true
  self:set_timer()
end

--- The end of every turn in which the engine may have changed: what changed is stored, then told.
---@param messages hob.service.message[]
---@return boolean stored
function M:settle(messages)
  if self.store then
    local ok, why = self.store:save(self.engine)
    if not ok then
      not_stored(self, messages, why)
      return false
    end
  end
  self:publish(messages)
  if self.unstored then
    self.unstored = false
    tell_missed(self)
  end
  self:set_timer()
  return true
end

local function serve(self, topic, payload, instead)
  self:settle(self.engine:handle(topic, payload, self.clock(), instead))
end

--- It may wait for a program, so it has turns of its own; the engine is changed in the other ones.
local function serve_provisioning(self, topic, payload, instead)
  local messages = self.provisioning:handle(topic, payload, self.clock(), instead)
  self.serial:run(function() self:publish(messages) end)
end

-- What faults make of a request.
local REQUESTED = {
  drop = function() end,
  delay = function(self, topic, payload, fault, fn)
    later(self, fault.delayMs, function() fn(self, topic, payload) end)
  end,
  duplicate = function(self, topic, payload, _, fn)
    fn(self, topic, payload)
    fn(self, topic, payload)
  end,
  reject = function(self, topic, payload, fault, fn) fn(self, topic, payload, fault.code) end,
  disconnect = function(self) self.connection:reconnect("a fault was planted") end,
}

--- A message of a device, in its turn.
local function on_request(self, topic, payload, fn)
  local fault = self.faults:of_request(topic)
  if fault then
    REQUESTED[fault.action](self, topic, payload, fault, fn)
  else
    fn(self, topic, payload)
  end
end

--- A thing is made in the engine's turn, and stored before the device hears of it.
local function in_engine_turn(self, fn)
  return self.serial:run(function()
    local messages, why = fn()
    if not messages then
      return nil, why
    elseif not self:settle(messages) then
      return nil, { statusCode = 500, errorCode = "InternalError",
        errorMessage = "the service cannot store what it does" }
    end
    return messages
  end)
end

--- What the broker kept of former days is not served: it would be served anew at each connect.
local function drop_retained(topic)
  if device.route(topic) then
    log.warn("service.request_dropped", ("a retained request is not served: %s"):format(
      rules.cut(topic, 250)), { action = "publish requests without the retain flag" })
  end
end

local function on_message(self, topic, payload, retain)
  if retain then
    return drop_retained(topic)
  elseif self.provisioning and provisioning.route(topic) then
    return self.provisioning_turns:post(on_request, self, topic, payload, serve_provisioning)
  end
  self.serial:post(on_request, self, topic, payload, serve)
end

---@class hob.service.mqtt_side.options
---@field engine hob.service.engine
---@field serial table     see hob.service.serial
---@field store table?     see hob.service.store; nil: nothing is kept
---@field clock fun(): number  see hob.service.clock
---@field faults table?    see hob.service.faults
---@field provisioning table?  see hob.service.provisioning; nil: there is no fleet provisioning
---@field waiting_max integer?  how many messages may wait for the broker
---@field connect table    options of hob.mqtt.connect: host, port, tls, ca, cert, key, client_id

local function use_provisioning(self, given)
  self.filters = table.move(FILTERS, 1, #FILTERS, 1, {})
  if given then
    table.move(provisioning.FILTERS, 1, #provisioning.FILTERS, #self.filters + 1, self.filters)
    self.provisioning = given
    self.provisioning_turns = serials.new(function(why)
      log.error("service.internal_error", why)
    end)
    given.in_turn = function(fn) return in_engine_turn(self, fn) end
  end
end

--- Connect in the background, for ever.
---@param options hob.service.mqtt_side.options
function M.start(options)
  local self = setmetatable({
    engine = options.engine, serial = options.serial, store = options.store, clock = options.clock,
    faults = options.faults or faults.new(), held = {}, held_count = 0, missed = {}, links = 0,
    subscribed = false, waiting = { first = 1, last = 0, bytes = 0 },
    waiting_max = options.waiting_max or WAITING_MAX,
    broker = ("%s:%d"):format(options.connect.host, options.connect.port),
  }, M)
  if not options.store then
    options.engine:store_nothing()
  end
  use_provisioning(self, options.provisioning)
  local connect = {
    backoff_base = 0.1, backoff_cap = 2, protocol = 5, payload_max = PAYLOAD_MAX,
    on_up = function()
      self.links = self.links + 1
      subscribe(self)
    end,
    on_down = function() self.subscribed = false end,
    on_message = function(topic, payload, _, retain) on_message(self, topic, payload, retain) end,
  }
  for name, value in pairs(options.connect) do
    connect[name] = value
  end
  self.connection = mqtt.connect(connect)
  return self
end

--- Wait until devices are heard.
---@param timeout number  seconds
---@return boolean|nil ready, string|nil reason
function M:wait_ready(timeout)
  local deadline = time.mono() + timeout
  if self.closing then
    return nil, "it is being closed"
  end
  local up, why = self.connection:wait_up(timeout)
  if not up then
    return nil, why
  end
  while not self.subscribed do
    if time.mono() > deadline then
      return nil, "the broker does not grant the subscriptions"
    end
    time.sleep(0.01)
  end
  return true
end

function M:close()
  self.closing = true
  for _, name in ipairs{ "timer", "pump_timer" } do
    if self[name] then
      self[name]:cancel()
    end
  end
  for timer in pairs(self.held) do
    timer:cancel()
  end
  self.held, self.held_count = {}, 0
  self.connection:close()
end

return M
