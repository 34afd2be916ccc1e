--- The classes of AWS IoT Jobs and their fields, named as in AWS's SDKs. A field's member in JSON
--- is its name in camel case.
---  topic     it goes into the topic, never into the body
---  required  it must be there when the request is used
---  body      the class is sent: `models.to_payload` takes it
local kinds = require("iotjobs.kinds")

local THING = { "thing_name", kinds.thing_name, topic = true, required = true }
local TOKEN = { "client_token", kinds.client_token }

local function job_id(kind)
  return { "job_id", kind, topic = true, required = true }
end

local ANSWER_TOKEN = { "client_token", kinds.text }
local TIMESTAMP = { "timestamp", kinds.time }
local EXECUTION = { "execution", kinds.one("JobExecutionData") }

return {
  DescribeJobExecutionRequest = {
    body = true, TOKEN, { "execution_number", kinds.execution_number },
    { "include_job_document", kinds.boolean }, job_id(kinds.job_id_or_next), THING,
  },
  DescribeJobExecutionResponse = { ANSWER_TOKEN, EXECUTION, TIMESTAMP },
  DescribeJobExecutionSubscriptionRequest = { job_id(kinds.job_id_next_or_all), THING },

  GetPendingJobExecutionsRequest = { body = true, TOKEN, THING },
  GetPendingJobExecutionsResponse = {
    ANSWER_TOKEN, { "in_progress_jobs", kinds.list_of("JobExecutionSummary") },
    { "queued_jobs", kinds.list_of("JobExecutionSummary") }, TIMESTAMP,
  },
  GetPendingJobExecutionsSubscriptionRequest = { THING },

  StartNextPendingJobExecutionRequest = {
    body = true, TOKEN, { "status_details", kinds.details_to_send },
    { "step_timeout_in_minutes", kinds.step_minutes }, THING,
  },
  StartNextJobExecutionResponse = { ANSWER_TOKEN, EXECUTION, TIMESTAMP },
  StartNextPendingJobExecutionSubscriptionRequest = { THING },

  UpdateJobExecutionRequest = {
    body = true, TOKEN, { "execution_number", kinds.execution_number },
    { "expected_version", kinds.expected_version }, { "include_job_document", kinds.boolean },
    { "include_job_execution_state", kinds.boolean }, job_id(kinds.job_id),
    { "status", kinds.device_status, required = true },
    { "status_details", kinds.details_to_send },
    { "step_timeout_in_minutes", kinds.step_minutes_or_discard }, THING,
  },
  UpdateJobExecutionResponse = {
    ANSWER_TOKEN, { "execution_state", kinds.one("JobExecutionState") },
    { "job_document", kinds.document }, { "job_document_error", kinds.note }, TIMESTAMP,
  },
  UpdateJobExecutionSubscriptionRequest = { job_id(kinds.job_id_or_all), THING },

  JobExecutionData = {
    { "approximate_seconds_before_timed_out", kinds.integer },
    { "execution_number", kinds.integer }, { "job_document", kinds.document },
    { "job_document_error", kinds.note }, { "job_id", kinds.known_job_id },
    { "last_updated_at", kinds.time }, { "queued_at", kinds.time }, { "started_at", kinds.time },
    { "status", kinds.status }, { "status_details", kinds.details },
    { "thing_name", kinds.known_thing_name }, { "version_number", kinds.integer },
  },
  JobExecutionState = {
    { "status", kinds.status }, { "status_details", kinds.details },
    { "version_number", kinds.integer },
  },
  JobExecutionSummary = {
    { "execution_number", kinds.integer }, { "job_id", kinds.known_job_id },
    { "last_updated_at", kinds.time }, { "queued_at", kinds.time }, { "started_at", kinds.time },
    { "version_number", kinds.integer },
  },

  JobExecutionsChangedEvent = {
    { "jobs", kinds.lists_of("JobExecutionSummary") }, TIMESTAMP,
  },
  JobExecutionsChangedSubscriptionRequest = { THING },
  NextJobExecutionChangedEvent = { EXECUTION, TIMESTAMP },
  NextJobExecutionChangedSubscriptionRequest = { THING },

  RejectedError = {
    ANSWER_TOKEN, { "code", kinds.code },
    { "execution_state", kinds.one("JobExecutionState") }, { "message", kinds.text }, TIMESTAMP,
  },
}
