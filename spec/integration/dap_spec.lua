-- `hob dap`: an editor at a job of a running gateway, over the control socket and over standard
-- input and output, and at a handler on the bench. Every request, by another's client library:
-- ./dev conformance dap. Frames and order alone: spec/unit/dap_spec.lua.

local clients = require("spec.support.dap_client")
local desks = require("spec.support.desk")
local exec = require("hob.exec")
local framing = require("hob.dap.framing")
local fs = require("hob.fs")
local json = require("hob.json")
local shim = require("spec.support.shim")
local sockets = require("hob.local")
local tellings = require("spec.support.telling")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- Counts to 5 once `go` is there. Its lines are named below.
local COUNTS = [[
local fs, time = require("hob.fs"), require("hob.time")
return { api = 1, args = { go = "string" }, run = function(job, args)
  local sum = 0
  job:step("wait", function()
    while not fs.exists(args.go) do
      time.sleep(0.01)
    end
  end)
  for i = 1, 5 do
    sum = sum + i
  end
  return { sum = sum }
end }
]]
local WAITS, ADDS, RETURNS = 6, 10, 12

describe("hob dap", function()
    local telling, world, gateway, path, number, open

    setup(function()
        telling = tellings.new()
        world = telling.world
        local scripts = { ["counts.lua"] = COUNTS }
        for name, text in pairs(tellings.SCRIPTS) do
            scripts[name] = text
        end
        gateway = world:gateway({ scripts = scripts, config = { max_concurrent_jobs = 8 } })
        telling.gateway = gateway
        gateway:wait_event("jobs.subscribed")
        path = gateway.dir .. "/data/hob.sock"
        number = 0
    end)
    teardown(function()
        telling:stop()
    end)
    before_each(function()
        open = {}
    end)
    after_each(function()
        for _, one in ipairs(open) do
            one:close()
        end
    end)

    local function over_socket()
        local editor = clients.socket(path)
        open[#open + 1] = editor
        return editor
    end

    local function over_stdio(...)
        local dir = world:path("streams")
        assert(fs.mkdir(dir))
        local editor = clients.stdio(dir, ...)
        open[#open + 1] = editor
        return editor
    end

    -- A job that waits in its first step. @return its id, the file that it waits for
    local function begin_job()
        number = number + 1
        local id, go = "dap-" .. number, world:path("go")
        world:create(id, json.encode({ operation = "counts", go = go }))
        gateway:wait_event("job.step", { job = id })
        return id, go
    end

    local function release(go)
        assert(fs.write(go, ""))
    end

    local function sum_of(id)
        local execution = world:ended(id)
        assert.equal("SUCCEEDED", execution.status, execution.details.reason)
        return tonumber(execution.details.sum)
    end

    local function file()
        return gateway.dir .. "/scripts/counts.lua"
    end

    -- An editor at the third pass of the loop.
    local function hold(editor, more)
        local id, go = begin_job()
        local arguments = { job = id }
        for name, value in pairs(more or {}) do
            arguments[name] = value
        end
        editor:begin("attach", arguments, { [file()] = { { line = ADDS, condition = "i == 3" } } })
        release(go)
        local stop, frame = editor:stopped("breakpoint")
        assert.equal(ADDS, frame.line)
        return id, stop
    end

    local function works()
        number = number + 1
        local id = "works-" .. number
        world:create(id, '{"operation":"quick"}')
        assert.equal("SUCCEEDED", world:ended(id).status)
    end

    -- Each way that an editor comes to a job of the gateway.
    for how, connect in pairs({
        ["over the control socket"] = over_socket,
        ["over standard input and output"] = function()
            return over_stdio("--socket", path)
        end,
    }) do
        describe(how, function()
            it("stops at a breakpoint with a condition, sees locals, sets one, goes on", function()
                local editor = connect()
                local id = hold(editor, { write = true })
                local locals = editor:locals()
                assert.same({ "3", "3" }, { locals.i, locals.sum })
                local set = editor:ask("setVariable", { variablesReference = editor.ref,
                    name = "sum", value = "sum + 1000" })
                assert.equal("1003", set.value)
                editor:go_on()
                editor:event("terminated")
                assert.equal(1015, sum_of(id))
                editor:ask("disconnect")
            end)

            it("lets the job go on when the editor is killed at a breakpoint", function()
                local editor = connect()
                local id = hold(editor)
                if editor.process then
                    editor.process:kill("KILL")
                else
                    editor.connection:close()
                end
                assert.equal(15, sum_of(id))
                works()
            end)

            it("lets the job go on by disconnect", function()
                local editor = connect()
                local id = hold(editor)
                editor:ask("disconnect")
                assert.equal(15, sum_of(id))
                editor:drain()
            end)

            it("ends with the reason where the stream makes no sense; the job goes on", function()
                local editor = connect()
                local id = hold(editor)
                editor:send("Content-Length: much\r\n\r\n")
                assert.matches("expected a number of bytes, got ' much'",
                    editor:event("output", function(body)
                        return body.category == "important"
                    end).output)
                editor:event("terminated")
                editor:drain()
                assert.equal(15, sum_of(id))
            end)
        end)
    end

    describe("in a gateway", function()
        it("says in the log who looks, and who may write", function()
            local editor = over_socket()
            hold(editor, { write = true })
            local event = gateway:wait_event("debug.write")
            assert.matches("process %d+ of ", event.msg)
            editor:ask("disconnect")
        end)

        it("says in the log what an editor changes, and what is typed in its console", function()
            local editor = over_socket()
            local id = hold(editor, { write = true })
            editor:locals()
            editor:ask("setVariable",
                { variablesReference = editor.ref, name = "sum", value = "7" })
            assert.matches("process %d+ of .*: sum = 7$",
                gateway:wait_event("dap.command", { job = id }).msg)
            editor:ask("setExpression",
                { expression = "sum", value = "8", frameId = editor.frame })
            assert.matches(": sum = 8$", gateway:wait_event("dap.command", { job = id }, 2).msg)
            editor:ask("evaluate", { expression = "sum = sum + 1", frameId = editor.frame,
                context = "repl" })
            assert.matches(": sum = sum %+ 1$",
                gateway:wait_event("dap.command", { job = id }, 3).msg)
            for _, context in ipairs({ "watch", "hover" }) do
                editor:ask("evaluate", { expression = "sum", frameId = editor.frame,
                    context = context })
            end
            editor:ask("disconnect")
            assert.equal(21, sum_of(id))
            gateway:wait_event("job.finished", { job = id })
            local count = 0
            for _, event in ipairs(gateway.events) do
                count = count + (event.event == "dap.command" and event.job == id and 1 or 0)
            end
            assert.equal(3, count, "looking is not logged line by line")
        end)

        it("reads where nothing else was asked for", function()
            local editor = over_socket()
            local id = hold(editor)
            editor:locals()
            local set = { variablesReference = editor.ref, name = "sum", value = "1" }
            assert.matches("only looks", editor:refused("setVariable", set))
            for _, context in ipairs({ "repl", "watch", "hover" }) do
                editor:refused("evaluate", { expression = "sum = 1", frameId = editor.frame,
                    context = context })
            end
            assert.equal("3", editor:locals().sum)
            editor:ask("disconnect", { terminateDebuggee = true })
            assert.equal(15, sum_of(id))
        end)

        it("tells two editors of one stop, and each when the other lets the job go", function()
            local one, other = over_socket(), over_socket()
            local id, go = begin_job()
            one:begin("attach", { job = id }, { [file()] = { { line = RETURNS } } })
            other:begin("attach", { job = id })
            release(go)
            one:stopped("breakpoint")
            other:stopped()
            other:go_on()
            assert.equal(one.thread, one:event("continued").threadId)
            assert.equal(15, sum_of(id))
        end)

        it("knows the editor's names of its files", function()
            local editor = over_socket()
            local id, go = begin_job()
            editor:begin("attach", { job = id, pathMappings = {
                { localRoot = "/home/ada/scripts", remoteRoot = gateway.dir .. "/scripts" } } },
                { ["/home/ada/scripts/counts.lua"] = { { line = RETURNS } } })
            release(go)
            local _, frame = editor:stopped("breakpoint")
            assert.equal("/home/ada/scripts/counts.lua", frame.source.path)
            assert.is_nil(frame.source.sourceReference)
            editor:ask("disconnect")
            assert.equal(15, sum_of(id))
        end)

        it("cancels a job by terminateDebuggee where writing was asked for", function()
            local editor = over_socket()
            local id = hold(editor, { write = true })
            editor:ask("disconnect", { terminateDebuggee = true })
            assert.equal("FAILED", world:ended(id).status)
            assert.matches("cancel", world:describe(id).details.reason)
        end)

        it("ends the session with a job that is cancelled while it is held", function()
            local editor = over_socket()
            local id = hold(editor)
            world:control("cancel_job", id, {}, true, time.now())
            editor:event("terminated")
            works()
        end)

        it("has no launch", function()
            local editor = over_socket()
            editor:ask("initialize", {})
            assert.matches("`hob dap` launches", editor:refused("launch", { handler = "counts" }))
        end)

        it("answers others while an expression runs that does not end", function()
            local editor = over_socket()
            local id = hold(editor)
            local spin = editor:request("evaluate", { frameId = editor.frame, context = "repl",
                expression = "(function() while true do end end)()" })
            editor:ask("threads")
            assert.is_nil(editor.responses[spin])
            assert.is_false(editor:answer(spin).success)
            assert.equal("3", editor:locals().i)
            editor:ask("disconnect")
            assert.equal(15, sum_of(id))
        end)

        it("keeps nothing of editors that came and went at a breakpoint", function()
            local id, go = begin_job()
            local status = ("/proc/%d/status"):format(gateway.process:pid())
            local before
            for i = 1, 60 do
                local editor = clients.socket(path)
                editor:begin("attach", { job = id }, { [file()] = { { line = WAITS } } })
                editor:stopped("breakpoint")
                editor:locals()
                if i % 2 == 0 then
                    editor:ask("disconnect")
                end
                editor:close()
                if i == 30 then
                    before = tonumber(fs.read(status):match("VmRSS:%s+(%d+)"))
                end
            end
            local grown = tonumber(fs.read(status):match("VmRSS:%s+(%d+)")) - before
            -- A sanitizer keeps what was freed, to see it used.
            assert.is_true(grown < 1024 or shim.is_sanitized(), grown .. " KB more by 30 editors")
            release(go)
            assert.equal(15, sum_of(id))
        end)

        it("has absolute names for its files, however Hob was started", function()
            local here = world:gateway({ scripts = { ["counts.lua"] = COUNTS }, thing = "gw-3",
                launch = false })
            here.process = assert(exec.spawn({ worlds.hob(), "run", "--config", "hob.conf.lua",
                cwd = here.dir, on_line = function() end }))
            local socket = here.dir .. "/data/hob.sock"
            wait_until(function()
                local connection <close> = sockets.connect(socket)
                return connection ~= nil
            end, PATIENCE, "the control socket")
            local go = world:path("go")
            world:create("relative", json.encode({ operation = "counts", go = go }), "gw-3")
            local editor = clients.socket(socket)
            open[#open + 1] = editor
            local absolute = here.dir .. "/scripts/counts.lua"
            editor:begin("attach", {}, { [absolute] = { { line = RETURNS } } })
            release(go)
            local _, frame = editor:stopped("breakpoint")
            assert.equal(absolute, frame.source.path)
            editor:ask("disconnect")
            assert.equal("SUCCEEDED", world:ended("relative", "gw-3").status)
            assert.equal(0, here:stop())
        end)
    end)

    describe("as a bridge", function()
        it("finds the gateway by the flags, and by what attach says", function()
            for _, case in ipairs({ { { "--data", gateway.dir .. "/data" }, {} },
                { { "--config", gateway.config }, {} }, { {}, { socket = path } },
                { { "--data", "/nowhere" }, { data = gateway.dir .. "/data" } } }) do
                local editor = over_stdio(table.unpack(case[1]))
                editor:begin("attach", case[2])
                editor:ask("disconnect")
                local result, errors = editor:finish()
                assert.same({ 0, "" }, { result.code, errors })
            end
        end)

        it("refuses where no gateway runs, and may be asked again", function()
            local editor = over_stdio()
            editor:ask("initialize", {})
            local words = editor:refused("attach", { data = world:path("none") })
            assert.matches("no gateway runs there", words)
            assert.matches("expected one of", editor:refused("attach",
                { data = "/a", socket = "/b" }))
            assert.matches("data: expected string", editor:refused("attach", { data = 7 }))
            editor:ask("attach", { socket = path })
            editor:ask("disconnect")
            assert.equal(0, editor:finish().code)
        end)

        it("tells the editor when the gateway has died, and says so", function()
            local died = world:gateway({ scripts = { ["counts.lua"] = COUNTS }, thing = "gw-2" })
            died:wait_event("jobs.subscribed")
            local editor = over_stdio("--config", died.config)
            editor:begin("attach", {})
            died:kill()
            assert.matches("the gateway has ended the session", editor:event("output",
                function(body) return body.category == "important" end).output)
            editor:event("terminated")
            local result, errors = editor:finish()
            assert.equal(1, result.code)
            assert.matches("the gateway has ended the session", errors)
        end)

        it("ends when the editor goes away", function()
            local editor = over_stdio("--socket", path)
            local id = hold(editor)
            local result, errors = editor:finish()
            assert.same({ 0, "" }, { result.code, errors })
            assert.equal(15, sum_of(id))
        end)
    end)

    describe("alone", function()
        local function run(text, ...)
            local command = { worlds.hob(), "dap", ... }
            command.stdin, command.timeout = text, PATIENCE
            return exec.run(command)
        end

        it("ends without a word when nothing comes", function()
            local result = run("")
            assert.same({ 0, "", "" }, { result.code, result.stdout, result.stderr })
        end)

        it("says on standard error what made no sense, with status 1", function()
            for text, words in pairs({
                ["GET / HTTP/1.1\r\n\r\n"] = "got 'GET / HTTP/1.1'",
                ["Content-Length: 10\r\n\r\n{}"] = "8 bytes before the end of a message",
                [framing.frame("{}") .. "Content-Len"] = "ended inside of a header",
            }) do
                local result = run(text)
                assert.equal(1, result.code)
                assert.matches(words, result.stderr, 1, true)
            end
        end)

        it("refuses flags that it does not know, with status 2", function()
            assert.equal(2, run("", "--sockte", "x").code)
            assert.equal(0, run("", "--help").code)
        end)
    end)

    describe("on the bench", function()
        local desk

        before_each(function()
            desk = desks.new({ ["counts.lua"] = COUNTS })
            open[#open + 1] = desk
        end)

        local function launch(arguments, breaks)
            local editor = over_stdio()
            arguments.cwd = desk.dir
            editor:begin("launch", arguments, breaks)
            return editor
        end

        local function write(name, body, more)
            desk:write("scripts/" .. name .. ".lua", desks.handler(body, more))
        end

        it("stops, is changed, and goes on to its outcome", function()
            desk:write("go", "")
            local arguments = { program = "./none/../scripts/counts.lua",
                args = { go = desk:path("go") } }
            local editor = launch(arguments,
                { [desk:path("scripts/counts.lua")] = { { line = ADDS, condition = "i == 3" } } })
            editor:stopped("breakpoint")
            assert.equal("3", editor:locals().sum)
            editor:ask("setVariable", { variablesReference = editor.ref, name = "sum",
                value = "0" })
            editor:go_on()
            editor:event("output", function(body) return body.output:find("sum +12") end)
            assert.equal(0, editor:event("exited").exitCode)
            editor:event("terminated")
            editor:ask("disconnect")
            local result, errors = editor:finish()
            assert.same({ 0, "" }, { result.code, errors })
        end)

        it("gives the exit code of `hob handler run`", function()
            write("fails", 'error("no")')
            write("rejects", 'job:reject("no")')
            write("waits", 'job:retry_later(60, "no")')
            for name, code in pairs({ fails = 1, rejects = 3, waits = 4 }) do
                local editor = launch({ handler = name, scripts = "scripts" })
                assert.equal(code, editor:event("exited").exitCode)
                editor:event("terminated")
            end
        end)

        it("tells what programs print, what the handler logs, and its steps", function()
            write("talks", [[
                job.log.info("begins")
                job:step("say", function()
                    exec.check{ "sh", "-c", "echo out; echo err >&2" }
                end)]])
            local editor = launch({ handler = "talks", scripts = "scripts" })
            local function output(category, words)
                return editor:event("output", function(body)
                    return body.category == category and body.output:find(words)
                end).output
            end
            output("console", "log: begins")
            output("console", "step 'say'")
            assert.equal("out\n", output("stdout", "out"))
            assert.equal("err\n", output("stderr", "err"))
            editor:event("terminated")
        end)

        it("takes a document as an object, as text, from a file, and with args over it", function()
            write("shows", "return { a = args.a, b = args.b }",
                'args = { a = "string?", b = "string?" },')
            desk:write("document.json", '{"operation":"shows","a":"file"}')
            for _, case in ipairs({
                { { document = { operation = "shows", a = "object" } }, "a +object" },
                { { document = '{"a":"text"}' }, "a +text" },
                { { documentFile = "document.json" }, "a +file" },
                { { documentFile = "document.json", args = { a = "args" } }, "a +args" },
            }) do
                case[1].program = "scripts/shows.lua"
                local editor = launch(case[1])
                editor:event("output", function(body) return body.output:find(case[2]) end)
                editor:event("terminated")
            end
        end)

        it("warns of a document that a device would give to another handler", function()
            write("shows", "return {}")
            local editor = launch({ program = "scripts/shows.lua",
                document = { operation = "other" } })
            editor:event("output", function(body)
                return body.output:find("a device this document is not for shows", 1, true)
            end)
            editor:event("terminated")
        end)

        it("refuses what cannot be launched, by its name, and may be asked again", function()
            desk:write("broken.json", "{")
            local editor = over_stdio()
            editor:ask("initialize", {})
            for words, case in pairs({
                ["expected program"] = {},
                ["NAME%.lua, got"] = { program = "x.py" },
                ["program: expected string, got integer"] = { program = 7 },
                ["answers are for dryRun"] = { handler = "counts", answers = "x" },
                ["no such directory"] = { handler = "counts", scripts = "/nowhere" },
                ["expected one of them"] = { handler = "counts", document = "{}",
                    documentFile = "broken.json" },
                ["document: expected an object"] = { handler = "counts", document = 7 },
                ["the document is no JSON object"] = { handler = "counts", args = { a = "b" },
                    documentFile = "broken.json" },
                ["^launch: args: expected object, got string"] = { handler = "counts", args = "a" },
                ["^launch: documentFile: "] = { handler = "counts", documentFile = "none.json" },
                ["^launch: answers: "] = { handler = "counts", dryRun = true, answers = "none" },
                ["pathMappings%[1%]"] = { handler = "counts", pathMappings = { 1 } },
            }) do
                case.cwd, case.scripts = desk.dir, case.scripts or "scripts"
                assert.matches(words, editor:refused("launch", case))
            end
            editor:ask("launch", { handler = "counts", cwd = desk.dir, scripts = "scripts" })
        end)

        it("does not do what dryRun is to leave alone", function()
            write("writes", ('job:step("w", function() fs.write(%q, "x") end)'):format(
                desk:path("written")))
            local editor = launch({ program = "scripts/writes.lua", dryRun = true })
            editor:event("output", function(body) return body.output:find("not done: fs.write") end)
            assert.equal(0, editor:event("exited").exitCode)
            assert.is_false(fs.exists(desk:path("written")))
        end)

        it("stops nowhere with noDebug", function()
            desk:write("go", "")
            local editor = launch({ program = "scripts/counts.lua", noDebug = true,
                args = { go = desk:path("go") } },
                { [desk:path("scripts/counts.lua")] = { { line = ADDS } } })
            editor:event("exited")
            for _, event in ipairs(editor.events) do
                assert.not_equal("stopped", event.event)
            end
        end)

        -- At a breakpoint, with a program of the handler's in the background.
        local function hold_with_child()
            write("child", [[
                local child = exec.spawn{ "sleep", "1000" }
                fs.write(args.pid, tostring(child:pid()))
                job:progress(1, "held here")]],
                [[args = { pid = "string", clean = "string" },
                cleanup = function(_, args) fs.write(args.clean, "x") end,]])
            local editor = launch({ program = "scripts/child.lua",
                args = { pid = desk:path("pid"), clean = desk:path("clean") } },
                { [desk:path("scripts/child.lua")] = { { line = 7 } } })
            editor:stopped("breakpoint")
            return editor, "/proc/" .. desk:read("pid")
        end

        local function left_nothing(editor, child)
            assert.equal(0, editor:finish().code)
            wait_until(function() return not fs.exists(child) end, PATIENCE, "the child's end")
            assert.same({}, fs.list(editor.temporary))
        end

        it("leaves nothing behind, not the handler's programs either, by disconnect", function()
            local editor, child = hold_with_child()
            editor:ask("disconnect")
            left_nothing(editor, child)
        end)

        it("leaves nothing behind when the editor goes away, or ends it by a signal", function()
            for _, leave in ipairs({ "hang_up", "TERM" }) do
                local editor, child = hold_with_child()
                if leave == "TERM" then
                    editor.process:kill("TERM")
                end
                left_nothing(editor, child)
            end
        end)

        it("cancels with cleanup by terminate", function()
            desk:write("scripts/long.lua", desks.handler([[
                job:step("a", function() time.sleep(1000) end)]], [[
                args = { clean = "string" },
                cleanup = function(_, args) fs.write(args.clean, "x") end,]]))
            local editor = launch({ program = "scripts/long.lua",
                args = { clean = desk:path("clean") } })
            editor:event("output", function(body) return body.output:find("step 'a'") end)
            editor:ask("terminate")
            assert.equal(1, editor:event("exited").exitCode)
            editor:event("terminated")
            assert.equal("x", desk:read("clean"))
        end)

        it("goes on to its end by disconnect with terminateDebuggee: false", function()
            write("writes", ('fs.write(%q, "x") return {}'):format(desk:path("written")))
            local editor = launch({ program = "scripts/writes.lua", stopOnEntry = true })
            editor:stopped("entry")
            editor:ask("disconnect", { terminateDebuggee = false })
            assert.equal(0, editor:finish().code)
            assert.equal("x", desk:read("written"))
        end)
    end)
end)
