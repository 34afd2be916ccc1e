-- lives.lua - a world with one gateway whose handlers write down what they do, for specs of how an
-- execution lives and ends: each line of `marks` is one thing that happened on the device.
--
--     local life = require("spec.support.lives").new({ config = { cleanup_timeout = 1 } })
--     life:create("job", "endless")
--     life:wait_marks("first wait ")
--     life:cancel("job")
--     life:wait_marks("first wait cleanup:cancelled:CANCELLED:wait ")
--     life:stop()

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local M = {}
M.__index = M

-- What every handler below begins with: `mark(text)`, and `hold()` until the file `go` is there.
local HEAD = [[
  local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
  local MARKS, GO = "@marks", "@go"
  local function mark(text) assert(fs.append(MARKS, text .. " ")) end
  local function hold() while not fs.stat(GO) do time.sleep(0.01) end end
  local function cleanup(_, _, why)
    mark(("cleanup:%s:%s:%s"):format(why.kind, why.code, why.step == "" and "-" or why.step or "-"))
  end
  local ARGS = { mode = "string?", pid = "string?" }
]]

-- Ends only when it is told to, in its second step.
M.ENDLESS = [[
  return { api = 1, args = ARGS, cleanup = cleanup, run = function(job, args)
    job:step("first", function() mark("first") end)
    job:step("wait", function() mark("wait") hold() end)
    mark("end")
  end }
]]

-- A child that ignores TERM, in a step.
M.STUBBORN = [[
  return { api = 1, args = ARGS, cleanup = cleanup, run = function(job, args)
    job:step("child", function()
      mark("child")
      exec.run{ "sh", "-c", "trap '' TERM; echo $$ >" .. args.pid .. "; exec sleep 1000",
        grace = 0.3 }
    end)
  end }
]]

-- Says whether that child is still there when it begins.
M.NEXT = [[
  return { api = 1, args = ARGS, run = function(job, args)
    local pid = args.pid and fs.read(args.pid):match("%d+")
    mark("next:" .. (pid and fs.stat("/proc/" .. pid) and "beside" or "alone"))
  end }
]]

local SCRIPTS = { ["endless.lua"] = M.ENDLESS, ["stubborn.lua"] = M.STUBBORN,
  ["next.lua"] = M.NEXT }

---@class lives.options
---@field config? table
---@field scripts? table<string, string>
---@field world? table
---@field launch? boolean

---@param options? lives.options
function M.new(options)
  options = options or {}
  local settings = options.world or {}
  settings.tls = false
  local self = setmetatable({ world = worlds.start(settings), sent = {} }, M)
  self.marks_path, self.go_path = self.world:path("marks"), self.world:path("go")
  self.boot_path = self.world:path("boot-id")
  assert(fs.write(self.marks_path, ""))
  self:boot("boot-1")
  local scripts, config = {}, { boot_id_file = self.boot_path, reboot_command = { "true" } }
  for _, list in ipairs({ SCRIPTS, options.scripts or {} }) do
    for name, text in pairs(list) do
      scripts[name] = self:handler(text)
    end
  end
  for key, value in pairs(options.config or {}) do
    config[key] = value
  end
  self:listen()
  self.gateway = self.world:gateway({ scripts = scripts, config = config,
    launch = options.launch })
  if options.launch ~= false then
    self.gateway:wait_event("jobs.subscribed")
  end
  return self
end

---A handler's whole text.
function M:handler(text)
  local head = HEAD:gsub("@(%l+)", { marks = self.marks_path, go = self.go_path })
  return head .. text
end

-- A version that no execution has: such an update only asks for the present state.
local NO_VERSION = 1 << 30

-- Notes every update that tells the service something.
function M:listen()
  self.world:before(function(topic, request)
    local job = topic:match("/jobs/([^/]+)/update$")
    if job and request.expectedVersion ~= NO_VERSION then
      local details = request.statusDetails or {}
      self.sent[#self.sent + 1] = { job = job, status = request.status, details = details,
        minutes = request.stepTimeoutInMinutes }
    end
    if self.on_request then
      self.on_request(topic, request)
    end
  end)
end

---"IN_PROGRESS; IN_PROGRESS rebooting: now; SUCCEEDED": what was sent of a job.
function M:said(job)
  local list = {}
  for _, update in ipairs(self.sent) do
    if update.job == job then
      local progress = update.details.progress
      list[#list + 1] = update.status .. (progress and " " .. progress or "")
    end
  end
  return table.concat(list, "; ")
end

---The machine was booted: another boot id from now on.
function M:boot(id)
  assert(fs.write(self.boot_path, id .. "\n"))
end

---As a power cut is: the process is gone, and the next one finds another boot.
function M:power_cut()
  self.gateway:kill()
  self.boots = (self.boots or 1) + 1
  self:boot("boot-" .. self.boots)
end

function M:create(id, operation, arguments)
  local document = { operation = operation }
  for key, value in pairs(arguments or {}) do
    document[key] = value
  end
  self.world:create(id, json.encode(document))
end

function M:marks()
  return fs.read(self.marks_path)
end

function M:wait_marks(text)
  local ok = pcall(wait_until, function() return self:marks() == text end, worlds.PATIENCE, "")
  if not ok then
    error(("expected the marks %q, got %q; %s"):format(text, self:marks(), self.world:explain()), 2)
  end
end

---Let go what holds.
function M:go()
  assert(fs.write(self.go_path, ""))
end

---The service cancels the execution, though it is IN_PROGRESS.
function M:cancel(id)
  self.world:control("cancel_job_execution", "gw-1", id, {}, true, time.now())
end

---Change an execution in the service; of what is published because of it only topics that match.
---@param pattern string  "" for all, "^$" for none
function M:change(pattern, method, ...)
  local arguments = table.pack(...)
  local world = self.world
  world.turns:run(function()
    local engine, kept = world.engine, {}
    local _, out = engine[method](engine, table.unpack(arguments, 1, arguments.n))
    for _, message in ipairs(out or {}) do
      if message.topic:find(pattern) then
        kept[#kept + 1] = message
      end
    end
    world.side:settle(kept)
  end)
end

---Wait for its outcome here. @return the log event `job.finished`
function M:finished(id)
  return self.gateway:wait_event("job.finished", { job = id })
end

---What the store knows of an execution. The gateway must not run.
function M:row(id)
  local out = exec.check({ "sqlite3", "-json", self.gateway.dir .. "/data/hob.db",
    ("select * from execution where job_id = '%s'"):format(id) })
  return json.decode(out.stdout)[1]
end

---Change what the store knows, likewise.
function M:sql(text)
  exec.check({ "sqlite3", self.gateway.dir .. "/data/hob.db", text })
end

---Does the process run, whose id is in that file? Dead ones that nobody has waited for do not.
function M.runs(path)
  local pid = fs.read(path)
  local stat = pid and fs.read(("/proc/%s/stat"):format(pid:match("%d+")))
  return stat ~= nil and not stat:find("%) Z ")
end

---Wait for the id of a process in a file.
function M.wait_pid(path)
  return wait_until(function()
    local text = fs.read(path)
    return text and text:match("^(%d+)\n")
  end, worlds.PATIENCE, "a process id in " .. path)
end

function M:stop()
  self.world:stop()
end

return M
