--- AWS IoT's fleet provisioning in the local service: CreateCertificateFromCsr,
--- CreateKeysAndCertificate and RegisterThing over MQTT, in JSON.
---
--- Certificates and their tokens are kept in memory only; the things are the engine's. A token is
--- good for an hour of the service's minutes, and may be used again meanwhile: an answer may be
--- lost. Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API". It lists no error
--- codes but shows their form; InvalidCertificateOwnershipToken is AWS's own, the other codes are
--- Hob's words.
--- Spec: spec/unit/service_provisioning_spec.lua, spec/integration/provision_spec.lua
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")
local stores = require("hob.service.store")
local templates = require("hob.service.provisioning.template")

local M = {}
M.__index = M

M.FILTERS = { "$aws/certificates/create/+", "$aws/certificates/create-from-csr/+",
  "$aws/provisioning-templates/+/provision/+" }

local PENDING_MAX = 10000
local TOKEN_MINUTES = 60

---@param topic string
---@return table|nil request  { op =, kind =, template =, format = }
function M.route(topic)
  local kind, format = topic:match("^%$aws/certificates/(create[%w-]*)/([^/]+)$")
  if kind == "create" or kind == "create-from-csr" then
    return { op = "create-certificate", kind = kind, format = format, topic = topic }
  end
  local template
  template, format = topic:match("^%$aws/provisioning%-templates/([^/]+)/provision/([^/]+)$")
  return template and { op = "register-thing", kind = "register", template = template,
    format = format, topic = topic } or nil
end

---@class hob.service.provisioning.options
---@field templates table<string, table>  by name; see hob.service.provisioning.template
---@field signer table                    sign(csr), make(); see hob.service.provisioning.signer
---@field engine table
---@field minute number                   seconds
---@field on_event fun(event: table)?

---@param options hob.service.provisioning.options
function M.new(options)
  return setmetatable({ templates = options.templates, signer = options.signer,
    engine = options.engine, life = TOKEN_MINUTES * options.minute, by_token = {}, pending = 0,
    on_event = options.on_event or function() end,
    in_turn = function(fn) return fn() end }, M)
end

local function refuse(status, code, format, ...)
  return nil, { statusCode = status, errorCode = code, errorMessage = format:format(...) }
end

local function expire(self, now)
  for token, certificate in pairs(self.by_token) do
    if now >= certificate.ends then
      self.by_token[token], self.pending = nil, self.pending - 1
    end
  end
end

local function give_token(self, made, now)
  local token = stores.random_key()
  self.by_token[token] = { id = made.id, ends = now + self.life, status = "PENDING_ACTIVATION" }
  self.pending = self.pending + 1
  return { certificateId = made.id, certificatePem = made.pem, privateKey = made.key,
    certificateOwnershipToken = token }
end

local KINDS = {}

KINDS["create-from-csr"] = function(self, _, body, now)
  local csr = rules.present(body.certificateSigningRequest)
  if type(csr) ~= "string" then
    return refuse(400, "InvalidCertificateSigningRequest", "certificateSigningRequest: expected a "
      .. "text, got %s", csr == nil and "nothing" or type(csr))
  end
  local made, why, what = self.signer:sign(csr)
  if made then
    return give_token(self, made, now)
  elseif what == "CSR" then
    return refuse(400, "InvalidCertificateSigningRequest", "certificateSigningRequest: %s", why)
  end
  return refuse(500, "InternalError", "%s", why)
end

KINDS.create = function(self, _, _, now)
  local made, why = self.signer:make()
  if not made then
    return refuse(500, "InternalError", "%s", why)
  end
  return give_token(self, made, now)
end

local function parameters_of(body)
  local given = rules.present(body.parameters)
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

-- A thing that is there already: OverrideSettings say what becomes of it.
local function override(engine, template, outcome)
  local how = template.overrides.AttributePayload
  if how == "FAIL" then
    return refuse(409, "ResourceConflict", "thing %s exists already", outcome.name)
  elseif how == "MERGE" or how == "REPLACE" then
    local ok, why = engine:update_thing(outcome.name, { attributePayload = {
      attributes = outcome.attributes or {}, merge = how == "MERGE" } })
    if not ok then
      return refuse(400, "InvalidParameters", "%s", why.message)
    end
  end
  return true
end

local function make_thing(self, template, outcome, now)
  local engine = self.engine
  local made, why = engine:create_thing(outcome.name, {
    attributePayload = { attributes = outcome.attributes }, thingTypeName = outcome.type_name })
  local refused
  if not made and why.type == "ResourceAlreadyExistsException" then
    made, refused = override(engine, template, outcome)
  elseif not made then
    made, refused = refuse(400, "InvalidParameters", "%s", why.message)
  end
  local messages = {}
  for _, group in ipairs(made and outcome.groups or {}) do
    local ok, out = engine:add_to_group({ thingGroupName = group, thingName = outcome.name }, now)
    if not ok then
      return refuse(404, "ResourceNotFound", "thing group %s: %s", tostring(group), out.message)
    end
    table.move(out or {}, 1, #(out or {}), #messages + 1, messages)
  end
  return made and messages, refused
end

function KINDS.register(self, request, body, now)
  local template = self.templates[request.template]
  local token = rules.present(body.certificateOwnershipToken)
  local certificate = type(token) == "string" and self.by_token[token]
  if not template then
    return refuse(404, "ResourceNotFound", "there is no provisioning template %s",
      request.template)
  elseif token == nil or token == "" then
    return refuse(400, "InvalidCertificateOwnershipToken",
      "the certificate ownership token is empty")
  elseif not certificate then
    return refuse(400, "InvalidCertificateOwnershipToken",
      "no certificate has this ownership token, or it has ended")
  end
  local given, why = parameters_of(body)
  local outcome
  if given then
    outcome, why = templates.apply(template, given, certificate.id)
  end
  if not outcome then
    return refuse(400, "InvalidParameters", "%s", why)
  end
  local messages, refused = self.in_turn(function()
    return make_thing(self, template, outcome, now)
  end)
  if not messages then
    return nil, refused
  end
  certificate.status, certificate.thing = "ACTIVE", outcome.name
  self.on_event({ level = "info", event = "service.provisioned", thing = outcome.name,
    text = ("%s has the certificate %s, by the template %s"):format(outcome.name, certificate.id,
      request.template) })
  return { thingName = outcome.name, deviceConfiguration = outcome.configuration }
end

local STATUS = { RequestThrottled = 429, InternalError = 500 }

local function serve(self, request, payload, now, instead)
  if instead then
    return refuse(STATUS[instead] or 400, instead, "a fault was planted")
  elseif request.format ~= "json" then
    return refuse(400, "InvalidPayloadFormat", "%s: only json is understood here",
      rules.cut(request.format, 40))
  end
  local body, why = rules.object(payload)
  if not body then
    return refuse(400, "InvalidPayload", "%s", why)
  end
  expire(self, now)
  if self.pending >= PENDING_MAX then
    return refuse(429, "RequestThrottled", "%d certificates are not registered yet", self.pending)
  end
  return KINDS[request.kind](self, request, body, now)
end

--- A message of a device. It may wait for a program; call it in a turn of its own.
---@param topic string     one that `route` knows
---@param payload string
---@param now number
---@param instead string|nil  refuse with this code
---@return hob.service.message[]
function M:handle(topic, payload, now, instead)
  local request = M.route(topic)
  local ok, answer, refused = pcall(serve, self, request, payload, now, instead)
  if not ok then
    self.on_event({ level = "error", event = "service.internal_error", text = tostring(answer) })
    answer, refused = refuse(500, "InternalError", "the service failed")
  elseif refused then
    self.on_event({ level = "info", event = "service.provision_refused", code = refused.errorCode,
      text = ("%s: %s"):format(topic, refused.errorMessage) })
  end
  return { { topic = topic .. (answer and "/accepted" or "/rejected"),
    payload = json_text.encode(answer or refused) } }
end

return M
