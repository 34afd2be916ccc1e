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

--- Publish, without waiting. A device whose notification is lost is told again at the next connect,
--- for only the service knows that something was to be said.
function M:publish(messages)
  for _, message in ipairs(messages) do
    local ok, why = nil, "not connected"
    if self.connection then
      ok, why = self.connection:post(message.topic, message.payload, { qos = 1 })
    end
    if not ok then
      log.warn("service.unsent", ("not published on %s: %s"):format(message.topic, why))
      local thing = message.topic:match("^%$aws/things/([^/]+)/jobs/notify")
      if thing then
        self.missed[thing] = true
      end
    end
  end
end

local function tell_missed(self)
  local missed = self.missed
  self.missed = {}
  for thing in pairs(missed) do
    self:publish(self.engine:state_of(thing, time.now()))
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
  while self.links == link and self.connection:is_up() do
    local granted, why = self.connection:subscribe(FILTERS, 1)
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
    self.timer = time.after(math.max(0, deadline - time.now()), function()
      self.serial:post(function()
        self.armed, self.timer = nil, nil
        self:publish(self.engine:tick(time.now()))
        self:set_timer()
      end)
    end)
  end
end

local function on_message(self, topic, payload)
  self.serial:post(function()
    self:publish(self.engine:handle(topic, payload, time.now()))
    self:set_timer()
  end)
end

---@class hob.service.mqtt_side.options
---@field engine hob.service.engine
---@field serial table     see hob.service.serial
---@field connect table    options of hob.mqtt.connect: host, port, tls, ca, cert, key, client_id

--- Connect in the background, for ever.
---@param options hob.service.mqtt_side.options
function M.start(options)
  local self = setmetatable({
    engine = options.engine, serial = options.serial, missed = {}, links = 0, subscribed = false,
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
  if self.timer then
    self.timer:cancel()
  end
  self.connection:close()
end

return M
