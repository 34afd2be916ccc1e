-- Texts that are kept say what hob.service.views says, also after each change.
local benches = require("spec.support.service_bench")
local json = require("hob.json")
local json_text = require("hob.service.json_text")
local texts = require("hob.service.texts")
local views = require("hob.service.views")

local function read(value)
  return assert(json.decode(json_text.encode(value)))
end

describe("hob.service.texts", function()
  local bench, thing, execution

  before_each(function()
    bench = benches.new()
    bench:create("j1", "lamp", { timeoutConfig = { inProgressTimeoutInMinutes = 5 } })
    bench:create("j2", "lamp")
    thing = bench.engine.things.lamp
    execution = bench.engine:find("lamp", "j1")
  end)

  local function compare()
    local now = bench.now
    for _, with_document in ipairs{ true, false } do
      assert.same(read(views.execution(execution, now, with_document)),
        read(texts.execution(execution, now, with_document)))
    end
    assert.same(read(views.summaries{ execution, execution }),
      read(texts.summaries{ execution, execution }))
    assert.same(read(views.pending(thing, now)), read(texts.pending(thing, now)))
    assert.same(read(views.next(thing, now)), read(texts.next(thing, now)))
  end

  it("says what views says, twice the same, and anew after each change", function()
    compare()
    compare()
    bench:ask("lamp", "start-next", { statusDetails = { step = "1" } })
    compare()
    bench:wait(7)
    compare()
    bench:ask("lamp", "j1/update", { status = "IN_PROGRESS", statusDetails = { step = "2" } })
    compare()
    bench:ask("lamp", "j1/update", { status = "FAILED" })
    compare()
    bench:ask("lamp", "j2/update", { status = "FAILED" })
    compare()
    assert.equal('[]', json_text.encode(texts.summaries{}))
  end)

  it("keeps the text while nothing changes", function()
    texts.execution(execution, bench.now, false)
    local kept = execution.texts.execution
    texts.execution(execution, bench.now + 1, true)
    assert.equal(kept, execution.texts.execution)
    assert.is_nil(kept:find("jobDocument", 1, true))
    assert.is_nil(kept:find("approximate", 1, true))
  end)
end)
