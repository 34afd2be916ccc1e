-- restart-services.lua - restart services, one after the other. The first that fails ends the job.
--
-- { "operation": "restart-services", "services": "mosquitto nginx" }
-- AWS's template AWS-Restart-Application names it; there `services` is the list of arguments.
-- Hob itself (`hob`) is one of those it can restart: the job goes on in the new process.

local services = require("services")

return {
  api = 1,
  description = "Restart services",
  args = services.args,
  positional = { "services..." },
  timeout = 1800,
  run = function(job, args)
    for _, name in ipairs(args.services) do
      if services.is_own(name) then
        job:restart_hob("asked for by the job")
      else
        job:step("restart " .. name, function() services.change(job, "restart", name) end)
      end
    end
    return { services = table.concat(args.services, " ") }
  end,
  doctor = services.doctor,
  examples = { { operation = "restart-services", services = "mosquitto nginx" } },
}
