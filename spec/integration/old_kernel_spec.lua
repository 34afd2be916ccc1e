-- On a kernel without pidfd_open, or one that cannot wait by pidfds, programs are started by libuv:
-- all that hob.exec promises holds.

local exec = require("hob.exec")
local fs = require("hob.fs")
local worlds = require("spec.support.world")

describe("a kernel without pidfd_open", function()
  local dir, without

  setup(function()
    dir = assert(fs.tempdir())
    without = dir .. "/no_pidfd"
    exec.check({ "cc", "-o", without, "spec/support/no_pidfd.c" })
  end)

  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  local function run(...)
    local result = exec.run({ without, worlds.hob(), "lua", "spec/run.lua", timeout = 200, ... })
    return result, result.stdout:match("FAILED.*$") or result.stdout
  end

  it("is one that the specs can make", function()
    local probe = dir .. "/probe.lua"
    assert(fs.write(probe, [[
      local exec = require("hob.exec")
      local child = exec.spawn{ "cat" } -- libuv handles the signal for as long as there is one
      for line in io.lines("/proc/self/status") do
        if line:match("^SigCgt") then print(line) end
      end
      child:kill("KILL")
      child:wait()]]))
    local function handles_sigchld(...)
      local text = exec.check({ ... }).stdout
      return tonumber(text:match("SigCgt:%s*(%x+)"), 16) & (1 << (17 - 1)) ~= 0
    end
    assert.is_true(handles_sigchld(without, worlds.hob(), "lua", probe))
    assert.is_true(handles_sigchld(without, "wait", worlds.hob(), "lua", probe))
    assert.is_false(handles_sigchld(worlds.hob(), "lua", probe))
  end)

  it("has programs started and ended as on any other", function()
    local result, last = run("spec/unit/exec_spec.lua", "spec/unit/power_spec.lua")
    assert.equal(0, result.code, last)
  end)
end)
