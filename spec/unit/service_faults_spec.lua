-- Faults: what they meet, what is wrong with one, and what the MQTT side makes of them.
local faults = require("hob.service.faults")
local json = require("hob.json")

local HEAD = "$aws/things/lamp/jobs/"

local function add(list, fault)
  return assert(list:add(fault))
end

describe("a fault", function()
  it("of a request meets this operation only", function()
    local topics = {
      get = HEAD .. "get", ["start-next"] = HEAD .. "start-next",
      describe = HEAD .. "$next/get", update = HEAD .. "j1/update",
    }
    for op in pairs(topics) do
      for other, topic in pairs(topics) do
        local list = faults.new()
        add(list, { op = op, action = "drop" })
        assert.equal(op == other, list:of_request(topic) ~= nil, op .. " " .. other)
      end
    end
  end)

  it("of an answer meets both answers of this operation, and no request", function()
    for op, topic in pairs{ get = "get", ["start-next"] = "start-next", describe = "j1/get",
      update = "j1/update" } do
      local list = faults.new()
      add(list, { op = op, action = "drop", side = "answer" })
      assert.is_nil(list:of_request(HEAD .. topic))
      for _, answer in ipairs{ "/accepted", "/rejected" } do
        assert.equal("drop", list:of_answer(HEAD .. topic .. answer).action)
      end
      assert.is_nil(list:of_answer(HEAD .. "notify"))
      assert.is_nil(list:of_answer(HEAD .. "frob/rejected"))
    end
  end)

  it("of a notification meets it, and not the other one", function()
    local list = faults.new()
    add(list, { op = "notify-next", action = "duplicate" })
    assert.is_nil(list:of_answer(HEAD .. "notify"))
    assert.equal("duplicate", list:of_answer(HEAD .. "notify-next").action)
    assert.is_nil(list:of_answer(HEAD .. "notify-next/update/accepted"))
  end)

  it("of anything meets all four operations and both notifications", function()
    local list = faults.new()
    add(list, { op = "any", action = "duplicate" })
    for _, topic in ipairs{ "get/accepted", "start-next/rejected", "$next/get/accepted",
      "j1/update/accepted", "notify", "notify-next" } do
      assert.is_table(list:of_answer(HEAD .. topic), topic)
    end
    add(list, { op = "any", action = "drop" })
    assert.is_nil(list:of_request(HEAD .. "frob"))
    assert.is_table(list:of_request(HEAD .. "get"))
  end)

  it("meets one thing and one job only, where they are given", function()
    local list = faults.new()
    add(list, { op = "update", action = "drop", thing = "lamp", job = "j1" })
    assert.is_nil(list:of_request("$aws/things/door/jobs/j1/update"))
    assert.is_nil(list:of_request(HEAD .. "j2/update"))
    assert.is_table(list:of_request(HEAD .. "j1/update"))
    add(list, { op = "describe", action = "garbage", job = "$next" })
    assert.is_nil(list:of_answer(HEAD .. "j1/get/accepted"))
    assert.is_table(list:of_answer(HEAD .. "$next/get/accepted"))
  end)

  it("ends after so many uses, and then the next one that fits is used", function()
    local list = faults.new()
    local first = add(list, { op = "get", action = "drop", count = 2 })
    local second = add(list, { op = "any", action = "reject", code = "RequestThrottled" })
    for _, expected in ipairs{ first, first, second, second } do
      assert.equal(expected, list:of_request(HEAD .. "get"))
    end
    assert.same({ 2, 2 }, { first.used, second.used })
  end)

  it("tells of each use", function()
    local events = {}
    local list = faults.new(function(event) table.insert(events, event) end)
    add(list, { op = "update", action = "reject", code = "VersionMismatch", count = 3 })
    list:of_request(HEAD .. "j1/update")
    assert.same({ {
      level = "info", event = "service.fault_used", thing = "lamp", job = "j1",
      code = "VersionMismatch", text = "update: reject of the request, by fault 1 (1 of 3)",
    } }, events)
  end)

  it("is removed by its id, or with all", function()
    local list = faults.new()
    for _ = 1, 3 do
      add(list, { op = "get", action = "drop" })
    end
    assert.equal(0, list:remove(9))
    assert.equal(1, list:remove(2))
    assert.same({ 1, 3 }, { list.list[1].faultId, list.list[2].faultId })
    assert.equal(2, list:remove())
    assert.equal(4, add(list, { op = "get", action = "drop" }).faultId)
  end)

  it("makes room for another when it has ended", function()
    local list = faults.new()
    for _ = 1, 100 do
      add(list, { op = "get", action = "drop", count = 1 })
    end
    assert.same({ nil, "there are 100 faults already: remove some" },
      { list:add{ op = "get", action = "drop" } })
    list:of_request(HEAD .. "get")
    assert.equal(101, add(list, { op = "get", action = "drop" }).faultId)
    assert.equal(100, #list.list)
  end)

  it("has its usual side", function()
    for action, side in pairs{ drop = "request", delay = "answer", duplicate = "answer",
      reject = "request", garbage = "answer", disconnect = "request" } do
      local delay = action == "delay" and 1 or nil
      assert.equal(side, faults.check{ op = "get", action = action, delayMs = delay }.side)
      local of_event = faults.check{ op = "notify", action = action, delayMs = delay }
      assert.equal(action ~= "reject" and "answer" or nil, of_event and of_event.side)
    end
  end)

  it("goes out as bytes that are no JSON, and as bytes that are no UTF-8", function()
    local fault = { used = 1 }
    local one = faults.garbage(fault)
    fault.used = 2
    local other = faults.garbage(fault)
    assert.is_nil(json.decode(one))
    assert.is_nil(json.decode(other))
    assert.is_true((utf8.len(one) == nil) ~= (utf8.len(other) == nil))
  end)

  local OPS = "op: expected get, start-next, describe, update, notify, notify-next, "
    .. "create-certificate, register-thing, any, got "
  local ACTIONS = "action: expected drop, delay, duplicate, reject, garbage, disconnect, got "

  for _, case in ipairs{
    { {}, OPS .. "nothing" },
    { { op = "put" }, OPS .. "'put'" },
    { { op = 7 }, OPS .. "number" },
    { { op = json.null }, OPS .. "nothing" },
    { { op = "get" }, ACTIONS .. "nothing" },
    { { op = "get", action = "lose" }, ACTIONS .. "'lose'" },
    { { op = "get", action = "drop", side = "left" }, "side: expected request, answer, got 'l" },
    { { op = "get", action = "reject", side = "answer" },
      "side: reject cannot be on the side of the answer" },
    { { op = "get", action = "garbage", side = "request" },
      "side: garbage cannot be on the side of the request" },
    { { op = "notify", action = "reject" }, "op: notify is no request: it cannot be met by rej" },
    { { op = "notify", action = "drop", side = "request" },
      "op: notify is no request: it cannot be met by drop on the side of the request" },
    { { op = "get", action = "drop", code = "InternalError" }, "code: only reject has one" },
    { { op = "get", action = "reject", code = "Teapot" }, "code: expected InvalidTopic, Inva" },
    { { op = "get", action = "delay" }, "delayMs: delay needs it" },
    { { op = "get", action = "drop", delayMs = 5 }, "delayMs: only delay has one" },
    { { op = "get", action = "delay", delayMs = 0 }, "delayMs: expected 1-600000, got 0" },
    { { op = "get", action = "delay", delayMs = 600001 }, "delayMs: expected 1-600000" },
    { { op = "get", action = "delay", delayMs = "5" }, "delayMs: expected an integer, got string" },
    { { op = "get", action = "drop", thing = "a/b" }, "thing: expected 1-128" },
    { { op = "get", action = "drop", thing = {} }, "thing: expected 1-128" },
    { { op = "update", action = "drop", job = "a/b" }, "job: expected 1-64" },
    { { op = "get", action = "drop", job = "j1" }, "job: the topic of get names none" },
    { { op = "get", action = "drop", count = 0 }, "count: expected 1-1000000, got 0" },
    { { op = "get", action = "drop", count = 1.5 }, "count: expected an integer" },
    { { op = "get", action = "drop", b = 1, a = 1 }, "a: is no member of a fault" },
    { { "get" }, "1: is no member of a fault" },
  } do
    it(("is refused: %s"):format(json.encode(case[1])), function()
      local fault, message = faults.new():add(case[1])
      assert.is_nil(fault)
      assert.equal(case[2], message:sub(1, #case[2]))
    end)
  end
end)
