-- Tasks, seen from Lua: `hob lua` runs its chunk as one, so this spec is one too.

local exec = require("hob.exec")
local lfs = require("lfs")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

-- Counts the loop's turns while `fn` runs: 0 if it never let the loop go on.
local function turns_while(fn)
  local turns, timer = -1, nil
  local function tick()
    turns = turns + 1
    timer = time.after(0, tick)
  end
  tick()
  fn()
  timer:cancel()
  return turns
end

local function spin(n)
  local x = 0
  for i = 1, n do
    x = x + i
  end
  return x
end

describe("task", function()
  describe("a suspending call", function()
    it("returns its results to where it stands, while the loop goes on", function()
      local turns = turns_while(function()
        assert.equal("x\n", exec.run({ "echo", "x" }).stdout)
        time.sleep(0.001) -- a quick child may be there at the loop's first turn
      end)
      assert.is_true(turns > 0)
    end)

    it("passes through pcall, xpcall, iterators and metamethods", function()
      local t = setmetatable({}, {
        __index = function(_, key)
          time.sleep(0)
          return key .. "!"
        end,
      })
      local function iterate()
        return function(_, i)
          time.sleep(0)
          if i < 2 then
            return i + 1
          end
        end, nil, 0
      end
      local seen = {}
      local ok, got = pcall(function()
        for i in iterate() do
          seen[#seen + 1] = i
        end
        return select(2, xpcall(function() return t.a end, debug.traceback))
      end)
      assert.is_true(ok)
      assert.equal("a!", got)
      assert.same({ 1, 2 }, seen)
    end)

    it("passes through the script's own coroutines, which keep their own yields", function()
      local gen = coroutine.wrap(function(first)
        for i = first, first + 2 do
          time.sleep(0)
          local inner = coroutine.create(function()
            time.sleep(0)
            coroutine.yield(i * 10)
          end)
          local _, value = coroutine.resume(inner)
          coroutine.yield(value)
        end
      end)
      assert.same({ 10, 20, 30 }, { gen(1), gen(), gen() })
    end)

    it("raises inside a callback of table.sort, naming the reason", function()
      local ok, message = pcall(table.sort, { 3, 2, 1 }, function(a, b)
        time.sleep(0)
        return a < b
      end)
      assert.is_false(ok)
      assert.matches("not possible here", message)
    end)

    it("raises in a coroutine that is driven from table.sort", function()
      local ok, message = pcall(table.sort, { 3, 2, 1 }, function(a, b)
        coroutine.wrap(function() time.sleep(0) end)()
        return a < b
      end)
      assert.is_false(ok)
      assert.matches("not possible here", message)
    end)
  end)

  describe("the forced yield", function()
    it("lets the loop go on during a tight loop", function()
      assert.is_true(turns_while(function() spin(2e6) end) > 5)
    end)

    it("lets the loop go on from inside coroutines and protected calls", function()
      local sum
      local turns = turns_while(function()
        sum = coroutine.wrap(function()
          return select(2, pcall(function()
            return coroutine.wrap(function() return spin(2e6) end)()
          end))
        end)()
      end)
      assert.equal(spin(2e6), sum)
      assert.is_true(turns > 5)
    end)

    it("is not seen by the script: results and errors are as without it", function()
      local co = coroutine.create(function(a)
        local b = coroutine.yield(spin(1e5) + a)
        spin(1e5)
        error("end " .. b, 0)
      end)
      assert.same({ true, spin(1e5) + 1 }, { coroutine.resume(co, 1) })
      assert.same({ false, "end 2" }, { coroutine.resume(co, 2) })
      assert.equal("dead", coroutine.status(co))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
    end)
  end)

  describe("coroutine functions", function()
    it("behave as Lua's own", function()
      local co
      co = coroutine.create(function()
        assert.equal("running", coroutine.status(co))
        assert.is_false(select(2, coroutine.running()))
        assert.is_true(coroutine.isyieldable())
        coroutine.wrap(function() assert.equal("normal", coroutine.status(co)) end)()
        coroutine.yield()
      end)
      assert.equal("suspended", coroutine.status(co))
      assert.is_true(coroutine.resume(co))
      assert.is_true(coroutine.close(co))
      assert.equal("dead", coroutine.status(co))
      assert.is_true(select(2, coroutine.running()))
      assert.is_false(coroutine.isyieldable())
      assert.has_error(coroutine.yield, "attempt to yield from outside a coroutine")
    end)

    it("close what a failed wrap left open", function()
      local closed = false
      local f = coroutine.wrap(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        error("boom", 0)
      end)
      assert.is_false(pcall(f))
      assert.is_true(closed)
    end)

    it("refuse to resume a coroutine that another task waits in", function()
      local co = coroutine.create(function() time.sleep(3600) end)
      local timer = time.after(0, function() coroutine.resume(co) end)
      wait_until(function() return coroutine.status(co) == "normal" end, 5, "the coroutine to wait")
      assert.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(co) })
      assert.has_error(function() coroutine.close(co) end, "cannot close a normal coroutine")
      timer:cancel()
    end)
  end)

  describe("a finalizer that runs when the state is closed", function()
    it("may call pcall, and starts nothing", function()
      local hob = lfs.symlinkattributes("/proc/self/exe", "target")
      local result = assert(exec.run{ hob, "lua", "-e", [[
          local time = require("hob.time")
          kept = setmetatable({}, { __gc = function()
            print(pcall(error, "planted", 0))
            print(pcall(time.sleep, 1))
            print(pcall(time.after, 0, function() print("ran") end))
          end })
        ]] })
      local lines = {}
      for line in result.stdout:gmatch("[^\n]+") do
        lines[#lines + 1] = line:match("^%a+")
      end
      assert.same({ 0, "" }, { result.code, result.stderr })
      assert.same({ "false", "false", "false" }, lines)
      assert.matches("the script has ended: nothing can be started any more", result.stdout, 1,
        true)
      assert.matches("^false\tplanted\n", result.stdout)
    end)
  end)

  describe("a callback from the loop", function()
    it("is a task of its own, so it may suspend", function()
      local order = {}
      time.after(0, function()
        order[#order + 1] = "a"
        time.sleep(0)
        exec.run({ "true" })
        order[#order + 1] = "b"
      end)
      wait_until(function() return #order == 2 end, 5, "the callback to end")
      assert.same({ "a", "b" }, order)
    end)

    it("starts in the order of the events", function()
      local order = {}
      for i = 1, 20 do
        time.after(0, function() order[#order + 1] = i end)
      end
      wait_until(function() return #order == 20 end, 5, "twenty timers")
      for i = 1, 20 do
        assert.equal(i, order[i])
      end
    end)

    it("does not run once its timer is cancelled", function()
      local ran = false
      local timer = time.after(0, function() ran = true end)
      timer:cancel()
      timer:cancel()
      time.sleep(0.01)
      assert.is_false(ran)
    end)
  end)
end)
