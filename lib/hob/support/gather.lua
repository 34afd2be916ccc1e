--- What goes into a support archive: each function adds its parts, and may fail without harm.
local core = require("hob.doctor.core")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local handler_places = require("hob.handler.place")
local places = require("hob.support.place")
local process = require("hob.process")
local time = require("hob.time")
local verify = require("hob.verify")

local M = {}

local PROGRAM_SECONDS = 20
local DOCTOR_SECONDS = 90
local STATUS_MAX = 512 * 1024
local KEPT = 2 * 1024 * 1024 -- of what a program prints

--- What a program prints, or why not.
--- @return string|nil output
--- @return string|nil why
local function output_of(command, seconds)
  command.timeout, command.grace, command.tail = seconds or PROGRAM_SECONDS, 1, KEPT
  local result, why = exec.run(command)
  if not result then
    return nil, why
  elseif result.timed_out then
    return nil, ("it took more than %d s"):format(command.timeout)
  end
  return result.stdout, result.words, result
end

local function lines_of(pairs_of)
  local lines = {}
  for i, pair in ipairs(pairs_of) do
    lines[i] = ("%s: %s"):format(pair[1], tostring(pair[2] == nil and "unknown" or pair[2]))
  end
  return table.concat(lines, "\n") .. "\n"
end

local function first_line(path)
  local text, why = fs.read(path)
  return text and text:match("^[^\n]*") or why
end

---------------------------------------------------------------- the machine

function M.versions(archive, place)
  local hob = output_of({ place.exe, "--version" })
  local system = fs.read("/etc/os-release") or fs.read("/usr/lib/os-release")
  archive:add("versions.txt", table.concat({ hob or "hob: its version could not be got\n",
    "kernel: ", first_line("/proc/version"), "\n\n", system or "/etc/os-release is not there\n" }))
end

function M.clock(archive)
  local clock = core.clock()
  archive:add("clock.txt", lines_of({
    { "now", time.text(time.now()) },
    { "set by the network", clock.synchronised },
    { "seconds since the boot", first_line("/proc/uptime") },
    { "boot id", (core.boot_id()) },
  }))
end

function M.disk(archive, place)
  local rows = {}
  local paths = { place.data, "/", "/tmp", "/run" }
  table.move(handler_places.split((place.values or {}).scripts or ""), 1, 8, #paths + 1, paths)
  for _, path in ipairs(paths) do
    local found, why = core.file_system(path)
    rows[#rows + 1] = { path, found and ("%d of %d MB free, %d of %d inodes free%s"):format(
      found.free >> 20, found.size >> 20, found.inodes_free, found.inodes,
      found.read_only and ", READ-ONLY" or "") or why }
  end
  archive:add("disk.txt", lines_of(rows))
end

local function status_of(pid)
  local text = fs.read(("/proc/%d/status"):format(pid)) or ""
  local function value(name)
    return text:match("\n" .. name .. ":%s*([^\n]*)")
  end
  return { state = value("State"), parent = math.tointeger(tonumber(value("PPid"))),
    memory = value("VmRSS"), peak = value("VmHWM"), threads = value("Threads"),
    uid = (value("Uid") or ""):match("^%d+"), name = text:match("^Name:%s*([^\n]*)") }
end

local function describe(pid, words)
  local status = status_of(pid)
  local open = fs.list(("/proc/%d/fd"):format(pid))
  return ("%d  %s  uid %s  %s  memory %s (most %s)  %s threads  %s files open  %s"):format(pid,
    status.name or "?", status.uid or "?", status.state or "?", status.memory or "?",
    status.peak or "?", status.threads or "?", open and tostring(#open) or "?",
    words and table.concat(words, " ") or "")
end

--- Of gateways the command line, of all others the name alone: what is behind it may be anything.
function M.processes(archive, place)
  local lines, ours = {}, {}
  for _, found in ipairs(places.processes()) do
    ours[found.pid] = true
    lines[#lines + 1] = describe(found.pid, found.runs and found.words or { "hob", found.words[2] })
      .. (found.pid == place.pid and "  <- this gateway" or "")
    local limit = found.runs and (fs.read(("/proc/%d/limits"):format(found.pid)) or "")
      :match("\nMax open files%s+(%d+)")
    lines[#lines + 1] = limit and ("    at most %s files may be open"):format(limit) or nil
  end
  for _, name in ipairs(fs.list("/proc") or {}) do
    local pid = math.tointeger(tonumber(name))
    if pid and not ours[pid] and ours[status_of(pid).parent] and pid ~= process.pid() then
      lines[#lines + 1] = "    started by it: " .. describe(pid)
    end
  end
  archive:add("processes.txt", table.concat(lines, "\n") .. (lines[1] and "\n"
    or "no process of Hob runs on this machine\n"))
  archive:add("memory.txt", fs.read("/proc/meminfo"))
end

--- What the service manager has, startup errors among it; Hob's own events are in events.log.
function M.unit(archive)
  local text, why, result = output_of({ "journalctl", "--unit=hob.service", "--no-pager",
    "--lines=500", "--output=short-iso" })
  if not text or result.code ~= 0 then
    return archive:note("journal.txt (of systemd): %s", result and result.words or why)
  end
  archive:add("journal.txt", text, 256 * 1024)
end

---------------------------------------------------------------- Hob

function M.config(archive, place)
  if not place.config_text then
    return
  end
  archive:add("hob.conf.lua", place.config_text, 128 * 1024)
  for _, problem in ipairs(place.problems) do
    archive:note("the configuration: %s", problem)
  end
end

--- The lines of an answer, as they came.
--- @return string|nil text, string|nil why
local function ask(place, request)
  if not place.gateway then
    return nil, place.silent and "the gateway does not answer: " .. place.silent
      or "no gateway runs there"
  end
  local lines = {}
  local last, why = place.gateway:ask(request, function(line)
    lines[#lines + 1] = json.encode(line)
  end)
  lines[#lines + 1] = last and json.encode(last)
  return last and table.concat(lines, "\n") .. "\n", why
end

function M.status(archive, place)
  local text, why = ask(place, { command = "status" })
  archive:add("status.json", text, text and STATUS_MAX or why)
  text, why = ask(place, { command = "jobs" })
  archive:add("in-hand.json", text, text and STATUS_MAX or why)
  if text then
    text, why = output_of({ place.exe, "metrics", "--socket", place.socket })
    archive:add("metrics.txt", text, text and STATUS_MAX or why)
  end
end

--- Never asked for less than the whole: it is what a person would be told to run first.
function M.doctor(archive, place, given)
  local command = { place.exe, "doctor", "--json", place.silent and "--timeout=2" or nil }
  if given.offline then
    command[#command + 1] = "--offline"
  end
  local where = place.config and { "--config", place.config } or { "--data", place.data }
  table.move(where, 1, 2, #command + 1, command)
  local text, why, result = output_of(command, DOCTOR_SECONDS)
  if text and text == "" then
    text, why = nil, ("%s: %s"):format(why, result.stderr:sub(-300))
  end
  archive:add("doctor.json", text, text and 256 * 1024 or why)
end

local function file_line(path, name)
  local stat = fs.stat(path)
  if not stat then
    return name .. ": gone"
  end
  local digest = stat.type == "file" and stat.size < 1 << 20 and verify.sha256(path) or "-"
  return ("%s  %8d  %04o  %s  %s"):format(time.text(stat.mtime), stat.size, stat.mode, digest, name)
end

--- What lies in the directory of the handlers now; status.json says what is in use.
function M.scripts(archive, place)
  local scripts = (place.values or {}).scripts
  if not scripts or scripts == "" then
    return archive:note("scripts.txt: the directory of the handlers is not known")
  end
  local lines = {}
  local dirs = handler_places.split(scripts)
  for i, dir in ipairs(dirs) do
    lines[#lines + 1] = dirs[2] and dir .. ":" or nil
    for _, folder in ipairs({ "", "lib/" }) do
      local names, why = fs.list(dir .. "/" .. folder)
      if not names and folder == "" and i == #dirs then
        return archive:add("scripts.txt", nil, why)
      end
      table.sort(names or {})
      for _, name in ipairs(names or {}) do
        lines[#lines + 1] = file_line(("%s/%s%s"):format(dir, folder, name), folder .. name)
      end
    end
  end
  archive:add("scripts.txt", table.concat(lines, "\n") .. "\n", 256 * 1024)
end

--- Of what jobs have made only how much it is: their files have the names that they like.
function M.data(archive, place)
  local names, why = fs.list(place.data)
  if not names then
    return archive:add("data.txt", nil, why)
  end
  table.sort(names)
  local lines = {}
  for _, name in ipairs(names) do
    local path = place.data .. "/" .. name
    local stat = fs.stat(path)
    local inside = stat and stat.type == "directory" and fs.list(path)
    lines[#lines + 1] = ("%s  %s"):format(stat and ("%s  %10d  uid %d  %04o"):format(
      time.text(stat.mtime), stat.size, stat.uid, stat.mode) or "?", name)
      .. (inside and (" (%d in it)"):format(#inside) or "")
  end
  archive:add("data.txt", table.concat(lines, "\n") .. "\n", 64 * 1024)
end

return M
