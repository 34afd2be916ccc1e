-- Shipped handlers where programs run as an unprivileged exec_user, as the package sets it up, and
-- `privileged` names those that may do more. Only root can have it so; else nothing is to be seen.

local fs = require("hob.fs")
local shipped = require("spec.support.shipped")

local SAYS_WHO = 'test "$1" = --version || id -un'

describe("the shipped handlers with an unprivileged exec_user", function()
  if shipped.me() ~= "root" then
    return
  end
  local machine

  local function start(privileged)
    machine = shipped.new({ config = { exec_user = "nobody", privileged = privileged },
      fakes = { systemctl = SAYS_WHO, ["apt-get"] = SAYS_WHO, dpkg = "", ["dpkg-query"] = "" } })
    assert(fs.chmod(machine.log, tonumber("666", 8)))
  end
  after_each(function()
    machine:stop()
  end)

  local function restart(user)
    local document = shipped.managed("AWS-Restart-Application", { services = "a",
      runAsUser = user }):gsub('"1.0",', '"1.0","includeStdOut":"true",')
    return machine:run(document)
  end

  it("run what is privileged as root, the rest as that user", function()
    start({ "systemctl" })
    for _, user in ipairs({ "", "root" }) do
      local execution = restart(user)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("root ", execution.details.stdout)
    end
    local execution = machine:run('{"operation":"install-packages","packages":"x"}')
    assert.equal("nobody ", execution.details.stdout)
  end)

  it("say which key allows root, before they begin or when the program is not it", function()
    start({ "systemctl" })
    local document = shipped.managed("AWS-Install-Application", { packages = "x",
      runAsUser = "root" })
    local execution = machine:run(document)
    assert.equal("FAILED", execution.status)
    assert.matches('apt%-get: running as root is not allowed here; add "apt%-get" to privileged',
      execution.details.reason)
  end)

  it("refuse root from the start where nothing is privileged", function()
    start({})
    local execution = restart("root")
    assert.equal("REJECTED", execution.status)
    assert.matches('^steps%[1%]%.action%.runAsUser: restart%-services@%x+: running as root is not '
      .. 'allowed here; add its programs to privileged = .*users = ', execution.details.reason)
  end)
end)
