-- rehearse.lua - a handler again and again, each time with a power cut at another point: after each
-- step, at its beginning and end, before and after each call that it makes in it. What ran twice,
-- and whether it came to the same end. Spec: spec/integration/rehearse_spec.lua

local exec = require("hob.exec")
local screens = require("hob.handler.screen")
local tables = require("hob.cli.table")
local values = require("hob.handler.values")

local M = {}

local CUTS_MAX = 500

---------------------------------------------------------------- what a cut did

-- Doing it twice is the same as once: it changes nothing, or makes the same again as a whole.
local LOOKS = {
  ["fs.write"] = true, ["fs.mkdir"] = true, ["fs.chmod"] = true, ["http.download"] = true,
  ["fs.read"] = true, ["fs.stat"] = true, ["fs.list"] = true, ["fs.free"] = true,
  ["fs.exists"] = true, ["fs.tempdir"] = true, ["http.get"] = true, ["cloud.connected"] = true,
  ["cloud.wait_online"] = true, ["cloud.files"] = true, ["fs.symlink"] = true,
  ["cloud.reconnect"] = true, ["math.random"] = true, ["job:fresh_args"] = true,
  ["systemd.is_active"] = true, ["systemd.status"] = true, ["systemd.wait"] = true,
}
local LOOKING_MODULES = { aws = true, os = true, time = true, verify = true }

local function does_no_harm(call)
  local request = call.arguments[1]
  return LOOKS[call.name] or LOOKING_MODULES[call.name:match("^[^.]+")]
    or call.name == "http.request" and type(request) == "table"
      and (request.method or "GET") == "GET"
end

local function call_key(call)
  return call.name .. values.show_arguments(call.arguments, 120)
end

-- What is there more often than in the run without a cut, in its order.
local function more_often(list, before, key_of)
  local left, extra, seen = {}, {}, {}
  for _, item in ipairs(before) do
    local key = key_of(item)
    left[key] = (left[key] or 0) + 1
  end
  for _, item in ipairs(list) do
    local key = key_of(item)
    if key and (left[key] or 0) > 0 then
      left[key] = left[key] - 1
    elseif key and not seen[key] then
      seen[key] = true
      extra[#extra + 1] = item
    end
  end
  return extra
end

local function effects(record)
  local list = {}
  for _, call in ipairs(record.calls) do
    if not does_no_harm(call) then
      list[#list + 1] = call
    end
  end
  return list
end

-- Only what the other run has done, too: else it is another way, not a repetition.
local function repeated(record, base)
  local known = {}
  for _, call in ipairs(effects(base)) do
    known[call_key(call)] = true
  end
  local list = {}
  for _, call in ipairs(more_often(effects(record), effects(base), call_key)) do
    if known[call_key(call)] then
      list[#list + 1] = { call = call_key(call), where = call.where, step = call.step }
    end
  end
  return list
end

local function names_of(steps)
  local names = {}
  for i, step in ipairs(steps) do
    names[i] = step.step
  end
  return names
end

local function step_name(step)
  return step.step
end

local function failed_steps(record)
  local list = {}
  for _, step in ipairs(record.steps) do
    if step.failure then
      list[#list + 1] = step
    end
  end
  return list
end

-- Hob's own may be other ones after a cut: `attempt` is.
local OWN = { attempt = true, reason = true, step = true, code = true, handler = true,
  cleanup_error = true }

local function other_details(record, base)
  local names = {}
  for _, pair in ipairs({ { record, base }, { base, record } }) do
    for key, value in pairs(pair[1].details) do
      if not OWN[key] and pair[2].details[key] ~= value and not names[key] then
        names[key] = true
        names[#names + 1] = key
      end
    end
  end
  table.sort(names)
  return names
end

local function kind_of(record, base)
  local code = record.details.code
  if not record.was_cut then
    return "not reached"
  elseif record.status == base.status and code == base.details.code then
    return record.details.cleanup_error == base.details.cleanup_error and "same" or "differs"
  elseif code == "INTERRUPTED" or code == "REPLAY_MISMATCH" then
    return code
  end
  return "differs"
end

local function judge(point, record, base)
  return {
    at = point.at, step = point.step, name = point.name, where = point.where,
    number = point.number, cleanup = point.cleanup,
    kind = kind_of(record, base), status = record.status, code = record.details.code,
    reason = record.details.reason,
    ran_again = names_of(more_often(record.begun, base.begun, step_name)),
    repeated = repeated(record, base),
    failed = names_of(more_often(failed_steps(record), failed_steps(base), step_name)),
    details = other_details(record, base),
  }
end

---------------------------------------------------------------- all of them

---@class hob.rehearsal
---@field base table       the record of the run without a cut
---@field cuts table[]     one for each point
---@field left_out integer points beyond the most that are tried
---@field problems integer what is to be mended
---@field outside table[]  calls outside of steps, of all runs

local function add_outside(all, record)
  for _, call in ipairs(record.outside) do
    local key = call.name .. "\0" .. tostring(call.where)
    if not all[key] then
      all[key] = true
      all[#all + 1] = call
    end
  end
end

-- What is wrong before any cut.
local function base_problem(base)
  if base.runs == 0 then
    return ("run() was not called, so nothing was rehearsed: %s %s: %s"):format(base.status,
      base.details.code or "", base.details.reason or "")
  elseif base.details.code == "REPLAY_MISMATCH" then
    return "without a cut: " .. base.details.reason
  end
end

local function count_problems(report)
  local count = #report.outside + (base_problem(report.base) and 1 or 0)
  for _, cut in ipairs(report.cuts) do
    if cut.kind ~= "same" and cut.kind ~= "INTERRUPTED" then
      count = count + 1
    end
  end
  return count
end

--- Rehearse a handler.
---@param bench table  of hob.handler.bench
---@param name string
---@param document string
---@param new_options fun(): hob.bench.run_options  afresh for each run
---@param each? fun(cut: table)  called as they come
---@return hob.rehearsal|nil
---@return string|nil message
function M.rehearse(bench, name, document, new_options, each)
  local run_options, message = new_options()
  if not run_options then
    return nil, message
  end
  run_options.points, run_options.retries = true, true
  local base
  base, message = bench:run(name, document, run_options)
  if not base then
    return nil, message
  end
  local report = { base = base, cuts = {}, outside = {}, left_out = 0 }
  add_outside(report.outside, base)
  for i, point in ipairs(base.points) do
    if i > CUTS_MAX then
      report.left_out = #base.points - CUTS_MAX
      break
    end
    run_options, message = new_options()
    if not run_options then
      return nil, message
    end
    run_options.cut, run_options.retries = point.key, true
    local record
    record, message = bench:run(name, document, run_options)
    if not record then
      return nil, message
    end
    add_outside(report.outside, record)
    report.cuts[i] = judge(point, record, base)
    if each then
      each(report.cuts[i])
    end
  end
  report.problems = count_problems(report)
  return report
end

---------------------------------------------------------------- in words

local OWN_STEPS = { ["already_done"] = "already_done", ["reboot"] = "the reboot" }

local function step_words(name)
  return OWN_STEPS[name:match("^hob:([%a_]*)")] or ("step '%s'"):format(name)
end

local function point_words(cut)
  local step = cut.cleanup and "cleanup" or step_words(cut.step)
  local where = cut.where and (" (%s)"):format(cut.where:match("[^/]*$")) or ""
  if cut.at == "begin" then
    return "at the beginning of " .. step
  elseif cut.at == "end" then
    return "at the end of " .. step
  elseif cut.at == "saved" then
    return "after " .. step
  end
  return ("in %s, %s %s%s"):format(step, cut.at, cut.name, where)
end

local function outcome_words(cut)
  if cut.kind == "same" then
    return "the same" .. (cut.details[1] and ", but other details: "
      .. table.concat(cut.details, ", ") or "")
  elseif cut.kind == "INTERRUPTED" then
    return "INTERRUPTED (as a `once` step says)"
  elseif cut.kind == "not reached" then
    return "NOT REACHED: " .. cut.status
  end
  return ("%s %s: %s"):format(cut.status, cut.code or "", cut.reason or "")
end

local function twice_words(cut)
  local parts = {}
  for _, call in ipairs(cut.repeated) do
    parts[#parts + 1] = call.call
  end
  if not parts[1] and cut.ran_again[1] then
    parts[1] = "step '" .. table.concat(cut.ran_again, "', '") .. "'"
  end
  return table.concat(parts, "; ")
end

M.point_words, M.outcome_words = point_words, outcome_words

-- Each call that was done twice, once, with the number of cuts that led to it.
local function all_repeated(report)
  local list = {}
  for _, cut in ipairs(report.cuts) do
    for _, call in ipairs(cut.repeated) do
      local key = call.call .. "\0" .. tostring(call.where)
      if not list[key] then
        list[key] = { call = call.call, where = call.where, step = call.step, cuts = 0 }
        list[#list + 1] = list[key]
      end
      list[key].cuts = list[key].cuts + 1
    end
  end
  return list
end

M.all_repeated = all_repeated

--- What is to be mended, a line each.
---@param report hob.rehearsal
---@return string[]
function M.problem_lines(report)
  local lines = screens.warnings({ outside = report.outside })
  lines[#lines + 1] = base_problem(report.base)
  for _, cut in ipairs(report.cuts) do
    if cut.kind ~= "same" and cut.kind ~= "INTERRUPTED" then
      lines[#lines + 1] = ("power cut %s: %s"):format(point_words(cut), outcome_words(cut))
    end
  end
  return lines
end

local function count(report, kind)
  local n = 0
  for _, cut in ipairs(report.cuts) do
    n = n + (cut.kind == kind and 1 or 0)
  end
  return n
end

local function plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

local function say_repeated(report)
  for _, call in ipairs(all_repeated(report)) do
    io.stdout:write(("twice: %s  (%s, in %s; after %s): make sure that doing it twice does no "
      .. "harm, or let the step be `once`\n"):format(call.call, call.where or "?",
      call.step and "step '" .. call.step .. "'" or "cleanup", plural(call.cuts, "cut")))
  end
end

local function say_failed(report)
  local seen = {}
  for _, cut in ipairs(report.cuts) do
    for _, step in ipairs(cut.failed) do
      if not seen[step] then
        seen[step] = true
        io.stdout:write(("step '%s' fails after a cut %s\n"):format(step, point_words(cut)))
      end
    end
  end
end

local function say_end(report)
  local base = report.base
  say_repeated(report)
  say_failed(report)
  for _, line in ipairs(screens.warnings({ outside = report.outside })) do
    io.stdout:write("outside: ", line, "\n")
  end
  if count(report, "not reached") > 0 then
    io.stdout:write("not reached: these runs took another way, since runs before them had changed "
      .. "something; set it back with --reset COMMAND, or use --dry-run\n")
  end
  if report.left_out > 0 then
    io.stdout:write(("left out: %s beyond the first %d\n"):format(plural(report.left_out, "cut"),
      CUTS_MAX))
  end
  io.stdout:write(("without a cut: %s%s; %s: %d the same, %d INTERRUPTED, %d REPLAY_MISMATCH, "
    .. "%d other, %d not reached; %s outside of steps\n"):format(base.status,
    base.details.code and " " .. base.details.code or "", plural(#report.cuts, "cut"),
    count(report, "same"), count(report, "INTERRUPTED"), count(report, "REPLAY_MISMATCH"),
    count(report, "differs"), count(report, "not reached"), plural(#report.outside, "call")))
end

local function plain(call)
  return { name = call.name, where = call.where, phase = call.phase }
end

local function say_json(report)
  screens.write_object({ status = report.base.status, details = report.base.details,
    left_out = report.left_out, problems = report.problems },
    { cuts = { report.cuts }, outside = { report.outside, plain } })
end

---------------------------------------------------------------- the command

local function reset(command)
  if not command then
    return true
  end
  local result, message = exec.run{ "sh", "-c", command }
  if not result then
    return nil, "--reset: " .. message
  elseif result.code ~= 0 then
    return nil, ("--reset: %s: %s"):format(result.words, result.stderr)
  end
  return true
end

---@param request table  of hob.handler.run
---@param bench table
---@return integer code
function M.run(request, bench)
  local given = request.given
  local report, message = M.rehearse(bench, request.name, request.document, function()
    if request.interrupted then
      return nil, ""
    end
    local ok, why = reset(given.reset)
    if not ok then
      return nil, why
    end
    return require("hob.handler.run").run_options(request, bench)
  end)
  if request.interrupted then
    io.stderr:write("hob handler run: the rehearsal was ended by Ctrl-C\n")
    return 1
  elseif not report then
    io.stderr:write("hob handler run: ", message, "\n")
    return 2
  end
  if given.json then
    say_json(report)
  elseif report.base.runs == 0 then
    io.stdout:write(base_problem(report.base), "\n")
  else
    local rows = {}
    for i, cut in ipairs(report.cuts) do
      rows[i] = { point_words(cut), twice_words(cut), outcome_words(cut) }
    end
    tables.print({ "THE POWER WAS CUT", "DONE TWICE", "OUTCOME" }, rows)
    say_end(report)
  end
  return report.problems == 0 and 0 or 1
end

return M
