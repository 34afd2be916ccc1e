-- The HTTPS data plane of AWS IoT Jobs: the devices' operations over HTTP.
local brokers = require("spec.support.broker")
local http = require("hob.http")
local json = require("hob.json")
local ltn12 = require("ltn12")
local services = require("spec.support.jobs_service")
local socket_http = require("socket.http")

local AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=KEY/20261123/us-east-1/iot-jobs-data/"
  .. "aws4_request, SignedHeaders=host, Signature=0"

describe("the data plane of hob service", function()
  local broker, service, count, thing

  setup(function()
    broker = brokers.start()
    service = services.start{ broker = broker }
    count = 0
  end)

  teardown(function()
    service:stop()
    broker:stop()
  end)

  before_each(function()
    count = count + 1
    thing = "thing" .. count
  end)

  local function call(method, path, body)
    local answer = assert(http.request{
      url = service.url .. "/things/" .. thing .. path, method = method,
      body = body and json.encode(body),
      headers = { Authorization = AUTHORIZATION, ["Content-Type"] = "application/json" },
    })
    return assert(json.decode(answer.body)), answer.status
  end

  --- Status and exception of a request that is refused.
  local function refused(method, path, body)
    local chunks, text = {}, body and json.encode(body)
    local _, status, headers = socket_http.request{
      url = service.url .. "/things/" .. thing .. path, method = method,
      headers = { Authorization = AUTHORIZATION, ["Content-Length"] = tostring(#(text or "")) },
      source = ltn12.source.string(text or ""), sink = ltn12.sink.table(chunks),
    }
    local answer = assert(json.decode(table.concat(chunks)))
    assert.equal("string", type(answer.message))
    return ("%d %s"):format(status, headers["x-amzn-errortype"]), answer.message
  end

  local function job(name)
    return name .. count
  end

  it("lists what is pending", function()
    assert.same({ inProgressJobs = {}, queuedJobs = {} }, (call("GET", "/jobs")))
    service:create(job("a"), thing)
    local answer = call("GET", "/jobs")
    assert.equal(job("a"), answer.queuedJobs[1].jobId)
    assert.equal(1, answer.queuedJobs[1].versionNumber)
    assert.is_nil(answer.timestamp)
  end)

  it("starts the next execution, with the document as a string", function()
    assert.same({}, (call("PUT", "/jobs/$next", {})))
    service:create(job("a"), thing, { document = '{"b": [1, 2.0],"a":{}}' })
    local execution = call("PUT", "/jobs/$next",
      { statusDetails = { k = "v" }, stepTimeoutInMinutes = 5 }).execution
    assert.equal('{"b": [1, 2.0],"a":{}}', execution.jobDocument)
    assert.equal("IN_PROGRESS 2 v", ("%s %d %s"):format(execution.status, execution.versionNumber,
      execution.statusDetails.k))
    assert.is_true(execution.approximateSecondsBeforeTimedOut > 0)
  end)

  it("describes an execution, or the next one", function()
    service:create(job("a"), thing, { document = '{"a":1}' })
    for _, name in ipairs{ "$next", "%24next", job("a") } do
      assert.equal('{"a":1}', call("GET", "/jobs/" .. name).execution.jobDocument)
      assert.is_nil(call("GET", "/jobs/" .. name .. "?includeJobDocument=false")
        .execution.jobDocument)
    end
    assert.equal(1, call("GET", "/jobs/" .. job("a") .. "?executionNumber=1")
      .execution.executionNumber)
    thing = "nobody"
    assert.same({}, (call("GET", "/jobs/$next")))
  end)

  it("updates an execution, and devices hear of it", function()
    service:create(job("a"), thing, { document = '{"a":1}' })
    service:create(job("b"), thing)
    local peer = service:peer(thing)
    assert.same({}, (call("POST", "/jobs/" .. job("a"), { status = "IN_PROGRESS" })))
    assert.same({ jobDocument = '{"a":1}', executionState = { status = "SUCCEEDED",
      versionNumber = 3, statusDetails = { x = "y" } } }, (call("POST", "/jobs/" .. job("a"), {
        status = "SUCCEEDED", statusDetails = { x = "y" }, expectedVersion = 2,
        includeJobExecutionState = true, includeJobDocument = true })))
    assert.equal(job("b"), peer:hear("notify-next").body.execution.jobId)
    assert.equal(1, #peer:ask("get", "{}").queuedJobs)
  end)

  it("refuses as the service model has it", function()
    local id = job("a")
    service:create(id, thing)
    assert.equal("404 ResourceNotFoundException", refused("GET", "/jobs/none"))
    assert.equal("404 ResourceNotFoundException", refused("GET", "/jobs/" .. id
      .. "?executionNumber=2"))
    assert.equal("404 ResourceNotFoundException", refused("POST", "/jobs/none",
      { status = "SUCCEEDED" }))
    assert.equal("409 InvalidStateTransitionException", refused("POST", "/jobs/" .. id,
      { status = "QUEUED" }))
    assert.equal("409 InvalidStateTransitionException", refused("POST", "/jobs/" .. id,
      { status = "SUCCEEDED", expectedVersion = 7 }))
    for _, body in ipairs{ {}, { status = "PAINTED" }, { status = "FAILED", statusDetails = "x" },
      { status = "IN_PROGRESS", stepTimeoutInMinutes = 0 } } do
      local code, message = refused("POST", "/jobs/" .. id, body)
      assert.equal("400 InvalidRequestException", code)
      assert.is_truthy(message:find("^status") or message:find("^stepTimeout"), message)
    end
    assert.equal("400 InvalidRequestException", refused("GET", "/jobs/" .. id
      .. "?executionNumber=x"))
    assert.equal("400 InvalidRequestException", refused("GET", "/jobs/" .. id
      .. "?includeJobDocument=perhaps"))
    assert.equal("400 InvalidRequestException", refused("PUT", "/jobs/$next",
      { stepTimeoutInMinutes = -1 }))
    assert.equal("400 InvalidRequestException", refused("POST", "/jobs/$next",
      { status = "SUCCEEDED" }))
    call("POST", "/jobs/" .. id, { status = "FAILED" })
    assert.equal("410 TerminalStateException", refused("GET", "/jobs/" .. id))
    assert.equal("409 InvalidStateTransitionException", refused("POST", "/jobs/" .. id,
      { status = "SUCCEEDED" }))
  end)

  it("counts among the updates that the service remembers", function()
    service:create(job("a"), thing)
    call("POST", "/jobs/" .. job("a"), { status = "SUCCEEDED" })
    refused("POST", "/jobs/" .. job("a"), { status = "FAILED" })
    local answers = {}
    for i, entry in ipairs(service:call("GET", "/hob/updates?thing=" .. thing).updates) do
      answers[i] = entry.answer .. " " .. entry.code
    end
    assert.same({ "accepted SUCCEEDED", "rejected InvalidStateTransition" }, answers)
  end)

  it("is told from the control plane by the service that the request was signed for", function()
    service:create(job("a"), thing)
    local control = service:call("GET", "/things/" .. thing .. "/jobs/" .. job("a"))
    assert.is_truthy(control.execution.thingArn)
    assert.equal(thing, call("GET", "/jobs/" .. job("a")).execution.thingName)
  end)
end)
