--- JSON text from Lua values, where a list must stay a list and a document must stay its bytes.
--- (`hob.json` cannot tell an empty list from an empty object, and a job document is never encoded
--- again: it is handed on as it came.)
local json = require("hob.json")

local M = {}

local List, Raw = {}, {}

--- Mark a sequence, so that it is encoded as a list even when it is empty.
---@generic T: table
---@param items T
---@return T
function M.list(items)
  return setmetatable(items, List)
end

--- JSON text that is taken over as it is.
---@param text string
---@return table
function M.raw(text)
  return setmetatable({ text = text }, Raw)
end

--- Text with U+FFFD for each byte that is not UTF-8: what a stranger sent is told back in messages.
local function repaired(text)
  local out, at = {}, 1
  local length, bad = utf8.len(text)
  while not length do
    out[#out + 1] = text:sub(at, bad - 1)
    at = bad + 1
    length, bad = utf8.len(text, at)
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out, "\u{FFFD}")
end

local function quote(text)
  if not text:find('[^%w _:./$@,;=+{}()%-]') then
    return '"' .. text .. '"'
  end
  return assert(json.encode(utf8.len(text) and text or repaired(text)))
end

local encode

-- Names of members as they are written, with the colon. Most come from the service's own source;
-- those of statusDetails come from devices, so that there is a limit.
local NAMES_MAX = 1000
local names_kept, names = 0, {}

local function name_of(member)
  local text = names[member]
  if not text then
    text = quote(member) .. ":"
    if names_kept < NAMES_MAX then
      names[member], names_kept = text, names_kept + 1
    end
  end
  return text
end

local function encode_list(items)
  local out = {}
  for i = 1, #items do
    out[i] = encode(items[i])
  end
  return "[" .. table.concat(out, ",") .. "]"
end

local function encode_object(members)
  local out, count = {}, 0
  for name in next, members do
    count = count + 1
    out[count] = name
  end
  if count == 2 then -- the commonest; a sort costs more than all the rest
    if out[2] < out[1] then
      out[1], out[2] = out[2], out[1]
    end
  elseif count > 2 then
    table.sort(out)
  end
  for i = 1, count do
    local name = out[i]
    out[i] = (names[name] or name_of(name)) .. encode(members[name])
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if kind == "string" then
    return quote(value)
  elseif kind ~= "table" then
    return math.type(value) == "integer" and tostring(value) or assert(json.encode(value))
  end
  local mark = getmetatable(value)
  if mark == Raw then
    return value.text
  end
  return mark == List and encode_list(value) or encode_object(value)
end

--- A value as JSON: tables are objects (members in the order of their names) unless they were made
--- by `list` or `raw`.
---@param value any
---@return string
M.encode = encode

return M
