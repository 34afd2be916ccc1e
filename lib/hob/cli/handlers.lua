--- `hob handlers`: the handlers of the running gateway. (`hob handler` works with files at a desk.)
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local process = require("hob.process")
local scripts = require("hob.cli.scripts")
local tables = require("hob.cli.table")
local words = require("hob.cli.words")

local M = {}

local USAGE = [==[
usage: hob handlers [--json] [--data DIR | --config FILE | --socket PATH]

The handlers of the running gateway: the version in use, since when, whether it works, and how many
of its jobs ended well or otherwise since the gateway started; with several directories of handlers
also its file, and the one that this stands in for. (`hob handler` works with files.)

  --json         print JSON, for programs: digests in full
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0; 1 if no gateway runs there; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob handlers", usage = USAGE,
  flags = {
    json = {},
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local LEAST = 48 -- columns in which a description can be read
local STATES = { ok = "ok", broken = "broken", last_good = "last good" }

-- `files`: with several directories it matters which file it is.
local function rows_of(handlers, files)
  local rows = {}
  for i, handler in ipairs(handlers) do
    local good = handler.state ~= "broken"
    rows[i] = { handler.name, good and handler.digest:sub(1, 12) or "-",
      good and words.clock(handler.loadedAt) or "-",
      STATES[handler.state] .. (handler.path == "C" and ", in C" or ""), handler.succeeded,
      handler.failed, table.concat(handler.names or {}, " "), handler.description or "" }
    if files then
      table.insert(rows[i], 7, (handler.path or "-")
        .. (handler.shadows and " over " .. handler.shadows or ""))
    end
  end
  return rows
end

local HEAD = { "HANDLER", "VERSION", "LOADED", "STATE", "DONE", "FAILED", "ALSO", "DESCRIPTION" }

local function show(found)
  local several = found.scripts:find("\n", 1, true)
  local rows = rows_of(found.handlers, several)
  local head = table.move(HEAD, 1, #HEAD, 1, {})
  if several then
    table.insert(head, 7, "FILE")
  end
  if rows[1] then
    tables.print(head, rows, process.is_terminal() and { width = process.columns(), least = LEAST }
      or nil)
  else
    print("no handlers in " .. found.scripts:gsub("\n", ", "))
  end
  scripts.print_broken(io.stdout, found)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  end
  local found
  found, code = scripts.ask("handlers", given)
  if not found then
    return code
  end
  if given.json then
    found["end"] = nil
    scripts.mark_lists(found)
    print(json_text.encode(found))
  else
    show(found)
  end
  return 0
end

return M
