-- exec_user.lua - whom the programs of jobs run as in specs and in the demo, for the key exec_user:
-- as root Hob wants a user that is there, and nothing may depend on which ones the machine has.

local exec = require("hob.exec")

local M = {}

---@return string?  nil: this is not root, and Hob runs everything as itself
function M.name()
  M.id = M.id or exec.check({ "id", "-u" }).stdout
  return M.id == "0\n" and "root" or nil
end

return M
