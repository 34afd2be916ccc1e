---@meta hob.log
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.log
local module = {}

return module
