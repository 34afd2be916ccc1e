---@meta hob.cloud
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.cloud
local module = {}

return module
