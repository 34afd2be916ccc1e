-- A job of several steps, as an update of a sensor behind the gateway would be: it takes a moment,
-- says how far it is, and leaves a file that proves what it did.

local exec, fs = require("hob.exec"), require("hob.fs")

return {
    api = 1,
    description = "Pretend to update a sensor, in four steps",
    args = { version = "string", root = "string" },
    run = function(job, args)
        local image = args.root .. "/sensor.img"
        job:step("prepare", function()
            job:progress(10, "preparing")
            return fs.write(image, "sensor firmware " .. args.version .. "\n")
        end)
        for block = 1, 8 do
            job:step("transfer-" .. block, function()
                job:progress(10 + block * 10, ("transferring block %d of 8"):format(block))
                job:sleep(0.4)
            end)
        end
        local sum = job:step("verify", function()
            job:progress(95, "verifying")
            return exec.check({ "sha256sum", image }).stdout:match("^%x+")
        end)
        job:step("switch", function()
            job:progress(99, "switching over")
            return fs.write(args.root .. "/sensor.version", args.version)
        end)
        return { version = args.version, image = sum:sub(1, 12) }
    end,
}
