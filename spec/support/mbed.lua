-- mbed.lua - which mbedTLS this was built with: 3 reads more forms of keys, compares IP addresses,
-- speaks TLS 1.3, and lets no key provider sign with an EC key.

local exec = require("hob.exec")

local M = {}

---@return boolean
function M.is_3()
  local version = exec.check{ "/proc/self/exe", "--version" }.stdout
  return assert(version:match("[Mm]bed ?TLS (%d)%."), version) == "3"
end

return M
