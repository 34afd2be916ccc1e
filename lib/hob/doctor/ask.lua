-- ask.lua - a handler's own `doctor`, called in a throw-away sandbox as its jobs' code is: see
-- bindings/lua_doctor_handler.c. Spec: spec/integration/doctor_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local load, tostring, type = load, tostring, type

local function words_of(message)
  return type(message) == "table" and tostring(message.message or message)
    or message ~= nil and tostring(message) or nil
end

---@param path string    as errors name it
---@param source string
---@return string state  "ok", "none" (it has no doctor), "no" (it says no) or "failed"
---@return string message
function M.run(path, source)
  local chunk = load(source, "@" .. path, "t")
  local handler = chunk()
  if not handler.doctor then
    return "none", ""
  end
  local well, message = handler.doctor()
  if well == true then
    return "ok", words_of(message) or ""
  elseif well then
    return "failed", "its doctor gave " .. type(well) .. ": expected true, or nil and what to do"
  end
  return "no", words_of(message) or "its doctor gave no reason: expected true, or nil and "
    .. "what to do"
end

return M
