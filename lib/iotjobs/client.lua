--- The client of `iotjobs`: its two forms and its streams, over one MQTT connection that others may
--- use at the same time. See docs/how-to/use-iotjobs.md
local common = require("iotjobs.common")
local exchange = require("iotjobs.exchange")
local future = require("hob.future")
local models = require("iotjobs.models")
local mqtt = require("hob.mqtt")
local standing = require("iotjobs.standing")
local stream = require("iotjobs.stream")
local subscriptions = require("iotjobs.subscriptions")
local topics = require("iotjobs.topics")

local M = {}

local OPERATION_TIMEOUT = 10

---@class iotjobs.IotJobsClient
---@field thing_name string|nil  what a request without thing_name is about
---@field closed string|nil      why nothing can be asked any more
local Client = {}
Client.__index = Client
Client.__name = "iotjobs.IotJobsClient"

---------------------------------------------------------------- checks

local function wrong_client(self)
  return getmetatable(self) ~= Client
    and "this is a method of a client: client:method(...), with a colon" or nil
end

-- The request as an object of its class, with the client's thing where it names none. AWS's own
-- examples subscribe to answers with the request itself, of which that takes what it needs: `also`
-- is its class.
local function complete(self, class, request, also)
  local no_client = wrong_client(self)
  if no_client then
    return nil, no_client
  end
  return models.complete(class, request, self.thing_name, also)
end

local function wrong_qos(qos)
  return qos ~= 0 and qos ~= 1 and "qos: expected 0 or 1, got " .. tostring(qos) or nil
end

local function wrong_callback(callback)
  return type(callback) ~= "function"
    and "callback: expected a function, got " .. type(callback) or nil
end

---------------------------------------------------------------- publish and subscribe

local function publish(self, topic, request, qos)
  local published = future.new()
  local function failed(message, code)
    published:resolve(nil, common.why_not_published(topic, message, code), code)
  end
  if self.closed then
    failed(self.closed, "ECANCELED")
    return published
  end
  local begun, message, code = self.connection:post(topic, models.to_payload(request), {
    qos = qos,
    on_done = function(ok, no, no_code)
      if ok then
        published:resolve(true)
      elseif no_code == "ENOTCONN" then
        failed("the connection broke before the broker confirmed it", no_code)
      else
        failed(no, no_code)
      end
    end,
  })
  if not begun then
    failed(message, code)
  end
  return published
end

-- Errors are raised by the method itself, so that level 2 is the line of its caller.

local function add_publish(operation)
  Client["publish_" .. operation.name] = function(self, request, qos)
    local whole, problem = complete(self, operation.request, request)
    problem = problem or wrong_qos(qos)
    local topic
    if not problem then
      topic, problem = topics.request(operation, self.namespace, whole)
    end
    if problem then
      error(problem, 2)
    end
    return publish(self, topic, whole, qos)
  end
end

local function add_subscribe(name, wanted)
  Client["subscribe_to_" .. name] = function(self, request, qos, callback)
    local whole, problem = complete(self, wanted.subscription, request, wanted.request)
    problem = problem or wrong_qos(qos) or wrong_callback(callback)
    local topic
    if not problem then
      topic, problem = wanted.topic(self, whole)
    end
    if problem then
      error(problem, 2)
    end
    return subscriptions.add(self, { topic = topic, qos = qos, class = wanted.class,
      callback = callback }), topic
  end
end

local function add_answers(operation)
  for ending, class in pairs{ accepted = operation.response, rejected = "RejectedError" } do
    add_subscribe(operation.name .. "_" .. ending, {
      subscription = operation.subscription, request = operation.request, class = class,
      topic = function(self, request)
        local topic, problem = topics.request(operation, self.namespace, request)
        return topic and topic .. "/" .. ending, problem
      end,
    })
  end
end

local function add_events(event)
  add_subscribe(event.name .. "_events", {
    subscription = event.subscription, class = event.event,
    topic = function(self, request) return topics.event(event, self.namespace, request) end,
  })
end

--- End what a subscribe_to_... began.
---@param topic string  its second result
---@return hob.future future  of true
function Client:unsubscribe(topic)
  local no_client = wrong_client(self)
  if no_client then
    error(no_client, 2)
  elseif type(topic) ~= "string" then
    error("topic: expected a string, got " .. type(topic), 2)
  end
  return subscriptions.remove(self, topic)
end

---------------------------------------------------------------- request and response

local function add_request(operation)
  Client[operation.name] = function(self, request)
    local whole, problem = complete(self, operation.request, request)
    local topic
    if not problem then
      topic, problem = topics.request(operation, self.namespace, whole)
    end
    local waiting = not problem and exchange.begin(self, topic,
      topics.of_all_jobs(operation, self.namespace, whole), whole)
    if not problem and not waiting then
      problem = ("client_token: '%s' is that of a request which has no answer yet"):format(
        whole.client_token)
    end
    if problem then
      error(problem, 2)
    end
    return exchange.perform(self, waiting, whole, operation.response)
  end
end

---------------------------------------------------------------- streams

local STREAM_OPTIONS = { thing_name = true, on_event = true, on_status = true, on_failure = true }

local function wrong_stream_options(options)
  if type(options) ~= "table" then
    return "options: expected a table, got " .. type(options)
  end
  for name, value in pairs(options) do
    if not STREAM_OPTIONS[name] then
      return ("unknown option '%s'; known: on_event, on_failure, on_status, thing_name"):format(
        tostring(name))
    elseif name ~= "thing_name" and type(value) ~= "function" then
      return ("%s: expected a function, got %s"):format(name, type(value))
    end
  end
end

local function add_stream(event)
  Client["create_" .. event.name .. "_stream"] = function(self, options)
    local problem, whole = wrong_client(self) or wrong_stream_options(options), nil
    if not problem then
      whole, problem = complete(self, event.subscription, { thing_name = options.thing_name })
    end
    if problem then
      error(problem, 2)
    end
    return stream.new(self, {
      topic = topics.event(event, self.namespace, whole), class = event.event,
      on_event = options.on_event, on_status = options.on_status, on_failure = options.on_failure,
    })
  end
end

---------------------------------------------------------------- all of them

for _, operation in ipairs(topics.OPERATIONS) do
  add_publish(operation)
  add_answers(operation)
  add_request(operation)
end
for _, event in ipairs(topics.EVENTS) do
  add_events(event)
  add_stream(event)
end

--- End every subscription, stream and request of this client. The connection stays.
function Client:close()
  self.closed = self.closed or "the client was closed"
  stream.close_all(self)
  standing.close_all(self)
  exchange.lost(self, self.closed, "ECANCELED")
  if self.watch then
    self.watch:close()
    self.watch = nil
  end
end

function Client:__tostring()
  return ("%s (%s)"):format(Client.__name, tostring(self.connection))
end

---------------------------------------------------------------- the connection

local function on_state(self, state, why)
  if state == "up" then
    standing.renew(self)
  elseif state == "down" then
    exchange.lost(self, "the connection broke (" .. tostring(why) .. ")", "ENOTCONN")
    stream.lost(self, why)
  else
    self.closed = "the connection was closed"
    exchange.lost(self, self.closed, "ECANCELED")
    standing.connection_closed(self)
  end
end

-- The connection does not keep the client: one that nobody has any more is garbage, unless it has
-- callbacks or streams.
local function watch(self)
  local weak = self.weak
  local listener, why
  listener, why = self.connection:on_state(function(...)
    if weak.client then
      on_state(weak.client, ...)
    else
      listener:close()
    end
  end)
  self.watch = listener
  return not listener and "connection: " .. why or nil
end

if mqtt.connect then -- else it ends with the handler's state, where no __gc is allowed
  function Client:__gc()
    exchange.abandon(self)
  end
end

-- A handler's file is run once to look at it, where no gateway is: a client that it makes on the
-- way must not fail that, and is never used.
local NOT_HERE = setmetatable({}, {
  __index = function()
    error("iotjobs: the gateway's connection is there only while a job runs", 3)
  end,
  __tostring = function() return "no connection" end,
})

local function agent_connection()
  local agent = mqtt.agent()
  if agent or not mqtt.connect then
    return agent or NOT_HERE
  end
  return nil, "no connection given and no running gateway here: pass "
    .. "require(\"hob.mqtt\").connect{...}"
end

local METHODS = { "listen", "on_state", "post" }

local function has_method(connection, name)
  local ok, method = pcall(function() return connection[name] end)
  return ok and type(method) == "function"
end

local function wrong_connection(connection)
  local kind = type(connection)
  local fits = kind == "table" or kind == "userdata" and getmetatable(connection) ~= nil
  for _, name in ipairs(METHODS) do
    fits = fits and has_method(connection, name)
  end
  return not fits and "connection: expected one of hob.mqtt, got " .. kind or nil
end

local OPTIONS = { namespace = "string", operation_timeout = "number", thing_name = "string" }

local function wrong_options(options)
  if type(options) ~= "table" then
    return "options: expected a table, got " .. type(options)
  end
  for name, value in pairs(options) do
    if not OPTIONS[name] then
      return ("unknown option '%s'; known: namespace, operation_timeout, thing_name"):format(
        tostring(name))
    elseif type(value) ~= OPTIONS[name] then
      return ("%s: expected a %s, got %s"):format(name, OPTIONS[name], type(value))
    end
  end
  local seconds, namespace = options.operation_timeout, options.namespace
  if seconds and not (seconds > 0 and seconds <= 86400) then
    return ("operation_timeout: expected seconds, more than 0 and at most 86400, got %g"):format(
      seconds)
  elseif namespace and (#namespace > 64 or not namespace:find("^[%w_-]+$")) then
    return ("namespace: expected 1-64 of [a-zA-Z0-9_-], got '%s'"):format(namespace)
  end
end

---@class iotjobs.ClientOptions
---@field namespace? string          use the topics of this namespace
---@field operation_timeout? number  seconds that a request may take, 10 if not given
---@field thing_name? string         for requests that name none

--- A client of AWS IoT Jobs.
---@param connection? table  of hob.mqtt; nil: the running gateway's own, in a handler
---@param options? iotjobs.ClientOptions
---@return iotjobs.IotJobsClient
function M.new(connection, options)
  local problem = options ~= nil and wrong_options(options) or nil
  if connection == nil then
    local why
    connection, why = agent_connection()
    problem = problem or why
  else
    problem = problem or wrong_connection(connection)
  end
  if problem then
    error(problem, 2)
  end
  options = options or {}
  local here = connection ~= NOT_HERE
  local self = setmetatable({
    connection = connection, namespace = options.namespace,
    operation_timeout = options.operation_timeout or OPERATION_TIMEOUT,
    thing_name = options.thing_name,
    standing = {}, streams = {}, pairs = {}, swept = 0, waiting = {}, turns = exchange.turns(),
  }, Client)
  self.weak = setmetatable({ client = self }, { __mode = "v" })
  exchange.sweep()
  if here then
    self.expects = has_method(connection, "expect")
    self.thing_name = self.thing_name or connection.thing_name and connection:thing_name()
    problem = watch(self)
  end
  if problem then
    error(problem, 2)
  end
  return self
end

return M
