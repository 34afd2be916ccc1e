-- update-config: the real handler in a real gateway; systemctl and the program that checks a file
-- are shell scripts.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local process = require("hob.process")
local shipped = require("spec.support.shipped")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

-- A file is good unless it says bad; check-place looks at the file that is in place.
local CHECK = [[grep -q bad "$1" && { echo "line 1: bad" >&2; exit 3; }; exit 0]]
local SYSTEMCTL = [[case "$*" in
  *broken*) grep -q new %q && { echo "Job for broken failed." >&2; exit 1; };;
  *power*) test -f %s || { touch %s; kill -9 $PPID; };;
  *slow*) test -f %s || { touch %s; sleep 1000; };;
esac
exit 0]]

describe("the shipped handler update-config", function()
  local machine, path, mark

  lazy_setup(function()
    local grep = exec.check({ "which", "grep" }).stdout:gsub("\n$", "")
    machine = shipped.new({ config = { commands = { allow = { "check", "check-place" } } },
      fakes = { check = CHECK } })
    exec.check({ "ln", "-s", grep, machine.bin .. "/grep" })
    exec.check({ "ln", "-s", exec.check({ "which", "sleep" }).stdout:gsub("\n$", ""),
      machine.bin .. "/sleep" })
  end)
  lazy_teardown(function()
    machine:stop()
  end)
  before_each(function()
    path, mark = machine.world:path("app.conf"), machine.world:path("mark")
    assert(fs.write(path, "old\n", { mode = tonumber("640", 8) }))
    machine:fake("systemctl", SYSTEMCTL:format(path, mark, mark, mark, mark))
    machine:fake("check-place", ('set -- %q\n%s'):format(path, CHECK))
    machine:forget_calls()
  end)

  local function document(given)
    given.operation, given.path = "update-config", given.path or path
    return json.encode(given)
  end

  local function run(given)
    return machine:run(document(given))
  end

  local function restarts()
    local list = {}
    for _, call in ipairs(machine:calls("systemctl")) do
      list[#list + 1] = not call:find("--version", 1, true) and call or nil
    end
    return list
  end

  local function assert_old()
    assert.equal("old\n", fs.read(path))
    assert.equal(tonumber("640", 8), fs.stat(path).mode)
  end

  it("replaces the file, keeps its mode, and restarts what uses it", function()
    local execution = run({ content = "new\n", validate = { "check", "{file}" },
      restart = "app b" })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("true", execution.details.changed)
    assert.equal("new\n", fs.read(path))
    assert.equal(tonumber("640", 8), fs.stat(path).mode)
    assert.same({ "systemctl [restart] [--] [app]", "systemctl [restart] [--] [b]" }, restarts())
  end)

  it("changes nothing, and restarts nothing, where the file is as it should be", function()
    local execution = run({ content = "old\n", restart = "app" })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("false", execution.details.changed)
    assert.same({}, restarts())
  end)

  it("makes a file that was not there, with the mode that is said", function()
    path = machine.world:path("fresh.conf")
    local execution = run({ content = "new\n", mode = "600", reload = "app" })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(tonumber("600", 8), fs.stat(path).mode)
    assert.same({ "systemctl [reload] [--] [app]" }, restarts())
  end)

  it("takes it from a URL, with the right digest only", function()
    local server = peer.start("http_bad")
    finally(function()
      server:stop()
    end)
    local url = ("http://127.0.0.1:%d/whole"):format(server.port)
    local text = ("0123456789abcdef"):rep(65536)
    local digest = exec.check({ "sha256sum", stdin = text }).stdout:match("%x+")
    local execution = run({ url = url, sha256 = ("0"):rep(64) })
    assert.equal("FAILED", execution.status)
    assert.equal("EDIGEST", execution.details.code)
    assert_old()
    execution = run({ url = url, sha256 = digest })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(text, fs.read(path))
  end)

  it("never puts in place what its check refuses", function()
    local execution = run({ content = "bad\n", validate = "check,{file}", restart = "app" })
    assert.equal("FAILED", execution.status)
    assert.equal("EXIT_CODE", execution.details.code)
    assert.equal("validate", execution.details.step)
    assert.matches("check .*/new: exit code 3: line 1: bad$", execution.details.reason)
    assert_old()
    assert.same({}, restarts())
  end)

  it("puts the old file back when the check of the one in place refuses it", function()
    local execution = run({ content = "bad\n", validate = { "check-place" }, restart = "app" })
    assert.equal("FAILED", execution.status)
    assert.matches("check%-place: exit code 3: line 1: bad; the old file is back$",
      execution.details.reason)
    assert_old()
    assert.same({ "systemctl [restart] [--] [app]" }, restarts())
  end)

  it("puts the old file back, and restarts with it, when a restart fails", function()
    local execution = run({ content = "new\n", restart = { "first", "broken" } })
    assert.equal("FAILED", execution.status)
    assert.equal("EXIT_CODE", execution.details.code)
    assert.equal("restart broken", execution.details.step)
    assert.matches("Job for broken failed%.; the old file is back$", execution.details.reason)
    assert_old()
    assert.same({ "systemctl [restart] [--] [first]", "systemctl [restart] [--] [broken]",
      "systemctl [restart] [--] [first]", "systemctl [restart] [--] [broken]" }, restarts())
  end)

  it("removes a file that was not there before", function()
    path = machine.world:path("fresh.conf")
    machine:fake("systemctl", "exit 1")
    local execution = run({ content = "new\n", restart = "app" })
    assert.equal("FAILED", execution.status)
    assert.matches("the old file is back; and then: .*exit code 1", execution.details.reason)
    assert.is_false(fs.exists(path))
  end)

  it("puts the old file back when the job is ended in the middle", function()
    local id = machine:create(document({ content = "new\n", restart = "slow" }))
    wait_until(function()
      return fs.exists(mark)
    end, 30, "the restart")
    assert.equal("new\n", fs.read(path))
    machine.world:control("cancel_job", id, {}, true, time.now())
    machine.gateway:wait_event("job.finished", { job = id })
    wait_until(function()
      return fs.read(path) == "old\n" and #restarts() == 2
    end, 30, "the old file, and the restart with it")
    assert_old()
  end)

  it("goes on after a power cut in a restart, which is repeated", function()
    local id = machine:create(document({ content = "new\n", restart = "first power" }))
    machine.gateway:wait_end()
    machine.gateway:launch()
    local execution = machine.world:ended(id)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("new\n", fs.read(path))
    assert.same({ "systemctl [restart] [--] [first]", "systemctl [restart] [--] [power]",
      "systemctl [restart] [--] [power]" }, restarts())
  end)

  it("refuses before it begins what can never work", function()
    for reason, given in pairs({
      ["expected either content or url"] = { content = "a", url = "http://x/y" },
      ["expected either content or url$"] = {},
      ["path: expected the absolute path of a file, got app.conf"] =
        { content = "a", path = "app.conf" },
      ["path: expected the absolute path of a file, got /etc/../x"] =
        { content = "a", path = "/etc/../x" },
      ["sha256: expected 64 hexadecimal digits, since url is given"] = { url = "http://x/y" },
      ["mode: expected three octal digits"] = { content = "a", mode = "rw" },
      ["'sh' is not allowed on this gateway; add it to commands = { allow = { ... } }"] =
        { content = "a", validate = { "sh", "-c", "x" } },
      ['restart: "-x" is not the name of a service'] = { content = "a", restart = "-x" },
      ["reload: Hob itself is not restarted here"] = { content = "a", reload = "hob" },
    }) do
      local execution = run(given)
      assert.equal("REJECTED", execution.status)
      assert.matches(reason:gsub("%$$", ""), execution.details.reason, 1, true)
    end
    assert_old()
  end)
end)

-- On the bench, where systemctl fails or is not there, so that each run rolls back.
describe("update-config, cut off at every point of its way", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir())
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  for name, text in pairs({ ["a file that was there"] = "old\n", ["one that was not"] = false }) do
    it("comes to the same end: " .. name, function()
      local path = dir .. "/app.conf"
      if text then
        assert(fs.write(path, text))
      end
      assert(fs.write(dir .. "/document.json", json.encode({ operation = "update-config",
        path = path, content = "new\n", restart = "no-such-service-of-hob" })))
      local result = exec.run({ "/proc/" .. process.pid() .. "/exe", "handler", "run",
        "update-config", "--rehearse", "--document", dir .. "/document.json", timeout = 120 })
      assert.matches("without a cut: FAILED", result.stdout)
      local cuts, same = result.stdout:match("(%d+) cuts: (%d+) the same")
      assert.is_true(tonumber(cuts) > 20, result.stdout)
      assert.equal(cuts, same, result.stdout)
      assert.equal(text or nil, fs.read(path))
    end)
  end
end)

describe("update-config with a list of files", function()
  it("replaces only those, and checks them as the list says", function()
    local machine
    local list = [[return { [%q] = { validate = { "check", "{file}" }, restart = "app" } }]]
    local dir = assert(fs.tempdir())
    finally(function()
      fs.remove(dir, { recursive = true })
      machine:stop()
    end)
    assert(fs.chmod(dir, tonumber("755", 8)))
    machine = shipped.new({ scripts = { ["lib/config_files.lua"] = list:format(dir .. "/a") },
      fakes = { check = "exit 0", systemctl = "exit 0" } })
    local function run(path)
      return machine:run(json.encode({ operation = "update-config", path = path, content = "x",
        validate = { "other" }, restart = "other" }))
    end
    local execution = run(dir .. "/b")
    assert.equal("REJECTED", execution.status)
    assert.matches("/b is not among the files in lib/config_files.lua", execution.details.reason)
    execution = run(dir .. "/a")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(1, #machine:calls("check"))
    local calls = machine:calls("systemctl")
    assert.equal("systemctl [restart] [--] [app]", calls[#calls])
  end)
end)
