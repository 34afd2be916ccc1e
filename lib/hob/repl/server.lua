--- The gateway's side of `hob repl`: one session, JSON lines both ways. Its client is
--- lib/hob/repl/client.lua; docs/reference/repl.md describes the lines.
---
---     {"id":1,"run":"1 + 1"}          ->  {"id":1,"text":"2\n"}  {"id":1,"end":true,"ok":true,...}
---     {"id":2,"complete":"jo"}        ->  {"id":2,"words":["jobs"],"from":1,"end":true}
---     {"interrupt":true}              ends what runs
---     {"options":{"columns":80,...}}  how to show things
--- A line without an id comes by itself: {"event":"stopped","text":"...","prompt":"..."}.
--- Specs: spec/unit/repl_server_spec.lua, spec/integration/repl_spec.lua
local complete = require("hob.repl.complete")
local core = require("hob.repl.core")
local json = require("hob.json")
local log = require("hob.log")
local sessions = require("hob.repl.session")

local M = {}

local LINE_MAX = 256 * 1024
local LOGGED_MAX = 1000

---@class hob.repl.server
local server = {}
server.__index = server

--- A line for the client. What it is made of is one text, so that lines never mix.
---@return boolean|nil
function server:send(line)
  local text, why = json.encode(line)
  if not text then
    text = json.encode({ id = line.id, text = "cannot be shown: " .. tostring(why) .. "\n" })
  end
  local ok = self.transport.write(text .. "\n")
  self.gone = self.gone or not ok
  return ok
end

function server:refuse(id, code, message)
  self:send({ id = id, error = { code = code, message = message }, ["end"] = true })
end

---------------------------------------------------------------- running

local function run_text(self, request)
  local session = self.session
  local ok, outcome = pcall(session.run, session, request.run)
  if not ok then -- a defect of ours, which must not end the session
    session:problem("a defect of the REPL: " .. tostring(outcome))
    outcome = { ok = false }
  end
  return outcome
end

-- What runs is a task of its own, so that it can be interrupted; this one outlives it.
local function run_and_answer(self, request)
  local outcome
  local running = core.start(function()
    outcome = run_text(self, request)
  end)
  self.running = running
  if self.interrupted then
    running:interrupt()
  end
  local ended, why, kind = running:wait()
  self.running = nil
  if not ended then
    self.session:problem(kind == "interrupted" and "interrupted" or tostring(why))
  end
  outcome = outcome or { ok = false }
  local answer = self.session:finish_run(outcome)
  self.busy = false
  self:send(answer)
  if outcome.quit then
    self.quit = true -- the client closes
  end
end

local function start_run(self, request)
  if type(request.run) ~= "string" then
    return self:refuse(request.id, "EINVAL", "run: expected text")
  elseif self.busy then
    return self:refuse(request.id, "EBUSY", "something runs already: interrupt it first")
  end
  self.busy, self.interrupted = true, false
  self.session:begin_run(request.id)
  if not self.session.is_incomplete(request.run) then
    log.info("repl.command", ("%s: %s"):format(self.transport.who,
      request.run:sub(1, LOGGED_MAX)), self.session:about())
  end
  core.start(function()
    run_and_answer(self, request)
  end)
end

local function start_complete(self, request)
  if type(request.complete) ~= "string" then
    return self:refuse(request.id, "EINVAL", "complete: expected text")
  end
  core.start(function()
    local ok, words, from = pcall(complete.words, self.session, request.complete)
    if not ok or not words[1] then
      words, from = nil, 1
    end
    self:send({ id = request.id, words = words, from = from, ["end"] = true })
  end)
end

---------------------------------------------------------------- requests

local function handle(self, line)
  local request, why = json.decode(line)
  if type(request) ~= "table" then
    return self:refuse(nil, "EJSON", "expected an object on a line: " .. tostring(why))
  elseif request.id ~= nil and math.type(request.id) ~= "integer" then
    return self:refuse(nil, "EINVAL", "id: expected a whole number")
  elseif request.run ~= nil then
    return start_run(self, request)
  elseif request.complete ~= nil then
    return start_complete(self, request)
  elseif request.interrupt then
    self.interrupted = self.busy -- it may not have begun yet
    if self.running then
      self.running:interrupt()
    end
  elseif type(request.options) == "table" then
    self.session:set_options(request.options)
  else
    self:refuse(request.id, "EINVAL", "expected one of run, complete, interrupt and options")
  end
end

local function read_lines(self)
  local rest = ""
  while not self.quit and not self.gone do
    local bytes = self.transport.read()
    if not bytes then
      return
    end
    rest = rest .. bytes
    local from, stop = 1, rest:find("\n", 1, true)
    while stop do
      handle(self, rest:sub(from, stop - 1))
      from = stop + 1
      stop = rest:find("\n", from, true)
    end
    rest = rest:sub(from)
    if #rest > LINE_MAX then
      return self:refuse(nil, "EMSGSIZE", ("a line of more than %d bytes"):format(LINE_MAX))
    end
  end
end

---@param transport table  { read, write, who, kind }: see lib/hob/console.lua
function M.serve(transport)
  local self = setmetatable({ transport = transport }, server)
  self.session = sessions.new({
    who = transport.who,
    send = function(line)
      return self:send(line)
    end,
  })
  self:send(self.session:hello())
  read_lines(self)
  if self.running then
    self.running:interrupt("the client has gone")
  end
  self.session:close()
end

return M
