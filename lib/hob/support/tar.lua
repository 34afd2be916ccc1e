--- The simplest archive that every machine can unpack: ustar, regular files only.
local M = {}

local BLOCK = 512

local function octal(number, digits)
  return ("%0" .. digits .. "o\0"):format(number)
end

local function pad(text, length)
  return text .. ("\0"):rep(length - #text)
end

--- One file: header and content, in whole blocks.
---@param name string     at most 100 bytes
---@param text string
---@param mtime integer   seconds since 1970
---@return string
function M.entry(name, text, mtime)
  assert(#name <= 100, "the name is too long")
  local head = pad(name, 100) .. octal(tonumber("600", 8), 7) .. octal(0, 7) .. octal(0, 7)
    .. octal(#text, 11) .. octal(math.max(mtime, 0), 11) .. (" "):rep(8) .. "0"
    .. pad("", 100) .. "ustar\00000"
  head = pad(head, BLOCK)
  local sum = 0
  for i = 1, BLOCK do
    sum = sum + head:byte(i)
  end
  head = head:sub(1, 148) .. ("%06o\0 "):format(sum) .. head:sub(157)
  return head .. text .. ("\0"):rep(-#text % BLOCK)
end

--- What ends an archive.
M.END = ("\0"):rep(2 * BLOCK)

--- How many bytes an entry of so many takes.
---@param bytes integer
---@return integer
function M.size(bytes)
  return BLOCK + bytes + -bytes % BLOCK
end

return M
