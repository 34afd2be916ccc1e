--- What `hob status`, `hob handlers` and `hob reload` have in common: the handlers of a running
--- gateway.
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local tables = require("hob.cli.table")
local words = require("hob.cli.words")

local M = {}

--- Ask a running gateway for its handlers.
---@param command string  of the control socket
---@param place table     of hob.cli.gateway.find
---@param seconds number?  of patience
---@param members table?   more of the request
---@return table|nil found  the last line, with `handlers` and `modules`
---@return string|nil message
---@return string|nil code  EACCES: it may not be asked
function M.look(command, place, seconds, members)
  local gateway, why, code = gateways.connect(place.socket)
  local found
  local handlers, modules = {}, {}
  local request = { command = command }
  for name, value in pairs(members or {}) do
    request[name] = value
  end
  if gateway then
    found, why, code = gateway:ask(request, function(line)
      handlers[#handlers + 1] = line.handler
      modules[#modules + 1] = line.module
    end, seconds)
    why = code == "ETIMEDOUT" and why .. "; `hob doctor` says what to do" or why
  elseif code == "EACCES" then
    why = why .. "; only root and the user that the gateway runs as may ask it"
  else
    why = why .. "; does a gateway run there? Give its --data DIR or --config FILE"
  end
  if not found then
    return nil, why, code
  end
  found.handlers, found.modules = handlers, modules
  return found
end

--- The same, for the flags of a command of that name; what is wrong is told.
---@param command string
---@param given table     flags
---@param members table?  more of the request
---@return table|nil found
---@return integer|nil code  what to exit with
function M.ask(command, given, members)
  local name = "hob " .. command
  local place, misuse = gateways.find(given)
  if not place then
    return options.mistake(name, "%s", misuse)
  end
  local found, why = M.look(command, place, nil, members)
  if not found then
    io.stderr:write(("%s: %s\n"):format(name, why))
    return nil, 1
  end
  return found
end

--- Its lists as json_text knows them.
---@param found table
function M.mark_lists(found)
  for _, handler in ipairs(found.handlers) do
    handler.names = json_text.list(handler.names or {})
  end
  found.handlers, found.modules = json_text.list(found.handlers), json_text.list(found.modules)
end

local STATES = {
  ok = "ok",
  broken = "broken: its jobs fail",
  last_good = "broken: its last good version is in use",
}

---@param found table
function M.print_handlers(found)
  local rows = {}
  for i, handler in ipairs(found.handlers) do
    local good = handler.state ~= "broken"
    rows[i] = { handler.name, good and handler.digest:sub(1, 12) or "-",
      good and words.clock(handler.loadedAt) or "-",
      STATES[handler.state] .. (handler.path == "C" and ", in C" or "") }
  end
  if rows[1] then
    tables.print({ "HANDLER", "VERSION", "LOADED", "STATE" }, rows)
  else
    print("no handlers")
  end
end

local function say(stream, what, one)
  local used = one.state == "last_good"
    and ("; last good version %s of %s in use"):format(one.digest:sub(1, 12), one.name)
    or ""
  stream:write(("%s %s: %s%s\n"):format(what, one.name, one.error or "broken", used))
end

--- What is broken, with file and line.
---@param stream file*
---@param found table
function M.print_broken(stream, found)
  for _, handler in ipairs(found.handlers) do
    if handler.state ~= "ok" then
      say(stream, "handler", handler)
    end
  end
  for _, module in ipairs(found.modules) do
    say(stream, "module", module)
  end
end

return M
