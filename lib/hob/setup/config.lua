--- hob.conf.lua as Hob's commands write it: its text, what differs from the file that is there, and
--- putting it in place. For `hob init`, `hob import` and `hob provision`.
--- Spec: spec/integration/init_spec.lua
local fs = require("hob.fs")

local M = {}

M.FILE = "/etc/hob/hob.conf.lua"
M.DATA = "/var/lib/hob"

-- The order in which they are written.
local KEYS = { "endpoint", "port", "tls", "thing_name", "client_id", "ca", "cert", "key",
  "scripts", "data", "exec_user", "handler_dir", "persistent_session", "log_level", "log_target" }

local function literal(value)
  if type(value) == "string" then
    return (("%q"):format(value):gsub("\\\n", "\\n"))
  end
  return tostring(value)
end

--- The directory where a shell would look for a relative name.
---@param path string
---@return string absolute
function M.absolute(path)
  if path:sub(1, 1) == "/" then
    return path
  end
  local here = os.getenv("PWD")
  return here and here .. "/" .. path:gsub("^%./", "") or path
end

-- A name of a file may have a line's end in it: what follows would be no comment any more.
local function comment(text)
  return "-- " .. text:gsub("%c", "?")
end

---@param settings table<string, string|number|boolean>  by the configuration's own keys
---@param head string       what made it
---@param notes string[]?   lines of comment, at the end of the table
---@return string text
function M.text(settings, head, notes)
  local lines = { comment(head), "return {" }
  for _, key in ipairs(KEYS) do
    if settings[key] ~= nil then
      lines[#lines + 1] = ("  %s = %s,"):format(key, literal(settings[key]))
    end
  end
  for _, note in ipairs(notes or {}) do
    lines[#lines + 1] = note == "" and "" or "  " .. comment(note)
  end
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end

---------------------------------------------------------------- what differs

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- How many lines two texts have in common from each place on.
local function common(a, b)
  local length = {}
  for i = #a + 1, 1, -1 do
    length[i] = {}
    for j = #b + 1, 1, -1 do
      if i > #a or j > #b then
        length[i][j] = 0
      elseif a[i] == b[j] then
        length[i][j] = length[i + 1][j + 1] + 1
      else
        length[i][j] = math.max(length[i + 1][j], length[i][j + 1])
      end
    end
  end
  return length
end

local LINES_MAX = 500

--- The lines that go ("-") and those that come ("+"), in their order; none: the texts are the same.
---@param before string
---@param after string
---@return string[] changes
function M.changes(before, after)
  if before == after then
    return {}
  end
  local a, b = lines_of(before), lines_of(after)
  if #a > LINES_MAX or #b > LINES_MAX then
    return { ("- all of it (%d lines)"):format(#a), ("+ %d lines"):format(#b) }
  end
  local out, length, i, j = {}, common(a, b), 1, 1
  while i <= #a or j <= #b do
    if i <= #a and j <= #b and a[i] == b[j] then
      i, j = i + 1, j + 1
    elseif i <= #a and (j > #b or length[i + 1][j] >= length[i][j + 1]) then
      out[#out + 1], i = "- " .. a[i], i + 1
    else
      out[#out + 1], j = "+ " .. b[j], j + 1
    end
  end
  return out
end

---------------------------------------------------------------- in place

local MODE = "644" -- it holds no secret

local function directory_of(path)
  return path:match("^(.*)/[^/]*$") or "."
end

--- Write it whole or not at all. A file that is there and differs is left alone, unless `force`:
--- then it is kept beside, as FILE.old.
---@param path string
---@param text string
---@param force boolean?
---@return "written"|"same"|"differs"|nil done
---@return string|string[] more  of "differs": the changes; of nil: why not
function M.put(path, text, force)
  local before, why, code = fs.read(path)
  if not before and code ~= "ENOENT" then
    return nil, why
  elseif before == text then
    return "same", path
  elseif before and not force then
    return "differs", M.changes(before, text)
  end
  local ok = true
  if before then
    ok, why = fs.copy(path, path .. ".old")
  elseif directory_of(path) ~= "" then
    ok, why = fs.mkdir(directory_of(path))
  end
  if ok then
    ok, why = fs.write(path, text, not before and { mode = MODE } or nil)
  end
  return ok and "written" or nil, ok and path or why
end

return M
