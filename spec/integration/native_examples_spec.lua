-- The examples of docs/how-to/embed with functions of a product's own, as a product builds them:
-- against what is installed, outside the source tree. They run jobs over TLS.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local source = require("spec.support.source")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

describe("docs/how-to/embed", function()
  local world

  setup(function() world = worlds.start() end)
  teardown(function() world:stop() end)

  local function job(gateway, id, document)
    world:create(id, json.encode(document), gateway.thing)
    return world:ended(id, gateway.thing)
  end

  local function example(file, thing, options)
    local gateway = world:gateway({ program = embed.compile("docs/how-to/embed/" .. file,
      world.dir), thing = thing, scripts = options.scripts, config = { stop_grace = 0.1 } })
    gateway.thing = thing
    gateway:wait_event("conn.up")
    return gateway
  end

  describe("relay.c", function()
    local gateway

    setup(function()
      gateway = example("relay.c", "gw-1", { scripts = { ["switch-relay.lua"] =
        source.read("docs/how-to/embed/scripts/switch-relay.lua") } })
    end)
    teardown(function() assert.equal(0, gateway:stop()) end)

    -- What its board has done so far.
    local function board()
      local list = {}
      for _, line in ipairs(gateway.lines) do
        list[#list + 1] = line:match("^relay (%d is %a+)$")
      end
      return list
    end

    it("switches a relay by a handler in C", function()
      local execution = job(gateway, "c-1", { operation = "set-relay", channel = 3, on = true })
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("3", execution.details.channel)
      assert.same({ "3 is on" }, board())
      execution = job(gateway, "c-2", { operation = "set-relay", channel = 9, on = true })
      assert.equal("REJECTED", execution.status)
    end)

    it("pulses a relay by a Lua handler that calls its module, and waits for it", function()
      local execution = job(gateway, "lua-1",
        { operation = "switch-relay", channel = 2, on = true, pulse_ms = 20 })
      assert.equal("SUCCEEDED", execution.status)
      assert.equal("true", execution.details.on)
      assert.same({ "2 is on", "2 is off", "2 is on" }, table.move(board(), 2, 4, 1, {}))
    end)

    it("ends a pulse whose job is cancelled", function()
      local before = #board()
      world:create("lua-2",
        '{"operation":"switch-relay","channel":5,"on":true,"pulse_ms":60000}', gateway.thing)
      wait_until(function()
        return board()[before + 1] == "5 is on"
      end, 20, "the pulse to begin")
      exec.check({ worlds.hob(), "cancel", "lua-2", "--data", gateway.dir .. "/data" })
      assert.equal("FAILED", world:ended("lua-2", gateway.thing).status)
      assert.equal("5 is off", board()[before + 2])
    end)
  end)

  it("cpp.cc runs a job by a lambda, and turns an exception into a failure", function()
    local gateway = example("cpp.cc", "gw-2", {})
    local execution = job(gateway, "cpp-1", { operation = "greet", name = "Ada" })
    assert.equal("hello Ada from gw-2", execution.details.greeting)
    execution = job(gateway, "cpp-2", { operation = "greet", name = "nobody" })
    assert.equal("FAILED", execution.status)
    assert.equal("EXCEPTION", execution.details.code)
    assert.equal("there is nobody to greet", execution.details.reason)
    wait_until(function()
      return table.concat(gateway.lines, "\n"):find("cpp-2: FAILED there is nobody to greet", 1,
        true)
    end, 20, "what its observer prints")
    assert.equal(0, gateway:stop())
  end)

  it("switch-relay.lua runs at a desk with a file in the place of the product's module", function()
    local dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/scripts/lib"))
    assert(fs.write(dir .. "/scripts/switch-relay.lua",
      source.read("docs/how-to/embed/scripts/switch-relay.lua")))
    local words = { worlds.hob(), "handler", "run", "switch-relay", "--scripts", dir .. "/scripts",
      "--args", "channel=3", "--args", "on=true" }
    local alone = exec.run(words)
    assert.not_equal(0, alone.code)
    assert.matches("module 'relay' not found: .*one that a product has in C is there only inside "
      .. "of it: on a desk a file there, with the same functions, stands in for it",
      alone.stdout .. alone.stderr)
    assert(fs.write(dir .. "/scripts/lib/relay.lua",
      "return { pulse = function() return true end, set = function(_, on) return on end }"))
    local with = exec.run(words)
    assert.equal(0, with.code, with.stdout .. with.stderr)
    fs.remove(dir, { recursive = true })
  end)
end)
