--- AWS IoT's control plane over HTTP: its REST paths. See hob.service.http_side for the form.
local answers = require("hob.service.control.answers")
local templates = require("hob.service.documents.templates")

local BOOLEANS = { ["true"] = true, ["false"] = false }

--- `force` of a query.
--- @return boolean|nil
--- @return table|nil error
local function forced(request)
  local text = request.query.force
  local value = BOOLEANS[text or "false"]
  if value == nil then
    return answers.fail("InvalidRequestException", "force: expected true or false, got %s", text)
  end
  return value
end

--- A route that takes `force`: serve(side, request, now, force, segments ...).
local function with_force(serve)
  return function(side, request, now, ...)
    local force, why = forced(request)
    if why then
      return nil, why
    end
    return serve(side, request, now, force, ...)
  end
end

--- The number of an execution; absent is legal in a query.
local function number_of(text)
  if text == nil or text:find("^%d+$") and #text < 16 then
    return text and math.tointeger(tonumber(text))
  end
  return answers.fail("InvalidRequestException", "executionNumber: expected an integer, got %s",
    text)
end

--- No job of this service lives in a namespace.
local function in_namespace(request, id)
  local namespace = request.query.namespaceId
  if namespace then
    return answers.fail("ResourceNotFoundException", "Job %s cannot be found in namespace %s", id,
      namespace)
  end
  return true
end

local ENDPOINTS = {
  ["iot:Data"] = function(side) return side.mqtt.broker end,
  ["iot:Data-ATS"] = function(side) return side.mqtt.broker end,
  ["iot:Jobs"] = function(side, request)
    return request.headers.host or ("%s:%d"):format(side.address, side.server:port())
  end,
}

return {
  ["GET /endpoint"] = function(side, request)
    local kind = request.query.endpointType or "iot:Data"
    local address = ENDPOINTS[kind]
    if not address then
      return answers.fail("InvalidRequestException",
        "endpointType: expected iot:Data, iot:Data-ATS or iot:Jobs, got %s", kind)
    end
    return { endpointAddress = address(side, request) }
  end,
  ["GET /event-configurations"] = function(side)
    return side.engine:describe_events()
  end,
  ["PATCH /event-configurations"] = function(side, request, now)
    return side.engine:update_events(request.json, now)
  end,

  ["GET /things"] = function(side, request)
    return side.engine:list_things(request.query)
  end,
  ["POST /things/*"] = function(side, request, _, name)
    return side.engine:create_thing(name, request.json)
  end,
  ["GET /things/*"] = function(side, _, _, name)
    return side.engine:describe_thing(name)
  end,
  ["PATCH /things/*"] = function(side, request, _, name)
    return side.engine:update_thing(name, request.json)
  end,
  ["DELETE /things/*"] = function(side, request, now, name)
    return side.engine:delete_thing(name, request.query, now)
  end,
  ["GET /things/*/thing-groups"] = function(side, request, _, name)
    return side.engine:list_groups_of_thing(name, request.query)
  end,

  ["GET /thing-groups"] = function(side, request)
    return side.engine:list_groups(request.query)
  end,
  ["PUT /thing-groups/addThingToThingGroup"] = function(side, request, now)
    return side.engine:add_to_group(request.json, now)
  end,
  ["PUT /thing-groups/removeThingFromThingGroup"] = function(side, request, now)
    return side.engine:remove_from_group(request.json, now)
  end,
  ["POST /thing-groups/*"] = function(side, request, now, name)
    return side.engine:create_group(name, request.json, now)
  end,
  ["GET /thing-groups/*"] = function(side, _, _, name)
    return side.engine:describe_group(name)
  end,
  ["PATCH /thing-groups/*"] = function(side, request, _, name)
    return side.engine:update_group(name, request.json)
  end,
  ["DELETE /thing-groups/*"] = function(side, request, now, name)
    return side.engine:delete_group(name, request.query, now)
  end,
  ["GET /thing-groups/*/things"] = function(side, request, _, name)
    return side.engine:list_things_in_group(name, request.query)
  end,

  ["GET /jobs"] = function(side, request)
    return side.engine:list_jobs(request.query)
  end,
  ["PUT /jobs/*"] = function(side, request, now, id)
    return side.engine:create_job(id, request.json, now)
  end,
  ["GET /jobs/*"] = function(side, _, _, id)
    return side.engine:describe_job(id)
  end,
  ["PATCH /jobs/*"] = function(side, request, now, id)
    local ok, why = in_namespace(request, id)
    if not ok then
      return nil, why
    end
    return side.engine:update_job(id, request.json, now)
  end,
  ["GET /jobs/*/job-document"] = function(side, _, _, id)
    return side.engine:job_document(id)
  end,
  ["POST /jobs/*/targets"] = function(side, request, now, id)
    local ok, why = in_namespace(request, id)
    if not ok then
      return nil, why
    end
    return side.engine:associate_targets(id, request.json, now)
  end,
  ["PUT /jobs/*/cancel"] = with_force(function(side, request, now, force, id)
    return side.engine:cancel_job(id, request.json, force, now)
  end),
  ["DELETE /jobs/*"] = with_force(function(side, request, now, force, id)
    local ok, why = in_namespace(request, id)
    if not ok then
      return nil, why
    end
    return side.engine:delete_job(id, force, now)
  end),
  ["GET /jobs/*/things"] = function(side, request, _, id)
    return side.engine:list_executions_of_job(id, request.query)
  end,
  ["GET /things/*/jobs"] = function(side, request, _, thing)
    return side.engine:list_executions_of_thing(thing, request.query)
  end,
  ["GET /things/*/jobs/*"] = function(side, request, now, thing, job)
    local number, why = number_of(request.query.executionNumber)
    if why then
      return nil, why
    end
    return side.engine:describe_execution(thing, job, number, now)
  end,
  ["PUT /things/*/jobs/*/cancel"] = with_force(function(side, request, now, force, thing, job)
    return side.engine:cancel_job_execution(thing, job, request.json, force, now)
  end),
  ["DELETE /things/*/jobs/*/executionNumber/*"] = with_force(
    function(side, request, now, force, thing, job, text)
      local number, ok, why = number_of(text), in_namespace(request, job)
      if not number then
        return answers.no_execution(thing, job, text)
      elseif not ok then
        return nil, why
      end
      return side.engine:delete_job_execution(thing, job, number, force, now)
    end),
  ["GET /managed-job-templates"] = function(side, request)
    return templates.page(request.query, side.engine:region())
  end,
  ["GET /managed-job-templates/*"] = function(side, request, _, name)
    return templates.describe(name, request.query.templateVersion, side.engine:region())
  end,
}
