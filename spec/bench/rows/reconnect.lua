-- From the cut of a TLS connection to the first answer on the next one: with the session resumed,
-- and by a full handshake, which it takes when the CA file is another one than at the last.
local fs = require("hob.fs")
local mqtt = require("hob.mqtt")
local process = require("hob.process")
local proc = require("spec.bench.proc")
local rigs = require("spec.bench.rig")
local rounds = require("spec.bench.rounds")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = { name = "reconnect", what = "a lost TLS connection: cut to the first answer" }

local PATIENCE = 30

-- Each time that it is up it publishes; the PUBACK is the first answer.
local function connect(rig, ca)
  local told = { answers = 0 }
  local conn
  conn = mqtt.connect(rig.broker:options({
    client_id = rig:new_thing(), ca = ca, backoff_base = 0.001, backoff_cap = 0.01,
    on_up = function()
      assert(conn:publish("bench/reconnect", "x"))
      told.at, told.cpu, told.answers = time.mono(), proc.cpu_s(process.pid()), told.answers + 1
    end,
  }))
  wait_until(function() return told.answers == 1 end, PATIENCE, "the first connection")
  return conn, told
end

local function measure(conn, told, resumed)
  local answers, cpu, began = told.answers, proc.cpu_s(process.pid()), time.mono()
  conn:reconnect("the bench cuts it")
  wait_until(function() return told.answers > answers end, PATIENCE, "the next connection")
  local is_resumed = conn:describe():find(", resumed", 1, true) ~= nil
  assert(is_resumed == resumed, conn:describe())
  return { ms = (told.at - began) * 1000, cpu_ms = (told.cpu - cpu) * 1000 }
end

function M.run(bench)
  local rig <close> = rigs.start()
  local ca, text = rig.world:path("ca.crt"), fs.read(rig.broker.pki.ca)
  assert(fs.write(ca, text))
  local conn <close>, told = connect(rig, ca)
  local function full()
    assert(fs.write(ca, text .. text)) -- the same CA twice: another list
    local one = measure(conn, told, false)
    assert(fs.write(ca, text))
    measure(conn, told, false)
    return one
  end
  local results = rounds.alternate(bench.rounds * 4 + 1, { -- one is short
    { name = "resumed", run = function() return measure(conn, told, true) end },
    { name = "full handshake", run = full },
  })
  bench:ratio("ms to the first answer", results, "resumed", "full handshake", "ms",
    { at_most = 0.6 })
  bench:ratio("CPU ms until then", results, "resumed", "full handshake", "cpu_ms", {})
end

return M
