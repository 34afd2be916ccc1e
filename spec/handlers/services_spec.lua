-- start-services, stop-services, restart-services: a systemctl that writes down how it was called.

local fs = require("hob.fs")
local shipped = require("spec.support.shipped")

local SYSTEMCTL = [[
case "$*" in
  *broken*) echo "Job for broken.service failed." >&2; exit 1;;
  *power*) test -f %s || { touch %s; kill -9 $PPID; };;
esac]]

describe("the handlers of services", function()
  local machine

  lazy_setup(function()
    machine = shipped.new()
  end)
  lazy_teardown(function()
    machine:stop()
  end)
  before_each(function()
    local mark = machine.there .. "/mark"
    fs.remove(mark)
    machine:fake("systemctl", SYSTEMCTL:format(mark, mark))
    machine:forget_calls()
  end)

  local function document(action, names)
    return ('{"operation":"%s-services","services":"%s"}'):format(action, names)
  end
  local function run(action, names)
    return machine:run(document(action, names))
  end
  local function changes()
    local list = {}
    for _, call in ipairs(machine:calls()) do
      list[#list + 1] = not call:find("--version", 1, true) and call or nil
    end
    return list
  end

  for _, action in ipairs({ "start", "stop", "restart" }) do
    it(("%s-services takes each once, in order"):format(action), function()
      local execution = run(action, "b  a.service b x@y")
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("b a.service x@y", execution.details.services)
      local word = ("systemctl [%s] [--] "):format(action)
      assert.same({ word .. "[b]", word .. "[a.service]", word .. "[x@y]" }, changes())
    end)
  end

  it("end at the first that fails, with its words", function()
    local execution = run("start", "a broken c")
    assert.equal("FAILED", execution.status)
    assert.equal("EXIT_CODE", execution.details.code)
    assert.equal("start broken", execution.details.step)
    assert.matches("exit code 1: Job for broken.service failed%.$", execution.details.reason)
    assert.equal(2, #changes())
  end)

  it("go on after a power cut with the service that was under way", function()
    local id = machine:create(document("restart", "a power c"))
    assert(machine.gateway:wait_end(), "it was not killed")
    machine.gateway:launch()
    assert.equal("SUCCEEDED", machine.world:ended(id).status)
    local word = "systemctl [restart] [--] "
    assert.same({ word .. "[a]", word .. "[power]", word .. "[power]", word .. "[c]" }, changes())
  end)

  it("use `service` where there is no systemd", function()
    machine:remove("systemctl")
    machine:fake("service")
    assert.equal("SUCCEEDED", run("stop", "a").status)
    assert.same({ "service [a] [stop]" }, changes())
    machine:remove("service")
  end)

  it("refuse what is no name of a service before anything is done", function()
    for _, bad in ipairs({ "--root=/x", "-H", "../x", "a;b", "a/b", "", "$(x)" }) do
      local execution = run("stop", bad)
      assert.equal("REJECTED", execution.status, bad)
      assert.matches("services: ", execution.details.reason)
    end
    assert.same({}, changes())
  end)

  it("restart Hob itself once, and go on in the new process (field failure 17)", function()
    local execution = run("restart", "a hob c")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    local word = "systemctl [restart] [--] "
    assert.same({ word .. "[a]", word .. "[c]" }, changes())
    assert.equal("2", execution.details.attempt)
  end)

  it("do not stop Hob itself, which nobody could report", function()
    local execution = run("stop", "a hob.service")
    assert.equal("REJECTED", execution.status)
    assert.matches("Hob cannot stop itself", execution.details.reason)
    assert.same({}, changes())
  end)
end)
