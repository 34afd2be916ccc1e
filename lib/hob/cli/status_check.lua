--- `hob status --check`: one line for a monitoring system, as its plugins print it, with perfdata.
---
--- https://www.monitoring-plugins.org/doc/guidelines.html
local words = require("hob.cli.words")

local M = {}

M.OK, M.WARNING, M.CRITICAL, M.UNKNOWN = 0, 1, 2, 3

local NAMES = { [0] = "OK", "WARNING", "CRITICAL", "UNKNOWN" }

local MB = 1024 * 1024
local DAY = 86400

--- Thresholds: flag -> { warning, critical }. `falls`: it is bad when it is less.
M.DEFAULTS = {
  ["offline"] = { 300, 3600 },
  ["outbox-age"] = { 900, 14400 },
  ["certificate-days"] = { 30, 7, falls = true },
  ["free-mb"] = { 64, 16, falls = true },
}

--- "WARNING,CRITICAL" of a flag.
---@return table|nil limits
---@return string|nil message
local function limits_of(name, text)
  local default = M.DEFAULTS[name]
  local warning, critical = text:match("^(%d+%.?%d*),(%d+%.?%d*)$")
  warning, critical = tonumber(warning), tonumber(critical)
  if not warning or not critical then
    return nil, ("--%s: expected WARNING,CRITICAL such as %d,%d, got '%s'"):format(name,
      default[1], default[2], text)
  elseif default.falls and critical > warning or not default.falls and critical < warning then
    return nil, ("--%s: CRITICAL (%s) must be %s than WARNING (%s)"):format(name, critical,
      default.falls and "less" or "more", warning)
  end
  return { warning, critical, falls = default.falls }
end

--- The thresholds that the flags mean.
---@param given table
---@return table|nil limits
---@return string|nil message
function M.limits(given)
  local all = {}
  for name, default in pairs(M.DEFAULTS) do
    local text = given[name:gsub("-", "_")]
    local limits, message = default, nil
    if text then
      limits, message = limits_of(name, text)
    end
    if not limits then
      return nil, message
    end
    all[name] = limits
  end
  return all
end

local function level_of(limits, value)
  for level = M.CRITICAL, M.WARNING, -1 do
    if limits.falls and value < limits[level] or not limits.falls and value >= limits[level] then
      return level
    end
  end
  return M.OK
end

---------------------------------------------------------------- what is wrong

---@class hob.cli.check
---@field limits table
---@field problems { level: integer, text: string }[]
local check = {}
check.__index = check

function check:say(level, format, ...)
  if level > M.OK then
    self.problems[#self.problems + 1] = { level = level, text = format:format(...) }
  end
end

function check:certificate(thing, one)
  local who = one.which == "ca" and "CA file" or "certificate"
  if one.error then
    self:say(M.CRITICAL, "%s: %s %s: %s", thing.thing, who, one.path, one.error)
    return
  end
  local days = one.leftSeconds / DAY
  self.days = math.min(self.days or days, days)
  local level = level_of(self.limits["certificate-days"], days)
  if days < 0 then
    self:say(M.CRITICAL, "%s: %s %s ended %d days ago", thing.thing, who, one.path, -days // 1)
  else
    self:say(level, "%s: %s %s ends in %d days", thing.thing, who, one.path, days // 1)
  end
end

function check:thing(thing)
  local offline = thing.online and 0 or thing.forSeconds
  self.offline = math.max(self.offline, offline)
  self:say(level_of(self.limits.offline, offline), "%s: not connected for %s%s", thing.thing,
    words.span(offline), thing.why and ": " .. thing.why or "")
  local age = thing.oldestSeconds or 0
  self.age, self.untold = math.max(self.age, age), self.untold + thing.untold
  self:say(level_of(self.limits["outbox-age"], age),
    "%s: %d outcome%s not told, the oldest for %s", thing.thing, thing.untold,
    thing.untold == 1 and " is" or "s are", words.span(age))
  for _, one in ipairs(thing.certificates or {}) do
    self:certificate(thing, one)
  end
end

-- Of many things not all came: those that did not count all the same.
function check:others(sum)
  if sum.trouble > sum.shown and sum.shown < sum.count then
    self:say(math.max(level_of(self.limits.offline, sum.longestOffline),
      level_of(self.limits["outbox-age"], sum.oldestSeconds)), "%d more things have trouble",
      sum.trouble - sum.shown)
  end
  self.offline = math.max(self.offline, sum.longestOffline)
  self.age, self.untold = math.max(self.age, sum.oldestSeconds), sum.untold
end

function check:store(found)
  if found.store.damaged then
    self:say(M.CRITICAL, "the store is damaged")
  elseif found.store.failing then
    self:say(M.CRITICAL, "the store cannot be written: %s", found.store.failing)
  end
  self:say(level_of(self.limits["free-mb"], found.freeBytes / MB), "%.1f MB free for %s",
    found.freeBytes / MB, found.data)
end

function check:process(found)
  if not found.clockSet then
    self:say(M.WARNING, "the clock says %s: nobody has set it", words.clock(found.now))
  end
  if found.draining then
    self:say(M.WARNING, "draining since %s: no new jobs are taken%s",
      words.clock(found.drain.since), found.drain.reason and ": " .. found.drain.reason or "")
  end
  if found.held and found.held > 0 then
    self:say(M.WARNING, "%d job%s held by a debugger", found.held,
      found.held == 1 and " is" or "s are")
  end
  if found.broken > 0 then
    local names = {}
    for _, list in ipairs({ found.handlers, found.modules }) do
      for _, one in ipairs(list) do
        names[#names + 1] = one.state ~= "ok" and one.name or nil
      end
    end
    self:say(M.WARNING, "broken: %s", table.concat(names, ", ", 1, math.min(#names, 5)))
  end
end

---------------------------------------------------------------- the line

--- A plugin's line has no second one, and what follows a | is not for people.
local function clean(text)
  return (text:gsub("%c+", " "):gsub("|", "/"))
end

--- "offline=12s;300;3600;0"; "30:" where less is bad.
local function datum(label, value, unit, limits, scale)
  local range = { "", "" }
  for i = 1, limits and 2 or 0 do
    range[i] = ("%.15g%s"):format(limits[i] * (scale or 1), limits.falls and ":" or "")
  end
  return ("%s=%.15g%s;%s;%s;0"):format(label, value, unit, range[1], range[2])
end

local function perfdata(self, found)
  local limits = self.limits
  local data = {
    datum("offline", self.offline, "s", limits.offline),
    datum("untold", self.untold, ""),
    datum("outbox_age", self.age, "s", limits["outbox-age"]),
    datum("free", found.freeBytes, "B", limits["free-mb"], MB),
    datum("jobs", found.jobs, ""),
    datum("pending", found.pending, ""),
    datum("broken", found.broken, ""),
    datum("memory", found.memoryBytes, "B"),
    datum("store", found.store.bytes + found.store.walBytes, "B"),
    datum("uptime", found.uptimeSeconds, "s"),
  }
  if self.days then
    table.insert(data, 4, datum("certificate_days", math.floor(self.days * 10) / 10, "",
      limits["certificate-days"]))
  end
  return table.concat(data, " ")
end

--- The summary of its things; one that runs since before an update has none.
---@param found table
---@return table
function M.sum(found)
  if found.thingSummary then
    return found.thingSummary
  end
  local sum = { count = #found.things, shown = #found.things, online = 0, untold = 0, trouble = 0,
    longestOffline = 0, oldestSeconds = 0 }
  for _, thing in ipairs(found.things) do
    sum.online = sum.online + (thing.online and 1 or 0)
    sum.untold = sum.untold + thing.untold
  end
  return sum
end

local function summary(found)
  local sum = M.sum(found)
  return ("%d of %d thing%s connected, %d job%s in hand, up for %s"):format(sum.online, sum.count,
    sum.count == 1 and "" or "s", found.jobs, found.jobs == 1 and "" or "s",
    words.span(found.uptimeSeconds))
end

--- A line of a state that no answer led to.
---@param level integer
---@param text string
---@return string
function M.line(level, text)
  return ("HOB %s - %s"):format(NAMES[level], clean(text))
end

--- What the gateway's `status` comes to.
---@param found table   as hob.cli.scripts.ask("status") gives it
---@param limits table  of M.limits
---@return string line
---@return integer level
function M.judge(found, limits)
  local self = setmetatable({ limits = limits, problems = {}, offline = 0, age = 0, untold = 0 },
    check)
  for _, thing in ipairs(found.things) do
    self:thing(thing)
  end
  self:others(M.sum(found))
  self:store(found)
  self:process(found)
  local worst, texts = M.OK, {}
  for level = M.CRITICAL, M.WARNING, -1 do -- what is worst is read first
    for _, problem in ipairs(self.problems) do
      if problem.level == level then
        worst = math.max(worst, level)
        texts[#texts + 1] = problem.text
      end
    end
  end
  local text = texts[1] and table.concat(texts, "; ") or summary(found)
  return M.line(worst, text) .. " | " .. perfdata(self, found), worst
end

return M
