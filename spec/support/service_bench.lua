-- The engine of the local Jobs service with a clock in the hand, for its specs.
--
--     local bench = require("spec.support.service_bench").new()
--     bench:create("j1", "lamp")                       -- CreateJob
--     local said = bench:ask("lamp", "start-next", {}) -- what the service says to it
--     said:text()      "start-next/accepted"   -- topics after $aws/things/T/jobs/, in order
--     said[1].body     decoded; said[1].payload as published
--     bench:wait(60)   the clock goes on; returns what the service says meanwhile

local control = require("hob.service.control")
local engines = require("hob.service.engine")
local json = require("hob.json")
require("hob.service.device")

assert(control.fail)

local M = {}

M.START = 1700000000.25

local said_meta = { __index = {} }

function said_meta.__index.text(said)
  local topics = {}
  for i, message in ipairs(said) do
    topics[i] = message.short
  end
  return table.concat(topics, " ")
end

local function said_of(messages)
  local out = setmetatable({}, said_meta)
  for i, message in ipairs(messages) do
    out[i] = {
      topic = message.topic, payload = message.payload,
      short = message.topic:match("^%$aws/things/[^/]*/jobs/(.+)$") or message.topic,
      body = assert(json.decode(message.payload)),
    }
  end
  return out
end

local bench = {}
bench.__index = bench

---@param options table?  of hob.service.engine
function M.new(options)
  local self = setmetatable({ now = M.START, events = {} }, bench)
  options = options or {}
  options.on_event = function(event) table.insert(self.events, event) end
  self.engine = engines.new(options)
  return self
end

function M.arn(thing)
  return "arn:aws:iot:eu-west-1:000000000001:thing/" .. thing
end

--- Publish raw text on a whole topic.
function bench:publish(topic, payload)
  return said_of(self.engine:handle(topic, payload, self.now))
end

--- Publish a request of a thing; `body` is a table or text.
function bench:ask(thing, operation, body)
  local text = type(body) == "table" and (next(body) and json.encode(body) or "{}") or body or "{}"
  return self:publish(("$aws/things/%s/jobs/%s"):format(thing, operation), text)
end

--- Ask, and have the one answer's body and the last word of its topic.
function bench:answer(thing, operation, body)
  local said = self:ask(thing, operation, body)
  return said[1].body, said[1].short:match("[^/]+$")
end

--- What a control function says; an error fails the spec.
function bench:control(name, ...)
  local answer, messages = self.engine[name](self.engine, ...)
  if not answer then
    error(messages.type .. ": " .. messages.message, 2)
  end
  return said_of(messages or {}), answer
end

--- CreateJob for one thing or a list of them.
function bench:create(id, things, more)
  local body = { targets = {}, document = '{"operation":"' .. id .. '"}' }
  for _, thing in ipairs(type(things) == "table" and things or { things }) do
    table.insert(body.targets, M.arn(thing))
  end
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  return self:control("create_job", id, body, self.now)
end

function M.group_arn(group)
  return "arn:aws:iot:eu-west-1:000000000001:thinggroup/" .. group
end

--- CreateThingGroup, and CreateThing and AddThingToThingGroup for each of `things`.
function bench:group(name, things)
  self:control("create_group", name, {}, self.now)
  for _, thing in ipairs(things or {}) do
    self:control("create_thing", thing, {})
    self:join(name, thing)
  end
end

--- AddThingToThingGroup: what the service says.
function bench:join(group, thing)
  return (self:control("add_to_group", { thingGroupName = group, thingName = thing }, self.now))
end

--- RemoveThingFromThingGroup: what the service says.
function bench:leave(group, thing)
  return (self:control("remove_from_group", { thingGroupName = group, thingName = thing },
    self.now))
end

--- CreateJob for groups; `more` may ask for CONTINUOUS.
function bench:create_for_groups(id, groups, more)
  local arns = {}
  for i, group in ipairs(groups) do
    arns[i] = M.group_arn(group)
  end
  local body = { targets = arns }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  return self:create(id, {}, body)
end

--- Job, of DescribeJob.
function bench:job(id)
  return assert(self.engine:describe_job(id)).job
end

--- A job's executions as "thing#number STATUS, ...", in the order in which they were queued.
function bench:executions(id)
  local list = {}
  for i, execution in ipairs(self.engine.jobs[id].executions) do
    list[i] = ("%s#%d %s"):format(execution.thing.name, execution.number, execution.status)
  end
  return table.concat(list, ", ")
end

--- Every page of a list: name(query, ...) of the engine, `count` items at a time.
function bench:pages(name, member, count, ...)
  local found, token = {}, nil
  local first = { ... }
  repeat
    local arguments = table.move(first, 1, #first, 1, {})
    local query = { maxResults = tostring(count), nextToken = token }
    for key, value in pairs(self.query or {}) do
      query[key] = value
    end
    table.insert(arguments, query)
    local answer = assert(self.engine[name](self.engine, table.unpack(arguments)))
    assert(#answer[member] <= count)
    table.move(answer[member], 1, #answer[member], #found + 1, found)
    token = answer.nextToken
  until not token
  return found
end

--- The error of a control function.
function bench:refused(name, ...)
  local answer, why = self.engine[name](self.engine, ...)
  assert(answer == nil, name .. " was not refused")
  return why
end

--- A second goes by, or several.
function bench:wait(seconds)
  self.now = self.now + seconds
  return said_of(self.engine:tick(self.now))
end

--- How often an event was told.
function bench:count(event)
  local n = 0
  for _, one in ipairs(self.events) do
    n = n + (one.event == event and 1 or 0)
  end
  return n
end

return M
