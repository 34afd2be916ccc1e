--- `hob jobs --follow`: what the gateway has in hand, and each change of it as it happens.
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local json_text = require("hob.service.json_text")
local time = require("hob.time")

local M = {}

local AGAIN = 0.5 -- seconds until a gateway that has ended is looked for again
local LONG = 3600

local function name_of(job)
  local number = job.executionNumber or 1
  return number > 1 and ("%s#%d"):format(job.jobId, number) or job.jobId
end

local TOLD = {
  accepted = "the service has it", refused = "the service refused it for good",
  theirs = "the service had ended it", waiting = "not told yet",
}

--- @return string|nil words  nil: no line about a job
local function words_of(line)
  local job = line.job
  if job then
    local text = job.state .. (job.step and ", step " .. job.step or "")
    return text .. (job.why and ": " .. job.why or "")
  elseif line.ended then
    local ended = line.ended
    return ("%s%s; %s"):format(ended.status or "ended", ended.reason and ": " .. ended.reason or "",
      TOLD[ended.told] or ended.told)
  elseif line.gone then
    return "not in hand any more"
  end
  return nil
end

local function show(line, given)
  local job = line.job or line.ended or line.gone
  local words = words_of(line)
  if not job or not words then
    return true
  end
  local text
  if given.json then
    line.at = time.now()
    text = json_text.encode(line)
  else
    text = ("%s  %s  %s  %s"):format(time.text(time.now()), name_of(job), job.thing,
      (words:gsub("%c+", " ")))
  end
  return io.stdout:write(text, "\n") and io.stdout:flush()
end

--- @return boolean|nil ended  nil with a message: it was refused
--- @return string|nil message
local function follow(gateway, given)
  local ok = gateway.connection:send('{"command":"jobs","follow":true}\n')
  while ok do
    local text, _, code = gateway.connection:read_line(LONG)
    local line = text and json.decode(text)
    if line and line.error then
      return nil, line.error.message
    elseif line and not show(line, given) then
      return false
    elseif not line and code ~= "ETIMEDOUT" then
      return true
    end
  end
  return true
end

---@param place table  see hob.cli.gateway
---@param given table  flags
---@return integer code
function M.run(place, given)
  local gateway, why = gateways.connect(place.socket)
  if not gateway then
    io.stderr:write(("hob jobs: nothing can be followed: %s\n"):format(why))
    return 1
  end
  while true do
    local ended
    ended, why = follow(gateway, given)
    if not ended then
      if why then
        io.stderr:write(("hob jobs: %s\n"):format(why))
      end
      return why and 1 or 0
    end
    io.stderr:write("hob jobs: the gateway has ended; waiting until it runs again\n")
    repeat
      time.sleep(AGAIN)
      gateway = gateways.connect(place.socket)
    until gateway
    io.stderr:write("hob jobs: it runs again\n")
  end
end

return M
