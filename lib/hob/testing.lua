--- Specs of handlers: run one with the real sandbox, steps and store, but with programs, HTTP,
--- files and a clock as the spec says. For busted: `hob handler test`.
---
---     local testing = require("hob.testing")
---     it("restarts the service", function()
---       local outcome = testing.run("restart-service", {
---         document = { operation = "restart-service", service = "sensor" },
---         exec = { { "systemctl restart sensor", code = 0 } },
---       })
---       assert.equal("SUCCEEDED", outcome.status)
---     end)
---
--- Spec: spec/unit/testing_spec.lua
local answering = require("hob.handler.answers")
local benches = require("hob.handler.bench")
local json = require("hob.json")
local places = require("hob.handler.place")
local rehearsing = require("hob.handler.rehearse")
local screens = require("hob.handler.screen")
local values = require("hob.handler.values")

local M = {}

local ANSWERS = { "exec", "http", "files", "calls", "env", "clock" }
local OPTIONS = { document = true, args = true, scripts = true, retries = true, cut = true,
  policy = true, thing = true }
for _, name in ipairs(ANSWERS) do
  OPTIONS[name] = true
end

local function fail(message)
  error(message, 0)
end

---------------------------------------------------------------- what the spec says

local function check(options)
  for key in pairs(options) do
    if not OPTIONS[key] then
      local known = {}
      for name in pairs(OPTIONS) do
        known[#known + 1] = name
      end
      table.sort(known)
      fail(("hob.testing: unknown option '%s'; known: %s"):format(tostring(key),
        table.concat(known, ", ")))
    end
  end
end

-- Rules are used up: each run gets its own.
local function copy_rules(rules)
  local copy = {}
  for i, rule in ipairs(rules) do
    copy[i] = {}
    for key, value in pairs(type(rule) == "table" and rule or {}) do
      copy[i][key] = value
    end
  end
  return copy
end

local function script_of(options)
  local script = {}
  for _, name in ipairs(ANSWERS) do
    script[name] = options[name]
  end
  local wrong = answering.check(script)
  if wrong then
    fail("hob.testing: " .. wrong)
  end
  for _, name in ipairs({ "exec", "http" }) do
    script[name] = script[name] and copy_rules(script[name])
  end
  return script
end

local function document_of(name, options)
  local document = options.document
  if type(document) == "string" then
    return document
  end
  local copy = { operation = name }
  for key, value in pairs(document or options.args or {}) do
    copy[key] = value
  end
  local text, message = json.encode(copy)
  return text or fail("hob.testing: document: " .. message)
end

local function open(options)
  local place, message = places.find({ scripts = options.scripts or M.scripts })
  local bench
  if place then
    bench, message = benches.open({ scripts = place.scripts, policy = options.policy,
      thing = options.thing })
  end
  return bench or fail("hob.testing: " .. message)
end

local function new_answers(options)
  return answering.new(script_of(options), "test")
end

local function run_options(bench, answers)
  return {
    quick = true,
    answer = function(call)
      answers.files:set_work(bench.work)
      return answers:answer(call)
    end,
    on_sleep = function(seconds)
      answers:sleep(seconds)
    end,
  }
end

---------------------------------------------------------------- what the spec gets

---@class hob.testing.Outcome
---@field status string       "SUCCEEDED", "FAILED", "REJECTED"; "RETRY_LATER" after job:retry_later
---@field code? string        of the details
---@field reason? string      likewise
---@field details table       as they would be sent
---@field steps table[]       { name, result, failure = { message, code } } as they ended
---@field results table       result of each step that ended well, by its name
---@field calls string[]      what the handler called, as one would write it, but for clocks
---@field programs string[]   of these the programs: "systemctl restart sensor"
---@field files table         path -> text: what the handler's files hold now
---@field outside string[]    calls between steps, where none should be
---@field progress string[]
---@field log string[]        what it logged
---@field wait? number        after job:retry_later: seconds
---@field runs integer        how often run() was begun
---@field reboots integer
---@field slept number        seconds that it slept, by its own clock
---@field unused string[]     answers that no call has asked for

local CLOCKS = { time = true, os = true, math = true }

local function add_calls(outcome, record)
  for _, call in ipairs(record.calls) do
    local module = call.name:match("^[^.:]+")
    if not CLOCKS[module] then
      table.insert(outcome.calls, call.name .. values.show_arguments(call.arguments))
    end
    if module == "exec" then
      local words = {}
      for i, word in ipairs(call.arguments[1] or {}) do
        words[i] = tostring(word)
      end
      table.insert(outcome.programs, table.concat(words, " "))
    end
  end
end

local function add_steps(outcome, record)
  for _, step in ipairs(record.steps) do
    if step.step:sub(1, 4) ~= "hob:" then
      table.insert(outcome.steps, { name = step.step, result = step.result,
        failure = step.failure })
      if not step.failure then
        outcome.results[step.step] = step.result
      end
    end
  end
end

local LOGS = { ["job.log"] = true, ["lua.print"] = true, ["lua.log"] = true }

local function outcome_of(record, answers)
  local outcome = {
    status = record.status, code = record.details.code, reason = record.details.reason,
    details = record.details, steps = {}, results = {}, calls = {}, programs = {}, log = {},
    files = answers.files.content, progress = record.said, runs = record.runs, reboots = 0,
    slept = record.slept, outside = screens.warnings(record), unused = answers:unused(),
    wait = record.status == "RETRY_LATER" and record.wait_seconds or nil,
  }
  add_calls(outcome, record)
  add_steps(outcome, record)
  for _, event in ipairs(record.logs) do
    if LOGS[event.event] then
      table.insert(outcome.log, event.msg)
    end
  end
  for _, state in ipairs(record.states) do
    outcome.reboots = outcome.reboots + (state == "rebooted" and 1 or 0)
  end
  return outcome
end

local function check_record(record, answers)
  if answers.problems[1] then
    fail(table.concat(answers.problems, "\n"))
  elseif record.details.code == "HANDLER_BROKEN" then
    fail(record.details.reason)
  end
end

-- { step = "install", at = "after", number = 1 }: a point as a rehearsal counts them.
local function cut_key(cut)
  if cut then
    return ("%s\0%s\0%d"):format(cut.at or "end", cut.step or "", cut.number or 1)
  end
end

---@class hob.testing.Options
---@field document? table|string  the job document; a table gets `operation`, if it has none
---@field args? table             in its place: members of such a document
---@field exec? table[]           programs: { pattern, code=, stdout=, stderr=, signal=, times= }
---@field http? table[]           { URL pattern, status=, body=, error=, error_code=, method= }
---@field files? table            path -> content, true: a directory
---@field calls? table            name of any other function -> its result, or a function
---@field env? table              for os.getenv
---@field clock? number           seconds since 1970 at the beginning
---@field cut? table              a power cut: { step=, at=, number= }, as a rehearsal
---@field retries? boolean        go on after job:retry_later
---@field scripts? string         the handlers' directory
---@field policy? table           what it may do, as hob.bench takes it
---@field thing? string

--- Run a handler to its end. A call that no answer is given for fails the spec. ⏳
---@param name string
---@param options? hob.testing.Options
---@return hob.testing.Outcome
function M.run(name, options)
  options = options or {}
  check(options)
  local document, answers = document_of(name, options), new_answers(options)
  local bench = open(options)
  local with = run_options(bench, answers)
  with.retries, with.cut = options.retries, cut_key(options.cut)
  local record, message = bench:run(name, document, with)
  bench:close()
  if not record then
    fail("hob.testing: " .. message)
  end
  check_record(record, answers)
  if with.cut and not record.was_cut then
    fail(("hob.testing: cut: the run did not come to %s"):format(values.show(options.cut)))
  end
  return outcome_of(record, answers)
end

---@class hob.testing.Rehearsal
---@field problems string[]  what is to be mended; none: it survives a power cut anywhere
---@field cuts table[]       { at, step, name, kind, status, code, ran_again, repeated, details }
---@field repeated string[]  calls that were done twice after some cut

--- Run it again and again, with a power cut at another point each time. ⏳
---@param name string
---@param options? hob.testing.Options
---@return hob.testing.Rehearsal
function M.rehearse(name, options)
  options = options or {}
  check(options)
  local bench, answers = open(options), nil
  local report, message = rehearsing.rehearse(bench, name, document_of(name, options), function()
    local problems = answers and answers.problems[1]
    if problems then
      return nil, problems
    end
    answers = new_answers(options)
    return run_options(bench, answers)
  end)
  bench:close()
  if not report then
    fail("hob.testing: " .. message)
  end
  check_record(report.base, answers)
  local repeated = {}
  for i, call in ipairs(rehearsing.all_repeated(report)) do
    repeated[i] = call.call
  end
  return { problems = rehearsing.problem_lines(report), cuts = report.cuts, repeated = repeated }
end

return M
