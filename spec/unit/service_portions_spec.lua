-- Jobs for many things: what is done for all of them is done in portions, one a turn.
local benches = require("spec.support.service_bench")
local fs = require("hob.fs")
local stores = require("hob.service.store")

local COUNT, PORTION = 250, 100

local function names()
  local list = {}
  for i = 1, COUNT do
    list[i] = ("t%03d"):format(i)
  end
  return list
end

describe("a job for many things", function()
  local bench, dir, store

  before_each(function()
    bench = benches.new()
    dir = assert(fs.tempdir())
    store = assert(stores.open(dir))
  end)

  after_each(function()
    store:close()
    fs.remove(dir, { recursive = true })
  end)

  -- Each request's messages, as often as the engine wants another turn.
  local function turns(first)
    local list = { #first }
    while (bench.engine:next_deadline() or math.huge) < bench.now + 1 do
      list[#list + 1] = #bench:wait(0.01)
    end
    return list
  end

  local function control(name, ...)
    local answer, messages, done = bench.engine[name](bench.engine, ...)
    assert(answer, not answer and messages.message)
    return messages, done
  end

  local function create(id)
    local targets = {}
    for i, name in ipairs(names()) do
      targets[i] = benches.arn(name)
    end
    return control("create_job", id, { targets = targets, document = "{}" }, bench.now)
  end

  --- The process ends here; another one goes on with what was stored.
  local function restart()
    assert(store:save(bench.engine))
    store:close()
    store = assert(stores.open(dir))
    local now = bench.now
    bench = benches.new()
    bench.now = now
    assert(store:load(bench.engine))
  end

  local function counts(id)
    local found = {}
    for name, count in pairs(bench:job(id).jobProcessDetails) do
      if type(count) == "number" and count > 0 then
        found[name:match("^numberOf(.-)Things$")] = count
      end
    end
    return found
  end

  it("gets its executions portion by portion, in the order of its things", function()
    local messages, done = create("j")
    assert.is_false(done())
    assert.is_true(bench:job("j").isConcurrent)
    assert.same({ 2 * PORTION, 2 * PORTION, 2 * (COUNT - 2 * PORTION) }, turns(messages))
    assert.is_true(done())
    assert.is_false(bench:job("j").isConcurrent)
    local order = {}
    for i, execution in ipairs(bench.engine.jobs.j.executions) do
      order[i] = execution.thing.name
    end
    assert.same(names(), order)
  end)

  it("does not make the request wait for a rollout", function()
    local _, done = control("create_job", "j", { targets = { benches.arn("a"), benches.arn("b") },
      document = "{}", jobExecutionsRolloutConfig = { maximumPerMinute = 1 } }, bench.now)
    assert.is_true(done())
    assert.same({ Queued = 1 }, counts("j"))
  end)

  it("is stored at its beginning and its end, not with each portion", function()
    create("j")
    bench.engine:take_touched()
    bench:wait(0.01)
    assert.is_nil(bench.engine:take_touched()[bench.engine.jobs.j])
    bench:wait(0.01)
    assert.equal("changed", bench.engine:take_touched()[bench.engine.jobs.j])
  end)

  it("goes on after a restart, with no execution lost or doubled", function()
    local first = create("j")
    assert.equal(2 * PORTION, #first)
    assert(store:save(bench.engine))
    bench:wait(0.01) -- stored without the job itself
    control("delete_job_execution", "t150", "j", 1, true, bench.now)
    restart()
    turns{}
    assert.same({ Queued = COUNT - 1 }, counts("j"))
    assert.is_nil(bench.engine:find("t150", "j"))
    for _, execution in ipairs(bench.engine.jobs.j.executions) do
      assert.equal(1, execution.number)
    end
  end)

  it("is cancelled portion by portion, over a restart too", function()
    turns((create("j")))
    bench:ask("t250", "start-next")
    local messages, done = control("cancel_job", "j", {}, false, bench.now)
    assert.is_false(done())
    assert.equal(2 * PORTION, #messages)
    assert.equal("CANCELED", bench:job("j").status)
    control("delete_job_execution", "t001", "j", 1, true, bench.now) -- those behind it move up
    restart()
    turns{}
    assert.same({ Canceled = COUNT - 2, InProgress = 1 }, counts("j"))
    assert.is_nil(bench.engine:next_deadline())
    restart() -- nothing is left that would begin again
    assert.is_nil(bench.engine:next_deadline())
  end)

  it("is deleted portion by portion, over a restart too", function()
    turns((create("j")))
    local messages, done = control("delete_job", "j", true, bench.now)
    assert.equal(2 * PORTION, #messages)
    assert.is_false(done())
    assert.equal("DELETION_IN_PROGRESS", bench:job("j").status)
    restart()
    for _, action in ipairs{ { "delete_job", "j", true }, { "cancel_job", "j", {}, true } } do
      local answer, why = bench.engine[action[1]](bench.engine, action[2], action[3], action[4])
      assert.is_nil(answer)
      assert.is_truthy(why.message:find("deleted", 1, true)
        or why.message:find("DELETION_IN_PROGRESS", 1, true), why.message)
    end
    turns{}
    assert.is_nil(bench.engine.jobs.j)
    restart()
    assert.is_nil(next(bench.engine.jobs))
    assert.is_nil(bench.engine:find("t250", "j"))
    turns((create("j")))
    assert.same({ Queued = COUNT }, counts("j"))
  end)

  it("stands among others in Hob's own list of executions, each once, the oldest first", function()
    bench:create("a", { "lamp", "fan" }, { jobExecutionsRolloutConfig = { maximumPerMinute = 1 } })
    turns((create("j")))
    bench:wait(60) -- a's second one
    bench:create("b", { "fan" })
    local seen, token = {}, nil
    repeat
      local page = assert(bench.engine:executions(nil, { maxResults = "7", nextToken = token },
        bench.now))
      assert.is_true(#page.executions <= 7)
      for _, execution in ipairs(page.executions) do
        seen[#seen + 1] = execution.thingName .. "/" .. execution.jobId
      end
      token = page.nextToken
    until not token
    local want = { "lamp/a" }
    for _, name in ipairs(names()) do
      want[#want + 1] = name .. "/j"
    end
    table.move({ "fan/a", "fan/b" }, 1, 2, #want + 1, want)
    assert.same(want, seen)
  end)
end)
