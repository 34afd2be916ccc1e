--- What begins with ":" in a REPL session. Each command is a table:
---
---     { name = "break", args = "FILE:LINE [if EXPR]", about = "stop there", more = "...",
---       needs_job = true, words = function(session, word) return list end,
---       run = function(session, rest) return true | nil, message | { quit = true } end }
local nearest = require("hob.nearest")

local M = {}

---@class hob.repl.command
---@field name string
---@field args string?        as `:help` shows them
---@field about string        one line
---@field more string?        what `:help NAME` adds
---@field needs_job boolean?  only while attached
---@field words? fun(session: table, word: string): string[]  for completion
---@field run fun(session: hob.repl.session, rest: string): any, string|nil

---@type hob.repl.command[]
M.list = {}

local by_name = {}

local function add_all(commands)
  for _, command in ipairs(commands) do
    M.list[#M.list + 1] = command
    by_name[command.name] = command
  end
end

---@return hob.repl.command|nil
function M.find(name)
  return by_name[name]
end

---@return string[]
function M.names()
  local names = {}
  for i, command in ipairs(M.list) do
    names[i] = command.name
  end
  return names
end

local function unknown(name)
  return (":%s is no command%s; `:help` lists them"):format(name,
    nearest.hint(name, M.names()))
end

--- @return hob.repl.command|nil, string|nil message
function M.named(name)
  local command = by_name[name]
  if command then
    return command
  end
  local found = {}
  for _, one in ipairs(M.list) do
    if name ~= "" and one.name:sub(1, #name) == name then
      found[#found + 1] = one
    end
  end
  if #found == 1 then
    return found[1]
  elseif found[2] then
    local names = {}
    for i, one in ipairs(found) do
      names[i] = ":" .. one.name
    end
    return nil, (":%s may be %s"):format(name, table.concat(names, ", "))
  end
  return nil, unknown(name)
end

---@param session hob.repl.session
---@param text string  without its ":"
---@return { ok: boolean, quit: boolean? }
function M.run(session, text)
  local name, rest = text:match("^(%S*)%s*(.*)$")
  local command, why = M.named(name)
  local outcome
  if command and command.needs_job and not session.jobs:is_attached() then
    why = (":%s is for a job: `:attach ID` first; `:jobs` lists them"):format(command.name)
  elseif command then
    outcome, why = command.run(session, rest)
  end
  if not outcome then
    session:problem(why or "it did not work")
    return { ok = false }
  end
  return { ok = true, quit = type(outcome) == "table" and outcome.quit or nil }
end

add_all(require("hob.repl.commands.job"))
add_all(require("hob.repl.commands.look"))
add_all(require("hob.repl.commands.stop"))
add_all(require("hob.repl.commands.general")(M))

return M
