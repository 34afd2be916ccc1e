--- A handler on the bench, under an editor: what `hob handler run` does, with the same outcome.
--- Only in a process of its own (`hob dap`).
--- Spec: spec/integration/dap_spec.lua
local arguments = require("hob.dap.arguments")
local benches = require("hob.handler.bench")
local exec = require("hob.exec")
local future = require("hob.future")
local json = require("hob.json")
local places = require("hob.handler.place")
local process = require("hob.process")
local runs = require("hob.handler.run")
local screens = require("hob.handler.screen")
local settings = require("hob.handler.settings")
local time = require("hob.time")

local M = {}

M.SCHEMA = { program = "string?", handler = "string?", scripts = "string?", config = "string?",
  document = "any", documentFile = "string?", args = "table?", answers = "string?",
  thing = "string?", cwd = "string?", dryRun = "boolean?", retries = "boolean?",
  stopOnEntry = "boolean?", noDebug = "boolean?", pathMappings = "table?" }

local EXIT = { SUCCEEDED = 0, FAILED = 1, REJECTED = 3, RETRY_LATER = 4 }

---@class hob.dap.launched
local launched = {}
launched.__index = launched

---------------------------------------------------------------- what is asked for

local function here()
  local link = ("/proc/%d/cwd"):format(process.pid())
  return (exec.check({ "readlink", link }).stdout:gsub("\n$", ""))
end

-- Breakpoints name files by absolute paths, without detours, so what runs must be loaded by one.
local function absolute(path, folder)
  if not path then
    return nil
  end
  local parts = {}
  for part in (path:sub(1, 1) == "/" and path or folder .. "/" .. path):gmatch("[^/]+") do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

-- `program` is a handler's file: its name and its folder say the rest.
local function read_program(args)
  local folder, name = args.program:match("^(.*)/([^/]+)%.lua$")
  if not folder then
    return nil, ("program: expected a handler's file, NAME.lua, got '%s'"):format(args.program)
  elseif args.handler and args.handler ~= name then
    return nil, ("program is the handler %s, and handler says %s"):format(name, args.handler)
  end
  args.handler, args.scripts = name, args.scripts or folder
  return true
end

-- Members of `args` over those of the document.
local function with_args(args, text)
  local document = { operation = args.handler }
  if text then
    local why
    document, why = json.decode(text)
    if type(document) ~= "table" then
      return nil, "the document is no JSON object" .. (why and ": " .. why or "")
    end
  end
  for name, value in pairs(args.args or {}) do
    document[name] = value
  end
  return json.encode(document)
end

local function read_document(args)
  local given = args.document
  if given == json.null then
    given = nil
  end
  if given ~= nil and args.documentFile then
    return nil, "document and documentFile: expected one of them"
  end
  local text, why
  if args.documentFile then
    text, why = settings.document(args.handler, args.documentFile)
  elseif type(given) == "table" then
    text, why = json.encode(given)
  elseif given == nil or type(given) == "string" then
    text = given
  else
    return nil, "document: expected an object, or JSON text"
  end
  if why then
    return nil, why
  elseif text and not args.args then
    return text -- its bytes, as they are
  end
  return with_args(args, text)
end

-- What hob.handler.run makes of a command line.
local function read_request(args)
  local place, why = places.find({ scripts = args.scripts, config = args.config })
  local request = { name = args.handler, given = { dry_run = args.dryRun, retries = args.retries,
    document = not args.config and (args.document ~= json.null or args.documentFile ~= nil) } }
  if place then
    request.options, why = settings.options(place, args.thing, args.config)
  end
  if request.options then
    request.document, why = read_document(args)
  end
  if request.document and args.answers then
    request.answers, why = settings.answers(args.answers)
  end
  if why then -- the command line's words, of members
    return nil, (why:gsub("^%-%-document", "documentFile"):gsub("^%-%-", ""))
  end
  return request
end

local function check(args)
  args.document = args.document == nil and json.null or args.document
  local wrong = arguments.check(args, M.SCHEMA)
  if wrong then
    return wrong
  elseif args.answers and not args.dryRun then
    return "answers are for dryRun"
  end
  local folder = absolute(args.cwd, here()) or here()
  for _, name in ipairs({ "program", "scripts", "config", "documentFile", "answers" }) do
    args[name] = absolute(args[name], folder)
  end
  if args.program then
    local ok, why = read_program(args)
    return not ok and why or nil
  elseif not args.handler then
    return "expected program, a handler's file, or handler, its name"
  end
end

--- Open a bench for what an editor's `launch` says. Nothing runs yet.
---@param args table
---@return hob.dap.launched|nil
---@return string|nil message
function M.prepare(args)
  local wrong = check(args)
  if wrong then
    return nil, wrong
  end
  local request, why = read_request(args)
  if not request then
    return nil, why
  end
  local bench
  bench, why = benches.open(request.options)
  if not bench then
    return nil, why
  end
  return setmetatable({ request = request, bench = bench, done = future.new(),
    no_debug = args.noDebug == true }, launched)
end

---------------------------------------------------------------- at work

local OUTPUT = { stdout = true, stderr = true }

-- The lines of `hob handler run`, in the editor's console.
local function new_screen(self, session)
  local screen = screens.new({ dry = self.request.given.dry_run, calls = false,
    retries = self.request.given.retries })
  function screen.line(_, format, ...)
    session:say(format:format(...))
  end
  return function(kind, event)
    if OUTPUT[kind] then
      session:event("output", { category = kind, output = event.text })
    else
      screen:hear(kind, event)
    end
  end
end

local function tell_outcome(session, record)
  local keys = {}
  for key in pairs(record.details) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  session:say(("%s  after %.2f s"):format(record.status, record.seconds))
  for _, key in ipairs(keys) do
    session:say(("  %-10s %s"):format(key, tostring(record.details[key])))
  end
  for _, line in ipairs(screens.warnings(record)) do
    session:say("warning: " .. line)
  end
end

local function run(self, session)
  local options = runs.run_options(self.request, self.bench)
  options.hear = new_screen(self, session)
  local record, why = self.bench:run(self.request.name, self.request.document, options)
  if record then
    tell_outcome(session, record)
    local other = runs.other_handler(self.request, self.bench)
    if other then
      session:say("warning: " .. other)
    end
  else
    session:say("hob dap: " .. tostring(why), "important")
  end
  session:event("exited", { exitCode = record and EXIT[record.status] or record and 1 or 2 })
  session:event("terminated")
end

--- Run it; its end is told as events.
---@param session hob.dap.session
function launched:start(session)
  self.started = true
  time.after(0, function()
    local ok, why = pcall(run, self, session)
    if not ok then
      session:say("hob dap: " .. tostring(why), "important")
      session:event("terminated")
    end
    self.done:resolve(true)
  end)
end

--- As `hob cancel`: with its cleanup.
function launched:cancel(session)
  if self.started then
    self.bench:cancel("by the editor")
  else
    session:event("terminated")
  end
end

--- The editor leaves, and what runs is to go on to its end.
function launched:let_go()
  self.keep = self.started
end

function launched:close()
  if self.bench then
    if self.keep then
      self.done:result()
    end
    self.bench:close()
    self.bench = nil
  end
end

return M
