-- hob.testing, the helper for specs of handlers; and what it answers in place of the world.

local desks = require("spec.support.desk")
local fs = require("hob.fs")
local testing = require("hob.testing")
local values = require("hob.handler.values")

local handler = desks.handler

describe("hob.testing", function()
    local desk

    before_each(function()
        desk = desks.new()
    end)

    after_each(function()
        desk:close()
    end)

    local function options(more)
        more = more or {}
        more.scripts = desk:path("scripts")
        return more
    end

    local function run(body, more, members)
        desk:write("scripts/it.lua", handler(body, members))
        return testing.run("it", options(more))
    end

    describe("run", function()
        it("gives status, details, steps, calls, progress and log", function()
            local outcome = run([[
                job.log.info("begins")
                local said = job:step("restart", function()
                    return exec.check{ "systemctl", "restart", args.service }.stdout
                end)
                job:progress(90, "nearly")
                return { said = said }]], {
                args = { service = "sensor" },
                exec = { { "systemctl restart sensor", stdout = "fine" } },
            })
            assert.equal("SUCCEEDED", outcome.status)
            assert.equal("fine", outcome.details.said)
            assert.same({ { name = "restart", result = "fine" } }, outcome.steps)
            assert.same({ 'exec.check{ "systemctl", "restart", "sensor" }' }, outcome.calls)
            assert.same({ "systemctl restart sensor" }, outcome.programs)
            assert.same({ "90% nearly" }, outcome.progress)
            assert.same({ "begins" }, outcome.log)
            assert.same({}, outcome.outside)
        end)

        it("gives a refusal, and what a wait was to be", function()
            local rejected = run('job:reject("never")')
            assert.same({ "REJECTED", "REJECTED_BY_HANDLER", "never" },
                { rejected.status, rejected.code, rejected.reason })
            local later = run('job:retry_later(90, "busy")')
            assert.same({ "RETRY_LATER", 90 }, { later.status, later.wait })
        end)

        it("goes through reboots", function()
            local outcome = run([[
                job:reboot("for the kernel")
                return { attempt_2 = job.attempt == 2 }]])
            assert.equal("true", outcome.details.attempt_2)
            assert.same({ 1, 2 }, { outcome.reboots, outcome.runs })
        end)

        it("cuts the power where it is told to", function()
            local body = [[
                job:step("flash", { once = true }, function()
                    exec.check{ "fw-install" }
                    return true
                end)]]
            local exec = { { "fw-install" } }
            assert.equal("SUCCEEDED", run(body, { exec = exec }).status)
            local cut = run(body, { exec = exec, cut = { step = "flash", at = "after" } })
            assert.same({ "FAILED", "INTERRUPTED" }, { cut.status, cut.code })
            assert.has_error(function()
                run(body, { exec = exec, cut = { step = "flsh", at = "after" } })
            end, 'hob.testing: cut: the run did not come to { at = "after", step = "flsh" }')
        end)

        it("fails the spec with the error of a broken file", function()
            desk:write("scripts/it.lua", "return {\n  api = 1,\n  timout = 3, run = print }")
            local ok, problem = pcall(testing.run, "it", options())
            assert.is_false(ok)
            assert.matches("it.lua: unknown member 'timout'", problem, 1, true)
        end)

        it("refuses options that nobody reads", function()
            local ok, problem = pcall(testing.run, "it", { exce = {} })
            assert.is_false(ok)
            assert.matches("unknown option 'exce'; known: args, calls", problem, 1, true)
            ok, problem = pcall(testing.run, "it", { exec = { "systemctl" } })
            assert.is_false(ok)
            assert.matches("answers.exec[1]: expected a table that begins with a pattern", problem,
                1, true)
        end)
    end)

    describe("programs", function()
        it("answer as the first rule says that fits; a last * is any more words", function()
            local body = [[
                return { a = exec.run{ "ctl", "is-active", args.what }.code,
                    b = exec.run{ "ctl", "stop" }.signal, c = exec.run{ "ctl" }.words }]]
            local outcome = run(body, { args = { what = "x.service" }, exec = {
                { { "ctl", "is-*", "*.service" }, code = 3 },
                { "ctl stop *", signal = 9 },
                { function(words) return words[1] == "ctl" end },
            } })
            assert.same({ "3", "9", "exit code 0" },
                { outcome.details.a, outcome.details.b, outcome.details.c })
        end)

        it("answer several times, and in turn", function()
            local outcome = run([[
                local tries = 0
                return job:step("wait", { tries = 5, backoff = 10 }, function()
                    tries = tries + 1
                    if exec.run{ "ping" }.code ~= 0 then return nil, "no answer" end
                    return { tries = tries }
                end)]], { exec = { { "ping", code = 1, times = 2 }, { "ping" } } })
            assert.equal("3", outcome.details.tries)
            assert.equal(30, outcome.slept)
        end)

        it("that fail raise what hob.exec.check raises, with the handler's line", function()
            local outcome = run([[
                local ok, err = pcall(exec.check, { "fw", "a" })
                assert(not ok and err.code == "EXIT_CODE" and err.exit_code == 4, "wrong error")
                exec.check{ "fw", "a" }]], { exec = { { "fw a", code = 4, stderr = "x\nno slot\n" },
            } })
            assert.equal("EXIT_CODE", outcome.code)
            assert.matches("it%.lua:6: fw a: exit code 4: no slot$", outcome.reason)
        end)

        it("that do not start are told as such", function()
            local outcome = run([[
                local result, message, code = exec.run{ "fw" }
                return { all = tostring(result) .. message .. code }]],
                { exec = { { "fw", error = "fw: not found", error_code = "ENOENT" } } })
            assert.equal("nilfw: not foundENOENT", outcome.details.all)
        end)

        it("print into a file where the handler says so", function()
            local outcome = run([[
                local result = job:step("a", function()
                    return exec.check{ "journalctl", stdout = "journal.txt", stderr = "/log" } end)
                return { size = job:step("b", function() return fs.stat("journal.txt").size end),
                    kept = #result.stdout + #result.stderr, written = result.stdout_written }]],
                { exec = { { "journalctl", stdout = "lines\n", stderr = "warned" } } })
            assert.equal("SUCCEEDED", outcome.status, outcome.reason)
            assert.same({ "6", "0", "6" }, { outcome.details.size, outcome.details.kept,
                outcome.details.written })
            assert.equal("warned", outcome.files["/log"])
        end)

        it("that are spawned give lines and a result", function()
            local outcome = run([[
                local lines = {}
                local process = exec.spawn{ "tail", on_line = function(line)
                    lines[#lines + 1] = line
                end }
                return { exit = process:wait().code, lines = table.concat(lines, "+") }]],
                { exec = { { "tail", stdout = "a\nb\n", code = 2 } } })
            assert.same({ "2", "a+b" }, { outcome.details.exit, outcome.details.lines })
        end)

        it("report what they print", function()
            local outcome = run([[exec.run{ "collect", report = true }]],
                { exec = { { "collect", stdout = "all is well" } } })
            assert.equal("all is well", outcome.details.stdout)
        end)
    end)

    describe("an unexpected call", function()
        it("fails the spec, naming it, its place, and the answers there were", function()
            local ok, problem = pcall(run, [[
                pcall(exec.run, { "rm", "-rf", args.what })]],
                { args = { what = "/x" }, exec = { { "ls *" }, { "df", times = 1 } } })
            assert.is_false(ok)
            problem = problem:gsub("at %S*/scripts", "at scripts")
            assert.equal([[
unexpected call: exec.run{ "rm", "-rf", "/x" }
  at scripts/it.lua:4
  answers were given for:
    "ls *"
    "df"   (used 0 of 1 times)]], problem)
        end)

        it("shows how to answer it, when nothing of its kind was", function()
            local ok, problem = pcall(run, 'require("hob.systemd").restart("sensor")')
            assert.is_false(ok)
            assert.matches('give one as calls = { ["systemd.restart"] = true }', problem, 1, true)
        end)
    end)

    it("knows links among the files of the device", function()
        local files = require("hob.handler.files").new({ ["/a/f"] = "one", ["/b/f"] = "two" }, true)
        local function call(name, ...)
            local answer = files:answer({ name = "fs." .. name, arguments = table.pack(...) })
            return table.unpack(answer, 1, answer.n)
        end
        assert.is_true(call("symlink", "a", "/now"))
        assert.equal("one", call("read", "/now/f"))
        assert.is_true(call("symlink", "/b", "/now"))
        assert.equal("two", call("read", "/now/f"))
        assert.is_true(call("write", "/now/f", "new"))
        assert.equal("new", call("read", "/b/f"))
        assert.is_true(call("symlink", "/now/f", "/b/g"))
        assert.equal("new", call("read", "/b/g"))
        assert.is_true(call("rename", "/b/g", "/b/h"))
        assert.equal("new", call("read", "/b/h"))
        assert.is_true(call("remove", "/now"))
        assert.equal("new", call("read", "/b/f"))
        assert.equal("ENOENT", select(3, call("read", "/now/f")))
    end)

    it("lets the unused answers be seen", function()
        local outcome = run("", { exec = { { "ls" } }, http = { { "https://a/*" } } })
        assert.same({ 'exec: "ls"', 'http: "https://a/*"' }, outcome.unused)
    end)

    describe("HTTP", function()
        it("downloads into the job's own directory, or into a file of the device", function()
            local outcome = run([[
                local http = require("hob.http")
                http.download{ url = "https://h/a.img?X-Sig=1", to = "image" }
                local made = http.download{ url = "https://h/b.img", to = "/opt/b.img" }
                return { own = fs.read("image"), bytes = made.bytes }]], { http = {
                { "https://h/a.img*", body = "data" }, { "https://h/b.img", body = "12345" },
            } })
            assert.same({ "data", "5" }, { outcome.details.own, outcome.details.bytes })
            assert.equal("12345", outcome.files["/opt/b.img"])
        end)

        it("fails as it is told to", function()
            local outcome = run([[
                local http = require("hob.http")
                job:step("get", function()
                    return http.download{ url = "https://h/a", to = "a" }
                end)]],
                { http = { { "*", error = "https://h/a: status 403", error_code = "EHTTP" } } })
            assert.same({ "FAILED", "EHTTP", "https://h/a: status 403" },
                { outcome.status, outcome.code, outcome.reason })
        end)

        it("answers requests, also by a function", function()
            local outcome = run([[
                local http = require("hob.http")
                local answer = http.request{ url = "http://127.0.0.1/x", method = "POST",
                    body = "q" }
                return { status = answer.status, body = answer.body }]], { http = {
                { "http://127.0.0.1/*", method = "GET", status = 500 },
                { "http://127.0.0.1/*", method = "POST", answer = function(request)
                    return { status = 201, body = request.body .. "!" }
                end },
            } })
            assert.same({ "201", "q!" }, { outcome.details.status, outcome.details.body })
        end)
    end)

    describe("files", function()
        it("are those that the spec gives, and nothing of this machine", function()
            local outcome = run([[
                fs.write("/etc/sensor.conf", fs.read("/etc/sensor.conf") .. "b")
                fs.append("/etc/sensor.conf", "c")
                fs.write("own", "here")
                fs.remove("/etc/old")
                return { hosts = tostring(fs.read("/etc/hosts")), own = fs.read("own"),
                    kind = fs.stat("/etc").type, names = table.concat(fs.list("/etc"), "+") }]],
                { files = { ["/etc/sensor.conf"] = "a", ["/etc/old"] = "x",
                    ["/etc/hosts"] = "h" } })
            assert.equal("abc", outcome.files["/etc/sensor.conf"])
            assert.is_nil(outcome.files["/etc/old"])
            assert.same({ "h", "here", "directory", "hosts+sensor.conf" }, { outcome.details.hosts,
                outcome.details.own, outcome.details.kind, outcome.details.names })
            assert.is_nil(fs.stat("/etc/sensor.conf"))
        end)

        it("that are not there are ENOENT", function()
            local outcome = run([[
                local text, message, code = fs.read("/etc/passwd")
                return { all = tostring(text) .. " " .. code .. " " .. message }]])
            assert.equal("nil ENOENT /etc/passwd: no such file or directory", outcome.details.all)
        end)
    end)

    it("has a clock of its own, which sleeping moves on", function()
        local outcome = run([[
            local before, began = os.time(), time.mono()
            job:sleep(3600)
            time.sleep(60)
            return { went = os.time() - before, mono = time.mono() - began,
                when = os.date("!%Y-%m-%d", before) }]], { clock = 86400 })
        assert.same({ "3660", "3660", "1970-01-02" },
            { outcome.details.went, outcome.details.mono, outcome.details.when })
        assert.equal(3660, outcome.slept)
    end)

    it("has an environment of its own", function()
        local outcome = run([[return { home = tostring(os.getenv("HOME")),
            mode = os.getenv("MODE") }]], { env = { MODE = "field" } })
        assert.same({ "nil", "field" }, { outcome.details.home, outcome.details.mode })
    end)

    it("answers any other function by its name", function()
        local outcome = run([[
            local cloud = require("hob.cloud")
            return { sent = cloud.publish("a/b", "x"), online = cloud.wait_online(5) }]],
            { calls = { ["cloud.publish"] = function(topic) return topic .. "!" end } })
        assert.same({ "a/b!", "true" }, { outcome.details.sent, outcome.details.online })
        assert.same({ 'cloud.publish("a/b", "x")', "cloud.wait_online(5)" }, outcome.calls)
    end)

    describe("rehearse", function()
        it("has no problems where a power cut changes nothing", function()
            desk:write("scripts/it.lua", handler([[
                job:step("a", function() exec.check{ "install", "x" } return true end)]]))
            local rehearsal = testing.rehearse("it", options({ exec = { { "install x" } } }))
            assert.same({}, rehearsal.problems)
            assert.same({ 'exec.check{ "install", "x" }' }, rehearsal.repeated)
            assert.equal(5, #rehearsal.cuts)
        end)

        it("names them, with the point and the line", function()
            desk:write("scripts/it.lua", handler([[
                if fs.read("/version") == "2" then return true end
                job:step("install", function() return fs.write("/version", "2") end)]]))
            local problems = testing.rehearse("it", options({ files = { ["/version"] = "1" } }))
                .problems
            assert.matches("it.lua:4: fs.read is called between steps", problems[1], 1, true)
            assert.matches("power cut after step 'install': FAILED REPLAY_MISMATCH",
                problems[#problems], 1, true)
        end)

        it("has the problem that nothing was rehearsed, where the document is refused", function()
            desk:write("scripts/it.lua", handler("", "args = { who = 'string' },"))
            assert.same({ "run() was not called, so nothing was rehearsed: REJECTED BAD_DOCUMENT: "
                .. "args.who: expected string, got nothing" },
                testing.rehearse("it", options()).problems)
        end)

        it("fails the spec for an unexpected call, also one after a cut only", function()
            desk:write("scripts/it.lua", handler([[
                job:step("a", function()
                    if job.attempt > 1 then exec.run{ "repair" } end
                    return true
                end)]]))
            local ok, problem = pcall(testing.rehearse, "it", options())
            assert.is_false(ok)
            assert.matches('unexpected call: exec.run{ "repair" }', problem, 1, true)
        end)
    end)
end)

describe("values on their way out of a sandbox", function()
    local function there_and_back(value)
        return values.read(values.write(value))
    end

    it("arrive as they were: bytes, integers, floats, mixed tables", function()
        local value = { "a\0\255\n\"", 7, 7.5, -0.25, math.mininteger, { x = true, { y = {} } },
            n = 6, [true] = 1 }
        assert.same(value, there_and_back(value))
        assert.equal("integer", math.type(there_and_back(7)))
        assert.equal(math.huge, there_and_back(math.huge))
    end)

    it("become words where they cannot, and are cut where they are large", function()
        assert.equal("(a function)", there_and_back(print))
        local loop = {}
        loop[1] = loop
        assert.is_table(there_and_back(loop))
        assert.matches("%[cut 36%d* bytes%]$", there_and_back(("x"):rep(65900)))
    end)

    it("are shown as one would write them, in one order", function()
        assert.equal('{ "a", "b", env = { X = "1" }, ["to do"] = 2 }',
            values.show({ "a", "b", ["to do"] = 2, env = { X = "1" } }))
        assert.equal('("a", nil, 3)', values.show_arguments({ "a", nil, 3, n = 3 }))
    end)
end)
