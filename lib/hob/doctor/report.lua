--- What `hob doctor` finds: one finding for each check, as it is made. A check that raises, or
--- takes longer than it may, is a finding itself and holds up none of the others.
---
---     local report = reports.new({ timeout = 5, total = 60, hear = print_it })
---     report:check("clock", nil, function(say)
---       say:warning("not synchronised", "timedatectl set-ntp true")
---     end)
local core = require("hob.doctor.core")
local time = require("hob.time")

local M = {}

---@class hob.doctor.finding
---@field check string     what was looked at: "certificate"
---@field subject string?  of which thing, file or handler
---@field state "ok"|"info"|"warning"|"failed"
---@field text string
---@field action string?   what to do
---@field seconds number   how long it took

---@class hob.doctor.say  one finding for each call
local say = {}
say.__index = say

local function add(self, state, text, action)
  local now = time.mono()
  self.report:add({ check = self.check, subject = self.subject, state = state, text = text,
    action = action, seconds = now - self.began })
  self.began = now
end

function say:ok(text) add(self, "ok", text) end
--- What is worth knowing and neither right nor wrong; or why something was not looked at.
function say:info(text, action) add(self, "info", text, action) end
function say:warning(text, action) add(self, "warning", text, action) end
function say:failed(text, action) add(self, "failed", text, action) end

--- The same check, of something else.
---@param subject string|nil
function say:of(subject)
  self.subject = subject
  return self
end

---@class hob.doctor.report
---@field timeout number   seconds of one check
---@field findings hob.doctor.finding[]
local report = {}
report.__index = report

---@param options { timeout: number, total: number, hear: fun(finding: hob.doctor.finding) }
---@return hob.doctor.report
function M.new(options)
  return setmetatable({ timeout = options.timeout, total = options.total, hear = options.hear,
    deadline = time.mono() + options.total, findings = {}, counts = { ok = 0, info = 0,
    warning = 0, failed = 0 } }, report)
end

---@param finding hob.doctor.finding
function report:add(finding)
  finding.text = finding.text:gsub("%s*[\r\n]+%s*", " | "):gsub("%c", "?")
  self.findings[#self.findings + 1] = finding
  self.counts[finding.state] = self.counts[finding.state] + 1
  self.hear(finding)
end

--- How long something may still take.
---@return number seconds
function report:left()
  return math.min(self.timeout, self.deadline - time.mono())
end

--- Look at one thing.
---@param check string
---@param subject string|nil
---@param look fun(say: hob.doctor.say): ...   finds what it finds; what it returns is given back
---@param more number?  seconds beyond the timeout, for one that keeps to it itself
---@return ...
function report:check(check, subject, look, more)
  local here = setmetatable({ report = self, check = check, subject = subject,
    began = time.mono() }, say)
  local left = self:left()
  if left <= 0 then
    here:warning(("not looked at: all checks together have taken %d s"):format(self.total),
      "look at what took so long above, or give --timeout SECONDS")
    return nil
  end
  local results = table.pack(core.within(left + (more or 0), function()
    return look(here)
  end))
  if results[1] == true then
    return table.unpack(results, 2, results.n)
  elseif results[1] == nil then
    here:failed(("no answer within %g s"):format(left), "--timeout SECONDS gives it longer")
  else
    here:failed("the check itself went wrong: " .. tostring(results[2]))
  end
  return nil
end

return M
