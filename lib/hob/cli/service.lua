--- `hob service`: a local Jobs service, in front of an ordinary broker.
local clocks = require("hob.service.clock")
local engines = require("hob.service.engine")
local http_side = require("hob.service.http_side")
local journals = require("hob.service.journal")
local log = require("hob.log")
local mqtt_side = require("hob.service.mqtt_side")
local options = require("hob.cli.options")
local process = require("hob.process")
local serial = require("hob.service.serial")
local time = require("hob.time")
require("hob.service.device")

local M = {}

local USAGE = [[
usage: hob service --endpoint HOST --port N [flags]

AWS IoT Jobs on this machine: devices reach it through the broker at HOST, you by `hob job`.
What it knows is gone when it ends.

  --endpoint HOST       the broker
  --port N              its port
  --ca FILE             whom the broker's certificate must be signed by (PEM)
  --cert FILE           the service's own certificate and
  --key FILE            its key
  --no-tls              connect in the clear
  --http ADDRESS:PORT   where `hob job` finds it; port 0 takes a free one (127.0.0.1:8180)
  --minute-ms N         how long a minute of a job's timers lasts (60000)
  --log-level LEVEL     debug, info, warn, error or off (info)
  --log-format FORMAT   text or json (text)
]]

local SYNTAX = {
  command = "hob service",
  usage = USAGE,
  flags = {
    endpoint = { value = "HOST", required = true },
    port = { value = "N", low = 1, high = 65535, required = true },
    ca = { value = "FILE" }, cert = { value = "FILE" }, key = { value = "FILE" },
    ["no-tls"] = {},
    http = { value = "ADDRESS:PORT" },
    ["minute-ms"] = { value = "N", low = 1, high = 60000 },
    ["log-level"] = { value = "LEVEL", one_of = { "debug", "info", "warn", "error", "off" } },
    ["log-format"] = { value = "FORMAT", one_of = { "text", "json" } },
  },
}

local function mistake(format, ...)
  return options.mistake(SYNTAX.command, format, ...)
end

local function check_files(given)
  for _, name in ipairs{ "ca", "cert", "key" } do
    if given[name] then
      local file, message = io.open(given[name], "rb")
      if not file then
        return mistake("--%s: %s", name, message)
      end
      file:close()
    end
  end
  return true
end

--- @return string|nil address, integer port_or_code
local function http_address(text)
  local address, port = (text or "127.0.0.1:8180"):match("^(.+):(%d+)$")
  port = math.tointeger(tonumber(port))
  if not port or port > 65535 then
    return mistake("--http: expected ADDRESS:PORT such as 127.0.0.1:8180, got '%s'", text)
  end
  return address:match("^%[(.*)%]$") or address, port
end

local function check(given)
  if given.no_tls and (given.ca or given.cert or given.key) then
    return mistake("--no-tls and --ca, --cert, --key exclude each other")
  elseif not given.no_tls and not given.ca then
    return mistake("--ca FILE is missing (or say --no-tls)")
  elseif (given.cert == nil) ~= (given.key == nil) then
    return mistake("--cert and --key belong together")
  end
  local ok, code = check_files(given)
  if not ok then
    return nil, code
  end
  local address, port = http_address(given.http)
  if not address then
    return nil, port
  end
  return { address = address, port = port }
end

local function log_event(event)
  log[event.level](event.event, event.text, {
    thing = event.thing, job = event.job, execution = event.execution, code = event.code,
  })
end

local function new_engine(given, journal, clock)
  return engines.new{
    minute_ms = given.minute_ms,
    on_event = function(event)
      log_event(event)
      journal:add(event, clock())
    end,
  }
end

--- SIGTERM and SIGINT end the service; a second one does not wait for the broker.
local function end_on_signals(parts)
  local ending = false
  local function stop()
    if ending then
      process.exit(1)
    end
    ending = true
    if parts.http then
      parts.http:close()
    end
    if parts.mqtt then
      parts.mqtt:close()
    end
    log.info("service.stopped", "ended by a signal")
    process.exit(0)
  end
  process.on_signal("TERM", stop)
  process.on_signal("INT", stop)
end

local function connect_options(given)
  return {
    host = given.endpoint, port = given.port, tls = not given.no_tls, ca = given.ca,
    cert = given.cert, key = given.key,
    client_id = ("hob-service-%d-%04x"):format(process.pid(), math.random(0, 0xffff)),
  }
end

local function start(given, place)
  local parts = { address = place.address }
  end_on_signals(parts)
  local journal, clock = journals.new(), clocks.new()
  local engine = new_engine(given, journal, clock)
  local turns = serial.new(function(message)
    log.error("service.internal_error", message)
  end)
  parts.mqtt = mqtt_side.start{
    engine = engine, serial = turns, clock = clock, connect = connect_options(given),
  }
  local http, message, code = http_side.start{
    engine = engine, serial = turns, journal = journal, mqtt = parts.mqtt, clock = clock,
    address = place.address, port = place.port,
  }
  if not http then
    parts.mqtt:close()
    return nil, message, code
  end
  parts.http = http
  return parts
end

local function tell_ready(parts)
  io.stdout:write(("service ready: http://%s:%d, broker %s\n"):format(parts.address,
    parts.http:port(), parts.mqtt.broker))
  io.stdout:flush()
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  local place = given
  if given then
    place, code = check(given)
  end
  if not place then
    return code
  end
  log.configure{ level = given.log_level or "info", format = given.log_format or "text" }
  local parts, message
  parts, message, code = start(given, place)
  if not parts then
    io.stderr:write(("hob service: cannot listen on %s:%d: %s%s\n"):format(place.address,
      place.port, message, code == "EBUSY"
        and "; choose another place with --http ADDRESS:PORT (port 0 takes a free one)" or ""))
    return 1
  end
  repeat -- why there is no connection yet is in the log
    local ready = parts.mqtt:wait_ready(3600)
  until ready or parts.mqtt.closing
  if not parts.mqtt.closing then
    tell_ready(parts)
  end
  while true do -- a signal ends it
    time.sleep(3600)
  end
end

return M
