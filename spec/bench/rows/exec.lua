-- Jobs whose handler runs a program. The counterpart is what a small agent in C does: it forks and
-- executes a handler script for each job, here one that runs the same program.
local fs = require("hob.fs")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")

local M = { name = "exec", what = "a job whose handler runs /bin/true" }

local PROGRAM = "/bin/true"
local HANDLER = [[
local exec = require("hob.exec")
return { api = 1, args = { text = "string" }, run = function(job)
  job:step("run", function() exec.check({ "/bin/true" }) end)
end }]]

function M.run(bench)
  local rig <close> = rigs.start()
  local script = rig.world.dir .. "/handler.sh"
  assert(fs.write(script, ("#!/bin/sh\n%s\n"):format(PROGRAM)))
  assert(fs.chmod(script, tonumber("700", 8)))
  local count = bench.quick and 100 or 500
  local results = rounds.alternate(bench.rounds, {
    rig:candidate("hob", count, function(thing)
      return rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls")
    end),
    rig:candidate("shell agent floor", count, function(thing)
      return rig:floor(thing, "jobs", "tls", "--exec", script)
    end),
  })
  bench:ratio("jobs/s, durable, over TLS", results, "hob", "shell agent floor", "jobs_s",
    { at_least = 0.8 })
  bench:ratio("CPU us per job, without its programs'", results, "hob", "shell agent floor",
    "cpu_us", {})
end

return M
