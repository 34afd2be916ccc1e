--- Writes packaging/man/hob.conf.lua.5.in, the manual page of the configuration, from the tables of
--- docs/reference/config.md. `./dev docs` runs it. Spec: spec/unit/man_spec.lua

local M = {}

local HEAD = [[
.\" Made by packaging/man/generate.lua from docs/reference/config.md: change that.
.TH HOB.CONF.LUA 5 "" "Hob @PROJECT_VERSION@" "Hob"
.SH NAME
hob.conf.lua \- configuration of hob, which runs AWS IoT Jobs on a gateway
.SH SYNOPSIS
.EX
return {
  endpoint = "EXAMPLE\-ats.iot.eu\-central\-1.amazonaws.com", thing_name = "gateway\-7",
  ca = "AmazonRootCA1.pem", cert = "gateway\-7.crt", key = "gateway\-7.key",
  scripts = "/etc/hob/scripts", data = "/var/lib/hob",
}
.EE
.SH DESCRIPTION
A Lua file that returns a table, at most 1 MB. It is evaluated with nothing in reach: no files, no
environment, no
.BR require ;
it may compute with its own locals.
.PP
Every key is checked before anything starts. What does not fit is one line on standard error that
names file, line, key and what was expected.
.B hob doctor \-\-config
.I FILE
looks at what the file names, too.
.PP
A relative file name in the file belongs to the directory of the file. Each key of one value is also
a flag of
.BR "hob run" ,
with dashes:
.B thing_name
is
.BR \-\-thing\-name .
Flags override the file. Sizes are bytes, or texts such as "64M".
]]

local TAIL = [[
.SH FILES
.TP
.I /etc/hob/hob.conf.lua
what the systemd unit starts with
.TP
.I /etc/hob/hob.conf.lua.example
one to begin with
.SH SEE ALSO
.BR hob (1)
]]

-- A line that begins with a point or an apostrophe is a request.
local function escape(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("…", "...")
  return (text:gsub("^([.'])", "\\&%1"))
end

local function plain(text)
  text = text:gsub("%[([^%]]-)%]%([^)]-%)", "%1"):gsub("%*%*", "")
  local out, at = {}, 1
  for before, code, after in text:gmatch("([^`]*)`([^`]+)`()") do
    out[#out + 1] = escape(before) .. "\\fB" .. escape(code) .. "\\fR"
    at = after
  end
  out[#out + 1] = escape(text:sub(at))
  return (table.concat(out):gsub("^%s+", ""):gsub("%s+$", ""))
end

local function add_row(out, name, cells)
  local about = { plain(cells[1]) }
  about[#about + 1] = cells[2] ~= "" and plain(cells[2]) or nil
  about[#about + 1] = cells[3] ~= ""
    and (cells[3]:find("^required") and "" or "default ") .. plain(cells[3]) or nil
  out[#out + 1] = (".TP\n.B %s\n(%s)"):format(escape(name), table.concat(about, "; "))
  if cells[4] ~= "" then
    out[#out + 1] = ".br\n" .. plain(cells[4])
  end
end

--- The page.
---@param markdown string  of docs/reference/config.md
---@return string
function M.page(markdown)
  local out, section = { HEAD .. ".SH KEYS" }, nil
  for line in markdown:gmatch("[^\n]+") do
    section = line:match("^## (.+)") or section
    local name, kind, range, default, meaning =
      line:match("^| `([%w_]+)` | ([^|]-) |%s*([^|]-)%s*| ([^|]-) |%s*(.-)%s*|$")
    if name then
      if section then
        out[#out + 1] = (".SS %s"):format(plain(section))
        section = nil
      end
      add_row(out, name, { kind, range, default, meaning })
    end
  end
  out[#out + 1] = TAIL
  return table.concat(out, "\n")
end

if ... then -- required by its name; `lua packaging/man/generate.lua` gives none
  return M
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local file = assert(io.open("packaging/man/hob.conf.lua.5.in", "w"))
assert(file:write(M.page(read("docs/reference/config.md"))))
assert(file:close())
