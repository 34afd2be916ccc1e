--- `hob handler list`: the handlers here, and whether Hob can use them.
local directory = require("hob.handler.directory")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local place = require("hob.handler.place")
local process = require("hob.process")
local tables = require("hob.cli.table")

local M = {}

local USAGE = [==[
usage: hob handler list [--json] [--scripts DIR | --config FILE]

The handlers of a directory: name, whether Hob can use it, the digest that is reported with its
jobs, the other names under which documents may ask for it, and what it is for.

  --json         print a JSON list, for programs
  --scripts DIR  the handlers' directory; default: the `scripts` of --config, ./scripts, or those
                 that came with Hob
  --config FILE  a gateway's configuration

Exit status: 0; 1 if one is broken, or the directory cannot be read; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob handler list", usage = USAGE,
  flags = { json = {}, scripts = place.FLAGS.scripts, config = place.FLAGS.config },
}

local function state_of(entry)
  return entry.trouble and "broken" or entry.built_in and "built-in" or "ok"
end

local function show(entries)
  local rows, broken = {}, {}
  for i, entry in ipairs(entries) do
    local about = entry.about or {}
    rows[i] = { entry.name, state_of(entry), tostring(about.api or "-"),
      (entry.digest or "-"):sub(1, 12), table.concat(about.names or {}, " "),
      about.description or "" }
    broken[#broken + 1] = entry.trouble
  end
  tables.print({ "HANDLER", "STATE", "API", "DIGEST", "NAMES", "WHAT IT DOES" }, rows,
    process.is_terminal() and { width = process.columns() } or nil)
  for _, why in ipairs(broken) do
    print("broken: " .. why)
  end
end

local function as_json(entries)
  local list = {}
  for i, entry in ipairs(entries) do
    local about = entry.about or {}
    list[i] = { name = entry.name, path = entry.path, state = state_of(entry), api = about.api,
      digest = entry.digest, description = about.description, error = entry.trouble,
      names = json_text.list(about.names or {}) }
  end
  return json_text.encode(json_text.list(list))
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  end
  local found, why = place.find(given)
  if not found then
    return select(2, options.mistake("hob handler list", "%s", why))
  end
  local entries
  entries, why = directory.list(found.scripts)
  if not entries then
    io.stderr:write(("hob handler list: %s\n"):format(why))
    return 1
  elseif given.json then
    print(as_json(entries))
  else
    show(entries)
  end
  for _, entry in ipairs(entries) do
    code = entry.trouble and 1 or code
  end
  return code or 0
end

return M
