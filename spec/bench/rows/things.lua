-- What many things in one process cost: a broker with mutual TLS, a certificate (EC P-256) for each
-- thing, the local Jobs service in this process, and one `hob run` for all of them. Memory is the
-- process's own (RssAnon: how many pages of its libraries are resident changes meanwhile) less that
-- of the same process without any thing, read when all are connected and nothing moves, and again
-- after a job for each.
local json = require("hob.json")
local proc = require("spec.bench.proc")
local things = require("spec.support.things")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local M = { name = "things", what = "many things in one process, over mutual TLS" }

local PATIENCE = 600

local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

local function gateway_of(world, list)
  return world:gateway({ scripts = { ["say.lua"] = HANDLER }, config = {
    things = { lua = things.config(list) }, log_level = "info", keep_alive = 600,
    connect_timeout = 120, request_timeout = 120, poll = 86400, connect_rate = 0,
    backoff_base = 1, backoff_cap = 10 } })
end

-- Of a process that has no thing at all.
local function base_kb(world)
  local gateway = gateway_of(world, {})
  gateway:wait_event("hob.started")
  local kb = proc.status_kb(gateway.process:pid(), "RssAnon")
  gateway:stop()
  return kb
end

local function ended(world, list, job)
  local count = 0
  for _, thing in ipairs(list) do
    local found = world:describe(job, thing.name)
    count = count + (found and found.status == "SUCCEEDED" and 1 or 0)
  end
  return count
end

local function connect(gateway, count)
  gateway:wait_event("hob.started")
  wait_until(function() return gateway:count("jobs.subscribed") >= count end, PATIENCE, function()
    return ("%d things to connect; %d have"):format(count, gateway:count("jobs.subscribed"))
  end)
end

local function a_job_each(world, gateway, list)
  world:create_for("say", json.encode({ operation = "say", text = "hello" }), list)
  wait_until(function()
    return gateway:count("job.finished") >= #list and ended(world, list, "say") == #list
  end, PATIENCE, function()
    return ("a job for each of %d things; %d have ended"):format(#list, ended(world, list, "say"))
  end)
end

local function measure(world, made, count)
  local list = table.move(made.list, 1, count, 1, {})
  local base, began = base_kb(world), time.mono()
  local gateway = gateway_of(world, list)
  local pid = gateway.process:pid()
  connect(gateway, count)
  local connected, kb, cpu = time.mono(), proc.status_kb(pid, "RssAnon"), proc.cpu_s(pid)
  local files = proc.descriptors(pid)
  a_job_each(world, gateway, list)
  local one = {
    things = count, connected_kb = (kb - base) / count, connect_s = connected - began,
    connect_ms = cpu / count * 1000, jobs_s = time.mono() - connected,
    job_ms = (proc.cpu_s(pid) - cpu) / count * 1000,
    after_kb = (proc.status_kb(pid, "RssAnon") - base) / count,
    peak_mb = proc.status_kb(pid, "VmHWM") / 1024, descriptors = files / count,
    again = gateway:count("conn.lost") + gateway:count("conn.refused"),
  }
  gateway:stop()
  return one
end

local function of(made, count)
  local world <close> = setmetatable({}, { __close = function(self) self.world:stop() end })
  world.world = worlds.start({ pki = made.pki, log_type = "information",
    conf = "max_connections -1" })
  return measure(world.world, made, count)
end

local function tell(bench, one)
  local function figure(what, value, unit, goal)
    bench:figure({ what = ("%d things: %s"):format(one.things, what), value = value, unit = unit,
      at_most = goal })
  end
  figure("memory of each, connected", one.connected_kb, "KB", 60)
  figure("memory of each, after a job", one.after_kb, "KB")
  figure("peak of the process", one.peak_mb, "MB")
  figure("descriptors of each", one.descriptors, "")
  figure("all connected after", one.connect_s, "s")
  figure("a job for each after", one.jobs_s, "s")
  figure("connections lost or refused", one.again, "")
end

-- Each of the most things against each of the fewest: 1 is linear.
local function tell_growth(bench, list)
  local few, many = list[1], list[#list]
  for _, way in ipairs({
    { "memory", "connected_kb", 1.2 }, { "CPU to connect", "connect_ms", 1.5 },
    { "CPU of a job", "job_ms", 1.5 },
  }) do
    bench:figure({ what = ("linear: %s of each, %d things to %d"):format(way[1], many.things,
      few.things), value = many[way[2]] / few[way[2]], unit = "ratio", at_most = way[3],
      hob = many[way[2]], peer = few[way[2]], versus = ("%d things"):format(few.things) })
  end
end

local function curve(list, key, factor)
  local points = {}
  for i, one in ipairs(list) do
    points[i] = { one.things, one[key] * (factor and one.things / factor or 1) }
  end
  return points
end

function M.run(bench)
  local counts, list = bench.quick and { 30, 100 } or { 100, 300, 1000 }, {}
  local made = things.make(counts[#counts])
  local pki <close> = setmetatable({}, { __close = function() made.pki:remove() end })
  for i, count in ipairs(counts) do
    bench:say(("%d things ..."):format(count))
    list[i] = of(pki and made, count)
    tell(bench, list[i])
  end
  tell_growth(bench, list)
  bench:curve({ name = "things", title = "Things in one process, over mutual TLS", x = "things",
    y = "MB, s", series = {
      { label = "MB for all, connected", points = curve(list, "connected_kb", 1024) },
      { label = "s of CPU to connect all", points = curve(list, "connect_ms", 1000) },
      { label = "s of CPU for a job each", points = curve(list, "job_ms", 1000) },
    } })
end

return M
