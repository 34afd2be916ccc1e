-- http.lua - hob.http: downloads that survive broken links, files that are sent, requests to local
-- and AWS's APIs. One try is made by hob.http.core (core/device/download.h); which ends are worth
-- another one is decided here.
-- Specs: spec/unit/download_spec.lua, spec/unit/http_spec.lua

local core = require("hob.http.core")
local json = require("hob.json")
local keys = require("hob.aws.keys")
local option_sets = require("hob.http.options")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, pcall, tostring = error, ipairs, pairs, pcall, tostring
local getmetatable, require, setmetatable = getmetatable, require, setmetatable
local tonumber, type = tonumber, type
local format, max, min, random = string.format, math.max, math.min, math.random
local concat, pack, sort, unpack = table.concat, table.pack, table.sort, table.unpack
local mono, sleep = time.mono, time.sleep

local TRIES = 3
local BACKOFF, BACKOFF_MAX = 1, 30 -- seconds
local PROGRESS = 65536             -- bytes more than ever before: the link is worth going on with
local REFRESHES = 3                -- fresh URLs in a row that bring nothing

---------------------------------------------------------------- misuse

-- Misuse is the fault of the line that called http.NAME, however deep it is found.
local Misuse = {}

local function misuse(text, ...)
  error(setmetatable({ text = format(text, ...) }, Misuse), 0)
end

local function public(act)
  return function(options)
    local results = pack(pcall(act, options))
    if results[1] then
      return unpack(results, 2, results.n)
    elseif getmetatable(results[2]) == Misuse then
      error(results[2].text, 2)
    end
    error(results[2], 0)
  end
end

---------------------------------------------------------------- options

local COMMON = { "url", "headers", "timeout", "stall", "limit", "proxy", "ca", "cert", "key",
  "key_passphrase", "device_certificate", "allow_http", "aws" }

local set = option_sets.set

local OPTIONS = {
  download = set(COMMON, { "to", "sha256", "size", "on_progress", "tries", "backoff", "refresh" }),
  get = set(COMMON, { "tries", "backoff" }),
  post = set(COMMON, { "body", "json", "form" }),
  put = set(COMMON, { "file", "body", "json", "tries", "backoff", "on_progress" }),
  request = set(COMMON, { "method", "body" }),
}

-- A copy that the core may write to.
local function read_options(name, options)
  local wrong = option_sets.check("http." .. name, options, OPTIONS[name])
  if wrong then
    misuse("%s", wrong)
  end
  local copy = {}
  for option, value in pairs(options) do
    copy[option] = value
  end
  return copy
end

local function take_number(o, name, fallback, least, most)
  local value = o[name]
  o[name] = nil
  if value == nil then
    return fallback
  elseif type(value) ~= "number" or not (value >= least and value <= most) then
    misuse("%s: expected a number from %g to %g, got %s", name, least, most, tostring(value))
  end
  return value
end

local function set_header(o, name, value)
  local copy, wanted = {}, name:lower()
  for have, of in pairs(o.headers or {}) do
    copy[have] = of
    if tostring(have):lower() == wanted then
      return -- the caller's own stands
    end
  end
  copy[name] = value
  o.headers = copy
end

local function is_word(text)
  return type(text) == "string" and text:match("^[a-z0-9-]+$") ~= nil
end

-- "a/../b": as "%2e%2e", too.
local function has_dot_segments(url)
  local path = url:match("^%a+://[^/?#]*/([^?#]*)") or ""
  path = ("/" .. path .. "/"):gsub("%%2[eE]", ".")
  return path:find("/./", 1, true) or path:find("/../", 1, true)
end

-- AWS's Signature Version 4 is made by libcurl, of the request as it goes out. It takes dot
-- segments out of the path: another object than was meant.
local function sign(o)
  local aws = o.aws
  o.aws = nil
  if aws == nil then
    return
  elseif type(aws) ~= "table" or not is_word(aws.region) or not is_word(aws.service) then
    misuse("aws: expected { credentials = ..., region = 'eu-central-1', service = 's3' }")
  end
  if type(o.url) == "string" and has_dot_segments(o.url) then
    misuse("aws: expected a url without . and .. in its path, got %s", (o.url:gsub("%?.*", "")))
  end
  local of, why = keys.of(aws.credentials)
  if not of then
    misuse("aws.credentials: %s", why)
  end
  o.sign = format("aws:amz:%s:%s", aws.region, aws.service)
  o.sign_id, o.sign_secret = of.access_key_id, of.secret_access_key
  if of.session_token then
    set_header(o, "X-Amz-Security-Token", of.session_token)
  end
  if o.body then
    set_header(o, "Content-Type", "application/octet-stream") -- or libcurl says that it is a form
  end
end

-- S3 wants the digest of what is sent among the signed headers. So it refuses, too, what was
-- changed on the way.
---@return boolean? ok
---@return string? message
---@return string? code
local function sign_body(o)
  if not o.sign then
    return true
  end
  local verify = require("hob.verify") -- not every job pays for it
  local digest, message, code = verify.sha256_text(o.body or ""), nil, nil
  if o.file then
    digest, message, code = verify.sha256(o.file)
  end
  if digest then
    set_header(o, "X-Amz-Content-Sha256", digest)
  end
  return digest ~= nil, message, code
end

local function escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c)
    return format("%%%02X", c:byte())
  end))
end

local function form_of(form)
  local pairs_of = {}
  for name, value in pairs(form) do
    pairs_of[#pairs_of + 1] = escape(name) .. "=" .. escape(value)
  end
  sort(pairs_of)
  return concat(pairs_of, "&")
end

local function read_body(o)
  local given = {}
  for _, name in ipairs({ "file", "body", "json", "form" }) do
    given[#given + 1] = o[name] ~= nil and name or nil
  end
  if #given > 1 then
    misuse("expected one of %s, got both", concat(given, " and "))
  elseif o.json ~= nil then
    local ok, text, why = pcall(json.encode, o.json)
    if not ok or not text then
      misuse("json: %s", tostring(why or text))
    end
    o.body = text
    set_header(o, "Content-Type", "application/json")
  elseif o.form ~= nil then
    if type(o.form) ~= "table" then
      misuse("form: expected table, got %s", type(o.form))
    end
    o.body = form_of(o.form)
    set_header(o, "Content-Type", "application/x-www-form-urlencoded")
  end
  o.json, o.form = nil, nil
end

---------------------------------------------------------------- one try

local function parse_headers(lines)
  local headers = {}
  for name, value in lines:gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)\r?\n") do
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

local function try(name, o)
  local copy = {}
  for option, value in pairs(o) do
    copy[option] = value
  end
  local results = pack(pcall(core[name], copy))
  if not results[1] then
    misuse("%s", tostring(results[2]))
  end
  local answer = results[2] or results[5]
  if answer and answer.headers then
    answer.headers = parse_headers(answer.headers)
  end
  return unpack(results, 2, max(results.n, 2))
end

---------------------------------------------------------------- another try

local TRANSIENT = { ECONNRESET = true, ECONNREFUSED = true, ETIMEDOUT = true, ERESOLVE = true,
  ENOTCONN = true }
local BUSY = { [408] = true, [425] = true, [429] = true, [500] = true, [502] = true, [503] = true,
  [504] = true }

local function is_transient(code, answer)
  if code == "EHTTP" then
    return answer ~= nil and BUSY[answer.status] == true
  elseif code == "ELENGTH" then
    return answer ~= nil and answer.bytes > 0 -- it ended early, and a part was kept
  elseif code == "EDIGEST" then
    return answer ~= nil and answer.resumed_from > 0 -- the parts may not have been of one file
  end
  return TRANSIENT[code] == true
end

local function pause_of(backoff, failures, answer)
  local asked = answer and answer.headers and tonumber(answer.headers["retry-after"])
  local pause = backoff * 2 ^ (failures - 1) * (0.5 + random() / 2)
  return min(max(pause, asked or 0), max(BACKOFF_MAX, backoff))
end

-- A presigned URL that has expired, or whose credentials have.
local function is_expired(code, answer)
  if code ~= "EHTTP" or not answer then
    return false
  end
  local status = answer.status
  return status == 403 or status == 401 or status == 410 or
    (status == 400 and answer.body:find("[Ee]xpired") ~= nil)
end

---@return string? url
---@return string? why  there is none
local function ask_fresh(refresh, old)
  local url, problem = refresh()
  if url == nil or url == false then
    return nil, "no fresh URL: " .. tostring(problem or "refresh gave none")
  elseif type(url) ~= "string" then
    misuse("refresh: expected it to return a string, got %s", type(url))
  elseif url == old then
    return nil, "the fresh URL is the same"
  end
  return url
end

local function new_plan(o)
  local plan = {
    tries = take_number(o, "tries", TRIES, 1, 1000),
    backoff = take_number(o, "backoff", BACKOFF, 0, 3600),
    refresh = o.refresh,
    deadline = type(o.timeout) == "number" and o.timeout > 0 and mono() + o.timeout or nil,
    timeout = o.timeout,
    failures = 0, refreshes = 0, furthest = 0,
  }
  o.refresh = nil
  if plan.refresh ~= nil and type(plan.refresh) ~= "function" then
    misuse("refresh: expected function, got %s", type(plan.refresh))
  end
  return plan
end

local function note_progress(plan, answer)
  local bytes = answer and answer.bytes or 0
  if bytes >= plan.furthest + PROGRESS then
    plan.failures, plan.refreshes = 0, 0
  end
  plan.furthest = max(plan.furthest, bytes)
end

-- What follows a failure: true, and `o` is ready for another try; or the words of the end.
local function go_on(plan, o, message, code, answer)
  note_progress(plan, answer)
  if plan.refresh and is_expired(code, answer) then
    plan.refreshes = plan.refreshes + 1
    if plan.refreshes > REFRESHES then
      return nil, format("%s; so it was with %d fresh URLs", message, REFRESHES)
    end
    local url, why = ask_fresh(plan.refresh, o.url)
    o.url = url or o.url
    return url ~= nil, why and message .. "; " .. why
  end
  plan.failures = plan.failures + 1
  if not is_transient(code, answer) then
    return nil, message
  elseif plan.failures >= plan.tries then
    return nil, plan.tries > 1 and format("%s; gave up after %d tries", message, plan.tries)
      or message
  end
  local pause = pause_of(plan.backoff, plan.failures, answer)
  if plan.deadline and mono() + pause >= plan.deadline then
    return nil, format("%s; no time for another try within %g s", message, plan.timeout)
  end
  sleep(pause)
  return true
end

local function persist(name, o)
  local plan = new_plan(o)
  while true do
    local left = plan.deadline and plan.deadline - mono()
    o.timeout = left and max(left, 0.001) or o.timeout
    local result, message, code, answer = try(name, o)
    if result then
      return result
    end
    local again, words = go_on(plan, o, message, code, answer)
    if not again then
      return nil, words, code, answer
    end
  end
end

---------------------------------------------------------------- what handlers call

---Download a file: `to` appears only whole and right. A connection that breaks is tried again, and
---goes on where it stopped; so does a later call.
M.download = public(function(options)
  local o = read_options("download", options)
  sign(o)
  sign_body(o)
  return persist("download", o)
end)

-- A request whose answer must be a success.
local function want_ok(o, method)
  sign(o)
  local ok, message, code = sign_body(o)
  if not ok then
    return nil, message, code
  end
  o.method, o.only_ok = method, true
  return persist("request", o)
end

M.get = public(function(options)
  local o = read_options("get", options)
  o.tries = o.tries or 1
  return want_ok(o, "GET")
end)

M.post = public(function(options)
  local o = read_options("post", options)
  read_body(o)
  o.tries = 1 -- done twice may be wrong
  return want_ok(o, "POST")
end)

-- The file is read as the server takes it. `limit` is of what is sent.
M.put = public(function(options)
  local o = read_options("put", options)
  read_body(o)
  if not o.file and not o.body then
    misuse("put: expected file, body or json")
  end
  local limit = take_number(o, "limit", nil, 1, 1e15)
  if limit and o.body and #o.body > limit then
    return nil, format("body has %d bytes, more than the limit of %d: nothing was sent", #o.body,
      limit), "EMSGSIZE"
  end
  o.send_limit = limit
  return want_ok(o, "PUT")
end)

-- One request in memory; every status is an answer.
M.request = public(function(options)
  local o = read_options("request", options)
  sign(o)
  sign_body(o)
  return try("request", o)
end)

-- Text as a part of a URL: a segment of its path, a name or a value of its query.
M.escape = escape

return M
