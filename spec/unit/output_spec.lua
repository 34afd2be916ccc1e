local exec = require("hob.exec")
local fs = require("hob.fs")
local output = require("hob_units").output

-- What a file holds, with the times in its marks taken out.
local function read(path)
    local text = fs.read(path)
    return text and (text:gsub("%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z", "TIME"))
end

local OUT, ERR = ", standard output, TIME\n", ", standard error, TIME\n"

describe("hob_output", function()
    local top, dir, outputs

    before_each(function()
        top = assert(fs.tempdir())
        dir = top .. "/jobs"
    end)

    after_each(function()
        if outputs then outputs:close() end
        outputs = nil
        fs.remove(top, { recursive = true })
    end)

    local function new(options)
        options = options or {}
        options.dir = options.dir or dir
        outputs = assert(output.new(options))
        return outputs
    end

    local function list()
        local names = fs.list(dir) or {}
        table.sort(names)
        return names
    end

    it("makes a file with the first byte, for its owner alone", function()
        local number, path = new():open("job-1-1700000000")
        assert.equal(dir .. "/job-1-1700000000.log", path)
        assert.same({}, list())
        outputs:write(number, "fw", false, "hello\n")
        assert.same({ "job-1-1700000000.log" }, list())
        assert.equal(tonumber("600", 8), fs.stat(path).mode & 511)
        assert.equal(tonumber("700", 8), fs.stat(dir).mode & 511)
    end)

    it("says which program and stream the bytes are of, each time that changes", function()
        local number, path = new():open("a-1-1")
        outputs:write(number, "fw", false, "one\n")
        outputs:write(number, "fw", false, "two, and a half")
        outputs:write(number, "fw", true, "oops")
        outputs:write(number, "sh", true, "other\n")
        assert.equal("--- fw" .. OUT .. "one\ntwo, and a half\n--- fw" .. ERR .. "oops\n--- sh"
            .. ERR .. "other\n", read(path))
    end)

    it("says it again after an event of the execution, of no other one", function()
        local numbers, paths = {}, {}
        new{ log = top .. "/log" }
        for i = 1, 200 do -- more than it has buckets
            numbers[i], paths[i] = outputs:open(("thing-%d@say-1-1700000000"):format(i))
        end
        local function write(i, text)
            outputs:write(numbers[i], "fw", false, text)
        end
        local looked_at = { 2, 7, 8, 9, 99, 200 }
        for _, i in ipairs(looked_at) do
            write(i, "one\n")
        end
        outputs:finish(numbers[1])
        outputs:event("thing-1", "say", 1)
        outputs:event("thing-7", "say", 1)
        outputs:event("thing-8", "say", 2)
        outputs:event("thing-9", "else", 1)
        outputs:event("thing-99", "say", 1)
        for _, i in ipairs(looked_at) do
            local again = (i == 7 or i == 99) and "--- fw" .. OUT or ""
            write(i, "two\n")
            assert.equal("--- fw" .. OUT .. "one\n" .. again .. "two\n", read(paths[i]))
        end
    end)

    it("knows an execution's file while another of its name is opened and closed", function()
        local first, path = new{ log = top .. "/log" }:open("a@say-1-1700000000")
        local second = outputs:open("a@say-1-1700000000")
        outputs:write(first, "fw", false, "one\n")
        outputs:finish(second)
        outputs:event("a", "say", 1)
        outputs:write(first, "fw", false, "two\n")
        assert.equal("--- fw" .. OUT .. "one\n--- fw" .. OUT .. "two\n", read(path))
    end)

    it("keeps bytes as they come: NUL, invalid UTF-8, no newline (field failure 10)", function()
        local bytes = "\0\xff\xfe\r\n\0" .. ("x"):rep(100000)
        local number, path = new():open("a-1-1")
        outputs:write(number, "fw", false, bytes)
        assert.equal("--- fw" .. OUT .. bytes, read(path))
    end)

    it("goes on with the file of an execution that is resumed", function()
        local number, path = new():open("a-1-1")
        outputs:write(number, "fw", false, "before")
        outputs:finish(number)
        outputs:close()
        number = new():open("a-1-1")
        outputs:write(number, "fw", false, "after\n")
        assert.equal("--- fw" .. OUT .. "before\n--- fw" .. OUT .. "after\n", read(path))
    end)

    it("keeps the newest bytes, at most the limit (field failures 10, 13)", function()
        local number, path = new{ limit = 20000 }:open("a-1-1")
        for i = 1, 10000 do
            outputs:write(number, "fw", false, ("line %06d\n"):format(i))
        end
        local former, newest = read(path .. ".1"), read(path)
        assert.same({ "a-1-1.log", "a-1-1.log.1" }, list())
        assert.is_true(fs.stat(path).size + fs.stat(path .. ".1").size <= 20000 + 200)
        assert.equal(10000, fs.stat(path .. ".1").size)
        assert.matches("^%-%-%- hob: what was printed before .log.1 was dropped\n%-%-%- fw", newest)
        assert.matches("line 010000\n$", newest)
        local all = (former .. newest):gsub("%-%-%- [^\n]*\n", "")
        local expected = all:match("line (%d+)")
        for seen in all:gmatch("line (%d+)\n") do
            assert.equal(tonumber(expected), tonumber(seen))
            expected = tonumber(seen) + 1
        end
        assert.equal(10001, expected)
    end)

    it("cuts one large chunk as well", function()
        local number, path = new{ limit = 20000 }:open("a-1-1")
        outputs:write(number, "fw", false, ("x"):rep(1000000) .. "end\n")
        assert.is_true(fs.stat(path).size + fs.stat(path .. ".1").size <= 20000 + 200)
        assert.matches("xend\n$", read(path))
    end)

    it("takes the oldest files away when all are over their limit, by when they were queued",
        function()
            new{ limit = 20000, total = 100000 }
            for i = 1, 20 do
                local number = outputs:open(("job-%d-1-%d"):format(i, 1700000100 - i))
                outputs:write(number, "fw", false, ("x"):rep(9000))
                outputs:finish(number)
                if i % 8 == 0 then
                    outputs:close()
                    new{ limit = 20000, total = 100000 }
                end
            end
            local names, bytes = list(), 0
            for _, name in ipairs(names) do
                bytes = bytes + fs.stat(dir .. "/" .. name).size
            end
            assert.is_true(bytes <= 100000, bytes)
            assert.is_true(bytes >= 50000, bytes)
            assert.equal("job-1-1-1700000099.log", names[1]) -- queued last
        end)

    it("leaves the files alone that are being written", function()
        new{ limit = 20000, total = 30000 }
        local first, path = outputs:open("old-1-1")
        outputs:write(first, "fw", false, "x")
        for i = 2, 6 do
            local number = outputs:open(("job-1-%d"):format(i))
            outputs:write(number, "fw", false, ("x"):rep(9000))
            outputs:finish(number)
        end
        assert.truthy(fs.stat(path))
        assert.is_true(#list() <= 3)
    end)

    it("leaves other files in the directory alone", function()
        assert(fs.mkdir(dir .. "/x.log"))
        assert(fs.write(dir .. "/notes.txt", ("x"):rep(100000)))
        local number = new{ total = 1 }:open("a-1-1")
        outputs:write(number, "fw", false, "x")
        assert.same({ "a-1-1.log", "notes.txt", "x.log" }, list())
    end)

    it("makes one name of whatever it is given", function()
        local _, path = new():open("../../etc/passwd\n-1-1")
        assert.equal(dir .. "/.._.._etc_passwd_-1-1.log", path)
    end)

    it("follows no link, and fills no device", function()
        assert(fs.write(top .. "/precious", "data"))
        assert(fs.mkdir(dir))
        exec.check({ "ln", "-s", top .. "/precious", dir .. "/a-1-1.log" })
        local number = new{ log = top .. "/log" }:open("a-1-1")
        outputs:write(number, "fw", false, "x")
        assert.equal("data", fs.read(top .. "/precious"))
        assert.matches("output.failed", fs.read(top .. "/log"))
    end)

    it("says once in Hob's log that it cannot write, and in the file what is missing", function()
        assert(fs.write(dir, "a file where the directory should be"))
        local number, path = new{ log = top .. "/log" }:open("a-1-1")
        outputs:write(number, "fw", false, ("x"):rep(1000))
        outputs:write(number, "fw", false, ("x"):rep(234))
        local lines = assert(fs.read(top .. "/log"))
        assert.matches('"event":"output.failed"', lines, 1, true)
        assert.matches("the job itself goes on", lines, 1, true)
        assert.equal(1, select(2, lines:gsub("\n", "")))

        assert(fs.remove(dir))
        outputs:write(number, "fw", false, "again\n")
        assert.equal("--- hob: 1234 bytes were lost here: Not a directory\n--- fw" .. OUT
            .. "again\n", read(path))
    end)

    it("works on when the disk is full, and says how much was lost (field failure 13)", function()
        if exec.run({ "id", "-u" }).stdout ~= "0\n" then
            pending("a small file system is mounted as root")
            return
        end
        assert(fs.mkdir(dir))
        if exec.run({ "mount", "-t", "tmpfs", "-o", "size=64k", "none", dir }).code ~= 0 then
            pending("no file system can be mounted here")
            return
        end
        finally(function()
            outputs:close()
            outputs = nil
            exec.check({ "umount", "-l", dir })
        end)
        assert(exec.run({ "sh", "-c", "head -c 50000 /dev/zero >" .. dir .. "/filler" }))
        local number, path = new{ limit = 1000000 }:open("a-1-1")
        outputs:write(number, "fw", false, ("x"):rep(30000))
        outputs:write(number, "fw", false, ("y"):rep(30000))
        assert(fs.remove(dir .. "/filler"))
        outputs:write(number, "fw", false, "again\n")
        local text = read(path)
        local lost = tonumber(text:match("\n%-%-%- hob: (%d+) bytes were lost here: No space left"))
        local kept = select(2, text:gsub("%-%-%- [^\n]*\n", ""):gsub("[xy]", ""))
        assert.equal(60000, lost + kept)
        assert.matches("again\n$", text)
    end)
end)
