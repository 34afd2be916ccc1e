-- test.lua - `hob handler test`: specs of handlers, by busted, inside this program.
-- Spec: spec/integration/handler_new_spec.lua

local places = require("hob.handler.place")
local process = require("hob.process")

local M = {}

local USAGE = [==[
usage: hob handler test [--scripts DIR] [FILE|FOLDER ...] [busted's flags]
  Run specs of handlers (require("hob.testing")) by busted, which must be installed: Debian's
  package lua-busted, or `luarocks install busted`. Without FILE and FOLDER: all *_spec.lua in spec.
  Each flag but --scripts is busted's own: --filter=PATTERN, --output=TAP; --help-busted shows them.

  Exit code 0: all passed; 1: something failed; 2: it was used wrongly, or busted is not there.
]==]

local MISSING = [==[
hob handler test: busted is not installed: apt-get install lua-busted, or luarocks install busted
]==]

-- --scripts is ours, all else is busted's.
local function read(argv)
  local rest, scripts = {}, nil
  local i = 1
  while argv[i] do
    local word = argv[i]
    if word == "--scripts" then
      i = i + 1
      scripts = argv[i] or ""
    elseif word:find("^%-%-scripts=") then
      scripts = word:sub(#"--scripts=" + 1)
    else
      rest[#rest + 1] = word == "--help-busted" and "--help" or word
    end
    i = i + 1
  end
  return rest, scripts
end

-- busted's ways to end the process are ours: the exit code comes back here.
local function run_busted(arguments)
  local ended = {}
  local function leave(code)
    ended.code = code == true and 0 or code or 0
    error(ended, 0)
  end
  require("busted.compatibility").exit = leave
  rawset(os, "exit", leave)
  _G.arg = { [0] = "hob handler test", table.unpack(arguments) }
  local ok, problem = pcall(require("busted.runner"), { standalone = false })
  rawset(os, "exit", process.exit)
  if not ok and problem ~= ended then
    io.stderr:write("hob handler test: ", tostring(problem), "\n")
    return 1
  end
  local code = ended.code or 0
  return code == 0 and 0 or 1
end

---@param argv string[]
---@return integer code
function M.run(argv)
  if argv[1] == "--help" or argv[1] == "-h" then
    io.stdout:write(USAGE)
    return 0
  end
  local arguments, scripts = read(argv)
  if scripts then
    local place, message = places.find({ scripts = scripts })
    if not place then
      io.stderr:write("hob handler test: ", message, "\n")
      return 2
    end
    require("hob.testing").scripts = place.scripts
  end
  if not package.searchpath("busted.runner", package.path) then
    io.stderr:write(MISSING)
    return 2
  end
  return run_busted(arguments)
end

return M
