-- Handlers that do not want to end, in a real gateway: each is ended by its time-out or by a limit,
-- truthfully, and the same process goes on with the next job (field failure 11).

local fs = require("hob.fs")
local worlds = require("spec.support.world")

-- What a handler does for ever; `run` goes on after it only if something was caught.
local WAYS = {
  ["pcall in a loop"] = [[while true do pcall(function() while true do end end) end]],
  ["a wait in pcall in a loop"] = [[while true do pcall(job.sleep, job, 3600) end]],
  ["a coroutine in a loop"] = [[
    while true do
      coroutine.resume(coroutine.create(function() while true do end end))
      pcall(coroutine.wrap(function() job:sleep(3600) end))
    end]],
  ["a close function that loops"] = [[
    local _ <close> = setmetatable({}, { __close = function()
      mark("begun")
      while true do pcall(error) end
    end })
    job:sleep(3600)]],
  ["a close function that waits and raises"] = [[
    local _ <close> = setmetatable({}, { __close = function()
      mark("begun")
      mark(pcall(job.sleep, job, 3600) and "waited" or "refused")
      job:sleep(3600)
    end })
    pcall(job.sleep, job, 3600)]],
  ["a step that catches what is in it"] = [[
    pcall(job.step, job, "one", function() pcall(job.sleep, job, 3600) end)
    while true do pcall(job.sleep, job, 3600) end]],
}

local LIMITS = {
  ["a callback of table.sort"] = [[table.sort({ 3, 2, 1 }, function() while true do end end)]],
  ["a message handler"] = [[xpcall(error, function() while true do end end)]],
  ["a pattern that explodes"] = [[
    local length = 50 -- longer and longer, until one call takes a second on any machine
    while true do
      local _ = ("a"):rep(length):find(".-.-.-b")
      length = length * 13 // 10
      for _ = 1, 200 do end
    end]],
}

local function handler(code, timeout)
  return ([[
    local fs = require("hob.fs")
    local function mark(text) assert(fs.append("@marks", text .. " ")) end
    return { api = 1, timeout = %s,
      run = function(job)
        job:step("begin", function() end)
        pcall(function() %s end)
        mark("went on")
      end,
      cleanup = function(_, _, why) mark("cleanup:" .. why.kind) end }
  ]]):format(timeout, code)
end

describe("a handler that does not want to end", function()
  local world, marks
  local number = 0

  local function scripts()
    local list = {}
    local function add(ways, prefix, timeout)
      for name, code in pairs(ways) do
        local file = prefix .. name:gsub("%A", "-")
        list[file .. ".lua"] = handler(code, timeout):gsub("@marks", marks)
      end
    end
    add(WAYS, "way-", 1.5) -- in which a step has begun
    add(LIMITS, "limit-", 3600)
    list["good.lua"] = "return { api = 1, run = function() return { pid = 'good' } end }"
    return list
  end

  setup(function()
    world = worlds.start({ tls = false })
    marks = world:path("marks")
    world:gateway({ scripts = scripts() })
  end)

  teardown(function()
    world:stop()
  end)

  local function run(operation)
    number = number + 1
    local id = "job-" .. number
    world:create(id, ('{"operation":"%s"}'):format(operation))
    return world:ended(id)
  end

  local function ended(prefix, name)
    assert(fs.write(marks, ""))
    return run(prefix .. name:gsub("%A", "-")), fs.read(marks)
  end

  -- The same process: nobody starts it anew.
  local function goes_on()
    assert.equal("SUCCEEDED", run("good").status)
  end

  for name in pairs(WAYS) do
    it("is ended by its time-out in " .. name, function()
      local execution, text = ended("way-", name)
      assert.equal("FAILED", execution.status)
      assert.equal("TIMED_OUT", execution.details.code)
      assert.matches("cleanup:timed_out $", text)
      assert.not_matches("went on", text)
      assert.not_matches("waited", text)
      goes_on()
    end)
  end

  for name in pairs(LIMITS) do
    it("is ended by a limit in " .. name, function()
      local execution, text = ended("limit-", name)
      assert.equal("FAILED", execution.status)
      assert.equal("LIMIT", execution.details.code)
      assert.matches("limit%-[%a-]+%.lua:%d+%f[%D]", execution.details.reason)
      assert.equal("cleanup:limit ", text)
      goes_on()
    end)
  end
end)
