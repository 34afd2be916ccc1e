--- The control side of the service over HTTP: AWS IoT's REST paths and JSON, and a few paths of
--- Hob's own under /hob.
local control = require("hob.service.control")
local control_routes = require("hob.service.control_routes")
local data_routes = require("hob.service.data_routes")
local httpd = require("hob.httpd")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")

local M = {}

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
-- the answer's members and the messages to publish, or nil and an error. AWS's two services share
-- paths; the signature of a request says which one is meant.
local ROUTES = {
  iot = { OWN_ROUTES, control_routes },
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

--- @return function|nil serve
--- @return string[] values  the segments that stand for "*"
local function route(request)
  local node, values = TREES[service_of(request)], {}
  for part in request.path:gmatch("[^/]+") do
    local fixed = part ~= "*" and node.children[part]
    if not fixed then
      values[#values + 1] = part
    end
    node = fixed or node.children["*"]
    if not node then
      return nil, values
    end
  end
  return node.methods[request.method], values
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
  local fn, values = route(request)
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
    side.mqtt:settle(rest or {})
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
