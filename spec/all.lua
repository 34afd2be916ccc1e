-- all.lua - every spec file in a process of its own, as many at the same time as there are
-- processors (2 to 4): `hob lua spec/all.lua`; `./dev test` without arguments does it. What a file
-- prints comes whole, when it has ended. Ends as spec/run.lua does: the slowest, the names of what
-- failed, "N passed, N failed" and exit status 1 if anything failed.
--
-- Specs mostly wait. And they must not know of one another, which this shows anew each time.
--
-- With HOB_SPEC_AGAIN=N in the environment, as CI has it, up to N files that failed beside others
-- run once more, alone, and that is what counts. One that passes then is named as `unsteady`: what
-- it printed at first is to be looked into all the same. More than N are never an accident.

local exec = require("hob.exec")
local fs = require("hob.fs")
local futures = require("hob.future")
local process = require("hob.process")
local serial = require("hob.service.serial")
local time = require("hob.time")

local root = arg[0]:match("^(.*)/spec/[^/]*$") or "."

local LIMIT = 5 * (tonumber(os.getenv("HOB_SPEC_LIMIT")) or 120) -- seconds, of one file

for _, signal in ipairs({ "INT", "TERM" }) do
  process.on_signal(signal, function() process.exit(130) end) -- ends the specs, too
end

local function put(...)
  io.stdout:write(...)
  io.stdout:flush()
end

-- Those that take longest first, so that nothing long is left for the end.
local LONG = { "random_kills", "crash_matrix", "fault_matrix", "clock", "defects" }

local function files()
  local list, rank = {}, {}
  for i, name in ipairs(LONG) do
    rank[("spec/integration/%s_spec.lua"):format(name)] = i
  end
  for _, room in ipairs({ "unit", "handlers", "integration" }) do
    for _, entry in ipairs(assert(fs.list(("%s/spec/%s"):format(root, room)))) do
      if entry:find("_spec%.lua$") then
        list[#list + 1] = ("spec/%s/%s"):format(room, entry)
      end
    end
  end
  local place = {}
  for i, name in ipairs(list) do
    place[name] = rank[name] or #LONG + i
  end
  table.sort(list, function(a, b) return place[a] < place[b] end)
  return list
end

local results = {} -- by file: { passed, failed, skipped, names of what failed }
local slow = {}

-- What one file printed, without its summary, which becomes a part of this one's.
local function take(name, lines, result)
  local one = { failures = {} }
  for _, line in ipairs(lines) do
    local seconds = tonumber(line:match("^slow +([%d.]+) s  "))
    local name_of_failed = line:match("^[\27%[%dm]*failed[\27%[%dm]*  (.*)$")
    if seconds then
      slow[#slow + 1] = { seconds = seconds, line = line }
    elseif name_of_failed then
      table.insert(one.failures, line)
    elseif line:find("^%d+ passed, %d+ failed") then
      one.passed, one.failed = line:match("^(%d+) passed, (%d+) failed")
      one.skipped = line:match("(%d+) skipped")
    elseif not line:find("^[%d.]+ s$") then
      put(line, "\n")
    end
  end
  if not one.passed then -- it did not come to its end
    one.passed, one.failed = 0, 1
    table.insert(one.failures, ("failed  %s: it ended with %s%s"):format(name,
      result.signal and "signal " .. result.signal or "exit code " .. tostring(result.code),
      result.timed_out and (", having run for %g s"):format(LIMIT) or ""))
    put(one.failures[1], "\n", result.stderr, "\n")
  end
  for _, key in ipairs({ "passed", "failed", "skipped" }) do
    one[key] = math.tointeger(tonumber(one[key] or 0))
  end
  results[name] = one
end

local binary = exec.check({ "readlink", ("/proc/%d/exe"):format(process.pid()) }).stdout
  :gsub("\n$", "")

-- Any task may be suspended between two instructions: no result may get lost by that.
local turns = serial.new(function() end) -- `run` raises errors itself

local function run(name)
  local lines = {}
  local result = exec.run({ binary, "lua", "spec/run.lua", name, cwd = root, timeout = LIMIT,
    on_line = function(line) lines[#lines + 1] = line end })
  turns:run(function() take(name, lines, result) end)
end

local function processors()
  local result = exec.run({ "nproc" })
  return math.max(2, math.min(4, tonumber(result.stdout) or 2))
end

local began = time.mono()
local list, workers = files(), {}
for i = 1, processors() do
  workers[i] = futures.new()
  time.after(0, function()
    while list[1] do
      run(table.remove(list, 1))
    end
    workers[i]:resolve(true)
  end)
end
for _, worker in ipairs(workers) do
  worker:result()
end

local names = {} -- of files with failures
for name, one in pairs(results) do
  if one.failed > 0 then
    names[#names + 1] = name
  end
end
table.sort(names)
local unsteady = {}
if #names <= (tonumber(os.getenv("HOB_SPEC_AGAIN")) or 0) then
  for _, name in ipairs(names) do
    local first = results[name].failures
    put("again   ", name, ", alone\n")
    run(name)
    if results[name].failed == 0 then
      for _, line in ipairs(first) do
        unsteady[#unsteady + 1] = line:gsub("failed", "unsteady", 1)
      end
    end
  end
end

local total, failures = { passed = 0, failed = 0, skipped = 0 }, {}
for _, one in pairs(results) do
  for key, count in pairs(total) do
    total[key] = count + one[key]
  end
  table.move(one.failures, 1, #one.failures, #failures + 1, failures)
end
table.sort(slow, function(a, b) return a.seconds > b.seconds end)
table.sort(failures)
for i = 1, math.min(#slow, 10) do
  put(slow[i].line, "\n")
end
for _, lines in ipairs({ unsteady, failures }) do
  for _, line in ipairs(lines) do
    put(line, "\n")
  end
end
put(("%.1f s\n"):format(time.mono() - began))
put(("%d passed, %d failed%s\n"):format(total.passed, total.failed,
  total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
process.exit(total.failed > 0 and 1 or 0)
