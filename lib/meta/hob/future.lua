---@meta hob.future
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.future
local module = {}

return module
