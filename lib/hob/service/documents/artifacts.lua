--- The service's place of S3: files below one directory, BUCKET/KEY, which devices download by URLs
--- that are signed and expire. Errors have the shape of S3's.
---
--- The shape of URLs and errors follows the Amazon S3 API Reference; the signature is the service's
--- own. Spec: spec/integration/service_artifacts_spec.lua
local httpd = require("hob.httpd")

local M = {}
M.__index = M

local PATH = "/hob/artifacts/"

---@class hob.service.documents.artifacts.options
---@field dir string     what is served
---@field key string     a secret: what URLs are signed with
---@field base string?   how devices reach the service: "http://127.0.0.1:8180"; may be set later
---@field scale number?  how long a second of a URL's life lasts, in seconds; 1

---@param options hob.service.documents.artifacts.options
function M.new(options)
  return setmetatable({
    dir = options.dir, key = options.key, base = options.base, scale = options.scale or 1,
  }, M)
end

local function encoded(text)
  return (text:gsub("[^%w_.~/-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function signature(self, path, until_ms, nonce)
  return httpd.hmac(self.key, ("GET\n%s\n%s\n%s"):format(until_ms, nonce, path))
end

--- A URL that lets its holder download one file, for a while. No two are alike.
---@param bucket string
---@param key string
---@param expires integer  seconds
---@param now number
---@return string
function M:url_of(bucket, key, expires, now)
  local path = PATH .. bucket .. "/" .. key
  local until_ms = ("%d"):format(math.floor((now + expires * self.scale) * 1000))
  local nonce = ("%016x"):format(math.random(0))
  return ("%s%s?X-Amz-Algorithm=HOB-HMAC-SHA256&X-Amz-Date=%s&X-Amz-Expires=%d&X-Hob-Until=%s"
    .. "&X-Hob-Nonce=%s&X-Amz-SignedHeaders=host&X-Amz-Signature=%s"):format(self.base or "",
    encoded(path), os.date("!%Y%m%dT%H%M%SZ", math.floor(now)), expires, until_ms, nonce,
    signature(self, path, until_ms, nonce))
end

--- The bucket and key of one of the service's own URLs.
---@param url string
---@return string|nil bucket, string|nil key
function M:own_location(url)
  local head = (self.base or "") .. PATH
  if not self.base or url:sub(1, #head) ~= head then
    return nil
  end
  local path = url:sub(#head + 1):match("^[^?#]*")
  path = path:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return path:match("^([^/]+)/(.+)$")
end

--- The text of a file.
---@param limit integer  at most so many bytes
---@return string|nil text
---@return string|nil message
function M:read(bucket, key, limit)
  local file, message = httpd.open(self.dir, bucket .. "/" .. key)
  if not file then
    return nil, message
  end
  local text, why = file:read(limit)
  file:close()
  return text, why
end

---- serving ----

local ESCAPES = { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;" }

local function xml(text)
  return (text:gsub("[<>&]", ESCAPES):gsub("[^\32-\126]", "?"))
end

local function failed(status, code, message, path)
  return {
    status = status, headers = { ["Content-Type"] = "application/xml" },
    body = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
      .. "<Resource>%s</Resource><RequestId>%016X</RequestId></Error>"):format(code, xml(message),
      xml(path), math.random(0)),
  }
end

--- @return table|nil failure
local function refused(self, request, now)
  local query, path = request.query, request.path
  local until_ms, given = query["X-Hob-Until"], query["X-Amz-Signature"]
  if not until_ms or not given then
    return failed(403, "AccessDenied", "Access Denied", path)
  elseif request.method ~= "GET" then
    return failed(403, "SignatureDoesNotMatch", "The URL was signed for GET", path)
  elseif given ~= signature(self, path, until_ms, query["X-Hob-Nonce"] or "") then
    return failed(403, "SignatureDoesNotMatch", "The signature does not match", path)
  elseif now * 1000 >= tonumber(until_ms) then
    return failed(403, "AccessDenied", "Request has expired", path)
  end
  return nil
end

--- What part of a file is asked for; several parts, or what is no range, count as the whole.
--- @return integer|nil first  nil: no part, the whole
--- @return integer|nil last   before `first`: there is no such part
local function part(header, size)
  local first, last = (header or ""):match("^bytes=(%d*)%-(%d*)$")
  first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last))
  if first then
    return first, math.min(last or size - 1, size - 1)
  elseif last then
    return math.max(0, size - last), last > 0 and size - 1 or -1
  end
  return nil
end

local function headers_of(file)
  return {
    ["ETag"] = ('"%x-%x"'):format(file:size(), math.floor(file:mtime() * 1e6)),
    ["Accept-Ranges"] = "bytes", ["Content-Type"] = "binary/octet-stream",
    ["Last-Modified"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(file:mtime())),
  }
end

local function answer(request, file)
  local size, headers = file:size(), headers_of(file)
  local if_range = request.headers["if-range"]
  local wanted = (not if_range or if_range == headers.ETag) and request.headers.range or nil
  local first, last = part(wanted, size)
  if not first then
    return { status = 200, headers = headers, file = file }
  elseif first > last then
    file:close()
    local reply = failed(416, "InvalidRange", "The requested range is not satisfiable",
      request.path)
    reply.headers["Content-Range"] = ("bytes */%d"):format(size)
    return reply
  end
  headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, last, size)
  return { status = 206, headers = headers, file = file, offset = first, length = last - first + 1 }
end

--- Whether a request is for a file.
---@param path string
---@return boolean
function M.takes(path)
  return path:sub(1, #PATH) == PATH
end

--- Answer a request.
---@param request table  of hob.httpd
---@param now number
---@return table
function M:serve(request, now)
  local failure = refused(self, request, now)
  if failure then
    return failure
  end
  local file, message, code = httpd.open(self.dir, request.path:sub(#PATH + 1))
  if file then
    return answer(request, file)
  elseif code == "EACCES" then
    return failed(403, "AccessDenied", "Access Denied", request.path)
  elseif code == "EIO" or code == "ENOMEM" then
    return failed(500, "InternalError", message, request.path)
  end
  return failed(404, "NoSuchKey", "The specified key does not exist.", request.path)
end

return M
