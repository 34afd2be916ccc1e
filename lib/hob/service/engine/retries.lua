--- Which executions are tried again, and when a job is given up: jobExecutionsRetryConfig and
--- abortConfig. No state of its own.
local M = {}

local USED = { FAILED = "failed_retries", TIMED_OUT = "timed_out_retries" }

--- How many retries of a criterion's kind led to this execution; nil: it does not apply.
local function used(execution, kind)
  if kind == "ALL" then
    return execution.retry_attempt or 0
  end
  return kind == execution.status and (execution[USED[kind]] or 0) or nil
end

--- What the execution that follows a failed one starts with; nil: it is not tried again. Never
--- after REJECTED, which means that it cannot work.
---@param execution table  of a job that is IN_PROGRESS
---@return table|nil
function M.following(execution)
  local counter = USED[execution.status]
  for _, criterion in ipairs(counter and execution.job.retry or {}) do
    local count = used(execution, criterion.failureType)
    if count and count < criterion.numberOfRetries then
      local fields = {
        retry_attempt = (execution.retry_attempt or 0) + 1,
        failed_retries = execution.failed_retries, timed_out_retries = execution.timed_out_retries,
      }
      fields[counter] = (execution[counter] or 0) + 1
      return fields
    end
  end
  return nil
end

local function failures(counts, kind)
  if kind == "ALL" then
    return counts.FAILED + counts.REJECTED + counts.TIMED_OUT
  end
  return counts[kind]
end

--- The first criterion under which a job is given up. Executions count that a device has ended or
--- that timed out, each attempt of a retry on its own.
---@return table|nil
function M.given_up(job)
  local counts = job.counts
  for _, criterion in ipairs(job.abort or {}) do
    local failed = failures(counts, criterion.failureType)
    local executed = counts.SUCCEEDED + failures(counts, "ALL")
    if failed > 0 and executed >= criterion.minNumberOfExecutedThings
      and failed * 100 >= criterion.thresholdPercentage * executed then
      return criterion
    end
  end
  return nil
end

return M
