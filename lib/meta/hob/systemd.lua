---@meta hob.systemd
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.systemd
local module = {}

return module
