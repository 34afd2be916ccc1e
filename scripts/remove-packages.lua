-- remove-packages.lua - remove packages with apt-get, dnf or yum. Their configuration stays.
--
-- { "operation": "remove-packages", "packages": "curl jq" }
-- AWS's template AWS-Remove-Application names it; there `packages` is the list of arguments.

local packages = require("packages")

return {
  api = 1,
  description = "Remove packages with the device's package manager",
  args = packages.args,
  positional = { "packages..." },
  timeout = 3600,
  run = function(job, args)
    local manager = job:step("remove", function()
      return packages.change(job, "remove", args.packages)
    end)
    return { packages = table.concat(args.packages, " "), manager = manager }
  end,
  doctor = packages.doctor,
  examples = { { operation = "remove-packages", packages = "telnet ftp" } },
}
