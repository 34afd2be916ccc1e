-- Documents that the service takes and Hob does not: the job is refused, the queue goes on.

local worlds = require("spec.support.world")

local SCRIPTS = {
  ["greet.lua"] = [[
    return { api = 1, run = function(job) return { said = "hello" } end }
  ]],
}

local function nested(depth)
  return '{"operation":"greet","a":' .. ('{"a":'):rep(depth - 1) .. "1" .. ("}"):rep(depth)
end

describe("a job document", function()
  local world

  before_each(function()
    world = worlds.start({ tls = false })
  end)

  after_each(function()
    world:stop()
  end)

  -- The local service has the limits of Hob's parser, AWS does not.
  local function create(id, document)
    world:create(id, '{"operation":"greet"}')
    world.engine.jobs[id].document = document
  end

  local function assert_rejected(id, reason)
    local execution = world:ended(id)
    assert.equal("REJECTED", execution.status)
    assert.equal("BAD_DOCUMENT", execution.details.code)
    assert.matches(reason, execution.details.reason)
    assert.equal(2, execution.versionNumber) -- never started
  end

  it("within the limits runs, though its message is over them", function()
    world:create("deep", nested(31))
    world:create("deepest", nested(32))
    world:gateway({ scripts = SCRIPTS })
    assert.equal("SUCCEEDED", world:ended("deep").status)
    assert.equal("SUCCEEDED", world:ended("deepest").status)
  end)

  local too_much = {
    ["33 deep"] = { nested(33), "nested" },
    ["1000 deep"] = { nested(1000), "nested" },
    ["that has an integer over 2^53"] = {
      '{"operation":"greet","n":9007199254740993}', "Integer over 2%^53",
    },
    ["that has bytes that are not UTF-8"] = { '{"operation":"greet","s":"\xff"}', "UTF%-8" },
  }
  for what, case in pairs(too_much) do
    it(what .. " is REJECTED with the reason; the job after it runs (field failure 14)", function()
      create("bad", case[1])
      create("ok", '{"operation":"greet"}')
      local gateway = world:gateway({ scripts = SCRIPTS })
      assert_rejected("bad", case[2])
      assert.equal("SUCCEEDED", world:ended("ok").status)
      assert.equal(0, gateway:count("jobs.bad_message"))
    end)
  end

  it("that cannot be parsed is REJECTED too when notify-next brings it", function()
    local gateway = world:gateway({ scripts = SCRIPTS })
    world:create("first", '{"operation":"greet"}')
    assert.equal("SUCCEEDED", world:ended("first").status)
    local create_job = world.engine.create_job
    world.engine.create_job = function(engine, id, request, now)
      local result, out = create_job(engine, id, request, now)
      for _, message in ipairs(out or {}) do
        message.payload = message.payload:gsub('{"operation":"greet"}', nested(40))
      end
      engine.jobs[id].document = nested(40)
      return result, out
    end
    world:create("bad", '{"operation":"greet"}')
    assert_rejected("bad", "nested")
    world.engine.create_job = create_job
    world:create("ok", '{"operation":"greet"}')
    assert.equal("SUCCEEDED", world:ended("ok").status)
    assert.equal(0, gateway:count("jobs.bad_message"))
  end)
end)
