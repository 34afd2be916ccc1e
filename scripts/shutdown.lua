-- shutdown.lua - switch the device off in a minute, so that this can still be reported.
--
-- { "operation": "shutdown", "minutes": 1 }
-- It is asked for once: what was under way when the power went is not asked for again.

local exec = require("hob.exec")

return {
  api = 1,
  description = "Switch the device off",
  args = { minutes = { "integer", min = 1, max = 1440, default = 1 } },
  timeout = 300,
  run = function(job, args)
    job:step("shutdown", { once = true }, function()
      exec.check({ "shutdown", "-h", "+" .. args.minutes, user = job.user })
    end)
    return { in_minutes = args.minutes }
  end,
  doctor = function()
    return exec.run({ "shutdown", "--help" }) ~= nil or nil, "there is no program `shutdown`"
  end,
  examples = { { operation = "shutdown" }, { operation = "shutdown", minutes = 10 } },
}
