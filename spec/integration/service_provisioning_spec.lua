-- `hob service` as a process: fleet provisioning with its flags, what it keeps, what it plants.

local exec = require("hob.exec")
local exchange = require("hob.provision.exchange")
local fs = require("hob.fs")
local keys = require("hob.keys")
local mqtt = require("hob.mqtt")
local services = require("spec.support.jobs_service")

local TEMPLATE = [[{ "Parameters": { "Name": { "Type": "String" } }, "Resources": {
  "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } } } }]]

describe("hob service --provisioning-template", function()
  local dir

  setup(function()
    dir = assert(fs.tempdir())
    assert(fs.write(dir .. "/Series1.json", TEMPLATE))
  end)
  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  local function device(service)
    local connection = mqtt.connect(service.broker:options({ client_id = "device" }))
    assert(connection:wait_up(30))
    return exchange.link_of_connection(connection), connection
  end

  it("signs by a CA that it makes, registers the thing, and keeps both with --data", function()
    local flags = { "--data", dir .. "/data", "--provisioning-template", dir .. "/Series1.json" }
    local service = services.start({ flags = flags })
    local link, connection = device(service)
    local made = assert(exchange.create_keys(link, 20))
    assert.is_true(keys.matches(made.certificatePem, made.privateKey))
    assert.equal(made.certificateId, exchange.certificate_id(made.certificatePem))
    local ca = dir .. "/data/provisioning-ca/ca.crt"
    assert(fs.write(dir .. "/made.crt", made.certificatePem))
    exec.check({ "openssl", "verify", "-CAfile", ca, dir .. "/made.crt" })
    assert.equal(tonumber("600", 8), fs.stat(dir .. "/data/provisioning-ca/ca.key").mode)
    local token = made.certificateOwnershipToken
    assert.equal("lamp", assert(exchange.register(link, "Series1", token, { Name = "lamp" }, 20))
      .thingName)
    assert.equal(1, #service:logged("service.provisioned"))
    connection:close()
    service:stop()

    local before = fs.read(ca)
    service = services.start({ flags = flags })
    assert.equal("lamp", service:call("GET", "/things/lamp").thingName)
    assert.equal(before, fs.read(ca))
    service:stop()
  end)

  it("has faults, and answers jobs as before", function()
    local service = services.start({ flags = { "--provisioning-ca", dir .. "/ca",
      "--provisioning-template", dir .. "/Series1.json" } })
    assert.equal(0, service:cli("fault", "add", "--op", "register-thing", "--action", "reject",
      "--code", "RequestThrottled", "--count", "1").code)
    local link, connection = device(service)
    local _, why = exchange.register(link, "Series1", "x", {}, 20)
    assert.equal("RequestThrottled", why.code)
    assert.is_true(why.retry)
    _, why = exchange.register(link, "Series1", "x", {}, 20)
    assert.equal("InvalidCertificateOwnershipToken", why.code)
    assert.is_false(why.retry)
    assert.equal(1, #service:logged("service.fault_used"))
    local peer = service:peer("lamp")
    service:create("j1", "lamp")
    assert.equal("j1", peer:ask("start-next").execution.jobId)
    connection:close()
    service:stop()
  end)

  it("is refused with a template that is none, or a CA without one", function()
    assert(fs.write(dir .. "/bad.json", "{}"))
    for text, flags in pairs({
      ["Resources: expected an object"] = { "--provisioning-template", dir .. "/bad.json" },
      ["No such file"] = { "--provisioning-template", "/none.json" },
      ["of no use without --provisioning-template"] = { "--provisioning-ca", dir },
    }) do
      local words = { services.BINARY, "service", "--endpoint", "localhost", "--port", "1",
        "--no-tls", timeout = 30 }
      local result = exec.run(table.move(flags, 1, #flags, #words + 1, words))
      assert.equal(2, result.code)
      assert.matches(text, result.stderr, 1, true)
    end
  end)
end)
