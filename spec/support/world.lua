-- world.lua - everything a job needs, on this machine: a broker (mutual TLS unless tls = false),
-- the local Jobs service in this process, and gateways (`hob run`) as processes of their own.
--
--     local world = require("spec.support.world").start()
--     local gateway = world:gateway{ scripts = { ["greet.lua"] = "return { ... }" } }
--     world:create("job-1", '{"operation":"greet"}')
--     assert.equal("SUCCEEDED", world:ended("job-1").status)
--     world:stop()
--
-- The service is the real one; because it is in this process, a spec can stand between it and the
-- broker: world:before(fn) sees each request before the service does, world:after(fn) each answer
-- before it is published (return "drop" to lose it), world:answer_with(fn) answers in its place.
-- What needs no code between is a fault of the service: world:fault{ op = "update", ... }.

local brokers = require("spec.support.broker")
local engines = require("hob.service.engine")
local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local journals = require("hob.service.journal")
local json = require("hob.json")
local mqtt_side = require("hob.service.mqtt_side")
local process = require("hob.process")
local provisionings = require("hob.service.provisioning")
local pkis = require("spec.support.pki")
local serial = require("hob.service.serial")
local signers = require("hob.service.provisioning.signer")
local template_files = require("hob.service.provisioning.template")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
require("hob.service.control")
require("hob.service.device")

local M = {}

-- Seconds; far above what anything here takes. ./dev mutants waits for what will not come.
local PATIENCE = tonumber(os.getenv("HOB_SPEC_PATIENCE")) or 30
M.PATIENCE = PATIENCE

-- The program that runs this spec.
function M.hob()
  if not M.program then
    local link = ("/proc/%d/exe"):format(process.pid())
    M.program = exec.check({ "readlink", link }).stdout:gsub("\n$", "")
  end
  return M.program
end

---------------------------------------------------------------- gateways

local gateway = {}
gateway.__index = gateway

local function list_text(list)
  local items = {}
  for i, item in ipairs(list) do
    items[i] = ("%q"):format(item)
  end
  return "{ " .. table.concat(items, ", ") .. " }"
end

-- A list of texts, { allow = list }, { lua = "source of a value" }, or a plain value.
local function config_text(values)
  local lines = {}
  for key, value in pairs(values) do
    if type(value) == "table" then
      value = value.allow and "{ allow = " .. list_text(value.allow) .. " }" or value.lua
        or list_text(value)
    elseif type(value) == "string" then
      value = ("%q"):format(value)
    end
    lines[#lines + 1] = ("  %s = %s,\n"):format(key, tostring(value))
  end
  table.sort(lines)
  return "return {\n" .. table.concat(lines) .. "}\n"
end

function gateway:launch()
  local words = {
    M.hob(), "run", "--config", self.config,
    env = self.env,
    on_line = function(line)
      self.lines[#self.lines + 1] = line
      local event = json.decode(line)
      if type(event) == "table" then
        self.events[#self.events + 1] = event
        if self.on_event then
          self.on_event(event)
        end
      end
    end,
  }
  if self.program then -- a product: its configuration is its first argument
    words[1], words[2], words[3], words[4] = self.program, self.config, nil, nil
  end
  if self.stand_in then -- another: it takes the same flags, after its own
    local own = self.stand_in
    words[1], words[2], words[3], words[4] = own.program, "--config", self.config, nil
    table.move(own, 1, #own, 4, words)
  end
  table.move(self.flags, 1, #self.flags, #words + 1, words)
  self.process = assert(exec.spawn(words))
  return self
end

---Wait for a log event. `fields` must match; `count` is how many of them (default 1).
function gateway:wait_event(name, fields, count)
  local found
  wait_until(function()
    local seen = 0
    for _, event in ipairs(self.events) do
      local fits = event.event == name
      for key, value in pairs(fields or {}) do
        fits = fits and event[key] == value
      end
      if fits then
        seen, found = seen + 1, event
        if seen == (count or 1) then
          return true
        end
      end
    end
    return false
  end, PATIENCE, function()
    return ("event %s; the gateway's last lines:\n%s"):format(name,
      table.concat(self.lines, "\n", math.max(1, #self.lines - 20)))
  end)
  return found
end

---How many events of that name there were.
function gateway:count(name)
  local count = 0
  for _, event in ipairs(self.events) do
    count = count + (event.event == name and 1 or 0)
  end
  return count
end

---SIGKILL: as a power cut is for the process.
function gateway:kill()
  if self.process then
    self.process:kill("KILL")
    assert(self.process:wait(PATIENCE))
    self.process = nil
  end
end

---Wait until it has ended by itself, or by a shim (see spec.support.shim).
---@param seconds? number
---@return table? result  as of hob.exec; nil: it still runs
function gateway:wait_end(seconds)
  local result = not self.process or self.process:wait(seconds or PATIENCE)
  if result then
    self.process = nil
  end
  return result
end

---SIGTERM; it must end in order.
---@return integer exit_code
function gateway:stop()
  if not self.process then
    return 0
  end
  self.process:kill("TERM")
  local result = self.process:wait(PATIENCE)
  if not result then
    self:kill()
    error("hob run did not end on SIGTERM; its last lines:\n" ..
      table.concat(self.lines, "\n", math.max(1, #self.lines - 20)))
  end
  self.process = nil
  return result.code
end

---------------------------------------------------------------- the world

local world = {}
world.__index = world

---@class world.options
---@field tls? boolean        default true
---@field plain? boolean      the broker listens in the clear, too, and the service is there
---@field minute_ms? integer  of the service's timers
---@field conf? string        more lines for mosquitto.conf
---@field templates? table<string, string>  of fleet provisioning: name -> JSON text; the PKI's CA
---  signs (it goes with TLS)
---@field log_type? string    of mosquitto, see spec.support.broker
---@field pki? pki            default: a new one; it is removed at the end if it is its own

local function templates_of(texts)
  local templates = {}
  for name, text in pairs(texts) do
    templates[name] = assert(template_files.parse(text))
  end
  return templates
end

---@param options? world.options
function M.start(options)
  options = options or {}
  local self = setmetatable({ gateways = {}, dir = assert(fs.tempdir()) }, world)
  self.pki = options.tls ~= false and (options.pki or pkis.new()) or nil
  self.own_pki = not options.pki
  self.broker = brokers.start({ pki = self.pki, plain = options.plain, conf = options.conf,
    log_type = options.log_type })
  self.journal = journals.new()
  self.engine = engines.new({
    minute_ms = options.minute_ms or 60000,
    on_event = function(event)
      self.journal:add(event, time.now())
    end,
  })
  self:stand_between()
  self.problems = {}
  self.turns = serial.new(function(message)
    self.problems[#self.problems + 1] = message
  end)
  self.provisioning = options.templates and provisionings.new({
    templates = templates_of(options.templates), engine = self.engine, minute = self.engine.minute,
    signer = assert(signers.open(self.pki.dir)),
  }) or nil
  self.side = mqtt_side.start({
    provisioning = self.provisioning,
    engine = self.engine,
    serial = self.turns,
    clock = time.now,
    connect = self.broker[options.plain and "plain_options" or "options"](self.broker,
      { client_id = "jobs-service" }),
  })
  assert(self.side:wait_ready(PATIENCE))
  return self
end

function world:stand_between()
  local handle = self.engine.handle
  self.service_handle = handle
  self.engine.handle = function(engine, topic, payload, now, ...)
    local request = json.decode(payload) or {}
    if self.on_request then
      self.on_request(topic, request)
    end
    local instead = self.instead and self.instead(topic, request)
    if instead == "drop" then
      return {}
    elseif instead then
      instead.clientToken, instead.timestamp = request.clientToken, math.floor(now)
      local kind = instead.code and "/rejected" or "/accepted"
      return { { topic = topic .. kind, payload = json.encode(instead) } }
    end
    local out = handle(engine, topic, payload, now, ...)
    local verdict = self.on_answer and self.on_answer(topic, request, out)
    if verdict == "drop" then
      return {}
    end
    return type(verdict) == "table" and verdict or out
  end
end

---Plant a fault as `hob service fault add` does: see hob.service.faults.
function world:fault(given)
  assert(self.side.faults:add(given))
end

---fn(topic, request) is called before the service handles a request; it may wait.
function world:before(fn)
  self.on_request = fn
end

---fn(topic, request, out) is called after the service has handled it, before the answer goes out;
---`out` is a list of { topic, payload }, and a list that it returns goes out instead.
function world:after(fn)
  self.on_answer = fn
end

---fn(topic, request) may answer a request that the service then never sees: a table is the answer's
---body (a rejection if it has a `code`), "drop" leaves it without one, nil lets it through.
function world:answer_with(fn)
  self.instead = fn
end

---Update an execution as a second device with this thing's certificate would. Its answer goes
---nowhere; only for use inside a hook.
function world:update_behind(job_id, request, thing)
  local topic = ("$aws/things/%s/jobs/%s/update"):format(thing or "gw-1", job_id)
  self.service_handle(self.engine, topic, json.encode(request), time.now())
end

---`env` is added to its environment, each time it is launched; with `launch = false` it is not yet.
---@class world.gateway_options
---@field scripts? table<string, string>
---@field config? table
---@field thing? string
---@field env? table<string, string>
---@field flags? string[]      more words for `hob run`
---@field program? string      in place of `hob run`: called with the configuration's name
---@field stand_in? string     in place of `hob run`: see spec.support.stand_in; default: what
---  HOB_SPEC_GATEWAY says
---@field launch? boolean

---@param options world.gateway_options
function world:gateway(options)
  local thing = options.thing or "gw-1"
  local dir = ("%s/%s-%d"):format(self.dir, thing, #self.gateways + 1)
  assert(fs.mkdir(dir .. "/scripts/lib"))
  for name, text in pairs(options.scripts or {}) do
    assert(fs.write(dir .. "/scripts/" .. name, text))
  end
  local config = {
    endpoint = self.broker.host, port = self.broker.port, thing_name = thing,
    tls = self.pki ~= nil, scripts = "scripts", data = "data", log_format = "json",
    log_level = "debug", backoff_base = 0.05, backoff_cap = 0.3, request_timeout = 5,
    exec_user = exec_user.name(),
  }
  if self.pki then
    local pair = self.pki:issue({ cn = thing, san = {} })
    config.ca, config.cert, config.key = self.pki.ca, pair.cert, pair.key
  end
  for key, value in pairs(options.config or {}) do
    config[key] = value
  end
  local stand_in = not options.program
    and require("spec.support.stand_in").of(options.stand_in, config) or nil
  assert(fs.write(dir .. "/hob.conf.lua", config_text(config)))
  local self_gateway = setmetatable({
    config = dir .. "/hob.conf.lua", dir = dir, env = options.env, events = {}, lines = {},
    flags = options.flags or {}, program = options.program, stand_in = stand_in,
  }, gateway)
  self.gateways[#self.gateways + 1] = self_gateway
  return options.launch == false and self_gateway or self_gateway:launch()
end

local function arn(thing)
  return "arn:aws:iot:us-east-1:123456789012:thing/" .. thing
end

---Change something in the service and publish what follows from it.
function world:control(method, ...)
  local arguments = table.pack(...)
  return self.turns:run(function()
    local result, out = self.engine[method](self.engine, table.unpack(arguments, 1, arguments.n))
    if not result then
      error(("%s: %s"):format(method, json.encode(out)), 0)
    end
    self.side:settle(out or {})
    return result
  end)
end

---@param document string  JSON text
function world:create(job_id, document, thing)
  self:control("create_job", job_id, { targets = { arn(thing or "gw-1") }, document = document },
    time.now())
end

---One job for several things.
---@param list { name: string }[]
function world:create_for(job_id, document, list)
  local targets = {}
  for i, thing in ipairs(list) do
    targets[i] = arn(thing.name)
  end
  self:control("create_job", job_id, { targets = targets, document = document }, time.now())
end

---AWS's JobExecution; `details` are its statusDetails.
function world:describe(job_id, thing)
  local answer = self.engine:describe_execution(thing or "gw-1", job_id, nil, time.now())
  local execution = answer and answer.execution
  if execution then
    execution.details = execution.statusDetails and execution.statusDetails.detailsMap or {}
  end
  return execution
end

local OPEN = { QUEUED = true, IN_PROGRESS = true }

-- What the gateways had said by now has come, too: a turn of the loop reads it, the next ones
-- hand it on line by line.
local function hear_all(self)
  local function heard()
    local count = 0
    for _, one in ipairs(self.gateways) do
      count = count + #one.lines
    end
    return count
  end
  local before
  repeat
    before = heard()
    time.sleep(0)
    time.sleep(0)
  until heard() == before
end

---Wait until an execution has ended, by the service's own view; and here, by the gateway's log.
function world:ended(job_id, thing)
  wait_until(function()
    local execution = self:describe(job_id, thing)
    return execution and not OPEN[execution.status]
  end, PATIENCE, function()
    return "the end of " .. job_id .. "; " .. self:explain()
  end)
  -- The service's turn that ended it may still be at its journal.
  wait_until(function()
    return self:terminal_updates(job_id) > 0 or #self.turns.token > 0
  end, PATIENCE, "the turn that ended " .. job_id)
  hear_all(self)
  return self:describe(job_id, thing)
end

local TERMINAL = { SUCCEEDED = true, FAILED = true, REJECTED = true }

---How many terminal updates the service accepted for a job.
function world:terminal_updates(job_id)
  local count = 0
  for _, entry in ipairs(self.journal:list(nil, job_id)) do
    if entry.answer == "accepted" and TERMINAL[entry.code] then
      count = count + 1
    end
  end
  return count
end

function world:explain()
  local gateway_one = self.gateways[#self.gateways]
  local lines = gateway_one and gateway_one.lines or {}
  return "the gateway's last lines:\n" ..
    table.concat(lines, "\n", math.max(1, #lines - 30))
end

---The program where every user may run it: the checkout may lie in somebody's home.
---@return string path
function world:open_hob()
  local dir = self:path("open")
  exec.check({ "sh", "-c", [[mkdir -p "$1/a/b" && cp "$2" "$1/a/b/hob" && cp -r "$3" "$1/lib" &&
    chmod -R a+rX "$1" && chmod a+x "$4"]], "sh", dir, M.hob(), "lib", self.dir })
  return dir .. "/a/b/hob"
end

---A fresh path that does not exist yet.
function world:path(name)
  self.paths = (self.paths or 0) + 1
  return ("%s/%d-%s"):format(self.dir, self.paths, name)
end

function world:stop()
  for _, one in ipairs(self.gateways) do
    one:kill()
  end
  self.side:close()
  self.broker:stop()
  if self.pki and self.own_pki then
    self.pki:remove()
  end
  fs.remove(self.dir, { recursive = true })
  assert(#self.problems == 0, table.concat(self.problems, "\n"))
end

return M
