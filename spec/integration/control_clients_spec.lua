-- Many clients of the control socket, and bad ones: jobs are done meanwhile, and nothing is left of
-- them afterwards.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local shim = require("spec.support.shim")
local sockets = require("hob.local")
local tellings = require("spec.support.telling")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local SCRIPTS = {
  -- Prints until the file `go` is there.
  ["chatty.lua"] = [[
    local exec, fs = require("hob.exec"), require("hob.fs")
    return { api = 1, args = { go = "string" }, run = function(job, args)
      while not fs.stat(args.go) do
        exec.run({ "sh", "-c", "head -c 262144 /dev/zero | tr '\\0' x" })
      end
    end }
  ]],
}
for name, text in pairs(tellings.SCRIPTS) do
  SCRIPTS[name] = text
end

describe("clients of the control socket:", function()
  local telling, world, gateway, path, open

  before_each(function()
    telling = tellings.new()
    world = telling.world
    gateway = telling:start({ scripts = SCRIPTS })
    path = gateway.dir .. "/data/hob.sock"
    open = {}
  end)
  after_each(function()
    for _, connection in ipairs(open) do
      connection:close()
    end
    telling:stop()
  end)

  local function connect()
    local connection = assert(sockets.connect(path))
    open[#open + 1] = connection
    return connection
  end
  local function read(connection)
    return assert(json.decode(assert(connection:read_line(PATIENCE))))
  end
  -- The last line of an answer, and how many came before it.
  local function last(connection, id)
    local count = 0
    while true do
      local line = read(connection)
      if line["end"] and line.id == id then
        return line, count
      end
      count = count + 1
    end
  end
  local function close_all()
    for _, connection in ipairs(open) do
      connection:close()
    end
    open = {}
  end
  local function jobs_work(job)
    telling:create("quick", nil, job)
    assert.equal("SUCCEEDED", world:ended(job).status)
  end
  local function descriptors()
    return #exec.check({ "ls", ("/proc/%d/fd"):format(gateway.process:pid()) }).stdout:gsub(
      "[^\n]", "")
  end
  local function resident()
    local statm = exec.check({ "cat", ("/proc/%d/statm"):format(gateway.process:pid()) }).stdout
    return tonumber(statm:match("^%d+ (%d+)")) * 4096
  end

  it("fifty at once are all answered, and follow the jobs that are done meanwhile", function()
    local all = {}
    for i = 1, 50 do
      all[i] = connect()
      assert(all[i]:send(('{"command":"jobs","follow":true,"id":"f%d"}\n'):format(i)))
    end
    jobs_work("meanwhile")
    for i, connection in ipairs(all) do
      assert(connection:send(('{"command":"status","id":%d}\n{"command":"stop","id":"f%d"}\n')
        :format(i, i)))
    end
    for i, connection in ipairs(all) do
      local line = read(connection)
      local seen = false
      while line.id == "f" .. i do
        seen = seen or (line.job or line.ended or line.gone or {}).jobId == "meanwhile"
        line = read(connection)
      end
      assert.is_true(seen, "client " .. i .. " has not seen the job")
      while not line["end"] do
        assert.equal(i, line.id)
        line = read(connection)
      end
      assert.equal(gateway.process:pid(), line.pid)
      assert.is_true(last(connection, "f" .. i)["end"])
    end
  end)

  it("garbage and half lines of many hurt nobody else", function()
    local go = world:path("go")
    telling:create("report", go)
    gateway:wait_event("job.started")
    math.randomseed(20261123)
    for i = 1, 40 do
      local connection = connect()
      local bytes = {}
      for j = 1, 3000 do
        bytes[j] = string.char(math.random(0, 255))
      end
      local text = table.concat(bytes)
      connection:send(i % 4 == 0 and text or i % 4 == 1 and '{"command":"jobs"' or
        i % 4 == 2 and ('{"command":"jobs","follow":true}\n' .. text) or
        '{"command":"repl"}\n' .. text)
    end
    local good = connect()
    assert(good:send('{"command":"jobs","id":1}\n'))
    local line, count = last(good, 1)
    assert.equal(1, count)
    assert.is_true(line.things[1].online)
    exec.check({ "touch", go })
    assert.equal("SUCCEEDED", world:ended("job").status)
    close_all()
  end)

  it("one that follows and never reads is closed; the others get every line", function()
    local go = world:path("go")
    telling:create("chatty", go, "chatty")
    gateway:wait_event("job.started")
    local follow = '{"command":"log","jobId":"chatty","follow":true}\n'
    local deaf, ready
    deaf = assert(exec.spawn({ worlds.hob(), "lua", "-e", ([[
      local connection = require("hob.local").connect(%q)
      connection:send(%q)
      assert(connection:read_line(%d))
      io.stdout:write("ready\n") io.stdout:flush()
      while true do connection:read_line(60) end
    ]]):format(path, follow, PATIENCE), on_line = function()
      ready = true
    end }))
    wait_until(function() return ready end, PATIENCE, "the deaf client")
    deaf:kill("STOP") -- else what comes would be taken for it
    local good = connect()
    assert(good:send(follow))
    local lines, closed = 0, false
    gateway.on_event = function(event)
      closed = closed or event.event == "control.client_slow"
    end
    repeat
      assert(good:read_line(PATIENCE))
      lines = lines + 1
    until closed
    assert.is_true(lines > 100)
    exec.check({ "touch", go })
    assert.equal("SUCCEEDED", world:ended("chatty").status)
    deaf:kill("KILL")
    deaf:wait(PATIENCE)
    assert.equal(1, gateway:count("control.client_slow"))
  end)

  it("those that are killed in the middle leave nothing behind, and jobs go on", function()
    local go = world:path("go")
    telling:create("report", go)
    gateway:wait_event("job.started")
    local before = descriptors()
    local clients = {}
    for i, request in ipairs({ '{"command":"repl"}', '{"command":"dap"}', '{"command":"repl"}',
      '{"command":"jobs","follow":true}', '{"command":"log","jobId":"job","follow":true}' }) do
      clients[i] = assert(exec.spawn({ worlds.hob(), "lua", "-e", ([[
        local connection = require("hob.local").connect(%q)
        connection:send(%q)
        assert(connection:read_line(%d))
        io.stdout:write("ready\n") io.stdout:flush()
        while true do connection:read_line(60) end
      ]]):format(path, request .. "\n", PATIENCE), on_line = function()
        clients[i].ready = true
      end }))
    end
    wait_until(function()
      return gateway:count("session.begun") == 3
    end, PATIENCE, "the sessions")
    for _, client in ipairs(clients) do
      client:kill("KILL")
      client:wait(PATIENCE)
    end
    wait_until(function()
      return gateway:count("session.ended") == 3 and descriptors() == before
    end, PATIENCE, "the end of the sessions")
    exec.check({ "touch", go })
    assert.equal("SUCCEEDED", world:ended("job").status)
    assert.equal(0, gateway:stop()) -- a sanitizer sees what is used after its end
  end)

  it("two hundred connections with sessions leave memory and descriptors as they were", function()
    local began = 0
    local function cycle(i)
      local connection = assert(sockets.connect(path))
      local kind = i % 2 == 0 and "repl" or "dap"
      assert(connection:send(('{"command":"status"}\n{"command":"%s"}\n'):format(kind)))
      repeat
        local line = connection:read_line(PATIENCE)
      until line:find('"session"', 1, true)
      began = began + 1
      connection:close()
      wait_until(function()
        return gateway:count("session.ended") >= began
      end, PATIENCE, "the end of session " .. began)
    end
    for i = 1, 50 do
      cycle(i)
    end
    local memory, files = resident(), descriptors()
    for i = 1, 200 do
      cycle(i)
      if i % 50 == 0 then
        jobs_work("job-" .. i)
      end
    end
    wait_until(function()
      return descriptors() <= files
    end, PATIENCE, "the descriptors to be closed")
    local more = resident() - memory
    if not shim.is_sanitized() then -- which keeps for a while what was freed
      assert.is_true(more < 1536 * 1024, ("%d bytes more than after the first 50"):format(more))
    end
    assert.equal(0, gateway:count("session.failed"))
    assert.equal(0, gateway:stop()) -- so that a sanitizer looks for what is left
  end)

  it("an unprivileged user is not let in", function()
    if exec.check({ "id", "-u" }).stdout ~= "0\n" then
      return pending("needs root, to be somebody else")
    end
    exec.check({ "chmod", "0755", world.dir })
    local bin = world:path("bin")
    exec.check({ "sh", "-c", [[mkdir -p "$1/a/b" && cp "$2" "$1/a/b/hob" && cp -r "$3" "$1/lib" &&
      chmod -R a+rX "$1"]], "sh", bin, worlds.hob(), "lib" })
    local function as_nobody(...)
      return exec.run({ "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
        bin .. "/a/b/hob", ..., })
    end
    for _, command in ipairs({ "status", "drain", "jobs" }) do
      local result = as_nobody(command, "--socket", path)
      assert.equal(1, result.code)
      assert.matches("only root and the user", result.stderr)
    end
    assert.equal(0, gateway:count("control.command"))
    assert.equal(0, gateway:count("control.refused")) -- the file's mode has kept him out
  end)

  describe("a request that goes on", function()
    it("ends with `stop`, whose answer is its last line", function()
      local connection = connect()
      assert(connection:send('{"command":"jobs","follow":true,"id":"x"}\n'))
      jobs_work("one")
      assert(connection:send('{"command":"stop","id":"x"}\n{"command":"version","id":2}\n'))
      assert.same({ id = "x", ["end"] = true }, (last(connection, "x")))
      assert.equal(2, read(connection).id)
      jobs_work("two")
      assert(connection:send('{"command":"version","id":3}\n'))
      assert.equal(3, read(connection).id)
    end)

    it("is one of at most sixteen of a connection, each with an id of its own", function()
      local connection = connect()
      for i = 1, 16 do
        assert(connection:send(('{"command":"jobs","follow":true,"id":%d}\n'):format(i)))
      end
      assert(connection:send('{"command":"jobs","follow":true,"id":17}\n'))
      assert.equal("EBUSY", last(connection, 17).error.code)
      assert(connection:send('{"command":"stop","id":3}\n'))
      assert.is_nil(last(connection, 3).error)
      assert(connection:send('{"command":"jobs","follow":true,"id":4}\n'))
      assert.equal("EEXIST", last(connection, 4).error.code)
      assert(connection:send('{"command":"stop","id":99}\n'))
      assert.equal("ENOENT", last(connection, 99).error.code)
    end)

    it("holds a session off: a connection is one or the other", function()
      local connection = connect()
      assert(connection:send('{"command":"jobs","follow":true,"id":1}\n'))
      assert(connection:send('{"command":"repl","id":2}\n'))
      assert.equal("EINVAL", last(connection, 2).error.code)
    end)
  end)

  it("what changes something is logged with who has asked for it", function()
    local connection = connect()
    assert(connection:send('{"command":"reload","id":1}\n'))
    last(connection, 1)
    local me = ("^process %d of %%S+: reload$"):format(require("hob.process").pid())
    assert.matches(me, gateway:wait_event("control.command").msg)
    assert(connection:send('{"command":"status","id":2}\n'))
    last(connection, 2)
    assert.equal(1, gateway:count("control.command"))
    assert.is_truthy(fs.stat(path))
  end)
end)
