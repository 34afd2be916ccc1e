--- The request-response form: publish a request, wait for the answer that bears its token.
---
--- The two topics of the answers are subscribed to before the first request of an operation (and
--- job), and shared by all that follow. They are kept for a while when nobody waits, but never more
--- of them than PAIRS_MAX: a client may live for years and see any number of jobs.
local common = require("iotjobs.common")
local future = require("hob.future")
local models = require("iotjobs.models")
local mqtt = require("hob.mqtt")
local time = require("hob.time")

local M = {}

local PAIRS_MAX = 16 -- idle ones beyond that are let go, the longest unused first
local IDLE_MAX = 300 -- seconds
local QOS = 1

---@class iotjobs.Error
---@field message string
---@field code string
---@field modeled iotjobs.RejectedError|nil  what the service said
local Error = {}
Error.__index = Error
Error.__name = "iotjobs.Error"

function Error:__tostring()
  return self.message
end

local function fail(message, code, modeled)
  return nil, setmetatable({ message = message, code = code, modeled = modeled }, Error)
end

---------------------------------------------------------------- the answers

local function resolve(client, topic, token, ...)
  local waiting = type(token) == "string" and client.waiting[token]
  if waiting and waiting.topic == topic then
    client.waiting[token] = nil
    waiting.answer:resolve(...)
  end
end

local function on_accepted(client, pair, topic, payload)
  local response = common.decode(pair.class, topic, payload)
  if response then
    resolve(client, pair.topic, response.client_token, response)
  end
end

local function on_rejected(client, pair, topic, payload)
  local rejected = common.decode("RejectedError", topic, payload)
  if rejected then
    local message = ("%s: rejected: %s: %s"):format(pair.topic, rejected.code or "without a code",
      rejected.message or "without a message")
    resolve(client, pair.topic, rejected.client_token,
      fail(message, "EREJECTED", rejected))
  end
end

---------------------------------------------------------------- the pairs of topics

local function close_pair(client, pair)
  if client.pairs[pair.topic] == pair then
    client.pairs[pair.topic] = nil
  end
  for _, listener in ipairs(pair.listeners) do
    listener:close()
  end
end

local function pair_failed(client, pair, topic, message, code)
  close_pair(client, pair)
  pair.ready:resolve(fail(common.why_not_subscribed(topic, message, code), code))
end

-- Both are asked for at once; it is ready when both are granted.
local function open_half(client, pair, ending, on_payload)
  local topic = pair.topic .. ending
  local listener, why, reason = client.connection:listen(topic, function(arrived, payload)
    on_payload(client, pair, arrived, payload)
  end)
  if not listener then
    pair_failed(client, pair, topic, why, reason)
    return
  end
  table.insert(pair.listeners, listener)
  pair.asked[ending] = true
  local begun, message, code = listener:subscribe(QOS, function(granted, no, no_code)
    if not granted then
      pair_failed(client, pair, topic, no, no_code)
      return
    end
    pair.asked[ending] = nil
    if next(pair.asked) == nil then
      pair.ready:resolve(true)
    end
  end)
  if not begun then
    pair_failed(client, pair, topic, message, code)
  end
end

local function new_pair(client, topic, class)
  local pair = { topic = topic, class = class, users = {}, asked = {}, listeners = {},
    ready = future.new() }
  client.pairs[topic] = pair
  open_half(client, pair, "/accepted", on_accepted)
  if not pair.ready:done() then
    open_half(client, pair, "/rejected", on_rejected)
  end
  return pair
end

local function take_pair(client, topic, class, token)
  return common.atomically(function()
    local pair = client.pairs[topic] or new_pair(client, topic, class)
    pair.users[token] = true
    return pair
  end)
end

local function idle_pairs(client)
  local list, count = {}, 0
  for _, pair in next, client.pairs do
    count = count + 1
    if next(pair.users) == nil then
      list[#list + 1] = pair
    end
  end
  table.sort(list, function(a, b) return a.used < b.used end)
  return list, count
end

local function release_pair(client, pair, token)
  common.atomically(function()
    pair.users[token] = nil
    pair.used = time.mono()
    local idle, count = idle_pairs(client)
    for _, one in ipairs(idle) do
      if count > PAIRS_MAX or pair.used - one.used > IDLE_MAX then
        close_pair(client, one)
        count = count - 1
      end
    end
  end)
end

---------------------------------------------------------------- one request

local function timed_out(client, topic, what)
  return fail(("%s: %s within %g s"):format(topic, what, client.operation_timeout), "ETIMEDOUT")
end

local function publish(client, topic, payload, answer)
  local function failed(message, code)
    answer:resolve(fail(common.why_not_published(topic, message, code), code))
  end
  local begun, message, code = client.connection:post(topic, payload, {
    qos = QOS,
    on_done = function(ok, no, no_code)
      if not ok and no_code ~= "ENOTCONN" then -- M.lost is about to tell why
        failed(no, no_code)
      end
    end,
  })
  if not begun then
    failed(message, code)
  end
end

local function exchange(client, pair, payload, answer, deadline)
  local ready, problem, code = pair.ready:result(math.max(0, deadline - time.mono()))
  if code == "ETIMEDOUT" then
    close_pair(client, pair)
    return timed_out(client, pair.topic, "the broker did not answer the subscription")
  elseif not ready then
    return nil, problem
  end
  publish(client, pair.topic, payload, answer)
  local response
  response, problem, code = answer:result(math.max(0, deadline - time.mono()))
  if code == "ETIMEDOUT" then
    return timed_out(client, pair.topic, "no answer")
  end
  return response, problem
end

-- A connection that has only just been made may need a moment.
local function wait_up(client, topic)
  if client.closed then
    return fail(("%s: %s"):format(topic, client.closed), "ECANCELED")
  end
  local up, why, code = client.connection:wait_up(client.operation_timeout)
  if up then
    return true
  elseif code == "ECANCELED" then
    return fail(("%s: %s"):format(topic, why), code)
  end
  return fail(("%s: not connected to the broker: %s"):format(topic, why), "ENOTCONN")
end

--- Send a request and wait for its answer.
---@param client table
---@param topic string
---@param request table  complete, but for the token
---@param class string   of the answer
---@return table|nil response
---@return iotjobs.Error|nil problem
function M.perform(client, topic, request, class)
  local deadline = time.mono() + client.operation_timeout
  local token = request.client_token
  local answer = future.new()
  local payload = models.to_payload(request)
  local up, problem = wait_up(client, topic)
  if not up then
    return nil, problem
  end
  client.waiting[token] = { topic = topic, answer = answer }
  local pair = take_pair(client, topic, class, token)
  local _ <close> = setmetatable({}, {
    __close = function()
      client.waiting[token] = nil
      release_pair(client, pair, token)
    end,
  })
  return exchange(client, pair, payload, answer, deadline)
end

--- A token that nothing waits with. nil: the given one is in use.
---@param client table
---@param given? string
---@return string|nil
function M.token(client, given)
  if not given then
    return mqtt.unique_id()
  end
  return not client.waiting[given] and given or nil
end

--- The connection is gone, and with it what it was to bring.
---@param client table
---@param message string
---@param code string
function M.lost(client, message, code)
  for _, token in ipairs(common.keys(client.waiting)) do
    local waiting = client.waiting[token]
    if waiting then
      client.waiting[token] = nil
      waiting.answer:resolve(fail(("%s: %s before the answer came"):format(waiting.topic, message),
        code))
    end
  end
  for _, topic in ipairs(common.keys(client.pairs)) do
    local pair = client.pairs[topic]
    if pair then
      close_pair(client, pair)
      pair.ready:resolve(fail(("%s: %s"):format(topic, message), code))
    end
  end
end

return M
