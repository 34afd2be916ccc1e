-- core/work/events.h: the newest events of the log, kept in the data directory.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local events = require("hob_units").events

describe("the kept events", function()
  local dir, keeper

  before_each(function()
    dir = assert(fs.tempdir())
  end)

  after_each(function()
    if keeper then keeper:close() end
    keeper = nil
    fs.remove(dir, { recursive = true })
  end)

  local function new(options)
    options = options or {}
    options.dir = dir
    keeper = assert(events.new(options))
    return keeper
  end

  local function lines(name)
    local list = {}
    for line in (fs.read(dir .. "/" .. (name or "events.log")) or ""):gmatch("[^\n]+") do
      list[#list + 1] = line
    end
    return list
  end

  local function messages(name)
    local list = {}
    for i, line in ipairs(lines(name)) do
      local ok, value = pcall(json.decode, line)
      list[i] = ok and value and value.msg or "?"
    end
    return list
  end

  it("are JSON lines for their owner alone, whatever the log's form and level are", function()
    new({ level = "error" }):say("info", "job.step", "begins", { thing = "lamp", job = "fw",
      execution = 2, step = "download" })
    local event = assert(json.decode(lines()[1]))
    assert.same({ "info", "job.step", "lamp", "fw", 2, "download", "begins" }, { event.level,
      event.event, event.thing, event.job, event.execution, event.step, event.msg })
    assert.equal(tonumber("600", 8), fs.stat(dir .. "/events.log").mode & 511)
  end)

  it("begin at info, also where the log says debug, as JSON too", function()
    new({ level = "debug", json = true }):say("debug", "jobs.unknown_answer", "nobody waits for it")
    keeper:say("warn", "conn.lost", "gone")
    assert.same({ "gone" }, messages())
  end)

  it("have no secrets in them, as no line of the log has", function()
    new():say("info", "job.log",
      "token=planted-1 from https://bucket.example/x?X-Amz-Signature=planted-2")
    assert.is_nil(lines()[1]:find("planted", 1, true))
    assert.truthy(lines()[1]:find("https://bucket.example/x?...", 1, true))
  end)

  it("are the newest ones, in two halves that stay below the limit", function()
    new({ limit = 20000 })
    for i = 1, 1000 do
      keeper:say("info", "job.log", ("line %04d"):format(i))
    end
    local former, present = messages("events.log.1"), messages()
    assert.equal("line 1000", present[#present])
    local first = tonumber(former[1]:match("%d+"))
    assert.equal(1000 - first + 1, #former + #present, "none is missing")
    local bytes = fs.stat(dir .. "/events.log").size + fs.stat(dir .. "/events.log.1").size
    assert.is_true(bytes <= 20000, bytes)
    assert.is_true(bytes >= 10000, bytes)
  end)

  it("go on after a crash that left half a line: that is no error", function()
    new():say("info", "job.log", "whole")
    keeper:close()
    assert(fs.append(dir .. "/events.log", '{"ts":"2026-11-23T01:02:03.004Z","mono":1.0,"le'))
    new():say("info", "job.log", "after")
    assert.same({ "whole", "?", "after" }, messages())
  end)

  it("disturb nobody when they cannot be written, and say what is missing once they can"
    .. " (field failure 13)", function()
    new()
    keeper:close()
    assert(fs.remove(dir .. "/events.log"))
    assert(fs.mkdir(dir .. "/events.log"))
    new()
    keeper:say("info", "job.log", "lost 1")
    keeper:say("info", "job.log", "lost 2")
    assert(fs.remove(dir .. "/events.log"))
    keeper:say("info", "job.log", "kept")
    local said = messages()
    assert.equal("kept", said[2])
    assert.truthy(said[1]:find("^3 lines could not be written: ") or
      said[1]:find("^2 lines could not be written: "), said[1])
  end)

  it("are written whole at once, so that none waits in memory for a crash to take it", function()
    new():say("info", "job.log", "first")
    keeper:say("info", "job.log", "second")
    assert.same({ "first", "second" }, messages())
    local result = exec.run({ "tail", "-c", "1", dir .. "/events.log" })
    assert.equal("\n", result.stdout)
  end)

  it("follow no link that somebody has put in their place", function()
    local target = dir .. "/elsewhere"
    assert(fs.write(target, "mine\n"))
    assert(fs.symlink and fs.symlink(target, dir .. "/events.log")
      or exec.run({ "ln", "-s", target, dir .. "/events.log" }))
    new():say("info", "job.log", "not there")
    assert.equal("mine\n", fs.read(target))
  end)
end)
