--- `hob handler`: what a field engineer does with handlers at a desk. Only looks up who does it.
local M = {}

local USAGE = [==[
usage: hob handler list [--json]               the handlers here, and whether each is whole
       hob handler help NAME [--json]          what one is for, its arguments, documents to send
       hob handler lint [DIR] [--json]         mistakes in handlers, before a device finds them
       hob handler run NAME --document FILE    run one without a cloud
       hob handler new NAME                    write a new one, and its spec
       hob handler test [FILE...]              run the specs of handlers

Each has --help. Where the handlers are is said by

  --scripts DIR  the directory; else
  --config FILE  the `scripts` of a gateway's configuration; else
                 ./scripts, if it is there; else those that came with Hob
]==]

local COMMANDS = { list = true, help = true, lint = true, run = true, new = true,
  test = true }

---@param argv string[]
---@return integer code
function M.run(argv)
  local name = argv[1]
  if name == "--help" or name == "-h" then
    io.stdout:write(USAGE)
    return 0
  elseif not COMMANDS[name] then
    io.stderr:write(name and ("hob handler: no command '%s'\n"):format(name) or "", USAGE)
    return 2
  end
  return require("hob.handler." .. name).run(table.move(argv, 2, #argv, 1, {}))
end

return M
