--- What may stand behind a press of Tab: commands and what belongs behind them, names, fields.
local commands = require("hob.repl.commands")
local own = require("hob.repl.own")

local M = {}

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if",
  "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }
local FIELDS_MAX = 20000

-- Those that begin so, sorted, each once.
local function fitting(list, word, before)
  local seen, found = {}, {}
  for _, one in ipairs(list) do
    if one:sub(1, #word) == word and not seen[one] then
      seen[one] = true
      found[#found + 1] = before .. one
    end
  end
  table.sort(found)
  return found
end

---------------------------------------------------------------- commands

local function command_words(session, text)
  local name, gap, rest = text:match("^:(%S*)(%s*)(.*)$")
  if gap == "" then
    return fitting(commands.names(), name, ":"), 1
  end
  local command = commands.named(name)
  local word = rest:match("%S*$")
  if not command or not command.words then
    return {}, 1
  end
  return fitting(command.words(session, word) or {}, word, ""), #text - #word + 1
end

---------------------------------------------------------------- Lua of the session's own

-- Raw, and through tables that stand behind one; no code runs.
local function field_of(value, name)
  for _ = 1, 10 do
    local kind = type(value)
    if kind == "string" then
      return string[name]
    elseif kind == "table" then
      local found = rawget(value, name)
      if found ~= nil then
        return found
      end
    elseif kind ~= "userdata" then
      return nil
    end
    local meta = getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
  end
end

local function fields_of(value)
  local names = {}
  for _ = 1, 10 do
    if type(value) == "string" then
      value = string
    end
    if type(value) == "table" then
      for name in next, value do
        if type(name) == "string" and name:find("^[%a_][%w_]*$") and #names < FIELDS_MAX then
          names[#names + 1] = name
        end
      end
    end
    local meta = getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) ~= "table" then
      break
    end
  end
  return names
end

-- A global, also one that is asked for; a module of `hob`.
local function root_of(session, chain)
  local globals = session.own.globals
  local ok, value = pcall(function()
    local found = globals[chain[1]]
    if chain[1] == "hob" and chain[2] then
      table.remove(chain, 1)
      found = found[chain[1]]
    end
    return found
  end)
  return ok and value or nil
end

-- What a chain such as `jobs[1].why` ends with, and the key that it stands for.
local LINKS = {
  { pattern = "^(.*[^.])[.:]([%a_][%w_]*)$" },
  { pattern = "^(.*)%[(%d+)%]$", key = math.tointeger },
  { pattern = "^(.*)%[\"([^\"]*)\"%]$" },
  { pattern = "^(.*)%['([^']*)'%]$" },
}

-- @return string|nil before, any key
local function last_link(text)
  for _, link in ipairs(LINKS) do
    local before, key = text:match(link.pattern)
    if before then
      return before, link.key and link.key(key) or key
    end
  end
end

-- @return table|nil keys  of the chain that a text ends with, a global first; nil: what it ends
-- with could only be known by running it
local function chain_of(text)
  local keys = {}
  local before, key = last_link(text)
  while before do
    table.insert(keys, 1, key)
    text = before
    before, key = last_link(text)
  end
  local root = text:match("[%a_][%w_]*$")
  if root then
    table.insert(keys, 1, root)
  end
  return root and keys
end

local function members_of(session, text)
  local chain = chain_of(text)
  if not chain then
    return {}
  elseif chain[1] == "hob" and not chain[2] then
    return own.MODULES
  elseif chain[1] == "iotjobs" and not chain[2] then
    return fields_of(require("iotjobs"))
  end
  local value = root_of(session, chain)
  for i = 2, #chain do
    value = field_of(value, chain[i])
  end
  return fields_of(value)
end

local function own_words(session, text)
  local before, word = text:match("^(.*[^.])[.:]([%w_]*)$")
  if before then
    return fitting(members_of(session, before), word, ""), #text - #word + 1
  end
  word = text:match("[%a_][%w_]*$") or ""
  if word == "" and text:find("[%w%)%]\"'}]%s*$") then
    return {}, 1
  end
  local names = session.own:names()
  table.move(KEYWORDS, 1, #KEYWORDS, #names + 1, names)
  return fitting(names, word, ""), #text - #word + 1
end

---------------------------------------------------------------- in a job

local function job_words(session, text)
  local jobs = session.jobs
  local frame = jobs:frame()
  local words, from = jobs.debug:complete(text, {
    thread = jobs.job.thread, frame = frame and frame.id,
  })
  return words or {}, words and from or 1
end

---@param session hob.repl.session
---@param text string  what stands before the cursor
---@return string[] words
---@return integer from  they stand in place of the text from this byte on
function M.words(session, text)
  local lead, command = text:match("^(%s*)(:.*)$")
  if command then
    local words, from = command_words(session, command)
    return words, from + #lead
  elseif session.jobs:is_attached() then
    return job_words(session, text)
  end
  return own_words(session, text)
end

return M
