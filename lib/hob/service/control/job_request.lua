--- The members of CreateJob and UpdateJob, checked, as plain tables: what a job keeps of them.
--- Every function raises a refusal of hob.service.control.members.
local members = require("hob.service.control.members")
local rules = require("hob.service.rules")

local M = {}

local RATE_MAX = 1000
local COUNT_MAX = (1 << 31) - 1
local RETRIES_MAX = 10
local FAILURES = { "FAILED", "TIMED_OUT", "ALL" }
local ABORT_FAILURES = { "FAILED", "REJECTED", "TIMED_OUT", "ALL" }

function M.timeout(given)
  local config = members.object(given, "timeoutConfig")
  return config and members.integer(config.inProgressTimeoutInMinutes,
    "timeoutConfig.inProgressTimeoutInMinutes", 1, rules.MINUTES_MAX)
end

local function retry_criterion(given, name)
  local one = members.need(members.object(given, name), name)
  local kind, count = name .. ".failureType", name .. ".numberOfRetries"
  return {
    failureType = members.need(members.one_of(one.failureType, kind, FAILURES), kind),
    numberOfRetries = members.need(members.integer(one.numberOfRetries, count, 0, RETRIES_MAX),
      count),
  }
end

--- @return table[]|nil criteria
function M.retry(given)
  local config = members.object(given, "jobExecutionsRetryConfig")
  local name = "jobExecutionsRetryConfig.criteriaList"
  local list = config and members.need(members.list(config.criteriaList, name, 1, 2,
    retry_criterion), name)
  local seen, total = {}, 0
  for _, one in ipairs(list or {}) do
    if seen[one.failureType] then
      members.refuse("%s: failureType %s is there twice", name, one.failureType)
    end
    seen[one.failureType], total = true, total + one.numberOfRetries
  end
  if seen.ALL and #list > 1 then
    members.refuse("%s: failureType ALL stands alone", name)
  elseif total > RETRIES_MAX then
    members.refuse("%s: at most %d retries in all, got %d", name, RETRIES_MAX, total)
  end
  return list
end

local function abort_criterion(given, name)
  local one = members.need(members.object(given, name), name)
  local function named(member, check, ...)
    return members.need(check(one[member], name .. "." .. member, ...), name .. "." .. member)
  end
  return {
    failureType = named("failureType", members.one_of, ABORT_FAILURES),
    action = named("action", members.one_of, { "CANCEL" }),
    thresholdPercentage = named("thresholdPercentage", members.number, 0, 100, 2),
    minNumberOfExecutedThings = named("minNumberOfExecutedThings", members.integer, 1, COUNT_MAX),
  }
end

--- @return table[]|nil criteria
function M.abort(given)
  local config, name = members.object(given, "abortConfig"), "abortConfig.criteriaList"
  return config and members.need(members.list(config.criteriaList, name, 1, 100, abort_criterion),
    name)
end

local function increase(given, name)
  local config = members.need(members.object(given, name), name)
  local function count(member)
    return members.integer(config[member], name .. "." .. member, 1, COUNT_MAX)
  end
  local out = {
    numberOfNotifiedThings = count("numberOfNotifiedThings"),
    numberOfSucceededThings = count("numberOfSucceededThings"),
  }
  if next(out) == nil then
    members.refuse("%s: numberOfNotifiedThings or numberOfSucceededThings is required", name)
  end
  return out
end

local function exponential(given)
  local name = "jobExecutionsRolloutConfig.exponentialRate"
  local rate = members.object(given, name)
  if not rate then
    return nil
  end
  local base, factor = name .. ".baseRatePerMinute", name .. ".incrementFactor"
  return {
    baseRatePerMinute = members.need(members.integer(rate.baseRatePerMinute, base, 1, RATE_MAX),
      base),
    incrementFactor = members.need(members.number(rate.incrementFactor, factor, 1.1, 5, 1), factor),
    rateIncreaseCriteria = increase(rate.rateIncreaseCriteria, name .. ".rateIncreaseCriteria"),
  }
end

function M.rollout(given)
  local config = members.object(given, "jobExecutionsRolloutConfig")
  if not config then
    return nil
  end
  local out = {
    maximumPerMinute = members.integer(config.maximumPerMinute,
      "jobExecutionsRolloutConfig.maximumPerMinute", 1, RATE_MAX),
    exponentialRate = exponential(config.exponentialRate),
  }
  local base = out.exponentialRate and out.exponentialRate.baseRatePerMinute
  if base and out.maximumPerMinute and base > out.maximumPerMinute then
    members.refuse("jobExecutionsRolloutConfig.exponentialRate.baseRatePerMinute: expected at most"
      .. " maximumPerMinute (%d), got %d", out.maximumPerMinute, base)
  end
  return next(out) ~= nil and out or nil
end

function M.presigned(given)
  local config = members.object(given, "presignedUrlConfig")
  local out = config and {
    roleArn = members.text(config.roleArn, "presignedUrlConfig.roleArn", { min = 20, max = 2048 }),
    expiresInSec = members.integer(config.expiresInSec, "presignedUrlConfig.expiresInSec", 60,
      3600),
  }
  return out and next(out) ~= nil and out or nil
end

local PARAMETER = { min = 1, max = 128, pattern = "[%w_-]+", words = "1-128 of [a-zA-Z0-9_-]" }

local function parameters(given)
  return members.map(given, "documentParameters", PARAMETER, { min = 1, max = 30720 }, 1000)
end

local function tag(given, name)
  local one = members.need(members.object(given, name), name)
  members.need(members.text(one.Key, name .. ".Key", { min = 1, max = 128 }), name .. ".Key")
  members.text(one.Value, name .. ".Value", { max = 256 })
  return true
end

local function package(given, name)
  return members.need(members.text(given, name, { min = 1, max = 1600, pattern = "arn:[!-~]+",
    words = "an ARN" }), name)
end

--- What this service does not do, and must not seem to do.
local function refuse_unsupported(body)
  if members.namespace(body.namespaceId) then
    members.refuse("namespaceId: jobs in a namespace are not supported, got %s",
      members.shown(body.namespaceId))
  end
  local schedule = members.object(body.schedulingConfig, "schedulingConfig")
  if schedule and next(schedule) ~= nil then
    members.refuse("schedulingConfig: scheduled jobs are not supported, got %s",
      members.shown(schedule))
  end
end

--- CreateJob without its targets and its document.
---@return table
function M.create(id, body)
  members.job_id(id)
  refuse_unsupported(body)
  members.list(body.tags, "tags", 0, 50, tag)
  return {
    description = members.prose(body.description, "description", rules.DESCRIPTION_BYTES),
    target_selection = members.one_of(body.targetSelection, "targetSelection",
      { "SNAPSHOT", "CONTINUOUS" }) or "SNAPSHOT",
    minutes = M.timeout(body.timeoutConfig),
    retry = M.retry(body.jobExecutionsRetryConfig),
    abort = M.abort(body.abortConfig),
    rollout = M.rollout(body.jobExecutionsRolloutConfig),
    presigned = M.presigned(body.presignedUrlConfig),
    parameters = parameters(body.documentParameters),
    packages = members.list(body.destinationPackageVersions, "destinationPackageVersions", 1, 25,
      package),
  }
end

--- UpdateJob: only what was given.
---@return table
function M.update(id, body)
  members.job_id(id)
  return {
    description = members.prose(body.description, "description", rules.DESCRIPTION_BYTES),
    minutes = M.timeout(body.timeoutConfig),
    retry = M.retry(body.jobExecutionsRetryConfig),
    abort = M.abort(body.abortConfig),
    rollout = M.rollout(body.jobExecutionsRolloutConfig),
    presigned = M.presigned(body.presignedUrlConfig),
  }
end

local REASON = { min = 1, max = 128, pattern = "[%u%d_]+", words = "characters of [A-Z0-9_]" }

--- CancelJob.
---@return table
function M.cancel(id, body)
  members.job_id(id)
  return {
    reason_code = members.text(body.reasonCode, "reasonCode", REASON),
    comment = members.prose(body.comment, "comment", rules.DESCRIPTION_BYTES),
  }
end

return M
