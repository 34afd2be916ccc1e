--- What may come next on a command line of Hob: for the completion of a shell.
---
--- Flags and their values are asked of each command itself (hob.cli.options.syntax_of), so that
--- they cannot differ from what it accepts. Here is only which commands there are, and what their
--- words mean.
local exec = require("hob.exec")
local gateways = require("hob.cli.gateway")
local options = require("hob.cli.options")
local places = require("hob.handler.place")
local scan = require("hob.handler.scan")

local M = {}

--- All commands of `hob`; one whose file is missing in this installation is not offered.
M.COMMANDS = { "cancel", "completion", "dap", "doctor", "drain", "handler", "handlers",
  "import", "init", "job", "jobs", "log", "lua", "metrics", "provision", "reload", "repl",
  "retry-report", "run", "service", "status", "support", "thing" }

--- Commands that have commands.
M.SUB = {
  handler = { "help", "lint", "list", "new", "run", "test" },
  job = { "cancel", "create", "delete", "describe", "list", "watch" },
  service = { "fault" },
  ["service fault"] = { "add", "list", "remove" },
}

--- Words beside the flags: what the first one is, and whether more of them may follow.
M.WORDS = {
  cancel = { "running" },
  completion = { "shell" },
  drain = { "switch" },
  ["handler help"] = { "handler" },
  ["handler lint"] = { "files" },
  ["handler run"] = { "handler" },
  ["handler test"] = { "files", many = true },
  import = { "files" },
  log = { "job" },
  lua = { "files", many = true },
  repl = { "running" },
  ["retry-report"] = { "job" },
  support = { "job" },
  thing = { "change" },
}

-- These read their words themselves, or hand them on.
local OWN_WORDS = { ["lua"] = true, ["handler test"] = true }

local FILES = { FILE = true, PATH = true, ["FILE|DIR"] = true }
local ENDED_SHOWN = 50

---@class hob.cli.candidates
---@field kind "words"|"files"|"dirs"  files, dirs: the shell knows better
---@field words string[]

local function words_of(list)
  return { kind = "words", words = list }
end

---------------------------------------------------------------- what a gateway knows

local PATIENCE = 1 -- seconds that a person waits for a Tab

--- Answers of the gateway that the flags mean; nothing if none answers.
--- @return table|nil last
local function ask(given, request, each)
  local place = gateways.find(given)
  local gateway = place and gateways.connect(place.socket)
  return gateway and gateway:ask(request, each, PATIENCE)
end

local function job_ids(given, ended)
  local ids, seen = {}, {}
  local function each(line)
    local id = line.job and line.job.jobId
    if id and not seen[id] then
      seen[id] = true
      ids[#ids + 1] = id
    end
  end
  if ask(given, { command = "jobs" }, each) and ended then
    ask(given, { command = "jobs", history = true, limit = ENDED_SHOWN }, each)
  end
  return ids
end

local function things(given)
  local names = {}
  ask(given, { command = "things" }, function(line)
    names[#names + 1] = line.thing.thing
  end)
  return names
end

--- Handlers at a desk: `hob handler` works with files.
local function handlers(given)
  local place = places.find(given)
  local names = {}
  local found = place and scan.find(place.scripts)
  for _, handler in ipairs(found and found.handlers or {}) do
    names[#names + 1] = handler.name
  end
  return names
end

local KINDS = {
  files = function() return { kind = "files", words = {} } end,
  handler = function(given) return words_of(handlers(given)) end,
  job = function(given) return words_of(job_ids(given, true)) end,
  running = function(given) return words_of(job_ids(given, false)) end,
  shell = function() return words_of({ "bash", "zsh" }) end,
  switch = function() return words_of({ "off", "on", "status" }) end,
  change = function() return words_of({ "add", "list", "remove" }) end,
}

---------------------------------------------------------------- what a command accepts

--- The flags that the help of `hob run` names: it is written in C.
local function flags_of_run()
  local flags = {}
  local result = exec.run({ "/proc/self/exe", "run", "--help" })
  for line in result.stdout:gmatch("[^\n]+") do
    for name, value in line:gmatch("%-%-([%l-]+) ?(%u*)") do
      flags[name] = { value = value ~= "" and value or nil }
    end
  end
  return flags
end

local function run_of(path)
  local name = path[1]:gsub("-", "_")
  if not package.searchpath("hob.cli." .. name, package.path) then
    return nil
  end
  return require("hob.cli." .. name).run
end

--- What the command of these words accepts.
---@param path string[]
---@return hob.cli.syntax
function M.syntax(path)
  local whole = table.concat(path, " ")
  if whole == "run" then
    return { flags = flags_of_run() }
  elseif OWN_WORDS[whole] or M.SUB[whole] and whole ~= "service" then
    return { flags = {} }
  end
  local run = run_of(path)
  return run and options.syntax_of(run, table.move(path, 2, #path, 1, {})) or { flags = {} }
end

local function commands()
  local found = {}
  for _, name in ipairs(M.COMMANDS) do
    if name == "run" or run_of({ name }) then
      found[#found + 1] = name
    end
  end
  table.move({ "--help", "--version" }, 1, 2, #found + 1, found)
  return found
end

local function contains(list, word)
  for _, one in ipairs(list or {}) do
    if one == word then
      return true
    end
  end
  return false
end

---------------------------------------------------------------- a line

---@class hob.cli.line
---@field path string[]     the command
---@field given table       flags before the word that is completed, and what they were given
---@field pending string?   the flag whose value is completed
---@field words integer     how many words stand beside the flags
---@field ended boolean     after --

local function take_word(line, word)
  local sub = M.SUB[table.concat(line.path, " ")]
  if #line.path == 0 or line.words == 0 and contains(sub, word) then
    line.path[#line.path + 1] = word
  else
    line.words = line.words + 1
  end
end

local function take(line, syntax, word)
  local name, value = word:match("^%-%-([^=]+)=?(.*)$")
  if line.pending then
    line.given[line.pending] = word
    line.pending = nil
  elseif line.ended or not word:find("^%-") then
    take_word(line, word)
  elseif word == "--" then
    line.ended = true
  elseif name then
    local flag = syntax().flags[name]
    local attached = word:find("=", 1, true)
    line.given[name] = attached and value or true
    line.pending = flag and flag.value and not attached and name or nil
  end
end

--- Read all words but the last. The syntax is looked for when the first flag comes.
local function read(words)
  local line = { path = {}, given = {}, words = 0, ended = false }
  local known, of
  local function syntax()
    local path = table.concat(line.path, " ")
    if of ~= path then
      known, of = M.syntax(line.path), path
    end
    return known
  end
  for i = 1, #words - 1 do
    take(line, syntax, words[i])
  end
  return line, syntax
end

local function values_of(line, flag)
  if flag.one_of then
    return words_of(flag.one_of)
  elseif flag.value == "T" then
    return words_of(things(line.given))
  elseif flag.value == "DIR" then
    return { kind = "dirs", words = {} }
  elseif flag.value and FILES[flag.value] then
    return { kind = "files", words = {} }
  end
  return words_of({})
end

local function flags_left(line, flags)
  local found = { "--help" }
  for name, flag in pairs(flags) do
    if line.given[name] == nil or flag.many then
      found[#found + 1] = "--" .. name
    end
  end
  return words_of(found)
end

--- The word itself: a command, or what the command takes.
local function plain_words(line)
  local path = table.concat(line.path, " ")
  local found = words_of({})
  local meaning = M.WORDS[path]
  if #line.path == 0 then
    return words_of(commands())
  elseif M.SUB[path] and line.words == 0 then
    found = words_of(table.move(M.SUB[path], 1, #M.SUB[path], 1, {}))
  elseif meaning and (line.words == 0 or meaning.many) then
    found = KINDS[meaning[1]](line.given)
  end
  return found
end

--- Only what begins with the word is left, sorted, each once.
local function fitting(found, word)
  local left, seen = {}, {}
  for _, candidate in ipairs(found.words) do
    if candidate:sub(1, #word) == word and not seen[candidate] then
      seen[candidate] = true
      left[#left + 1] = candidate
    end
  end
  table.sort(left)
  return { kind = found.kind, words = left }
end

--- What may stand in place of the last of `words` (which may be ""): what follows `hob`.
---@param words string[]
---@return hob.cli.candidates
function M.find(words)
  local line, syntax = read(words)
  local word = words[#words] or ""
  local name, value = word:match("^%-%-([^=]+)=(.*)$")
  local flags = (line.pending or word:find("^%-")) and #line.path > 0 and syntax().flags
  if line.pending then
    return fitting(values_of(line, flags[line.pending]), word)
  elseif name and not line.ended and flags then
    return fitting(values_of(line, flags[name] or {}), value)
  elseif word:find("^%-") and not line.ended and flags then
    return fitting(flags_left(line, flags), word)
  end
  return fitting(plain_words(line), word)
end

--- Bash takes words apart at `=` and `:`, with these as words of their own. Put together again, so
--- that it is one word what was one (or nearly: `a :b` is taken for `a:b`).
---@param words string[]
---@return string[] whole
---@return string before  what Bash thinks is not part of the last word
function M.joined(words)
  local whole, before = {}, ""
  local glued = false
  for i, word in ipairs(words) do
    local is_break = word:find("^[=:]+$") ~= nil
    if #whole > 0 and (glued or is_break) then
      before = i == #words and whole[#whole] .. (is_break and word or "") or ""
      whole[#whole] = whole[#whole] .. word
    else
      before = ""
      whole[#whole + 1] = word
    end
    glued = is_break
  end
  return whole, before
end

return M
