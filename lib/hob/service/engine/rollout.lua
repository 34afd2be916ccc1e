--- Queueing a job's executions: minute by minute, as jobExecutionsRolloutConfig says; without it a
--- portion after the other, so that devices are answered between two of them.
--- `job.waiting` names the things still to come, from place `job.waiting_from` on.
local M = {}

local RATE_MAX = 1000
local PORTION, PAUSE = 100, 0.001

--- How many times the rate has grown.
local function increases(job, criteria)
  local notified, succeeded = criteria.numberOfNotifiedThings, criteria.numberOfSucceededThings
  return math.max(notified and (job.waiting_from - 1) // notified or 0,
    succeeded and job.counts.SUCCEEDED // succeeded or 0)
end

--- How many executions may be queued in the minute that begins now, or in this portion.
---@return integer
function M.rate(job)
  local config = job.rollout
  if not config then
    return PORTION
  end
  local limit = config.maximumPerMinute or RATE_MAX
  local growing = config.exponentialRate
  if not growing then
    return limit
  end
  local rate = growing.baseRatePerMinute
    * growing.incrementFactor ^ increases(job, growing.rateIncreaseCriteria)
  return math.floor(math.min(limit, rate))
end

--- Whether things are still to come.
function M.is_open(job)
  return job.waiting ~= nil
end

--- How long it is from one batch to the next.
---@param minute number  seconds
---@return number seconds
function M.pause(job, minute)
  return job.rollout and minute or PAUSE
end

--- The things of the next batch.
---@return string[]
function M.take(job)
  local waiting, first = job.waiting, job.waiting_from
  local last = math.min(#waiting, first + M.rate(job) - 1)
  job.waiting_from = last + 1
  local names = table.move(waiting, first, last, 1, {})
  if last == #waiting then
    job.waiting, job.waiting_from = nil, nil
  end
  return names
end

return M
