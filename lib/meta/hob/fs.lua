---@meta hob.fs
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.fs
local module = {}

return module
