--- The executables in the handler directory of AWS's own client: who may run them there, and here.
--- Spec: spec/integration/import_spec.lua
local core = require("hob.doctor.core")
local fs = require("hob.fs")

local M = {}

local WANTED = tonumber("700", 8) -- AWS's client runs no other
local OTHERS_WRITE, GROUP_WRITE, ANY_X, OTHERS_RX = 2, 16, 73, 5
local EXEC_USER = "hob"

-- May the user that programs run as start it? Not known if there is none.
local function may_run(stat, user)
  if not user then
    return stat.mode & OTHERS_RX == OTHERS_RX
  elseif user.uid == 0 or user.uid == stat.uid then
    return true
  end
  return stat.mode & OTHERS_RX == OTHERS_RX
end

---@param path string
---@param user table|nil
---@return hob.setup.finding
local function judge(path, stat, user)
  local finding = { what = path, state = "ok", text = ("%04o"):format(stat.mode) }
  local function is(state, text, action)
    finding.state, finding.text, finding.action = state, text, action
    return finding
  end
  if stat.mode & ANY_X == 0 then
    return is("warning", ("%04o: nobody may start it, neither there nor here"):format(stat.mode),
      "chmod 755 " .. path)
  elseif stat.mode & (OTHERS_WRITE | GROUP_WRITE) ~= 0 then
    return is("warning", ("%04o: others than its owner may change what is run here"):format(
      stat.mode), "chmod go-w " .. path)
  elseif not may_run(stat, user) then
    finding.is_closed = true
    return is("warning", ("%04o: only its owner may start it, and Hob runs programs as %s"):format(
      stat.mode, EXEC_USER), ("chmod 755 %s; or, if it needs root, name it in privileged"):format(
      path))
  elseif stat.mode ~= WANTED then
    return is("ok", ("%04o (AWS's client wants 0700, and refuses it; Hob does not)"):format(
      stat.mode))
  end
  return finding
end

--- Look at each file.
---@param dir string
---@return hob.setup.finding[] findings
---@return string[] files  all of them, by their whole names
function M.check(dir)
  local findings, files = {}, {}
  local user = core.uid() == 0 and core.user(EXEC_USER) or core.uid() ~= 0 and { uid = core.uid() }
    or nil
  for _, name in ipairs(fs.list(dir) or {}) do
    local path = dir .. "/" .. name
    local stat = fs.stat(path)
    if stat and stat.type == "file" then
      files[#files + 1] = path
      findings[#findings + 1] = judge(path, stat, user)
    end
  end
  return findings, files
end

--- What the configuration should say of them, as comments for a person to take in.
---@param files string[]
---@return string[] lines
function M.notes(files)
  local lines = { "", "AWS's client runs what a document names as whoever it runs as itself, often",
    "root. Hob runs it as exec_user. What needs root must be named here:" }
  for i, path in ipairs(files) do
    lines[#lines + 1] = (i == 1 and "privileged = { %q," or "               %q,"):format(path)
      .. (i == #files and " }," or "")
  end
  lines[#lines + 1] = ""
  for _, line in ipairs{ "Whom a document may name as runAsUser:", 'users = { "root" },', "",
    "Programs for runCommand, and for handlers that are found through PATH:",
    'commands = { allow = { "systemctl", "apt-get" } },' } do
    lines[#lines + 1] = line
  end
  return lines
end

return M
