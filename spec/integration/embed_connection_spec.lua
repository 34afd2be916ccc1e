-- A product that lends its own MQTT connection to Hob (docs/how-to/embed/own_connection.c), and
-- things over one connection: what is asked of `hob run` is asked of them, by the same specs.

local exec = require("hob.exec")
local worlds = require("spec.support.world")

local LIMIT = 280 -- seconds for a file; far above what it takes
local AT_ONCE = 2

-- In place of `hob run` (see spec.support.stand_in): files of specs that must pass as they are.
local LISTS = {
  own_connection = { "job", "finding", "cancel", "broker_kill", "iotjobs_agent" },
  branch = { "job", "cancel", "broker_kill" },
}

describe("in place of a gateway's own connection", function()
  -- Each file is a run of its own; its last lines are kept.
  local function begin(kind, file)
    local tail = {}
    local child = assert(exec.spawn({ worlds.hob(), "lua", "spec/run.lua",
      ("spec/integration/%s_spec.lua"):format(file),
      env = { HOB_SPEC_GATEWAY = kind }, timeout = LIMIT,
      on_line = function(line)
        tail[#tail + 1] = line
        table.remove(tail, #tail > 60 and 1 or #tail + 1)
      end }))
    return { process = child, tail = tail }
  end

  for kind, files in pairs(LISTS) do
    describe(kind, function()
      local runs = {}

      for at, file in ipairs(files) do
        it(("passes %s_spec"):format(file), function()
          for next_one = at, math.min(at + AT_ONCE - 1, #files) do
            runs[next_one] = runs[next_one] or begin(kind, files[next_one])
          end
          local code = runs[at].process:wait(LIMIT).code
          assert.equal(0, code, table.concat(runs[at].tail, "\n"))
        end)
      end
    end)
  end
end)

describe("a product's own connection", function()
  local world, gateway

  local GREET = [[return { api = 1, run = function(job) return { who = job.thing } end }]]

  before_each(function() world = worlds.start() end)
  after_each(function() world:stop() end)

  local function start(config)
    gateway = world:gateway({ stand_in = "own_connection", scripts = { ["greet.lua"] = GREET },
      config = config })
  end

  local function run(thing)
    local job_id = "job-of-" .. thing .. "-" .. gateway:count("job.finished")
    world:create(job_id, '{"operation":"greet"}', thing)
    local execution = world:ended(job_id, thing)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(thing, execution.details.who)
  end

  it("serves a thing: Hob has none of its own", function()
    start()
    run("gw-1")
    local event = gateway:wait_event("conn.up")
    assert.equal("the product's own connection is up (libmosquitto, TLS by OpenSSL)", event.msg)
    assert.equal(1, gateway:count("conn.up"))
    local _, clients = world.broker:log():gsub("New client connected from [^\n]* as gw%-1", "")
    assert.equal(1, clients)
    local status = exec.run({ worlds.hob(), "status", "--config", gateway.config }).stdout
    assert.matches("gw%-1: connected via the product's own connection for", status)
    assert.equal(0, gateway:stop())
  end)

  it("serves several things, which come back with it", function()
    start({ things = { lua = '{ { thing_name = "gw-1" }, { thing_name = "sub-1" }, '
      .. '{ thing_name = "sub-2" } }' } })
    for _, thing in ipairs({ "gw-1", "sub-1", "sub-2" }) do
      run(thing)
    end
    world.broker:kill()
    local lost = gateway:wait_event("conn.lost")
    assert.equal("the product's own connection is lost: the link was lost", lost.msg)
    world.broker:start_again()
    for _, thing in ipairs({ "gw-1", "sub-1", "sub-2" }) do
      run(thing)
    end
    assert.equal(2, gateway:count("conn.up"))
  end)

  it("is what all things use: none may name another's", function()
    start({ things = { lua = '{ { thing_name = "gw-1" }, '
      .. '{ thing_name = "sub-1", connection = "gw-1" } }' } })
    assert.equal(2, gateway:wait_end().code)
    assert.matches("connection: all things use the product's own connection",
      table.concat(gateway.lines, "\n"))
  end)

  it("is told of a doubt when the service is silent, and made anew", function()
    start({ request_timeout = 0.3 })
    run("gw-1")
    world:answer_with(function() return "drop" end)
    world:create("silent", '{"operation":"greet"}')
    gateway:wait_event("conn.lost")
    world:answer_with(nil)
    assert.equal("SUCCEEDED", world:ended("silent").status)
    assert.matches("product: Hob had no answer for long: no answer came to %d+ requests in a row",
      table.concat(gateway.lines, "\n"))
  end)
end)
