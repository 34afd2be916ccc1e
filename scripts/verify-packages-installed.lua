-- verify-packages-installed.lua - are these packages installed? Changes nothing.
--
-- { "operation": "verify-packages-installed", "packages": "curl jq" }

local packages = require("packages")

return {
  api = 1,
  description = "Fail unless all of these packages are installed",
  args = packages.args,
  positional = { "packages..." },
  timeout = 600,
  run = function(job, args)
    local found = job:step("look", function() return packages.installed(args.packages) end)
    if #found.missing > 0 then
      return nil, "not installed: " .. table.concat(found.missing, ", "), "NOT_INSTALLED"
    end
    return { packages = table.concat(found.there, " ") }
  end,
  examples = { { operation = "verify-packages-installed", packages = "curl jq" } },
}
