local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local process = require("hob.process")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

describe("hob.fs", function()
    local dir

    before_each(function()
        dir = assert(fs.tempdir())
    end)

    after_each(function()
        fs.remove(dir, { recursive = true })
    end)

    local function fails_with(expected, pattern, result, message, code)
        assert.is_nil(result)
        assert.equals(expected, code)
        assert.matches(pattern, message)
    end

    describe("write", function()
        it("makes a file that read gives back byte for byte", function()
            local data = "a\0b\255\r\n" .. ("x"):rep(100000)
            assert.is_true(fs.write(dir .. "/f", data))
            assert.equals(data, fs.read(dir .. "/f"))
        end)

        it("leaves nothing but the file", function()
            fs.write(dir .. "/f", "1")
            fs.write(dir .. "/f", "2")
            assert.same({ "f" }, fs.list(dir))
        end)

        it("puts a new file in the place of the old: who reads the old one keeps it", function()
            fs.write(dir .. "/f", "old")
            local reader = assert(io.open(dir .. "/f"))
            fs.write(dir .. "/f", "new")
            assert.equals("old", reader:read("a"))
            reader:close()
            assert.equals("new", fs.read(dir .. "/f"))
        end)

        it("keeps the mode of the file, and the link that leads to it", function()
            fs.write(dir .. "/f", "old")
            fs.chmod(dir .. "/f", 384)
            exec.check({ "ln", "-s", "f", dir .. "/link" })
            fs.write(dir .. "/link", "new")
            assert.equals("new", fs.read(dir .. "/f"))
            assert.equals(384, fs.stat(dir .. "/f").mode)
            assert.equals("f\n", exec.check({ "readlink", dir .. "/link" }).stdout)
        end)

        it("returns nil and ENOENT where there is no directory", function()
            fails_with("ENOENT", "^writing .*/none/f: ", fs.write(dir .. "/none/f", "x"))
        end)
    end)

    describe("read", function()
        it("returns nil and ENOENT for a file that is not there", function()
            fails_with("ENOENT", "^reading .*/none: No such file", fs.read(dir .. "/none"))
        end)

        it("reads files of /proc, whose size is 0", function()
            assert.matches("Name:", fs.read("/proc/self/status"))
        end)

        it("does not wait for a FIFO, and refuses a directory", function()
            exec.check({ "mkfifo", dir .. "/fifo" })
            fails_with("EINVAL", "not a regular file", fs.read(dir .. "/fifo"))
            assert.is_nil(fs.read(dir))
        end)

        it("refuses what would fill the memory", function()
            exec.check({ "truncate", "-s", "70M", dir .. "/big" })
            fails_with("EMSGSIZE", "over 67108864 bytes", fs.read(dir .. "/big"))
        end)
    end)

    describe("append", function()
        it("adds to the end, making the file if need be", function()
            assert.is_true(fs.append(dir .. "/f", "a"))
            assert.is_true(fs.append(dir .. "/f", "b"))
            assert.equals("ab", fs.read(dir .. "/f"))
        end)

        it("returns nil and the reason when it cannot", function()
            fails_with("ENOENT", "^appending to ", fs.append(dir .. "/none/f", "a"))
        end)
    end)

    describe("mkdir", function()
        it("makes parents too, and takes one that is there", function()
            assert.is_true(fs.mkdir(dir .. "/a/b/c"))
            assert.is_true(fs.mkdir(dir .. "/a/b/c/"))
            assert.equals("directory", fs.stat(dir .. "/a/b/c").type)
        end)

        it("returns nil and EEXIST when a file is in the way", function()
            fs.write(dir .. "/f", "")
            fails_with("EEXIST", "^making directory ", fs.mkdir(dir .. "/f"))
        end)
    end)

    describe("remove", function()
        it("removes a file or an empty directory", function()
            fs.write(dir .. "/f", "")
            fs.mkdir(dir .. "/d")
            assert.is_true(fs.remove(dir .. "/f"))
            assert.is_true(fs.remove(dir .. "/d"))
            assert.same({}, fs.list(dir))
        end)

        it("removes a full directory only when told so, and follows no link", function()
            fs.mkdir(dir .. "/d/e")
            fs.mkdir(dir .. "/kept")
            fs.write(dir .. "/kept/f", "")
            exec.check({ "ln", "-s", dir .. "/kept", dir .. "/d/e/link" })
            assert.is_nil(fs.remove(dir .. "/d"))
            assert.is_true(fs.remove(dir .. "/d", { recursive = true }))
            assert.same({ "kept" }, fs.list(dir))
            assert.same({ "f" }, fs.list(dir .. "/kept"))
        end)

        it("returns nil and ENOENT for what is not there", function()
            fails_with("ENOENT", "^removing ", fs.remove(dir .. "/none"))
            fails_with("ENOENT", "^removing ", fs.remove(dir .. "/none", { recursive = true }))
        end)

        it("raises for the root and for the working directory", function()
            for _, path in ipairs({ "/", "//", ".", "..", "/../" }) do
                assert.error_matches(function() fs.remove(path, { recursive = true }) end,
                    "never removed")
            end
        end)
    end)

    describe("list", function()
        it("gives the names sorted", function()
            for _, name in ipairs({ "b", "a", ".hidden", "c" }) do
                fs.write(dir .. "/" .. name, "")
            end
            assert.same({ ".hidden", "a", "b", "c" }, fs.list(dir))
        end)

        it("returns nil and the reason when it cannot", function()
            fails_with("ENOENT", "^listing ", fs.list(dir .. "/none"))
        end)
    end)

    describe("stat", function()
        it("tells type, size, mode and time", function()
            fs.write(dir .. "/f", "12345")
            fs.chmod(dir .. "/f", 416)
            local stat = fs.stat(dir .. "/f")
            assert.equals("file", stat.type)
            assert.equals(5, stat.size)
            assert.equals(416, stat.mode)
            assert.is_true(math.abs(stat.mtime - os.time()) < 600)
        end)

        it("looks through links, but for one that leads nowhere", function()
            exec.check({ "ln", "-s", dir, dir .. "/there" })
            exec.check({ "ln", "-s", "nowhere", dir .. "/lost" })
            assert.equals("directory", fs.stat(dir .. "/there").type)
            assert.equals("link", fs.stat(dir .. "/lost").type)
        end)

        it("returns nil and ENOENT for what is not there", function()
            fails_with("ENOENT", "none", fs.stat(dir .. "/none"))
        end)
    end)

    describe("write with options", function()
        it("takes a mode as octal digits, and does not take 755 for them", function()
            fs.write(dir .. "/f", "x", { mode = "0640" })
            assert.equals(416, fs.stat(dir .. "/f").mode)
            fs.chmod(dir .. "/f", "755")
            assert.equals(493, fs.stat(dir .. "/f").mode)
            assert.error_matches(function() fs.chmod(dir .. "/f", 644) end,
                'mode: 644 is no octal number in Lua; write "644"', 1, true)
            for _, wrong in ipairs({ "u+x", "", "8", "77777", "0x1ff", true }) do
                assert.error_matches(function() fs.write(dir .. "/f", "", { mode = wrong }) end,
                    "mode: expected octal digits")
            end
            assert.equals(493, fs.stat(dir .. "/f").mode)
        end)

        it("gives the file a mode, whatever the umask and the old one", function()
            assert.is_true(fs.write(dir .. "/f", "x", { mode = 416 }))
            assert.equals(416, fs.stat(dir .. "/f").mode)
            assert.is_true(fs.write(dir .. "/f", "y", { mode = 438 }))
            assert.equals(438, fs.stat(dir .. "/f").mode)
        end)

        it("makes files by the umask where nothing is said", function()
            fs.write(dir .. "/f", "x")
            exec.check({ "touch", dir .. "/g" })
            assert.equals(fs.stat(dir .. "/g").mode, fs.stat(dir .. "/f").mode)
        end)

        it("gives the file to a user, or says that this user cannot", function()
            local ok, message, code = fs.write(dir .. "/f", "x", { user = "daemon" })
            if exec_user.name() then
                assert.is_true(ok, message)
                assert.equals(exec.check({ "id", "-u", "daemon" }).stdout,
                    fs.stat(dir .. "/f").uid .. "\n")
                assert.is_true(fs.write(dir .. "/f", "y")) -- and leaves it to him
                assert.equals(exec.check({ "id", "-u", "daemon" }).stdout,
                    fs.stat(dir .. "/f").uid .. "\n")
            else
                fails_with("EACCES", "^writing .*: Operation not permitted", ok, message, code)
                assert.same({}, fs.list(dir))
            end
            fails_with("ENOENT", 'no user "no%-such%-user"',
                fs.write(dir .. "/g", "x", { user = "no-such-user" }))
        end)

        -- The two are due at once, and the second begins at the first's first wait.
        local function order_beside(work)
            local order = {}
            local function note(what) order[#order + 1] = what end
            time.after(0, function()
                work()
                note("done")
            end)
            time.after(0, function() note("another") end)
            wait_until(function() return #order == 2 end, 10, "both")
            return order
        end

        it("lets others run while a large file goes to the disk, and comes from there", function()
            local data = ("0123456789abcdef"):rep(1 << 18)
            local function write() fs.write(dir .. "/f", data) end
            local function read() fs.read(dir .. "/f") end
            assert.same({ "another", "done" }, order_beside(write))
            assert.same({ "another", "done" }, order_beside(read))
            assert.same({ "done", "another" }, order_beside(function() end))
        end)
    end)

    describe("copy", function()
        it("makes a file with the same bytes and mode, and says how many they are", function()
            local data = ("x\0\255"):rep(100000)
            fs.write(dir .. "/f", data, { mode = 416 })
            assert.equals(#data, fs.copy(dir .. "/f", dir .. "/g"))
            assert.is_true(fs.read(dir .. "/g") == data)
            assert.equals(416, fs.stat(dir .. "/g").mode)
            assert.same({ "f", "g" }, fs.list(dir))
        end)

        it("can say the mode, and takes no right to be another user along", function()
            fs.write(dir .. "/f", "x", { mode = 2541 }) -- 4755
            fs.copy(dir .. "/f", dir .. "/g")
            assert.equals(493, fs.stat(dir .. "/g").mode)
            fs.copy(dir .. "/f", dir .. "/g", { mode = 384 })
            assert.equals(384, fs.stat(dir .. "/g").mode)
        end)

        it("replaces a file as a whole: who reads the old one keeps it", function()
            fs.write(dir .. "/f", "new")
            fs.write(dir .. "/g", "old")
            local reader = assert(io.open(dir .. "/g"))
            fs.copy(dir .. "/f", dir .. "/g")
            assert.equals("old", reader:read("a"))
            reader:close()
            assert.equals("new", fs.read(dir .. "/g"))
        end)

        it("lets others run meanwhile", function()
            local turned = false
            fs.write(dir .. "/f", "x")
            time.after(0, function() turned = true end)
            assert(fs.copy(dir .. "/f", dir .. "/g"))
            assert.is_true(turned)
        end)

        it("works where no task can wait, too", function()
            fs.write(dir .. "/f", "x")
            local copied
            table.sort({ 2, 1 }, function(a, b)
                copied = copied or fs.copy(dir .. "/f", dir .. "/g")
                return a < b
            end)
            assert.equals(1, copied)
            assert.equals("x", fs.read(dir .. "/g"))
        end)

        it("is given up with its task, and leaves nothing", function()
            local script = ([[
                local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
                exec.check{ "truncate", "-s", "1G", "%s/f" }
                time.after(0, function() fs.copy("%s/f", "%s/g") end)
                repeat time.sleep(0) until #fs.list("%s") > 2]]):format(dir, dir, dir, dir)
            fs.write(dir .. "/script.lua", script)
            local hob = "/proc/" .. process.pid() .. "/exe"
            local result = exec.run({ hob, "lua", dir .. "/script.lua", timeout = 60 })
            assert.equals("exit code 0", result.words .. result.stderr)
            assert.same({ "f", "script.lua" }, fs.list(dir))
        end)

        it("returns nil and the reason when it cannot, and leaves nothing", function()
            exec.check({ "mkfifo", dir .. "/fifo" })
            fails_with("ENOENT", "^copying .*/none: No such", fs.copy(dir .. "/none", dir .. "/g"))
            fails_with("EINVAL", "not a regular file", fs.copy(dir .. "/fifo", dir .. "/g"))
            fails_with("EINVAL", "not a regular file", fs.copy(dir, dir .. "/g"))
            fs.write(dir .. "/f", "x")
            fails_with("ENOENT", "^copying .*/f to .*/none/g: No such",
                fs.copy(dir .. "/f", dir .. "/none/g"))
            fails_with("EEXIST", "it is the same file", fs.copy(dir .. "/f", dir .. "/./f"))
            assert.same({ "f", "fifo" }, fs.list(dir))
        end)
    end)

    describe("rename", function()
        it("moves a file or a directory, replacing a file", function()
            fs.write(dir .. "/f", "new")
            fs.write(dir .. "/g", "old")
            assert.is_true(fs.rename(dir .. "/f", dir .. "/g"))
            assert.equals("new", fs.read(dir .. "/g"))
            fs.mkdir(dir .. "/d/e")
            assert.is_true(fs.rename(dir .. "/d", dir .. "/h"))
            assert.same({ "g", "h" }, fs.list(dir))
        end)

        it("moves a link, not what it leads to", function()
            fs.write(dir .. "/f", "x")
            exec.check({ "ln", "-s", "f", dir .. "/link" })
            assert.is_true(fs.rename(dir .. "/link", dir .. "/moved"))
            assert.same({ "f", "moved" }, fs.list(dir))
        end)

        it("returns nil and the reason when it cannot", function()
            fails_with("ENOENT", "^renaming .*/none to .*/g: No such",
                fs.rename(dir .. "/none", dir .. "/g"))
        end)
    end)

    describe("symlink", function()
        it("makes a link, which need not lead anywhere", function()
            assert.is_true(fs.symlink("f", dir .. "/link"))
            assert.equals("link", fs.stat(dir .. "/link").type)
            fs.write(dir .. "/f", "x")
            assert.equals("x", fs.read(dir .. "/link"))
        end)

        it("takes the place of a file or a link in one go, and leaves nothing else", function()
            fs.write(dir .. "/a", "A")
            fs.write(dir .. "/b", "B")
            fs.write(dir .. "/name", "old")
            assert.is_true(fs.symlink("a", dir .. "/name"))
            assert.equals("A", fs.read(dir .. "/name"))
            assert.is_true(fs.symlink("b", dir .. "/name"))
            assert.equals("B", fs.read(dir .. "/name"))
            assert.equals("A", fs.read(dir .. "/a"))
            assert.same({ "a", "b", "name" }, fs.list(dir))
        end)

        it("replaces no directory", function()
            fs.mkdir(dir .. "/d")
            local ok, message = fs.symlink("a", dir .. "/d")
            assert.is_nil(ok)
            assert.matches("^linking .*/d: ", message)
            assert.same({ "d" }, fs.list(dir))
        end)

        it("returns nil and ENOENT where there is no directory", function()
            fails_with("ENOENT", "^linking .*/none/l: ", fs.symlink("a", dir .. "/none/l"))
        end)
    end)

    describe("exists", function()
        it("tells what is there from what is not", function()
            fs.write(dir .. "/f", "")
            exec.check({ "ln", "-s", "nowhere", dir .. "/lost" })
            assert.is_true(fs.exists(dir))
            assert.is_true(fs.exists(dir .. "/f"))
            assert.is_true(fs.exists(dir .. "/lost"))
            assert.is_false(fs.exists(dir .. "/none"))
            assert.is_false(fs.exists(dir .. "/f/below"))
        end)
    end)

    describe("free", function()
        it("gives what is free, and how large the file system is", function()
            local free, total = fs.free(dir)
            assert.equals("integer", math.type(free))
            assert.is_true(free >= 0 and free <= total and total > 0)
            fails_with("ENOENT", "none", fs.free(dir .. "/none"))
        end)
    end)

    describe("sync", function()
        it("takes files and directories", function()
            fs.write(dir .. "/f", "x")
            assert.is_true(fs.sync(dir .. "/f"))
            assert.is_true(fs.sync(dir))
            fails_with("ENOENT", "^syncing ", fs.sync(dir .. "/none"))
        end)
    end)

    describe("misuse", function()
        it("raises, saying what was expected", function()
            assert.error_matches(function() fs.read() end, "string expected")
            assert.error_matches(function() fs.read("") end, "expected a path")
            assert.error_matches(function() fs.read("a\0b") end, "expected a path")
            assert.error_matches(function() fs.write(dir .. "/f") end, "string expected")
            assert.error_matches(function() fs.chmod(dir, 4096) end, "mode: expected octal")
            assert.error_matches(function() fs.remove(dir, { recursiv = true }) end, "recursiv")
            assert.error_matches(function() fs.write(dir .. "/f", "", { mod = 1 }) end, "mod")
            assert.error_matches(function() fs.write(dir .. "/f", "", { mode = 1.5 }) end,
                "mode: expected octal digits such as")
            assert.error_matches(function() fs.copy(dir, dir, { user = true }) end,
                "user: expected a name or a number, got boolean")
        end)
    end)
end)
