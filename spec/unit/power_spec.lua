local fs = require("hob.fs")
local power = require("hob_units").power
local wait_until = require("spec.support.wait").wait_until

describe("hob_power", function()
    local dir

    before_each(function()
        dir = assert(fs.tempdir())
    end)

    after_each(function()
        fs.remove(dir, { recursive = true })
    end)

    describe("boot_id", function()
        it("is the kernel's", function()
            local id = assert(power.boot_id())
            assert.equal(fs.read("/proc/sys/kernel/random/boot_id"), id .. "\n")
            assert.equal(id, power.boot_id())
        end)

        it("comes from another file where one is named, without what is around it", function()
            assert(fs.write(dir .. "/boot", "first \n"))
            assert.equal("first", power.boot_id(dir .. "/boot"))
        end)

        it("names a file that cannot be read", function()
            local id, message, code = power.boot_id(dir .. "/none")
            assert.is_nil(id)
            assert.equal(("the boot id in %s/none: No such file or directory"):format(dir), message)
            assert.equal("ENOENT", code)
        end)

        it("refuses what is no id", function()
            for _, text in ipairs({ "", "\n", ("x"):rep(65), ("x"):rep(10000) }) do
                assert(fs.write(dir .. "/boot", text))
                local id, message = power.boot_id(dir .. "/boot")
                assert.is_nil(id)
                assert.matches("expected 1 to 64 characters", message)
            end
            assert(fs.write(dir .. "/boot", ("x"):rep(64)))
            assert.equal(("x"):rep(64), power.boot_id(dir .. "/boot"))
        end)
    end)

    describe("reboot", function()
        it("runs the command and says that it ended well", function()
            local calls, problem = power.reboot({ "sh", "-c", "echo $1 >$2", "sh", "now",
                dir .. "/asked" })
            assert.equal(1, calls)
            assert.equal("", problem)
            assert.equal("now\n", fs.read(dir .. "/asked"))
        end)

        it("says how the command failed, with the last line that it printed", function()
            local calls, problem = power.reboot({ "sh", "-c",
                "echo one >&2; echo 'no permission' >&2; exit 3" })
            assert.equal(1, calls)
            assert.equal("sh: exit code 3: no permission", problem)
            assert.equal("sh: killed by signal 9", select(2, power.reboot({ "sh", "-c",
                "kill -KILL $$" })))
        end)

        it("is not held up by what the command prints", function()
            local calls, problem = power.reboot({ "sh", "-c",
                "head -c 1000000 /dev/zero; echo done >" .. dir .. "/done" })
            assert.equal(1, calls)
            assert.equal("", problem)
            assert.equal("done\n", fs.read(dir .. "/done"))
        end)

        it("says which program there is none of", function()
            local calls, message, code = power.reboot({ "reboot-nowhere" })
            assert.is_nil(calls)
            assert.equal("reboot-nowhere: not found in PATH", message)
            assert.equal("ENOENT", code)
            calls, message = power.reboot({})
            assert.is_nil(calls)
            assert.equal("reboot_command names no program", message)
        end)

        it("goes on when this process ends before it, also if it prints then", function()
            local calls = power.reboot({ "sh", "-c", ([[
                while [ ! -e %s/go ]; do sleep 0.01; done
                echo going; echo going >&2; echo $$ >%s/went]]):format(dir, dir) }, true)
            assert.equal(0, calls)
            assert(fs.write(dir .. "/go", ""))
            wait_until(function() return fs.read(dir .. "/went") end, 20, "the command's end")
        end)

        it("runs the command in a session of its own", function()
            power.reboot({ "sh", "-c", "cut -d' ' -f6 /proc/$$/stat >$0/session; echo $$ >$0/pid",
                dir })
            assert.equal(fs.read(dir .. "/pid"), fs.read(dir .. "/session"))
        end)
    end)
end)
