-- A job of a gateway that a person holds: what the service hears of it, what goes on beside it, and
-- how a stop of Hob and a lost connection let it go. The session's server is this spec's own;
-- where a job stops and how it is held otherwise: spec/unit/debug_break_spec.lua and
-- debug_hold_spec.lua.

local fs = require("hob.fs")
local json = require("hob.json")
local sessions = require("spec.support.sessions")
local sockets = require("hob.local")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- A line is a request: { "method", arguments... }; each event, and each answer, is a line. "as"
-- begins anew under another name.
local SERVER = [==[
local debugger = require("hob.debug")
local json = require("hob.json")
local M = {}
function M.serve(transport)
  local function open(who)
    return debugger.open({ who = who, on_event = function(event)
      transport.write(json.encode(event) .. "\n")
    end })
  end
  local session = open(transport.who)
  local text = ""
  while true do
    local bytes = transport.read()
    if not bytes then return end
    text = text .. bytes
    for line in text:gmatch("([^\n]*)\n") do
      local words = json.decode(line)
      local result, message = true, nil
      if words[1] == "as" then
        session:close()
        session = open(words[2])
      else
        result, message = session[words[1]](session, table.unpack(words, 2))
      end
      transport.write(json.encode({ answer = result == nil and "no" or result, message = message })
        .. "\n")
    end
    text = text:match("[^\n]*$")
  end
end
return M
]==]

local SCRIPTS = {
  ["work.lua"] = "return { api = 1, timeout = 300, run = function(job)\n"
    .. "  local x = 40\n"
    .. "  job:break_here()\n"
    .. "  x = x + 2\n"
    .. "  return { x = tostring(x) }\n"
    .. "end }\n",
  ["later.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, timeout = 300, args = { go = "string" }, run = function(job, args)
      while not fs.stat(args.go) do job:sleep(0.01) end
      job:break_here()
    end }
  ]],
  ["other.lua"] = "return { api = 1, run = function() return { other = 'done' } end }\n",
}

describe("a job that a person looks into", function()
  local world, gateway, open

  before_each(function()
    world = worlds.start()
    open = {}
  end)
  after_each(function()
    for _, connection in ipairs(open) do
      connection:close()
    end
    world:stop()
  end)

  local function start(options)
    gateway = world:gateway({ scripts = SCRIPTS, flags = options and options.flags,
      config = { max_concurrent_jobs = 2, debug_hold = options and options.debug_hold or 900 },
      env = { HOB_LIB_DIR = sessions.lib(world, { repl = SERVER, dap = SERVER }) } })
    gateway:wait_event("jobs.subscribed")
  end

  -- Requests and events over a session of its own.
  local function connect()
    local connection = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
    open[#open + 1] = connection
    assert(connection:send('{"command":"dap"}\n'))
    assert.equal("dap", json.decode(assert(connection:read_line(PATIENCE))).session)
    local self = { events = {} }
    local function next_line()
      return json.decode(assert(connection:read_line(PATIENCE)))
    end
    function self.ask(...)
      assert(connection:send(json.encode({ ... }) .. "\n"))
      while true do
        local line = next_line()
        if line.answer ~= nil then
          return line.answer, line.message
        end
        self.events[#self.events + 1] = line
      end
    end
    function self.event(kind)
      for i, event in ipairs(self.events) do
        if event.event == kind then
          return table.remove(self.events, i)
        end
      end
      while true do
        local line = next_line()
        if line.event == kind then
          return line
        end
        self.events[#self.events + 1] = line
      end
    end
    function self.close()
      connection:close()
    end
    return self
  end

  local function hold()
    local client = connect()
    assert.is_true((client.ask("attach")) ~= "no")
    world:create("held", '{"operation":"work"}')
    local stop = client.event("stopped")
    assert.same({ "break_here", 3 }, { stop.reason, stop.line })
    return client, stop.thread
  end

  it("is told to the service with its step timer set anew, while other jobs go on", function()
    local minutes
    world:before(function(_, request)
      local progress = request.statusDetails and request.statusDetails.progress
      if progress and progress:find("held by the debugger at", 1, true) then
        minutes = request.stepTimeoutInMinutes
      end
    end)
    start()
    local client, thread = hold()
    wait_until(function()
      local told = world:describe("held")
      return told.details.progress and told.details.progress:find("work.lua:3", 1, true)
    end, PATIENCE, "the service to hear that it is held")
    assert.is_true(minutes >= 15 + 5, "the timer covers hold and handler: " .. tostring(minutes))
    world:create("beside", '{"operation":"other"}')
    assert.equal("SUCCEEDED", world:ended("beside").status)
    assert.equal("IN_PROGRESS", world:describe("held").status)
    assert.is_true(client.ask("continue", thread))
    assert.equal("42", world:ended("held").details.x)
    local who = gateway:wait_event("debug.attached").msg
    assert.matches("process %d+ of ", who)
    assert.equal("held", gateway:wait_event("debug.continued").job)
    assert.matches("process %d+ of ", gateway:wait_event("debug.held").msg)
  end)

  it("is logged with whoever asked for the stop, though another came later", function()
    start()
    local one, thread = hold()
    local two = connect()
    two.ask("attach") -- so that it stays held
    one.ask("as", "Ada")
    one.ask("attach")
    two.ask("as", "Bob")
    two.ask("attach")
    one.event("stopped")
    assert.is_true(one.ask("step", thread, "over"))
    assert.equal(4, one.event("stopped").line)
    assert.matches("%(step%) for Ada$", gateway:wait_event("debug.held", { job = "held" }, 2).msg)
    one.ask("breakpoints", gateway.dir .. "/scripts/work.lua", { { line = 5 } })
    assert.is_true(two.ask("continue", thread))
    assert.equal(5, one.event("stopped").line)
    assert.matches("%(breakpoint%) for Ada$",
      gateway:wait_event("debug.held", { job = "held" }, 3).msg)
    assert.is_true(two.ask("continue", thread))
    assert.equal("42", world:ended("held").details.x)
  end)

  it("has the text that it was begun with, also of a handler that AWS's document names", function()
    start()
    local client = connect()
    client.ask("attach")
    world:create("named", [[{ "version": "1.0", "steps": [
      { "action": { "name": "a", "type": "runHandler", "input": { "handler": "work.sh" } } }]}]])
    local stop = client.event("stopped")
    local path = gateway.dir .. "/scripts/work.lua"
    assert.same({ path, 3 }, { stop.file, stop.line })
    assert(fs.write(path, "return nil, 'another text'\n"))
    assert.equal(SCRIPTS["work.lua"], client.ask("source", stop.thread, path))
    assert.equal("run", client.ask("stack", stop.thread, {})[1].name)
    local set = client.ask("breakpoints", path, { { line = 4 } })
    assert.is_true(set[1].verified, set[1].message)
    assert.is_true(client.ask("continue", stop.thread))
    assert.equal(4, client.event("stopped").line)
    assert.is_true(client.ask("continue", stop.thread))
    assert.equal("42", world:ended("named").details.x)
  end)

  it("goes on when whoever held it is killed", function()
    start()
    local client = hold()
    client.close()
    assert.equal("42", world:ended("held").details.x)
    gateway:wait_event("debug.detached", { job = "held" })
  end)

  it("is held less long while the step timer cannot be set anew, and says so", function()
    start()
    local client = connect()
    local go = world:path("go")
    client.ask("attach")
    world:create("held", ('{"operation":"later","go":"%s"}'):format(go))
    local thread = client.event("started").thread
    assert.matches("^a stop holds it at most 15 min: .*debug_hold", client.ask("info", thread).text)
    world.broker:stop()
    gateway:wait_event("conn.lost")
    assert(fs.write(go, ""))
    local stop = client.event("stopped")
    assert.is_true(stop.holdLeft > 0 and stop.holdLeft < 6 * 60, "its timer is of 6 minutes")
    assert.matches("step timer.*offline", client.ask("info", thread).text)
  end)

  it("is let go by a stop of Hob, and goes on in the next process", function()
    start()
    hold()
    assert.equal(0, gateway:stop())
    gateway:launch()
    assert.equal("42", world:ended("held").details.x)
  end)

  it("waits for somebody under --wait-debugger, and says in the log how to attach", function()
    start({ flags = { "--wait-debugger" } })
    world:create("waits", '{"operation":"work"}')
    local waits = gateway:wait_event("debug.waits", { job = "waits" })
    assert.matches("hob repl", waits.action)
    local client = connect()
    client.ask("attach")
    local stop = client.event("stopped")
    assert.equal("break_here", stop.reason)
    assert.is_true(client.ask("step", stop.thread, "over"))
    stop = client.event("stopped")
    assert.equal(4, stop.line)
    assert.is_true(client.ask("continue", stop.thread))
    assert.equal("42", world:ended("waits").details.x)
  end)

  it("goes on by itself when the hold has lasted as long as it may", function()
    start({ debug_hold = 1 })
    local client = hold()
    assert.matches("the hold's limit", client.event("continued").text)
    assert.equal("42", world:ended("held").details.x)
    gateway:wait_event("debug.hold_ended", { job = "held" })
  end)
end)
