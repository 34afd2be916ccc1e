---@meta _
-- luacheck: ignore 212 241

---@class iotjobs
local iotjobs = {}

--- ## Classes
--- A class is called with a table of its fields, or with nothing, to be filled afterwards. Every
--- assignment is checked like the table: an unknown field, a wrong type or a value over a limit
--- raises, and so does reading a field that the class does not have. `nil` empties a field. What
--- was changed inside a table (`request.status_details.x = ...`) and whether a required field is
--- missing is checked when the request is used.
---
--- Every object has the name of its class in `class`; `tostring` shows its fields (but not a job
--- document, whose URLs may be secrets); `pairs` walks over the fields that are set. Whole numbers
--- may be given as floats (`2.0`).

--- ### Requests

--- Ask for one execution. Topic: `$aws/things/THING/jobs/JOB/get`.
---@class iotjobs.DescribeJobExecutionRequest
---@field client_token? string comes back in the answer; 1-64 bytes
--- which execution of the job on this thing; default: the latest; 1 or more
---@field execution_number? integer
---@field include_job_document? boolean default true
---@field job_id? string required; 1-64 of `[a-zA-Z0-9_-]`, or `$next`
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.DescribeJobExecutionRequest
---@return iotjobs.DescribeJobExecutionRequest
function iotjobs.DescribeJobExecutionRequest(fields) end

--- Ask what is pending. Topic: `$aws/things/THING/jobs/get`.
---@class iotjobs.GetPendingJobExecutionsRequest
---@field client_token? string comes back in the answer; 1-64 bytes
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.GetPendingJobExecutionsRequest
---@return iotjobs.GetPendingJobExecutionsRequest
function iotjobs.GetPendingJobExecutionsRequest(fields) end

--- Start what comes next. Topic: `$aws/things/THING/jobs/start-next`.
---@class iotjobs.StartNextPendingJobExecutionRequest
---@field client_token? string comes back in the answer; 1-64 bytes
--- at most 10; keys 1-128 of `[a-zA-Z0-9:_-]`, values 1-1024 characters without control characters
--- (no newline, no tab); replaces all of them, without it they stay
---@field status_details? table<string, string>
---@field step_timeout_in_minutes? integer 1-10080; when it is over, the execution is TIMED_OUT
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.StartNextPendingJobExecutionRequest
---@return iotjobs.StartNextPendingJobExecutionRequest
function iotjobs.StartNextPendingJobExecutionRequest(fields) end

--- Tell how an execution goes. Topic: `$aws/things/THING/jobs/JOB/update`.
---@class iotjobs.UpdateJobExecutionRequest
---@field client_token? string comes back in the answer; 1-64 bytes
--- which execution of the job on this thing; default: the latest; 1 or more
---@field execution_number? integer
--- refused with VersionMismatch if the execution has another; default: not checked; 0 or more
---@field expected_version? integer
---@field include_job_document? boolean default false
---@field include_job_execution_state? boolean default false
---@field job_id? string required; 1-64 of `[a-zA-Z0-9_-]`
---@field status? iotjobs.JobStatus required; `IN_PROGRESS`, `SUCCEEDED`, `FAILED` or `REJECTED`
--- at most 10; keys 1-128 of `[a-zA-Z0-9:_-]`, values 1-1024 characters without control characters
--- (no newline, no tab); replaces all of them, without it they stay
---@field status_details? table<string, string>
--- 1-10080 sets the timer anew, -1 discards it; without it the timer runs on
---@field step_timeout_in_minutes? integer
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.UpdateJobExecutionRequest
---@return iotjobs.UpdateJobExecutionRequest
function iotjobs.UpdateJobExecutionRequest(fields) end

--- ### Requests to subscribe
--- `+` as the job's id stands for all of them.

--- For answers to DescribeJobExecution.
---@class iotjobs.DescribeJobExecutionSubscriptionRequest
---@field job_id? string required; 1-64 of `[a-zA-Z0-9_-]`, `$next` or `+`
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.DescribeJobExecutionSubscriptionRequest
---@return iotjobs.DescribeJobExecutionSubscriptionRequest
function iotjobs.DescribeJobExecutionSubscriptionRequest(fields) end

--- For answers to GetPendingJobExecutions.
---@class iotjobs.GetPendingJobExecutionsSubscriptionRequest
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.GetPendingJobExecutionsSubscriptionRequest
---@return iotjobs.GetPendingJobExecutionsSubscriptionRequest
function iotjobs.GetPendingJobExecutionsSubscriptionRequest(fields) end

--- For answers to StartNextPendingJobExecution.
---@class iotjobs.StartNextPendingJobExecutionSubscriptionRequest
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.StartNextPendingJobExecutionSubscriptionRequest
---@return iotjobs.StartNextPendingJobExecutionSubscriptionRequest
function iotjobs.StartNextPendingJobExecutionSubscriptionRequest(fields) end

--- For answers to UpdateJobExecution.
---@class iotjobs.UpdateJobExecutionSubscriptionRequest
---@field job_id? string required; 1-64 of `[a-zA-Z0-9_-]`, or `+`
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.UpdateJobExecutionSubscriptionRequest
---@return iotjobs.UpdateJobExecutionSubscriptionRequest
function iotjobs.UpdateJobExecutionSubscriptionRequest(fields) end

--- For the event; topic: `$aws/things/THING/jobs/notify`.
---@class iotjobs.JobExecutionsChangedSubscriptionRequest
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.JobExecutionsChangedSubscriptionRequest
---@return iotjobs.JobExecutionsChangedSubscriptionRequest
function iotjobs.JobExecutionsChangedSubscriptionRequest(fields) end

--- For the event; topic: `$aws/things/THING/jobs/notify-next`.
---@class iotjobs.NextJobExecutionChangedSubscriptionRequest
---@field thing_name? string required; 1-128 of `[a-zA-Z0-9:_-]`

---@param fields? iotjobs.NextJobExecutionChangedSubscriptionRequest
---@return iotjobs.NextJobExecutionChangedSubscriptionRequest
function iotjobs.NextJobExecutionChangedSubscriptionRequest(fields) end

--- ### Answers and events
--- Unknown members are ignored, `null` counts as absent. A status or a code that is not in the
--- enumerations is handed on as it came.

--- The answer to DescribeJobExecutionRequest.
---@class iotjobs.DescribeJobExecutionResponse
---@field client_token? string that of the request
---@field execution? iotjobs.JobExecutionData nil: nothing is pending
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.DescribeJobExecutionResponse
---@return iotjobs.DescribeJobExecutionResponse
function iotjobs.DescribeJobExecutionResponse(fields) end

--- The answer to GetPendingJobExecutionsRequest. From the service both lists are there, if empty.
---@class iotjobs.GetPendingJobExecutionsResponse
---@field client_token? string that of the request
---@field in_progress_jobs? iotjobs.JobExecutionSummary[]
---@field queued_jobs? iotjobs.JobExecutionSummary[]
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.GetPendingJobExecutionsResponse
---@return iotjobs.GetPendingJobExecutionsResponse
function iotjobs.GetPendingJobExecutionsResponse(fields) end

--- The answer to StartNextPendingJobExecutionRequest.
---@class iotjobs.StartNextJobExecutionResponse
---@field client_token? string that of the request
---@field execution? iotjobs.JobExecutionData nil: nothing is pending
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.StartNextJobExecutionResponse
---@return iotjobs.StartNextJobExecutionResponse
function iotjobs.StartNextJobExecutionResponse(fields) end

--- The answer to UpdateJobExecutionRequest.
---@class iotjobs.UpdateJobExecutionResponse
---@field client_token? string that of the request
---@field execution_state? iotjobs.JobExecutionState if it was asked for
---@field job_document? table if it was asked for
---@field job_document_error? string as in [JobExecutionData](#jobexecutiondata)
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.UpdateJobExecutionResponse
---@return iotjobs.UpdateJobExecutionResponse
function iotjobs.UpdateJobExecutionResponse(fields) end

--- The service refused a request.
---@class iotjobs.RejectedError
---@field client_token? string that of the request
---@field code? iotjobs.RejectedErrorCode|string
--- with InvalidStateTransition and VersionMismatch: what holds instead
---@field execution_state? iotjobs.JobExecutionState
---@field message? string for people
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.RejectedError
---@return iotjobs.RejectedError
function iotjobs.RejectedError(fields) end

--- RejectedError under the name that it has in the newer clients of AWS's SDKs.
---@alias iotjobs.V2ErrorResponse iotjobs.RejectedError
iotjobs.V2ErrorResponse = iotjobs.RejectedError

--- The list of what is pending has changed. It carries all of it, not the change; at most ten.
---@class iotjobs.JobExecutionsChangedEvent
--- by status, `QUEUED` and `IN_PROGRESS`; a status without jobs is left out
---@field jobs? table<string, iotjobs.JobExecutionSummary[]>
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.JobExecutionsChangedEvent
---@return iotjobs.JobExecutionsChangedEvent
function iotjobs.JobExecutionsChangedEvent(fields) end

--- What comes next has changed. Subscribing to it alone can miss work: what was next before is not
--- told again.
---@class iotjobs.NextJobExecutionChangedEvent
---@field execution? iotjobs.JobExecutionData nil: nothing is pending
---@field timestamp? number when the service sent it; seconds since the epoch

---@param fields? iotjobs.NextJobExecutionChangedEvent
---@return iotjobs.NextJobExecutionChangedEvent
function iotjobs.NextJobExecutionChangedEvent(fields) end

--- One execution.
---@class iotjobs.JobExecutionData
---@field approximate_seconds_before_timed_out? integer while a timer runs (not in AWS's SDKs)
---@field execution_number? integer 1 for the first execution of this job on this thing
---@field job_document? table decoded; `null` in it is `require("hob.json").null`
--- why the document cannot be decoded, as with a number over 2^53; then `job_document` is nil
--- (not in AWS's SDKs)
---@field job_document_error? string
---@field job_id? string
---@field last_updated_at? number when it was last updated; seconds since the epoch
---@field queued_at? number when it was queued; seconds since the epoch
---@field started_at? number when it was first IN_PROGRESS; seconds since the epoch
---@field status? iotjobs.JobStatus|string
---@field status_details? table<string, string> absent when none was ever set
---@field thing_name? string often absent
---@field version_number? integer 1 when queued, one more for each update

---@param fields? iotjobs.JobExecutionData
---@return iotjobs.JobExecutionData
function iotjobs.JobExecutionData(fields) end

--- Where an execution stands.
---@class iotjobs.JobExecutionState
---@field status? iotjobs.JobStatus|string
---@field status_details? table<string, string> absent when there are none
---@field version_number? integer

---@param fields? iotjobs.JobExecutionState
---@return iotjobs.JobExecutionState
function iotjobs.JobExecutionState(fields) end

--- An execution in a list.
---@class iotjobs.JobExecutionSummary
---@field execution_number? integer
---@field job_id? string
---@field last_updated_at? number when it was last updated; seconds since the epoch
---@field queued_at? number when it was queued; seconds since the epoch
---@field started_at? number when it was first IN_PROGRESS; seconds since the epoch
---@field version_number? integer

---@param fields? iotjobs.JobExecutionSummary
---@return iotjobs.JobExecutionSummary
function iotjobs.JobExecutionSummary(fields) end

--- ## Enumerations
--- Reading a name that they do not have raises.

--- The status of an execution. A device sets `IN_PROGRESS`, `SUCCEEDED`, `FAILED` and `REJECTED`.
---@enum iotjobs.JobStatus
iotjobs.JobStatus = {
  --- waits for the device
  QUEUED = "QUEUED",
  --- the device has begun
  IN_PROGRESS = "IN_PROGRESS",
  --- ended well
  SUCCEEDED = "SUCCEEDED",
  --- ended badly; the service may try it again, if the job says so
  FAILED = "FAILED",
  --- a timer of the job or of the step ran out
  TIMED_OUT = "TIMED_OUT",
  --- the device will not do it; never tried again
  REJECTED = "REJECTED",
  --- the thing has left the job's target group
  REMOVED = "REMOVED",
  --- somebody cancelled it
  CANCELED = "CANCELED",
}

--- Why a request was refused. Only `InternalError` and `RequestThrottled` are worth trying again.
---@enum iotjobs.RejectedErrorCode
iotjobs.RejectedErrorCode = {
  --- a fault of the service: try again later
  INTERNAL_ERROR = "InternalError",
  --- the body is not JSON in UTF-8
  INVALID_JSON = "InvalidJson",
  --- a member is missing, of a wrong type or over a limit
  INVALID_REQUEST = "InvalidRequest",
  --- the execution cannot go to that status; `execution_state` says where it stands
  INVALID_STATE_TRANSITION = "InvalidStateTransition",
  --- there is no such execution
  RESOURCE_NOT_FOUND = "ResourceNotFound",
  --- `expected_version` is not the execution's; `execution_state` says where it stands
  VERSION_MISMATCH = "VersionMismatch",
  --- the topic belongs to no operation
  INVALID_TOPIC = "InvalidTopic",
  --- too many requests: try again later
  REQUEST_THROTTLED = "RequestThrottled",
  --- the execution that was asked for has ended
  TERMINAL_STATE_REACHED = "TerminalStateReached",
}
