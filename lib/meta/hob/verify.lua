---@meta hob.verify
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.verify
local module = {}

return module
