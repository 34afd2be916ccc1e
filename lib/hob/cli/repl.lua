--- `hob repl`: look into a gateway that runs, and into its jobs. The session's Lua runs in the
--- gateway (lib/hob/repl/server.lua); here are the terminal and the connection.
local clients = require("hob.repl.client")
local gateways = require("hob.cli.gateway")
local options = require("hob.cli.options")
local plain = require("hob.repl.plain")
local process = require("hob.process")

local M = {}

local USAGE = [==[
usage: hob repl [JOB] [--thing T] [--data DIR | --config FILE | --socket PATH]

Lua in the gateway that runs: what it has in hand, its connection, Hob's modules; and a look into a
running job, its stack, its variables, its steps: `:attach JOB`, or JOB here. `:help` lists the
commands. Leaving leaves the jobs running.

  --thing T      the thing whose connection is used, and whose job is meant
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

From a file or a pipe each line is run as if it were typed, and only results are printed. Only root
and the user that the gateway runs as may. Exit status: 0; 1 if no gateway runs there, the
connection is lost or, from a file or a pipe, something failed; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob repl", usage = USAGE, words = 1,
  flags = {
    thing = { value = "T" },
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local function fail(why)
  io.stderr:write("hob repl: ", tostring(why), "\n")
  return 1
end

local function is_terminal()
  return process.is_terminal(0) and process.is_terminal(1)
end

local function has_colour()
  return os.getenv("TERM") ~= "dumb" and (os.getenv("NO_COLOR") or "") == ""
end

local function first_command(given)
  if not given[1] then
    return nil
  end
  local thing = given.thing and given.thing .. "/" or ""
  return (":attach %s%s"):format(thing, given[1])
end

local function run_plain(place, given)
  local client, why = clients.open(place, given.thing, {
    on_text = plain.print_text,
    on_lost = function() end,
  })
  if not client then
    return fail(why)
  end
  process.on_signal("INT", function()
    client:interrupt()
  end)
  local code = plain.run(client, first_command(given))
  client:close()
  return code
end

local function run_terminal(place, given)
  local terminal, client, why, code
  terminal, why = require("hob.repl.terminal").open()
  if not terminal then
    return fail(why)
  end
  client, why = clients.open(place, given.thing, {
    on_text = function(text) terminal:on_text(text) end,
    on_lost = function(reason) terminal:on_lost(reason) end,
  })
  if client then
    client:set_options({ columns = process.columns(), terminal = true, colour = has_colour() })
    code = terminal:run(client, first_command(given))
    client:close()
  end
  terminal:close()
  return client and code or fail(why)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  end
  local place, misuse = gateways.find(given)
  if not place then
    return select(2, options.mistake("hob repl", "%s", misuse))
  end
  return is_terminal() and run_terminal(place, given) or run_plain(place, given)
end

return M
