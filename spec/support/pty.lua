-- pty.lua - a program on a terminal of its own, with keys pressed and a screen that is looked at.
--
--     local pty = require("spec.support.pty").start({ worlds.hob(), "repl", "--data", dir })
--     pty:expect("hob>")               -- waits until the screen has it, anywhere
--     pty:send("1 + 1\r")
--     pty:expect("\n2\n")
--     pty:keys("up", "tab", "ctrl-c")
--     pty:resize(24, 40)
--     assert.equal(0, pty:wait())
--
-- The screen is that of an xterm, as far as libedit uses one, without an end at its top: what has
-- been scrolled away is still there. Blanks at the end of a line are not shown.

local process_pty = require("hob_units").pty
local wait_until = require("spec.support.wait").wait_until

local M = {}

local PATIENCE = tonumber(os.getenv("HOB_SPEC_PATIENCE")) or 30

local KEYS = {
  up = "\27[A", down = "\27[B", right = "\27[C", left = "\27[D", tab = "\t", enter = "\r",
  backspace = "\127", home = "\27[H", ["end"] = "\27[F", delete = "\27[3~",
}

---------------------------------------------------------------- the screen

local screen = {}
screen.__index = screen

local function new_screen(columns)
  return setmetatable({ rows = { {} }, y = 1, x = 1, columns = columns, rest = "" }, screen)
end

function screen:row()
  while not self.rows[self.y] do
    self.rows[#self.rows + 1] = {}
  end
  return self.rows[self.y]
end

function screen:put(character)
  if self.x > self.columns then -- a terminal wraps when the next character comes, not before
    self.x, self.y = 1, self.y + 1
  end
  self:row()[self.x] = character
  self.x = self.x + 1
end

function screen:erase(from, to)
  local row = self:row()
  for x = from, to do
    row[x] = nil
  end
end

local function shift(row, at, by, columns)
  if by > 0 then
    for x = columns, at + by, -1 do
      row[x] = row[x - by]
    end
    for x = at, at + by - 1 do
      row[x] = " "
    end
  else
    for x = at, columns do
      row[x] = row[x - by]
    end
  end
end

-- What a sequence "ESC [ numbers LETTER" does.
local SEQUENCES = {
  A = function(self, n) self.y = math.max(1, self.y - n) end,
  B = function(self, n) self.y = self.y + n end,
  C = function(self, n) self.x = math.min(self.columns, self.x + n) end,
  D = function(self, n) self.x = math.max(1, math.min(self.x, self.columns) - n) end,
  G = function(self, n) self.x = n end,
  P = function(self, n) shift(self:row(), self.x, -n, self.columns) end,
  ["@"] = function(self, n) shift(self:row(), self.x, n, self.columns) end,
  K = function(self, _, given)
    self:erase(given == 1 and 1 or self.x, given == 1 and self.x or self.columns)
  end,
  J = function(self)
    self:erase(self.x, self.columns)
    for y = self.y + 1, #self.rows do
      self.rows[y] = {}
    end
  end,
}

local CONTROLS = {
  ["\r"] = function(self) self.x = 1 end,
  ["\n"] = function(self) self.y = self.y + 1 end,
  ["\b"] = function(self) self.x = math.max(1, math.min(self.x, self.columns) - 1) end,
  ["\t"] = function(self) self.x = (self.x - 1) // 8 * 8 + 9 end,
}

-- One piece at `at`. @return where the next one begins, or nil: the rest has not come yet
function screen:step(text, at)
  local byte = text:sub(at, at)
  if byte == "\27" then
    local numbers, letter, next_at = text:match("^\27%[([%d;?]*)([%a@])()", at)
    if letter then
      local given = tonumber(numbers:match("^%d+"))
      if SEQUENCES[letter] then
        SEQUENCES[letter](self, given or 1, given)
      end
      return next_at
    end
    return #text - at >= 8 and at + 1 or nil
  elseif CONTROLS[byte] then
    CONTROLS[byte](self)
    self:row()
    return at + 1
  elseif byte < " " then
    return at + 1
  end
  local character = text:match("^[\0-\127\194-\244][\128-\191]*", at) or "?"
  local wanted = byte >= "\240" and 4 or byte >= "\224" and 3 or byte >= "\194" and 2 or 1
  if #character < wanted and at + #character > #text then
    return nil
  end
  self:put(character)
  return at + #character
end

function screen:feed(bytes)
  local text, at = self.rest .. bytes, 1
  while at <= #text do
    local next_at = self:step(text, at)
    if not next_at then
      break
    end
    at = next_at
  end
  self.rest = text:sub(at)
end

-- All that it has shown, each line without the blanks at its end.
function screen:text()
  local lines = {}
  for y, row in ipairs(self.rows) do
    local cells = {}
    for x = 1, self.columns do
      cells[x] = row[x] or " "
    end
    lines[y] = table.concat(cells):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

-- The line that the cursor is in.
function screen:line()
  local row, cells = self:row(), {}
  for x = 1, self.columns do
    cells[x] = row[x] or " "
  end
  return (table.concat(cells):gsub("%s+$", ""))
end

M.new_screen = new_screen

---------------------------------------------------------------- the program

local pty = {}
pty.__index = pty

local function environment(env)
  local set = { TERM = "xterm", LC_ALL = "C.UTF-8", PATH = os.getenv("PATH") }
  for _, name in ipairs({ "HOB_LIB_DIR", "HOB_MODULE_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS",
    "LSAN_OPTIONS", "HOME" }) do
    set[name] = os.getenv(name)
  end
  for name, value in pairs(env or {}) do
    set[name] = value
  end
  local list = {}
  for name, value in pairs(set) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

---@param argv string[]  the program's path first
---@param options { rows: integer?, columns: integer?, env: table<string, string>? }?
function M.start(argv, options)
  options = options or {}
  local rows, columns = options.rows or 24, options.columns or 80
  return setmetatable({
    process = process_pty.spawn(argv, environment(options.env), rows, columns),
    screen = new_screen(columns), seen = 1, raw = {},
  }, pty)
end

---Take in what has come. @return whether the program's side is open
function pty:pump()
  while true do
    local bytes = self.process:read()
    if not bytes then
      return false
    elseif bytes == "" then
      return true
    end
    self.raw[#self.raw + 1] = bytes
    self.screen:feed(bytes)
  end
end

---Wait until the screen shows a text behind what the call before found.
---@param text string  as it stands; a line's end is "\n"
function pty:expect(text)
  local found
  wait_until(function()
    local open = self:pump()
    local _, stop = self.screen:text():find(text, self.seen, true)
    found = stop
    if not found and not open then
      error("the program has ended; its screen:\n" .. self.screen:text(), 0)
    end
    return found
  end, PATIENCE, function()
    return ("%q behind byte %d; the screen:\n%s"):format(text, self.seen, self.screen:text())
  end)
  self.seen = found + 1
end

---Wait until the line that the cursor is in is this one.
function pty:expect_line(line)
  wait_until(function()
    self:pump()
    return self.screen:line() == line
  end, PATIENCE, function()
    return ("the line %q; it is %q; the screen:\n%s"):format(line, self.screen:line(),
      self.screen:text())
  end)
end

function pty:text()
  self:pump()
  return self.screen:text()
end

function pty:send(bytes)
  self.process:write(bytes)
end

---Keys by name ("up", "tab", "ctrl-c"), one after the other.
function pty:keys(...)
  for _, name in ipairs({ ... }) do
    local control = name:match("^ctrl%-(%a)$")
    self.process:write(control and string.char(control:upper():byte() - 64) or KEYS[name])
  end
end

function pty:resize(rows, columns)
  self:pump()
  self.screen.columns = columns
  self.process:resize(rows, columns)
end

---Do keys reach the program one by one, and are they not shown by the terminal itself?
function pty:is_raw()
  return self.process:is_raw()
end

---Wait until it has ended. @return its exit code and the signal that ended it
function pty:wait()
  wait_until(function()
    self:pump()
    return self.process:ended() ~= nil
  end, PATIENCE, function()
    return "the program's end; its screen:\n" .. self.screen:text()
  end)
  self:pump() -- its last words
  return self.process:ended()
end

---@param signal integer
function pty:kill(signal)
  self.process:kill(signal)
end

function pty:close()
  self.process:close()
end

return M
