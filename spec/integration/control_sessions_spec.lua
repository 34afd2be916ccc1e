-- `repl` and `dap` on the control socket: the connection becomes a session, whose Lua runs in the
-- gateway. What is served here is a spec's own server; the real ones have specs of their own.

local exec = require("hob.exec")
local json = require("hob.json")
local sessions = require("spec.support.sessions")
local sockets = require("hob.local")
local tellings = require("spec.support.telling")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local SCRIPTS = setmetatable({
  ["asks.lua"] = [[
    return { api = 1, run = function()
      local found = {}
      for _, name in ipairs({ "hob.console", "hob.console.core", "hob.debug" }) do
        found[#found + 1] = tostring((pcall(require, name)))
      end
      return { found = table.concat(found, " ") }
    end }
  ]],
}, { __index = tellings.SCRIPTS })
for name, text in pairs(tellings.SCRIPTS) do
  SCRIPTS[name] = text
end

describe("a session on the control socket", function()
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

  local function start(servers)
    gateway = world:gateway({ scripts = SCRIPTS,
      env = { HOB_LIB_DIR = sessions.lib(world, servers or { repl = sessions.ECHO,
        dap = sessions.ECHO }) } })
    telling.gateway = gateway
    gateway:wait_event("jobs.subscribed")
    path = gateway.dir .. "/data/hob.sock"
  end

  local function connect()
    local connection = assert(sockets.connect(path))
    open[#open + 1] = connection
    return connection
  end

  local function send(connection, text)
    assert(connection:send(text .. "\n"))
    return connection:read_line(PATIENCE)
  end

  local function begin(kind)
    local connection = connect()
    local line = assert(json.decode(assert(send(connection,
      ('{"command":"%s","id":1}'):format(kind or "repl")))))
    assert.same({ id = 1, session = kind or "repl", ["end"] = true }, line)
    return connection
  end

  local function jobs_work(job)
    telling:create("quick", nil, job)
    assert.equal("SUCCEEDED", world:ended(job or "job").status)
  end

  for _, kind in ipairs({ "repl", "dap" }) do
    it("gives the connection's bytes to hob." .. kind .. ".server, and logs it", function()
      start()
      local connection = begin(kind)
      assert.equal("hello there", send(connection, "say hello there"))
      local me = ("process %d of "):format(require("hob.process").pid())
      assert.matches(me .. "%S+: " .. kind, gateway:wait_event("session.begun").msg)
      assert.equal("left", send(connection, "leave"))
      assert.is_nil((connection:read_line(PATIENCE)))
      assert.matches(me, gateway:wait_event("session.ended").msg)
    end)
  end

  it("takes what came behind the request as the session's first bytes", function()
    start()
    local connection = connect()
    assert(connection:send('{"command":"repl"}\nsay one\nsay t'))
    assert.matches('"session":"repl"', connection:read_line(PATIENCE))
    assert.equal("one", connection:read_line(PATIENCE))
    assert.equal("two", send(connection, "wo"))
  end)

  it("knows who is at the other end", function()
    start()
    local user = exec.check({ "id", "-un" }).stdout:gsub("\n", "")
    local uid = exec.check({ "id", "-u" }).stdout:gsub("\n", "")
    local pid = require("hob.process").pid()
    assert.equal(("process %d of %s %d %s %s"):format(pid, user, pid, uid, user),
      send(begin(), "who"))
  end)

  it("can ask for every command, as a client of the socket can", function()
    start()
    local connection = begin()
    assert.equal(("0 lines, pid %d"):format(gateway.process:pid()),
      send(connection, "ask version"))
    assert.matches("^%d+ lines, pid %d+$", send(connection, "ask status"))
    assert.matches("^ENOENT", send(connection, "ask nonsense"))
    assert.matches("^EINVAL", send(connection, "ask repl"))
    assert.equal("still here", send(connection, "say still here"))
    send(connection, "ask reload")
    assert.matches("reload", gateway:wait_event("control.command").msg)
  end)

  it("can follow what goes on, and stop that", function()
    start()
    local connection = begin()
    assert.equal("following", send(connection, "follow jobs"))
    jobs_work("one")
    assert.equal("seen one", connection:read_line(PATIENCE))
    assert(connection:send("unfollow\n"))
    local line
    repeat
      line = connection:read_line(PATIENCE)
    until line ~= "seen one"
    assert.equal("closed", line)
    jobs_work("two")
    assert.equal("nothing came", send(connection, "say nothing came"))
    assert.matches("^ENOENT", send(connection, "follow nonsense"))
  end)

  it("reads with a time limit, and hears that the other end has said all", function()
    start()
    local connection = begin()
    assert.equal("ETIMEDOUT", send(connection, "read 0.01"))
    connection:finish()
    assert.equal("bye: EOF", connection:read_line(PATIENCE))
    gateway:wait_event("session.ended")
  end)

  it("has modules that handlers do not have", function()
    start()
    local connection = begin()
    assert.equal("table", send(connection, "require hob.console"))
    assert.equal("table", send(connection, "require hob.fs"))
    telling:create("asks")
    assert.equal("false false false", world:ended("job").details.found)
  end)

  it("that computes for ever delays no job, and goes with its connection", function()
    start()
    local connection = begin()
    assert(connection:send("spin\n"))
    jobs_work()
    connection:close()
    gateway:wait_event("session.ended")
    jobs_work("another")
  end)

  it("that computes for ever and was half closed goes when the client goes", function()
    start()
    local connection = begin()
    assert(connection:send("spin\n"))
    connection:finish()
    jobs_work()
    assert.equal(0, gateway:count("session.ended"))
    connection:close()
    gateway:wait_event("session.ended")
  end)

  for what, case in pairs({
    ["an error"] = { "fail why", "^on purpose: why$" },
    ["an error in a callback"] = { "later why", "later: why" },
    ["too much memory"] = { "eat", "32 MB" },
  }) do
    it("ends with a line that says so after " .. what .. ", and jobs go on", function()
      start()
      local connection = begin()
      assert(connection:send(case[1] .. "\n"))
      local line = connection:read_line(PATIENCE)
      while line and line:sub(1, 1) ~= "{" do
        line = connection:read_line(PATIENCE)
      end
      local last = assert(json.decode(line))
      assert.equal("EHANDLER", last.error.code)
      assert.matches(case[2], last.error.message)
      assert.is_true(last["end"])
      assert.is_nil((connection:read_line(PATIENCE)))
      local event = gateway:wait_event("session.failed", { code = "EHANDLER" })
      assert.matches("process %d+ of %S+, repl: ", event.msg)
      jobs_work()
    end)
  end

  it("says what is wrong when its server cannot be loaded", function()
    start({ repl = "return {", dap = "return {}" })
    local connection = connect()
    assert.matches('"session":"repl"', send(connection, '{"command":"repl"}'))
    assert.matches("server.lua:1:", json.decode(connection:read_line(PATIENCE)).error.message)
    jobs_work()
  end)

  it("that writes to a client that does not read is closed", function()
    start()
    local deaf = assert(exec.spawn({ worlds.hob(), "lua", "-e", ([[
      local connection = require("hob.local").connect(%q)
      connection:send('{"command":"repl"}\nflood\n')
      while true do require("hob.time").sleep(60) end
    ]]):format(path) }))
    gateway:wait_event("control.client_slow")
    gateway:wait_event("session.ended")
    deaf:kill("KILL")
    deaf:wait(PATIENCE)
    jobs_work()
  end)

  it("has its programs ended with it", function()
    start()
    local connection = begin()
    assert.equal("started", send(connection, "child"))
    local function children()
      return exec.run({ "pgrep", "-P", tostring(gateway.process:pid()), "sleep" }).stdout
    end
    local pid = tonumber(children())
    assert.is_number(pid)
    connection:close()
    wait_until(function()
      return children() == ""
    end, PATIENCE, "the end of the program")
  end)

  it("is one of at most eight at once", function()
    start()
    local all = {}
    for i = 1, 8 do
      all[i] = begin()
    end
    local answer = json.decode(send(connect(), '{"command":"dap"}'))
    assert.equal("EBUSY", answer.error.code)
    assert.matches("8 sessions", answer.error.message)
    assert.equal("left", send(all[1], "leave"))
    gateway:wait_event("session.ended")
    assert.equal("in", send(begin(), "say in"))
  end)

  it("is refused for a thing that this gateway does not have", function()
    start()
    local connection = connect()
    local answer = json.decode(send(connection, '{"command":"repl","thing":"nobody"}'))
    assert.equal("ENOENT", answer.error.code)
    assert.matches("nobody", answer.error.message)
    assert.matches('"session"', send(connection, '{"command":"repl","thing":"gw-1"}'))
  end)

  it("ends when Hob stops, and says so", function()
    start()
    local connection = begin()
    gateway.process:kill("TERM")
    local last = json.decode(connection:read_line(PATIENCE))
    assert.matches("hob is stopping", last.error.message)
    assert.equal(0, gateway:wait_end().code)
  end)
end)
