--- One request to a running gateway, for commands that need one: `hob drain`, `hob cancel`,
--- `hob retry-report`.
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")

local M = {}

--- `flags` and those that say which gateway is meant.
---@param flags table<string, hob.cli.flag>
---@return table<string, hob.cli.flag>
function M.flags(flags)
  for name, flag in pairs(gateways.FLAGS) do
    flags[name] = flag
  end
  return flags
end

--- What of the usage describes them.
M.USAGE = [==[
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket
]==]

--- Ask; what does not work is told.
---@param command string  as the person wrote it: "hob drain"
---@param given table     flags
---@param request table
---@param each fun(line: table)?
---@param seconds number?  how long to wait for each line
---@return table|nil last
---@return integer|nil code  what to exit with
function M.ask(command, given, request, each, seconds)
  local place, misuse = gateways.find(given)
  if not place then
    return options.mistake(command, "%s", misuse)
  end
  local gateway, why, code = gateways.connect(place.socket)
  local last
  if gateway then
    last, why, code = gateway:ask(request, each or function() end, seconds)
    why = code == "ETIMEDOUT" and why .. "; `hob doctor` says what to do" or why
  elseif code == "EACCES" then
    why = why .. "; only root and the user that the gateway runs as may ask it"
  else
    why = why .. "; does a gateway run there? Give its --data DIR or --config FILE"
  end
  if not last then
    io.stderr:write(("%s: %s\n"):format(command, why))
    return nil, 1
  end
  return last
end

--- Flags that name an execution, beside those of `flags`.
---@return table<string, hob.cli.flag>
function M.execution_flags()
  return M.flags({ json = {}, thing = { value = "T" },
    execution = { value = "N", low = 1, high = 1 << 53 } })
end

--- Ask about an execution, as M.ask; with --json the answer is printed.
---@param name string  of the control socket's command, and of `hob NAME`
---@param given table  flags, of M.execution_flags
---@return table|nil last
---@return integer|nil code  what to exit with
function M.about_execution(name, given)
  local last, code = M.ask("hob " .. name, given, { command = name, jobId = given[1],
    thing = given.thing, executionNumber = given.execution })
  if last and given.json then
    last["end"] = nil
    print(json_text.encode(last))
  end
  return last, code
end

return M
