-- AWS's documents as they arrive, each with the outcome that its cloud team expects: the eight
-- managed templates (all values strings, unset ones ""), the echo tutorial, what must be refused.

local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local shipped = require("spec.support.shipped")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  -- Fails in its second step; cleans up; state and results of its own.
  ["half.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, positional = { "marks", "mode" },
      args = { marks = "string", mode = "string?" },
      run = function(job, args)
        job.state.seen = (job.state.seen or 0)
        local first = job:step("first", function()
          job.state.seen = job.state.seen + 1
          return "from " .. job.id:gsub("%d", "") .. job.state.seen
        end)
        job:step("second", function()
          if args.mode == "fail" then return nil, "no luck", "UNLUCKY" end
          if args.mode == "reject" then job:reject("not for me") end
        end)
        return { first = first, user = job.user }
      end,
      cleanup = function(job, args, why)
        fs.append(args.marks, ("cleanup %s %s %s\n"):format(why.kind, why.code,
          tostring(job.results.first)))
      end }
  ]],
  -- Is killed in its second step, if the file `go` is not there.
  ["cut.lua"] = [[
    local exec, fs = require("hob.exec"), require("hob.fs")
    return { api = 1, positional = { "marks", "go" }, args = { marks = "string", go = "string" },
      run = function(job, args)
        local function mark(text) assert(fs.append(args.marks, text .. " ")) end
        job:step("first", function()
          job.state.count = (job.state.count or 0) + 1
          mark("first")
        end)
        job:step("second", function()
          mark("second")
          if not fs.stat(args.go) then
            assert(fs.write(args.go, ""))
            exec.run({ "sh", "-c", "kill -9 $PPID" })
          end
        end)
        return { version = "one", count = job.state.count }
      end }
  ]],
  -- Waits for ever in its step.
  ["hold.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, positional = { "marks" }, args = { marks = "string" },
      run = function(job, args)
        job:step("hold", function()
          assert(fs.append(args.marks, "hold "))
          job:progress(50, "holding")
          job:sleep(1000)
        end)
      end,
      cleanup = function(job, args, why)
        assert(fs.append(args.marks, "cleanup " .. why.kind .. " " .. why.step))
      end }
  ]],
  ["done.lua"] = [[
    return { api = 1, already_done = function() return true end,
      run = function() error("never") end }
  ]],
  ["broken.lua"] = "return { api = = 1 }",
}

describe("AWS's documents", function()
  local machine
  local me = shipped.me()

  lazy_setup(function()
    machine = shipped.new({
      scripts = SCRIPTS,
      config = { commands = { allow = { "echo", "touch", "sh", "false" } }, users = { me } },
      fakes = {
        ["apt-get"] = "echo noise; echo hint >&2", dpkg = "",
        systemctl = 'case "$*" in *broken*) echo no >&2; exit 5;; esac',
      },
    })
  end)
  lazy_teardown(function()
    machine:stop()
  end)
  before_each(function()
    machine:forget_calls()
  end)

  local managed = shipped.managed
  local APT = "apt-get [-y] [-o] [DPkg::Lock::Timeout=120] [-o] [Acquire::Retries=3]"

  local function last(name)
    local calls = machine:calls(name)
    return calls[#calls]
  end

  local function rejected(document, reason)
    local execution = machine:run(document)
    assert.equal("REJECTED", execution.status)
    assert.equal("BAD_DOCUMENT", execution.details.code)
    assert.matches(reason, execution.details.reason)
    assert.equal(2, execution.versionNumber) -- never started
    assert.same({}, machine:calls())
  end

  local function step(action)
    action.type = action.type or "runHandler"
    action.name = action.name or action.input.handler or "command"
    return { action = action }
  end
  local function steps(list, more)
    local document = { version = "1.0", steps = {} }
    for i, action in ipairs(list) do
      document.steps[i] = step(action)
    end
    for key, value in pairs(more or {}) do
      document[key] = value
    end
    return json.encode(document)
  end

  describe("of its managed templates", function()
    it("AWS-Reboot reboots once, and has succeeded when the device is back (field failure 5)",
      function()
        local id = machine:create(managed("AWS-Reboot"))
        assert(machine.gateway:wait_end(), "it was not killed by the reboot")
        assert.equal("IN_PROGRESS", machine.world:describe(id).status)
        machine.gateway:launch()
        local execution = machine.world:ended(id)
        assert.equal("SUCCEEDED", execution.status)
        assert.same({ "reboot" }, machine:calls("reboot"))
        assert.equal(1, machine.world:terminal_updates(id))
      end)

    it("AWS-Download-File puts the file there and tells its digest", function()
      local server = peer.start("http_bad")
      local to = machine.world:path("file")
      local execution = machine:run(managed("AWS-Download-File", {
        downloadUrl = ("http://127.0.0.1:%d/whole"):format(server.port), filePath = to }))
      server:stop()
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(to, execution.details.path)
      assert.equal("1048576", execution.details.bytes)
      assert.equal(1048576, fs.stat(to).size)
    end)

    it("AWS-Install-Application installs all that its one string names", function()
      local execution = machine:run(managed("AWS-Install-Application", { packages = "tree curl" }))
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("tree curl", execution.details.packages)
      assert.equal(APT .. " [install] [--] [tree] [curl]", last("apt-get"))
      assert.equal("hint ", execution.details.stderr)
      assert.is_nil(execution.details.stdout) -- the template does not ask for it
    end)

    it("AWS-Remove-Application removes them", function()
      local execution = machine:run(managed("AWS-Remove-Application", { packages = "tree" }))
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(APT .. " [remove] [--] [tree]", last("apt-get"))
    end)

    for _, action in ipairs({ "start", "stop", "restart" }) do
      local name = ("AWS-%s-Application"):format(action:gsub("^%l", string.upper))
      it(name .. (" %ss each service"):format(action), function()
        local execution = machine:run(managed(name, { services = "httpd mosquitto@1" }))
        assert.equal("SUCCEEDED", execution.status, execution.details.reason)
        assert.equal("httpd mosquitto@1", execution.details.services)
        local calls = table.concat(machine:calls("systemctl"), "\n")
        assert.is_truthy(calls:find(("[%s] [--] [httpd]"):format(action), 1, true))
        assert.is_truthy(calls:find(("[%s] [--] [mosquitto@1]"):format(action), 1, true))
      end)
    end

    it("AWS-Run-Command runs it without a shell", function()
      local file = machine.world:path("a b")
      local execution = machine:run(managed("AWS-Run-Command", { command = "touch," .. file }))
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.is_not_nil(fs.stat(file))
      assert.is_nil(execution.details.stdout)
    end)

    it("each is refused with the member that is wrong, before it is begun", function()
      rejected(managed("AWS-Install-Application", { packages = "" }),
        "^steps%[1%]%.action%.input%.args.*packages: expected 1 to 200 names, got 0$")
      rejected(managed("AWS-Install-Application", { packages = "curl -o/tmp/x" }),
        'packages: "%-o/tmp/x" is not the name of a package')
      rejected(managed("AWS-Start-Application", { services = "--root=/x" }),
        'services: "%-%-root=/x" is not the name of a service')
      rejected(
        managed("AWS-Download-File", { downloadUrl = "file:///etc/passwd", filePath = "/x" }),
        "args%.url: expected a URL")
      rejected(managed("AWS-Reboot", { runAsUser = "mallory" }),
        "^steps%[1%]%.action%.runAsUser: .*no user \"mallory\" on this system")
      rejected(managed("AWS-Run-Command", { command = "rm,-rf,/" }),
        "^steps%[1%]%.action%.input%.command: 'rm' is not allowed.*commands = { allow")
    end)

    it("what the template's placeholders were not filled with is refused with its place "
      .. "(field failure 26)", function()
      rejected(managed("AWS-Download-File", { filePath = "/x",
        downloadUrl = "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/k}" }),
        "^document%.steps%[1%]%.action%.input%.args%[1%]: the placeholder")
    end)
  end)

  describe("in the older form", function()
    it("that of the tutorial says hello", function()
      local execution = machine:run('{"operation":"echo","args":["Hello world!"]}')
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.is_nil(execution.details.stdout)
      execution = machine:run(
        '{"operation":"echo","args":["Hello world!"],"includeStdOut":true,"allowStdErr":0}')
      assert.equal("Hello world! ", execution.details.stdout)
    end)

    it("counts lines on standard error only if it says how many may be there", function()
      local two = '"args":["-c","echo a >&2; echo b >&2"]'
      assert.equal("SUCCEEDED", machine:run('{"operation":"sh",' .. two .. "}").status)
      assert.equal("SUCCEEDED",
        machine:run('{"operation":"sh","allowStdErr":2,' .. two .. "}").status)
      local execution = machine:run('{"operation":"sh","allowStdErr":1,' .. two .. "}")
      assert.equal("FAILED", execution.status)
      assert.matches("2 lines on standard error, allowed are 1", execution.details.reason)
      assert.equal("FAILED", machine:run('{"operation":"sh","args":["-c","exit 3"]}').status)
    end)

    it("names a Lua handler, too, whose arguments come by their places", function()
      local execution = machine:run(
        '{"operation":"install-packages.sh","args":["lftp","dos2unix"],"path":"default"}')
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(APT .. " [install] [--] [lftp] [dos2unix]", last("apt-get"))
    end)

    it("of another agent is none that this gateway knows", function()
      for _, document in ipairs({ '{"operation":"their-thing","args":["x"]}',
        '{"operation":"cat","args":["/etc/shadow"]}' }) do -- there, but not allowed
        local execution = machine:run(document)
        assert.equal("REJECTED", execution.status)
        assert.equal("NO_HANDLER", execution.details.code)
      end
      assert.matches('no handler for operation "cat"', machine:run(
        '{"operation":"cat","args":[]}').details.reason)
    end)

    it("never is a path", function()
      rejected('{"operation":"../../x","args":["y"]}', "^operation: expected the name of a handler")
      rejected('{"operation":"..","args":["y"],"path":"/"}', "^operation: expected the name")
      rejected('{"operation":"x","args":["y"],"path":"/tmp/../etc"}', "^path: .*without '%.%.'")
    end)
  end)

  describe("with several steps", function()
    it("run in order; finalStep only if all succeeded; details of all", function()
      local execution = machine:run(steps({
        { input = { handler = "half", args = { "/dev/null" } } },
        { input = { command = "echo,two" }, type = "runCommand" },
        { input = { handler = "start-services.sh", args = { "a" } } },
      }, { finalStep = step({ name = "end", input = { command = "echo,three" },
        type = "runCommand" }), includeStdOut = "true" }))
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("two three ", execution.details.stdout)
      assert.equal("a", execution.details.services)
      assert.equal("from job-1", execution.details.first)
    end)

    it("stop at the first that fails, naming the step within it, and finalStep is not run",
      function()
        local marks, file = machine.world:path("marks"), machine.world:path("final")
        local execution = machine:run(steps({
          { name = "A", input = { handler = "half.sh", args = { marks } } },
          { name = "B", input = { handler = "half.sh", args = { marks, "fail" } } },
          { name = "C", input = { handler = "start-services.sh", args = { "a" } } },
        }, { finalStep = step({ type = "runCommand", input = { command = "touch," .. file } }) }))
        assert.equal("FAILED", execution.status)
        assert.equal("step 'B': no luck", execution.details.reason)
        assert.equal("UNLUCKY", execution.details.code)
        assert.equal("2 B/second", execution.details.step)
        assert.is_nil(fs.stat(file))
        assert.same({}, machine:calls("systemctl"))
        -- Only the one that did not end well cleans up.
        assert.equal("cleanup failed UNLUCKY from job-1\n", fs.read(marks))
      end)

    it("go on after a failure that is to be ignored; that handler has cleaned up by then",
      function()
        local marks = machine.world:path("marks")
        local execution = machine:run(steps({
          { name = "A", ignoreStepFailure = "true",
            input = { handler = "half", args = { marks, "fail" } } },
          { name = "B", input = { handler = "start-services", args = { "broken" } } },
        }))
        assert.equal("FAILED", execution.status)
        assert.matches("^step 'B': .*systemctl start %-%- broken: exit code 5: no$",
          execution.details.reason)
        assert.equal("EXIT_CODE", execution.details.code)
        assert.equal("2 B/start broken", execution.details.step)
        assert.equal("cleanup failed UNLUCKY from job-1\n", fs.read(marks))
        machine.gateway:wait_event("job.failure_ignored")
      end)

    it("end as REJECTED when one of their handlers says so", function()
      local marks = machine.world:path("marks")
      local execution = machine:run(steps({
        { name = "A", ignoreStepFailure = true,
          input = { handler = "half", args = { marks, "reject" } } } }))
      assert.equal("REJECTED", execution.status)
      assert.equal("not for me", execution.details.reason)
      assert.equal("1 A/second", execution.details.step)
    end)

    it("that had all been done already end as ALREADY_DONE", function()
      local execution = machine:run(steps({ { input = { handler = "done" } } }))
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("ALREADY_DONE", execution.details.code)
      local done, echo = { input = { handler = "done" } },
        { type = "runCommand", input = { command = "echo,x" } }
      for _, list in ipairs({ { done, echo }, { echo, done } }) do
        execution = machine:run(steps(list))
        assert.equal("SUCCEEDED", execution.status)
        assert.is_nil(execution.details.code)
      end
    end)

    it("hand the user on to a Lua handler", function()
      local execution = machine:run(steps({
        { runAsUser = me, input = { handler = "half", args = { "/dev/null" } } } }))
      assert.equal(me, execution.details.user)
    end)

    it("name a handler that is broken: FAILED, it may work once mended", function()
      local execution = machine:run(steps({ { input = { handler = "broken.sh" } } }))
      assert.equal("FAILED", execution.status)
      assert.equal("HANDLER_BROKEN", execution.details.code)
      assert.matches("broken%.lua:1: ", execution.details.reason)
    end)

    it("have conditions that are checked, not evaluated, and the log says so", function()
      local good = { { key = "os", value = { "windows" }, type = "stringEqual" } }
      local action = { { type = "runCommand", input = { command = "echo,x" } } }
      local execution = machine:run(steps(action, { conditions = good }))
      assert.equal("SUCCEEDED", execution.status)
      machine.gateway:wait_event("job.conditions_ignored")
      rejected(steps(action, { conditions = { { value = { "a" } } } }),
        "^conditions%[1%]%.key: expected string")
      rejected(steps(action, { conditions = { { key = "a" } } }), "^conditions%[1%]%.value: ")
    end)

    it("are refused with the place of what is wrong", function()
      local input = { command = "echo,x" }
      local function with(member, value)
        return steps({ { type = "runCommand", input = input, [member] = value } })
      end
      rejected(with("allowStdErr", "many"), "^steps%[1%]%.action%.allowStdErr: expected a number")
      rejected(with("ignoreStepFailure", "perhaps"),
        "^steps%[1%]%.action%.ignoreStepFailure: expected true or false")
      rejected(with("runAsUser", 7), "^steps%[1%]%.action%.runAsUser: expected string")
      rejected(with("runAsUser", "-x"), "runAsUser: expected the name of a user")
      rejected(with("type", "runLater"), '%.type: expected "runCommand" or "runHandler"')
      rejected(steps({ { input = { handler = "../x" } } }), "%.input%.handler: expected the name")
      rejected(steps({ { input = { handler = "none" } } }),
        "there is no Lua handler 'none'.*commands = { allow = { ... } }")
      rejected(steps({ { input = { handler = "half", args = { { 1 } } } } }),
        "^steps%[1%]%.action%.input%.args%[1%]: expected string")
      rejected(steps({ { type = "runCommand", input = input } },
        { finalStep = { action = { name = "z" } } }), "^finalStep%.action%.type: ")
    end)
  end)

  describe("over a power cut", function()
    it("do not do again what has ended, in each of their Lua handlers, and go on with the version "
      .. "that they began with", function()
      local marks, one, two = machine.world:path("m"), machine.world:path("a"),
        machine.world:path("b")
      local scripts = machine.gateway.dir .. "/scripts/"
      local before = fs.read(scripts .. "cut.lua")
      local id = machine:create(steps({
        { name = "A", input = { handler = "cut", args = { marks, one } } },
        { name = "B", input = { handler = "cut", args = { marks, two } } } }))
      assert(machine.gateway:wait_end(), "it was not killed")
      assert(fs.write(scripts .. "cut.lua", (before:gsub('"one"', '"two"'))))
      machine.gateway:launch()
      assert(machine.gateway:wait_end(), "it was not killed again")
      assert(fs.remove(scripts .. "cut.lua"))
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("first second second first second second ", fs.read(marks))
      assert.equal("one", execution.details.version)
      assert.equal("1", execution.details.count) -- each has a state of its own
      assert.equal("3", execution.details.attempt)
      assert(fs.write(scripts .. "cut.lua", before))
    end)

    it("go on after a reboot that one of their steps was", function()
      local document = json.decode(managed("AWS-Reboot"))
      document.finalStep = step({ name = "after", input = { command = "echo,after" },
        type = "runCommand" })
      document.includeStdOut = true
      local id = machine:create(document)
      assert(machine.gateway:wait_end(), "it was not killed by the reboot")
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("after ", execution.details.stdout)
      assert.same({ "reboot" }, machine:calls("reboot"))
    end)
  end)

  it("that are cancelled have the handler at work clean up, and no other", function()
    local marks, ended = machine.world:path("marks"), machine.world:path("ended")
    local id = machine:create(steps({
      { name = "A", input = { handler = "half", args = { ended } } },
      { name = "B", input = { handler = "hold", args = { marks } } } }))
    wait_until(function()
      return machine.world:describe(id).details.progress == "75% B: holding"
    end, worlds.PATIENCE, "its progress, as a part of the whole")
    machine.world:control("cancel_job_execution", "gw-1", id, {}, true, os.time())
    wait_until(function()
      return fs.read(marks) == "hold cleanup cancelled 2 B/hold"
    end, worlds.PATIENCE, "its cleanup")
    machine:run('{"operation":"health-check"}') -- the next job: all of that one is over
    assert.is_nil(fs.stat(ended))
  end)
end)
