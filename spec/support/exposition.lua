-- exposition.lua - reads Prometheus's text exposition format, version 0.0.4, as strictly as it is
-- written: whatever a collector might stumble over is an error with the line.
--
--     local found = require("spec.support.exposition").parse(text)
--     found.value("hob_jobs", { thing = "gw-1", state = "running" })  -- 1, or nil
--     found.families.hob_jobs                                         -- { type, help, samples }

local M = {}

local NAME = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
local LABEL = "^[a-zA-Z_][a-zA-Z0-9_]*$"
local ESCAPES = { ["\\"] = "\\", ['"'] = '"', n = "\n" }
local SPECIAL = { ["+Inf"] = math.huge, ["-Inf"] = -math.huge, NaN = 0 / 0 }

local function fail(number, line, why)
  error(("line %d: %s: %s"):format(number, why, line), 0)
end

-- The quoted value at `at`. -> value, where it ends
local function value_at(text, at)
  local out = {}
  while true do
    local char = text:sub(at, at)
    if char == "" then
      return nil, "a label's value has no end"
    elseif char == '"' then
      return table.concat(out), at + 1
    elseif char == "\\" then
      local escaped = ESCAPES[text:sub(at + 1, at + 1)]
      if not escaped then
        return nil, "an unknown escape"
      end
      out[#out + 1] = escaped
      at = at + 2
    else
      out[#out + 1] = char
      at = at + 1
    end
  end
end

-- {a="b",c="d"} at `at`. -> labels, where they end
local function labels_at(text, at)
  local labels = {}
  at = at + 1
  repeat
    local name, from = text:match('^([^=]*)="()', at)
    if not name or not name:find(LABEL) then
      return nil, "a label's name"
    elseif labels[name] then
      return nil, "a label twice"
    end
    local value, after = value_at(text, from)
    if not value then
      return nil, after
    end
    labels[name] = value
    local mark = text:sub(after, after)
    at = after + 1
    if mark ~= "," and mark ~= "}" then
      return nil, "after a label comes , or }"
    end
  until mark == "}"
  return labels, at
end

local function identity(name, labels)
  local parts = {}
  for label, value in pairs(labels) do
    parts[#parts + 1] = ("%s=%q"):format(label, value)
  end
  table.sort(parts)
  return name .. "," .. table.concat(parts, ",")
end

local function number_of(text)
  return SPECIAL[text] or text:find("^[-+]?[%d.]+[eE]?[-+]?%d*$") and tonumber(text)
end

local function sample_of(line)
  local name, at = line:match("^([^{ ]+)()")
  if not name or not name:find(NAME) then
    return nil, "a metric's name"
  end
  local labels = {}
  if line:sub(at, at) == "{" then
    labels, at = labels_at(line, at)
    if not labels then
      return nil, at
    end
  end
  local value = line:match("^ (%S+)$", at)
  local number = value and number_of(value)
  if not number then
    return nil, "a value"
  end
  return { name = name, labels = labels, value = number }
end

---@param text string
---@return table  { families = { name = { type, help, samples } }, value = function(name, labels) }
function M.parse(text)
  local families, present, seen, number = {}, nil, {}, 0
  assert(text:sub(-1) == "\n", "the last line has no end")
  assert(utf8.len(text), "it is not UTF-8")
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local what, name, rest = line:match("^# (%u+) (%S+) (.+)$")
    if what == "HELP" then
      if families[name] then
        fail(number, line, "a family twice")
      end
      present = { name = name, help = rest, samples = {} }
      families[name] = present
    elseif what == "TYPE" then
      if not present or present.name ~= name or present.type or #present.samples > 0 then
        fail(number, line, "TYPE comes once, after HELP and before the samples")
      elseif rest ~= "counter" and rest ~= "gauge" then
        fail(number, line, "a type")
      elseif (rest == "counter") ~= (name:find("_total$") ~= nil) then
        fail(number, line, "counters, and only they, end in _total")
      end
      present.type = rest
    elseif what or line:find("^#") or line == "" then
      fail(number, line, "neither HELP, TYPE nor a sample")
    else
      local sample, why = sample_of(line)
      if not sample then
        fail(number, line, why)
      elseif not present or not present.type or sample.name ~= present.name then
        fail(number, line, "a sample outside its family")
      elseif seen[identity(sample.name, sample.labels)] then
        fail(number, line, "a sample twice")
      elseif present.type == "counter" and sample.value < 0 then
        fail(number, line, "a counter below 0")
      end
      seen[identity(sample.name, sample.labels)] = true
      table.insert(present.samples, sample)
    end
  end
  local found = { families = families }
  function found.value(name, labels)
    for _, sample in ipairs(families[name] and families[name].samples or {}) do
      if identity(name, sample.labels) == identity(name, labels or {}) then
        return sample.value
      end
    end
  end
  return found
end

return M
