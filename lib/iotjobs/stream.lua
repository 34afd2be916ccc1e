--- A stream of events: one of the two announcements of a thing's jobs, as long as it is open.
local common = require("iotjobs.common")
local standing = require("iotjobs.standing")

local M = {}

local QOS = 1

---@class iotjobs.Stream
---@field topic string
---@field status string  closed, opening, established, lost, halted
local Stream = {}
Stream.__index = Stream
Stream.__name = "iotjobs.Stream"

local function report(self, status, why)
  if self.on_status then
    common.call("on_status of the stream on " .. self.topic, self.on_status, status, why)
  end
end

local function tell(self, status, why)
  self.status = status
  report(self, status, why)
end

local function end_listening(self)
  self.client.streams[self] = nil
  if self.standing then
    self.standing:close()
    self.standing = nil
  end
end

local function halt(self, why)
  end_listening(self)
  tell(self, "halted", why)
end

local function on_payload(self, topic, payload)
  local event, message = common.decode(self.class, topic, payload)
  if event and self.on_event then
    common.call("on_event of the stream on " .. topic, self.on_event, event)
  elseif not event and self.on_failure then
    common.call("on_failure of the stream on " .. topic, self.on_failure, message, topic, payload)
  end
end

--- Begin to listen. Without a connection it waits for one.
function Stream:open()
  if self.standing then
    error("the stream is open already", 2)
  end
  local message
  self.standing, message = standing.new(self.client, {
    topic = self.topic, qos = QOS,
    on_payload = function(topic, payload) on_payload(self, topic, payload) end,
    on_granted = function() tell(self, "established") end,
    on_failed = function(why) halt(self, why) end,
  })
  if not self.standing then
    halt(self, message)
    return
  end
  self.status = "opening"
  self.client.streams[self] = true
  self.standing:ask()
end

--- Stop listening; no callback is called any more.
function Stream:close()
  end_listening(self)
  self.status = "closed"
end

function Stream:__tostring()
  return ("%s (%s, %s)"):format(Stream.__name, self.topic, self.status)
end

---@param client table
---@param options { topic: string, class: string, on_event?: function, on_status?: function,
---  on_failure?: function }
---@return iotjobs.Stream
function M.new(client, options)
  return setmetatable({
    client = client, topic = options.topic, class = options.class, on_event = options.on_event,
    on_status = options.on_status, on_failure = options.on_failure, status = "closed",
  }, Stream)
end

--- The connection broke. Each is told in a task of its own: one that takes its time over it must
--- not make another hear of the loss when that has been made good.
function M.lost(client, why)
  for _, stream in ipairs(common.keys(client.streams)) do
    local standing_now = stream.standing
    if stream.status == "established" then
      stream.status = "lost"
      common.later(function()
        if stream.standing == standing_now then
          report(stream, "lost", why)
        end
      end)
    end
  end
end

function M.close_all(client)
  for _, stream in ipairs(common.keys(client.streams)) do
    stream:close()
  end
end

return M
