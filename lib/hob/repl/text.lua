--- Texts of a REPL session: nothing in them can do anything to a terminal but what is meant here.
local M = {}

--- Valid UTF-8 without control characters, but for the end of a line; a tab is four blanks.
---@param text string
---@return string
function M.clean(text)
  text = text:gsub("\r\n", "\n"):gsub("\t", "    "):gsub("[%z\1-\9\11-\31\127]", function(sign)
    return ("\\x%02X"):format(sign:byte())
  end)
  local out, at = {}, 1
  local length, bad = utf8.len(text)
  while not length do
    out[#out + 1] = text:sub(at, bad - 1) .. ("\\x%02X"):format(text:byte(bad))
    at = bad + 1
    length, bad = utf8.len(text, at)
  end
  out[#out + 1] = text:sub(at)
  return (table.concat(out):gsub("\u{80}", "?"):gsub("\xc2([\x80-\x9f])", "?"))
end

local QUOTED = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

--- A string as Lua reads it back, on one line; what is no text as \xNN.
---@param value string
---@param limit integer  so many bytes of it; how many there are is said
---@return string
function M.quote(value, limit)
  local kept = value
  if #value > limit then
    local stop = limit
    while stop > limit - 4 and stop > 0 and value:byte(stop + 1) & 0xC0 == 0x80 do
      stop = stop - 1
    end
    kept = value:sub(1, stop)
  end
  kept = M.clean((kept:gsub('[\n\r\t"\\]', QUOTED)))
  return ('"%s"%s'):format(kept, #value > limit and ("... (%d bytes)"):format(#value) or "")
end

local COLOURS = { problem = "31", here = "1", dim = "2", event = "36" }

--- Cleaned text in a colour, if there are any.
---@param colour boolean
---@param kind "problem"|"here"|"dim"|"event"
---@param text string
---@return string
function M.paint(colour, kind, text)
  text = M.clean(text)
  return colour and ("\27[%sm%s\27[0m"):format(COLOURS[kind], text) or text
end

--- How many columns it takes; colours take none.
---@param text string
---@return integer
function M.width(text)
  text = text:gsub("\27%[%d*m", "")
  return utf8.len(text) or #text
end

return M
