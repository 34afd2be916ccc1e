-- `hob doctor`: what can be wrong on the way from the endpoint's name to the Jobs service is found
-- and said with what to do; and a gateway that runs is not disturbed.

local broker = require("spec.support.broker")
local desks = require("spec.support.doctor")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local shim = require("spec.support.shim")
local time = require("hob.time")
local worlds = require("spec.support.world")

local FILTERS, PREFIX = desks.FILTERS, desks.PREFIX

describe("hob doctor", function()
  local world, desk, finals

  setup(function()
    world = worlds.start()
    desk = desks.new(world)
  end)
  teardown(function()
    world:stop()
  end)
  before_each(function()
    finals = {}
  end)
  after_each(function()
    for _, fn in ipairs(finals) do
      fn()
    end
  end)
  local function finally(fn)
    table.insert(finals, 1, fn)
  end
  local function gateway(config, scripts)
    return desk:gateway(config, scripts)
  end
  local function doctor(...)
    return desk:doctor(...)
  end

  describe("the way to the cloud", function()
    it("ends at a name that is not resolved", function()
      local found = doctor("--timeout", "2", "--config",
        gateway({ endpoint = "nowhere.invalid" }).config)
      desk.expect(desk.the(found, "name"), "failed", "nowhere.invalid is not resolved", "DNS")
      assert.equal(0, #desk.all_of(found, "tcp"))
    end)

    it("ends at a name server that does not answer, within its time", function()
      if shim.is_sanitized() then
        pending("nothing can be preloaded beside a sanitizer")
        return
      end
      local began = time.mono()
      local found = doctor({ "--timeout", "1", "--config",
        gateway({ endpoint = "name.example" }).config,
        env = desk.machine({ HOB_SHIM_NAMES = "1" }) })
      desk.expect(desk.the(found, "name"), "failed", "no answer within 1 s", "/etc/resolv.conf")
      assert.is_true(time.mono() - began < 50) -- the look-up itself takes a minute
    end)

    it("ends at a port where nobody listens; a proxy does not help", function()
      local found = doctor({ "--config", gateway({ port = 1 }).config,
        env = { HTTPS_PROXY = "http://me:sesame@proxy.invalid:3128" } })
      desk.expect(desk.the(found, "tcp"), "failed", "connection refused", "check port (1)")
      desk.expect(desk.the(found, "tcp"), "failed", "HTTPS_PROXY is set here")
      desk.expect(desk.the(found, "proxy"), "info", "downloads go through the one of HTTPS_PROXY")
      assert.is_nil(found.text:find("sesame", 1, true))
      assert.equal(0, #desk.all_of(found, "tls"))
    end)

    it("goes on where the server does not know the ALPN name, which is told", function()
      local found = doctor("--config", gateway({ alpn = "x-amzn-mqtt-ca" }).config)
      desk.expect(desk.all_of(found, "tls")[2], "warning", "did not take the ALPN name",
        "on port 443 only")
      assert.equal("ok", desk.the(found, "mqtt").state)
    end)

    it("ends at a server with another name, which is told", function()
      local other = broker.start({ pki = world.pki,
        server = world.pki:issue({ cn = "elsewhere", san = { "DNS:elsewhere" } }) })
      finally(function() other:stop() end)
      local found = doctor("--config", gateway({ port = other.port }).config)
      desk.expect(desk.the(found, "tls"), "failed", "elsewhere", "refused-connections.md")
    end)

    it("ends at a server that says nothing, within its time", function()
      local silent = peer.start("greeter", "")
      finally(function() silent:stop() end)
      local found = doctor("--timeout", "1", "--config", gateway({ port = silent.port }).config)
      desk.expect(desk.the(found, "tls"), "failed", "no answer within 1 s")
    end)

    it("ends at a CONNECT that is refused, in words and with the policy (field failure 15)",
      function()
        local refusing = peer.start("fake_broker",
          "function on.connect(c) c:send(mqtt.connack(5)) end")
        finally(function() refusing:stop() end)
        local found = doctor("--config", gateway({ port = refusing.port, tls = false }).config)
        desk.expect(desk.the(found, "mqtt"), "failed",
          'the broker refused client id "gw-1" (code 5', "iot:Connect on client/gw-1")
        assert.equal(0, #desk.all_of(found, "subscription"))
      end)

    it("goes on past a subscription at which the broker closes the connection, as AWS does "
      .. "(field failure 15)", function()
      local strict = peer.start("strict_broker", PREFIX .. "notify")
      finally(function() strict:stop() end)
      local found = doctor("--timeout", "2", "--config",
        gateway({ port = strict.port, tls = false }).config)
      local list = desk.all_of(found, "subscription")
      assert.equal(#FILTERS, #list)
      for i, finding in ipairs(list) do
        assert.equal(i == 2 and "failed" or "ok", finding.state, finding.text)
      end
      desk.expect(list[2], "failed", PREFIX .. "notify: refused: the broker closed",
        "iot:Subscribe on topicfilter/" .. PREFIX .. "notify and iot:Receive on topic/")
      desk.expect(desk.the(found, "jobs"), "failed", "no answer came", "iot:Publish on topic/"
        .. PREFIX .. "$next/get")
    end)
  end)

  it("gives a subscription that is not answered its time, and goes on", function()
    local mute = peer.start("strict_broker", PREFIX .. "notify", "mute")
    finally(function() mute:stop() end)
    local found = doctor("--timeout", "3", "--config",
      gateway({ port = mute.port, tls = false }).config)
    local list = desk.all_of(found, "subscription")
    desk.expect(list[2], "failed", "did not answer within 3 s", "iot:Subscribe on topicfilter/"
      .. PREFIX .. "notify")
    assert.equal("ok", list[6].state)
  end)

  describe("a broker that refuses a subscription", function()
    local refusing, refused

    local function plugin()
      for _, machine in ipairs({ "x86_64", "aarch64" }) do
        local path = ("/usr/lib/%s-linux-gnu/mosquitto_dynamic_security.so"):format(machine)
        if fs.exists(path) then
          return path
        end
      end
      error("mosquitto's dynamic-security plugin is missing")
    end

    setup(function()
      local rules = world.dir .. "/rules.json"
      local yes = { publishClientSend = true, publishClientReceive = true, subscribe = true,
        unsubscribe = true }
      assert(fs.write(rules, assert(json.encode({
        defaultACLAccess = yes, anonymousGroup = "all",
        groups = { { groupname = "all", roles = { { rolename = "device" } } } },
        roles = { { rolename = "device", acls = { { acltype = "subscribeLiteral",
          topic = PREFIX .. "+/update/+", priority = 9, allow = false } } } },
      }))))
      refusing = worlds.start({ tls = false,
        conf = ("plugin %s\nplugin_opt_config_file %s"):format(plugin(), rules) })
      refused = desks.new(refusing)
    end)
    teardown(function()
      refusing:stop()
    end)

    local function assert_refused(found)
      local list = desk.all_of(found, "subscription")
      assert.equal(#FILTERS, #list)
      desk.expect(list[6], "failed", PREFIX .. "+/update/+: refused",
        "iot:Subscribe on topicfilter/" .. PREFIX .. "*/update/* and iot:Receive on topic/"
        .. PREFIX .. "*/update/*")
      assert.equal("ok", list[1].state)
    end

    it("is named with the policy that is missing (field failure 15)", function()
      assert_refused(refused:doctor("--config", refused:gateway().config))
    end)

    it("is named also by the running gateway (field failure 15)", function()
      local one = refused:gateway():launch()
      one:wait_event("jobs.subscribe_refused")
      local found = doctor("--config", one.config)
      assert_refused(found)
      assert.equal("running", found.gateway)
    end)
  end)

  describe("a running gateway", function()
    local function connects()
      local count = 0
      for _ in world.broker:log():gmatch("as gw%-1 ") do
        count = count + 1
      end
      return count
    end

    it("is asked, and its connection is left alone", function()
      local one = gateway():launch()
      one:wait_event("jobs.subscribed")
      local before = connects()
      local found = doctor("--config", one.config)
      assert.equal("running", found.gateway)
      assert.same({}, desk.failed_of(found))
      desk.expect(desk.the(found, "mqtt"), "ok", "the running gateway is connected as gw-1")
      desk.expect(desk.the(found, "jobs"), "ok", "answered the running gateway")
      desk.expect(desk.the(found, "store"), "ok", "no damage found since")
      assert.equal(#FILTERS, #desk.all_of(found, "subscription"))
      for _, finding in ipairs(desk.all_of(found, "subscription")) do
        assert.equal("ok", finding.state, finding.text)
      end
      assert.equal(before, connects())
      assert.equal(0, one:count("conn.lost"))

      found = doctor("--data", one.dir .. "/data")
      assert.equal(one.config, found.config)
      assert.equal("ok", desk.the(found, "key").state)
      found = doctor("--socket", one.dir .. "/data/hob.sock")
      assert.equal("running", found.gateway)
      assert.equal(before, connects())
      assert.equal(0, one:stop())
    end)

    it("that has no control socket is not disturbed, either", function()
      local one = gateway():launch()
      one:wait_event("jobs.subscribed")
      assert(fs.remove(one.dir .. "/data/hob.sock"))
      local before = connects()
      local found = doctor("--config", one.config)
      assert.equal("unknown", found.gateway)
      desk.expect(desk.the(found, "gateway"), "warning", "a gateway uses it")
      desk.expect(desk.the(found, "mqtt"), "info", "not connected: a gateway runs here")
      assert.equal(before, connects())
      assert.equal(0, one:count("conn.lost"))
      one:kill()
    end)

    it("that takes no new jobs is a warning", function()
      local one = gateway():launch()
      one:wait_event("jobs.subscribed")
      exec.check({ worlds.hob(), "drain", "on", "--config", one.config })
      local found = doctor("--config", one.config)
      desk.expect(desk.all_of(found, "gateway")[2], "warning", "no new job is begun since",
        "hob drain off")
      one:stop()
      found = doctor("--offline", "--config", one.config)
      desk.expect(desk.all_of(found, "store")[2], "warning", "no new job is begun since")
    end)

    it("that another client throws out again and again is a warning", function()
      local one = gateway({ client_id = "twin" }):launch()
      local other = world:gateway({ thing = "gw-9", config = { client_id = "twin" } })
      one:wait_event("conn.lost", nil, 4)
      other:kill()
      local found = doctor("--config", one.config)
      desk.expect(desk.all_of(found, "mqtt")[2], "warning", "the connection was lost",
        "another client uses the client id twin")
      one:kill()
    end)

    it("that is not connected says why", function()
      local one = gateway({ port = 1 }):launch()
      one:wait_event("conn.refused")
      local found = doctor("--config", one.config)
      desk.expect(desk.the(found, "mqtt"), "failed", "connection refused")
      one:kill()
    end)
  end)

  it("works for another user, as far as he may look", function()
    if exec.check({ "id", "-u" }).stdout ~= "0\n" then
      pending("only root can be somebody else")
      return
    end
    local one = gateway():launch()
    one:wait_event("jobs.subscribed")
    assert(fs.chmod(world.dir, "755"))
    local before = one:count("conn.lost")
    local result = assert(desk.run({ "--json", "--config", one.config, user = "nobody",
      program = world:open_hob() }))
    local found = json.decode(result.stdout)
    assert(type(found) == "table", result.stdout .. result.stderr)
    assert.equal(1, result.code)
    desk.expect(desk.the(found, "gateway"), "warning", "could not be asked",
      "run hob doctor as root")
    assert.equal(before, one:count("conn.lost"))
    one:kill()
  end)
end)
