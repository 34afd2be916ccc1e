-- The store's file is damaged under a running gateway: it is set aside, the gateway begins a new
-- one by itself, and nothing is reported that is not known.

local fs = require("hob.fs")
local worlds = require("spec.support.world")

local HEAVY = [[
  local fs = require("hob.fs")
  return { api = 1, args = { go = "string" }, run = function(job, args)
    for i = 1, 6 do
      job:step("heavy " .. i, function() return ("x"):rep(200 * 1024) end)
    end
    job:step("wait", function() while not fs.stat(args.go) do job:sleep(0.01) end end)
  end }
]]
local LIGHT = "return { api = 1, run = function() return { done = true } end }"

-- All but the first page, of the file and of its log.
local function scribble(path)
  local file = assert(io.open(path, "r+b"))
  local size = file:seek("end")
  file:seek("set", 4096)
  file:write(("\xA5"):rep(math.max(0, size - 4096)))
  file:close()
end

describe("a store that is damaged while the gateway runs", function()
  local world

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  it("is set aside, and the same process goes on with a new one", function()
    local gateway = world:gateway({ scripts = { ["heavy.lua"] = HEAVY, ["light.lua"] = LIGHT } })
    local go = world:path("go")
    world:create("heavy", ('{"operation":"heavy","go":"%s"}'):format(go))
    gateway:wait_event("job.step", { step = "wait" })
    local pid = gateway.process:pid()
    scribble(gateway.dir .. "/data/hob.db")
    scribble(gateway.dir .. "/data/hob.db-wal")
    assert(fs.write(go, ""))
    local said = gateway:wait_event("store.damaged")
    assert.matches("found damaged while in use", said.msg)
    gateway:wait_event("hob.started", {}, 2)
    assert.equal(pid, gateway.process:pid())
    world:create("light", '{"operation":"light"}')
    assert.equal("SUCCEEDED", world:ended("light").status)
    local heavy = world:ended("heavy")
    assert.is_true(heavy.status == "SUCCEEDED" or heavy.details.code == "STATE_LOST",
      heavy.status .. " " .. tostring(heavy.details.code))
    assert.equal(1, world:terminal_updates("heavy"))
    local kept = 0
    for _, name in ipairs(assert(fs.list(gateway.dir .. "/data"))) do
      kept = kept + (name:match("^hob%.db%.damaged%-[%dTZ]+$") and 1 or 0)
    end
    assert.equal(1, kept)
    assert.equal(0, gateway:stop())
  end)
end)
