-- services.lua - what the handlers of services share: which names may be asked for, and how they
-- are started and stopped. Each service is a step: after a power cut it goes on with the next one.

local exec = require("hob.exec")

local M = {}

local NAMES_MAX = 100
local OWN = { hob = true, ["hob.service"] = true }

local function is_name(name)
  return #name <= 255 and name:find("^[%w_][%w_.@:\\-]*$") ~= nil
end

local function read(given)
  local names, seen = {}, {}
  if type(given) ~= "string" and type(given) ~= "table" then
    return nil, "services: expected names, separated by blanks, got " .. type(given)
  end
  for _, text in ipairs(type(given) == "table" and given or { given }) do
    if type(text) ~= "string" then
      return nil, ("services: expected names, got %s among them"):format(type(text))
    end
    for name in text:gmatch("%S+") do
      if not is_name(name) then
        return nil, ("services: %q is not the name of a service"):format(name:sub(1, 80))
      elseif not seen[name] then
        names[#names + 1], seen[name] = name, true
      end
    end
  end
  if #names == 0 or #names > NAMES_MAX then
    return nil, ("services: expected 1 to %d names, got %d"):format(NAMES_MAX, #names)
  end
  return names
end

---Names as a document gives them: "a b", { "a", "b" }, or, as AWS's templates do, { "a b" }.
function M.args(given)
  local names, message = read(given.services)
  return names and { services = names } or nil, message
end

---Is it Hob itself, as the package installs it?
function M.is_own(name)
  return OWN[name] or false
end

-- systemd, or where there is none, the older `service`.
local function command(action, name)
  if exec.run({ "systemctl", "--version" }) then
    return { "systemctl", action, "--", name }
  end
  return { "service", name, action }
end

---For use in a step.
---@param job hob.Job
---@param action "start"|"stop"|"restart"
---@param name string
function M.change(job, action, name)
  local words = command(action, name)
  words.user, words.report = job.user, true
  exec.check(words)
end

---For `doctor`.
function M.doctor()
  if exec.run({ "systemctl", "--version" }) or exec.run({ "service", "--version" }) then
    return true
  end
  return nil, "neither systemctl nor service is on this device"
end

return M
