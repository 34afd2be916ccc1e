-- Whatever a person asks for at the stops of a job, in whatever order, the job comes to what it
-- comes to without him. The orders are made up, but the same in each run.

local debugged = require("spec.support.debugged")
local wait_until = require("spec.support.wait").wait_until

-- Coroutines in coroutines that wait, callbacks of C functions, metamethods, <close>, errors of all
-- kinds, steps, timers: 99 in the end.
local TEXT = [[
local time = require("hob.time")
local function deep(n) if n == 0 then return 0 end return 1 + deep(n - 1) end
local function gen(n) return coroutine.wrap(function()
    for i = 1, n do coroutine.yield(i) if i == 3 then time.sleep(0.001) end end
  end) end
return { api = 1, cpu = 0, run = function(job)
  local sum = 0
  for round = 1, 3 do
    for i in gen(5) do sum = sum + i end
    local list = {}
    for i = 1, 8 do list[i] = (i * 7) % 5 end
    table.sort(list, function(a, b)
      return a < b
    end)
    local t = setmetatable({}, { __index = function(_, k)
      local v = k .. "x"
      return v
    end })
    sum = sum + #t.abc + deep(5)
    pcall(function()
      local guard <close> = setmetatable({}, { __close = function()
        sum = sum + 1
        sum = sum + 1
      end })
      error({ message = "round " .. round })
    end)
    xpcall(function() error("x") end, function(m)
      local n = #m
      return n
    end)
    local co = coroutine.create(function()
      local inner = coroutine.wrap(function()
        time.sleep(0)
        coroutine.yield(1)
        error("inside")
      end)
      inner()
      inner()
    end)
    coroutine.resume(co)
    coroutine.close(co)
    job:step("s" .. round, function()
      local x = ("a,b,c"):gsub("%a", function(c)
        return c:upper()
      end)
      job:critical(function()
        sum = sum + #x
      end)
      return sum
    end)
    time.after(0, function()
      sum = sum + 1
      sum = sum + 1
    end)
    job:break_here()
    job:sleep(0.001)
  end
  return { sum = tostring(sum) }
end }
]]

local STOPS_MAX = 120

local function numbers(seed)
  return function(below)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return (seed >> 8) % below
  end
end

local function next_stop(work)
  local found
  wait_until(function()
    for i, event in ipairs(work.events) do
      if event.event == "stopped" then
        found = table.remove(work.events, i)
        return true
      end
    end
    return work.record
  end, 20, "a stop, or the end")
  return found
end

local function look(work, stop, number)
  local frames = assert(work.session:stack(stop.thread, { count = 20, own = number(2) == 0 }))
  if frames[1] then
    for _, scope in ipairs(work.session:scopes(frames[1].id)) do
      assert(work.session:variables(scope.ref, { count = 20 }))
    end
    local results = assert(work.session:evaluate("1 + 1",
      { thread = stop.thread, frame = frames[1].id }))
    assert.equal("2", results[1].value)
  end
end

local function ask(work, stop, number)
  local which = number(40)
  if which < 15 then
    work.session:step(stop.thread, "in")
  elseif which < 25 then
    work.session:step(stop.thread, "over")
  elseif which < 32 then
    work.session:step(stop.thread, "out")
  elseif which < 36 then
    work.session:continue(stop.thread)
  else
    work.session:step(stop.thread, "over")
    work.session:pause(stop.thread)
  end
end

describe("a job that is stopped, looked at and stepped through", function()
  for seed = 1, 5 do
    it(("comes to what it comes to without that (order %d)"):format(seed), function()
      local number = numbers(seed)
      local work <close> = debugged.run(TEXT, {
        entry = true, exceptions = { raised = number(2) == 0, uncaught = true },
        breaks = { { line = 9, condition = number(2) == 0 and "i > 2" or nil, log = "i {i}" },
          22, 34, { line = 47, hit = "%2" } },
        steps = { { name = "s2" } },
      })
      local stops = 0
      while stops < STOPS_MAX do
        local stop = next_stop(work)
        if not stop then
          break
        end
        stops = stops + 1
        look(work, stop, number)
        ask(work, stop, number)
      end
      assert(work.session:detach())
      wait_until(function() return work.record end, 20, "the end")
      assert.same({ "SUCCEEDED", "99" }, { work.record.status, work.record.details.sum })
      assert.is_true(stops > 5, stops .. " stops")
    end)
  end
end)
