--- `hob job watch`: executions as they come and go, until each has ended. On a terminal one line
--- each, redrawn in place, with a bar from statusDetails.progress ("42", "42% unpacking");
--- otherwise a line for every change.
local json_text = require("hob.service.json_text")
local process = require("hob.process")
local rules = require("hob.service.rules")
local tables = require("hob.cli.table")
local time = require("hob.time")

local M = {}

local POLL = 0.2
local BAR = 20
local PAGE = 25 -- the client asks for fewer where they are too large

--- @return integer percent  0-100
function M.percent(execution)
  if execution.status == "SUCCEEDED" then
    return 100
  end
  local progress = (execution.statusDetails or {}).progress or ""
  local percent = math.tointeger(tonumber(progress:match("^%s*(%d+)"))) or 0
  return math.min(percent, 100)
end

--- What there is to say of an execution beside its status.
local function note(execution)
  local details = execution.statusDetails or {}
  return details[rules.TERMINAL[execution.status] and "reason" or "progress"] or ""
end

--- @param width integer
---@return string
function M.bar(execution, width)
  local full = M.percent(execution) * width // 100
  return ("#"):rep(full) .. ("."):rep(width - full)
end

local function name_of(execution)
  local number = execution.executionNumber
  return execution.jobId, execution.thingName, number > 1 and ("#%d"):format(number) or ""
end

local screen = {}
screen.__index = screen

function screen:draw(executions)
  local rows = {}
  for i, execution in ipairs(executions) do
    local job, thing, number = name_of(execution)
    rows[i] = { job .. number, thing, "[" .. M.bar(execution, BAR) .. "]", execution.status,
      note(execution) }
  end
  if self.drawn > 0 then
    io.stdout:write(("\27[%dA"):format(self.drawn))
  end
  for _, line in ipairs(tables.lines(nil, rows, { width = process.columns() - 1 })) do
    io.stdout:write("\27[2K", line, "\n")
  end
  for _ = #rows + 1, self.drawn do -- an execution was deleted
    io.stdout:write("\27[2K\n")
  end
  self.drawn = math.max(self.drawn, #rows)
  io.stdout:flush()
end

local function plain_line(execution)
  local job, thing, number = name_of(execution)
  return table.concat(tables.lines(nil, { { job .. number, thing, execution.status,
    note(execution) } }))
end

local lines = {}
lines.__index = lines

function lines:draw(executions)
  for _, execution in ipairs(executions) do
    local key = table.concat({ execution.thingName, execution.jobId, execution.executionNumber,
      execution.queuedAt }, "/")
    local text = self.json and json_text.encode(execution) or plain_line(execution)
    -- the JSON of one version may differ in the seconds left
    local mark = self.json and execution.versionNumber or text
    if self.seen[key] ~= mark then
      self.seen[key] = mark
      io.stdout:write(text, "\n")
    end
  end
  io.stdout:flush()
end

local function new_view(json)
  if not json and process.is_terminal() and os.getenv("TERM") ~= "dumb" then
    return setmetatable({ drawn = 0 }, screen)
  end
  return setmetatable({ json = json, seen = {} }, lines)
end

local function count(executions)
  local open, unhappy = 0, 0
  for _, execution in ipairs(executions) do
    if not rules.TERMINAL[execution.status] then
      open = open + 1
    elseif execution.status ~= "SUCCEEDED" then
      unhappy = unhappy + 1
    end
  end
  return open, unhappy
end

--- Follow jobs until each of their executions has ended.
---@param api table       see hob.cli.service_client
---@param ids string[]    none: all jobs
---@param json boolean|nil
---@return integer|nil code  0, or 1 if an execution did not succeed
---@return string|nil message
function M.run(api, ids, json)
  local view = new_view(json)
  local query = { maxResults = PAGE, jobs = ids[1] and table.concat(ids, ",") }
  while true do
    local executions, message = api:list({ "hob", "executions" }, query, "executions")
    if not executions then
      return nil, message
    end
    view:draw(executions)
    local open, unhappy = count(executions)
    if open == 0 then
      return unhappy == 0 and 0 or 1
    end
    time.sleep(POLL)
  end
end

return M
