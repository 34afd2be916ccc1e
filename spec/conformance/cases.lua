-- cases.lua - the Jobs device MQTT API as a table: what is asked in which state, and what is said.
--
-- One table for both sides, so that they cannot drift: spec/unit/service_cases_spec.lua plays the
-- rows on the service's engine and reads the answers with Hob's own decoder,
-- spec/integration/service_cases_spec.lua plays them on `hob service` behind a broker, and
-- spec/unit/protocol_cases_spec.lua holds core/jobs/protocol and the module iotjobs to the same
-- limits and requests. The rejections in docs/reference/service.md are these rows.
--
-- A row:
--   given    steps before: {"create", JOB, more?}, {"ask", TOPIC, payload}, {"cancel", JOB, force},
--            {"delete", JOB}, {"expire"} (the running timer ends), {"fault", fault}
--   ask      the topic after $aws/things/T/jobs/; `payload` is "{}" if absent
--   answer   "accepted" or "rejected"; false: nothing is answered
--   body     all members of the answer but `timestamp` and `message`, which must be there
--   said     what is said after the answer, in order: {"notify", body} or {"notify-next", body}
--   encode   the request as core/jobs encodes it: {function's name, arguments ...}
--   docs     what docs/reference/service.md says provokes the code
-- Where text names a job, @1, @2 ... stand for job ids of this row's own.

local M = {}

M.TIME = {}  -- seconds since the epoch
M.SOME = {}  -- a whole number from 0 on
M.EMPTY = {} -- an empty list or object: `{}` would do, this says that it is meant

-- Each limit, once. `define` is the C constant, `limit` the field of iotjobs.limits.
M.LIMITS = {
  { name = "job id", max = 64, define = "HOB_JOBS_ID_MAX", limit = "JOB_ID_MAX" },
  { name = "thing name", max = 128, define = "HOB_JOBS_THING_MAX", limit = "THING_NAME_MAX" },
  { name = "statusDetails pairs", max = 10, define = "HOB_JOBS_DETAILS_MAX",
    limit = "DETAILS_MAX" },
  { name = "statusDetails key", max = 128, define = "HOB_JOBS_DETAIL_KEY_MAX",
    limit = "DETAIL_KEY_MAX" },
  { name = "statusDetails value", max = 1024, define = "HOB_JOBS_DETAIL_VALUE_MAX",
    limit = "DETAIL_VALUE_MAX" },
  { name = "step minutes", max = 10080, define = "HOB_JOBS_STEP_MINUTES_MAX",
    limit = "MINUTES_MAX" },
  { name = "client token", max = 64, define = "HOB_JOBS_TOKEN_MAX", limit = "CLIENT_TOKEN_MAX" },
  { name = "job document", max = 32768, define = "HOB_JOBS_DOCUMENT_MAX" },
}

--- A limit by its name.
---@return integer
function M.max(name)
  for _, limit in ipairs(M.LIMITS) do
    if limit.name == name then
      return limit.max
    end
  end
  error("no limit is called " .. name)
end

M.STATUSES = {
  "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED",
}
M.DEVICE_STATUSES = { IN_PROGRESS = true, SUCCEEDED = true, FAILED = true, REJECTED = true }
M.CODES = {
  "InvalidTopic", "InvalidJson", "InvalidRequest", "InvalidStateTransition", "ResourceNotFound",
  "VersionMismatch", "InternalError", "RequestThrottled", "TerminalStateReached",
}

---------------------------------------------------------------- shapes

local T, N = M.TIME, M.SOME

local function summary(job, version, started)
  return { jobId = job, queuedAt = T, lastUpdatedAt = T, startedAt = started and T or nil,
    versionNumber = version, executionNumber = 1 }
end

local function execution(job, status, version, more)
  local members = summary(job, version, status ~= "QUEUED")
  members.thingName, members.status = "@thing", status
  members.jobDocument = { operation = job }
  for name, value in pairs(more or {}) do
    members[name] = value
  end
  return members
end

local function without_document(members)
  members.jobDocument = nil
  return members
end

local function state(status, version, details)
  return { status = status, versionNumber = version, statusDetails = details }
end

local function update(job, status)
  return { "ask", job .. "/update", '{"status":"' .. status .. '"}' }
end

local CREATE = { "create", "@1" }
local STARTED = { CREATE, { "ask", "start-next", "{}" } }
local ENDED = { CREATE, update("@1", "SUCCEEDED") }
local TWO = { CREATE, { "create", "@2" } }
local NOTHING_LEFT = {
  { "notify", { jobs = M.EMPTY } }, { "notify-next", {} },
}

---------------------------------------------------------------- rows

local rows = {}
M.rows = rows

local function add(row)
  rows[#rows + 1] = row
end

local function accepted(name, given, ask, payload, body, more)
  local row = { name = name, given = given, ask = ask, payload = payload, answer = "accepted",
    body = body }
  for key, value in pairs(more or {}) do
    row[key] = value
  end
  add(row)
end

local function rejected(name, given, ask, payload, code, more)
  local row = { name = name, given = given, ask = ask, payload = payload, answer = "rejected",
    body = { code = code } }
  for key, value in pairs(more or {}) do
    if key == "docs" then
      row.docs = value
    else
      row.body[key] = value
    end
  end
  add(row)
end

-- ---- get ----

accepted("get: nothing pending", {}, "get", "{}", { inProgressJobs = M.EMPTY,
  queuedJobs = M.EMPTY }, { encode = { "encode_get" }, holds = '"queuedJobs":[]' })
accepted("get: the token comes back", {}, "get", '{"clientToken":"t-1"}', { clientToken = "t-1",
  inProgressJobs = M.EMPTY, queuedJobs = M.EMPTY }, { encode = { "encode_get", "t-1" } })
accepted("get: IN_PROGRESS and QUEUED apart", { CREATE, { "create", "@2" },
  { "create", "@3" }, update("@2", "IN_PROGRESS") }, "get", "{}", {
    inProgressJobs = { summary("@2", 2, true) },
    queuedJobs = { summary("@1", 1), summary("@3", 1) },
  })
accepted("get: an empty payload is {}", {}, "get", "", { inProgressJobs = M.EMPTY,
  queuedJobs = M.EMPTY })
accepted("get: members that it does not know", {}, "get",
  '{"thingName":"x","jobId":7,"future":[1]}', { inProgressJobs = M.EMPTY, queuedJobs = M.EMPTY })

do
  local given, listed = {}, {}
  for i = 1, 12 do
    given[i] = { "create", "@" .. string.char(96 + i) }
    listed[i] = i <= 10 and summary("@" .. string.char(96 + i), 1) or nil
  end
  accepted("get: at most 10", given, "get", "{}", { inProgressJobs = M.EMPTY,
    queuedJobs = listed })
end

-- ---- start-next ----

accepted("start-next: nothing pending", {}, "start-next", '{"clientToken":"t"}',
  { clientToken = "t" }, { encode = { "encode_start_next", nil, 0, "t" } })
accepted("start-next: the first QUEUED one", { CREATE }, "start-next", "{}",
  { execution = execution("@1", "IN_PROGRESS", 2) })
accepted("start-next: details and a step timer", { CREATE }, "start-next",
  '{"statusDetails":{"a":"b"},"stepTimeoutInMinutes":10080}', { execution = execution("@1",
    "IN_PROGRESS", 2, { statusDetails = { a = "b" }, approximateSecondsBeforeTimedOut = N }) },
  { encode = { "encode_start_next", '{"a":"b"}', 10080 } })
accepted("start-next: one that is IN_PROGRESS comes unchanged", STARTED, "start-next",
  '{"statusDetails":{"a":"b"},"stepTimeoutInMinutes":5}',
  { execution = execution("@1", "IN_PROGRESS", 2) })
accepted("start-next: IN_PROGRESS before what was queued earlier", { CREATE, { "create", "@2" },
  update("@2", "IN_PROGRESS") }, "start-next", "{}",
  { execution = execution("@2", "IN_PROGRESS", 2) })

-- ---- J/get, $next/get ----

accepted("describe: with its document", { CREATE }, "@1/get", '{"includeJobDocument":true}',
  { execution = execution("@1", "QUEUED", 1) }, { encode = { "encode_describe", 0, true } })
accepted("describe: the document is the default", { CREATE }, "@1/get", "{}",
  { execution = execution("@1", "QUEUED", 1) })
accepted("describe: without its document", { CREATE }, "@1/get",
  '{"includeJobDocument":false,"executionNumber":1}',
  { execution = without_document(execution("@1", "QUEUED", 1)) },
  { encode = { "encode_describe", 1, false } })
accepted("describe: a job's timer", { { "create", "@1",
  { timeoutConfig = { inProgressTimeoutInMinutes = 10080 } } }, { "ask", "start-next", "{}" } },
  "@1/get", "{}", { execution = execution("@1", "IN_PROGRESS", 2,
    { approximateSecondsBeforeTimedOut = N }) })
accepted("describe $next: nothing pending", {}, "$next/get", '{"clientToken":"t"}',
  { clientToken = "t" })
accepted("describe $next: peeks", TWO, "$next/get", "{}",
  { execution = execution("@1", "QUEUED", 1) })
for _, id in ipairs{ "get", "update", "notify", "notify-next", "start-next", "accepted" } do
  accepted("describe: a job called " .. id, { { "create", id } }, id .. "/get", "{}",
    { execution = execution(id, "QUEUED", 1) })
end

-- ---- update ----

accepted("update: QUEUED to IN_PROGRESS", { CREATE }, "@1/update",
  '{"status":"IN_PROGRESS","clientToken":"t"}', { clientToken = "t" },
  { encode = { "encode_update", { job_id = "@1", status = "IN_PROGRESS" }, "t" } })
accepted("update: IN_PROGRESS again", STARTED, "@1/update",
  '{"status":"IN_PROGRESS","expectedVersion":2,"includeJobExecutionState":true}',
  { executionState = state("IN_PROGRESS", 3) }, { encode = { "encode_update", { job_id = "@1",
    status = "IN_PROGRESS", expected_version = 2, include_state = 1 } } })
accepted("update: with all it can ask for", STARTED, "@1/update",
  '{"status":"IN_PROGRESS","statusDetails":{"step":"2"},"expectedVersion":2,"executionNumber":1,'
  .. '"stepTimeoutInMinutes":-1,"includeJobExecutionState":true,"includeJobDocument":true}', {
    executionState = state("IN_PROGRESS", 3, { step = "2" }), jobDocument = { operation = "@1" },
  }, { encode = { "encode_update", { job_id = "@1", status = "IN_PROGRESS",
    details = '{"step":"2"}', expected_version = 2, execution_number = 1,
    step_timeout_minutes = -1, include_state = 1, include_document = 1 } } })
for _, status in ipairs{ "SUCCEEDED", "FAILED", "REJECTED" } do
  accepted("update: IN_PROGRESS to " .. status, STARTED, "@1/update", '{"status":"' .. status
    .. '"}', {}, { said = NOTHING_LEFT })
  accepted("update: QUEUED to " .. status, { CREATE }, "@1/update", '{"status":"' .. status
    .. '"}', {}, { said = NOTHING_LEFT,
      encode = { "encode_update", { job_id = "@1", status = status } } })
end
accepted("update: the version as a string", STARTED, "@1/update",
  '{"status":"SUCCEEDED","expectedVersion":"2"}', {}, { said = NOTHING_LEFT })
accepted("update: null is absent", STARTED, "@1/update",
  '{"status":"IN_PROGRESS","expectedVersion":null,"statusDetails":null,"executionNumber":null,'
  .. '"stepTimeoutInMinutes":null,"includeJobExecutionState":null,"clientToken":null}', {})

local DETAILED = { CREATE, { "ask", "start-next", '{"statusDetails":{"a":"1"}}' } }
local function with_details(name, text, details)
  accepted("update: statusDetails " .. name, DETAILED, "@1/update", '{"status":"IN_PROGRESS",'
    .. text .. '"includeJobExecutionState":true}',
    { executionState = state("IN_PROGRESS", 3, details) })
end
with_details("not given stay", "", { a = "1" })
with_details("replace all former ones", '"statusDetails":{"b":"2"},', { b = "2" })
with_details("{} empty them", '"statusDetails":{},', nil)

-- ---- who is told of it ----

accepted("said: the front of two ends", TWO, "@1/update", '{"status":"FAILED"}', {}, { said = {
  { "notify", { jobs = { QUEUED = { summary("@2", 1) } } } },
  { "notify-next", { execution = execution("@2", "QUEUED", 1) } },
} })
accepted("said: another one starts and becomes the front", TWO, "@2/update",
  '{"status":"IN_PROGRESS"}', {}, { said = {
    { "notify-next", { execution = execution("@2", "IN_PROGRESS", 2) } },
  } })
accepted("said: another one starts behind the front", { CREATE, { "create", "@2" },
  { "ask", "start-next", "{}" } }, "@2/update", '{"status":"IN_PROGRESS"}', {}, { said = {} })
accepted("said: another one than the front ends", TWO, "@2/update", '{"status":"REJECTED"}', {}, {
  said = { { "notify", { jobs = { QUEUED = { summary("@1", 1) } } } } },
})
accepted("said: both are IN_PROGRESS, the front ends", { CREATE, { "create", "@2" },
  update("@1", "IN_PROGRESS"), update("@2", "IN_PROGRESS") }, "@1/update",
  '{"status":"SUCCEEDED"}', {}, { said = {
    { "notify", { jobs = { IN_PROGRESS = { summary("@2", 2, true) } } } },
    { "notify-next", { execution = execution("@2", "IN_PROGRESS", 2) } },
  } })

-- ---- InvalidTopic ----

rejected("InvalidTopic: no operation", {}, "frob", '{"clientToken":"t"}', "InvalidTopic",
  { clientToken = "t", docs = "`jobs/frob`, `jobs/J/frob`, `jobs/J/get/frob`" })
rejected("InvalidTopic: no operation of a job", { CREATE }, "@1/frob", "{}", "InvalidTopic")
rejected("InvalidTopic: deeper", { CREATE }, "@1/get/frob", "{}", "InvalidTopic")
rejected("InvalidTopic: a namespace", { CREATE }, "@1/namespace-x/get", "{}", "InvalidTopic")
rejected("InvalidTopic: an empty segment", {}, "get/", "{}", "InvalidTopic")
rejected("InvalidTopic: case counts", {}, "Get", "{}", "InvalidTopic")

-- ---- InvalidJson ----

for name, payload in pairs{
  ["no JSON"] = '{"clientToken":"t"', ["not UTF-8"] = '{"clientToken":"\255"}',
  ["a list"] = '[{"clientToken":"t"}]', ["a number"] = "7", ["a string"] = '"t"',
  ["null"] = "null", ["true"] = "true", ["two values"] = "{}{}", ["a comma too many"] = '{"a":1,}',
  ["a byte order mark"] = "\239\187\191{}", ["NaN"] = '{"a":NaN}', ["a comment"] = "{}//",
  ["a NUL"] = "{}\0", ["half a surrogate pair"] = '{"clientToken":"\\ud800"}',
  ["200 levels"] = ('{"a":'):rep(200) .. "1" .. ("}"):rep(200),
  ["a number too large"] = '{"expectedVersion":12345678901234567890}',
} do
  rejected("InvalidJson: " .. name, STARTED, "@1/update", payload, "InvalidJson",
    { docs = name == "no JSON" and "no JSON, not UTF-8, a list or a plain value, more than 32 "
      .. "levels, an integer over 2^53" or nil })
end

-- ---- InvalidRequest ----

local function invalid(name, ask, payload, more)
  rejected("InvalidRequest: " .. name, STARTED, ask, payload, "InvalidRequest", more)
end

invalid("no status", "@1/update", '{"clientToken":"t"}', { clientToken = "t",
  docs = "a member that is missing, of another type or out of its range; `$next/update`; a status "
    .. "CANCELED, TIMED_OUT, REMOVED; a payload of more than 128 KB" })
for _, status in ipairs{ "CANCELED", "TIMED_OUT", "REMOVED", "succeeded", "" } do
  invalid(("status '%s'"):format(status), "@1/update", '{"status":"' .. status .. '"}')
end
invalid("$next has no update", "$next/update", '{"status":"SUCCEEDED"}')
invalid("a job id that is none", "a.b/get", "{}")
invalid("a larger payload than AWS takes", "@1/update", '{"status":"IN_PROGRESS","x":"'
  .. ("x"):rep(128 * 1024) .. '"}')
for member, values in pairs{
  status = { "7", "null", "{}", "[]", "true" },
  statusDetails = { "7", '"x"', "[]", '["a"]', "true", '{"a":1}', '{"a":null}', '{"a":{}}',
    '{"a":""}', '{"":"a"}', '{"a b":"c"}', '{"a":"b\\nc"}', '{"a":"\\u200b"}' },
  expectedVersion = { "-1", "1.5", '"x"', '"-1"', '""', "{}", "true" },
  executionNumber = { "0", "-1", "1.5", '"1"', "{}", "true" },
  includeJobExecutionState = { "1", '"true"', "{}" },
  includeJobDocument = { "0", '"false"', "[]" },
  stepTimeoutInMinutes = { "0", "-2", "10081", "1.5", '"5"', "{}", "true" },
  clientToken = { "7", "{}", "true" },
} do
  for _, value in ipairs(values) do
    invalid(("%s %s"):format(member, value), "@1/update",
      member == "status" and ('{"status":%s}'):format(value)
      or ('{"status":"IN_PROGRESS","%s":%s}'):format(member, value))
  end
end
invalid("stepTimeoutInMinutes -1 of start-next", "start-next", '{"stepTimeoutInMinutes":-1}')
invalid("statusDetails of start-next", "start-next", '{"statusDetails":{"a":1}}')
invalid("executionNumber of describe", "@1/get", '{"executionNumber":0}')
invalid("includeJobDocument of describe", "$next/get", '{"includeJobDocument":"no"}')
invalid("members before existence", "nobody/update", '{"status":"CANCELED"}')

-- ---- ResourceNotFound ----

rejected("ResourceNotFound: no such job", {}, "nobody/update", '{"status":"FAILED"}',
  "ResourceNotFound", { docs = "no such execution on this thing; a deleted job; another "
    .. "`executionNumber`" })
rejected("ResourceNotFound: describe", {}, "nobody/get", '{"clientToken":"t"}', "ResourceNotFound",
  { clientToken = "t" })
rejected("ResourceNotFound: another execution", { CREATE }, "@1/get", '{"executionNumber":2}',
  "ResourceNotFound")
rejected("ResourceNotFound: a deleted job", { CREATE, { "delete", "@1" } }, "@1/update",
  '{"status":"FAILED","expectedVersion":99}', "ResourceNotFound")

-- ---- VersionMismatch ----

rejected("VersionMismatch: with the state", { CREATE }, "@1/update",
  '{"status":"SUCCEEDED","expectedVersion":99,"clientToken":"t"}', "VersionMismatch",
  { clientToken = "t", executionState = state("QUEUED", 1),
    docs = "`expectedVersion` is another (a number, or a string of digits); with "
      .. "`executionState`" })
rejected("VersionMismatch: as a string, with details", DETAILED, "@1/update",
  '{"status":"SUCCEEDED","expectedVersion":"1"}', "VersionMismatch",
  { executionState = state("IN_PROGRESS", 2, { a = "1" }) })
rejected("VersionMismatch: 0", { CREATE }, "@1/update", '{"status":"SUCCEEDED",'
  .. '"expectedVersion":0}', "VersionMismatch", { executionState = state("QUEUED", 1) })
rejected("VersionMismatch: before the transition", ENDED, "@1/update",
  '{"status":"FAILED","expectedVersion":1}', "VersionMismatch",
  { executionState = state("SUCCEEDED", 2) })

-- ---- InvalidStateTransition ----

rejected("InvalidStateTransition: out of a terminal status", ENDED, "@1/update",
  '{"status":"FAILED","clientToken":"t"}', "InvalidStateTransition", { clientToken = "t",
    executionState = state("SUCCEEDED", 2),
    docs = "out of a terminal status, or to QUEUED; with `executionState`" })
rejected("InvalidStateTransition: to QUEUED", STARTED, "@1/update", '{"status":"QUEUED"}',
  "InvalidStateTransition", { executionState = state("IN_PROGRESS", 2) })
rejected("InvalidStateTransition: it was cancelled", { CREATE, { "ask", "start-next", "{}" },
  { "cancel", "@1", true } }, "@1/update", '{"status":"SUCCEEDED"}', "InvalidStateTransition",
  { executionState = state("CANCELED", 3) })
rejected("InvalidStateTransition: it timed out", { CREATE,
  { "ask", "start-next", '{"stepTimeoutInMinutes":1}' }, { "expire" } }, "@1/update",
  '{"status":"SUCCEEDED"}', "InvalidStateTransition", { executionState = state("TIMED_OUT", 3) })

-- ---- TerminalStateReached ----

rejected("TerminalStateReached: it has ended", ENDED, "@1/get", '{"clientToken":"t"}',
  "TerminalStateReached", { clientToken = "t", docs = "`J/get` of an execution that has ended" })
rejected("TerminalStateReached: it was cancelled", { CREATE, { "cancel", "@1" } }, "@1/get", "{}",
  "TerminalStateReached")

-- ---- by a fault ----

rejected("InternalError: by a fault", { CREATE, { "fault", { op = "update", action = "reject" } } },
  "@1/update", '{"status":"FAILED","clientToken":"t"}', "InternalError", { clientToken = "t",
    docs = "`hob service fault add --op any --action reject`; else a defect, of which the log "
      .. "says more" })
rejected("RequestThrottled: by a fault", { CREATE, { "fault", { op = "any", action = "reject",
  code = "RequestThrottled" } } }, "start-next", '{"clientToken":"t"}', "RequestThrottled",
  { clientToken = "t", docs = "`hob service fault add --op any --action reject --code "
    .. "RequestThrottled`; there is no rate limit" })

---------------------------------------------------------------- limits

local function text_of(count)
  return ("x"):rep(count)
end

local function pairs_of(count)
  local out = {}
  for i = 1, count do
    out[i] = ('"k%d":"v"'):format(i)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

local function at_limit(name, ask, payload_of, max, more)
  add{ name = ("limit: %s, %d"):format(name, max), given = STARTED, ask = ask,
    payload = payload_of(max), answer = "accepted", body = more or {} }
  rejected(("limit: %s, %d"):format(name, max + 1), STARTED, ask, payload_of(max + 1),
    "InvalidRequest")
end

local function details_payload(details)
  return '{"status":"IN_PROGRESS","statusDetails":' .. details .. "}"
end

at_limit("statusDetails pairs", "@1/update", function(count)
  return details_payload(pairs_of(count))
end, M.max("statusDetails pairs"))
at_limit("statusDetails key", "@1/update", function(count)
  return details_payload('{"' .. text_of(count) .. '":"v"}')
end, M.max("statusDetails key"))
at_limit("statusDetails value", "@1/update", function(count)
  return details_payload('{"k":"' .. text_of(count) .. '"}')
end, M.max("statusDetails value"))
at_limit("statusDetails value of two bytes a character", "@1/update", function(count)
  return details_payload('{"k":"' .. ("\u{e9}"):rep(count) .. '"}')
end, M.max("statusDetails value"))
at_limit("step minutes", "@1/update", function(count)
  return '{"status":"IN_PROGRESS","stepTimeoutInMinutes":' .. count .. "}"
end, M.max("step minutes"))
rejected("limit: job id, 64", {}, text_of(M.max("job id")) .. "/get", "{}", "ResourceNotFound")
rejected("limit: job id, 65", {}, text_of(M.max("job id") + 1) .. "/get", "{}", "InvalidRequest")

-- Some were added by pairs(), which has no order; a list of specs should have one.
table.sort(rows, function(a, b) return a.name < b.name end)

return M
