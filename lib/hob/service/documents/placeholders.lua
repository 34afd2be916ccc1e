--- Placeholders in job documents, `${aws:iot:...}`: what stands for a parameter, for an attribute
--- of a software package, or for a URL that lets a device download one file for a while.
---
--- Parameters and packages are replaced when a job is created, URLs each time that the document is
--- handed out. What is put in is escaped: a value cannot end the string that it stands in.
--- Facts: AWS IoT Core Developer Guide, "Managing jobs", "Use AWS managed templates to deploy
--- common remote operations", "Preparing AWS IoT Jobs".
--- Spec: spec/unit/service_documents_spec.lua
local json = require("hob.json")
local json_text = require("hob.service.json_text")

local M = {}

M.SUBSTITUTIONS_MAX = 10

-- None reaches over the end of its string. The innermost one: an attribute of a package may stand
-- inside a URL's placeholder.
local INNERMOST = '(%${aws:iot:([^{}"]*)})'
local URL = '%${aws:iot:(s3%-presigned%-url[v2-]*):([^{}"]*)}'

--- Text as it stands between the quotes of a JSON string.
local function escaped(text)
  return json_text.encode(text):sub(2, -2)
end

--- What stands between the quotes of a JSON string, as text.
local function unescaped(raw)
  local value = json.decode('["' .. raw .. '"]')
  return value and value[1] or raw
end

local function percent_decoded(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- @return string|nil bucket, string|nil key
local function split_s3(host, path)
  local domain = host:match("^(.*)%.amazonaws%.com$") or host:match("^(.*)%.amazonaws%.com%.cn$")
  if not domain then
    return nil
  elseif domain:find("^s3[.-]?[%w-]*$") then
    return path:match("^([^/]+)/(.+)$")
  end
  return domain:match("^(.+)%.s3[.-]?[%w-]*$"), path:match(".+")
end

--- The bucket and the key that a URL of S3 names, path style or virtual-hosted.
---@param url string
---@param encoded boolean|nil  the key is percent-encoded, and a version may follow it
---@return string|nil bucket
---@return string key_or_message
function M.s3_location(url, encoded)
  local host, path = url:match("^https://([^/]+)/(.*)$")
  if host and encoded then
    path = percent_decoded(path):gsub("%?versionId=[^?]*$", "")
  end
  local bucket, key
  if host then
    bucket, key = split_s3(host, path)
  end
  if not bucket or not key then
    return nil, ("expected https://s3.REGION.amazonaws.com/BUCKET/KEY or "
      .. "https://BUCKET.s3.REGION.amazonaws.com/KEY, got '%s'"):format(url)
  end
  return bucket, key
end

local function location(kind, raw)
  return M.s3_location(unescaped(raw), kind == "s3-presigned-url-v2")
end

--- The strings of a JSON text: what is between the quotes, and whether it is a member's name.
local function strings(text)
  local at = 1
  return function()
    local first = text:find('"', at, true)
    if not first then
      return nil
    end
    local last = first + 1
    while text:byte(last) ~= 34 do
      last = last + (text:byte(last) == 92 and 2 or 1)
    end
    at = last + 1
    return text:sub(first + 1, last - 1), text:find("^%s*:", at) ~= nil
  end
end

--- Names are not replaced: a placeholder in one is a mistake.
local function check_names(text)
  for word, is_name in strings(text) do
    if is_name and word:find("${aws:iot:", 1, true) then
      return nil, ("document: %s stands in a member's name; a placeholder must stand in a value")
        :format(word)
    end
  end
  return true
end

local function check_count(text)
  local count = select(2, text:gsub("%${aws:iot:", ""))
  if count > M.SUBSTITUTIONS_MAX then
    return nil, ("document: at most %d placeholders are allowed, got %d"):format(
      M.SUBSTITUTIONS_MAX, count)
  end
  return true
end

---@class hob.service.documents.placeholders.sources
---@field parameters table<string, string>|nil  nil: their placeholders are left as they are
---@field optional table<string, boolean>|nil   what may be unset
---@field package fun(reference: string): string|table|nil, string?  of documents.packages

local function parameter(name, sources)
  local value = sources.parameters[name]
  if value == nil and not (sources.optional or {})[name] then
    return nil, ("documentParameters.%s: required"):format(name)
  end
  return value or ""
end

local function known(kind, rest, whole, sources)
  if kind == "parameter" and sources.parameters then
    return parameter(rest, sources)
  elseif kind == "package" then
    local value, message = sources.package(unescaped(rest))
    return value, message and ("document: %s: %s"):format(whole, message)
  end
  return nil
end

--- A placeholder that becomes an object takes the quotes around it along. No JSON text holds the
--- marks that stand for these until then.
local function put_objects(text, objects)
  for i, object in ipairs(objects) do
    local first, last = text:find(('"\1%d\1"'):format(i), 1, true)
    if not first then
      return nil, "document: a placeholder for all attributes of a package must be a value by "
        .. "itself"
    end
    text = text:sub(1, first - 1) .. json_text.encode(object) .. text:sub(last + 1)
  end
  return text
end

local function replace(text, sources)
  local objects, failure = {}, nil
  text = text:gsub(INNERMOST, function(whole, inner)
    local kind, rest = inner:match("^(%a+):(.*)$")
    local value, message = known(kind, rest, whole, sources)
    failure = failure or message
    if type(value) == "table" then
      objects[#objects + 1] = value
      return ("\1%d\1"):format(#objects)
    end
    return value and escaped(value) or whole
  end)
  if failure then
    return nil, failure
  end
  return put_objects(text, objects)
end

--- Each placeholder that is left must be one that is replaced when the document is handed out.
local function check_left(text, sources)
  for at, whole in text:gmatch("()(%${aws:iot:[^{}\"]*}?)") do
    local kind, raw = text:match("^" .. URL, at)
    local bucket, message = nil, "it is not known here"
    if kind == "s3-presigned-url" or kind == "s3-presigned-url-v2" then
      bucket, message = location(kind, raw)
    elseif not whole:find("}$") then
      message = "it has no end, or holds another one that was not replaced"
    elseif whole:find("^%${aws:iot:parameter:") and not sources.parameters then
      bucket = whole
    end
    if not bucket then
      return nil, ("document: the placeholder %s: %s"):format(whole, message)
    end
  end
  return text
end

--- Replace what is known when a job is created, and check what is left.
---@param text string  a JSON object
---@param sources hob.service.documents.placeholders.sources
---@return string|nil text
---@return string|nil message
function M.create(text, sources)
  if not M.found(text) then
    return text
  end
  local ok, message = check_names(text)
  if ok then
    ok, message = check_count(text)
  end
  if not ok then
    return nil, message
  end
  text, message = replace(text, sources)
  if not text then
    return nil, message
  end
  ok, message = check_count(text) -- values bring placeholders of their own
  if not ok then
    return nil, message
  end
  return check_left(text, sources)
end

---@param text string
---@return boolean
function M.found(text)
  return text:find("${aws:iot:", 1, true) ~= nil
end

--- Whether URLs are put in when the document is handed out.
---@param text string
---@return boolean
function M.has_urls(text)
  return text:find("${aws:iot:s3-presigned-url", 1, true) ~= nil
end

--- Put in URLs.
---@param text string
---@param url_of fun(bucket: string, key: string): string
---@return string
function M.hand_out(text, url_of)
  return (text:gsub(URL, function(kind, raw)
    local bucket, key = location(kind, raw)
    return bucket and escaped(url_of(bucket, key)) or nil
  end))
end

return M
