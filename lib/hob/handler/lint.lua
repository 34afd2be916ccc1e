--- `hob handler lint`: mistakes in handlers that a device would find out at night.
local scan = require("hob.handler.scan")
local fs = require("hob.fs")
local json_text = require("hob.service.json_text")
local lint_file = require("hob.handler.lint.file")
local options = require("hob.cli.options")
local place = require("hob.handler.place")

local M = {}

local USAGE = [==[
usage: hob handler lint [DIR | FILE] [--json] [--scripts DIR | --config FILE]

Looks for mistakes in the handlers of DIR (default: --scripts, the `scripts` of --config, ./scripts,
else those that came with Hob) and in what they share, DIR/lib; or in one handler's FILE. Nothing of
run is called; the files are loaded in a sandbox, as Hob loads them.

One finding a line, FILE:LINE:COLUMN: MESSAGE (CODE). A comment `-- lint: allow CODE` in that line,
or in the one above it, allows it.

  --json         print a JSON list, for programs
  --scripts DIR  the handlers' directory
  --config FILE  a gateway's configuration, which names it

Exit status: 0: nothing found; 1: findings, or it could not look; 2: misuse. Needs luacheck
(apt install lua-check).
]==]

local SYNTAX = {
  command = "hob handler lint", usage = USAGE, words = 1,
  flags = { json = {}, scripts = place.FLAGS.scripts, config = place.FLAGS.config },
}

local function folder_of(path)
  return path:match("^(.*)/[^/]*$") or "."
end

---------------------------------------------------------------- a directory

-- What two handlers are both asked for by.
local function add_duplicates(handlers, findings)
  local taken = {}
  for _, one in ipairs(handlers) do
    taken[one.name] = one
  end
  for _, one in ipairs(handlers) do
    for _, name in ipairs(one.about and one.about.names or {}) do
      local other = taken[name]
      if other and other ~= one then
        local at = one.header.members.names
        findings[#findings + 1] = { file = one.path, line = at and at.at.line or 1, column = 1,
          code = "duplicate-name",
          message = ("'%s' also names %s"):format(name, other.path) }
      end
      taken[name] = taken[name] or one
    end
  end
end

local function read_all(scripts, only)
  local found, why = scan.find(scripts)
  if not found then
    return nil, why
  end
  local list = {}
  for _, one in ipairs(found.handlers) do
    list[#list + 1] = { path = one.path, name = one.name }
  end
  for _, path in ipairs(found.shared) do
    list[#list + 1] = { path = path, shared = true }
  end
  if only then
    local name = only:match("[^/]*$"):gsub("%.lua$", "")
    list, found.ignored = { { path = only, name = name } }, {}
  end
  for _, file in ipairs(list) do
    file.text, file.unread = fs.read(file.path)
  end
  return list, found.ignored
end

-- One that cannot be read does not hide what is wrong with the others.
local function check_file(surroundings, file)
  if file.unread then
    return { { file = file.path, line = 1, column = 1, code = "load", message = file.unread } }
  end
  return lint_file.check(surroundings, file)
end

--- Look at a directory of handlers, or at one file of it.
---@param scripts string
---@param only? string    the file's path
---@return hob.lint.finding[]|nil findings
---@return string|integer message  or how many files were looked at
function M.check(scripts, only)
  local surroundings, why = lint_file.surroundings(scripts)
  if not surroundings then
    return nil, why
  end
  local list, ignored = read_all(scripts, only)
  if not list then
    return nil, ignored
  end
  local findings, handlers = {}, {}
  for _, file in ipairs(list) do
    local some, about, header = check_file(surroundings, file)
    table.move(some, 1, #some, #findings + 1, findings)
    if not file.shared then
      handlers[#handlers + 1] = { name = file.name, path = file.path, about = about,
        header = header }
    end
  end
  add_duplicates(handlers, findings)
  for _, path in ipairs(ignored) do
    findings[#findings + 1] = { file = path, line = 1, column = 1, code = "file-name",
      message = "Hob does not load this file: a handler's name is 1 to 64 of A-Z a-z 0-9 _ . -" }
  end
  return findings, #list
end

---------------------------------------------------------------- the command

local function show(findings, count)
  for _, one in ipairs(findings) do
    print(("%s:%d:%d: %s (%s)"):format(one.file, one.line, one.column, one.message, one.code))
  end
  io.stderr:write(("%s in %d file%s\n"):format(#findings == 0 and "nothing found" or
    #findings == 1 and "1 finding" or #findings .. " findings", count, count == 1 and "" or "s"))
end

local function target(given)
  local word = given[1]
  if word and (given.scripts or given.config) then
    return nil, nil, "expected one of DIR, --scripts and --config"
  end
  local stat = word and fs.stat(word .. "/.")
  if word and not stat and fs.stat(word) then
    return folder_of(word), word
  elseif word then
    given.scripts = word
  end
  local found, why = place.find(given)
  return found and found.scripts, nil, why
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  end
  local scripts, only, why = target(given)
  if not scripts then
    return select(2, options.mistake("hob handler lint", "%s", why))
  end
  local findings, count = M.check(scripts, only)
  if not findings then
    io.stderr:write(("hob handler lint: %s\n"):format(count))
    return 1
  elseif given.json then
    print(json_text.encode(json_text.list(findings)))
  else
    show(findings, count)
  end
  return #findings == 0 and 0 or 1
end

return M
