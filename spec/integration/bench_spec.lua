-- What the benches of whole agents stand on (spec/bench/rig.lua), with real agents.
local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")

describe("the rig of the benches", function()
  local rig

  before_each(function()
    rig = rigs.start()
  end)

  after_each(function()
    rig:stop()
  end)

  local function children_named(part)
    local list = {}
    local words = exec.check({ "ps", "-o", "args=", "--ppid", tostring(process.pid()) }).stdout
    for line in words:gmatch("[^\n]+") do
      list[#list + 1] = line:find(part, 1, true) and line or nil
    end
    return list
  end

  it("times the floor and the operations from Lua by the ends of their jobs", function()
    for _, name in ipairs({ "floor", "ops" }) do
      local drained = rig:drain(20, function(thing)
        return name == "ops" and rig:ops(thing, "tls") or rig:floor(thing, "ops", "tls")
      end)
      assert.is_true(drained.jobs_s > 0)
      assert.is_true(drained.cpu_us > 0)
      assert.is_true(drained.p99_ms >= drained.p50_ms)
    end
    assert.are.same({}, children_named("bench-"))
  end)

  it("does not wait for jobs of an agent that has ended, and says what it said", function()
    local _, message = pcall(rig.drain, rig, 20, function()
      return rig:agent({ "sh", "-c", "echo no certificate; exit 1" })
    end)
    assert.is_truthy(message:find("the agent has ended while waiting for the end of 20 jobs", 1,
      true))
    assert.is_truthy(message:find("no certificate", 1, true))
  end)

  it("ends at its end what a bench has left", function()
    local one = rig:agent({ "sh", "-c", "sleep 600; echo it did" })
    local pid = one.pid()
    assert.is_true(proc.status_kb(pid, "VmRSS") > 0)
    rig:stop()
    rig = rigs.start()
    assert.is_nil(fs.stat(("/proc/%d"):format(pid)))
  end)

  it("puts agents under another program", function()
    local seen = rig.world:path("seen")
    local under = rig.world:path("under")
    assert(fs.write(under, ('#!/bin/sh\necho "$1" >>%s\nexec "$@"\n'):format(seen),
      { mode = tonumber("755", 8) }))
    rig:put_under({ under })
    rig:drain(10, function(thing) return rig:floor(thing, "ops", "tcp") end)
    rig:drain(10, function(thing)
      return rig:gateway(thing, { ["bench.lua"] = "return { api = 1, run = function() end }" },
        "tcp")
    end)
    local names = assert(fs.read(seen))
    assert.is_truthy(names:find("hob_floor\n", 1, true))
    assert.is_truthy(names:find("/hob\n", 1, true))
  end)
end)
