-- aws.lua - hob.aws: temporary credentials from AWS IoT's credentials provider, by the certificate
-- of this gateway, and S3 objects written with them.
-- Spec: spec/unit/aws_spec.lua

local core = require("hob.http.core")
local http = require("hob.http")
local json = require("hob.json")
local keys = require("hob.aws.keys")
local option_sets = require("hob.http.options")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, tonumber, tostring, type = error, tonumber, tostring, type
local format = string.format
local now = os.time

local MARGIN = 300 -- seconds of life that credentials which are handed out still have
local KEY_MAX = 1024

local cache = {}

local function check_options(name, options, known)
  local wrong = option_sets.check(name, options, known)
  if wrong then
    error(wrong, 3)
  end
end

---------------------------------------------------------------- credentials

-- Days since 1970-01-01 of a date of the Gregorian calendar.
local function days_of(year, month, day)
  local y = month <= 2 and year - 1 or year
  local m = (month + 9) % 12
  return 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 719469
end

-- "2026-11-23T10:00:00Z"
local function seconds_of(text)
  local y, mo, d, h, mi, s = tostring(text):match("^(%d%d%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)")
  if not y then
    return nil
  end
  return days_of(tonumber(y), tonumber(mo), tonumber(d)) * 86400 + tonumber(h) * 3600 +
    tonumber(mi) * 60 + tonumber(s)
end

local function read_answer(body)
  local answer = json.decode(body)
  local of = type(answer) == "table" and answer.credentials
  if type(of) ~= "table" or type(of.accessKeyId) ~= "string" or
    type(of.secretAccessKey) ~= "string" or type(of.sessionToken) ~= "string" then
    return nil
  end
  return keys.new({ access_key_id = of.accessKeyId, secret_access_key = of.secretAccessKey,
    session_token = of.sessionToken, expires = seconds_of(of.expiration) })
end

local HINTS = {
  [403] = "the IoT policy of this gateway's certificate must allow " ..
    "iot:AssumeRoleWithCertificate for the role alias '%s', and the certificate must be " ..
    "attached to the thing '%s'",
  [404] = "there must be a role alias '%s' in this account and region (thing '%s')",
}

local function in_words(message, refusal, role_alias, thing)
  local hint = refusal and HINTS[refusal.status]
  return "credentials: " .. message ..
    (hint and "; " .. format(hint, role_alias, thing or "none") or "")
end

local CREDENTIALS = option_sets.set({ "endpoint", "thing", "ca", "cert", "key", "key_passphrase",
  "proxy", "timeout" })

-- Whom to ask, and as whom.
local function read_source(options)
  local gateway = core.gateway() or {}
  local endpoint = options.endpoint or gateway.credentials_endpoint
  if not endpoint or endpoint == "" then
    return nil, "credentials: no endpoint: set the config key credentials_endpoint to what " ..
      "'aws iot describe-endpoint --endpoint-type iot:CredentialProvider' says", "EINVAL"
  end
  return endpoint, options.thing or gateway.thing
end

local function ask(role_alias, endpoint, thing, options)
  local answer, message, code, refusal = http.get({
    url = format("https://%s/role-aliases/%s/credentials", endpoint, http.escape(role_alias)),
    headers = thing and { ["x-amzn-iot-thingname"] = thing } or nil,
    device_certificate = options.cert == nil or nil,
    cert = options.cert, key = options.key, key_passphrase = options.key_passphrase,
    ca = options.ca, proxy = options.proxy, timeout = options.timeout or 60, limit = 65536,
    tries = 3,
  })
  if not answer then
    return nil, in_words(message, refusal, role_alias, thing), code
  end
  local credentials = read_answer(answer.body)
  if not credentials then
    return nil, format("credentials: the answer of %s holds none", endpoint), "EPROTO"
  end
  return credentials
end

---Temporary credentials of the role behind a role alias, for this gateway's certificate. They are
---kept until shortly before they expire. Waits.
---@param role_alias string
---@param options? hob.aws.CredentialsOptions
---@return hob.aws.Credentials? credentials
---@return string? message
---@return string? code
function M.credentials(role_alias, options)
  options = options or {}
  check_options("credentials", options, CREDENTIALS)
  if type(role_alias) ~= "string" or not role_alias:match("^[%w=,@_-]+$") or #role_alias > 128 then
    error("credentials: expected the name of a role alias (a-z A-Z 0-9 = , @ _ -), got " ..
      tostring(role_alias), 2)
  end
  local endpoint, thing, code = read_source(options)
  if not endpoint then
    return nil, thing, code
  end
  local name = format("%s %s %s %s", endpoint, role_alias, thing, options.cert)
  local kept = cache[name]
  if kept and kept.expires and kept.expires - now() > MARGIN then
    return kept
  end
  local credentials, message, why = ask(role_alias, endpoint, thing, options)
  cache[name] = credentials
  return credentials, message, why
end

---------------------------------------------------------------- S3

local PUT = option_sets.set({ "bucket", "key", "region", "credentials", "file", "body", "limit",
  "headers", "on_progress", "timeout", "endpoint", "ca", "proxy", "tries", "backoff" })

local function escape_path(key)
  return (key:gsub("[^/]+", http.escape))
end

local function object_url(o)
  local path = escape_path(o.key)
  if o.endpoint then
    return format("%s/%s/%s", o.endpoint:gsub("/+$", ""), o.bucket, path)
  end
  local host = format("s3.%s.amazonaws.com%s", o.region, o.region:find("^cn%-") and ".cn" or "")
  if o.bucket:find(".", 1, true) then -- no certificate covers it as a part of the host's name
    return format("https://%s/%s/%s", host, o.bucket, path)
  end
  return format("https://%s.%s/%s", o.bucket, host, path)
end

local function check_object(o)
  if type(o.bucket) ~= "string" or not o.bucket:match("^[a-z0-9][a-z0-9.-]+[a-z0-9]$") then
    error("put_s3: bucket: expected the name of a bucket, got " .. tostring(o.bucket), 3)
  elseif type(o.key) ~= "string" or o.key == "" or #o.key > KEY_MAX or o.key:find("^/") or
    o.key:find("%c") then
    error(format("put_s3: key: expected 1 to %d characters without a / in front, got %s", KEY_MAX,
      tostring(o.key)), 3)
  elseif type(o.region) ~= "string" or not o.region:match("^[a-z0-9-]+$") then
    error("put_s3: region: expected one such as eu-central-1, got " .. tostring(o.region), 3)
  elseif (o.file == nil) == (o.body == nil) then
    error("put_s3: expected file or body", 3)
  end
  local of, why = keys.of(o.credentials)
  if not of then
    error("put_s3: credentials: " .. why, 3)
  end
end

---Write one object. Waits.
---@param options hob.aws.PutOptions
---@return hob.aws.Object? object  where it lies
---@return string? message
---@return string? code
---@return hob.http.Refusal? refusal
function M.put_s3(options)
  check_options("put_s3", options, PUT)
  check_object(options)
  local answer, message, code, refusal = http.put({
    url = object_url(options),
    aws = { credentials = options.credentials, region = options.region, service = "s3" },
    file = options.file, body = options.body, limit = options.limit, headers = options.headers,
    on_progress = options.on_progress, timeout = options.timeout, ca = options.ca,
    proxy = options.proxy, tries = options.tries, backoff = options.backoff,
  })
  if not answer then
    return nil, message, code, refusal
  end
  return { url = format("s3://%s/%s", options.bucket, options.key), etag = answer.headers.etag,
    version = answer.headers["x-amz-version-id"] }
end

return M
