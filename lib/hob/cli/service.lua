--- `hob service`: a local Jobs service, in front of an ordinary broker.
local artifacts = require("hob.service.documents.artifacts")
local clocks = require("hob.service.clock")
local engines = require("hob.service.engine")
local fault = require("hob.cli.fault")
local faults = require("hob.service.faults")
local fs = require("hob.fs")
local http_side = require("hob.service.http_side")
local journals = require("hob.service.journal")
local log = require("hob.log")
local mqtt_side = require("hob.service.mqtt_side")
local options = require("hob.cli.options")
local packages = require("hob.service.documents.packages")
local process = require("hob.process")
local provisioning = require("hob.service.provisioning")
local provisioning_templates = require("hob.service.provisioning.template")
local serial = require("hob.service.serial")
local signers = require("hob.service.provisioning.signer")
local stores = require("hob.service.store")
local time = require("hob.time")
require("hob.service.device")

local M = {}

local USAGE = [[
usage: hob service --endpoint HOST --port N [flags]
       hob service fault add|list|remove   faults in a running service; fault --help says more

AWS IoT Jobs on this machine: devices reach it through the broker at HOST, you by `hob job`.
Without --data, what it knows is gone when it ends. Signatures of requests are not checked: it
listens on this machine only, unless --http says otherwise.

  --endpoint HOST       the broker
  --port N              its port
  --ca FILE             whom the broker's certificate must be signed by (PEM)
  --cert FILE           the service's own certificate and
  --key FILE            its key
  --no-tls              connect in the clear
  --mqtt VERSION        5, or 3.1.1 for a broker that knows no better (5)
  --http ADDRESS:PORT   where `hob job` finds it; port 0 takes a free one (127.0.0.1:8180)
  --data DIR            keep things, jobs and executions there across restarts (SQLite)
  --artifacts DIR       serve the files DIR/BUCKET/KEY to devices, by URLs that expire: what
                        ${aws:iot:s3-presigned-url:...} in a document becomes
  --artifacts-url URL   how devices reach --http (http://ADDRESS:PORT)
  --documents DIR       job documents below DIR may be named as documentSource (file://DIR/...)
  --packages FILE       software packages for ${aws:iot:package:...} (JSON)
  --provisioning-template FILE
                        a template of fleet provisioning (JSON); its name is the file's, without
                        .json. May be given more than once
  --provisioning-ca DIR who signs the certificates that devices get then: ca.crt and ca.key there,
                        made if they are missing (DIR of --data/provisioning-ca, or a temporary
                        one). Needs the program openssl; the broker must trust ca.crt
  --events              publish $aws/events/job... and jobExecution... from the start
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
    ["no-tls"] = {}, mqtt = { value = "VERSION", one_of = { "3.1.1", "5" } },
    http = { value = "ADDRESS:PORT" },
    data = { value = "DIR" }, artifacts = { value = "DIR" }, ["artifacts-url"] = { value = "URL" },
    ["provisioning-template"] = { value = "FILE", many = true },
    ["provisioning-ca"] = { value = "DIR" },
    documents = { value = "DIR" }, packages = { value = "FILE" }, events = {},
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

--- Directories and the file that documents are made from; packages are read.
local function check_sources(given)
  for _, name in ipairs{ "artifacts", "documents" } do
    local found = given[name] and fs.stat(given[name])
    if given[name] and not (found and found.type == "directory") then
      return mistake("--%s: %s is no directory", name, given[name])
    end
  end
  if given.documents and given.documents:sub(1, 1) ~= "/" then
    return mistake("--documents: expected an absolute path, as file:// has it, got '%s'",
      given.documents)
  elseif given.artifacts_url and not given.artifacts_url:find("^https?://[^/]") then
    return mistake("--artifacts-url: expected a URL such as http://10.0.0.1:8180, got '%s'",
      given.artifacts_url)
  end
  local text, message
  if given.packages then
    text, message = fs.read(given.packages)
  end
  if not message then
    given.catalogue, message = packages.new(text)
  end
  if message then
    return mistake("--packages %s: %s", given.packages, message)
  end
  return true
end

local function check_templates(given)
  given.templates = {}
  for _, path in ipairs(given.provisioning_template or {}) do
    local name = path:match("([^/]+)$"):gsub("%.json$", "")
    local text, why = fs.read(path)
    local template
    if text then
      template, why = provisioning_templates.parse(text)
    end
    if not template then
      return mistake("--provisioning-template %s: %s", path, why)
    elseif #name > 36 or not name:find("^[%w_-]+$") then
      return mistake("--provisioning-template %s: a template's name is 1 to 36 of a-z A-Z 0-9 _ -",
        path)
    end
    given.templates[name] = template
  end
  if given.provisioning_ca and not next(given.templates) then
    return mistake("--provisioning-ca is of no use without --provisioning-template")
  end
  return true
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
  if ok then
    ok, code = check_sources(given)
  end
  if ok then
    ok, code = check_templates(given)
  end
  if not ok then
    return nil, code
  end
  local address, port = http_address(given.http)
  if not address then
    return nil, port
  elseif given.artifacts and not given.artifacts_url and (address == "0.0.0.0" or address == "::")
  then
    return mistake("--artifacts-url URL is missing: with --http %s devices must be told an address",
      given.http)
  end
  return { address = address, port = port }
end

local function log_event(event)
  log[event.level](event.event, event.text, {
    thing = event.thing, job = event.job, execution = event.execution, code = event.code,
  })
end

local function new_engine(given, journal, clock, key)
  local engine = engines.new{
    minute_ms = given.minute_ms, events = given.events,
    on_event = function(event)
      log_event(event)
      journal:add(event, clock())
    end,
  }
  engine.documents = {
    dir = given.documents, packages = given.catalogue,
    artifacts = given.artifacts and artifacts.new{
      dir = given.artifacts, key = key, scale = engine.minute / 60, base = given.artifacts_url,
    },
  }
  return engine
end

--- What was kept, if anything is.
--- @return table|nil engine, string|nil message
local function load_engine(given, parts, journal, clock)
  if not given.data then
    return new_engine(given, journal, clock, stores.random_key())
  end
  local message
  parts.store, message = stores.open(given.data)
  if not parts.store then
    return nil, message
  end
  local engine = new_engine(given, journal, clock, parts.store.key)
  local ok, why = parts.store:load(engine)
  if not ok then
    parts.store:close()
    return nil, why
  end
  if given.events then
    engine:update_events({ eventConfigurations = {
      JOB = { Enabled = true }, JOB_EXECUTION = { Enabled = true } } }, clock())
  end
  return engine
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
    if parts.store then
      parts.store:close()
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
    cert = given.cert, key = given.key, protocol = given.mqtt == "3.1.1" and 4 or 5,
    client_id = ("hob-service-%d-%04x"):format(process.pid(), math.random(0, 0xffff)),
  }
end

--- Where devices fetch artifacts, once the port is known.
local function place_url(place, port)
  return ("http://%s:%d"):format(place.address:find(":") and "[" .. place.address .. "]"
    or place.address, port)
end

local function tell_place(parts, place)
  local loopback = place.address:find("^127%.") or place.address == "::1"
  log.info("service.listening", ("HTTP on %s port %d, %s; signatures are accepted unchecked")
    :format(place.address, parts.http:port(), loopback and "for this machine only"
      or "for ANY machine that reaches it"))
end

local function cannot_listen(place, message, code)
  return ("cannot listen on %s:%d: %s%s"):format(place.address, place.port, message,
    code == "EBUSY" and "; choose another place with --http ADDRESS:PORT (port 0 takes a free one)"
    or "")
end

--- @return table|nil provisioning  nil without a message: there are no templates
--- @return string|nil message
local function new_provisioning(given, engine)
  if not next(given.templates) then
    return nil
  end
  local dir, why = given.provisioning_ca or given.data and given.data .. "/provisioning-ca", nil
  if not dir then
    dir, why = fs.tempdir()
  end
  local signer
  if dir then
    signer, why = signers.open(dir)
  end
  if not signer then
    return nil, "--provisioning-ca: " .. why
  end
  log.info("service.provisioning", ("certificates of fleet provisioning are signed by %s")
    :format(signer.ca), { action = "have the broker trust it" })
  return provisioning.new({ templates = given.templates, signer = signer, engine = engine,
    minute = engine.minute, on_event = log_event })
end

--- @return table|nil parts, string|nil message
local function start(given, place)
  local parts = { address = place.address }
  end_on_signals(parts)
  local journal, clock = journals.new(), clocks.new()
  local engine, message = load_engine(given, parts, journal, clock)
  if not engine then
    return nil, message
  end
  local turns = serial.new(function(why)
    log.error("service.internal_error", why)
  end)
  local fleet
  fleet, message = new_provisioning(given, engine)
  if message then
    return nil, message
  end
  log.info("service.connecting", ("connecting to the broker %s:%d"):format(given.endpoint,
    given.port))
  parts.mqtt = mqtt_side.start{
    engine = engine, serial = turns, clock = clock, connect = connect_options(given),
    faults = faults.new(log_event), store = parts.store, provisioning = fleet,
  }
  local files = engine.documents.artifacts
  local http, why, code = http_side.start{
    engine = engine, serial = turns, journal = journal, mqtt = parts.mqtt, clock = clock,
    artifacts = files, address = place.address, port = place.port,
  }
  if not http then
    parts.mqtt:close()
    return nil, cannot_listen(place, why, code)
  end
  parts.http = http
  local url = place_url(place, http:port())
  if files then
    files.base = files.base or url
  end
  if parts.store then
    parts.store:say_who(", " .. url)
  end
  tell_place(parts, place)
  turns:post(function() parts.mqtt:settle(engine:tick(clock())) end) -- timers that ended meanwhile
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
  if argv[1] == "fault" then
    return fault.run(table.move(argv, 2, #argv, 1, {}))
  end
  local given, code = options.parse(argv, SYNTAX)
  local place = given
  if given then
    place, code = check(given)
  end
  if not place then
    return code
  end
  log.configure{ level = given.log_level or "info", format = given.log_format or "text" }
  -- Nearly all garbage of a service is young, and small portions of it are collected without
  -- stopping it for more than a few milliseconds; looking through all that it keeps takes tens.
  collectgarbage("generational", 5, 300)
  local parts, message = start(given, place)
  if not parts then
    io.stderr:write("hob service: ", message, "\n")
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
