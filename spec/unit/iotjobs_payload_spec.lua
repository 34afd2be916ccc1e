-- Requests to JSON and answers from it: what is written, what is read, what is refused.

local json = require("hob.json")
local mangle = require("spec.support.mangle")
local models = require("iotjobs.models")

local function assert_raises(expected, fn)
  local ok, message = pcall(fn)
  assert.is_false(ok, "nothing was raised; expected: " .. expected)
  assert.matches("^[^\n]*iotjobs_payload_spec%.lua:%d+: ", message, nil, "not at the caller's line")
  assert.equals(expected, (message:gsub("^.-%.lua:%d+: ", "", 1)))
end

describe("iotjobs.models.to_payload", function()
  local UPDATE = {
    thing_name = "t", job_id = "j", status = models.JobStatus.SUCCEEDED,
    status_details = { a = "b" }, expected_version = 2, execution_number = 1,
    include_job_execution_state = true, include_job_document = false,
    step_timeout_in_minutes = -1, client_token = "x",
  }

  local function update(changes)
    local request = models.UpdateJobExecutionRequest(UPDATE)
    for field, value in pairs(changes or {}) do
      request[field] = value
    end
    return request
  end

  it("writes what belongs into the body, and neither thing_name nor job_id", function()
    assert.equals('{"clientToken":"x","executionNumber":1,"expectedVersion":2,'
      .. '"includeJobDocument":false,"includeJobExecutionState":true,"status":"SUCCEEDED",'
      .. '"statusDetails":{"a":"b"},"stepTimeoutInMinutes":-1}', models.to_payload(update()))
    assert.equals('{"clientToken":"x","executionNumber":3,"includeJobDocument":true}',
      models.to_payload(models.DescribeJobExecutionRequest{ thing_name = "t", job_id = "$next",
        execution_number = 3.0, include_job_document = true, client_token = "x" }))
    assert.equals('{"clientToken":"x","statusDetails":{"a":"b"},"stepTimeoutInMinutes":10080}',
      models.to_payload(models.StartNextPendingJobExecutionRequest{ thing_name = "t",
        status_details = { a = "b" }, step_timeout_in_minutes = 10080, client_token = "x" }))
    assert.equals('{"clientToken":"x"}', models.to_payload(
      models.GetPendingJobExecutionsRequest{ thing_name = "t", client_token = "x" }))
  end)

  it("writes an object, also when there is nothing to write", function()
    local request = models.GetPendingJobExecutionsRequest{ thing_name = "t" }
    assert.equals("{}", models.to_payload(request))
    assert.equals('{"status":"FAILED","statusDetails":{}}', models.to_payload(
      models.UpdateJobExecutionRequest{ thing_name = "t", job_id = "j", status = "FAILED",
        status_details = {} }))
  end)

  it("writes what AWS's limits allow at most", function()
    local details = {}
    for i = 1, 10 do
      details[("k"):rep(126) .. ("%02d"):format(i)] = ("\u{1F319}"):rep(1024)
    end
    local sent = json.decode(models.to_payload(update({ status_details = details })))
    assert.same(details, sent.statusDetails)
  end)

  for class, required in pairs({
    DescribeJobExecutionRequest = { "job_id", "thing_name" },
    GetPendingJobExecutionsRequest = { "thing_name" },
    StartNextPendingJobExecutionRequest = { "thing_name" },
    UpdateJobExecutionRequest = { "job_id", "status", "thing_name" },
  }) do
    it("raises when " .. class .. " lacks a field that it needs", function()
      for _, missing in ipairs(required) do
        local request = models[class]{}
        for _, field in ipairs(required) do
          request[field] = field ~= missing and UPDATE[field] or nil
        end
        assert_raises(("%s.%s is required"):format(class, missing), function()
          local text = models.to_payload(request)
          return text
        end)
      end
    end)
  end

  it("checks again what was changed inside a table", function()
    local request = update({ status_details = { a = "b" } })
    request.status_details.a = "two\nlines"
    assert_raises("UpdateJobExecutionRequest.status_details.a: control character U+000A is not "
      .. "allowed", function()
      local text = models.to_payload(request)
      return text
    end)
  end)

  it("takes requests only", function()
    for words, value in pairs({
      RejectedError = models.RejectedError{}, table = {}, ["nil"] = false,
      UpdateJobExecutionSubscriptionRequest = models.UpdateJobExecutionSubscriptionRequest{
        thing_name = "t", job_id = "j" },
    }) do
      assert_raises("to_payload: expected a request, got " .. words, function()
        local text = models.to_payload(value or nil)
        return text
      end)
    end
  end)
end)

describe("iotjobs.models.check", function()
  it("raises for a required field, another class and what is no model", function()
    local function raises(expected, value, class)
      assert_raises(expected, function() models.check(value, class) end)
      assert.equals(expected, models.problem(value, class))
    end
    local subscription = models.DescribeJobExecutionSubscriptionRequest{ thing_name = "t" }
    raises("DescribeJobExecutionSubscriptionRequest.job_id is required", subscription)
    raises("expected a UpdateJobExecutionRequest, got DescribeJobExecutionSubscriptionRequest",
      subscription, "UpdateJobExecutionRequest")
    raises("expected a model of iotjobs, got table", {})
    raises("expected a RejectedError, got nil", nil, "RejectedError")
    subscription.job_id = "$next"
    assert.is_nil(models.problem(subscription))
    models.check(subscription, "DescribeJobExecutionSubscriptionRequest")
  end)

  it("can name the line of its caller's caller", function()
    local function operation(request)
      models.check(request, "RejectedError", 2)
    end
    local line = debug.getinfo(1, "l").currentline + 1
    local _, message = pcall(function() operation({}) end)
    assert.matches(("spec.lua:%d: expected a RejectedError"):format(line), message, 1, true)
  end)
end)

describe("iotjobs.models.from_payload", function()
  local EXECUTION_JSON = '{"jobId":"j","thingName":"t","status":"IN_PROGRESS",'
    .. '"statusDetails":{"a":"b"},"queuedAt":1700000001,"startedAt":1700000002,'
    .. '"lastUpdatedAt":1700000003,"versionNumber":4,"executionNumber":5,'
    .. '"approximateSecondsBeforeTimedOut":60,"jobDocument":{"operation":"x","list":[1,null]}}'
  local SUMMARY_JSON = '{"jobId":"j","queuedAt":1700000001,"lastUpdatedAt":1700000003,'
    .. '"startedAt":1700000002,"versionNumber":4,"executionNumber":5}'
  local STATE_JSON = '{"status":"CANCELED","statusDetails":{"a":"b"},"versionNumber":7}'

  local function assert_fields(expected, object)
    local found = {}
    for name, value in pairs(object) do
      found[name] = value
    end
    assert.same(expected, found)
  end

  local function assert_execution(execution)
    assert.equals("JobExecutionData", execution.class)
    assert_fields({
      job_id = "j", thing_name = "t", status = "IN_PROGRESS", status_details = { a = "b" },
      queued_at = 1700000001, started_at = 1700000002, last_updated_at = 1700000003,
      version_number = 4, execution_number = 5, approximate_seconds_before_timed_out = 60,
      job_document = { operation = "x", list = { 1, json.null } },
    }, execution)
  end

  local function assert_summary(summary)
    assert.equals("JobExecutionSummary", summary.class)
    assert_fields({
      job_id = "j", queued_at = 1700000001, started_at = 1700000002, last_updated_at = 1700000003,
      version_number = 4, execution_number = 5,
    }, summary)
  end

  local function assert_state(state)
    assert.equals("JobExecutionState", state.class)
    assert_fields({ status = "CANCELED", status_details = { a = "b" }, version_number = 7 }, state)
  end

  local function read(class, text)
    return assert(models.from_payload(class, text))
  end

  local function refused(class, text, code, expected)
    local object, message, got = models.from_payload(class, text)
    assert.is_nil(object)
    assert.same({ expected or message, code }, { message, got })
    assert.is_string(message)
  end

  for _, class in ipairs({ "DescribeJobExecutionResponse", "StartNextJobExecutionResponse",
    "NextJobExecutionChangedEvent" }) do
    it("reads a " .. class, function()
      local answer = read(class,
        '{"execution":' .. EXECUTION_JSON .. ',"timestamp":1700000009,"clientToken":"x"}')
      assert.equals(class, answer.class)
      assert.equals(1700000009, answer.timestamp)
      assert_execution(answer.execution)
      if class ~= "NextJobExecutionChangedEvent" then
        assert.equals("x", answer.client_token)
      end
    end)

    it("finds nothing pending in a " .. class .. " without an execution", function()
      for _, none in ipairs({ "", ',"execution":null', ',"execution":{}', ',"execution":[]',
        ',"execution":{"jobId":null,"status":"QUEUED"}', ',"execution":{"versionNumber":1}' }) do
        local answer = read(class, '{"timestamp":5' .. none .. "}")
        assert.same({ 5, nil }, { answer.timestamp, answer.execution })
      end
    end)
  end

  it("reads a GetPendingJobExecutionsResponse", function()
    local answer = read("GetPendingJobExecutionsResponse", ('{"inProgressJobs":[%s],"queuedJobs":'
      .. '[%s,%s],"timestamp":5,"clientToken":"x"}'):format(SUMMARY_JSON, SUMMARY_JSON,
      SUMMARY_JSON))
    assert.same({ 1, 2, 5, "x" }, { #answer.in_progress_jobs, #answer.queued_jobs,
      answer.timestamp, answer.client_token })
    assert_summary(answer.in_progress_jobs[1])
    assert_summary(answer.queued_jobs[2])
  end)

  it("makes empty lists of lists that are empty, null or absent", function()
    local answer = read("GetPendingJobExecutionsResponse", '{"inProgressJobs":[],"timestamp":5}')
    assert.same({ {}, {} }, { answer.in_progress_jobs, answer.queued_jobs })
    assert.same({}, read("JobExecutionsChangedEvent", '{"jobs":null}').jobs)
  end)

  it("leaves out entries of a list that name no job", function()
    local answer = read("GetPendingJobExecutionsResponse",
      '{"queuedJobs":[{},' .. SUMMARY_JSON .. ',{"jobId":null}]}')
    assert.equals(1, #answer.queued_jobs)
    assert_summary(answer.queued_jobs[1])
  end)

  it("reads a JobExecutionsChangedEvent", function()
    local event = read("JobExecutionsChangedEvent", ('{"jobs":{"IN_PROGRESS":[%s],"QUEUED":[],'
      .. '"TOMORROW":[%s],"X":null},"timestamp":5}'):format(SUMMARY_JSON, SUMMARY_JSON))
    assert.equals(5, event.timestamp)
    assert_summary(event.jobs.IN_PROGRESS[1])
    assert_summary(event.jobs.TOMORROW[1])
    assert.same({ {} }, { event.jobs.QUEUED, event.jobs.X })
    assert.same({}, read("JobExecutionsChangedEvent", '{"jobs":{},"timestamp":5}').jobs)
  end)

  it("reads an UpdateJobExecutionResponse", function()
    local answer = read("UpdateJobExecutionResponse", '{"executionState":' .. STATE_JSON
      .. ',"jobDocument":{"a":[]},"timestamp":5,"clientToken":"x"}')
    assert_state(answer.execution_state)
    assert.same({ { a = {} }, 5, "x" },
      { answer.job_document, answer.timestamp, answer.client_token })
    assert_fields({ timestamp = 5 }, read("UpdateJobExecutionResponse", '{"timestamp":5}'))
  end)

  it("reads a RejectedError, under both its names", function()
    for _, name in ipairs({ "RejectedError", "V2ErrorResponse" }) do
      local rejected = read(name, '{"code":"VersionMismatch","message":"m","clientToken":"x",'
        .. '"timestamp":5,"executionState":' .. STATE_JSON .. "}")
      assert.same({ models.RejectedErrorCode.VERSION_MISMATCH, "m", "x", 5 },
        { rejected.code, rejected.message, rejected.client_token, rejected.timestamp })
      assert_state(rejected.execution_state)
    end
  end)

  it("reads a code and a status that it does not know", function()
    local rejected = read("RejectedError", '{"code":"Tomorrow","executionState":{"status":"NEW"}}')
    assert.same({ "Tomorrow", "NEW" }, { rejected.code, rejected.execution_state.status })
  end)

  it("ignores unknown members and takes null for absent", function()
    local answer = read("DescribeJobExecutionResponse", '{"future":[1],"clientToken":null,'
      .. '"execution":{"jobId":"j","thingName":null,"startedAt":null,"x":{}},"timestamp":5}')
    assert.is_nil(answer.client_token)
    assert_fields({ job_id = "j" }, answer.execution)
  end)

  it("takes times over 1e11 for milliseconds", function()
    local function timestamp(text)
      return read("UpdateJobExecutionResponse", '{"timestamp":' .. text .. "}").timestamp
    end
    assert.equals(1489096425.069, timestamp("1489096425069"))
    assert.equals("integer", math.type(timestamp("1489096425000")))
    assert.equals(1489096425, timestamp("1489096425000"))
    assert.equals(100000000000, timestamp("100000000000"))
    assert.equals(1489096425.5, timestamp("1489096425.5"))
    assert.equals("integer", math.type(timestamp("1489096425.0")))
  end)

  it("reads a document that came as text", function()
    local answer = read("UpdateJobExecutionResponse", '{"jobDocument":"{\\"a\\":1}"}')
    assert.same({ a = 1 }, answer.job_document)
    refused("UpdateJobExecutionResponse", '{"jobDocument":"{"}', "EPROTO")
    refused("UpdateJobExecutionResponse", '{"jobDocument":"5"}', "EPROTO",
      "jobDocument: expected an object, got number")
  end)

  describe("a document that cannot be decoded", function()
    local function levels(count)
      return ('{"a":'):rep(count) .. "1" .. ("}"):rep(count)
    end

    local REFUSED = {
      ["an integer over 2^53"] = '{"n":9007199254740993}', ["200 levels"] = levels(200),
      ["1 MB"] = '{"x":"' .. ("x"):rep(1 << 20) .. '"}',
      ["not UTF-8"] = '{"x":"\xff"}', ["an infinite number"] = '{"n":1e999}',
      ["200 lists"] = '{"a":' .. ("["):rep(200) .. ("]"):rep(200) .. "}",
    }
    for what, document in pairs(REFUSED) do
      it("does not hide the execution around it: " .. what, function()
        for _, class in ipairs({ "DescribeJobExecutionResponse", "StartNextJobExecutionResponse",
          "NextJobExecutionChangedEvent" }) do
          local answer = read(class, '{"a":[{"execution":1}],"execution" : {"statusDetails":'
            .. '{"jobDocument":"\\"}{"},"jobId":"j", "jobDocument" :\n' .. document
            .. ', "versionNumber":3},"timestamp":5}')
          local execution = answer.execution
          assert.same({ 5, "j", 3, { jobDocument = '"}{' } }, { answer.timestamp,
            execution.job_id, execution.version_number, execution.status_details })
          assert.is_nil(execution.job_document)
          assert.is_string(execution.job_document_error)
        end
      end)

      it("does not hide the update's answer around it: " .. what, function()
        local answer = read("UpdateJobExecutionResponse",
          '{"jobDocument":' .. document .. ',"clientToken":"x"}')
        assert.equals("x", answer.client_token)
        assert.is_nil(answer.job_document)
        assert.is_string(answer.job_document_error)
      end)
    end

    it("says why", function()
      local answer = read("UpdateJobExecutionResponse", '{"jobDocument":{"n":9007199254740993}}')
      assert.matches("^Integer over 2%^53", answer.job_document_error)
    end)

    it("is decoded alone when only the levels around it were too many", function()
      local text = '{"execution":{"jobId":"j","jobDocument":' .. levels(31) .. "}}"
      assert.is_nil((json.decode(text)))
      local execution = read("StartNextJobExecutionResponse", text).execution
      assert.is_table(execution.job_document.a.a)
      assert.is_nil(execution.job_document_error)
    end)

    it("does not excuse what is wrong around it", function()
      refused("StartNextJobExecutionResponse",
        '{"execution":{"jobId":"j","jobDocument":{"n":9007199254740993},"versionNumber":"x"}}',
        "EPROTO", "execution.versionNumber: expected an integer, got string")
      refused("StartNextJobExecutionResponse",
        '{"execution":{"jobId":"j","jobDocument":{"n":9007199254740993}},"timestamp":}', "EJSON")
      refused("StartNextJobExecutionResponse",
        '{"execution":{"jobId":"j","jobDocument":{"n":9007199254740993', "EJSON")
      refused("RejectedError", '{"jobDocument":{"n":9007199254740993}}', "EJSON")
    end)

    it("does not raise when another member of that name is no object", function()
      local bad = ("["):rep(100) .. ("]"):rep(100)
      for _, other in ipairs{ "5", "null", '"text"', "true", "[1]" } do
        local text = ('{"execution":{"jobId":"j","jobDocument":%s},"\\u0065xecution":%s}'):format(
          bad, other)
        local object, message = models.from_payload("DescribeJobExecutionResponse", text)
        assert.is_nil(object)
        assert.equal("string", type(message))
      end
    end)

    it("takes the last one of several", function()
      local answer = read("UpdateJobExecutionResponse",
        '{"jobDocument":{"a":1},"clientToken":"x","jobDocument":{"n":9007199254740993}}')
      assert.is_nil(answer.job_document)
      assert.is_string(answer.job_document_error)
    end)

    it("is not said by the service", function()
      local answer = read("UpdateJobExecutionResponse", '{"jobDocumentError":"x"}')
      assert.is_nil(answer.job_document_error)
    end)
  end)

  it("gives nil and the path of a member of a wrong type", function()
    local execution = "DescribeJobExecutionResponse"
    for _, case in ipairs({
      { execution, '{"timestamp":"5"}', "timestamp: expected a number, got string" },
      { execution, '{"clientToken":5}', "clientToken: expected a string, got number" },
      { execution, '{"execution":"x"}', "execution: expected an object, got string" },
      { execution, '{"execution":[1]}', "execution: expected an object, got list" },
      { execution, '{"execution":{"jobId":5}}',
        "execution.jobId: expected 1-64 of [a-zA-Z0-9_-], got 5" },
      { execution, '{"execution":{"jobId":"../../etc"}}',
        "execution.jobId: expected 1-64 of [a-zA-Z0-9_-], got '../../etc'" },
      { execution, '{"execution":{"jobId":"j","thingName":"a/b"}}',
        "execution.thingName: expected 1-128 of [a-zA-Z0-9:_-], got 'a/b'" },
      { execution, '{"execution":{"jobId":"j","versionNumber":"4"}}',
        "execution.versionNumber: expected an integer, got string" },
      { execution, '{"execution":{"jobId":"j","executionNumber":1.5}}',
        "execution.executionNumber: expected an integer, got number" },
      { execution, '{"execution":{"jobId":"j","status":5}}',
        "execution.status: expected a string, got number" },
      { execution, '{"execution":{"jobId":"j","queuedAt":{}}}',
        "execution.queuedAt: expected a number, got object" },
      { execution, '{"execution":{"jobId":"j","statusDetails":{"a":1}}}',
        "execution.statusDetails.a: expected a string, got number" },
      { execution, '{"execution":{"jobId":"j","statusDetails":{"a":null}}}',
        "execution.statusDetails.a: expected a string, got null" },
      { execution, '{"execution":{"jobId":"j","jobDocument":[1]}}',
        "execution.jobDocument: expected an object, got list" },
      { execution, '{"execution":{"jobId":"j","jobDocument":true}}',
        "execution.jobDocument: expected an object, got boolean" },
      { "GetPendingJobExecutionsResponse", '{"queuedJobs":{"a":1}}',
        "queuedJobs: expected a list, got object" },
      { "GetPendingJobExecutionsResponse", '{"queuedJobs":[' .. SUMMARY_JSON .. ',null]}',
        "queuedJobs[2]: expected an object, got null" },
      { "GetPendingJobExecutionsResponse", '{"queuedJobs":[{"jobId":"j","queuedAt":"x"}]}',
        "queuedJobs[1].queuedAt: expected a number, got string" },
      { "JobExecutionsChangedEvent", '{"jobs":[1]}', "jobs: expected an object, got list" },
      { "JobExecutionsChangedEvent", '{"jobs":{"QUEUED":5}}',
        "jobs.QUEUED: expected a list, got number" },
      { "JobExecutionsChangedEvent", '{"jobs":{"QUEUED":["x"]}}',
        "jobs.QUEUED[1]: expected an object, got string" },
      { "UpdateJobExecutionResponse", '{"executionState":{"versionNumber":true}}',
        "executionState.versionNumber: expected an integer, got boolean" },
      { "RejectedError", '{"code":5}', "code: expected a string, got number" },
      { "RejectedError", '{"message":[]}', "message: expected a string, got object" },
    }) do
      refused(case[1], case[2], "EPROTO", case[3])
    end
  end)

  local HOSTILE = {
    { "nothing", "", "EJSON" }, { "blanks", " \n\t", "EJSON" }, { "no JSON", "hello", "EJSON" },
    { "half of an object", '{"timestamp":', "EJSON" }, { "a NUL", "{\0}", "EJSON" },
    { "what is not UTF-8", '{"clientToken":"\xff\xfe"}', "EJSON" },
    { "200 levels", ('{"execution":'):rep(200) .. "{}" .. ("}"):rep(200), "EJSON" },
    { "200 levels of a list", ("["):rep(200) .. ("]"):rep(200), "EJSON" },
    { "1 MB", '{"clientToken":"' .. ("x"):rep(1 << 20) .. '"}', "EJSON" },
    { "a number beyond 2^53", '{"timestamp":9007199254740993}', "EJSON" },
    { "a list", "[1]", "EPROTO" }, { "an empty list", " []", "EPROTO" },
    { "null", "null", "EPROTO" },
    { "a number", "5", "EPROTO" }, { "a string", '"x"', "EPROTO" }, { "true", "true", "EPROTO" },
    { "false", "false", "EPROTO" },
  }
  for _, case in ipairs(HOSTILE) do
    it("gives nil and the reason for " .. case[1] .. ", whatever the class", function()
      for _, class in ipairs({ "DescribeJobExecutionResponse", "GetPendingJobExecutionsResponse",
        "StartNextJobExecutionResponse", "UpdateJobExecutionResponse", "RejectedError",
        "JobExecutionsChangedEvent", "NextJobExecutionChangedEvent" }) do
        refused(class, case[2], case[3])
      end
    end)
  end

  it("says that a payload is empty", function()
    refused("RejectedError", "", "EJSON", "the payload is empty")
    refused("RejectedError", "\r\n", "EJSON", "the payload is empty")
  end)

  it("never raises, whichever byte of an answer is changed", function()
    local text = '{"execution":' .. EXECUTION_JSON:gsub("%[1,", "[9007199254740993,")
      .. ',"timestamp":1700000009,"clientToken":"x"}'
    for at = 1, #text do
      for _, byte in ipairs({ "\0", '"', "{", "]", "5", "\xff", "" }) do
        local broken = text:sub(1, at - 1) .. byte .. text:sub(at + 1)
        local object, message = models.from_payload("DescribeJobExecutionResponse", broken)
        assert.is_true(object ~= nil or type(message) == "string", broken)
      end
    end
  end)

  for class, text in pairs(mangle.VALID) do
    it("never raises, whatever becomes of a " .. class, function()
      assert(models.from_payload(class, text))
      for seed = 1, 400 do
        local broken = mangle.text(text, seed)
        local ok, object, message, code = pcall(models.from_payload, class, broken)
        assert.is_true(ok, ("%s: seed %d: %s"):format(class, seed, tostring(object)))
        assert.is_true(object ~= nil or type(message) == "string", "seed " .. seed)
        assert.is_true(object ~= nil or code == "EJSON" or code == "EPROTO", "seed " .. seed)
        assert.is_string(tostring(object))
      end
    end)
  end

  it("raises when asked for what does not come from the service", function()
    for _, name in ipairs({ "Nonsense", "UpdateJobExecutionRequest", "JobStatus", "to_payload",
      "GetPendingJobExecutionsSubscriptionRequest" }) do
      assert_raises("from_payload: no answer or event is called " .. name, function()
        local object = models.from_payload(name, "{}")
        return object
      end)
    end
    assert_raises("from_payload: expected the payload as a string, got nil", function()
      local object = models.from_payload("RejectedError")
      return object
    end)
  end)
end)
