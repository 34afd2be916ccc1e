-- shipped.lua - a gateway that has the handlers of scripts/, on a machine where apt-get, systemctl
-- and the like only write down how they were called.
--
--     local machine = require("spec.support.shipped").new({ config = { users = { "root" } } })
--     machine:fake("systemctl", 'case "$1" in start) exit 0;; esac')
--     local execution = machine:run('{"operation":"start-services","services":"a"}')
--     assert.equal("systemctl [start] [--] [a]", machine:calls("systemctl")[1])
--     machine:stop()
--
-- PATH has nothing but the fakes and a few harmless programs; handler_dir is `machine.handlers`.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local templates = require("hob.service.documents.templates")
local worlds = require("spec.support.world")

local M = {}
M.__index = M

local REAL = { "cat", "cp", "date", "echo", "env", "false", "id", "kill", "mkdir", "mv", "pwd",
  "rm", "sh", "touch", "true", "wc" }

-- Every call is a line: "NAME [argument] [argument]".
local FAKE = [[
#!/bin/sh
{ printf '%%s' '%s'; for a in "$@"; do printf ' [%%s]' "$a"; done; echo; } >> '%s'
%s
]]

-- Another boot id, and the process that asked for it is gone.
local REBOOT = [[
#!/bin/sh
echo "boot-$$" > '%s'
echo reboot >> '%s'
kill -9 $PPID
]]

---@return table<string, string>  every file of scripts/ and scripts/lib/
function M.scripts()
  local scripts = {}
  for _, name in ipairs(assert(fs.list("scripts"))) do
    if name:find("%.lua$") then
      scripts[name] = assert(fs.read("scripts/" .. name))
    end
  end
  for _, name in ipairs(assert(fs.list("scripts/lib"))) do
    scripts["lib/" .. name] = assert(fs.read("scripts/lib/" .. name))
  end
  return scripts
end

---Put them into a directory, which is made.
---@param dir string
function M.put(dir)
  assert(fs.mkdir(dir .. "/lib"))
  for name, text in pairs(M.scripts()) do
    assert(fs.write(dir .. "/" .. name, text))
  end
end

local function executable(path, text)
  assert(fs.write(path, text))
  assert(fs.chmod(path, tonumber("755", 8)))
end

local function place(self, options)
  for _, dir in ipairs({ self.bin, self.handlers }) do
    assert(fs.mkdir(dir))
  end
  for _, name in ipairs(REAL) do
    exec.check({ "ln", "-s", exec.check({ "which", name }).stdout:gsub("\n$", ""),
      self.bin .. "/" .. name })
  end
  for name, body in pairs(options.fakes or {}) do
    self:fake(name, body)
  end
  assert(fs.write(self.boot, "boot-1\n"))
  executable(self.reboot, REBOOT:format(self.boot, self.log))
  assert(fs.write(self.log, ""))
end

---The user of this process, whom any gateway here may run programs as.
function M.me()
  return (exec.check({ "id", "-un" }).stdout:gsub("\n$", ""))
end

---@class shipped.options
---@field config? table
---@field fakes? table<string, string>    name -> rest of a shell script
---@field scripts? table<string, string>  beside those of scripts/
---@field without_handler_dir? boolean
---@field privileged? string[]            handlers in the handler directory

---@param options? shipped.options
function M.new(options)
  options = options or {}
  local world = worlds.start({ tls = false })
  local self = setmetatable({ world = world, count = 0, log = world:path("calls"),
    bin = world:path("bin"), handlers = world:path("handlers"), boot = world:path("boot"),
    reboot = world:path("reboot"), there = world:path("there") }, M)
  assert(fs.chmod(world.dir, tonumber("711", 8))) -- for programs of another user
  assert(fs.mkdir(self.there))
  place(self, options)
  local config = { boot_id_file = self.boot, reboot_command = { self.reboot }, reboot_wait = 1,
    handler_dir = not options.without_handler_dir and self.handlers or nil }
  config.privileged = {}
  for i, name in ipairs(options.privileged or {}) do
    config.privileged[i] = self.handlers .. "/" .. name
  end
  for key, value in pairs(options.config or {}) do
    config[key] = value
  end
  local scripts = M.scripts()
  for name, text in pairs(options.scripts or {}) do
    scripts[name] = text
  end
  self.gateway = world:gateway({ scripts = scripts, config = config, env = { PATH = self.bin } })
  self.gateway:wait_event("jobs.subscribed")
  return self
end

---A program in PATH that writes down its arguments, and then is a shell script.
function M:fake(name, body)
  executable(self.bin .. "/" .. name, FAKE:format(name, self.log, body or ""))
end

function M:remove(name)
  assert(fs.remove(self.bin .. "/" .. name))
end

---An executable in the handler directory.
function M:handler(name, text)
  local path = self.handlers .. "/" .. name
  assert(fs.write(path, text))
  assert(fs.chmod(path, tonumber("700", 8)))
  return path
end

---How the fakes were called, oldest first; of one of them only, if `name` is given.
---@return string[]
function M:calls(name)
  local lines = {}
  for line in assert(fs.read(self.log)):gmatch("[^\n]+") do
    if not name or line:match("^%S+") == name then
      lines[#lines + 1] = line
    end
  end
  return lines
end

function M:forget_calls()
  assert(fs.write(self.log, ""))
end

---@param document string|table
---@return string id
function M:create(document)
  self.count = self.count + 1
  local id = "job-" .. self.count
  self.world:create(id, type(document) == "table" and json.encode(document) or document)
  return id
end

---Create a job, and wait for its end.
---@return table execution
function M:run(document)
  return self.world:ended(self:create(document))
end

---The document that AWS makes of one of its templates: what is not given arrives as "".
---@param name string  "AWS-Reboot"
---@param parameters? table<string, string>
---@return string document
function M.managed(name, parameters)
  local arn = ("arn:aws:iot:eu-central-1::jobtemplate/%s:1.0"):format(name)
  local text = assert(templates.find(arn), name).document
  return (text:gsub('"%${aws:iot:parameter:(%w+)}"', function(key)
    return json.encode((parameters or {})[key] or "")
  end))
end

function M:stop()
  self.world:stop()
end

return M
