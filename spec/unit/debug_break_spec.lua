-- Where a job stops for a person: breakpoints, conditions, counts, log points, steps, errors; seen
-- through hob.debug, beside a handler on the bench in the same process. How it is held:
-- debug_hold_spec.lua.

local debugged = require("spec.support.debugged")
local fs = require("hob.fs")
local wait_until = require("spec.support.wait").wait_until

-- Lines as in the editor: the text begins at line 1.
local function handler(body)
  return (body:gsub("^\n", ""))
end

local LOOP = handler [[
return { api = 1, run = function(job)
  local sum = 0
  for i = 1, 20 do
    local square = i * i
    sum = sum + square
  end
  return { sum = tostring(sum) }
end }
]]

describe("the debugger", function()
  describe("a breakpoint", function()
    it("shows the local of the line before it", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local x = 6 * 7
  local y = x + 1
  return { y = tostring(y) }
end }
]], { breaks = { 3 } })
      local stop = work:stopped()
      assert.same({ "breakpoint", work.file, 3 }, { stop.reason, stop.file, stop.line })
      assert.same({ work.set[1].id }, stop.breakpoints)
      assert.equal("42", work:value("x"))
      assert.equal("43", work:finish().details.y)
    end)

    it("stops each time it is come to, and no more once it is taken away", function()
      local work <close> = debugged.run(LOOP, { breaks = { 5 } })
      work:stopped()
      assert.equal("1", work:value("i"))
      work:go("continue")
      assert.equal("2", work:value("i"))
      assert.same({}, work.session:breakpoints(work.file, {}))
      assert.equal("2870", work:finish().details.sum)
      assert.is_nil(work:event("stopped"))
    end)

    it("stops in modules that the handler requires, and in its coroutines", function()
      local work <close> = debugged.run(handler [[
local other = require("other")
return { api = 1, run = function(job)
  local sum = 0
  for n in coroutine.wrap(function()
    for i = 1, 3 do
      local n = other.double(i)
      coroutine.yield(n)
    end
  end) do
    sum = sum + n
  end
  return { sum = tostring(sum) }
end }
]], { breaks = { 7 }, files = { ["lib/other.lua"] = "return {\n  double = function(n)\n" ..
        "    local twice = n * 2\n    return twice\n  end }\n" } })
      work:stopped()
      assert.equal("2", work:value("n"))
      assert.same({ 4 }, { work.session:breakpoints("lib/other.lua", { { line = 4 } })[1].line })
      local stop = work:go("continue")
      assert.equal(4, stop.line)
      assert.equal("4", work:value("twice"))
      work.session:breakpoints("lib/other.lua", {})
      work.session:breakpoints(work.file, {})
      assert.equal("12", work:finish().details.sum)
    end)

    it("on a line without code moves to the next one that has some", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local x = 1

  -- a comment
  return { x = tostring(x) }
end }
]], { breaks = { 3, 99 } })
      assert.same({ true, 5 }, { work.set[1].verified, work.set[1].line })
      assert.matches("moved", work.set[1].message)
      assert.is_false(work.set[2].verified)
      assert.matches("no code", work.set[2].message)
      assert.equal(5, work:stopped().line)
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("stops in a callback, while the job itself waits", function()
      local work <close> = debugged.run(handler [[
local time = require("hob.time")
return { api = 1, run = function(job)
  local n = 0
  time.after(0, function()
    n = n + 1
    n = n + 1
  end)
  while n < 2 do
    job:sleep(0.005)
  end
  return { n = tostring(n) }
end }
]], { breaks = { 6 } })
      work:stopped()
      assert.equal(6, work.session:stack(work.thread, { first = 0, count = 1 })[1].line)
      assert.equal("2", work:finish().details.n)
    end)

    it("that cannot stop where it is says so, once, and the job goes on", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local list = { 3, 1, 2 }
  table.sort(list, function(a, b)
    return a < b
  end)
  return { first = tostring(list[1]) }
end }
]], { breaks = { 4 } })
      assert.equal("1", work:finish().details.first)
      assert.equal(1, #work:outputs())
      assert.matches("work.lua:4 cannot stop there", work:outputs()[1])
    end)

    it("is not met by what is not this file", function()
      local work <close> = debugged.run(LOOP, {})
      local set = work.session:breakpoints("/nowhere/work.lua", { { line = 5 } })
      assert.is_false(set[1].verified)
      assert.matches("nowhere", set[1].message)
      assert.equal("SUCCEEDED", work:finish().status)
    end)
  end)

  describe("a condition", function()
    it("stops only where it is true", function()
      local work <close> = debugged.run(LOOP, { breaks = { { line = 5, condition = "i == 7" } } })
      work:stopped()
      assert.same({ "7", "49" }, { work:value("i"), work:value("square") })
      assert.equal("2870", work:finish().details.sum)
      assert.is_nil(work:event("stopped"))
    end)

    it("that raises stops, and says what it said", function()
      local work <close> = debugged.run(LOOP,
        { breaks = { { line = 5, condition = "i > 2 and nothing.at.all" } } })
      local stop = work:stopped()
      assert.equal("3", work:value("i"))
      assert.matches("condition of this breakpoint failed.*nothing", stop.text)
      work.session:breakpoints(work.file, {})
      work:finish()
    end)

    it("that never ends delays nobody, and stops with that reason", function()
      local time = require("hob.time")
      local work <close> = debugged.run(LOOP, { breaks = {
        { line = 5, condition = "(function() while true do end end)()" } } })
      local longest, last, ticks = 0, time.mono(), 0
      local timer = time.every and time.every(0.005, function() end) or nil
      local going = true
      local function tick()
        longest, last, ticks = math.max(longest, time.mono() - last), time.mono(), ticks + 1
        if going then
          time.after(0.001, tick)
        end
      end
      tick()
      local stop = work:stopped()
      going = false
      if timer then timer:cancel() end
      assert.matches("took more than 1 s of processor time", stop.text)
      assert.is_true(ticks > 50, ticks .. " turns of others while it ran")
      work.session:breakpoints(work.file, {})
      assert.equal("2870", work:finish().details.sum)
    end)

    it("that cannot be compiled is refused where it is set", function()
      local work <close> = debugged.run(LOOP, { breaks = { { line = 5, condition = "i ==" } } })
      assert.is_false(work.set[1].verified)
      assert.matches("condition", work.set[1].message)
      assert.equal("SUCCEEDED", work:finish().status)
      assert.is_nil(work:event("stopped"))
    end)
  end)

  describe("a hit count", function()
    local function values_of(hit, condition)
      local work <close> = debugged.run(LOOP, { breaks = {
        { line = 5, hit = hit, condition = condition } } })
      local values = {}
      local ok, _ = pcall(function()
        work:stopped()
        while true do
          values[#values + 1] = tonumber(work:value("i"))
          work:go("continue")
        end
      end)
      assert.is_false(ok)
      assert.equal("2870", work:finish().details.sum)
      return values
    end

    it("counts the passes, in each of its forms", function()
      assert.same({ 18, 19, 20 }, values_of("18"))
      assert.same({ 20 }, values_of(">19"))
      assert.same({ 4 }, values_of("== 4"))
      assert.same({ 1, 2 }, values_of("<3"))
      assert.same({ 7, 14 }, values_of("%7"))
    end)

    it("counts only those in which the condition is true", function()
      assert.same({ 10, 20 }, values_of("%2", "i % 5 == 0"))
    end)

    it("of another form is refused", function()
      local work <close> = debugged.run(LOOP, { breaks = { { line = 5, hit = "often" } } })
      assert.is_false(work.set[1].verified)
      assert.matches("hit count often", work.set[1].message)
      work:finish()
    end)
  end)

  describe("a log point", function()
    it("says its text each time, and does not stop", function()
      local work <close> = debugged.run(LOOP, { breaks = {
        { line = 5, log = "i is {i}, its square {square}", condition = "i > 18" } } })
      assert.equal("2870", work:finish().details.sum)
      assert.same({ "i is 19, its square 361", "i is 20, its square 400" }, work:outputs())
      assert.is_nil(work:event("stopped"))
    end)
  end)

  describe("a step", function()
    local CALLS = handler [[
local function inner(n)
  local m = n + 1
  return m
end
return { api = 1, run = function(job)
  local a = inner(1)
  local b = inner(a)
  local ok = pcall(function()
    local c = inner(b)
    error("on purpose")
  end)
  local d = job:step("one", function()
    local e = inner(5)
    return e
  end)
  job:sleep(0.01)
  return { d = tostring(d), ok = tostring(ok) }
end }
]]

    local function path_of(work, ways)
      local lines = { work:stopped().line }
      for _, way in ipairs(ways) do
        lines[#lines + 1] = work:go(way).line
      end
      return lines
    end

    it("over a call stops behind it, in into it, out where it was called from", function()
      local work <close> = debugged.run(CALLS, { breaks = { 6 } })
      assert.same({ 6, 7, 2, 3, 8 }, path_of(work, { "over", "in", "over", "out" }))
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("goes through pcall, and over an error that it catches", function()
      local work <close> = debugged.run(CALLS, { breaks = { 8 } })
      -- the closure ends at line 11: that is where it is made, and then it is called
      assert.same({ 8, 11, 8, 9, 10, 12 }, path_of(work, { "in", "in", "in", "over", "over" }))
      assert.equal("false", work:value("ok"))
      work:finish()
    end)

    it("passes over Hob's own files: into a job:step, and out of it", function()
      local work <close> = debugged.run(CALLS, { breaks = { 12 } })
      assert.same({ 12, 15, 12, 13, 2, 3, 14, 16 },
        path_of(work, { "in", "in", "in", "in", "over", "out", "out" }))
      work:finish()
    end)

    it("over a job:step, or a call that waits, stops behind it", function()
      local work <close> = debugged.run(CALLS, { breaks = { 12 } })
      assert.same({ 12, 15, 12, 16, 17 }, path_of(work, { "over", "over", "over", "over" }))
      assert.equal("6", work:value("d"))
      work:finish()
    end)

    it("over the last line lets the job end", function()
      local work <close> = debugged.run(CALLS, { breaks = { 17 } })
      work:stopped()
      assert(work.session:step(work.thread, "over"))
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("follows into coroutines and back, and steps over them", function()
      local text = handler [[
return { api = 1, run = function(job)
  local next_of = coroutine.wrap(function()
    local one = 1
    coroutine.yield(one)
    local two = 2
    return two
  end)
  local a = next_of()
  local b = next_of()
  return { sum = tostring(a + b) }
end }
]]
      do
        local work <close> = debugged.run(text, { breaks = { 8 } })
        assert.same({ 8, 3, 4, 9, 5, 6, 10 },
          path_of(work, { "in", "in", "in", "in", "in", "in" }))
        assert.equal("3", work:finish().details.sum)
      end
      local work <close> = debugged.run(text, { breaks = { 8 } })
      assert.same({ 8, 9, 10 }, path_of(work, { "over", "over" }))
      work:finish()
    end)

    it("out of a coroutine stops where it was resumed", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local co = coroutine.create(function()
    local x = 1
    x = x + 1
    return x
  end)
  local ok, x = coroutine.resume(co)
  return { x = tostring(x) }
end }
]], { breaks = { 4 } })
      assert.same({ 4, 8 }, path_of(work, { "out" }))
      assert.equal("2", work:value("x"))
      work:finish()
    end)

    it("over a tail call does not go into what takes its place", function()
      local work <close> = debugged.run(handler [[
local function last(n)
  local m = n * 2
  return m
end
local function middle(n)
  return last(n)
end
return { api = 1, run = function(job)
  local a = middle(4)
  return { a = tostring(a) }
end }
]], { breaks = { 6 } })
      assert.same({ 6, 10 }, path_of(work, { "over" }))
      assert.equal("8", work:value("a"))
      work:finish()
    end)
  end)

  describe("a function breakpoint", function()
    it("stops at the first line of the step of that name", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  job:step("first", function()
    return 1
  end)
  job:step("second", function()
    local x = 2
    return x
  end)
end }
]], { steps = { { name = "second" } } })
      local stop = work:stopped()
      assert.same({ "function breakpoint", 6 }, { stop.reason, stop.line })
      assert.same({ work.set[1].id }, stop.breakpoints)
      assert.equal("second", work.session:info(stop.thread).step)
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("takes a name without the number that the steps of AWS documents have", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  job:step("1 first", function() return 1 end)
  job:step("2 second", function()
    return 2
  end)
end }
]], { steps = { { name = "second" } } })
      local stop = work:stopped()
      assert.same({ "function breakpoint", 4 }, { stop.reason, stop.line })
      assert.equal("SUCCEEDED", work:finish().status)
    end)
  end)

  describe("an entry", function()
    it("stops at the first line of the handler's run", function()
      local work <close> = debugged.run(LOOP, { entry = true })
      local stop = work:stopped()
      assert.same({ "entry", 2 }, { stop.reason, stop.line })
      assert.equal("2870", work:finish().details.sum)
    end)
  end)

  describe("an exception", function()
    local FAILS = handler [[
local function fails(n)
  local why = "number " .. n
  error(why)
end
return { api = 1, run = function(job)
  local ok, message = pcall(fails, 1)
  job:step("two", function()
    local deep = 2
    fails(deep)
  end)
end }
]]

    it("that ends the job stops, with the frames as they were where it was raised", function()
      local work <close> = debugged.run(FAILS, { exceptions = { uncaught = true } })
      local stop = work:stopped()
      assert.equal("exception", stop.reason)
      assert.matches("work.lua:3: number 2", stop.text)
      local frames = work.session:stack(stop.thread, { first = 0, count = 10 })
      assert.same({ 3, 9 }, { frames[1].line, frames[2].line })
      assert.equal('"number 2"', work:value("why"))
      local record = work:finish()
      assert.equal("FAILED", record.status)
      assert.matches("number 2", record.details.reason)
    end)

    it("that is caught stops too, if each one is wanted", function()
      local work <close> = debugged.run(FAILS, { exceptions = { raised = true } })
      assert.matches("number 1", work:stopped().text)
      assert.matches("number 2", work:go("continue").text)
      work:finish()
    end)

    it("is not one that Hob's own files catch among themselves, nor an engine error", function()
      local work <close> = debugged.run(handler [[
local json = require("hob.json")
return { api = 1, run = function(job)
  local value, why = json.decode("no JSON")
  job:reject("not here: " .. tostring(why ~= nil))
end }
]], { exceptions = { raised = true, uncaught = true } })
      assert.equal("REJECTED", work:finish().status)
      assert.is_nil(work:event("stopped"))
    end)

    it("in what was begun before anybody looked is told once it is caught", function()
      local work <close> = debugged.run(handler [[
local fs = require("hob.fs")
return { api = 1, run = function(job)
  while not fs.stat("go") do
    job:sleep(0.005)
  end
  error("late")
end }
]], { attach = false })
      wait_until(function() return work.session:jobs()[1] end, 20, "the job")
      assert(work.session:attach())
      work.session:exceptions({ uncaught = true })
      local job = work.data .. "/work"
      assert(fs.write(job .. "/" .. assert(fs.list(job))[1] .. "/go", ""))
      local stop = work:stopped()
      assert.equal("exception", stop.reason)
      assert.matches("work.lua:6: late.*its frames are gone", stop.text)
      assert.equal("FAILED", work:finish().status)
    end)

    it("in what Hob's own files began before anybody looked, and catch, is none", function()
      local work <close> = debugged.run(handler [[
local fs = require("hob.fs")
return { api = 1, run = function(job)
  local ok = pcall(job.step, job, "waits", function()
    while not fs.stat("go") do
      job:sleep(0.005)
    end
    error("in the step")
  end)
  return { ok = tostring(ok) }
end }
]], { attach = false })
      wait_until(function() return work.session:jobs()[1] end, 20, "the job")
      assert(work.session:attach())
      work.session:exceptions({ uncaught = true })
      local job = work.data .. "/work"
      assert(fs.write(job .. "/" .. assert(fs.list(job))[1] .. "/go", ""))
      assert.equal("false", work:finish().details.ok)
      assert.is_nil(work:event("stopped"))
    end)

    -- The hook that holds the job after an error is the line's own: it is not called again.
    it("that is caught hides neither a breakpoint nor a step at the line behind it", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local caught = pcall(error, "once")
  local behind = 1
  caught = pcall(error, "twice")
  local last = behind + 1
  return { last = tostring(last) }
end }
]], { exceptions = { raised = true }, breaks = { 3 } })
      assert.equal("exception", work:stopped().reason)
      local stop = work:go("continue")
      assert.same({ "breakpoint", 3 }, { stop.reason, stop.line })
      assert.equal("false", work:value("caught"))
      assert.matches("twice", work:go("continue").text)
      stop = work:go("over")
      assert.same({ "step", 5 }, { stop.reason, stop.line })
      assert.equal("1", work:value("behind"))
      assert.equal(6, work:go("over").line)
      assert.equal("2", work:finish().details.last)
      assert.is_nil(work:event("stopped"))
    end)

    it("in a callback is one, and the job goes on", function()
      local work <close> = debugged.run(handler [[
local time = require("hob.time")
return { api = 1, run = function(job)
  time.after(0, function()
    local why = "in the callback"
    error(why)
  end)
  job:sleep(0.05)
  return { ok = "yes" }
end }
]], { exceptions = { uncaught = true } })
      local stop = work:stopped()
      assert.matches("in the callback", stop.text)
      assert.equal('"in the callback"', work:value("why"))
      assert.equal("yes", work:finish().details.ok)
    end)

    it("in a coroutine of the handler's is seen where it is raised", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local step = coroutine.wrap(function()
    local inside = "here"
    error("in the coroutine")
  end)
  step()
end }
]], { exceptions = { uncaught = true } })
      local stop = work:stopped()
      assert.matches("in the coroutine", stop.text)
      local frames = work.session:stack(stop.thread, { first = 0, count = 10 })
      assert.same({ 4, 6 }, { frames[1].line, frames[2].line })
      assert.same({ 2, 1, 2 }, { frames[1].coroutine, frames[2].coroutine, #frames })
      assert.equal('"here"', work:value("inside"))
      local step = work.session:evaluate("type(step)", { thread = stop.thread,
        frame = frames[2].id })
      assert.equal('"function"', step[1].value)
      assert.equal("FAILED", work:finish().status)
    end)
  end)
end)
