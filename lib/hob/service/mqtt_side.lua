--- The service's place on the broker: requests of devices in, answers and notifications out.
local log = require("hob.log")
local mqtt = require("hob.mqtt")
local time = require("hob.time")

local M = {}
M.__index = M

-- Two filters see every request, and every near miss of one (answered InvalidTopic). They also
-- bring back some of the service's own messages, which the engine passes over.
local FILTERS = { "$aws/things/+/jobs/+", "$aws/things/+/jobs/+/+" }
local SUBSCRIBE_AGAIN = 5

-- The connection takes some thousand messages that the broker has not acknowledged; what is more
-- than that waits here, in order.
local WAITING_MAX = 100000
local WAITING_BYTES = 64 * 1024 * 1024
local PUMP_AGAIN = 0.005

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

--- Publish in this order, without waiting; call it in the serial's turn.
function M:publish(messages)
  for _, message in ipairs(messages) do
    if self.waiting.first <= self.waiting.last or post(self, message) then
      keep(self, message)
    end
  end
end

local function refused(granted)
  for i, qos in ipairs(granted) do
    if qos >= 128 then
      return FILTERS[i]
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
    local granted, why = self.connection:subscribe(FILTERS, 1)
    if not granted and gone() then
      return
    end
    local filter = granted and refused(granted)
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

--- The end of every turn in which the engine may have changed: what changed is stored, then told.
function M:settle(messages)
  if self.store then
    self.store:save(self.engine)
  end
  self:publish(messages)
  self:set_timer()
end

local function on_message(self, topic, payload)
  self.serial:post(function()
    self:settle(self.engine:handle(topic, payload, self.clock()))
  end)
end

---@class hob.service.mqtt_side.options
---@field engine hob.service.engine
---@field serial table     see hob.service.serial
---@field store table?     see hob.service.store; nil: nothing is kept
---@field clock fun(): number  see hob.service.clock
---@field waiting_max integer?  how many messages may wait for the broker
---@field connect table    options of hob.mqtt.connect: host, port, tls, ca, cert, key, client_id

--- Connect in the background, for ever.
---@param options hob.service.mqtt_side.options
function M.start(options)
  local self = setmetatable({
    engine = options.engine, serial = options.serial, store = options.store, clock = options.clock,
    missed = {}, links = 0,
    subscribed = false, waiting = { first = 1, last = 0, bytes = 0 },
    waiting_max = options.waiting_max or WAITING_MAX,
    broker = ("%s:%d"):format(options.connect.host, options.connect.port),
  }, M)
  local connect = {
    backoff_base = 0.1, backoff_cap = 2,
    on_up = function()
      self.links = self.links + 1
      subscribe(self)
    end,
    on_down = function() self.subscribed = false end,
    on_message = function(topic, payload) on_message(self, topic, payload) end,
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
  self.connection:close()
end

return M
