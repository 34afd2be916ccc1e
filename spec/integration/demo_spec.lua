-- What `./dev demo` promises: it ends well only if each job ended as it should, and leaves nothing.

local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")

local root = debug.getinfo(1, "S").source:match("^@(.*)/spec/integration/[^/]*$") or "."
local binary = exec.check({ "readlink", "-f", ("/proc/%d/exe"):format(process.pid()) }).stdout
    :match("^[^\n]+")

describe("the demo", function()
    local dir

    before_each(function()
        dir = assert(fs.tempdir())
    end)

    after_each(function()
        fs.remove(dir, { recursive = true })
    end)

    local function command(...)
        return {
            timeout = 110, env = { TMPDIR = dir }, tail = 65536,
            binary, "lua", root .. "/spec/demo/demo.lua", ...,
        }
    end

    local function row(output, job)
        local table_of_outcomes = assert(output:match("\nJOB .*"), output)
        return assert(table_of_outcomes:match("\n" .. job:gsub("%-", "%%-") .. " [^\n]*"), output)
    end

    it("ends with status 0 when each job ended as it should, and removes its files", function()
        local result = assert(exec.run(command()))
        assert.equals(0, result.code, result.stdout .. result.stderr)
        assert.matches("SUCCEEDED +yes", row(result.stdout, "run-command"))
        assert.matches("SUCCEEDED +yes", row(result.stdout, "download"))
        assert.matches("SUCCEEDED +yes", row(result.stdout, "update-sensor"))
        assert.matches("FAILED +yes +probe P7 reads", row(result.stdout, "calibrate"))
        assert.matches("REJECTED +yes +no handler", row(result.stdout, "paint-the-barn"))
        assert.same({}, fs.list(dir))
    end)

    it("ends with status 1 when a digest is wrong", function()
        local result = assert(exec.run(command("--spoil", "digest")))
        assert.equals(1, result.code)
        assert.matches("FAILED +NO: should be SUCCEEDED", row(result.stdout, "download"))
        assert.matches("sha256 is %x+, expected 0+", row(result.stdout, "download"))
        assert.matches("\n1 of 5 jobs did not end as they should", result.stdout)
    end)

    it("ends with status 1 when a handler is broken, naming file and line", function()
        local result = assert(exec.run(command("--spoil", "handler")))
        assert.equals(1, result.code)
        assert.matches("FAILED +NO: should be SUCCEEDED", row(result.stdout, "update-sensor"))
        assert.matches("update%-sensor%.lua:%d+: ", row(result.stdout, "update-sensor"))
    end)

    it("ends with status 1 when the gateway's certificate has expired, and says so", function()
        local result = assert(exec.run(command("--spoil", "cert")))
        assert.equals(1, result.code)
        assert.matches("our certificate expired 1 h ago", result.stderr)
        assert.same({}, fs.list(dir))
    end)

    it("cleans up after SIGTERM", function()
        local words, demo = command(), nil
        words.timeout = nil
        words.on_line = function(line)
            if line:find("^%- %d+ jobs") then
                demo:kill("TERM")
            end
        end
        demo = assert(exec.spawn(words))
        local result = assert(demo:wait(60))
        assert.equals(143, result.code)
        assert.same({}, fs.list(dir))
    end)

    it("refuses what it does not understand", function()
        local result = assert(exec.run(command("--spoil", "everything")))
        assert.equals(2, result.code)
        assert.matches("usage: ./dev demo", result.stderr)
    end)
end)
