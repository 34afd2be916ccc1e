-- The control plane as AWS's tools use it: real HTTP, real REST paths, a real broker.
local json = require("hob.json")
local ltn12 = require("ltn12")
local mqtt = require("hob.mqtt")
local services = require("spec.support.jobs_service")
local socket_http = require("socket.http")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 30
local ACCOUNT = "arn:aws:iot:us-east-1:123456789012:"

describe("hob service over HTTP", function()
  local service, count = nil, 0

  setup(function() service = services.start{ flags = { "--minute-ms", "100" } } end)
  teardown(function()
    if service then
      service:stop()
    end
  end)

  -- The answer as it came: status, headers, body. LuaSocket's client tells headers; the service is
  -- another process.
  local function raw(method, path, body)
    local parts = {}
    local _, status, headers = socket_http.request{ url = service.url .. path, method = method,
      headers = { ["content-length"] = body and tostring(#body) or nil },
      source = body and ltn12.source.string(body), sink = ltn12.sink.table(parts) }
    return { status = status, headers = headers, body = table.concat(parts) }
  end

  local function call(method, path, body)
    local answer, status = service:call(method, path, body)
    assert.equal(200, status, path .. ": " .. tostring(answer.message))
    return answer
  end

  local function fresh(name)
    count = count + 1
    return ("%s-%d"):format(name, count)
  end

  it("takes a job from things and groups to its end, the devices being on the broker", function()
    local one, two, group, job = fresh("one"), fresh("two"), fresh("group"), fresh("job")
    call("POST", "/things/" .. one, {})
    call("POST", "/thing-groups/" .. group, {})
    call("PUT", "/thing-groups/addThingToThingGroup",
      { thingGroupName = group, thingName = one })
    local peers = { service:peer(one), service:peer(two) }
    call("PUT", "/jobs/" .. job, { document = '{"a":1}', targets = {
      ACCOUNT .. "thinggroup/" .. group, ACCOUNT .. "thing/" .. two },
      jobExecutionsRetryConfig = { criteriaList = {
        { failureType = "FAILED", numberOfRetries = 1 } } } })
    for _, peer in ipairs(peers) do
      assert.equal(job, peer:hear("notify-next").body.execution.jobId)
    end
    peers[1]:ask(job .. "/update", '{"status":"FAILED"}')
    assert.equal(2, peers[1]:hear("notify-next").body.execution.executionNumber)
    peers[1]:ask(job .. "/update", '{"status":"SUCCEEDED"}')
    peers[2]:ask(job .. "/update", '{"status":"SUCCEEDED"}')
    local described = call("GET", "/jobs/" .. job).job
    assert.same({ "COMPLETED", 2, 1 }, { described.status,
      described.jobProcessDetails.numberOfSucceededThings,
      described.jobProcessDetails.numberOfFailedThings })
    local list = call("GET", "/jobs/" .. job .. "/things?maxResults=2")
    local rest = call("GET", "/jobs/" .. job .. "/things?nextToken=" .. list.nextToken)
    assert.same({ 2, 1 }, { #list.executionSummaries, #rest.executionSummaries })
    assert.equal("", table.concat{ rest.nextToken })
  end)

  it("queues a rollout minute by minute, on its own clock", function()
    local job, peers, targets = fresh("job"), {}, {}
    for i = 1, 3 do
      local thing = fresh("roll")
      peers[i], targets[i] = service:peer(thing), ACCOUNT .. "thing/" .. thing
    end
    call("PUT", "/jobs/" .. job, { document = "{}", targets = targets,
      jobExecutionsRolloutConfig = { maximumPerMinute = 1 } })
    for i = 1, 3 do
      assert.equal(job, peers[i]:hear("notify-next").body.execution.jobId)
    end
    wait_until(function() return not call("GET", "/jobs/" .. job).job.isConcurrent end, SECONDS,
      "the end of the rollout")
  end)

  it("takes an execution from a thing that leaves the group, or is deleted", function()
    local thing, group, job = fresh("thing"), fresh("group"), fresh("job")
    call("POST", "/things/" .. thing, {})
    call("POST", "/thing-groups/" .. group, {})
    call("PUT", "/jobs/" .. job, { document = "{}", targetSelection = "CONTINUOUS",
      targets = { ACCOUNT .. "thinggroup/" .. group } })
    local peer, member = service:peer(thing), { thingGroupName = group, thingName = thing }
    call("PUT", "/thing-groups/addThingToThingGroup", member)
    assert.equal(job, peer:hear("notify-next").body.execution.jobId)
    call("PUT", "/thing-groups/removeThingFromThingGroup", member)
    assert.is_nil(peer:hear("notify-next").body.execution)
    call("PUT", "/thing-groups/addThingToThingGroup", member)
    assert.equal(2, peer:hear("notify-next").body.execution.executionNumber)
    call("DELETE", "/things/" .. thing)
    assert.is_nil(peer:hear("notify-next").body.execution)
    local list = call("GET", "/jobs/" .. job .. "/things?status=REMOVED").executionSummaries
    assert.equal(2, #list)
  end)

  it("publishes the events of the fleet once they are switched on", function()
    local heard, thing, job = {}, fresh("thing"), fresh("job")
    local watcher = mqtt.connect(service.broker:options{ client_id = fresh("watcher"),
      on_message = function(topic) table.insert(heard, topic) end })
    assert(watcher:wait_up(SECONDS))
    assert(watcher:subscribe("$aws/events/#", 1))
    call("PATCH", "/event-configurations", { eventConfigurations = { JOB = { Enabled = true },
      JOB_EXECUTION = { Enabled = true } } })
    assert.is_true(call("GET", "/event-configurations").eventConfigurations.JOB.Enabled)
    call("PUT", "/jobs/" .. job, { document = "{}", targets = { ACCOUNT .. "thing/" .. thing } })
    call("PUT", "/jobs/" .. job .. "/cancel", { reasonCode = "TEST" })
    call("DELETE", "/jobs/" .. job)
    wait_until(function() return #heard >= 6 end, SECONDS, "six events")
    assert.same({
      "$aws/events/job/" .. job .. "/cancellation_in_progress",
      "$aws/events/jobExecution/" .. job .. "/canceled",
      "$aws/events/job/" .. job .. "/canceled",
      "$aws/events/job/" .. job .. "/deletion_in_progress",
      "$aws/events/jobExecution/" .. job .. "/deleted",
      "$aws/events/job/" .. job .. "/deleted",
    }, heard)
    watcher:close()
  end)

  it("says where its own sides are", function()
    local address = service.url:match("^http://(.+)$")
    local broker = ("%s:%d"):format(service.broker.host, service.broker.port)
    for kind, expected in pairs{ ["iot:Jobs"] = address, ["iot:Data-ATS"] = broker,
      ["iot%3AData"] = broker } do
      assert.equal(expected, call("GET", "/endpoint?endpointType=" .. kind).endpointAddress)
    end
    assert.equal(broker, call("GET", "/endpoint").endpointAddress)
    assert.equal(400, raw("GET", "/endpoint?endpointType=iot:CredentialProvider").status)
  end)

  it("takes encoded segments, empty bodies and booleans of a query", function()
    local thing, job = fresh("a:b_c"), fresh("job")
    local encoded = thing:gsub(":", "%%3A")
    assert.equal(200, raw("POST", "/things/" .. encoded, "").status)
    assert.equal(thing, call("GET", "/things/" .. encoded).thingName)
    call("PUT", "/jobs/" .. job, { document = "{}", targets = { ACCOUNT .. "thing/" .. thing } })
    local peer = service:peer(thing)
    peer:ask("start-next", "")
    local cancel = "/things/" .. encoded .. "/jobs/" .. job .. "/cancel?force="
    assert.equal(409, raw("PUT", cancel .. "false", "{}").status)
    assert.equal(400, raw("PUT", cancel .. "maybe", "{}").status)
    assert.equal(200, raw("PUT", cancel .. "true", "").status)
    local answer = raw("DELETE", "/jobs/" .. job .. "?force=true")
    assert.same({ 200, "{}" }, { answer.status, answer.body })
  end)

  it("answers an error with AWS's status, type and message", function()
    local job, body = fresh("job"), { document = "{}", targets = { ACCOUNT .. "thing/t" } }
    call("PUT", "/jobs/" .. job, body)
    body.abortConfig = { criteriaList = {} }
    for _, case in ipairs{
      { 404, "ResourceNotFoundException", "GET", "/jobs/none" },
      { 404, "ResourceNotFoundException", "GET", "/no/such/path" },
      { 404, "ResourceNotFoundException", "PATCH", "/jobs" },
      { 400, "InvalidRequestException", "PUT", "/jobs/x", json.encode(body) },
      { 400, "InvalidRequestException", "PUT", "/jobs/x", "[]" },
      { 400, "InvalidRequestException", "PUT", "/jobs/x", "{" },
      { 400, "InvalidRequestException", "GET", "/jobs?maxResults=0" },
      { 400, "InvalidRequestException", "GET", "/things/t/jobs/" .. job .. "?executionNumber=x" },
      { 409, "ResourceAlreadyExistsException", "PUT", "/jobs/" .. job,
        '{"document":"{}","targets":["' .. ACCOUNT .. 'thing/t"]}' },
      { 409, "InvalidStateTransitionException", "DELETE", "/jobs/" .. job },
      { 409, "VersionConflictException", "PUT", "/things/t/jobs/" .. job .. "/cancel",
        '{"expectedVersion":7}' },
    } do
      local answer = raw(case[3], case[4], case[5])
      assert.same({ case[1], case[2] }, { answer.status, answer.headers["x-amzn-errortype"] },
        case[4])
      assert.equal("application/json", answer.headers["content-type"])
      assert.equal("string", type(json.decode(answer.body).message))
    end
  end)
end)
