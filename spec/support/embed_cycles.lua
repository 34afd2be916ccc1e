-- embed_cycles.lua - runs spec/support/embed_cycles.c in a world: a runtime is made, started, does
-- one job over TLS, is stopped and freed, so many times in one process.

local embed = require("spec.support.embed")
local fs = require("hob.fs")
local worlds = require("spec.support.world")

local M = {}

local SCRIPT = [[
local exec, fs = require("hob.exec"), require("hob.fs")
return { api = 1, run = function(job)
  local said = job:step("one", function() return exec.check{ "echo", "hello" }.stdout end)
  job:step("two", function() assert(fs.write("x", said)); return assert(fs.read("x")) end)
end }
]]

---@param rounds integer
---@param seconds number  for all of them
---@param under? string  words of a program that runs it: "valgrind --quiet"
---@return table first  what the process held after a tenth of them
---@return table last  and at the end
---@return table result  how it ended
---@return string[] lines  all that it said
function M.run(rounds, seconds, under)
  local world <close> = setmetatable({}, { __close = function(held) held.world:stop() end })
  world.world = worlds.start()
  local program = embed.compile("spec/support/embed_cycles.c", world.world.dir)
  if under then
    local wrapper = world.world:path("under")
    assert(fs.write(wrapper, ("#!/bin/sh\nexec %s %s \"$@\"\n"):format(under, program)))
    assert(fs.chmod(wrapper, "755"))
    program = wrapper
  end
  for round = 1, rounds do
    world.world:create("cycle-" .. round, '{"operation":"work"}')
  end
  local product = world.world:gateway({
    program = program, flags = { tostring(rounds) }, launch = false,
    scripts = { ["work.lua"] = SCRIPT },
  })
  product:launch()
  local result = assert(product:wait_end(seconds), "it did not end")
  local looks = {}
  for _, event in ipairs(product.events) do
    if event.event == "cycles.look" then
      looks[#looks + 1] = event
    end
  end
  return looks[1], looks[#looks], result, product.lines
end

return M
