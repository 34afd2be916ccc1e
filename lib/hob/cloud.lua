--- The gateway's own connection, for handlers: whether it is there, and messages on the topics that
--- the configuration allows. `hob.cloud` in lib/hob/api.lua says what each function does.
local core = require("hob.cloud.core")
local future = require("hob.future")
local json = require("hob.json")
local log = require("hob.log")

local M = {}

--- Is the service reached: connected, and the jobs' topics subscribed to?
---@return boolean
function M.connected()
  local connection = core.open()
  return connection ~= nil and connection:is_up()
end

--- Wait until it is.
---@param seconds number?  nil: as long as it takes
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.wait_online(seconds)
  local connection, why, code = core.open()
  if not connection then
    return nil, why, code
  end
  local online
  online, why, code = connection:wait_up(seconds)
  if online then
    return true
  elseif code == "ECANCELED" then
    return nil, why, code
  end
  return nil, ("the service was not reached in %g s: %s"):format(seconds, why), "ETIMEDOUT"
end

--- The files of the thing's own identity, as the configuration names them.
---@return { ca: string?, cert: string?, key: string? }|nil
---@return string|nil message
---@return string|nil code
M.files = core.files

-- Till then nobody knows whether it is up in the old way or in the new.
local DOWN = 30

--- Give the connection up and make it anew, with the files as they are now; wait until it is there.
---@param reason string  for the log
---@param seconds number?
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.reconnect(reason, seconds)
  local connection, why, code = core.open()
  if not connection then
    return nil, why, code
  end
  local down = future.new()
  local watch = connection:on_state(function(state)
    if state == "down" then
      down:resolve(true)
    end
  end)
  local was_up = connection:is_up()
  local asked
  asked, why, code = core.reconnect(reason)
  if not asked then
    watch:close()
    return nil, why, code
  end
  if was_up then
    down:result(DOWN)
  end
  watch:close()
  return M.wait_online(seconds)
end

local function check_options(given, ...)
  if given ~= nil and type(given) ~= "table" then
    error("options: expected table, got " .. type(given), 3)
  end
  local known = " " .. table.concat({ ... }, ", ")
  for name in pairs(given or {}) do
    if type(name) == "string" and not (known .. ","):find(" " .. name .. ",", 1, true) then
      error(("unknown option '%s'; known:%s"):format(name, known), 3)
    end
  end
  local qos = given and given.qos
  if qos ~= nil and qos ~= 0 and qos ~= 1 then
    error("qos: expected 0 or 1, got " .. tostring(qos), 3)
  end
  return given or {}
end

--- Publish a message; at QoS 1 (the default) it has arrived when this returns true.
---@param topic string
---@param payload string|table  a table goes as JSON
---@param options { qos: integer?, retain: boolean? }?
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.publish(topic, payload, options)
  if type(topic) ~= "string" then
    error("topic: expected string, got " .. type(topic), 2)
  elseif type(payload) ~= "string" and type(payload) ~= "table" then
    error("payload: expected string or table, got " .. type(payload), 2)
  end
  options = check_options(options, "qos", "retain")
  local connection, why, code = core.open()
  if not connection then
    return nil, why, code
  end
  local text = type(payload) == "table" and json.encode(payload) or payload
  return connection:publish(topic, text, { qos = options.qos, retain = options.retain })
end

---@class hob.cloud.Subscription
local Subscription = {}
Subscription.__index = Subscription
Subscription.__name = "hob.cloud.subscription"

local open = {} -- till they are closed, whoever holds them

--- Hear no more of it. Legal twice.
function Subscription:close()
  if open[self] then
    open[self] = nil
    self.state:close()
    self.listener:close()
  end
end

Subscription.__close = Subscription.close

--- A broker forgets subscriptions when the connection breaks.
local function subscribe_again(subscription, filter, qos)
  subscription.listener:subscribe(qos, function(granted, why, code)
    if not granted and code ~= "ENOTCONN" and open[subscription] then
      log.warn("conn.unsubscribed", ("%s: the subscription could not be made anew: %s"):format(
        filter, why), { code = code })
    end
  end)
end

--- Call `fn(topic, payload)` for each message that matches, until it is closed or the job ends.
---@param filter string
---@param fn fun(topic: string, payload: string)
---@param options { qos: integer? }?
---@return hob.cloud.Subscription|nil
---@return string|nil message
---@return string|nil code
function M.subscribe(filter, fn, options)
  if type(filter) ~= "string" then
    error("filter: expected string, got " .. type(filter), 2)
  elseif type(fn) ~= "function" then
    error("fn: expected function, got " .. type(fn), 2)
  end
  local qos = check_options(options, "qos").qos or 1
  local connection, why, code = core.open()
  if not connection then
    return nil, why, code
  end
  local listener, granted
  listener, why, code = connection:listen(filter, function(topic, payload)
    fn(topic, payload)
  end)
  if not listener then
    return nil, why, code
  end
  granted, why, code = listener:subscribe(qos)
  if not granted then
    listener:close()
    return nil, why, code
  end
  local subscription = setmetatable({ listener = listener }, Subscription)
  open[subscription] = true
  subscription.state = connection:on_state(function(state)
    if state == "up" then
      subscribe_again(subscription, filter, qos)
    end
  end)
  return subscription
end

return M
