--- What the parts of the client share: words for failures, callbacks that may raise.
local atomic = require("hob.atomic")
local log = require("hob.log")
local models = require("iotjobs.models")
local time = require("hob.time")

local M = {}

--- The keys of a table that `fn` may go on to change, or another task.
---@param set table
---@return any[]
function M.keys(set)
  return atomic.run(function()
    local keys = {}
    for key in next, set do
      keys[#keys + 1] = key
    end
    return keys
  end)
end

--- A topic filter as a policy writes it: MQTT's wildcard is none there.
---@param topic string
---@return string
function M.resource(topic)
  return (topic:gsub("%+", "*"))
end

---@param topic string
---@param message string
---@param code string
---@return string message  in the end's own words where the reason is AWS's policy
function M.why_not_subscribed(topic, message, code)
  if code ~= "EREFUSED" then
    return ("subscribing to %s: %s"):format(topic, message)
  end
  return ("the broker refused the subscription to %s: the IoT policy must allow iot:Subscribe on "
    .. "topicfilter/%s and iot:Receive on topic/%s"):format(topic, M.resource(topic),
    M.resource(topic))
end

---@param topic string
---@param message string
---@param code string
---@return string message
function M.why_not_published(topic, message, code)
  if code ~= "EREFUSED" then
    return ("publishing on %s: %s"):format(topic, message)
  end
  return ("the broker refused the message on %s: the IoT policy must allow iot:Publish on "
    .. "topic/%s"):format(topic, topic)
end

--- Call a callback of the user's. If it raises, that is logged, and nothing else stops.
---@param what string  "on_event of ..."
---@param fn function
---@param ... any
function M.call(what, fn, ...)
  local ok, message = pcall(fn, ...)
  if not ok then
    log.error("iotjobs.callback_failed", ("%s: %s"):format(what, tostring(message)),
      { action = "mend the callback; the client goes on" })
  end
end

--- Call a function in a task of its own, so that whoever calls need not wait for it.
---@param fn fun()
function M.later(fn)
  time.after(0, fn)
end

--- Decode what came; what cannot be decoded is logged.
---@param class string
---@param topic string
---@param payload string
---@return table|nil object, string|nil message, string|nil code
function M.decode(class, topic, payload)
  local object, message, code = models.from_payload(class, payload)
  if not object then
    log.warn("iotjobs.undecodable", ("a message on %s is no %s: %s"):format(topic, class, message),
      { code = code })
  end
  return object, message, code
end

return M
