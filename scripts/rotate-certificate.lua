-- rotate-certificate.lua - another certificate and key for this gateway; the old pair stays until
-- the new one has connected, and comes back if it does not.
--
-- { "operation": "rotate-certificate", "template": "Rotation",
--   "parameters": { "SerialNumber": "4711" }, "keyType": "ec" }
-- makes a key here, which never leaves the gateway, and has AWS IoT make a certificate for it by
-- fleet provisioning; the template must make it that of this same thing. The configuration must
-- allow the topics, and the policy of the certificate that is in use, too:
--   topics = { allow = { "$aws/certificates/create-from-csr/json/#",
--                        "$aws/provisioning-templates/+/provision/json/#" } }
--
-- { "operation": "rotate-certificate", "certificateUrl": "https://...",
--   "privateKeyUrl": "https://..." }
-- takes a pair that was made elsewhere; without privateKeyUrl a certificate for the present key.
--
-- A certificate that has ended, is not valid yet by this gateway's clock, or ends before the
-- present one is refused before anything is switched; "allowEarlierEnd": true takes the last.
--
-- Details: certificateId, oldCertificateId, which the cloud can deactivate now: nothing here does.
-- Files: lib/pair_files.lua says how the names in the configuration stay what they are.

local cloud = require("hob.cloud")
local exchange = require("hob.provision.exchange")
local fs = require("hob.fs")
local http = require("hob.http")
local keys = require("hob.keys")
local pair_files = require("pair_files")
local time = require("hob.time")

local CERTIFICATES = 3 -- asked for, if the service does not know the token of one any more
local TRIES, TIMEOUT = 8, 30
local PEM_LIMIT = 65536

---------------------------------------------------------------- what the document says

local function is_url(text)
  return type(text) == "string" and text:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]") ~= nil
end

-- What is fetched there is a secret: in the clear only from this machine itself, on a bench.
local function is_private_url(text)
  if not is_url(text) or text:find("^[Hh][Tt][Tt][Pp][Ss]:") then
    return is_url(text)
  end
  local host = text:match("^[^:]+://([^/:]+):?%d*/")
  return host == "127.0.0.1" or host == "localhost"
end

local function given_of(document, name)
  local value = document[name]
  return value ~= "" and value or nil
end

local function read_parameters(given)
  if given == nil then
    return {}
  elseif type(given) ~= "table" then
    return nil, "parameters: expected an object, got " .. type(given)
  end
  for name, value in pairs(given) do
    if type(name) ~= "string" or type(value) ~= "string" then
      return nil, ("parameters.%s: expected a text, got %s"):format(tostring(name), type(value))
    end
  end
  return given
end

local function read_template(args, document)
  local template = args.template
  if type(template) ~= "string" or not exchange.is_template_name(template) then
    return nil, "template: expected 1 to 36 letters, digits, _ and -"
  end
  args.key_type = given_of(document, "keyType") or "ec"
  if args.key_type ~= "ec" and args.key_type ~= "rsa" then
    return nil, 'keyType: expected "ec" or "rsa"'
  end
  local why
  args.parameters, why = read_parameters(given_of(document, "parameters"))
  return args.parameters and args, why
end

local function read(document)
  local args = { template = given_of(document, "template"),
    url = given_of(document, "certificateUrl"), key_url = given_of(document, "privateKeyUrl"),
    wait = tonumber(given_of(document, "wait") or 120),
    allow_earlier_end = given_of(document, "allowEarlierEnd") or false }
  if (args.template == nil) == (args.url == nil) then
    return nil, "expected either template or certificateUrl"
  elseif not args.wait or args.wait < 1 or args.wait > 3600 then
    return nil, "wait: expected seconds from 1 to 3600"
  elseif type(args.allow_earlier_end) ~= "boolean" then
    return nil, "allowEarlierEnd: expected true or false"
  elseif args.template then
    return read_template(args, document)
  elseif not is_url(args.url) then
    return nil, "certificateUrl: expected a URL that begins with https:// or http://"
  elseif args.key_url and not is_private_url(args.key_url) then
    return nil, "privateKeyUrl: expected a URL that begins with https://: a private key must not "
      .. "go over a network in the clear"
  end
  return args
end

---------------------------------------------------------------- the new pair

-- As assert, and the code goes on.
local function must(value, message, code)
  return value or error({ message = message, code = code }, 0)
end

-- The service's own codes are in the message.
local function accepted(answer, why)
  if answer then
    return answer
  end
  local code = exchange.is_token_refused(why) and "TOKEN_REFUSED" or why.status and "REFUSED"
    or why.code
  return must(nil, why.message, code)
end

-- A name that no other pair has had.
local function name_of(job, what)
  return ("%s-%s-%d"):format(what, job.id, job.execution_number)
end

local function prepare(job)
  local pair = pair_files.of(must(cloud.files()))
  local old = pair_files.link(pair, name_of(job, "before"))
  local new = name_of(job, "new")
  pair_files.make(pair, new)
  local text = must(fs.read(pair_files.certificate(pair, old)))
  return { files = pair.files, old = old, new = new, old_id = exchange.certificate_id(text) }
end

local function patient(fn)
  return accepted(exchange.persist({ tries = TRIES }, fn))
end

local function make_key(job, args, pair, names)
  local key = pair_files.key(pair, names.new)
  must(keys.generate({ type = args.key_type, to = key, replace = true }))
  return must(keys.csr({ key = key, subject = "CN=" .. job.thing }))
end

local function ask_for_certificate(pair, names, csr)
  local key = pair_files.key(pair, names.new)
  local answer = patient(function()
    return exchange.create_from_csr(exchange.link_of_cloud(cloud), csr, TIMEOUT, function(one)
      return type(one.certificatePem) ~= "string" or keys.matches(one.certificatePem, key) == true
    end)
  end)
  must(fs.write(pair_files.certificate(pair, names.new), answer.certificatePem, { mode = "644" }))
  return { id = answer.certificateId, token = answer.certificateOwnershipToken }
end

local function register(job, args, token)
  local answer = patient(function()
    return exchange.register(exchange.link_of_cloud(cloud), args.template, token, args.parameters,
      TIMEOUT)
  end)
  must(answer.thingName == job.thing, ("the template %s made the certificate that of the thing %s;"
    .. " this one is %s"):format(args.template, answer.thingName, job.thing), "WRONG_THING")
  return true
end

-- The service forgets a certificate that was not registered within an hour; this gateway may have
-- been without power meanwhile.
local function certify(job, args, pair, names)
  local csr = job:step("key", function() return make_key(job, args, pair, names) end)
  for i = 1, CERTIFICATES do
    local certificate = job:step("certificate " .. i, function()
      return ask_for_certificate(pair, names, csr)
    end)
    local ok, problem = pcall(function()
      job:step("register " .. i, function() return register(job, args, certificate.token) end)
    end)
    if ok then
      return
    elseif i == CERTIFICATES or problem.code ~= "TOKEN_REFUSED" then
      error(problem, 0)
    end
  end
end

local function fetch(job, url, member, to)
  must(http.download({ url = url, to = to, limit = PEM_LIMIT, refresh = function()
    local fresh, why = job:fresh_args()
    return fresh and fresh[member], why
  end }))
end

local function take(job, args, pair, names)
  local key = pair_files.key(pair, names.new)
  fetch(job, args.url, "url", pair_files.certificate(pair, names.new))
  if args.key_url then
    fetch(job, args.key_url, "key_url", key)
    must(fs.chmod(key, "600"))
  else
    must(fs.copy(pair_files.key(pair, names.old), key, { mode = "600" }))
  end
end

local function date(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds))
end

-- The same end is no earlier one: all that AWS IoT makes end on one day.
local function check_dates(args, pair, names)
  local new = must(keys.dates(pair_files.certificate(pair, names.new)))
  local old = must(keys.dates(pair_files.certificate(pair, names.old)))
  local now = time.now()
  must(now <= new.not_after, ("the new certificate ended on %s; this gateway's clock says %s")
    :format(date(new.not_after), date(now)), "WRONG_DATES")
  must(now >= new.not_before, ("the new certificate is not valid before %s; this gateway's clock "
    .. "says %s"):format(date(new.not_before), date(now)), "WRONG_DATES")
  must(args.allow_earlier_end or new.not_after >= old.not_after, ("the new certificate ends on %s, "
    .. "before the present one (%s); \"allowEarlierEnd\": true in the document takes it")
    :format(date(new.not_after), date(old.not_after)), "WRONG_DATES")
end

local function check(args, pair, names)
  local certificate, key = pair_files.certificate(pair, names.new), pair_files.key(pair, names.new)
  local match = must(keys.matches(certificate, key) ~= nil or nil, select(2, keys.matches(
    certificate, key)))
  must(match and keys.matches(certificate, key), "the new certificate is not that of the new key",
    "EKEY")
  check_dates(args, pair, names)
  return exchange.certificate_id(must(fs.read(certificate)))
end

---------------------------------------------------------------- one for the other

local function try(job, args)
  must(cloud.reconnect("job " .. job.id .. ": a new certificate is tried", args.wait))
  return true
end

local function fall_back(job, args, pair, names)
  pair_files.use(pair, names.old)
  local online, why = cloud.reconnect("job " .. job.id .. ": back to the old certificate",
    args.wait)
  pair_files.keep_only(pair, names.old)
  return { online = online == true, why = why }
end

local function change(job, args, pair, names)
  job:step("switch", function() pair_files.use(pair, names.new) end)
  local ok, problem = pcall(function()
    job:step("try", function() return try(job, args) end)
  end)
  if ok then
    return true
  end
  local back = job:step("fall back", function() return fall_back(job, args, pair, names) end)
  return nil, {
    message = ("the new certificate did not connect within %g s: %s; the old pair is back%s")
      :format(args.wait, problem.message, back.online and "" or ", and does not connect either: "
        .. tostring(back.why)),
    code = back.online and "CERTIFICATE_REFUSED" or "OFFLINE",
    step = "try",
  }
end

return {
  api = 1,
  description = "Another certificate for this gateway; the old one stays until the new connects",
  args = read,
  timeout = 4 * 3600,
  requires = { clock = true },
  run = function(job, args)
    local names = job:step("prepare", function() return prepare(job) end)
    local pair = pair_files.of(names.files)
    if args.template then
      certify(job, args, pair, names)
    else
      job:step("fetch", function() take(job, args, pair, names) end)
    end
    local id = job:step("check", function() return check(args, pair, names) end)
    local ok, problem = change(job, args, pair, names)
    if not ok then
      return nil, problem
    end
    job:step("tidy", function() pair_files.keep_only(pair, names.new) end)
    return { certificateId = id, oldCertificateId = names.old_id }
  end,
  cleanup = function(job, args)
    local names = job.results["prepare"]
    if not names or job.results["try"] or job.results["fall back"] then
      return
    end
    local pair = pair_files.of(names.files)
    if pair_files.current(pair) == names.new then
      fall_back(job, args, pair, names)
    else
      pair_files.keep_only(pair, names.old)
    end
  end,
  doctor = function()
    local files = cloud.files()
    if files and not (files.cert and files.key) then
      return nil, "the configuration names no cert and key: there is nothing to rotate"
    end
    return true
  end,
  examples = {
    { operation = "rotate-certificate", template = "Rotation",
      parameters = { SerialNumber = "4711" } },
    { operation = "rotate-certificate", certificateUrl = "https://example.com/gateway-7.crt",
      privateKeyUrl = "https://example.com/gateway-7.key" },
  },
}
