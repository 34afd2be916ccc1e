--- Commands of the session itself: help, how values are shown, its end.
local function usage(command)
  return ":" .. command.name .. (command.args and " " .. command.args or "")
end

local function help_all(session, commands)
  local widest = 0
  for _, command in ipairs(commands.list) do
    widest = math.max(widest, #usage(command))
  end
  for _, command in ipairs(commands.list) do
    session:line("%s%s  %s", usage(command), (" "):rep(widest - #usage(command)), command.about)
  end
  session:line("%s", session.jobs:is_attached()
    and "Anything else is Lua: an expression in the frame that is looked at (`:where`).\n"
      .. "A command may be shortened."
    or "Anything else is Lua: jobs, things, handlers, iotjobs, hob.*. Globals last as\n"
      .. "long as the session, _ is the last result. A command may be shortened.")
  return true
end

local function help(commands)
  return function(session, rest)
    if rest == "" then
      return help_all(session, commands)
    end
    local command, why = commands.named(rest:gsub("^:", ""))
    if not command then
      return nil, why
    end
    session:line("%s  %s", usage(command), command.about)
    if command.more then
      session:line("%s", command.more)
    end
    return true
  end
end

local SETTINGS = { "depth", "items", "columns" }

local function set(session, rest)
  local name, value = rest:match("^(%a+)%s+(%d+)$")
  if rest == "" then
    for _, one in ipairs(SETTINGS) do
      session:line("%s %d", one, session.options[one])
    end
    return true
  end
  local low, high = session.range(name)
  value = math.tointeger(tonumber(value))
  if not low then
    return nil, "expected `:set depth N`, `:set items N` or `:set columns N`"
  elseif not value or value < low or value > high then
    return nil, ("%s: expected a whole number from %d to %d"):format(name, low, high)
  end
  session.options[name] = value
  return true
end

-- Each time ten times as many items, and two levels more.
local function more(session)
  local options = session.options
  if not session.shown then
    return nil, "nothing has been shown yet"
  end
  local depth, items = options.depth, options.items
  session:set_options({ depth = depth + 2, items = math.min(items * 10, 10000) })
  local ok, why = pcall(session.show, session, session.shown)
  session.options.depth, session.options.items = depth, items
  return ok or nil, why
end

local function words_of_help(commands)
  return function()
    return commands.names()
  end
end

---@param commands table  hob.repl.commands
---@return hob.repl.command[]
return function(commands)
  return {
    { name = "more", about = "the last result again, ten times as much of it", run = more },
    { name = "set", args = "[depth|items|columns N]", about = "how much of a value is shown",
      more = "depth: how many tables inside one another; items: how many members of each; "
        .. "columns: how wide a line may be. Without anything: what they are.",
      words = function() return SETTINGS end, run = set },
    { name = "help", args = "[COMMAND]", about = "what there is", words = words_of_help(commands),
      run = help(commands) },
    { name = "quit", about = "leave; the job goes on (also Ctrl-D)",
      run = function() return { quit = true } end },
  }
end
