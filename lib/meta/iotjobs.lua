---@meta iotjobs
-- luacheck: ignore 212 241
-- For editors, and for docs/reference/iotjobs.md: the module `iotjobs`, AWS's own view of jobs.
-- What handlers call besides is described in lib/hob/api.lua, to which the files in lib/meta/hob
-- lead.

--- # iotjobs
--- The jobs operations of AWS IoT as a Lua module, named as in `awsiot.iotjobs` of AWS's SDKs: the
--- same classes with the same fields, the same functions, the same enumerations.
---
--- Where Lua differs from the SDK for Python:
--- - a class takes a table of fields: `iotjobs.UpdateJobExecutionRequest{ thing_name = "pump-7" }`;
--- - a wrong field, a wrong type and a value over AWS's limits raise at once, at the line that
---   wrote them, naming class, field and limit;
--- - times are numbers, seconds since the epoch;
--- - arguments have their places, not names, and a QoS is 0 or 1;
--- - functions that wait suspend the task, not the process. `hob lua` runs a script as a task, and
---   so is each callback: it may wait, and the next message does not wait for it; until it
---   waits or ends, the next does not begin. In the place of
---   `add_done_callback` wait in a task: `hob.time.after(0, function() future:result() ... end)`;
--- - without a connection nothing is kept to be published later.

--- ## Ask and wait
--- One call, one answer: the client subscribes, makes the `client_token` and matches the answer.
--- ```lua
--- local iotjobs, mqtt = require("iotjobs"), require("hob.mqtt")
--- local connection = mqtt.connect{ -- a broker on the bench; AWS IoT wants ca, cert and key
---   host = "127.0.0.1", port = 18830, tls = false, client_id = "pump-7",
--- }
--- local client = iotjobs.IotJobsClient(connection)
---
--- local next_one = iotjobs.StartNextPendingJobExecutionRequest{ thing_name = "pump-7" }
--- local answer = assert(client:start_next_pending_job_execution(next_one))
--- local execution = answer.execution
--- if not execution then
---   return print("nothing to do")
--- end
--- print(execution.job_id, execution.job_document.operation)
---
--- local _, problem = client:update_job_execution(iotjobs.UpdateJobExecutionRequest{
---   thing_name = "pump-7", job_id = execution.job_id,
---   status = iotjobs.JobStatus.SUCCEEDED, status_details = { version = "1.4.2" },
---   expected_version = execution.version_number,
--- })
--- if problem and problem.modeled then
---   print(problem.modeled.code, problem.modeled.execution_state)
--- elseif problem then
---   print(problem) -- not sent, or no answer in time
--- end
--- ```

--- ## Publish and subscribe
--- The older style: answers of all requests on a topic reach one callback, and the `client_token`
--- is the caller's affair.
--- ```lua
--- local answers = iotjobs.UpdateJobExecutionSubscriptionRequest{
---   thing_name = "pump-7", job_id = "+",
--- }
--- local granted = client:subscribe_to_update_job_execution_accepted(answers, 1, function(answer)
---   print("accepted", answer and answer.client_token)
--- end)
--- local refused = client:subscribe_to_update_job_execution_rejected(answers, 1, function(rejected)
---   print("rejected", rejected and rejected.code, rejected and rejected.message)
--- end)
--- assert(granted:result(10))
--- assert(refused:result(10))
---
--- local sent = client:publish_update_job_execution(iotjobs.UpdateJobExecutionRequest{
---   thing_name = "pump-7", job_id = "reboot-42",
---   status = iotjobs.JobStatus.IN_PROGRESS, client_token = "my-1",
--- }, 1)
--- assert(sent:result(10)) -- the broker has it; the answer comes to one of the callbacks
--- ```

--- ## Follow events
--- A stream subscribes again by itself after a lost session. What changed while it was lost is not
--- told again: ask when `on_status` says `established`.
--- ```lua
--- local stream = client:create_next_job_execution_changed_stream{
---   thing_name = "pump-7",
---   on_event = function(event)
---     print("next", event.execution and event.execution.job_id or "nothing")
---   end,
---   on_status = function(status, why) print("stream", status, why or "") end,
---   on_failure = function(message, topic) print("unreadable", topic, message) end,
--- }
--- stream:open()
--- ```

---@class iotjobs
local iotjobs = {}

--- ## The client

--- A client of the jobs service over a connection, which may be down and which others may use too.
--- What cannot be such a connection, and wrong options, raise.
---@param connection? table of `require("hob.mqtt").connect{...}`; nil: the gateway's, in a handler
---@param options? iotjobs.ClientOptions
---@return iotjobs.IotJobsClient client
function iotjobs.IotJobsClient(connection, options) end

--- What a client is made with.
---@class iotjobs.ClientOptions
--- jobs of a namespace: the topics carry `namespace-NAME`; 1-64 of `[a-zA-Z0-9_-]`
---@field namespace? string
---@field operation_timeout? number seconds that a request waits for its answer; default 10
---@field thing_name? string for requests that name no thing

--- The operations of AWS IoT Jobs. A request is an object of its class, or a plain table with its
--- fields. A function raises for one that lacks a field, is of another class or breaks a limit.
---@class iotjobs.IotJobsClient
---@field thing_name? string what a request without a `thing_name` is about
local IotJobsClient = {}

--- ### Requests that wait
--- Each suspends the task until the answer has come, and gives it, or `nil` and an
--- [Error](#error). A request without a `client_token` is sent with one of the client's making; a
--- token that another request is waiting with raises. A client has 64 under way; more wait for
--- their turn, within their time.

--- One execution: by its id, or what comes next with the id `$next`.
---@param request iotjobs.DescribeJobExecutionRequest
---@return iotjobs.DescribeJobExecutionResponse|nil answer
---@return iotjobs.Error|nil problem
function IotJobsClient:describe_job_execution(request) end

--- What is pending for a thing, at most ten: never take the lists for complete.
---@param request iotjobs.GetPendingJobExecutionsRequest
---@return iotjobs.GetPendingJobExecutionsResponse|nil answer
---@return iotjobs.Error|nil problem
function IotJobsClient:get_pending_job_executions(request) end

--- Start what comes next. What is IN_PROGRESS already is handed out again, unchanged.
---@param request iotjobs.StartNextPendingJobExecutionRequest
---@return iotjobs.StartNextJobExecutionResponse|nil answer
---@return iotjobs.Error|nil problem
function IotJobsClient:start_next_pending_job_execution(request) end

--- Tell how an execution goes.
---@param request iotjobs.UpdateJobExecutionRequest
---@return iotjobs.UpdateJobExecutionResponse|nil answer
---@return iotjobs.Error|nil problem
function IotJobsClient:update_job_execution(request) end

--- ### Streams

--- A stream of what is pending: an event whenever a job comes to the list or leaves it.
---@param options iotjobs.JobExecutionsChangedStreamOptions
---@return iotjobs.Stream stream
function IotJobsClient:create_job_executions_changed_stream(options) end

--- A stream of what comes next: an event whenever that has become another execution.
---@param options iotjobs.NextJobExecutionChangedStreamOptions
---@return iotjobs.Stream stream
function IotJobsClient:create_next_job_execution_changed_stream(options) end

--- ### Publish
--- Each returns a [Future](#future), done when the broker has the message (QoS 1), or when it was
--- handed to the network (QoS 0). `qos` is 0 or 1; AWS knows no other.

---@param request iotjobs.DescribeJobExecutionRequest
---@param qos integer
---@return iotjobs.Future sent
function IotJobsClient:publish_describe_job_execution(request, qos) end

---@param request iotjobs.GetPendingJobExecutionsRequest
---@param qos integer
---@return iotjobs.Future sent
function IotJobsClient:publish_get_pending_job_executions(request, qos) end

---@param request iotjobs.StartNextPendingJobExecutionRequest
---@param qos integer
---@return iotjobs.Future sent
function IotJobsClient:publish_start_next_pending_job_execution(request, qos) end

---@param request iotjobs.UpdateJobExecutionRequest
---@param qos integer
---@return iotjobs.Future sent
function IotJobsClient:publish_update_job_execution(request, qos) end

--- ### Subscribe
--- Each returns a [Future](#future) of the QoS that the broker granted, and the topic, which
--- `unsubscribe` takes. Messages may come before the future is done. The callback gets an object,
--- or `nil` and a message for what cannot be read. After a reconnect the client subscribes again.
--- For answers the request itself will do, too: its thing and job are what counts.

---@param request iotjobs.DescribeJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(answer?: iotjobs.DescribeJobExecutionResponse, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_describe_job_execution_accepted(request, qos, callback) end

---@param request iotjobs.DescribeJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(rejected?: iotjobs.RejectedError, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_describe_job_execution_rejected(request, qos, callback) end

---@param request iotjobs.GetPendingJobExecutionsSubscriptionRequest
---@param qos integer
---@param callback fun(answer?: iotjobs.GetPendingJobExecutionsResponse, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_get_pending_job_executions_accepted(request, qos, callback) end

---@param request iotjobs.GetPendingJobExecutionsSubscriptionRequest
---@param qos integer
---@param callback fun(rejected?: iotjobs.RejectedError, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_get_pending_job_executions_rejected(request, qos, callback) end

---@param request iotjobs.StartNextPendingJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(answer?: iotjobs.StartNextJobExecutionResponse, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_start_next_pending_job_execution_accepted(request, qos,
  callback) end

---@param request iotjobs.StartNextPendingJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(rejected?: iotjobs.RejectedError, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_start_next_pending_job_execution_rejected(request, qos,
  callback) end

---@param request iotjobs.UpdateJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(answer?: iotjobs.UpdateJobExecutionResponse, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_update_job_execution_accepted(request, qos, callback) end

---@param request iotjobs.UpdateJobExecutionSubscriptionRequest
---@param qos integer
---@param callback fun(rejected?: iotjobs.RejectedError, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_update_job_execution_rejected(request, qos, callback) end

---@param request iotjobs.JobExecutionsChangedSubscriptionRequest
---@param qos integer
---@param callback fun(event?: iotjobs.JobExecutionsChangedEvent, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_job_executions_changed_events(request, qos, callback) end

---@param request iotjobs.NextJobExecutionChangedSubscriptionRequest
---@param qos integer
---@param callback fun(event?: iotjobs.NextJobExecutionChangedEvent, message?: string)
---@return iotjobs.Future granted
---@return string topic
function IotJobsClient:subscribe_to_next_job_execution_changed_events(request, qos, callback) end

--- Get no more messages of a topic.
---@param topic string what a `subscribe_to_...` returned
---@return iotjobs.Future done
function IotJobsClient:unsubscribe(topic) end

--- End what the client has begun: subscriptions, streams, waiting requests. The connection stays.
function IotJobsClient:close() end

--- ## What the client gives

--- The end of something that goes on meanwhile.
---@class iotjobs.Future
local Future = {}

--- Wait for the end: suspends the task.
---@param timeout? number seconds; without it, as long as it takes
---@return any value of a subscription the granted QoS, else `true`; nil: it failed
---@return string|nil message
---@return string|nil code `ETIMEDOUT` when the time was over: the future goes on
function Future:result(timeout) end

--- Whether it has ended, well or not.
---@return boolean
function Future:done() end

--- Why a request has no answer. `tostring` gives the message.
---@class iotjobs.Error
---@field message string for people
--- `EREJECTED` (by the service), `EREFUSED` (by the broker), `ETIMEDOUT`, `ENOTCONN`, `ECANCELED`,
--- `EBUSY`, `EMSGSIZE`; on the gateway's connection `EACCES`
---@field code string
---@field modeled? iotjobs.RejectedError what the service said, if it refused

--- What `create_job_executions_changed_stream` takes.
---@class iotjobs.JobExecutionsChangedStreamOptions
---@field thing_name? string required, unless the client has one; 1-128 of `[a-zA-Z0-9:_-]`
---@field on_event? fun(event: iotjobs.JobExecutionsChangedEvent)
--- `established`, `lost` (it comes back by itself) or `halted` (it does not: `why` says so)
---@field on_status? fun(status: string, why?: string)
--- a message that is no event
---@field on_failure? fun(message: string, topic: string, payload: string)

--- What `create_next_job_execution_changed_stream` takes.
---@class iotjobs.NextJobExecutionChangedStreamOptions
---@field thing_name? string required, unless the client has one; 1-128 of `[a-zA-Z0-9:_-]`
---@field on_event? fun(event: iotjobs.NextJobExecutionChangedEvent)
---@field on_status? fun(status: string, why?: string) as above
---@field on_failure? fun(message: string, topic: string, payload: string) as above

--- Events of one kind for one thing.
---@class iotjobs.Stream
local Stream = {}

--- Begin to listen. Raises if the stream is open.
function Stream:open() end

--- Listen no more: nothing is called any more. It may be opened again.
function Stream:close() end

--- ## Payloads
--- For programs that move the messages themselves.

--- The body of a request: JSON without what belongs to the topic. Raises if the request lacks a
--- field or was changed against the limits.
---@param request table one of the four requests
---@param level? integer whose line an error names: 1 (default) the caller's, 2 that of its caller
---@return string json
function iotjobs.to_payload(request, level) end

--- An answer or an event from JSON. Whatever the text is, it does not raise.
---@param class_name string as `"UpdateJobExecutionResponse"`; raises if it is no answer or event
---@param text string
---@return table|nil object
---@return string|nil message what is wrong, with the path of the member
---@return string|nil code `EJSON`, or `EPROTO` for JSON that the class does not hold
function iotjobs.from_payload(class_name, text) end

--- What is wrong with an object that is to be used: it is of another class, a required field is
--- missing, or a table in it was changed against the limits.
---@param object any
---@param class_name? string the class that it should be of; default: any
---@return string|nil message nil: nothing is wrong
function iotjobs.problem(object, class_name) end

--- Raise what `problem` says.
---@param object any
---@param class_name? string
---@param level? integer as above
function iotjobs.check(object, class_name, level) end

--- The name of an object's class.
---@param value any
---@return string|nil name nil: it is no object of these classes
function iotjobs.class_of(value) end

return iotjobs
