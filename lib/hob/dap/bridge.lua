--- `hob dap`, attached: an editor's standard streams on one side, a session of a gateway's control
--- socket on the other. Once both are there, bytes go through as they come.
--- Spec: spec/integration/dap_spec.lua
local framing = require("hob.dap.framing")
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local process = require("hob.process")
local sockets = require("hob.local")
local time = require("hob.time")

local M = {}

local ANSWER_SECONDS = 30
local GOODBYE_SECONDS = 10 -- after the editor has gone
local QUIET_SECONDS = 3600
local TAIL = 512           -- where the answer to the last request would stand
local BUSY_SECONDS = 0.02  -- a gateway that does not take what we send

---@class hob.dap.bridge
local bridge = {}
bridge.__index = bridge

-- What the editor says goes before what the command line said.
local function find(flags, args)
  local given = { data = args.data, socket = args.socket, config = args.config }
  return gateways.find(next(given) and given or flags)
end

local function begin_session(connection)
  local ok, why = connection:send('{"command":"dap"}\n')
  local line, answer
  if ok then
    line, why = connection:read_line(ANSWER_SECONDS)
  end
  if line then
    answer, why = json.decode(line)
  end
  if type(answer) ~= "table" then
    return nil, why
  elseif answer.error then
    return nil, answer.error.message
  end
  return true
end

-- The gateway has not heard the editor's initialize, which was answered here.
local function replay(self, texts)
  local connection = self.connection
  local reader = framing.reader(function()
    return connection:read(ANSWER_SECONDS)
  end)
  local ok, why = connection:send(framing.frame(texts[1]))
  local answer
  if ok then
    answer, why = reader:next()
  end
  if not answer then
    return nil, why
  elseif not answer.success then
    return nil, answer.message or "initialize was refused"
  end
  self.got = reader.rest
  return connection:send(framing.frame(texts[2]))
end

--- Begin a session for the editor's `attach`.
---@param flags table     of the command line
---@param request table   the attach
---@param texts string[]  initialize and attach, as they came
---@param rest string     what came after it
---@return hob.dap.bridge|nil
---@return string|nil message
function M.open(flags, request, texts, rest)
  local args = type(request.arguments) == "table" and request.arguments or {}
  local found, why = find(flags, args)
  if not found then
    return nil, why
  end
  local connection, problem, code = sockets.connect(found.socket)
  if not connection then
    local none = (code == "ENOENT" or code == "EREFUSED") and "no gateway runs there: " or ""
    return nil, none .. problem
  end
  local self = setmetatable({ connection = connection, to_send = rest, tail = "" }, bridge)
  local ok
  ok, why = begin_session(connection)
  if ok then
    ok, why = replay(self, texts)
  end
  if not ok then
    connection:close()
    return nil, ("%s: %s"):format(found.socket, tostring(why))
  end
  return self
end

-- A gateway that is busy is waited for: nothing more is read from the editor meanwhile.
local function send(self, bytes)
  local ok, why, code
  repeat
    ok, why, code = self.connection:send(bytes)
    if code == "EMSGSIZE" then
      time.sleep(BUSY_SECONDS)
    end
  until ok or code ~= "EMSGSIZE"
  return ok, why
end

local function pump_editor(self)
  local bytes, ok = self.to_send, true
  while bytes and ok do
    if bytes ~= "" then
      ok = send(self, bytes)
    end
    bytes = ok and process.read()
  end
  self.editor_gone = true
  if self.ended then
    return
  end
  self.connection:finish()
  time.after(GOODBYE_SECONDS, function()
    if not self.ended then
      self.late = true
      self.connection:close()
    end
  end)
end

local function pump_gateway(self)
  local bytes, why, code = self.got, nil, nil
  while bytes or code == "ETIMEDOUT" do
    if bytes and bytes ~= "" then
      self.tail = (self.tail .. bytes):sub(-TAIL)
      local ok
      ok, why = process.write(bytes)
      if not ok then
        return nil, why
      end
    end
    bytes, why, code = self.connection:read(QUIET_SECONDS)
  end
  return not self.late or nil, self.late and "the gateway did not end the session" or why
end

local function is_disconnected(self)
  return self.tail:find('"command":"disconnect"', 1, true) ~= nil
end

local function tell_editor(text)
  for _, message in ipairs({
    ('"event":"output","body":{"category":"important","output":%s}'):format(
      json.encode(text .. "\n")),
    '"event":"terminated"',
  }) do
    process.write(framing.frame('{"seq":0,"type":"event",' .. message .. "}"))
  end
end

--- Carry bytes until one of both ends it.
---@return boolean|nil ok  nil: not by the editor's wish
---@return string|nil message
function bridge:run()
  time.after(0, function()
    pump_editor(self)
  end)
  local ok, why = pump_gateway(self)
  self.ended = true
  self.connection:close()
  if not ok then
    return nil, why
  elseif self.editor_gone or is_disconnected(self) then
    return true
  end
  why = "the gateway has ended the session: " .. tostring(why)
  tell_editor("hob dap: " .. why)
  return nil, why
end

return M
