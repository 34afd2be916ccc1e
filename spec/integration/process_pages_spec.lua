-- What only the start has used is given back, once, by `hob run`.

local fs = require("hob.fs")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local HELLO = [[
return { api = 1, run = function(job)
  return { said = job:step("say", function() return "hello" end) }
end }]]

-- In kB: pages of files that it has in its memory.
local function of_files(gateway)
  local text = assert(fs.read(("/proc/%d/status"):format(gateway.process:pid())))
  return tonumber(text:match("\nRssFile:%s+(%d+)"))
end

describe("hob run", function()
  local world

  setup(function() world = worlds.start() end)
  teardown(function() world:stop() end)

  it("gives back, once it has started, what only the start has used, and works on", function()
    local gateway = world:gateway({ scripts = { ["hello.lua"] = HELLO } })
    gateway:wait_event("jobs.subscribed")
    local most = of_files(gateway)
    wait_until(function()
      most = math.max(most, of_files(gateway))
      return of_files(gateway) < 0.6 * most
    end, worlds.PATIENCE, function() return ("less than 60 %% of %d kB"):format(most) end)
    world:create("after", '{"operation":"hello"}')
    assert.equal("SUCCEEDED", world:ended("after").status)
  end)
end)

describe("giving back pages of code and constants", function()
  local pages = require("hob_units").pages

  it("leaves those that were changed in memory, as by a debugger's breakpoint", function()
    assert.equal("changed", pages.change_and_give_back("changed"))
  end)
end)
