---@meta hob.keys
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.keys
local module = {}

return module
