--- The topics of AWS IoT Jobs, and which classes travel on them.
--- Facts: AWS IoT Core Developer Guide, "Jobs device MQTT API operations" and "Reserved topics".
local M = {}

---@class iotjobs.operation
---@field name string
---@field request string       class of what is sent
---@field subscription string  class of what says whose answers are wanted
---@field response string      class of the accepted answer
---@field of_job boolean       its topic names a job
---@field last string          the topic's last word

---@type iotjobs.operation[]
M.OPERATIONS = {
  {
    name = "describe_job_execution", of_job = true, last = "get",
    request = "DescribeJobExecutionRequest", response = "DescribeJobExecutionResponse",
    subscription = "DescribeJobExecutionSubscriptionRequest",
  },
  {
    name = "get_pending_job_executions", of_job = false, last = "get",
    request = "GetPendingJobExecutionsRequest", response = "GetPendingJobExecutionsResponse",
    subscription = "GetPendingJobExecutionsSubscriptionRequest",
  },
  {
    name = "start_next_pending_job_execution", of_job = false, last = "start-next",
    request = "StartNextPendingJobExecutionRequest", response = "StartNextJobExecutionResponse",
    subscription = "StartNextPendingJobExecutionSubscriptionRequest",
  },
  {
    name = "update_job_execution", of_job = true, last = "update",
    request = "UpdateJobExecutionRequest", response = "UpdateJobExecutionResponse",
    subscription = "UpdateJobExecutionSubscriptionRequest",
  },
}

---@class iotjobs.event
---@field name string
---@field subscription string
---@field event string  class of what is announced
---@field last string

---@type iotjobs.event[]
M.EVENTS = {
  {
    name = "job_executions_changed", last = "notify", event = "JobExecutionsChangedEvent",
    subscription = "JobExecutionsChangedSubscriptionRequest",
  },
  {
    name = "next_job_execution_changed", last = "notify-next",
    event = "NextJobExecutionChangedEvent",
    subscription = "NextJobExecutionChangedSubscriptionRequest",
  },
}

local function prefix(thing_name)
  return "$aws/things/" .. thing_name .. "/jobs/"
end

local function middle(namespace)
  return namespace and "/namespace-" .. namespace .. "/" or "/"
end

--- The topic that a request is published to; its answers come on TOPIC/accepted and /rejected.
---@param operation iotjobs.operation
---@param namespace? string
---@param request { thing_name: string, job_id?: string }
---@return string|nil topic
---@return string|nil message  there is no such topic
function M.request(operation, namespace, request)
  local start = prefix(request.thing_name)
  if not operation.of_job then
    if namespace then
      return nil, ("%s: has no topic of its own in a namespace; describe_job_execution with "
        .. "job_id = \"$next\" has"):format(operation.name)
    end
    return start .. operation.last
  end
  return start .. request.job_id .. middle(namespace) .. operation.last
end

--- The topic of the same operation for every job of the thing.
---@param operation iotjobs.operation
---@param namespace? string
---@param request { thing_name: string, job_id?: string }
---@return string|nil filter  nil: its topic names no job, or one that a policy may name
function M.of_all_jobs(operation, namespace, request)
  if not operation.of_job or request.job_id == "$next" then
    return nil
  end
  return prefix(request.thing_name) .. "+" .. middle(namespace) .. operation.last
end

---@param event iotjobs.event
---@param namespace? string
---@param request { thing_name: string }
---@return string topic
function M.event(event, namespace, request)
  local ending = namespace and "-namespace-" .. namespace or ""
  return prefix(request.thing_name) .. event.last .. ending
end

return M
