-- A product that makes a runtime, and frees it, again and again: nothing grows. ./dev soak embed
-- does so 1,000 times, and a few times under valgrind.

local cycles = require("spec.support.embed_cycles")

local ROUNDS = 20

describe("a runtime that is made, has a job done, is stopped and freed", function()
  it(("leaves memory and descriptors as they were, %d times"):format(ROUNDS), function()
    local first, last, result, lines = cycles.run(ROUNDS, 120)
    assert.equal(0, result.code, table.concat(lines, "\n"))
    assert.equal(ROUNDS, last.jobs)
    assert.equal(first.descriptors, last.descriptors)
    -- What the C library and libraries below keep varies a little; a leak of one block of each kind
    -- a round would be far more.
    local grown = last.bytes - first.bytes
    assert.is_true(grown < ROUNDS * 64, ("%d bytes more"):format(grown))
  end)
end)
