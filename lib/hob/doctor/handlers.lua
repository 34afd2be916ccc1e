--- `hob doctor`: does each handler load, and what does its own `doctor` say?
local core = require("hob.doctor.core")
local places = require("hob.handler.place")

local M = {}

local MORE = 6 -- seconds in which the programs of a doctor that is late are ended

local function ask(say, handlers, handler, seconds)
  local state, message = handlers:ask(handler.name, seconds)
  local digest = (handler.digest or ""):sub(1, 12)
  if state == "ok" then
    say:ok(("loads (%s); its doctor: %s"):format(digest, message ~= "" and message or "ok"))
  elseif state == "none" then
    say:ok(("loads (%s); it has no doctor"):format(digest))
  elseif state == "late" then
    say:failed(("its doctor: %s"):format(message), "--timeout SECONDS gives it longer; else mend "
      .. "the doctor of " .. handler.path)
  elseif state == "no" then -- a device need not do every kind of job
    say:warning(("its doctor: %s; until then jobs for it fail"):format(message),
      ("what it says, if this device is to do jobs for %s"):format(handler.name))
  else
    say:failed("its doctor: " .. message, "mend the doctor of " .. handler.path)
  end
end

-- What the running gateway goes on with in place of a file that is broken by now.
local function in_use(running, name)
  for _, handler in ipairs(running and running.handlers or {}) do
    if handler.name == name and handler.state == "last_good" then
      return "; the running gateway goes on with its last good version, "
        .. (handler.digest or ""):sub(1, 12)
    end
  end
  return "; its jobs FAIL"
end

-- One that requires what a product has in C loads only inside of the product.
local function loads_there(running, here)
  for _, handler in ipairs(running and running.handlers or {}) do
    if handler.name == here.name and handler.digest == here.digest then
      return handler.state == "ok"
    end
  end
  return false
end

---@param report hob.doctor.report
---@param about hob.doctor.about
function M.check(report, about)
  local handlers = report:check("handlers", nil, function(say)
    local found, why = core.handlers(about.config, places.lib())
    if not found then
      return say:failed(why, "set scripts to the directory of the handlers")
    end
    local list = found:list()
    say:ok(("%d in %s"):format(#list, (about.scripts:gsub("\n", ", "))))
    return found
  end)
  if not handlers then
    return
  end
  local list, modules = handlers:list()
  for _, handler in ipairs(list) do
    report:check("handler", handler.name, function(say)
      if handler.error and loads_there(about.running, handler) then
        return say:ok(("loads in the running gateway (%s), though not here: %s"):format(
          handler.digest:sub(1, 12), handler.error))
      elseif handler.error then
        return say:failed(handler.error .. in_use(about.running, handler.name),
          "hob handler lint says all that is wrong; hob reload takes the mended file")
      end
      if handler.note then
        say:warning(handler.note, "mend " .. handler.path)
      end
      ask(say, handlers, handler, report:left())
    end, MORE)
  end
  for _, module in ipairs(modules) do
    report:check("module", module.name, function(say)
      say:failed(module.error, "mend " .. (module.path or "it"))
    end)
  end
end

return M
