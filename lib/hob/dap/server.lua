--- One session of the Debug Adapter Protocol, between an editor and `hob.debug`: read a request,
--- answer it, tell of events. It runs in a gateway, as a session of the control socket, and in
--- `hob dap` itself, on standard input and output.
---
--- The requests are in files of their own: `life` (initialize to disconnect), `breakpoints`,
--- `running` (continue, step, pause), `looking` (stack and variables), `sources`; `events` is what
--- goes the other way. docs/reference/dap.md says what of the protocol there is.
--- Spec: spec/unit/dap_spec.lua, spec/integration/dap_spec.lua
local framing = require("hob.dap.framing")
local future = require("hob.future")
local json = require("hob.json")
local json_text = require("hob.service.json_text")
local serial = require("hob.service.serial")
local time = require("hob.time")

local M = {}

local ASIDE_SECONDS = 2
local ASIDES_MAX = 32 -- of an editor that asks faster than it is answered

---@class hob.dap.transport
---@field read fun(): string|nil, string|nil, string|nil  waits for bytes
---@field write fun(text: string): boolean|nil, string|nil  does not wait
---@field who string             who is at the other end
---@field kind "attach"|"stdio"  in a gateway, or in a process of its own
---@field debug? table           in place of hob.debug
---@field bridge? fun(request: table, texts: string[], rest: string): boolean|nil, string|nil
---@field complain? fun(text: string)  why the session ended, if not by the editor's wish
---@field close? fun()  filled in: ends it at once, whatever it does; what it held goes on

---@class hob.dap.session
---@field phase "new"|"known"|"begun"|"going"|"ended"
local session = {}
session.__index = session

---------------------------------------------------------------- what goes out

local function write(self, message)
  if self.deaf then
    return
  end
  self.seq = self.seq + 1
  message.seq = self.seq
  local encoded, text = pcall(json_text.encode, message)
  if not encoded then -- a defect of ours; whoever asked gets an answer
    text = json_text.encode({ seq = message.seq, type = message.type, event = message.event,
      request_seq = message.request_seq, command = message.command, message = tostring(text),
      success = message.success ~= nil and false or nil })
  end
  local ok, why = self.transport.write(framing.frame(text))
  if not ok then
    self.deaf = true
    self:complain(why)
  end
end

-- In turns: a number is taken and its message written before the next one.
function session:send(message)
  self.turns:post(write, self, message)
end

---@param name string
---@param body? table
function session:event(name, body)
  self:send({ type = "event", event = name, body = body })
end

--- A line for the editor's debug console.
---@param category? "console"|"important"|"stdout"|"stderr"
function session:say(text, category)
  self:event("output", { category = category or "console",
    output = text:sub(-1) == "\n" and text or text .. "\n" })
end

--- For whoever looks after this process: the editor does not hear it.
function session:complain(text)
  if self.transport.complain then
    self.transport.complain(text)
  end
end

local function response(request, body)
  return { type = "response", request_seq = request.seq, command = request.command,
    success = true, body = type(body) == "table" and body or nil }
end

local function refusal(request, message)
  return { type = "response", request_seq = request.seq, command = request.command,
    success = false, message = message,
    body = { error = { id = 1, format = (message:gsub("[{}]", "'")) } } }
end

---------------------------------------------------------------- what comes in

---@alias hob.dap.handle fun(self: hob.dap.session, args: table, request: table): table|true|nil,
--- string|nil, function|nil  body, why not, what is to be done once the answer is on its way

---@class hob.dap.request
---@field handle hob.dap.handle
---@field phases? table<string, boolean>  when it makes sense; default: from launch or attach on
---@field aside? boolean  it may take long, so that others are answered meanwhile

---@type table<string, hob.dap.request>
local requests = {}
for _, part in ipairs({ "life", "breakpoints", "running", "looking", "sources" }) do
  for name, request in pairs(require("hob.dap." .. part).requests) do
    requests[name] = request
  end
end

local EXPECTED = {
  new = "expected initialize first, got %s",
  known = "expected launch or attach before %s",
  begun = "expected configurationDone before %s",
  going = "%s comes too late: this session has been launched or attached",
  ended = "%s comes too late: the session has ended",
}
local BEGUN = { begun = true, going = true }

local function check(self, message)
  if message.refused then
    return message.refused
  elseif message.type ~= "request" then
    return ("expected a request, got the type %s"):format(tostring(message.type))
  elseif message.arguments ~= nil and message.arguments ~= json.null
    and type(message.arguments) ~= "table" then
    return ("%s: arguments: expected an object, got %s"):format(message.command,
      type(message.arguments))
  end
  local request = requests[message.command]
  if not request then
    return ("%s: no such request here; `initialize` says what there is"):format(message.command)
  elseif not (request.phases or BEGUN)[self.phase] then
    return EXPECTED[self.phase]:format(message.command)
  end
end

-- @return table message, function|nil after
local function perform(self, message, request)
  local args = type(message.arguments) == "table" and message.arguments or {}
  local ok, body, why, after = pcall(request.handle, self, args, message)
  if ok and body then
    return response(message, body), after
  end
  return refusal(message, tostring(ok and (why or "it did not work") or body))
end

-- In a turn of its own: an event that comes of a request stands behind its answer.
local function answer(self, message, request)
  local after
  self.turns:run(function()
    local reply
    reply, after = perform(self, message, request)
    write(self, reply)
  end)
  if after then
    after()
  end
end

-- What has no number and no name is answered as best as can be: nothing is left without an answer.
local function identify(message)
  message.seq = math.type(message.seq) == "integer" and message.seq or 0
  message.command = type(message.command) == "string" and #message.command <= 64
    and message.command or "unknown"
end

local function is_busy(self)
  local count = 0
  for _ in pairs(self.aside) do
    count = count + 1
  end
  return count >= ASIDES_MAX
end

-- What was asked before the end is answered before it.
local function finish_asides(self)
  local deadline = time.mono() + ASIDE_SECONDS
  local answered = next(self.aside)
  while answered and time.mono() < deadline do
    answered:result(deadline - time.mono())
    answered = next(self.aside)
  end
end

local function take(self, message)
  if message.type == "response" then
    return -- nothing is ever asked of an editor
  end
  identify(message)
  local problem = check(self, message)
  local request = requests[message.command]
  if problem then
    self:send(refusal(message, problem))
  elseif request.aside and not is_busy(self) then
    local answered = future.new()
    self.aside[answered] = true
    time.after(0, function()
      self:send((perform(self, message, request)))
      self.aside[answered] = nil
      answered:resolve(true)
    end)
  else
    if message.command == "disconnect" then
      finish_asides(self)
    end
    answer(self, message, request)
  end
end

---------------------------------------------------------------- life

--- The session ends after the present request.
function session:finish()
  self.phase = "ended"
end

local function close(self)
  self.phase = "ended"
  local engine, launched = self.engine, self.launched
  self.engine, self.launched = nil, nil
  if engine then
    engine:close() -- whatever it held goes on
  end
  if launched then
    launched:close()
  end
end

local function new(transport)
  return setmetatable({
    transport = transport, phase = "new", seq = 0,
    lines_from = 1, columns_from = 1, -- the client's first line and column
    aside = {}, texts = {}, frame_threads = {}, stops = {}, references = {}, expressions = {},
    let_go = {}, -- threads that the editor itself let go, until the engine has said so
    turns = serial.new(function(message)
      if transport.complain then
        transport.complain(message)
      end
    end),
  }, session)
end

local function read_all(self)
  while self.phase ~= "ended" do
    local message, text, code = self.reader:next()
    if not message and code == "EOF" then
      return true
    elseif not message then
      return nil, text
    end
    if message.command == "initialize" then
      self.texts[1] = text
    elseif message.command == "attach" then
      self.texts[2] = text
    end
    take(self, message)
  end
  return true
end

--- Serve one editor, until it disconnects or has gone. ⏳
---@param transport hob.dap.transport
---@return boolean|nil ok  nil: the stream made no sense
---@return string|nil message
function M.serve(transport)
  local self = new(transport)
  self.reader = framing.reader(transport.read)
  function transport.close()
    close(self)
  end
  local _ <close> = setmetatable({}, { __close = function() close(self) end })
  local ok, why = read_all(self)
  finish_asides(self)
  if not ok then
    self:say("hob dap: " .. why, "important")
    self:event("terminated")
    self:complain(why)
  end
  close(self)
  return ok, why
end

return M
