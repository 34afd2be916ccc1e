-- reboot.lua - restart the device; SUCCEEDED once it has come back with another boot id.
--
-- { "operation": "reboot" }
-- AWS's template AWS-Reboot names it.

return {
  api = 1,
  description = "Reboot the device, and report when it is back",
  args = { reason = { "string?", max = 200 } },
  run = function(job, args)
    job:reboot(args.reason or "asked for by the job")
  end,
  examples = { { operation = "reboot" }, { operation = "reboot", reason = "new kernel" } },
}
