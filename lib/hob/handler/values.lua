-- values.lua - values on their way between a job's sandbox and the command that watches it: Lua
-- literals as text, since JSON knows neither mixed tables nor any bytes.
-- Spec: spec/unit/testing_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local load, next, pairs, tostring, type = load, next, pairs, tostring, type
local concat, format, sort = table.concat, string.format, table.sort

local DEPTH_MAX = 8
local ENTRIES_MAX = 256
local STRING_MAX = 64 * 1024

local function cut(text)
  if #text <= STRING_MAX then
    return text
  end
  return format("%s ... [cut %d bytes]", text:sub(1, STRING_MAX), #text - STRING_MAX)
end

local write

local function write_table(out, value, depth)
  if depth > DEPTH_MAX then
    out[#out + 1] = '"(a table, too deep)"'
    return
  end
  out[#out + 1] = "{"
  local count = 0
  for key, member in next, value do
    local kind = type(key)
    if kind == "string" or kind == "number" or kind == "boolean" then
      count = count + 1
      if count > ENTRIES_MAX then
        break
      end
      out[#out + 1] = "["
      write(out, key, depth + 1)
      out[#out + 1] = "]="
      write(out, member, depth + 1)
      out[#out + 1] = ","
    end
  end
  out[#out + 1] = "}"
end

function write(out, value, depth)
  local kind = type(value)
  if kind == "table" then
    write_table(out, value, depth)
  elseif kind == "string" then
    out[#out + 1] = format("%q", cut(value))
  elseif kind == "nil" or kind == "boolean" or kind == "number" then
    out[#out + 1] = format("%q", value)
  else
    out[#out + 1] = format("%q", "(a " .. kind .. ")")
  end
end

---Functions and objects become words in brackets; what is deep, long or many is cut.
---@return string
function M.write(value)
  local out = {}
  write(out, value, 1)
  return concat(out)
end

---@param text string  of write
---@return any
function M.read(text)
  local chunk = load("return " .. text, "=value", "t", {})
  return chunk and chunk()
end

---------------------------------------------------------------- for people

local function is_word(key)
  return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  sort(keys, function(a, b)
    if type(a) == "number" and type(b) == "number" then
      return a < b
    elseif type(a) ~= type(b) then
      return type(a) == "number"
    end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local show

local function show_table(value, depth)
  local parts, list = {}, #value
  for _, key in pairs(sorted_keys(value)) do
    local text = show(value[key], depth + 1)
    if type(key) == "number" and key >= 1 and key <= list then
      parts[#parts + 1] = text
    else
      parts[#parts + 1] = (is_word(key) and key or "[" .. show(key, depth + 1) .. "]") ..
        " = " .. text
    end
  end
  return "{" .. (parts[1] and " " .. concat(parts, ", ") .. " " or "") .. "}"
end

function show(value, depth)
  if type(value) == "table" then
    return depth > DEPTH_MAX and "{...}" or show_table(value, depth)
  elseif type(value) == "string" then
    return (format("%q", value):gsub("\\\n", "\\n"))
  end
  return type(value) == "userdata" and "nil" or tostring(value) -- JSON's null is none of Lua's
end

---One line of Lua, in a fixed order, at most `most` bytes.
---@param value any
---@param most? integer
---@return string
function M.show(value, most)
  local text = show(value, 1)
  if most and #text > most then
    text = text:sub(1, most):gsub("[\192-\255]?[\128-\191]*$", "") .. "..."
  end
  return text
end

---The arguments of a call as one would write them: `{ "ls", timeout = 5 }`, `("a", "b")`.
---@param arguments table  packed
---@param most? integer
---@return string
function M.show_arguments(arguments, most)
  if arguments.n == 1 and type(arguments[1]) == "table" then
    return M.show(arguments[1], most)
  end
  local parts = {}
  for i = 1, arguments.n or #arguments do
    parts[i] = show(arguments[i], 1)
  end
  local text = "(" .. concat(parts, ", ") .. ")"
  if most and #text > most then
    text = text:sub(1, most) .. "...)"
  end
  return text
end

return M
