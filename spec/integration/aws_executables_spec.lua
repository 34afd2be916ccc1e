-- Programs that AWS's documents name: handlers in the handler directory, called as AWS's device
-- client calls them, directories and programs that the configuration allows, and how they end.

local fs = require("hob.fs")
local json = require("hob.json")
local shipped = require("spec.support.shipped")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

-- As AWS's samples are written: the first argument is the user, who may be unknown or empty.
local SAMPLE = [[
#!/usr/bin/env sh
set -e
user=$1
shift 1
items=$@
echo "user <$user> items <$items>"
if id "$user" 2>/dev/null >&2 && command -v "sudo" > /dev/null; then
  sudo -u "$user" -n touch %s
else
  echo "username or sudo command not found"
  for item in $items; do touch "$item"; done
fi
]]

-- One that reboots as AWS's sample does: a lock file says, after the boot, that it has been.
local LOCKED = [[
#!/usr/bin/env sh
set -e
if test -f %s; then
  rm %s
  echo "back"
  exit 0
fi
date > %s
%s
sleep 1000
]]

describe("programs of AWS's documents", function()
  local machine
  local me = shipped.me()

  lazy_setup(function()
    machine = shipped.new({ privileged = { "powerful" }, config = {
      commands = { allow = { "echo", "id", "sh", "/opt/none/x.sh" } }, users = { me, "nobody" } } })
    local own = machine.there .. "/own.sh"
    assert(fs.write(own, "#!/bin/sh\necho own \"$1\" \"$2\"\n"))
    assert(fs.chmod(own, tonumber("700", 8)))
  end)
  lazy_teardown(function()
    machine:stop()
  end)

  local function document(input, more)
    local action = { name = "Do-It", type = "runHandler", input = input, runAsUser = "" }
    for key, value in pairs(more or {}) do
      action[key] = value
    end
    return json.encode({ version = "1.0", includeStdOut = "true",
      steps = { { action = action } } })
  end
  local function run(input, more)
    return machine:run(document(input, more))
  end
  local function succeeds(input, more)
    local execution = run(input, more)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    return execution.details
  end
  local function rejected(input, reason)
    local execution = run(input)
    assert.equal("REJECTED", execution.status)
    assert.equal("BAD_DOCUMENT", execution.details.code)
    assert.matches(reason, execution.details.reason)
  end
  local function fails(body, code, reason, more)
    machine:handler("fails.sh", "#!/bin/sh\n" .. body .. "\n")
    local execution = run({ handler = "fails.sh" }, more)
    assert.equal("FAILED", execution.status)
    assert.equal(code, execution.details.code)
    assert.matches(reason, execution.details.reason)
    assert.equal("1 Do-It", execution.details.step)
    return execution.details
  end

  describe("in the handler directory", function()
    it("run as they are written for AWS's device client: the user is the first argument, even when "
      .. "empty", function()
      local a, b = machine.world:path("a"), machine.world:path("b")
      machine:handler("sample.sh", SAMPLE:format(machine.world:path("never")))
      local details = succeeds({ handler = "sample.sh", args = { a .. " " .. b }, path = "" })
      assert.matches("^user <> items <" .. a:gsub("%p", "%%%0"), details.stdout)
      assert.is_not_nil(fs.stat(a))
      assert.is_not_nil(fs.stat(b))
    end)

    it("and get the user that the document names, who is in `users`", function()
      local touched = machine.world:path("touched")
      machine:fake("sudo", 'while [ "$1" != touch ]; do shift; done; "$@"')
      machine:handler("sample.sh", SAMPLE:format(touched))
      succeeds({ handler = "sample.sh", args = { "x" }, path = "default" }, { runAsUser = me })
      assert.is_not_nil(fs.stat(touched))
      assert.equal(("sudo [-u] [%s] [-n] [touch] [%s]"):format(me, touched),
        machine:calls("sudo")[1])
      machine:remove("sudo")
    end)

    it("need no .sh; `default` and the directory's own name mean it, too", function()
      machine:handler("plain", "#!/bin/sh\necho plain $#\n")
      assert.equal("plain 1 ", succeeds({ handler = "plain" }).stdout)
      assert.equal("plain 2 ",
        succeeds({ handler = "plain", args = { "x" }, path = "default" }).stdout)
      assert.equal("plain 1 ",
        succeeds({ handler = "plain", path = machine.handlers .. "/" }).stdout)
    end)

    it("start in the job's own directory", function()
      machine:handler("where", "#!/bin/sh\npwd\n")
      assert.matches("/data/work/gw%-1@job", succeeds({ handler = "where" }).stdout)
    end)

    it("are found by the older form, too", function()
      machine:handler("older.sh", "#!/bin/sh\necho \"<$1> <$2>\"\n")
      local execution = machine:run(
        '{"operation":"older.sh","args":["x y"],"path":"default","includeStdOut":"true"}')
      assert.equal("<> <x y> ", execution.details.stdout)
      assert.equal("SUCCEEDED", machine:run('{"operation":"older.sh"}').status)
    end)

    it("come after a Lua handler of the name", function()
      machine:handler("health-check.sh", "#!/bin/sh\nexit 9\n")
      assert.is_not_nil(succeeds({ handler = "health-check.sh" }).uptime_seconds)
    end)

    it("are refused when they cannot be started, or when anybody may change them", function()
      local path = machine:handler("odd", "#!/bin/sh\n")
      assert(fs.chmod(path, tonumber("600", 8)))
      rejected({ handler = "odd" }, "odd: is not executable; chmod 700 /")
      assert(fs.chmod(path, tonumber("777", 8)))
      rejected({ handler = "odd" }, "odd: anybody may change it; chmod 700 /")
      rejected({ handler = "nothing", path = "default" },
        "input%.handler: /.*/nothing: No such file")
      assert(fs.mkdir(machine.handlers .. "/dir"))
      rejected({ handler = "dir" }, "dir: is no regular file")
    end)
  end)

  describe("elsewhere", function()
    it("are refused unless the configuration names them, whole", function()
      rejected({ handler = "own.sh", path = machine.there },
        "^steps%[1%]%.action%.input%.path: '/.*/own%.sh' is not allowed.*commands = { allow"
        .. ".*handler_dir")
      rejected({ handler = "x.sh", path = "/opt/none" }, "handler: /opt/none/x.sh: No such file")
      rejected({ handler = "x.sh", path = "there" }, 'path: expected "default" or an absolute path')
      rejected({ handler = "x.sh", path = machine.handlers .. "/../there" }, "without '%.%.'")
    end)

    it("through PATH only if commands.allow has them; the user is the first argument", function()
      assert.equal(" hello ", succeeds({ handler = "echo", args = { "hello" } }).stdout)
      rejected({ handler = "cat", args = { "/etc/shadow" } },
        "there is no Lua handler 'cat', no cat in /.*, and no program of that name is allowed")
    end)
  end)

  describe("that are to run as a user", function()
    it("do, by his rights; a privileged handler changes to him by itself", function()
      if me ~= "root" then
        return -- only root can become another one
      end
      local command = { command = "id,-un" }
      assert.equal("nobody ",
        succeeds(command, { type = "runCommand", runAsUser = "nobody" }).stdout)
      machine:handler("who", "#!/bin/sh\necho $1; id -un\n")
      assert(fs.chmod(machine.handlers, tonumber("755", 8)))
      assert(fs.chmod(machine.handlers .. "/who", tonumber("755", 8)))
      assert.equal("nobody nobody ", succeeds({ handler = "who" }, { runAsUser = "nobody" }).stdout)
      machine:handler("powerful", "#!/bin/sh\necho $1; id -un\n")
      assert.equal("nobody root ",
        succeeds({ handler = "powerful" }, { runAsUser = "nobody" }).stdout)
    end)

    it("are refused before they begin unless the configuration names him", function()
      for _, input in ipairs({ { command = "id" }, { handler = "echo" },
        { handler = "health-check" } }) do
        local execution = run(input, { type = input.command and "runCommand" or "runHandler",
          runAsUser = "daemon" })
        assert.equal("REJECTED", execution.status)
        assert.matches("^steps%[1%]%.action%.runAsUser: .*daemon", execution.details.reason)
        assert.matches(me == "root" and 'add "daemon" to users = ' or "this Hob is not root",
          execution.details.reason)
      end
    end)
  end)

  describe("that fail", function()
    it("tell exit code and signal apart (field failure 16)", function()
      fails("echo no disk >&2; exit 3", "EXIT_CODE",
        "^step 'Do%-It': /.*/fails%.sh: exit code 3: no disk$")
      fails("exit 1", "EXIT_CODE", "exit code 1$")
      fails("kill -9 $$", "SIGNAL", "killed by signal 9")
      fails("kill -15 $$", "SIGNAL", "killed by signal 15")
      machine:handler("no-interpreter", "#!/no/such/interpreter\n")
      local execution = run({ handler = "no-interpreter" })
      assert.equal("FAILED", execution.status)
      assert.equal("NOT_STARTED", execution.details.code)
    end)

    it("fail whatever allowStdErr says (field failure 16)", function()
      for _, allowed in ipairs({ 0, 1, 100, "2", "" }) do
        fails("exit 3", "EXIT_CODE", "exit code 3", { allowStdErr = allowed })
      end
      fails("echo a >&2; echo b >&2", "FAILED", "2 lines on standard error, allowed are 0",
        { allowStdErr = "0" })
    end)
  end)

  it("may print as much on standard error as they like, before or after, and leave something in "
    .. "the background (field failure 25)", function()
    machine:handler("loud.sh", [[#!/bin/sh
      i=0; while [ $i -lt 3000 ]; do echo "a line of some length on standard error $i" >&2
      i=$((i+1)); done
      (while :; do :; done) &
      echo out]])
    local details = succeeds({ handler = "loud.sh" })
    assert.equal("out ", details.stdout)
    assert.matches("^%[cut %d+ bytes%] .* standard error 2999 $", details.stderr)
  end)

  it("that were interrupted are run again, as AWS's reboot handler wants it", function()
    local lock = machine.world:path("lock")
    machine:handler("locked.sh", LOCKED:format(lock, lock, lock, "kill -9 $PPID"))
    local id = machine:create(document({ handler = "locked.sh" }))
    assert(machine.gateway:wait_end(), "it was not killed")
    machine.gateway:launch()
    local execution = machine.world:ended(id)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("back ", execution.details.stdout)
    assert.equal("2", execution.details.attempt)
  end)

  it("are those that were found when the job began, whatever handler came since", function()
    local go = machine.world:path("go")
    machine:handler("later.sh", ("#!/bin/sh\ntest -f %s || kill -9 $PPID\necho program\n")
      :format(go))
    local twice = json.decode(document({ handler = "later.sh" }))
    table.insert(twice.steps, 1, { action = { name = "first", type = "runCommand",
      input = { command = "sh,-c,true" } } })
    local id = machine:create(twice)
    assert(machine.gateway:wait_end(), "it was not killed")
    assert(fs.write(go, ""))
    local path = machine.gateway.dir .. "/scripts/later.lua"
    assert(fs.write(path, "return { api = 1, run = function() return nil, 'the new one' end }"))
    machine.gateway:launch()
    local execution = machine.world:ended(id)
    assert.equal("program ", execution.details.stdout, execution.details.reason)
    assert.equal("the new one", run({ handler = "later.sh" }).details.reason:match(": (.*)$"))
    assert(fs.remove(path))
  end)

  it("are ended with the job", function()
    local pid_file = machine.world:path("pid")
    machine:handler("endless.sh", ("#!/bin/sh\necho $$ > %s\nwhile :; do :; done\n")
      :format(pid_file))
    local id = machine:create(document({ handler = "endless.sh" }))
    wait_until(function()
      return (fs.read(pid_file) or "") ~= ""
    end, worlds.PATIENCE, "the program")
    local pid = fs.read(pid_file):match("%d+")
    machine.world:control("cancel_job_execution", "gw-1", id, {}, true, os.time())
    wait_until(function()
      return not fs.stat("/proc/" .. pid)
    end, worlds.PATIENCE, "the end of the program")
  end)
end)
