-- Expressions in the middle of a job that waits or is held: hob.debug's evaluate, set, complete.

local debugged = require("spec.support.debugged")
local time = require("hob.time")
local looking = require("spec.support.looking")
local wait_until = require("spec.support.wait").wait_until

local waits, in_run, frame_of = looking.waits, looking.in_run, looking.frame_of
local scope_of = looking.scope_of
local locals_of, by_name, values_of = looking.locals_of, looking.by_name, looking.values_of
local ask = looking.ask
local finish = looking.finish

describe("hob.debug", function()
  describe("a job that has used all its memory", function()
    local FULL = [[
return { api = 1, run = function(job)
  local keep = {}
  for i = 1, 11000 do keep[i] = { ("x"):rep(200) .. i } end
  nap()
end }
]]

    -- The job with the least memory with which it works, to 32 KB.
    local function tight()
      local low, high = 1024, 65536
      while high - low > 32 do
        local middle = (low + high) // 2
        local work <close> = debugged.run(looking.HEAD .. FULL,
          { bench = { memory = middle * 1024 } })
        local function waiting()
          local job = work.session:jobs()[1]
          work.thread = job and job.thread
          return job and job.state == "waiting"
        end
        wait_until(function() return work.record or waiting() end, 20, "its end or its wait")
        if work.record then
          low = middle
        else
          high = middle
          finish(work)
        end
      end
      return waits(FULL, { bench = { memory = high * 1024 } })
    end

    it("can be looked into, and does not end because somebody did", function()
      local work <close> = tight()
      local keep = locals_of(work, "run").keep
      assert.equal("{…} 11000 items", keep.value)
      for first = 0, 10000, 1000 do
        assert(work.session:variables(keep.ref, { first = first, count = 1000 }))
      end
      assert.equal("11000", ask(work, "#keep"))
      local _, message, code =
        ask(work, "(function() local t = {} while true do t[#t + 1] = {} end end)()")
      assert.equal("ENOMEM", code)
      assert.matches("memory", message)
      assert.equal("waiting", work.session:jobs()[1].state)
      assert.equal("CANCELLED", finish(work).details.code)
    end)
  end)

  describe("evaluate", function()
    it("sees locals, then upvalues, then globals, and gives all results", function()
      local work <close> = waits([[
local up = { deep = { "found" } }
glob = "global"
return { api = 1, run = function(job)
  local x, list = 42, { 1, 2 }
  nap()
  return up
end }
]])
      assert.equal("42", ask(work, "x"))
      assert.equal('"found" "global" 2', ask(work, "up.deep[1], glob, #list"))
      assert.equal("nil", ask(work, "nothing"))
      assert.equal("", ask(work, ""))
      assert.equal("6", ask(work, "local s = 0 for i = 1, 3 do s = s + i end return s"))
      assert.equal('"bench-1"', ask(work, "job.id"))
      finish(work)
    end)

    it("shows 4,000 bytes of a string that is asked for alone, 200 of one among others", function()
      local work <close> = in_run([[local text = ("line\n"):rep(2000)]])
      assert.equal('"' .. ("line\\n"):rep(800) .. '"... (10000 bytes)', ask(work, "text"))
      local short = '"' .. ("line\\n"):rep(40) .. '"... (10000 bytes)'
      assert.equal(short .. " " .. short, ask(work, "text, text"))
      assert.equal(short, locals_of(work, "run").text.value)
      finish(work)
    end)

    it("sees no local without a frame", function()
      local work <close> = in_run("local x = 1 glob = 5")
      local results = work.session:evaluate("x, glob", { thread = work.thread })
      assert.same({ "nil", "5" }, values_of(results))
      finish(work)
    end)

    it("gives tables that can be looked into", function()
      local work <close> = in_run("local x = 3")
      local result = work.session:evaluate("{ a = { x } }", { frame = frame_of(work, "run").id })[1]
      local a = work.session:variables(result.ref)[1]
      assert.same({ "a", "3" }, { a.name, work.session:variables(a.ref)[1].value })
      finish(work)
    end)

    it("says what is wrong, with the traceback of the expression alone", function()
      local work <close> = in_run([[local function fails() error("on purpose") end]])
      local _, message, code = ask(work, "1 + fails()")
      assert.equal("EHANDLER", code)
      assert.matches("^%S+work.lua:4: on purpose\n", message)
      assert.matches("work.lua:4: in function fails\n\texpression:1: in the expression$", message)
      assert.is_nil(message:find("/lib/hob/", 1, true))
      assert.equal("EINVAL", select(3, ask(work, "x x")))
      finish(work)
    end)

    it("says that a text is not finished (EINCOMPLETE)", function()
      local work <close> = in_run("local x = 1")
      for _, text in ipairs({ "x +", "for i = 1, 3 do", "(function()", "{", "[[a", "x = " }) do
        local _, _, code = ask(work, text)
        assert.equal("EINCOMPLETE", code, text)
      end
      finish(work)
    end)

    it("changes nothing until writing is allowed: no local, global or field", function()
      local work <close> = in_run("local x, t = 1, { a = 1 }", "return { x = x, a = t.a }")
      for _, text in ipairs({ "x = 2", "glob = 2", "t.a = 2", "t['a'] = 2", "t[1] = 2",
        "local function f() t.a = 2 end f()", "for i = 1, 2 do x = i end",
        "(function() x = 2 end)()" }) do
        local _, message, code = ask(work, text)
        assert.same({ "EPERM", text }, { code, text })
        assert.matches(":write on", message)
      end
      assert.equal("3", ask(work, "(function() local r = { a = 1, 2 } r.a = 3 return r end)().a"))
      assert.equal("{…} 62 items", ask(work, "{ " .. ("1,"):rep(60) .. " a = 2, b = 3 }"))
      assert.equal("1 1", ask(work, "x, t.a"))
      finish(work)
    end)

    it("changes locals, upvalues, globals and fields once it is", function()
      local work <close> = waits([[
local up = 1
return { api = 1, run = function()
  local x, t = 1, { a = 1 }
  pcall(nap)
  return { all = table.concat({ x, up, tostring(glob), t.a }, " ") }
end }
]])
      assert.equal("EPERM", select(3, work.session:evaluate("x = 1",
        { frame = frame_of(work, "run").id, write = true })))
      work.session:write(true)
      assert.equal("", ask(work, "x, up = 2, 3"))
      assert.equal("", ask(work, "glob = 4"))
      assert.equal("", ask(work, "t.a = 5"))
      assert.equal("2 3 4 5", ask(work, "x, up, glob, t.a"))
      assert.equal("EPERM", select(3, ask(work, "x = 1", { write = false })))
      finish(work)
    end)

    it("cannot wait, and cannot end the job", function()
      local work <close> = in_run("local x = 1")
      assert.matches("waits", select(2, ask(work, "require('hob.time').sleep(1)")))
      assert.matches("waits", select(2, ask(work, "job:sleep(1)")))
      local _, message, code = ask(work, "job:reject('by mistake')")
      assert.equal("EPERM", code)
      assert.matches("cannot end the job", message)
      assert.equal("EPERM", select(3, ask(work, "job:retry_later(1, 'by mistake')")))
      assert.equal("waiting", work.session:jobs()[1].state)
      assert.equal("CANCELLED", finish(work).details.code)
    end)

    it("that never ends takes a second of processor time, and delays nobody", function()
      local work <close> = in_run("local x = 1")
      local turns, going = 0, true
      local function tick()
        turns = turns + 1
        if going then
          time.after(0.001, tick)
        end
      end
      tick()
      local _, message, code = ask(work, "(function() while true do end end)()")
      going = false
      assert.equal("ETIMEDOUT", code)
      assert.matches("1 s of processor time", message)
      assert.is_true(turns > 50, turns .. " turns of others")
      assert.equal("waiting", work.session:jobs()[1].state)
      finish(work)
    end)

    it("is not cheated by an error object that never ends in its own text", function()
      local work <close> = in_run("local x = 1")
      local code = select(3, ask(work,
        "error(setmetatable({}, { __tostring = function() while true do end end }))"))
      assert.equal("ETIMEDOUT", code)
      assert.equal("1", ask(work, "x"))
      finish(work)
    end)

    it("leaves functions behind that still find the globals, but no frame", function()
      local work <close> = debugged.run([[
return { api = 1, run = function(job)
  local x = "local"
  kept = nil
  glob = "global"
  local a = 1
  return { result = kept() }
end }
]], { breaks = { 5 } })
      work:stopped()
      work.session:write(true)
      ask(work, "kept = function() return tostring(x) .. ' ' .. glob end")
      assert.equal("nil global", work:finish().details.result)
    end)

    it("ends with the reason when the job goes on meanwhile (ESTALE)", function()
      local work <close> = debugged.run(looking.HEAD .. [[
return { api = 1, run = function(job)
  local x = 1
  nap()
end }
]], { breaks = { 5 } })
      work:stopped()
      time.after(0.05, function()
        work.session:continue(work.thread)
      end)
      local _, message, code = ask(work, "(function() while true do local y = x end end)()")
      assert.equal("ESTALE", code)
      assert.matches("gone on", message)
      assert.equal("waiting", work.session:jobs()[1].state)
      finish(work)
    end)

    it("ends when the job is cancelled meanwhile", function()
      local work <close> = in_run("local x = 1")
      time.after(0.02, function()
        work.session:cancel(work.thread)
      end)
      local _, _, code = ask(work, "(function() while true do local y = x end end)()")
      assert.is_true(code == "ESTALE" or code == "ECANCELED", tostring(code))
      assert.equal("CANCELLED", work:finish().details.code)
    end)
  end)

  describe("set", function()
    it("gives a local, an upvalue or a member the value of an expression", function()
      local work <close> = waits([[
local up = { 1 }
return { api = 1, run = function(...)
  local x, t = 1, { a = { 1 }, ["two words"] = 1, 10, 20 }
  nap()
  return up, t
end }
]])
      local session = work.session
      local frame = frame_of(work, "run")
      local scope = scope_of(work, frame, "Locals").ref
      assert.equal("EPERM", select(3, session:set(scope, "x", "2")))
      session:write(true)
      local set = assert(session:set(scope, "x", "x + #t"))
      assert.same({ "x", "3" }, { set.name, set.value })
      local t = by_name(session:variables(scope)).t
      assert(session:set(t.ref, "[2]", '"changed"'))
      assert(session:set(t.ref, '["two words"]', "nil"))
      assert(session:set(by_name(session:variables(t.ref)).a.ref, "[1]", "x"))
      assert.equal('3 "changed" nil 3', ask(work, "x, t[2], t['two words'], t.a[1]"))
      assert(session:set(scope_of(work, frame, "Upvalues").ref, "up", "{ 'other' }"))
      assert.equal('"other"', ask(work, "up[1]"))
      assert.equal("ENOENT", select(3, session:set(scope, "nothing", "1")))
      assert.equal("ENOENT", select(3, session:set(t.ref, "nothing", "1")))
      assert.equal("EINVAL", select(3, session:set(scope, "x", "x = 1")))
      assert.equal("EHANDLER", select(3, session:set(scope, "x", "nothing.at.all")))
      finish(work)
    end)
  end)

  describe("complete", function()
    it("offers names of the frame and globals, and fields behind a dot or colon", function()
      local work <close> = in_run([[
        local table_of_mine = { alpha = 1, alert = print, beta = { gamma = 1 } }
        local object = setmetatable({}, { __index = { method = print, member = 1 } })
        string_of_mine = "s"]])
      local frame = frame_of(work, "run").id
      local function complete(text)
        local words, from = work.session:complete(text, { frame = frame })
        return table.concat(words, " "), from
      end
      assert.equal("table table_of_mine", (complete("return tab")))
      assert.equal(8, select(2, complete("return tab")))
      assert.equal("alert alpha", (complete("x = table_of_mine.al")))
      assert.equal(19, select(2, complete("x = table_of_mine.al")))
      assert.equal("gamma", (complete("table_of_mine.beta.")))
      assert.equal("member method", (complete("object.me")))
      assert.equal("method", (complete("object:me")))
      assert.equal("rep reverse", (complete("string_of_mine:re")))
      assert.equal("string string_of_mine", (complete("'a'..stri")))
      for _, text in ipairs({ "1.", "nothing.at.", "object.method.x", "table_of_mine.alpha.",
        "3e" }) do
        assert.equal("", (complete(text)))
      end
      assert.same({ "string_of_mine" },
        (work.session:complete("string_", { thread = work.thread })))
      finish(work)
    end)
  end)
end)
