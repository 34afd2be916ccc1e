-- A damaged file, found when it is opened or while it is in use.
local store = require("hob_units").store
local box = require("spec.support.store")

local open, execution = box.open, box.execution

local function set_aside()
    local names = {}
    for _, name in ipairs(box.shell("ls '" .. box.dir .. "'")) do
        if name:match("^hob%.db%.damaged%-") then
            names[#names + 1] = name
        end
    end
    return names
end

-- Over what is there, from byte `from` on.
local function scribble(name, from)
    local file = assert(io.open(name, "r+b"))
    local size = file:seek("end")
    file:seek("set", from)
    file:write(("\xA5"):rep(size - from))
    file:close()
end

local function damaged_in_use(s, rows)
    for row = 1, rows do
        local _, message, code = s:get(row)
        if code then
            return message, code
        end
    end
end

-- More than is kept in memory of it, in pages that each hold one document: of a long one SQLite
-- reads all but the beginning past what it keeps.
local ROWS = 300
local function fill(s)
    for i = 1, ROWS do
        s:add(execution({ job_id = "job-" .. i, document = ("d"):rep(3500) }))
    end
end

-- One more, and more, until the latest has begun the log anew: who has read all others reads it
-- from there.
local function fill_log(s)
    local function generation()
        local file = assert(io.open(box.path .. "-wal", "rb"))
        file:seek("set", 16) -- the header's salts
        local salts = file:read(8)
        file:close()
        return salts
    end
    local count, former = ROWS, generation()
    while generation() == former do
        count = count + 1
        s:add(execution({ job_id = "job-" .. count, document = ("d"):rep(100 * 1024) }))
    end
    return count
end

describe("hob_store's damage", function()
    before_each(box.before_each)
    after_each(box.after_each)

    describe("that is found when it is opened", function()
        local function assert_set_aside(bytes)
            local names = set_aside()
            assert.truthy(#names == 1 or #names == 2 and names[2] == names[1] .. "-wal")
            assert.matches("^hob%.db%.damaged%-%d%d%d%d%d%d%d%dT%d%d%d%d%d%dZ$", names[1])
            assert.equal(bytes, box.read_all(box.dir .. "/" .. names[1]))
            return names[1]
        end

        it("that is no database is set aside, a new one begun, and the log says so", function()
            local bytes = ("not a database, but long enough to be read as one. "):rep(20)
            box.write_all(box.path, bytes)
            local s = open(box.log)
            assert.equal(1, s:add(execution()))
            local name = assert_set_aside(bytes)
            local line = box.read_all(box.log)
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
            local bytes = box.read_all(box.path)
            bytes = bytes:sub(1, 12288) .. ("\xA5"):rep(8192) .. bytes:sub(12288 + 8193)
            box.write_all(box.path, bytes)
            s = open(box.log)
            assert_set_aside(bytes)
            assert.same({}, s:each("gw-1", "claiming"))
        end)

        it("is found too where only an index differs: a job would be done twice", function()
            local s = open()
            s:add(execution({ job_id = "job-twice" }))
            s:close()
            local bytes, count = box.read_all(box.path):gsub("job%-twice", "job-twicf", 1)
            assert.equal(1, count)
            box.write_all(box.path, bytes)
            s = open(box.log)
            assert.same({}, s:each("gw-1", "claiming"))
            assert_set_aside(bytes)
        end)

        it("is set aside together with its log", function()
            box.write_all(box.path, ("damaged "):rep(1000))
            box.write_all(box.path .. "-wal", ("its log "):rep(1000))
            open():close()
            local names = set_aside()
            assert.equal(2, #names)
            assert.equal(names[1] .. "-wal", names[2])
            assert.equal(("damaged "):rep(1000), box.read_all(box.dir .. "/" .. names[1]))
            assert.equal(("its log "):rep(1000), box.read_all(box.dir .. "/" .. names[2]))
        end)

        it("is never put over an earlier one", function()
            for i = 1, 3 do
                box.write_all(box.path, ("damaged " .. i):rep(1000))
                open():close()
            end
            local found = {}
            for _, name in ipairs(set_aside()) do
                found[box.read_all(box.dir .. "/" .. name):sub(1, 9)] = true
            end
            assert.same({ ["damaged 1"] = true, ["damaged 2"] = true, ["damaged 3"] = true }, found)
        end)

        it("is healed from its log where that is whole (field failure 4)", function()
            store
                .child(function()
                    open():add(execution())
                end)
                :kill()
            box.write_all(box.path, ("damaged "):rep(1000))
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
            local wal = box.read_all(box.path .. "-wal")
            box.write_all(box.path .. "-wal", wal:sub(1, #wal - 100))
            local s = open()
            assert.equal("job-1", s:get(1).job_id)
            assert.is_nil(s:get(2))
            assert.same({}, set_aside())
        end)
    end)

    describe("that is found while the file is in use", function()
        local function open_damaged()
            local s = open()
            fill(s)
            s:close()
            s = open(box.log)
            scribble(box.path, 4096)
            return s, damaged_in_use(s, ROWS)
        end

        it("is ESTORE, with what to do", function()
            local s, message, code = open_damaged()
            assert.equal("ESTORE", code)
            assert.equal(
                box.path
                    .. ": is damaged (database disk image is malformed): nothing can be stored or "
                    .. "read until hob is started again, which sets the file aside and begins a "
                    .. "new one",
                message
            )
            assert.is_true(s:is_damaged())
        end)

        it("is said in the log, once, and every call fails after it", function()
            local s = open_damaged()
            local calls = {
                { "add", execution({ job_id = "new" }) },
                { "begin_cleanup", 1 },
                { "begin_run", 1, "a", "d", 1, false },
                { "begin_step", 1, "a" },
                { "each", "gw-1", "claiming" },
                { "each_step", 1 },
                { "expect_end" },
                { "find", "gw-1", "job-1", 1, 1700000000 },
                { "flush" },
                { "get", 1 },
                { "get_reboot", 1, "a" },
                { "get_source", 1, "" },
                { "get_state", 1 },
                { "get_step", 1, "a" },
                { "mark_told", 1, "accepted" },
                { "prune", 1 },
                { "put_ending", 1, "FAILED", "failed", "{}" },
                { "put_outcome", 1, "FAILED", "{}" },
                { "put_reboot", 1, "a", "boot", 1 },
                { "put_source", 1, "", "a.lua", "x", "d" },
                { "put_step", 1, "a", false, "1" },
                { "put_version", 1, 2 },
                { "put_wait", 1, 1, 1, 1 },
                { "remove", 1 },
                { "step_begun", 1, "a" },
            }
            for _, call in ipairs(calls) do
                local ok, message, code = s[call[1]](s, table.unpack(call, 2))
                assert.is_nil(ok, call[1])
                assert.equal("ESTORE", code, call[1])
                assert.matches(": is damaged (database disk", message, 1, true)
            end
            assert.equal(1, #box.logged("store.damaged"))
        end)

        it("is not there in a store that is whole", function()
            local s = open(box.log)
            fill(s)
            assert.is_nil(damaged_in_use(s, ROWS))
            assert.is_false(s:is_damaged())
        end)

        it("has the file set aside by the next open, as it is", function()
            local s = open_damaged()
            s:close()
            local bytes = box.read_all(box.path)
            s = open(box.log)
            assert.same({}, s:each("gw-1", "claiming"))
            assert.is_true(s:add(execution()) > 0)
            local names = set_aside()
            assert.equal(bytes, box.read_all(box.dir .. "/" .. names[1]))
            local lines = box.logged("store.damaged")
            assert.equal(2, #lines)
            assert.matches(names[1], lines[2], 1, true)
            s:close()
            open(box.log):close()
            assert.equal(2, #box.logged("store.damaged"), "the new one is whole")
        end)

        it("has it set aside too where only the log was damaged and looks whole again", function()
            store
                .child(function()
                    local s = open()
                    fill(s)
                    local rows = fill_log(s)
                    scribble(box.path .. "-wal", 60 * 1024)
                    local _, code = damaged_in_use(s, rows)
                    assert(code == "ESTORE", tostring(code))
                    s:close()
                end)
                :kill()
            local s = open(box.log)
            assert.same({}, s:each("gw-1", "claiming"))
            local line = box.logged("store.damaged")[1]
            assert.matches("was found damaged while in use", line, 1, true)
            assert.equal(2, #set_aside())
        end)
    end)
end)
