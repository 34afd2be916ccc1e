--- `hob reload`: have a running gateway read its handlers again, now.
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local scripts = require("hob.cli.scripts")

local M = {}

local USAGE = [==[
usage: hob reload [--json] [--data DIR | --config FILE | --socket PATH]

Has the running gateway read its handlers and their modules again, now, and prints each with the
version that is in use from now on. What is broken is told with file and line; its last good version
stays in use. (A gateway does this by itself when a file changes, unless its configuration says
`reload = false`.)

  --json         print JSON, for programs
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0; 1 if something is broken, or no gateway runs; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob reload", usage = USAGE,
  flags = {
    json = {},
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  end
  local found
  found, code = scripts.ask("reload", given)
  if not found then
    return code
  end
  if given.json then
    scripts.mark_lists(found)
    print(json_text.encode({ handlers = found.handlers, modules = found.modules,
      broken = found.broken }))
  else
    scripts.print_handlers(found)
    scripts.print_broken(io.stderr, found)
  end
  return found.broken == 0 and 0 or 1
end

return M
