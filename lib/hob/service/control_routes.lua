--- AWS IoT's control plane over HTTP: its REST paths. See hob.service.http_side for the form.

local function forced(request)
  return request.query.force == "true"
end

--- The number of an execution in a path or a query; absent is legal, something else is not.
local function number_of(text)
  if text == nil then
    return nil
  end
  return math.tointeger(tonumber(text)) or -1
end

return {
  ["GET /jobs"] = function(side, request)
    return side.engine:list_jobs(request.query)
  end,
  ["PUT /jobs/*"] = function(side, request, now, id)
    return side.engine:create_job(id, request.json, now)
  end,
  ["GET /jobs/*"] = function(side, _, _, id)
    return side.engine:describe_job(id)
  end,
  ["GET /jobs/*/job-document"] = function(side, _, _, id)
    return side.engine:job_document(id)
  end,
  ["PUT /jobs/*/cancel"] = function(side, request, now, id)
    return side.engine:cancel_job(id, request.json, forced(request), now)
  end,
  ["DELETE /jobs/*"] = function(side, request, now, id)
    return side.engine:delete_job(id, forced(request), now)
  end,
  ["GET /jobs/*/things"] = function(side, request, _, id)
    return side.engine:list_executions_of_job(id, request.query)
  end,
  ["GET /things/*/jobs"] = function(side, request, _, thing)
    return side.engine:list_executions_of_thing(thing, request.query)
  end,
  ["GET /things/*/jobs/*"] = function(side, request, now, thing, job)
    return side.engine:describe_execution(thing, job, number_of(request.query.executionNumber), now)
  end,
  ["PUT /things/*/jobs/*/cancel"] = function(side, request, now, thing, job)
    return side.engine:cancel_job_execution(thing, job, request.json, forced(request), now)
  end,
  ["DELETE /things/*/jobs/*/executionNumber/*"] = function(side, request, now, thing, job, number)
    return side.engine:delete_job_execution(thing, job, number_of(number), forced(request), now)
  end,
}
