-- A job goes on with the version of its handler that it started with, whatever became of the files.

local fs = require("hob.fs")
local worlds = require("spec.support.world")
local wait_until = require("spec.support.wait").wait_until

local HEAD = [[
  local fs = require("hob.fs")
  local shared = require("shared")
  local function wait(job, args) while not fs.stat(args.go) do job:sleep(0.005) end end
  return { api = 1, args = { marks = "string?", go = "string?" }, run = function(job, args)
    if not args.go then return { version = "V", shared = shared.version } end
    job:step("first", function() end)
]]
local LATE = HEAD .. [[
    local late = require("late")
    job:step("wait", function() assert(fs.append(args.marks, "wait\n")) wait(job, args) end)
    return { version = "V", shared = shared.version, late = late.version,
      again = require("shared").version }
  end }
]]
local EARLY = HEAD .. [[
    job:step("wait", function() assert(fs.append(args.marks, "wait\n")) wait(job, args) end)
    local late = require("late")
    return { version = "V", shared = shared.version, late = late.version }
  end }
]]

describe("the version of a handler", function()
  local world, gateway, marks, go

  before_each(function()
    world = worlds.start({ tls = false })
    marks, go = world:path("marks"), world:path("go")
  end)
  after_each(function()
    world:stop()
  end)

  local function put(name, text)
    assert(fs.write(gateway.dir .. "/scripts/" .. name, text))
  end
  local function at(version, text)
    return (text:gsub('"V"', ('"%s"'):format(version)))
  end
  local function module_of(version)
    return at(version, 'return { version = "V" }')
  end

  local function interrupted(text)
    gateway = world:gateway({ scripts = { ["work.lua"] = at("one", text),
      ["lib/shared.lua"] = module_of("one"), ["lib/late.lua"] = module_of("one") } })
    gateway:wait_event("jobs.subscribed")
    world:create("job", ('{"operation":"work","marks":"%s","go":"%s"}'):format(marks, go))
    wait_until(function() return fs.read(marks) == "wait\n" end, worlds.PATIENCE, world:explain())
    local label = gateway:wait_event("job.started").msg:match("handler (%S+),")
    gateway:kill()
    return label
  end

  local function ended()
    assert(fs.write(go, ""))
    gateway:launch()
    local execution = world:ended("job")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    return execution.details
  end

  it("that a job began with is the one that it ends with; the next job gets the new one", function()
    local label = interrupted(LATE)
    put("work.lua", at("two", LATE))
    put("lib/shared.lua", module_of("two"))
    put("lib/late.lua", module_of("two"))
    local details = ended()
    assert.equal("one", details.version)
    assert.equal("one", details.shared)
    assert.equal("one", details.late) -- required after the first step
    assert.equal(label, details.handler)
    world:create("next", '{"operation":"work"}')
    details = world:ended("next").details
    assert.equal("two", details.version)
    assert.equal("two", details.shared)
    assert.not_equal(label, details.handler)
  end)

  it("holds when the file and its modules are gone", function()
    local label = interrupted(LATE)
    assert(fs.remove(gateway.dir .. "/scripts", { recursive = true }))
    assert(fs.mkdir(gateway.dir .. "/scripts"))
    local details = ended()
    assert.equal("one", details.version)
    assert.equal("one", details.late)
    assert.equal(label, details.handler)
  end)

  it("holds when the file is broken", function()
    local label = interrupted(LATE)
    put("work.lua", "return {{{")
    put("lib/shared.lua", "error('broken')")
    local details = ended()
    assert.equal("one", details.version)
    assert.equal("one", details.shared)
    assert.equal(label, details.handler)
  end)

  it("has no say in a module that was never required before the interruption", function()
    interrupted(EARLY)
    put("lib/late.lua", module_of("two"))
    local details = ended()
    assert.equal("one", details.shared)
    assert.equal("two", details.late)
  end)

  it("names the file as ever in its errors", function()
    interrupted(LATE:gsub('return { version = "V"', 'error("at the end") return { version = "V"'))
    put("work.lua", "\n\n\n" .. at("two", LATE))
    assert(fs.write(go, ""))
    gateway:launch()
    local details = world:ended("job").details
    assert.matches("/scripts/work%.lua:%d+: at the end$", details.reason)
  end)

  it("is the file's where an older Hob left none in the store", function()
    interrupted(LATE)
    local env = require("luasql.sqlite3").sqlite3()
    local base = assert(env:connect(gateway.dir .. "/data/hob.db"))
    assert(base:execute("DELETE FROM source_use"))
    base:close()
    env:close()
    put("work.lua", at("two", LATE))
    put("lib/shared.lua", module_of("two"))
    local details = ended()
    assert.equal("two", details.version)
    assert.equal("two", details.shared)
  end)
end)
