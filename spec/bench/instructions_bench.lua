-- Where a job's work goes, in instructions, which do not depend on what else runs here:
--
--     ./dev bench instructions [KIND...]     (floor ops jobs)
--
-- Each agent runs some jobs over TLS under callgrind, then three times as many: the difference is
-- jobs, without the start of the program. What the kernel does is not in it.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local process = require("hob.process")
local rigs = require("spec.bench.rig")
local tables = require("hob.cli.table")

-- What a run has started ends with it, also when it is broken off.
for _, signal in ipairs({ "INT", "TERM", "HUP" }) do
  process.on_signal(signal, function() process.exit(130) end)
end

local JOBS = 60

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local AGENTS = {
  floor = function(rig, thing) return rig:floor(thing, "jobs", "tls") end,
  ops = function(rig, thing) return rig:ops(thing, "tls") end,
  jobs = function(rig, thing)
    return rig:gateway(thing, { ["bench.lua"] = HANDLER }, "tls")
  end,
}

-- Callgrind's file: "ob=(3) /usr/lib/liblua.so", later "ob=(3)"; a line of costs below it is of
-- that object, unless it follows "calls=", whose costs are counted where they arise.
local function by_object(path)
  local names, costs, object, is_call = {}, {}, nil, false
  for line in io.lines(path) do
    local kind, id, name = line:match("^(c?ob)=(%(%d+%))%s*(.*)$")
    if id then
      names[id] = name ~= "" and name:match("[^/]*$") or names[id]
      object = kind == "ob" and names[id] or object
    elseif line:find("^calls=") then
      is_call = true
    elseif line:find("^[%d+*-]") then
      local cost = not is_call and object and tonumber(line:match("^%S+ (%d+)"))
      if cost then
        costs[object] = (costs[object] or 0) + cost
      end
      is_call = false
    end
  end
  return costs
end

local function count(rig, kind, jobs)
  local out = rig.world:path("callgrind")
  rig:put_under({ "valgrind", "--tool=callgrind", "--callgrind-out-file=" .. out })
  rig:drain(jobs, function(thing) return AGENTS[kind](rig, thing) end)
  return by_object(out)
end

local function tell(rig, kind)
  local few, many = count(rig, kind, JOBS), count(rig, kind, 3 * JOBS)
  local list, total = {}, 0
  for object, cost in pairs(many) do
    local each = (cost - (few[object] or 0)) / (2 * JOBS)
    total = total + each
    list[#list + 1] = { kind, object, each }
  end
  table.sort(list, function(a, b) return a[3] > b[3] end)
  local rows = { { kind, "all", ("%.0f"):format(total) } }
  for _, row in ipairs(list) do
    if row[3] >= total / 1000 then
      rows[#rows + 1] = { kind, row[2], ("%.0f"):format(row[3]) }
    end
  end
  return rows
end

local kinds = #arg > 0 and arg or { "floor", "ops", "jobs" }
local rig <close> = rigs.start()
local rows = {}
for _, kind in ipairs(kinds) do
  if not AGENTS[kind] then
    io.stderr:write("usage: ./dev bench instructions [floor|ops|jobs...]\n")
    rig:stop()
    os.exit(2)
  end
  io.stderr:write(kind, " ...\n")
  local more = tell(rig, kind)
  table.move(more, 1, #more, #rows + 1, rows)
end
tables.print({ "WHAT", "WHERE", "INSTRUCTIONS OF A JOB" }, rows)
