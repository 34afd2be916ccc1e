-- jobs_service.lua - `hob service` as a process behind a broker of its own, and a client that
-- publishes any bytes and keeps what comes back as it came.
--
--     local services = require("spec.support.jobs_service")
--     local service = services.start{ flags = { "--minute-ms", "100" } }
--     local peer = service:peer("lamp")         -- hears all answers and notifications of a thing
--     service:create("j1", "lamp")              -- CreateJob
--     peer:publish("start-next", "{}")          -- after $aws/things/T/jobs/
--     local message = peer:hear("start-next/accepted")  -- {short, topic, payload, body}
--     service:stop()

local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local http = require("hob.http")
local json = require("hob.json")
local lfs = require("lfs")
local mqtt = require("hob.mqtt")
local wait_until = require("spec.support.wait").wait_until

local BINARY = lfs.symlinkattributes("/proc/self/exe", "target")
local SECONDS = 30 -- far above what anything here takes

local M = { BINARY = BINARY }

---------------------------------------------------------------- a device

local peer = {}
peer.__index = peer

local function remember(self, topic, payload)
  local short = topic:match("^%$aws/things/[^/]+/jobs/(.+)$")
  if short:find("/accepted$") or short:find("/rejected$") or short:find("^notify[^/]*$") then
    table.insert(self.heard, { topic = topic, payload = payload, short = short,
      body = json.decode(payload) })
  end -- else it is a request that comes back
end

function peer:publish(operation, payload, qos)
  self:publish_on("$aws/things/" .. self.thing .. "/jobs/" .. operation, payload, { qos = qos })
end

--- It goes: for `local peer <close> = ...`.
function peer:__close()
  self.connection:close()
end

--- Any topic.
function peer:publish_on(topic, payload, options)
  assert(self.connection:publish(topic, payload or "{}", options))
end

--- Wait for a message on one of these topics (after $aws/things/T/jobs/); it and those before it
--- are taken.
function peer:hear(...)
  local wanted = { ... }
  return wait_until(function()
    for i, message in ipairs(self.heard) do
      for _, short in ipairs(wanted) do
        if message.short == short then
          for _ = 1, i do
            table.remove(self.heard, 1) -- indivisible: more is heard meanwhile
          end
          return message
        end
      end
    end
  end, SECONDS, table.concat(wanted, " or ") .. " for " .. self.thing)
end

--- Ask, and wait for the answer: its body, and "accepted" or "rejected".
function peer:ask(operation, payload)
  self:publish(operation, payload)
  local message = self:hear(operation .. "/accepted", operation .. "/rejected")
  return message.body, message.short:match("[^/]+$")
end

--- All that was said to this thing so far, in order; taken. The service serves in order, so its
--- refusal of one more request (no operation) comes last.
---@return table[] messages
function peer:settle()
  self:publish("settle")
  wait_until(function()
    local last = self.heard[#self.heard]
    return last and last.short == "settle/rejected"
  end, SECONDS, "the service's last word to " .. self.thing)
  local out = self.heard
  self.heard = {}
  table.remove(out)
  return out
end

---------------------------------------------------------------- the service

local service = {}
service.__index = service

---@param options { flags: string[]?, broker: table?, log_format: string? }?
function M.start(options)
  options = options or {}
  local self = setmetatable({ lines = {}, log = {}, peers = {} }, service)
  self.own_broker = not options.broker
  self.broker = options.broker or brokers.start()
  local command = { BINARY, "service", "--endpoint", self.broker.host, "--port",
    tostring(self.broker.port), "--no-tls", "--http", "127.0.0.1:0", "--log-format",
    options.log_format or "json",
    on_line = function(line, is_err) table.insert(is_err and self.log or self.lines, line) end }
  table.move(options.flags or {}, 1, #(options.flags or {}), #command + 1, command)
  self.process = assert(exec.spawn(command))
  self.url = wait_until(function()
    assert(not self.process:wait(0), "the service has ended: " .. table.concat(self.log, "\n"))
    return self.lines[1] and self.lines[1]:match("^service ready: (http://127%.0%.0%.1:%d+),")
  end, SECONDS, "the service's ready line")
  return self
end

function service:stop()
  for _, one in ipairs(self.peers) do
    one.connection:close()
  end
  self.process:kill("TERM")
  local result = self.process:wait(SECONDS)
  if self.own_broker then
    self.broker:stop()
  end
  assert(result, "the service did not end on SIGTERM")
  return result
end

--- Log entries of an event.
function service:logged(event)
  local found = {}
  for _, line in ipairs(self.log) do
    local entry = json.decode(line)
    if entry and entry.event == event then
      found[#found + 1] = entry
    end
  end
  return found
end

function service:call(method, path, body)
  local answer = assert(http.request{
    url = self.url .. path, method = method, body = body and json.encode(body),
    headers = { ["Content-Type"] = "application/json" }, timeout = SECONDS,
  })
  local value = json.decode(answer.body)
  return assert(value, answer.body), answer.status
end

--- CreateJob for a thing; raises if it is refused.
function service:create(id, thing, more)
  local body = {
    targets = { "arn:aws:iot:us-east-1:123456789012:thing/" .. thing },
    document = '{"operation":"' .. id .. '"}',
  }
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  local answer, status = self:call("PUT", "/jobs/" .. id, body)
  assert(status == 200, answer.message)
end

function service:cli(...)
  return assert(exec.run{ env = { HOB_SERVICE = self.url }, timeout = 60, BINARY, "service", ... })
end

--- A client that hears all that is said to a thing.
function service:peer(thing)
  local self_peer = setmetatable({ thing = thing, heard = {} }, peer)
  self_peer.connection = mqtt.connect(self.broker:options{
    client_id = ("%s-%d"):format(thing, #self.peers + 1), payload_max = 4 * 1024 * 1024,
    on_message = function(topic, payload) remember(self_peer, topic, payload) end,
  })
  assert(self_peer.connection:wait_up(SECONDS))
  assert(self_peer.connection:subscribe("$aws/things/" .. thing .. "/jobs/#", 1))
  table.insert(self.peers, self_peer)
  return self_peer
end

return M
