-- How a person holds a job, and what ends that: pauses, limits, other people, cancels; seen through
-- hob.debug, beside a handler on the bench in the same process. Where it stops:
-- debug_break_spec.lua. In a gateway: spec/integration/debug_spec.lua.

local debugged = require("spec.support.debugged")
local fs = require("hob.fs")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local function handler(body)
  return (body:gsub("^\n", ""))
end

local STOPS = handler [[
return { api = 1, run = function(job)
  local x = 1
  x = x + 1
  return { x = tostring(x) }
end }
]]

local function waits_for(work, what, fn)
  return wait_until(fn, 20, what), work
end

describe("the debugger", function()
  describe("pause", function()
    it("stops a job that computes at its next line", function()
      local work <close> = debugged.run(handler [[
return { api = 1, cpu = 0, run = function(job)
  local n, go_on = 0, true
  while go_on do
    n = n + 1
  end
  return { n = tostring(n) }
end }
]], {})
      local thread = work:event("started").thread
      assert(work.session:pause(thread))
      local stop = work:stopped()
      assert.equal("pause", stop.reason)
      assert.is_true(stop.line == 3 or stop.line == 4, "line " .. stop.line)
      assert.equal("held", work.session:info(thread).state)
      work.session:write(true)
      local frame = work.session:stack(thread, { first = 0, count = 1 })[1].id
      assert(work.session:evaluate("go_on = false",
        { thread = thread, frame = frame, write = true }))
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("holds one that waits where it is: what it waits for goes on", function()
      local work <close> = debugged.run(handler [[
local exec = require("hob.exec")
return { api = 1, run = function(job)
  local marker = "first"
  local result = exec.run({ "sh", "-c", "until [ -e go ]; do sleep 0.01; done; touch done" })
  marker = "second"
  return { result = tostring(result.code) }
end }
]], {})
      local thread = work:event("started").thread
      waits_for(work, "the program", function()
        return work.session:info(thread).waitingIn == "hob.exec.run"
      end)
      assert(work.session:pause(thread))
      local stop = work:stopped()
      assert.same({ "pause", 4 }, { stop.reason, stop.line })
      assert.equal('"first"', work:value("marker"))
      local job = work.data .. "/work"
      local dir = job .. "/" .. assert(fs.list(job))[1]
      assert(fs.write(dir .. "/go", ""))
      waits_for(work, "the program's end", function() return fs.stat(dir .. "/done") end)
      time.sleep(0) -- a turn of the loop, in which it would have gone on
      assert.equal("held", work.session:info(thread).state)
      assert.equal('"first"', work:value("marker"))
      assert.equal(5, work:go("over").line)
      assert.equal("0", work:finish().details.result)
    end)

    it("of one that is held already, or is not attached, is said", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      work:stopped()
      assert.is_true(work.session:pause(work.thread))
      local other <close> = work.open("another")
      local ok, message, code = other:pause(work.thread)
      assert.same({ "nil", "EINVAL" }, { type(ok), code })
      assert.matches("attach", message)
      ok, message, code = other:continue(99)
      assert.same({ "nil", "ENOENT" }, { type(ok), code })
      assert.matches("99", message)
      work:finish()
    end)
  end)

  describe("a hold", function()
    it("has a limit, and says why it went on", function()
      local long <close> = debugged.run(STOPS, { breaks = { 3 }, bench = { debug_hold = 60 } })
      local stop = long:stopped()
      assert.is_true(stop.holdLeft <= 60)
      assert.matches("held at most", long.session:info(stop.thread).text)
      long:finish()
      local work <close> = debugged.run(STOPS, { breaks = { 3 }, bench = { debug_hold = 0.2 } })
      local went = work:event("continued")
      assert.matches("the hold's limit", went.text)
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("2", work.record.details.x)
    end)

    it("is no part of the job's own time-out, nor of its elapsed time", function()
      local began = time.mono()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local x = 1
  x = x + 1
  job:sleep(0.2)
end }
]], { breaks = { 3 }, bench = { debug_hold = 3.5, timeout = 3 } })
      work:event("continued")
      assert.is_true(time.mono() - began >= 3.5)
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("SUCCEEDED", work.record.status)
    end)

    it("does not hide that the time is up, once it goes on", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local x = 1
  job:sleep(3600)
end }
]], { breaks = { 3 }, bench = { debug_hold = 0.3, timeout = 0.3 } })
      work:event("continued")
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("TIMED_OUT", work.record.details.code)
    end)

    it("does not count in the time limit of a step", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  return { x = job:step("short", { timeout = 2.5 }, function()
    local x = 1
    x = x + 1
    return tostring(x)
  end) }
end }
]], { breaks = { 4 }, bench = { debug_hold = 3 } })
      work:event("continued")
      wait_until(function() return work.record end, 20, "the end")
      assert.same({ "SUCCEEDED", "2" }, { work.record.status, work.record.details.x })
    end)

    it("ends with a cancel, at once", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      work:stopped()
      work.bench:cancel("a person")
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("CANCELLED", work.record.details.code)
      assert.matches("a person", work:event("continued").text)
      assert.truthy(work:event("ended"))
    end)

    it("ends with a cancel by whoever holds it", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      work:stopped()
      assert(work.session:cancel(work.thread))
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("CANCELLED", work.record.details.code)
      assert.matches("the spec", work.record.details.reason)
    end)

    it("ends with a cancel also in a critical section, which then comes to its end", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  job:critical(function()
    local x = 1
    x = x + 1
    job.log.info("done " .. x)
  end)
  job:sleep(3600)
end }
]], { breaks = { 4, 5 } })
      work:stopped()
      work.bench:cancel("a person")
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("CANCELLED", work.record.details.code)
      assert.equal("done 2", work.record.logs[#work.record.logs - 1].msg:match("done 2")
        or work.record.logs[#work.record.logs].msg)
    end)

    it("ends with the job, when that is given up", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      local thread = work:stopped().thread
      work.bench.core:close()
      assert.truthy(work:event("ended"))
      local ok, _, code = work.session:info(thread)
      assert.same({ "nil", "ENOENT" }, { type(ok), code })
    end)

    it("delays neither timers nor other jobs of the process", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      work:stopped()
      local other <close> = debugged.run(STOPS, { attach = false })
      wait_until(function() return other.record end, 20, "the other one's end")
      assert.equal("SUCCEEDED", other.record.status)
      assert.is_nil(work.record)
      work:finish()
    end)
  end)

  describe("several sessions", function()
    it("hear of each stop, and who let it go on", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      local stop = work:stopped()
      local other, events = work.open("process 88 of root")
      work.others[1] = other
      assert(other:attach(stop.thread))
      wait_until(function() return events[1] end, 20, "the stop that there is")
      assert.same({ "stopped", 3 }, { events[1].event, events[1].line })
      assert(other:continue(stop.thread))
      assert.equal("process 88 of root", work:event("continued").text)
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("have breakpoints of their own, for jobs that they are attached to", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      local other = work.open("another")
      work.others[1] = other
      other:breakpoints(work.file, { { line = 4 } })
      work:stopped()
      assert(work.session:continue(work.thread))
      wait_until(function() return work.record end, 20, "the end")
      assert.is_nil(work:event("stopped"))
    end)

    it("that goes away lets the job go on", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      work:stopped()
      work.session:close()
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("SUCCEEDED", work.record.status)
    end)

    it("that goes away leaves it held for the others", function()
      local work <close> = debugged.run(STOPS, { breaks = { 3 } })
      local stop = work:stopped()
      local other = work.open("another")
      work.others[1] = other
      assert(other:attach(stop.thread))
      assert(work.session:detach())
      time.sleep(0.05)
      assert.is_nil(work.record)
      assert.equal("held", other:info(stop.thread).state)
      assert(other:continue(stop.thread))
      wait_until(function() return work.record end, 20, "the end")
    end)

    it("200 times attached and detached change nothing", function()
      local work <close> = debugged.run(handler [[
return { api = 1, cpu = 0, run = function(job)
  local n = 0
  while not job.dir_is_there do
    n = n + 1
    if require("hob.fs").stat("stop") then break end
    job:sleep(0.001)
  end
  return { ok = "yes" }
end }
]], { attach = false })
      wait_until(function() return #work.session:jobs() == 1 end, 20, "the job")
      local thread = work.session:jobs()[1].thread
      for i = 1, 200 do
        local other <close> = work.open("number " .. i)
        assert(other:attach(thread))
        other:breakpoints(work.file, { { line = 4 } })
        if i % 2 == 0 then
          assert(other:pause(thread))
        end
      end
      local job = work.data .. "/work"
      assert(fs.write(job .. "/" .. assert(fs.list(job))[1] .. "/stop", ""))
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("yes", work.record.details.ok)
    end)
  end)

  describe("job:break_here", function()
    local BREAKS = handler [[
return { api = 1, run = function(job)
  local x = 41
  job:break_here()
  x = x + 1
  return { x = tostring(x) }
end }
]]

    it("does nothing while nobody is attached", function()
      local work <close> = debugged.run(BREAKS, { attach = false })
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("42", work.record.details.x)
    end)

    it("stops where it stands, if somebody is", function()
      local work <close> = debugged.run(BREAKS, {})
      local stop = work:stopped()
      assert.same({ "break_here", 3 }, { stop.reason, stop.line })
      assert.equal("41", work:value("x"))
      assert.equal(4, work:go("over").line)
      assert.equal("42", work:finish().details.x)
    end)

    it("waits for somebody, if the debugger was told to wait", function()
      local work <close> = debugged.run(BREAKS,
        { attach = false, bench = { wait_debugger = true } })
      local session = work.session
      local function job() return session:jobs()[1] end
      wait_until(function() return job() and job().state == "held" end, 20, "the hold")
      assert(session:attach(job().thread))
      local stop = work:stopped()
      assert.same({ "break_here", 3 }, { stop.reason, stop.line })
      assert.equal("42", work:finish().details.x)
    end)

    it("waits no longer than a hold may last", function()
      local work <close> = debugged.run(BREAKS, { attach = false,
        bench = { wait_debugger = true, debug_hold = 0.2 } })
      wait_until(function() return work.record end, 20, "the end")
      assert.equal("42", work.record.details.x)
    end)

    it("where nothing can wait goes on, and says so", function()
      local work <close> = debugged.run(handler [[
return { api = 1, run = function(job)
  local list = { 2, 1 }
  table.sort(list, function(a, b)
    job:break_here()
    return a < b
  end)
end }
]], {})
      assert.equal("SUCCEEDED", work:finish().status)
      assert.matches("cannot stop inside a callback", work:outputs()[1])
    end)
  end)
end)
