-- `hob handler run --rehearse`: a power cut after and inside every step, and what it did.

local desks = require("spec.support.desk")
local json = require("hob.json")
local wait = require("spec.support.wait")

describe("hob handler run --rehearse", function()
    local desk

    before_each(function()
        desk = desks.new()
    end)

    after_each(function()
        desk:close()
    end)

    local function rehearse(name, body, more, ...)
        desk:write("scripts/" .. name .. ".lua", desks.handler(body, more))
        return desk:run(name, "--rehearse", "--args", "log=" .. desk:path("log"), ...)
    end

    local function report_of(result)
        return assert(json.decode(result.stdout), result.stderr)
    end

    local function cuts(report)
        local list = {}
        for i, cut in ipairs(report.cuts) do
            list[i] = ("%s %s%s: %s"):format(cut.at, cut.step, cut.name and " " .. cut.name or "",
                cut.kind)
        end
        return list
    end

    it("cuts at both ends of each step, around each call in it, and after it", function()
        local result = rehearse("plain", [[
            job:step("write", function() return fs.write("a", "x") end)
            job:step("think", function() return 7 end)]], nil, "--json")
        assert.equal(0, result.code, result.stdout)
        local report = report_of(result)
        assert.same({
            "begin write: same", "before write fs.write: same", "after write fs.write: same",
            "end write: same", "saved write: same",
            "begin think: same", "end think: same", "saved think: same",
        }, cuts(report))
        assert.equal("SUCCEEDED", report.status)
        assert.equal(0, report.problems)
        assert.same({ "write" }, report.cuts[4].ran_again)
        assert.same({}, report.cuts[5].ran_again)
    end)

    it("names a step that appends to a file twice, with its line", function()
        local result = rehearse("appends", [[
            job:step("note", function()
                fs.append(args.log, "once\n")
                return true
            end)]])
        assert.equal(0, result.code, result.stdout)
        assert.matches("twice: fs.append(", result.stdout, 1, true)
        assert.matches("(scripts/appends.lua:5, in step 'note'; after 2 cuts)", result.stdout, 1,
            true)
        -- The run without a cut, three with one before it was done or after it was saved, and two
        -- that did it twice.
        assert.equal(("once\n"):rep(1 + 3 + 2 * 2), desk:read("log"))
    end)

    it("reports a version that is read before the first step (field failure 19)", function()
        desk:write("version", "1")
        local result = rehearse("installs", [[
            if fs.read(args.log .. "/../version") == args.version then return true end
            job:step("install", function() return fs.write("image", args.version) end)]],
            [[args = { version = "string", log = "string" },]], "--args", "version=2")
        assert.equal(1, result.code, result.stdout)
        assert.matches("outside: scripts/installs.lua:4: fs.read is called between steps",
            result.stdout, 1, true)
    end)

    it("finds the confirmation that such a check skips (field failure 19)", function()
        desk:write("version", "1")
        local result = rehearse("installs", [[
            local file = args.log .. "/../version"
            if fs.read(file) == "2" then return true end
            job:step("install", function() return fs.write(file, "2") end)
            job:reboot("into the new slot")
            job:step("confirm", function() return true end)]], nil, "--reset",
            "printf 1 > version; mkdir -p log")
        assert.equal(1, result.code, result.stdout)
        assert.matches("without a cut: FAILED REPLAY_MISMATCH", result.stdout, 1, true)
        assert.matches("step 'install'", result.stdout, 1, true)
    end)

    it("says that nothing was rehearsed: document refused, or file broken", function()
        local result = rehearse("refuses", "", [[args = { version = "string" },]])
        assert.equal(1, result.code, result.stdout)
        assert.matches("run() was not called, so nothing was rehearsed: REJECTED BAD_DOCUMENT: "
            .. "args.version: expected string, got nothing", result.stdout, 1, true)
        result = rehearse("broken", "", "timout = 5,", "--json")
        assert.equal(1, result.code)
        assert.equal(1, report_of(result).problems)
    end)

    it("finds a branch between steps that goes another way after a cut", function()
        local result = rehearse("branches", [[
            local there = fs.stat("mark")
            if there then
                job:step("again", function() return true end)
            else
                job:step("mark it", function() return fs.write("mark", "") end)
            end
            job:step("last", function() return true end)]], nil, "--json")
        assert.equal(1, result.code)
        local kinds = {}
        for _, cut in ipairs(report_of(result).cuts) do
            kinds[cut.at .. " " .. cut.step] = cut.kind
        end
        assert.equal("same", kinds["begin mark it"])
        assert.equal("REPLAY_MISMATCH", kinds["saved mark it"])
        assert.equal("REPLAY_MISMATCH", kinds["begin last"])
    end)

    it("tells a `once` step that was interrupted apart from what is wrong", function()
        local result = rehearse("once", [[
            job:step("flash", { once = true }, function()
                exec.check{ "true" }
                return true
            end)]], nil, "--json")
        assert.equal(0, result.code, result.stdout)
        assert.same({
            "begin flash: INTERRUPTED", "before flash exec.check: INTERRUPTED",
            "after flash exec.check: INTERRUPTED", "end flash: INTERRUPTED", "saved flash: same",
        }, cuts(report_of(result)))
    end)

    it("counts a cut as an interruption of the step that it hits", function()
        local result = rehearse("few", [[
            job:step("flash", { interruptions = 1 }, function() return true end)]], nil, "--json")
        assert.same({ "begin flash: INTERRUPTED", "end flash: INTERRUPTED", "saved flash: same" },
            cuts(report_of(result)))
    end)

    it("finds a step that cannot be done twice", function()
        local result = rehearse("makes", [[
            job:step("make", function() exec.check{ "mkdir", "made" } return true end)]])
        assert.equal(1, result.code)
        assert.matches("in step 'make', after exec.check (makes.lua:4)", result.stdout, 1, true)
        assert.matches("FAILED EXIT_CODE: ", result.stdout, 1, true)
        assert.matches("step 'make' fails after a cut", result.stdout, 1, true)
        assert.matches("2 the same", result.stdout:gsub("%d+ the same", "2 the same"), 1, true)
    end)

    it("cuts in cleanup, too", function()
        local result = rehearse("cleans", [[
            job:step("fail", function() return nil, "broken" end)]],
            [[cleanup = function(job, args) fs.append(args.log, "c") end,]], "--json")
        local report = report_of(result)
        assert.equal(0, result.code, result.stdout)
        assert.equal("FAILED", report.status)
        local last = report.cuts[#report.cuts]
        assert.same({ "after", "cleanup", "fs.append", "same" },
            { last.at, last.step, last.name, last.kind })
        assert.matches("fs.append", last.repeated[1].call, 1, true)
    end)

    it("goes through reboots", function()
        local result = rehearse("boots", [[
            job:step("before", function() return true end)
            job:reboot("for the kernel")
            job:step("after", function() return job.attempt > 1 end)
            return { done = true }]])
        assert.equal(0, result.code, result.stdout)
        assert.matches("after the reboot", result.stdout, 1, true)
        assert.matches("without a cut: SUCCEEDED; 7 cuts: 7 the same", result.stdout, 1, true)
    end)

    it("is ended by Ctrl-C, not only the run that it is at", function()
        desk:write("scripts/hangs.lua", desks.handler([[
            job:step("hang", function() exec.check{ "sh", "-c", "echo hangs >> $0; sleep 600",
                args.log } end)]]))
        local said = {}
        local process = desk:spawn("handler", "run", "hangs", "--rehearse", "--args",
            "log=" .. desk:path("log"), function(line)
                said[#said + 1] = line
            end)
        wait.wait_until(function() return desk:read("log") ~= nil end, 30, "the first run")
        process:kill("INT")
        assert.equal(1, process:wait(30).code)
        assert.same({ "hob handler run: the rehearsal was ended by Ctrl-C" }, said)
        assert.equal("hangs\n", desk:read("log"))
    end)

    it("has ended the programs of the run before, also those that ignore TERM", function()
        local result = rehearse("spawns", [[
            job:step("start", function()
                for pid in (fs.read(args.log) or ""):gmatch("%d+") do
                    assert(not fs.stat("/proc/" .. pid), "it runs beside us")
                end
                local ready = require("hob.future").new()
                local process = exec.spawn{ "sh", "-c",
                    "trap '' TERM; echo ready; while :; do sleep 1; done",
                    on_line = function() ready:resolve(true) end }
                ready:result(20)
                fs.append(args.log, process:pid() .. "\n")
                process:kill("KILL") -- else the end of the job waits for its grace
                process:wait(20)
                return true
            end)]], nil, "--reset", "rm -f log")
        assert.equal(0, result.code, result.stdout)
        assert.matches("9 cuts: 9 the same", result.stdout, 1, true)
    end)

    describe("when a run changes the world for the next one", function()
        local BODY = [[
            job:step("count", function()
                fs.append(args.log, "x")
                return #fs.read(args.log)
            end)]]
        local ALREADY = [[already_done = function(job, args) return fs.stat(args.log) ~= nil end,]]

        it("says which cuts were not reached, and what helps", function()
            local result = rehearse("counts", BODY, ALREADY)
            assert.equal(1, result.code)
            assert.matches("NOT REACHED", result.stdout, 1, true)
            assert.matches("--reset COMMAND", result.stdout, 1, true)
        end)

        it("sets it back with --reset before each run", function()
            local result = rehearse("counts", BODY, ALREADY, "--reset", "rm -f log")
            assert.is_nil(result.stdout:find("NOT REACHED", 1, true), result.stdout)
        end)

        it("does not touch it with --dry-run", function()
            local result = rehearse("counts", BODY, nil, "--dry-run")
            assert.is_nil(desk:read("log"))
            assert.matches("twice: fs.append", result.stdout, 1, true)
        end)

        it("gives up when --reset fails", function()
            local result = rehearse("counts", BODY, nil, "--reset", "echo why >&2; exit 3")
            assert.equal(2, result.code)
            assert.matches("--reset: exit code 3: why", result.stderr, 1, true)
        end)
    end)
end)
