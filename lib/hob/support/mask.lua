--- Texts with everything taken out that must not leave a gateway. What every line of Hob's log goes
--- through (hob.timeline.mask: URL queries, private keys, what follows a name such as "token"), and
--- what else programs, documents and configurations are known to hold.
local timeline = require("hob.timeline")

local M = {}

local HIDDEN = "***"
local KNOWN_LEAST = 4 -- a shorter "secret" would tear words apart

-- A Lua string in long brackets behind one of these: `key_passphrase = [[...]]`.
local NAMES = { "passphrase", "password", "passwd", "token", "secret", "signature", "private_key",
  "access_key", "credential", "api_key", "authorization" }

local function hide_long_strings(text)
  local lower = text:lower()
  local pieces, at = {}, 1
  while true do
    local begin, stop, name, equals = lower:find("([%w_]+)%s*=%s*%[(=*)%[", at)
    if not begin then
      break
    end
    local close = text:find("]" .. equals .. "]", stop, true) or #text + 1
    local secret = false
    for _, word in ipairs(NAMES) do
      secret = secret or name:find(word, 1, true) ~= nil
    end
    pieces[#pieces + 1] = text:sub(at, stop)
    pieces[#pieces + 1] = secret and HIDDEN or text:sub(stop + 1, close - 1)
    at = close
  end
  pieces[#pieces + 1] = text:sub(at)
  return table.concat(pieces)
end

local function is_code(sign)
  return sign:find("^[%w+/=\\]$") ~= nil
end

--- Certificates, too, and what is left of a block whose beginning or end was cut off.
local function hide_blocks(text)
  text = text:gsub("(%-%-%-%-%-BEGIN [%u%d ]+%-%-%-%-%-)[%w+/=%s\\:,%-]-"
    .. "(%-%-%-%-%-END [%u%d ]+%-%-%-%-%-)", "%1 " .. HIDDEN .. " %2")
  local at = 1
  while true do
    local _, stop = text:find("%-%-%-%-%-BEGIN [%u%d ]+%-%-%-%-%-", at)
    if not stop then
      break
    end
    local last = stop
    if text:sub(stop + 1, stop + 1 + #HIDDEN) ~= " " .. HIDDEN then
      while last < #text and is_code(text:sub(last + 1, last + 1)) do
        last = last + 1
      end
      text = text:sub(1, stop) .. " " .. HIDDEN .. text:sub(last + 1)
    end
    at = stop + #HIDDEN
  end
  return text
end

--- What is on a line, behind what `hob log` writes before it.
local function content_of(line)
  return line:match("^%d[%d%-]+T[%d:.]+Z  .-  [|!] [^:]+: (.*)$") or line
end

--- A line of nothing but base64 is a piece of a key whose first line is not there any more, and so
--- are shorter ones that follow; digests are hexadecimal.
local function hide_code_lines(text)
  local within = false
  return (text:gsub("[^\n]+", function(line)
    local content = content_of(line)
    local code = content:match("^([%w+/]+=*)%s*$")
    if content:find("-----BEGIN ", 1, true) and not content:find("-----END ", 1, true) then
      within = true
      return nil
    end
    within = code and (within or #code >= 40 and code:find("[G-Zg-z+]") ~= nil
      and not code:find("^/"))
    return within and line:sub(1, #line - #content) .. HIDDEN or nil
  end))
end

local function hide_more(text)
  text = text:gsub("%f[%w](A[KS]IA)%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%f[^%w]", "%1" .. HIDDEN)
  text = text:gsub("%f[%w]eyJ[%w_-]+%.[%w_-]+%.[%w_-]+", HIDDEN) -- a JSON web token
  text = text:gsub("(:\\/\\/[^%s\"'<>?]*)%?[^%s\"'<>]*", "%1?...") -- an URL in another's JSON
  text = text:gsub("(://)[^%s\"'<>/@]+@", "%1" .. HIDDEN .. "@")
  return (text:gsub("(/[^%s\"'<>?]*)%?[%w_.%%~%-]+=[^%s\"'<>]*", "%1?..."))
end

--- @param known string[]  secrets whose very text is known: they are taken out wherever they stand
---@return fun(text: string): string
function M.new(known)
  local patterns = {}
  for _, secret in ipairs(known) do
    if #secret >= KNOWN_LEAST then
      patterns[#patterns + 1] = (secret:gsub("%W", "%%%0"))
    end
  end
  return function(text)
    for _, pattern in ipairs(patterns) do
      text = text:gsub(pattern, HIDDEN)
    end
    text = timeline.mask(hide_long_strings(hide_blocks(text)))
    local again
    repeat -- "one " .. "secret"
      text, again = text:gsub('("%*%*%*")%s*%.%.%s*["\'][^"\'\n]*["\']', "%1")
    until again == 0
    return hide_more(hide_code_lines(text))
  end
end

return M
