local exec = require("hob.exec")
local fs = require("hob.fs")
local units = require("hob_units")
local wait_until = require("spec.support.wait").wait_until

local function alive(pid)
    local stat = fs.read(("/proc/%d/stat"):format(pid))
    return stat ~= nil and not stat:match("%) Z")
end

describe("hob_blackbox", function()
    local dir, path, boxes

    before_each(function()
        dir = assert(fs.tempdir())
        path = dir .. "/running"
        boxes = {}
    end)

    after_each(function()
        for _, box in ipairs(boxes) do box:free() end
        fs.remove(dir, { recursive = true })
    end)

    local function open(boot_id, log)
        local box = assert(units.blackbox.open(path, boot_id or "boot-1", log))
        boxes[#boxes + 1] = box
        return box
    end

    -- What the next process finds when `fn` was the last thing that a process did.
    local function after_death(fn, boot_id)
        local child = units.store.child(function()
            fn(assert(units.blackbox.open(path, "boot-1")))
        end)
        child:kill()
        local box = open(boot_id)
        return box:past(), box
    end

    it("knows of nothing at first, in a file of its owner's alone", function()
        assert.same({}, open():past())
        assert.equal(tonumber("600", 8), fs.stat(path).mode & 511)
    end)

    it("tells which jobs were at work, in which step, and who was executing", function()
        local past = after_death(function(box)
            box:begin(11)
            local entry = box:begin(12)
            box:step(entry, "install")
            box:executing(entry, true)
        end)
        assert.same({
            { row = 11, executing = false, step = "" },
            { row = 12, executing = true, step = "install" },
        }, past)
    end)

    it("tells nothing of a job that has ended, nor of a step", function()
        local past = after_death(function(box)
            local first, second = box:begin(1), box:begin(2)
            box:step(second, "install")
            box:executing(second, true)
            box:executing(second, false)
            box:step(second, nil)
            box:finish(first)
        end)
        assert.same({ { row = 2, executing = false, step = "" } }, past)
    end)

    it("tells nothing after an end in order", function()
        local past = after_death(function(box)
            box:begin(1)
            box:close()
        end)
        assert.same({}, past)
    end)

    it("tells nothing of a former boot (field failure 4)", function()
        local past, box = after_death(function(one)
            one:step(one:begin(1), "install")
        end, "boot-2")
        assert.same({}, past)
        box:free()
        assert.same({}, open("boot-1"):past(), "the file is of boot-2 now")
    end)

    it("keeps a step's name of 128 bytes, and cuts a longer one", function()
        local past = after_death(function(box)
            box:step(box:begin(1), ("a"):rep(128))
            box:step(box:begin(2), ("b"):rep(200))
        end)
        assert.equal(("a"):rep(128), past[1].step)
        assert.equal(("b"):rep(128), past[2].step)
    end)

    it("goes on telling until what was started is ended, then forgets", function()
        after_death(function(box)
            box:step(box:begin(1), "install")
        end)
        boxes[1]:free() -- it dies before it has done anything
        local box = open()
        assert.same({ { row = 1, executing = false, step = "install" } }, box:past())
        assert.equal(0, box:end_children())
        box:free()
        assert.same({}, open():past())
    end)

    it("believes the later entry of a job that was begun again", function()
        after_death(function(box)
            box:step(box:begin(1), "old")
        end)
        local box = boxes[1]
        local entry = box:begin(1)
        box:step(entry, "new")
        box:executing(entry, true)
        box:free()
        assert.same({ { row = 1, executing = true, step = "new" } }, open():past())
    end)

    it("remembers 32 jobs at once, and works without memory of one more", function()
        local box, entry = open(), nil
        for row = 1, 32 do
            local remembered
            entry, remembered = box:begin(row)
            assert.is_true(remembered)
        end
        local extra, kept = box:begin(33)
        assert.is_false(kept)
        box:step(extra, "install")
        box:child(extra, 1, true)
        assert.is_false(box:executing(extra, true))
        box:finish(extra)
        box:finish(entry)
        assert.is_true(select(2, box:begin(34)))
        box:free()
        assert.equal(32, #open():past())
    end)

    describe("a file that is not as it should be", function()
        local function size()
            open():free()
            return fs.stat(path).size
        end

        local function opens_with(bytes)
            assert(fs.write(path, bytes))
            local box = open()
            assert.same({}, box:past())
            assert.equal(0, box:end_children())
            box:step(box:begin(5), "after")
            box:free()
            local again = open()
            assert.same({ { row = 5, executing = false, step = "after" } }, again:past())
            again:close()
        end

        it("is begun anew: empty, cut, foreign, longer", function()
            local whole = size()
            local sound = fs.read(path)
            opens_with("")
            opens_with(sound:sub(1, 100))
            opens_with(("x"):rep(whole))
            opens_with(("\xff"):rep(whole))
            opens_with(sound .. "x")
        end)

        it("is no harm wherever it was torn", function()
            after_death(function(box)
                for row = 1, 3 do
                    box:step(box:begin(row), "install")
                end
            end)
            boxes[1]:free()
            local sound = assert(fs.read(path))
            local function torn(bytes, parts)
                for _ = 1, parts do
                    local at = math.random(97, 4000) -- the head is whole
                    bytes = bytes:sub(1, at - 1) .. string.char(math.random(0, 255))
                        .. bytes:sub(at + 1)
                end
                return bytes
            end
            math.randomseed(7)
            for round = 1, 40 do
                assert(fs.write(path, torn(sound, 20 * round)))
                local box = open()
                for _, past in ipairs(box:past()) do
                    assert.is_true(past.row > 0)
                    assert.is_true(#past.step <= 128)
                end
                local entry = box:begin(77)
                box:step(entry, "after")
                box:close()
            end
        end)

        it("that cannot be made is said in the log, and nothing is remembered", function()
            path = dir .. "/none/running"
            local box = open("boot-1", dir .. "/log")
            box:step(box:begin(1), "install")
            box:free()
            local line = assert(fs.read(dir .. "/log"))
            assert.matches('"event":"blackbox.failed"', line, 1, true)
            assert.matches(path .. ": No such file or directory", line, 1, true)
            assert.matches('"code":"ENOENT"', line, 1, true)
        end)

        it("is in memory where a full disk would be the end of the process (field failure 13)",
            function()
                if exec.run({ "mount", "-t", "ramfs", "none", dir }).code ~= 0 then
                    pending("no file system can be mounted here")
                    return
                end
                local place = exec.check({ "stat", "-c", "/dev/shm/hob-running-%d-%i", dir })
                    .stdout:gsub("%-(%d+)", function(n) return ("-%x"):format(n) end):sub(1, -2)
                finally(function()
                    boxes[1]:free()
                    fs.remove(place)
                    exec.check({ "umount", "-l", dir })
                end)
                local past = after_death(function(box)
                    box:step(box:begin(1), "install")
                end)
                assert.same({ { row = 1, executing = false, step = "install" } }, past)
                assert.is_nil(fs.stat(path))
                assert.equal(tonumber("600", 8), fs.stat(place).mode & 511)
            end)

        it("is no link to somewhere else", function()
            assert(fs.write(dir .. "/precious", "data"))
            exec.check({ "ln", "-s", dir .. "/precious", path })
            open("boot-1", dir .. "/log"):free()
            assert.equal("data", fs.read(dir .. "/precious"))
            assert.matches("blackbox.failed", fs.read(dir .. "/log"))
        end)
    end)

    describe("what a dead process had started", function()
        local function start(script)
            local process = exec.spawn({ "sh", "-c", script:gsub("DIR", dir) })
            finally(function() process:kill("KILL") end)
            return process, process:pid()
        end

        local function ended(box)
            return wait_until(function()
                return box:end_children() == 0
            end, 20, "their end")
        end

        it("is ended, the whole group (field failure 11)", function()
            local _, pid = start("sleep 1000 & echo $! >DIR/child; trap '' TERM; wait")
            local child = wait_until(function()
                return tonumber(fs.read(dir .. "/child") or "")
            end, 20, "the child")
            local _, box = after_death(function(one)
                one:child(one:begin(1), pid, true)
            end)
            assert.equal(1, box:end_children())
            ended(box)
            assert.is_false(alive(pid))
            assert.is_false(alive(child))
        end)

        it("is ended also if only the rest of its group is left", function()
            local process, pid = start("(exec >/dev/null 2>&1; sleep 1000) & echo $! >DIR/child; "
                .. "while [ ! -e DIR/go ]; do sleep 0.01; done")
            local _, box = after_death(function(one)
                one:child(one:begin(1), pid, true)
            end)
            assert(fs.write(dir .. "/go", ""))
            assert.equal(0, process:wait(20).code)
            local child = tonumber(fs.read(dir .. "/child"))
            assert.is_true(alive(child))
            ended(box)
            assert.is_false(alive(child))
        end)

        it("is known by its pipes if the death came before its id was known", function()
            local process, pid = start("sleep 1000")
            local link = exec.check({ "readlink", ("/proc/%d/fd/2"):format(pid) }).stdout
            local inode = assert(tonumber(link:match("^pipe:%[(%d+)%]")))
            local past, box = after_death(function(one)
                one:starts(one:begin(1), 1, inode)
            end)
            assert.equal(1, #past)
            assert.equal(1, box:end_children())
            ended(box)
            assert.is_false(alive(pid))
            assert.equal(9, process:wait(20).signal)
        end)

        it("is not looked for by its pipes once its id is known, or nothing was started", function()
            local _, pid = start("sleep 1000")
            local link = exec.check({ "readlink", ("/proc/%d/fd/2"):format(pid) }).stdout
            local inode = assert(tonumber(link:match("^pipe:%[(%d+)%]")))
            local _, box = after_death(function(one)
                local entry = one:begin(1)
                one:starts(entry, inode, inode)
                one:starts(entry, 0, 0)
            end)
            assert.equal(0, box:end_children())
            assert.is_true(alive(pid))
        end)

        it("is left alone if it was gone before the death", function()
            local _, pid = start("sleep 1000")
            local _, box = after_death(function(one)
                local entry = one:begin(1)
                one:child(entry, pid, true)
                one:child(entry, pid, false)
            end)
            assert.equal(0, box:end_children())
            assert.is_true(alive(pid))
        end)

        it("is left alone if somebody else has its id by now: the start time differs", function()
            local _, pid = start("sleep 1000")
            after_death(function(one)
                one:child(one:begin(1), pid, true)
            end)
            boxes[1]:free()
            -- Give the entry another start: the 8 bytes before the id of the process.
            local bytes = assert(fs.read(path))
            local at = assert(bytes:find(("<i4"):pack(pid), 1, true))
            local started = ("<i8"):unpack(bytes, at - 8)
            assert(fs.write(path, bytes:sub(1, at - 9) .. ("<i8"):pack(started - 1)
                .. bytes:sub(at)))
            assert.equal(0, open():end_children())
            assert.is_true(alive(pid))
        end)

        it("is known even if the process dies again before it has ended", function()
            local _, pid = start("sleep 1000")
            after_death(function(one)
                one:child(one:begin(1), pid, true)
            end)
            boxes[1]:free()
            ended(open())
            assert.is_false(alive(pid))
        end)

        it("is remembered up to 64 a job", function()
            local _, pid = start("sleep 1000")
            local _, box = after_death(function(one)
                local entry = one:begin(1)
                for i = 1, 70 do
                    one:child(entry, 100000000 + i, true)
                end
                one:child(entry, 100000001, false)
                one:child(entry, pid, true)
            end)
            ended(box)
            assert.is_false(alive(pid))
        end)
    end)
end)
