-- `hob service --data DIR`: what it knows outlives it, however it ends.
local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local fs = require("hob.fs")
local http = require("hob.http")
local services = require("spec.support.jobs_service")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 30

describe("hob service --data", function()
  local broker, dir, service

  local function start(more)
    local flags = { "--data", dir .. "/data" }
    table.move(more or {}, 1, #(more or {}), #flags + 1, flags)
    service = services.start{ broker = broker, flags = flags }
    return service
  end

  --- @param stays boolean|nil  the devices stay connected to the broker
  local function kill(stays)
    service.process:kill("KILL")
    assert(service.process:wait(SECONDS))
    for _, peer in ipairs(stays and {} or service.peers) do
      peer.connection:close()
    end
    service = nil
  end

  setup(function()
    broker = brokers.start()
  end)

  teardown(function()
    broker:stop()
  end)

  before_each(function()
    dir = assert(fs.tempdir())
  end)

  after_each(function()
    if service then
      service:stop()
      service = nil
    end
    fs.remove(dir, { recursive = true })
  end)

  it("gives devices and owners the same after SIGKILL", function()
    start()
    for i = 1, 12 do
      service:create("job-" .. i, "lamp", { timeoutConfig = { inProgressTimeoutInMinutes = 60 } })
    end
    local lamp = service:peer("lamp")
    lamp:ask("start-next", '{"statusDetails":{"a":"b"}}')
    lamp:ask("job-1/update", '{"status":"IN_PROGRESS","statusDetails":{"a":"c"}}')
    lamp:ask("job-2/update", '{"status":"SUCCEEDED"}')
    local function told(peer)
      local next_one = peer:ask("$next/get", "{}").execution
      local left = next_one.approximateSecondsBeforeTimedOut
      next_one.approximateSecondsBeforeTimedOut = nil
      local pending = peer:ask("get", "{}")
      pending.timestamp = nil
      return { next_one, pending, (peer:ask("job-2/get", "{}").code),
        service:call("GET", "/jobs?maxResults=5"), service:call("GET", "/things/lamp/jobs"),
        service:call("GET", "/jobs/job-2") }, left
    end
    local before, left = told(lamp)
    assert.equal(3, before[1].versionNumber)
    assert.equal(10, #before[2].inProgressJobs + #before[2].queuedJobs)
    kill()
    start()
    local after, still_left = told(service:peer("lamp"))
    assert.same(before, after)
    assert.is_true(still_left <= left and still_left > left - 60)
    local page = service:call("GET", "/jobs?maxResults=5&nextToken=" .. before[4].nextToken)
    assert.equal(5, #page.jobs)
  end)

  it("ends at once what ran out of time while it was away, and tells the device", function()
    start{ "--minute-ms", "2000" }
    service:create("slow", "lamp", { timeoutConfig = { inProgressTimeoutInMinutes = 1 } })
    service:create("later", "lamp")
    local lamp = service:peer("lamp")
    lamp:ask("start-next", "{}")
    kill(true)
    lamp.heard = {}
    local deadline = time.mono() + 2.1
    wait_until(function() return time.mono() > deadline end, SECONDS, "the deadline")
    start{ "--minute-ms", "2000" }
    assert.equal("later", lamp:hear("notify-next").body.execution.jobId)
    lamp.connection:close()
    local peer = service:peer("lamp")
    local answer = peer:ask("slow/update", '{"status":"SUCCEEDED"}')
    assert.equal("InvalidStateTransition", answer.code)
    assert.same({ status = "TIMED_OUT", versionNumber = 3 }, answer.executionState)
    assert.equal("later", peer:ask("$next/get", "{}").execution.jobId)
    assert.equal(1, #service:logged("service.execution_timed_out"))
  end)

  it("is not shared by two services", function()
    start()
    local result = assert(exec.run{ services.BINARY, "service", "--endpoint", broker.host, "--port",
      tostring(broker.port), "--no-tls", "--http", "127.0.0.1:0", "--data", dir .. "/data",
      timeout = 60 })
    assert.equal(1, result.code)
    assert.equal(("hob service: %s/data is in use by another service (process %d, %s): end that "
      .. "one, or give another --data DIR\n"):format(dir, service.process:pid(), service.url),
      result.stderr)
  end)

  it("refuses a damaged file, and leaves it as it is", function()
    assert(fs.mkdir(dir .. "/data"))
    assert(fs.write(dir .. "/data/service-state.db", ("garbage"):rep(1000)))
    local result = assert(exec.run{ services.BINARY, "service", "--endpoint", broker.host, "--port",
      tostring(broker.port), "--no-tls", "--http", "127.0.0.1:0", "--data", dir .. "/data",
      timeout = 60 })
    assert.equal(1, result.code)
    assert.is_truthy(result.stderr:find("^hob service: .*/service%-state%.db is damaged %(.*"
      .. "move it away"), result.stderr)
    assert.equal(("garbage"):rep(1000), fs.read(dir .. "/data/service-state.db"))
  end)

  it("keeps URLs good that were given out before", function()
    assert(fs.mkdir(dir .. "/files/b"))
    assert(fs.write(dir .. "/files/b/k", "content"))
    start{ "--artifacts", dir .. "/files" }
    service:create("j", "lamp", {
      document = '{"f":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/k}"}',
      presignedUrlConfig = { roleArn = "arn:aws:iam::123456789012:role/x" } })
    local url = service:peer("lamp"):ask("$next/get", "{}").execution.jobDocument.f
    kill()
    start{ "--artifacts", dir .. "/files" }
    local answer = http.request{ url = url:gsub("^http://[^/]+", service.url) }
    assert.equal("content", answer.body)
    local fresh = service:peer("lamp"):ask("$next/get", "{}").execution.jobDocument.f
    assert.equal("content", http.request{ url = fresh }.body)
  end)

  it("changes nothing for the owner either while it cannot store", function()
    start()
    local broken = dir .. "/data/service-state.db"
    kill()
    exec.check{ "sqlite3", broken, "CREATE TRIGGER full BEFORE INSERT ON objects BEGIN SELECT "
      .. "RAISE(ABORT, 'disk is full'); END" }
    start()
    local body = { targets = { "arn:aws:iot:us-east-1:1:thing/lamp" }, document = "{}" }
    for _ = 1, 2 do -- the second is not told that the job exists
      local answer, status = service:call("PUT", "/jobs/one", body)
      assert.same({ 503, "The service cannot store what it does; its log says why" },
        { status, answer.message })
    end
    assert.equal(503, select(2, service:call("PUT", "/jobs/two", body)))
    assert.equal(1, #service:logged("service.job_created"))
  end)

  it("says nothing that it could not store, and makes up for it", function()
    start()
    service:create("one", "lamp")
    -- A trigger stands for a disk that takes no more: SQLite fails each write.
    local broken = dir .. "/data/service-state.db"
    kill()
    exec.check{ "sqlite3", broken, "CREATE TRIGGER full BEFORE INSERT ON objects WHEN NEW.kind = "
      .. "'execution' AND NEW.state LIKE '%IN_PROGRESS%' BEGIN SELECT RAISE(ABORT, 'disk is full');"
      .. " END" }
    start()
    local lamp = service:peer("lamp")
    lamp:publish("start-next", "{}")
    wait_until(function() return #service:logged("service.not_stored") > 0 end, SECONDS,
      "service.not_stored")
    assert.is_truthy(service:logged("service.not_stored")[1].msg:find("disk is full", 1, true))
    assert.equal(0, #lamp.heard)
    kill()
    exec.check{ "sqlite3", broken, "DROP TRIGGER full" }
    start()
    assert.equal("QUEUED", service:peer("lamp"):ask("$next/get", "{}").execution.status)
  end)
end)
