-- Fleet provisioning in the local service: what a template makes of what a device gave, and how
-- requests are answered.

local engines = require("hob.service.engine")
local json = require("hob.json")
local provisionings = require("hob.service.provisioning")
local templates = require("hob.service.provisioning.template")
require("hob.service.control")
require("hob.service.device")

local CREATE, CSR = "$aws/certificates/create/json", "$aws/certificates/create-from-csr/json"
local REGISTER = "$aws/provisioning-templates/T/provision/json"
local NAME = { Ref = "Name" }

local function template(thing, more)
  local body = { Parameters = { Name = { Type = "String" } }, Resources = { thing = {
    Type = "AWS::IoT::Thing", Properties = thing } } }
  for key, value in pairs(more or {}) do
    body[key] = value
  end
  return assert(templates.parse(json.encode(body)))
end

describe("a provisioning template", function()
  local function name_of(expression, given, more)
    local outcome, why = templates.apply(template({ ThingName = expression }, more),
      given or { Name = "a-b" }, "id7")
    return outcome and outcome.name, why
  end

  it("has Ref, and the certificate's id as a parameter", function()
    assert.equal("a-b", name_of(NAME))
    assert.equal("id7", name_of({ Ref = "AWS::IoT::Certificate::Id" }))
  end)

  it("has Fn::Join, Fn::Split, Fn::Select, Fn::Sub and Fn::FindInMap, one in the other", function()
    assert.equal("x:a-b", name_of({ ["Fn::Join"] = { ":", { "x", NAME } } }))
    assert.equal("b", name_of({ ["Fn::Select"] = { 1, { ["Fn::Split"] = { "-", NAME } } } }))
    assert.equal("gw_a-b_id7", name_of({
      ["Fn::Sub"] = "gw_${Name}_${AWS::IoT::Certificate::Id}" }))
    assert.equal("wa", name_of({ ["Fn::FindInMap"] = { "M", NAME, "code" } }, nil,
      { Mappings = { M = { ["a-b"] = { code = "wa" } } } }))
  end)

  it("takes defaults, and names a parameter that has no value", function()
    local parameters = { Parameters = { Name = { Type = "String", Default = "d" } } }
    assert.equal("d", name_of(NAME, {}, parameters))
    assert.same({ nil, "parameter Name is missing" }, { name_of(NAME, {}) })
  end)

  it("says what it cannot do", function()
    assert.matches("Fn::Select: there is no element 9", select(2, name_of({
      ["Fn::Select"] = { 9, { "a" } } })), 1, true)
    assert.matches("Fn::FindInMap: there is no M, x, y", select(2, name_of({
      ["Fn::FindInMap"] = { "M", "x", "y" } })), 1, true)
    assert.matches("parameter Other has no value", select(2, name_of({ Ref = "Other" })), 1, true)
  end)

  it("is refused without a thing", function()
    assert.same({ nil, "Resources: there is no AWS::IoT::Thing with a ThingName among them" },
      { templates.parse('{"Resources":{"c":{"Type":"AWS::IoT::Certificate"}}}') })
    assert.is_nil(templates.parse("{"))
  end)
end)

describe("fleet provisioning", function()
  local engine, service, now

  before_each(function()
    now = 1000
    engine = engines.new({})
    local made = 0
    service = provisionings.new({ engine = engine, minute = 60, templates = {
      T = template({ ThingName = NAME, AttributePayload = { serial = "1" },
        ThingGroups = {} }, { DeviceConfiguration = { a = "b" } }) },
      signer = {
        sign = function(_, csr)
          made = made + 1
          if csr == "bad" then
            return nil, "it is none", "CSR"
          end
          return { pem = "PEM", id = "id" .. made }
        end,
        make = function() return { pem = "PEM", id = "id", key = "KEY" } end,
      } })
  end)

  local function ask(topic, body)
    local out = service:handle(topic, type(body) == "string" and body or json.encode(body), now)
    assert.equal(1, #out)
    return json.decode(out[1].payload), out[1].topic:match("[^/]+$")
  end

  local function token()
    return ask(CSR, { certificateSigningRequest = "x" }).certificateOwnershipToken
  end

  it("knows its topics, and no answer for a request", function()
    assert.equal("create-certificate", provisionings.route(CREATE).op)
    assert.equal("T", provisionings.route(REGISTER).template)
    for _, topic in ipairs({ CREATE .. "/accepted", REGISTER .. "/rejected",
      "$aws/certificates/other/json", "$aws/things/a/jobs/get" }) do
      assert.is_nil(provisionings.route(topic), topic)
    end
  end)

  it("gives a certificate and its token, with a key of its own where none was made", function()
    local made, kind = ask(CREATE, "")
    assert.equal("accepted", kind)
    assert.equal("KEY", made.privateKey)
    local signed = ask(CSR, { certificateSigningRequest = "x" })
    assert.is_nil(signed.privateKey)
    assert.are_not.equal(made.certificateOwnershipToken, signed.certificateOwnershipToken)
  end)

  it("makes the thing, again if it is asked again, and gives the device's configuration", function()
    local with = { certificateOwnershipToken = token(), parameters = { Name = "lamp" } }
    for _ = 1, 2 do
      local answer, kind = ask(REGISTER, with)
      assert.equal("accepted", kind)
      assert.same({ thingName = "lamp", deviceConfiguration = { a = "b" } }, answer)
    end
    assert.equal("1", engine:describe_thing("lamp").attributes.serial)
  end)

  it("forgets a token after an hour", function()
    local old = token()
    now = now + 3600
    local refused, kind = ask(REGISTER, { certificateOwnershipToken = old,
      parameters = { Name = "lamp" } })
    assert.equal("rejected", kind)
    assert.equal("InvalidCertificateOwnershipToken", refused.errorCode)
    assert.equal(400, refused.statusCode)
  end)

  it("refuses each request that cannot be done, in AWS's form", function()
    local good = token()
    for _, case in ipairs({
      { CSR, {}, "InvalidCertificateSigningRequest", 400 },
      { CSR, { certificateSigningRequest = "bad" }, "InvalidCertificateSigningRequest", 400 },
      { REGISTER, {}, "InvalidCertificateOwnershipToken", 400 },
      { REGISTER, { certificateOwnershipToken = "x" }, "InvalidCertificateOwnershipToken", 400 },
      { REGISTER, { certificateOwnershipToken = good }, "InvalidParameters", 400 },
      { REGISTER, { certificateOwnershipToken = good, parameters = { Name = 7 } },
        "InvalidParameters", 400 },
      { REGISTER, { certificateOwnershipToken = good, parameters = { Name = "a b" } },
        "InvalidParameters", 400 },
      { "$aws/provisioning-templates/U/provision/json", { certificateOwnershipToken = good },
        "ResourceNotFound", 404 },
      { CREATE, "{", "InvalidPayload", 400 },
      { CREATE, "[1]", "InvalidPayload", 400 },
      { "$aws/certificates/create/cbor", "", "InvalidPayloadFormat", 400 },
    }) do
      local answer, kind = ask(case[1], case[2])
      assert.equal(case[3], answer.errorCode, json.encode(case))
      assert.equal(case[4], answer.statusCode)
      assert.equal("rejected", kind)
      assert.equal("string", type(answer.errorMessage))
    end
  end)

  it("does with a thing that is there what OverrideSettings say", function()
    engine:create_thing("lamp", { attributePayload = { attributes = { old = "1" } } })
    local function attributes(how)
      service.templates.T.overrides = { AttributePayload = how }
      local answer = ask(REGISTER, { certificateOwnershipToken = token(),
        parameters = { Name = "lamp" } })
      return answer.errorCode or engine:describe_thing("lamp").attributes
    end
    assert.same({ old = "1" }, attributes(nil))
    assert.equal("ResourceConflict", attributes("FAIL"))
    assert.same({ old = "1", serial = "1" }, attributes("MERGE"))
    assert.same({ serial = "1" }, attributes("REPLACE"))
  end)
end)
