-- proc.lua - what the kernel says of a process, for the benches.
local fs = require("hob.fs")
local lfs = require("lfs")

local M = {}

local function read(pid, name)
  return fs.read(("/proc/%s/%s"):format(pid, name))
end

-- A number of all its threads that are there, added up.
local function of_threads(pid, name, pattern)
  local total = 0
  for thread in lfs.dir(("/proc/%d/task"):format(pid)) do
    local text = thread ~= "." and thread ~= ".." and read(pid, ("task/%s/%s"):format(thread, name))
    total = total + (text and tonumber(text:match(pattern)) or 0)
  end
  return total
end

--- Processor time of its threads, in seconds, to the nanosecond.
---@param pid integer
---@return number
function M.cpu_s(pid)
  return of_threads(pid, "schedstat", "^%d+") / 1e9
end

--- A line of /proc/PID/status in kB: "VmRSS", "VmHWM".
---@return integer
function M.status_kb(pid, name)
  return math.tointeger(tonumber(read(pid, "status"):match(name .. ":%s+(%d+)")))
end

--- Of /proc/PID/smaps_rollup in kB: resident, its proportional share, and what is its own alone.
---@return { rss: integer, pss: integer, private: integer }
function M.memory_kb(pid)
  local text = read(pid, "smaps_rollup")
  local function kb(name)
    return math.tointeger(tonumber(text:match("\n" .. name .. ":%s+(%d+)")))
  end
  return { rss = kb("Rss"), pss = kb("Pss"), private = kb("Private_Clean") + kb("Private_Dirty") }
end

--- How often its threads gave the processor up by themselves: they slept, and woke again.
---@return integer
function M.wakes(pid)
  return of_threads(pid, "status", "\nvoluntary_ctxt_switches:%s+(%d+)")
end

---@return integer
function M.descriptors(pid)
  local count = -2 -- "." and ".."
  for _ in lfs.dir(("/proc/%s/fd"):format(pid)) do
    count = count + 1
  end
  return count
end

return M
