---@meta hob.testing
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.testing
local module = {}

return module
