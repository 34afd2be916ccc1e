-- How large `hob run` is, on disk and in memory: of any build, the minimal one among them.
--
--     build/dev/hob lua spec/bench/minimal_bench.lua PROGRAM...     (packaging/minimal.sh)
--
-- For each PROGRAM (a `hob` that finds its own Lua files): a broker with mutual TLS and the local
-- Jobs service in this process, one gateway with one thing. Memory is what the kernel says of
-- /proc/PID/smaps_rollup: resident, and of that what the process alone has (code that other
-- programs share is not in it); once connected and subscribed, and after a job of two steps.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")
local tables = require("hob.cli.table")
local worlds = require("spec.support.world")

local HANDLER = [[
return { api = 1, run = function(job)
  local said = job:step("say", function() return "so" end)
  job:step("again", function() return said end)
  return { said = said }
end }]]

local function memory(pid)
  local text = assert(fs.read(("/proc/%d/smaps_rollup"):format(pid)))
  local function kb(name)
    return tonumber(text:match("\n" .. name .. ":%s+(%d+)"))
  end
  return ("%.1f"):format(kb("Rss") / 1024),
    ("%.1f"):format((kb("Private_Clean") + kb("Private_Dirty")) / 1024)
end

-- Without symbols, as it is installed; and the libraries that it brings along.
local function size_of(program)
  return exec.check({ "sh", "-c", 'cp "$1" "$1.$$" && strip "$1.$$" && wc -c <"$1.$$"; rm "$1.$$"',
    "sh", program }).stdout:match("%d+")
end

local function measure(program)
  local world <close> = setmetatable({}, { __close = function(self) self.world:stop() end })
  world.world = worlds.start()
  local wrapper = world.world.dir .. "/hob-run"
  assert(fs.write(wrapper, ("#!/bin/sh\nexec '%s' run --config \"$1\"\n"):format(program),
    { mode = tonumber("755", 8) }))
  local gateway = world.world:gateway({ scripts = { ["say.lua"] = HANDLER }, program = wrapper,
    config = { log_level = "info" } })
  gateway:wait_event("jobs.subscribed")
  local pid = gateway.process:pid()
  local rss, own = memory(pid)
  world.world:create("one", '{"operation":"say"}')
  local ended = world.world:ended("one")
  assert(ended.status == "SUCCEEDED", ended.details and ended.details.reason)
  local rss_after, own_after = memory(pid)
  return { program, ("%.2f"):format(size_of(program) / 1e6), rss, own, rss_after, own_after }
end

local rows = {}
for _, program in ipairs(arg) do
  rows[#rows + 1] = measure(program)
end
if not rows[1] then
  io.stderr:write("usage: hob lua spec/bench/minimal_bench.lua PROGRAM...\n")
  os.exit(2)
end
tables.print({ "PROGRAM", "MB STRIPPED", "MB RESIDENT", "OWN", "AFTER A JOB", "OWN" }, rows)
