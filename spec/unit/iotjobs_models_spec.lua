-- The classes and enumerations of `iotjobs`: what they take, what they send, what they read.

local keys_of = require("spec.support.source").sorted_keys
local models = require("iotjobs.models")

local LONG_THING = ("t"):rep(128)
local LONG_JOB = ("J"):rep(64)

local function details_of(count)
  local details = {}
  for i = 1, count do
    details["k" .. i] = "v"
  end
  return details
end

-- For every field of every class: values that it takes, and {value, the message's end} that it does
-- not. Written out on its own, so that a field of a wrong kind in the code shows.
local TIME = {
  good = { 0, 1700000000, 1700000000.25 },
  bad = {
    { "1700000000", "expected a number, got string" }, { 0 / 0, "expected a number, got number" },
  },
}
local WHOLE = {
  good = { 0, 1, 1 << 53 },
  bad = { { "1", "expected an integer, got string" }, { 1.5, "expected an integer, got number" } },
}
local TEXT = { good = { "", "x" }, bad = { { 5, "expected a string, got number" } } }
local BOOLEAN = {
  good = { true, false },
  bad = {
    { "true", "expected true or false, got string" },
    { 1, "expected true or false, got number" },
  },
}
local TOKEN = {
  good = { "x", ("x"):rep(64) },
  bad = {
    { ("x"):rep(65), "expected 1-64 bytes, got 65" }, { "", "expected 1-64 bytes, got 0" },
    { 7, "expected a string, got number" }, { "\xff", "is not UTF-8" },
  },
}
local THING = {
  good = { "t", LONG_THING, "a:b-c_D9" },
  bad = {
    { LONG_THING .. "t",
      "expected 1-128 of [a-zA-Z0-9:_-], got 'tttttttttttttttttttt...' (129 bytes)" },
    { "", "expected 1-128 of [a-zA-Z0-9:_-], got ''" },
    { "a/b", "expected 1-128 of [a-zA-Z0-9:_-], got 'a/b'" },
    { "+", "expected 1-128 of [a-zA-Z0-9:_-], got '+'" },
    { {}, "expected 1-128 of [a-zA-Z0-9:_-], got table" },
  },
}
local function job(also, good, bad)
  local words = "expected 1-64 of [a-zA-Z0-9_-]" .. also .. ", got "
  local case = {
    good = { "j", LONG_JOB, "get", table.unpack(good) },
    bad = {
      { LONG_JOB .. "J", words .. "'JJJJJJJJJJJJJJJJJJJJ...' (65 bytes)" },
      { "a:b", words .. "'a:b'" }, { "a/b", words .. "'a/b'" }, { "", words .. "''" },
      { 5, words .. "5" }, { "#", words .. "'#'" },
    },
  }
  for _, id in ipairs(bad) do
    case.bad[#case.bad + 1] = { id, words .. "'" .. id .. "'" }
  end
  return case
end
local JOB = job("", {}, { "$next", "+" })
local DETAILS = {
  good = {
    {}, { a = "b" }, details_of(10), { [("k"):rep(128)] = "v" }, { k = ("\u{e4}"):rep(1024) },
    { ["A:b_c-9"] = "~ \u{1F319}" },
  },
  bad = {
    { details_of(11), "at most 10 members are allowed, got 11" },
    { { [("k"):rep(129)] = "v" },
      "a key must be 1-128 of [a-zA-Z0-9:_-], got 'kkkkkkkkkkkkkkkkkkkk...' (129 bytes)" },
    { { ["a b"] = "v" }, "a key must be 1-128 of [a-zA-Z0-9:_-], got 'a b'" },
    { { "v" }, "a key must be 1-128 of [a-zA-Z0-9:_-], got 1" },
    { { k = "" }, ".k: expected 1-1024 characters, got 0" },
    { { k = ("x"):rep(1025) }, ".k: expected 1-1024 characters, got 1025" },
    { { k = "a\nb" }, ".k: control character U+000A is not allowed" },
    { { k = "a\tb" }, ".k: control character U+0009 is not allowed" },
    { { k = "\u{200B}" }, ".k: control character U+200B is not allowed" },
    { { k = "\u{7F}" }, ".k: control character U+007F is not allowed" },
    { { k = "a\u{85}" }, ".k: control character U+0085 is not allowed" },
    { { k = "\u{E000}" }, ".k: control character U+E000 is not allowed" },
    { { k = "\xff" }, ".k: is not UTF-8" },
    { { k = 5 }, ".k: expected a string, got number" },
    { "x", "expected an object, got string" },
  },
}
local EXECUTION_NUMBER = {
  good = { 1, 1 << 53 },
  bad = {
    { 0, "expected 1-9007199254740992, got 0" }, { "1", "expected an integer, got string" },
    { 1.5, "expected an integer, got 1.5" },
  },
}
local EXPECTED_VERSION = {
  good = { 0, 1, 1 << 53 },
  bad = {
    { -1, "expected 0-9007199254740992, got -1" }, { "1", "expected an integer, got string" },
    { 1.5, "expected an integer, got 1.5" },
  },
}
local STATUSES = "expected one of CANCELED, FAILED, IN_PROGRESS, QUEUED, REJECTED, REMOVED, "
  .. "SUCCEEDED, TIMED_OUT; got "
local STATUS = {
  good = { "QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED",
    "CANCELED" },
  bad = { { "DONE", STATUSES .. "DONE" }, { 5, STATUSES .. "number" } },
}
local STRINGS = {
  good = { {}, { a = "b" } },
  bad = {
    { { a = 1 }, ".a: expected a string, got number" }, { "x", "expected an object, got string" },
    { { "x" }, "expected an object, got list" },
  },
}
local DOCUMENT = {
  good = { {}, { operation = "reboot", n = { 1, 2 } } },
  bad = { { "{}", "expected an object, got string" }, { { 1 }, "expected an object, got list" } },
}
local function model(class, other)
  return {
    good = { models[class]{} },
    bad = {
      { {}, "expected a " .. class .. ", got table" },
      { 5, "expected a " .. class .. ", got number" },
      { models[other]{}, "expected a " .. class .. ", got " .. other },
    },
  }
end
local EXECUTION = model("JobExecutionData", "JobExecutionState")
local STATE = model("JobExecutionState", "JobExecutionData")
local SUMMARY = models.JobExecutionSummary{ job_id = "j" }
local SUMMARIES = {
  good = { {}, { SUMMARY, SUMMARY } },
  bad = {
    { { SUMMARY, {} }, "[2]: expected a JobExecutionSummary, got table" },
    { "x", "expected a list, got string" }, { { a = SUMMARY }, "expected a list, got object" },
    { SUMMARY, "a JobExecutionSummary cannot stand here" },
  },
}
local BY_STATUS = {
  good = { {}, { QUEUED = { SUMMARY }, IN_PROGRESS = {} } },
  bad = {
    { { QUEUED = SUMMARY }, ".QUEUED: expected a list, got object" },
    { { QUEUED = { 5 } }, ".QUEUED[1]: expected a JobExecutionSummary, got number" },
    { { SUMMARY }, "expected an object, got list" },
  },
}
local CODES = "expected one of InternalError, InvalidJson, InvalidRequest, InvalidStateTransition, "
  .. "InvalidTopic, RequestThrottled, ResourceNotFound, TerminalStateReached, VersionMismatch; got "
local CODE = {
  good = { "InternalError", "TerminalStateReached" },
  bad = { { "INTERNAL_ERROR", CODES .. "INTERNAL_ERROR" }, { 5, CODES .. "number" } },
}
local MINUTES = {
  good = { 1, 10080 },
  bad = {
    { 0, "expected 1-10080, got 0" }, { 10081, "expected 1-10080, got 10081" },
    { -1, "expected 1-10080, got -1" }, { "5", "expected an integer, got string" },
  },
}
local MINUTES_OR_DISCARD = {
  good = { 1, 10080, -1 },
  bad = {
    { 0, "expected 1-10080 or -1, got 0" }, { 10081, "expected 1-10080 or -1, got 10081" },
    { -2, "expected 1-10080 or -1, got -2" }, { "5", "expected an integer, got string" },
  },
}
local WANTED = "expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED, got "
local WANTED_STATUS = {
  good = { "IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED" },
  bad = {
    { "QUEUED", WANTED .. "QUEUED" }, { "CANCELED", WANTED .. "CANCELED" },
    { "TIMED_OUT", WANTED .. "TIMED_OUT" }, { "REMOVED", WANTED .. "REMOVED" },
    { "done", WANTED .. "done" }, { 5, WANTED .. "number" },
  },
}

local FIELDS = {
  DescribeJobExecutionRequest = {
    client_token = TOKEN, execution_number = EXECUTION_NUMBER, include_job_document = BOOLEAN,
    job_id = job(", '$next'", { "$next" }, { "+" }), thing_name = THING,
  },
  DescribeJobExecutionResponse = { client_token = TEXT, execution = EXECUTION, timestamp = TIME },
  DescribeJobExecutionSubscriptionRequest = {
    job_id = job(", '$next', '+'", { "$next", "+" }, {}), thing_name = THING,
  },
  GetPendingJobExecutionsRequest = { client_token = TOKEN, thing_name = THING },
  GetPendingJobExecutionsResponse = {
    client_token = TEXT, in_progress_jobs = SUMMARIES, queued_jobs = SUMMARIES, timestamp = TIME,
  },
  GetPendingJobExecutionsSubscriptionRequest = { thing_name = THING },
  StartNextPendingJobExecutionRequest = {
    client_token = TOKEN, status_details = DETAILS, step_timeout_in_minutes = MINUTES,
    thing_name = THING,
  },
  StartNextJobExecutionResponse = { client_token = TEXT, execution = EXECUTION, timestamp = TIME },
  StartNextPendingJobExecutionSubscriptionRequest = { thing_name = THING },
  UpdateJobExecutionRequest = {
    client_token = TOKEN, execution_number = EXECUTION_NUMBER, expected_version = EXPECTED_VERSION,
    include_job_document = BOOLEAN, include_job_execution_state = BOOLEAN, job_id = JOB,
    status = WANTED_STATUS, status_details = DETAILS,
    step_timeout_in_minutes = MINUTES_OR_DISCARD, thing_name = THING,
  },
  UpdateJobExecutionResponse = {
    client_token = TEXT, execution_state = STATE, job_document = DOCUMENT,
    job_document_error = TEXT, timestamp = TIME,
  },
  UpdateJobExecutionSubscriptionRequest = {
    job_id = job(", '+'", { "+" }, { "$next" }), thing_name = THING,
  },
  JobExecutionData = {
    approximate_seconds_before_timed_out = WHOLE, execution_number = WHOLE,
    job_document = DOCUMENT, job_document_error = TEXT, job_id = JOB, last_updated_at = TIME,
    queued_at = TIME, started_at = TIME, status = STATUS, status_details = STRINGS,
    thing_name = THING, version_number = WHOLE,
  },
  JobExecutionState = { status = STATUS, status_details = STRINGS, version_number = WHOLE },
  JobExecutionSummary = {
    execution_number = WHOLE, job_id = JOB, last_updated_at = TIME, queued_at = TIME,
    started_at = TIME, version_number = WHOLE,
  },
  JobExecutionsChangedEvent = { jobs = BY_STATUS, timestamp = TIME },
  JobExecutionsChangedSubscriptionRequest = { thing_name = THING },
  NextJobExecutionChangedEvent = { execution = EXECUTION, timestamp = TIME },
  NextJobExecutionChangedSubscriptionRequest = { thing_name = THING },
  RejectedError = {
    client_token = TEXT, code = CODE, execution_state = STATE, message = TEXT, timestamp = TIME,
  },
}

local function assert_raises(expected, fn)
  local ok, message = pcall(fn)
  assert.is_false(ok, "nothing was raised; expected: " .. expected)
  assert.matches("^[^\n]*iotjobs_models_spec%.lua:%d+: ", message, nil, "not at the caller's line")
  assert.equals(expected, (message:gsub("^.-%.lua:%d+: ", "", 1)))
end

local function message_for(class, field, words)
  return ("%s.%s%s%s"):format(class, field, words:sub(1, 1) == "." and "" or
    words:sub(1, 1) == "[" and "" or ": ", words)
end

describe("iotjobs.models", function()
  it("has the classes of AWS's SDK", function()
    local classes = {}
    for name, class in pairs(models) do
      if type(class) == "table" and tostring(class) == "iotjobs." .. name then
        classes[name] = class
      end
    end
    assert.same(keys_of(FIELDS), keys_of(classes))
  end)

  for _, class in ipairs(keys_of(FIELDS)) do
    describe(class, function()
      it("has its fields and no other", function()
        assert.same(keys_of(FIELDS[class]), models[class].fields)
      end)

      it("can be made empty and filled later", function()
        local object = models[class]{}
        for field, case in pairs(FIELDS[class]) do
          assert.is_nil(object[field])
          object[field] = case.good[1]
          assert.equals(case.good[1], object[field])
          object[field] = nil
          assert.is_nil(object[field])
        end
        assert.equals(class, models[class]().class)
      end)

      for _, field in ipairs(keys_of(FIELDS[class])) do
        local case = FIELDS[class][field]

        it("." .. field .. " takes what it should", function()
          for _, value in ipairs(case.good) do
            assert.equals(value, models[class]({ [field] = value })[field])
          end
        end)

        it("." .. field .. " refuses at once what it should not take", function()
          for _, wrong in ipairs(case.bad) do
            local value, words = wrong[1], message_for(class, field, wrong[2])
            assert_raises(words, function()
              local made = models[class]({ [field] = value })
              return made
            end)
            local object = models[class]{ [field] = case.good[1] }
            assert_raises(words, function() object[field] = value end)
            assert.equals(case.good[1], object[field])
          end
        end)
      end

      it("refuses a field that it does not have", function()
        local words = ("%s has no field 'foo'; it has %s"):format(class,
          table.concat(models[class].fields, ", "))
        local object = models[class]{}
        assert_raises(words, function()
          local made = models[class]{ foo = 1 }
          return made
        end)
        assert_raises(words, function() object.foo = 1 end)
        assert_raises(words, function()
          local foo = object.foo
          return foo
        end)
      end)
    end)
  end

  it("name the line that made the mistake", function()
    local line = debug.getinfo(1, "l").currentline + 2
    local _, message = pcall(function()
      local made = models.UpdateJobExecutionRequest{ job_id = 5 }
      return made
    end)
    assert.matches(("iotjobs_models_spec.lua:%d: UpdateJobExecutionRequest.job_id: "):format(line),
      message, 1, true)
  end)

  it("are made from a table of fields only", function()
    assert_raises("RejectedError: expected a table of fields, got string", function()
      local made = models.RejectedError("x")
      return made
    end)
  end)

  it("make whole numbers of floats that are whole", function()
    local request = models.UpdateJobExecutionRequest{
      expected_version = 2.0, execution_number = 1.0, step_timeout_in_minutes = 6 / 2,
    }
    assert.equals("integer", math.type(request.expected_version))
    assert.equals("integer", math.type(request.execution_number))
    assert.equals("integer", math.type(request.step_timeout_in_minutes))
  end)

  it("can be walked with pairs, in the order of the fields, and copied", function()
    local request = models.UpdateJobExecutionRequest{
      thing_name = "t", status = "FAILED", include_job_document = false,
    }
    local names = {}
    for name in pairs(request) do
      names[#names + 1] = name
    end
    assert.same({ "include_job_document", "status", "thing_name" }, names)
    local copy = models.UpdateJobExecutionRequest(request)
    copy.status = "SUCCEEDED"
    assert.same({ "FAILED", "t", false },
      { request.status, copy.thing_name, copy.include_job_document })
  end)

  it("can be printed", function()
    local request = models.UpdateJobExecutionRequest{
      job_id = "j", status = "FAILED", step_timeout_in_minutes = 5, status_details = { b = "2" },
    }
    request.status_details.a = "1\n"
    assert.equals('UpdateJobExecutionRequest{job_id="j", status="FAILED", '
      .. 'status_details={a="1\\n", b="2"}, step_timeout_in_minutes=5}',
      tostring(request))
    assert.equals('JobExecutionsChangedEvent{jobs={QUEUED=[JobExecutionSummary{job_id="j"}]}, '
      .. "timestamp=5}",
      tostring(models.JobExecutionsChangedEvent{ jobs = { QUEUED = { SUMMARY } }, timestamp = 5 }))
    assert.equals("iotjobs.RejectedError", tostring(models.RejectedError))
  end)

  it("do not print a document, whose URLs are secrets", function()
    local execution = models.JobExecutionData{
      job_id = "j", job_document = { url = "https://example.org/?X-Amz-Signature=abc" },
    }
    assert.equals('JobExecutionData{job_document={...}, job_id="j"}', tostring(execution))
  end)

  it("know the rejection of a request-response under both names", function()
    assert.equals(models.RejectedError, models.V2ErrorResponse)
  end)
end)

describe("iotjobs enumerations", function()
  it("have the names and values of AWS's SDK", function()
    assert.same({
      CANCELED = "CANCELED", FAILED = "FAILED", IN_PROGRESS = "IN_PROGRESS", QUEUED = "QUEUED",
      REJECTED = "REJECTED", REMOVED = "REMOVED", SUCCEEDED = "SUCCEEDED", TIMED_OUT = "TIMED_OUT",
    }, models.JobStatus)
    assert.same({
      INTERNAL_ERROR = "InternalError", INVALID_JSON = "InvalidJson",
      INVALID_REQUEST = "InvalidRequest", INVALID_STATE_TRANSITION = "InvalidStateTransition",
      INVALID_TOPIC = "InvalidTopic", REQUEST_THROTTLED = "RequestThrottled",
      RESOURCE_NOT_FOUND = "ResourceNotFound", TERMINAL_STATE_REACHED = "TerminalStateReached",
      VERSION_MISMATCH = "VersionMismatch",
    }, models.RejectedErrorCode)
  end)

  it("raise when a name is read that they do not have", function()
    assert_raises("JobStatus has no DONE; known: CANCELED, FAILED, IN_PROGRESS, QUEUED, REJECTED, "
      .. "REMOVED, SUCCEEDED, TIMED_OUT", function()
      local status = models.JobStatus.DONE
      return status
    end)
    assert_raises("RejectedErrorCode cannot be changed: X", function()
      models.RejectedErrorCode.X = "x"
    end)
  end)
end)
