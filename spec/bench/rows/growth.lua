-- Does a gateway get slower, or larger, with what it has done? Whole jobs with 100, 10,000 and
-- 100,000 in its store before them.
local filled = require("spec.bench.filled")
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")

local M = { name = "growth", what = "a job after many others" }

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local function measure(rig, before, count)
  local memory
  local drained = rig:drain(count, function(thing)
    local one = rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls", nil, false)
    filled.with(one.dir, function(store) filled.work_off(store, thing, before) end)
    one.gateway:launch()
    local stop = one.stop
    one.stop = function()
      memory = proc.memory_kb(one.pid())
      stop()
    end
    return one
  end)
  drained.rss_kb, drained.before = memory.rss, before
  return drained
end

local function points(results, sizes, key, factor)
  local out = {}
  for i, size in ipairs(sizes) do
    out[i] = { size, rounds.median(rounds.column(results[tostring(size)], key)) / factor }
  end
  return out
end

function M.run(bench)
  local rig <close> = rigs.start()
  local sizes = bench.quick and { 100, 10000 } or { 100, 10000, 100000 }
  local count, candidates = bench.quick and 100 or 300, {}
  for i, size in ipairs(sizes) do
    candidates[i] = { name = tostring(size), run = function() return measure(rig, size, count) end }
  end
  local results = rounds.alternate(bench.rounds, candidates)
  local few, many = tostring(sizes[1]), tostring(sizes[#sizes])
  local after = (" of a job after %s others"):format(many)
  bench:ratio("CPU us" .. after, results, many, few, "cpu_us", { at_most = 1.15 })
  bench:ratio("ms" .. after, results, many, few, "p50_ms", { at_most = 1.25 })
  bench:ratio("KB resident" .. after, results, many, few, "rss_kb", { at_most = 1.1 })
  bench:curve({ name = "growth", title = "A job, and the gateway, after many others",
    x = "jobs done before", y = "MB resident; 0.1 ms of CPU a job", logarithmic = true, series = {
      { label = "MB resident", points = points(results, sizes, "rss_kb", 1024) },
      { label = "0.1 ms of CPU a job", points = points(results, sizes, "cpu_us", 100) },
    } })
end

return M
