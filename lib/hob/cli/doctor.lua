--- `hob doctor`: what is wrong here, from the machine to the cloud, and what to do about it.
local certificates = require("hob.doctor.certificates")
local core = require("hob.doctor.core")
local fs = require("hob.fs")
local gateway = require("hob.doctor.gateway")
local gateways = require("hob.cli.gateway")
local handlers = require("hob.doctor.handlers")
local json_text = require("hob.service.json_text")
local log = require("hob.log")
local machine = require("hob.doctor.machine")
local network = require("hob.doctor.network")
local options = require("hob.cli.options")
local reports = require("hob.doctor.report")
local settings = require("hob.doctor.settings")

local M = {}

local DEFAULT_CONFIG = "/etc/hob/hob.conf.lua"
local TIMEOUT = 5
local TOTAL_LEAST, TOTAL_TIMES = 60, 12

local USAGE = [==[
usage: hob doctor [--config FILE | --data DIR | --socket PATH] [--offline] [--json]
                  [--timeout SECONDS]

Looks at everything that a gateway needs, from the machine to the cloud: configuration, permissions,
clock, disk, store, handlers (and asks their own `doctor`), certificates, name resolution, TCP, TLS,
MQTT, each subscription with the IoT policy action that it needs, and the Jobs service. One line for
each: ok, info, warning or failed, and what to do.

A running gateway is asked through its control socket, and its connection is left alone. If none
runs, hob doctor connects with the gateway's own client id.

  --config FILE      the configuration that hob run is started with; if nothing is given, that of
                     the running gateway, else /etc/hob/hob.conf.lua
  --data DIR         the gateway's data directory (default /var/lib/hob)
  --socket PATH      or its control socket
  --offline          nothing of the network
  --json             print JSON, for programs
  --timeout SECONDS  for each check (1-600, default 5); all together take at most twelve times that,
                     or a minute

Exit status: 0; 1 if something failed (warnings do not count: so is what a handler's own `doctor`
finds missing); 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob doctor", usage = USAGE,
  flags = {
    json = {}, offline = {}, timeout = { value = "SECONDS", low = 1, high = 600 },
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

---------------------------------------------------------------- what is looked at

---@class hob.doctor.about
---@field config any            of hob.doctor.core; nil: none is known
---@field config_path string?
---@field values table?         its values, as far as they could be read
---@field problems string[]
---@field readable boolean      the configuration could be read, whatever is wrong with it
---@field has_passphrase boolean
---@field data string?
---@field scripts string?
---@field running hob.doctor.running?
---@field socket_given string?  by --socket
---@field not_asked string?     a gateway runs, and why it was not asked
---@field hangs boolean?         that is because it does not answer

local function read_config(about, path)
  about.config_path = path
  about.config, about.problems, about.readable = core.config({ "--config", path })
  about.values = about.config:values()
  for _, thing in ipairs(about.values.things) do
    about.has_passphrase = about.has_passphrase or thing.key_passphrase ~= ""
  end
  if about.readable then
    about.data = about.data or about.values.data ~= "" and about.values.data or nil
    about.scripts = about.values.scripts
  end
end

-- Is there a gateway behind this socket? One that cannot be asked must not be disturbed, either.
local function ask_gateway(about, socket)
  local running, why, code = gateway.ask(socket)
  about.running = running
  if running then
    about.data, about.scripts = about.data or running.data, about.scripts or running.scripts
  elseif code ~= "ENOENT" and code ~= "EREFUSED" and code ~= "ECONNREFUSED" then
    about.hangs = code == "ETIMEDOUT"
    about.not_asked = about.hangs and why or "a gateway runs here and could not be asked: " .. why
  end
end

-- A gateway that could not make its control socket still holds its store.
local function find_silent(about)
  if about.data and not about.running and not about.not_asked then
    local _, why, code = core.store(about.data .. "/hob.db", 0.1)
    if code == "EBUSY" then
      about.not_asked = why .. ", and has no control socket"
    end
  end
end

---@return hob.doctor.about
local function find(given)
  local about = { problems = {}, readable = false, has_passphrase = false }
  if given.config then
    read_config(about, given.config)
    if about.data then
      ask_gateway(about, about.data .. "/hob.sock")
    end
  else
    local place = gateways.find(given)
    about.data, about.socket_given = place.data, given.socket
    ask_gateway(about, place.socket)
    local path = about.running and about.running.config
      or not (given.data or given.socket) and fs.exists(DEFAULT_CONFIG) and DEFAULT_CONFIG
    if path then
      read_config(about, path)
    end
  end
  find_silent(about)
  return about
end

---------------------------------------------------------------- looking

local function look_at_cloud(report, about)
  local function may_connect(thing)
    local theirs = about.running and gateway.thing(about.running, thing.thing_name)
    if theirs then
      gateway.check_thing(report, theirs, about.running.uptimeSeconds)
    elseif about.running and #about.running.things < about.running.thingCount then
      report:check("mqtt", thing.thing_name, function(say)
        say:ok("the running gateway, which has many things, has no trouble with it")
      end)
    elseif about.running or about.not_asked then
      report:check("mqtt", thing.thing_name, function(say)
        say:info("not connected: a gateway runs here, which that might throw out")
      end)
    end
    return not about.running and not about.not_asked
  end
  network.check(report, about, may_connect)
end

-- A running gateway whose things were not reached above still says how it does.
local function look_at_rest(report, about)
  local seen = {}
  for _, finding in ipairs(report.findings) do
    seen[finding.check == "mqtt" and finding.subject or ""] = true
  end
  for _, thing in ipairs(about.running and about.running.things or {}) do
    if not seen[thing.thing] then
      gateway.check_thing(report, thing, about.running.uptimeSeconds)
    end
  end
end

local function look(report, about, given)
  settings.configuration(report, about)
  settings.permissions(report, about)
  machine.time(report, about)
  machine.disk(report, about)
  machine.store(report, about)
  machine.unit(report)
  gateway.check(report, about)
  if about.readable then
    settings.programs(report, about)
    handlers.check(report, about)
    certificates.check(report, about)
    if not given.offline then
      look_at_cloud(report, about)
    end
  end
  look_at_rest(report, about)
end

---------------------------------------------------------------- showing

local function show(finding)
  local subject = finding.subject and " " .. finding.subject or ""
  io.stdout:write(("%-8s %s%s: %s%s\n"):format(finding.state, finding.check, subject, finding.text,
    finding.action and "; do: " .. finding.action or ""))
  io.stdout:flush()
end

local function plural(count, word)
  return ("%d %s%s"):format(count, word, count == 1 and "" or "s")
end

local function show_sum(report)
  print(("%d failed, %s, %d ok"):format(report.counts.failed,
    plural(report.counts.warning, "warning"), report.counts.ok))
end

local function as_members(report, about)
  local state = about.running and "running" or about.not_asked and "unknown" or "stopped"
  return { ok = report.counts.failed == 0, failed = report.counts.failed,
    warnings = report.counts.warning, gateway = state, config = about.config_path,
    data = about.data, checks = json_text.list(report.findings) }
end

local function examine(given, hear)
  local timeout = given.timeout or TIMEOUT
  log.configure({ level = "off" }) -- what goes wrong is in the findings
  local report = reports.new({ timeout = timeout,
    total = math.max(TOTAL_LEAST, TOTAL_TIMES * timeout), hear = hear })
  local about = find(given)
  look(report, about, given)
  return report, about
end

--- For commands that have written a configuration: look at it, and show that unless `quiet`.
---@param given { config: string, offline: boolean? }
---@param quiet boolean?
---@return boolean ok
---@return table members  as --json prints them
function M.examine(given, quiet)
  local report, about = examine(given, quiet and function() end or show)
  if not quiet then
    show_sum(report)
  end
  return report.counts.failed == 0, as_members(report, about)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  end
  if (given.config and 1 or 0) + (given.data and 1 or 0) + (given.socket and 1 or 0) > 1 then
    return select(2, options.mistake("hob doctor",
      "expected one of --data, --socket and --config"))
  end
  local report, about = examine(given, given.json and function() end or show)
  if given.json then
    print(json_text.encode(as_members(report, about)))
  else
    show_sum(report)
  end
  return report.counts.failed > 0 and 1 or 0
end

return M
