local store = require("hob_units").store

-- A directory of its own for each spec.
local dir

local function path()
    return dir .. "/hob.db"
end

local function shell(command)
    local pipe = assert(io.popen(command .. " 2>&1; echo $?"))
    local lines = {}
    for line in pipe:lines() do
        lines[#lines + 1] = line
    end
    pipe:close()
    local code = tonumber(table.remove(lines))
    assert(code == 0, command .. ": " .. table.concat(lines, "\n"))
    return lines
end

local function read_all(name)
    local file = assert(io.open(name, "rb"))
    local bytes = file:read("a")
    file:close()
    return bytes
end

local function write_all(name, bytes)
    local file = assert(io.open(name, "wb"))
    file:write(bytes)
    file:close()
end

-- The program that runs this: hob, or a plain Lua.
local function interpreter()
    local program = shell("readlink /proc/$PPID/exe")[1]
    return program:match("/hob$") and program .. " lua" or program
end

local function sql(statement)
    return shell(("sqlite3 '%s' \"%s\""):format(path(), statement))
end

local opened = {}

local function open(log)
    local s = assert(store.open(path(), log))
    opened[#opened + 1] = s
    return s
end

local function execution(more)
    local e = { thing = "gw-1", job_id = "job-1", document = '{"a": 1}' }
    for key, value in pairs(more or {}) do
        e[key] = value
    end
    return e
end

describe("hob_store", function()
    before_each(function()
        dir = shell("mktemp -d")[1]
    end)

    after_each(function()
        for _, s in ipairs(opened) do
            s:close()
        end
        opened = {}
        shell("rm -rf '" .. dir .. "'")
    end)

    describe("open", function()
        it("makes a file that only its owner can read, whatever the umask", function()
            open()
            assert.equal("600", shell("stat -c %a '" .. path() .. "'")[1])
            assert.equal("600", shell("stat -c %a '" .. path() .. "-wal'")[1])
        end)

        it("takes the rights of others away from a file that had them", function()
            open():close()
            shell("chmod 644 '" .. path() .. "'")
            open()
            assert.equal("600", shell("stat -c %a '" .. path() .. "'")[1])
        end)

        it("leaves one file when it is closed", function()
            local s = open()
            s:add(execution())
            s:close()
            assert.same({ "hob.db" }, shell("ls '" .. dir .. "'"))
        end)

        it("refuses a second process and names the first", function()
            local holder = store.child(function()
                open():add(execution())
            end)
            local s, message, code = store.open(path())
            assert.is_nil(s)
            assert.equal("EBUSY", code)
            assert.equal(
                ("%s: another hob (pid %d) uses this data directory: end that one, or give "
                    .. "this one its own directory (the key data)"):format(path(), holder:pid()),
                message
            )
            holder:kill()
            assert.equal(1, open():get(1).row)
        end)

        it("says which directory is missing", function()
            local s, message, code = store.open(dir .. "/none/hob.db")
            assert.is_nil(s)
            assert.equal("ENOENT", code)
            local reason = "/none/hob.db: cannot be created: No such file or directory"
            assert.equal(dir .. reason, message)
        end)

        it("says which file system takes no files", function()
            local s, message, code = store.open("/sys/kernel/hob.db")
            assert.is_nil(s)
            assert.truthy(code == "EACCES" or code == "EIO", code)
            assert.matches("^/sys/kernel/hob.db: cannot be created: ", message)
        end)

        it("refuses a directory in the file's place", function()
            shell("mkdir '" .. path() .. "'")
            local s, message = store.open(path())
            assert.is_nil(s)
            assert.equal(path() .. ": is not a file", message)
        end)

        it("refuses another program's database and leaves it alone", function()
            sql("CREATE TABLE precious(x); INSERT INTO precious VALUES(1)")
            local s, message, code = store.open(path())
            assert.is_nil(s)
            assert.equal("ESTORE", code)
            assert.matches("is a database of another program", message, 1, true)
            assert.same({ "1" }, sql("SELECT x FROM precious"))
        end)
    end)

    describe("schema", function()
        it("carries a version and since which version it is compatible", function()
            open():close()
            assert.same({ "1" }, sql("PRAGMA user_version"))
            assert.same(
                { "compatible_since|1", "schema_version|1" },
                sql("SELECT key, value FROM meta ORDER BY key")
            )
        end)

        it("of a newer hob is opened if it says that it is compatible", function()
            local s = open()
            local row = s:add(execution())
            s:close()
            sql("ALTER TABLE execution ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'")
            sql("CREATE TABLE extra(x)")
            sql("PRAGMA user_version=3")
            s = open()
            assert.equal("job-1", s:get(row).job_id)
            assert.truthy(s:add(execution({ job_id = "job-2" })))
            s:close()
            assert.same({ "3" }, sql("PRAGMA user_version"))
        end)

        it("of a newer hob is refused, and kept, if it is not compatible", function()
            open():close()
            sql("PRAGMA user_version=9; UPDATE meta SET value = 8 WHERE key = 'compatible_since'")
            local s, message, code = store.open(path())
            assert.is_nil(s)
            assert.equal("ESTORE", code)
            assert.equal(
                path()
                    .. ": was written by a newer hob (schema 9, usable from schema 8 on; this is 1)"
                    .. ": install that hob again, or move the file away",
                message
            )
            assert.same({ "hob.db" }, shell("ls '" .. dir .. "'"))
        end)
    end)

    describe("a damaged file", function()
        local function set_aside()
            local names = {}
            for _, name in ipairs(shell("ls '" .. dir .. "'")) do
                if name:match("^hob%.db%.damaged%-") then
                    names[#names + 1] = name
                end
            end
            return names
        end

        local function assert_set_aside(bytes)
            local names = set_aside()
            assert.truthy(#names == 1 or #names == 2 and names[2] == names[1] .. "-wal")
            assert.matches("^hob%.db%.damaged%-%d%d%d%d%d%d%d%dT%d%d%d%d%d%dZ$", names[1])
            assert.equal(bytes, read_all(dir .. "/" .. names[1]))
            return names[1]
        end

        it("that is no database is set aside, a new one begun, and the log says so", function()
            local bytes = ("not a database, but long enough to be read as one. "):rep(20)
            write_all(path(), bytes)
            local s = open(dir .. "/log")
            assert.equal(1, s:add(execution()))
            local name = assert_set_aside(bytes)
            local line = read_all(dir .. "/log")
            assert.matches('"event":"store.damaged"', line, 1, true)
            assert.matches(name, line, 1, true)
            assert.matches("file is not a database", line, 1, true)
        end)

        it("that is broken in its middle is found when it is opened", function()
            local s = open()
            for i = 1, 200 do
                s:add(execution({ job_id = "job-" .. i, document = ("x"):rep(500) }))
            end
            s:close()
            local bytes = read_all(path())
            bytes = bytes:sub(1, 12288) .. ("\xA5"):rep(8192) .. bytes:sub(12288 + 8193)
            write_all(path(), bytes)
            s = open(dir .. "/log")
            assert_set_aside(bytes)
            assert.same({}, s:each("gw-1", "claiming"))
        end)

        it("is set aside together with its log", function()
            write_all(path(), ("damaged "):rep(1000))
            write_all(path() .. "-wal", ("its log "):rep(1000))
            open():close()
            local names = set_aside()
            assert.equal(2, #names)
            assert.equal(names[1] .. "-wal", names[2])
            assert.equal(("damaged "):rep(1000), read_all(dir .. "/" .. names[1]))
            assert.equal(("its log "):rep(1000), read_all(dir .. "/" .. names[2]))
        end)

        it("is never put over an earlier one", function()
            for i = 1, 3 do
                write_all(path(), ("damaged " .. i):rep(1000))
                open():close()
            end
            local found = {}
            for _, name in ipairs(set_aside()) do
                found[read_all(dir .. "/" .. name):sub(1, 9)] = true
            end
            assert.same({ ["damaged 1"] = true, ["damaged 2"] = true, ["damaged 3"] = true }, found)
        end)

        it("is healed from its log where that is whole", function()
            store
                .child(function()
                    open():add(execution())
                end)
                :kill()
            write_all(path(), ("damaged "):rep(1000))
            assert.equal("job-1", open():get(1).job_id)
            assert.same({}, set_aside())
        end)

        it("is not what a cut log is: the commits before the cut stay", function()
            local child = store.child(function()
                local s = open()
                s:add(execution())
                s:add(execution({ job_id = "job-2" }))
            end)
            child:kill()
            local wal = read_all(path() .. "-wal")
            write_all(path() .. "-wal", wal:sub(1, #wal - 100))
            local s = open()
            assert.equal("job-1", s:get(1).job_id)
            assert.is_nil(s:get(2))
            assert.same({}, set_aside())
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
                details = '{"reason":"no handler"}',
                told = "",
            }
            local row = open():add(given)
            given.row = row
            opened[1]:close()
            assert.same(given, open():get(row))
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
            assert.equal(path() .. ": no execution in row " .. row, message)
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
            local ok, _, code = open():put_step(5, "a", false, "1")
            assert.is_nil(ok)
            assert.equal("ENOENT", code)
            assert.is_nil(opened[1]:get_step(5, "a"))
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
            assert.is_true(s:put_outcome(row, "FAILED", "{}"))
            local ok, message, code = s:put_outcome(row, "SUCCEEDED", "{}")
            assert.is_nil(ok)
            assert.equal("EEXIST", code)
            assert.equal(path() .. ": job job-1 has its outcome already: FAILED", message)
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
            assert.same({ "j1", "j3" }, ids(s:each("gw-1", "claiming", 2)))
        end)
    end)

    describe("prune", function()
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
    end)

    describe("a full disk", function()
        -- A file system of 1 MB in a mount namespace of its own; needs root or user namespaces.
        local namespace = "unshare --mount --map-root-user"
        local possible = os.execute(namespace .. " true >/dev/null 2>&1")

        it("is ENOSPC with the path, and writing works again when there is room", function()
            if not possible then
                return pending("this machine gives no mount namespaces")
            end
            local script = dir .. "/full.lua"
            write_all(
                script,
                ([[
                package.cpath = %q
                local store = require("hob_units").store
                local at = %q
                local s = assert(store.open(at .. "/hob.db"))
                local rows, message, code = {}, nil, nil
                local d = ("d"):rep(100 * 1024)
                for i = 1, 100 do
                    local row
                    row, message, code = s:add({ thing = "t", job_id = "j" .. i, document = d })
                    if not row then break end
                    rows[#rows + 1] = row
                end
                print(code)
                print(message)
                assert(#rows > 0 and s:get(rows[#rows]).document == d)
                assert(os.remove(at .. "/ballast"))
                print(s:add({ thing = "t", job_id = "after", document = d }) and "again")
                s:close()
                s = assert(store.open(at .. "/hob.db"))
                print(s:find("t", "after", 1, 1700000000) and "kept", s:get(rows[1]) and "kept")
            ]]):format(package.cpath, dir .. "/small")
            )
            shell("mkdir '" .. dir .. "/small'")
            local lines = shell(
                ([[%s sh -ec 'mount -t tmpfs -o size=1m none %s/small;
                    head -c 300000 /dev/zero >%s/small/ballast; exec %s %s']]):format(
                    namespace,
                    dir,
                    dir,
                    interpreter(),
                    script
                )
            )
            assert.equal("ENOSPC", lines[1])
            assert.matches(dir .. "/small/hob.db: ", lines[2], 1, true)
            assert.matches("make room on its file system", lines[2], 1, true)
            assert.equal("again", lines[3])
            assert.equal("kept\tkept", lines[4])
        end)
    end)

    it("names the version of SQLite", function()
        assert.matches("^3%.%d+%.%d+$", store.library_version())
    end)
end)
