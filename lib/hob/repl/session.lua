--- What one REPL session is at: its own Lua, the job that it is attached to, how things are shown,
--- and where output goes. `server.lua` hands lines in, `commands.lua` has what begins with ":".
local attached = require("hob.repl.attached")
local commands = require("hob.repl.commands")
local own = require("hob.repl.own")
local texts = require("hob.repl.text")
local values = require("hob.repl.values")

local M = {}

local OUTPUT_MAX = 1024 * 1024 -- of one run
local PIECE_MAX = 16 * 1024    -- of one line to the client
local LIMITS = { columns = { 20, 500 }, depth = { 1, 50 }, items = { 1, 10000 } }

---@class hob.repl.session
---@field options table  columns, depth, items; terminal: a person sits there; colour
---@field attached hob.repl.attached|nil
local session = {}
session.__index = session

---@param given { who: string, send: fun(line: table) }
---@return hob.repl.session
function M.new(given)
  local self = setmetatable({
    who = given.who, send_line = given.send,
    options = { columns = 80, depth = values.DEPTH, items = values.ITEMS },
  }, session)
  self.own = own.new(function(text)
    self:say(text)
  end)
  self.jobs = attached.new(self)
  return self
end

---------------------------------------------------------------- options

--- Numbers out of range are brought into it: they come from a window's size.
---@param given table
function session:set_options(given)
  for name, range in pairs(LIMITS) do
    local value = math.tointeger(given[name])
    if value then
      self.options[name] = math.min(math.max(value, range[1]), range[2])
    end
  end
  for _, name in ipairs({ "terminal", "colour" }) do
    if type(given[name]) == "boolean" then
      self.options[name] = given[name]
    end
  end
end

---@return integer low
---@return integer high
function session.range(name)
  local range = LIMITS[name]
  return range and range[1], range and range[2]
end

---------------------------------------------------------------- output

function session:paint(kind, text)
  return texts.paint(self.options.colour == true, kind, text)
end

-- What was counted last is said once.
local function room_for(self, text)
  if not self.run_id then
    return text
  end
  local left = OUTPUT_MAX - self.written
  self.written = self.written + #text
  if left <= 0 then
    return nil
  elseif #text > left then
    return text:sub(1, left):gsub("[\128-\255]*$", "") ..
      ("\n... output cut after %d bytes\n"):format(OUTPUT_MAX)
  end
  return text
end

--- Text that is clean (texts.clean), with its newline: of what runs, or by itself.
---@param text string
function session:put(text)
  text = room_for(self, text)
  while text and text ~= "" do
    local stop = math.min(#text, PIECE_MAX)
    while stop > 1 and stop < #text and text:byte(stop + 1) & 0xC0 == 0x80 do
      stop = stop - 1
    end
    self.send_line({ id = self.run_id, text = text:sub(1, stop) })
    text = text:sub(stop + 1)
  end
end

--- Any text, as it came from wherever.
---@param text string
function session:say(text)
  self:put(texts.clean(text))
end

--- One line.
function session:line(format, ...)
  self:say((select("#", ...) > 0 and format:format(...) or format) .. "\n")
end

function session:problem(text)
  self:put(self:paint("problem", text) .. "\n")
end

--- Something that happened by itself.
---@param event string
---@param text string  clean
function session:tell(event, text)
  if self.run_id then
    self:put(text .. "\n")
  else
    self.send_line({ event = event, text = text .. "\n", prompt = self:prompt() })
  end
end

---@param nodes hob.repl.node[]
function session:show(nodes)
  local cut = false
  for _, node in ipairs(nodes) do
    local text, some_cut = values.show(node, {
      depth = self.options.depth, items = self.options.items, width = self.options.columns - 1,
    })
    cut = cut or some_cut
    self:put(text .. "\n")
  end
  self.shown = nodes
  if cut then
    self:put(self:paint("dim", "(cut: `:more` shows more, `:help set` says how much)") .. "\n")
  end
end

---------------------------------------------------------------- lines that come in

---@return string
function session:prompt()
  return self.jobs:prompt() or "hob> "
end

function session:hello()
  return { hello = { protocol = 1, who = self.who }, prompt = self:prompt() }
end

--- For the log: the job that it is about.
function session:about()
  return self.jobs:about()
end

function session:begin_run(id)
  self.run_id, self.written = id, 0
end

--- @return table answer  the last line of what ran
function session:finish_run(outcome)
  local id = self.run_id
  self.run_id = nil
  return { id = id, ["end"] = true, ok = outcome.ok == true, more = outcome.more,
    quit = outcome.quit, prompt = self:prompt() }
end

local function evaluate(self, text)
  if self.jobs:is_attached() then
    return self.jobs:evaluate(text)
  end
  return self.own:evaluate(text)
end

--- Will nothing be run, since more lines belong to it?
---@param text string
---@return boolean
function session.is_incomplete(text)
  return not text:find("^%s*:") and own.is_incomplete(text)
end

--- Run a line: a command, or Lua.
---@param text string
---@return { ok: boolean, more: boolean?, quit: boolean? }
function session:run(text)
  if text:find("^%s*$") then
    return { ok = true }
  elseif session.is_incomplete(text) then
    return { ok = true, more = true }
  elseif text:find("^%s*:") then
    return commands.run(self, text:match("^%s*:(.-)%s*$"))
  end
  local nodes, why = evaluate(self, text)
  if not nodes then
    self:problem(why)
    return { ok = false }
  end
  self:show(nodes)
  return { ok = true }
end

function session:close()
  self.jobs:close()
end

return M
