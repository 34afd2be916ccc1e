-- `hob import`: an installation of AWS's own client on this machine becomes Hob's.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local json = require("hob.json")
local shipped = require("spec.support.shipped")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

describe("hob import", function()
  local world, pair, scripts

  setup(function()
    world = worlds.start()
    pair = world.pki:issue({ cn = "gw-1", san = {}, days = 90 })
    scripts = world:path("scripts")
    shipped.put(scripts)
  end)
  teardown(function()
    world:stop()
  end)

  -- As AWS's setup.sh leaves it in the home of a user.
  local function installation(changes, runtime)
    local home = world:path("home")
    local dir = home .. "/.aws-iot-device-client"
    assert(fs.mkdir(dir .. "/jobs"))
    local key = dir .. "/private.pem.key"
    assert(fs.copy(pair.key, key, { mode = "600" }))
    local given = {
      endpoint = world.broker.host, cert = pair.cert,
      key = "~/.aws-iot-device-client/private.pem.key",
      ["root-ca"] = world.pki.ca, ["thing-name"] = "gw-1",
      logging = { level = "WARN", type = "STDOUT", file = "" },
      jobs = { enabled = true, ["handler-directory"] = dir .. "/jobs/" },
      tunneling = { enabled = false }, ["device-defender"] = { enabled = false, interval = 300 },
      ["fleet-provisioning"] = { enabled = false, ["template-name"] = "" },
      samples = { ["pub-sub"] = { enabled = false } }, ["config-shadow"] = { enabled = false },
    }
    for name, value in pairs(changes or {}) do
      given[name] = value
    end
    assert(fs.write(dir .. "/aws-iot-device-client.conf", json.encode(given)))
    if runtime then
      assert(fs.write(dir .. "/aws-iot-device-client-runtime.conf",
        json.encode({ ["runtime-config"] = runtime })))
    end
    return { home = home, dir = dir, file = dir .. "/aws-iot-device-client.conf", key = key,
      config = home .. "/hob.conf.lua" }
  end

  local function handler(one, name, mode)
    assert(fs.write(one.dir .. "/jobs/" .. name, "#!/bin/sh\n"))
    assert(fs.chmod(one.dir .. "/jobs/" .. name, mode))
    return one.dir .. "/jobs/" .. name
  end

  local function run(one, ...)
    local words = { worlds.hob(), "import", env = { HOME = one.home },
      timeout = worlds.PATIENCE * 2, "--scripts", scripts, "--data", one.home .. "/data",
      "--config", one.config, exec_user.name() and "--exec-user=root" or nil }
    words[#words + 1] = not one.online and "--offline" or nil
    local more = { ... }
    return assert(exec.run(table.move(more, 1, #more, #words + 1, words)))
  end

  local function run_json(one, ...)
    local result = run(one, "--json", one.file, ...)
    local found = json.decode(result.stdout)
    assert(type(found) == "table", result.stdout .. result.stderr)
    assert.equal(found.ok and 0 or 1, result.code)
    return found
  end

  local function missing(found, setting)
    for _, one in ipairs(found.missing) do
      if one.setting == setting then
        return one
      end
    end
  end

  it("maps what there is, and the result passes hob doctor", function()
    local one = installation()
    handler(one, "reboot.sh", "755")
    local result = run(one, one.file)
    assert.equal(0, result.code, result.stdout .. result.stderr)
    local text = fs.read(one.config)
    for _, line in ipairs({ 'endpoint = "localhost",', 'thing_name = "gw-1",',
      ("key = %q,"):format(one.key), ("cert = %q,"):format(pair.cert),
      ("ca = %q,"):format(world.pki.ca), ("handler_dir = %q,"):format(one.dir .. "/jobs"),
      'log_level = "warn",', ("-- privileged = { %q, },"):format(one.dir .. "/jobs/reboot.sh"),
      '-- commands = { allow = { "systemctl", "apt-get" } },' }) do
      assert.matches(line, text, 1, true)
    end
    assert.matches("thing%-name +thing_name = gw%-1", result.stdout)
    assert.matches("0 failed", result.stdout, 1, true)
    assert.matches("systemctl disable --now aws-iot-device-client.service", result.stdout, 1, true)
  end)

  it("finds the file in its usual places, and changes nothing of the old agent's", function()
    local one = installation()
    local before = exec.check({ "find", one.dir, "-printf", "%p %m %T@ %s\n" }).stdout
    local result = run(one)
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.matches("from " .. one.file, result.stdout, 1, true)
    assert.equal(before, exec.check({ "find", one.dir, "-printf", "%p %m %T@ %s\n" }).stdout)
  end)

  it("names the places where it looked in vain", function()
    local one = { home = world:path("nobody"), config = world:path("none") }
    local result = run(one)
    assert.equal(2, result.code)
    assert.matches(one.home .. "/.aws-iot-device-client/aws-iot-device-client.conf", result.stderr,
      1, true)
  end)

  it("names each setting that has no counterpart, and what to do in its place", function()
    local one = installation({
      tunneling = { enabled = true }, ["device-defender"] = { enabled = true, interval = 60 },
      samples = { ["pub-sub"] = { enabled = true } }, ["config-shadow"] = { enabled = true },
      ["sample-shadow"] = { enabled = true }, ["sensor-publish"] = { sensors = { { name = "s" } } },
      logging = { level = "DEBUG", type = "FILE", file = "/var/log/a/b.log",
        ["enable-sdk-logging"] = true },
      jobs = { enabled = false }, ["clean-session"] = false,
    })
    local found = run_json(one, "--dry-run")
    for _, setting in ipairs({ "tunneling", "device-defender", "samples.pub-sub", "config-shadow",
      "sample-shadow", "sensor-publish", "logging.enable-sdk-logging", "jobs.enabled" }) do
      local what = missing(found, setting)
      assert(what and #what.text > 0 and #what.action > 0, setting)
    end
    assert.matches('client_id = "THING-hob"', missing(found, "tunneling").action, 1, true)
    assert.matches('log_target = "/var/log/a/hob.log"', found.text, 1, true)
    assert.matches("persistent_session = true", found.text, 1, true)
    assert.is_false(fs.exists(one.config))
  end)

  it("says that tunnels are on where nothing is said", function()
    local one = installation({ tunneling = json.null })
    assert.matches("has them on where nothing is said", missing(run_json(one, "--dry-run"),
      "tunneling").text, 1, true)
  end)

  it("looks at the handlers as AWS's client does, and as Hob will run them", function()
    local one = installation()
    local open, closed, none = handler(one, "open.sh", "757"), handler(one, "closed.sh", "700"),
      handler(one, "none.sh", "600")
    handler(one, "other.sh", "755")
    local found = run_json(one, "--dry-run")
    local by = {}
    for _, finding in ipairs(found.handlers) do
      by[finding.what] = finding
    end
    assert.matches("others than its owner may change", by[open].text, 1, true)
    assert.matches("nobody may start it", by[none].text, 1, true)
    assert.matches("AWS's client wants 0700", by[one.dir .. "/jobs/other.sh"].text, 1, true)
    assert.matches("0700", by[closed].text, 1, true)
    if exec_user.name() then -- as root; programs run as another user
      assert.matches("only its owner may start it, and Hob runs programs as hob", by[closed].text,
        1, true)
    end
  end)

  it("takes the identity that fleet provisioning has left", function()
    local one = installation({ cert = "/none/claim.crt", key = "/none/claim.key",
      ["thing-name"] = "", ["fleet-provisioning"] = { enabled = true } },
      { ["completed-fp"] = true, cert = pair.cert, key = pair.key, ["thing-name"] = "gw-7" })
    local found = run_json(one, "--dry-run")
    assert.is_true(found.ok)
    assert.matches('thing_name = "gw-7"', found.text, 1, true)
    assert.matches("runtime.conf", found.runtime, 1, true)
  end)

  it("gives the command for a fleet provisioning that has not been done", function()
    local one = installation({ ["fleet-provisioning"] = { enabled = true,
      ["template-name"] = "Series1", ["csr-file"] = "/x.csr",
      ["template-parameters"] = '{"SerialNumber": "a b"}' } })
    local found = run_json(one)
    assert.is_false(found.ok)
    assert.equal(("hob provision --endpoint localhost --template Series1 --ca %s --claim-cert %s "
      .. "--claim-key %s --csr --param 'SerialNumber=a b' --out /etc/hob/identity --config "
      .. "/etc/hob/hob.conf.lua"):format(world.pki.ca, pair.cert, one.key), found.provision)
    assert.is_false(fs.exists(one.config))
  end)

  it("takes --ca in the place of a root-ca that is not there", function()
    local one = installation({ ["root-ca"] = "/none/root.pem" })
    local found = run_json(one, "--dry-run", "--ca", world.pki.ca)
    assert.is_true(found.ok, json.encode(found))
    assert.matches(("ca = %q"):format(world.pki.ca), found.text, 1, true)
  end)

  it("refuses what is no configuration, or lacks what it needs", function()
    local one = installation({ endpoint = "", key = "$HOME/x" })
    local found = run_json(one)
    assert.matches("endpoint: is not set", found.message, 1, true)
    assert.matches("key: $HOME/x: a shell's signs are not expanded here", found.message, 1, true)
    assert(fs.write(one.file, "{ not JSON"))
    assert.matches("is no JSON: ", run_json(one).message, 1, true)
    local secure = installation({ ["secure-element"] = { enabled = true } })
    assert.matches("secure-element: the key lies in a PKCS#11 token", run_json(secure).message, 1,
      true)
  end)

  it("says that the old agent runs, as which process, and leaves the endpoint alone", function()
    local one = installation()
    local program = one.home .. "/aws-iot-device-client"
    assert(fs.copy(exec.check({ "which", "sleep" }).stdout:gsub("\n$", ""), program))
    assert(fs.chmod(program, "755"))
    local agent = assert(exec.spawn({ program, "1000" }))
    wait_until(function()
      return (fs.read(("/proc/%d/cmdline"):format(agent:pid())) or ""):find(program, 1, true)
    end, worlds.PATIENCE, "the agent")
    one.online = true
    local found = run_json(one)
    agent:kill("KILL")
    agent:wait()
    assert.is_true(found.oldAgent.running)
    assert.is_true(#found.oldAgent.pids >= 1)
    assert.matches("throw each other out", found.oldAgent.text, 1, true)
    assert.is_true(found.written)
    for _, finding in ipairs(found.doctor.checks) do
      assert.are_not.equal("tcp", finding.check)
    end
  end)
end)
