--- `hob import`: takes over what AWS's own client (aws-iot-device-client) does on this machine. It
--- reads that client's files and writes Hob's; it changes and removes nothing of the other's.
local aws_client = require("hob.setup.aws_client")
local aws_handlers = require("hob.setup.aws_handlers")
local config_file = require("hob.setup.config")
local files = require("hob.setup.files")
local finish = require("hob.setup.finish")
local fs = require("hob.fs")
local init = require("hob.cli.init")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob import [FILE] [flags]

Makes Hob's configuration of that of AWS's own client, aws-iot-device-client, which it only reads.
Says what became of each setting, what has no counterpart and what to do in its place, who may run
the handlers, and how the old agent is stopped; then `hob doctor` looks at the result.

  FILE           aws-iot-device-client.conf; default: the one that is in its usual places
  --scripts DIR  Hob's own handlers (default: those that came with Hob)
  --data DIR     where Hob keeps what must not be lost (default /var/lib/hob)
  --exec-user USER  whom the programs of jobs run as, where Hob runs as root (default hob)
  --ca FILE      in the place of root-ca
  --config FILE  what is written (default /etc/hob/hob.conf.lua)
  --dry-run      write nothing: print the configuration
  --force        replace a configuration that is there; the old one is kept as FILE.old
  --offline      nothing of the network in hob doctor; so it is while the old agent runs
  --json         print one JSON object, for programs

Exit status: 0: written (or as it should be already), and hob doctor found nothing that fails; 1:
not written, or it did; 2: misuse.
]==]

M.SYNTAX = {
  command = "hob import", usage = USAGE, words = 1,
  flags = {
    scripts = { value = "DIR" }, data = { value = "DIR" }, ca = { value = "FILE" },
    ["exec-user"] = { value = "USER" }, config = { value = "FILE" },
    ["dry-run"] = {}, force = {}, offline = {}, json = {},
  },
}

---------------------------------------------------------------- which file

---@return string|nil file
---@return integer|nil code
local function find(given)
  if given[1] then
    return config_file.absolute(given[1])
  end
  local found = {}
  for _, place in ipairs(aws_client.places()) do
    found[#found + 1] = fs.exists(place) and place or nil
  end
  if #found == 1 then
    return found[1]
  elseif found[1] then
    return options.mistake("hob import", "there are several: %s; name the one that is in use",
      table.concat(found, ", "))
  end
  return options.mistake("hob import", "none of its usual places has one (%s); name the FILE",
    table.concat(aws_client.places(), ", "))
end

---------------------------------------------------------------- what is said

local function stop_words(pids)
  local how = ("systemctl disable --now %s (the files of the old agent stay)"):format(
    aws_client.SERVICE)
  if pids[1] then
    return ("it runs, as process %s: two agents with one client id throw each other out, again "
      .. "and again"):format(table.concat(pids, ", ")), how .. ", before Hob is started"
  end
  return "it does not run now; two agents with one client id would throw each other out", how
    .. ", so that it does not come back at the next boot"
end

local function show(import, findings, pids)
  print("from " .. import.file .. (import.from_runtime and " and " .. import.from_runtime or ""))
  for _, one in ipairs(import.mapped) do
    print(("  %-26s %s = %s"):format(one.setting, one.key, tostring(one.value)))
  end
  for _, one in ipairs(import.missing) do
    print(("no counterpart: %s: %s; do: %s"):format(one.setting, one.text, one.action))
  end
  for _, one in ipairs(findings) do
    print(("%-8s handler %s: %s%s"):format(one.state, one.what, one.text,
      one.action and "; do: " .. one.action or ""))
  end
  local text, action = stop_words(pids)
  print(("the old agent: %s; do: %s"):format(text, action))
  io.stdout:flush()
end

local function members_of(import, findings, pids)
  local text, action = stop_words(pids)
  return {
    source = import.file, runtime = import.from_runtime, mapped = json_text.list(import.mapped),
    missing = json_text.list(import.missing), handlers = json_text.list(findings),
    provision = import.provision,
    oldAgent = { running = pids[1] ~= nil, pids = json_text.list(pids), text = text,
      action = action },
  }
end

---------------------------------------------------------------- what is made

local function complete(import, given)
  local settings = import.settings
  if given.ca then
    settings.ca = config_file.absolute(given.ca)
  end
  settings.scripts = given.scripts and config_file.absolute(given.scripts) or init.scripts()
  settings.exec_user = given.exec_user
  settings.data = config_file.absolute(given.data or config_file.DATA)
  if not settings.scripts then
    table.insert(import.problems, "scripts: the handlers that came with Hob were not found; name "
      .. "them with --scripts DIR")
  end
end

-- The words for what stands in the way, or nil.
local function obstacle(import, given)
  if given.ca and #import.problems > 0 then
    for i = #import.problems, 1, -1 do
      if import.problems[i]:find("^root%-ca: is not set or not there") then
        table.remove(import.problems, i)
      end
    end
  end
  if import.problems[1] then
    return "nothing was written: " .. table.concat(import.problems, "; ")
  elseif import.provision then
    return "nothing was written: fleet provisioning is on and has not been done: there is no thing "
      .. "yet. Hob does it by: " .. import.provision
  end
  local found, usable = files.check(import.settings)
  if usable then
    return nil
  end
  local words = {}
  for _, finding in ipairs(found) do
    words[#words + 1] = finding.state == "failed" and finding.what .. ": " .. finding.text or nil
  end
  return "nothing was written: " .. table.concat(words, "; ")
end

local function show_text(result)
  if result.json then
    result.members.ok, result.members.written = true, false
    result.members.text = result.text
    print(json_text.encode(result.members))
  else
    io.stdout:write("\n", result.text)
  end
  return 0
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  local file
  if given then
    file, code = find(given)
  end
  if not file then
    return code
  end
  local result = { command = "hob import", config = given.config or config_file.FILE,
    force = given.force, json = given.json, members = {} }
  local import, why = aws_client.read(file)
  if not import then
    return finish.fail(result, why)
  end
  complete(import, given)
  local findings, names, pids = {}, {}, aws_client.running()
  if import.handlers then
    findings, names = aws_handlers.check(import.handlers)
  end
  result.members = members_of(import, findings, pids)
  if not given.json then
    show(import, findings, pids)
  end
  why = obstacle(import, given)
  if why then
    return finish.fail(result, why)
  end
  result.text = config_file.text(import.settings, "Made by hob import of " .. file .. ".",
    aws_handlers.notes(names))
  result.offline = given.offline or pids[1] ~= nil
  if given.dry_run then
    return show_text(result)
  end
  return finish.finish(result)
end

return M
