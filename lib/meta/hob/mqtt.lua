---@meta hob.mqtt
-- Made by `./dev docs` from lib/hob/api.lua, which describes it: change that, not this.

---@type hob.mqtt
local module = {}

return module
