-- install-image: the real handler in a real gateway, on a machine with two slots whose boot loader,
-- rauc, swupdate and fw_setenv are shell scripts that keep what they know in files.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local shipped = require("spec.support.shipped")
local testing = require("hob.testing")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local FILE = ("0123456789abcdef"):rep(65536)

-- What all of them begin with. `cut NAME` is a power cut there, once, if the spec wants one.
local HEAD = [[
S=@S; slot=$(cat $S/slot); other=B; test $slot = B && other=A
cut() { test ! -f "$S/cut $1" || { rm "$S/cut $1"; kill -9 $PPID; exit 1; }; }
]]

-- Which slot comes up: the one that was made the first one, unless U-Boot's counter is over, or it
-- does not boot.
local BOOT = HEAD .. [[
p=$(cat $S/first); q=A; test $p = A && q=B
if test "$(cat $S/env/upgrade_available)$(cat $S/env/bootcount)" = 1255 || test -f $S/broken.$p
then p=$q; echo $p > $S/first; fi
echo $p > $S/slot; cp $S/release.$p $S/os-release
echo "quiet root=/dev/part$p rw" > $S/cmdline
echo "boot-$$" > $S/boot_id
]]

local RAUC = HEAD .. [[
cut "before $1 $2"
case "$*" in
  "status --output-format=json") test -f $S/no_service && exit 1
    echo '{"compatible":"gw","booted":"'$slot'","boot_primary":"rootfs.0","slots":[]}';;
  "info --output-format=json "*) echo '{"compatible":"gw","version":"'$(cat $S/bundle)'"}';;
  "install "*) test -f "$2" || exit 9
    test -f $S/talks && echo ' 20% Determining slot states'
    while test -f $S/talks; do sleep 0.02; done
    test -f $S/bad_image && { echo 'LastError: Failed writing slot: no space'
      echo "Installing \`$2' failed" >&2; exit 1; }
    echo "VERSION_ID=$(cat $S/bundle)" > $S/release.$other; echo $other > $S/first;;
  "status mark-good") echo $slot > $S/good;;
  "status mark-bad") echo $other > $S/first;;
  "status mark-active booted") echo $slot > $S/first;;
  --version) ;;
  *) exit 77;;
esac
cut "after $1"
exit 0]]

local SWUPDATE = HEAD .. [[
case "$*" in
  --version) ;;
  "-v -e stable,$other -i "*".swu") test -f "$5" || exit 9
    test -f $S/bad_image && { echo '[ERROR] : SWUPDATE failed [0] ERROR : Wrong signature' >&2
      echo '[FATAL] : Image invalid or corrupted. Not installing ...' >&2; exit 1; }
    echo "VERSION_ID=$(cat $S/bundle)" > $S/release.$other; echo $other > $S/first
    echo 1 > $S/env/upgrade_available; echo 0 > $S/env/bootcount;;
  *) exit 77;;
esac
exit 0]]

local SETTINGS = [[return {
  version = { file = "@S/os-release", pattern = '\nVERSION_ID="?([^"\n]+)' },
  on_trial = "@S/on_trial", health_tries = 1,
  swupdate = {
    install = { "swupdate", "-v", "-e", "{select}", "-i", "{image}" },
    slot = { file = "@S/cmdline", pattern = "root=(%S+)" },
    select = { ["/dev/partA"] = "stable,B", ["/dev/partB"] = "stable,A" },
  },
}]]

describe("the shipped handler install-image", function()
  local state, machine, server, digest

  local function place(text)
    return (text:gsub("@S", state))
  end

  local function note(name, text)
    assert(fs.write(state .. "/" .. name, text or ""))
  end

  local function get(name)
    return (fs.read(state .. "/" .. name) or "none"):gsub("\n$", "")
  end

  local function set_up()
    for _, name in ipairs(fs.list(state)) do
      if not ({ boot = true, reboot = true, env = true })[name] then
        fs.remove(state .. "/" .. name)
      end
    end
    for name, text in pairs({ first = "A", slot = "A", bundle = "2.0", boot_id = "boot-1",
      ["release.A"] = 'NAME="x"\nVERSION_ID="1.0"', ["release.B"] = "VERSION_ID=0.9",
      ["os-release"] = 'NAME="x"\nVERSION_ID="1.0"', cmdline = "quiet root=/dev/partA rw",
      ["env/upgrade_available"] = "0", ["env/bootcount"] = "0" }) do
      note(name, text .. "\n")
    end
  end

  lazy_setup(function()
    state = assert(fs.tempdir())
    assert(fs.chmod(state, tonumber("755", 8)))
    assert(fs.mkdir(state .. "/env"))
    set_up()
    note("boot", place(BOOT))
    machine = shipped.new({
      config = { boot_id_file = state .. "/boot_id", reboot_command = { state .. "/reboot" },
        commands = { allow = { "health" } } },
      scripts = { ["lib/image_settings.lua"] = place(SETTINGS) },
      fakes = { rauc = place(RAUC), swupdate = place(SWUPDATE),
        fw_setenv = place('echo "$2" > @S/env/$1'), health = place("test ! -f @S/ill") },
    })
    exec.check({ "ln", "-s", exec.check({ "which", "sleep" }).stdout:gsub("\n$", ""),
      machine.bin .. "/sleep" })
    note("reboot", ("#!/bin/sh\n%s\necho reboot >> %s\nkill -9 $PPID\n"):format(place(BOOT),
      machine.log))
    assert(fs.chmod(state .. "/reboot", tonumber("755", 8)))
    server = peer.start("http_bad")
    digest = exec.check({ "sha256sum", stdin = FILE }).stdout:match("%x+")
  end)
  lazy_teardown(function()
    server:stop()
    machine:stop()
    fs.remove(state, { recursive = true })
  end)
  before_each(function()
    set_up()
    machine:fake("rauc", place(RAUC))
    machine:forget_calls()
  end)

  local function document(given)
    local whole = { operation = "install-image", version = "2.0", sha256 = digest, online = 30,
      url = ("http://127.0.0.1:%d/unsized"):format(server.port) }
    for key, value in pairs(given or {}) do
      whole[key] = value
    end
    return json.encode(whole)
  end

  local function comes_up()
    assert(machine.gateway:wait_end(), "the gateway was not killed")
    machine.gateway:launch()
  end

  -- The power failed, and the boot loader does what it does.
  local function comes_up_after_cut()
    assert(machine.gateway:wait_end(), "the power was not cut")
    exec.check({ "sh", state .. "/boot" })
    machine.gateway:launch()
  end

  local function changes(name)
    local list = {}
    for _, call in ipairs(machine:calls(name)) do
      if not (call:find("--version", 1, true) or call:find("--output-format", 1, true)) then
        list[#list + 1] = call:gsub("%[/[^%]]*/(image%.%w+)%]", "[%1]")
      end
    end
    return list
  end

  local function assert_succeeded(execution)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("2.0", execution.details.version)
    assert.equal("1.0", execution.details.version_before)
    assert.equal("none", get("on_trial"))
  end

  local function assert_failed(execution, code, reason)
    assert.equal("FAILED", execution.status)
    assert.matches(reason, execution.details.reason)
    assert.equal(code, execution.details.code)
    assert.equal("none", get("on_trial"))
  end

  describe("with RAUC", function()
    it("installs into the other slot, reboots, is heard in the cloud, and marks it good", function()
      local id = machine:create(document({ size = #FILE }))
      assert(machine.gateway:wait_end(), "it did not reboot")
      assert.equal("2.0", get("on_trial"))
      assert.equal("rebooting: into version 2.0", machine.world:describe(id).details.progress)
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert_succeeded(execution)
      assert.equal("B", execution.details.slot)
      assert.equal("B", get("good"))
      assert.same({ "rauc [install] [image.raucb]", "reboot", "rauc [status] [mark-good]" },
        changes())
    end)

    it("shows how far the tool is", function()
      local seen = {}
      machine.world:before(function(_, request)
        seen[#seen + 1] = (request.statusDetails or {}).progress
      end)
      finally(function()
        machine.world:before(nil)
      end)
      note("talks")
      note("bad_image")
      local id = machine:create(document())
      wait_until(function()
        return seen[1]
      end, worlds.PATIENCE, "progress")
      fs.remove(state .. "/talks")
      machine.world:ended(id)
      assert.equal("20% installing: Determining slot states", seen[1])
    end)

    it("is done already where that version runs", function()
      local execution = machine:run(document({ version = "1.0" }))
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("ALREADY_DONE", execution.details.code)
      assert.same({}, machine:calls())
    end)

    it("says so when the boot loader fell back (field failure 6)", function()
      note("broken.B")
      local id = machine:create(document())
      comes_up()
      assert_failed(machine.world:ended(id), "FELL_BACK",
        "^the boot loader fell back: version 1.0 runs in slot A, not 2.0$")
      assert.same({ "rauc [install] [image.raucb]", "reboot" }, changes())
    end)

    it("goes back when the new image does not reach the cloud", function()
      local id = machine:create(document({ online = 1 }))
      assert(machine.gateway:wait_end())
      local broker = machine.world.broker.process
      broker:kill("STOP") -- takes connections, and says nothing
      finally(function()
        broker:kill("CONT")
      end)
      machine.gateway:launch()
      machine.gateway:wait_event("job.step", { step = "mark bad" })
      broker:kill("CONT") -- else Hob would wait for a while before the reboot, to tell of it
      assert(machine.gateway:wait_end(), "it did not reboot")
      assert.equal("none", get("on_trial"))
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert_failed(execution, "NOT_ONLINE", "^version 2.0 did not reach the cloud within 1 s; "
        .. "rolled back: version 1.0 runs again in slot A$")
      assert.equal("reach the cloud", execution.details.step)
      assert.equal("none", get("good"))
      assert.same({ "rauc [install] [image.raucb]", "reboot", "rauc [status] [mark-bad]",
        "reboot" }, changes())
    end)

    it("goes the whole way back when the power fails on it (field failure 20)", function()
      note("ill")
      note("cut before status mark-bad")
      local id = machine:create(document({ health = { "health" } }))
      comes_up()
      assert(machine.gateway:wait_end(), "the power was not cut")
      fs.remove(state .. "/ill") -- by now it would pass
      exec.check({ "sh", state .. "/boot" })
      machine.gateway:launch()
      comes_up()
      assert_failed(machine.world:ended(id), "EXIT_CODE", "exit code 1; rolled back: version 1.0")
      assert.equal("A", get("slot"))
    end)

    it("does not install what says that it is another version", function()
      note("bundle", "1.9")
      assert_failed(machine:run(document()), "WRONG_VERSION",
        "^the image holds version 1.9, the document says 2.0$")
      assert.same({}, changes())
    end)

    it("does not install what has the wrong digest", function()
      assert_failed(machine:run(document({ sha256 = ("0"):rep(64) })), "EDIGEST", "sha256")
      assert.same({}, changes())
    end)

    it("says how much room it needs and how much there is, before it downloads", function()
      local execution = machine:run(document({ size = 1 << 50 }))
      assert_failed(execution, "ENOSPC",
        "^no room for the image: it needs 1125899906.8 MB, [%d.]+ MB are free in /")
      assert.equal("look", execution.details.step)
      execution = machine:run(document({ url = ("http://127.0.0.1:%d/huge"):format(server.port) }))
      assert_failed(execution, "ENOSPC", "image.raucb: needs 1000000000000000 bytes, %d+ are free")
      assert.same({}, changes())
    end)

    it("tells the tool's last words when it fails, and leaves the slots as they are", function()
      note("bad_image")
      local execution = machine:run(document())
      assert_failed(execution, "EXIT_CODE", "rauc install /.*: exit code 1: Installing .* failed: "
        .. "Failed writing slot: no space$")
      assert.equal("install", execution.details.step)
      assert.same({ "rauc [install] [image.raucb]" }, changes())
    end)

    it("goes on after a power cut in the download, with a URL that has not expired "
      .. "(field failure 18)", function()
      local function url(signature)
        return document({ url = ("http://127.0.0.1:%d/presigned?sig=%s"):format(server.port,
          signature) })
      end
      local id = machine:create(url("old"))
      wait_until(function()
        return #server:lines("range=bytes=%d+%-") == 0 and #server:lines("presigned.*sig=old") > 0
          and (machine.world:describe(id).details.progress or ""):find("downloading", 1, true)
      end, worlds.PATIENCE, "the first part of the image")
      machine.gateway:kill()
      machine.world.engine.jobs[id].document = url("new")
      machine.gateway:launch()
      comes_up()
      assert_succeeded(machine.world:ended(id))
      assert.equal(1, #server:lines("presigned.*sig=new.*range=bytes=%d+%-"))
    end)

    it("is not installed again after a power cut between installation and reboot", function()
      note("cut after install")
      local id = machine:create(document())
      comes_up_after_cut()
      local execution = machine.world:ended(id)
      assert_succeeded(execution)
      assert.matches('VERSION_ID="1.0"', get("release.A"), 1, true)
      assert.same({ "rauc [install] [image.raucb]", "rauc [status] [mark-good]" }, changes())
    end)

    it("is installed again after a power cut in the installation", function()
      machine:fake("rauc", (place(RAUC):gsub("test %-f $S/talks [^\n]*", "cut install")))
      note("cut install")
      local id = machine:create(document())
      comes_up_after_cut()
      comes_up()
      assert_succeeded(machine.world:ended(id))
      assert.same({ "rauc [install] [image.raucb]", "rauc [install] [image.raucb]", "reboot",
        "rauc [status] [mark-good]" }, changes())
    end)

    it("does not boot an image whose job was cancelled", function()
      local id = machine:create(document())
      machine:fake("rauc", (place(RAUC):gsub("test %-f $S/talks [^\n]*",
        'touch $S/installing; echo $other > $S/first; exec sleep 1000')))
      wait_until(function()
        return get("installing") == ""
      end, worlds.PATIENCE, "the installation")
      machine.world:control("cancel_job", id, {}, true, time.now())
      machine.gateway:wait_event("job.finished", { job = id })
      wait_until(function()
        return #changes() == 2
      end, worlds.PATIENCE, "the slot that runs to be the first one again")
      assert.equal("rauc [status] [mark-active] [booted]", changes()[2])
      assert.equal("A\n", fs.read(state .. "/first"))
    end)
  end)

  it("does not keep an image whose job was cancelled before it was confirmed", function()
    machine:fake("health", place("touch @S/testing; exec sleep 1000"))
    finally(function()
      machine:fake("health", place("test ! -f @S/ill"))
    end)
    local id = machine:create(document({ health = { "health" } }))
    comes_up()
    wait_until(function()
      return get("testing") == ""
    end, worlds.PATIENCE, "the test of its health")
    machine.world:control("cancel_job", id, {}, true, time.now())
    wait_until(function()
      return changes("rauc")[2] == "rauc [status] [mark-bad]"
    end, worlds.PATIENCE, "the slot to be marked bad")
    wait_until(function()
      return get("on_trial") == "none"
    end, worlds.PATIENCE, "the end of its trial")
    machine.gateway:wait_event("job.finished", { job = id })
  end)

  describe("with SWUpdate", function()
    it("installs the copy that does not run, and stops U-Boot's counter", function()
      local id = machine:create(document({ tool = "swupdate" }))
      comes_up()
      local execution = machine.world:ended(id)
      assert_succeeded(execution)
      assert.equal("/dev/partB", execution.details.slot)
      assert.same({ "swupdate [-v] [-e] [stable,B] [-i] [image.swu]", "reboot",
        "fw_setenv [upgrade_available] [0]", "fw_setenv [bootcount] [0]",
        "fw_setenv [ustate] [0]" }, changes())
    end)

    it("tells what was wrong first, not only that something was", function()
      note("bad_image")
      assert_failed(machine:run(document({ tool = "swupdate" })), "EXIT_CODE",
        "Not installing %.%.%.: SWUPDATE failed %[0%] ERROR : Wrong signature$")
    end)
  end)

  it("fails before it does anything where it cannot tell what runs", function()
    note("no_service")
    assert_failed(machine:run(document()), "EXIT_CODE",
      "^slot: rauc status %-%-output%-format=json: exit code 1$")
    assert.same({}, changes())
  end)

  it("names the tools that it has looked for", function()
    machine:remove("rauc")
    assert_failed(machine:run(document({ tool = "rauc" })), "NO_IMAGE_TOOL",
      "^rauc is not on this device")
  end)

  it("refuses what can never work", function()
    for reason, given in pairs({
      ["args.url: expected"] = { url = "ftp://x/y" },
      ["args.sha256: expected"] = { sha256 = "abc" },
      ["args.tool: expected"] = { tool = "mender" },
      ["'sh' is not allowed on this gateway; add it to commands = { allow = { ... } }"] =
        { health = { "sh" } },
    }) do
      local execution = machine:run(document(given))
      assert.equal("REJECTED", execution.status)
      assert.matches(reason, execution.details.reason, 1, true)
    end
  end)
end)

-- On the bench a machine is a table: rauc or swupdate change it, and as if the power failed just
-- then, it runs in the other slot once the image is installed.
describe("install-image on the bench", function()
  local dir
  local SETTING = [[return { version = { command = { "version" } }, health_tries = 2, %s }]]

  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/lib"))
    for name, text in pairs(shipped.scripts()) do
      assert(fs.write(dir .. "/" .. name, text))
    end
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  -- `device.version`: what the image is; `ill`: it fails its test; `stuck`: it cannot be left;
  -- `busy`: how often RAUC's service is at something else.
  local function options(device, given)
    assert(fs.write(dir .. "/lib/image_settings.lua", SETTING:format(device.settings or "")))
    local now
    local function boot()
      now = { slot = "A", version = "1.0", busy = device.busy or 0,
        late = device.late or 0 }
    end
    boot()
    local function install()
      now.busy = now.busy - 1
      if now.busy >= 0 then
        return { code = 1, stderr = "Already processing a different method\n" }
      end
      now.slot, now.version = device.slot or "B", device.version or "2.0"
      return 0
    end
    local function leave()
      if not device.stuck and now.slot == "B" then
        now.slot, now.version = "A", "1.0"
      end
      return 0
    end
    local args = { url = "https://x.example/y", sha256 = ("0"):rep(64), version = "2.0" }
    for key, value in pairs(given or {}) do
      args[key] = value
    end
    return {
      scripts = dir, args = args, policy = device.policy,
      exec = {
        -- What is asked first, before any step: another run of a rehearsal.
        { "version", answer = function()
          if now.over then
            boot()
          end
          return { stdout = now.version .. "\n" }
        end },
        { "rauc --version" },
        { "rauc status --output-format=json", answer = function()
          if now.slot == "B" and now.late > 0 then
            now.late = now.late - 1
            return { code = 1, stderr = "no D-Bus\n" }
          end
          return { stdout = '{"compatible":"x","booted":"' .. now.slot .. '"}' }
        end },
        { "rauc info --output-format=json *", stdout = "{}" },
        { "rauc install *", answer = install },
        { "rauc status mark-good", answer = function()
          now.over = true
          return 0
        end },
        { "rauc status mark-bad", answer = function()
          now.over = not device.stuck
          return leave()
        end },
        { "health", answer = function() return device.ill and 1 or 0 end },
        { "swupdate --version" },
        { "swupdate -v -i *", answer = install },
        { "fw_setenv bootcount 255", answer = leave },
        { "fw_setenv *" },
      },
      http = { { "https://x.example/*", body = "image" } },
      files = { ["/etc/os-release"] = "x" },
      calls = { ["cloud.wait_online"] = function()
        if device.falls_back then
          now.slot, now.version, now.over = "A", "1.0", true
        elseif device.offline then
          return nil, "no", "ETIMEDOUT"
        end
        return true
      end },
    }
  end

  local function run(device, given)
    return testing.run("install-image", options(device, given))
  end

  it("waits while RAUC's service is at another installation", function()
    local outcome = run({ busy = 3 })
    assert.equal("SUCCEEDED", outcome.status, outcome.reason)
    assert.equal(6, outcome.slept)
  end)

  it("waits after the reboot until RAUC's service is up", function()
    local outcome = run({ late = 20 })
    assert.equal("SUCCEEDED", outcome.status, outcome.reason)
    assert.equal(40, outcome.slept)
  end)

  it("goes back when the image is another version than it said", function()
    local outcome = run({ version = "1.9" })
    assert.equal("the image in slot B says that it is version 1.9, not 2.0; rolled back: "
      .. "version 1.0 runs again in slot A", outcome.reason)
    assert.equal("WRONG_VERSION", outcome.code)
  end)

  it("asks for its health as often as it is told, and then goes back", function()
    local outcome = run({ ill = true, settings = "health = { 'health' }" })
    assert.equal("EXIT_CODE", outcome.code)
    assert.matches("health: exit code 1; rolled back: version 1.0 runs again in slot A$",
      outcome.reason)
    assert.equal(5, outcome.slept)
  end)

  it("says so when there is no way back", function()
    local outcome = run({ offline = true, stuck = true })
    assert.equal("NOT_ROLLED_BACK", outcome.code)
    assert.equal("version 2.0 did not reach the cloud within 600 s; and it could not be rolled "
      .. "back: version 2.0 still runs in slot B", outcome.reason)
    assert.equal(1, outcome.reboots)
  end)

  it("marks nothing where the boot loader fell back in the trial, after a power cut", function()
    local outcome = run({ falls_back = true })
    assert.equal("FELL_BACK", outcome.code)
    assert.equal("the boot loader fell back: version 1.0 runs in slot A, not 2.0; rolled back: "
      .. "version 1.0 runs again in slot A", outcome.reason)
    assert.is_nil(table.concat(outcome.programs, "\n"):find("mark", 1, true))
    assert.equal(0, outcome.reboots)
  end)

  it("marks nothing where the slots cannot be told apart", function()
    local outcome = run({ slot = "A" })
    assert.equal("SAME_SLOT", outcome.code)
    assert.matches("^version 2.0 runs, but in the slot that ran before, A: does `slot` in lib/",
      outcome.reason)
    assert.is_nil(table.concat(outcome.programs, "\n"):find("mark", 1, true))
  end)

  it("goes back by U-Boot's counter with SWUpdate, whose slot a command tells", function()
    local outcome = run({ offline = true,
      settings = "swupdate = { slot = { command = { 'rauc', 'status', '--output-format=json' } } }",
    }, { tool = "swupdate" })
    assert.matches("rolled back: version 1.0 runs again", outcome.reason)
    assert.same({ "fw_setenv ustate 3", "fw_setenv bootcount 255" },
      { table.unpack(outcome.programs, #outcome.programs - 3, #outcome.programs - 2) })
  end)

  it("names the key to set, before it does anything, where it may not run its tool as root",
    function()
      if shipped.me() ~= "root" then
        return
      end
      local outcome = run({ policy = { exec_user = "nobody" } })
      assert.equal("EPERM", outcome.code)
      assert.matches('^rauc: running as root is not allowed here; add "rauc" to privileged = ',
        outcome.reason)
      assert.same({ "version", "rauc --version" }, outcome.programs)
    end)

  it("has a doctor who says what is missing on this device", function()
    assert(fs.write(dir .. "/lib/image_settings.lua", SETTING:format("")))
    local text = 'package.path = "@/lib/?.lua;" .. package.path\n'
      .. 'print(dofile("@/install-image.lua").doctor())'
    assert(fs.write(dir .. "/doctor.lua", (text:gsub("@", dir))))
    local function doctor(rauc)
      if rauc then
        assert(fs.write(dir .. "/version", "#!/bin/sh\necho 1.0"))
        assert(fs.write(dir .. "/rauc", "#!/bin/sh\n" .. rauc))
        exec.check({ "chmod", "755", dir .. "/rauc", dir .. "/version" })
      end
      return exec.check({ worlds.hob(), "lua", dir .. "/doctor.lua", env = { PATH = dir } }).stdout
    end
    assert.matches("^nil\tneither rauc nor swupdate is on this device", doctor())
    assert.equal("nil\tslot: rauc status --output-format=json: exit code 1: no D-Bus\n",
      doctor("echo no D-Bus >&2; exit 1"))
    assert.equal("true\n", doctor([[echo '{"booted":"A"}']]))
  end)

  it("names what is wrong in its settings", function()
    for reason, settings in pairs({
      ["lib/image_settings.lua: on_tria: unknown member"] = "on_tria = '/x'",
      ["lib/image_settings.lua: health: expected table, got string"] = "health = 'x'",
      ["lib/image_settings.lua: tool: expected rauc or swupdate, got mender"] = "tool = 'mender'",
      ["lib/image_settings.lua: rauc.select says nothing for the slot A"] =
        "rauc = { install = { 'rauc', 'install', '{select}' } }",
    }) do
      local outcome = run({ settings = settings })
      assert.equal("FAILED", outcome.status)
      assert.matches(reason, outcome.reason, 1, true)
    end
  end)

  it("comes to the same end wherever the power is cut, and installs once", function()
    local rehearsal = testing.rehearse("install-image", options({ offline = true }))
    assert.same({}, rehearsal.problems)
    assert.is_true(#rehearsal.cuts > 40)
    for _, call in ipairs(rehearsal.repeated) do
      assert.is_nil(call:find('"install"', 1, true), call)
    end
  end)

  for _, at in ipairs({ "begin", "after", "end", "saved" }) do
    it("keeps what it has confirmed when the power is cut there: " .. at, function()
      local with = options({})
      with.cut = { step = "mark good", at = at }
      local outcome = testing.run("install-image", with)
      assert.equal("SUCCEEDED", outcome.status, outcome.reason)
      assert.is_nil(table.concat(outcome.programs, "\n"):find("mark-bad", 1, true))
    end)
  end
end)
