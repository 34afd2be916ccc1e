--- The control side of the service over HTTP: AWS IoT's REST paths and JSON, and a few paths of
--- Hob's own under /hob.
local control = require("hob.service.control")
local httpd = require("hob.httpd")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")

local M = {}

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

-- Method and path ("*" is one segment) -> function(side, request, now, segments ...), which gives
-- the answer's members and the messages to publish, or nil and an error.
local ROUTES = {
  ["GET /hob/health"] = function(side)
    return { status = "ok", broker = side.mqtt.subscribed and "connected" or "not connected" }
  end,
  ["GET /hob/updates"] = function(side, request)
    local updates = side.journal:list(request.query.thing, request.query.job)
    return { updates = json_text.list(updates) }
  end,
  ["GET /hob/executions"] = function(side, request, now)
    local ids
    if request.query.jobs then
      ids = {}
      for id in request.query.jobs:gmatch("[^,]+") do
        ids[#ids + 1] = id
      end
    end
    return side.engine:executions(ids, request.query, now)
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

local function new_node()
  return { children = {}, methods = {} }
end

-- The same, as a tree by segment.
local TREE = new_node()
for name, serve in pairs(ROUTES) do
  local method, path = name:match("^(%S+) (%S+)$")
  local node = TREE
  for part in path:gmatch("[^/]+") do
    node.children[part] = node.children[part] or new_node()
    node = node.children[part]
  end
  node.methods[method] = serve
end

--- @return function|nil serve
--- @return string[] values  the segments that stand for "*"
local function route(method, path)
  local node, values = TREE, {}
  for part in path:gmatch("[^/]+") do
    local fixed = part ~= "*" and node.children[part]
    if not fixed then
      values[#values + 1] = part
    end
    node = fixed or node.children["*"]
    if not node then
      return nil, values
    end
  end
  return node.methods[method], values
end

local function answer(status, members, headers)
  headers = headers or {}
  headers["content-type"] = "application/json"
  return { status = status, headers = headers, body = json_text.encode(members) }
end

local function failed(why)
  return answer(why.status, { message = why.message }, { ["x-amzn-errortype"] = why.type })
end

--- Serve one request, in its turn.
local function serve(side, request)
  local fn, values = route(request.method, request.path)
  if not fn then
    local _, why = control.fail("ResourceNotFoundException", "Nothing answers %s %s",
      request.method, request.path)
    return failed(why)
  end
  local message
  request.json, message = rules.object(request.body or "")
  if not request.json then
    local _, why = control.fail("InvalidRequestException", "body: %s", message)
    return failed(why)
  end
  return side.serial:run(function()
    local members, rest = fn(side, request, side.clock(), table.unpack(values))
    if not members then
      return failed(rest)
    end
    local reply = answer(200, members)
    side.mqtt:publish(rest or {})
    side.mqtt:set_timer()
    return reply
  end)
end

---@class hob.service.http_side.options
---@field engine hob.service.engine
---@field journal table
---@field mqtt table      see hob.service.mqtt_side
---@field clock fun(): number  see hob.service.clock
---@field serial table
---@field address string
---@field port integer    0: any free one

--- @return table|nil server  of hob.httpd
--- @return string|nil message, string|nil code
function M.start(options)
  return httpd.listen{
    address = options.address, port = options.port,
    on_request = function(request) return serve(options, request) end,
  }
end

return M
