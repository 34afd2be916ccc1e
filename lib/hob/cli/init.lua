--- `hob init`: asks for what a gateway needs to connect, looks at the files, writes hob.conf.lua
--- and has `hob doctor` look at all of it.
local ask = require("hob.setup.ask")
local config_file = require("hob.setup.config")
local files = require("hob.setup.files")
local finish = require("hob.setup.finish")
local fs = require("hob.fs")
local json_text = require("hob.service.json_text")
local limits = require("iotjobs.limits")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob init [--endpoint HOST] [--thing NAME] [--ca FILE] [--cert FILE] [--key FILE] [flags]

Writes the configuration of a gateway for AWS IoT, and has `hob doctor` look at it. What is not
given is asked for; where nobody can answer (no terminal, or --json) it is named instead. Nothing is
written if a file cannot be read or the key is not that of the certificate.

  --endpoint HOST  aws iot describe-endpoint --endpoint-type iot:Data-ATS says it
  --port N         default 8883
  --thing NAME     whose jobs are to be run
  --ca FILE        who has signed the endpoint's certificate: AmazonRootCA1.pem
  --cert FILE      the thing's certificate and
  --key FILE       its private key
  --scripts DIR    the handlers (default: those that came with Hob)
  --data DIR       where Hob keeps what must not be lost (default /var/lib/hob)
  --exec-user USER whom the programs of jobs run as, where Hob runs as root (default hob)
  --config FILE    what is written (default /etc/hob/hob.conf.lua)
  --fix            take the right to read the key from all others (mode 0600)
  --force          replace a configuration that is there; the old one is kept as FILE.old
  --offline        nothing of the network in hob doctor
  --json           print one JSON object, for programs

Exit status: 0: written (or as it should be already), and hob doctor found nothing that fails; 1:
not written, or it did; 2: misuse.
]==]

M.SYNTAX = {
  command = "hob init", usage = USAGE,
  flags = {
    endpoint = { value = "HOST" }, port = { value = "N", low = 1, high = 65535 },
    thing = { value = "NAME" }, ca = { value = "FILE" }, cert = { value = "FILE" },
    key = { value = "FILE" }, scripts = { value = "DIR" }, data = { value = "DIR" },
    ["exec-user"] = { value = "USER" }, config = { value = "FILE" },
    fix = {}, force = {}, offline = {}, json = {},
  },
}

---------------------------------------------------------------- what is asked for

local function check_endpoint(text)
  if text:find("://", 1, true) or text:find("[/%s:]") then
    return nil, ("expected the name of a host, such as abc123-ats.iot.eu-central-1.amazonaws.com, "
      .. "got '%s'"):format(text)
  end
  return true
end

local function check_thing(text)
  if limits.is_thing_name(text) then
    return true
  end
  return nil, "expected 1 to 128 of a-z A-Z 0-9 : _ -"
end

local function check_directory(text)
  local stat, why = fs.stat(text)
  if stat and stat.type == "directory" then
    return true
  end
  return nil, why or text .. ": is no directory"
end

local function check_file(what)
  return function(path)
    return files.check_one(what, path)
  end
end

-- In the order in which a person is asked.
local QUESTIONS = {
  { name = "endpoint", value = "HOST", check = check_endpoint, text = "endpoint of AWS IoT" },
  { name = "thing", value = "NAME", check = check_thing, text = "name of the thing" },
  { name = "ca", value = "FILE", check = check_file("ca"), path = true,
    text = "CA of the endpoint (AmazonRootCA1.pem)" },
  { name = "cert", value = "FILE", check = check_file("cert"), path = true,
    text = "certificate of the thing" },
  { name = "key", value = "FILE", check = check_file("key"), path = true,
    text = "its private key" },
  { name = "scripts", value = "DIR", check = check_directory, path = true,
    text = "directory of the handlers" },
  { name = "data", value = "DIR", path = true, text = "directory for Hob's data",
    offered = function() return config_file.DATA end },
}

local INSTALLED = { "/etc/hob/scripts", "/usr/share/hob/scripts", "/usr/local/share/hob/scripts" }

--- Where the handlers are that came with Hob, or null.
---@return string|nil
function M.scripts()
  for _, dir in ipairs(INSTALLED) do
    if check_directory(dir) then
      return dir
    end
  end
end

local function offered(question, given)
  if question.name == "scripts" then
    return M.scripts()
  elseif question.name == "ca" then
    local beside = (given.config or config_file.FILE):gsub("[^/]*$", "") .. "AmazonRootCA1.pem"
    return fs.exists(beside) and beside or nil
  end
  return question.offered and question.offered()
end

-- Those that nobody can be asked for.
local function fill_in(given)
  local missing = {}
  for _, question in ipairs(QUESTIONS) do
    given[question.name] = given[question.name] or offered(question, given)
    if not given[question.name] then
      missing[#missing + 1] = ("--%s %s"):format(question.name, question.value)
    end
  end
  if missing[1] then
    return options.mistake("hob init", "%s %s missing, and nobody can be asked here",
      table.concat(missing, ", "), #missing == 1 and "is" or "are")
  end
  return given
end

local function ask_for(given)
  for _, question in ipairs(QUESTIONS) do
    if not given[question.name] then
      given[question.name] = ask.ask(question.text, offered(question, given), question.check)
      if not given[question.name] then
        io.stderr:write("hob init: nothing was written\n")
        return nil, 1
      end
    end
  end
  return given
end

local function complete(given)
  given.config = given.config or config_file.FILE
  local ok, code
  if given.json or not ask.can() then
    ok, code = fill_in(given)
  else
    ok, code = ask_for(given)
  end
  if not ok then
    return nil, code
  end
  for _, question in ipairs(QUESTIONS) do
    if question.path then
      given[question.name] = config_file.absolute(given[question.name])
    end
  end
  for _, name in ipairs{ "endpoint", "thing" } do
    local good, why = (name == "endpoint" and check_endpoint or check_thing)(given[name])
    if not good then
      return options.mistake("hob init", "--%s: %s", name, why)
    end
  end
  return given
end

---------------------------------------------------------------- what is said

local function show(findings)
  for _, finding in ipairs(findings) do
    io.stdout:write(("%-8s %s: %s%s\n"):format(finding.state, finding.what, finding.text,
      finding.action and "; do: " .. finding.action or ""))
  end
  io.stdout:flush()
end

-- At a terminal one who is asked need not type it.
local function offer_to_fix(given)
  local mode = files.open_to_others(given.key)
  if mode and not given.fix and not given.json and ask.can() then
    given.fix = ask.agree(("%s has the mode %04o: may it be set to 0600?"):format(given.key, mode))
  end
end

local function problem(findings)
  local words = {}
  for _, finding in ipairs(findings) do
    words[#words + 1] = finding.state == "failed" and finding.text or nil
  end
  return "nothing was written: " .. table.concat(words, "; ")
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if given then
    given, code = complete(given)
  end
  if not given then
    return code
  end
  offer_to_fix(given)
  local findings, usable = files.check(given, given.fix)
  local found, why = check_directory(given.scripts)
  if not found then
    findings[#findings + 1] = { state = "failed", what = "scripts", text = why }
  end
  if not given.json then
    show(findings)
  end
  local result = {
    command = "hob init", config = given.config, force = given.force, offline = given.offline,
    json = given.json, members = { files = json_text.list(findings) },
    text = config_file.text({ endpoint = given.endpoint, port = given.port,
      thing_name = given.thing, ca = given.ca, cert = given.cert, key = given.key,
      scripts = given.scripts, data = given.data, exec_user = given.exec_user },
      "Written by hob init."),
  }
  if not (usable and found) then
    return finish.fail(result, problem(findings))
  end
  return finish.finish(result)
end

return M
