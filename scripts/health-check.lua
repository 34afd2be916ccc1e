-- health-check.lua - the smallest job there is: it shows that this gateway takes jobs, runs them
-- and reports. Tells how long the device has been up, and its load.
--
-- { "operation": "health-check" }

local fs = require("hob.fs")

local function first_word(path)
  return (fs.read(path) or ""):match("^%S+") or "unknown"
end

return {
  api = 1,
  description = "Show that jobs are taken, run and reported",
  timeout = 60,
  run = function(job)
    return job:step("look", function()
      return { uptime_seconds = first_word("/proc/uptime"), load = first_word("/proc/loadavg") }
    end)
  end,
  examples = { { operation = "health-check" } },
}
