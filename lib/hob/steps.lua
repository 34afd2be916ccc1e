-- steps.lua - the built-in handler for AWS's own job documents: `steps` are run in order, as AWS's
-- device client does (its schema version "1.0", as in AWS's managed templates), and its older form.
-- lib/hob/steps/: `document` reads them, `places` finds what they name, `program` and `nested` (a
-- Lua handler) run it. Specs: spec/integration/aws_documents_spec.lua, aws_executables_spec.lua

local require = require -- what a nested handler does to its globals changes nothing here

-- Its parts are loaded with the first such document: most gateways never see one.
local function part(name)
  return require("hob.steps." .. name)
end

local M = { api = 1, description = "AWS's job documents with steps" }

-- What a person reads of all steps: the later one's details, and the end of what was printed.
local function add(report, ending)
  for _, stream in ipairs({ "stdout", "stderr" }) do
    report[stream] = report[stream] .. (ending[stream] or "")
    report.cut[stream] = report.cut[stream] + (ending[stream .. "_cut"] or 0)
  end
  for key, value in pairs(ending.details or {}) do
    report.details[key] = value
  end
end

local function details_of(report, plan)
  local details, errors = report.details, require("hob.job.errors")
  if report.stderr ~= "" then
    details.stderr = errors.tail(report.stderr, report.cut.stderr)
  end
  if not plan.with_stdout then
    details.stdout = false -- nor that of a program that a Lua handler reports
  elseif report.stdout ~= "" then
    details.stdout = errors.tail(report.stdout, report.cut.stdout)
  end
  return details
end

local function failure_of(action, ending)
  return {
    message = ("step '%s': %s"):format(action.name, ending.problem),
    code = ending.code,
    step = ending.step,
  }
end

local function run_action(job, plan, index)
  local action = plan[index]
  job:progress((index - 1) * 100 / #plan, action.name)
  local ending
  if action.handler then
    ending = part("nested").run(job, plan, index)
  else
    ending = part("program").run(job, action)
  end
  if ending.problem and action.ignore_failure then
    local name = require("hob.job.errors").clean(action.name)
    job._core:log("warn", "job.failure_ignored", ("step '%s' failed, and ignoreStepFailure says to "
      .. "go on: %s"):format(name, ending.problem), action.key)
  end
  return ending
end

local function warn_of_conditions(job, plan)
  if plan.conditions > 0 then
    job._core:log("warn", "job.conditions_ignored", ("the document's %d condition%s not looked at, "
      .. "as AWS's device client does not"):format(plan.conditions,
      plan.conditions == 1 and " is" or "s are"))
  end
end

function M.run(job, plan)
  local report = { stdout = "", stderr = "", cut = { stdout = 0, stderr = 0 }, details = {} }
  local all_done = true
  warn_of_conditions(job, plan)
  for index, action in ipairs(plan) do
    local ending = run_action(job, plan, index)
    add(report, ending)
    all_done = all_done and ending.done
    if ending.problem and not action.ignore_failure then
      return nil, failure_of(action, ending), details_of(report, plan)
    end
  end
  job._done = all_done
  return details_of(report, plan)
end

function M.args(document, facts)
  local plan, message = part("document").read(document, facts)
  -- Only a document that names a handler with a cleanup has one: no sandbox is made for nothing.
  local nested = plan and part("nested")
  M.cleanup = nested and nested.has_cleanup(plan) and nested.clean_up or nil
  return plan, message
end

return M
