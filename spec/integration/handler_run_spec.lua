-- `hob handler run`: a handler for a document, without a cloud. (--rehearse: rehearse_spec)

local desks = require("spec.support.desk")
local fs = require("hob.fs")
local json = require("hob.json")

local handler = desks.handler

describe("hob handler run", function()
    local desk

    before_each(function()
        desk = desks.new()
    end)

    after_each(function()
        desk:close()
    end)

    local function write(name, body, more)
        desk:write("scripts/" .. name .. ".lua", handler(body, more))
    end

    local function run(...)
        return desk:run(...)
    end

    -- The lines without their times.
    local function lines(result)
        local found = {}
        for line in result.stdout:gmatch("[^\n]+") do
            line = line:gsub("^%s*[%d.]+  ", ""):gsub("after %d+ ms", "after N ms")
                :gsub("after [%d.]+ s", "after N s"):gsub("@%x+", "@DIGEST")
            found[#found + 1] = line
        end
        return found
    end

    describe("what it shows", function()
        it("is the steps with their results, progress, log lines, and the outcome", function()
            write("greet", [[
                job.log.info("begins")
                local said = job:step("say", function()
                    return exec.check{ "echo", "hello " .. args.name }.stdout
                end)
                job:progress(50, "half")
                return { said = said, count = 2 }]])
            local result = run("greet", "--args", "name=Ada")
            assert.equal(0, result.code, result.stderr)
            assert.same({
                "log: begins", "step 'say'", "  ended after N ms, result \"hello Ada\\n\"",
                "progress: 50% half", "SUCCEEDED  after N s, 1 run",
                "  count      2", "  handler    greet@DIGEST", "  said       hello Ada ",
            }, lines(result))
        end)

        it("is the handler's line where a function in C raised", function()
            for body, words in pairs({
                ['require("socket")'] = "module 'socket' not found: ",
                ["require({})"] = "bad argument #1 to 'require' (string expected, got table)",
                ['os.date("*t", 1e300)'] = "bad argument #2 to 'os.date' (number has no integer",
                ["os.time({})"] = "field 'year' missing in date table",
            }) do
                write("wrong", "\n" .. body)
                assert.matches("scripts/wrong.lua:@: " .. words,
                    run("wrong").stdout:gsub("%.lua:%d+: ", ".lua:@: "), 1, true)
            end
        end)

        it("is what print wrote, and no more", function()
            write("prints", [[print("one", 2, nil, true) print()]])
            local result = run("prints")
            assert.same({ "log: one 2 nil true", "log: " }, { lines(result)[1], lines(result)[2] })
        end)

        it("is where a step failed, as a device would report it, and cleanup's part", function()
            write("fails", [[
                job:step("install", function()
                    exec.check{ "sh", "-c", "echo no slot >&2; exit 3" }
                end)]],
                [[cleanup = function(job, _, why) job.log.warn("cleans " .. why.code) end,]])
            local result = run("fails")
            assert.equal(1, result.code)
            local text = table.concat(lines(result), "\n")
            assert.matches("failed after N ms: [^\n]*fails%.lua:5: [^\n]*exit code 3", text)
            assert.matches("log, warn: cleans EXIT_CODE", text, 1, true)
            assert.matches("code       EXIT_CODE", text, 1, true)
            assert.matches("step       install", text, 1, true)
            assert.matches("^FAILED", text:match("FAILED.*"))
        end)

        it("is nil for a step that gives nothing", function()
            write("quiet", [[job:step("look", function() end)]])
            assert.equal("  ended after N ms, result nil", lines(run("quiet"))[2])
        end)

        it("is misuse of the library with the handler's line, as on a device", function()
            write("misuses", [[job:step("a", function()
                fs.read(nil)
            end)]])
            assert.matches("reason     [^\n]*scripts/misuses%.lua:5: bad argument #1",
                run("misuses").stdout)
        end)

        it("is a broken file with its line", function()
            desk:write("scripts/broken.lua", "return {\n  api = 1,\n  run = function( end }")
            local result = run("broken")
            assert.equal(1, result.code)
            assert.matches("HANDLER_BROKEN", result.stdout)
            assert.matches("broken%.lua:3", result.stdout)
        end)

        it("is one object of JSON with --json", function()
            write("greet", [[job:step("a", function() return { 1, 2 } end) return { x = "y" }]])
            local got = assert(json.decode(run("greet", "--json").stdout))
            assert.equal("SUCCEEDED", got.status)
            assert.equal("y", got.details.x)
            assert.equal("a", got.steps[1].name)
            assert.equal("{ 1, 2 }", got.steps[1].result)
        end)
    end)

    describe("its exit code", function()
        it("tells FAILED, wrong use, REJECTED and a wait apart", function()
            write("ends", [[
                if args.how == "reject" then job:reject("never") end
                if args.how == "later" then job:retry_later(3600, "not yet") end
                return nil, "no"]], [[args = { how = "string?" },]])
            assert.equal(1, run("ends").code)
            assert.equal(2, run("ends", "--documnt", "x").code)
            assert.equal(2, run("nobody").code)
            assert.equal(2, run("ends", "--answers", "x").code)
            assert.equal(3, run("ends", "--args", "how=reject").code)
            assert.equal(4, run("ends", "--args", "how=later").code)
        end)

        it("is REJECTED's for a document that the arguments refuse", function()
            write("needs", "", [[args = { url = "string" },]])
            local result = run("needs")
            assert.equal(3, result.code)
            assert.matches("url: expected string", result.stdout, 1, true)
        end)
    end)

    describe("the document", function()
        before_each(function()
            write("shows", [[return { a = args.a, deep = args.b and args.b.c }]])
        end)

        it("comes from a file, from standard input, and from --args on top", function()
            desk:write("doc.json", '{"operation":"shows","a":1,"b":{"c":2}}')
            assert.matches("a          1\n", run("shows", "--document", "doc.json").stdout)
            assert.matches("a          3\n", desk:hob("handler", "run", "shows", "--document",
                "-", { stdin = '{"a":3}' }).stdout)
            local mixed = run("shows", "--document", "doc.json", "--args", "b.c=x", "--args",
                "a=y=z").stdout
            assert.matches("a          y=z\n", mixed)
            assert.matches("deep       x\n", mixed)
        end)

        it("is warned of when a device would give it to another handler, or to none", function()
            local ELSEWHERE = "warning: on a device this document is not for shows: "
            write("other", "")
            local function warning_of(document, ...)
                desk:write("d.json", document)
                local stdout = run("shows", "--document", "d.json", ...).stdout
                return stdout:match("warning: [^\n]*")
            end
            assert.is_nil(warning_of('{"operation":"shows"}'))
            assert.equal(ELSEWHERE .. "it is for other", warning_of('{"operation":"other"}'))
            assert.matches('no handler for operation "shwos"', warning_of('{"operation":"shwos"}'))
            assert.matches("names no handler", warning_of("{}"))
            assert.equal(ELSEWHERE .. "expected an object", warning_of(" []"))
            desk:write("hob.conf.lua", "return { scripts = 'scripts', routes = { x = 'shows' } }")
            assert.is_nil(warning_of('{"type":"x"}', "--config", "hob.conf.lua"))
        end)

        it("is refused with its reason when it cannot be read", function()
            local result = run("shows", "--document", "none.json")
            assert.equal(2, result.code)
            assert.matches("none.json", result.stderr, 1, true)
            desk:write("large.json", '{"operation":"shows"}' .. (" "):rep(256 * 1024))
            result = run("shows", "--document", "large.json")
            assert.equal(2, result.code)
            assert.equal("", result.stdout)
            assert.matches("262165 bytes, a job document may have 262144", result.stderr, 1, true)
        end)
    end)

    describe("a reboot", function()
        it("is simulated: a new run goes on after it, and nothing is done twice", function()
            write("boots", [[
                job:step("before", function() fs.append(args.log, "before ") return true end)
                job:reboot("into the new slot")
                job:step("after", function() fs.append(args.log, "after ") return true end)
                job:restart_hob("for the update")
                return { runs = job.attempt }]])
            local result = run("boots", "--args", "log=" .. desk:path("log"))
            assert.equal(0, result.code, result.stdout)
            assert.equal("before after ", desk:read("log"))
            assert.matches("runs       3\n", result.stdout)
            assert.matches("reboot: simulated here", result.stdout, 1, true)
            assert.matches("restart of Hob: simulated here", result.stdout, 1, true)
        end)
    end)

    describe("job:retry_later", function()
        before_each(function()
            write("waits", [[
                local ready = pcall(job.step, job, "look", function()
                    fs.append(args.log, "x")
                    assert(fs.read(args.log) == "xx", "not yet")
                    return true
                end)
                if not ready then job:retry_later(3600, "the disk is busy") end]])
        end)

        it("ends the run, and says how long it would wait", function()
            local result = run("waits", "--args", "log=" .. desk:path("log"))
            assert.equal(4, result.code)
            assert.matches("waits 3600 s: the disk is busy", result.stdout, 1, true)
        end)

        it("goes on at once with --retries", function()
            local result = run("waits", "--retries", "--args", "log=" .. desk:path("log"))
            assert.equal(0, result.code, result.stdout)
            assert.equal("xx", desk:read("log"))
        end)
    end)

    describe("calls outside of steps", function()
        it("are warned of, each with its line, once", function()
            write("reads", [[
                for _ = 1, 3 do fs.stat("/") end
                local when = os.time()
                job:step("in a step", function() return fs.stat("/") ~= nil and os.time() end)
                job:sleep(0)
                return { ok = when > 0 and os.time({ year = 2020, month = 1, day = 1 }) > 0 }]])
            local result = run("reads")
            assert.equal(0, result.code)
            local warnings = {}
            for place, name in result.stdout:gmatch("warning: (%S+): (%S+) is called") do
                warnings[#warnings + 1] = place .. " " .. name
            end
            assert.same({ "scripts/reads.lua:4 fs.stat", "scripts/reads.lua:5 os.time" }, warnings)
        end)

        it("are none that only compute or wait", function()
            write("computes", [[
                local time = require("hob.time")
                local url = "http://x/" .. require("hob.http").escape("a b")
                time.after(0, function() end)
                time.sleep(0)
                return { url = url, when = time.text(0) }]])
            assert.is_nil(run("computes").stdout:find("warning", 1, true))
        end)

        it("are found in modules of scripts/lib, and while the file is loaded", function()
            desk:write("scripts/lib/version.lua",
                'local fs = require("hob.fs")\nlocal etc = fs.stat("/etc")\nreturn etc\n')
            desk:write("scripts/early.lua",
                'require("version")\nreturn { api = 1, run = function() end }')
            assert.matches("warning: scripts/lib/version.lua:2: fs.stat is called while the file "
                .. "is loaded", run("early").stdout, 1, true)
        end)

        it("leave Hob's own calls alone", function()
            write("plain", [[
                job:step("a", { tries = 2, backoff = 0.01 }, function()
                    return require("hob.http").get{ url = "http://127.0.0.1:1/x", tries = 2,
                        backoff = 0.01 }
                end)]])
            local result = run("plain", "--json")
            assert.matches("127.0.0.1:1", result.stdout, 1, true)
            local names = {}
            for i, call in ipairs(json.decode(result.stdout).calls) do
                names[i] = call.name
            end
            assert.same({ "http.get", "http.get" }, names) -- it asks for a random number between
        end)
    end)

    describe("--dry-run", function()
        before_each(function()
            write("installs", [[
                local version = job:step("install", function()
                    fs.write("note", "x")
                    fs.write(args.target, "new")
                    exec.check{ "touch", args.target }
                    return fs.read(args.target) .. fs.read("note")
                end)
                job:sleep(3600)
                local state = job:step("ask", function()
                    return exec.run{ "systemctl", "is-active", "sensor" }.stdout
                end)
                return { version = version, state = state }]])
        end)

        it("says what would be done, in order, and does none of it", function()
            local target = desk:path("installed")
            local result = run("installs", "--dry-run", "--args", "target=" .. target)
            assert.equal(0, result.code, result.stdout)
            assert.is_nil(fs.stat(target))
            local calls = {}
            for name in result.stdout:gmatch("not done: ([%w.]+)") do
                calls[#calls + 1] = name
            end
            assert.same({ "fs.write", "exec.check", "fs.read", "exec.run" }, calls)
            assert.matches("version    newx\n", result.stdout)
        end)

        it("leaves the device alone also where a file of the job's own is put there", function()
            write("places", [[
                fs.write("new", "bad") fs.write("newer", "worse")
                fs.copy("new", args.target) fs.rename("newer", args.target)
                fs.write(args.up, "bad")
                fs.copy(args.target, "back")
                return { now = fs.read(args.target), back = fs.read("back"),
                    gone = not fs.exists("newer") }]])
            desk:write("target", "good")
            local result = run("places", "--dry-run", "--args", "target=" .. desk:path("target"),
                "--args", "up=" .. ("../"):rep(20) .. desk:path("target"):sub(2))
            assert.equal("good", desk:read("target"))
            assert.equal(0, result.code, result.stdout)
            assert.matches("now%s+worse\n", result.stdout)
            assert.matches("back%s+worse\n", result.stdout)
            assert.matches("gone%s+true\n", result.stdout)
        end)

        it("takes what a program would say from --answers", function()
            desk:write("answers.lua", [[return {
                exec = { { "systemctl is-active *", code = 3, stdout = "inactive" },
                    { "touch *", code = 0 } } }]])
            local result = run("installs", "--dry-run", "--answers", "answers.lua", "--args",
                "target=/nowhere/x")
            assert.matches("state      inactive\n", result.stdout)
            desk:write("answers.lua",
                [[return { exec = { { "touch *", code = 1, stderr = "full\n" } } }]])
            result = run("installs", "--dry-run", "--answers", "answers.lua", "--args",
                "target=/nowhere/x")
            assert.equal(1, result.code)
            assert.matches("installs.lua:7: touch /nowhere/x: exit code 1: full", result.stdout, 1,
                true)
        end)

        it("refuses answers that nobody would ever ask for", function()
            desk:write("answers.lua", "return { exce = {} }")
            local result = run("installs", "--dry-run", "--answers", "answers.lua")
            assert.equal(2, result.code)
            assert.matches("unknown member 'exce'", result.stderr, 1, true)
        end)

        it("records the programs of AWS's documents with steps, too", function()
            local mark = desk:path("mark")
            desk:write("doc.json", json.encode({ version = "1.0", steps = { { action = {
                name = "touch it", type = "runCommand", input = { command = "touch," .. mark },
            } } } }))
            local result = run("aws-steps", "--dry-run", "--document", "doc.json")
            assert.is_nil(fs.stat(mark), result.stdout)
            assert.matches("not done: exec", result.stdout, 1, true)
        end)
    end)

    it("applies the limits and permissions of --config", function()
        desk:write("hob.conf.lua", [[return { scripts = "scripts", memory = "2M",
            commands = { allow = {} }, thing_name = "gateway-7" }]])
        write("eats", [[local t = {} for i = 1, 1e7 do t[i] = { i } end]])
        write("who", [[return { thing = job.thing }]])
        assert.matches("OUT_OF_MEMORY", run("eats", "--config", "hob.conf.lua").stdout, 1, true)
        assert.matches("thing      gateway-7\n", run("who", "--config", "hob.conf.lua").stdout, 1,
            true)
    end)

    it("is cancelled by Ctrl-C, as by `hob cancel`: programs end, cleanup runs", function()
        write("hangs", [[job:step("hang", function() exec.check{ "sleep", "600" } end)]],
            [[cleanup = function(job, _, why) job.log.warn("cleans up: " .. why.kind) end,]])
        local output, hangs = {}, require("hob.future").new()
        local process = desk:spawn("handler", "run", "hangs", function(line)
            output[#output + 1] = line
            if line:find("step 'hang'", 1, true) then
                hangs:resolve(true)
            end
        end)
        assert.is_true(hangs:result(30))
        process:kill("INT")
        assert.equal(1, process:wait(30).code)
        local text = table.concat(output, "\n")
        assert.matches("cancelled by Ctrl-C", text, 1, true)
        assert.matches("cleans up: cancelled", text, 1, true)
    end)

    it("keeps the job's directory and the programs' output with --keep", function()
        write("leaves", [[job:step("a", function()
            fs.write("left", "here") exec.check{ "echo", "printed" } return true end)]])
        local dir = run("leaves", "--keep").stdout:match("\nkept: (%S+)")
        assert.equal("here", fs.read(dir .. "/job/left"))
        local names = assert(fs.list(dir .. "/output"))
        assert.matches("printed", fs.read(dir .. "/output/" .. names[1]))
        fs.remove(dir, { recursive = true })
    end)

    it("leaves nothing behind else", function()
        write("leaves", [[job:step("a", function() return job.dir end) return { dir = job.dir }]])
        local dir = run("leaves").stdout:match("dir%s+(%S+)")
        assert.is_nil(fs.stat(dir))
        assert.is_nil(fs.stat(dir:match("^(.*)/work/")))
    end)

    it("says what the device would wait for, and begins all the same", function()
        write("needs", [[return true]], [[requires = { commands = { "no-such-program" } },]])
        local result = run("needs")
        assert.equal(0, result.code, result.stdout)
        assert.matches("on a device like this the job would [^\n]*no%-such%-program", result.stdout)
    end)
end)
