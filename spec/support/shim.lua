-- shim.lua - hob_shim.so (shim.c) between a gateway of spec.support.world and the kernel: it writes
-- down the points of a job's way, kills the gateway at one of them, counts what goes to flash, and
-- breaks the data directory's file system.
--
--     local shim = require("spec.support.shim")
--     local gateway = world:gateway{ launch = false, scripts = {...} }
--     local spy = shim.on(gateway)
--     spy:arm{ kill = "commit before 3" }      -- each launch from now on
--     gateway:launch():wait_end()
--     spy:points("publish")                    -- { {kind=, n=, call=, detail=} ... }
--     spy:disarm()                             -- launches without it from now on
--     spy:break_disk("ENOSPC"); spy:mend_disk()
--
-- It reads MQTT on the wire, so the world must be one without TLS. See shim.c for the kinds.

local exec = require("hob.exec")
local fs = require("hob.fs")
local process = require("hob.process")

local M = {}

local function read_process(name)
  return fs.read(("/proc/%d/%s"):format(process.pid(), name)) or ""
end

local function library()
  local program = exec.check({ "readlink", ("/proc/%d/exe"):format(process.pid()) }).stdout
  local path = program:match("^(.*)/[^/]*$") .. "/modules/hob_shim.so"
  assert(fs.stat(path), path .. " is missing: it is built with HOB_SPEC_MODULE")
  return path
end

-- A sanitizer's runtime wants to be first; the specs run in the same program as the gateway.
local function preload()
  local sanitizer = read_process("maps"):match("(/[^%s]*/libasan%.so[^%s]*)")
  return (sanitizer and sanitizer .. " " or "") .. library()
end

---@return boolean
function M.is_sanitized()
  return read_process("maps"):find("/libasan.so", 1, true) ~= nil
end

---@class shim
local shim = {}
shim.__index = shim

---@param gateway table  of spec.support.world, not launched yet
---@return shim
function M.on(gateway)
  M.preload = M.preload or preload()
  local data = exec.check({ "readlink", "-f", gateway.dir }).stdout:gsub("\n$", "") .. "/data"
  return setmetatable({ gateway = gateway, data = data, log = gateway.dir .. "/shim.log",
    fault = gateway.dir .. "/shim.fault" }, shim)
end

-- AddressSanitizer's own log file is opened before a preloaded library is ready, which ends the
-- process; a report is then among the gateway's lines, and its exit status is the sanitizer's.
function M.sanitizer_options()
  return (os.getenv("ASAN_OPTIONS") or "") .. ":log_path=stderr"
end

---@class shim.options
---@field kill? string    "commit before 3", "publish after 2", "call - 412", "usec - 3500"
---@field power? boolean  what was not synced is lost with the process

---@param options? shim.options
function shim:arm(options)
  options = options or {}
  fs.remove(self.log)
  self.gateway.env = {
    LD_PRELOAD = M.preload, HOB_SHIM_DATA = self.data, HOB_SHIM_LOG = self.log,
    HOB_SHIM_FAULT = self.fault, HOB_SHIM_KILL = options.kill or "",
    HOB_SHIM_POWER = options.power and "1" or nil,
    ASAN_OPTIONS = M.is_sanitized() and M.sanitizer_options() or nil,
  }
end

function shim:disarm()
  self.gateway.env = nil
end

local function parse(line)
  local kind, n, call, detail = line:match("^(%l+) (%d+) @(%d+) ?(.*)$")
  if kind then
    return { kind = kind, n = tonumber(n), call = tonumber(call), detail = detail }
  end
  return { kind = "killed", detail = line }
end

---What was written down since it was armed: all, or of one kind.
---@param kind? string  "commit", "publish", "accepted", "write" (n: bytes), "sync", "refused" (n:
---  errno), "killed"
function shim:points(kind)
  local list = {}
  for line in (fs.read(self.log) or ""):gmatch("[^\n]+") do
    local point = parse(line)
    if not kind or point.kind == kind then
      list[#list + 1] = point
    end
  end
  return list
end

---Has the shim ended the process?
function shim:has_killed()
  return #self:points("killed") > 0
end

---@param code "ENOSPC"|"EROFS"|"EIO"
function shim:break_disk(code)
  assert(fs.write(self.fault, code))
end

function shim:mend_disk()
  assert(fs.remove(self.fault))
end

---Bytes written and syncs made below the data directory so far.
---@return integer bytes, integer syncs
function shim:flash()
  local bytes = 0
  for _, point in ipairs(self:points("write")) do
    bytes = bytes + point.n
  end
  return bytes, #self:points("sync")
end

return M
