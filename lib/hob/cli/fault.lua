--- `hob service fault`: faults planted in a running service.
local client = require("hob.cli.service_client")
local faults = require("hob.service.faults")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local tables = require("hob.cli.table")

local M = {}

local USAGE = [[
usage: hob service fault add --op OP --action ACTION [flags]
       hob service fault list
       hob service fault remove ID
       hob service fault remove --all

Plants faults between the devices and a running local Jobs service, and takes them away.

  --service URL    the service (HOB_SERVICE, else http://127.0.0.1:8180)
  --json           print JSON, for programs
  --op OP          what it meets: get, start-next, describe, update, notify, notify-next,
                   create-certificate, register-thing (of fleet provisioning), any
  --action ACTION  drop         it is lost
                   delay        it is held for --delay-ms; what comes after it is not
                   duplicate    it comes twice
                   reject       the service refuses with --code, and changes nothing
                   garbage      bytes go out that are no JSON, or no UTF-8
                   disconnect   the service's link to the broker breaks, and it is lost
  --side SIDE      request (before the service sees it) or answer (when it was done). Only request:
                   reject; only answer: garbage, notifications; else the default is request for
                   drop and disconnect, answer for delay and duplicate
  --code CODE      of reject: one of the nine codes (InternalError)
  --delay-ms N     of delay: 1-600000
  --thing T        only what this thing asks or is told
  --job J          only describe and update of this job, or of $next
  --count N        it has ended after N uses; without it, when it is removed

Of several faults that fit, the one that was added first is used. They are gone when the service
ends. Exit status: 0; 1 where the service cannot be reached or refuses; 2 for misuse.
]]

-- Flags that are members of a fault.
local MEMBERS = {
  op = "op", action = "action", side = "side", code = "code", delay_ms = "delayMs",
  thing = "thing", job = "job", count = "count",
}

local function fail(given, message)
  io.stderr:write(("%s: %s\n"):format(given.command, message))
  return 1
end

local function call(given, method, path, body)
  return client.new(given.service):call(method, path, nil, body)
end

local function filter_text(fault)
  local words = {}
  for _, name in ipairs{ "thing", "job", "code" } do
    words[#words + 1] = fault[name] and name .. " " .. fault[name] or nil
  end
  words[#words + 1] = fault.delayMs and fault.delayMs .. " ms" or nil
  return table.concat(words, ", ")
end

local function used_text(fault)
  if not fault.count then
    return tostring(fault.used)
  end
  return ("%d of %d%s"):format(fault.used, fault.count,
    fault.used >= fault.count and ", ended" or "")
end

local COMMANDS = {}

COMMANDS.add = {
  flags = {
    op = { value = "OP", required = true, one_of = faults.OPS },
    action = { value = "ACTION", required = true, one_of = faults.ACTIONS },
    side = { value = "SIDE", one_of = faults.SIDES },
    code = { value = "CODE", one_of = faults.CODES },
    ["delay-ms"] = { value = "N", low = 1, high = faults.DELAY_MAX },
    thing = { value = "T" }, job = { value = "J" },
    count = { value = "N", low = 1, high = faults.COUNT_MAX },
  },
  check = function(given)
    given.fault = {}
    for flag, member in pairs(MEMBERS) do
      given.fault[member] = given[flag]
    end
    local ok, message = faults.check(given.fault)
    return ok, message and "--" .. message:gsub("^delayMs", "delay-ms")
  end,
  run = function(given)
    local answer, message = call(given, "POST", { "hob", "faults" }, given.fault)
    if not answer then
      return fail(given, message)
    end
    io.stdout:write(given.json and json_text.encode(answer) or answer.faultId, "\n")
    return 0
  end,
}

COMMANDS.list = {
  flags = {},
  run = function(given)
    local answer, message = call(given, "GET", { "hob", "faults" })
    if not answer then
      return fail(given, message)
    elseif given.json then
      io.stdout:write(json_text.encode{ faults = json_text.list(answer.faults) }, "\n")
      return 0
    end
    local rows = {}
    for i, fault in ipairs(answer.faults) do
      rows[i] = { fault.faultId, fault.op, fault.action, fault.side, used_text(fault),
        filter_text(fault) }
    end
    tables.print({ "ID", "OP", "ACTION", "SIDE", "USED", "ONLY" }, rows)
    return 0
  end,
}

COMMANDS.remove = {
  flags = { all = {} },
  words = 1,
  check = function(given)
    if (given[1] == nil) == (given.all == nil) then
      return nil, "say which: ID, or --all"
    end
    given.id = given[1] and math.tointeger(tonumber(given[1]))
    return given.all or given.id, given[1] and not given.id
      and ("ID: expected a number as `hob service fault list` shows it, got '%s'"):format(given[1])
  end,
  run = function(given)
    local answer, message = call(given, "DELETE", { "hob", "faults", given.id })
    if not answer then
      return fail(given, message)
    elseif given.json then
      io.stdout:write(json_text.encode(answer), "\n")
    end
    return 0
  end,
}

--- @return table|nil given, integer|nil code
local function read(command, name, argv)
  local flags = { service = { value = "URL" }, json = {} }
  for flag, description in pairs(command.flags) do
    flags[flag] = description
  end
  local given, code = options.parse(argv, {
    command = name, usage = USAGE, flags = flags, words = command.words,
  })
  if not given then
    return nil, code
  end
  given.command = name
  local ok, message = true, nil
  if command.check then
    ok, message = command.check(given)
  end
  if not ok then
    return options.mistake(name, "%s", message)
  end
  return options.find_service(given, name)
end

---@param argv string[]  what follows `hob service fault`
---@return integer code
function M.run(argv)
  local name = argv[1]
  if name == "--help" or name == "-h" then
    io.stdout:write(USAGE)
    return 0
  elseif not COMMANDS[name] then
    return select(2, options.mistake("hob service fault", "expected add, list or remove, got %s",
      name and "'" .. name .. "'" or "nothing"))
  end
  local given, code = read(COMMANDS[name], "hob service fault " .. name,
    table.move(argv, 2, #argv, 1, {}))
  return given and COMMANDS[name].run(given) or code
end

return M
