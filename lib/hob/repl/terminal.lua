--- `hob repl` on a terminal: lines with keys, history and completion, and what happens meanwhile
--- above them.
local edit = require("hob.edit")
local histories = require("hob.repl.history")
local process = require("hob.process")

local M = {}

local SECOND = "...> "

---@class hob.repl.terminal
local terminal = {}
terminal.__index = terminal

---@return hob.repl.terminal|nil
---@return string|nil message
function M.open()
  local self = setmetatable({}, terminal)
  local editor, why = edit.open({
    complete = function(editor, text)
      self:complete(editor, text)
    end,
  })
  if not editor then
    return nil, why
  end
  self.editor = editor
  local problem
  self.history, problem = histories.open(histories.place())
  for _, line in ipairs(self.history.lines) do
    editor:remember(line)
  end
  if problem then
    self:print(("hob repl: no history is kept: %s\n"):format(problem))
  end
  return self
end

function terminal:print(text)
  if self.editor then
    self.editor:print(text)
  end
end

--- What comes by itself; a stop changes the prompt.
function terminal:on_text(text)
  self:print(text)
  if self.client and self.editor then
    self.editor:prompt(self.pending and SECOND or self.client.prompt)
  end
end

function terminal:complete(editor, text)
  local words, from
  if self.pending and not text:find("%S") then -- code that is indented by tabs, and pasted
    words = {}
  elseif self.client and not self.pending then
    words, from = self.client:complete(text)
  elseif self.client then -- what was typed before counts, too; only its last line is replaced
    local before = self.pending .. "\n"
    words, from = self.client:complete(before .. text)
    from = words and math.max(from - #before, 1)
  end
  if self.editor then
    editor:candidates(words or {}, words and from or 1)
  end
end

-- Ctrl-C reaches us as a signal while something runs.
local function watch_signals(self)
  local function watch(name, fn)
    self.watches[#self.watches + 1] = process.on_signal(name, fn)
  end
  self.watches = {}
  watch("INT", function()
    if self.running and self.client then
      self.client:interrupt()
    elseif self.editor then
      self.editor:interrupt()
    end
  end)
  for _, name in ipairs({ "WINCH", "CONT" }) do
    watch(name, function()
      if self.editor then
        self.editor:resize()
      end
      if self.client then
        self.client:set_options({ columns = process.columns() })
      end
    end)
  end
  for _, name in ipairs({ "TERM", "HUP" }) do -- the terminal is left as it was found
    watch(name, function()
      self.ended_by = name
      if self.editor then
        self.editor:interrupt()
      end
      if self.client then
        self.client:close()
      end
    end)
  end
end

local function run(self, text)
  self.running = true
  local answer, why = self.client:run(text, function(printed)
    self:print(printed)
  end)
  self.running = false
  if answer and answer.more then
    self.pending = text
  else
    self.pending = nil
  end
  return answer, why
end

-- @return string|nil text to run; nil, true: the session is to end
local function read(self)
  local prompt = self.pending and SECOND or self.client.prompt
  local line, _, code = self.editor:read(prompt)
  if code == "ECANCELED" then
    self.pending = nil
    return nil, self.client.lost ~= nil or self.ended_by ~= nil
  elseif not line then
    return nil, true
  end
  self.kept = self.history:add(line, self.pending and self.kept)
  if self.kept then
    self.editor:remember(line)
  end
  return self.pending and self.pending .. "\n" .. line or line
end

local function serve(self, first)
  local text, ends = first, nil
  repeat
    if not text then
      text, ends = read(self)
    end
    if text then
      local answer = run(self, text)
      ends = not answer or answer.quit
      text = nil
    end
  until ends
  return self.client.lost and not self.ended_by and 1 or 0
end

---@param client hob.repl.client
---@param first string|nil  what is run before anything is typed
---@return integer code
function terminal:run(client, first)
  self.client = client
  watch_signals(self)
  return serve(self, first)
end

--- The connection is gone: whoever types learns of it at once.
function terminal:on_lost(why)
  if self.ended_by or not self.editor then
    return
  end
  self:print(("hob repl: %s\n"):format(why))
  self.editor:interrupt()
end

function terminal:close()
  for _, one in ipairs(self.watches or {}) do
    one:close()
  end
  local editor = self.editor
  self.editor = nil
  if editor then
    editor:close()
  end
end

return M
