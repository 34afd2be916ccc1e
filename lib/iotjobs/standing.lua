--- A subscription that stands: asked for on this connection and again on each that follows, until
--- it is ended. Both the callbacks of the publish/subscribe form and the streams are made of it.
local common = require("iotjobs.common")
local time = require("hob.time")

local M = {}

local AGAIN = 1 -- seconds, when the connection takes no more requests
-- AWS IoT does not refuse what its policy forbids, it closes the connection. A link may break for
-- other reasons, but hardly so often, each time within a SUBSCRIBE.
local BREAKS_MAX = 3

---@class iotjobs.standing
---@field topic string
---@field qos integer
local Standing = {}
Standing.__index = Standing

local ask

local function failed(self, message, code)
  if code == "ENOTCONN" then
    return -- the next connection is asked
  elseif code ~= "EBUSY" then
    self.on_failed(common.why_not_subscribed(self.topic, message, code), code)
    return
  end
  local attempt = self.attempt
  time.after(AGAIN, function()
    if attempt and self.attempt == attempt then
      ask(self)
    end
  end)
end

local function broke(self)
  self.breaks = self.breaks + 1
  if self.breaks >= BREAKS_MAX then
    self.breaks = 0
    self.on_failed(("the connection broke %d times while subscribing to %s: AWS IoT closes it "
      .. "where the IoT policy does not allow iot:Subscribe on topicfilter/%s"):format(BREAKS_MAX,
      self.topic, common.resource(self.topic)), "EREFUSED")
  end
end

function ask(self)
  local attempt = {}
  self.attempt = attempt
  local begun, message, code = self.listener:subscribe(self.qos, function(qos, no, no_code)
    if self.attempt ~= attempt then
      return
    elseif qos then
      self.breaks = 0
      self.on_granted(qos)
    elseif no_code == "ENOTCONN" then
      broke(self)
    else
      failed(self, no, no_code)
    end
  end)
  if not begun then
    failed(self, message, code)
  end
end

---@class iotjobs.standing.options
---@field topic string
---@field qos integer
---@field on_payload fun(topic: string, payload: string)
---@field on_granted fun(qos: integer)                  after each connection
---@field on_failed fun(message: string, code: string)  it may be asked for again; or end it
---@field on_ended? fun()                                no other function is called any more

--- Begin. Without a connection it waits for one.
---@param client table
---@param options iotjobs.standing.options
---@return iotjobs.standing|nil
---@return string|nil message  the connection does not take the topic, or is closed
---@return string|nil code
function M.new(client, options)
  if client.closed then
    return nil, common.why_not_subscribed(options.topic, client.closed, "ECANCELED"), "ECANCELED"
  end
  local self = setmetatable({
    client = client, topic = options.topic, qos = options.qos, breaks = 0,
    on_granted = options.on_granted, on_failed = options.on_failed, on_ended = options.on_ended,
  }, Standing)
  local listener, message, code = client.connection:listen(options.topic, function(topic, payload)
    if self.listener then
      options.on_payload(topic, payload)
    end
  end)
  if not listener then
    return nil, common.why_not_subscribed(options.topic, message, code), code
  end
  self.listener = listener
  client.standing[self] = true
  return self
end

--- Ask for it, once everything is in place for the answer.
function Standing:ask()
  ask(self)
end

local function take_down(self)
  local listener = self.listener
  self.listener, self.attempt = nil, nil
  self.client.standing[self] = nil
  if listener and self.on_ended then
    self.on_ended()
  end
  return listener
end

--- No callback of it is called any more.
function Standing:close()
  local listener = take_down(self)
  if listener then
    listener:close()
  end
end

--- End it, and hear when the broker knows.
---@param done fun(ok: boolean|nil, message?: string, code?: string)
function Standing:unsubscribe(done)
  local listener = take_down(self)
  if not listener then
    return done(true)
  end
  local begun, message, code = listener:unsubscribe(done)
  listener:close()
  if not begun then
    done(nil, message, code)
  end
end

--- There is a new connection, which knows of none.
function M.renew(client)
  for _, one in ipairs(common.keys(client.standing)) do
    if one.listener then
      ask(one)
    end
  end
end

--- There will be no connection any more.
function M.connection_closed(client)
  for _, one in ipairs(common.keys(client.standing)) do
    common.later(function()
      if one.listener then
        one.on_failed("the connection was closed", "ECANCELED")
      end
    end)
  end
end

function M.close_all(client)
  for _, one in ipairs(common.keys(client.standing)) do
    one:close()
  end
end

return M
