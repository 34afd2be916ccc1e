--- `hob doctor`: from the name of the endpoint to the answer of the Jobs service, on a connection
--- of its own. Of a gateway that runs, see hob.doctor.gateway: two connections with one client id
--- throw each other out.
local core = require("hob.doctor.core")
local json = require("hob.json")
local mqtt = require("hob.mqtt")
local time = require("hob.time")

local M = {}

local POLL = 0.02
local HTTPS = { "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy" }

--- What of `hob.mqtt.connect` a thing needs.
local function port_of(thing)
  return thing.port ~= 0 and thing.port or thing.tls and 8883 or 1883
end

local function or_nil(text)
  return text ~= "" and text or nil
end

local function milliseconds(seconds)
  return ("%d ms"):format(math.floor(seconds * 1000 + 0.5))
end

---------------------------------------------------------------- names and TCP

local function proxy_variable()
  for _, name in ipairs(HTTPS) do
    local value = os.getenv(name)
    if value and value ~= "" then
      return name
    end
  end
end

-- On a network that has a proxy that is the likely reason.
local function proxy_words()
  local name = proxy_variable()
  return name and ("; %s is set here, but MQTT does not go through a proxy"):format(name) or ""
end

-- What it holds may be a password.
local function say_proxy(say, key)
  local name = key ~= "" and "the key proxy" or proxy_variable()
  say:info(("downloads go through the one of %s, the connection to the endpoint does not")
    :format(name))
end

local function resolve(say, host, seconds)
  local began = time.mono()
  local found, why, code = core.resolve(host, seconds)
  if not found then
    say:failed(("%s is not resolved: %s"):format(host, why), code == "ETIMEDOUT"
      and "check the gateway's DNS (/etc/resolv.conf) and its network"
      or "check endpoint for a mistake, then the gateway's DNS (/etc/resolv.conf)")
    return nil
  end
  say:ok(("%s is %s, after %s"):format(host, table.concat(found, ", "),
    milliseconds(time.mono() - began)))
  return found
end

-- One address that works is enough, but one that is silent holds up every connection.
local function connect_each(say, addresses, port, seconds)
  local shown, failed, silent = {}, 0, false
  local each = seconds / math.max(#addresses, 1)
  for _, address in ipairs(addresses) do
    local found, why, code = core.connect({ host = address, port = port, timeout = each })
    local place = address:find(":", 1, true) and "[" .. address .. "]" or address
    shown[#shown + 1] = found and ("%s:%d in %s"):format(place, port, milliseconds(found.seconds))
      or why
    failed = failed + (found and 0 or 1)
    silent = silent or code == "ETIMEDOUT"
  end
  local text = table.concat(shown, "; ")
  if failed == #addresses then
    say:failed(text .. proxy_words(), ("check port (%d), a firewall on the way, and that the "
      .. "broker runs: nc -vz HOST %d"):format(port, port))
    return false
  elseif silent then
    say:warning(text, "an address that does not answer delays connections: mend that route, or "
      .. "take IPv6 off where it leads nowhere")
  else
    say:ok(text)
  end
  return true
end

---------------------------------------------------------------- TLS

local function tls_options(thing)
  return { ca = thing.ca, cert = or_nil(thing.cert), key = or_nil(thing.key),
    key_passphrase = or_nil(thing.key_passphrase), alpn = or_nil(thing.alpn) }
end

local function handshake(say, thing, seconds)
  local options = tls_options(thing)
  options.host, options.port, options.timeout = thing.endpoint, port_of(thing), seconds
  local found, why = core.connect(options)
  if not found then
    say:failed(why, "docs/how-to/refused-connections.md says what each of these words means")
    return false
  end
  say:ok(("%s, verified as %s, after %s"):format(found.how, thing.endpoint,
    milliseconds(found.seconds)))
  if thing.alpn ~= "" and found.alpn ~= thing.alpn then
    say:warning(("the server did not take the ALPN name %s"):format(thing.alpn),
      "set alpn = \"x-amzn-mqtt-ca\" for AWS IoT on port 443 only; else leave it out")
  elseif thing.alpn == "" and port_of(thing) == 443 and thing.endpoint:find("%.amazonaws%.com") then
    say:warning("port 443 of AWS IoT without ALPN", 'set alpn = "x-amzn-mqtt-ca"')
  end
  return true
end

---------------------------------------------------------------- MQTT

local function client_of(thing)
  return or_nil(thing.client_id) or thing.thing_name
end

-- The session of the broker is left as the gateway wants it.
local function open(thing, seconds, on_message, on_down)
  local options = thing.tls and tls_options(thing) or {}
  options.host, options.port, options.tls = thing.endpoint, port_of(thing), thing.tls
  options.client_id, options.protocol = client_of(thing), thing.mqtt_version
  options.clean, options.connect_timeout = not thing.persistent_session, seconds
  options.backoff_base, options.backoff_cap = 0.2, 1
  options.on_message, options.on_down = on_message, on_down
  return mqtt.connect(options)
end

local POLICY = { EREFUSED = true, ECONNRESET = true, ENOTCONN = true }

-- AWS closes the connection where another broker would say why.
local function action_for(code, id)
  if not POLICY[code] then
    return "docs/how-to/refused-connections.md says what each of these words means"
  end
  return ("the policy of this certificate must allow iot:Connect on client/%s; is the "
    .. "certificate active, and the policy attached to it?"):format(id)
end

local function connect(say, thing, connection, link, seconds)
  local began = time.mono()
  local id = client_of(thing)
  while not connection:is_up() and not link.why and time.mono() < began + seconds do
    time.sleep(POLL)
  end
  if connection:is_up() then
    say:ok(("CONNECT as client id %s accepted, MQTT %s, after %s (iot:Connect on client/%s)")
      :format(id, thing.mqtt_version == 5 and "5" or "3.1.1", milliseconds(time.mono() - began),
      id))
    return true
  end
  say:failed(link.why or ("the broker did not answer CONNECT within %g s"):format(seconds),
    action_for(link.code, id))
  return false
end

-- A broker refuses in its SUBACK; AWS closes the connection instead, so one filter at a time.
local function subscribe(say, connection, filter, seconds)
  local policy = "the policy of this certificate must allow " .. filter.needs
  if not connection:wait_up(seconds) then
    return say:failed(filter.topic .. ": not asked for, the connection did not come back", policy)
  end
  local answered, granted, why, code = core.within(seconds, function()
    return connection:subscribe({ filter.topic }, filter.event and 1 or 0)
  end)
  if not answered then
    return say:failed(("%s: the broker did not answer within %g s"):format(filter.topic, seconds),
      policy)
  elseif not granted then
    local closed = code == "ENOTCONN"
    return say:failed(("%s: %s"):format(filter.topic, closed
      and "refused: the broker closed the connection" or why), policy)
  elseif granted[1] >= 128 then
    return say:failed(filter.topic .. ": refused", policy)
  end
  say:ok(("%s: granted (%s)"):format(filter.topic, filter.needs))
  return true
end

---------------------------------------------------------------- the Jobs service

-- A DescribeJobExecution of $next: it changes nothing.
local function ask_next(say, thing, connection, inbox, seconds)
  local topic = ("$aws/things/%s/jobs/$next/get"):format(thing.thing_name)
  local policy = "the policy of this certificate must allow iot:Publish on topic/" .. topic
  local token = "doctor-" .. mqtt.unique_id()
  inbox.token, inbox.answer = token, nil
  if not connection:wait_up(seconds) then
    return say:failed(topic .. ": not asked, the connection did not come back", policy)
  end
  local began = time.mono()
  local sent, why, code = connection:publish(topic, json.encode({ clientToken = token,
    includeJobDocument = false }), { qos = 1 })
  if not sent then
    return say:failed(("%s: %s"):format(topic, (code == "ENOTCONN" or code == "EREFUSED")
      and "refused: the broker did not take the message" or why), policy)
  end
  while not inbox.answer and time.mono() < began + seconds do
    if not connection:is_up() then
      return say:failed(topic .. ": the broker closed the connection instead of an answer", policy)
    end
    time.sleep(POLL)
  end
  local answer = inbox.answer
  if not answer then
    return say:failed(("%s: the broker took the request, and no answer came within %g s"):format(
      topic, seconds), "is there a Jobs service behind this broker, and a thing of this name? "
      .. policy)
  elseif answer.code then
    return say:failed(("the service refused: %s: %s"):format(answer.code, answer.message or ""),
      answer.code == "ResourceNotFound" and "is there a thing of this name in the account?" or nil)
  end
  local execution = answer.execution
  say:ok(("answered after %s: %s (iot:Publish on topic/%s)"):format(
    milliseconds(time.mono() - began), execution and execution.jobId
    and ("the next job is %s (%s)"):format(execution.jobId, execution.status or "?")
    or "no job is pending", topic))
end

local function listen(inbox)
  return function(topic, payload)
    local message = topic:find("/jobs/$next/get/", 1, true) and json.decode(payload)
    if type(message) == "table" and message.clientToken == inbox.token then
      inbox.answer = message
    end
  end
end

-- All that needs an MQTT connection.
local function converse(report, thing)
  local inbox, link = {}, {}
  local name = thing.thing_name
  local connection = open(thing, report:left(), listen(inbox), function(why, code)
    link.why, link.code = link.why or why, link.code or code
  end)
  local up = report:check("mqtt", name, function(say)
    return connect(say, thing, connection, link, report:left())
  end, 1)
  for _, filter in ipairs(up and core.filters(name) or {}) do
    report:check("subscription", name, function(say)
      subscribe(say, connection, filter, report:left())
    end, 1)
  end
  if up then
    report:check("jobs", name, function(say)
      ask_next(say, thing, connection, inbox, report:left())
    end, 1)
    report:check("publish", name, function(say)
      say:info(("not tried, for it would change something: results need iot:Publish on "
        .. "topic/$aws/things/%s/jobs/*"):format(name))
    end)
  end
  connection:close()
end

---------------------------------------------------------------- the whole

---@param report hob.doctor.report
---@param thing table   of the configuration
---@param reach table   "host:port" -> does it answer TCP: asked once for all things
local function reaches(report, thing, reach)
  local place = ("%s:%d"):format(thing.endpoint, port_of(thing))
  if reach[place] == nil then
    local addresses = report:check("name", thing.endpoint, function(say)
      return resolve(say, thing.endpoint, report:left())
    end, 1)
    reach[place] = addresses ~= nil and report:check("tcp", place, function(say)
      return connect_each(say, addresses, port_of(thing), report:left())
    end, 1) == true
  end
  return reach[place]
end

--- All of it for each thing; `may_connect(thing)` says whether a connection with its client id
--- would disturb nobody.
---@param report hob.doctor.report
---@param about hob.doctor.about
---@param may_connect fun(thing: table): boolean
function M.check(report, about, may_connect)
  local reach = {}
  if about.values.proxy ~= "" or proxy_variable() then
    report:check("proxy", nil, function(say) say_proxy(say, about.values.proxy) end)
  end
  for _, thing in ipairs(about.values.things) do
    if thing.endpoint ~= "" and thing.thing_name ~= "" and thing.connection == "" then
      local there = reaches(report, thing, reach)
      if there and thing.tls then
        there = thing.ca ~= "" and report:check("tls", thing.thing_name, function(say)
          return handshake(say, thing, report:left())
        end, 1)
      end
      if there and may_connect(thing) then
        converse(report, thing)
      end
    end
  end
end

return M
