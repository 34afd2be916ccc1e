-- `hob doctor`: what can be wrong on the machine, from the configuration to the certificates, is
-- found and said with what to do. What lies beyond the machine: doctor_cloud_spec.lua.

local desks = require("spec.support.doctor")
local exec = require("hob.exec")
local fs = require("hob.fs")
local shim = require("spec.support.shim")
local worlds = require("spec.support.world")

local FILTERS, GOOD, PREFIX = desks.FILTERS, desks.GOOD, desks.PREFIX
local DAY = 86400

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

  describe("where all is well and no gateway runs", function()
    it("connects as the gateway would, and ends with status 0", function()
      local found = doctor("--config", gateway().config)
      assert.same({}, desk.failed_of(found))
      assert.equal("stopped", found.gateway)
      for _, name in ipairs({ "configuration", "boot", "key", "CA", "certificate", "name", "tcp",
        "tls", "mqtt", "jobs", "handlers" }) do
        assert.equal("ok", desk.the(found, name).state, name)
      end
      desk.expect(desk.the(found, "tls"), "ok", "verified as localhost")
      desk.expect(desk.the(found, "mqtt"), "ok", "iot:Connect on client/gw-1")
      desk.expect(desk.the(found, "jobs"), "ok", "no job is pending (iot:Publish on topic/"
        .. PREFIX .. "$next/get)")
    end)

    it("says for each subscription which policy it needs (field failure 15)", function()
      local found = doctor("--config", gateway().config)
      for i, finding in ipairs(desk.all_of(found, "subscription", "gw-1")) do
        local resource = PREFIX .. FILTERS[i]:gsub("%+", "*")
        desk.expect(finding, "ok", ("%s%s: granted (iot:Subscribe on topicfilter/%s and "
          .. "iot:Receive on topic/%s)"):format(PREFIX, FILTERS[i], resource, resource))
      end
      assert.equal(#FILTERS, #desk.all_of(found, "subscription", "gw-1"))
    end)

    it("changes nothing for a job that waits", function()
      world:create("waits-here", '{"operation":"good"}', "gw-2")
      local pair = world.pki:issue({ cn = "gw-2", san = {}, days = 90 })
      local found = doctor("--config", gateway({ thing_name = "gw-2", cert = pair.cert,
        key = pair.key }).config)
      desk.expect(desk.the(found, "jobs"), "ok", "the next job is waits-here (QUEUED)")
      local execution = world:describe("waits-here", "gw-2")
      assert.same({ "QUEUED", 1 }, { execution.status, execution.versionNumber })
    end)

    it("prints a line for each, and their sum last", function()
      local result = desk.run({ "--config", gateway().config })
      assert.equal(0, result.code, result.stderr)
      assert.equal("", result.stderr)
      for line in result.stdout:gmatch("[^\n]+") do
        assert(line:find("^ok       ") or line:find("^info     ") or line:find("^warning  ")
          or line:find("^%d+ failed, %d+ warnings?, %d+ ok$"), line)
      end
      assert.matches("\nok       mqtt gw%-1: CONNECT as client id gw%-1 accepted", result.stdout)
    end)

    it("leaves the network alone with --offline", function()
      local found = doctor("--offline", "--config", gateway({ port = 1 }).config)
      assert.equal(0, found.code)
      for _, name in ipairs({ "name", "tcp", "tls", "mqtt", "subscription", "jobs" }) do
        assert.equal(0, #desk.all_of(found, name), name)
      end
    end)

    it("looks at each of many things, and once at the endpoint that they share", function()
      local pair = world.pki:issue({ cn = "gw-3", san = {}, days = 90 })
      local things = ('{ { thing_name = "gw-1" }, { thing_name = "gw-3", cert = %q, key = %q } }')
        :format(pair.cert, pair.key)
      local found = doctor("--config", gateway({ things = { lua = things } }).config)
      assert.equal(0, found.code, found.text)
      for _, name in ipairs({ "gw-1", "gw-3" }) do
        assert.equal("ok", desk.the(found, "certificate", name).state)
        assert.equal("ok", desk.the(found, "jobs", name).state)
        assert.equal(#FILTERS, #desk.all_of(found, "subscription", name))
      end
      assert.equal(1, #desk.all_of(found, "tcp"))
    end)
  end)

  describe("a configuration", function()
    it("that is wrong is the first finding, each mistake of it; the rest is looked at", function()
      local found = doctor("--config", gateway({ timout = 3, keep_alive = 1 }).config)
      assert.equal("configuration", found.checks[1].check)
      assert.equal("configuration", found.checks[2].check)
      local words = found.checks[1].text .. found.checks[2].text
      assert.matches("timout: unknown key", words)
      assert.matches("keep_alive: expected ", words)
      assert.same({ "configuration", "configuration" }, desk.failed_of(found))
      assert.equal("ok", desk.the(found, "mqtt").state)
    end)

    it("must not give two things one client id", function()
      local found = doctor("--offline", "--config", gateway({ client_id = "twin", things = {
        lua = '{ { thing_name = "a" }, { thing_name = "b" } }' } }).config)
      desk.expect(found.checks[1], "failed", "things[1].client_id: expected another one for each")
      desk.expect(found.checks[1], "failed", 'got "twin", with which things[2] connects, too')
    end)

    it("that cannot be read leaves what needs none of it", function()
      local one = gateway()
      assert(fs.write(one.config, "return {\n  endpoint = = 3\n"))
      local found = doctor("--config", one.config)
      desk.expect(found.checks[1], "failed", one.config .. ":2: ")
      assert.same({ "configuration" }, desk.failed_of(found))
      desk.the(found, "clock")
      assert.equal(0, #desk.all_of(found, "mqtt"))
    end)

    it("that is not there is said", function()
      local found = doctor("--config", world.dir .. "/none.lua")
      desk.expect(found.checks[1], "failed", "none.lua: cannot read the configuration")
    end)

    it("and what it names must not be anybody's to change or read", function()
      local one = gateway({ key_passphrase = "sesame" })
      assert(fs.chmod(one.dir .. "/scripts", "777"))
      assert(fs.chmod(one.dir .. "/scripts/good.lua", "666"))
      assert(fs.mkdir(one.dir .. "/data"))
      assert(fs.chmod(one.dir .. "/data", "777"))
      assert(fs.chmod(one.config, "644"))
      local found = doctor("--offline", "--config", one.config)
      local scripts = desk.all_of(found, "permissions", "scripts")
      desk.expect(scripts[1], "failed", one.dir .. "/scripts is writable by everybody",
        "chmod o-w " .. one.dir .. "/scripts")
      desk.expect(scripts[2], "failed", "/scripts/good.lua is writable by everybody")
      desk.expect(desk.the(found, "permissions", "data"), "failed", "is writable by everybody")
      desk.expect(desk.the(found, "permissions", "configuration"), "failed",
        "is readable by everybody, and holds a passphrase", "chmod 600 " .. one.config)
      assert.is_nil(found.text:find("sesame", 1, true))
    end)

    it("names programs, which must be there", function()
      local found = doctor("--offline", "--config", gateway({
        privileged = { "no-such-program-here", "sh" } }).config)
      desk.expect(desk.the(found, "program", "no-such-program-here"), "warning",
        "privileged: there is no program no-such-program-here in PATH", "take it out of privileged")
      desk.expect(desk.the(found, "program", "sh"), "ok", "privileged: sh is /")
    end)
  end)

  describe("the clock", function()
    it("that says 1970 is the trouble, not the certificate (field failure 7)", function()
      local library = exec.run({ "sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1" }).stdout
        :match("^[^\n]+")
      if shim.is_sanitized() or not library then
        pending("libfaketime is missing, or cannot be preloaded beside a sanitizer")
        return
      end
      local found = doctor({ "--config", gateway().config, env = { LD_PRELOAD = library,
        FAKETIME = "@1970-01-02 00:00:00", FAKETIME_DONT_FAKE_MONOTONIC = "1" } })
      desk.expect(desk.the(found, "clock"), "failed", "the clock says 1970-01-0", "timedatectl")
      desk.expect(desk.the(found, "certificate"), "failed", "and the clock says 1970-01-0",
        "set the time")
      desk.expect(desk.the(found, "tls"), "failed", "the clock says 1970")
    end)
  end)

  describe("a certificate", function()
    local function with(options, more)
      local pair = world.pki:issue(options)
      local config = { cert = pair.cert, key = pair.key }
      for key, value in pairs(more or {}) do
        config[key] = value
      end
      return doctor("--config", gateway(config).config)
    end

    it("that has expired is named, with since when", function()
      local found = with({ cn = "gw-1", san = {}, from = -20 * DAY, to = -5 * DAY - 60 })
      desk.expect(desk.the(found, "certificate"), "failed", "expired 5 days ago, on 20",
        "have a new one issued")
    end)

    it("that is not valid yet is named, with from when", function()
      local found = with({ cn = "gw-1", san = {}, from = 5 * DAY, to = 50 * DAY })
      desk.expect(desk.the(found, "certificate"), "failed", "is not valid before 20",
        "set the time")
    end)

    it("that ends within 30 days is a warning", function()
      local found = with({ cn = "gw-1", san = {}, to = 12 * DAY + 60 })
      desk.expect(desk.the(found, "certificate"), "warning", "expires in 12 days")
      assert.equal(0, found.code)
    end)

    it("whose key is another one's is told apart", function()
      local other = world.pki:issue({ cn = "other", san = {} })
      local found = with({ cn = "gw-1", san = {}, days = 90 }, { key = other.key })
      desk.expect(desk.the(found, "key"), "failed", "the key does not match the certificate")
      assert.equal("ok", desk.the(found, "certificate").state)
    end)

    it("whose key has a passphrase is opened with it, or the passphrase is wrong", function()
      local options = { cn = "gw-1", san = {}, days = 90, passphrase = "sesame", algorithm = "rsa" }
      local found = with(options, { key_passphrase = "sesame" })
      desk.expect(desk.the(found, "key"), "ok", "opened with its passphrase")
      found = with(options, { key_passphrase = "poppy" })
      desk.expect(desk.the(found, "key"), "failed", "passphrase is wrong")
      assert.is_nil(found.text:find("poppy", 1, true))
    end)

    it("of another CA than the endpoint's makes TLS fail, and the CA is looked at", function()
      local other = require("spec.support.pki").new({ cn = "Another CA" })
      finally(function() other:remove() end)
      local found = doctor("--config", gateway({ ca = other.ca }).config)
      desk.expect(desk.the(found, "CA"), "ok", "CN=Another CA")
      desk.expect(desk.the(found, "tls"), "failed", 'issuer "CN=Hob spec CA", which is not in')
      assert.equal(0, #desk.all_of(found, "mqtt"))
      found = doctor("--config", gateway({ ca = desk.good.cert }).config)
      desk.expect(desk.the(found, "CA"), "warning", "is no CA's certificate")
    end)

    it("in the wrong file is named: a key is no certificate", function()
      local found = doctor("--config", gateway({ cert = desk.good.key }).config)
      desk.expect(desk.the(found, "certificate"), "failed", "no certificate in it, but")
    end)

    it("of a signer is told with its dates, which do not count", function()
      local old = world.pki:issue({ cn = "release", san = {}, from = -20 * DAY, to = -9 * DAY })
      local found = doctor("--offline", "--config", gateway({ signers = { old.cert } }).config)
      desk.expect(desk.the(found, "signer"), "info", "expired 9 days ago")
      assert.equal(0, found.code)
    end)
  end)

  describe("handlers", function()
    it("are loaded, and each is asked by its own doctor", function()
      local found = doctor("--offline", "--timeout", "1", "--config", gateway({ memory = "8M" }, {
        ["broken.lua"] = "return {\n  api = 1,\n  run = = 1 }\n",
        ["fine.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return true end }\n",
        ["lacks.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return nil, 'install fw-install' end }\n",
        ["mute.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return false end }\n",
        ["wrong.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return 7 end }\n",
        ["raises.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() local x = nil; return x.y end }\n",
        ["loops.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() while true do end end }\n",
        ["grows.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return #('x'):rep(20 * 1024 * 1024) > 0 end }\n",
        ["good.lua"] = GOOD,
      }).config)
      desk.expect(desk.the(found, "handler", "broken"), "failed", "broken.lua:3: ",
        "hob handler lint")
      desk.expect(desk.the(found, "handler", "fine"), "ok", "its doctor: ok")
      desk.expect(desk.the(found, "handler", "lacks"), "warning",
        "its doctor: install fw-install; until then jobs for it fail", "lacks")
      desk.expect(desk.the(found, "handler", "mute"), "warning", "its doctor gave no reason")
      desk.expect(desk.the(found, "handler", "wrong"), "failed", "its doctor gave number")
      desk.expect(desk.the(found, "handler", "raises"), "failed", "raises.lua:2: ")
      desk.expect(desk.the(found, "handler", "loops"), "failed", "did not answer within 1 s",
        "--timeout")
      desk.expect(desk.the(found, "handler", "grows"), "failed", "grows.lua:2")
      desk.expect(desk.the(found, "handler", "good"), "ok", "it has no doctor")
    end)

    it("whose own doctors say no are warnings, which do not change the exit status", function()
      local one = gateway(nil, { ["good.lua"] = GOOD,
        ["lacks.lua"] = "return { api = 1, run = function() end,\n"
          .. "  doctor = function() return nil, 'install fw-install' end }\n" })
      local before = doctor("--offline", "--config", gateway(nil, { ["good.lua"] = GOOD }).config)
      local found = doctor("--offline", "--config", one.config)
      assert.equal(0, found.code)
      assert.is_true(found.ok)
      assert.same({ 0, before.warnings + 1 }, { found.failed, found.warnings })
    end)

    local function is_gone(pid_file)
      local pid = assert(fs.read(pid_file)):match("%d+")
      return not (fs.read(("/proc/%s/cmdline"):format(pid)) or ""):find("sleep", 1, true)
    end

    it("have what hangs ended, and what their doctors leave behind", function()
      local hung, left = world:path("hung"), world:path("left")
      local found = doctor("--offline", "--timeout", "3", "--config", gateway(nil, {
        ["hangs.lua"] = ([[
          local exec = require("hob.exec")
          return { api = 1, run = function() end, doctor = function()
            exec.run{ "sh", "-c", "echo $$ > %s; exec sleep 1000" }
            return true
          end }
        ]]):format(hung),
        ["leaves.lua"] = ([[
          local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
          return { api = 1, run = function() end, doctor = function()
            exec.spawn{ "sh", "-c", "echo $$ > %s; exec sleep 1000" }
            while not fs.exists(%q) or fs.stat(%q).size == 0 do time.sleep(0.01) end
            return true
          end }
        ]]):format(left, left, left),
      }).config)
      desk.expect(desk.the(found, "handler", "hangs"), "failed", "did not answer within 3 s")
      assert.is_true(is_gone(hung))
      desk.expect(desk.the(found, "handler", "leaves"), "ok", "its doctor: ok")
      assert.is_true(is_gone(left))
    end)
  end)

  describe("as root, with a user for programs", function()
    local function is_root()
      local root = exec.check({ "id", "-u" }).stdout == "0\n"
      if not root then
        pending("only root runs programs as somebody else")
      end
      return root
    end

    it("has the doctors' programs run as that user", function()
      if not is_root() then
        return
      end
      local found = doctor("--offline", "--config", gateway({ exec_user = "nobody" }, {
        ["who.lua"] = 'local exec = require("hob.exec")\nreturn { api = 1, run = function() end, '
          .. 'doctor = function() return nil, "I am " .. exec.check{ "id", "-un" }.stdout end }\n',
      }).config)
      desk.expect(desk.the(found, "user"), "ok", "programs of jobs run as nobody")
      desk.expect(desk.the(found, "handler", "who"), "warning", "I am nobody")
    end)

    it("warns of what that user may change or read", function()
      if not is_root() then
        return
      end
      local pair = world.pki:issue({ cn = "gw-1", san = {}, days = 90 })
      local one = gateway({ exec_user = "nobody", key = pair.key, cert = pair.cert })
      exec.check({ "chown", "nobody", pair.key, one.dir .. "/scripts/good.lua" })
      local found = doctor("--offline", "--config", one.config)
      desk.expect(desk.the(found, "permissions", "gw-1"), "warning", "may be changed by nobody",
        "chown root " .. pair.key)
      desk.expect(desk.the(found, "permissions", "scripts"), "warning", "may be changed by nobody")
    end)

    it("warns of a directory that does not let that user pass", function()
      if not is_root() then
        return
      end
      local one = gateway({ exec_user = "nobody" })
      assert(fs.mkdir(one.dir .. "/data"))
      assert(fs.chmod(one.dir, "700"))
      local found = doctor("--offline", "--config", one.config)
      desk.expect(desk.all_of(found, "permissions", "data")[2], "warning",
        "does not let nobody pass", "chmod o+x ")
    end)

    it("fails where that user is missing", function()
      if not is_root() then
        return
      end
      local found = doctor("--offline", "--config",
        gateway({ exec_user = "no-such-user-here" }).config)
      desk.expect(desk.the(found, "user"), "failed", "no-such-user-here", "useradd --system")
    end)
  end)

  describe("the disk", function()
    it("holds a store, which is checked and left as it is", function()
      local one = gateway():launch()
      one:wait_event("jobs.subscribed")
      assert.equal(0, one:stop())
      local before = fs.list(one.dir .. "/data")
      local found = doctor("--offline", "--config", one.config)
      desk.expect(desk.the(found, "store"), "ok", "hob.db: sound")
      assert.same(before, fs.list(one.dir .. "/data"))

      one:launch():wait_event("jobs.subscribed", nil, 2)
      one:kill() -- its log of the store is left behind
      local path = one.dir .. "/data/hob.db"
      local text, wal = assert(fs.read(path)), assert(fs.read(path .. "-wal"))
      found = doctor("--offline", "--config", one.config)
      desk.expect(desk.the(found, "store"), "ok", "hob.db: sound")
      assert.is_true(text == fs.read(path) and wal == fs.read(path .. "-wal"))
      assert(fs.remove(path .. "-wal"))
      text = text:sub(1, 4096) .. ("\xA5"):rep(#text - 4096)
      assert(fs.write(path, text))
      found = doctor("--offline", "--config", one.config)
      desk.expect(desk.the(found, "store"), "failed", "is damaged", "keep a copy")
      assert.equal(text, fs.read(path))
      assert(one:launch())
      one:wait_event("store.damaged")
      one:kill()
      found = doctor("--offline", "--config", one.config)
      desk.expect(desk.the(found, "store", "earlier"), "warning", "set aside as hob.db.damaged-")
    end)

    it("that is full, without inodes or read-only fails (field failure 13)", function()
      if shim.is_sanitized() then
        pending("nothing can be preloaded beside a sanitizer")
        return
      end
      local one = gateway()
      assert(fs.mkdir(one.dir .. "/data"))
      local function with(state)
        local found = doctor({ "--offline", "--config", one.config,
          env = desk.machine({ HOB_SHIM_DISK = state }) })
        return desk.the(found, "disk", "data"), desk.the(found, "disk", "temporary")
      end
      desk.expect(with(""), "ok", one.dir .. "/data: 195.3 MB free of 390.6 MB")
      desk.expect(with("full"), "failed", one.dir .. "/data: 8 KB free of", "make room")
      desk.expect(select(2, with("full")), "failed", "8 KB free of", "make room")
      desk.expect(with("inodes"), "failed", "0 inodes free of 1000000", "remove files")
      desk.expect(with("read-only"), "failed", "is read-only", "mount -o remount,rw")
    end)
  end)

  it("fails where there is nothing to look at", function()
    local nowhere = world.dir .. "/no/where"
    local found = doctor("--data", nowhere)
    desk.expect(found.checks[1], "failed", "no data directory " .. nowhere, "give --config FILE")
    desk.expect(desk.the(found, "disk", "data"), "failed", "cannot be made in " .. world.dir,
      "mkdir -p " .. world.dir .. "/no")
    found = doctor("--socket", nowhere)
    desk.expect(desk.the(found, "gateway"), "failed", "no gateway answers at " .. nowhere)
  end)

  describe("used wrongly", function()
    it("says so, with status 2", function()
      local result = desk.run({ "--jsno" })
      assert.equal(2, result.code)
      assert.matches("did you mean %-%-json", result.stderr)
      result = desk.run({ "--data", "/tmp", "--config", "x" })
      assert.equal(2, result.code)
      assert.matches("expected one of", result.stderr)
      assert.equal(2, desk.run({ "--timeout", "0" }).code)
    end)

    it("says what it does with --help", function()
      local result = desk.run({ "--help" })
      assert.equal(0, result.code)
      assert.matches("^usage: hob doctor ", result.stdout)
    end)
  end)
end)
