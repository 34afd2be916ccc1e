--- Messages of the Debug Adapter Protocol in a stream of bytes: a header with `Content-Length`, an
--- empty line, and JSON of that many bytes.
--- Spec: spec/unit/dap_spec.lua
local json = require("hob.json")

local M = {}

M.HEADER_MAX = 1024
M.MESSAGE_MAX = 256 * 1024       -- what hob.json reads
M.SKIP_MAX = 64 * 1024 * 1024    -- a longer one is not even read to its end
local HEAD_BYTES = 2048          -- of one that is too long: where its number and command stand

---@param text string
---@return string
function M.frame(text)
  return ("Content-Length: %d\r\n\r\n%s"):format(#text, text)
end

---@class hob.dap.reader
---@field rest string  what has come and belongs to the next message
local reader = {}
reader.__index = reader

--- @param read fun(): string|nil, string|nil, string|nil  waits for bytes; nil, message, code
---@return hob.dap.reader
function M.reader(read)
  return setmetatable({ read = read, rest = "" }, reader)
end

local function fill(self)
  local bytes, why, code = self.read()
  if not bytes then
    return nil, why, code or "EOF"
  end
  self.rest = self.rest .. bytes
  return true
end

local function shown(text)
  text = #text > 60 and text:sub(1, 60) .. "..." or text
  return (text:gsub("[%c\128-\255]", "?"))
end

local function broken(format, ...)
  return nil, format:format(...), "EFRAME"
end

-- One line of the header, without its end.
local function read_line(self, left)
  while true do
    local at = self.rest:find("\n", 1, true)
    if (at or #self.rest) > left then
      return broken("the header of a message has more than %d bytes", M.HEADER_MAX)
    elseif at then
      local line = self.rest:sub(1, at - 1):gsub("\r$", "")
      self.rest = self.rest:sub(at + 1)
      return line, at
    end
    local ok, why, code = fill(self)
    if not ok then
      return nil, why, code
    end
  end
end

local function length_of(line)
  local value = line:match("^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][Nn][Gg][Tt][Hh]:(.*)$")
  if not value then
    return nil
  end
  local digits = value:match("^[ \t]*(%d+)[ \t]*$")
  if not digits or #digits > 12 then
    return broken("Content-Length: expected a number of bytes, got '%s'", shown(value))
  end
  return math.tointeger(tonumber(digits))
end

-- @return integer|nil length, string|nil why, string|nil code
local function read_header(self)
  local left, length, begun = M.HEADER_MAX, nil, false
  while true do
    local line, used, code = read_line(self, left)
    if not line then
      if code == "EOF" and not begun and self.rest == "" then
        return nil, "the other end has closed", "EOF"
      elseif code == "EOF" then
        return broken("the stream ended inside of a header")
      end
      return nil, used, code
    end
    left, begun = left - used, true
    if line == "" then
      break
    elseif not line:find("^[%w%-]+:") then
      return broken("expected the line 'Content-Length: N', got '%s'", shown(line))
    end
    local found, why, kind = length_of(line)
    if why then
      return nil, why, kind
    elseif found and length then
      return broken("two Content-Length lines in one header")
    end
    length = found or length
  end
  if not length then
    return broken("a header without Content-Length")
  end
  return length
end

-- Byte pieces are put together once: a message may come in many.
local function read_body(self, length)
  local parts, count = { self.rest }, #self.rest
  while count < length do
    local bytes, why, code = self.read()
    if not bytes then
      if (code or "EOF") ~= "EOF" then
        return nil, why, code
      end
      return broken("the stream ended %d bytes before the end of a message", length - count)
    end
    parts[#parts + 1] = bytes
    count = count + #bytes
  end
  local all = table.concat(parts)
  self.rest = all:sub(length + 1)
  return all:sub(1, length)
end

-- What cannot be read may still say what it is, so that the editor does not wait for an answer.
local function refused(text, why)
  local head = text:sub(1, HEAD_BYTES)
  return {
    seq = math.tointeger(tonumber(head:match('"seq"%s*:%s*(%d+)'))) or 0,
    command = head:match('"command"%s*:%s*"(%w+)"') or "unknown",
    refused = why,
  }
end

-- A message that is too long is read past, so that its sender gets an answer.
local function skip_body(self, length)
  if length > M.SKIP_MAX then
    return broken("a message of %d bytes; at most %d are taken", length, M.MESSAGE_MAX)
  end
  local head, left = self.rest:sub(1, length), length - #self.rest
  self.rest = left < 0 and self.rest:sub(length + 1) or ""
  while left > 0 do
    local bytes = self.read()
    if not bytes then
      return broken("the stream ended %d bytes before the end of a message", left)
    elseif #head < HEAD_BYTES then
      head = head .. bytes:sub(1, math.max(0, length - #head))
    end
    self.rest = #bytes > left and bytes:sub(left + 1) or ""
    left = left - #bytes
  end
  return refused(head, ("a message of %d bytes; at most %d are taken"):format(length,
    M.MESSAGE_MAX))
end

--- The next message. ⏳ One that cannot be used has the member `refused`: why, in words.
---@return table|nil message
---@return string|nil why   with nil, or the message's text
---@return string|nil code  "EOF": a clean end; "EFRAME": the stream makes no sense any more
function reader:next()
  local length, why, code = read_header(self)
  if not length then
    return nil, why, code
  elseif length > M.MESSAGE_MAX then
    return skip_body(self, length)
  end
  local text
  text, why, code = read_body(self, length)
  if not text then
    return nil, why, code
  end
  local message, problem = json.decode(text)
  if type(message) ~= "table" then
    message = refused(text, "expected a message in JSON: " .. (problem or "this is no object"))
  end
  return message, text
end

return M
