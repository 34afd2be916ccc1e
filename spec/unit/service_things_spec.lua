-- The registry: things, as the owner of the fleet has them.
local benches = require("spec.support.service_bench")

local ARN = "arn:aws:iot:us-east-1:123456789012:thing/"

local function names(list)
  local out = {}
  for i, thing in ipairs(list) do
    out[i] = thing.thingName
  end
  return table.concat(out, " ")
end

describe("the Jobs service's things", function()
  local bench

  before_each(function() bench = benches.new() end)

  it("are created with attributes, and described", function()
    local _, answer = bench:control("create_thing", "lamp", { thingTypeName = "Lamp",
      attributePayload = { attributes = { room = "hall" } } })
    assert.equal(ARN .. "lamp", answer.thingArn)
    assert.truthy(answer.thingId:find("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$"))
    assert.same({ thingName = "lamp", thingArn = ARN .. "lamp", thingId = answer.thingId,
      defaultClientId = "lamp", version = 1, attributes = { room = "hall" },
      thingTypeName = "Lamp" }, bench.engine:describe_thing("lamp"))
  end)

  it("may be created again only as they are", function()
    local body = { attributePayload = { attributes = { room = "hall" } } }
    local _, first = bench:control("create_thing", "lamp", body)
    local _, again = bench:control("create_thing", "lamp", body)
    assert.same(first, again)
    local why = bench:refused("create_thing", "lamp", {})
    assert.same({ "ResourceAlreadyExistsException", 409, ARN .. "lamp" },
      { why.type, why.status, why.more.resourceArn })
  end)

  it("are there without registration once a job names them", function()
    bench:create("j", "lamp")
    assert.equal("lamp", bench.engine:describe_thing("lamp").thingName)
    bench:control("create_thing", "lamp", { attributePayload = { attributes = { a = "b" } } })
    assert.same({ a = "b" }, bench.engine:describe_thing("lamp").attributes)
    assert.equal("j", bench:answer("lamp", "$next/get").execution.jobId)
  end)

  it("are updated: attributes replaced, merged, removed by an empty value", function()
    local function update(payload, more)
      local body = { attributePayload = payload }
      for name, value in pairs(more or {}) do
        body[name] = value
      end
      bench:control("update_thing", "lamp", body)
      return bench.engine:describe_thing("lamp")
    end
    bench:control("create_thing", "lamp", { attributePayload = { attributes = { a = "1" } } })
    assert.same({ b = "2" }, update{ attributes = { b = "2" } }.attributes)
    assert.same({ b = "2", c = "3" }, update{ attributes = { c = "3" }, merge = true }.attributes)
    local thing = update({ attributes = { b = "" }, merge = true },
      { expectedVersion = 3, thingTypeName = "Lamp" })
    assert.same({ { c = "3" }, 4, "Lamp" }, { thing.attributes, thing.version,
      thing.thingTypeName })
    assert.is_nil(update(nil, { removeThingType = true }).thingTypeName)
    assert.equal("VersionConflictException",
      bench:refused("update_thing", "lamp", { expectedVersion = 1 }).type)
    assert.equal("ResourceNotFoundException", bench:refused("update_thing", "oven", {}).type)
  end)

  it("are listed by name, in pages, by attribute and by type", function()
    for i = 1, 7 do
      bench:control("create_thing", "t" .. (i * 3 % 7), { thingTypeName = i > 5 and "Old" or nil,
        attributePayload = { attributes = { odd = i % 2 == 1 and "yes" or "no" } } })
    end
    assert.equal("t0 t1 t2 t3 t4 t5 t6", names(bench:pages("list_things", "things", 3)))
    assert.equal("t0 t4", names(bench.engine:list_things{ thingTypeName = "Old" }.things))
    assert.equal("t4 t5 t6",
      names(bench.engine:list_things{ attributeName = "odd", attributeValue = "no" }.things))
    assert.equal("t0 t1 t2 t3", names(bench.engine:list_things{ attributeName = "odd",
      attributeValue = "y", usePrefixAttributeValue = "true" }.things))
  end)

  it("that are added while a list is read neither repeat nor hide another", function()
    for _, name in ipairs{ "b", "d", "f" } do
      bench:control("create_thing", name, {})
    end
    local first = bench.engine:list_things{ maxResults = "2" }
    assert.equal("b d", names(first.things))
    bench:control("create_thing", "a", {})
    bench:control("delete_thing", "d", {}, bench.now)
    bench:control("create_thing", "e", {})
    assert.equal("e f", names(bench.engine:list_things{ nextToken = first.nextToken }.things))
  end)

  it("have tokens that no other list takes", function()
    for _, name in ipairs{ "a", "b" } do
      bench:control("create_thing", name, {})
      bench:control("create_group", name, {}, bench.now)
    end
    local token = bench.engine:list_things{ maxResults = "1" }.nextToken
    assert.truthy(token)
    for _, query in ipairs{ { nextToken = token .. "0" }, { nextToken = "2" }, { nextToken = "" },
      { nextToken = token, attributeName = "x" } } do
      assert.equal("InvalidRequestException", bench:refused("list_things", query).type)
    end
    assert.truthy(bench:refused("list_groups", { nextToken = token }).message:find("nextToken"))
  end)

  it("refuse a name, an attribute or a number out of its limits, and name it", function()
    local function attributes(map)
      return { attributePayload = { attributes = map } }
    end
    for _, case in ipairs{
      { "a b", {}, "thingName" }, { ("x"):rep(129), {}, "thingName" },
      { "t", { thingTypeName = 5 }, "thingTypeName" },
      { "t", attributes{ a = 5 }, "attributes.a" },
      { "t", attributes{ a = "x y" }, "attributes.a" },
      { "t", attributes{ ["a b"] = "x" }, "attributes: a key" },
      { "t", attributes{ a = ("x"):rep(801) }, "attributes.a" },
      { "t", { attributePayload = "x" }, "attributePayload" },
    } do
      local why = bench:refused("create_thing", case[1], case[2])
      assert.same({ "InvalidRequestException", 400 }, { why.type, why.status })
      assert.truthy(why.message:find(case[3], 1, true), why.message)
    end
    assert.is_nil(next(bench.engine.things))
  end)

  describe("deleted", function()
    it("leave with REMOVED what they still had to do, and keep what they did", function()
      bench:create("a", { "lamp", "oven" })
      bench:create("b", "lamp")
      bench:create("c", "lamp")
      bench:ask("lamp", "a/update", { status = "SUCCEEDED" })
      bench:ask("lamp", "b/update", { status = "IN_PROGRESS" })
      local said = bench:control("delete_thing", "lamp", {}, bench.now)
      assert.equal("notify notify-next notify notify-next", said:text())
      assert.same({}, said[#said - 1].body.jobs)
      assert.equal("lamp#1 SUCCEEDED, oven#1 QUEUED", bench:executions("a"))
      assert.equal("lamp#1 REMOVED", bench:executions("b"))
      assert.same({ "COMPLETED", 1 }, { bench:job("b").status,
        bench:job("b").jobProcessDetails.numberOfRemovedThings })
      assert.equal("IN_PROGRESS", bench:job("a").status)
      assert.equal(2, bench:count("service.execution_removed"))
    end)

    it("are told from the list, and not described", function()
      bench:control("create_thing", "lamp", {})
      bench:create("a", "lamp")
      bench:control("delete_thing", "lamp", {}, bench.now)
      assert.equal("", names(bench.engine:list_things{}.things))
      assert.equal(404, bench:refused("describe_thing", "lamp").status)
      assert.equal("InvalidStateTransition",
        bench:answer("lamp", "a/update", { status = "SUCCEEDED" }).code)
    end)

    it("are there again when a job names them, and count on", function()
      bench:create("a", "lamp", { targetSelection = "CONTINUOUS" })
      local id = bench.engine:describe_thing("lamp").thingId
      bench:control("delete_thing", "lamp", {}, bench.now)
      bench:create("b", "lamp")
      assert.not_equal(id, bench.engine:describe_thing("lamp").thingId)
      assert.equal("b", bench:answer("lamp", "$next/get").execution.jobId)
    end)

    it("are forgotten with the last execution that names them", function()
      bench:create("a", "lamp")
      bench:control("delete_thing", "lamp", {}, bench.now)
      assert.truthy(bench.engine.things.lamp)
      bench:control("delete_job", "a", false, bench.now)
      assert.is_nil(bench.engine.things.lamp)
    end)

    it("need not exist; a wrong version is refused", function()
      bench:control("delete_thing", "none", {}, bench.now)
      bench:control("create_thing", "lamp", {})
      assert.equal("VersionConflictException",
        bench:refused("delete_thing", "lamp", { expectedVersion = "2" }, bench.now).type)
      assert.equal("InvalidRequestException",
        bench:refused("delete_thing", "lamp", { expectedVersion = "x" }, bench.now).type)
      bench:control("delete_thing", "lamp", { expectedVersion = "1" }, bench.now)
      assert.is_nil(next(bench.engine.things))
    end)
  end)
end)
