-- The local Jobs service under many things' requests: spec/bench/service_bench.lua, which tells
-- more when it is run by itself.
local exec = require("hob.exec")
local json = require("hob.json")
local worlds = require("spec.support.world")

local M = { name = "service", what = "the local Jobs service, 1,000 things" }

function M.run(bench)
  local rate, seconds = bench.quick and 1000 or 5000, bench.quick and 5 or 10
  local ran = exec.check({ worlds.hob(), "lua", "spec/bench/service_bench.lua", "--json",
    "--rate", tostring(rate), "--seconds", tostring(seconds), timeout = 300 })
  local result = assert(json.decode(ran.stdout))
  bench:figure({ what = "answered, of what was asked",
    value = result.answered / result.requests, unit = "ratio", at_least = 1,
    hob = result.answered, peer = result.requests, versus = "requests" })
  bench:figure({ what = "rejected, or answered twice", value = result.rejected + result.unknown,
    unit = "", at_most = 0 })
  bench:figure({ what = ("requests a second, of %d wanted"):format(rate),
    value = result.answered / result.seconds / rate, unit = "ratio", at_least = 0.98 })
  bench:figure({ what = "p99 of an answer", value = result.p99_ms, unit = "ms", at_most = 20 })
  bench:figure({ what = "CPU of a request",
    value = result.cpu.service / result.answered * 1e6, unit = "us" })
end

return M
