---@meta hob.http
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.http
local module = {}

return module
