-- Faults in a running service, planted from the command line and over HTTP, seen from a device.
local json = require("hob.json")
local services = require("spec.support.jobs_service")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 30

describe("hob service fault", function()
  local service, peer, count

  setup(function()
    service = services.start()
    count = 0
  end)

  teardown(function()
    if service then
      service:stop()
    end
  end)

  -- A thing and a job of this spec's own.
  before_each(function()
    count = count + 1
    peer = service:peer("thing-" .. count)
    peer.job = "job-" .. count
  end)

  after_each(function() service:call("DELETE", "/hob/faults") end)

  local function plant(...)
    local result = service:cli("fault", "add", "--thing", peer.thing, ...)
    assert.same({ 0, "" }, { result.code, result.stderr })
    return math.tointeger(tonumber(result.stdout))
  end

  local function fault_of(id)
    for _, fault in ipairs(service:call("GET", "/hob/faults").faults) do
      if fault.faultId == id then
        return fault
      end
    end
  end

  local function shorts(messages)
    local out = {}
    for i, message in ipairs(messages) do
      out[i] = message.short
    end
    return table.concat(out, " ")
  end

  local function create()
    service:create(peer.job, peer.thing)
    peer:hear("notify-next")
  end

  it("drops a request: the service never sees it", function()
    create()
    plant("--op", "start-next", "--action", "drop", "--count", "1")
    peer:publish("start-next", "{}")
    assert.equal("", shorts(peer:settle()))
    local body = peer:ask("start-next", "{}")
    assert.same({ "IN_PROGRESS", 2 }, { body.execution.status, body.execution.versionNumber })
  end)

  it("drops an answer: it was done, but nobody is told", function()
    create()
    plant("--op", "start-next", "--action", "drop", "--side", "answer", "--count", "1")
    peer:publish("start-next", "{}")
    assert.equal("", shorts(peer:settle()))
    local body = peer:ask(peer.job .. "/get", "{}")
    assert.same({ "IN_PROGRESS", 2 }, { body.execution.status, body.execution.versionNumber })
  end)

  it("holds an answer, and nothing else for it", function()
    create()
    plant("--op", "describe", "--action", "delay", "--delay-ms", "400", "--job", peer.job)
    peer:publish(peer.job .. "/get", "{}")
    peer:publish("$next/get", "{}")
    assert.equal("$next/get/accepted", shorts(peer:settle()))
    assert.equal(peer.job, peer:hear(peer.job .. "/get/accepted").body.execution.jobId)
  end)

  it("holds a request: it is served as things are later", function()
    plant("--op", "get", "--action", "delay", "--delay-ms", "300", "--side", "request")
    peer:publish("get", "{}")
    create()
    assert.equal(peer.job, peer:hear("get/accepted").body.queuedJobs[1].jobId)
  end)

  it("sends an answer twice", function()
    create()
    plant("--op", "start-next", "--action", "duplicate", "--count", "1")
    peer:publish("start-next", '{"clientToken":"t"}')
    local said = peer:settle()
    assert.equal("start-next/accepted start-next/accepted", shorts(said))
    assert.equal(said[1].payload, said[2].payload)
  end)

  it("serves a request twice, as when a broker redelivers it", function()
    create()
    plant("--op", "update", "--action", "duplicate", "--side", "request", "--count", "1")
    peer:publish(peer.job .. "/update", '{"status":"IN_PROGRESS","expectedVersion":1}')
    local update = peer.job .. "/update/"
    assert.equal(update .. "accepted " .. update .. "rejected", shorts(peer:settle()))
  end)

  it("rejects with the code given, and changes nothing", function()
    create()
    plant("--op", "update", "--action", "reject", "--code", "RequestThrottled", "--count", "1")
    local body, answer = peer:ask(peer.job .. "/update", '{"status":"FAILED","clientToken":"t"}')
    assert.same({ "rejected", "RequestThrottled", "t" }, { answer, body.code, body.clientToken })
    assert.is_number(body.timestamp)
    assert.is_nil(body.executionState)
    body = peer:ask(peer.job .. "/get", "{}")
    assert.same({ "QUEUED", 1 }, { body.execution.status, body.execution.versionNumber })
  end)

  it("rejects with the state, where the code comes with one", function()
    create()
    for _, code in ipairs{ "VersionMismatch", "InvalidStateTransition" } do
      plant("--op", "update", "--action", "reject", "--code", code, "--count", "1")
      local body = peer:ask(peer.job .. "/update", '{"status":"FAILED"}')
      assert.same({ code, { status = "QUEUED", versionNumber = 1 } },
        { body.code, body.executionState })
    end
  end)

  it("rejects what the service would reject otherwise, and repeats no token of what is no JSON",
    function()
      plant("--op", "get", "--action", "reject")
      for payload, token in pairs{ ["no JSON"] = false, ['{"clientToken":7}'] = false,
        ['{"clientToken":"t"}'] = "t" } do
        local body = peer:ask("get", payload)
        assert.same({ "InternalError", token }, { body.code, body.clientToken or false })
      end
    end)

  it("rejects as InvalidJson without the token, as the service does", function()
    plant("--op", "get", "--action", "reject", "--code", "InvalidJson")
    local body = peer:ask("get", '{"clientToken":"t"}')
    assert.same({ "InvalidJson", false }, { body.code, body.clientToken or false })
  end)

  it("garbles an answer: no JSON once, no UTF-8 the next time", function()
    plant("--op", "get", "--action", "garbage", "--count", "2")
    local readable = 0
    for _ = 1, 2 do
      peer:publish("get", "{}")
      local message = peer:hear("get/accepted")
      assert.is_nil(message.body)
      readable = readable + (utf8.len(message.payload) and 1 or 0)
    end
    assert.equal(1, readable)
    assert.same({}, peer:ask("get", "{}").queuedJobs)
  end)

  it("meets notifications too", function()
    plant("--op", "notify", "--action", "drop")
    plant("--op", "notify-next", "--action", "duplicate")
    service:create(peer.job, peer.thing)
    assert.equal("notify-next notify-next", shorts(peer:settle()))
  end)

  it("breaks the service's link: the request is lost, and the next one is served", function()
    plant("--op", "get", "--action", "disconnect", "--count", "1")
    local before = #service:logged("service.subscribed")
    peer:publish("get", "{}")
    wait_until(function() return #service:logged("service.subscribed") > before end, SECONDS,
      "the service's return")
    assert.is_table(peer:ask("get", "{}").queuedJobs)
    assert.equal("", shorts(peer:settle()))
  end)

  it("ends after --count uses, and its list says how often each was used", function()
    local id = plant("--op", "get", "--action", "drop", "--count", "2")
    for used = 0, 2 do
      assert.equal(used, fault_of(id).used)
      peer:publish("get", "{}")
      assert.equal(used == 2 and "get/accepted" or "", shorts(peer:settle()))
    end
    local row = ("%d get drop request 2 of 2, ended thing %s\n"):format(id, peer.thing)
    local shown_text = service:cli("fault", "list").stdout:gsub(" +", " ")
    assert.is_truthy(shown_text:find("\n" .. row, 1, true), shown_text)
    local shown = json.decode(service:cli("fault", "list", "--json").stdout)
    assert.same({ faultId = id, op = "get", action = "drop", side = "request", used = 2, count = 2,
      thing = peer.thing }, shown.faults[1])
  end)

  it("tells each use in the log", function()
    local id = plant("--op", "update", "--action", "reject", "--code", "InternalError")
    peer:ask("j/update", "{}")
    local entries = service:logged("service.fault_used")
    local entry = entries[#entries]
    assert.same({ peer.thing, "j", "InternalError", "info" },
      { entry.thing, entry.job, entry.code, entry.level })
    assert.matches("by fault " .. id .. " %(1%)$", entry.text or entry.message or entry.msg)
  end)

  it("goes when it is removed, one or all", function()
    local one = plant("--op", "get", "--action", "drop")
    local other = plant("--op", "start-next", "--action", "drop")
    assert.equal(0, service:cli("fault", "remove", tostring(one)).code)
    assert.same({ nil, other }, { fault_of(one), fault_of(other).faultId })
    assert.is_table(peer:ask("get", "{}").queuedJobs)
    assert.equal(0, service:cli("fault", "remove", "--all").code)
    assert.same({}, service:call("GET", "/hob/faults").faults)
    local gone = service:cli("fault", "remove", tostring(one))
    assert.same({ 1, ("hob service fault remove: Fault %d cannot be found\n"):format(one) },
      { gone.code, gone.stderr })
  end)

  for _, case in ipairs{
    { {}, "expected add, list or remove, got nothing" },
    { { "put" }, "expected add, list or remove, got 'put'" },
    { { "add" }, "--action ACTION and --op OP is missing" },
    { { "add", "--op", "put", "--action", "drop" }, "--op: expected get, start-next, describe" },
    { { "add", "--op", "get", "--action", "reject", "--code", "E" }, "--code: expected Invalid" },
    { { "add", "--op", "get", "--action", "drop", "--code", "InternalError" },
      "--code: only reject has one" },
    { { "add", "--op", "get", "--action", "delay" }, "--delay-ms: delay needs it" },
    { { "add", "--op", "get", "--action", "delay", "--delay-ms", "0" },
      "--delay-ms: expected a whole number from 1 to 600000, got '0'" },
    { { "add", "--op", "notify", "--action", "reject" }, "--op: notify is no request" },
    { { "add", "--op", "get", "--action", "garbage", "--side", "request" },
      "--side: garbage cannot" },
    { { "add", "--op", "get", "--action", "drop", "--thing", "a/b" }, "--thing: expected 1-128" },
    { { "add", "--op", "get", "--action", "drop", "--job", "j" }, "--job: the topic of get names" },
    { { "add", "--op", "get", "--action", "drop", "--count", "x" }, "--count: expected a whole" },
    { { "remove" }, "say which: ID, or --all" },
    { { "remove", "7", "--all" }, "say which: ID, or --all" },
    { { "remove", "x" }, "ID: expected a number as `hob service fault list` shows it, got 'x'" },
    { { "list", "--service", "here" }, "--service: expected a URL" },
  } do
    it(("says in one line what is wrong with: %s"):format(table.concat(case[1], " ")), function()
      local result = service:cli("fault", table.unpack(case[1]))
      assert.equal(2, result.code)
      local text = result.stderr:match("^hob service fault[ a-z]*: ([^\n]+)\n$")
      assert.equal(case[2], text and text:sub(1, #case[2]), result.stderr)
    end)
  end

  it("says where no service is", function()
    local result = service:cli("fault", "list", "--service", "http://127.0.0.1:9")
    assert.equal(1, result.code)
    assert.matches("^hob service fault list: no local Jobs service at http://127.0.0.1:9;",
      result.stderr)
  end)

  it("is refused over HTTP with AWS's shape of an error", function()
    local body, status = service:call("POST", "/hob/faults", { op = "get", action = "lose" })
    assert.equal(400, status)
    assert.matches("^action: expected drop, ", body.message)
    body, status = service:call("DELETE", "/hob/faults/x")
    assert.same({ 404, "Fault x cannot be found" }, { status, body.message })
  end)
end)
