-- Others' own tools: AWS's against the local Jobs service, and an editor's client library against
-- `hob dap`. `hob lua spec/conformance/run.lua MODULES [PART...]`; `./dev conformance` does it.
-- MODULES is the folder of node's modules. Each part is a program that tells its checks in lines of
-- JSON; here they become a line each, and the last line is "N passed, N failed".

local root = (arg[0]:match("^(.*)/spec/conformance/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local log = require("hob.log")
local pkis = require("spec.support.pki")
local process = require("hob.process")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local READY_SECONDS = 30
local PART_SECONDS = 180
local PYTHON = "/usr/bin/python3" -- Debian's, which has botocore; another may be first in PATH

local here = root .. "/spec/conformance"
local modules = assert(arg[1], "the folder of node's modules is missing")
local wanted = table.move(arg, 2, #arg, 1, {})

local function python(name)
  return { PYTHON, "-B", here .. "/aws/" .. name }
end

local function node(...)
  return { "node", here .. "/js/" .. (...), select(2, ...) }
end

-- In this order. What stands after the program's name follows the path of the world.
local PARTS = {
  { name = "botocore", command = python("boto.py") },
  { name = "aws-cli", command = python("cli.py") },
  { name = "npm-clients", command = node("clients.js") },
  { name = "devices-3.1.1-tcp", command = node("devices.js"), more = { "3.1.1", "tcp" } },
  { name = "devices-3.1.1-tls", command = node("devices.js"), more = { "3.1.1", "tls" } },
  { name = "devices-5-tcp", command = node("devices.js"), more = { "5", "tcp" } },
  { name = "devices-5-tls", command = node("devices.js"), more = { "5", "tls" } },
  { name = "dap", command = node("dap.js") },
}

local function is_wanted(name)
  for _, word in ipairs(wanted) do
    if name:find(word, 1, true) == 1 then
      return true
    end
  end
  return #wanted == 0
end

-- A word that names no part would check nothing.
local function check_words()
  local names = {}
  for i, part in ipairs(PARTS) do
    names[i] = part.name
  end
  for _, word in ipairs(wanted) do
    local known = false
    for _, name in ipairs(names) do
      known = known or name:find(word, 1, true) == 1
    end
    if not known then
      io.stderr:write(("conformance: no part '%s'; there are: %s\n"):format(word,
        table.concat(names, " ")))
      os.exit(2)
    end
  end
end

-- ---- results ----

local passed, failed = 0, {}

local function result(part, line)
  local name = ("%s: %s"):format(part, line.check)
  if line.ok then
    passed = passed + 1
    print("ok      " .. name)
    return
  end
  failed[#failed + 1] = name
  print("FAILED  " .. name)
  for _, member in ipairs{ "why", "expected", "got" } do
    if type(line[member]) == "string" then
      print(("        %-8s  %s"):format(member, line[member]))
    end
  end
end

local function broken(part, why)
  result(part, { check = "the part itself", ok = false, why = why })
end

-- ---- programs ----

-- Nothing of the caller's environment reaches AWS's tools: no profile, no proxy, no real keys.
local function clean_environment(world)
  local words = { "env", "-i" }
  for name, value in pairs{
    PATH = os.getenv("PATH"), HOME = world.dir, TMPDIR = world.dir, LANG = "C.UTF-8",
    NODE_PATH = modules, AWS_CONFIG_FILE = world.dir .. "/aws-config",
    AWS_SHARED_CREDENTIALS_FILE = world.dir .. "/aws-credentials",
    AWS_ACCESS_KEY_ID = "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY = "none",
    AWS_DEFAULT_REGION = "us-east-1", AWS_REGION = "us-east-1", AWS_PAGER = "",
    AWS_EC2_METADATA_DISABLED = "true",
  } do
    words[#words + 1] = name .. "=" .. value
  end
  return words
end

--- Start a part's program; `lines` fills with what it tells, `noise` with the rest.
---@param seconds number|nil  the most it may take
local function start(world, command, more, seconds)
  local words = clean_environment(world)
  for _, list in ipairs{ command, more or {} } do
    table.move(list, 1, #list, #words + 1, words)
  end
  local part = { lines = {}, noise = {} }
  words.timeout, words.grace = seconds, 2
  words.on_line = function(text, is_err)
    local line = not is_err and json.decode(text)
    if type(line) == "table" then
      part.lines[#part.lines + 1] = line
    else
      part.noise[#part.noise + 1] = text
    end
  end
  part.process = assert(exec.spawn(words))
  world.running[part] = true
  return part
end

local function last_words(part)
  return table.concat(part.noise, "\n                  ", math.max(1, #part.noise - 15))
end

--- Wait for a part's end and tell its checks.
local function finish(world, name, part)
  local told, checks, complete, begun = 0, 0, false, time.mono()
  local function tell_new()
    while told < #part.lines do
      told = told + 1
      local line = part.lines[told]
      complete = complete or line["end"]
      if line.check then
        checks = checks + 1
        result(name, line)
      end
    end
  end
  local outcome
  repeat
    tell_new()
    outcome = part.process:wait(0.05)
  until outcome
  world.running[part] = nil
  local deadline = time.mono() + 10 -- its last lines may still be on their way
  repeat
    tell_new()
    time.sleep(0.01)
  until complete or time.mono() > deadline
  if not complete then
    broken(name, ("the program did not come to its end (%s): %s"):format(outcome.words,
      last_words(part)))
  end
  print(("%-22s  %d checks, %.1f s"):format(name, checks, time.mono() - begun))
end

-- ---- the world ----

local function start_broker(world)
  world.pki = pkis.new()
  for _ = 1, 20 do -- until the second port is a free one, too
    world.tcp_port = math.random(20000, 32000)
    local ok, broker = pcall(brokers.start, {
      pki = world.pki, port = math.random(20000, 32000),
      -- Settings of a listener stand below it; this one has none, and so speaks in the clear.
      conf = ("listener %d 127.0.0.1"):format(world.tcp_port),
    })
    if ok then
      world.broker = broker
      return
    end
    world.problem = broker
  end
  error("no broker: " .. tostring(world.problem))
end

local function start_service(world)
  local service = { out = {}, log = {} }
  local broker = world.broker
  local link = exec.check{ "readlink", ("/proc/%d/exe"):format(process.pid()) }.stdout
  world.hob = link:match("[^\n]+")
  service.process = assert(exec.spawn{
    world.hob, "service", "--endpoint", broker.host, "--port", broker.port,
    "--ca", world.pki.ca, "--cert", broker.client.cert, "--key", broker.client.key,
    "--http", "127.0.0.1:0",
    on_line = function(line, is_err)
      local into = is_err and service.log or service.out
      into[#into + 1] = line
    end,
  })
  world.service = service
  local ready, problem = pcall(wait_until, function()
    for _, line in ipairs(service.out) do
      world.hob_url = world.hob_url or line:match("^service ready: (http://%S+:%d+),")
    end
    return world.hob_url
  end, READY_SECONDS, "the service's ready line")
  if not ready then
    error(problem .. "; its log:\n" .. table.concat(service.log, "\n"), 0)
  end
end

local function start_witness(world)
  local witness = start(world, python("witness.py"), { world.hob_url })
  world.witness = witness
  local ready, line = pcall(wait_until, function()
    return witness.lines[1]
  end, READY_SECONDS, "the witness")
  if not ready then
    error(line .. "; it said:\n" .. last_words(witness), 0)
  end
  table.remove(witness.lines, 1)
  world.aws_url = "http://127.0.0.1:" .. math.tointeger(line.port)
end

local function write_world(world)
  local path = world.dir .. "/world.json"
  assert(fs.write(path, assert(json.encode{
    tcp_port = world.tcp_port, tls_port = world.broker.port, ca = world.pki.ca,
    cert = world.broker.client.cert, key = world.broker.client.key, aws_url = world.aws_url,
    hob_url = world.hob_url, hob = world.hob,
  })))
  return path
end

local function start_world(world)
  world.dir, world.running = assert(fs.tempdir()), {}
  start_broker(world)
  start_service(world)
  start_witness(world)
end

local function end_process(one)
  one:kill("TERM")
  if not one:wait(10) then
    one:kill("KILL")
    one:wait(10)
  end
end

local function stop_world(world)
  for part in pairs(world.running or {}) do
    end_process(part.process)
  end
  if world.service then
    end_process(world.service.process)
  end
  for _, one in ipairs{ "broker", "pki" } do
    if world[one] then
      world[one][one == "broker" and "stop" or "remove"](world[one])
    end
  end
  if world.dir then
    fs.remove(world.dir, { recursive = true })
  end
end

-- ---- the run ----

local function service_lives(world)
  if not world.service.process:wait(0) then
    return true
  end
  broken("service", "it ended: " .. table.concat(world.service.log, "\n", math.max(1,
    #world.service.log - 15)))
end

local function run_parts(world)
  local path = write_world(world)
  for _, part in ipairs(PARTS) do
    if is_wanted(part.name) then
      if not service_lives(world) then
        return
      end
      local more = table.move(part.more or {}, 1, #(part.more or {}), 2, { path })
      finish(world, part.name, start(world, part.command, more, PART_SECONDS))
    end
  end
  if #wanted == 0 then -- a part alone does not bring every outcome
    world.witness.process:kill("TERM")
    finish(world, "answers", world.witness)
  end
  service_lives(world)
end

check_words()
log.configure{ level = "off" }
local world, begun = {}, time.mono()
for _, signal in ipairs{ "TERM", "INT" } do
  process.on_signal(signal, function()
    stop_world(world)
    process.exit(130)
  end)
end
local ok, problem = xpcall(function()
  start_world(world)
  run_parts(world)
end, debug.traceback)
if not ok then
  broken("run.lua", problem)
end
stop_world(world)
for _, name in ipairs(failed) do
  print("failed  " .. name)
end
print(("%.1f s"):format(time.mono() - begun))
print(("%d passed, %d failed"):format(passed, #failed))
os.exit(#failed == 0 and passed > 0 and 0 or 1)
