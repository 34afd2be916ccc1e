-- `hob init`: from flags, and from answers at a terminal, to a configuration with which the gateway
-- connects.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local json = require("hob.json")
local ptys = require("spec.support.pty")
local shipped = require("spec.support.shipped")
local worlds = require("spec.support.world")

describe("hob init", function()
  local world, pair, scripts

  setup(function()
    world = worlds.start()
    pair = world.pki:issue({ cn = "gw-1", san = {}, days = 90 })
    scripts = world:path("scripts")
    shipped.put(scripts)
    assert(fs.write(scripts .. "/good.lua", "return { api = 1, run = function() end }\n"))
  end)
  teardown(function()
    world:stop()
  end)

  -- A directory of its own, and all flags; false takes one away.
  local function place(changes)
    local dir = world:path("init")
    assert(fs.mkdir(dir))
    local key = dir .. "/thing.key"
    assert(fs.copy(pair.key, key, { mode = "600" }))
    local flags = { endpoint = world.broker.host, port = world.broker.port, thing = "gw-1",
      ca = world.pki.ca, cert = pair.cert, key = key, scripts = scripts, data = dir .. "/data",
      config = dir .. "/etc/hob.conf.lua", ["exec-user"] = exec_user.name() }
    for name, value in pairs(changes or {}) do
      flags[name] = value or nil
    end
    return { dir = dir, key = key, config = dir .. "/etc/hob.conf.lua", flags = flags }
  end

  local function words_of(one, more)
    local words = { worlds.hob(), "init" }
    for name, value in pairs(one.flags) do
      words[#words + 1] = "--" .. name .. "=" .. tostring(value)
    end
    return table.move(more or {}, 1, #(more or {}), #words + 1, words)
  end

  local function run(one, ...)
    local words = words_of(one, { ... })
    words.timeout = worlds.PATIENCE * 2
    return assert(exec.run(words))
  end

  local function run_json(one, ...)
    local result = run(one, "--json", ...)
    local found = json.decode(result.stdout)
    assert(type(found) == "table", result.stdout .. result.stderr)
    assert.equal(found.ok and 0 or 1, result.code)
    return found, result
  end

  it("writes a configuration with which the gateway connects, and shows what hob doctor finds",
    function()
      local one = place()
      local result = run(one)
      assert.equal(0, result.code, result.stdout .. result.stderr)
      assert.matches("the key belongs to the certificate", result.stdout, 1, true)
      assert.matches("wrote " .. one.config, result.stdout, 1, true)
      assert.matches("ok       jobs gw-1:", result.stdout, 1, true)
      assert.matches("0 failed", result.stdout, 1, true)
      assert.matches('thing_name = "gw-1",', fs.read(one.config), 1, true)
      assert.equal(tonumber("644", 8), fs.stat(one.config).mode)
    end)

  it("prints one JSON object with --json, doctor's findings in it", function()
    local one = place()
    local found = run_json(one)
    assert.is_true(found.ok)
    assert.is_true(found.written)
    assert.equal(one.config, found.config)
    assert.equal(0, found.doctor.failed)
    assert.equal("ca", found.files[1].what)
  end)

  it("names all flags that are missing where nobody can be asked", function()
    local one = place({ endpoint = false, key = false, ca = false })
    local result = run(one)
    assert.equal(2, result.code)
    assert.matches("--endpoint HOST, --ca FILE, --key FILE are missing, and nobody can be asked",
      result.stderr, 1, true)
    assert.is_false(fs.exists(one.config))
  end)

  it("refuses an endpoint that is a URL, and a thing's name that cannot be one", function()
    local url = run(place({ endpoint = "https://example.com" }))
    assert.equal(2, url.code)
    assert.matches("--endpoint: expected the name of a host", url.stderr, 1, true)
    local thing = run(place({ thing = "a b" }))
    assert.equal(2, thing.code)
    assert.matches("--thing: expected 1 to 128 of", thing.stderr, 1, true)
  end)

  describe("writes nothing", function()
    local function assert_nothing(changes, pattern)
      local one = place(changes)
      local found, result = run_json(one)
      assert.is_false(found.written)
      assert.matches(pattern, found.message)
      assert.matches(pattern, result.stderr)
      assert.is_false(fs.exists(one.config))
    end

    it("if a file is not there", function()
      assert_nothing({ cert = "/none/thing.crt" }, "looking at /none/thing.crt: No such file")
    end)

    it("if the key is not that of the certificate", function()
      local other = world.pki:issue({ cn = "other", san = {} })
      assert_nothing({ key = other.key }, "does not match")
    end)

    it("if certificate and key are exchanged", function()
      assert_nothing({ cert = pair.key, key = pair.cert }, "is no private key in PEM form, but a "
        .. "certificate")
    end)

    it("if there are no handlers", function()
      assert_nothing({ scripts = "/none/scripts" }, "/none/scripts: No such file")
    end)
  end)

  describe("a configuration that is there", function()
    local function with_another()
      local one = place()
      assert(fs.mkdir(one.dir .. "/etc"))
      assert(fs.write(one.config, "return {\n  endpoint = \"old\",\n}\n"))
      return one
    end

    it("is never changed: what differs is shown", function()
      local one = with_another()
      local result = run(one)
      assert.equal(1, result.code)
      assert.matches("is there already and is another one: nothing was changed; --force replaces "
        .. "it", result.stdout, 1, true)
      assert.matches('  - +endpoint = "old",\n', result.stdout)
      assert.matches('  + +endpoint = "localhost",\n', (result.stdout:gsub("%+", "+", 1)))
      assert.equal("return {\n  endpoint = \"old\",\n}\n", fs.read(one.config))
      local found = run_json(one)
      assert.equal('-   endpoint = "old",', found.changes[2])
    end)

    it("is replaced with --force, and kept beside", function()
      local one = with_another()
      assert.equal(0, run(one, "--force").code)
      assert.equal("return {\n  endpoint = \"old\",\n}\n", fs.read(one.config .. ".old"))
      assert.matches('endpoint = "localhost"', fs.read(one.config), 1, true)
    end)

    it("that is the same is left, and looked at", function()
      local one = place()
      assert.equal(0, run(one).code)
      local result = run(one)
      assert.equal(0, result.code)
      assert.matches("is as it should be: " .. one.config, result.stdout, 1, true)
      assert.is_false(fs.exists(one.config .. ".old"))
    end)
  end)

  describe("a key that others may read", function()
    it("is warned of, with what to do", function()
      local one = place()
      assert(fs.chmod(one.key, "640"))
      local result = run(one)
      assert.matches(("warning  key: %s has the mode 0640: others than its owner may read the "
        .. "private key; do: chmod 600 %s"):format(one.key, one.key), result.stdout, 1, true)
      assert.equal(tonumber("640", 8), fs.stat(one.key).mode)
    end)

    it("is set right with --fix", function()
      local one = place()
      assert(fs.chmod(one.key, "644"))
      local result = run(one, "--fix")
      assert.equal(0, result.code, result.stdout)
      assert.matches("had the mode 0644, and now 0600", result.stdout, 1, true)
      assert.equal(tonumber("600", 8), fs.stat(one.key).mode)
    end)
  end)

  it("says with status 1 that the endpoint is not reached; the configuration is written", function()
    local one = place({ port = 1 })
    local found = run_json(one)
    assert.is_true(found.written)
    assert.is_false(found.ok)
    assert.is_true(found.doctor.failed > 0)
  end)

  describe("at a terminal", function()
    it("asks for what is missing, again where the answer is no good", function()
      local one = place({ endpoint = false, thing = false, cert = false })
      assert(fs.chmod(one.key, "640"))
      local pty = ptys.start(words_of(one))
      pty:expect("endpoint of AWS IoT:")
      pty:send("https://example.com\r")
      pty:expect("expected the name of a host")
      pty:send(world.broker.host .. "\r")
      pty:expect("name of the thing:")
      pty:send("gw-1\r")
      pty:expect("certificate of the thing:")
      pty:send("/none\r")
      pty:expect("No such file")
      pty:send(pair.cert .. "\r")
      pty:expect("may it be set to 0600?")
      pty:send("\r")
      pty:expect("0 failed")
      assert.equal(0, pty:wait())
      assert.equal(tonumber("600", 8), fs.stat(one.key).mode)
      assert.matches('endpoint = "localhost"', fs.read(one.config), 1, true)
    end)

    it("writes nothing when the person leaves", function()
      local one = place({ thing = false })
      local pty = ptys.start(words_of(one))
      pty:expect("name of the thing:")
      pty:send("\4")
      pty:expect("nothing was written")
      assert.equal(1, pty:wait())
      assert.is_false(fs.exists(one.config))
    end)
  end)
end)
