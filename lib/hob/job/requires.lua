-- requires.lua - a handler's `requires`: what must hold before a job of it is begun. This file
-- reads what was written; core/work/requires.c judges. Spec: spec/unit/requires_spec.lua

local limits = require("hob.job.limits")
local nearest = require("hob.nearest")

local M = {}

-- The language's own, whatever a handler does to its globals.
local ipairs, next, pairs, tostring, type = ipairs, next, pairs, tostring, type
local find, format, match, sub = string.find, string.format, string.match, string.sub
local sort, tonumber, to_integer, rawlen = table.sort, tonumber, math.tointeger, rawlen

local COMMANDS, COMMAND_MAX = 8, 128 -- as requires.h

local function shown(value)
  if type(value) == "table" then
    return next(value) == nil and "an empty table" or "a table"
  end
  return type(value) == "string" and format("%q", sub(value, 1, 40)) or tostring(value)
end

local function minutes(hour, minute)
  hour, minute = tonumber(hour), tonumber(minute)
  if hour and (hour < 24 and minute < 60 or hour == 24 and minute == 0) then
    return to_integer(hour * 60 + minute)
  end
end

---"02:00-04:00" as minutes of the day; may pass midnight.
---@return integer? from
---@return integer? to
function M.window(value)
  if type(value) ~= "string" then
    return nil
  end
  local h1, m1, h2, m2 = match(value, "^%s*(%d%d?):(%d%d)%s*%-%s*(%d%d?):(%d%d)%s*$")
  local from, to = minutes(h1, m1), minutes(h2, m2)
  if from and to and from < 1440 and from ~= to then
    return from, to
  end
end

local READ = {}

function READ.disk(value, out)
  local bytes = limits.bytes(value)
  out.disk = bytes and bytes > 0 and bytes or nil
  return not out.disk and 'a size such as "200M" (bytes, or with K, M or G)' or nil
end

function READ.clock(value, out)
  out.clock = value
  return type(value) ~= "boolean" and "true or false" or nil
end

local function is_command(value)
  return type(value) == "string" and value ~= "" and #value <= COMMAND_MAX
    and not find(value, "[%c]") and (sub(value, 1, 1) == "/" or not find(value, "/", 1, true))
end

function READ.commands(value, out)
  local count = type(value) == "table" and rawlen(value) or 0
  local good = count > 0 and count <= COMMANDS
  for key, name in pairs(good and value or {}) do
    good = good and to_integer(tonumber(key) or 0.5) and is_command(name)
  end
  out.commands = good and value or nil
  return not good and format("a list of 1 to %d names of programs, or absolute paths", COMMANDS)
    or nil
end

function READ.window(value, out)
  out.from, out.to = M.window(value)
  return not out.from and 'two different times of day such as "02:00-04:00"' or nil
end

function READ.otherwise(value, out)
  out.otherwise = value
  return value ~= "wait" and value ~= "reject" and '"wait" or "reject"' or nil
end

local NAMES = {}
for name in pairs(READ) do
  NAMES[#NAMES + 1] = name
end
sort(NAMES)

---@class hob.requires   as requires.c reads it
---@field disk? integer      bytes
---@field clock? boolean
---@field commands? string[]
---@field from? integer      minutes of the day
---@field to? integer
---@field otherwise? string  nil: each kind's own

---@param requires table  as written
---@return hob.requires? read
---@return string? message  "requires.window: expected ..."
function M.read(requires)
  local out, names = {}, {}
  for name in pairs(requires) do
    names[#names + 1] = name
  end
  sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local read = READ[name]
    if not read then
      return nil, format("requires: unknown member '%s'%s; known: disk, clock, commands, window, "
        .. "otherwise", tostring(name), nearest.hint(tostring(name), NAMES))
    end
    local expected = read(requires[name], out)
    if expected then
      return nil, format("requires.%s: expected %s, got %s", name, expected,
        shown(requires[name]))
    end
  end
  if next(requires) == nil or not (out.disk or out.clock or out.commands or out.from) then
    return nil, "requires: expected one of disk, clock, commands, window, got none of them"
  end
  return out
end

return M
