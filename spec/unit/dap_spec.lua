-- The Debug Adapter Protocol, its frames and its order, with a transport and a debugger that are
-- handed in. With a real job: spec/integration/dap_spec.lua; every request: ./dev conformance dap.

local framing = require("hob.dap.framing")
local json = require("hob.json")
local paths = require("hob.dap.paths")
local server = require("hob.dap.server")

-- A reader of these pieces, and then the end.
local function reader_of(...)
    local pieces = { ... }
    return framing.reader(function()
        local piece = table.remove(pieces, 1)
        if piece then
            return piece
        end
        return nil, "the other end has closed", "EOF"
    end)
end

describe("a message of the Debug Adapter Protocol", function()
    it("is taken out of a stream that comes in any pieces", function()
        local stream = framing.frame('{"seq":1}') .. framing.frame('{"seq":2,"text":"ü€"}')
        for size = 1, #stream do
            local pieces = {}
            for at = 1, #stream, size do
                pieces[#pieces + 1] = stream:sub(at, at + size - 1)
            end
            local reader = reader_of(table.unpack(pieces))
            assert.equal(1, reader:next().seq)
            assert.equal("ü€", reader:next().text)
            assert.equal("EOF", select(3, reader:next()))
        end
    end)

    it("may have other header lines, in any case", function()
        local reader = reader_of("content-type: x\r\nCONTENT-LENGTH:9 \r\n\r\n" .. '{"seq":1}')
        assert.equal(1, reader:next().seq)
    end)

    for what, case in pairs({
        ["garbage"] = { "hello\n", "expected the line 'Content%-Length: N', got 'hello'" },
        ["control characters, which are not repeated"] = { "\1\27[31m\255\n",
            "got '%?%?%[31m%?'" },
        ["a length that is no number"] = { "Content-Length: many\r\n\r\n", "got ' many'" },
        ["a negative length"] = { "Content-Length: -1\r\n\r\n", "got ' %-1'" },
        ["a length of more digits than a number has"] = {
            "Content-Length: " .. ("9"):rep(300) .. "\r\n\r\n", "expected a number of bytes" },
        ["two lengths"] = { "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "two Content%-Length" },
        ["no length"] = { "A: b\r\n\r\n{}", "without Content%-Length" },
        ["a header that never ends"] = { ("A: b\r\n"):rep(300), "more than 1024 bytes" },
        ["a header line that never ends"] = { ("x"):rep(5000), "more than 1024 bytes" },
        ["half a header"] = { "Content-Len", "ended inside of a header" },
        ["a header without a message"] = { "Content-Length: 7\r\n\r\n", "7 bytes before the end" },
        ["a length that is too large for what comes"] = { "Content-Length: 100\r\n\r\n{}",
            "98 bytes before the end" },
        ["gigabytes"] = { "Content-Length: 99999999999\r\n\r\n{", "at most 262144 are taken" },
    }) do
        it("ends the stream with the reason for " .. what, function()
            local message, why, code = reader_of(case[1]):next()
            assert.is_nil(message)
            assert.equal("EFRAME", code)
            assert.matches(case[2], why)
        end)
    end

    it("that is too long is read past, and can be answered", function()
        local long = '{"seq":7,"command":"evaluate","x":"' .. ("y"):rep(framing.MESSAGE_MAX) .. '"}'
        local stream = framing.frame(long) .. framing.frame('{"seq":8}')
        local pieces = {}
        for at = 1, #stream, 1000 do
            pieces[#pieces + 1] = stream:sub(at, at + 999)
        end
        local reader = reader_of(table.unpack(pieces))
        local message = reader:next()
        assert.same({ 7, "evaluate" }, { message.seq, message.command })
        assert.matches("at most 262144", message.refused)
        assert.equal(8, reader:next().seq)
    end)

    it("that is no JSON object does not end the stream", function()
        local reader = reader_of(framing.frame("[1"), framing.frame("7"), framing.frame(""),
            framing.frame('{"seq":5,"command":"scopes"'), framing.frame('{"seq":2}'))
        local last
        for _ = 1, 4 do
            last = reader:next()
            assert.matches("expected a message in JSON", last.refused)
        end
        assert.same({ 5, "scopes" }, { last.seq, last.command })
        assert.equal(2, reader:next().seq)
    end)
end)

describe("path mappings", function()
    it("say the gateway's name of an editor's file, and the editor's of a gateway's", function()
        local map = assert(paths.new({ { localRoot = "/home/ada/gw/scripts/",
            remoteRoot = "/etc/hob/scripts" } }))
        assert.equal("/etc/hob/scripts/a.lua", map:to_remote("/home/ada/gw/scripts/a.lua"))
        assert.same({ "/home/ada/gw/scripts/a.lua", true },
            { map:to_local("/etc/hob/scripts/a.lua") })
        assert.same({ "/usr/share/hob/lib/hob/job.lua", false },
            { map:to_local("/usr/share/hob/lib/hob/job.lua") })
    end)

    it("know directories, and not how names begin", function()
        local map = assert(paths.new({ { localRoot = "/a", remoteRoot = "/r" } }))
        assert.is_nil((map:to_remote("/abc/x.lua")))
        assert.same({ "/rx/a.lua", false }, { map:to_local("/rx/a.lua") })
    end)

    it("know Windows", function()
        local map = assert(paths.new({ { localRoot = "C:\\gw\\scripts",
            remoteRoot = "/etc/hob" } }))
        assert.equal("/etc/hob/lib/a.lua", map:to_remote("c:\\gw\\scripts\\lib\\a.lua"))
        assert.equal("c:\\gw\\scripts\\lib\\a.lua", (map:to_local("/etc/hob/lib/a.lua")))
    end)

    it("are not needed on the gateway itself", function()
        local map = assert(paths.new(nil))
        assert.equal("/x.lua", map:to_remote("/x.lua"))
        assert.same({ "/x.lua", true }, { map:to_local("/x.lua") })
    end)

    it("are refused by name when they are none", function()
        assert.matches("pathMappings%[1%].remoteRoot",
            select(2, paths.new({ { localRoot = "/" } })))
        assert.matches("pathMappings%[1%]: expected", select(2, paths.new({ "x" })))
        assert.matches("pathMappings: expected a list", select(2, paths.new({ localRoot = "/" })))
    end)
end)

---------------------------------------------------------------- a debugger that is none

-- It answers as hob.debug does, and keeps what it was asked.
local function new_engine()
    local engine = { asked = {}, open_sessions = 0, job = { thread = 3, jobId = "job-1",
        thing = "gw-1", handler = "slow@abc", step = "install", state = "held" } }
    local session = {}
    local function method(name, ...)
        local results = table.pack(...)
        session[name] = function(_, ...)
            table.insert(engine.asked, { name, ... })
            return table.unpack(results, 1, results.n)
        end
    end
    local jobs = { engine.job }
    method("jobs", jobs)
    method("attach", { text = "held at most 14 min" })
    method("write", true)
    method("step", true)
    method("pause", true)
    method("entry", true)
    method("cancel", true)
    method("exceptions", true)
    method("stack", { { id = 5, name = "run", file = "/s/slow.lua", line = 4, kind = "Lua" } }, 1)
    method("scopes", { { name = "Locals", ref = 9, count = 1 } })
    method("variables", { { name = "x", value = "42", type = "number", ref = 0 } })
    method("set", { value = "43", type = "number", ref = 0 })
    method("evaluate", { { value = "7", type = "number", ref = 0 } })
    function session.source(_, thread)
        return thread and "return 1" or engine.disk
    end
    method("lines", { 2, 4, 9 })
    method("complete", { "job", "json" }, 1)
    session["continue"] = function()
        if engine.on_continue then
            engine.on_continue(engine)
        end
        return true
    end
    function session.breakpoints(_, file, list)
        table.insert(engine.asked, { "breakpoints", file, list })
        local set = {}
        for i, one in ipairs(list) do
            set[i] = { id = i, verified = true, line = one.line + 1 }
        end
        return set
    end
    session.function_breakpoints = session.breakpoints
    function session.close()
        engine.open_sessions = engine.open_sessions - 1
    end
    function engine.add_job(thread, thing)
        jobs[#jobs + 1] = { thread = thread, jobId = "job-1", thing = thing }
    end
    function engine.open(options)
        engine.open_sessions = engine.open_sessions + 1
        engine.on_event, engine.who = options.on_event, options.who
        return session
    end
    function engine:calls(name)
        local found = {}
        for _, call in ipairs(self.asked) do
            found[#found + 1] = call[1] == name and call or nil
        end
        return found
    end
    return engine
end

-- Serve these requests; each is { command, arguments } or bytes. Between them a function is called.
local function serve(list, more)
    local engine = new_engine()
    local out, complaints, at = {}, {}, 0
    local transport = {
        kind = "attach", who = "process 7 of root", debug = engine,
        complain = function(text) table.insert(complaints, text) end,
        write = function(text)
            local body = text:match("^Content%-Length: %d+\r\n\r\n(.*)$")
            assert.equal(#text, #framing.frame(body))
            table.insert(out, (assert(json.decode(body))))
            return true
        end,
        read = function()
            at = at + 1
            while type(list[at]) == "function" do
                list[at](engine)
                at = at + 1
            end
            local one = list[at]
            if type(one) == "table" then
                return framing.frame(json.encode({ seq = at, type = "request", command = one[1],
                    arguments = one[2] }))
            elseif one then
                return one
            end
            return nil, "the other end has closed", "EOF"
        end,
    }
    for name, value in pairs(more or {}) do
        transport[name] = value
    end
    local ok, why = server.serve(transport)
    local result = { ok = ok, why = why, engine = engine, out = out, complaints = complaints,
        responses = {}, events = {} }
    for i, message in ipairs(out) do
        assert.equal(i, message.seq)
        table.insert(message.type == "response" and result.responses or result.events, message)
    end
    return result
end

local BEGIN = { { "initialize", {} }, { "attach", { job = "job-1" } }, { "configurationDone" } }

local WRITING = { "attach", { job = "job-1", write = true } }

local function begun(...)
    return { BEGIN[1], BEGIN[2], BEGIN[3], ... }
end

local function last_response(result)
    return result.responses[#result.responses]
end

describe("a session of the Debug Adapter Protocol", function()
    it("answers each request, tells that it is ready, and attaches when all is set", function()
        local result = serve({ { "initialize", {} }, { "attach", { job = "job-1" } },
            { "setBreakpoints", { source = { path = "/s/slow.lua" }, breakpoints = {} } },
            function(engine) assert.same({}, engine:calls("attach")) end,
            { "configurationDone" }, { "disconnect" } })
        assert.is_true(result.ok)
        for _, response in ipairs(result.responses) do
            assert.is_true(response.success, response.message)
        end
        assert.equal(5, #result.responses)
        assert.is_true(result.responses[1].body.supportsLogPoints)
        assert.equal("initialized", result.events[1].event)
        assert.equal(result.responses[2].seq + 1, result.events[1].seq)
        assert.same({ { "attach", 3 } }, result.engine:calls("attach"))
        assert.equal("process 7 of root", result.engine.who)
        assert.equal(0, result.engine.open_sessions)
    end)

    it("says how long a job may be held", function()
        local result = serve(begun())
        assert.equal("job-1: held at most 14 min\n", result.events[2].body.output)
    end)

    it("attaches to all jobs where none is named", function()
        local result = serve({ { "initialize", {} }, { "attach", {} }, { "configurationDone" } })
        assert.same({ { "attach", nil } }, result.engine:calls("attach"))
    end)

    it("names the jobs that run where the wanted one does not, and may be asked again", function()
        local result = serve({ { "initialize", {} }, { "attach", { job = "jbo-1" } },
            { "attach", { job = "job-1" } } })
        assert.matches("'jbo%-1' does not run here; running: job%-1", result.responses[2].message)
        assert.is_true(result.responses[3].success)
        assert.equal(0, result.engine.open_sessions)
    end)

    it("evaluates without a frame in the innermost that is not Hob's own", function()
        local result = serve(begun({ "evaluate", { expression = "x", context = "watch" } }))
        assert.is_nil(last_response(result).message)
        assert.same({ "x", 5 }, { result.engine:calls("evaluate")[1][2],
            result.engine:calls("evaluate")[1][3].frame })
        assert.same({ 3, { first = 0, count = 1 } },
            { table.unpack(result.engine:calls("stack")[1], 2) })
    end)

    it("does not choose between two things that have a job of that id", function()
        local result = serve({ { "initialize", {} }, function(engine)
            engine.add_job(4, "other")
        end,
            { "attach", { job = "job-1" } }, { "attach", { job = "job-1", thing = "other" } },
            { "configurationDone" } })
        assert.matches("several things have a job 'job%-1'.*%(gw%-1, other%)",
            result.responses[2].message)
        assert.same({ { "attach", 4 } }, result.engine:calls("attach"))
    end)

    it("tells of an argument that is nearly one: all jobs were not meant", function()
        local result = serve({ { "initialize", {} }, { "attach", { jbo = "job-1", name = "x",
            __sessionId = "y" } } })
        assert.equal("the argument 'jbo' is not known; did you mean job?\n",
            result.events[1].body.output)
        assert.equal(2, #result.events)
    end)

    it("lets the job go on when the editor has gone without a word", function()
        local result = serve(begun())
        assert.is_true(result.ok)
        assert.equal(0, result.engine.open_sessions)
        assert.same({}, result.engine:calls("cancel"))
    end)

    describe("refuses, and goes on,", function()
        for what, case in pairs({
            ["a request before initialize"] = { { { "threads" } }, "expected initialize first" },
            ["a second initialize"] = { { BEGIN[1], BEGIN[1] }, "initialize" },
            ["a request before attach"] = { { BEGIN[1], { "threads" } },
                "launch or attach before" },
            ["continue before configurationDone"] = {
                { BEGIN[1], BEGIN[2], { "continue", { threadId = 3 } } },
                "configurationDone before" },
            ["a second attach"] = { begun(BEGIN[2]), "comes too late" },
            ["an unknown request"] = { begun({ "stepBack", {} }), "stepBack: no such request" },
            ["a message without a number and a name"] = { { framing.frame("{}") },
                "expected a request" },
            ["arguments that are a list of nothing useful"] = { begun({ "stackTrace", { 1, 2 } }),
                "threadId is missing" },
            ["arguments that are a text"] = { begun({ "stackTrace", "now" }),
                "expected an object" },
            ["an argument of another type"] = { begun({ "stackTrace", { threadId = "3" } }),
                "threadId: expected integer, got string" },
            ["a null where something must be"] = { begun({ "scopes", { frameId = json.null } }),
                "frameId" },
            ["a negative page"] = {
                begun({ "variables", { variablesReference = 9, start = -1 } }), "from 0 on" },
            ["an unknown filter of errors"] = {
                begun({ "setExceptionBreakpoints", { filters = { "all" } } }), "got 'all'" },
            ["a breakpoint without a line"] = {
                begun({ "setBreakpoints", { source = { path = "/x" }, breakpoints = { {} } } }),
                "breakpoints%[1%]: line is missing" },
            ["launch, in a gateway"] = { { BEGIN[1], { "launch", { handler = "x" } } },
                "`hob dap` launches" },
            ["terminate of a job that is the gateway's own"] = { begun({ "terminate" }),
                "disconnect" },
            ["an exceptionInfo where no error is"] = {
                begun({ "exceptionInfo", { threadId = 3 } }), "not stopped at an error" },
            ["an expression under the mouse that could do something"] = {
                begun({ "evaluate", { expression = "job:reject()", context = "hover" } }),
                "only names and their members" },
        }) do
            it(what, function()
                local list = table.move(case[1], 1, #case[1], 1, {})
                table.insert(list, { "disconnect" })
                local result = serve(list)
                local refused = {}
                for _, response in ipairs(result.responses) do
                    if not response.success then
                        refused[#refused + 1] = response.message
                        assert.equal("number", type(response.request_seq))
                        assert.is_true(#response.body.error.format > 10)
                    end
                end
                assert.equal(1, #refused)
                assert.matches(case[2], refused[1])
                assert.equal("disconnect", last_response(result).command)
                assert.is_true(last_response(result).success)
                assert.is_true(result.ok)
            end)
        end
    end)

    it("answers a message that is too long, by its number", function()
        local result = serve({ framing.frame('{"seq":41,"type":"request","command":"evaluate","x":"'
            .. ("y"):rep(framing.MESSAGE_MAX) .. '"}'), { "disconnect" } })
        assert.same({ false, 41, "evaluate" }, { result.responses[1].success,
            result.responses[1].request_seq, result.responses[1].command })
        assert.equal("disconnect", last_response(result).command)
    end)

    it("ends with the reason where the stream makes no sense", function()
        local result = serve(begun("garbage\n"))
        assert.is_nil(result.ok)
        assert.matches("expected the line 'Content%-Length: N', got 'garbage'", result.why)
        assert.same({ result.why }, result.complaints)
        assert.equal("terminated", result.events[#result.events].event)
        assert.equal(0, result.engine.open_sessions)
    end)

    it("survives an error of its own: it is the answer", function()
        local result = serve(begun(function(engine)
            engine.job.handler = {} -- not what was agreed on
        end, { "threads" }, { "disconnect" }))
        assert.is_false(result.responses[4].success)
        assert.is_true(last_response(result).success)
    end)

    it("stops to write when nobody reads any more", function()
        local count = 0
        local result = serve(begun({ "disconnect" }), { write = function()
            count = count + 1
            return nil, "broken pipe", "EPIPE"
        end })
        assert.equal(1, count)
        assert.same({ "broken pipe" }, result.complaints)
        assert.equal(0, result.engine.open_sessions)
    end)

    describe("passes on", function()
        it("conditions, hits and log points, and answers with lines that were moved", function()
            local result = serve(begun({ "setBreakpoints", { source = { path = "/s/slow.lua" },
                breakpoints = { { line = 3, condition = "x > 1" },
                    { line = 5, hitCondition = " = 3" },
                    { line = 7, logMessage = "x is {x}", condition = " " } } } }))
            assert.same({ { "breakpoints", "/s/slow.lua", {
                { line = 3, condition = "x > 1" }, { line = 5, hit = "==3" },
                { line = 7, log = "x is {x}" } } } }, result.engine:calls("breakpoints"))
            local set = last_response(result).body.breakpoints
            assert.same({ 4, 6, 8 }, { set[1].line, set[2].line, set[3].line })
            assert.is_true(set[1].verified)
        end)

        it("lines that are counted from 0, if the editor does so", function()
            local result = serve({ { "initialize", { linesStartAt1 = false } }, BEGIN[2], BEGIN[3],
                { "setBreakpoints", { source = { path = "/s" }, breakpoints = { { line = 0 } } } },
                { "stackTrace", { threadId = 3 } } })
            assert.equal(1, result.engine:calls("breakpoints")[1][3][1].line)
            assert.equal(1, result.responses[4].body.breakpoints[1].line)
            assert.equal(3, last_response(result).body.stackFrames[1].line)
        end)

        it("lines with code", function()
            local result = serve(begun({ "breakpointLocations",
                { source = { path = "/s/slow.lua" }, line = 3, endLine = 9 } }))
            assert.same({ { line = 4 }, { line = 9 } }, last_response(result).body.breakpoints)
        end)

        it("an empty list as a list", function()
            local text
            serve(begun({ "setBreakpoints", { source = { path = "/s" }, breakpoints = {} } }),
                { write = function(bytes) text = bytes return true end })
            assert.matches('"breakpoints":[]', text, 1, true)
        end)

        it("that a file is not there as breakpoints that are not verified", function()
            local result = serve({ BEGIN[1], { "attach", { job = "job-1", pathMappings = {
                { localRoot = "/home/ada", remoteRoot = "/etc/hob" } } } },
                { "setBreakpoints", { source = { path = "/else/x.lua" },
                    breakpoints = { { line = 3 } } } } })
            local set = last_response(result).body.breakpoints
            assert.is_false(set[1].verified)
            assert.matches("below no localRoot", set[1].message)
        end)

        it("the names that an editor has of files", function()
            local result = serve({ BEGIN[1], { "attach", { job = "job-1", pathMappings = {
                { localRoot = "/home/ada", remoteRoot = "/s" } } } },
                { "stackTrace", { threadId = 3 } } })
            local frame = last_response(result).body.stackFrames[1]
            assert.equal("/home/ada/slow.lua", frame.source.path)
        end)

        it("the text that runs where the file is another one", function()
            local function same(engine) engine.disk = "return 1" end
            local result = serve(begun(same, { "stackTrace", { threadId = 3 } }))
            local source = last_response(result).body.stackFrames[1].source
            assert.same({ "/s/slow.lua" }, { source.path, source.sourceReference })
            result = serve(begun({ "stackTrace", { threadId = 3 } },
                { "source", { sourceReference = 1 } }))
            source = result.responses[4].body.stackFrames[1].source
            assert.equal(1, source.sourceReference)
            assert.equal("return 1", last_response(result).body.content)
        end)
    end)

    describe("lets nothing be changed by the way:", function()
        local set = { "setVariable", { variablesReference = 9, name = "x", value = "43" } }

        it("setVariable is refused until it was asked for", function()
            local result = serve(begun(set))
            assert.matches('only looks: for assignments attach with "write": true',
                last_response(result).message)
            assert.same({}, result.engine:calls("set"))
        end)

        it("`write` of attach allows it, and the engine knows", function()
            local result = serve({ BEGIN[1], WRITING, BEGIN[3],
                { "disconnect", { terminateDebuggee = true } } })
            assert.same({ { "write", true } }, result.engine:calls("write"))
            assert.same({ { "cancel", 3 } }, result.engine:calls("cancel"))
        end)

        it("disconnect with terminateDebuggee does not cancel where it only looks", function()
            local result = serve(begun({ "disconnect", { terminateDebuggee = true } }))
            assert.same({}, result.engine:calls("cancel"))
            assert.matches("the job goes on", result.events[#result.events].body.output)
        end)

        it("disconnect alone never cancels", function()
            local result = serve({ BEGIN[1], WRITING, BEGIN[3],
                { "disconnect" } })
            assert.same({}, result.engine:calls("cancel"))
        end)
    end)

    describe("tells", function()
        local function stop(engine)
            engine.on_event({ event = "stopped", thread = 3, reason = "breakpoint", line = 4,
                file = "/s/slow.lua", breakpoints = { 2 }, holdLeft = 840 })
        end

        it("where and why a job stopped, and when it goes on by itself", function()
            local result = serve(begun(stop, { "disconnect" }))
            local body = result.events[#result.events].body
            assert.same({ "breakpoint", 3, false }, { body.reason, body.threadId,
                body.allThreadsStopped })
            assert.same({ 2 }, body.hitBreakpointIds)
            assert.matches("the job goes on by itself in 14 min", body.description)
        end)

        it("why a job went on that nobody let go", function()
            local result = serve(begun(stop, function(engine)
                engine.on_event({ event = "continued", thread = 3, text = "the hold's limit" })
            end, { "disconnect" }))
            assert.equal("continued", result.events[#result.events - 1].event)
            assert.matches("the hold's limit", result.events[#result.events].body.output)
        end)

        it("nothing of a job that the editor itself let go, but the next time", function()
            local function continued(engine)
                engine.on_event({ event = "continued", thread = 3, text = "process 7 of root" })
            end
            local result = serve(begun(stop, { "continue", { threadId = 3 } }, continued,
                { "disconnect" }))
            assert.equal("stopped", result.events[#result.events].event)
            result = serve(begun(stop, { "next", { threadId = 3 } }, continued, stop, continued,
                { "disconnect" }))
            assert.equal("continued", result.events[#result.events - 1].event)
            assert.equal("stopped", result.events[#result.events - 2].event)
        end)

        it("what comes of a request after the answer to it", function()
            local result = serve(begun(function(engine)
                engine.on_continue = stop
            end, { "continue", { threadId = 3 } }, { "disconnect" }))
            local stopped = result.events[#result.events]
            assert.equal("stopped", stopped.event)
            assert.equal("continue", result.responses[4].command)
            assert.is_true(result.responses[4].seq < stopped.seq)
        end)

        it("the end of the job that it is for, as the end of the session", function()
            local result = serve(begun(function(engine)
                engine.on_event({ event = "ended", thread = 4 })
                engine.on_event({ event = "ended", thread = 3, text = "it SUCCEEDED" })
            end, { "disconnect" }))
            local names = {}
            for i, event in ipairs(result.events) do
                names[i] = event.event
            end
            assert.same({ "initialized", "output", "thread", "output", "terminated" }, names)
        end)

        it("what an error says", function()
            local result = serve(begun(function(engine)
                engine.on_event({ event = "stopped", thread = 3, reason = "exception",
                    text = "boom",
                    file = "/s/slow.lua", line = 4 })
            end, { "exceptionInfo", { threadId = 3 } }))
            assert.equal("boom", last_response(result).body.description)
        end)
    end)
end)
