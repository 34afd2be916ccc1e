-- What a device or a stranger may send to `hob service`: it is refused or dropped, the log says so
-- in clean lines, and the next good request is answered.
local services = require("spec.support.jobs_service")
local socket = require("socket")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 60
local QUICK = 10000
local GROWTH_MB = 64 -- far above what garbage leaves behind, far below 10,000 requests of 16 KB
-- AddressSanitizer keeps what was freed.
if os.getenv("ASAN_OPTIONS") then
  GROWTH_MB = GROWTH_MB + 512
end

describe("hob service, for all that is thrown at it,", function()
  local service, peer

  setup(function()
    service = services.start{ log_format = "text" }
    peer = service:peer("lamp")
    service:create("j1", "lamp")
    peer:hear("notify-next")
  end)

  teardown(function()
    if service then
      service:stop()
    end
  end)

  local function memory_mb()
    local file = assert(io.open(("/proc/%d/status"):format(service.process:pid()), "r"))
    local kb = file:read("a"):match("VmRSS:%s+(%d+)")
    file:close()
    return kb / 1024
  end

  -- The next good request is answered; nobody has changed anything.
  local function is_well()
    local body, answer = peer:ask("j1/get", '{"clientToken":"well"}')
    assert.same({ "accepted", "well", "QUEUED", 1 }, { answer, body.clientToken,
      body.execution.status, body.execution.versionNumber })
  end

  after_each(function()
    assert.is_nil(service.process:wait(0), "the service has ended")
    is_well()
    for _, line in ipairs(service.log) do
      assert.is_nil(line:find("[%c\127]"), ("a control byte in the log: %q"):format(line))
      assert.is_truthy(utf8.len(line), ("no UTF-8 in the log: %q"):format(line))
    end
  end)

  local function nested(open, close, depth)
    return open:rep(depth) .. close:rep(depth)
  end

  local TEXTS = {
    ["not UTF-8"] = "\255\254\0\1", ["not JSON"] = "{", ["a list"] = "[1,2]", ["a number"] = "1e9",
    ["a text"] = '"x"', ["null"] = "null", ["200 lists deep"] = nested("[", "]", 200),
    ["200 objects deep"] = nested('{"a":', "}", 200),
    ["100,000 lists deep, not closed"] = ("["):rep(100000),
    ["a terminal's escapes"] = '{"status":"\27[2J\27]0;x\7"}',
    ["escaped escapes"] = '{"status":"\\u001b[2J\\u0000\\u009b"}',
    ["a number of 1,000 digits"] = '{"expectedVersion":' .. ("9"):rep(1000) .. "}",
    ["no status, a huge member"] = '{"x":"' .. ("x"):rep(100000) .. '"}',
    ["20,000 members"] = "{" .. ('"k":1,'):rep(19999) .. '"k":1}',
    ["1,000 details"] = '{"status":"FAILED","statusDetails":{' .. ('"k":"v",'):rep(999)
      .. '"a b":"c"}}',
    ["256 KB"] = '{"status":"FAILED","x":"' .. ("x"):rep(256 * 1024) .. '"}',
    ["1 MB"] = ("x"):rep(1024 * 1024),
    ["1 MB of nothing"] = (" "):rep(1024 * 1024),
  }
  for name, payload in pairs(TEXTS) do
    it("refuses a payload: " .. name, function()
      local body, answer = peer:ask("j1/update", payload)
      assert.equal("rejected", answer)
      assert.is_truthy(body.code == "InvalidJson" or body.code == "InvalidRequest", body.code)
      assert.is_nil(body.clientToken)
    end)
  end

  it("drops more than 1 MB, says so in its log, and keeps the link", function()
    local before, links = #service.log, peer.connection:stats().attempts
    peer:publish("j1/update", ("x"):rep(1024 * 1024 + 1))
    wait_until(function()
      for i = before + 1, #service.log do
        if service.log[i]:find("conn.dropped", 1, true) then
          return true
        end
      end
    end, SECONDS, "conn.dropped in the log")
    assert.equal(links, peer.connection:stats().attempts)
    assert.same({}, peer:settle())
  end)

  it("answers an empty payload as {}", function()
    assert.equal("accepted", (select(2, peer:ask("get", ""))))
    assert.equal("rejected", (select(2, peer:ask("j1/update", ""))))
  end)

  -- Each kind of value for each member, where it is of the wrong kind.
  local VALUES = { ["null"] = "nil", ["true"] = "boolean", ["7"] = "number", ['"x"'] = "text",
    ["[]"] = "list", ["[1]"] = "list", ["{}"] = "object", ['{"a":[{}]}'] = "strange object",
    ["1e300"] = "far number", ["-0.0"] = "number", ['"\\u0000"'] = "text" }
  local MEMBERS = { status = {}, statusDetails = { object = true, ["nil"] = true },
    expectedVersion = { ["nil"] = true }, executionNumber = { ["nil"] = true },
    includeJobExecutionState = { boolean = true, ["nil"] = true },
    includeJobDocument = { boolean = true, ["nil"] = true },
    stepTimeoutInMinutes = { ["nil"] = true }, clientToken = { text = true, ["nil"] = true } }
  it("refuses a value of the wrong kind for every member", function()
    for member, good in pairs(MEMBERS) do
      for value, kind in pairs(VALUES) do
        if not good[kind] then
          local payload = member == "status" and ('{"status":%s}'):format(value)
            or ('{"status":"FAILED","expectedVersion":99,"%s":%s}'):format(member, value)
          local body, answer = peer:ask("j1/update", payload)
          assert.equal("rejected", answer, payload)
          assert.is_truthy(body.code == "InvalidRequest" or body.code == "VersionMismatch"
            or body.code == "ResourceNotFound" and value == "7", payload .. " " .. body.code)
        end
      end
    end
  end)

  it("answers for the thing in the topic, and nobody else is told", function()
    local other = service:peer("door")
    other:publish_on("$aws/things/lamp/jobs/j1/get", '{"clientToken":"stranger"}')
    assert.equal("stranger", peer:hear("j1/get/accepted").body.clientToken)
    assert.same({ "rejected", "ResourceNotFound" }, { select(2, other:ask("j1/get", "{}")),
      (other:ask("j1/get", "{}")).code })
    assert.same({}, other:settle())
    other.connection:close()
  end)

  local TOPICS = {
    "$aws/things/lamp/jobs/", "$aws/things/lamp/jobs//", "$aws/things/lamp/jobs//get",
    "$aws/things/lamp/jobs/get/", "$aws/things/lamp/jobs/a b/get", "$aws/things/lamp/jobs/ä/update",
    "$aws/things/lamp/jobs/$next/$next", "$aws/things/lamp/jobs/%00/get",
    "$aws/things/lamp/jobs/" .. ("a/"):rep(150) .. "get",
    "$aws/things/lamp/jobs/" .. ("x"):rep(60000) .. "/get",
    "$aws/things//jobs/get", "$aws/things/a b/jobs/get", "$aws/things/ä/jobs/get",
    "$aws/things/" .. ("t"):rep(129) .. "/jobs/get", "$aws/things/lamp/jobs/get/accepted",
    "$aws/things/lamp/jobs/notify", "$aws/things/lamp/jobs/frob/rejected/rejected",
    "$aws/things/lamp/jobs", "$aws/things/lamp/shadow/get", "$aws/things/lamp/jobs/get/get/get",
    "$aws/things/lamp/jobs/[31m/get", "$aws/things/lamp/jobs/%s%n%d/frob",
  }
  it("answers or passes over topics with odd segments", function()
    for _, topic in ipairs(TOPICS) do
      peer:publish_on(topic, '{"clientToken":"odd"}')
    end
    for _, message in ipairs(peer:settle()) do
      if message.body and message.body.code then
        assert.is_truthy(message.body.code == "InvalidTopic"
          or message.body.code == "InvalidRequest", message.payload)
      end
    end
  end)

  -- PUBLISH by hand: no client library sends such a topic, and not every broker minds.
  it("outlives topics that are no text, as far as the broker lets them through", function()
    for i, bytes in ipairs{ "\255\254", "\0", "\27[31m", "\237\160\128", "\194\128" } do
      local topic = "$aws/things/lamp/jobs/" .. bytes .. "/get"
      local client = assert(socket.tcp())
      client:settimeout(SECONDS)
      assert(client:connect("127.0.0.1", service.broker.port))
      assert(client:send("\16\18\0\4MQTT\4\2\0\0\0\6stray" .. string.char(97 + i)))
      assert(client:receive(4))
      local body = string.pack(">s2", topic) .. "{}"
      assert(client:send("\48" .. string.char(#body) .. body))
      client:send("\192\0") -- PINGREQ: answered, or the broker has closed the link
      client:receive(2)
      client:close()
    end
    peer:settle()
  end)

  it("does not serve what the broker kept", function()
    peer:publish_on("$aws/things/lamp/jobs/j1/update",
      '{"status":"IN_PROGRESS","expectedVersion":9}', { retain = true })
    peer:settle()
    local before = #service.log
    local id = service:call("POST", "/hob/faults", { op = "get", action = "disconnect" }).faultId
    peer:publish("get", "{}")
    wait_until(function()
      return table.concat(service.log, "\n", before + 1):find("service.request_dropped", 1, true)
    end, SECONDS, "service.request_dropped in the log")
    service:call("DELETE", "/hob/faults/" .. id)
    peer:publish_on("$aws/things/lamp/jobs/j1/update", "", { retain = true })
    peer:settle()
  end)

  it(("answers %d quick requests, and its memory stays bounded"):format(QUICK), function()
    local connection, topic = peer.connection, "$aws/things/lamp/jobs/get"
    local payload = '{"clientToken":"q","x":"' .. ("x"):rep(16 * 1024) .. '"}'
    peer:settle()
    local before, sent, answered = memory_mb(), 0, 0
    while answered < QUICK do
      while sent < QUICK and sent - answered < 300 do
        assert(connection:post(topic, payload))
        sent = sent + 1
      end
      peer:hear("get/accepted")
      answered = answered + 1
    end
    assert.same({}, peer:settle())
    local grown = memory_mb() - before
    assert.is_true(grown < GROWTH_MB, ("grew by %.0f MB"):format(grown))
  end)

  it("says what it refused, one clean line each", function()
    local before = #service.log
    peer:ask("j1/update", '{"status":"a\\nb\\u001b[31m\\u0007"}')
    local text = table.concat(service.log, "\n", before + 1)
    assert.is_truthy(text:find("service.update_rejected", 1, true), text)
    assert.equal(1, select(2, text:gsub("service%.update_rejected", "")))
  end)
end)
