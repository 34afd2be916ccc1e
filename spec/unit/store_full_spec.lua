-- No room, no right to write, and the reserve.
--
-- Files that may not grow (RLIMIT_FSIZE) are a full disk that needs no privileges; they cannot show
-- that the reserve gives room, for which there is a file system of 1 MB where one can be mounted.
local store = require("hob_units").store
local box = require("spec.support.store")
local shim = require("spec.support.shim")

local open, execution = box.open, box.execution

-- Runs fn(store) in another process, whose files may be limited, and which is killed after.
local function in_a_child(fn)
    store
        .child(function()
            fn(box.open(box.log))
        end)
        :kill()
end

local function size_of(name)
    local file = assert(io.open(name, "rb"))
    local size = file:seek("end")
    file:close()
    return size
end

-- From now on the log of the store (hob.db-wal) cannot grow by more than this.
local function full(more)
    store.limit_files(size_of(box.path .. "-wal") + (more or 0))
end

local function room()
    store.limit_files()
end

local function is(expected, ok, message, code)
    assert(not ok, "it was written")
    assert(code == expected, tostring(code) .. ": " .. tostring(message))
    assert(message:find(box.path .. ": ", 1, true) == 1, message)
    return message
end

local BIG = ("r"):rep(200 * 1024)

describe("hob_store without room", function()
    before_each(box.before_each)
    after_each(box.after_each)

    describe("on a disk that is full (field failure 13)", function()
        it("says ENOSPC, keeps what was stored, and writes again when there is room", function()
            in_a_child(function(s)
                local row = s:add(execution())
                s:put_step(row, "one", false, "1", '{"n":1}')
                full()
                local message = is("ENOSPC", s:put_step(row, "two", false, "2", '{"n":2}'))
                assert(message:find("make room on its file system", 1, true), message)
                is("ENOSPC", s:put_step(row, "one", true, "changed"))
                is("ENOSPC", s:add(execution({ job_id = "job-2" })))
                assert(s:get_step(row, "one") == "1" and not s:get_step(row, "two"))
                assert(s:get_state(row) == '{"n":1}')
                room()
                assert(s:put_step(row, "three", false, "3"))
            end)
            local s = open()
            assert.equal("1", (s:get_step(1, "one")))
            assert.is_nil(s:get_step(1, "two"))
            assert.equal("3", (s:get_step(1, "three")))
            assert.equal('{"n":1}', s:get_state(1))
            assert.equal(1, #s:each("gw-1", "running"))
        end)

        it("does not lose what rode when the write beside it failed", function()
            in_a_child(function(s)
                local told = s:add(execution({ job_id = "told" }))
                s:put_outcome(told, "SUCCEEDED", "{}")
                local row = s:add(execution())
                s:put_source(row, "", "a.lua", "text\0 and more", "d1")
                s:begin_run(row, "install", "d1", 2, false, "boot-1", 1, 1)
                s:mark_told(told, "accepted")
                s:put_version(row, 3)
                s:put_version(row, 4)
                full()
                for _ = 1, 3 do
                    is("ENOSPC", s:put_step(row, "one", false, BIG))
                    local e = s:get(row)
                    assert(e.runs == 1 and e.boot == "boot-1" and e.version == 4, "it rides")
                    assert(s:get_source(row, "") == "text\0 and more")
                    assert(s:get(told).state == "told")
                end
                is("ENOSPC", s:flush())
                s:put_version(row, 5)
                room()
                assert(s:put_step(row, "one", false, "1"))
            end)
            local s = open()
            local e = s:get(2)
            assert.same(
                { 1, "install", "d1", 5, "boot-1", "running" },
                { e.runs, e.handler, e.handler_digest, e.version, e.boot, e.state }
            )
            assert.same({ "text\0 and more", "a.lua" }, { s:get_source(2, "") })
            assert.equal("told", s:get(1).state)
            assert.is_nil(s:get(1).document)
        end)

        it("does not take up again what did not ride: it failed and was said to have", function()
            in_a_child(function(s)
                local row = s:add(execution())
                s:put_version(row, 2)
                full()
                is("ENOSPC", s:put_step(row, "one", false, "1"))
                is("ENOSPC", s:begin_step(row, "two"))
                is("ENOSPC", s:put_wait(row, 1, 1, 1))
                room()
                assert(s:flush())
            end)
            local s = open()
            assert.same({}, s:each_step(1))
            assert.equal("ENOENT", select(3, s:step_begun(1, "two")))
            assert.same({ 2, 0, "claiming" },
                { s:get(1).version, s:get(1).retries, s:get(1).state })
        end)

        it("refuses what cannot even ride, and keeps the rest", function()
            in_a_child(function(s)
                local row = s:add(execution())
                s:put_version(row, 7)
                full(64 * 1024)
                local text = ("more than is kept in memory "):rep(30000)
                is("ENOSPC", s:put_source(row, "", "a.lua", text, "d1"))
                assert(s:get(row).version == 7)
                assert(not s:get_source(row, ""))
                room()
                assert(s:put_source(row, "", "a.lua", text, "d1"))
                assert(s:flush())
            end)
            local s = open()
            assert.equal(7, s:get(1).version)
            assert.equal(840000, #(s:get_source(1, "")))
        end)

        it("goes on while its log cannot be copied into the file, and does it later", function()
            in_a_child(function(s)
                for i = 1, 40 do
                    s:add(execution({ job_id = "a" .. i, document = BIG }))
                end
                s:close()
                s = box.open(box.log)
                store.limit_files(size_of(box.path))
                local last
                for i = 1, 80 do
                    local e = execution({ job_id = "b" .. i, document = BIG })
                    local row, message, code = s:add(e)
                    if not row then
                        assert(code == "ENOSPC", message)
                        break
                    end
                    last = i
                end
                assert(last > 15 and last < 80, last) -- past the first time that it is tried
                assert(size_of(box.path .. "-wal") > 6 << 20)
                room()
                assert(s:add(execution({ job_id = "c", document = BIG })))
                s:put_version(1, 2)
                s:flush()
                assert(size_of(box.path .. "-wal") <= 4 << 20, "the log is cut again")
                for i = 1, last do
                    assert(s:find("gw-1", "b" .. i, 1, 1700000000).document == BIG)
                end
            end)
            local s = open()
            assert.equal(BIG, s:find("gw-1", "c", 1, 1700000000).document)
            assert.equal(BIG, s:find("gw-1", "b1", 1, 1700000000).document)
            assert.equal(BIG, s:find("gw-1", "a40", 1, 1700000000).document)
        end)
    end)

    describe("that is full when it is opened (field failure 13)", function()
        it("opens what is there: after an end in order, and after a power cut", function()
            for i, leave in ipairs({ "close", "flush" }) do
                in_a_child(function(s)
                    s:add(execution({ job_id = "job-" .. i, state = "running" }))
                    s[leave](s)
                end)
                store
                    .child(function()
                        store.limit_files(0)
                        local s = box.open()
                        s:prune(1)
                        assert(#s:each("gw-1", "running") == i)
                        is("ENOSPC", s:add(execution({ job_id = "new" })))
                        is("ENOSPC", s:put_outcome(i, "FAILED", "{}"))
                    end)
                    :kill()
            end
            assert.equal(2, #open():each("gw-1", "running"))
        end)
    end)

    describe("in a file system that became read-only (field failure 13)", function()
        local function run_with_fault(fault)
            local script = box.dir .. "/fault.lua"
            shim.on({ dir = box.dir })
            box.write_all(
                script,
                ([[
                package.cpath = %q
                local s = assert(require("hob_units").store.open(%q))
                local row = s:add({ thing = "t", job_id = "j", document = "{}" })
                s:begin_run(row, "a", "d", 2, false, "boot", 0, 0)
                local fault = assert(io.open(%q, "w"))
                fault:write(%q)
                fault:close()
                print(select(2, s:put_step(row, "one", false, "1")))
                print(select(3, s:put_outcome(row, "FAILED", "{}")))
                print(s:get(row).runs)
                os.remove(%q)
                print(s:put_step(row, "two", false, "2"), s:get_step(row, "two"), s:get(row).boot)
                print(s:get_step(row, "one"))
            ]]):format(package.cpath, box.path, box.dir .. "/fault", fault, box.dir .. "/fault")
            )
            return box.shell(
                ("HOB_SHIM_DATA='%s' HOB_SHIM_LOG=%s/shim HOB_SHIM_FAULT=%s/fault "
                    .. "ASAN_OPTIONS='%s' LD_PRELOAD='%s' %s %s"):format(
                    box.dir, box.dir, box.dir, shim.sanitizer_options(), shim.preload,
                    box.interpreter(), script
                )
            )
        end

        it("says EACCES with the reason, and writes again when it is writable", function()
            local lines = run_with_fault("EROFS")
            assert.matches(box.path .. ": .*Read%-only file system", lines[1])
            assert.matches("the file and its directory must be writable", lines[1], 1, true)
            assert.same({ "EACCES", "1", "true	2	boot" }, { lines[2], lines[3], lines[4] })
            assert.matches("^nil", lines[5])
        end)

        it("or fails: says ESTORE with the reason, and writes again when it works", function()
            local lines = run_with_fault("EIO")
            assert.matches(box.path .. ": .*Input/output error", lines[1])
            assert.same({ "ESTORE", "1", "true	2	boot" }, { lines[2], lines[3], lines[4] })
            assert.matches("^nil", lines[5])
        end)
    end)

    describe("has a reserve", function()
        it("of 256 KB that are really written, for its owner only", function()
            open():close()
            local found = box.shell(("stat -c '%%s %%a' %s/reserve"):format(box.dir))[1]
            assert.equal("262144 600", found)
            local packed = box.shell(("gzip -c %s/reserve | wc -c"):format(box.dir))[1]
            assert.truthy(tonumber(packed) > 250000, packed)
        end)

        it("which is made once, and anew where it is not whole", function()
            open():close()
            local bytes = box.read_all(box.dir .. "/reserve")
            open():close()
            assert.equal(bytes, box.read_all(box.dir .. "/reserve"))
            box.write_all(box.dir .. "/reserve", "a part")
            open():close()
            assert.equal(262144, #box.read_all(box.dir .. "/reserve"))
        end)

        it("without which nothing new is taken: its room is for the ends of what runs", function()
            store
                .child(function()
                    store.limit_files(100 * 1024)
                    local s = box.open()
                    local row, message, code = s:add(execution())
                    assert(row == nil and code == "ENOSPC", code)
                    assert(message:find("its reserve is used up", 1, true), message)
                    store.limit_files()
                    assert(s:add(execution()))
                    assert(box.exists(box.dir .. "/reserve"))
                end)
                :kill()
        end)

        it("which only the end of what runs may take, and which is said then", function()
            in_a_child(function(s)
                local row = s:add(execution())
                full()
                is("ENOSPC", s:put_step(row, "one", false, "1"))
                is("ENOSPC", s:add(execution({ job_id = "b" })))
                is("ENOSPC", s:begin_run(row, "a", "d", 1, true))
                assert(box.exists(box.dir .. "/reserve"))
                room()
                assert(s:flush())
                full()
                is("ENOSPC", s:put_outcome(row, "FAILED", "{}"))
                assert(not box.exists(box.dir .. "/reserve"))
                is("ENOSPC", s:put_outcome(row, "FAILED", "{}"))
                store.limit_files() -- the log of events is a file too
            end)
            local lines = box.logged("store.reserve_used")
            assert.equal(1, #lines)
            assert.matches(box.dir .. "/reserve: the disk is full", lines[1], 1, true)
        end)

        for name, write in pairs({
            put_ending = function(s)
                return s:put_ending(1, "FAILED", "failed", "{}")
            end,
            begin_cleanup = function(s)
                return s:begin_cleanup(1)
            end,
            put_outcome = function(s)
                return s:put_outcome(1, "FAILED", "{}")
            end,
            expect_end = function(s)
                return s:expect_end()
            end,
        }) do
            it("for " .. name, function()
                in_a_child(function(s)
                    s:add(execution({ state = "running", boot = "boot" }))
                    full()
                    is("ENOSPC", write(s))
                    assert(not box.exists(box.dir .. "/reserve"))
                end)
            end)
        end

        it("which is made anew at a later commit, not at once", function()
            in_a_child(function(s)
                local row = s:add(execution())
                full()
                is("ENOSPC", s:put_outcome(row, "FAILED", "{}"))
                room()
                for i = 1, 15 do
                    s:put_step(row, "s" .. i, false, "1")
                end
                assert(not box.exists(box.dir .. "/reserve"), "too early")
                s:put_version(row, 2)
                s:get(row)
                s:flush()
                assert(size_of(box.dir .. "/reserve") == 262144)
            end)
            assert.equal(1, #box.logged("store.reserve_made"))
        end)

        -- Needs root or user namespaces.
        local namespace = "unshare --mount --map-root-user"
        local possible = os.execute(namespace .. " true >/dev/null 2>&1")

        it("that is room for the end, also when the rest of the disk is full", function()
            if not possible then
                return pending("this machine gives no mount namespaces")
            end
            local script = box.dir .. "/reserve.lua"
            box.write_all(
                script,
                ([[
                package.cpath = %q
                local store = require("hob_units").store
                local at = %q
                local s = assert(store.open(at .. "/hob.db"))
                local row = assert(s:add({ thing = "t", job_id = "j", document = "{}" }))
                local ballast = assert(io.open(at .. "/ballast", "wb"))
                ballast:setvbuf("no")
                while ballast:write(("b"):rep(4096)) do end
                print(select(3, s:put_step(row, "one", false, ("r"):rep(100000))))
                print(s:put_ending(row, "FAILED", "failed", "{}"), s:begin_cleanup(row))
                print(s:put_step(row, "cleanup", false, ("r"):rep(50000)))
                print(s:put_outcome(row, "FAILED", '{"code":"STORE_FAILED"}'))
                s:close()
                s = assert(store.open(at .. "/hob.db"))
                print(s:get(row).details, io.open(at .. "/reserve") == nil)
            ]]):format(package.cpath, box.dir .. "/small")
            )
            box.shell("mkdir '" .. box.dir .. "/small'")
            local lines = box.shell(
                ("%s sh -ec 'mount -t tmpfs -o size=2m none %s/small; exec %s %s'"):format(
                    namespace, box.dir, box.interpreter(), script
                )
            )
            assert.same(
                { "ENOSPC", "true\ttrue", "true", "true", '{"code":"STORE_FAILED"}\ttrue' },
                lines
            )
        end)
    end)

    describe("in a small file system", function()
        -- A file system of 1 MB in a mount namespace of its own; needs root or user namespaces.
        local namespace = "unshare --mount --map-root-user"
        local possible = os.execute(namespace .. " true >/dev/null 2>&1")

        it("is ENOSPC with the path, and writing works again when there is room", function()
            if not possible then
                return pending("this machine gives no mount namespaces")
            end
            local script = box.dir .. "/full.lua"
            box.write_all(
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
            ]]):format(package.cpath, box.dir .. "/small")
            )
            box.shell("mkdir '" .. box.dir .. "/small'")
            local lines = box.shell(
                ([[%s sh -ec 'mount -t tmpfs -o size=1m none %s/small;
                    head -c 300000 /dev/zero >%s/small/ballast; exec %s %s']]):format(
                    namespace,
                    box.dir,
                    box.dir,
                    box.interpreter(),
                    script
                )
            )
            assert.equal("ENOSPC", lines[1])
            assert.matches(box.dir .. "/small/hob.db: ", lines[2], 1, true)
            assert.matches("make room on its file system", lines[2], 1, true)
            assert.equal("again", lines[3])
            assert.equal("kept\tkept", lines[4])
        end)
    end)
end)
