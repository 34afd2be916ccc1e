-- fake_connection.lua - a connection without a broker, for specs of what stands on hob.mqtt.
--
--     local fake = require("spec.support.fake_connection").new()
--     fake.grant = function(filter, qos) return nil, "no", "EREFUSED" end   -- default: grants
--     fake.on_post = function(topic, payload) ... return true end           -- default: true
--     fake:deliver(topic, payload)      -- each matching listener, in a task of its own
--     fake:state("down", "why", "ENOTCONN", 1)
--     fake.posted, fake.filters()       -- what was published; what is subscribed to, sorted

local time = require("hob.time")

local M = {}

local fake = {}
fake.__index = fake

local listener = {}
listener.__index = listener

local function later(fn, ...)
  local arguments = table.pack(...)
  time.after(0, function() fn(table.unpack(arguments, 1, arguments.n)) end)
end

function listener:subscribe(qos, done)
  if not self.connection.up then
    return nil, "not connected to the broker", "ENOTCONN"
  end
  self.connection.asked[#self.connection.asked + 1] = self.filter
  self.held = true
  local outcome = table.pack(self.connection.grant(self.filter, qos))
  if outcome[1] ~= "never" then
    later(done, table.unpack(outcome, 1, outcome.n))
  end
  return true
end

function listener:unsubscribe(done)
  self.held = false
  later(done, true)
  return true
end

-- For who gives the fake an `expect`, as hob.mqtt's connections have it.
function listener:may_lose()
  self.loses = true
end

function listener:close()
  self.closed = true
  self.connection.listeners[self] = nil
end

function fake:listen(filter, fn)
  if self.refuse and filter:find(self.refuse, 1, true) then
    return nil, filter .. ": not here", "EACCES"
  end
  local one = setmetatable({ connection = self, filter = filter, fn = fn }, listener)
  self.listeners[one] = true
  return one
end

function fake:on_state(fn)
  self.watches[#self.watches + 1] = fn
  return { close = function()
    for i, one in ipairs(self.watches) do
      if one == fn then
        table.remove(self.watches, i)
      end
    end
  end }
end

function fake:wait_up(seconds)
  local deadline = time.mono() + seconds
  while not self.up do
    if time.mono() >= deadline then
      return nil, "no connection within the time given", "ETIMEDOUT"
    end
    time.sleep(0.001)
  end
  return true
end

function fake:thing_name()
  return self.thing
end

function fake:post(topic, payload, options)
  if not self.up then
    return nil, "not connected to the broker", "ENOTCONN"
  end
  self.posted[#self.posted + 1] = { topic = topic, payload = payload, qos = options.qos }
  local outcome = table.pack(self.on_post(topic, payload))
  if outcome[1] ~= "never" then
    later(options.on_done, table.unpack(outcome, 1, outcome.n))
  end
  return true
end

local function matches(filter, topic)
  local pattern = filter:gsub("[%$%-]", "%%%0"):gsub("%+", "[^/]+")
  return topic:find("^" .. pattern .. "$") ~= nil
end

function fake:deliver(topic, payload)
  for one in pairs(self.listeners) do
    if matches(one.filter, topic) then
      later(one.fn, topic, payload)
    end
  end
end

function fake:state(state, ...)
  self.up = state == "up"
  for _, fn in ipairs(self.watches) do
    later(fn, state, ...)
  end
end

function fake:filters()
  local list = {}
  for one in pairs(self.listeners) do
    list[#list + 1] = one.held and one.filter or nil
  end
  table.sort(list)
  return list
end

---@param thing? string  as the gateway's own connection has one
function M.new(thing)
  return setmetatable({
    up = true, thing = thing, listeners = {}, watches = {}, posted = {}, asked = {},
    grant = function(_, qos) return qos end,
    on_post = function() return true end,
  }, fake)
end

return M
