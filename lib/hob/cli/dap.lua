--- `hob dap`: the Debug Adapter Protocol on standard input and output, for editors. `attach` goes
--- through to the gateway of this machine, `launch` runs a handler on the bench, in this process.
local bridges = require("hob.dap.bridge")
local gateways = require("hob.cli.gateway")
local log = require("hob.log")
local options = require("hob.cli.options")
local process = require("hob.process")
local server = require("hob.dap.server")

local M = {}

local USAGE = [==[
usage: hob dap [--data DIR | --config FILE | --socket PATH]

A debug adapter for editors (VS Code, Neovim, Zed, Emacs): it speaks the Debug Adapter Protocol on
standard input and output. The editor's `attach` looks into the jobs of the gateway on this machine,
also as `ssh GATEWAY hob dap`; its `launch` runs a handler here, without a cloud, as
`hob handler run` does. docs/how-to/debug-in-an-editor.md says how to set up each editor.

  --data DIR     of attach: the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Exit status: 0: the editor ended the session; 1: the gateway ended it, or what came made no sense
(standard error says what); 2: misuse.
]==]

local SYNTAX = { command = "hob dap", usage = USAGE, flags = gateways.FLAGS }

local function complain(text)
  io.stderr:write("hob dap: ", tostring(text), "\n")
end

-- Editors end what they started by a signal: programs of a handler on the bench go with it.
local function watch_signals(transport)
  for _, name in ipairs({ "TERM", "INT", "HUP" }) do
    process.on_signal(name, function()
      if transport.close then
        transport.close()
      end
      process.exit(0)
    end)
  end
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  elseif process.is_terminal(0) then
    return select(2, options.mistake("hob dap", "an editor starts this, not a person"))
  end
  log.configure({ level = "error" }) -- that a person writes to his own bench is no news
  local bridge
  local transport = {
    kind = "stdio", who = ("process %d"):format(process.pid()),
    read = process.read, write = process.write, complain = complain,
    bridge = function(request, texts, rest)
      local problem
      bridge, problem = bridges.open(given, request, texts, rest)
      return bridge ~= nil, problem
    end,
  }
  watch_signals(transport)
  local ok = server.serve(transport)
  if ok and bridge then
    local why
    ok, why = bridge:run()
    if not ok then
      complain(why)
    end
  end
  return ok and 0 or 1
end

return M
