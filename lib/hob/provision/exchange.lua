--- AWS IoT's fleet provisioning over MQTT, as a device speaks it: CreateCertificateFromCsr,
--- CreateKeysAndCertificate, RegisterThing. For `hob provision` and the handler rotate-certificate.
---
--- Answers carry no token of the request's: AWS gives them to the connection that asked. Behind an
--- ordinary broker another device's may come; `accept` tells them apart where that is possible.
--- Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API". The error codes are not
--- listed there: which refusals may pass is judged by the status and by what names them.
--- Spec: spec/integration/provision_spec.lua
local future = require("hob.future")
local json = require("hob.json")
local limits = require("iotjobs.limits")
local time = require("hob.time")
local verify = require("hob.verify")

local M = {}

M.CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"
M.CREATE = "$aws/certificates/create/json"

--- AWS's limit, and what it is made of.
---@param name string
function M.is_template_name(name)
  return #name <= 36 and name:find("^[%w_-]+$") ~= nil
end

---@param template string
function M.register_topic(template)
  return ("$aws/provisioning-templates/%s/provision/json"):format(template)
end

---@class hob.provision.link
---@field subscribe fun(topic: string, fn: fun(topic: string, payload: string)): any, any, any
---@field publish fun(topic: string, payload: string): any, any, any

--- Over the gateway's own connection, in a handler.
---@param cloud table  hob.cloud
---@return hob.provision.link
function M.link_of_cloud(cloud)
  return { subscribe = cloud.subscribe, publish = cloud.publish }
end

--- Over a connection of one's own.
---@param connection table  of hob.mqtt.connect
---@return hob.provision.link
function M.link_of_connection(connection)
  return {
    subscribe = function(topic, fn)
      local listener = connection:listen(topic, fn)
      local granted, why, code = listener:subscribe(1)
      if not granted or granted >= 128 then
        listener:close()
        return nil, why or "the broker refused it", code or "EREFUSED"
      end
      return listener
    end,
    publish = function(topic, payload) return connection:publish(topic, payload, { qos = 1 }) end,
  }
end

---------------------------------------------------------------- refusals

---@class hob.provision.Refusal
---@field message string
---@field code string     AWS's errorCode, or one of Hob's
---@field status integer? AWS's statusCode
---@field retry boolean   it may pass
local refusal = {}
refusal.__index = refusal
refusal.__tostring = function(self) return self.message end

local function fail(code, retry, format, ...)
  return nil, setmetatable({ code = code, retry = retry, message = format:format(...) }, refusal)
end

local PASSING = { "throttl", "toomanyrequests", "internal", "unavailable", "timeout" }

local function may_pass(status, code)
  local name = code:lower()
  for _, word in ipairs(PASSING) do
    if name:find(word, 1, true) then
      return true
    end
  end
  return status == 429 or status ~= nil and status >= 500
end

local WORDS_MAX = 500

-- What came over the network is shown to a person at a terminal, and kept in logs.
local function plain(text)
  return (text:sub(1, WORDS_MAX):gsub("%c", "?"))
end

--- The words of the service.
local function refused(operation, answer)
  local code = type(answer.errorCode) == "string" and answer.errorCode or "without a code"
  local status = math.tointeger(tonumber(answer.statusCode))
  local text = type(answer.errorMessage) == "string" and answer.errorMessage or "without a reason"
  local _, why = fail(code, may_pass(status, code), "the service refused %s: %s%s: %s", operation,
    status and status .. " " or "", plain(code), plain(text))
  why.status = status
  return nil, why
end

local function policy_words(topic)
  return ("the policy of this certificate must allow iot:Subscribe on topicfilter/%s/accepted and "
    .. ".../rejected, iot:Receive on topic/ of both, and iot:Publish on topic/%s"):format(topic,
    topic)
end

---------------------------------------------------------------- ids

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function from_base64(text)
  local out, bits, count = {}, 0, 0
  for digit in text:gmatch("[%w+/]") do
    bits = (bits << 6 | DIGITS:find(digit, 1, true) - 1) & 0xffffff
    count = count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 0xff)
    end
  end
  return table.concat(out)
end

--- What AWS calls a certificate: the digest of its DER form.
---@param pem string
---@return string|nil id  nil: there is no certificate in it
function M.certificate_id(pem)
  local body = pem:match("%-BEGIN CERTIFICATE%-+%s(.-)%-+END CERTIFICATE%-")
  return body and verify.sha256_text(from_base64(body)) or nil
end

---------------------------------------------------------------- one request

local function listen(link, topic, answer, accept)
  local function hear(_, payload)
    local members = json.decode(payload)
    if type(members) ~= "table" then
      answer:resolve("garbage", #payload) -- not its text: there may be a private key in it
    elseif not accept or accept(members) then
      answer:resolve("accepted", members)
    end
  end
  local function hear_refusal(_, payload)
    local members = json.decode(payload)
    answer:resolve("rejected", type(members) == "table" and members or { errorMessage = payload })
  end
  local accepted, why, code = link.subscribe(topic .. "/accepted", hear)
  if not accepted then
    return nil, why, code
  end
  local rejected
  rejected, why, code = link.subscribe(topic .. "/rejected", hear_refusal)
  if not rejected then
    accepted:close()
    return nil, why, code
  end
  return function()
    accepted:close()
    rejected:close()
  end
end

local GONE = { ENOTCONN = true, ETIMEDOUT = true, ECANCELED = true }

--- Ask, and wait for the answer.
---@param link hob.provision.link
---@param operation string   AWS's name of it
---@param topic string
---@param body string
---@param timeout number     seconds
---@param accept (fun(answer: table): boolean)?  an answer of somebody else's is passed over
---@return table|nil answer
---@return hob.provision.Refusal|nil why
local function ask(link, operation, topic, body, timeout, accept)
  local answer = future.new()
  local close, why, code = listen(link, topic, answer, accept)
  if not close then
    return fail(code or "EREFUSED", GONE[code] or false,
      "%s: cannot subscribe to the answers: %s%s", operation, why,
      GONE[code] and "" or "; " .. policy_words(topic))
  end
  local sent
  sent, why, code = link.publish(topic, body)
  local kind, members
  if sent then
    kind, members = answer:result(timeout)
  end
  close()
  if not sent then
    return fail(code or "ENOTCONN", true, "%s: the request was not sent: %s; %s", operation, why,
      policy_words(topic))
  elseif kind == "rejected" then
    return refused(operation, members)
  elseif kind == "garbage" then
    return fail("EPROTO", false, "%s: the answer is no JSON object (%d bytes)", operation, members)
  elseif kind ~= "accepted" then
    return fail("ETIMEDOUT", true, "%s: no answer within %g s; AWS closes the connection of who "
      .. "publishes what it may not: %s", operation, timeout, policy_words(topic))
  end
  return members
end

-- It is shown, and goes into a job's details.
local function is_certificate_id(answer)
  return answer.certificateId == nil or answer.certificateId:find("^%w+$") ~= nil
end

local function with_texts(operation, answer, names)
  for _, name in ipairs(names) do
    if type(answer[name]) ~= "string" or answer[name] == "" then
      return fail("EPROTO", false, "%s: the answer has no %s", operation, name)
    end
  end
  if not is_certificate_id(answer) then
    return fail("EPROTO", false, "%s: the answer's certificateId is none: '%s'", operation,
      plain(answer.certificateId))
  end
  return answer
end

---@class hob.provision.Certificate
---@field certificateId string
---@field certificatePem string
---@field certificateOwnershipToken string  good for an hour
---@field privateKey string?                of CreateKeysAndCertificate

local CERTIFICATE = { "certificateId", "certificatePem", "certificateOwnershipToken" }

--- A certificate for a key of one's own.
---@param csr string  PEM
---@param accept (fun(answer: table): boolean)?
---@return hob.provision.Certificate|nil
---@return hob.provision.Refusal|nil
function M.create_from_csr(link, csr, timeout, accept)
  local answer, why = ask(link, "CreateCertificateFromCsr", M.CREATE_FROM_CSR,
    json.encode({ certificateSigningRequest = csr }), timeout, accept)
  if not answer then
    return nil, why
  end
  return with_texts("CreateCertificateFromCsr", answer, CERTIFICATE)
end

--- A certificate with a key that the service makes.
---@return hob.provision.Certificate|nil
---@return hob.provision.Refusal|nil
function M.create_keys(link, timeout)
  local answer, why = ask(link, "CreateKeysAndCertificate", M.CREATE, "{}", timeout)
  if not answer then
    return nil, why
  end
  return with_texts("CreateKeysAndCertificate", answer, { "certificateId", "certificatePem",
    "certificateOwnershipToken", "privateKey" })
end

--- Make the certificate that of a thing, as the template says.
---@param template string
---@param token string
---@param parameters table<string, string>
---@return { thingName: string, deviceConfiguration: table? }|nil
---@return hob.provision.Refusal|nil
function M.register(link, template, token, parameters, timeout)
  local body = { certificateOwnershipToken = token }
  if next(parameters) ~= nil then
    body.parameters = parameters
  end
  local answer, why = ask(link, "RegisterThing", M.register_topic(template), json.encode(body),
    timeout)
  if answer then
    answer, why = with_texts("RegisterThing", answer, { "thingName" })
  end
  if answer and not limits.is_thing_name(answer.thingName) then
    return fail("EPROTO", false, "RegisterThing: the answer's thingName is none: '%s'; expected 1 "
      .. "to 128 of a-z A-Z 0-9 : _ -; do: look at ThingName in the template %s",
      plain(answer.thingName), template)
  end
  return answer, why
end

--- The token was not taken: the certificate is gone, and another one is needed.
---@param why hob.provision.Refusal
function M.is_token_refused(why)
  return why.code:find("OwnershipToken", 1, true) ~= nil
end

---------------------------------------------------------------- again

---@class hob.provision.patience
---@field tries integer
---@field base number?   seconds before the second try, at most
---@field cap number?    seconds between two, at most
---@field on_wait (fun(seconds: number, why: hob.provision.Refusal, left: integer))?

--- Until it succeeds, or is refused for good: full jitter, since a fleet comes at once.
---@generic T
---@param patience hob.provision.patience
---@param fn fun(): T|nil, hob.provision.Refusal|nil
---@return T|nil
---@return hob.provision.Refusal|nil
function M.persist(patience, fn)
  for try = 1, patience.tries do
    local result, why = fn()
    if result or not why.retry or try == patience.tries then
      return result, why
    end
    local most = math.min(patience.cap or 30, (patience.base or 1) * 2 ^ (try - 1))
    local seconds = math.random() * most
    if patience.on_wait then
      patience.on_wait(seconds, why, patience.tries - try)
    end
    time.sleep(seconds)
  end
end

return M
