-- What one handler does that never ends, or never has enough, ends that one job, with the reason;
-- a second job and the connection go on meanwhile.

local fs = require("hob.fs")
local json = require("hob.json")
local lives = require("spec.support.lives")
local worlds = require("spec.support.world")

-- Each ends in a line that is repeated for ever.
local WAYS = {
  loop = "while true do end",
  pcall_in_a_loop = "while true do pcall(error) end",
  coroutine = "coroutine.wrap(function() while true do end end)()",
  catches_everything = [[
    local function spin() while true do pcall(error) end end
    while true do
      pcall(xpcall, coroutine.wrap(function() pcall(spin) end), spin)
    end]],
  in_a_step = [[
    while true do pcall(job.step, job, "spin", function() while true do pcall(error) end end) end]],
  critical = "job:critical(function() while true do pcall(error) end end)",
  callback = [[
    time.after(0, function() while true do pcall(error) end end)
    job:sleep(3600)]],
  closes = [[
    local a <close> = setmetatable({}, { __close = function() while true do pcall(error) end end })
    local b <close> = setmetatable({}, { __close = function() while true do end end })
    while true do end]],
  waits = "while true do for _ = 1, 1000 do pcall(error) end job:sleep(0) end",
}

-- These end at once: whether another job is done meanwhile is chance.
local HELD = {
  recursion = { [[
    local function deep() return 1 + deep() end
    while true do pcall(deep) end]],
    "^more than 20000 calls inside one another %(recursion%), at .*breach%.lua:%d+$" },
  sort = { "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "breach%.lua:%d+: ran for over 200 ms where it cannot be interrupted$" },
  sort_that_catches = { [[
    local function spin() while true do pcall(error) end end
    while true do pcall(table.sort, { 3, 2, 1 }, spin) end]],
    "breach%.lua:%d+: ran for over 200 ms where it cannot be interrupted$" },
  gsub = { "(('x'):gsub('x', function() while true do end end))",
    "breach%.lua:%d+: ran for over 200 ms where it cannot be interrupted$" },
  pattern = { "while true do pcall(string.find, ('a'):rep(99), ('a-'):rep(20) .. 'b') end",
    "^string%.find: more than 1 s of processor time for one pattern %(subject of 99 bytes%), at "
      .. ".*breach%.lua:%d+$" },
}

local SCRIPTS = {
  ["breach.lua"] = [[
    local time = require("hob.time")
    local ways = {}
    @ways
    return { api = 1, cpu = 0.8, args = { way = "string" },
      run = function(job, args)
        if args.way ~= "in_a_step" then job:step("first", function() end) end
        ways[args.way](job)
        return { escaped = true }
      end }
  ]],
  ["memory.lua"] = [[
    local ways = {
      fill = function() local t = {} while true do t[#t + 1] = { #t } end end,
      caught = function()
        while true do pcall(function() local t = {} while true do t[#t + 1] = { #t } end end) end
      end,
      double = function() local s = "x" while true do s = s .. s end end,
    }
    return { api = 1, memory = "4M", args = { way = "string" },
      run = function(job, args) ways[args.way](job) end }
  ]],
  ["ample.lua"] = [[
    return { api = 1, memory = "128M", run = function(job)
      local text, parts = ("x"):rep(1 << 20), {}
      for i = 1, 24 do parts[i] = text .. i end
      return { megabytes = #table.concat(parts) >> 20 }
    end }
  ]],
  ["usual.lua"] = [[
    return { api = 1, run = function() local t = {} while true do t[#t + 1] = { #t } end end }
  ]],
  ["plain.lua"] = [[return { api = 1, run = function() while true do pcall(error) end end }]],
  ["lots.lua"] = [[return { api = 1, memory = "lots", run = function() end }]],
  ["often.lua"] = [[
    return { api = 1, cpu = 0.6, run = function(job)
      local from = os.clock()
      while os.clock() - from < 0.25 do end
      job:retry_later(0.01, "again")
    end }
  ]],
  ["overflow.lua"] = [[
    return { api = 1, run = function()
      local function deep() return 1 + deep() end
      return deep()
    end }
  ]],
  ["cleans.lua"] = [[
    return { api = 1, cpu = 0.2,
      run = function(job) job:step("a", function() end) while true do end end,
      cleanup = function() while true do pcall(error) end end }
  ]],
  ["quick.lua"] = [[
    local exec = require("hob.exec")
    return { api = 1, run = function(job)
      for i = 1, 3 do job:step("part " .. i, function() exec.check{ "true" } end) end
    end }
  ]],
}

local function with_ways()
  local lines = {}
  for name, code in pairs(WAYS) do
    lines[#lines + 1] = ("ways.%s = function(job)\n%s\nend"):format(name, code)
  end
  for name, held in pairs(HELD) do
    lines[#lines + 1] = ("ways.%s = function(job)\n%s\nend"):format(name,
      held[1]:sub(1, 1) == "(" and "return " .. held[1] or held[1])
  end
  local scripts = {}
  for name, text in pairs(SCRIPTS) do
    scripts[name] = text:gsub("@ways", function() return table.concat(lines, "\n") end)
  end
  return scripts
end

local function names_of(t)
  local names = {}
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

describe("a job that takes too much", function()
  local world, gateway, count

  setup(function()
    world, count = worlds.start({ tls = false }), 0
    gateway = world:gateway({ scripts = with_ways(),
      config = { max_concurrent_jobs = 2, memory = "48M", cpu = 1.5,
        keep_alive = 5 } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    assert.equal(0, gateway:stop())
    world:stop()
  end)

  local function create(operation, way)
    count = count + 1
    local id = ("%s-%d"):format(operation, count)
    world:create(id, json.encode({ operation = operation, way = way }))
    return id
  end

  local function event_number(name, job)
    for i, event in ipairs(gateway.events) do
      if event.event == name and event.job == job then
        return i
      end
    end
  end

  local function is_failed(job, code, words)
    local execution = world:ended(job)
    assert.equal("FAILED", execution.status, job)
    assert.equal(code, execution.details.code, execution.details.reason)
    assert.matches(words, execution.details.reason)
    return execution
  end

  -- A second job is begun and done while that one takes what it wants.
  local function ends_alone(operation, way, code, words)
    local job = create(operation, way)
    gateway:wait_event("job.started", { job = job })
    local beside = create("quick")
    assert.equal("SUCCEEDED", world:ended(beside).status)
    is_failed(job, code, words)
    assert.equal(1, world:terminal_updates(job))
    return event_number("job.finished", beside), event_number("job.finished", job)
  end

  describe("of the processor is ended with limit, value, file and line:", function()
    for _, way in ipairs(names_of(WAYS)) do
      it(way, function()
        local beside, breach = ends_alone("breach", way, "LIMIT",
          "^used more than 0%.8 s of processor time %(cpu%), at .*/breach%.lua:%d+$")
        assert.is_true(beside < breach, "the other one was done meanwhile")
      end)
    end

    for _, way in ipairs(names_of(HELD)) do
      it(way, function()
        ends_alone("breach", way, "LIMIT", HELD[way][2])
      end)
    end

    it("by the configuration's budget, if the handler has none", function()
      is_failed(create("plain"), "LIMIT",
        "^used more than 1%.5 s of processor time %(cpu%), at .*/plain%.lua:1$")
    end)

    it("and keeps the gateway's connection (field failure 11)", function()
      assert.equal(1, gateway:count("conn.up"))
      assert.equal(0, gateway:count("conn.lost"))
    end)
  end)

  it("of the processor in runs that retry_later has put off counts them together", function()
    local job = create("often")
    is_failed(job, "LIMIT",
      "^used more than 0%.6 s of processor time %(cpu%), at .*often%.lua:%d+$")
    gateway:wait_event("job.started", { job = job }, 3)
  end)

  it("of the processor has a cleanup with a budget of its own", function()
    local execution = is_failed(create("cleans"), "LIMIT", "^used more than 0%.2 s")
    assert.matches("used more than 0%.2 s of processor time %(cpu%), at .*cleans%.lua:3",
      execution.details.cleanup_error)
  end)

  describe("of memory", function()
    it("is ended with limit, value, file and line, caught or not", function()
      for _, way in ipairs({ "fill", "caught", "double" }) do
        is_failed(create("memory", way), "OUT_OF_MEMORY",
          "^more than 4 MB of memory %(memory%), at .*/memory%.lua:%d+$")
      end
    end)

    it("has what the configuration gives, or its handler asks for, less or more", function()
      is_failed(create("usual"), "OUT_OF_MEMORY",
        "^more than 48 MB of memory %(memory%), at .*/usual%.lua:1$")
      local execution = world:ended(create("ample"))
      assert.equal("24", execution.details.megabytes, execution.details.reason)
    end)

    it("whose handler asks for what is no size is not begun", function()
      is_failed(create("lots"), "HANDLER_BROKEN",
        'lots%.lua: memory: expected a size from "1M" to "4G" .*, got "lots"$')
    end)
  end)

  it("of the stack is ended with limit, value, file and line", function()
    is_failed(create("overflow"), "LIMIT",
      "^more than 20000 calls inside one another %(recursion%), at .*overflow%.lua:2$")
  end)
end)

describe("a job that goes on with the version it began with", function()
  it("keeps that version's limits", function()
    local text = [[
      return { api = 1, args = ARGS, %s, run = function(job)
        job:step("first", function() mark("first") end)
        job:step("hold", function() hold() end)
        %s
      end }]]
    local life = lives.new({ config = { max_concurrent_jobs = 2 }, scripts = {
      ["small.lua"] = text:format('memory = "4M"', "return { n = #('x'):rep(6 << 20) }"),
      ["short.lua"] = text:format("cpu = 0.1", "for i = 1, 1e9 do pcall(error) end") } })
    life:create("a", "small")
    life:create("b", "short")
    for _, id in ipairs({ "a", "b" }) do -- a step has been stored, and the version with it
      life.gateway:wait_event("job.step", { job = id, step = "hold" })
    end
    life.gateway:kill()
    for name, member in pairs({ small = 'memory = "64M"', short = "cpu = 0" }) do
      assert(fs.write(("%s/scripts/%s.lua"):format(life.gateway.dir, name),
        life:handler(text:format(member, "return { new = true }"))))
    end
    life.gateway:launch()
    life:go()
    assert.matches("^more than 4 MB of memory %(memory%), at ",
      life.world:ended("a").details.reason)
    assert.matches("^used more than 0%.1 s of processor time %(cpu%), at ",
      life.world:ended("b").details.reason)
    life:stop()
  end)
end)
