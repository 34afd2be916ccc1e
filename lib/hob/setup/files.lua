--- The files of a thing's identity: can they be read, are they what they should be, do they belong
--- together, and who else may read the key.
--- Spec: spec/integration/init_spec.lua
local core = require("hob.doctor.core")
local fs = require("hob.fs")

local M = {}

local OTHERS = tonumber("077", 8)

---@class hob.setup.finding
---@field state "ok"|"warning"|"failed"
---@field what string    "cert", "key", "ca"
---@field text string
---@field action string?

--- A file that can be read; the words of the system if not.
---@param path string
---@return true|nil
---@return string|nil message
function M.readable(path)
  local stat, why = fs.stat(path)
  if not stat then
    return nil, why
  elseif stat.type ~= "file" then
    return nil, path .. ": is no file"
  elseif not core.may(path, "r") then
    return nil, path .. ": may not be read by this user; run it as root"
  end
  return true
end

--- What one of them must be.
---@param what "ca"|"cert"|"key"
---@param path string
---@return true|nil
---@return string|nil message
function M.check_one(what, path)
  local ok, why = M.readable(path)
  if not ok then
    return nil, why
  elseif what ~= "key" then
    local list
    list, why = core.certificates(path)
    return list and true, why
  end
  local text
  text, why = fs.read(path)
  if text and not text:find("%-BEGIN [%u ]*PRIVATE KEY%-") then
    return nil, path .. ": is no private key in PEM form" .. (text:find("%-BEGIN CERTIFICATE%-")
      and ", but a certificate" or "")
  end
  return text and true, why
end

--- Whether others than its owner may read the key.
---@param path string
---@return integer|nil mode  nil: nobody
function M.open_to_others(path)
  local stat = fs.stat(path)
  return stat and stat.mode & OTHERS ~= 0 and stat.mode or nil
end

local function check_key_mode(path, fix)
  local mode = M.open_to_others(path)
  if not mode then
    return nil
  elseif fix then
    local ok, why = fs.chmod(path, "600")
    return { what = "key", state = ok and "ok" or "failed", text = ok
      and ("%s had the mode %04o, and now 0600"):format(path, mode) or why }
  end
  return { what = "key", state = "warning",
    action = ("chmod 600 %s (or --fix does it)"):format(path),
    text = ("%s has the mode %04o: others than its owner may read the private key"):format(path,
      mode) }
end

--- Everything about them; what is fine is said, too.
---@param files { ca: string, cert: string, key: string }
---@param fix boolean?  set the key's mode right
---@return hob.setup.finding[] findings
---@return boolean usable  nothing failed
function M.check(files, fix)
  local findings, usable = {}, true
  local function find(finding)
    findings[#findings + 1] = finding
    usable = usable and finding.state ~= "failed"
  end
  for _, what in ipairs{ "ca", "cert", "key" } do
    local ok, why = M.check_one(what, files[what])
    find(ok and { state = "ok", what = what, text = files[what] }
      or { state = "failed", what = what, text = why })
  end
  if usable then
    local ok, why = core.tls_files({ ca = files.ca, cert = files.cert, key = files.key })
    find(ok and { state = "ok", what = "key", text = "the key belongs to the certificate" }
      or { state = "failed", what = "key", text = why })
    local mode = check_key_mode(files.key, fix)
    if mode then
      find(mode)
    end
  end
  return findings, usable
end

return M
