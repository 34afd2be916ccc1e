-- embed.lua - `./dev soak embed [ROUNDS [VALGRIND_ROUNDS]]`: a product makes a runtime, has it do a
-- job over TLS, stops and frees it, 1,000 times in one process; then a few times under valgrind.
-- Memory and descriptors must be flat, and valgrind must find nothing.

local root = arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or "."
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local cycles = require("spec.support.embed_cycles")
local time = require("hob.time")

require("hob.log").configure({ level = "error" })

local ROUNDS = tonumber(arg[1] or 1000)
local WATCHED = tonumber(arg[2] or 20) -- under valgrind; 0: none
if not ROUNDS or ROUNDS < 10 or not WATCHED or WATCHED < 0 then
  io.stderr:write("soak embed: expected how many rounds, at least 10, and how many of them are ",
    "run again under valgrind\n")
  os.exit(2)
end

local BYTES_MAX = 64        -- more at the end, for each round
local ROUND_S = 5           -- far more than one takes
local WATCHED_ROUND_S = 120
-- What is still reachable at the end belongs to libraries that live as long as the process.
local VALGRIND = "valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible "
  .. "--errors-for-leak-kinds=definite,indirect --error-exitcode=99 --child-silent-after-fork=yes"

local failed = false

local function check(fine, ...)
  io.stdout:write(fine and "ok      " or "not ok  ", string.format(...), "\n")
  io.stdout:flush()
  failed = failed or not fine
end

local since = time.now()
local first, last, result = cycles.run(ROUNDS, ROUNDS * ROUND_S + 60)
check(result.code == 0 and last and last.jobs == ROUNDS, "%d rounds, %d jobs, in %.0f s", ROUNDS,
  last and last.jobs or 0, time.now() - since)
if first and last then
  local rounds = last.round - first.round
  check(last.descriptors == first.descriptors, "descriptors: %d, then %d", first.descriptors,
    last.descriptors)
  check(last.bytes - first.bytes <= rounds * BYTES_MAX,
    "memory in use: %d bytes after %d rounds, %d after %d; resident: %d kB, then %d kB",
    first.bytes, first.round, last.bytes, last.round, first.resident_kb, last.resident_kb)
end

if WATCHED > 0 then
  since = time.now()
  local _, at_end, watched, lines = cycles.run(WATCHED, WATCHED * WATCHED_ROUND_S, VALGRIND)
  check(watched.code == 0 and at_end and at_end.jobs == WATCHED,
    "%d rounds under valgrind, in %.0f s", WATCHED, time.now() - since)
  if watched.code ~= 0 then
    io.stdout:write(table.concat(lines, "\n"), "\n")
  end
end

io.stdout:write(failed and "0 passed, 1 failed\n" or "1 passed, 0 failed\n")
os.exit(failed and 1 or 0)
