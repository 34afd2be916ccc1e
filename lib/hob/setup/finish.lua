--- The end of every command that makes a configuration: it is put in place, `hob doctor` looks at
--- it, and what came of both is told, in words or as JSON.
local config_file = require("hob.setup.config")
local doctor = require("hob.cli.doctor")
local json_text = require("hob.service.json_text")

local M = {}

---@class hob.setup.result
---@field command string            as the person wrote it: "hob init"
---@field config string
---@field text string               what is to be in it
---@field force boolean?
---@field offline boolean?
---@field json boolean?
---@field on_put fun()?             the configuration is in place
---@field members table             of the JSON object, beside those that are added here

local HINT = "nothing was changed; --force replaces it (the old one is kept as %s.old)"

local function tell_differs(result, changes)
  io.stdout:write(("%s is there already and is another one: %s\n"):format(result.config,
    HINT:format(result.config)))
  for _, line in ipairs(changes) do
    io.stdout:write("  ", line, "\n")
  end
end

local function print_json(result, done, more, members)
  local out = result.members
  out.config, out.written = result.config, done == "written"
  out.ok = members ~= nil and members.ok
  out.doctor = members
  if done == "differs" then
    out.changes = json_text.list(more)
    out.message = result.config .. " is there already and is another one: "
      .. HINT:format(result.config)
  elseif not done then
    out.message = more
  end
  print(json_text.encode(out))
end

--- What stopped a command before a configuration could be written.
---@param result hob.setup.result
---@param message string
---@return integer code
function M.fail(result, message)
  if result.json then
    result.members.ok, result.members.written, result.members.message = false, false, message
    print(json_text.encode(result.members))
  end
  io.stderr:write(("%s: %s\n"):format(result.command, message))
  return 1
end

---@param result hob.setup.result
---@return integer code
function M.finish(result)
  local done, more = config_file.put(result.config, result.text, result.force)
  if not done then
    return M.fail(result, more)
  elseif done == "differs" then
    if result.json then
      print_json(result, done, more)
    else
      tell_differs(result, more)
    end
    return 1
  end
  if result.on_put then
    result.on_put()
  end
  if not result.json then
    io.stdout:write(done == "written" and "wrote " or "is as it should be: ", result.config,
      "\n\n")
    io.stdout:flush()
  end
  local well, members = doctor.examine({ config = result.config, offline = result.offline },
    result.json)
  if result.json then
    print_json(result, done, more, members)
  end
  return well and 0 or 1
end

return M
