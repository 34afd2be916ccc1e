---@meta hob.scripts
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.scripts
local module = {}

return module
