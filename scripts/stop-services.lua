-- stop-services.lua - stop services, one after the other. The first that fails ends the job.
--
-- { "operation": "stop-services", "services": "mosquitto nginx" }
-- AWS's template AWS-Stop-Application names it; there `services` is the list of arguments.

local services = require("services")

return {
  api = 1,
  description = "Stop services",
  args = services.args,
  positional = { "services..." },
  timeout = 1800,
  run = function(job, args)
    for _, name in ipairs(args.services) do
      if services.is_own(name) then
        job:reject("Hob cannot stop itself (" .. name .. "): nobody could report it")
      end
    end
    for _, name in ipairs(args.services) do
      job:step("stop " .. name, function() services.change(job, "stop", name) end)
    end
    return { services = table.concat(args.services, " ") }
  end,
  doctor = services.doctor,
  examples = { { operation = "stop-services", services = "mosquitto nginx" } },
}
