-- The control socket of a running gateway, seen by well-behaved clients and by others.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local sockets = require("hob.local")
local tellings = require("spec.support.telling")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

describe("the control socket", function()
  local telling, world, gateway, path, open

  before_each(function()
    telling = tellings.new()
    world = telling.world
    open = {}
  end)
  after_each(function()
    for _, connection in ipairs(open) do
      connection:close()
    end
    telling:stop()
  end)

  local function start(options)
    gateway = telling:start(options)
    path = gateway.dir .. "/data/hob.sock"
  end

  local function connect(to)
    local connection = assert(sockets.connect(to or path))
    open[#open + 1] = connection
    return connection
  end

  local function read(connection)
    local line, why = connection:read_line(PATIENCE)
    return line and assert(json.decode(line)), why
  end

  -- All lines of the next answer.
  local function answer(connection)
    local lines = {}
    repeat
      local line, why = read(connection)
      assert(line, why)
      lines[#lines + 1] = line
    until line["end"]
    return lines
  end

  local function ask(text, connection)
    connection = connection or connect()
    assert(connection:send(text))
    return answer(connection)
  end

  local function jobs_work()
    world:create("works", '{"operation":"quick"}')
    assert.equal("SUCCEEDED", world:ended("works").status)
  end

  it("tells its version and its protocol", function()
    start()
    local line = ask('{"command":"version"}\n')[1]
    assert.equal(gateway.process:pid(), line.pid)
    assert.equal(1, line.protocol)
    assert.matches("^%d+%.%d+%.%d+$", line.version)
  end)

  it("tells what is in hand: id, number, state, step, handler, attempt", function()
    start()
    local go = world:path("go")
    telling:create("report", go)
    gateway:wait_event("job.started")
    local lines = ask('{"command":"jobs"}\n')
    local job = lines[1].job
    assert.equal("job", job.jobId)
    assert.equal("gw-1", job.thing)
    assert.equal(1, job.executionNumber)
    assert.equal("running", job.state)
    assert.equal(1, job.attempt)
    assert.matches("^report@%x+$", job.handler)
    local thing = lines[2].things[1]
    assert.is_true(thing.forSeconds >= 0)
    thing.forSeconds = nil
    assert.same({ { thing = "gw-1", online = true, untold = 0 } }, lines[2].things)
  end)

  it("gives each line of an answer the id of its request, and answers in order", function()
    start()
    local connection = connect()
    assert(connection:send('{"id":7,"command":"jobs"}\n{"id":"a\\"b","command":"version"}\n{}\n'))
    assert.equal(7, answer(connection)[1].id)
    assert.equal('a"b', answer(connection)[1].id)
    assert.equal("EINVAL", answer(connection)[1].error.code)
  end)

  it("takes a request that comes in pieces", function()
    start()
    local connection = connect()
    for piece in ('{"command":"version"}'):gmatch("...") do
      assert(connection:send(piece))
      ask('{"command":"version"}\n') -- so that the pieces are not put together on the way
    end
    assert.equal(1, ask("\n", connection)[1].protocol)
  end)

  describe("answers with an error object, and goes on, to", function()
    for what, case in pairs({
      ["garbage"] = { "\1\2\255 what\n", "EJSON" },
      ["an empty line"] = { "\n", "EJSON" },
      ["a list"] = { "[]\n", "EJSON" },
      ["a number"] = { "17\n", "EJSON" },
      ["deep nesting"] = { ("["):rep(5000) .. "\n", "EJSON" },
      ["a command of another type"] = { '{"command":7}\n', "EINVAL" },
      ["an unknown command"] = { '{"command":"explode"}\n', "ENOENT" },
      ["an unknown member"] = { '{"command":"jobs","histroy":true}\n', "EINVAL" },
      ["a limit out of range"] = { '{"command":"jobs","history":true,"limit":0}\n', "EINVAL" },
      ["an id that is none"] = { '{"id":{},"command":"jobs"}\n', "EINVAL" },
      ["an id that is too long"] = { ('{"id":"%s","command":"jobs"}\n'):format(("x"):rep(500)),
        "EINVAL" },
    }) do
      it(what, function()
        start()
        local connection = connect()
        local line = ask(case[1], connection)[1]
        assert.equal(case[2], line.error.code)
        assert.is_true(#line.error.message > 10)
        assert.equal(1, ask('{"command":"version"}\n', connection)[1].protocol)
      end)
    end
  end)

  it("takes each member only as what it is to be", function()
    start()
    local connection = connect()
    for _, request in ipairs({
      '"command":"jobs","history":1', '"command":"jobs","history":"yes"',
      '"command":"jobs","follow":null', '"command":"jobs","history":true,"limit":"5"',
      '"command":"jobs","history":true,"limit":1.5', '"command":"jobs","history":true,"before":{}',
      '"command":"log","lines":1e300', '"command":"log","jobId":["a"]',
      '"command":"log","jobId":"a\\u0000"',
      '"command":"journal","jobId":"a","thing":7', '"command":"metrics","from":"0"',
      '"command":"cancel","jobId":7', '"command":"retry-report","jobId":true',
      '"command":"version\\u0000"', '"command":"version","id":1.5', '"command":"version","id":null',
      '"command":"version","id":"a\\nb"',
      ('"command":"version","id":"%s"'):format(("x"):rep(65)),
    }) do
      local line = ask("{" .. request .. "}\n", connection)[1]
      assert.equal("EINVAL", (line.error or {}).code, request)
      assert.matches("expected ", line.error.message)
    end
    local id = ('"'):rep(64)
    assert.equal(id, ask(json.encode({ command = "version", id = id }) .. "\n", connection)[1].id)
  end)

  it("answers to half a line with an error object, and closes", function()
    start()
    local connection = connect()
    assert(connection:send('{"command":"version"}\n{"command"'))
    connection:finish()
    assert.equal(1, answer(connection)[1].protocol)
    assert.matches("end of line", answer(connection)[1].error.message)
    assert.is_nil((read(connection)))
  end)

  it("refuses a line of more than 64 KB, and closes", function()
    start()
    local connection = connect()
    assert(connection:send(('{"command":"%s'):format(("x"):rep(70000))))
    assert.equal("EMSGSIZE", answer(connection)[1].error.code)
    assert.is_nil((read(connection)))
    jobs_work()
  end)

  it("serves many clients at once, but not any number", function()
    start()
    local many = {}
    for i = 1, 64 do
      many[i] = connect()
    end
    for _, connection in ipairs(many) do
      assert.equal(1, ask('{"command":"version"}\n', connection)[1].protocol)
    end
    assert.equal("EBUSY", answer(connect())[1].error.code)
    many[1]:close()
    table.remove(open, 1)
    wait_until(function()
      local connection = connect()
      connection:send('{"command":"version"}\n')
      return answer(connection)[1].protocol
    end, PATIENCE, "a free place")
  end)

  it("closes a client that asks and does not read; jobs go on meanwhile", function()
    start({ config = { messages_per_minute = 0 } })
    telling:fill(250)
    gateway:launch()
    gateway:wait_event("job.report_refused", {}, 250)
    local request = '{"command":"jobs","history":true,"limit":250}\n'
    local deaf = assert(exec.spawn({ worlds.hob(), "lua", "-e", ([[
      local connection = require("hob.local").connect(%q)
      connection:send((%q):rep(100))
      require("hob.process").on_signal("TERM", function() os.exit(0) end)
      -- what comes is taken up to 8 MB, then no more
      while true do require("hob.time").sleep(60) end
    ]]):format(path, request) }))
    gateway:wait_event("control.client_slow")
    jobs_work()
    deaf:kill("KILL")
    deaf:wait(PATIENCE)
    assert.equal(1, ask('{"command":"version"}\n')[1].protocol)
  end)

  it("is not hurt by a client that goes away in the middle of an answer", function()
    start()
    for _ = 1, 20 do
      local connection = assert(sockets.connect(path))
      connection:send(('{"command":"jobs","history":true}\n'):rep(50))
      connection:close()
    end
    jobs_work()
    assert.equal(1, ask('{"command":"version"}\n')[1].protocol)
  end)

  it("lets nobody else in: mode 0600 in a directory of mode 0700", function()
    start()
    assert.equal("600 socket\n700 directory\n",
      exec.check({ "stat", "-c", "%a %F", path, gateway.dir .. "/data" }).stdout)
  end)

  it("refuses another user, though the file's mode would let him in", function()
    if exec.check({ "id", "-u" }).stdout ~= "0\n" then
      return pending("needs root, to be somebody else")
    end
    start()
    exec.check({ "chmod", "0777", world.dir, gateway.dir, gateway.dir .. "/data", path })
    local result = exec.run({ "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
      world:open_hob(), "lua", "-e", ([[
        local connection = assert(require("hob.local").connect(%q))
        print(connection:read_line(10))
      ]]):format(path) })
    assert.matches("only root and the user", result.stdout .. result.stderr)
    gateway:wait_event("control.refused", { code = "EACCES" })
  end)

  it("replaces what a dead process left, and is removed at an end in order", function()
    start()
    gateway:kill()
    assert.is_truthy(fs.stat(path))
    assert.equal("EREFUSED", select(3, sockets.connect(path)))
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    assert.equal(1, ask('{"command":"version"}\n')[1].protocol)
    assert.equal(0, gateway:stop())
    assert.is_nil(fs.stat(path))
    assert.equal("ENOENT", select(3, sockets.connect(path)))
  end)

  it("leaves a file alone that is no socket: jobs are done without it", function()
    start()
    assert.equal(0, gateway:stop())
    assert(fs.write(path, "mine"))
    gateway:launch()
    local event = gateway:wait_event("control.failed")
    assert.matches("no socket", event.msg)
    jobs_work()
    assert.equal("mine", fs.read(path))
  end)

  it("works below a path that is longer than the kernel takes", function()
    local deep = world.dir .. ("/a-long-name-of-a-directory"):rep(6)
    assert(fs.mkdir(deep))
    start({ config = { data = deep .. "/data" } })
    path = deep .. "/data/hob.sock"
    assert.is_true(#path > 150)
    assert.equal(1, ask('{"command":"version"}\n')[1].protocol)
    gateway:kill()
    gateway:launch()
    gateway:wait_event("jobs.subscribed", {}, 2)
    assert.equal(1, ask('{"command":"version"}\n')[1].protocol)
  end)

  it("answers while Hob is stopping and a job has its grace", function()
    start({ config = { stop_grace = 20, stop_timeout = 20 } })
    local go = world:path("go")
    telling:create("report", go)
    gateway:wait_event("job.started")
    gateway.process:kill("TERM")
    gateway:wait_event("hob.stopping")
    assert.equal("job", ask('{"command":"jobs"}\n')[1].job.jobId)
    exec.check({ "touch", go })
    assert(gateway.process:wait(PATIENCE))
    gateway.process = nil
  end)
end)
