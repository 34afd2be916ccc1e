-- The local Jobs service as a process behind a real broker, and `hob job` against it.
local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local fs = require("hob.fs")
local http = require("hob.http")
local json = require("hob.json")
local lfs = require("lfs")
local mqtt = require("hob.mqtt")
local pki = require("spec.support.pki")
local socket_http = require("socket.http")
local wait_until = require("spec.support.wait").wait_until

local BINARY = lfs.symlinkattributes("/proc/self/exe", "target")
local SECONDS = 20

-- ---- the service ----

local function start_service(broker, flags)
  local service = { lines = {}, log = {} }
  local command = { BINARY, "service", "--endpoint", broker.host, "--port", tostring(broker.port),
    "--http", "127.0.0.1:0", "--log-format", "json",
    on_line = function(line, is_err)
      table.insert(is_err and service.log or service.lines, line)
    end }
  for _, word in ipairs(flags) do
    table.insert(command, word)
  end
  service.process = assert(exec.spawn(command))
  service.url = wait_until(function()
    return service.lines[1]
      and service.lines[1]:match("^service ready: (http://127%.0%.0%.1:%d+), broker localhost:%d+$")
  end, SECONDS, "the service's ready line")
  return service
end

local function stop_service(service)
  service.process:kill("TERM")
  local result = service.process:wait(SECONDS)
  assert(result, "the service did not end within 20 s of SIGTERM")
  return result
end

-- Log lines of an event, decoded.
local function logged(service, event)
  local found = {}
  for _, line in ipairs(service.log) do
    local entry = json.decode(line)
    if entry and entry.event == event then
      found[#found + 1] = entry
    end
  end
  return found
end

-- ---- a device ----

local device = {}
device.__index = device

local function new_device(broker, thing, more)
  local self = setmetatable({ thing = thing, heard = {} }, device)
  local options = broker:options{ client_id = thing }
  options.on_message = function(topic, payload)
    table.insert(self.heard, { short = topic:match("/jobs/(.+)$"), body = json.decode(payload) })
  end
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  self.connection = mqtt.connect(options)
  assert(self.connection:wait_up(SECONDS))
  self:subscribe()
  return self
end

-- What comes back is told apart from what is asked: "get" is heard too, and passed over.
function device:subscribe()
  local head = "$aws/things/" .. self.thing .. "/jobs/"
  assert(self.connection:subscribe({ head .. "notify", head .. "notify-next", head .. "get/+",
    head .. "start-next/+", head .. "+/get/+", head .. "+/update/+", head .. "frob/+" }, 1))
end

function device:publish(operation, payload)
  assert(self.connection:publish("$aws/things/" .. self.thing .. "/jobs/" .. operation, payload))
end

--- Wait for a message on one of `topics`, take it and those before it.
function device:hear(...)
  local topics = { ... }
  return wait_until(function()
    for i, message in ipairs(self.heard) do
      for _, topic in ipairs(topics) do
        if message.short == topic then
          self.heard = table.move(self.heard, i + 1, #self.heard, 1, {})
          return message
        end
      end
    end
  end, SECONDS, table.concat(topics, " or ") .. " for " .. self.thing)
end

--- Ask, and wait for the answer: its body, and "accepted" or "rejected".
function device:ask(operation, body)
  self:publish(operation, type(body) == "string" and body or body and json.encode(body) or "{}")
  local message = self:hear(operation .. "/accepted", operation .. "/rejected")
  return message.body, message.short:match("[^/]+$")
end

-- ---- the command line ----

local function cli(service, ...)
  return assert(exec.run{
    env = { HOB_SERVICE = service.url }, timeout = 60, BINARY, "job", ...,
  })
end

local function document_file(dir, text)
  local path = dir .. "/document.json"
  assert(fs.write(path, text))
  return path
end

local function get(service, path)
  local answer = assert(http.request{ url = service.url .. path })
  return assert(json.decode(answer.body)), answer.status
end

describe("hob service", function()
  local broker, service, dir, count

  setup(function()
    broker = brokers.start()
    service = start_service(broker, { "--no-tls", "--minute-ms", "100" })
    dir = assert(fs.tempdir())
    count = 0
  end)

  teardown(function()
    if service then
      stop_service(service)
    end
    broker:stop()
    fs.remove(dir, { recursive = true })
  end)

  -- Each spec has its own thing and job.
  local function fresh()
    count = count + 1
    return "thing-" .. count, "job-" .. count
  end

  local function create(thing, job, document, ...)
    local result = cli(service, "create", "--thing", thing, "--job-id", job, "--document",
      document_file(dir, document or '{"operation":"blink"}'), ...)
    assert.equal(0, result.code, result.stderr)
    return result.stdout
  end

  it("says that it is well", function()
    local answer, status = get(service, "/hob/health")
    assert.same({ 200, "ok", "connected" }, { status, answer.status, answer.broker })
  end)

  it("takes a job from its creation to its end", function()
    local thing, job = fresh()
    local lamp = new_device(broker, thing)
    assert.equal(("created job %s for %s\n"):format(job, thing), create(thing, job))
    assert.equal(job, lamp:hear("notify").body.jobs.QUEUED[1].jobId)
    assert.same({ operation = "blink" }, lamp:hear("notify-next").body.execution.jobDocument)

    local started = lamp:ask("start-next", { clientToken = "one" })
    assert.same({ "one", job, 2 }, { started.clientToken, started.execution.jobId,
      started.execution.versionNumber })
    lamp:publish(job .. "/update", json.encode{ status = "SUCCEEDED", expectedVersion = 2,
      statusDetails = { seen = "yes" } })
    assert.equal("notify-next", lamp:hear(job .. "/update/accepted") and lamp:hear("notify")
      and lamp:hear("notify-next").short)

    local result = cli(service, "describe", "--thing", thing, "--job-id", job, "--json")
    local execution = json.decode(result.stdout)
    assert.same({ job, thing, "SUCCEEDED", 3, { seen = "yes" } }, { execution.jobId,
      execution.thingName, execution.status, execution.versionNumber, execution.statusDetails })
    lamp.connection:close()
  end)

  it("logs each accepted and each rejected update once, and lists them", function()
    local thing, job = fresh()
    local lamp = new_device(broker, thing)
    create(thing, job)
    for _, status in ipairs{ "IN_PROGRESS", "SUCCEEDED", "FAILED" } do
      lamp:ask(job .. "/update", { status = status })
    end
    local function mine(event)
      local codes = {}
      for _, entry in ipairs(logged(service, event)) do
        if entry.job == job then
          codes[#codes + 1] = ("%s %s %d"):format(entry.thing, entry.code, entry.execution)
        end
      end
      return codes
    end
    wait_until(function() return #mine("service.update_rejected") > 0 end, SECONDS, "the log")
    assert.same({ thing .. " IN_PROGRESS 1", thing .. " SUCCEEDED 1" },
      mine("service.update_accepted"))
    assert.same({ thing .. " InvalidStateTransition 1" }, mine("service.update_rejected"))

    local answers = {}
    for i, update in ipairs(get(service, "/hob/updates?job=" .. job).updates) do
      answers[i] = update.answer .. " " .. update.code
    end
    assert.same({ "accepted IN_PROGRESS", "accepted SUCCEEDED",
      "rejected InvalidStateTransition" }, answers)
    lamp.connection:close()
  end)

  it("hands out a document's bytes over the broker and over HTTP", function()
    local thing, job = fresh()
    local document = '{ "list" : [ ],\r\n "text": "\u{e9}\\n\\u00e9", "number": 1.50 }'
    create(thing, job, document)
    assert.equal(document, get(service, "/jobs/" .. job .. "/job-document").document)
    local raw
    local lamp = new_device(broker, thing, { on_message = function(topic, payload)
      raw = topic:find("start%-next/accepted$") and payload or raw
    end })
    lamp:publish("start-next", "{}")
    wait_until(function() return raw end, SECONDS, "the answer")
    assert.is_truthy(raw:find('"jobDocument":' .. document, 1, true))
    lamp.connection:close()
  end)

  it("rejects what is wrong, and goes on", function()
    local thing = fresh()
    local lamp = new_device(broker, thing)
    assert.equal("InvalidTopic", lamp:ask("frob").code)
    assert.equal("InvalidJson", lamp:ask("get", ("["):rep(200)).code)
    assert.equal("InvalidJson", lamp:ask("get", "\255\0").code)
    assert.equal("ResourceNotFound", lamp:ask("none/get").code)
    assert.equal("InvalidRequest", lamp:ask("none/update", { status = 7 }).code)
    local body, word = lamp:ask("get", { clientToken = "t" })
    assert.same({ "accepted", "t", {}, {} },
      { word, body.clientToken, body.inProgressJobs, body.queuedJobs })
    lamp.connection:close()
  end)

  it("ends an execution whose time is over, and tells the device", function()
    local thing, job = fresh()
    local lamp = new_device(broker, thing)
    create(thing, job, nil, "--timeout-minutes", "3")
    lamp:ask("start-next")
    lamp.heard = {}
    assert.same({}, lamp:hear("notify").body.jobs)
    assert.is_nil(lamp:hear("notify-next").body.execution)
    local body = lamp:ask(job .. "/update", { status = "SUCCEEDED" })
    assert.same({ "InvalidStateTransition", "TIMED_OUT" },
      { body.code, body.executionState.status })
    lamp.connection:close()
  end)

  it("hears devices again after the broker was killed, and tells them what they missed", function()
    local own = brokers.start()
    finally(function() own:stop() end)
    local other = start_service(own, { "--no-tls" })
    finally(function()
      stop_service(other)
      own:stop()
    end)
    own:kill()
    wait_until(function() return get(other, "/hob/health").broker == "not connected" end, SECONDS,
      "the service to see the broker gone")
    local result = cli(other, "create", "--thing", "lamp", "--job-id", "while-away", "--document",
      document_file(dir, "{}"))
    assert.equal(0, result.code, result.stderr)
    own:start_again()
    wait_until(function() return get(other, "/hob/health").broker == "connected" end, SECONDS,
      "the service to come back")
    local lamp = new_device(own, "lamp")
    assert.equal("while-away", lamp:ask("start-next").execution.jobId)
    assert.equal("accepted", select(2, lamp:ask("while-away/update", { status = "SUCCEEDED" })))
    assert.is_true(#logged(other, "service.unsent") > 0)
    assert.equal(2, #logged(other, "service.subscribed"))
    lamp.connection:close()
  end)

  it("works over mutual TLS, and ends with status 0 on SIGTERM", function()
    local ca = pki.new()
    local own = brokers.start{ pki = ca }
    finally(function()
      own:stop()
      ca:remove()
    end)
    local other = start_service(own, { "--ca", ca.ca, "--cert", own.client.cert, "--key",
      own.client.key })
    local lamp = new_device(own, "lamp")
    assert.equal("accepted", select(2, lamp:ask("get")))
    lamp.connection:close()
    assert.equal(0, stop_service(other).code)
    assert.equal(1, #logged(other, "service.stopped"))
  end)

  it("tells every thing of a job, however many they are", function()
    local thing, job = fresh()
    local things, targets, told, tolds = 4300, {}, 0, {}
    for i = 1, things do
      targets[i] = ("arn:aws:iot:us-east-1:1:thing/%s-%d"):format(thing, i)
    end
    local options = broker:options{ client_id = thing }
    options.on_message = function(topic)
      if not tolds[topic] then
        tolds[topic] = true
        told = told + 1
      end
    end
    local ear = mqtt.connect(options)
    assert(ear:wait_up(SECONDS))
    assert(ear:subscribe({ "$aws/things/+/jobs/notify-next" }, 1))
    for half = 0, 1 do -- a request of more than 256 KB is not read
      local list = table.move(targets, half * things // 2 + 1, (half + 1) * things // 2, 1, {})
      local body = '{"document":"{}","targets":["' .. table.concat(list, '","') .. '"]}'
      local answer = assert(http.request{ method = "PUT", body = body, timeout = 60,
        url = service.url .. "/jobs/" .. job .. "-" .. half })
      assert.equal(200, answer.status, answer.body)
    end
    wait_until(function() return told == things end, 60, "every thing to be told")
    assert.same({}, logged(service, "service.unsent"))
    ear:close()
  end)

  it("ends quietly by a signal where no broker is", function()
    local seen = {}
    local process = assert(exec.spawn{ BINARY, "service", "--endpoint", "127.0.0.1", "--port", "1",
      "--no-tls", "--http", "127.0.0.1:0",
      on_line = function(line) table.insert(seen, line) end })
    wait_until(function() return seen[1] end, SECONDS, "the first failure to connect")
    process:kill("INT")
    assert.equal(0, assert(process:wait(SECONDS)).code)
    assert.is_nil(table.concat(seen, "\n"):find(".lua:", 1, true), table.concat(seen, "\n"))
  end)

  describe("over HTTP", function()
    it("answers errors in AWS's shape", function()
      for _, case in ipairs{
        { "GET", "/jobs/none", nil, 404, "ResourceNotFoundException" },
        { "GET", "/nothing/here", nil, 404, "ResourceNotFoundException" },
        { "POST", "/jobs", nil, 404, "ResourceNotFoundException" },
        { "PUT", "/jobs/a", "{", 400, "InvalidRequestException" },
        { "PUT", "/jobs/a", "[]", 400, "InvalidRequestException" },
        { "PUT", "/jobs/a", '{"targets":["x"]}', 400, "InvalidRequestException" },
        { "GET", "/things/t/jobs/none", nil, 404, "ResourceNotFoundException" },
        { "DELETE", "/things/t/jobs/none/executionNumber/x", nil, 404,
          "ResourceNotFoundException" },
        { "GET", "/jobs/%ff", nil, 404, "ResourceNotFoundException" },
        { "PUT", "/jobs/%ff", "{}", 400, "InvalidRequestException" },
        { "GET", "/jobs/*", nil, 404, "ResourceNotFoundException" },
      } do
        local text = {}
        local _, status, headers = socket_http.request{
          method = case[1], url = service.url .. case[2],
          headers = { ["content-length"] = tostring(#(case[3] or "")) },
          source = require("ltn12").source.string(case[3] or ""),
          sink = require("ltn12").sink.table(text),
        }
        local label = case[1] .. " " .. case[2]
        assert.same({ case[4], case[5], "application/json" },
          { status, headers["x-amzn-errortype"], headers["content-type"] }, label)
        assert.equal("string", type(json.decode(table.concat(text)).message), label)
      end
    end)

    it("follows the whole life of a job by AWS's paths", function()
      local thing, job = fresh()
      create(thing, job)
      assert.equal("IN_PROGRESS", get(service, "/jobs/" .. job).job.status)
      assert.equal(thing, get(service, "/jobs/" .. job .. "/things").executionSummaries[1].thingArn
        :match("[^/]+$"))
      assert.equal(job, get(service, "/things/" .. thing .. "/jobs").executionSummaries[1].jobId)
      assert.equal("QUEUED", get(service, ("/things/%s/jobs/%s?executionNumber=1"):format(thing,
        job)).execution.status)
      local answer = assert(http.request{ method = "PUT", body = "{}",
        url = ("%s/things/%s/jobs/%s/cancel?force=true"):format(service.url, thing, job) })
      assert.equal(200, answer.status)
      answer = assert(http.request{ method = "DELETE",
        url = ("%s/things/%s/jobs/%s/executionNumber/1"):format(service.url, thing, job) })
      assert.equal(200, answer.status)
      assert.same({}, get(service, "/things/" .. thing .. "/jobs").executionSummaries)
    end)
  end)

  describe("hob job", function()
    it("lists jobs and a thing's executions, as tables and as JSON", function()
      local thing, job = fresh()
      create(thing, job)
      local text = cli(service, "list").stdout
      assert.is_truthy(text:find("^JOB +STATUS +CREATED"), text)
      assert.is_truthy(text:find("\n" .. job:gsub("%-", "%%-") .. " +IN_PROGRESS "), text)
      text = cli(service, "list", "--thing", thing).stdout
      assert.is_truthy(text:find("\n" .. job:gsub("%-", "%%-") .. " +1 +QUEUED "), text)
      local items = json.decode(cli(service, "list", "--thing", thing, "--json").stdout)
      assert.equal(job, items.executionSummaries[1].jobId)
      assert.equal('{"executionSummaries":[]}\n',
        cli(service, "list", "--thing", "stranger", "--json").stdout)
    end)

    it("makes up an id, and says it", function()
      local thing = fresh()
      local path = document_file(dir, "{}")
      local result = cli(service, "create", "--thing", thing, "--document", path, "--json")
      local id = json.decode(result.stdout).jobId
      assert.equal(0, cli(service, "describe", "--thing", thing, "--job-id", id).code)
    end)

    it("reads a document from standard input", function()
      local thing, job = fresh()
      local result = assert(exec.run{ BINARY, "job", "create", "--thing", thing, "--job-id", job,
        "--document", "-", "--service", service.url, stdin = '{"from":"stdin"}', timeout = 60 })
      assert.equal(0, result.code, result.stderr)
      assert.equal('{"from":"stdin"}', get(service, "/jobs/" .. job .. "/job-document").document)
    end)

    it("describe exits with 1 where there is no such execution", function()
      local result = cli(service, "describe", "--thing", "stranger", "--job-id", "none")
      assert.equal(1, result.code)
      assert.equal("", result.stdout)
      assert.is_truthy(result.stderr:find("^hob job describe: No execution of job none"))
    end)

    it("cancels and deletes, with force where it is needed", function()
      local thing, job = fresh()
      local lamp = new_device(broker, thing)
      create(thing, job)
      lamp:ask("start-next")
      assert.equal(1, cli(service, "cancel", job, "--thing", thing).code)
      assert.equal(0, cli(service, "cancel", job, "--thing", thing, "--force").code)
      assert.equal("CANCELED", lamp:ask(job .. "/update", { status = "FAILED" })
        .executionState.status)
      assert.equal(0, cli(service, "delete", job, "--thing", thing).code)
      assert.equal("ResourceNotFound", lamp:ask(job .. "/get").code)
      assert.equal(0, cli(service, "delete", job).code)
      assert.equal(1, cli(service, "delete", job).code)
      create(thing, job)
      assert.equal(1, cli(service, "delete", job).code)
      assert.equal(0, cli(service, "cancel", job).code)
      assert.equal("TerminalStateReached", lamp:ask(job .. "/get").code)
      lamp.connection:close()
    end)

    it("says how far a cancellation reached", function()
      local thing, job = fresh()
      local lamp = new_device(broker, thing)
      assert.equal(0, cli(service, "create", "--thing", thing, "--thing", thing .. "-b",
        "--job-id", job, "--document", document_file(dir, "{}")).code)
      lamp:ask("start-next")
      assert.equal(("cancelled %s: 1 execution cancelled, 1 IN_PROGRESS goes on (--force ends what"
        .. " is running)\n"):format(job), cli(service, "cancel", job).stdout)
      assert.equal(("cancelled %s: 2 executions cancelled\n"):format(job),
        cli(service, "cancel", job, "--force").stdout)
      lamp.connection:close()
    end)

    it("watches executions with as many details as there may be", function()
      local thing = fresh()
      local lamp, ids, details = new_device(broker, thing), {}, {}
      for i = 1, 10 do
        details["d" .. i] = ("\u{e9}"):rep(1024)
      end
      for i = 1, 14 do
        ids[i] = thing .. "-" .. i
        create(thing, ids[i])
        assert.equal("accepted", select(2, lamp:ask(ids[i] .. "/update",
          { status = "SUCCEEDED", statusDetails = details })))
      end
      local result = cli(service, "watch", table.unpack(ids))
      assert.equal(0, result.code, result.stderr)
      assert.equal(14, select(2, result.stdout:gsub("SUCCEEDED", "")))
      lamp.connection:close()
    end)

    it("watches jobs until each has ended, a line for each change", function()
      local thing, job = fresh()
      local lamp = new_device(broker, thing)
      create(thing, job)
      local seen = {}
      local watch = assert(exec.spawn{ BINARY, "job", "watch", job, "--service", service.url,
        on_line = function(line) table.insert(seen, line) end })
      local function shown(text)
        wait_until(function()
          return seen[#seen] and seen[#seen]:find(text, 1, true)
        end, SECONDS, text)
      end
      shown(("%s  %s  QUEUED"):format(job, thing))
      lamp:ask(job .. "/update",
        { status = "IN_PROGRESS", statusDetails = { progress = "50% half way" } })
      shown("IN_PROGRESS  50% half way")
      lamp:ask(job .. "/update",
        { status = "FAILED", statusDetails = { reason = "out of paint" } })
      assert.equal(1, assert(watch:wait(SECONDS)).code)
      shown("FAILED  out of paint")
      assert.equal(1, cli(service, "watch", "none").code)
      lamp.connection:close()
    end)

    it("refuses bad documents, naming what is wrong", function()
      local thing = fresh()
      for _, case in ipairs{ { "[]", "document.json: expected a JSON object" },
        { "{", "document.json: " }, { '{"a":"\255"}', "document.json: " },
        { '{"a":"' .. ("x"):rep(300000) .. '"}', "document.json: at most 32768 bytes" },
        { '{"a":"' .. ("x"):rep(32768) .. '"}', "at most 32768 bytes" } } do
        local result = cli(service, "create", "--thing", thing, "--document",
          document_file(dir, case[1]))
        assert.equal(1, result.code)
        assert.is_truthy(result.stderr:find(case[2], 1, true), result.stderr)
        assert.is_nil(result.stderr:find("%.lua:%d"), result.stderr)
      end
      for _, case in ipairs{ "\255", ("x"):rep(2029) } do
        local result = cli(service, "create", "--thing", thing, "--document",
          document_file(dir, "{}"), "--description", case)
        assert.equal(1, result.code)
        assert.is_truthy(result.stderr:find("^hob job create: %-%-description: "), result.stderr)
      end
      local result = cli(service, "create", "--thing", thing, "--document", dir .. "/none.json")
      assert.equal(1, result.code)
      assert.is_truthy(result.stderr:find("none.json: No such file", 1, true), result.stderr)
    end)

    it("says what to do where no service is", function()
      local nowhere = { url = "http://127.0.0.1:1" }
      local result = cli(nowhere, "list")
      assert.equal(1, result.code)
      assert.is_truthy(result.stderr:find("no local Jobs service at http://127.0.0.1:1; start one "
        .. "with `hob service ...` (", 1, true), result.stderr)
    end)
  end)

  it("names --http where its place is taken", function()
    local result = assert(exec.run{ BINARY, "service", "--endpoint", "127.0.0.1", "--port", "1",
      "--no-tls", "--log-level", "off", "--http", service.url:match("//(.+)$"), timeout = 60 })
    assert.equal(1, result.code)
    assert.is_truthy(result.stderr:find("another place with --http", 1, true), result.stderr)
  end)

  it("is used wrongly: one line, exit status 2", function()
    for _, case in ipairs{
      { { "service" }, "--endpoint HOST and --port N is missing" },
      { { "service", "--endpoint", "x", "--port", "0", "--no-tls" }, "--port: expected" },
      { { "service", "--endpoint", "x", "--port", "1" }, "--ca FILE is missing" },
      { { "service", "--endpoint", "x", "--port", "1", "--ca", "/none" }, "--ca: /none: No such" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--key", "k" }, "exclude" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--http", "8180" },
        "--http: expected ADDRESS:PORT" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--documents", "/none" },
        "--documents: /none is no directory" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--documents", "." },
        "--documents: expected an absolute path" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--artifacts", "/none" },
        "--artifacts: /none is no directory" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--artifacts", "/tmp", "--http",
        "0.0.0.0:0" }, "--artifacts-url URL is missing" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--artifacts-url", "x:1" },
        "--artifacts-url: expected a URL" },
      { { "service", "--endpoint", "x", "--port", "1", "--no-tls", "--packages", "/none" },
        "--packages /none: " },
      { { "job", "list", "--service", "localhost:8180" }, "(http:// is missing)" },
      { { "job" }, "expected create, list" },
      { { "job", "paint" }, "'paint'" },
      { { "job", "cancel" }, "expected J" },
      { { "job", "list", "--thng", "x" }, "unknown flag --thng" },
      { { "job", "create", "--document", "x" }, "--thing T or --group G is missing" },
      { { "job", "create", "--thing", "x" }, "--document FILE or --template NAME is missing" },
    } do
      local result = assert(exec.run{ BINARY, timeout = 60, table.unpack(case[1]) })
      assert.equal(2, result.code, table.concat(case[1], " "))
      assert.is_truthy(result.stderr:find(case[2], 1, true), result.stderr)
      assert.equal(1, select(2, result.stderr:gsub("\n", "")), result.stderr)
    end
    for _, words in ipairs{ { "service", "--help" }, { "job", "--help" },
      { "job", "watch", "--help" } } do
      local result = assert(exec.run{ BINARY, timeout = 60, table.unpack(words) })
      assert.equal(0, result.code)
      assert.is_truthy(result.stdout:find("^usage: hob " .. words[1]))
    end
  end)
end)
