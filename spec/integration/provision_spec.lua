-- `hob provision`: fleet provisioning by claim against the local service, over mutual TLS.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local exchange = require("hob.provision.exchange")
local fs = require("hob.fs")
local json = require("hob.json")
local keys = require("hob.keys")
local shipped = require("spec.support.shipped")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local TEMPLATE = [=[{
  "Parameters": { "SerialNumber": { "Type": "String" },
    "Site": { "Type": "String", "Default": "north" } },
  "Mappings": { "Urls": { "north": { "url": "https://north.example.com" } } },
  "Resources": { "thing": { "Type": "AWS::IoT::Thing", "Properties": {
      "ThingName": { "Fn::Join": ["", ["gateway-", { "Ref": "SerialNumber" }]] },
      "AttributePayload": { "serial": { "Ref": "SerialNumber" }, "made": "here" },
      "ThingGroups": [] },
      "OverrideSettings": { "AttributePayload": "MERGE" } },
    "certificate": { "Type": "AWS::IoT::Certificate", "Properties": {
      "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "Active" } } },
  "DeviceConfiguration": { "interval": "60", "limits": { "memory": 64 },
    "url": { "Fn::FindInMap": ["Urls", { "Ref": "Site" }, "url"] } } }]=]

describe("hob provision", function()
  local world, claim, scripts, count, faults

  setup(function()
    world = worlds.start({ templates = { Series1 = TEMPLATE } })
    claim = world.pki:issue({ cn = "claim", san = {}, days = 90 })
    scripts = world:path("scripts")
    shipped.put(scripts)
    count, faults = 0, world.side.faults
  end)
  teardown(function()
    world:stop()
  end)
  after_each(function()
    faults:remove()
  end)

  local function place(changes)
    count = count + 1
    local dir = world:path("provision")
    assert(fs.mkdir(dir))
    local flags = { template = "Series1", endpoint = world.broker.host, port = world.broker.port,
      ca = world.pki.ca, ["claim-cert"] = claim.cert, ["claim-key"] = claim.key,
      out = dir .. "/identity", config = dir .. "/hob.conf.lua", scripts = scripts,
      data = dir .. "/data", param = "SerialNumber=" .. count, csr = true, timeout = 10,
      ["exec-user"] = exec_user.name() }
    for name, value in pairs(changes or {}) do
      flags[name] = value or nil
    end
    return { flags = flags, out = dir .. "/identity", config = flags.config,
      key = dir .. "/identity/private.key", cert = dir .. "/identity/certificate.pem",
      thing = "gateway-" .. count }
  end

  local function words_of(one, ...)
    local words = { worlds.hob(), "provision" }
    for name, value in pairs(one.flags) do
      words[#words + 1] = "--" .. name .. (value == true and "" or "=" .. tostring(value))
    end
    local more = { ... }
    return table.move(more, 1, #more, #words + 1, words)
  end

  local function run(one, ...)
    local words = words_of(one, ...)
    words.timeout = worlds.PATIENCE * 2
    return assert(exec.run(words))
  end

  local function run_json(one, ...)
    local result = run(one, "--json", ...)
    local found = json.decode(result.stdout)
    assert(type(found) == "table", result.stdout .. result.stderr)
    assert.equal(found.ok and 0 or 1, result.code, result.stdout)
    return found, result
  end

  local function id_of(one)
    return exchange.certificate_id(assert(fs.read(one.cert)))
  end

  it("gets a certificate for a key that is made here, a thing, and a configuration that connects",
    function()
      local one = place()
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("registered as " .. one.thing, result.stdout, 1, true)
      assert.matches("  interval = 60", result.stdout, 1, true)
      assert.matches('  limits = {"memory":64}', result.stdout, 1, true)
      assert.matches("0 failed", result.stdout, 1, true)
      assert.is_true(keys.matches(one.cert, one.key))
      assert.equal(tonumber("600", 8), fs.stat(one.key).mode)
      assert.equal(tonumber("700", 8), fs.stat(one.out).mode)
      assert.same({ "certificate.pem", "device-configuration.json", "private.key" },
        fs.list(one.out))
      assert.matches(('thing_name = %q'):format(one.thing), fs.read(one.config), 1, true)
      local thing = world:control("describe_thing", one.thing)
      assert.equal("here", thing.attributes.made)
    end)

  it("takes a key that the service makes, and says all of it in JSON", function()
    local one = place({ csr = false })
    local found = run_json(one)
    assert.is_true(found.ok)
    assert.equal(one.thing, found.thing)
    assert.equal(id_of(one), found.certificateId)
    assert.equal("https://north.example.com", found.deviceConfiguration.url)
    assert.is_true(keys.matches(one.cert, one.key))
    assert.equal(tonumber("600", 8), fs.stat(one.key).mode)
  end)

  describe("refused", function()
    it("says the service's words, and goes on with the same certificate when that was mended",
      function()
        local one = place({ param = "Wrong=1" })
        local result = run(one)
        assert.equal(1, result.code)
        assert.matches("hob provision: the service refused RegisterThing: 400 InvalidParameters: "
          .. "parameter SerialNumber is missing", result.stderr, 1, true)
        assert.is_false(fs.exists(one.cert))
        assert.is_false(fs.exists(one.config))
        local first = exchange.certificate_id(assert(fs.read(one.cert .. ".new")))
        one.flags.param = "SerialNumber=again"
        result = run(one)
        assert.equal(0, result.code, result.stdout .. result.stderr)
        assert.matches("goes on with the certificate " .. first, result.stdout, 1, true)
        assert.equal(first, id_of(one))
      end)

    it("for good is not tried again", function()
      local result = run(place({ template = "Other" }))
      assert.equal(1, result.code)
      assert.matches("404 ResourceNotFound: there is no provisioning template Other",
        result.stderr, 1, true)
      assert.is_nil(result.stdout:find("again in", 1, true))
    end)

    it("by throttling is tried again, with pauses", function()
      faults:add({ op = "create-certificate", action = "reject", code = "RequestThrottled",
        count = 1 })
      faults:add({ op = "register-thing", action = "reject", code = "InternalError", count = 1 })
      local one = place()
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("the service refused CreateCertificateFromCsr: 429 RequestThrottled: .*; "
        .. "again in", result.stdout)
      assert.matches("the service refused RegisterThing: 500 InternalError: .*; again in",
        result.stdout)
    end)

    it("without an answer names what the policy must allow", function()
      faults:add({ op = "create-certificate", action = "drop" })
      local result = run(place({ timeout = 3, tries = 1 }))
      assert.equal(1, result.code)
      assert.matches("no answer within 3 s", result.stderr, 1, true)
      assert.matches("iot:Publish on topic/$aws/certificates/create-from-csr/json", result.stderr,
        1, true)
    end)
  end)

  describe("after a cut", function()
    -- Killed while it waits for the answer of RegisterThing.
    local function cut(one)
      faults:add({ op = "register-thing", action = "drop", count = 1 })
      local process = assert(exec.spawn(words_of(one)))
      wait_until(function() return faults.list[1].used == 1 end, worlds.PATIENCE,
        "the request to register")
      process:kill("KILL")
      process:wait()
    end

    it("makes another key when another type of it is wanted, and says so", function()
      local one = place()
      cut(one)
      local key = fs.read(one.key .. ".new")
      one.flags["key-type"] = "rsa"
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("what an earlier run has begun was for Series1 at localhost, with a key of "
        .. "type ec that is made here: begun anew with one of type rsa", result.stdout, 1, true)
      assert.are_not.equal(key, fs.read(one.key))
      assert.matches("BEGIN RSA PRIVATE KEY", fs.read(one.key), 1, true)
      assert.is_true(keys.matches(one.cert, one.key))
    end)

    it("does not take a key that no earlier run is known to have made, and says so", function()
      local one = place()
      assert(fs.mkdir(one.out))
      assert(fs.chmod(one.out, "700"))
      assert(keys.generate({ to = one.key .. ".new", type = "rsa" }))
      local result = run(one, "--offline")
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("made another key in place of " .. one.key .. ".new", result.stdout, 1, true)
      assert.matches("BEGIN EC PRIVATE KEY", fs.read(one.key), 1, true)
    end)

    it("asks for another pair where key and certificate are of two runs", function()
      local one = place({ csr = false })
      cut(one)
      assert(keys.generate({ to = one.key .. ".new", replace = true }))
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("are of two runs: another certificate is asked for", result.stdout, 1, true)
      assert.is_true(keys.matches(one.cert, one.key))
    end)

    it("goes on with key and certificate that are there", function()
      local one = place()
      cut(one)
      local key, first = fs.read(one.key .. ".new"), fs.read(one.cert .. ".new")
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.equal(key, fs.read(one.key))
      assert.equal(first, fs.read(one.cert))
    end)

    it("asks for another certificate when the token of the first has ended", function()
      local one = place()
      cut(one)
      local key, first = fs.read(one.key .. ".new"), fs.read(one.cert .. ".new")
      world.provisioning.by_token = {}
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("InvalidCertificateOwnershipToken: .*; another certificate is asked for",
        result.stdout)
      assert.equal(key, fs.read(one.key))
      assert.are_not.equal(first, fs.read(one.cert))
    end)

    it("begins anew where what was written down is damaged", function()
      for _, members in ipairs{ { stage = "certificate", token_from = "x" }, { stage = "none" },
          { stage = "registered" }, { stage = {} } } do
        local one = place()
        members.endpoint, members.template, members.mode = one.flags.endpoint, "Series1", "csr"
        assert(fs.mkdir(one.out))
        assert(fs.chmod(one.out, "700"))
        assert(fs.write(one.out .. "/provisioning.json", assert(json.encode(members))))
        local result = run(one, "--offline")
        assert.equal(0, result.code, result.stdout .. result.stderr)
        assert.matches("registered as " .. one.thing, result.stdout, 1, true)
      end
    end)

    it("begins anew for another template, and says so", function()
      local one = place()
      cut(one)
      one.flags.template = "Other"
      local result = run(one)
      assert.equal(1, result.code)
      assert.matches("what an earlier run has begun was for Series1 at localhost: begun anew",
        result.stdout, 1, true)
    end)
  end)

  it("passes over a certificate that came for another device's request", function()
    local handle = world.provisioning.handle
    local stranger = world.pki:issue({ cn = "stranger", san = {} })
    world.provisioning.handle = function(self, topic, ...)
      local out = handle(self, topic, ...)
      if topic == exchange.CREATE_FROM_CSR then
        table.insert(out, 1, { topic = topic .. "/accepted", payload = json.encode({
          certificateId = "x", certificateOwnershipToken = "x",
          certificatePem = fs.read(stranger.cert) }) })
      end
      return out
    end
    local one = place()
    local result = run(one)
    world.provisioning.handle = nil
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.is_true(keys.matches(one.cert, one.key))
  end)

  it("never replaces a pair that is there, unless it is told to; then it is kept", function()
    local one = place()
    assert.equal(0, run(one).code)
    local first = fs.read(one.cert)
    local result = run(one)
    assert.equal(1, result.code)
    assert.matches("has a certificate already: nothing was changed", result.stderr, 1, true)
    result = run(one, "--force")
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.are_not.equal(first, fs.read(one.cert))
    assert.equal(first, fs.read(one.cert .. ".old"))
    assert.is_true(keys.matches(one.cert .. ".old", one.key .. ".old"))
  end)

  it("leaves a configuration that is there, and goes on there with --force", function()
    local one = place()
    assert(fs.write(one.config, "return {}\n"))
    local result = run(one)
    assert.equal(1, result.code)
    assert.matches("is there already and is another one", result.stdout, 1, true)
    local first = id_of(one)
    result = run(one, "--force")
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.matches("goes on where an earlier run was: registered as " .. one.thing, result.stdout,
      1, true)
    assert.equal(first, id_of(one))
  end)

  it("leaves a pair whose configuration was not written, if another thing is wanted", function()
    local one = place()
    assert(fs.write(one.config, "return {}\n"))
    assert.equal(1, run(one).code)
    local first, key = id_of(one), fs.read(one.key)
    one.flags.template = "Other"
    local result = run(one)
    assert.equal(1, result.code)
    assert.matches("has a certificate already: nothing was changed", result.stderr, 1, true)
    assert.same({ first, key }, { id_of(one), fs.read(one.key) })
  end)

  it("refuses a directory in which another run is at work, which goes on", function()
    for _, csr in ipairs({ true, false }) do
      local one = place({ csr = csr, timeout = 5 })
      faults:add({ op = "register-thing", action = "drop", count = 1 })
      local first = assert(exec.spawn(words_of(one)))
      wait_until(function() return faults.list[1].used == 1 end, worlds.PATIENCE,
        "the request to register")
      local result = run(one)
      assert.equal(1, result.code)
      assert.matches("another hob provision is at work in " .. one.out, result.stderr, 1, true)
      assert.equal(0, assert(first:wait()).code)
      assert.is_true(keys.matches(one.cert, one.key))
      faults:remove()
    end
  end)

  it("refuses a directory in which others may put a key", function()
    local one = place()
    assert(fs.mkdir(one.out))
    assert(fs.chmod(one.out, "777"))
    local result = run(one)
    assert.equal(1, result.code)
    assert.matches("has the mode 0777: others may write there", result.stderr, 1, true)
    assert.same({}, fs.list(one.out))
  end)

  it("says why it was not let in with the claim certificate", function()
    local pkis = require("spec.support.pki")
    local other = pkis.new({ cn = "Nobody's CA" })
    local stranger = other:issue({ cn = "claim", san = {} })
    local result = run(place({ ["claim-cert"] = stranger.cert, ["claim-key"] = stranger.key,
      timeout = 1 }))
    other:remove()
    assert.equal(1, result.code)
    assert.matches("localhost was not reached with the claim certificate: ", result.stderr, 1, true)
  end)

  it("refuses flags that make no sense, by name", function()
    for text, changes in pairs({
      ["--template: expected 1 to 36 of"] = { template = "a/b" },
      ["--param: expected NAME=VALUE, got 'x'"] = { param = "x" },
      ["--claim-key FILE is missing"] = { ["claim-key"] = false },
      ["--ca: looking at /none"] = { ca = "/none" },
      ["it goes with --csr"] = { csr = false, ["key-type"] = "rsa" },
    }) do
      local result = run(place(changes))
      assert.equal(2, result.code)
      assert.matches(text, result.stderr, 1, true)
    end
  end)
end)
