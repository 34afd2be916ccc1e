---@meta hob.time
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.time
local module = {}

return module
