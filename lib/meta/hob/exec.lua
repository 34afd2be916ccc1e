---@meta hob.exec
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.exec
local module = {}

return module
