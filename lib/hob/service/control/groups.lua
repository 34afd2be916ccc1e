--- Thing groups: static ones, which may have a parent. A thing of a child group is reached through
--- its parent too. Functions of the engine; see hob.service.control for the form.
--- Spec: spec/unit/service_groups_spec.lua
local answers = require("hob.service.control.answers")
local engine = require("hob.service.engine")
local json_text = require("hob.service.json_text")
local members = require("hob.service.control.members")
local ordered = require("hob.service.engine.ordered")
local registry = require("hob.service.control.registry")
local uuid = require("hob.service.engine.uuid")
require("hob.service.engine.reach")

local fail = answers.fail

local function no_group(name)
  return fail("ResourceNotFoundException", "Thing group %s cannot be found", name)
end

local function group_request(name, body)
  members.name(name, "thingGroupName")
  local properties = members.object(body.thingGroupProperties, "thingGroupProperties") or {}
  local payload = members.object(properties.attributePayload,
    "thingGroupProperties.attributePayload") or {}
  return {
    description = members.text(properties.thingGroupDescription,
      "thingGroupProperties.thingGroupDescription", { max = 2028 }),
    attributes = registry.attributes(payload.attributes,
      "thingGroupProperties.attributePayload.attributes"),
    merge = members.boolean(payload.merge, "thingGroupProperties.attributePayload.merge"),
    parent = members.name(body.parentGroupName, "parentGroupName"),
    version = members.integer(body.expectedVersion, "expectedVersion", 0, 1 << 53),
  }
end

local function group_answer(group)
  return { thingGroupName = group.name, thingGroupArn = group.arn, thingGroupId = group.id }
end

--- CreateThingGroup. A second time with the same parent and properties is none of its own.
function engine:create_group(name, body, now)
  local request, why = members.checked(group_request, name, body)
  if not request then
    return nil, why
  elseif request.parent and not self.groups[request.parent] then
    return no_group(request.parent)
  end
  local attributes, known = request.attributes or {}, self.groups[name]
  if known then
    if known.parent == request.parent and known.description == request.description
      and registry.same(known.attributes, attributes) then
      return group_answer(known)
    end
    return fail("ResourceAlreadyExistsException", "Thing group %s exists already, and is another",
      name)
  end
  local group = {
    kind = "group", name = name, arn = self:arn("thinggroup", name), id = uuid.new(), version = 1,
    description = request.description, attributes = attributes, parent = request.parent,
    created_at = math.floor(now), members = {},
  }
  self:enter("groups", name, group)
  self:touch(group)
  return group_answer(group)
end

local function name_and_arn(group)
  return { groupName = group.name, groupArn = group.arn }
end

--- From the root down.
local function ancestors(self, group)
  local list, parent = {}, group.parent and self.groups[group.parent]
  while parent do
    table.insert(list, 1, name_and_arn(parent))
    parent = parent.parent and self.groups[parent.parent]
  end
  return list
end

--- DescribeThingGroup.
function engine:describe_group(name)
  local group = self.groups[name]
  if not group then
    return no_group(name)
  end
  local answer = group_answer(group)
  answer.version = group.version
  answer.thingGroupProperties = {
    thingGroupDescription = group.description,
    attributePayload = next(group.attributes) and { attributes = group.attributes } or nil,
  }
  answer.thingGroupMetadata = {
    parentGroupName = group.parent, creationDate = group.created_at,
    rootToParentThingGroups = group.parent and json_text.list(ancestors(self, group)) or nil,
  }
  return answer
end

--- UpdateThingGroup.
function engine:update_group(name, body)
  local request, why = members.checked(group_request, name, body)
  local group = self.groups[name]
  if not request then
    return nil, why
  elseif not group then
    return no_group(name)
  elseif request.version and request.version ~= group.version then
    return registry.conflict(request.version, group.version)
  end
  group.description = request.description or group.description
  if request.attributes then
    group.attributes = registry.merged(group.attributes, request.attributes, request.merge)
  end
  group.version = group.version + 1
  self:touch(group)
  return { version = group.version }
end

local function children(self, group)
  local found = {}
  for _, other in ipairs(self:in_order("groups", "name")) do
    if other.parent == group.name then
      found[#found + 1] = other
    end
  end
  return found
end

local function by_name(item)
  return item.name
end

--- ListThingGroups.
---@param query table<string, string>  parentGroup, namePrefixFilter, recursive
function engine:list_groups(query)
  local parent, prefix = query.parentGroup, query.namePrefixFilter
  if parent and not self.groups[parent] then
    return no_group(parent)
  end
  local function below(group)
    local up = group.parent
    while up and up ~= parent and query.recursive ~= "false" do
      up = self.groups[up] and self.groups[up].parent
    end
    return up == parent
  end
  return answers.page(self:in_order("groups", "name"), query, {
    name = "groups", member = "thingGroups", kind = "string", key = by_name, view = name_and_arn,
    keep = function(group)
      return (not parent and (query.recursive ~= "false" or not group.parent)
        or parent and below(group)) and (not prefix or group.name:sub(1, #prefix) == prefix)
    end,
  })
end

--- The names of the things in a group, in their order.
---@param deep boolean  those of its children too
---@return string[]
function engine:members_of(group, deep)
  local names, seen = {}, {}
  local function add(one)
    for name in pairs(one.members) do
      if not seen[name] then
        seen[name], names[#names + 1] = true, name
      end
    end
    for _, child in ipairs(deep and children(self, one) or {}) do
      add(child)
    end
  end
  add(group)
  table.sort(names)
  return names
end

local function itself(item)
  return item
end

--- ListThingsInThingGroup.
function engine:list_things_in_group(name, query)
  local group = self.groups[name]
  if not group then
    return no_group(name)
  end
  return answers.page(self:members_of(group, query.recursive == "true"), query, {
    name = "members of " .. name, member = "things", kind = "string", key = itself, view = itself,
  })
end

--- ListThingGroupsForThing.
function engine:list_groups_of_thing(name, query)
  local thing = self.things[name]
  if not thing or thing.deleted then
    return registry.no_thing(name)
  end
  local list = {}
  for i, group in ipairs(thing.groups) do
    list[i] = self.groups[group]
  end
  return answers.page(ordered.sorted(list, by_name), query, {
    name = "groups of " .. name, member = "thingGroups", kind = "string", key = by_name,
    view = name_and_arn,
  })
end

--- A name that is given, or is the end of an ARN.
local function named(body, member, arn_member, kind)
  local name, arn = members.name(body[member], member), members.text(body[arn_member], arn_member,
    { min = 1, max = 2048 })
  local in_arn = arn and arn:match("^arn:[^:]+:iot:[^:]*:[^:]*:" .. kind .. "/(.+)$")
  if arn and not in_arn then
    members.refuse("%s: expected arn:aws:iot:REGION:ACCOUNT:%s/NAME, got %s", arn_member, kind,
      members.shown(arn))
  elseif name and in_arn and name ~= in_arn then
    members.refuse("%s, %s: two different ones", member, arn_member)
  end
  return members.need(name or in_arn, member)
end

local function membership(body)
  return { group = named(body, "thingGroupName", "thingGroupArn", "thinggroup"),
    thing = named(body, "thingName", "thingArn", "thing") }
end

--- @return table|nil group, table thing_or_error
local function find_both(self, body)
  local request, why = members.checked(membership, body)
  if not request then
    return nil, why
  end
  local group, thing = self.groups[request.group], self.things[request.thing]
  if not group then
    return no_group(request.group)
  elseif not thing or thing.deleted then
    return registry.no_thing(request.thing)
  end
  return group, thing
end

--- AddThingToThingGroup.
function engine:add_to_group(body, now)
  local group, thing = find_both(self, body)
  if not group then
    return nil, thing
  end
  local out = {}
  if not group.members[thing.name] then
    self:regroup(out, thing, now, function()
      group.members[thing.name] = true
      table.insert(thing.groups, group.name)
    end)
  end
  return {}, out
end

local function leave(self, out, group, thing, now)
  self:regroup(out, thing, now, function()
    group.members[thing.name] = nil
    for i, name in ipairs(thing.groups) do
      if name == group.name then
        table.remove(thing.groups, i)
        break
      end
    end
  end)
end

--- RemoveThingFromThingGroup.
function engine:remove_from_group(body, now)
  local group, thing = find_both(self, body)
  if not group then
    return nil, thing
  end
  local out = {}
  if group.members[thing.name] then
    leave(self, out, group, thing, now)
  end
  return {}, out
end

--- A thing leaves all its groups.
function engine:leave_groups(out, thing, now)
  for i = #thing.groups, 1, -1 do
    leave(self, out, self.groups[thing.groups[i]], thing, now)
  end
end

--- DeleteThingGroup. Its things leave it first; one that does not exist is deleted too, as at AWS.
function engine:delete_group(name, query, now)
  local version, why = members.checked(registry.expected_version, query)
  local group = self.groups[name]
  if why then
    return nil, why
  elseif not group then
    return {}
  elseif version and version ~= group.version then
    return registry.conflict(version, group.version)
  elseif children(self, group)[1] then
    return fail("InvalidRequestException", "Thing group %s has child groups", name)
  end
  local out = {}
  for _, thing in ipairs(self:members_of(group, false)) do
    leave(self, out, group, self.things[thing], now)
  end
  self:enter("groups", name, nil)
  self:touch(group, true)
  return {}, out
end
