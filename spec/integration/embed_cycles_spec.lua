-- A product that makes a runtime, and frees it, again and again: nothing grows. `./dev soak embed`
-- does so 1,000 times, and a few times under valgrind.

local cycles = require("spec.support.embed_cycles")

local ROUNDS = 20

describe("a runtime that is made, has a job done, is stopped and freed", function()
  it(("leaves memory and descriptors as they were, %d times"):format(ROUNDS), function()
    local first, last, result, lines = cycles.run(ROUNDS, 120)
    assert.equal(0, result.code, table.concat(lines, "\n"))
    assert.equal(ROUNDS, last.jobs)
    assert.equal(first.descriptors, last.descriptors)
    -- Hob's own blocks are counted in embed_memory_spec.lua. Libraries below keep this and that,
    -- by the moment; twenty of what one connection takes they may not keep.
    local grown = last.bytes - first.bytes
    assert.is_true(grown < 32 * 1024, ("%d bytes more"):format(grown))
  end)
end)
