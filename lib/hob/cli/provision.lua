--- `hob provision`: AWS IoT fleet provisioning by claim: a certificate and a thing of this device's
--- own, for a certificate that all devices of a series have.
local config_file = require("hob.setup.config")
local exchange = require("hob.provision.exchange")
local files = require("hob.setup.files")
local finish = require("hob.setup.finish")
local init = require("hob.cli.init")
local json = require("hob.json")
local log = require("hob.log")
local mqtt = require("hob.mqtt")
local options = require("hob.cli.options")
local places = require("hob.provision.place")
local work = require("hob.provision.work")

local M = {}

local USAGE = [==[
usage: hob provision --template NAME --endpoint HOST --ca FILE --claim-cert FILE --claim-key FILE
                     --out DIR [flags]

Fleet provisioning: connects with the claim certificate, gets a certificate of this device's own,
has the template make a thing of it, and writes DIR/certificate.pem, DIR/private.key and Hob's
configuration. After a power cut or an error, give the same command again: it goes on where it was.
A second run in the same DIR is refused while one is at work there.

  --template NAME     the provisioning template
  --endpoint HOST     aws iot describe-endpoint --endpoint-type iot:Data-ATS says it
  --port N            default 8883; 443 is asked by the name that AWS wants there
  --ca FILE           who has signed the endpoint's certificate: AmazonRootCA1.pem
  --claim-cert FILE   the certificate that it begins with and
  --claim-key FILE    its key
  --out DIR           where key and certificate go (made with mode 0700)
  --csr               make the key here, so that it never leaves this device (else AWS makes it)
  --key-type TYPE     of such a key: ec or rsa (ec)
  --param NAME=VALUE  a parameter of the template; as many as it needs
  --client-id ID      for the claim connection, if its policy wants a certain one
  --timeout SECONDS   for each answer (15)
  --tries N           how often what may pass is tried: no answer, throttling (6)
  --config FILE       the configuration that is written (default /etc/hob/hob.conf.lua)
  --scripts DIR, --data DIR, --exec-user USER  for it, as in hob init
  --force             replace a pair that is in DIR, and a configuration (kept as *.old)
  --no-tls            connect in the clear: on a bench
  --offline           nothing of the network in hob doctor, which looks at the result
  --json              print one JSON object, for programs

Exit status: 0: done, and hob doctor found nothing that fails; 1: it did not work, or it did; 2:
misuse.
]==]

M.SYNTAX = {
  command = "hob provision", usage = USAGE,
  flags = {
    template = { value = "NAME", required = true }, endpoint = { value = "HOST", required = true },
    port = { value = "N", low = 1, high = 65535 }, ca = { value = "FILE" },
    ["claim-cert"] = { value = "FILE" }, ["claim-key"] = { value = "FILE" },
    out = { value = "DIR", required = true }, csr = {},
    ["key-type"] = { value = "TYPE", one_of = { "ec", "rsa" } },
    param = { value = "NAME=VALUE", many = true }, ["client-id"] = { value = "ID" },
    timeout = { value = "SECONDS", low = 1, high = 600 },
    tries = { value = "N", low = 1, high = 100 }, config = { value = "FILE" },
    scripts = { value = "DIR" }, data = { value = "DIR" }, ["exec-user"] = { value = "USER" },
    force = {}, ["no-tls"] = {}, offline = {}, json = {},
  },
}

local function mistake(format, ...)
  return options.mistake("hob provision", format, ...)
end

---------------------------------------------------------------- what was given

local function read_parameters(given)
  local parameters = {}
  for _, text in ipairs(given.param or {}) do
    local name, value = text:match("^([^=]+)=(.*)$")
    if not name then
      return mistake("--param: expected NAME=VALUE, got '%s'", text)
    elseif parameters[name] then
      return mistake("--param: %s is given twice", name)
    end
    parameters[name] = value
  end
  return parameters
end

local FILES = { { "ca", "ca" }, { "claim_cert", "cert" }, { "claim_key", "key" } }

local function check_files(given)
  for _, one in ipairs(FILES) do
    local flag, path = one[1]:gsub("_", "-"), given[one[1]]
    if not path then
      return mistake("--%s FILE is missing", flag)
    end
    given[one[1]] = config_file.absolute(path)
    local ok, why = files.check_one(one[2], given[one[1]])
    if not ok then
      return mistake("--%s: %s", flag, why)
    end
  end
  return true
end

local function check(given)
  if not exchange.is_template_name(given.template) then
    return mistake("--template: expected 1 to 36 of a-z A-Z 0-9 _ -, got '%s'", given.template)
  elseif given.key_type and not given.csr then
    return mistake("--key-type is of a key that is made here: it goes with --csr")
  elseif given.no_tls and (given.ca or given.claim_cert or given.claim_key) then
    return mistake("--no-tls and --ca, --claim-cert, --claim-key exclude each other")
  end
  local ok, code = given.no_tls or check_files(given), 2
  if not ok then
    return nil, code
  end
  given.parameters, code = read_parameters(given)
  if not given.parameters then
    return nil, code
  end
  given.out = config_file.absolute(given.out):gsub("(.)/+$", "%1")
  given.config = given.config or config_file.FILE
  given.mode = given.csr and "csr" or "keys"
  given.key_type = given.csr and (given.key_type or "ec") or nil
  return given
end

---------------------------------------------------------------- the connection

local ALPN_PORT, ALPN = 443, "x-amzn-mqtt-ca"

local function connect(given)
  return mqtt.connect({
    host = given.endpoint, port = given.port, tls = not given.no_tls, ca = given.ca,
    cert = given.claim_cert, key = given.claim_key, alpn = given.port == ALPN_PORT and ALPN or nil,
    client_id = given.client_id or "hob-claim-" .. mqtt.unique_id(), connect_timeout = 30,
    backoff_base = 0.5, backoff_cap = 10,
  })
end

-- Made when it is first needed: a run that only has to end what was begun needs none.
local function lazy_link(given)
  local connection, link
  local function get()
    connection = connection or connect(given)
    local up, why = connection:wait_up((given.timeout or 15) * 2)
    if not up then
      return nil, ("%s was not reached with the claim certificate: %s"):format(given.endpoint, why)
    end
    link = link or exchange.link_of_connection(connection)
    return link
  end
  local function close()
    if connection then
      connection:close()
    end
  end
  return get, close
end

---------------------------------------------------------------- what came of it

local function teller(given)
  return function(text)
    if not given.json then
      io.stdout:write(text, "\n"):flush()
    end
  end
end

local function pairs_of(configuration)
  local names = {}
  for name in pairs(configuration) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function tell_configuration(tell, configuration)
  if configuration then
    tell("device configuration of the template:")
    for _, name in ipairs(pairs_of(configuration)) do
      local value = configuration[name]
      tell(("  %s = %s"):format(name, type(value) == "string" and value or json.encode(value)):gsub(
        "%c", "?"))
    end
  end
end

local function configuration(given, place, state)
  return config_file.text({
    endpoint = given.endpoint, port = given.port, thing_name = state.thing, ca = given.ca,
    cert = not given.no_tls and place.certificate or nil,
    key = not given.no_tls and place.key or nil,
    scripts = given.scripts and config_file.absolute(given.scripts) or init.scripts()
      or "/usr/share/hob/scripts",
    data = config_file.absolute(given.data or config_file.DATA), tls = not given.no_tls and nil,
    exec_user = given.exec_user,
  }, "Written by hob provision, template " .. given.template .. ".")
end

local function provision(given, place, tell)
  local link, close = lazy_link(given)
  local state, why = work.run({
    place = place, link = link, endpoint = given.endpoint, template = given.template,
    mode = given.mode, key_type = given.key_type,
    subject = "CN=" .. given.template, parameters = given.parameters,
    timeout = given.timeout or 15, tell = tell,
    patience = { tries = given.tries or 6, on_wait = function(seconds, refusal, left)
      tell(("%s; again in %.1f s (%d left)"):format(refusal.message, seconds, left))
    end },
  })
  close()
  return state, why
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if given then
    given, code = check(given)
  end
  if not given then
    return code
  end
  log.configure({ level = "error" })
  local tell = teller(given)
  local result = { command = "hob provision", config = given.config, force = given.force,
    offline = given.offline, json = given.json, members = {} }
  local place <close>, why = places.open(given.out)
  if not place then
    return finish.fail(result, why)
  elseif place:is_taken() and not place:is_ending(given) and not given.force then
    return finish.fail(result, given.out .. " has a certificate already: nothing was changed; "
      .. "--force gets another one (the old pair is kept as *.old)")
  end
  local state
  state, why = provision(given, place, tell)
  if not state then
    return finish.fail(result, why)
  end
  tell_configuration(tell, state.device_configuration)
  result.members = { thing = state.thing, certificateId = state.certificate_id,
    certificate = place.certificate, key = place.key,
    deviceConfiguration = state.device_configuration }
  result.text = configuration(given, place, state)
  result.on_put = function() place:forget() end
  return finish.finish(result)
end

return M
