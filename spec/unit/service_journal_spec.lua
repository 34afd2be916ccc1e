local journals = require("hob.service.journal")

local function accepted(job, version)
  return { event = "service.update_accepted", thing = "lamp", job = job, execution = 1,
    version = version, code = "IN_PROGRESS" }
end

describe("hob.service.journal", function()
  it("remembers what was told of updates, in order", function()
    local journal = journals.new()
    journal:add(accepted("j1", 2), 1000.75)
    journal:add({ event = "service.update_rejected", thing = "lamp", job = "j2",
      code = "ResourceNotFound" }, 1001)
    journal:add({ event = "service.job_created", job = "j3" }, 1002)
    assert.same({
      { thingName = "lamp", jobId = "j1", executionNumber = 1, versionNumber = 2,
        answer = "accepted", code = "IN_PROGRESS", timestamp = 1000 },
      { thingName = "lamp", jobId = "j2", answer = "rejected", code = "ResourceNotFound",
        timestamp = 1001 },
    }, journal:list())
  end)

  it("lists those of a thing, or of a job", function()
    local journal, other = journals.new(), accepted("j1", 2)
    other.thing = "door"
    for _, event in ipairs{ accepted("j1", 2), accepted("j2", 3), other } do
      journal:add(event, 1)
    end
    assert.equal(2, #journal:list("lamp"))
    assert.equal(2, #journal:list(nil, "j1"))
    assert.equal(1, #journal:list("door", "j1"))
    assert.equal(0, #journal:list("door", "j2"))
  end)

  it("forgets what is older than the last so many", function()
    local journal = journals.new(1000)
    for i = 1, 5000 do
      journal:add(accepted("j" .. i, i + 1), i)
      assert.is_true(#journal.chunks <= 3)
    end
    local list = journal:list()
    assert.equal(1000, #list)
    assert.equal("j4001", list[1].jobId)
    assert.equal("j5000", list[1000].jobId)
    assert.same({ "j4500" }, { journal:list(nil, "j4500")[1].jobId })
  end)

  it("takes names as long as a topic may hold", function()
    local journal, event = journals.new(), accepted(("j"):rep(60000), 1)
    event.thing = ("t"):rep(5000)
    journal:add(event, 1)
    assert.equal(60000, #journal:list()[1].jobId)
  end)
end)
