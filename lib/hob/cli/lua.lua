-- lua.lua - `hob lua`: a Lua interpreter with Hob's modules. The chunk runs as a task, so that
-- calls which wait (hob.exec.run, connection:publish) may stand anywhere in it.

local process = require("hob.process")

local M = {}

local USAGE = [[
usage: hob lua [-e CODE] [-m MODULE] [FILE|-] [ARG...]
  FILE       run it; `arg` holds its arguments; `-` is standard input
  -e CODE    run CODE first (may be given more than once)
  -m MODULE  require MODULE first
  Without FILE, -e and -m: on a terminal each line is run as it comes; else standard input is run.
]]

local function run_chunk(text, name, ...)
  local chunk, message = load(text, name)
  if not chunk then
    return nil, message
  end
  return xpcall(chunk, function(err)
    if type(err) ~= "string" then
      err = tostring(err)
    end
    return debug.traceback(err, 2)
  end, ...)
end

local function fail(message)
  io.stderr:write("hob lua: ", tostring(message), "\n")
  return 1
end

local function read_all(path)
  local file = io.stdin
  if path ~= "-" then
    local message
    file, message = io.open(path, "rb")
    if not file then
      return nil, message
    end
  end
  local text, why = file:read("a")
  if path ~= "-" then
    file:close()
  end
  if not text then
    return nil, path .. ": " .. why
  end
  return (text:gsub("^#[^\n]*", "")) -- a `#!` line
end

local function print_results(ok, ...)
  if not ok then
    fail((...))
  elseif select("#", ...) > 0 then
    print(...)
  end
end

local function interactive()
  local pending
  while true do
    io.stdout:write(pending and ">> " or "> "):flush()
    local line = process.read_line()
    if not line then
      return 0
    end
    local text = pending and pending .. "\n" .. line or line
    local chunk, message = load("return " .. text, "=stdin")
    if not chunk then
      chunk, message = load(text, "=stdin")
    end
    if chunk then
      pending = nil
      print_results(xpcall(chunk, debug.traceback))
    elseif message:find("<eof>", 1, true) then
      pending = text
    else
      pending = nil
      fail(message)
    end
  end
end

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  rawset(os, "exit", process.exit) -- the runtime is taken down in order
  local i, ran = 1, false
  while argv[i] and argv[i]:sub(1, 1) == "-" and argv[i] ~= "-" do
    local flag, value = argv[i], argv[i + 1]
    if flag == "--help" or flag == "-h" then
      io.stdout:write(USAGE)
      return 0
    elseif (flag ~= "-e" and flag ~= "-m") or not value then
      io.stderr:write("hob lua: ", flag, " is not understood, or lacks its value\n", USAGE)
      return 2
    end
    local ok, message
    if flag == "-e" then
      ok, message = run_chunk(value, "=(command line)")
    else
      ok, message = run_chunk("require(" .. ("%q"):format(value) .. ")", "=(command line)")
    end
    if not ok then
      return fail(message)
    end
    ran, i = true, i + 2
  end
  local file = argv[i]
  if not file and ran then
    return 0
  elseif not file and process.is_terminal(0) then
    return interactive()
  end
  file = file or "-"
  local text, message = read_all(file)
  if not text then
    return fail(message)
  end
  _G.arg = { [0] = file, [-1] = "hob", table.unpack(argv, i + 1) }
  local ok, why = run_chunk(text, file == "-" and "=stdin" or "@" .. file, table.unpack(_G.arg))
  if not ok then
    return fail(why)
  end
  return 0
end

return M
