--- `hob doctor`: the machine. The clock, the file systems, the store, the unit of systemd.
local core = require("hob.doctor.core")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local time = require("hob.time")
local words = require("hob.cli.words")

local M = {}

local YOUNGEST, OLDEST = 1577836800, 4102444800 -- 2020 and 2100
local MB = 1024 * 1024
local FREE_LEAST, FREE_LITTLE = 1 * MB, 16 * MB
local INODES_LEAST, INODES_LITTLE = 16, 500
local AHEAD = 3600 -- seconds: what was written later than now was written with another clock

--- A size as people read it.
---@param bytes integer
---@return string
function M.size(bytes)
  if bytes < 1024 then
    return ("%d bytes"):format(bytes)
  elseif bytes < MB then
    return ("%.0f KB"):format(bytes / 1024)
  elseif bytes < 1024 * MB then
    return ("%.1f MB"):format(bytes / MB)
  end
  return ("%.1f GB"):format(bytes / MB / 1024)
end

---------------------------------------------------------------- the clock

local SET_TIME = "set the time: timedatectl set-ntp true, or start chrony or systemd-timesyncd"

local function clock(say, data)
  local now = time.now()
  local shown = words.clock(math.floor(now))
  if now < YOUNGEST or now > OLDEST then
    return say:failed(("the clock says %s: no certificate is valid then"):format(shown), SET_TIME)
  end
  local written = data and fs.stat(data .. "/hob.db")
  if written and written.mtime > now + AHEAD then
    return say:warning(("the clock says %s, but %s/hob.db was written at %s: it has gone back")
      :format(shown, data, words.clock(math.floor(written.mtime))), SET_TIME)
  end
  local state = core.clock()
  if state.synchronised == false then
    return say:warning(shown .. "; the kernel does not know it to be synchronised", SET_TIME)
  elseif state.synchronised == nil then
    return say:info(shown .. "; the kernel may not be asked whether it is synchronised")
  end
  say:ok(("%s, synchronised"):format(shown))
end

local function boot(say, file)
  local id, why = core.boot_id(file ~= "" and file or nil)
  if not id then
    return say:failed("no boot id: " .. why,
      "set boot_id_file to a file that changes with each boot; without one job:reboot cannot work")
  end
  say:ok(id)
end

--- The clock and the boot.
---@param report hob.doctor.report
---@param about hob.doctor.about
function M.time(report, about)
  report:check("clock", nil, function(say) clock(say, about.data) end)
  report:check("boot", nil, function(say) boot(say, about.values and about.values.boot_id_file) end)
end

---------------------------------------------------------------- file systems

local function room(say, path, writes)
  local found, why, code = core.file_system(path)
  if not found then
    local parent = path:match("^(.+)/[^/]+$") or "/"
    if code == "ENOENT" and core.may(parent, "w") then
      return say:info(path .. " is not there: the first start of hob makes it")
    elseif code == "ENOENT" then
      return say:failed(("%s is not there, and cannot be made in %s"):format(path, parent),
        "mkdir -p " .. parent)
    end
    return say:failed(why)
  end
  local text = ("%s: %s free of %s"):format(path, M.size(found.free), M.size(found.size))
  local free_ourselves = "make room on that file system: Hob stores an outcome before it is told"
  if found.read_only then
    return say:failed(path .. " lies on a file system that is read-only",
      ("mount -o remount,rw %s, or look at dmesg why it became so"):format(path))
  elseif writes and not core.may(path, "w") then
    return say:warning(text .. ", and whoever asks here may not write there",
      "run hob doctor as root, or as the user that Hob runs as")
  elseif found.free < FREE_LEAST then
    return say:failed(text, free_ourselves)
  elseif found.inodes > 0 and found.inodes_free < INODES_LEAST then
    return say:failed(("%s: %d inodes free of %d"):format(path, found.inodes_free, found.inodes),
      "remove files there: a file system without inodes takes no new file")
  elseif found.free < FREE_LITTLE then
    return say:warning(text, free_ourselves)
  elseif found.inodes > 0 and found.inodes_free < INODES_LITTLE then
    return say:warning(("%s: %d inodes free of %d"):format(path, found.inodes_free, found.inodes),
      "remove files there")
  end
  say:ok(text)
end

local FILES_MAX = 10000

local function output_size(say, dir, limit)
  local names = fs.list(dir)
  if not names then
    return say:info("no program has printed anything yet")
  end
  local bytes = 0
  for i = 1, math.min(#names, FILES_MAX) do
    local stat = fs.stat(dir .. "/" .. names[i])
    bytes = bytes + (stat and stat.size or 0)
  end
  local text = ("%s: %d files, %s"):format(dir, #names, M.size(bytes))
  if limit and bytes > limit + MB then
    return say:warning(("%s, more than output_total = %s"):format(text, M.size(limit)),
      "delete the oldest of them; a running Hob does so by itself")
  end
  say:ok(text)
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.disk(report, about)
  if about.data then
    report:check("disk", "data", function(say) room(say, about.data, true) end)
  end
  report:check("disk", "temporary", function(say)
    room(say, os.getenv("TMPDIR") or "/tmp", true)
  end)
  if about.data and core.may(about.data, "x") then
    report:check("disk", "output", function(say)
      output_size(say, about.data .. "/output", about.values and about.values.output_total)
    end)
  end
end

---------------------------------------------------------------- the store

--- That no new jobs are begun.
---@param say hob.doctor.say
---@param drain { since: integer, who: string, reason: string? }|nil
function M.say_drain(say, drain)
  if type(drain) == "table" then
    say:warning(("no new job is begun since %s: drained by %s%s"):format(
      words.clock(drain.since or 0), drain.who or "?", drain.reason and ": " .. drain.reason or ""),
      "hob drain off")
  end
end

local BEGINS_ANEW = "keep a copy; the next start of hob sets it aside and begins a new one: what "
  .. "ran is then FAILED as STATE_LOST"

local function earlier_damage(say, data)
  local aside = {}
  for _, name in ipairs(fs.list(data) or {}) do
    if name:find("^hob%.db%.damaged%-") and not name:find("%-wal$") and not name:find("%-shm$") then
      aside[#aside + 1] = name
    end
  end
  if aside[1] then
    say:warning(("%s was damaged and set aside as %s"):format(data .. "/hob.db",
      table.concat(aside, ", ")), "find out why (power, flash, memory), then delete it")
  end
end

local function ask_running(say, running)
  local store = running.store or {}
  if store.damaged then
    return say:failed("the running gateway has found it damaged: nothing can be stored any more",
      "restart hob: it sets the file aside and begins a new one")
  elseif store.newer then
    return say:warning("a newer hob wrote it: what ran there is ended, not gone on with",
      "install the newer hob again")
  end
  say:ok(("checked when the gateway started, %s ago; no damage found since"):format(
    words.span(running.uptimeSeconds)))
end

local function look_at_file(say, path, seconds)
  local found, why, code = core.store(path, seconds)
  if found then
    local text = ("%s: sound, %s, %d executions%s"):format(path, M.size(found.bytes),
      found.executions, found.untold > 0 and (", %d outcomes not told yet"):format(found.untold)
      or "")
    if not found.reserve then
      return say:warning(text .. "; the reserve for a full disk is missing",
        "make room: Hob makes it again by itself once there is some")
    end
    say:ok(text)
    return found.drain and M.say_drain(say, json.decode(found.drain))
  elseif code == "ENOENT" then
    return say:info("there is none yet: the first start of hob makes it")
  elseif code == "ESTORE" then
    return say:failed(why, BEGINS_ANEW)
  elseif code == "EBUSY" then
    return say:info(why .. ", and was not asked: it checks the file when it starts")
  end
  say:failed(why, code == "EACCES"
    and "run hob doctor as root, or as the user that Hob runs as" or nil)
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.store(report, about)
  if about.running then
    report:check("store", nil, function(say) ask_running(say, about.running) end)
  elseif about.data then
    report:check("store", nil, function(say)
      if fs.exists(about.data .. "/hob.db.damaged") then
        return say:failed(about.data .. "/hob.db was found damaged while in use", BEGINS_ANEW)
      end
      look_at_file(say, about.data .. "/hob.db", report.timeout)
    end, 1)
  end
  if about.data then
    report:check("store", "earlier", function(say) earlier_damage(say, about.data) end)
  end
end

---------------------------------------------------------------- systemd

local SHOW = "LoadState,UnitFileState,ActiveState,SubState,Result,WatchdogUSec,NRestarts"

local function unit(say, seconds)
  if not fs.exists("/run/systemd/system") then
    return say:info("this machine was not started by systemd")
  end
  local result = exec.run({ "systemctl", "show", "hob.service", "--property=" .. SHOW,
    timeout = seconds })
  if result.code ~= 0 then
    return say:info("systemctl does not answer: " .. (result.stderr or ""))
  end
  local is = {}
  for key, value in result.stdout:gmatch("(%w+)=([^\n]*)") do
    is[key] = value
  end
  local text = ("hob.service is %s (%s), %s, restarted %s times"):format(is.ActiveState or "?",
    is.SubState or "?", is.UnitFileState or "?", is.NRestarts or "?")
  if is.LoadState == "not-found" then
    return say:info("there is no unit hob.service")
  elseif is.ActiveState == "failed" then
    return say:failed(("%s: %s"):format(text, is.Result or ""),
      "journalctl -u hob -n 50 says why; then systemctl restart hob")
  elseif is.UnitFileState ~= "enabled" and is.UnitFileState ~= "static" then
    return say:warning(text .. ": it does not start with the machine", "systemctl enable hob")
  elseif is.WatchdogUSec == "0" or is.WatchdogUSec == "infinity" then
    return say:warning(text .. ", without a watchdog", "add WatchdogSec=60 to its [Service]")
  end
  say:ok(text)
end

---@param report hob.doctor.report
function M.unit(report)
  report:check("unit", nil, function(say) unit(say, report.timeout) end, 1)
end

return M
