--- `hob job`: jobs of a local Jobs service, from the command line.
local client = require("hob.cli.service_client")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local rules = require("hob.service.rules")
local tables = require("hob.cli.table")
local time = require("hob.time")
local watch = require("hob.cli.watch")

local M = {}

local USAGE = [[
usage: hob job create --thing T|--group G ... --document FILE|--template NAME [--job-id J]
                      [--parameter KEY=VALUE ...] [--timeout-minutes N] [--url-seconds N]
       hob job list [--thing T]
       hob job describe --thing T --job-id J [--execution-number N]
       hob job cancel J [--thing T] [--force]
       hob job delete J [--thing T] [--force]
       hob job watch [J ...]

Talks to a local Jobs service (`hob service`); for this gateway use `hob jobs`.

  --service URL         the service (HOB_SERVICE, else http://127.0.0.1:8180)
  --json                print JSON, for programs
  --thing T             the thing; of cancel and delete: only its execution
  --group G             a thing group, to whose things the job goes
  --document FILE       the job document, a JSON object; - reads standard input
  --template NAME       make the document by a template of AWS's, such as AWS-Download-File
  --parameter KEY=VALUE one of the template's parameters
  --url-seconds N       how long URLs are good that the service puts into the document (60-3600)
  --job-id J            1-64 of [a-zA-Z0-9_-]; create makes one up if it is absent
  --execution-number N  which execution of the job; the latest if it is absent
  --timeout-minutes N   how long an execution may be IN_PROGRESS (1-10080)
  --description TEXT    of the job
  --force               also what is IN_PROGRESS

watch follows the jobs, or all of them, until each has ended. Exit status: 0; 1 where the service
refuses or has no such job, and from watch if an execution did not end as SUCCEEDED; 2 for misuse.
]]

local function fail(given, message)
  io.stderr:write(("%s: %s\n"):format(given.command, message))
  return 1
end

local function print_json(value)
  io.stdout:write(json_text.encode(value), "\n")
  return 0
end

local function service(given)
  return client.new(given.service)
end

local function read_document(path)
  if path == "-" then
    return io.stdin:read("a")
  end
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message
  end
  local text, why = file:read("a")
  file:close()
  return text, why and path .. ": " .. why
end

local function check_document(given)
  local place = given.document == "-" and "standard input" or given.document
  local document, why = read_document(given.document)
  if not document then
    return nil, "--document: " .. why
  end
  document, why = rules.document(document)
  if not document then
    return nil, ("--document %s: %s"):format(place, (why:gsub("^document: ", "")))
  end
  return document
end

--- @return table|nil parameters  nil without a message: there are none
--- @return string|nil message
local function read_parameters(given)
  local parameters
  for _, text in ipairs(given.parameter or {}) do
    local key, value = text:match("^([^=]+)=(.*)$")
    if not key then
      return nil, ("--parameter: expected KEY=VALUE, got '%s'"):format(text)
    end
    parameters = parameters or {}
    parameters[key] = value
  end
  return parameters
end

--- What the job's document is made from, as members of CreateJob, checked here so that what is
--- wrong is told by the flag.
local function read_texts(given)
  local why = select(2, rules.description(given.description))
  if why then
    return nil, "--" .. why
  elseif (given.document == nil) == (given.template == nil) then
    return nil, "expected either --document FILE or --template NAME"
  end
  local members = { description = given.description }
  members.documentParameters, why = read_parameters(given)
  if not why and given.document then
    members.document, why = check_document(given)
  elseif not why then
    members.jobTemplateArn = ("arn:aws:iot:us-east-1::jobtemplate/%s"):format(given.template)
  end
  if why then
    return nil, why
  end
  return members
end

local function new_job_id()
  return ("job-%s-%04x"):format(os.date("!%Y%m%d-%H%M%S"), math.random(0, 0xffff))
end

--- Things and groups as ARNs, and all their names.
local function targets_of(given)
  local arns, names = {}, {}
  for _, kind in ipairs{ "thing", "group" } do
    for _, name in ipairs(given[kind] or {}) do
      arns[#arns + 1] = ("arn:aws:iot:us-east-1:123456789012:%s/%s"):format(
        kind == "group" and "thinggroup" or kind, name)
      names[#names + 1] = kind == "group" and "group " .. name or name
    end
  end
  return arns, table.concat(names, ", ")
end

-- AWS wants a role for presigned URLs. The local service asks for one, too, and for nothing of it.
local ROLE = "arn:aws:iam::123456789012:role/local-service"

local function presigned(given, members)
  local text = { members.document or "" }
  for _, value in pairs(members.documentParameters or {}) do
    text[#text + 1] = value
  end
  local used = table.concat(text, "\n"):find("s3-presigned-url", 1, true)
  return (used or given.url_seconds) and { roleArn = ROLE, expiresInSec = given.url_seconds } or nil
end

local COMMANDS = {}

COMMANDS.create = {
  flags = {
    thing = { value = "T", many = true },
    group = { value = "G", many = true },
    ["job-id"] = { value = "J" },
    document = { value = "FILE" },
    template = { value = "NAME" },
    parameter = { value = "KEY=VALUE", many = true },
    ["url-seconds"] = { value = "N", low = 60, high = 3600 },
    ["timeout-minutes"] = { value = "N", low = 1, high = 10080 },
    description = { value = "TEXT" },
  },
  misuse = function(given)
    if not given.thing and not given.group then
      return "--thing T or --group G is missing"
    elseif not given.document and not given.template then
      return "--document FILE or --template NAME is missing"
    end
    return nil
  end,
  run = function(given)
    local members, why = read_texts(given)
    if not members then
      return fail(given, why)
    end
    local names, minutes
    members.targets, names = targets_of(given)
    members.presignedUrlConfig = presigned(given, members)
    minutes = given.timeout_minutes
    members.timeoutConfig = minutes and { inProgressTimeoutInMinutes = minutes } or nil
    local answer, message = service(given):call("PUT", { "jobs", given.job_id or new_job_id() },
      nil, members)
    if not answer then
      return fail(given, (message:gsub("^documentParameters%.", "--parameter ")))
    elseif given.json then
      return print_json(answer)
    end
    print(("created job %s for %s"):format(answer.jobId, names))
    return 0
  end,
}

local function time_text(seconds)
  return seconds and time.text(seconds) or "-"
end

local function list_things_jobs(given)
  local items, message = service(given):list({ "things", given.thing, "jobs" }, nil,
    "executionSummaries")
  if not items then
    return fail(given, message)
  elseif given.json then
    return print_json{ executionSummaries = json_text.list(items) }
  end
  local rows = {}
  for i, item in ipairs(items) do
    local summary = item.jobExecutionSummary
    rows[i] = { item.jobId, summary.executionNumber, summary.status, time_text(summary.queuedAt),
      time_text(summary.startedAt), time_text(summary.lastUpdatedAt) }
  end
  tables.print({ "JOB", "EXECUTION", "STATUS", "QUEUED", "STARTED", "UPDATED" }, rows)
  return 0
end

COMMANDS.list = {
  flags = { thing = { value = "T" } },
  run = function(given)
    if given.thing then
      return list_things_jobs(given)
    end
    local items, message = service(given):list({ "jobs" }, nil, "jobs")
    if not items then
      return fail(given, message)
    elseif given.json then
      return print_json{ jobs = json_text.list(items) }
    end
    local rows = {}
    for i, job in ipairs(items) do
      rows[i] = { job.jobId, job.status, time_text(job.createdAt), time_text(job.completedAt) }
    end
    tables.print({ "JOB", "STATUS", "CREATED", "COMPLETED" }, rows)
    return 0
  end,
}

--- AWS's JobExecution, with the thing's name and the details as a plain map.
local function job_execution(execution)
  execution.thingName = execution.thingArn:match("thing/(.+)$")
  execution.thingArn = nil
  execution.statusDetails = execution.statusDetails and execution.statusDetails.detailsMap
  return execution
end

local ORDER = {
  "jobId", "thingName", "status", "queuedAt", "startedAt", "lastUpdatedAt", "executionNumber",
  "versionNumber", "approximateSecondsBeforeTimedOut", "forceCanceled",
}

local function print_execution(execution)
  local rows = {}
  for _, name in ipairs(ORDER) do
    local value = execution[name]
    if name:find("At$") and value then
      value = time_text(value)
    end
    if value ~= nil then
      rows[#rows + 1] = { name, tostring(value) }
    end
  end
  local keys = {}
  for key in pairs(execution.statusDetails or {}) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    rows[#rows + 1] = { "statusDetails." .. key, execution.statusDetails[key] }
  end
  tables.print(nil, rows)
end

COMMANDS.describe = {
  flags = {
    thing = { value = "T", required = true },
    ["job-id"] = { value = "J", required = true },
    ["execution-number"] = { value = "N", low = 1, high = math.maxinteger },
  },
  run = function(given)
    local answer, message = service(given):call("GET", { "things", given.thing, "jobs",
      given.job_id }, { executionNumber = given.execution_number })
    if not answer then
      return fail(given, message)
    end
    local execution = job_execution(answer.execution)
    if given.json then
      return print_json(execution)
    end
    print_execution(execution)
    return 0
  end,
}

--- What cancel and delete have in common: one job, or its execution on a thing.
local function done(given, word, answer, message, more)
  if not answer then
    return fail(given, message)
  elseif given.json then
    return print_json(answer)
  end
  print(("%s %s%s%s"):format(word, given[1], given.thing and " on " .. given.thing or "",
    more or ""))
  return 0
end

--- How far a job's cancellation reached.
---@param job table  of DescribeJob
local function counts(job)
  local details = job.jobProcessDetails
  local canceled, running = details.numberOfCanceledThings, details.numberOfInProgressThings
  local text = (": %d execution%s cancelled"):format(canceled, canceled == 1 and "" or "s")
  if running > 0 then
    text = text .. (", %d IN_PROGRESS go%s on (--force ends what is running)"):format(running,
      running == 1 and "es" or "")
  end
  return text
end

local ENDING_FLAGS = { thing = { value = "T" }, force = {} }

COMMANDS.cancel = {
  flags = ENDING_FLAGS, words = 1, needs = "J, the job's id",
  run = function(given)
    local path = given.thing and { "things", given.thing, "jobs", given[1], "cancel" }
      or { "jobs", given[1], "cancel" }
    local query = { force = tostring(given.force == true) }
    local api, described = service(given), nil
    local answer, message = api:call("PUT", path, query, {})
    if answer and not given.thing and not given.json then
      described, message = api:call("GET", { "jobs", given[1] })
      answer = described and answer
    end
    return done(given, "cancelled", answer, message, described and counts(described.job))
  end,
}

COMMANDS.delete = {
  flags = ENDING_FLAGS, words = 1, needs = "J, the job's id",
  run = function(given)
    local path, api = { "jobs", given[1] }, service(given)
    if given.thing then
      path = { "things", given.thing, "jobs", given[1] }
      local answer, message = api:call("GET", path)
      if not answer then
        return fail(given, message)
      end
      table.move({ "executionNumber", answer.execution.executionNumber }, 1, 2, 5, path)
    end
    local query = { force = tostring(given.force == true) }
    return done(given, "deleted", api:call("DELETE", path, query))
  end,
}

COMMANDS.watch = {
  flags = {}, words = math.maxinteger,
  run = function(given)
    local code, message = watch.run(service(given), given, given.json)
    return code or fail(given, message)
  end,
}

local function syntax_of(name, command)
  local flags = { service = { value = "URL" }, json = {} }
  for flag, kind in pairs(command.flags) do
    flags[flag] = kind
  end
  return { command = "hob job " .. name, usage = USAGE, flags = flags, words = command.words }
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local name = argv[1]
  local command = name and COMMANDS[name]
  if name == "--help" or name == "-h" then
    io.stdout:write(USAGE)
    return 0
  elseif not command then
    local _, code = options.mistake("hob job",
      "expected create, list, describe, cancel, delete or watch, got %s",
      name and "'" .. name .. "'" or "nothing")
    return code
  end
  local syntax = syntax_of(name, command)
  local given, code = options.parse(table.move(argv, 2, #argv, 1, {}), syntax)
  local misuse = given and command.misuse and command.misuse(given)
  if given and command.needs and not given[1] then
    misuse = "expected " .. command.needs
  end
  if misuse then
    given, code = options.mistake(syntax.command, "%s", misuse)
  end
  if given then
    given, code = options.find_service(given, syntax.command)
  end
  if not given then
    return code
  end
  given.command = syntax.command
  return command.run(given)
end

return M
