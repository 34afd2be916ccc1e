-- What the debugger costs a handler that nobody looks into, in instructions:
--
--     ./dev bench debugger
--
-- The program is built a second time without the debugger's part of the hook and of protected
-- calls (cmake's HOB_DEBUGGER=OFF). Both run one handler on the bench under callgrind, with some
-- work and with twice as much, and a clock that stands still: the difference is the work, without
-- the start of the program. Exit status 1 if the two differ by more than 0.5 %.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")

local LIMIT = 0.5 -- percent
local ROUNDS = 2000

-- Of what handlers are made: calls, closures, strings, tables, protected calls, coroutines.
local HANDLER = [[
local function fibonacci(n)
  return n < 2 and n or fibonacci(n - 1) + fibonacci(n - 2)
end
local function words(text)
  return coroutine.wrap(function()
    for word in text:gmatch("%a+") do coroutine.yield(word) end
  end)
end
return { api = 1, args = { rounds = "integer" }, cpu = 0, run = function(job, args)
  local sum = 0
  for i = 1, args.rounds do
    local list = {}
    for j = 1, 40 do list[j] = (i * j * 7919) % 1009 end
    table.sort(list)
    local ok = pcall(function() if i % 10 == 0 then error("some") end sum = sum + fibonacci(9) end)
    sum = sum + list[1] + (ok and 1 or 0)
    for word in words("a handful of words to look at") do sum = sum + #word end
    sum = sum + #table.concat(list, ","):gsub("%d%d", "x")
  end
  return { sum = tostring(sum) }
end }
]]

-- How often a job is made to yield depends on the clock, too: it stands still.
local function stopped_clock()
  local found = exec.check({ "sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1" }).stdout
  return found:match("^[^\n]+")
end

local function count(binary, scripts, rounds)
  local out = scripts .. "/callgrind.out"
  local result = assert(exec.run({
    "valgrind", "--tool=callgrind", "--callgrind-out-file=" .. out,
    binary, "handler", "run", "work", "--scripts", scripts, "--args", "rounds=" .. rounds,
    timeout = 300, env = { LD_PRELOAD = stopped_clock(), FAKETIME = "2026-01-01 00:00:00" },
  }))
  if result.code ~= 0 then
    io.stderr:write(result.stdout, result.stderr, "\n")
    error(("%s did not run the handler"):format(binary), 0)
  end
  local total = assert(fs.read(out)):match("\ntotals: (%d+)")
  fs.remove(out)
  return math.tointeger(assert(tonumber(total), "callgrind wrote no total"))
end

local function work_of(binary, scripts)
  return count(binary, scripts, 2 * ROUNDS) - count(binary, scripts, ROUNDS)
end

local with, without = arg[1], arg[2]
if not without then
  io.stderr:write("usage: ./dev bench debugger\n")
  os.exit(2)
end
local scripts = assert(fs.tempdir())
assert(fs.write(scripts .. "/work.lua", HANDLER))
local bare, full = work_of(without, scripts), work_of(with, scripts)
fs.remove(scripts, { recursive = true })
local percent = (full - bare) / bare * 100
print(("%d rounds of a handler, in instructions:"):format(ROUNDS))
print(("  without the debugger  %14d"):format(bare))
print(("  with it, unattached   %14d   %+.3f %% (at most %.1f %%)"):format(full, percent, LIMIT))
os.exit(math.abs(percent) <= LIMIT and 0 or 1)
