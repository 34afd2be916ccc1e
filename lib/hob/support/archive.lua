--- The parts of a support archive: each masked, none larger than it may be, all together below the
--- limit. What could not be got is noted with its reason; nothing here fails.
local tar = require("hob.support.tar")
local time = require("hob.time")

local M = {}

M.LIMIT = 5 * 1000 * 1000
local NOTES = 64 * 1024 -- of README.txt, kept free for it
local DIRECTORY = "hob-support/"

---@class hob.support.archive
local archive = {}
archive.__index = archive

---@param mask fun(text: string): string
---@return hob.support.archive
function M.new(mask)
  return setmetatable({
    mask = mask, parts = {}, notes = {}, made = time.now(),
    left = M.LIMIT - #tar.END - tar.size(NOTES),
  }, archive)
end

--- Say what is missing, or what is special.
function archive:note(format, ...)
  self.notes[#self.notes + 1] = (self.mask(format:format(...)):gsub("%c+", " "))
end

--- The end of a text, from a line's start; what is before it is said to be missing.
local function cut_front(text, most)
  local note = "... %d bytes before this are left out: it is too much\n"
  local kept = text:sub(-math.max(most - #note - 20, 0))
  kept = kept:gsub("^[^\n]*\n", "", 1)
  return note:format(#text - #kept) .. kept
end

--- @param name string
---@param text string|nil     nil: it could not be got
---@param why string|integer|nil  the reason; or, with a text, how large it may be
function archive:add(name, text, why)
  if not text then
    return self:note("%s: %s", name, why or "it could not be got")
  end
  text = self.mask(text)
  local most = math.min(math.tointeger(why) or M.LIMIT, self.left - tar.size(0) - 512)
  if most < 1024 then
    return self:note("%s: left out, since the archive is full", name)
  elseif #text > most then
    self:note("%s: only its end, of %d bytes", name, #text)
    text = cut_front(text, most)
  end
  self.left = self.left - tar.size(#text)
  self.parts[#self.parts + 1] = { name = self.mask(name), text = text }
end

--- Have `fn` add something. Whatever goes wrong in it is noted.
function archive:try(name, fn, ...)
  local ok, why = pcall(fn, self, ...)
  if not ok then
    self:note("%s: %s", name, why)
  end
end

--- @return string text  of README.txt
function archive:readme(about)
  local lines = { about, "", "In here:" }
  for _, part in ipairs(self.parts) do
    lines[#lines + 1] = ("  %-32s %8d bytes"):format(part.name, #part.text)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = self.notes[1] and "Missing, or special:" or "Nothing is missing."
  for _, note in ipairs(self.notes) do
    lines[#lines + 1] = "  " .. note
  end
  local text = self.mask(table.concat(lines, "\n") .. "\n")
  return #text > NOTES and text:sub(1, NOTES - 8) .. "\n...\n" or text
end

local function safe(name)
  return (name:gsub("[^%w@._/-]", "_"):sub(1, 80))
end

--- @param about string  the first words of README.txt
---@return string tar
function archive:pack(about)
  local mtime = math.floor(self.made)
  local list = { tar.entry(DIRECTORY .. "README.txt", self:readme(about), mtime) }
  for _, part in ipairs(self.parts) do
    list[#list + 1] = tar.entry(DIRECTORY .. safe(part.name), part.text, mtime)
  end
  list[#list + 1] = tar.END
  return table.concat(list)
end

return M
