--- The request-response form: publish a request, wait for the answer that bears its token.
---
--- The two topics of the answers are subscribed to before the first request of an operation (and
--- job), and shared by all that follow. They are kept for a while when nobody waits, but never more
--- of them than PAIRS_MAX: a client may live for years and see any number of jobs. One that sees
--- JOBS_MAX of them at a time asks for the answers about every job at once instead. Of many
--- requests at once IN_FLIGHT_MAX are under way, the others wait for their turn.
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
local SWEEP_EVERY = 30
-- Two SUBSCRIBEs and two UNSUBSCRIBEs for each job are more than all else that is said of it. A
-- policy that allows them for ids of jobs, which nobody knows beforehand, has a `*` there, and that
-- matches MQTT's `+`, too; where it does not, see `not_of_all`.
local JOBS_MAX = 8
local QOS = 1
-- An answer is lost only with the connection, and then QoS 1 would not bring it again (the session
-- is a clean one): all it adds is a PUBACK for each, which AWS bills.
local QOS_ANSWER = 0
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

local ACCEPTED, REJECTED = "/accepted", "/rejected"

-- It may already have something that is not its answer, though it looked so: then this is the next
-- thing that it looks at.
local function settle(waiting, ...)
  if not waiting.answer:resolve(...) and not waiting.late then
    waiting.late = table.pack(...)
  end
end

local function waiting_for(client, topic, ending, token)
  local waiting = type(token) == "string" and client.waiting[token]
  return waiting and #topic == #waiting.topic + #ending
    and topic:sub(1, #waiting.topic) == waiting.topic and waiting or nil
end

local function on_accepted(client, pair, topic, payload)
  local response = common.decode(pair.class, topic, payload)
  local waiting = response and waiting_for(client, topic, ACCEPTED, response.client_token)
  if waiting then
    settle(waiting, response)
  end
end

local function rejection(topic, rejected)
  return fail(("%s: rejected: %s: %s"):format(topic, rejected.code or "without a code",
    rejected.message or "without a message"), "EREJECTED", rejected)
end

local function on_rejected(client, _, topic, payload)
  local rejected = common.decode("RejectedError", topic, payload)
  local waiting = rejected and waiting_for(client, topic, REJECTED, rejected.client_token)
  if waiting then
    settle(waiting, rejection(waiting.topic, rejected))
  end
end

-- The short way: the connection finds the answer by its token, and whoever waits decodes it. What
-- has the token elsewhere is not the answer: then both results are nil.
local function read_answer(waiting, class, payload, ending)
  if ending == "accepted" then
    local response = common.decode(class, waiting.topic .. ACCEPTED, payload)
    return response and response.client_token == waiting.token and response or nil
  end
  local rejected = common.decode("RejectedError", waiting.topic .. REJECTED, payload)
  if rejected and rejected.client_token == waiting.token then
    return rejection(waiting.topic, rejected)
  end
end

local function expect(client, waiting)
  if client.expects then
    client.connection:expect(waiting.answer, waiting.topic, waiting.token)
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

-- The policy allows single jobs only: AWS IoT closes the connection, other brokers refuse.
local function not_of_all(client, pair)
  client.not_of_all = client.not_of_all or pair.for_all and not pair.granted
end

local function pair_failed(client, pair, topic, message, code)
  close_pair(client, pair)
  if code == "EREFUSED" then
    not_of_all(client, pair)
  end
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
  if client.expects then
    listener:may_lose()
  end
  table.insert(pair.listeners, listener)
  pair.asked[ending] = true
  local begun, message, code = listener:subscribe(QOS_ANSWER, function(granted, no, no_code)
    if not granted then
      pair_failed(client, pair, topic, no, no_code)
      return
    end
    pair.asked[ending] = nil
    if next(pair.asked) == nil then
      pair.granted = true
      pair.ready:resolve(true)
    end
  end)
  if not begun then
    pair_failed(client, pair, topic, message, code)
  end
end

local function new_pair(client, topic, waiting, class)
  local pair = { topic = topic, class = class, users = 0, asked = {}, listeners = {},
    ready = future.new(), of_all = waiting.of_all, for_all = topic == waiting.of_all,
    used = time.mono() }
  client.pairs[topic] = pair
  client.swept = -math.huge -- there may be too many of them now
  open_half(client, pair, ACCEPTED, on_accepted)
  if not pair.ready:done() then
    open_half(client, pair, REJECTED, on_rejected)
  end
  return pair
end

-- The pairs of this operation for single jobs: how many there are, and those that nobody uses.
local function of_jobs(client, of_all)
  local idle, count = {}, 0
  for _, pair in next, client.pairs do
    if pair.of_all == of_all then
      count = count + 1
      idle[#idle + 1] = pair.users == 0 and pair or nil
    end
  end
  return count, idle
end

local function new_pair_for(client, waiting, class)
  local of_all = not client.not_of_all and waiting.of_all
  local count, idle = 0, nil
  if of_all then
    count, idle = of_jobs(client, of_all)
  end
  if count < JOBS_MAX then
    return new_pair(client, waiting.topic, waiting, class)
  end
  for _, pair in ipairs(idle) do
    close_pair(client, pair)
  end
  return new_pair(client, of_all, waiting, class)
end

-- This one and the next three run in a section in which no other task does.

local function known_pair(client, waiting)
  return client.pairs[waiting.topic] or waiting.of_all and client.pairs[waiting.of_all] or nil
end

local function take_pair(client, waiting, class)
  local pair = known_pair(client, waiting) or new_pair_for(client, waiting, class)
  pair.users = pair.users + 1
  return pair
end

local function oldest_idle(client)
  local oldest, count = nil, 0
  for _, pair in next, client.pairs do
    count = count + 1
    if pair.users == 0 and not (oldest and oldest.used <= pair.used) then
      oldest = pair
    end
  end
  return oldest, count
end

local function sweep_pairs(client, now)
  client.swept = now
  local oldest, count = oldest_idle(client)
  while oldest and (count > PAIRS_MAX or now - oldest.used > IDLE_MAX) do
    close_pair(client, oldest)
    oldest, count = oldest_idle(client)
  end
end

local function release_pair(client, pair)
  pair.users = pair.users - 1
  pair.used = time.mono()
  if pair.used - client.swept > SWEEP_EVERY then
    sweep_pairs(client, pair.used)
  end
end

---------------------------------------------------------------- one request

local function timed_out(client, topic, what)
  return fail(("%s: %s within %g s"):format(topic, what, client.operation_timeout), "ETIMEDOUT")
end

local function publish(client, waiting, payload)
  local topic = waiting.topic
  local function failed(message, code)
    settle(waiting, fail(common.why_not_published(topic, message, code), code))
  end
  local begun, message, code = client.connection:post(topic, payload, {
    qos = QOS, done_if_failed = true,
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

local function wait_ready(client, pair, waiting)
  local ready, problem, code = pair.ready:result(math.max(0, waiting.deadline - time.mono()))
  if code == "ETIMEDOUT" then
    close_pair(client, pair)
    return timed_out(client, waiting.topic, "the broker did not answer the subscription")
  end
  return ready, problem
end

local function wait_answer(client, waiting, class)
  local response, problem, code = waiting.answer:result(
    math.max(0, waiting.deadline - time.mono()))
  if code == "ETIMEDOUT" then
    return timed_out(client, waiting.topic, "no answer")
  elseif type(response) ~= "string" then
    return response, problem
  end
  response, problem = read_answer(waiting, class, response, problem)
  if response or problem then
    return response, problem
  end
  waiting.answer = future.new()
  if waiting.late then
    return table.unpack(waiting.late, 1, waiting.late.n)
  end
  expect(client, waiting)
  return wait_answer(client, waiting, class)
end

local function exchange(client, waiting, payload, class)
  expect(client, waiting)
  publish(client, waiting, payload)
  return wait_answer(client, waiting, class)
end

local function ended(client, topic)
  return fail(("%s: %s"):format(topic, client.closed), "ECANCELED")
end

-- A connection that has only just been made may need a moment.
local function wait_up(client, waiting)
  if client.closed then
    return ended(client, waiting.topic)
  end
  local up, why, code = client.connection:wait_up(math.max(0, waiting.deadline - time.mono()))
  if up then
    return true
  elseif code == "ECANCELED" then
    return fail(("%s: %s"):format(waiting.topic, why), code)
  end
  return fail(("%s: not connected to the broker: %s"):format(waiting.topic, why), "ENOTCONN")
end

---------------------------------------------------------------- what a request has taken

-- Until it ends, however it does.
---@class iotjobs.waiting
---@field topic string
---@field of_all string|nil  the topic of the same operation for every job
---@field token string
---@field answer hob.future
---@field has_turn boolean|nil
---@field pair table|nil
local Waiting = {}

local function let_go_of_pair(client, waiting)
  local pair = waiting.pair
  waiting.pair = nil
  if pair then
    release_pair(client, pair)
  end
end

local function let_go(waiting)
  local client = waiting.client
  client.waiting[waiting.token] = nil
  waiting.answer:resolve() -- nothing is expected any more
  let_go_of_pair(client, waiting)
  if waiting.has_turn then
    client.turns:give_back()
  end
end

function Waiting:__close()
  atomic.run(let_go, self)
end

-- All at once where nothing is in its way.
local function begin_at_once(client, waiting)
  local pair = known_pair(client, waiting)
  if pair and pair.granted and client.turns:try() then
    waiting.has_turn, waiting.under_way, waiting.pair = true, true, pair
    pair.users = pair.users + 1
  end
end

local function wait_turn(client, waiting)
  if not client.turns:enter(math.max(0, waiting.deadline - time.mono())) then
    return timed_out(client, waiting.topic, "too many requests are under way: it was not sent")
  end
  waiting.has_turn = true
  if client.closed then
    return ended(client, waiting.topic)
  end
  return true
end

local function take_ready_pair(client, waiting, class)
  waiting.under_way = true
  local pair = atomic.run(take_pair, client, waiting, class)
  waiting.pair = pair
  if pair.granted then
    return true
  end
  local ready, problem = wait_ready(client, pair, waiting)
  if ready or not pair.for_all or problem.code ~= "EREFUSED" then
    return ready, problem
  end
  atomic.run(let_go_of_pair, client, waiting)
  return take_ready_pair(client, waiting, class)
end

local function enter(client, waiting, class)
  local ready, problem = wait_turn(client, waiting)
  if ready then
    ready, problem = take_ready_pair(client, waiting, class)
  end
  return ready, problem
end

---------------------------------------------------------------- requests

local function register(client, waiting)
  if client.waiting[waiting.token] then
    return nil
  end
  client.waiting[waiting.token] = waiting
  return waiting
end

--- Take a token for a request that is about to be made, unless it has one.
---@param client table
---@param topic string
---@param of_all string|nil  the topic of the same operation for every job
---@param request table      complete, but for the token
---@return iotjobs.waiting|nil  nil: another request waits with this token
function M.begin(client, topic, of_all, request)
  local token = request.client_token
  local waiting = { client = client, topic = topic, of_all = of_all,
    token = token or mqtt.unique_id(), answer = future.new() }
  if token then
    return atomic.run(register, client, waiting)
  end
  request.client_token = waiting.token
  client.waiting[waiting.token] = waiting
  return waiting
end

--- Send a request and wait for its answer.
---@param client table
---@param given iotjobs.waiting  of `begin`
---@param request table  complete
---@param class string   of the answer
---@return table|nil response
---@return iotjobs.Error|nil problem
function M.perform(client, given, request, class)
  local waiting <close> = setmetatable(given, Waiting)
  waiting.deadline = time.mono() + client.operation_timeout
  local payload, why = models.encode(request)
  if not payload then
    error(why, 0)
  end
  M.sweep()
  local ready, problem = wait_up(client, waiting)
  if not ready then
    return nil, problem
  end
  atomic.run(begin_at_once, client, waiting)
  if not waiting.has_turn then
    ready, problem = enter(client, waiting, class)
    if not ready then
      return nil, problem
    end
  end
  return exchange(client, waiting, payload, class)
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
  local listener = abandoned[1] and table.remove(abandoned)
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
      settle(waiting, fail(("%s: %s before the answer came"):format(waiting.topic, message), code))
    end
  end
  for _, topic in ipairs(pairs_now) do
    local pair = client.pairs[topic]
    if pair then
      not_of_all(client, pair)
      close_pair(client, pair)
      pair.ready:resolve(fail(("%s: %s"):format(topic, message), code))
    end
  end
end

return M
