local spare = require("hob_units").spare

describe("spare", function()
  it("keeps SIGPIPE and rand() as they were, also when two threads begin at once", function()
    local sigpipe, random = spare.on_two_threads(100000)
    assert.is_true(sigpipe, "SIGPIPE stays ignored")
    assert.is_true(random, "rand() goes on elsewhere")
  end)
end)
