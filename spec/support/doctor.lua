-- doctor.lua - `hob doctor` for specs: run it on a gateway's configuration, find what it found.
--
--     local desk = require("spec.support.doctor").new(world)
--     local one = desk:gateway({ port = 1 })               -- not launched
--     local found = desk:doctor("--config", one.config)    -- its JSON, and `code` and `text`
--     desk.expect(desk.the(found, "tcp"), "failed", "connection refused", "check port")

local exec = require("hob.exec")
local json = require("hob.json")
local worlds = require("spec.support.world")

local M = {}

M.GOOD = "return { api = 1, run = function() end }\n"
M.PREFIX = "$aws/things/gw-1/jobs/"
M.FILTERS = { "notify-next", "notify", "get/+", "start-next/+", "+/get/+", "+/update/+" }

local desk = {}
desk.__index = desk

---@param world table  of spec.support.world
function M.new(world)
  local self = setmetatable({ world = world }, desk)
  -- Ends late enough to be no warning.
  self.good = world.pki and world.pki:issue({ cn = "gw-1", san = {}, days = 90 })
  return self
end

---A gateway that is not started.
---@param config? table
---@param scripts? table<string, string>
function desk:gateway(config, scripts)
  local values = self.good and { cert = self.good.cert, key = self.good.key } or {}
  for key, value in pairs(config or {}) do
    values[key] = value
  end
  return self.world:gateway({ scripts = scripts or { ["good.lua"] = M.GOOD }, config = values,
    launch = false })
end

---@param options string[]  its flags; `env`, `user` and `program` beside them
function desk.run(options)
  return exec.run({ options.program or worlds.hob(), "doctor", env = options.env,
    user = options.user, timeout = worlds.PATIENCE * 2, table.unpack(options) })
end

---What it found, by JSON; the exit status fits to it.
---@param ... any  flags, or a table of them as for `run`
function desk.doctor(_, ...)
  local options = type(...) == "table" and ... or { ... }
  options[#options + 1] = "--json"
  local result = desk.run(options)
  local found = json.decode(result.stdout)
  assert(type(found) == "table", result.stdout .. result.stderr)
  found.code, found.text = result.code, result.stdout
  assert(found.ok == (found.failed == 0) and result.code == (found.ok and 0 or 1),
    ("status %s: %s%s"):format(result.code, result.stdout, result.stderr))
  return found
end

---The environment of a machine in a bad way: see shim_machine.c.
---@param env table<string, string>
function desk.machine(env)
  env.LD_PRELOAD = worlds.hob():match("^(.*)/[^/]*$") .. "/modules/hob_shim_machine.so"
  return env
end

---@return table[] findings  of a check
function desk.all_of(found, check, subject)
  local list = {}
  for _, finding in ipairs(found.checks) do
    if finding.check == check and (not subject or finding.subject == subject) then
      list[#list + 1] = finding
    end
  end
  return list
end

---The one finding of a check.
function desk.the(found, check, subject)
  local list = desk.all_of(found, check, subject)
  assert(#list == 1, ("%d findings of %s: %s"):format(#list, check, found.text))
  return list[1]
end

function desk.expect(finding, state, text, action)
  local fits = finding and finding.state == state and finding.text:find(text, 1, true)
    and (not action or (finding.action or ""):find(action, 1, true))
  if not fits then
    error(("expected %s, %q, %q; got %s"):format(state, text, tostring(action),
      json.encode(finding)), 2)
  end
end

---Names of the checks that failed.
function desk.failed_of(found)
  local names = {}
  for _, finding in ipairs(found.checks) do
    if finding.state == "failed" then
      names[#names + 1] = finding.check
    end
  end
  return names
end

return M
