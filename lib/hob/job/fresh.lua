-- fresh.lua - a running job's arguments once more, as the service hands them out now. A presigned
-- URL ends while a gateway is without power or link; each answer of the service has another one.
-- Spec: spec/integration/field_failures_spec.lua

local contract = require("hob.job.contract")
local time = require("hob.time")

local M = {}

-- The language's own, whatever a handler does to its globals.
local min, require, tostring, type = math.min, require, tostring, type
local mono, sleep = time.mono, time.sleep

local PATIENCE = 300 -- seconds; a job that goes on after a power cut is there before the link
local PAUSE, PAUSE_MAX = 0.5, 30

local FOR_GOOD = { InvalidRequest = true, InvalidTopic = true, ResourceNotFound = true,
  TerminalStateReached = true }

local function ask(client, job)
  local answer, err = client:describe_job_execution({
    job_id = job.id, execution_number = job.execution_number, include_job_document = true,
  })
  local document = answer and answer.execution and answer.execution.job_document
  if type(document) == "table" then
    return document
  end
  local modeled = err and err.modeled
  return nil, "asking for the job document again: " ..
    (err and tostring(err) or "an answer without one"), err and err.code,
    modeled and FOR_GOOD[modeled.code]
end

local function again(job)
  local client = require("iotjobs").IotJobsClient() -- not every job pays for it
  local deadline, pause = mono() + PATIENCE, PAUSE
  while true do
    local document, message, code, for_good = ask(client, job)
    if document or for_good or mono() + pause > deadline then
      return document, message, code
    end
    sleep(pause)
    pause = min(pause * 2, PAUSE_MAX)
  end
end

---@param handler table  as loaded
---@return table? args
---@return string? message
---@return string? code
function M.args(job, handler, facts)
  local document, message, code = again(job)
  if not document then
    return nil, message, code
  end
  local placeholder = contract.find_placeholder(document, "document")
  if placeholder then
    return nil, placeholder .. ": the placeholder ${aws:iot:...} was not filled in", "BAD_DOCUMENT"
  end
  local args, why = contract.read_args(handler, document, facts)
  if not args then
    return nil, why or "the handler does not accept this document", "BAD_DOCUMENT"
  end
  return args
end

return M
