-- The operations of the Jobs API from Lua, against the smallest C program that does them, and AWS's
-- SDK on Node.
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")

local M = { name = "ops", what = "iotjobs from Lua: ask for the next job, end it" }

local GOALS = { -- by transport
  tls = { jobs_s = 1.0, cpu_us = 1.2 },
  tcp = { jobs_s = 0.95 },
}

local function compare(bench, rig, transport)
  local count = bench.quick and 200 or 1000
  local results = rounds.alternate(bench.rounds, {
    rig:candidate("hob", count, function(thing) return rig:ops(thing, transport) end),
    rig:candidate("floor", count, function(thing) return rig:floor(thing, "ops", transport) end),
    rig:candidate("SDK v1", count, function(thing)
      return rig:sdk(thing, "ops", "v1", transport)
    end),
    rig:candidate("SDK v2", count, function(thing)
      return rig:sdk(thing, "ops", "v2", transport)
    end),
  })
  bench:ratio("jobs/s over " .. transport:upper(), results, "hob", "floor", "jobs_s",
    { at_least = GOALS[transport].jobs_s })
  bench:ratio("CPU us per job over " .. transport:upper(), results, "hob", "floor", "cpu_us",
    { at_most = GOALS[transport].cpu_us })
  for _, peer in ipairs({ "SDK v1", "SDK v2" }) do
    bench:ratio("jobs/s over " .. transport:upper(), results, "hob", peer, "jobs_s", {})
  end
end

function M.run(bench)
  local rig <close> = rigs.start()
  for _, transport in ipairs({ "tls", "tcp" }) do
    compare(bench, rig, transport)
  end
end

return M
