---@meta hob.json
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.json
local module = {}

return module
