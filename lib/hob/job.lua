-- job.lua - a handler and its `job`, inside the job's sandbox: checking the handler's table and
-- the document before anything happens, journalled steps while it runs, and what its end means.
--
-- The core calls `check` (loading) and `prepare` (before the claim); what `prepare` gives back is
-- run as a task. Specs: spec/integration/job_spec.lua, spec/unit/handlers_spec.lua

local json = require("hob.json")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local assert, error, ipairs, next, pairs = assert, error, ipairs, next, pairs
local getmetatable, pcall, setmetatable = getmetatable, pcall, setmetatable
local tostring, type = tostring, type
local isyieldable, format, floor = coroutine.isyieldable, string.format, math.floor
local pack, concat, sort, math_type = table.pack, table.concat, table.sort, math.type
local max, min = math.max, math.min

---------------------------------------------------------------- the handler's table

local MEMBERS = {
  api = "number", description = "string", names = "table", args = { "table", "function" },
  args_at = "string", run = "function", timeout = "number", memory = "any", max_age = "number",
  max_runs = "number", positional = "table", requires = "table", already_done = "function",
  cleanup = "function", rerun = "boolean", doctor = "function", examples = "table",
}

-- Members that are accepted, so that a handler can be written for the whole contract, but have no
-- effect in this version: told at loading, never silently.
local NOT_YET = { "timeout", "memory", "max_age", "max_runs", "positional", "requires",
  "already_done", "cleanup", "doctor" }

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = tostring(key)
  end
  sort(keys)
  return keys
end

local function fits(value, expected)
  if expected == "any" then
    return true
  elseif type(expected) == "string" then
    return type(value) == expected
  end
  for _, one in ipairs(expected) do
    if type(value) == one then
      return true
    end
  end
  return false
end

local TYPES = { string = true, number = true, integer = true, boolean = true, table = true,
  list = true, any = true }

local function check_schema(args)
  if type(args) ~= "table" then
    return nil
  end
  for name, spec in pairs(args) do
    local base = type(spec) == "string" and spec:gsub("%?$", "")
    if type(name) ~= "string" or not TYPES[base] then
      return format("args.%s: expected one of %s, with ? if it may be absent, got %s",
        tostring(name), concat(sorted_keys(TYPES), ", "), tostring(spec))
    end
  end
end

---What is wrong with a handler's table.
---@return string? message  nil: nothing
function M.check(handler)
  if type(handler) ~= "table" then
    return format("expected the file to return a table with a function `run`, got %s",
      type(handler))
  end
  for key, value in pairs(handler) do
    local expected = MEMBERS[key]
    if not expected then
      return format("unknown member '%s' in the handler's table; known: %s", tostring(key),
        concat(sorted_keys(MEMBERS), ", "))
    elseif not fits(value, expected) then
      local words = type(expected) == "table" and concat(expected, " or ") or expected
      return format("%s: expected %s, got %s", key, words, type(value))
    end
  end
  if not handler.run then
    return "run: expected a function run(job, args), got nil"
  elseif handler.api ~= 1 then
    return format("api: expected 1, got %s", tostring(handler.api))
  end
  return check_schema(handler.args)
end

---------------------------------------------------------------- the document

-- What AWS left in a document: a placeholder that nobody filled in.
local function find_placeholder(value, path)
  if type(value) == "string" and value:sub(1, 10) == "${aws:iot:" then
    return path
  elseif type(value) == "table" then
    for key, member in pairs(value) do
      local name = math_type(key) and format("[%d]", key) or "." .. tostring(key)
      local found = find_placeholder(member, path .. name)
      if found then
        return found
      end
    end
  end
end

local function is_list(value)
  return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

local COERCE = {
  string = function(v)
    if type(v) == "string" then
      return v
    end
  end,
  number = function(v)
    if type(v) == "number" or type(v) == "string" then
      return tonumber(v)
    end
  end,
  integer = function(v)
    if type(v) == "number" or type(v) == "string" then
      return math.tointeger(tonumber(v))
    end
  end,
  boolean = function(v)
    if v == "true" then
      return true
    elseif v == "false" then
      return false
    elseif type(v) == "boolean" then
      return v
    end
  end,
  table = function(v)
    return type(v) == "table" and v or nil
  end,
  list = function(v)
    return is_list(v) and v or nil
  end,
  any = function(v)
    return v
  end,
}

local function describe(value)
  if value == json.null then
    return "null"
  elseif type(value) == "table" then
    return is_list(value) and next(value) ~= nil and "a list" or "an object"
  elseif type(value) == "string" then
    return #value > 40 and format('"%s..."', value:sub(1, 40)) or format('"%s"', value)
  end
  return tostring(value)
end

-- AWS's document parameters are strings, and unset ones "": so values are coerced, "" is absent.
local function check_args(schema, given, path)
  local args = {}
  for name, value in pairs(given) do
    args[name] = value
  end
  for name, spec in pairs(schema) do
    local base, optional = spec:gsub("%?$", "")
    local value = given[name]
    if value == nil or value == "" or value == json.null then
      if optional == 0 then
        return nil, format("%s%s: expected %s, got nothing", path, name, base)
      end
      args[name] = nil
    else
      local fitting = COERCE[base](value)
      if fitting == nil then
        return nil, format("%s%s: expected %s, got %s", path, name, base, describe(value))
      end
      args[name] = fitting
    end
  end
  return args
end

local function read_args(handler, document, facts)
  local given, path = document, ""
  if handler.args_at then
    given, path = document[handler.args_at], handler.args_at .. "."
    if type(given) ~= "table" then
      return nil, format("%s: expected object, got %s", handler.args_at, describe(given))
    end
  end
  if type(handler.args) == "function" then
    return handler.args(given, facts)
  elseif handler.args then
    return check_args(handler.args, given, path)
  end
  return given
end

---------------------------------------------------------------- the job object

---@class hob.Job
---@field id string
---@field thing string
---@field execution_number integer
---@field document table     the job document, decoded
---@field attempt integer    1 for the first run, more after a restart
---@field dir string         a directory of this execution's own
---@field log table          debug, info, warn, error (text)
local Job = {}
Job.__index = Job

---Report how far the job is; coalesced, the latest wins.
---@param percent number 0 to 100
---@param text? string
function Job:progress(percent, text)
  assert(type(percent) == "number", "progress: expected a number of percent")
  assert(text == nil or type(text) == "string", "progress: expected a string as text")
  local line = format("%d%%", floor(max(0, min(100, percent))))
  self._core:progress(text and line .. " " .. text or line)
end

---@param seconds number
function Job.sleep(_, seconds)
  time.sleep(seconds)
end

---End as REJECTED: this document can never work here. Does not return.
---@param reason string
function Job:reject(reason)
  assert(type(reason) == "string", "reject: expected a reason as string")
  self._core:reject(reason)
end

local MESSAGE_MAX = 4096

---Text that can be saved and reported: valid UTF-8 of bounded length. Programs print anything.
---@param text string
---@return string
function M.clean(text)
  if #text > MESSAGE_MAX then
    text = format("%s ... [cut %d bytes]", text:sub(1, MESSAGE_MAX), #text - MESSAGE_MAX)
  end
  local _, bad = utf8.len(text)
  while bad do
    text = text:sub(1, bad - 1) .. "\u{FFFD}" .. text:sub(bad + 1)
    _, bad = utf8.len(text, bad + 3)
  end
  return text
end

local function message_of(err)
  if type(err) == "table" and type(err.message) == "string" then
    err = err.message
  elseif type(err) == "table" and not (getmetatable(err) or {}).__tostring then
    err = "(the error is a table without a message)"
  end
  return M.clean(tostring(err))
end

local function check_step(job, name, fn)
  if type(name) ~= "string" or name == "" or #name > 128 then
    error("step: expected a name of 1 to 128 characters, got " .. tostring(name), 3)
  elseif type(fn) ~= "function" then
    error(format("step '%s': expected a function, got %s", name, type(fn)), 3)
  elseif job._in_step then
    error(format("step '%s': a step cannot stand inside the step '%s'", name, job._in_step), 3)
  elseif isyieldable() then
    error(format("step '%s': a step cannot stand in a coroutine", name), 3)
  elseif job._asked[name] then
    error(format("step '%s': the name is used twice; in a loop, add the index", name), 3)
  end
end

local function run_step(job, name, fn)
  job._in_step = name
  job._core:set_step(name)
  job._core:log("info", "job.step", "step '" .. name .. "'")
  local results = pack(pcall(fn))
  job._in_step = nil
  if not results[1] then
    return false, message_of(results[2])
  elseif results[2] == nil and results[3] ~= nil then
    return false, message_of(results[3])
  end
  return true, results[2]
end

---Do something once: its result is saved when it has ended, and a run after a crash or a reboot
---gets the saved result instead of doing it again. A function that raises, or returns nil and a
---message, has failed; that is saved too, and raised again at each later run.
---@param name string      unique within the handler
---@param options? table   reserved
---@param fn function      its first result must be a JSON value
function Job:step(name, options, fn)
  if fn == nil then
    options, fn = nil, options
  end
  check_step(self, name, fn)
  if options ~= nil and (type(options) ~= "table" or next(options) ~= nil) then
    error(format("step '%s': this version has no options for steps", name), 2)
  end
  self._asked[name] = true
  local found, failed, saved = self._core:saved_step(name)
  if not found then
    local ok, value = run_step(self, name, fn)
    if not ok then
      value = { message = value }
    end
    saved = self._core:save_step(name, not ok, value)
    failed = not ok
  end
  if failed then
    self._core:set_step(name) -- stays: the outcome names it
    error(saved.message, 0)
  end
  self._core:set_step(nil)
  if saved ~= json.null then
    return saved
  end
end

local function make_log(core)
  local log = {}
  for _, level in ipairs({ "debug", "info", "warn", "error" }) do
    log[level] = function(text)
      core:log(level, "job.log", tostring(text))
    end
  end
  return log
end

local function new_job(core, document)
  local facts = core:facts()
  return setmetatable({
    id = facts.id,
    thing = facts.thing,
    execution_number = facts.execution_number,
    attempt = facts.attempt,
    document = document,
    dir = facts.work_dir,
    log = make_log(core),
    _core = core,
    _asked = {},
  }, Job)
end

---------------------------------------------------------------- the outcome

local OWN = { reason = true, code = true, step = true, handler = true, attempt = true,
  progress = true }
local HANDLERS_DETAILS = 4

local function text_of(value)
  if type(value) == "string" then
    return value
  elseif math_type(value) == "float" and value == floor(value) and value > -2 ^ 53
    and value < 2 ^ 53 then
    return format("%d", value)
  elseif type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  end
end

local function add_details(core, list, details)
  local count = 0
  for _, key in ipairs(sorted_keys(details)) do
    local text = text_of(details[key])
    local why
    if OWN[key] then
      why = "the name is Hob's own"
    elseif #key > 128 or not key:find("^[%w:_-]+$") then
      why = "a name is 1 to 128 of [a-zA-Z0-9:_-]"
    elseif not text then
      why = "expected string, number or boolean, got " .. type(details[key])
    elseif count == HANDLERS_DETAILS then
      why = "more than " .. HANDLERS_DETAILS
    end
    if why then
      core:log("warn", "job.detail_dropped", format("detail '%s' is not reported: %s", key, why))
    else
      count = count + 1
      list[#list + 1] = { key, text }
    end
  end
end

local function finish(core, status, step, reason, code, details)
  local facts = core:facts()
  local list = {}
  if reason then
    list[#list + 1] = { "reason", reason }
    list[#list + 1] = { "code", code }
  end
  if reason and step then
    list[#list + 1] = { "step", step }
  end
  list[#list + 1] = { "handler", facts.handler }
  if facts.attempt > 1 then
    list[#list + 1] = { "attempt", tostring(facts.attempt) }
  end
  if type(details) == "table" then
    add_details(core, list, details)
  end
  core:outcome(status, list)
end

-- No value, true or a table: SUCCEEDED. nil or false with a reason, or an error: FAILED.
local function conclude(core, step, results)
  local first, second, third = results[2], results[3], results[4]
  if not results[1] then
    finish(core, "FAILED", step, message_of(first), "LUA_ERROR")
  elseif results.n == 1 or first == true or type(first) == "table" then
    finish(core, "SUCCEEDED", nil, nil, nil, first)
  elseif not first and second ~= nil then
    finish(core, "FAILED", step, message_of(second), "FAILED", third)
  else
    finish(core, "FAILED", step, format(
      "run returned %s: expected nothing, true, a table of details, or nil and a reason",
      first == nil and "nil without a reason" or "a " .. type(first)), "BAD_RESULT")
  end
end

---Get ready to run: nothing has happened to the device yet.
---@return function? drive    to be run as a task
---@return string? message    why this document can never work here
function M.prepare(handler, core)
  local wrong = M.check(handler)
  if wrong then
    error(wrong, 0)
  end
  local facts = core:facts()
  local document, message = json.decode(facts.document)
  if type(document) ~= "table" then
    return nil, "job document: expected an object, got " .. (message or describe(document))
  end
  local placeholder = find_placeholder(document, "document")
  if placeholder then
    return nil, placeholder .. ": the placeholder ${aws:iot:...} was not filled in"
  end
  local args, why = read_args(handler, document, facts)
  if args == nil then
    return nil, why or "the handler does not accept this document"
  end
  for _, name in ipairs(NOT_YET) do
    if handler[name] ~= nil then
      core:log("warn", "handler.member_ignored",
        format("'%s' in the handler's table has no effect in this version", name))
    end
  end
  return function()
    local job = new_job(core, document)
    local results = pack(pcall(handler.run, job, args))
    conclude(core, core:facts().step, results)
  end
end

return M
