-- The packages on a clean Debian 12: what they bring, that all of it goes again, that the examples
-- build against libhob-dev alone, and that Hob's unit lets jobs do what they are for.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local rooms = require("spec.package.room")
local source = require("spec.support.source")
local wait_until = require("spec.support.wait").wait_until

local PATIENCE = 30 -- seconds

-- What pkg-config calls a library, and which package brings it.
local LIBRARIES = { ["libmosquitto"] = "libmosquitto-dev", ["p11-kit-1"] = "libp11-kit-dev",
  ["glib-2.0"] = "libglib2.0-dev", ["libuv"] = "libuv1-dev", ["libev"] = "libev-dev" }

local HELLO = [[
local exec = require("hob.exec")
return { api = 1, run = function(job)
  return job:step("who", function()
    return { user = exec.check{ "id", "-un" }.stdout:match("%S+") }
  end)
end }
]]

-- Installs a package whose files and script want all that packages may.
local INSTALL = [[
local exec = require("hob.exec")
return { api = 1, run = function(job)
  job:step("install", function()
    exec.check{ "apt-get", "install", "-qy", "/opt/probe.deb", timeout = 60 }
  end)
end }
]]

local CONFIG = [[
return {
  thing_name = "gateway-7", CONNECTION
  scripts = "/etc/hob/scripts", data = "DATA", boot_id_file = "/run/boot-id", log_format = "json",
  privileged = { "apt-get", "sh" }, users = { "app" }, commands = { allow = { "id", "sudo" } },
}
]]

-- Upgrades Hob, which runs it, and goes on in the new one.
local UPGRADE = [[
local exec = require("hob.exec")
return { api = 1, run = function(job)
  local said = job:step("upgrade", { once = true }, function()
    return exec.check{ "sh", "-c",
      "apt-get install -qy --reinstall /root/hob_*.deb /root/libhob1_*.deb", timeout = 100 }.stdout
  end)
  job:restart_hob("new version")
  return { restarted = said:find("goes on as the old version", 1, true) == nil }
end }
]]

local TLS = [[
  endpoint = "localhost", port = 8883,
  ca = "/etc/hob/ca.crt", cert = "/etc/hob/gateway-7.crt", key = "/etc/hob/gateway-7.key",
]]

---@return string text  of a hob.conf.lua
local function config(data, connection)
  return (CONFIG:gsub("CONNECTION", connection or TLS):gsub("DATA", data))
end

---@return { name: string, file: string, cpp: boolean, packages: string[] }[]
local function examples()
  local list, dir = {}, source.root .. "/docs/how-to/embed"
  for _, file in ipairs(assert(fs.list(dir))) do
    local name, ending = file:match("^(.*)%.(%a+)$")
    if ending == "c" or ending == "cc" or ending == "cpp" then
      -- What each says in its first comment is what is typed here.
      local words = assert(fs.read(dir .. "/" .. file))
        :match("pkg%-config %-%-cflags %-%-libs ([^)]*)%)")
      local one = { name = name, file = file, cpp = ending ~= "c", packages = {} }
      for word in assert(words, file .. " does not say how it is built"):gmatch("%S+") do
        one.packages[#one.packages + 1] = word
      end
      list[#list + 1] = one
    end
  end
  return list
end

-- The arguments of an example, where they are not one configuration; false: its spec runs it.
local OWN_ARGUMENTS = {
  own_connection = { "--config", "/opt/examples/plain.conf.lua", "--host", "localhost",
    "--port", "8883", "--id", "gateway-7", "--cafile", "/etc/hob/ca.crt",
    "--cert", "/etc/hob/gateway-7.crt", "--key", "/etc/hob/gateway-7.key" },
  poll = { "/opt/examples/hob.conf.lua", "/opt/examples/words" }, -- a FIFO
  pkcs11 = false, -- needs a token: spec/integration/key_provider_spec.lua
}

-- What ends one that does not take SIGTERM.
local OWN_END = { poll = { "sh", "-c", "echo stop >/opt/examples/words" } }

local PROBE_CONTROL = "Package: probe\nVersion: 1\nArchitecture: all\n"
  .. "Maintainer: nobody <nobody@localhost>\nDescription: wants what packages want\n"

local PROBE_SCRIPT = [[
#!/bin/sh
set -e
adduser --system --quiet --no-create-home probe
chown probe /usr/bin/probe-setuid
chmod 4755 /usr/bin/probe-setuid
mount -t tmpfs tmpfs /mnt && umount /mnt
systemctl daemon-reload
touch /boot/probe /home/probe /usr/lib/probe /etc/probe
]]

describe("the packages", function()
  local room, before

  local function install()
    room:install("hob", "libhob1", "libhob-dev")
  end

  setup(function()
    room = rooms.new()
    local libraries = {}
    for _, example in ipairs(examples()) do
      for _, name in ipairs(example.packages) do
        libraries[#libraries + 1] = name ~= "hob" and assert(LIBRARIES[name], name) or nil
      end
    end
    room:install("libcurl4", "libmicrohttpd12", "libedit2", "mosquitto", "openssl", "sudo",
      "adduser", "gcc", "g++", "libc6-dev", "pkg-config", "cmake", "make",
      "libmosquitto1", "libmbedtls14",
      "liblua5.4-0", "lua-cjson", "libsqlite3-0", "libuv1", "lua-sql-sqlite3",
      table.unpack(libraries))
    before = room:files()
    install()
  end)
  teardown(function() if room then room:remove() end end)

  it("leave nothing when they are purged", function()
    room:run({ "apt-get", "purge", "-qy", "hob", "libhob1", "libhob-dev", timeout = 300 })
    assert.same({}, rooms.differing(before, room:files()))
    assert.is_nil(fs.read(room.root .. "/etc/passwd"):find("\nhob:"))
    install()
  end)

  it("leave the configuration when removed, and the owner's own when purged", function()
    room:write("/etc/hob/hob.conf.lua", "return {}\n")
    room:run({ "apt-get", "remove", "-qy", "hob", timeout = 300 })
    assert.is_truthy(fs.stat(room.root .. "/etc/hob/hob.conf.lua.example"))
    room:run({ "apt-get", "purge", "-qy", "hob", timeout = 300 })
    assert.is_truthy(fs.stat(room.root .. "/etc/hob/hob.conf.lua"))
    assert.is_nil(fs.stat(room.root .. "/etc/hob/hob.conf.lua.example"))
    assert(fs.remove(room.root .. "/etc/hob/hob.conf.lua"))
    install()
  end)

  it("bring the program, with its library, its Lua files and its modules", function()
    local said = room:run({ "hob", "--version" }).stdout
    assert.matches("^hob %d+%.%d+%.%d+\n", said)
    assert.matches("libcurl/", said)
    assert.equal("1\n", room:run({ "hob", "lua", "-e", "print(1)" }).stdout)
    local linked = room:run({ "ldd", "/usr/bin/hob" }).stdout
    assert.matches("libhob%.so%.1 => /lib/", linked)
    assert.is_nil(linked:find("libcurl") or linked:find("not found"))
  end)

  it("bring no run path, and export what hob.h says", function()
    local library = room.root .. "/usr/lib/x86_64-linux-gnu/libhob.so.1"
    for _, file in ipairs({ room.root .. "/usr/bin/hob", library }) do
      assert.is_nil(exec.check({ "readelf", "-d", file }).stdout:find("PATH"))
    end
  end)

  it("say what is missing when nothing is configured, and the unit waits", function()
    local said = exec.run({ "chroot", room.root, "hob", "doctor" })
    assert.equal(1, said.code, said.stdout .. said.stderr)
    assert.is_truthy(fs.stat(room.root
      .. "/etc/systemd/system/multi-user.target.wants/hob.service"))
  end)

  it("make the user of jobs' programs", function()
    assert.matches("^hob:x:%d+:%d+:", room:run({ "getent", "passwd", "hob" }).stdout)
  end)

  it("are enough for CMake: find_package(hob), shared and static", function()
    room:write("/opt/product/product.c", [[
#include <hob.h>
#include <stdio.h>
int main(void) { return puts(hob_error_name(HOB_ETLS)) < 0; }
]])
    room:write("/opt/product/CMakeLists.txt", [[
cmake_minimum_required(VERSION 3.21)
project(product C)
find_package(hob 0.1 REQUIRED)
add_executable(shared product.c)
target_link_libraries(shared PRIVATE hob::hob)
]])
    room:run({ "sh", "-ec", "cd /opt/product; cmake -S . -B out >log; "
      .. "cmake --build out >>log" })
    assert.equal("ETLS\n", room:run({ "/opt/product/out/shared" }).stdout)
  end)

  describe("in a running system", function()
    -- A job for the gateway, to its end.
    local function job(id, document)
      room:write("/opt/" .. id .. ".json", document)
      room:inside({ "hob", "job", "create", "--thing", "gateway-7", "--job-id", id, "--document",
        "/opt/" .. id .. ".json" })
    end
    local function execution(id)
      local said = room:try({ "hob", "job", "describe", "--thing", "gateway-7", "--job-id", id,
        "--json" })
      return said and said.code == 0 and json.decode(said.stdout) or { status = "NONE" }
    end
    local function ended(id)
      local found
      wait_until(function()
        found = execution(id)
        return found.status ~= "QUEUED" and found.status ~= "IN_PROGRESS" and found.status ~= "NONE"
      end, PATIENCE, function()
        return ("the end of %s; it is %s; %s"):format(id, json.encode(found), room:try({
          "journalctl", "-u", "hob", "-n", "20", "--no-pager" }).stdout)
      end)
      return found
    end
    local function succeeds(id, document)
      job(id, document)
      local found = ended(id)
      assert.equal("SUCCEEDED", found.status, json.encode(found))
      return found
    end
    local function property(name)
      return room:inside({ "systemctl", "show", "-P", name, "hob" }).stdout:match("^[^\n]*")
    end

    local function make_certificates()
      local pki = require("spec.support.pki").new()
      local server = pki:issue({ cn = "localhost" })
      local gateway = pki:issue({ cn = "gateway-7", san = {} })
      for name, path in pairs({ ["ca.crt"] = pki.ca, ["gateway-7.crt"] = gateway.cert,
        ["gateway-7.key"] = gateway.key, ["server.crt"] = server.cert,
        ["server.key"] = server.key }) do
        room:write("/etc/pki-probe/" .. name, assert(fs.read(path)))
      end
      pki:remove()
    end

    -- A broker with mutual TLS, and the Jobs service, as units.
    local function make_other_side()
      room:write("/etc/mosquitto/conf.d/tls.conf", table.concat({ "user root",
        "listener 8883 127.0.0.1", "allow_anonymous true",
        "require_certificate true", "cafile /etc/pki-probe/ca.crt",
        "certfile /etc/pki-probe/server.crt", "keyfile /etc/pki-probe/server.key", "" }, "\n"))
      room:write("/etc/systemd/system/jobs.service", [[
[Unit]
After=mosquitto.service
Requires=mosquitto.service
[Service]
WorkingDirectory=/etc/pki-probe
ExecStart=hob service --endpoint localhost --port 8883 --ca ca.crt --cert gateway-7.crt \
  --key gateway-7.key --data /var/lib/jobs
StateDirectory=jobs
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
]])
      room:run({ "systemctl", "enable", "-q", "jobs.service" })
    end

    local function wait_for_service()
      wait_until(function()
        return room:try({ "hob", "job", "list" }).code == 0
      end, PATIENCE, function()
        return "the Jobs service; " .. room:try({ "journalctl", "-u", "jobs", "-u", "mosquitto",
          "-n", "30", "--no-pager" }).stdout
      end)
    end

    local function make_probe()
      local dir = "/opt/probe"
      room:write(dir .. "/DEBIAN/control", PROBE_CONTROL)
      room:write(dir .. "/DEBIAN/postinst", PROBE_SCRIPT)
      room:run({ "sh", "-ec", ("chmod 755 %s/DEBIAN/postinst; mkdir -p %s/usr/bin; "
        .. "cp /usr/bin/id %s/usr/bin/probe-setuid; chmod 4755 %s/usr/bin/probe-setuid; "
        .. "dpkg-deb --root-owner-group -b %s /opt/probe.deb >/dev/null"):gsub("%%s", dir) })
    end

    setup(function()
      room:run({ "adduser", "--system", "--quiet", "--no-create-home", "app" })
      room:write("/etc/sudoers.d/probe", "hob ALL=(app) NOPASSWD: /usr/bin/id\n")
      make_certificates()
      make_other_side()
      make_probe()
      room:boot()
      wait_for_service()
    end)

    it("the unit is without a fault, and does not start before it is configured",
      function()
        local said = room:inside({ "systemd-analyze", "verify", "--man=no",
          "/lib/systemd/system/hob.service" })
        assert.equal("", said.stdout .. said.stderr)
        room:inside({ "systemctl", "start", "hob" })
        assert.equal("inactive", property("ActiveState"))
        assert.equal("no", property("ConditionResult"))
      end)

    it("it starts when it is configured, connects by TLS, and runs a job as hob", function()
      room:inside({ "sh", "-ec", "cp /etc/pki-probe/ca.crt /etc/pki-probe/gateway-7.* /etc/hob/; "
        .. "chmod 600 /etc/hob/*.key; "
        .. "cp /usr/share/hob/scripts/reboot.lua /etc/hob/scripts/" })
      room:write("/etc/hob/scripts/hello.lua", HELLO)
      room:write("/etc/hob/scripts/install-probe.lua", INSTALL)
      room:write("/etc/hob/hob.conf.lua", config("/var/lib/hob"))
      room:inside({ "systemctl", "start", "hob" }) -- Type=notify: it is ready
      assert.equal("active", property("ActiveState"))
      assert.equal("hob", succeeds("hello", '{"operation":"hello"}').statusDetails.user)
      local doctor = room:try({ "hob", "doctor" })
      assert.equal(0, doctor.code, doctor.stdout)
    end)

    it("a job installs a package: a set-uid file, a user, a mount, files everywhere", function()
      succeeds("install", '{"operation":"install-probe"}')
      assert.equal("ii ", room:inside({ "dpkg-query", "-W", "-f", "${db:Status-Abbrev}",
        "probe" }).stdout)
      assert.equal("4755\n", room:inside({ "stat", "-c", "%a", "/usr/bin/probe-setuid" }).stdout)
      assert.is_truthy(fs.stat(room.root .. "/boot/probe"))
    end)

    it("a job runs as another user, by runAsUser and by sudo", function()
      local found = succeeds("as-app", [[{"version":"1.0","includeStdOut":"true",
        "steps":[{"action":{
        "name":"who","type":"runCommand","runAsUser":"app","input":{"command":"id,-un"}}}]}]])
      assert.matches("app", found.statusDetails.stdout)
      found = succeeds("sudo", [[{"version":"1.0","includeStdOut":"true","steps":[{"action":{
        "name":"who","type":"runCommand","runAsUser":"",
        "input":{"command":"sudo,-n,-u,app,id,-un"}}}]}]])
      assert.matches("app", found.statusDetails.stdout)
    end)

    it("a job that upgrades Hob is not ended by it, and goes on in the new one (field failure 17)",
      function()
        local process = property("MainPID")
        room:write("/etc/hob/scripts/upgrade.lua", UPGRADE)
        room:inside({ "hob", "reload" })
        local found = succeeds("upgrade", '{"operation":"upgrade"}')
        assert.equal("false", found.statusDetails.restarted)
        assert.equal("0", property("NRestarts"))
        assert.equal(process, property("MainPID")) -- it has executed itself anew
      end)

    it("it is ended by the watchdog when it hangs, and comes back", function()
      room:write("/etc/systemd/system/hob.service.d/quick.conf",
        "[Service]\nWatchdogSec=2\nRestartSec=0\nWatchdogSignal=SIGKILL\n")
      room:inside({ "systemctl", "daemon-reload" })
      room:inside({ "systemctl", "restart", "hob" })
      local first = property("MainPID")
      room:inside({ "kill", "-STOP", first })
      wait_until(function()
        return property("MainPID") ~= first and property("ActiveState") == "active"
      end, PATIENCE, "another process of Hob")
      assert.equal("1", property("NRestarts"))
    end)

    it("a job reboots the machine, goes on after it, and ends with the truth", function()
      job("reboot", '{"operation":"reboot"}')
      room:wait_end()
      room:boot()
      wait_for_service()
      local found = ended("reboot")
      assert.equal("SUCCEEDED", found.status, json.encode(found))
      assert.equal("active", property("ActiveState"))
    end)

    it("it stops in order, and leaves no process", function()
      room:inside({ "systemctl", "stop", "hob" })
      assert.equal("success", property("Result"))
      assert.equal("0", property("ExecMainStatus"))
    end)

    it("the examples build as they say, with pkg-config alone, and run a job over TLS", function()
      assert.equal("inactive", property("ActiveState")) -- it has the same thing
      room:write("/opt/examples/hob.conf.lua", config("/opt/examples/data"))
      room:write("/opt/examples/plain.conf.lua", config("/opt/examples/data", ""))
      room:inside({ "mkfifo", "/opt/examples/words" })
      assert.is_true(#examples() > 0)
      for _, example in ipairs(examples()) do
        local program = "/opt/examples/" .. example.name
        room:write("/opt/examples/" .. example.file,
          source.read("docs/how-to/embed/" .. example.file))
        room:inside({ "sh", "-ec", ("cd /opt/examples; %s -Wall -Wextra -Werror -o %s %s "
          .. "$(pkg-config --cflags --libs %s)"):format(example.cpp and "c++ -std=c++17" or "cc",
          program, example.file, table.concat(example.packages, " ")) })
        local arguments = OWN_ARGUMENTS[example.name]
        if arguments ~= false then
          local child = room:spawn({ program,
            table.unpack(arguments or { "/opt/examples/hob.conf.lua" }) })
          local id = "example-" .. example.name
          succeeds(id, '{"operation":"hello"}')
          room:inside(OWN_END[example.name]
            or { "pkill", "-TERM", "-x", example.name:sub(1, 15) })
          local result = assert(child:wait(PATIENCE), example.file .. " does not end")
          assert.equal(0, result.code, example.file)
        end
      end
    end)
  end)
end)
