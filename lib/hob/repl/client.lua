--- The other end of lib/hob/repl/server.lua: asks a session of a running gateway.
local futures = require("hob.future")
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local time = require("hob.time")

local M = {}

local BEGIN_SECONDS = 30
local LINE_SECONDS = 600
local BUSY_SECONDS = 0.02

---@class hob.repl.client
---@field prompt string
---@field lost string|nil  why nothing can be asked any more
local client = {}
client.__index = client

local function send(self, request)
  local text, why, code = json.encode(request)
  if not text then
    return nil, why, code
  end
  local ok
  repeat
    ok, why, code = self.connection:send(text .. "\n")
    if code == "EMSGSIZE" then -- the gateway is busy
      time.sleep(BUSY_SECONDS)
    end
  until ok or code ~= "EMSGSIZE"
  return ok, why, code
end

---------------------------------------------------------------- what comes

local function take(self, line)
  local waiting = line.id and self.waiting[line.id]
  self.prompt = line.prompt or self.prompt
  if waiting and line["end"] then
    self.waiting[line.id] = nil
    waiting.answer:resolve(line)
  elseif waiting and line.text then
    waiting.on_text(line.text)
  elseif line.text then
    self.on_text(line.text, line.event)
  elseif line.error then
    self.on_text(("hob repl: %s\n"):format(line.error.message))
  end
end

local function lose(self, why)
  self.lost = "the connection to the gateway is lost: " .. tostring(why)
  for id, waiting in pairs(self.waiting) do
    self.waiting[id] = nil
    waiting.answer:resolve(nil, self.lost)
  end
  self.on_lost(self.lost)
end

local function read_line(self)
  while true do
    local text, why, code = self.connection:read_line(LINE_SECONDS)
    if text or code ~= "ETIMEDOUT" then
      return text, why
    end
  end
end

local function read_all(self)
  while not self.closed do
    local text, why = read_line(self)
    local line
    if text then
      line, why = json.decode(text)
    end
    if type(line) ~= "table" then
      return lose(self, why)
    end
    take(self, line)
  end
end

---------------------------------------------------------------- asking

local function ask(self, request, on_text)
  if self.lost then
    return nil, self.lost
  end
  self.last_id = self.last_id + 1
  request.id = self.last_id
  local waiting = { answer = futures.new(), on_text = on_text }
  self.waiting[request.id] = waiting
  local ok, why, code = send(self, request)
  if not ok then
    self.waiting[request.id] = nil
    return nil, why, code
  end
  return waiting.answer:result()
end

--- Run a line.
---@param text string
---@param on_text fun(text: string)  what it prints, as it comes
---@return table|nil answer  { ok, more, quit }
---@return string|nil message
function client:run(text, on_text)
  local answer, why, code = ask(self, { run = text }, on_text)
  if code == "EMSGSIZE" then -- of this line only; the session goes on
    on_text("too long: at most 256 KB may be run at once\n")
    return { ok = false }
  end
  return answer, why
end

---@param text string  before the cursor
---@return string[]|nil words
---@return integer|string from_or_message
function client:complete(text)
  local answer, why = ask(self, { complete = text }, function() end)
  if not answer then
    return nil, why
  end
  return answer.words or {}, answer.from or 1
end

function client:interrupt()
  return send(self, { interrupt = true })
end

---@param options table  columns, terminal, colour
function client:set_options(options)
  return send(self, { options = options })
end

function client:close()
  self.closed = true
  self.connection:close()
end

---------------------------------------------------------------- beginning

local function first_lines(connection, thing)
  local ok, why = connection:send(json.encode({ command = "repl", thing = thing }) .. "\n")
  for _ = 1, 2 do
    local text, line
    if ok then
      text, why = connection:read_line(BEGIN_SECONDS)
    end
    if text then
      line, why = json.decode(text)
    end
    if type(line) ~= "table" then
      return nil, why
    elseif line.error then
      return nil, line.error.message
    elseif line.hello then
      return line
    end
  end
  return nil, "no session began"
end

--- @param place { socket: string }
--- @param thing string|nil
--- @param given { on_text: fun(text: string, event: string|nil), on_lost: fun(why: string) }
---@return hob.repl.client|nil
---@return string|nil message
function M.open(place, thing, given)
  local gateway, why, code = gateways.connect(place.socket)
  if not gateway then
    if code == "ENOENT" or code == "EREFUSED" then
      why = ("no gateway runs there: %s; give its --data DIR or --config FILE"):format(why)
    elseif code == "EACCES" then
      why = why .. "; only root and the user that the gateway runs as may"
    end
    return nil, why
  end
  local hello
  hello, why = first_lines(gateway.connection, thing)
  if not hello then
    gateway.connection:close()
    return nil, ("%s: %s"):format(place.socket, tostring(why))
  end
  local self = setmetatable({
    connection = gateway.connection, waiting = {}, last_id = 0, prompt = hello.prompt,
    on_text = given.on_text, on_lost = given.on_lost,
  }, client)
  time.after(0, function()
    read_all(self)
  end)
  return self
end

return M
