-- install-packages.lua - install packages with apt-get, dnf or yum.
--
-- { "operation": "install-packages", "packages": "curl jq", "update": true }
-- AWS's template AWS-Install-Application names it; there `packages` is the list of arguments.

local packages = require("packages")

return {
  api = 1,
  description = "Install packages with the device's package manager",
  args = packages.args,
  positional = { "packages..." },
  timeout = 3600,
  run = function(job, args)
    local manager = job:step("install", function()
      return packages.change(job, "install", args.packages, args.update)
    end)
    return { packages = table.concat(args.packages, " "), manager = manager }
  end,
  doctor = packages.doctor,
  examples = {
    { operation = "install-packages", packages = "curl jq" },
    { operation = "install-packages", packages = { "curl", "jq" }, update = true },
  },
}
