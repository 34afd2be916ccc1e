-- From the start of the process until its first job has begun, by the service's word: with the
-- floor the first start-next accepted, with Hob the claim, which is one exchange later.
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "start", what = "process start to the first job begun, over TLS" }

local PATIENCE = 30
local HANDLER = [[
return { api = 1, args = { text = "string" }, run = function(job, args)
  return { said = job:step("say", function() return args.text end) }
end }]]

-- Ten handlers, as a gateway has.
local SCRIPTS = {}
for i = 1, 9 do
  SCRIPTS["other-" .. i .. ".lua"] = HANDLER
end
SCRIPTS["bench.lua"] = HANDLER

local function begins(topic, request, out)
  return (topic:find("/start%-next$") or request.status == "IN_PROGRESS")
    and out[1] and out[1].topic:find("/accepted$")
end

-- A start as each but the first is: its store is there.
local function prepare_gateway(rig, thing)
  local one = rig:gateway(thing, SCRIPTS, "tls", nil, false)
  local asked = false
  rig.world:before(function(topic) asked = asked or topic:find(thing, 1, true) ~= nil end)
  one.gateway:launch()
  wait_until(function() return asked end, PATIENCE, "its first life")
  rig.world:before(nil)
  one.stop()
  return function()
    one.gateway:launch()
    return one
  end
end

local function measure(rig, prepare)
  local thing, at, cpu, one = rig:new_thing(), nil, nil, nil
  local start = prepare(thing)
  rig:queue(thing, 1)
  rig.world:after(function(topic, request, out)
    if not at and begins(topic, request, out) then
      at, cpu = time.mono(), proc.cpu_s(one.pid())
    end
  end)
  local began = time.mono()
  one = start()
  wait_until(function() return at end, PATIENCE, "the first job")
  rig.world:after(nil)
  one.stop()
  return { ms = (at - began) * 1000, cpu_ms = cpu * 1000 }
end

function M.run(bench)
  local rig <close> = rigs.start()
  local results = rounds.alternate(bench.rounds * 2 + 1, { -- one is short
    { name = "hob", run = function()
      return measure(rig, function(thing) return prepare_gateway(rig, thing) end)
    end },
    { name = "floor", run = function()
      return measure(rig, function(thing)
        return function() return rig:floor(thing, "jobs", "tls") end
      end)
    end },
  })
  bench:ratio("ms to the first job begun", results, "hob", "floor", "ms", { at_most = 2 })
  bench:ratio("CPU ms until then", results, "hob", "floor", "cpu_ms", {})
end

return M
