--- The registry of things, as functions of the engine; see hob.service.control for the form. A
--- thing that a job names needs no registration: it is there from then on.
--- Spec: spec/unit/service_things_spec.lua
local answers = require("hob.service.control.answers")
local engine = require("hob.service.engine")
local members = require("hob.service.control.members")
local ordered = require("hob.service.engine.ordered")
local registry = require("hob.service.control.registry")
local rules = require("hob.service.rules")
require("hob.service.control.groups")

local function thing_request(name, body)
  members.name(name, "thingName")
  local payload = members.object(body.attributePayload, "attributePayload") or {}
  return {
    attributes = registry.attributes(payload.attributes, "attributePayload.attributes"),
    merge = members.boolean(payload.merge, "attributePayload.merge"),
    type_name = members.name(body.thingTypeName, "thingTypeName"),
    billing_group = members.name(body.billingGroupName, "billingGroupName"),
    remove_type = members.boolean(body.removeThingType, "removeThingType"),
    version = members.integer(body.expectedVersion, "expectedVersion", 0, 1 << 53),
  }
end

local function thing_answer(thing)
  return { thingName = thing.name, thingArn = thing.arn, thingId = thing.id }
end

local function known(self, name)
  local thing = self.things[name]
  return thing and not thing.deleted and thing or nil
end

--- CreateThing. A second time with the same configuration is none of its own.
function engine:create_thing(name, body)
  local request, why = members.checked(thing_request, name, body)
  if not request then
    return nil, why
  end
  local attributes, thing = request.attributes or {}, known(self, name)
  if thing and thing.registered then
    if thing.type_name == request.type_name and thing.billing_group == request.billing_group
      and registry.same(thing.attributes, attributes) then
      return thing_answer(thing)
    end
    local _, conflict = answers.fail("ResourceAlreadyExistsException",
      "Thing %s exists already, and is another", name)
    conflict.more = { resourceId = thing.id, resourceArn = thing.arn }
    return nil, conflict
  end
  thing = self:thing(name)
  thing.registered, thing.attributes = true, attributes
  thing.type_name, thing.billing_group = request.type_name, request.billing_group
  self:touch(thing)
  return thing_answer(thing)
end

--- DescribeThing.
function engine:describe_thing(name)
  local thing = known(self, name)
  if not thing then
    return registry.no_thing(name)
  end
  local answer = thing_answer(thing)
  answer.defaultClientId, answer.version = name, thing.version
  answer.attributes, answer.thingTypeName = thing.attributes, thing.type_name
  answer.billingGroupName = thing.billing_group
  return answer
end

--- UpdateThing.
function engine:update_thing(name, body)
  local request, why = members.checked(thing_request, name, body)
  local thing = known(self, name)
  if not request then
    return nil, why
  elseif not thing then
    return registry.no_thing(name)
  elseif request.version and request.version ~= thing.version then
    return registry.conflict(request.version, thing.version)
  end
  if request.attributes then
    thing.attributes = registry.merged(thing.attributes, request.attributes, request.merge)
  end
  thing.type_name = not request.remove_type and (request.type_name or thing.type_name) or nil
  thing.version = thing.version + 1
  self:touch(thing)
  return {}
end

local function fits(thing, query)
  local name, wanted = query.attributeName, query.attributeValue
  if thing.deleted or query.thingTypeName and thing.type_name ~= query.thingTypeName then
    return false
  end
  local value = name and thing.attributes[name]
  if not name then
    return true
  elseif query.usePrefixAttributeValue == "true" then
    return value ~= nil and value:sub(1, #(wanted or "")) == (wanted or "")
  end
  return value ~= nil and (wanted == nil or value == wanted)
end

local function attribute_view(thing)
  return { thingName = thing.name, thingArn = thing.arn, thingTypeName = thing.type_name,
    attributes = thing.attributes, version = thing.version }
end

--- ListThings.
---@param query table<string, string>  attributeName, attributeValue, thingTypeName
function engine:list_things(query)
  return answers.page(self:in_order("things", "name"), query, {
    name = "things", member = "things", kind = "string", view = attribute_view,
    key = function(thing) return thing.name end,
    keep = function(thing) return fits(thing, query) end,
  })
end

--- What a thing still had to do, oldest first.
local function open_executions(thing)
  local found = {}
  for _, record in pairs(thing.records) do
    for _, execution in pairs(record) do
      if type(execution) == "table" and not rules.TERMINAL[execution.status] then
        found[#found + 1] = execution
      end
    end
  end
  return ordered.sorted(found, function(execution) return execution.seq end)
end

--- DeleteThing. It leaves its groups, and what it still had to do is REMOVED; what it has done
--- stays with the jobs. One that does not exist is deleted too, as at AWS.
function engine:delete_thing(name, query, now)
  local version, why = members.checked(registry.expected_version, query)
  local thing = known(self, name)
  if why then
    return nil, why
  elseif not thing then
    return {}
  elseif version and version ~= thing.version then
    return registry.conflict(version, thing.version)
  end
  local out = {}
  thing.deleted, thing.registered = true, nil
  self:leave_groups(out, thing, now)
  for _, execution in ipairs(open_executions(thing)) do
    self:announce(out, self:remove(execution, now, "the thing was deleted"), now)
  end
  thing.attributes, thing.type_name, thing.billing_group = {}, nil, nil
  self:touch(thing)
  self:forget(thing)
  return {}, out
end
