-- The way of one job over real TLS: from the service to the handler and back.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local SCRIPTS = {
  ["greet.lua"] = [[
    return { api = 1, args = { name = "string" },
      run = function(job, args) return { greeting = "hello " .. args.name } end }
  ]],
  ["typed.lua"] = [[
    return { api = 1, args_at = "parameters",
      args = { n = "number", i = "integer", b = "boolean", s = "string?", l = "list?" },
      run = function(job, args)
        return { n = args.n + 1, i = math.type(args.i), b = args.b == false, s = type(args.s) }
      end }
  ]],
  ["three.lua"] = [[
    local exec = require("hob.exec")
    return { api = 1, run = function(job)
      local sum = 0
      for i = 1, 3 do
        sum = sum + job:step("part " .. i, function()
          job:progress(i * 30, "part " .. i)
          return tonumber(exec.check{ "echo", tostring(i) }.stdout)
        end)
      end
      return { sum = sum }
    end }
  ]],
  ["wait.lua"] = [[
    return { api = 1, run = function(job) job:progress(50, "half") job:sleep(3600) end }
  ]],
  ["needs-dir.lua"] = [[
    return { api = 1, run = function(job) job:progress(50, job.dir) job:sleep(3600) end }
  ]],
  ["ends.lua"] = [[
    local exec = require("hob.exec")
    local fs = require("hob.fs")
    local time = require("hob.time")
    local ways = {
      nothing = function() end,
      yes = function() return true end,
      details = function()
        return { n = 3, half = 0.5, big = 2^40, ok = true }
      end,
      many = function()
        return { a = "1", b = "2", c = "3", d = "4", e = "5", reason = "mine", t = {} }
      end,
      refusal = function() return nil, "the disk is full" end,
      falsehood = function() return false, "no" end,
      raised = function() error("boom") end,
      object = function() error({ message = "an object" }) end,
      nothing_said = function() return nil end,
      number = function() return 7 end,
      reject = function(job)
        pcall(job.reject, job, "not for this gateway")
        error("not reached")
      end,
      failed_step = function(job)
        job:step("check", function() return nil, "it is not there" end)
      end,
      caught_step = function(job)
        local ok, why = pcall(job.step, job, "check", function() error("broken", 0) end)
        return { ok = ok, why = why }
      end,
      twice = function(job)
        job:step("a", function() return 1 end)
        job:step("a", function() return 2 end)
      end,
      nested = function(job)
        job:step("a", function() job:step("b", function() end) end)
      end,
      in_coroutine = function(job)
        coroutine.wrap(function() job:step("a", function() end) end)()
      end,
      unsaveable = function(job) job:step("a", function() return print end) end,
      json = function(job)
        local v = job:step("a", function() return { n = 3, list = { 1, 2 }, s = "x" } end)
        return { n = math.type(v.n), list = #v.list, s = v.s }
      end,
      memory = function()
        local t = {}
        while true do t[#t + 1] = ("x"):rep(1000) end
      end,
      uninterruptible = function() table.sort({ 1, 2, 3 }, function() while true do end end) end,
      newline = function() return { text = "a\nb\0c", empty = "" } end,
      own_name = function() return { reason = "mine", step = "mine", n = 1 } end,
      memory_in_step = function(job)
        job:step("fill", function()
          local t = {}
          while true do t[#t + 1] = ("x"):rep(1000) end
        end)
      end,
      no_result = function(job)
        local result = job:step("a", function() end)
        return { kind = type(result) }
      end,
      cwd = function(job)
        local exec = require("hob.exec")
        local out = exec.check({ "pwd" }).stdout:gsub("\n$", "")
        return { at_home = fs.stat(out .. "/mark") == nil and out:find(job.id, 1, true) ~= nil,
          root = exec.check({ "pwd", cwd = "/" }).stdout }
      end,
      dir = function(job)
        assert(fs.write("note", "mine"))
        return { there = fs.stat(job.dir).type, dir = job.dir, note = fs.read(job.dir .. "/note"),
          pwd = exec.check({ "pwd" }).stdout == job.dir .. "\n" }
      end,
      check = function() exec.check({ "false" }) end,
      bytes = function(job)
        job:step("install", function()
          error(exec.run({ "printf", "prot\\351g\\351" }).stdout, 0)
        end)
      end,
      memory_in_coroutine = function()
        return { ok = coroutine.resume(coroutine.create(function()
          local t = {}
          while true do t[#t + 1] = ("x"):rep(1000) end
        end)) }
      end,
      reject_through_close = function(job)
        pcall(function()
          local _ <close> = setmetatable({}, { __close = function() error("mine") end })
          job:reject("not here")
        end)
        job.log.info("went on after the reject")
        return true
      end,
      reject_in_callback = function(job)
        time.after(0, function() job:reject("said in a callback") end)
        job:sleep(3600)
      end,
      error_in_callback = function(job)
        local done
        time.after(0, function() done = true error("oh, a callback") end)
        while not done do job:sleep(0.001) end
      end,
      odd_key = function() return { ["free space"] = 1 } end,
    }
    return { api = 1, run = function(job) return ways[job.document.way](job) end }
  ]],
  ["broken.lua"] = "return { api = 1,\n  run = function(job) retrn 1 end }",
  ["spin.lua"] = [[
    return { api = 1, run = function() local x = 0 for i = 1, 3e7 do x = x + i end end }
  ]],
}

describe("a job over TLS", function()
  local world, gateway

  setup(function()
    world = worlds.start()
    gateway = world:gateway({
      scripts = SCRIPTS,
      config = { commands = { allow = { "echo", "sh", "false", "not-there" } }, memory = "8M" },
    })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
  end)

  local number = 0
  local function run(document)
    number = number + 1
    local id = "job-" .. number
    world:create(id, document)
    local execution = world:ended(id)
    assert.equal(1, world:terminal_updates(id))
    return execution, id
  end
  local function ends(way)
    return run(('{"operation":"ends","way":"%s"}'):format(way))
  end

  it("runs its handler and reports SUCCEEDED with the handler's details", function()
    local execution = run('{"operation":"greet","name":"moon"}')
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("hello moon", execution.details.greeting)
    assert.matches("^greet@%x+$", execution.details.handler)
  end)

  it("costs two publishes: the claim and the result", function()
    local execution = run('{"operation":"greet","name":"moon"}')
    assert.equal(3, execution.versionNumber) -- 1 queued, 2 claimed, 3 ended
  end)

  it("runs steps in order, with children, and reports progress on the way", function()
    local execution = run('{"operation":"three"}')
    assert.equal("SUCCEEDED", execution.status)
    assert.equal("6", execution.details.sum)
  end)

  it("shows progress in the cloud while it runs", function()
    local slow = world:gateway({ thing = "gw-2", scripts = SCRIPTS })
    world:create("waits", '{"operation":"wait"}', "gw-2")
    local execution = wait_until(function()
      local now = world:describe("waits", "gw-2")
      return now.details.progress and now
    end, worlds.PATIENCE, "progress")
    assert.equal("IN_PROGRESS", execution.status)
    assert.equal("50% half", execution.details.progress)
    slow:kill()
  end)

  describe("outcome", function()
    it("is SUCCEEDED for no value, true, or a table", function()
      assert.equal("SUCCEEDED", ends("nothing").status)
      assert.equal("SUCCEEDED", ends("yes").status)
      local details = ends("details").details
      assert.equal("3", details.n)
      assert.equal("0.5", details.half)
      assert.equal("1099511627776", details.big)
      assert.equal("true", details.ok)
    end)

    it("is FAILED with reason and code otherwise", function()
      local function failed(way, code, reason)
        local execution = ends(way)
        assert.equal("FAILED", execution.status, way)
        assert.equal(code, execution.details.code, way)
        assert.matches(reason, execution.details.reason)
        return execution
      end
      failed("refusal", "FAILED", "^the disk is full$")
      failed("falsehood", "FAILED", "^no$")
      failed("raised", "LUA_ERROR", "ends%.lua:%d+: boom$")
      failed("check", "EXIT_CODE", "ends%.lua:%d+: false: exit code 1")
      failed("bytes", "LUA_ERROR", "^prot\u{FFFD}g\u{FFFD}$")
      failed("memory_in_coroutine", "OUT_OF_MEMORY", "^more than 8 MB of memory")
      failed("object", "LUA_ERROR", "^an object$")
      failed("nothing_said", "BAD_RESULT", "nil without a reason")
      failed("number", "BAD_RESULT", "run returned a number: expected nothing, true, a table")
      assert.equal("check", failed("failed_step", "FAILED", "it is not there").details.step)
      failed("memory", "OUT_OF_MEMORY",
        "^more than 8 MB of memory %(memory%), at .*ends%.lua:%d+$")
      assert.equal("fill", failed("memory_in_step", "OUT_OF_MEMORY", "memory").details.step)
      failed("uninterruptible", "LIMIT", "ends%.lua:%d+: ran for over 200 ms")
      failed("twice", "LUA_ERROR", "the name is used twice")
      failed("nested", "LUA_ERROR", "cannot stand inside the step 'a'")
      failed("in_coroutine", "LUA_ERROR", "cannot stand in a coroutine")
      failed("unsaveable", "BAD_RESULT", "step 'a': .*function")
    end)

    it("is REJECTED by job:reject, through any pcall", function()
      local execution = ends("reject")
      assert.equal("REJECTED", execution.status)
      assert.equal("not for this gateway", execution.details.reason)
      assert.equal("REJECTED", ends("reject_through_close").status)
      for _, event in ipairs(gateway.events) do
        assert.not_equal("went on after the reject", event.msg)
      end
      assert.equal("said in a callback", ends("reject_in_callback").details.reason)
    end)

    it("is not changed by an error in a callback, which the log has", function()
      assert.equal("SUCCEEDED", ends("error_in_callback").status)
      assert.matches("oh, a callback", gateway:wait_event("job.callback_failed").msg)
    end)

    it("drops a fifth detail and Hob's own names, and says so in the log", function()
      local details = ends("many").details
      assert.equal("4", details.d)
      assert.is_nil(details.e)
      assert.is_nil(details.reason)
      gateway:wait_event("job.detail_dropped", {}, 3)
      ends("odd_key")
      gateway:wait_event("job.detail_dropped", {}, 4)
      details = ends("own_name").details
      assert.equal("1", details.n)
      assert.is_nil(details.reason)
      assert.is_nil(details.step)
    end)

    it("is made to fit what AWS takes", function()
      local details = ends("newline").details
      assert.equal("a b c", details.text)
      assert.equal("-", details.empty)
    end)
  end)

  it("gives a failed step's error to the handler, which may go on", function()
    local details = ends("caught_step").details
    assert.equal("false", details.ok)
    assert.equal("broken", details.why)
  end)

  it("gives a step's result as the journal gives it back", function()
    local details = ends("json").details
    assert.equal("integer", details.n)
    assert.equal("2", details.list)
    assert.equal("x", details.s)
  end)

  it("gives nil for a step without a result", function()
    assert.equal("nil", ends("no_result").details.kind)
  end)

  it("starts its programs in its directory, unless told otherwise", function()
    local details = ends("cwd").details
    assert.equal("true", details.at_home)
    assert.equal("/ ", details.root)
  end)

  it("has a directory of its own, removed at the end", function()
    local execution, id = ends("dir")
    assert.equal("directory", execution.details.there)
    assert.equal("mine", execution.details.note) -- relative names belong to it
    assert.equal("true", execution.details.pwd)
    assert.matches("/gw%-1@job", execution.details.dir) -- another thing's has another name
    for _, name in ipairs(assert(fs.list(gateway.dir .. "/data/work"))) do
      assert.is_nil(name:find(id, 1, true))
    end
  end)

  it("has its directory from when it first asks for it: one that never does costs none", function()
    local function waits(thing, operation)
      local slow = world:gateway({ thing = thing, scripts = SCRIPTS })
      world:create("waits-" .. thing, ('{"operation":"%s"}'):format(operation), thing)
      local progress = wait_until(function()
        return world:describe("waits-" .. thing, thing).details.progress
      end, worlds.PATIENCE, "progress")
      local names = assert(fs.list(slow.dir .. "/data/work"))
      local made = progress:match("/.*$")
      local there = made and fs.stat(made)
      slow:kill()
      return #names, there and there.type
    end
    assert.same({ 0, nil }, { waits("gw-3", "wait") })
    assert.same({ 1, "directory" }, { waits("gw-4", "needs-dir") })
  end)

  it("lets the keep-alive and the log go on while a handler computes", function()
    assert.equal("SUCCEEDED", run('{"operation":"spin"}').status)
    assert.equal(0, gateway:count("conn.lost"))
  end)

  describe("a document", function()
    local function rejected(document, code, reason)
      local execution = run(document)
      assert.equal("REJECTED", execution.status, document)
      assert.equal(code, execution.details.code, document)
      assert.matches(reason, execution.details.reason)
      assert.equal(2, execution.versionNumber) -- never started
    end

    it("that no handler knows is REJECTED, naming it", function()
      rejected('{"operation":"frobnicate"}', "NO_HANDLER",
        'no handler for operation "frobnicate": there is no frobnicate%.lua in ')
    end)

    it("that can never work is REJECTED before it was started, naming the member "
      .. "(field failures 14, 26)", function()
      rejected('{"a":1}', "BAD_DOCUMENT", "the document names no handler")
      rejected('{"operation":"../greet"}', "BAD_DOCUMENT", "expected the name of a handler")
      rejected('{"operation":"greet"}', "BAD_DOCUMENT", "^args.name: expected string, got nothing")
      rejected('{"operation":"greet","name":7}', "BAD_DOCUMENT",
        "^args.name: expected string, got number 7$")
      rejected('{"operation":"greet","name":""}', "BAD_DOCUMENT", "^args.name: expected string")
      rejected('{"operation":"greet","name":"${aws:iot:s3-presigned-url:x}"}', "BAD_DOCUMENT",
        "^document%.name: the placeholder")
    end)

    it("of strings is read as args says, from args_at's member (field failure 26)", function()
      local execution = run('{"operation":"typed","n":1,"parameters":'
        .. '{"n":"1.5","i":"7","b":"false","s":""}}')
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("2.5", execution.details.n)
      assert.equal("integer", execution.details.i)
      assert.equal("true", execution.details.b)
      assert.equal("nil", execution.details.s)
      execution = run('{"operation":"typed","parameters":{"n":"1","i":"2","b":"true","s":"x"}}')
      assert.equal("false", execution.details.b)
      assert.equal("string", execution.details.s)
      local function refused(parameters, reason)
        rejected(('{"operation":"typed","parameters":%s}'):format(parameters), "BAD_DOCUMENT",
          reason)
      end
      refused("7", "^args: expected object, got 7 %(args: the document's member 'parameters'%)")
      refused('{"n":"x","i":1,"b":true}', "^args%.n: expected number, got string \"x\"")
      refused('{"n":1,"i":1.5,"b":true}', "^args%.i: expected integer, got number 1.5")
      refused('{"n":1,"i":1,"b":"yes"}', "^args%.b: expected boolean, got string \"yes\"")
      refused('{"n":1,"i":1,"b":true,"l":{"a":1}}', "^args%.l: expected list, got an object")
    end)

    it("whose handler is broken FAILS with file and line: it may work once mended", function()
      local execution = run('{"operation":"broken"}')
      assert.equal("FAILED", execution.status)
      assert.equal("HANDLER_BROKEN", execution.details.code)
      assert.matches("broken%.lua:2: ", execution.details.reason)
    end)
  end)

  describe("AWS's steps", function()
    local function steps(command, more)
      return ([[{"version":"1.0","includeStdOut":"true","steps":[{"action":{"name":"Run-Command",
        "type":"runCommand","input":{"command":"%s"},"runAsUser":""%s}}]}]]):format(command,
        more or "")
    end

    it("run a command without a shell", function()
      local execution = run(steps([[echo,hello\\, world,$HOME]]))
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("hello, world $HOME ", execution.details.stdout)
    end)

    it("fail with how the command ended and the tail of its errors", function()
      local execution = run(steps("sh,-c,echo oops >&2; exit 3"))
      assert.equal("FAILED", execution.status)
      assert.equal("step 'Run-Command': sh: exit code 3: oops", execution.details.reason)
      assert.equal("oops ", execution.details.stderr)
      assert.equal("EXIT_CODE", execution.details.code)
      assert.equal("1 Run-Command", execution.details.step)
      local details = run(steps("sh,-c,kill -9 $$")).details
      assert.matches("killed by signal 9", details.reason)
      assert.equal("SIGNAL", details.code)
      details = run(steps("not-there,x")).details
      assert.matches("step 'Run%-Command': not%-there: not found", details.reason)
      assert.equal("NOT_STARTED", details.code)
    end)

    it("may have names of any length and content", function()
      local document = steps("echo,x"):gsub("Run%-Command", "a\\n" .. ("é"):rep(100))
      local execution = run(document)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    end)

    it("go on after a failure that is to be ignored", function()
      assert.equal("SUCCEEDED", run(steps("false", ',"ignoreStepFailure":"true"')).status)
      assert.equal("FAILED", run(steps("false")).status)
    end)

    it("keep the end of what was printed, from a whole character on", function()
      local details = run(steps("sh,-c,for i in $(seq 700); do printf é; done")).details
      assert.equal("[cut 440 bytes] " .. ("é"):rep(480), details.stdout)
    end)

    it("fail when there are more lines on standard error than allowed", function()
      local two = "sh,-c,echo a >&2; echo b >&2"
      assert.equal("SUCCEEDED", run(steps(two, ',"allowStdErr":2')).status)
      assert.equal("step 'Run-Command': sh: 2 lines on standard error, allowed are 1",
        run(steps(two, ',"allowStdErr":1')).details.reason)
    end)

    it("end with finalStep, and report standard output only when asked to", function()
      local execution = run([[{"version":"1.0",
        "steps":[{"action":{"name":"a","type":"runCommand","input":{"command":"echo,one"}}}],
        "finalStep":{"action":{"name":"z","type":"runCommand","input":{"command":"false"}}}}]])
      assert.equal("step 'z': false: exit code 1", execution.details.reason)
      execution = run([[{"version":"1.0","steps":[
        {"action":{"name":"a","type":"runCommand","input":{"command":"echo,one"}}}]}]])
      assert.equal("SUCCEEDED", execution.status)
      assert.is_nil(execution.details.stdout)
    end)

    it("are refused when the program is not allowed, naming the key to set", function()
      local execution = run(steps("rm,-rf,/"))
      assert.equal("REJECTED", execution.status)
      assert.matches("'rm' is not allowed.*commands = { allow", execution.details.reason)
    end)

    it("are refused when a member is missing, naming it", function()
      local execution = run('{"version":"1.0","steps":[{"action":{"name":"x"}}]}')
      assert.equal("REJECTED", execution.status)
      assert.matches("steps%[1%]%.action%.type", execution.details.reason)
      assert.matches('^version: expected "1.0", got "2.0"',
        run('{"version":"2.0","steps":[{}]}').details.reason)
      assert.matches('runAsUser: .*no user "nobody%-of%-this%-name"',
        run((steps("echo,x"):gsub('"runAsUser":""', '"runAsUser":"nobody-of-this-name"')))
          .details.reason)
    end)
  end)

  it("created while the gateway is away is found when it comes", function()
    world:create("early", '{"operation":"greet","name":"x"}', "gw-3")
    world:gateway({ thing = "gw-3", scripts = SCRIPTS })
    assert.equal("SUCCEEDED", world:ended("early", "gw-3").status)
  end)

  it("of many waiting ones runs in order, each once", function()
    for i = 1, 10 do
      world:create("many-" .. i, '{"operation":"three"}')
    end
    for i = 1, 10 do
      assert.equal("SUCCEEDED", world:ended("many-" .. i).status)
      assert.equal(1, world:terminal_updates("many-" .. i))
    end
  end)

  it("whose id was used before, after a deletion, is another one", function()
    local first = ends("dir")
    assert.equal("SUCCEEDED", first.status)
    world:create("again", '{"operation":"greet","name":"1"}')
    local before = world:ended("again")
    wait_until(function() return os.time() > before.queuedAt end, 5, "another second")
    world:control("delete_job", "again", true, os.time())
    world:create("again", '{"operation":"greet","name":"2"}')
    wait_until(function() return world:describe("again").details.greeting == "hello 2" end,
      worlds.PATIENCE, "the second life of the job id")
  end)
end)
