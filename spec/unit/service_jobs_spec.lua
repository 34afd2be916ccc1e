-- Jobs and their configurations: what CreateJob and UpdateJob take, and what is told of them.
local benches = require("spec.support.service_bench")
local json = require("hob.json")
local json_text = require("hob.service.json_text")

local THING = "lamp"
local NOW = math.floor(benches.START)

local function create(bench, more)
  local body = { targets = { benches.arn(THING) }, document = "{}" }
  for name, value in pairs(more) do
    body[name] = value
  end
  return bench:refused("create_job", "j", body, NOW)
end

local function retry(...)
  return { jobExecutionsRetryConfig = { criteriaList = { ... } } }
end

local function retries(failure_type, count)
  return { failureType = failure_type, numberOfRetries = count }
end

local function abort(more)
  local one = { failureType = "ALL", action = "CANCEL", thresholdPercentage = 10,
    minNumberOfExecutedThings = 1 }
  for name, value in pairs(more) do
    one[name] = value
  end
  return { abortConfig = { criteriaList = { one } } }
end

local function exponential(more)
  local one = { baseRatePerMinute = 5, incrementFactor = 2,
    rateIncreaseCriteria = { numberOfNotifiedThings = 10 } }
  for name, value in pairs(more) do
    one[name] = value
  end
  return { jobExecutionsRolloutConfig = { exponentialRate = one } }
end

local LONG = ("x"):rep(2029)
local MANY = {}
for i = 1, 26 do
  MANY[i] = "arn:aws:iot:us-east-1:123456789012:package/p/version/" .. i
end

-- What is wrong, the members, what the message must hold.
local WRONG = {
  { "a description over 2028 characters", { description = LONG },
    { "description", "2028", "2029" } },
  { "a description with a line break", { description = "a\nb" }, { "description", "control" } },
  { "a description with U+0085", { description = "a\u{85}b" }, { "description", "control" } },
  { "a description that is not UTF-8", { description = "a\xE9b" }, { "description", "UTF-8" } },
  { "an unknown targetSelection", { targetSelection = "ALL" },
    { "targetSelection", "SNAPSHOT, CONTINUOUS", '"ALL"' } },
  { "a time-out that is a string", { timeoutConfig = { inProgressTimeoutInMinutes = "5" } },
    { "timeoutConfig.inProgressTimeoutInMinutes", "1-10080", '"5"' } },
  { "a time-out of 1.5 minutes", { timeoutConfig = { inProgressTimeoutInMinutes = 1.5 } },
    { "timeoutConfig.inProgressTimeoutInMinutes", "1.5" } },
  { "a retry configuration without a list", { jobExecutionsRetryConfig = {} },
    { "jobExecutionsRetryConfig.criteriaList", "required" } },
  { "an empty list of retries", retry(), { "jobExecutionsRetryConfig.criteriaList", "1-2", "0" } },
  { "three retry criteria", retry(retries("FAILED", 1), retries("TIMED_OUT", 1),
    retries("FAILED", 1)), { "criteriaList", "1-2", "3" } },
  { "retries of REJECTED", retry(retries("REJECTED", 1)),
    { "criteriaList[0].failureType", "FAILED, TIMED_OUT, ALL", '"REJECTED"' } },
  { "11 retries", retry(retries("FAILED", 11)), { "numberOfRetries", "0-10", "11" } },
  { "-1 retries", retry(retries("FAILED", -1)), { "numberOfRetries", "0-10", "-1" } },
  { "no number of retries", retry{ failureType = "FAILED" }, { "numberOfRetries", "required" } },
  { "the same failure type twice", retry(retries("FAILED", 1), retries("FAILED", 2)),
    { "FAILED", "twice" } },
  { "ALL beside another failure type", retry(retries("ALL", 1), retries("FAILED", 2)),
    { "ALL", "alone" } },
  { "more than 10 retries in all", retry(retries("FAILED", 6), retries("TIMED_OUT", 5)),
    { "at most 10", "11" } },
  { "an empty list of abort criteria", { abortConfig = { criteriaList = {} } },
    { "abortConfig.criteriaList" } },
  { "an abort of SUCCEEDED", abort{ failureType = "SUCCEEDED" },
    { "criteriaList[0].failureType", '"SUCCEEDED"' } },
  { "another abort action", abort{ action = "DELETE" }, { "action", "CANCEL" } },
  { "a threshold over 100", abort{ thresholdPercentage = 100.5 },
    { "thresholdPercentage", "0-100", "100.5" } },
  { "a threshold of three digits", abort{ thresholdPercentage = 10.999 },
    { "thresholdPercentage", "2 digits", "10.999" } },
  { "an abort before anything", abort{ minNumberOfExecutedThings = 0 },
    { "minNumberOfExecutedThings", "0" } },
  { "an abort criterion that is no object", { abortConfig = { criteriaList = { 5 } } },
    { "criteriaList[0]", "object", "5" } },
  { "a rollout of 0 a minute", { jobExecutionsRolloutConfig = { maximumPerMinute = 0 } },
    { "jobExecutionsRolloutConfig.maximumPerMinute", "1-1000", "0" } },
  { "a rollout of 1001 a minute", { jobExecutionsRolloutConfig = { maximumPerMinute = 1001 } },
    { "maximumPerMinute", "1-1000", "1001" } },
  { "an exponential rate without a base", { jobExecutionsRolloutConfig = { exponentialRate = {
    incrementFactor = 2 } } }, { "baseRatePerMinute", "required" } },
  { "a base rate over 1000", exponential{ baseRatePerMinute = 1001 },
    { "baseRatePerMinute", "1-1000" } },
  { "a base rate over the maximum", { jobExecutionsRolloutConfig = { maximumPerMinute = 4,
    exponentialRate = { baseRatePerMinute = 5, incrementFactor = 2,
      rateIncreaseCriteria = { numberOfNotifiedThings = 1 } } } },
    { "baseRatePerMinute", "4", "5" } },
  { "a factor of 1", exponential{ incrementFactor = 1 }, { "incrementFactor", "1.1-5", "1" } },
  { "a factor of two digits", exponential{ incrementFactor = 1.55 },
    { "incrementFactor", "1 digit", "1.55" } },
  { "no criteria for the increase", exponential{ rateIncreaseCriteria = {} },
    { "rateIncreaseCriteria", "required" } },
  { "an increase after 0 things",
    exponential{ rateIncreaseCriteria = { numberOfSucceededThings = 0 } },
    { "rateIncreaseCriteria.numberOfSucceededThings", "0" } },
  { "a URL life of 59 s", { presignedUrlConfig = { expiresInSec = 59 } },
    { "presignedUrlConfig.expiresInSec", "60-3600", "59" } },
  { "a URL life of 3601 s", { presignedUrlConfig = { expiresInSec = 3601 } },
    { "presignedUrlConfig.expiresInSec", "60-3600", "3601" } },
  { "a short role", { presignedUrlConfig = { roleArn = "arn" } },
    { "presignedUrlConfig.roleArn", "20" } },
  { "parameters that are no strings", { documentParameters = { a = 1 } },
    { "documentParameters.a" } },
  { "a tag without a key", { tags = { { Value = "x" } } }, { "tags[0].Key", "required" } },
  { "tags that are an object", { tags = { Key = "x" } }, { "tags", "list" } },
  { "a namespace", { namespaceId = "abc" }, { "namespaceId", "not supported", '"abc"' } },
  { "a namespace with a blank", { namespaceId = "a b" }, { "namespaceId", "[a-zA-Z0-9_-]" } },
  { "a schedule", { schedulingConfig = { startTime = "2026-11-24T00:00" } },
    { "schedulingConfig", "not supported" } },
  { "26 package versions", { destinationPackageVersions = MANY },
    { "destinationPackageVersions", "1-25", "26" } },
}

local WHOLE = {
  description = "all of it", targetSelection = "CONTINUOUS",
  timeoutConfig = { inProgressTimeoutInMinutes = 10080 },
  jobExecutionsRetryConfig = { criteriaList = { retries("FAILED", 10), retries("TIMED_OUT", 0) } },
  abortConfig = { criteriaList = { { failureType = "REJECTED", action = "CANCEL",
    thresholdPercentage = 10.99, minNumberOfExecutedThings = 5 } } },
  jobExecutionsRolloutConfig = { maximumPerMinute = 1000, exponentialRate = {
    baseRatePerMinute = 1, incrementFactor = 1.1, rateIncreaseCriteria = {
      numberOfNotifiedThings = 1, numberOfSucceededThings = 1 } } },
  presignedUrlConfig = { roleArn = "arn:aws:iam::123456789012:role/x", expiresInSec = 60 },
}

describe("CreateJob", function()
  for _, case in ipairs(WRONG) do
    it("refuses " .. case[1] .. ", and says so", function()
      local bench = benches.new()
      local why = create(bench, case[2])
      assert.same({ "InvalidRequestException", 400 }, { why.type, why.status })
      for _, words in ipairs(case[3]) do
        assert.truthy(why.message:find(words, 1, true), why.message)
      end
      assert.is_nil(next(bench.engine.jobs))
      assert.is_nil(next(bench.engine.things))
    end)
  end

  it("keeps every configuration, which DescribeJob tells", function()
    local bench = benches.new()
    local body = { tags = { { Key = "a", Value = "b" } }, unknown = { 1 } }
    for name, value in pairs(WHOLE) do
      body[name] = value
    end
    bench:create("j", THING, body)
    local job = json.decode(json_text.encode(bench:job("j")))
    for name, value in pairs(WHOLE) do
      assert.same(value, job[name], name)
    end
    assert.is_nil(job.unknown)
  end)

  it("takes null for absent, and whole numbers as 5.0", function()
    local bench = benches.new()
    bench:create("j", THING, { description = json.null, abortConfig = json.null,
      namespaceId = json.null, schedulingConfig = {},
      timeoutConfig = { inProgressTimeoutInMinutes = 5.0 } })
    assert.same({ "SNAPSHOT", "5" }, { bench:job("j").targetSelection,
      json_text.encode(bench:job("j").timeoutConfig.inProgressTimeoutInMinutes) })
  end)

  it("keeps nothing of what a request may change afterwards", function()
    local bench, config = benches.new(), json.decode(json.encode(WHOLE))
    bench:create("j", THING, config)
    config.abortConfig.criteriaList[1].thresholdPercentage = 0
    config.jobExecutionsRolloutConfig.exponentialRate.incrementFactor = 0
    assert.equal(10.99, bench:job("j").abortConfig.criteriaList[1].thresholdPercentage)
    assert.equal(1.1,
      bench:job("j").jobExecutionsRolloutConfig.exponentialRate.incrementFactor)
  end)

  it("refuses an id that is taken, with the other's ARN", function()
    local bench = benches.new()
    bench:create("j", THING)
    local why = create(bench, {})
    assert.same({ "ResourceAlreadyExistsException", 409, "j",
      "arn:aws:iot:us-east-1:123456789012:job/j" },
      { why.type, why.status, why.more.resourceId, why.more.resourceArn })
  end)
end)

-- Every place in a value, as a list of keys.
local function places(value, path, found)
  found[#found + 1] = path
  if type(value) == "table" then
    for key, inner in pairs(value) do
      local deeper = table.move(path, 1, #path, 1, {})
      deeper[#path + 1] = key
      places(inner, deeper, found)
    end
  end
  return found
end

local function put(body, path, value)
  local at = body
  for i = 1, #path - 1 do
    at = at[path[i]]
  end
  at[path[#path]] = value
end

local STRANGE = { false, true, 0, -1, 1.5, 1e300, 1 << 62, "", "x", "\xFF", "a\0b",
  ("y"):rep(40000), {}, { 1 }, { {} }, { { {} } }, { a = { b = "c" } },
  { [1] = "x", [3] = "y" }, json.null }

describe("a request with any value in any place", function()
  local BODIES = {
    create_job = function(bench, body) return bench.engine:create_job("j", body, NOW) end,
    update_job = function(bench, body)
      bench:create("j", THING)
      return bench.engine:update_job("j", body, NOW)
    end,
    cancel_job = function(bench, body)
      bench:create("j", THING)
      return bench.engine:cancel_job("j", body, false, NOW)
    end,
    cancel_job_execution = function(bench, body)
      bench:create("j", THING)
      return bench.engine:cancel_job_execution(THING, "j", body, false, NOW)
    end,
    associate_targets = function(bench, body)
      bench:create_for_groups("j", { "g" }, { targetSelection = "CONTINUOUS" })
      return bench.engine:associate_targets("j", body, NOW)
    end,
    create_thing = function(bench, body) return bench.engine:create_thing("t", body) end,
    create_group = function(bench, body) return bench.engine:create_group("h", body, NOW) end,
    add_to_group = function(bench, body) return bench.engine:add_to_group(body, NOW) end,
    update_events = function(bench, body) return bench.engine:update_events(body, NOW) end,
  }
  local REQUEST = {
    targets = { benches.group_arn("g") }, document = "{}", tags = { { Key = "a", Value = "b" } },
    documentParameters = { a = "b" }, destinationPackageVersions = { MANY[1] },
    reasonCode = "A", comment = "b", expectedVersion = 1, statusDetails = { a = "b" },
    attributePayload = { attributes = { a = "b" }, merge = true }, thingTypeName = "T",
    thingGroupProperties = { thingGroupDescription = "d",
      attributePayload = { attributes = { a = "b" } } }, parentGroupName = "g",
    thingGroupName = "g", thingName = THING, namespaceId = "n", schedulingConfig = { a = "b" },
    eventConfigurations = { JOB = { Enabled = true } },
  }
  for name, value in pairs(WHOLE) do
    REQUEST[name] = value
  end

  for name, ask in pairs(BODIES) do
    it("is answered or refused: " .. name, function()
      local refused, request = 0, json.encode(REQUEST)
      for _, path in ipairs(places(REQUEST, {}, {})) do
        for _, value in ipairs(#path > 0 and STRANGE or {}) do
          local bench = benches.new()
          bench:group("g", { THING })
          local body = json.decode(request)
          body.namespaceId, body.schedulingConfig = nil, nil
          if #path == 1 or body[path[1]] ~= nil then
            put(body, path, value)
          end
          local answer, why = ask(bench, body)
          if answer then
            json_text.encode(answer)
          else
            refused = refused + 1
            assert.truthy(why.type:find("Exception$"))
            assert.truthy(why.status < 500, why.message)
            assert.truthy(#why.message < 2500, why.message)
          end
          if bench.engine.jobs.j then
            json_text.encode(bench:job("j"))
          end
        end
      end
      assert.truthy(refused > 10)
    end)
  end
end)

describe("UpdateJob", function()
  it("changes what is given, and leaves the rest", function()
    local bench = benches.new()
    bench:create("j", THING, WHOLE)
    bench.now = bench.now + 7
    bench:control("update_job", "j", { description = "new",
      timeoutConfig = { inProgressTimeoutInMinutes = 5 } }, bench.now)
    local job = bench:job("j")
    assert.same({ "new", 5, NOW, NOW + 7 }, { job.description,
      job.timeoutConfig.inProgressTimeoutInMinutes, job.createdAt, job.lastUpdatedAt })
    assert.equal(10.99, job.abortConfig.criteriaList[1].thresholdPercentage)
    assert.equal(1, bench:count("service.job_updated"))
  end)

  it("changes the timer of what has not started yet", function()
    local bench = benches.new()
    bench:create("j", { "t1", "t2" }, { timeoutConfig = { inProgressTimeoutInMinutes = 1 } })
    bench:ask("t1", "start-next")
    bench:control("update_job", "j", { timeoutConfig = { inProgressTimeoutInMinutes = 9 } },
      bench.now)
    bench:ask("t2", "start-next")
    bench:wait(60)
    assert.equal("t1#1 TIMED_OUT, t2#1 IN_PROGRESS", bench:executions("j"))
  end)

  it("gives a job retries and an end that it was created without", function()
    local bench = benches.new()
    bench:create("j", { "t1", "t2" })
    bench:control("update_job", "j", retry(retries("FAILED", 1)), bench.now)
    bench:ask("t1", "j/update", { status = "FAILED" })
    assert.equal("t1#1 FAILED, t2#1 QUEUED, t1#2 QUEUED", bench:executions("j"))
    bench:control("update_job", "j", abort{}, bench.now)
    bench:ask("t1", "j/update", { status = "FAILED" })
    assert.equal("CANCELED", bench:job("j").status)
  end)

  it("refuses wrong members, an unknown job, and one that is not IN_PROGRESS", function()
    local bench = benches.new()
    bench:create("j", THING)
    local why = bench:refused("update_job", "j", retry(retries("FAILED", 11)), NOW)
    assert.equal("InvalidRequestException", why.type)
    assert.equal(404, bench:refused("update_job", "none", {}, NOW).status)
    bench:ask(THING, "j/update", { status = "SUCCEEDED" })
    why = bench:refused("update_job", "j", { description = "x" }, NOW)
    assert.same({ "InvalidRequestException", true },
      { why.type, why.message:find("COMPLETED") ~= nil })
  end)
end)

describe("ListJobs", function()
  local bench

  local function ids(query)
    local list = {}
    for i, job in ipairs(bench.engine:list_jobs(query).jobs) do
      list[i] = job.jobId
    end
    return table.concat(list, " ")
  end

  before_each(function()
    bench = benches.new()
    bench:group("g", { "t1" })
    bench:group("h", { "t2" })
    bench:create("plain", "t1")
    bench:create_for_groups("snap", { "g", "h" })
    bench:create_for_groups("cont", { "h" }, { targetSelection = "CONTINUOUS" })
    bench:control("cancel_job", "plain", {}, false, bench.now)
  end)

  it("chooses by status, selection, group and namespace", function()
    assert.equal("plain snap cont", ids{})
    assert.equal("snap cont", ids{ status = "IN_PROGRESS" })
    assert.equal("plain", ids{ status = "CANCELED" })
    assert.equal("", ids{ status = "SCHEDULED" })
    assert.equal("cont", ids{ targetSelection = "CONTINUOUS" })
    assert.equal("snap", ids{ thingGroupName = "g" })
    assert.equal("snap cont", ids{ thingGroupId = bench.engine.groups.h.id })
    assert.equal("", ids{ namespaceId = "abc" })
    assert.equal(bench.engine.groups.g.id,
      bench.engine:list_jobs{ thingGroupName = "g" }.jobs[1].thingGroupId)
  end)

  it("refuses what no job has, and an unknown group", function()
    for _, query in ipairs{ { status = "DONE" }, { targetSelection = "x" },
      { thingGroupName = "a b" }, { namespaceId = "a b" }, { maxResults = "251" },
      { maxResults = "0x10" } } do
      assert.equal("InvalidRequestException", bench:refused("list_jobs", query).type)
    end
    assert.equal("ResourceNotFoundException",
      bench:refused("list_jobs", { thingGroupName = "none" }).type)
  end)

  it("gives every job once, a page at a time", function()
    for i = 1, 20 do
      bench:create("job-" .. i, "t1")
    end
    bench.query = { status = "IN_PROGRESS" }
    local list = bench:pages("list_jobs", "jobs", 3)
    assert.equal(22, #list)
    assert.equal("job-20", list[22].jobId)
  end)
end)

describe("the executions of a job", function()
  it("are listed by status, a page at a time", function()
    local bench = benches.new()
    bench:create("other", "t1")
    local things = {}
    for i = 1, 9 do
      things[i] = "t" .. i
    end
    bench:create("j", things)
    for i = 1, 9, 2 do
      bench:ask("t" .. i, "j/update", { status = "FAILED" })
    end
    bench.query = { status = "FAILED" }
    local list = bench:pages("list_executions_of_job", "executionSummaries", 2, "j")
    assert.same({ 5, "arn:aws:iot:us-east-1:123456789012:thing/t9" }, { #list,
      list[5].thingArn })
    assert.same({ 2, 0 }, { #bench.engine:list_executions_of_thing("t1", {}).executionSummaries,
      #bench.engine:list_executions_of_thing("t1", { namespaceId = "n" }).executionSummaries })
    for _, case in ipairs{ { "list_executions_of_job", "j" },
      { "list_executions_of_thing", "t1" } } do
      assert.equal("InvalidRequestException",
        bench:refused(case[1], case[2], { status = "DONE" }).type)
    end
  end)
end)

describe("CancelJob", function()
  it("takes reasonCode and comment within their limits", function()
    local bench = benches.new()
    bench:create("j", THING)
    for _, case in ipairs{ { "reasonCode", "lower" }, { "reasonCode", ("A"):rep(129) },
      { "reasonCode", 5 }, { "comment", "a\tb" }, { "comment", LONG } } do
      local why = bench:refused("cancel_job", "j", { [case[1]] = case[2] }, false, NOW)
      assert.equal("InvalidRequestException", why.type)
      assert.truthy(why.message:find(case[1], 1, true))
    end
    assert.equal("IN_PROGRESS", bench:job("j").status)
    bench:control("cancel_job", "j", { reasonCode = "A_1", comment = "caf\u{e9}" }, false, NOW)
    assert.same({ "A_1", "caf\u{e9}" }, { bench:job("j").reasonCode, bench:job("j").comment })
  end)
end)
