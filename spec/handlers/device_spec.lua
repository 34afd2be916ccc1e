-- reboot, shutdown, health-check, run-command.

local shipped = require("spec.support.shipped")

describe("the shipped handler", function()
  local machine

  lazy_setup(function()
    machine = shipped.new({ config = { commands = { allow = { "echo", "sh" } } },
      fakes = { shutdown = "" } })
  end)
  lazy_teardown(function()
    machine:stop()
  end)
  before_each(function()
    machine:forget_calls()
  end)

  describe("reboot", function()
    it("has succeeded when the device is back, and reboots once (field failure 5)", function()
      local id = machine:create('{"operation":"reboot","reason":"new kernel"}')
      assert(machine.gateway:wait_end(), "it was not killed")
      assert.equal("rebooting: new kernel", machine.world:describe(id).details.progress)
      machine.gateway:launch()
      assert.equal("SUCCEEDED", machine.world:ended(id).status)
      assert.same({ "reboot" }, machine:calls())
    end)
  end)

  describe("shutdown", function()
    it("asks for it in a minute, so that the report can be sent", function()
      local execution = machine:run('{"operation":"shutdown"}')
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("1", execution.details.in_minutes)
      machine:run('{"operation":"shutdown","minutes":"10"}')
      assert.same({ "shutdown [-h] [+1]", "shutdown [-h] [+10]" }, machine:calls())
    end)

    it("does not ask again after it was interrupted", function()
      machine:fake("shutdown", "kill -9 $PPID")
      local id = machine:create('{"operation":"shutdown"}')
      assert(machine.gateway:wait_end(), "it was not killed")
      machine.gateway:launch()
      assert.equal("INTERRUPTED", machine.world:ended(id).details.code)
      assert.equal(1, #machine:calls())
    end)

    it("takes minutes, nothing else", function()
      for _, bad in ipairs({ "0", "now", "1441", "1.5" }) do
        local execution = machine:run(('{"operation":"shutdown","minutes":"%s"}'):format(bad))
        assert.equal("REJECTED", execution.status, bad)
        assert.matches("minutes", execution.details.reason)
      end
    end)
  end)

  describe("health-check", function()
    it("shows that jobs are taken, run and reported", function()
      local execution = machine:run('{"operation":"health-check"}')
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.matches("^%d+%.%d+$", execution.details.uptime_seconds)
    end)
  end)

  describe("run-command", function()
    local function run(command)
      return machine:run('{"operation":"run-command","command":' .. command .. "}")
    end

    it("runs the words of a list, or of a text with commas, without a shell", function()
      assert.equal("a, b $HOME ", run('["echo","a, b","$HOME"]').details.stdout)
      assert.equal("a, b $HOME ", run('"echo,a\\\\, b, $HOME"').details.stdout)
    end)

    it("tells how the program ended", function()
      local details = run('["sh","-c","echo no >&2; exit 3"]').details
      assert.equal("EXIT_CODE", details.code)
      assert.matches("exit code 3: no$", details.reason)
      assert.equal("no ", details.stderr)
    end)

    it("runs only what the configuration allows, naming the key", function()
      local execution = run('["cat","/etc/shadow"]')
      assert.equal("REJECTED", execution.status)
      assert.matches("command: 'cat' is not allowed.*commands = { allow", execution.details.reason)
      assert.equal("REJECTED", run('[]').status)
      assert.equal("REJECTED", run('["echo x"]').status)
      assert.equal("REJECTED", run('"./echo"').status)
    end)

    it("answers to the name of AWS's sample, too", function()
      local execution = machine:run('{"version":"1.0","steps":[{"action":{"name":"x",'
        .. '"type":"runHandler","input":{"handler":"shell-command-handler.sh",'
        .. '"args":["echo","hello"]}}}],"includeStdOut":true}')
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("hello ", execution.details.stdout)
    end)
  end)
end)
