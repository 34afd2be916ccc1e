-- docs/how-to/embed: the smallest product, and one with a poll() loop of its own.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local GREET = [[return { api = 1, run = function() return { said = "hello" } end }]]
local FAIL = [[return { api = 1, run = function() return nil, "no paper" end }]]

describe("the example", function()
  local world

  setup(function()
    world = worlds.start()
  end)

  teardown(function()
    world:stop()
  end)

  local function start(name, flags, more)
    return world:gateway({
      program = embed.compile("docs/how-to/embed/" .. name, world.dir, more), flags = flags,
      scripts = { ["greet.lua"] = GREET, ["fail.lua"] = FAIL },
    })
  end

  local function printed(gateway, line)
    wait_until(function()
      for _, one in ipairs(gateway.lines) do
        if one:find(line, 1, true) then
          return true
        end
      end
    end, worlds.PATIENCE, function()
      return line .. "; " .. world:explain()
    end)
  end

  describe("minimal.c", function()
    it("has at most 40 lines, runs jobs, and stops by a signal", function()
      local text = assert(require("hob.fs").read("docs/how-to/embed/minimal.c"))
      local _, lines = text:gsub("\n", "\n")
      assert.is_true(lines <= 40)
      local gateway = start("minimal.c")
      world:create("minimal-1", '{"operation":"greet"}')
      world:create("minimal-2", '{"operation":"fail"}')
      printed(gateway, "job minimal-1: SUCCEEDED")
      printed(gateway, "job minimal-2: FAILED no paper")
      assert.equal(0, gateway:stop())
      assert.equal("FAILED", world:ended("minimal-2").status)
    end)

    it("says what is wrong with its configuration", function()
      local program = embed.compile("docs/how-to/embed/minimal.c", world.dir)
      local result = exec.run({ program, world.dir .. "/nowhere.lua" })
      assert.equal(1, result.code)
      assert.matches("^minimal: .*/nowhere.lua: cannot read the configuration", result.stderr)
    end)
  end)

  it("relay.c, cpp.cc and own_connection.c say how they are called", function()
    for name, more in pairs({ ["relay.c"] = {}, ["cpp.cc"] = {},
      ["own_connection.c"] = { packages = { "libmosquitto" } } }) do
      local program = embed.compile("docs/how-to/embed/" .. name, world.dir, more)
      local result = exec.run({ program })
      assert.equal(2, result.code)
      assert.matches("^usage: %S+ .*hob%.conf%.lua", result.stderr)
    end
  end)

  describe("poll.c", function()
    it("defers jobs while its pump runs, and stops by a word", function()
      local fifo = world:path("words")
      exec.check({ "mkfifo", "-m", "600", fifo })
      local gateway = start("poll.c", { fifo }, { flags = { "-pthread" } })
      local function say(word)
        exec.check({ "sh", "-c", [[echo "$1" > "$2"]], "sh", word, fifo })
      end
      printed(gateway, "gw-1 is online")
      printed(gateway, "pressure 2.5 bar")
      say("run")
      printed(gateway, "the pump runs")
      world:create("poll-1", '{"operation":"greet"}')
      assert.equal("the pump runs", gateway:wait_event("job.waits", { job = "poll-1" }).msg)
      say("rest")
      printed(gateway, "job poll-1: SUCCEEDED")
      assert.equal("hello", world:ended("poll-1").details.said)
      say("stop")
      assert.equal(0, assert(gateway:wait_end()).code)
      assert.equal(1, gateway:count("hob.stopped"))
    end)
  end)
end)
