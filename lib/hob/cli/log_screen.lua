--- How `hob log` shows what happened: one line each, time, step, text.
local process = require("hob.process")
local tables = require("hob.cli.table")

local M = {}

local MARKS = { warn = "WARNING: ", error = "ERROR: " }
local LEADS = { ["job.step"] = "", ["job.log"] = "says", ["lua.print"] = "prints" }
local TEXTS = { -- of notes
  ROTATED = "... %s",
  CUT = "... %s",
  LOST = "... %s",
}
local STEP_MAX = 24

--- Text of a stranger, so that it cannot do anything to the terminal: of a line that was written
--- over (a bar of progress) what was last to be seen.
---@param text string
---@return string
function M.clean(text)
  text = text:gsub("\r+$", ""):gsub("^.*\r", "")
  return (text:gsub("[%z\1-\8\11-\31\127]", function(sign)
    return ("\\x%02x"):format(sign:byte())
  end):gsub("\u{80}", "?"):gsub("\xc2([\x80-\x9f])", function(sign)
    return ("\\u%04x"):format(sign:byte())
  end))
end

local function write(text)
  return io.stdout:write(text, "\n")
end

local screen = {}
screen.__index = screen

--- @param options { job: string?, json: boolean?, terminal: boolean?, write: function? }
---@return table
function M.new(options)
  local terminal = options.terminal
  if terminal == nil then
    terminal = process.is_terminal()
  end
  return setmetatable({
    job = options.job, json = options.json, terminal = terminal, write = options.write or write,
    steps = {},  -- of each execution, the one at which it is
    open = nil,  -- output whose line has no end yet
    width = 0,   -- of the steps so far
  }, screen)
end

local function key_of(item)
  return ("%s/%s/%s"):format(item.thing, item.job, item.execution)
end

--- @return boolean ok  false: nobody reads it any more
function screen:print(text)
  if not self.write(text) then
    self.closed = true
  end
  return not self.closed
end

--- The time in short, below a line with the day.
function screen:time(ts)
  if not self.terminal then
    return ts
  end
  local day, clock = ts:sub(1, 10), ts:sub(12, 19)
  if day ~= self.day then
    self.day = day
    self:print(day .. " (UTC)")
  end
  return clock
end

--- Whose line it is, where it could be another's.
function screen:whose(item)
  if not self.job then
    return item.job and item.job .. "  " or ""
  end
  local key = key_of(item)
  self.many = self.many or (self.key ~= nil and self.key ~= key)
  self.key = key
  return self.many and ("%s#%s  "):format(item.thing, item.execution or "?") or ""
end

function screen:line(item, step, text)
  step = tables.cut(step ~= "" and step or "-", STEP_MAX)
  self.width = math.max(self.width, tables.width(step))
  return self:print(("%s  %s%s  %s"):format(self:time(item.ts), self:whose(item),
    tables.pad(step, self.width), text))
end

--- What it is, before its words.
local function lead(event)
  local word = LEADS[event.event] or event.event:match("^job%.(.*)$") or event.event
  if event.code and event.event:find("^job%.") then
    word = ("%s, %s"):format(word, event.code)
  end
  return word == "" and "" or word:gsub("_", " ") .. ": "
end

function screen:event(event)
  local key = key_of(event)
  if event.job then
    self.steps[key] = event.step or (event.event == "job.log" and self.steps[key]) or ""
  end
  local text = (MARKS[event.level] or "") .. lead(event) .. M.clean(event.msg)
  if event.action then
    text = ("%s (%s)"):format(text, M.clean(event.action))
  end
  if event.level ~= "info" and event.event:find("^job%.") then
    text = ("%s [%s]"):format(text, event.event)
  end
  self:line(event, event.step or self.steps[key] or "", text)
end

function screen:output_line(output, text)
  self:line(output, self.steps[key_of(output)] or "", ("%s %s: %s"):format(
    output.stream == "stderr" and "!" or "|", M.clean(output.program), M.clean(text)))
end

--- What was printed without an end of line waits for it, until something else comes.
function screen:finish()
  local open = self.open
  self.open = nil
  if open and open.text ~= "" then
    self:output_line(open, open.text)
  end
end

local function goes_on(open, output)
  return open and open.program == output.program and open.stream == output.stream and
    key_of(open) == key_of(output)
end

function screen:output(output)
  local text = output.text
  if goes_on(self.open, output) then
    text = self.open.text .. text
  else
    self:finish()
  end
  self.open = nil
  local rest = 1
  for line, after in text:gmatch("([^\n]*)\n()") do
    self:output_line(output, line)
    rest = after
  end
  if rest <= #text then
    output.text = text:sub(rest)
    self.open = output
  end
end

--- Show one item of a timeline.
---@param item table  { event = ... }, { output = ... } or { note = ... }
---@param text string its JSON
---@return boolean ok
function screen:show(item, text)
  if self.json then
    self:print(text)
  elseif item.output then
    self:output(item.output)
  elseif item.event then
    self:finish()
    self:event(item.event)
  elseif item.note then
    self:finish()
    self:print((TEXTS[item.note.code] or "... %s"):format(M.clean(item.note.text)))
  end
  return not self.closed
end

return M
