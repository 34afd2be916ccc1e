-- docs/how-to/embed/glib.c: a product on GLib's main loop.

local embed = require("spec.support.embed")
local worlds = require("spec.support.world")

local WORK = [[return { api = 1, run = function(job)
  require("hob.time").sleep(0.3)
  return { said = require("hob.exec").check{ "echo", "-n", "hello" }.stdout }
end }]]

describe("the example glib.c", function()
  local world

  setup(function()
    world = worlds.start()
  end)

  teardown(function()
    world:stop()
  end)

  it("runs jobs beside the product's own sources, and stops by a signal of its own", function()
    local gateway = world:gateway({
      program = embed.compile("docs/how-to/embed/glib.c", world.dir, { packages = { "glib-2.0" } }),
      scripts = { ["work.lua"] = WORK },
    })
    for number = 1, 2 do
      world:create("glib-" .. number, '{"operation":"work"}')
      assert.equal("hello", world:ended("glib-" .. number).details.said)
    end
    assert.equal(0, gateway:stop())
    assert.equal(1, gateway:count("hob.stopped"))
    local text = table.concat(gateway.lines, "\n")
    assert.matches("job glib%-2: SUCCEEDED", text)
    local blinks = tonumber(text:match("blinked (%d+) times"))
    assert.is_true(blinks >= 6, "it blinked " .. blinks .. " times in two jobs of 0.3 s")
  end)

  it("sleeps while there is nothing to do", function()
    local gateway = world:gateway({
      program = embed.compile("docs/how-to/embed/glib.c", world.dir, { packages = { "glib-2.0" } }),
      scripts = { ["work.lua"] = WORK },
    })
    gateway:wait_event("jobs.subscribed")
    -- Two jobs later it has waited for 0.6 s at least: one that does not sleep has used them up.
    local function used()
      local fields = require("hob.fs").read(("/proc/%d/stat"):format(gateway.process:pid()))
      local user, system = fields:match("^.*%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)")
      return tonumber(user) + tonumber(system)
    end
    local before = used()
    for number = 3, 4 do
      world:create("glib-" .. number, '{"operation":"work"}')
      world:ended("glib-" .. number)
    end
    local ticks = used() - before
    assert.is_true(ticks < 30, ticks .. " hundredths of a second of processor time")
    assert.equal(0, gateway:stop())
  end)
end)
