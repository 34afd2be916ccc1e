-- Objects of one engine in another, as the store brings them back.
local benches = require("spec.support.service_bench")
local json = require("hob.json")
local json_text = require("hob.service.json_text")

local NOT_KEPT = {
  thing = { topic = true, pending = true, records = true },
  group = { members = true },
  job = { executions = true, open = true, counts = true, target_things = true,
    target_groups = true, heap_index = true },
  execution = { deadline = true, prev = true, next = true, list = true, heap_index = true },
  settings = {},
}
local LISTS = { groups = true, targets = true, waiting = true, retry = true, abort = true }

-- Through JSON: whatever hides in a table is lost.
local function saved(object)
  local fields = {}
  for name, value in pairs(object) do
    if not NOT_KEPT[object.kind][name] then
      fields[name] = LISTS[name] and json_text.list(table.move(value, 1, #value, 1, {})) or value
    end
  end
  if object.kind == "execution" then
    fields.thing, fields.job = object.thing.name, object.job.id
  end
  return json.decode(json_text.encode(fields))
end

local function reborn(bench)
  local other = benches.new()
  other.now = bench.now
  local engine = bench.engine
  other.engine:adopt(saved(engine.settings))
  for _, group in ipairs(engine:in_order("groups", "name")) do
    other.engine:adopt(saved(group))
  end
  for _, thing in ipairs(engine:in_order("things", "name")) do
    other.engine:adopt(saved(thing))
  end
  local executions = {}
  for _, job in ipairs(engine:in_order("jobs", "seq")) do
    other.engine:adopt(saved(job))
    table.move(job.executions, 1, #job.executions, #executions + 1, executions)
  end
  table.sort(executions, function(a, b) return a.seq < b.seq end)
  for _, execution in ipairs(executions) do
    other.engine:adopt(saved(execution))
  end
  assert.is_nil(next(other.engine:take_touched()))
  return other
end

describe("an engine that adopts another's objects", function()
  it("goes on with timers, retries, rollout, groups and events", function()
    local bench = benches.new()
    bench:control("update_events", { eventConfigurations = { JOB = { Enabled = true } } }, 5)
    bench:group("g", { "t1" })
    bench:create_for_groups("follow", { "g" }, { targetSelection = "CONTINUOUS" })
    bench:create_for_groups("over", { "g" }, { targetSelection = "CONTINUOUS" })
    bench:control("cancel_job", "over", {}, false, bench.now)
    bench:create("j", { "a", "b", "c" }, {
      timeoutConfig = { inProgressTimeoutInMinutes = 3 },
      jobExecutionsRolloutConfig = { maximumPerMinute = 2 },
      jobExecutionsRetryConfig = { criteriaList = { { failureType = "TIMED_OUT",
        numberOfRetries = 1 } } } })
    bench:ask("a", "start-next", { statusDetails = { k = "v" } })
    bench:ask("b", "j/update", { status = "FAILED" })
    bench.now = bench.now + 30
    local other = reborn(bench)
    assert.same({ bench.engine:next_deadline(), bench.engine.seq },
      { other.engine:next_deadline(), other.engine.seq })
    assert.same(json_text.encode(bench:job("j")), json_text.encode(other:job("j")))
    assert.same(bench:answer("a", "j/get"), other:answer("a", "j/get"))
    for _, one in ipairs{ bench, other } do
      one:wait(30)
      one:wait(120)
      one:control("create_thing", "t2", {})
      one:join("g", "t2")
      one:leave("g", "t1")
      assert.equal("a#1 TIMED_OUT, b#1 FAILED, c#1 QUEUED, a#2 QUEUED", one:executions("j"))
      assert.equal("t1#1 REMOVED, t2#1 QUEUED", one:executions("follow"))
      assert.equal("t1#1 CANCELED", one:executions("over"))
      one:ask("a", "j/update", { status = "SUCCEEDED" })
      local said = one:ask("c", "j/update", { status = "SUCCEEDED" })
      assert.equal("$aws/events/job/j/completed", said[#said].topic)
    end
    assert.same(json_text.encode(bench:job("j")), json_text.encode(other:job("j")))
  end)
end)

describe("what is touched", function()
  local function kinds(bench)
    local list = {}
    for object, how in pairs(bench.engine:take_touched()) do
      list[#list + 1] = object.kind .. " " .. how
    end
    table.sort(list)
    return table.concat(list, ", ")
  end

  it("is what changed, and no more", function()
    local bench = benches.new()
    bench:create("j", { "a", "b" }, { jobExecutionsRetryConfig = { criteriaList = {
      { failureType = "FAILED", numberOfRetries = 1 } } } })
    assert.equal("execution changed, execution changed, job changed, thing changed, thing changed",
      kinds(bench))
    bench:ask("a", "j/get")
    assert.equal("", kinds(bench))
    bench:ask("a", "j/update", { status = "FAILED" })
    assert.equal("execution changed, execution changed", kinds(bench))
    bench:ask("a", "j/update", { status = "FAILED" })
    assert.equal("execution changed", kinds(bench))
    bench:ask("b", "j/update", { status = "SUCCEEDED" })
    assert.equal("execution changed, job changed", kinds(bench))
    bench:control("delete_thing", "b", {}, bench.now)
    assert.equal("thing changed", kinds(bench))
    bench:control("delete_job", "j", false, bench.now)
    assert.equal("execution gone, execution gone, execution gone, job gone, thing gone",
      kinds(bench))
    bench:group("g", { "a" })
    assert.equal("group changed, thing changed", kinds(bench))
    bench:control("delete_group", "g", {}, bench.now)
    assert.equal("group gone, thing changed", kinds(bench))
    bench:control("update_events", { eventConfigurations = {} }, 5)
    assert.equal("settings changed", kinds(bench))
  end)
end)
