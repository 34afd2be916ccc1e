-- verify-packages-removed.lua - are these packages away? Changes nothing. A package whose
-- configuration was left behind is away.
--
-- { "operation": "verify-packages-removed", "packages": "telnet ftp" }

local packages = require("packages")

return {
  api = 1,
  description = "Fail if any of these packages is installed",
  args = packages.args,
  positional = { "packages..." },
  timeout = 600,
  run = function(job, args)
    local found = job:step("look", function() return packages.installed(args.packages) end)
    if #found.there > 0 then
      return nil, "still installed: " .. table.concat(found.there, ", "), "STILL_INSTALLED"
    end
    return { packages = table.concat(found.missing, " ") }
  end,
  examples = { { operation = "verify-packages-removed", packages = "telnet ftp" } },
}
