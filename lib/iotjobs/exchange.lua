--- The request-response form: publish a request, wait for the answer that bears its token.
---
--- The two topics of the answers are subscribed to before the first request of an operation (and
--- job), and shared by all that follow. They are kept for a while when nobody waits, but never more
--- of them than PAIRS_MAX: a client may live for years and see any number of jobs. Of many requests
--- at once IN_FLIGHT_MAX are under way, the others wait for their turn.
local atomic = require("hob.atomic")
local common = require("iotjobs.common")
local future = require("hob.future")
local models = require("iotjobs.models")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local turns = require("iotjobs.turns")

local M = {}

local PAIRS_MAX = 16 -- idle ones beyond that are let go, the longest unused first
local IDLE_MAX = 300 -- seconds
local QOS = 1
-- Each has up to two SUBSCRIBEs without an answer: together what a handler may have under way on
-- the gateway's connection. A burst of answers is far from what a listener holds.
local IN_FLIGHT_MAX = 64

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
  local weak = client.weak
  local listener, why, reason = client.connection:listen(topic, function(arrived, payload)
    if weak.client then
      on_payload(weak.client, pair, arrived, payload)
    else
      M.sweep()
    end
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
  return atomic.run(function()
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
  atomic.run(function()
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

local function ended(client, topic)
  return fail(("%s: %s"):format(topic, client.closed), "ECANCELED")
end

-- A connection that has only just been made may need a moment.
local function wait_up(client, topic, deadline)
  if client.closed then
    return ended(client, topic)
  end
  local up, why, code = client.connection:wait_up(math.max(0, deadline - time.mono()))
  if up then
    return true
  elseif code == "ECANCELED" then
    return fail(("%s: %s"):format(topic, why), code)
  end
  return fail(("%s: not connected to the broker: %s"):format(topic, why), "ENOTCONN")
end

local function wait_turn(client, topic, deadline)
  if not client.turns:enter(math.max(0, deadline - time.mono())) then
    return timed_out(client, topic, "too many requests are under way: it was not sent")
  elseif client.closed then
    client.turns:leave()
    return ended(client, topic)
  end
  return true
end

local function in_turn(client, waiting, class, payload, deadline)
  local token, pair = waiting.token, nil
  local _ <close> = setmetatable({}, {
    __close = function()
      if pair then
        release_pair(client, pair, token)
      end
      client.turns:leave()
    end,
  })
  waiting.under_way = true
  pair = take_pair(client, waiting.topic, class, token)
  return exchange(client, pair, payload, waiting.answer, deadline)
end

--- Take a token for a request that is about to be made, unless it has one.
---@param client table
---@param topic string
---@param request table  complete, but for the token
---@return table|nil waiting  nil: another request waits with this token
function M.begin(client, topic, request)
  local token = request.client_token or mqtt.unique_id()
  request.client_token = token
  return atomic.run(function()
    if client.waiting[token] then
      return nil
    end
    local waiting = { topic = topic, token = token, answer = future.new() }
    client.waiting[token] = waiting
    return waiting
  end)
end

--- Send a request and wait for its answer.
---@param client table
---@param waiting table  of `begin`
---@param request table  complete
---@param class string   of the answer
---@return table|nil response
---@return iotjobs.Error|nil problem
function M.perform(client, waiting, request, class)
  local _ <close> = setmetatable({}, {
    __close = function() client.waiting[waiting.token] = nil end,
  })
  local deadline = time.mono() + client.operation_timeout
  local payload = models.to_payload(request)
  M.sweep()
  local ready, problem = wait_up(client, waiting.topic, deadline)
  if ready then
    ready, problem = wait_turn(client, waiting.topic, deadline)
  end
  if not ready then
    return nil, problem
  end
  return in_turn(client, waiting, class, payload, deadline)
end

---@return iotjobs.turns
function M.turns()
  return turns.new(IN_FLIGHT_MAX)
end

local abandoned = {} -- listeners of clients that are garbage

--- The client is garbage, so nobody waits. A collection may happen in the middle of a message's
--- delivery, where no listener may be closed: that is left to whoever comes next.
---@param client table
function M.abandon(client)
  abandoned[#abandoned + 1] = client.watch
  for _, pair in next, client.pairs do
    table.move(pair.listeners, 1, #pair.listeners, #abandoned + 1, abandoned)
  end
end

--- Close what garbage has left behind.
function M.sweep()
  local listener = table.remove(abandoned)
  while listener do
    listener:close()
    listener = table.remove(abandoned)
  end
end

--- The connection is gone, and with it what it was to bring.
---@param client table
---@param message string
---@param code string
function M.lost(client, message, code)
  local tokens, pairs_now = common.keys(client.waiting), common.keys(client.pairs)
  for _, token in ipairs(tokens) do
    local waiting = client.waiting[token]
    if waiting and waiting.under_way then
      waiting.answer:resolve(fail(("%s: %s before the answer came"):format(waiting.topic, message),
        code))
    end
  end
  for _, topic in ipairs(pairs_now) do
    local pair = client.pairs[topic]
    if pair then
      close_pair(client, pair)
      pair.ready:resolve(fail(("%s: %s"):format(topic, message), code))
    end
  end
end

return M
