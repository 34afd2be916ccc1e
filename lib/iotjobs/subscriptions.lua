--- The publish/subscribe form: a callback for each message on a topic, until it is unsubscribed
--- from.
local common = require("iotjobs.common")
local future = require("hob.future")
local log = require("hob.log")
local standing = require("iotjobs.standing")

local M = {}

---@param client table
---@param wanted { topic: string, qos: integer, class: string, callback: function }
---@return hob.future future  of the granted QoS
function M.add(client, wanted)
  local granted = future.new()
  local one, message, code
  local function on_failed(why, why_code)
    if granted:resolve(nil, why, why_code) or why_code == "ECANCELED" then
      one:close()
    else
      log.warn("iotjobs.unsubscribed", why, { code = why_code,
        action = "its callback hears nothing until the next connection" })
    end
  end
  one, message, code = standing.new(client, {
    topic = wanted.topic, qos = wanted.qos,
    on_payload = function(topic, payload)
      common.call("the callback for " .. topic, wanted.callback,
        common.decode(wanted.class, topic, payload))
    end,
    on_granted = function(qos) granted:resolve(qos) end,
    on_failed = on_failed,
    on_ended = function()
      granted:resolve(nil, ("subscribing to %s: it was ended before the broker answered"):format(
        wanted.topic), "ECANCELED")
    end,
  })
  if one then
    one.is_callback = true
    one:ask()
  else
    granted:resolve(nil, message, code)
  end
  return granted
end

local function callbacks_on(client, topic)
  local list = {}
  for _, one in ipairs(common.keys(client.standing)) do
    if one.is_callback and one.topic == topic then
      list[#list + 1] = one
    end
  end
  return list
end

--- End every callback of this client for the topic.
---@param client table
---@param topic string
---@return hob.future future  of true
function M.remove(client, topic)
  local ended, problem = future.new(), nil
  local list = callbacks_on(client, topic)
  if #list == 0 then
    ended:resolve(nil, "not subscribed to " .. topic, "ENOENT")
  end
  local pending = {}
  for _, one in ipairs(list) do
    pending[one] = true
  end
  for _, one in ipairs(list) do
    one:unsubscribe(function(ok, message, code)
      problem = not ok and { message, code } or problem
      pending[one] = nil
      if next(pending) == nil and problem then
        ended:resolve(nil, problem[1], problem[2])
      elseif next(pending) == nil then
        ended:resolve(true)
      end
    end)
  end
  return ended
end

return M
