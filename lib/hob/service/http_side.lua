--- The control side of the service over HTTP: AWS IoT's REST paths and JSON, and a few paths of
--- Hob's own under /hob.
local answers = require("hob.service.control.answers")
local control_routes = require("hob.service.control.routes")
local data_routes = require("hob.service.data_routes")
local fault_routes = require("hob.service.fault_routes")
local httpd = require("hob.httpd")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")
local time = require("hob.time")
require("hob.service.control")

local M = {}

local DONE_AGAIN = 0.002 -- seconds
local NO_ROUTE = "Nothing answers %s %s: the local Jobs service has no such operation"

-- Hob's own.
local OWN_ROUTES = {
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
}

-- Method and path ("*" is one segment) -> function(side, request, now, segments ...), which gives
-- the answer's members, the messages to publish and, if the answer is to wait for turns to come, a
-- function that says when it is time; or nil and an error. AWS's two services share
-- paths; the signature of a request says which one is meant.
local ROUTES = {
  iot = { OWN_ROUTES, fault_routes, control_routes },
  ["iot-jobs-data"] = { data_routes },
}

local function new_node()
  return { children = {}, methods = {} }
end

local function plant(tree, name, serve)
  local method, path = name:match("^(%S+) (%S+)$")
  local node = tree
  for part in path:gmatch("[^/]+") do
    node.children[part] = node.children[part] or new_node()
    node = node.children[part]
  end
  node.methods[method] = serve
end

-- The same, as a tree by segment for each service.
local TREES = {}
for service, tables in pairs(ROUTES) do
  TREES[service] = new_node()
  for _, routes in ipairs(tables) do
    for name, serve in pairs(routes) do
      plant(TREES[service], name, serve)
    end
  end
end

--- The service that a request was signed for; the control plane if it was not signed.
local function service_of(request)
  local scope = (request.headers.authorization or ""):match("Credential=[^,%s]+") or ""
  local name = scope:match("/([%w-]+)/aws4_request$")
  return TREES[name] and name or "iot"
end

--- Go down the tree from segment `at`; a segment's own name goes before "*".
--- @return function|nil serve
local function descend(node, parts, at, method, values)
  local part = parts[at]
  if not part then
    return node.methods[method]
  end
  local fixed, any = part ~= "*" and node.children[part], node.children["*"]
  local serve = fixed and descend(fixed, parts, at + 1, method, values)
  if serve or not any then
    return serve or nil
  end
  local place = #values + 1
  values[place] = part
  serve = descend(any, parts, at + 1, method, values)
  if not serve then
    values[place] = nil
  end
  return serve
end

--- @return function|nil serve
--- @return string[] values  the segments that stand for "*"
local function route(request)
  local parts, values = {}, {}
  for part in request.path:gmatch("[^/]+") do
    parts[#parts + 1] = part
  end
  return descend(TREES[service_of(request)], parts, 1, request.method, values), values
end

local function answer(status, members, headers)
  headers = headers or {}
  headers["content-type"] = "application/json"
  return { status = status, headers = headers, body = json_text.encode(members) }
end

local function failed(why)
  local members = { message = why.message }
  for name, value in pairs(why.more or {}) do
    members[name] = value
  end
  return answer(why.status, members, { ["x-amzn-errortype"] = why.type })
end

--- What a defect of the service is answered.
local function broken(side, message)
  side.engine.on_event{ level = "error", event = "service.internal_error", text = message }
  return failed(select(2, answers.fail("InternalFailureException", "The service failed")))
end

local function unstored()
  return failed(select(2, answers.fail("ServiceUnavailableException",
    "The service cannot store what it does; its log says why")))
end

--- A request's turn.
--- @return table reply
--- @return (fun(): boolean)|nil done
local function turn(side, fn, request, values)
  if side.mqtt.unstored and not side.mqtt:settle{} then
    return unstored()
  end
  local ok, members, rest, done = pcall(fn, side, request, side.clock(), table.unpack(values))
  if not ok then
    side.mqtt:settle{} -- what was changed before is kept
    return broken(side, tostring(members))
  elseif not members then
    return failed(rest)
  end
  local reply = answer(200, members)
  if not side.mqtt:settle(rest or {}) then
    return unstored()
  end
  return reply, done
end

--- Serve one request, in its turn.
local function serve(side, request)
  if side.artifacts and side.artifacts.takes(request.path) then
    return side.artifacts:serve(request, side.clock())
  end
  local fn, values = route(request)
  if not fn then
    return failed(select(2, answers.fail("ResourceNotFoundException", NO_ROUTE, request.method,
      rules.cut(request.path, 250))))
  end
  local message
  request.json, message = rules.object(request.body or "")
  if not request.json then
    return failed(select(2, answers.fail("InvalidRequestException", "body: %s", message)))
  end
  local reply, done = side.serial:run(function() return turn(side, fn, request, values) end)
  while done and not done() and not side.mqtt.closing do
    time.sleep(DONE_AGAIN)
  end
  return reply
end

---@class hob.service.http_side.options
---@field engine hob.service.engine
---@field journal table
---@field mqtt table      see hob.service.mqtt_side
---@field artifacts table? see hob.service.documents.artifacts
---@field clock fun(): number  see hob.service.clock
---@field serial table
---@field address string
---@field port integer    0: any free one

--- @return table|nil server  of hob.httpd
--- @return string|nil message, string|nil code
function M.start(options)
  local server, message, code = httpd.listen{
    address = options.address, port = options.port,
    on_request = function(request) return serve(options, request) end,
  }
  options.server = server
  return server, message, code
end

return M
