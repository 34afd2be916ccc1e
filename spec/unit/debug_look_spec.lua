-- What a person sees of a job that waits or is held: hob.debug's stack, scopes, variables, source.
-- Expressions: debug_eval_spec.lua. Where a job stops: debug_break_spec.lua.

local debugged = require("spec.support.debugged")
local fs = require("hob.fs")
local time = require("hob.time")
local looking = require("spec.support.looking")
local wait_until = require("spec.support.wait").wait_until

local waits, in_run, frame_of = looking.waits, looking.in_run, looking.frame_of
local scope_of = looking.scope_of
local locals_of, by_name, names_of = looking.locals_of, looking.by_name, looking.names_of
local values_of = looking.values_of
local ask, finish = looking.ask, looking.finish

describe("hob.debug", function()
  describe("stack", function()
    local NESTED = [[
local function inner(n)
  local twice = n * 2
  nap()
  return twice
end
return { api = 1, run = function(job)
  local wrapped = coroutine.wrap(function()
    local co = coroutine.create(inner)
    local ok, value = coroutine.resume(co, 21)
    return value
  end)
  local value = job:step("one", function()
    local result = wrapped()
    return result
  end)
  return { value = value }
end }
]]

    it("is that of a job that waits, through the coroutines of its script", function()
      local work <close> = waits(NESTED)
      local frames, total = work.session:stack(work.thread)
      local seen = {}
      for i, frame in ipairs(frames) do
        assert.equal(work.file, frame.file)
        seen[i] = { frame.name, frame.line, frame.coroutine }
      end
      assert.same({ { "nap", 2, 3 }, { "inner", 5, 3 }, { "function at line 9", 11, 2 },
        { "function at line 14", 15, 1 }, { "run", 14, 1 } }, seen)
      assert.equal(#frames, total)
      finish(work)
    end)

    it("has Hob's own frames and those of C only if they are wanted", function()
      local work <close> = waits(NESTED)
      local frames, total = work.session:stack(work.thread, { own = true })
      local own, c = 0, 0
      for _, frame in ipairs(frames) do
        own, c = own + (frame.own and 1 or 0), c + (frame.kind == "C" and 1 or 0)
      end
      assert.is_true(own > 3 and c > 3)
      assert.equal(#frames, total)
      assert.equal(5, select(2, work.session:stack(work.thread)))
      finish(work)
    end)

    -- A forced yield leaves Lua at the instruction before.
    it("of a job that computes is never at a line that it has left behind", function()
      local work <close> = debugged.run([[
return { api = 1, cpu = 0, run = function(job)
  local n, stop = 0, false
  while not stop do
    n = n + 1
  end
end }
]])
      local thread
      wait_until(function()
        local job = work.session:jobs()[1]
        thread = job and job.thread
        local frames = job and work.session:stack(thread, { first = 0, count = 1 })
        return frames and frames[1] and frames[1].line > 2
      end, 20, "the loop")
      for _ = 1, 100 do
        local frame = work.session:stack(thread, { first = 0, count = 1 })[1]
        assert.is_true(frame.line == 3 or frame.line == 4, "line " .. frame.line)
        time.sleep(0.001)
      end
      work.bench:cancel("enough")
    end)

    it("comes page by page, with numbers that stay the same while the job waits", function()
      local work <close> = waits(NESTED)
      local all = work.session:stack(work.thread)
      local page, total = work.session:stack(work.thread, { first = 1, count = 2 })
      assert.same({ 2, 5, all[2].id, all[3].id }, { #page, total, page[1].id, page[2].id })
      assert.same({}, (work.session:stack(work.thread, { first = 5 })))
      finish(work)
    end)

    it("of a deep recursion has its two ends, and says that there is more", function()
      local work <close> = waits([[
local function down(n)
  if n == 0 then nap() end
  return (n > 0 and down(n - 1) or 0) + 1
end
return { api = 1, run = function() return { n = down(15000) } end }
]])
      local frames, total, cut = work.session:stack(work.thread, { count = 1000 })
      assert.same({ "nap", true }, { frames[1].name, cut })
      assert.is_true(#frames > 900 and #frames == total, #frames .. " of " .. total)
      local last = work.session:stack(work.thread, { first = total - 1 })
      assert.equal("run", last[1].name)
      assert.equal("15000", (work.session:evaluate("n",
        { frame = work.session:stack(work.thread, { first = total - 2 })[1].id }))[1].value)
      finish(work)
    end)

    it("is refused for a job that is not there (ENOENT)", function()
      local work <close> = in_run("")
      assert.equal("ENOENT", select(3, work.session:stack(work.thread + 100)))
      local thread = work.thread
      finish(work)
      assert.equal("ENOENT", select(3, work.session:stack(thread)))
    end)
  end)

  describe("scopes and variables", function()
    it("are the locals, upvalues and globals of a frame", function()
      local work <close> = waits([[
local shared = "seen by both"
own_global = "a global of the handler's"
return { api = 1, run = function(job)
  local x, y = 42, "text"
  local keeps = shared
  nap()
end }
]])
      local frame = frame_of(work, "run")
      local scopes = work.session:scopes(frame.id)
      assert.same({ "Locals", "Upvalues", "Globals" }, names_of(scopes))
      local found = work.session:variables(scopes[1].ref)
      assert.same({ "job", "x", "y", "keeps" }, names_of(found))
      assert.same({ "42", "number", 0, 2 },
        { found[2].value, found[2].type, found[2].ref, found[2].register })
      assert.equal(4, scopes[1].count)
      local upvalues = by_name(work.session:variables(scopes[2].ref))
      assert.equal('"seen by both"', upvalues.shared.value)
      local globals = by_name(work.session:variables(scopes[3].ref))
      assert.equal('"a global of the handler\'s"', globals.own_global.value)
      finish(work)
    end)

    it("list a local that hides another after it, and varargs", function()
      local work <close> = waits([[
local function many(x, ...)
  local x = x .. "!"
  nap()
  return x, ...
end
return { api = 1, run = function() many("first", nil, "third") end }
]])
      local frame = frame_of(work, "many")
      local found = work.session:variables(scope_of(work, frame, "Locals").ref)
      assert.same({ "x", "x", "(vararg) 1", "(vararg) 2" }, names_of(found))
      assert.same({ '"first"', '"first!"', "nil", '"third"' }, values_of(found))
      assert.equal('"first!"', ask(work, "x", { frame = frame.id }))
      assert.equal('nil "third"', ask(work, "...", { frame = frame.id }))
      finish(work)
    end)

    it("show a local of a loop beside the loop's own state", function()
      local work <close> = in_run("for i = 3, 9 do local sq = i * i nap() end")
      assert.same({ "3", "9" }, { locals_of(work, "run").i.value, locals_of(work, "run").sq.value })
      finish(work)
    end)

    it("page through members: the list first, then names as they sort, then other keys", function()
      local work <close> = in_run([[
        local t = { 10, 20, 30, zeta = 1, alpha = 2, ["two words"] = 3, [1.5] = 4, [true] = 5,
          [10] = 6, [-1] = 7 }]])
      local t = locals_of(work, "run").t
      assert.same({ 3, 7, "{…} 10 items" }, { t.indexed, t.named, t.value })
      local all, total = work.session:variables(t.ref)
      assert.same({ "[1]", "[2]", "[3]", "alpha", '["two words"]', "zeta", "[-1]", "[10]", "[1.5]",
        "[true]" }, names_of(all))
      assert.equal(10, total)
      assert.same({ "zeta", "[-1]" },
        names_of(work.session:variables(t.ref, { first = 5, count = 2 })))
      assert.same({ "[2]" },
        names_of(work.session:variables(t.ref, { filter = "indexed", first = 1, count = 1 })))
      local named, count = work.session:variables(t.ref, { filter = "named", first = 1, count = 2 })
      assert.same({ { '["two words"]', "zeta" }, 7 }, { names_of(named), count })
      finish(work)
    end)

    it("have the same ref and identity for the same table, so that a circle is seen", function()
      local work <close> = in_run("local t = {} t.self = t t.other = { up = t }")
      local t = locals_of(work, "run").t
      local members = by_name(work.session:variables(t.ref))
      assert.same({ t.ref, t.identity }, { members.self.ref, members.self.identity })
      local up = by_name(work.session:variables(members.other.ref)).up
      assert.equal(t.ref, up.ref)
      finish(work)
    end)

    it("show a metatable, a function's upvalues, and a type's own name", function()
      local work <close> = in_run([[
        local kept = 7
        local t = setmetatable({ 1 }, { __name = "Point", __index = { far = true } })
        local fn = function() return kept end
        local null = require("hob.json").null
        local co = coroutine.create(fn)]])
      local found = locals_of(work, "run")
      assert.equal("Point {…} 1 item", found.t.value)
      local members = by_name(work.session:variables(found.t.ref))
      assert.is_truthy(members["(metatable)"].ref > 0)
      assert.matches("^function %(.*work.lua:6%)$", found.fn.value)
      assert.equal("7", by_name(work.session:variables(found.fn.ref)).kept.value)
      assert.same({ "null", "null" }, { found.null.value, found.null.type })
      assert.matches("^coroutine 0x", found.co.value)
      finish(work)
    end)

    it("end when the job goes on: what is asked for afterwards is stale (ESTALE)", function()
      local work <close> = debugged.run([[
return { api = 1, run = function()
  local t = { 1 }
  t[2] = 2
  t[3] = 3
end }
]], { breaks = { 3, 4 } })
      work:stopped()
      local frame = work.session:stack(work.thread)[1]
      local scope = work.session:scopes(frame.id)[1]
      local t = work.session:variables(scope.ref)[1]
      work:go("continue")
      for _, code in ipairs({ select(3, work.session:scopes(frame.id)) or "none",
        select(3, work.session:variables(scope.ref)) or "none",
        select(3, work.session:variables(t.ref)) or "none",
        select(3, work.session:evaluate("1", { frame = frame.id })) or "none" }) do
        assert.equal("ESTALE", code)
      end
      assert.equal("{…} 2 items", work:value("t"))
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("are stale also when a job that only waited has gone on by itself", function()
      local work <close> = waits([[
return { api = 1, run = function(job)
  local fs = require("hob.fs")
  while not fs.exists("go") do
    time.sleep(0.005)
  end
  nap()
end }
]])
      local frame = frame_of(work, "run")
      wait_until(function()
        return select(3, work.session:scopes(frame.id)) == "ESTALE"
      end, 20, "the frame to be stale")
      finish(work)
    end)

    it("keep what a table holds while a job that nobody holds goes on", function()
      local work <close> = waits([[
return { api = 1, run = function(job)
  local fs = require("hob.fs")
  local list = { 7, 8 }
  while not fs.exists("go") do
    time.sleep(0.005)
  end
  nap()
  return list
end }
]])
      local frame, list
      wait_until(function()
        frame = frame_of(work, "run")
        local found = work.session:evaluate("list", { frame = frame.id })
        list = found and found[1]
        return list
      end, 20, "the list")
      wait_until(function()
        return select(3, work.session:scopes(frame.id)) == "ESTALE"
      end, 20, "the frame to be stale")
      local members = assert(work.session:variables(list.ref))
      assert.same({ "7", "8" }, { members[1].value, members[2].value })
      finish(work)
    end)
  end)

  describe("a local of a frame that a breakpoint has stopped", function()
    it("is there on the line after its declaration, and hidden on the line itself", function()
      local work <close> = debugged.run([[
return { api = 1, run = function()
  local x = 42
  local y = x + 1
  return { y = y }
end }
]], { breaks = { 2, 3 } })
      work:stopped()
      assert.is_nil(work:value("x"))
      assert.equal("42", work:go("continue") and work:value("x"))
      assert.is_nil(work:value("y"))
      local frame = work.session:stack(work.thread)[1]
      assert.same({ 3, "run" }, { frame.line, frame.name })
      assert.equal("42", ask(work, "x"))
      work.session:write(true)
      assert.equal("", (ask(work, "x = 7")))
      assert.equal("8", work:finish().details.y)
    end)

    it("is that of the innermost block", function()
      local work <close> = debugged.run([[
return { api = 1, run = function()
  local x = "outer"
  do
    local x = "inner"
    local z = x
  end
  return { x = x }
end }
]], { breaks = { 5, 7 } })
      work:stopped()
      assert.equal('"inner"', ask(work, "x"))
      work:go("continue")
      assert.equal('"outer"', ask(work, "x"))
      work:finish()
    end)
  end)

  describe("values", function()
    local function shown(expression)
      local work <close> = in_run("local value = " .. expression)
      local value = locals_of(work, "run").value
      finish(work)
      return value.value, value
    end

    it("are on one line, valid UTF-8, as Lua would read them", function()
      assert.equal([["a\n\0\"\\ é \xFF"]], (shown([["a\n\0\"\\ é \xFF"]]):gsub("\\x00", "\\0")))
      assert.equal("-9223372036854775808", (shown("math.mininteger")))
      assert.equal("1.0", (shown("1.0")))
      assert.equal("nan", (shown("0/0")))
      assert.equal("{}", (shown("{}")))
    end)

    it("are cut where they are long, with their length", function()
      local value, variable = shown("('é'):rep(5000000)")
      assert.equal('"' .. ("é"):rep(100) .. '"... (10000000 bytes)', value)
      assert.is_true(#value < 300)
      assert.equal(0, variable.ref)
    end)

    it("run no code of the job: no metamethod that raises, or never ends", function()
      local work <close> = in_run([[
        local function forever() while true do end end
        local t = setmetatable({ 1, key = 2 }, { __index = forever, __len = forever,
          __pairs = forever, __tostring = error, __name = {}, __eq = forever,
          __metatable = "hidden" })]])
      local t = locals_of(work, "run").t
      assert.equal("{…} 2 items", t.value)
      assert.same({ "1", "2" }, { work.session:variables(t.ref)[1].value,
        by_name(work.session:variables(t.ref)).key.value })
      assert.equal("{…} 2 items", ask(work, "t"))
      finish(work)
    end)

    it("of a type whose name has control characters stay on one line", function()
      local value = shown([[setmetatable({}, { __name = ("evil\n"):rep(100) })]])
      assert.is_nil(value:find("\n", 1, true))
      assert.is_true(#value < 200)
    end)

    it("of a table with a million members delay nobody", function()
      local work <close> = waits([[
return { api = 1, run = function()
  local list, map = {}, {}
  for i = 1, 1000000 do list[i] = i end
  for i = 1, 300000 do map["k" .. i] = i end
  nap()
end }
]], { bench = { memory = 400 * 1024 * 1024 } })
      local began = os.clock()
      local found = locals_of(work, "run")
      assert.equal("{…} 1000000 items", found.list.value)
      assert.equal("{…} more than 1001 items", (found.map.value:gsub("%d+", "1001")))
      local page, total = work.session:variables(found.list.ref, { first = 999998, count = 100 })
      assert.same({ { "[999999]", "[1000000]" }, 1000000 }, { names_of(page), total })
      local _, listed, more = work.session:variables(found.map.ref, { count = 10 })
      assert.same({ 20000, true }, { listed, more })
      assert.is_true(os.clock() - began < 5, "bounded work")
      finish(work)
    end)

    it("are no more than a moment may have (ENOSPC), until the job goes on", function()
      local work <close> = debugged.run([[
return { api = 1, run = function()
  local t = {}
  for i = 1, 60000 do t[i] = { i } end
  t.more = true
  t.less = true
end }
]], { breaks = { 4, 5 } })
      work:stopped()
      local t = locals_of(work, "run").t
      local code, message
      for first = 0, 59000, 1000 do
        local _
        _, message, code = work.session:variables(t.ref, { first = first, count = 1000 })
        if message and code == "ENOSPC" then
          break
        end
      end
      assert.equal("ENOSPC", code)
      assert.matches("let it go on first", message)
      work:go("continue")
      t = locals_of(work, "run").t
      assert.equal("[60000]", work.session:variables(t.ref, { first = 59999, count = 1 })[1].name)
      assert.equal("SUCCEEDED", work:finish().status)
    end)

    it("nested a thousand deep are looked at one by one", function()
      local work <close> = in_run("local t = {} for i = 1, 1000 do t = { t } end")
      local at = locals_of(work, "run").t
      for _ = 1, 50 do
        at = work.session:variables(at.ref)[1]
      end
      assert.equal("{…} 1 item", at.value)
      finish(work)
    end)

    it("of gaps and holes in a list are all there", function()
      local work <close> = in_run([[
        local t = { [1] = "a", [2] = "b", [4] = "d" }
        local h = { 1, 2, 3, 4, 5, 6, 7, 8 } h[5] = nil h[3] = nil]])
      for name, count in pairs({ t = 3, h = 6 }) do
        local seen = 0
        for _, member in ipairs(work.session:variables(locals_of(work, "run")[name].ref)) do
          seen = seen + (member.value ~= "nil" and 1 or 0)
        end
        assert.equal(count, seen)
      end
      finish(work)
    end)
  end)

  describe("source and lines", function()
    it("are those that the job was begun with, whatever is on disk by now", function()
      local work <close> = in_run("local x = 1 -- a comment")
      local text = fs.read(work.file)
      assert(fs.write(work.file, "return 1\n"))
      assert.equal(text, work.session:source(work.thread, work.file))
      assert.same({ 1, 2, 3, 4, 5, 7 }, work.session:lines(work.thread, work.file))
      assert.equal("return 1\n", work.session:source(nil, work.file))
      finish(work)
    end)

    it("tell lines with code from those without, in all functions of a file", function()
      local work <close> = in_run("")
      local path = work.scripts .. "/lines.txt"
      local function lines_of(text)
        fs.write(path, text)
        return work.session:lines(nil, path)
      end
      assert.same({ 1, 5, 6, 7 }, lines_of(
        "local x = 1\n-- no\nlocal function f(...)\n\n  x = 2\nend\nreturn f\n"))
      local long = {}
      for i = 1, 3000 do
        long[i] = i % 2 == 0 and "-- no" or "x = " .. i
      end
      local lines = lines_of(table.concat(long, "\n") .. ("\n"):rep(500) .. "y = 1")
      assert.same({ 1501, 2999, 3500 }, { #lines, lines[1500], lines[1501] })
      assert.equal("EINVAL", select(3, work.session:lines(nil, (function()
        fs.write(path, "not Lua")
        return path
      end)())))
      assert.equal("ENOENT", select(3, work.session:lines(nil, "/nowhere/at/all")))
      finish(work)
    end)
  end)

  describe("a session", function()
    it("says what is wrong with how it is used", function()
      local work <close> = in_run("")
      local session = work.session
      assert.has_error(function() session:evaluate("x") end)
      assert.has_error(function() session:evaluate("x", { fram = 1 }) end)
      assert.has_error(function() session:variables(1, { filter = "all" }) end)
      assert.has_error(function() session:stack("one") end)
      assert.has_error(function() session:breakpoints("file", { { line = 0 } }) end)
      assert.equal("ESTALE", select(3, session:variables(1)))
      assert.equal("ESTALE", select(3, session:scopes(-1)))
      assert.equal("ESTALE", select(3, session:variables(2 ^ 40 | 0)))
      finish(work)
    end)

    it("that is closed can be used no more, and the job goes on", function()
      local work <close> = in_run("")
      local other = work.open()
      local thread = other:jobs()[1].thread
      other:attach(thread)
      other:close()
      other:close()
      local _, message = pcall(other.jobs, other)
      assert.matches("the session is closed", message)
      assert.equal("waiting", work.session:jobs()[1].state)
      finish(work)
    end)

    it("is not for handlers", function()
      local work <close> = debugged.run([[
return { api = 1, run = function()
  return { ok = tostring(pcall(require, "hob.debug")) }
end }
]])
      assert.equal("false", work:finish().details.ok)
    end)
  end)

  describe("an error that was raised", function()
    it("leaves its frames and locals to be looked at, but not to be changed", function()
      local work <close> = debugged.run([[
local function fails(what, ...)
  local why = { "because", what }
  error(why[1] .. " of " .. what)
end
return { api = 1, run = function(job)
  local outer = "outer"
  fails("this", 1, 2)
end }
]], { exceptions = { uncaught = true } })
      work:stopped()
      local frames = work.session:stack(work.thread)
      assert.same({ "fails", "run" }, { frames[1].name, frames[2].name })
      assert.same({ 4 - 1, 8 - 1 }, { frames[1].line, frames[2].line })
      local scope = scope_of(work, frames[1], "Locals")
      local found = work.session:variables(scope.ref)
      assert.same({ "what", "why", "(vararg) 1", "(vararg) 2" }, names_of(found))
      assert.equal('"this" "because"', ask(work, "what, why[1]", { frame = frames[1].id }))
      assert.equal('"outer"', ask(work, "outer"))
      work.session:write(true)
      local _, message = work.session:set(scope.ref, "what", "1")
      assert.matches("gone", message)
      assert.equal("FAILED", work:finish().status)
    end)
  end)
end)
