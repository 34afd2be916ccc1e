--- `hob log --follow`: the control socket's `log` with "follow", until the job has ended and the
--- service knows. The gateway may end and come again meanwhile.
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local screens = require("hob.cli.log_screen")
local time = require("hob.time")

local M = {}

local QUIET = 0.3 -- seconds without a line, before somebody else is asked
local AGAIN = 0.5
local UNTOLD = 5 -- its end is stored, and not told yet
local LONG = 3600
local PAGE = 200

-- After these it may be that nothing more comes.
local LAST_WORDS = {
  ["job.claim_refused"] = true, ["job.finished"] = true, ["job.gone"] = true,
  ["job.ignored"] = true, ["job.report_refused"] = true, ["job.reported"] = true,
}

local function is_meant(job, given)
  return job.jobId == given[1] and (not given.thing or job.thing == given.thing) and
    (not given.execution or job.executionNumber == given.execution)
end

--- Does anything of it go on, or wait to be told? Asked on a connection of its own.
--- @return boolean|nil goes_on  nil: nothing is known of it
local function goes_on(place, given)
  local gateway = gateways.connect(place.socket)
  if not gateway then
    return true -- it may come back
  end
  local found
  local ok = gateway:ask({ command = "jobs" }, function(line)
    found = found or line.job and is_meant(line.job, given)
  end)
  if ok and not found then
    found = nil
    gateway:ask({ command = "jobs", history = true, limit = PAGE }, function(line)
      if found == nil and line.job and is_meant(line.job, given) then
        found = line.job.told == "waiting"
      end
    end)
  end
  gateway.connection:close()
  return found
end

local follower = {}
follower.__index = follower

--- What was shown before the gateway came again is not shown twice.
function follower:is_new(item, text)
  local ts = (item.event or item.output or {}).ts
  if not ts then
    return not self.again
  elseif self.again and (ts < self.ts or (ts == self.ts and self.at_ts[text])) then
    return false
  end
  if ts ~= self.ts then
    self.ts, self.at_ts = ts, {}
  end
  self.at_ts[text] = true
  return true
end

--- @return boolean ok  false: nobody reads any more
function follower:take(item, text)
  self.count = self.count + 1
  if item.event and LAST_WORDS[item.event.event] then
    self.maybe_over, self.has_ended = true, true
  end
  return not self:is_new(item, text) or self.screen:show(item, text)
end

--- Lines of one connection, as long as it lasts.
--- @return string how  "over", "closed" (nobody reads), "ended" (the gateway), "refused"
--- @return string|nil message
function follower:read(connection)
  while true do
    io.stdout:flush()
    local patience = self.maybe_over and QUIET or self.has_ended and UNTOLD or LONG
    local text, why, code = connection:read_line(patience)
    local item = text and json.decode(text)
    if item and item.error then
      return "refused", item.error.message
    elseif item and not self:take(item, text) then
      return "closed"
    elseif not text and code ~= "ETIMEDOUT" then
      return "ended", why
    elseif not text and self.given[1] and patience ~= LONG then
      self.maybe_over = false
      if not goes_on(self.place, self.given) then
        return "over"
      end
    end
  end
end

function follower:request()
  local given = self.given
  return gateways.line({ command = "log", follow = true, jobId = given[1], thing = given.thing,
    executionNumber = given.execution, lines = given.lines })
end

--- Wait until a gateway is there again.
function follower:wait()
  io.stderr:write("hob log: the gateway has ended; the log goes on when it runs again\n")
  self.again, self.ts, self.at_ts = true, self.ts or "", self.at_ts or {}
  while true do
    time.sleep(AGAIN)
    local gateway = gateways.connect(self.place.socket)
    if gateway and gateway.connection:send(self:request()) then
      return gateway
    end
  end
end

---@param gateway hob.cli.gateway
---@param place table
---@param given table
---@param explain fun(place: table, given: table): integer  why nothing is kept
---@return integer code
function M.run(gateway, place, given, explain)
  local self = setmetatable({
    place = place, given = given, count = 0, maybe_over = given[1] ~= nil,
    screen = screens.new({ job = given[1], json = given.json }),
  }, follower)
  local request, message = self:request()
  local ok = request
  if request then
    ok, message = gateway.connection:send(request)
  end
  local how = ok and "ended" or "refused"
  while ok do
    how, message = self:read(gateway.connection)
    if how ~= "ended" then
      break
    end
    gateway = self:wait()
  end
  self.screen:finish()
  io.stdout:flush()
  if how == "refused" then
    io.stderr:write(("hob log: %s\n"):format(message))
  elseif how == "over" and self.count == 0 then
    return explain(place, given)
  end
  return how == "refused" and 1 or 0
end

return M
