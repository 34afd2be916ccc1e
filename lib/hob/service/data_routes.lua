--- The HTTPS data plane of AWS IoT Jobs (`iot-jobs-data`): its REST paths. See
--- hob.service.http_side for the form.
---
--- The operations are those of MQTT, with the same checks; here a document is a string. Errors:
--- AWS IoT Jobs Data Plane API Reference. Spec: spec/integration/service_data_plane_spec.lua
require("hob.service.device")

-- The refusals of MQTT as the exceptions of HTTPS. VersionMismatch has none of its own.
local EXCEPTIONS = {
  InvalidRequest = { "InvalidRequestException", 400 },
  ResourceNotFound = { "ResourceNotFoundException", 404 },
  VersionMismatch = { "InvalidStateTransitionException", 409 },
  InvalidStateTransition = { "InvalidStateTransitionException", 409 },
  TerminalStateReached = { "TerminalStateException", 410 },
}

local function error_of(why)
  local exception = EXCEPTIONS[why.code]
  return { type = exception[1], status = exception[2], message = why.message }
end

local function as_string(members)
  if members and members.jobDocument then
    members.jobDocument = members.jobDocument.text
  end
end

--- @param request table  {op, thing, job}
--- @return table|nil members, table messages_or_error
local function operate(side, request, body, now)
  local engine = side.engine
  request.topic, request.asked = request.op, body.status
  local members, why, change = engine:operate(request, body, now)
  if not members then
    engine:tell_refusal(request, why)
    return nil, error_of(why)
  end
  as_string(members)
  as_string(members.execution)
  members.timestamp = nil -- of MQTT's answers only
  local messages = {}
  if change then
    engine:announce(messages, change, now)
  end
  return members, messages
end

--- A value of a query, which is text, as the checks want it. What is neither is told by them.
local function value_of(text)
  if text == "true" or text == "false" then
    return text == "true"
  end
  return text and math.tointeger(tonumber(text)) or text
end

return {
  ["GET /things/*/jobs"] = function(side, _, now, thing)
    return operate(side, { op = "get", thing = thing }, {}, now)
  end,
  ["PUT /things/*/jobs/$next"] = function(side, request, now, thing)
    return operate(side, { op = "start-next", thing = thing }, request.json, now)
  end,
  ["GET /things/*/jobs/*"] = function(side, request, now, thing, job)
    return operate(side, { op = "describe", thing = thing, job = job }, {
      includeJobDocument = value_of(request.query.includeJobDocument),
      executionNumber = value_of(request.query.executionNumber),
    }, now)
  end,
  ["POST /things/*/jobs/*"] = function(side, request, now, thing, job)
    return operate(side, { op = "update", thing = thing, job = job }, request.json, now)
  end,
}
