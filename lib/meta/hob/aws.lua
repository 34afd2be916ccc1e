---@meta hob.aws
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.aws
local module = {}

return module
