--- The configuration of AWS's own client (awslabs/aws-iot-device-client) on this machine, and what
--- each of its settings is for Hob. No I/O but looking at files.
---
--- Source of its settings, their defaults and the permissions that it insists on: that project's
--- docs/CONFIG.md, docs/PERMISSIONS.md, source/config/Config.h, source/*/README.md, setup.sh.
--- Spec: spec/integration/import_spec.lua
local fs = require("hob.fs")
local json = require("hob.json")

local M = {}

local NAME = "aws-iot-device-client.conf"
local RUNTIME = "aws-iot-device-client-runtime.conf"
local LOG_FILE = "/var/log/aws-iot-device-client/aws-iot-device-client.log"
M.PROGRAM, M.SERVICE = "aws-iot-device-client", "aws-iot-device-client.service"

--- Where its setup puts its configuration, and where it looks for it itself.
---@return string[]
function M.places()
  local home = os.getenv("HOME") or "/root"
  local places, seen = {}, {}
  for _, dir in ipairs{ "/etc/.aws-iot-device-client", "/etc/aws-iot-device-client",
    home .. "/.aws-iot-device-client", "/root/.aws-iot-device-client" } do
    if not seen[dir] then
      seen[dir] = true
      places[#places + 1] = dir .. "/" .. NAME
    end
  end
  return places
end

--- What `~` is in a file that lies there: who runs the client is not written down anywhere.
---@param file string
---@return string
local function home_of(file)
  return file:match("^(/home/[^/]+)/") or file:match("^(.*)/%.aws%-iot%-device%-client/[^/]*$")
    and not file:find("^/etc/") and file:match("^(.*)/%.aws%-iot%-device%-client/") or "/root"
end

---@return table|nil members
---@return string|nil message
local function read_object(path)
  local text, why = fs.read(path)
  if not text then
    return nil, why
  end
  local members
  members, why = json.decode(text)
  if type(members) ~= "table" then
    return nil, ("%s: %s"):format(path, members == nil and "is no JSON: " .. why
      or "expected a JSON object")
  end
  return members
end

--- What is not there, null, of another kind or `""` counts as absent, as it does there.
local function text_of(object, name)
  local value = object[name]
  return type(value) == "string" and value ~= "" and value or nil
end

local function part(object, name)
  local value = object[name]
  return type(value) == "table" and value or {}
end

---@class hob.setup.aws_client
---@field file string
---@field settings table       for hob.setup.config
---@field mapped table[]       { setting =, key =, value = }
---@field missing table[]      { setting =, text =, action = }: what has no counterpart
---@field problems string[]    why no configuration can be made of it
---@field handlers string|nil  its handler directory
---@field provision string|nil the command that does its fleet provisioning
---@field notes string[]       comments for the configuration

local import = {}
import.__index = import

function import:map(setting, key, value)
  self.settings[key] = value
  self.mapped[#self.mapped + 1] = { setting = setting, key = key, value = value }
end

function import:miss(setting, text, action)
  self.missing[#self.missing + 1] = { setting = setting, text = text, action = action }
end

function import:expand(setting, path)
  if path:find("[$`*?]") then
    self.problems[#self.problems + 1] = ("%s: %s: a shell's signs are not expanded here; write the "
      .. "name out"):format(setting, path)
  end
  return (path:gsub("^~", self.home))
end

local function path_of(self, object, name)
  local path = text_of(object, name)
  return path and self:expand(name, path)
end

---------------------------------------------------------------- what goes over

-- A CA that Debian's ca-certificates has, and other systems, too.
local ROOTS = { "/etc/ssl/certs/Amazon_Root_CA_1.pem", "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt" }

local function take_ca(self, given)
  local path = path_of(self, given, "root-ca")
  if path and fs.exists(path) then
    return self:map("root-ca", "ca", path)
  end
  for _, root in ipairs(ROOTS) do
    if fs.exists(root) then
      self:map("root-ca", "ca", root)
      return self:miss("root-ca", path and path .. " is not there: AWS's client goes on with the "
        .. "system's CAs, and so does Hob, with " .. root or "is not set: the system's CA is taken",
        "better: AmazonRootCA1.pem of your own, which no update of the system changes")
    end
  end
  self.problems[#self.problems + 1] = "root-ca: is not set or not there, and this system has none "
    .. "of its own: get AmazonRootCA1.pem, and name it with --ca FILE"
end

local function take_connection(self, given)
  if text_of(given, "endpoint") then
    self:map("endpoint", "endpoint", given.endpoint)
  else
    self.problems[#self.problems + 1] = "endpoint: is not set"
  end
  take_ca(self, given)
  if given["clean-session"] == false then
    self:map("clean-session", "persistent_session", true)
  end
end

-- What fleet provisioning has left goes before what it began with.
local function take_identity(self, given)
  local fleet = part(given, "fleet-provisioning")
  local runtime_file = self.home .. "/.aws-iot-device-client/" .. RUNTIME
  local runtime = part(fs.exists(runtime_file) and read_object(runtime_file) or {},
    "runtime-config")
  if fleet.enabled == true and runtime["completed-fp"] == true then
    given, self.from_runtime = runtime, runtime_file
  elseif fleet.enabled == true then
    self.unprovisioned = fleet
    return
  end
  for _, name in ipairs{ "cert", "key" } do
    local path = path_of(self, given, name)
    if path then
      self:map(name, name, path)
    else
      self.problems[#self.problems + 1] = name .. ": is not set"
    end
  end
  if text_of(given, "thing-name") then
    self:map("thing-name", "thing_name", given["thing-name"])
  else
    self.problems[#self.problems + 1] = "thing-name: is not set"
  end
end

local JOBS = "jobs"

local function take_jobs(self, given)
  local jobs = part(given, JOBS)
  if jobs.enabled == false then
    self:miss(JOBS .. ".enabled", "is false: AWS's client has run no jobs here, and Hob will",
      "if it shall not, do not start Hob")
  end
  local dir = path_of(self, jobs, "handler-directory")
    or self.home .. "/.aws-iot-device-client/jobs"
  dir = dir:gsub("(.)/+$", "%1")
  local stat = fs.stat(dir)
  if stat and stat.type == "directory" then
    self.handlers = dir
    self:map(JOBS .. ".handler-directory", "handler_dir", dir)
  else
    self:miss(JOBS .. ".handler-directory", dir .. " is not there: no executables are taken over",
      "set handler_dir when there are some")
  end
end

local LEVELS = { DEBUG = "debug", INFO = "info", WARN = "warn", ERROR = "error" }

local function take_logging(self, given)
  local logging = part(given, "logging")
  local level = text_of(logging, "level")
  if level and LEVELS[level:upper()] then
    self:map("logging.level", "log_level", LEVELS[level:upper()])
  end
  if (text_of(logging, "type") or ""):lower() == "file" then
    local file = path_of(self, logging, "file") or LOG_FILE
    self:map("logging.file", "log_target", (file:gsub("[^/]*$", "hob.log")))
  end
  if logging["enable-sdk-logging"] == true then
    self:miss("logging.enable-sdk-logging", "Hob has no library's log of its own",
      'log_level = "debug" shows the connection, too; `hob log` has what was kept')
  end
end

---------------------------------------------------------------- what does not

local BESIDE = "it can go on beside Hob for that, with jobs.enabled = false, if Hob gets another "
  .. "client id: client_id = \"THING-hob\", which the policy must allow (iot:Connect on "
  .. "client/THING-hob)"

local function on(object)
  return object.enabled == true
end

local function leave_features(self, given)
  if part(given, "tunneling").enabled ~= false then
    local silent = type(given.tunneling) ~= "table"
    self:miss("tunneling", "secure tunnels are not Hob's business" .. (silent
      and " (AWS's client has them on where nothing is said)" or ""), "if you use them: "
      .. BESIDE .. "; else nothing")
  end
  if on(part(given, "device-defender")) then
    self:miss("device-defender", "Hob sends no metrics to Device Defender", "a handler or a "
      .. "program of yours can publish them; `hob metrics` is for Prometheus; or " .. BESIDE)
  end
  if on(part(part(given, "samples"), "pub-sub")) then
    self:miss("samples.pub-sub", "it is a sample, and left out", "handlers publish with hob.cloud, "
      .. "on topics = { allow = { ... } }")
  end
  for _, name in ipairs{ "config-shadow", "sample-shadow" } do
    if on(part(given, name)) then
      self:miss(name, "Hob keeps no shadow", "a program of yours does; or " .. BESIDE)
    end
  end
  if part(part(given, "sensor-publish"), "sensors")[1] ~= nil then
    self:miss("sensor-publish", "Hob reads no sensors' sockets", "a program of yours does; or "
      .. BESIDE)
  end
  if on(part(given, "secure-element")) then
    self.problems[#self.problems + 1] = "secure-element: the key lies in a PKCS#11 token, and "
      .. "`hob run` reads keys from files; a product that embeds libhob gives it a key provider"
  end
end

local function quoted(text)
  return text:find("^[%w_./:=-]+$") and text or "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The parameters are a JSON object, written as a text.
local function parameters(self, fleet)
  local text = text_of(fleet, "template-parameters")
  local members = text and json.decode(text)
  local words = {}
  if text and type(members) ~= "table" then
    self:miss("fleet-provisioning.template-parameters", "is no JSON object: " .. text,
      "give each as --param NAME=VALUE")
  end
  for name, value in pairs(type(members) == "table" and members or {}) do
    words[#words + 1] = "--param " .. quoted(name .. "=" .. tostring(value))
  end
  table.sort(words)
  return table.concat(words, " ")
end

local function say_provision(self, given)
  local fleet = self.unprovisioned
  local words = { "hob provision", "--endpoint " .. quoted(self.settings.endpoint or "HOST"),
    "--template " .. quoted(text_of(fleet, "template-name") or "NAME"),
    "--ca " .. quoted(self.settings.ca or "FILE"),
    "--claim-cert " .. quoted(path_of(self, given, "cert") or "FILE"),
    "--claim-key " .. quoted(path_of(self, given, "key") or "FILE"),
    text_of(fleet, "csr-file") and "--csr" or nil }
  local more = parameters(self, fleet)
  words[#words + 1] = more ~= "" and more or nil
  words[#words + 1] = "--out /etc/hob/identity --config /etc/hob/hob.conf.lua"
  self.provision = table.concat(words, " ")
end

---@param file string
---@return hob.setup.aws_client|nil
---@return string|nil message
function M.read(file)
  local given, why = read_object(file)
  if not given then
    return nil, why
  end
  local self = setmetatable({ file = file, home = home_of(file), settings = {}, mapped = {},
    missing = {}, problems = {}, notes = {} }, import)
  take_connection(self, given)
  take_identity(self, given)
  take_jobs(self, given)
  take_logging(self, given)
  leave_features(self, given)
  if self.unprovisioned then
    say_provision(self, given)
  end
  return self
end

---------------------------------------------------------------- the old agent

--- The processes of it that run.
---@return integer[] pids
function M.running()
  local pids = {}
  for _, name in ipairs(fs.list("/proc") or {}) do
    local words = name:find("^%d+$") and fs.read("/proc/" .. name .. "/cmdline")
    local program = words and words:match("^[^%z]*")
    if program and program:match("[^/]*$"):find("^aws%-iot%-device%-client") then
      pids[#pids + 1] = math.tointeger(name)
    end
  end
  return pids
end

return M
