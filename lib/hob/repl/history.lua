--- What was typed in earlier sessions: a file of the user's, one line each, the newest last.
--- Lines that begin with a blank are not kept, as shells have it.
--- Spec: spec/unit/repl_history_spec.lua
local fs = require("hob.fs")

local M = {}

M.MAX = 1000 -- what is kept when the file has grown to twice as much

---@return string|nil path  nil: nobody knows where
function M.place()
  local state, home = os.getenv("XDG_STATE_HOME"), os.getenv("HOME")
  if state and state:sub(1, 1) == "/" then
    return state .. "/hob/history"
  elseif home and home:sub(1, 1) == "/" then
    return home .. "/.local/state/hob/history"
  end
end

local function split(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

---@class hob.repl.history
---@field lines string[]
local history = {}
history.__index = history

local function make_file(path)
  local ok, why = fs.mkdir(path:match("^(.*)/"))
  if ok and not fs.exists(path) then
    ok, why = fs.write(path, "", { mode = "600" })
  end
  if ok then
    ok, why = fs.chmod(path, "600")
  end
  return ok, why
end

--- What is wrong with the file is said, and nothing is kept then: a full disk or a read-only home
--- must not keep anybody from looking into a job.
---@param path string|nil
---@return hob.repl.history
---@return string|nil problem
function M.open(path)
  local self = setmetatable({ lines = {}, path = path }, history)
  if not path then
    return self
  end
  local ok, why = make_file(path)
  local text
  if ok then
    text, why = fs.read(path)
  end
  if not text then
    self.path = nil
    return self, why
  end
  self.lines = split(text)
  if #self.lines > 2 * M.MAX then
    self.lines = { table.unpack(self.lines, #self.lines - M.MAX + 1) }
    fs.write(path, table.concat(self.lines, "\n") .. "\n", { mode = "600" })
  else
    self.lines = { table.unpack(self.lines, math.max(1, #self.lines - M.MAX + 1)) }
  end
  return self
end

---@param line string
---@param belongs boolean|nil  to lines before it, which are kept: a blank is no wish then
---@return boolean kept
function history:add(line, belongs)
  if line:find("^%s") and not belongs or not line:find("%S") or line == self.lines[#self.lines] then
    return false
  end
  self.lines[#self.lines + 1] = line
  if self.path and not fs.append(self.path, line .. "\n") then
    self.path = nil
  end
  return true
end

return M
