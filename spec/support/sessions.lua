-- sessions.lua - a copy of Hob's Lua files whose session servers (hob.repl.server, hob.dap.server)
-- are a spec's own: what runs in the gateway is then the spec's to say.
--
--     local lib = require("spec.support.sessions").lib(world, { repl = SERVER, dap = SERVER })
--     world:gateway{ env = { HOB_LIB_DIR = lib } }

local exec = require("hob.exec")
local fs = require("hob.fs")

local M = {}

-- Obeys lines: "WORD rest of the line".
M.ECHO = [==[
local console = require("hob.console")
local M = {}
local commands = {}

function commands.say(rest) return rest end
function commands.who() return ("%s %d %d %s"):format(console.who, console.peer.pid,
  console.peer.uid, console.peer.user) end
function commands.ask(rest)
  local lines = 0
  local last, why, code = console.ask({ command = rest }, function() lines = lines + 1 end)
  return last and ("%d lines, pid %s"):format(lines, last.pid) or ("%s %s"):format(code, why)
end
function commands.read(rest)
  local bytes, _, code = console.read(tonumber(rest))
  return bytes or code
end
function commands.spin() while true do end end
function commands.eat() local all = {} while true do all[#all + 1] = ("x"):rep(1 << 20) end end
function commands.fail(rest) error("on purpose: " .. rest, 0) end
function commands.flood() repeat local ok = console.write(("x"):rep(1 << 16)) until not ok
  while true do end end
function commands.later(rest)
  require("hob.time").after(0.01, function() error("later: " .. rest, 0) end)
  return "soon" end
function commands.follow(rest)
  local following, why, code = console.follow({ command = rest, follow = true }, function(line)
    local job = line.job or line.ended or line.gone
    if job then console.write("seen " .. job.jobId .. "\n") end
  end)
  commands.unfollow = following and function() following:close() return "closed" end
  return following and "following" or ("%s %s"):format(code, why)
end
local held -- one that nobody holds goes with the next collection
function commands.child()
  held = require("hob.exec").spawn({ "sleep", "3600" })
  return held and "started"
end
function commands.require(rest)
  local ok, value = pcall(require, rest)
  return ok and type(value) or "no: " .. value:match("[^\n]*")
end

function M.serve(transport)
  assert(transport.who == console.who and transport.kind == "attach")
  local text = ""
  while true do
    local bytes, _, code = transport.read()
    if not bytes then
      transport.write("bye: " .. code .. "\n")
      return
    end
    text = text .. bytes
    for line in text:gmatch("([^\n]*)\n") do
      local word, rest = line:match("^(%S+) ?(.*)$")
      if word == "leave" then
        transport.write("left\n")
        return
      end
      transport.write(tostring(commands[word](rest)) .. "\n")
    end
    text = text:match("[^\n]*$")
  end
end

return M
]==]

---@param world table                  of spec.support.world
---@param servers table<string, string>  text by kind
---@return string directory
function M.lib(world, servers)
  local lib = world:path("lib")
  exec.check({ "sh", "-c", [[mkdir "$2" && cd "$1" && cp -rs "$PWD/." "$2"]], "sh", "lib", lib })
  for kind, text in pairs(servers) do
    local file = ("%s/hob/%s/server.lua"):format(lib, kind)
    fs.remove(file)
    assert(fs.mkdir(file:match("^(.*)/")))
    assert(fs.write(file, text))
  end
  return lib
end

return M
