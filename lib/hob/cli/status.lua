--- `hob status`: how the gateway of this machine does.
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local scripts = require("hob.cli.scripts")
local words = require("hob.cli.words")

local M = {}

local USAGE = [==[
usage: hob status [--json] [--data DIR | --config FILE | --socket PATH]

How the running gateway does: since when, where its data is, whether its things reach the service,
and its handlers with the version in use. (`hob jobs` shows its jobs.)

  --json         print JSON, for programs: digests in full
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0; 1 if no gateway runs there; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob status", usage = USAGE,
  flags = {
    json = {},
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local WATCH = {
  events = "changes are loaded by themselves",
  polling = "changes are looked for every few seconds: they cannot be watched",
  off = "changes are loaded by `hob reload`",
}

local function show_thing(thing)
  local state = thing.online and "connected" or "not connected"
  print(("%s: %s for %s%s"):format(thing.thing, state, words.span(thing.forSeconds),
    thing.why and ": " .. thing.why or ""))
  if thing.untold > 0 then
    print(("%s: %d outcome%s the service does not have yet"):format(thing.thing, thing.untold,
      thing.untold == 1 and " that" or "s that"))
  end
end

local function show(found)
  print(("hob %s, process %d, up for %s, since %s"):format(found.version, found.pid,
    words.span(found.uptimeSeconds), words.clock(found.startedAt)))
  print("data in " .. found.data)
  for _, thing in ipairs(found.things) do
    show_thing(thing)
  end
  print(("%d job%s in hand"):format(found.jobs, found.jobs == 1 and "" or "s"))
  print(("handlers in %s; %s"):format(found.scripts, WATCH[found.watch] or found.watch))
  scripts.print_handlers(found)
  scripts.print_broken(io.stdout, found)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  end
  local found
  found, code = scripts.ask("status", given)
  if not found then
    return code
  end
  if given.json then
    found["end"] = nil
    found.handlers, found.modules = json_text.list(found.handlers), json_text.list(found.modules)
    found.things = json_text.list(found.things)
    print(json_text.encode(found))
  else
    show(found)
  end
  return 0
end

return M
