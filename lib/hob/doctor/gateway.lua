--- `hob doctor`: what a running gateway says of itself. It is asked through its control socket, and
--- its connection is left alone: a second one with its client id would throw it out.
local gateways = require("hob.cli.gateway")
local machine = require("hob.doctor.machine")
local words = require("hob.cli.words")

local M = {}

local PATIENCE = 5 -- seconds that a gateway may be busy

local LOST_OFTEN, LOST_EVERY = 3, 300 -- so many times, on average within so many seconds
local SILENT = 3600 -- seconds without an answer of the service after which that is worth saying

---@class hob.doctor.running
---@field things table[]     see docs/reference/control-protocol.md, doctor
---@field uptimeSeconds integer
---@field config string?     its configuration, absolute
---@field status table?      the last line of `status`

--- Ask the gateway whose control socket this is.
---@param socket string
---@return hob.doctor.running|nil running
---@return string|nil message
---@return string|nil code  ENOENT, EREFUSED: none runs; ETIMEDOUT: it hangs; else it may not be
function M.ask(socket)
  local gateway, why, code = gateways.connect(socket)
  if not gateway then
    return nil, why, code
  end
  local things = {}
  local running
  running, why, code = gateway:ask({ command = "doctor" }, function(line)
    things[#things + 1] = line.thing
  end, PATIENCE)
  if not running then
    gateway.connection:close()
    return nil, why, code == "ETIMEDOUT" and code or "EPROTO"
  end
  running.things = things
  running.handlers = {}
  running.status = gateway:ask({ command = "status" }, function(line)
    running.handlers[#running.handlers + 1] = line.handler
  end)
  gateway.connection:close()
  return running
end

--- Its own entry for a thing of the configuration.
---@param running hob.doctor.running
---@param name string
---@return table|nil
function M.thing(running, name)
  for _, thing in ipairs(running.things) do
    if thing.thing == name then
      return thing
    end
  end
end

---------------------------------------------------------------- what is said

-- Two clients with one id throw each other out, again and again.
local function flapping(say, thing, uptime)
  local lost = thing.lost or 0
  if lost >= LOST_OFTEN and uptime / lost < LOST_EVERY then
    say:warning(("the connection was lost %d times in %s"):format(lost, words.span(uptime)),
      ("conn.lost in the log says why; where the server closed it, another client uses the client "
      .. "id %s: give each its own client_id"):format(thing.clientId))
  end
end

local function connection(say, thing)
  local untold = thing.untold > 0 and ("; %d outcome%s not told yet"):format(thing.untold,
    thing.untold == 1 and " is" or "s are") or ""
  if thing.online then
    return say:ok(("the running gateway is connected as %s for %s (%s)%s"):format(thing.clientId,
      words.span(thing.forSeconds), thing.how or "?", untold))
  elseif (thing.how or "not connected") ~= "not connected" then
    return say:warning(("the running gateway is connected as %s (%s) and not ready: it subscribes")
      :format(thing.clientId, thing.how) .. untold, "ask again in a few seconds")
  end
  say:failed(("the running gateway is not connected as %s for %s: %s%s"):format(thing.clientId,
    words.span(thing.forSeconds), thing.why or "it connects", untold),
    "mend what the lines above say of name, tcp and tls; else see docs/how-to/"
    .. "refused-connections.md")
end

local function subscription(say, filter, connected)
  local policy = "the policy of this certificate must allow " .. filter.needs
  if filter.state == "granted" and connected then
    say:ok(("%s: granted (%s)"):format(filter.topic, filter.needs))
  elseif filter.state == "refused" then
    say:failed(("%s: refused; the gateway goes on asking for it"):format(filter.topic), policy)
  elseif connected then
    say:warning(filter.topic .. ": asked for, not answered yet", "ask again in a few seconds; "
      .. policy)
  else
    say:info(filter.topic .. ": not asked for while there is no connection (needs "
      .. filter.needs .. ")")
  end
end

local function service(say, thing)
  local seconds = thing.answeredSeconds
  if not seconds then
    local topic = ("$aws/things/%s/jobs/$next/get"):format(thing.thing)
    say[thing.online and "failed" or "info"](say,
      "the Jobs service has not answered the running gateway yet",
      thing.online and "the policy of this certificate must allow iot:Publish on topic/" .. topic
      or nil)
  elseif seconds > SILENT then
    say:warning(("the Jobs service last answered %s ago"):format(words.span(seconds)),
      "the gateway asks every `poll` seconds: look for jobs.no_answer in its log")
  else
    say:ok(("the Jobs service answered the running gateway %s ago"):format(words.span(seconds)))
  end
end

--- Of one of its things: connection, subscriptions, answers.
---@param report hob.doctor.report
---@param thing table  of the running gateway
---@param uptime integer  seconds
function M.check_thing(report, thing, uptime)
  local connected = (thing.how or "not connected") ~= "not connected"
  report:check("mqtt", thing.thing, function(say)
    connection(say, thing)
    flapping(say, thing, uptime)
  end)
  for _, filter in ipairs(thing.subscriptions or {}) do
    report:check("subscription", thing.thing, function(say)
      subscription(say, filter, connected)
    end)
  end
  report:check("jobs", thing.thing, function(say) service(say, thing) end)
end

local function held(say, count)
  if (count or 0) > 0 then
    say:warning(count == 1 and "a debugger holds a job" or ("a debugger holds %d jobs"):format(
      count), "hob jobs says which; hob repl JOB and :continue, or wait for the hold's limit")
  end
end

--- Who runs, and what keeps it from working.
---@param report hob.doctor.report
---@param about hob.doctor.about
function M.check(report, about)
  report:check("gateway", nil, function(say)
    local running, why = about.running, about.not_asked
    if about.hangs then
      return say:failed(why, "hob support keeps what explains it; then start it again: systemctl "
        .. "restart hob. Jobs go on where they were")
    elseif why then
      return say:warning(why, "run hob doctor as root, or as the user that Hob runs as")
    elseif not running then
      return say[about.socket_given and "failed" or "info"](say, about.socket_given
        and "no gateway answers at " .. about.socket_given or "no gateway runs here")
    end
    say:ok(("process %d, up for %s, %d thing%s"):format(running.pid,
      words.span(running.uptimeSeconds), running.thingCount,
      running.thingCount == 1 and "" or "s"))
    machine.say_drain(say, (running.status or {}).drain)
    held(say, (running.status or {}).held)
  end)
end

return M
