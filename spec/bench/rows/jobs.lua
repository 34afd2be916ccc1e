-- Whole jobs: `hob run` with a handler of one step and its durable store, against the floor and
-- AWS's SDK on Node, which have neither.
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")

local M = { name = "jobs", what = "a whole short job: claimed, a step, told, all durable" }

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local MANY = 8 -- jobs at a time; who asks for the next one, as the others do, has one

function M.run(bench)
  local rig <close> = rigs.start()
  local count = bench.quick and 100 or 500
  local function hob(at_once)
    return function(thing)
      return rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls",
        { max_concurrent_jobs = at_once })
    end
  end
  local results = rounds.alternate(bench.rounds, {
    rig:candidate("hob", count, hob(1)),
    rig:candidate("many", count, hob(MANY)),
    rig:candidate("floor", count, function(thing) return rig:floor(thing, "jobs", "tls") end),
    rig:candidate("SDK v1", count, function(thing) return rig:sdk(thing, "jobs", "v1", "tls") end),
    rig:candidate("SDK v2", count, function(thing) return rig:sdk(thing, "jobs", "v2", "tls") end),
  })
  bench:ratio("jobs/s, durable, over TLS", results, "hob", "floor", "jobs_s", { at_least = 0.5 })
  bench:ratio("jobs/s, durable, over TLS", results, "hob", "SDK v2", "jobs_s", { at_least = 2 })
  bench:ratio("jobs/s, durable, over TLS", results, "hob", "SDK v1", "jobs_s", {})
  local what = ("jobs/s, durable, %d at a time"):format(MANY)
  bench:ratio(what, results, "many", "floor", "jobs_s", {})
  bench:ratio(what, results, "many", "SDK v2", "jobs_s", {})
  bench:ratio("CPU us per job", results, "hob", "floor", "cpu_us", {})
  bench:ratio("CPU us per job", results, "hob", "SDK v2", "cpu_us", {})
  bench:spread("p99 to the median of a job", results.hob, "p99_ms", "p50_ms",
    { at_most = 3, tail = true })
end

return M
