-- report.lua - the figures of `./dev bench`: a table for people, and whether each reached its
-- goal.
local tables = require("hob.cli.table")

local M = {}

-- With --quick a figure fails only beyond this factor, and a time never, nor how much the slowest
-- differ from the others: the machine may have other things to do.
local QUICK_FACTOR = 2
local TIMES = { s = true, ms = true, us = true }

---@class bench.figure
---@field row string                 the bench's name
---@field what string                "jobs/s over TLS"
---@field value number               what is compared with the goal
---@field unit? string               "ratio" unless it is absolute
---@field at_most? number            the goal, one of the two; neither: it is told only
---@field at_least? number
---@field tail? boolean              it is about the slowest few
---@field hob? number|string         what Hob took, in words or figures
---@field peer? number|string        and the counterpart
---@field versus? string             the counterpart's name
---@field low? number                of the rounds
---@field high? number

local function depends_on_others(figure)
  return TIMES[figure.unit] or figure.tail
end

---@param figure bench.figure
---@param quick boolean?
---@return boolean
function M.reached(figure, quick)
  if quick and depends_on_others(figure) then
    return true
  end
  local factor = quick and QUICK_FACTOR or 1
  return not (figure.at_most and figure.value > figure.at_most * factor)
    and not (figure.at_least and figure.value < figure.at_least / factor)
end

local function number(value)
  if type(value) ~= "number" then
    return value or ""
  elseif math.type(value) == "integer" or value == math.floor(value) and value < 1e15 then
    return ("%d"):format(value)
  end
  return (value < 10 and "%.2f" or value < 1000 and "%.1f" or "%.0f"):format(value)
end

local function with_unit(figure, value)
  return number(value) .. (figure.unit and figure.unit ~= "ratio" and " " .. figure.unit or "")
end

local function goal(figure)
  if figure.at_most then
    return "<= " .. number(figure.at_most)
  end
  return figure.at_least and ">= " .. number(figure.at_least) or ""
end

local function reached(figure, quick)
  if not figure.at_most and not figure.at_least then
    return ""
  elseif not M.reached(figure, quick) then
    return "NO"
  end
  return M.reached(figure) and "yes" or depends_on_others(figure) and "not judged" or "nearly"
end

---@param figures bench.figure[]
---@param quick boolean?
---@return string[]
function M.lines(figures, quick)
  local lines = {}
  for i, figure in ipairs(figures) do
    local spread = figure.low and ("%s to %s"):format(number(figure.low), number(figure.high)) or ""
    lines[i] = { figure.row, figure.what, with_unit(figure, figure.value), goal(figure),
      reached(figure, quick), spread, number(figure.hob), number(figure.peer), figure.versus or "" }
  end
  return tables.lines({ "BENCH", "WHAT", "MEASURED", "GOAL", "REACHED", "ROUNDS", "HOB", "OTHER",
    "WHICH IS" }, lines)
end

---@param figures bench.figure[]
---@param quick boolean?
function M.print(figures, quick)
  io.stdout:write(table.concat(M.lines(figures, quick), "\n"), "\n")
end

--- What is not in the table, below it.
---@param result bench.result
function M.print_rest(result)
  for _, one in ipairs(result.broken) do
    local why = one.why:gsub("%s*stack traceback:.*$", "") -- it was told when it broke
    io.stdout:write(("%s could not be run: %s\n"):format(one.row, why))
  end
  if #result.skipped > 0 then
    io.stdout:write(("not run, the time was up: %s\n"):format(table.concat(result.skipped, " ")))
  end
end

return M
