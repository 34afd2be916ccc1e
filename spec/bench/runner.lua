-- runner.lua - runs benches one after the other: what a bench gets to tell its figures with, what
-- happens to one that breaks or hangs, and what the whole comes to. See run.lua.
--
--     local runner = require("spec.bench.runner")
--     local result = runner.run({ "ops" }, { quick = true, rounds = 3, load = fn, say = fn })
--     result.figures, result.curves, result.broken, result.skipped
--     runner.status(result, true)      -- 0 or 1
local futures = require("hob.future")
local report = require("spec.bench.report")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")

local M = {}

-- Seconds after which a bench hangs, unless its module says `limit`. Far above what any takes: it
-- is no judgement of the machine.
local LIMIT, QUICK_LIMIT = 1800, 200

---------------------------------------------------------------- what a bench gets

---@class bench
---@field name string
---@field quick boolean?
---@field rounds integer
local bench = {}
bench.__index = bench

--- Any figure; see report.lua.
function bench:figure(figure)
  local value = figure.value
  if math.type(value) == nil or value ~= value or value == math.huge then
    error(("%s: the figure '%s' is no number: %s"):format(self.name, figure.what, value), 2)
  end
  figure.row = self.name
  table.insert(self.figures, figure)
end

--- Hob's figure over a counterpart's, round by round.
---@param goal { at_most: number?, at_least: number? }
function bench:ratio(what, results, mine, other, key, goal)
  local value, low, high = rounds.ratio(results[mine], results[other], key)
  self:figure({ what = what, value = value, unit = "ratio", low = low, high = high, versus = other,
    hob = rounds.median(rounds.column(results[mine], key)),
    peer = rounds.median(rounds.column(results[other], key)),
    at_most = goal.at_most, at_least = goal.at_least })
end

--- Two figures of Hob's own, one over the other.
---@param goal { at_most: number?, at_least: number?, tail: boolean? }
function bench:spread(what, list, key, base, goal)
  local ratios = {}
  for i, one in ipairs(list) do
    ratios[i] = one[key] / one[base]
  end
  self:figure({ what = what, value = rounds.median(ratios), unit = "ratio",
    low = math.min(table.unpack(ratios)), high = math.max(table.unpack(ratios)),
    hob = rounds.median(rounds.column(list, key)), peer = rounds.median(rounds.column(list, base)),
    versus = base, at_most = goal.at_most, at_least = goal.at_least, tail = goal.tail })
end

--- A scaling curve; see plot.lua.
---@param curve bench.curve
function bench:curve(curve)
  curve.row = self.name
  table.insert(self.curves, curve)
end

function bench:say(text)
  self.tell(("%s: %s"):format(self.name, text))
end

---------------------------------------------------------------- the whole

---@class bench.result
---@field figures bench.figure[]
---@field curves bench.curve[]
---@field broken { row: string, why: string }[]  could not be run, or not to their end
---@field skipped string[]  the time was up before they began

---@class bench.options
---@field load fun(name: string): table  the bench's module
---@field say fun(line: string)
---@field quick? boolean
---@field rounds integer
---@field seconds? number  after so many no other bench begins; the first one always does
---@field limit? number    seconds after which one hangs

-- In a task of its own, so that one that hangs does not hold up what was measured before.
local function run_one(name, given, result)
  local one = setmetatable({ name = name, quick = given.quick, rounds = given.rounds,
    figures = {}, curves = {}, tell = given.say }, bench)
  local known, module = pcall(given.load, name)
  if not known then
    return one, module
  end
  local began, over = time.mono(), futures.new()
  one:say(module.what .. " ...")
  time.after(0, function()
    over:resolve(xpcall(module.run, debug and debug.traceback or tostring, one))
  end)
  local limit = given.limit or module.limit or given.quick and QUICK_LIMIT or LIMIT
  local ok, problem = over:result(limit)
  if ok == nil then
    result.hangs = true
    return one, ("not at its end after %g s"):format(limit)
  end
  if ok then
    one:say(("%.0f s"):format(time.mono() - began))
  end
  return one, not ok and problem or nil
end

local function take(result, one, problem)
  table.move(one.figures, 1, #one.figures, #result.figures + 1, result.figures)
  table.move(one.curves, 1, #one.curves, #result.curves + 1, result.curves)
  if problem then
    one:say("could not be run: " .. tostring(problem))
    table.insert(result.broken, { row = one.name, why = tostring(problem) })
  end
end

--- One that hangs is the last: its processes would be in the way of the next.
---@param names string[]
---@param given bench.options
---@return bench.result
function M.run(names, given)
  local result = { figures = {}, curves = {}, broken = {}, skipped = {} }
  local began = time.mono()
  for i, name in ipairs(names) do
    local late = i > 1 and given.seconds and time.mono() - began > given.seconds
    if result.hangs or late then
      table.insert(result.skipped, name)
    else
      take(result, run_one(name, given, result))
    end
  end
  return result
end

--- 1: a goal was not reached, or a bench could not be run. One that was skipped for want of time
--- says nothing.
---@param result bench.result
---@param quick boolean?
---@return integer
function M.status(result, quick)
  local status = #result.broken > 0 and 1 or 0
  for _, figure in ipairs(result.figures) do
    status = report.reached(figure, quick) and status or 1
  end
  return status
end

return M
