--- The same as `hob.service.views` for what goes out over MQTT, as JSON text that is kept with the
--- execution until its next version: what is told of an execution again and again is encoded once.
--- Spec: spec/unit/service_texts_spec.lua
local documents = require("hob.service.documents")
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")
local views = require("hob.service.views")

local M = {}

-- What is kept: `summary`, and `execution` without its opening brace and what changes by itself.
local function texts_of(execution)
  local texts = execution.texts
  if not texts or texts.version ~= execution.version then
    texts = { version = execution.version }
    execution.texts = texts
  end
  return texts
end

local function summary(execution)
  local texts = texts_of(execution)
  local text = texts.summary
  if not text then
    text = json_text.encode(views.summary(execution))
    texts.summary = text
  end
  return text
end

M.state = views.state

local function execution_text(execution, now, with_document)
  local texts = texts_of(execution)
  local rest = texts.execution
  if not rest then
    local members = views.execution(execution, now, false)
    members.approximateSecondsBeforeTimedOut = nil
    rest = json_text.encode(members):sub(2)
    texts.execution = rest
  end
  local left = views.seconds_left(execution, now)
  return "{" .. (left and '"approximateSecondsBeforeTimedOut":' .. left .. "," or "")
    .. (with_document and '"jobDocument":' .. documents.text_for(execution, now) .. "," or "")
    .. rest
end

--- JobExecution.
---@param with_document boolean
---@return table  for `json_text.encode`
function M.execution(execution, now, with_document)
  return json_text.raw(execution_text(execution, now, with_document))
end

local function summaries_text(executions)
  local items = {}
  for i, execution in ipairs(executions) do
    items[i] = summary(execution)
  end
  return "[" .. table.concat(items, ",") .. "]"
end

--- A list of JobExecutionSummary.
---@return table
function M.summaries(executions)
  return json_text.raw(summaries_text(executions))
end

--- The payload of `notify`.
---@return table
function M.pending(thing, now)
  local in_progress, queued = thing.pending:head(rules.LIST_MAX)
  return json_text.raw('{"jobs":{'
    .. (in_progress[1] and '"IN_PROGRESS":' .. summaries_text(in_progress) or "")
    .. (in_progress[1] and queued[1] and "," or "")
    .. (queued[1] and '"QUEUED":' .. summaries_text(queued) or "")
    .. '},"timestamp":' .. math.floor(now) .. "}")
end

--- The payload of `notify-next`.
---@return table
function M.next(thing, now)
  local front = thing.pending:front()
  return json_text.raw("{"
    .. (front and '"execution":' .. execution_text(front, now, true) .. "," or "")
    .. '"timestamp":' .. math.floor(now) .. "}")
end

return M
