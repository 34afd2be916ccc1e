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

local function names_a_secret(name)
  name = name:lower():gsub("-", "_")
  for _, word in ipairs(NAMES) do
    if name:sub(-#word) == word then
      return true
    end
  end
  return false
end

--- Words of a command line and XML, where no "=" or ":" stands between a name and its value.
local function hide_named(text)
  if text:find("--", 1, true) then
    text = text:gsub("(%-%-([%w_%-]+)[ \t]+)(\\?[\"']?)([^%s\"'\\]+)", function(flag,
      name, quote, value)
      return names_a_secret(name) and value:sub(1, 2) ~= "--" and flag .. quote .. HIDDEN or nil
    end)
  end
  if text:find("</", 1, true) then
    text = text:gsub("(<([%w_.:%-]+)[^<>\n]*>)([^<>]+)(</)", function(tag, name, _, stop)
      return names_a_secret(name) and tag .. HIDDEN .. stop or nil
    end)
  end
  return text
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
--- @param state { within: boolean }  from piece to piece of a text
local function hide_code_lines(text, state)
  local lines = {}
  for line, stop in text:gmatch("([^\n]*)(\n?)") do
    local content = content_of(line)
    local code = content:match("^([%w+/]+=*)%s*$")
    if content:find("-----BEGIN ", 1, true) and not content:find("-----END ", 1, true) then
      state.within = true
    else
      state.within = code and (state.within or #code >= 40 and code:find("[G-Zg-z+]") ~= nil
        and not code:find("^/"))
      line = state.within and line:sub(1, #line - #content) .. HIDDEN or line
    end
    lines[#lines + 1] = line .. stop
  end
  return table.concat(lines)
end

-- What must be there for a pattern to be worth its while, the pattern, what becomes of it.
local MORE = {
  { "IA", "%f[%w](A[KS]IA)%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%f[^%w]", "%1" .. HIDDEN },
  { "eyJ", "%f[%w]eyJ[%w_-]+%.[%w_-]+%.[%w_-]+", HIDDEN }, -- a JSON web token
  { ":\\/\\/", "(:\\/\\/[^%s\"'<>?]*)%?[^%s\"'<>]*", "%1?..." }, -- an URL in another's JSON
  { "ookie: ", "([Cc]ookie: )[^\n\"]+", "%1" .. HIDDEN },
  { "?", "(/[^%s\"'<>?]*)%?[%w_.%%~%-]+=[^%s\"'<>]*", "%1?..." },
}

local function hide_more(text)
  for _, more in ipairs(MORE) do
    if text:find(more[1], 1, true) then
      text = text:gsub(more[2], more[3])
    end
  end
  return text
end

---------------------------------------------------------------- the whole

-- Nothing here is to run for long without a break, since a slow processor needs ten times as long:
-- texts are worked off in pieces, each of whole lines and of whole blocks of keys.
local PIECE = 32 * 1024
local LINE_MOST = 256 * 1024

--- Where the piece ends that begins at `at`.
local function end_of_piece(text, at)
  local stop = text:find("\n", at + PIECE, true) or #text
  local piece = text:sub(at, stop)
  local _, begins = piece:gsub("%-%-%-%-%-BEGIN ", "")
  local _, ends = piece:gsub("%-%-%-%-%-END ", "")
  if begins > ends then
    local last = text:find("-----END ", stop, true)
    last = last and last - stop < LINE_MOST and text:find("\n", last, true)
    stop = last or stop
  end
  return stop
end

local function mask_piece(text, patterns, state)
  for _, pattern in ipairs(patterns) do
    text = text:gsub(pattern, HIDDEN)
  end
  text = timeline.mask(hide_long_strings(hide_blocks(text)))
  local again
  repeat -- "one " .. "secret"
    text, again = text:gsub('("%*%*%*")%s*%.%.%s*["\'][^"\'\n]*["\']', "%1")
  until again == 0
  return hide_more(hide_named(hide_code_lines(text, state)))
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
    local pieces, at, state = {}, 1, { within = false }
    while at <= #text do
      local stop = end_of_piece(text, at)
      pieces[#pieces + 1] = stop - at < PIECE + LINE_MOST
        and mask_piece(text:sub(at, stop), patterns, state)
        or ("%s a line of %d bytes is left out\n"):format(HIDDEN, stop - at)
      at = stop + 1
    end
    return table.concat(pieces)
  end
end

return M
