-- A job's Lua state: made, a handler loaded, run, freed; and what one weighs that waits in a step.
-- By hob_vm, which makes jobs as a slot does, in processor time. A bare Lua state that compiles and
-- loads the same file is told beside it.
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local rounds = require("spec.bench.rounds")
local worlds = require("spec.support.world")

local M = { name = "vm", what = "a job's Lua state: made, a handler loaded, run, freed" }

local SCRIPTS = {
  ["bench.lua"] = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = args.text }
end }]],
  ["wait.lua"] = [[
local time = require("hob.time")
return { api = 1, args = { text = "string" }, run = function(job, args)
  job:step("wait", function() time.sleep(3600) return args.text end)
end }]],
}

local function measure(dir, runs, kept)
  local program = worlds.hob():match("^(.*)/[^/]*$") .. "/hob_vm"
  local result = exec.check({ program, "lib", dir .. "/scripts", dir .. "/store", "bench",
    tostring(runs), tostring(kept), "wait" })
  return json.decode(result.stdout)
end

function M.run(bench)
  local dir <close> = setmetatable({ path = assert(fs.tempdir()) }, {
    __close = function(self) fs.remove(self.path, { recursive = true }) end })
  assert(fs.mkdir(dir.path .. "/scripts"))
  for name, text in pairs(SCRIPTS) do
    assert(fs.write(dir.path .. "/scripts/" .. name, text))
  end
  local results = rounds.alternate(bench.rounds, { { name = "hob", run = function()
    return measure(dir.path, bench.quick and 500 or 2000, 200)
  end } })
  local function tell(what, key, unit, goal)
    local column = rounds.column(results.hob, key)
    bench:figure({ what = what, value = rounds.median(column), unit = unit,
      low = math.min(table.unpack(column)), high = math.max(table.unpack(column)),
      at_most = goal })
  end
  tell("a job, all of it", "all_us", "us", 100)
  tell("of that: made, handler loaded, arguments read", "make_us", "us")
  tell("of that: run", "run_us", "us")
  tell("of that: freed", "free_us", "us")
  bench:spread("to a bare Lua state with the same file", results.hob, "all_us", "bare_us", {})
  tell("memory of a job that waits in a step", "resident_kb", "KB", 60)
end

return M
