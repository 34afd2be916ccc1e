--- A fleet provisioning template of AWS IoT, applied to what a device gave: Parameters, Mappings,
--- Ref, Fn::Join, Fn::Select, Fn::Split, Fn::FindInMap, Fn::Sub, the thing's resource and
--- DeviceConfiguration. Policies are looked at by nobody here. No I/O.
--- Source: AWS IoT Core Developer Guide, "Provisioning templates".
--- Spec: spec/unit/service_provisioning_spec.lua
local json = require("hob.json")

local M = {}

local ID = "AWS::IoT::Certificate::Id"
local DEPTH = 16

---@class hob.service.provisioning.template
---@field parameters table
---@field mappings table
---@field thing table|nil        properties of the thing
---@field overrides table
---@field configuration table|nil

local function object(value)
  return type(value) == "table" and value or nil
end

local function find_thing(resources)
  for _, resource in pairs(resources) do
    if type(resource) == "table" and resource.Type == "AWS::IoT::Thing" then
      return resource
    end
  end
end

--- The body of a template, JSON text.
---@param text string
---@return hob.service.provisioning.template|nil
---@return string|nil message
function M.parse(text)
  local body, why = json.decode(text)
  if type(body) ~= "table" then
    return nil, body == nil and why or "expected an object"
  elseif not object(body.Resources) then
    return nil, "Resources: expected an object"
  end
  local thing = find_thing(body.Resources)
  if not thing or not object(thing.Properties) or thing.Properties.ThingName == nil then
    return nil, "Resources: there is no AWS::IoT::Thing with a ThingName among them"
  end
  return {
    parameters = object(body.Parameters) or {}, mappings = object(body.Mappings) or {},
    thing = thing.Properties, overrides = object(thing.OverrideSettings) or {},
    configuration = object(body.DeviceConfiguration),
  }
end

---------------------------------------------------------------- values

local function refuse(format, ...)
  error({ refused = format:format(...) }, 0)
end

local evaluate

local function text_of(value, at)
  if type(value) == "table" or value == nil then
    refuse("%s: expected a text", at)
  end
  return tostring(value)
end

local function list_of(scope, value, at, depth)
  value = evaluate(scope, value, at, depth)
  if type(value) ~= "table" then
    refuse("%s: expected a list", at)
  end
  return value
end

local function reference(scope, name, at)
  local value = scope.values[name]
  if value == nil then
    refuse("%s: parameter %s has no value", at, tostring(name))
  end
  return value
end

local FUNCTIONS = {
  Ref = function(scope, name, at) return reference(scope, name, at) end,
  ["Fn::Join"] = function(scope, value, at, depth)
    local out = {}
    for i, part in ipairs(list_of(scope, value[2], at, depth)) do
      out[i] = text_of(evaluate(scope, part, at, depth), at)
    end
    return table.concat(out, text_of(value[1], at))
  end,
  ["Fn::Select"] = function(scope, value, at, depth)
    local index = math.tointeger(tonumber(value[1]))
    local found = index and list_of(scope, value[2], at, depth)[index + 1]
    return found == nil and refuse("%s: Fn::Select: there is no element %s", at,
      tostring(value[1])) or found
  end,
  ["Fn::Split"] = function(scope, value, at, depth)
    local out, text = {}, text_of(evaluate(scope, value[2], at, depth), at)
    local sign, from = text_of(value[1], at), 1
    while sign ~= "" do
      local first, last = text:find(sign, from, true)
      out[#out + 1] = text:sub(from, (first or 0) - 1)
      if not first then
        break
      end
      from = last + 1
    end
    return out
  end,
  ["Fn::FindInMap"] = function(scope, value, at, depth)
    local keys = {}
    for i = 1, 3 do
      keys[i] = text_of(evaluate(scope, value[i], at, depth), at)
    end
    local map = object(scope.mappings[keys[1]])
    local row = map and object(map[keys[2]])
    if not row or row[keys[3]] == nil then
      refuse("%s: Fn::FindInMap: there is no %s", at, table.concat(keys, ", "))
    end
    return row[keys[3]]
  end,
  ["Fn::Sub"] = function(scope, value, at)
    local text = type(value) == "table" and value[1] or value
    return (text_of(text, at):gsub("%${([^}]*)}", function(name)
      return text_of(reference(scope, name, at), at)
    end))
  end,
}

function evaluate(scope, value, at, depth)
  if type(value) ~= "table" then
    return value
  elseif depth > DEPTH then
    refuse("%s: more than %d levels", at, DEPTH)
  end
  local name, argument = next(value)
  if FUNCTIONS[name] and next(value, name) == nil then
    return FUNCTIONS[name](scope, argument, at, depth + 1)
  end
  local out = {}
  for key, member in pairs(value) do
    out[key] = evaluate(scope, member, at .. "." .. tostring(key), depth + 1)
  end
  return out
end

--- The values of the parameters: as given, else by default.
local function values_of(template, given, certificate_id)
  local values = {}
  for name, value in pairs(given) do
    values[name] = value
  end
  for name, parameter in pairs(template.parameters) do
    local default = object(parameter) and parameter.Default
    if values[name] == nil then
      values[name] = default
    end
    if values[name] == nil and not name:find("^AWS::") then
      refuse("parameter %s is missing", name)
    end
  end
  values[ID] = certificate_id
  return values
end

---@param template hob.service.provisioning.template
---@param given table<string, string>
---@param certificate_id string
---@return table|nil outcome  { name =, attributes =, type_name =, groups =, configuration = }
---@return string|nil message
function M.apply(template, given, certificate_id)
  local ok, outcome = pcall(function()
    local scope = { mappings = template.mappings,
      values = values_of(template, given, certificate_id) }
    local thing = evaluate(scope, template.thing, "thing", 1)
    return {
      name = text_of(thing.ThingName, "ThingName"), attributes = object(thing.AttributePayload),
      type_name = thing.ThingTypeName, groups = object(thing.ThingGroups) or {},
      configuration = evaluate(scope, template.configuration or {}, "DeviceConfiguration", 1),
    }
  end)
  if ok then
    return outcome
  elseif type(outcome) == "table" and outcome.refused then
    return nil, outcome.refused
  end
  return nil, "the template cannot be applied: " .. tostring(outcome)
end

return M
