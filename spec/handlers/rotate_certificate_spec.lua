-- rotate-certificate: the real handler in a real gateway over mutual TLS; certificates come from
-- the local service's fleet provisioning, signed by the broker's own CA.

local exchange = require("hob.provision.exchange")
local exec = require("hob.exec")
local fs = require("hob.fs")
local httpd = require("hob.httpd")
local json = require("hob.json")
local pkis = require("spec.support.pki")
local shipped = require("spec.support.shipped")
local worlds = require("spec.support.world")

local ALLOWED = { "$aws/certificates/create-from-csr/json/#",
  "$aws/provisioning-templates/+/provision/json/#" }

-- Makes the certificate that of the thing of that name.
local TEMPLATE = [[{ "Parameters": { "Thing": { "Type": "String" } }, "Resources": {
  "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Thing" } },
    "OverrideSettings": { "AttributePayload": "DO_NOTHING" } } } }]]

describe("the shipped handler rotate-certificate", function()
  local world, count, strangers, server, served

  setup(function()
    world = worlds.start({ templates = { Rotation = TEMPLATE } })
    strangers = pkis.new({ cn = "Nobody's CA" })
    count, served = 0, {}
    server = assert(httpd.listen({ on_request = function(request)
      local text = served[request.path]
      return { status = text and 200 or 404, body = text or "" }
    end }))
  end)
  teardown(function()
    server:close()
    strangers:remove()
    world:stop()
  end)

  -- A gateway of a thing of its own, with its pair in a directory of its own.
  local function start(config)
    count = count + 1
    local thing = "gw-" .. count
    local dir = world:path("identity")
    assert(fs.mkdir(dir))
    local pair = world.pki:issue({ cn = thing, san = {} })
    local files = { cert = dir .. "/gateway.crt", key = dir .. "/gateway.key" }
    assert(fs.copy(pair.cert, files.cert))
    assert(fs.copy(pair.key, files.key, { mode = "600" }))
    local settings = { cert = files.cert, key = files.key, topics = { allow = ALLOWED },
      backoff_base = 0.05, backoff_cap = 0.1, reboot_command = { "true" } }
    for key, value in pairs(config or {}) do
      settings[key] = value
    end
    local gateway = world:gateway({ thing = thing, scripts = shipped.scripts(), config = settings })
    gateway:wait_event("jobs.subscribed")
    local self = { thing = thing, files = files, pairs = files.cert .. ".pairs",
      gateway = gateway, before = assert(fs.read(pair.cert)), dir = dir }
    function self.certificate() return assert(fs.read(files.cert)) end
    function self.document(changes)
      local document = { operation = "rotate-certificate", template = "Rotation", wait = 20,
        parameters = { Thing = thing } }
      for key, value in pairs(changes or {}) do
        document[key] = value or nil
      end
      return json.encode(document)
    end
    function self.run(changes)
      self.jobs = (self.jobs or 0) + 1
      local id = ("%s-%d"):format(thing, self.jobs)
      world:create(id, self.document(changes), thing)
      return world:ended(id, thing), id
    end
    return self
  end

  local function assert_pair_in_use(one)
    local gateway = one.gateway
    gateway:stop()
    gateway.events = {}
    gateway:launch():wait_event("jobs.subscribed")
  end

  local function in_pairs(one)
    return assert(fs.list(one.pairs))
  end

  -- What a document says that has this pair fetched; without its key: for the one in use.
  local function serve(pair, without_key)
    local url = ("http://127.0.0.1:%d"):format(server:port())
    served[pair.cert], served[pair.key] = fs.read(pair.cert), fs.read(pair.key)
    return { template = false, parameters = false, certificateUrl = url .. pair.cert,
      privateKeyUrl = not without_key and url .. pair.key or nil }
  end

  it("has a certificate made for a key of its own, connects with it, and takes the old pair away",
    function()
      local one = start()
      local old_key = fs.read(one.files.key)
      local execution, id = one.run()
      assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
      assert.are_not.equal(one.before, one.certificate())
      assert.are_not.equal(old_key, fs.read(one.files.key))
      assert.equal(exchange.certificate_id(one.certificate()), execution.details.certificateId)
      assert.equal(exchange.certificate_id(one.before), execution.details.oldCertificateId)
      assert.equal(tonumber("600", 8), fs.stat(one.files.key).mode)
      assert.same({ "current", "new-" .. id .. "-1" }, in_pairs(one))
      assert_pair_in_use(one)
    end)

  it("finds files that the configuration names from where Hob was started", function()
    local one = start()
    one.gateway:stop()
    local text = assert(fs.read(one.gateway.config))
    assert(fs.write(one.gateway.config, (text:gsub('= "[^"]*(/[^/"]+/gateway%.)', '= "..%1'))))
    one.gateway.config = exec.check({ "realpath", "--relative-to=.", one.gateway.config }).stdout
      :gsub("\n$", "")
    assert_pair_in_use(one)
    local execution = one.run()
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    assert.are_not.equal(one.before, one.certificate())
    assert_pair_in_use(one)
  end)

  it("does it again: the names in the configuration stay", function()
    local one = start()
    one.run({ keyType = "rsa" })
    local first = one.certificate()
    local execution, id = one.run()
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    assert.are_not.equal(first, one.certificate())
    assert.same({ "current", "new-" .. id .. "-1" }, in_pairs(one))
  end)

  it("takes what a person has put in the place of a pair that it made", function()
    local one = start()
    one.run()
    local pair = world.pki:issue({ cn = one.thing, san = {} })
    for _, what in ipairs({ "cert", "key" }) do
      assert(fs.remove(one.files[what]))
      assert(fs.write(one.files[what], assert(fs.read(pair[what]))))
    end
    local execution = one.run()
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    assert.equal(exchange.certificate_id(fs.read(pair.cert)), execution.details.oldCertificateId)
  end)

  it("brings the old pair back if the new one is not let in", function()
    local one = start()
    local other = strangers:issue({ cn = one.thing, san = {} })
    local changes = serve(other)
    changes.wait = 2
    local execution = one.run(changes)
    assert.equal("FAILED", execution.status)
    assert.equal("CERTIFICATE_REFUSED", execution.details.code)
    assert.matches("the new certificate did not connect within 2 s: .*; the old pair is back$",
      execution.details.reason)
    assert.equal(one.before, one.certificate())
    assert.equal(2, #in_pairs(one))
    assert_pair_in_use(one)
  end)

  -- Dates of the new pair, what is given beside it, and what comes of it.
  local DATES = {
    ["one that ends before the present one"] = { { days = 3 }, {},
      "the new certificate ends on %S+, before the present one %(%S+%)" },
    ["one that is not valid yet"] = { { from = 3600, days = 90 }, {},
      "the new certificate is not valid before %S+; this gateway's clock says " },
    ["one that has ended, whatever is allowed"] = { { from = -7200, to = -3600 },
      { allowEarlierEnd = true }, "the new certificate ended on %S+; this gateway's clock says " },
  }
  for name, case in pairs(DATES) do
    it("refuses " .. name .. ", before anything is switched", function()
      local one = start()
      local options = { cn = one.thing, san = {} }
      for key, value in pairs(case[1]) do
        options[key] = value
      end
      local changes = serve(world.pki:issue(options))
      for key, value in pairs(case[2]) do
        changes[key] = value
      end
      local execution = one.run(changes)
      assert.equal("FAILED", execution.status)
      assert.equal("WRONG_DATES", execution.details.code)
      assert.matches(case[3], execution.details.reason)
      assert.equal(one.before, one.certificate())
      assert.equal(1, one.gateway:count("jobs.subscribed"))
    end)
  end

  it("takes one that ends earlier where the document says so, and one that ends at the same time",
    function()
      local one = start()
      local pair = world.pki:issue({ cn = one.thing, san = {}, days = 3 })
      local changes = serve(pair)
      changes.allowEarlierEnd = true
      local execution = one.run(changes)
      assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
      execution = one.run(serve(pair, true))
      assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    end)

  it("takes a pair that was made elsewhere", function()
    local one = start()
    local other = world.pki:issue({ cn = one.thing, san = {} })
    local execution = one.run(serve(other))
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    assert.equal(fs.read(other.cert), one.certificate())
    assert.equal(tonumber("600", 8), fs.stat(one.files.key).mode)
    local wrong = one.run(serve({ cert = other.key, key = other.key }, true))
    assert.equal("FAILED", wrong.status)
    assert.equal(fs.read(other.cert), one.certificate())
  end)

  it("fails where the template makes it another thing's, and keeps the old pair", function()
    local one = start()
    local execution = one.run({ parameters = { Thing = "somebody" } })
    assert.equal("FAILED", execution.status)
    assert.equal("WRONG_THING", execution.details.code)
    assert.equal(one.before, one.certificate())
  end)

  it("says what the service said when it refuses", function()
    local one = start()
    local execution = one.run({ template = "Nothing" })
    assert.equal("FAILED", execution.status)
    assert.equal("REFUSED", execution.details.code)
    assert.matches("the service refused RegisterThing: 404 ResourceNotFound: there is no "
      .. "provisioning template Nothing", execution.details.reason, 1, true)
  end)

  it("gets another certificate when the token of the first has ended", function()
    local one = start()
    local provisioning = world.provisioning
    local life = provisioning.life
    provisioning.life = 0
    local made = 0
    local sign = provisioning.signer.sign
    provisioning.signer.sign = function(...)
      made = made + 1
      provisioning.life = made > 1 and life or 0
      return sign(...)
    end
    local execution = one.run()
    provisioning.life, provisioning.signer.sign = life, nil
    assert.equal("SUCCEEDED", execution.status, json.encode(execution.details))
    assert.equal(2, made)
  end)

  it("refuses what makes no sense", function()
    local one = start()
    for text, changes in pairs({
      ["expected either template or certificateUrl"] = { template = false },
      ["template: expected 1 to 36 letters"] = { template = "a/b" },
      ["keyType: expected"] = { keyType = "dsa" },
      ["parameters.n: expected a text, got number"] = { parameters = { n = 1 } },
      ["certificateUrl: expected a URL"] = { template = false, certificateUrl = "file:///x" },
      ["wait: expected seconds"] = { wait = 0 },
      ["allowEarlierEnd: expected true or false"] = { allowEarlierEnd = "yes" },
      ["privateKeyUrl: expected a URL that begins with https://: a"] = { template = false,
        certificateUrl = "http://127.0.0.1:1/c", privateKeyUrl = "http://127.0.0.1:1@a.com/k" },
    }) do
      local execution = one.run(changes)
      assert.equal("REJECTED", execution.status)
      assert.matches(text, execution.details.reason, 1, true)
    end
  end)
end)
