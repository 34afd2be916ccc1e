local store = require("hob_units").store
local box = require("spec.support.store")

local open, execution = box.open, box.execution

describe("hob_store", function()
    before_each(box.before_each)
    after_each(box.after_each)

    describe("open", function()
        it("makes a file that only its owner can read, whatever the umask", function()
            open()
            assert.equal("600", box.shell("stat -c %a '" .. box.path .. "'")[1])
            assert.equal("600", box.shell("stat -c %a '" .. box.path .. "-wal'")[1])
        end)

        it("takes the rights of others away from a file that had them", function()
            open():close()
            box.shell("chmod 644 '" .. box.path .. "'")
            open()
            assert.equal("600", box.shell("stat -c %a '" .. box.path .. "'")[1])
        end)

        it("leaves one file, and the reserve, when it is closed", function()
            local s = open()
            s:add(execution())
            s:close()
            assert.same({ "hob.db", "reserve" }, box.shell("ls '" .. box.dir .. "'"))
        end)

        it("refuses a second process and names the first", function()
            local holder = store.child(function()
                open():add(execution())
            end)
            local s, message, code = store.open(box.path)
            assert.is_nil(s)
            assert.equal("EBUSY", code)
            assert.equal(
                ("%s: another hob (pid %d) uses this data directory: end that one, or give "
                    .. "this one its own directory (the key data)"):format(box.path, holder:pid()),
                message
            )
            holder:kill()
            assert.equal(1, open():get(1).row)
        end)

        it("says which directory is missing", function()
            local s, message, code = store.open(box.dir .. "/none/hob.db")
            assert.is_nil(s)
            assert.equal("ENOENT", code)
            local reason = "/none/hob.db: cannot be created: No such file or directory"
            assert.equal(box.dir .. reason, message)
        end)

        it("says which file system takes no files", function()
            local s, message, code = store.open("/sys/kernel/hob.db")
            assert.is_nil(s)
            assert.truthy(code == "EACCES" or code == "EIO", code)
            assert.matches("^/sys/kernel/hob.db: cannot be created: ", message)
        end)

        it("refuses a directory in the file's place", function()
            box.shell("mkdir '" .. box.path .. "'")
            local s, message = store.open(box.path)
            assert.is_nil(s)
            assert.equal(box.path .. ": is not a file", message)
        end)

        it("refuses another program's database and leaves it alone", function()
            box.sql("CREATE TABLE precious(x); INSERT INTO precious VALUES(1)")
            local s, message, code = store.open(box.path)
            assert.is_nil(s)
            assert.equal("ESTORE", code)
            assert.matches("is a database of another program", message, 1, true)
            assert.same({ "1" }, box.sql("SELECT x FROM precious"))
        end)
    end)

    describe("identity", function()
        it("is thing, job id, execution number and queuedAt together", function()
            local s = open()
            local base = { thing = "gw-1", job_id = "j", execution_number = 1, queued_at = 100 }
            local others = {
                { thing = "gw-2" },
                { job_id = "J" },
                { execution_number = 2 },
                { queued_at = 101 },
            }
            local rows = { s:add(base) }
            for i, other in ipairs(others) do
                rows[i + 1] = assert(s:add(setmetatable(other, { __index = base })))
            end
            assert.equal(rows[1], s:find("gw-1", "j", 1, 100).row)
            assert.equal(rows[2], s:find("gw-2", "j", 1, 100).row)
            assert.equal(rows[3], s:find("gw-1", "J", 1, 100).row)
            assert.equal(rows[4], s:find("gw-1", "j", 2, 100).row)
            assert.equal(rows[5], s:find("gw-1", "j", 1, 101).row)
            local none, _, code = s:find("gw-2", "j", 2, 100)
            assert.is_nil(none)
            assert.equal("ENOENT", code)
        end)

        it("is taken once: a second add is EEXIST and changes nothing", function()
            local s = open()
            local row = s:add(execution())
            local again, message, code = s:add(execution({ document = "{}" }))
            assert.is_nil(again)
            assert.equal("EEXIST", code)
            assert.matches("execution 1 of job job-1 of gw-1 is there already", message, 1, true)
            assert.equal('{"a": 1}', s:get(row).document)
            assert.equal(row, s:find("gw-1", "job-1", 1, 1700000000).row)
        end)
    end)

    describe("add", function()
        it("keeps every member as it was given", function()
            local given = {
                thing = "gw:1",
                job_id = ("j"):rep(64),
                execution_number = 7,
                queued_at = 1789000001,
                version = 3,
                state = "ended",
                document = '{"bytes":"\0\xff are kept"}',
                handler = "reboot",
                handler_digest = ("ab"):rep(32),
                runs = 2,
                status = "REJECTED",
                boot = "b2c7",
                interrupted = 2,
                deaths = 1,
                elapsed_ms = 3600001,
                resume_at_s = 1790000000,
                wait_s = 600,
                retries = 4,
                ending_status = "FAILED",
                ending_kind = "timed_out",
                ending_details = '{"code":"TIMED_OUT"}',
                cleanups = 3,
                details = '{"reason":"no handler"}',
                ended_at_s = 1789000999,
                told = "VersionMismatch",
                theirs = "CANCELED",
                told_at_s = 1789001000,
            }
            local s = open()
            local row = s:add(given)
            given.row = row
            s:close()
            assert.same(given, open():get(row))
        end)

        it("notes when an outcome came that is there from the beginning", function()
            local s = open()
            local before = os.time()
            local row = s:add(execution({ state = "ended", status = "REJECTED" }))
            local at = s:get(row).ended_at_s
            assert.truthy(at >= before and at <= os.time(), at)
            assert.equal(0, s:get(s:add(execution({ job_id = "b" }))).ended_at_s)
        end)

        it("takes a document of 256 KB and refuses a larger one", function()
            local s = open()
            local document = ("d"):rep(256 * 1024)
            local row = s:add(execution({ document = document }))
            assert.equal(document, s:get(row).document)
            local larger = execution({ job_id = "b", document = document .. "d" })
            local none, message, code = s:add(larger)
            assert.is_nil(none)
            assert.equal("EMSGSIZE", code)
            assert.equal("a job document of 262145 bytes: at most 262144 are stored", message)
        end)

        it("is there after the process was killed", function()
            store
                .child(function()
                    open():add(execution())
                end)
                :kill()
            assert.equal('{"a": 1}', open():get(1).document)
        end)
    end)

    describe("remove", function()
        it("does not let a row's number be given again while the process lives", function()
            local s = open()
            local first = s:add(execution())
            assert.is_true(s:remove(first))
            assert.is_true(s:add(execution()) > first)
        end)

        it("takes the execution out, and says if there was none", function()
            local s = open()
            local row = s:add(execution())
            s:put_step(row, "one", false, "1", "{}")
            assert.is_true(s:remove(row))
            assert.is_nil(s:get(row))
            assert.is_nil(s:get_step(row, "one"))
            local none, message, code = s:remove(row)
            assert.is_nil(none)
            assert.equal("ENOENT", code)
            assert.equal(box.path .. ": no execution in row " .. row, message)
        end)
    end)

    describe("begin_run", function()
        it("counts the run, notes the handler, and the execution is running", function()
            local s = open()
            local row = s:add(execution())
            s:begin_run(row, "install", "d1", 2, false)
            s:begin_run(row, "install", "d2", 3, true)
            local e = s:get(row)
            assert.equal(2, e.runs)
            assert.equal("d2", e.handler_digest)
            assert.equal(3, e.version)
            assert.equal("running", e.state)
        end)

        it("notes the boot and what was counted, and ends a wait", function()
            local s = open()
            local row = s:add(execution())
            s:begin_run(row, "install", "d1", 2, false, "boot-1", 0, 0)
            s:put_wait(row, 1790000000, 600, 5000)
            s:begin_run(row, "install", "d1", 2, true, "boot-2", 2, 1)
            local e = s:get(row)
            assert.same(
                { "boot-2", 2, 1, 0, 0, 1 },
                { e.boot, e.interrupted, e.deaths, e.resume_at_s, e.wait_s, e.retries }
            )
        end)

        for _, case in ipairs({
            { what = "of a first run rides: a power cut loses it", commits = false, runs = 0 },
            { what = "of a resume is committed at once", commits = true, runs = 1 },
        }) do
            it(case.what, function()
                store
                    .child(function()
                        local s = open()
                        s:begin_run(s:add(execution()), "install", "d", 2, case.commits)
                    end)
                    :kill()
                assert.equal(case.runs, open():get(1).runs)
            end)
        end
    end)

    describe("put_step", function()
        it("is there after the process was killed, with job.state", function()
            store
                .child(function()
                    local s = open()
                    local row = s:add(execution())
                    s:put_step(row, "download", false, '{"path":"image"}', '{"n":1}')
                    s:put_step(row, "check", true, '{"message":"bad","code":"EDIGEST"}')
                end)
                :kill()
            local s = open()
            local result, failed = s:get_step(1, "download")
            assert.equal('{"path":"image"}', result)
            assert.is_false(failed)
            result, failed = s:get_step(1, "check")
            assert.equal('{"message":"bad","code":"EDIGEST"}', result)
            assert.is_true(failed)
            assert.equal('{"n":1}', s:get_state(1))
            assert.equal("running", s:get(1).state)
        end)

        it("replaces a step of the same name, in its own execution only", function()
            local s = open()
            local one, two = s:add(execution()), s:add(execution({ job_id = "job-2" }))
            s:put_step(one, "a", true, "1")
            s:put_step(two, "a", false, "2")
            s:put_step(one, "a", false, "3")
            assert.same({ "3", false }, { s:get_step(one, "a") })
            assert.same({ "2", false }, { s:get_step(two, "a") })
        end)

        it("has no step before it, and no state", function()
            local s = open()
            local row = s:add(execution())
            assert.equal("ENOENT", select(3, s:get_step(row, "a")))
            assert.equal("ENOENT", select(3, s:get_state(row)))
        end)

        it("takes 256 KB and refuses more with EMSGSIZE, keeping what was there", function()
            local s = open()
            local row = s:add(execution())
            local most = ("r"):rep(256 * 1024)
            assert.is_true(s:put_step(row, "big", false, most))
            local ok, message, code = s:put_step(row, "big", false, most .. "r")
            assert.is_nil(ok)
            assert.equal("EMSGSIZE", code)
            assert.equal("the result of a step of 262145 bytes: at most 262144 are stored", message)
            assert.equal(most, (s:get_step(row, "big")))
            assert.equal("EMSGSIZE", select(3, s:put_step(row, "big", false, "1", most .. "r")))
        end)

        it("needs an execution", function()
            local s = open()
            local ok, _, code = s:put_step(5, "a", false, "1")
            assert.is_nil(ok)
            assert.equal("ENOENT", code)
            assert.is_nil(s:get_step(5, "a"))
        end)
    end)

    describe("put_outcome", function()
        it("is there after the process was killed, and what rode with it", function()
            store
                .child(function()
                    local s = open()
                    local row = s:add(execution())
                    s:begin_run(row, "install", "d", 2, false)
                    s:put_outcome(row, "SUCCEEDED", '{"version":"2"}')
                end)
                :kill()
            local e = open():get(1)
            assert.equal("ended", e.state)
            assert.equal("SUCCEEDED", e.status)
            assert.equal('{"version":"2"}', e.details)
            assert.equal(1, e.runs)
            assert.equal(2, e.version)
        end)

        it("counts only once: the second is EEXIST and names the first", function()
            local s = open()
            local row = s:add(execution())
            local before = os.time()
            assert.is_true(s:put_outcome(row, "FAILED", "{}"))
            local at = s:get(row).ended_at_s
            assert.truthy(at >= before and at <= os.time(), at)
            local ok, message, code = s:put_outcome(row, "SUCCEEDED", "{}")
            assert.is_nil(ok)
            assert.equal("EEXIST", code)
            assert.equal(box.path .. ": job job-1 has its outcome already: FAILED", message)
            s:mark_told(row, "accepted")
            assert.equal("EEXIST", select(3, s:put_outcome(row, "SUCCEEDED", "{}")))
            assert.equal("FAILED", s:get(row).status)
        end)

        it("is not undone by a late step or run", function()
            local s = open()
            local row = s:add(execution())
            s:put_outcome(row, "FAILED", "{}")
            s:put_step(row, "cleanup", false, "1")
            s:begin_run(row, "x", "d", 1, true)
            assert.equal("ended", s:get(row).state)
        end)
    end)

    describe("mark_told", function()
        it("ends it: document, steps and state are dropped", function()
            local s = open()
            local row = s:add(execution())
            s:put_step(row, "a", false, "1", "{}")
            s:put_outcome(row, "SUCCEEDED", "{}")
            assert.is_true(s:mark_told(row, "accepted"))
            local e = s:get(row)
            assert.equal("told", e.state)
            assert.equal("accepted", e.told)
            assert.is_nil(e.document)
            assert.is_nil(s:get_step(row, "a"))
            assert.is_nil(s:get_state(row))
        end)

        it("notes when that was", function()
            local s = open()
            local row = s:add(execution())
            s:put_outcome(row, "SUCCEEDED", "{}")
            assert.equal(0, s:get(row).told_at_s)
            local before = os.time()
            s:mark_told(row, "accepted")
            local at = s:get(row).told_at_s
            assert.truthy(at >= before and at <= os.time(), at)
        end)

        it("keeps what the service had where it refused", function()
            local s = open()
            local row = s:add(execution())
            s:put_outcome(row, "SUCCEEDED", "{}")
            s:mark_told(row, "InvalidStateTransition", "CANCELED")
            local e = s:get(row)
            assert.same({ "InvalidStateTransition", "CANCELED" }, { e.told, e.theirs })
        end)

        it("is refused without an outcome", function()
            local s = open()
            local ok, _, code = s:mark_told(s:add(execution()), "accepted")
            assert.is_nil(ok)
            assert.equal("ENOENT", code)
            assert.equal("claiming", s:get(1).state)
            assert.equal('{"a": 1}', s:get(1).document)
        end)
    end)

    describe("what rides on the next commit", function()
        local function told_then(last)
            store
                .child(function()
                    local s = open()
                    local row = s:add(execution())
                    s:put_outcome(row, "SUCCEEDED", "{}")
                    s:mark_told(row, "accepted")
                    s:put_version(row, 4)
                    if last then
                        last(s)
                    end
                end)
                :kill()
            return open():get(1)
        end

        it("is seen at once in the same process", function()
            local s = open()
            local row = s:add(execution())
            s:put_version(row, 4)
            assert.equal(4, s:get(row).version)
            assert.equal(4, s:each("gw-1", "claiming")[1].version)
        end)

        it("is lost, as a whole, if the power goes before", function()
            local e = told_then()
            assert.equal("ended", e.state)
            assert.equal(1, e.version)
            assert.equal('{"a": 1}', e.document)
        end)

        for what, last in pairs({
            ["the next execution"] = function(s)
                s:add(execution({ job_id = "job-2" }))
            end,
            ["a flush"] = function(s)
                s:flush()
            end,
            ["the close"] = function(s)
                s:close()
            end,
        }) do
            it("is kept by " .. what, function()
                local e = told_then(last)
                assert.equal("told", e.state)
                assert.equal(4, e.version)
            end)
        end

        it("is kept when a write beside it fails", function()
            local e = told_then(function(s)
                assert(not s:add(execution()))
                assert(not s:put_outcome(1, "FAILED", "{}"))
                s:flush()
            end)
            assert.equal("told", e.state)
            assert.equal("SUCCEEDED", e.status)
        end)
    end)

    describe("each", function()
        it("gives one thing's executions in one state, oldest first, until told to stop", function()
            local s = open()
            for i = 1, 5 do
                s:add(execution({ job_id = "j" .. i, queued_at = 100 - i }))
            end
            s:add(execution({ job_id = "j1", thing = "gw-2" }))
            s:put_outcome(2, "FAILED", "{}")
            local function ids(list)
                local out = {}
                for i, e in ipairs(list) do
                    out[i] = e.job_id
                end
                return out
            end
            assert.same({ "j1", "j3", "j4", "j5" }, ids(s:each("gw-1", "claiming")))
            assert.same({ "j2" }, ids(s:each("gw-1", "ended")))
            assert.same({ "j1" }, ids(s:each("gw-2", "claiming")))
            assert.same({}, ids(s:each("gw-3", "claiming")))
            assert.same({ "j1", "j3", "j4", "j5", "j1" }, ids(s:each(nil, "claiming")))
            assert.same({ "j1", "j3" }, ids(s:each("gw-1", "claiming", 2)))
        end)
    end)

    describe("prune", function()
        local function end_one(s, name)
            local row = s:add(execution({ job_id = name }))
            s:put_outcome(row, "SUCCEEDED", "{}")
            s:mark_told(row, "accepted")
            return row
        end

        it("drops the told ones but for the newest, and nothing else", function()
            local s = open()
            for i = 1, 6 do
                local row = s:add(execution({ job_id = "j" .. i }))
                if i ~= 2 then
                    s:put_outcome(row, "SUCCEEDED", "{}")
                end
                if i ~= 2 and i ~= 3 then
                    s:mark_told(row, "accepted")
                end
            end
            assert.is_true(s:prune(2))
            local left = {}
            for row = 1, 6 do
                left[row] = s:get(row) ~= nil
            end
            assert.same({ false, true, true, false, true, true }, left)
        end)

        it("is done again at every 100th that is told", function()
            local s = open()
            s:prune(30)
            for i = 1, 99 do
                end_one(s, "j" .. i)
            end
            assert.equal(99, #s:each("gw-1", "told"))
            end_one(s, "j100")
            local told = s:each("gw-1", "told")
            assert.equal(30, #told)
            assert.same({ "j71", "j100" }, { told[1].job_id, told[30].job_id })
            for i = 101, 199 do
                end_one(s, "j" .. i)
            end
            assert.equal(129, #s:each("gw-1", "told"))
            end_one(s, "j200")
            assert.equal(30, #s:each("gw-1", "told"))
        end)

        it("is not done by itself where nobody said how many to keep", function()
            local s = open()
            for i = 1, 100 do
                end_one(s, "j" .. i)
            end
            assert.equal(100, #s:each("gw-1", "told"))
        end)

        it("rides on the next commit", function()
            box.killed_after(function(s)
                end_one(s, "a")
                end_one(s, "b")
                s:flush()
                s:prune(1)
            end)
            assert.equal(2, #open():each("gw-1", "told"))
        end)
    end)

    it("names the version of SQLite", function()
        assert.matches("^3%.%d+%.%d+$", store.library_version())
    end)
end)
