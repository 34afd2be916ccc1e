-- steps.lua - the built-in handler for AWS's own job documents: `steps` are run in order, as AWS's
-- device client does (its schema version "1.0", as in the managed template AWS-Run-Command).
--
-- In this version: actions of type runCommand. A command is a list of words separated by commas
-- (`\,` is a comma); no shell is involved. Programs must be in the config's `commands.allow`.

local errors = require("hob.job.errors")
local exec = require("hob.exec")

local KEPT = 256 * 1024 -- of each stream, to count its lines
local NAME_MAX = 100    -- bytes

local function fail(path, expected, got)
  return nil, ("%s: expected %s, got %s"):format(path, expected,
    type(got) == "string" and '"' .. got:sub(1, 60) .. '"' or type(got))
end

local function split(command)
  local words = {}
  local text = command:gsub("\\,", "\0")
  for word in (text .. ","):gmatch("([^,]*),") do
    words[#words + 1] = word:gsub("%z", ","):match("^%s*(.-)%s*$")
  end
  return words
end

local function is_true(value)
  return value == true or value == "true"
end

local function is_allowed(allowed, program)
  for _, name in ipairs(allowed) do
    if name == "*" or name == program then
      return true
    end
  end
  return false
end

local function read_action(action, path, facts)
  if type(action) ~= "table" then
    return fail(path, "object", action)
  elseif type(action.name) ~= "string" or action.name == "" then
    return fail(path .. ".name", "string", action.name)
  elseif action.type == "runHandler" then
    return nil, path .. ".type: runHandler is not available in this version; only runCommand is"
  elseif action.type ~= "runCommand" then
    return fail(path .. ".type", '"runCommand" or "runHandler"', action.type)
  elseif action.runAsUser ~= nil and action.runAsUser ~= "" then
    return nil, path .. ".runAsUser: running as another user is not available in this version"
  end
  local command = type(action.input) == "table" and action.input.command
  if type(command) ~= "string" then
    return fail(path .. ".input.command", "string", command)
  end
  local words = split(command)
  if words[1] == "" or words[1]:find("%s") then
    return fail(path .. ".input.command", "a program without blanks as its first word", words[1])
  end
  if not is_allowed(facts.allowed_commands, words[1]) then
    return nil, ("%s.input.command: '%s' is not allowed on this gateway; add it to "
      .. "commands = { allow = { ... } } in its configuration"):format(path, words[1])
  end
  local allowed = tonumber(action.allowStdErr)
  return {
    name = action.name,
    words = words,
    allow_stderr = allowed,
    ignore_failure = is_true(action.ignoreStepFailure),
  }
end

-- A name of the document as part of a step's name, which has its limits.
local function short(name)
  name = errors.clean(name):gsub("%c", " ")
  if #name > NAME_MAX then
    name = name:sub(1, NAME_MAX):gsub("[\192-\255][\128-\191]*$", "")
  end
  return name
end

local function read_document(document, facts)
  if document.version ~= "1.0" and document.version ~= 1.0 then
    return fail("version", '"1.0"', document.version)
  elseif type(document.steps) ~= "table" or not document.steps[1] then
    return fail("steps", "a list of at least one step", document.steps)
  end
  local plan = { with_stdout = is_true(document.includeStdOut) }
  for i, step in ipairs(document.steps) do
    local path = ("steps[%d].action"):format(i)
    local action, message = read_action(type(step) == "table" and step.action, path, facts)
    if not action then
      return nil, message
    end
    action.key = ("%d %s"):format(i, short(action.name))
    plan[i] = action
  end
  if document.finalStep ~= nil then
    local final = document.finalStep
    local action, message = read_action(type(final) == "table" and final.action,
      "finalStep.action", facts)
    if not action then
      return nil, message
    end
    action.key = "final " .. short(action.name)
    plan[#plan + 1] = action
  end
  return plan
end

local function count_lines(text)
  local _, lines = text:gsub("\n", "")
  return lines + ((text == "" or text:sub(-1) == "\n") and 0 or 1)
end

local function too_many_errors(action, result)
  local lines = count_lines(result.stderr)
  if action.allow_stderr and (lines > action.allow_stderr or result.stderr_cut > 0) then
    local more = result.stderr_cut > 0 and " or more" or ""
    return ("%s: %d lines%s on standard error, allowed are %d"):format(action.words[1], lines,
      more, action.allow_stderr)
  end
end

-- The same codes as of hob.exec.check.
local function code_of(result)
  return result.timed_out and "TIMED_OUT" or result.out_of_memory and "OUT_OF_MEMORY"
    or result.signal and "SIGNAL" or "EXIT_CODE"
end

-- How it ended, if not well: words and a code.
local function judge(action, result)
  if result.code == 0 and not result.timed_out then
    return too_many_errors(action, result), "FAILED"
  end
  local last = result.stderr:match("([^\n]+)%s*$")
  return ("%s: %s%s"):format(action.words[1], result.words,
    last and ": " .. errors.clean(last) or ""), code_of(result)
end

local function run_action(action)
  local options = { tail = KEPT }
  for i, word in ipairs(action.words) do
    options[i] = word
  end
  local result, message = exec.run(options)
  if not result then
    return { problem = errors.clean(message), code = "NOT_STARTED", stdout = "", stderr = "" }
  end
  local problem, code = judge(action, result)
  return {
    problem = problem,
    code = problem and code,
    stdout = errors.tail(result.stdout, result.stdout_cut),
    stderr = errors.tail(result.stderr, result.stderr_cut),
  }
end

local function details(plan, result)
  return {
    stdout = plan.with_stdout and result.stdout ~= "" and result.stdout or nil,
    stderr = result.stderr ~= "" and result.stderr or nil,
  }
end

return {
  api = 1,
  description = "AWS's job documents with steps",
  args = read_document,
  run = function(job, plan)
    local last
    for i, action in ipairs(plan) do
      job:progress((i - 1) * 100 / #plan, action.name)
      last = job:step(action.key, function()
        return run_action(action)
      end)
      if last.problem and not action.ignore_failure then
        return nil, {
          message = ("step '%s': %s"):format(action.name, last.problem),
          code = last.code,
          step = action.key,
        }, details(plan, last)
      end
    end
    return details(plan, last)
  end,
}
