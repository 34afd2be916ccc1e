-- install-packages, remove-packages, verify-packages-installed, verify-packages-removed: a package
-- manager that writes down how it was called.

local json = require("hob.json")
local shipped = require("spec.support.shipped")

local INSTALLED = 'case "$5" in curl) echo installed;; gone) echo config-files;; *) echo none >&2; '
  .. "exit 1;; esac"

describe("the handlers of packages", function()
  local machine

  lazy_setup(function()
    machine = shipped.new()
  end)
  lazy_teardown(function()
    machine:stop()
  end)
  before_each(function()
    machine:forget_calls()
    machine:fake("apt-get")
    machine:fake("dpkg")
    machine:fake("dpkg-query", INSTALLED)
  end)

  local function run(operation, packages, more)
    local document = { operation = operation, packages = packages }
    for key, value in pairs(more or {}) do
      document[key] = value
    end
    return machine:run(json.encode(document))
  end
  local function only(name) -- no other package manager is there
    for _, other in ipairs({ "apt-get", "dpkg", "dpkg-query" }) do
      machine:remove(other)
    end
    if name then
      machine:fake(name)
    end
  end

  local APT = "apt-get [-y] [-o] [DPkg::Lock::Timeout=120] [-o] [Acquire::Retries=3]"

  describe("install-packages", function()
    it("mends what was left half done, and asks apt-get to install, without questions", function()
      machine:fake("apt-get", 'echo "$DEBIAN_FRONTEND"')
      local execution = run("install-packages", "curl  libc6:arm64 jq=1.6-2")
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("curl libc6:arm64 jq=1.6-2", execution.details.packages)
      assert.equal("apt-get", execution.details.manager)
      assert.equal("noninteractive ", execution.details.stdout)
      assert.same({ "apt-get [--version]", "dpkg [--configure] [-a]",
        APT .. " [install] [--] [curl] [libc6:arm64] [jq=1.6-2]" }, machine:calls())
    end)

    it("asks for the newest list before, if the document wants it", function()
      run("install-packages", { "curl" }, { update = "true" })
      assert.equal(APT .. " [update]", machine:calls("apt-get")[2])
    end)

    it("uses dnf or yum where there is no apt-get", function()
      only("dnf")
      assert.equal("SUCCEEDED", run("install-packages", "curl").status)
      assert.equal("dnf [-y] [install] [--] [curl]", machine:calls("dnf")[2])
      machine:remove("dnf")
      machine:fake("yum")
      assert.equal("SUCCEEDED", run("install-packages", "curl").status)
      assert.equal("yum [-y] [install] [--] [curl]", machine:calls("yum")[2])
      machine:remove("yum")
    end)

    it("names the tools that it looked for when there is none", function()
      only()
      machine:fake("dpkg") -- for the next one to remove
      local details = machine:run(
        '{"version":"1.0","steps":[{"action":{"name":"a","type":"runHandler","input":'
        .. '{"handler":"verify-packages-removed","args":["x"]}}}]}').details
      assert.equal("NO_PACKAGE_MANAGER", details.code)
      assert.matches("looked for dpkg%-query, rpm", details.reason)
    end)

    it("tells how it failed, with the last words of the manager", function()
      machine:fake("apt-get",
        'test "$1" = --version || { echo "E: Unable to locate x" >&2; exit 100; }')
      local details = run("install-packages", "x").details
      assert.equal("EXIT_CODE", details.code)
      assert.matches("exit code 100: E: Unable to locate x$", details.reason)
      assert.equal("E: Unable to locate x ", details.stderr)
    end)

    it("that was interrupted is done again, after what it left half done was mended", function()
      machine:fake("apt-get", ('test "$1" = --version -o -f %s/soon || { touch %s/soon; '
        .. "kill -9 $PPID; }"):format(machine.there, machine.there))
      local id = machine:create('{"operation":"install-packages","packages":"x"}')
      assert(machine.gateway:wait_end(), "it was not killed")
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("2", execution.details.attempt)
      assert.equal(2, #machine:calls("dpkg"))
    end)

    it("refuses what is no name of a package before anything is done", function()
      for _, bad in ipairs({ "-o", "foo-", "./evil.deb", "a;b", "$(x)", "a*", "", "  ", "é" }) do
        local execution = run("install-packages", bad)
        assert.equal("REJECTED", execution.status, bad)
        assert.matches("packages: ", execution.details.reason)
      end
      assert.same({}, machine:calls())
    end)
  end)

  it("remove-packages asks apt-get to remove", function()
    local execution = run("remove-packages", "telnet ftp")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(APT .. " [remove] [--] [telnet] [ftp]", machine:calls("apt-get")[2])
  end)

  it("verify-packages-installed names those that are missing", function()
    assert.equal("SUCCEEDED", run("verify-packages-installed", "curl").status)
    local details = run("verify-packages-installed", "curl gone away").details
    assert.equal("not installed: gone, away", details.reason)
    assert.equal("NOT_INSTALLED", details.code)
  end)

  it("verify-packages-removed names those that are there; left configuration does not count",
    function()
      assert.equal("SUCCEEDED", run("verify-packages-removed", "gone away").status)
      local details = run("verify-packages-removed", "gone curl").details
      assert.equal("still installed: curl", details.reason)
      assert.equal("STILL_INSTALLED", details.code)
    end)

  it("verify with rpm where there is no dpkg", function()
    only()
    machine:fake("rpm", 'test "$3" = curl -o "$1" = --version')
    assert.equal("SUCCEEDED", run("verify-packages-installed", "curl").status)
    assert.equal("rpm [-q] [--] [curl]", machine:calls("rpm")[2])
    assert.equal("not installed: vim", run("verify-packages-installed", "vim").details.reason)
    machine:remove("rpm")
  end)
end)
