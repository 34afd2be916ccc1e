--- The Lua of a session that is attached to no job: globals that last as long as the session, what
--- the gateway has in hand, the client of its connection, and Hob's modules.
local console = require("hob.console")
local core = require("hob.repl.core")
local values = require("hob.repl.values")

local M = {}

-- What `hob.NAME` may be; more can be had by require.
M.MODULES = { "atomic", "aws", "cloud", "exec", "fs", "future", "http", "json", "keys", "log",
  "scripts", "steps", "systemd", "time", "verify" }

---------------------------------------------------------------- what is live

local function ask(request, member)
  local list = {}
  local last, why = console.ask(request, function(line)
    if line[member] then
      list[#list + 1] = line[member]
    end
  end)
  if not last then
    error(why, 0)
  end
  return list, last
end

-- Also by name: jobs["fw-12"]; the first of several. A table, so that completion looks through it.
local function named(list, member)
  local by_name = {}
  for _, item in ipairs(list) do
    by_name[item[member]] = by_name[item[member]] or item
  end
  return setmetatable(list, { __index = by_name })
end

local LIVE = {
  jobs = function() return named(ask({ command = "jobs" }, "job"), "jobId") end,
  handlers = function() return named(ask({ command = "status" }, "handler"), "name") end,
  things = function()
    local _, last = ask({ command = "jobs" }, "job")
    return named(last.things, "thing")
  end,
}

-- The module's names, and its client for the gateway's own connection in one.
local function iotjobs_client()
  local module, client = require("iotjobs"), nil
  return setmetatable({}, { __index = function(self, name)
    if module[name] ~= nil then
      return module[name]
    end
    client = client or module.IotJobsClient()
    local member = client[name]
    if type(member) ~= "function" then
      return member
    end
    return function(first, ...)
      if rawequal(first, self) then
        first = client
      end
      return member(first, ...)
    end
  end })
end

local function hob_modules()
  return setmetatable({}, { __index = function(self, name)
    local module = require("hob." .. tostring(name))
    rawset(self, name, module)
    return module
  end })
end

---------------------------------------------------------------- the environment

---@class hob.repl.own
local own = {}
own.__index = own

---@param print fun(text: string)  where `print` goes
function M.new(print)
  local globals = { hob = hob_modules() }
  globals._G = globals
  function globals.print(...)
    local words = table.pack(...)
    for i = 1, words.n do
      words[i] = tostring(words[i])
    end
    print(table.concat(words, "\t") .. "\n")
  end
  setmetatable(globals, { __index = function(_, name)
    if LIVE[name] then
      return LIVE[name]()
    elseif name == "iotjobs" then
      local made = iotjobs_client()
      rawset(globals, "iotjobs", made)
      return made
    end
    return _G[name]
  end })
  return setmetatable({ globals = globals }, own)
end

--- All names that stand for something, for completion.
---@return string[]
function own:names()
  local names = { "iotjobs" }
  for _, from in ipairs({ _G, self.globals, LIVE }) do
    for name in next, from do
      names[#names + 1] = type(name) == "string" and name or nil
    end
  end
  return names
end

---------------------------------------------------------------- running

-- What is below the session's own files in a traceback says nothing about what was typed.
local function shorten(traceback)
  local kept, dropped = {}, false
  for line in traceback:gmatch("[^\n]+") do
    if line:find("/hob/repl/", 1, true) or line:find("hob.repl", 1, true) then
      dropped = true
      if kept[#kept] and kept[#kept]:find("^%s*%[C%]: in function 'xpcall'") then
        kept[#kept] = nil
      end
    elseif not dropped then
      kept[#kept + 1] = line
    end
  end
  if kept[#kept] == "stack traceback:" then
    kept[#kept] = nil
  end
  return table.concat(kept, "\n")
end

local function describe(problem)
  if type(problem) == "table" and rawget(problem, "message") == nil then
    problem = "error value: " .. values.show(values.node(problem))
  elseif type(problem) == "table" then
    problem = tostring(rawget(problem, "message"))
  end
  return shorten(core.traceback(problem, 3))
end

--- @return function|nil chunk, string|nil message
local function compile(text, globals)
  local chunk = load("return " .. text, "=repl", "t", globals)
  if chunk then
    return chunk
  end
  return load(text, "=repl", "t", globals)
end

-- A string in quotes does not become whole on the next line.
local function wants_more(why)
  return why:find("near <eof>$") ~= nil and not why:find("unfinished string near", 1, true)
end

--- Is it a beginning, which more lines would make whole?
---@param text string
---@return boolean
function M.is_incomplete(text)
  local chunk, as_statement = compile(text, {})
  local _, as_expression = load("return " .. text, "=repl", "t", {})
  return not chunk and (wants_more(as_statement) or wants_more(as_expression))
end

--- Run a text; calls in it may wait.
---@param text string
---@return hob.repl.node[]|nil results
---@return string|nil message  with a traceback
function own:evaluate(text)
  local chunk, why = compile(text, self.globals)
  if not chunk then
    return nil, why
  end
  local results = table.pack(xpcall(chunk, describe))
  if not results[1] then
    return nil, results[2]
  end
  local nodes = {}
  for i = 2, results.n do
    nodes[i - 1] = values.node(results[i])
  end
  if results.n > 1 then
    rawset(self.globals, "_", results[2])
  end
  return nodes
end

return M
