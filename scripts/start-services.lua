-- start-services.lua - start services, one after the other. The first that fails ends the job.
--
-- { "operation": "start-services", "services": "mosquitto nginx" }
-- AWS's template AWS-Start-Application names it; there `services` is the list of arguments.

local services = require("services")

return {
  api = 1,
  description = "Start services",
  args = services.args,
  positional = { "services..." },
  timeout = 1800,
  run = function(job, args)
    for _, name in ipairs(args.services) do
      job:step("start " .. name, function() services.change(job, "start", name) end)
    end
    return { services = table.concat(args.services, " ") }
  end,
  doctor = services.doctor,
  examples = { { operation = "start-services", services = "mosquitto nginx" } },
}
