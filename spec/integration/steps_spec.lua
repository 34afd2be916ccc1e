-- job:step in one run: what it returns, raises, refuses, tries again. What becomes of it after a
-- crash is in replay_spec.lua.

local fs = require("hob.fs")
local worlds = require("spec.support.world")

local WAYS = [[
  local exec, fs, time = require("hob.exec"), require("hob.fs"), require("hob.time")
  local ways = {}

  -- What a step raises, as details.
  local function raised(job, ...)
    local ok, err = pcall(job.step, job, ...)
    if ok then return { ok = true } end
    if type(err) ~= "table" then return { text = err } end
    return { text = tostring(err), code_is = err.code, at = err.step }
  end

  function ways.copy(job)
    local made = { list = { 1, 2.0 }, s = "x" }
    local got = job:step("a", function() return made end)
    return { same = got == made, n = math.type(got.list[2]), s = got.s }
  end
  function ways.error_object(job)
    local _, err = pcall(job.step, job, "a", function() return nil, "no disk", "ENODISK" end)
    return { text = tostring(err), joined = "so: " .. err .. 1, code_is = err.code, at = err.step }
  end
  function ways.raised_code(job)
    return raised(job, "a", function() error({ message = "full", code = "EFULL" }) end)
  end
  function ways.odd_code(job)
    return raised(job, "a", function() return nil, "odd", { "not a code" } end)
  end
  function ways.own_word(job) return raised(job, "a", function() return nil, "no" end) end
  function ways.lua_error(job) return raised(job, "a", function() local x = nil; x() end) end
  function ways.uncaught(job)
    job:step("first", function() end)
    job:step("second", function() return nil, "no disk", "ENODISK" end)
  end
  function ways.returned(job)
    local ok, err = pcall(job.step, job, "a", function() return nil, "no disk", "ENODISK" end)
    job:step("b", function() end)
    return nil, err
  end
  function ways.caught_then_other(job)
    pcall(job.step, job, "a", function() error("oh") end)
    return nil, "something else"
  end
  function ways.unsaveable(job)
    return raised(job, "a", function() return { list = { 1, { f = print } } } end)
  end
  function ways.big(job)
    return raised(job, "a", function() return ("x"):rep(300 * 1024) end)
  end
  function ways.bad_state(job)
    job.state.list = { 1, { f = print } }
    return raised(job, "a", function() return 1 end)
  end
  function ways.no_state(job)
    job.state = 7
    return raised(job, "a", function() return 1 end)
  end
  function ways.nil_state(job)
    job.state = nil
    return raised(job, "a", function() return 1 end)
  end
  function ways.big_state(job)
    job.state.s = ("x"):rep(300 * 1024)
    return raised(job, "a", function() return 1 end)
  end

  function ways.options(job)
    local fn = function() end
    local function texts(...)
      local list = {}
      for i, options in ipairs({ ... }) do list[i] = raised(job, "a", options, fn).text end
      return table.concat(list, "|")
    end
    return {
      a = texts({ timout = 1 }),
      b = texts({ tries = 0 }, { tries = 1001 }, { tries = 1.5 }),
      c = texts({ once = 1 }, { valid = true }, { timeout = 0 }),
      d = texts({ backoff = -1 }, { interruptions = "3" }, 7),
    }
  end
  function ways.names(job)
    local fn = function() end
    return {
      a = raised(job, "hob:reboot 1", fn).text,
      b = raised(job, "", fn).text .. "|" .. raised(job, ("x"):rep(129), fn).text,
      c = raised(job, "a\nb", fn).text,
      d = raised(job, "a").text,
    }
  end
  function ways.in_callback(job)
    local text
    time.after(0, function() text = raised(job, "a", function() end).text end)
    while not text do job:sleep(0.001) end
    return { text = text }
  end
  function ways.reboot_in_step(job)
    return raised(job, "a", function() job:reboot("now") end)
  end
  function ways.retry_later_args(job)
    local _, a = pcall(job.retry_later, job, 0, "x")
    local _, b = pcall(job.retry_later, job, 1)
    return { a = a, b = b }
  end

  function ways.tries(job)
    local count, times = 0, {}
    local got = job:step("a", { tries = 4, backoff = 0.02 }, function()
      count = count + 1
      times[count] = time.mono()
      if count < 4 then error("not yet") end
      return count
    end)
    return { got = got, first = times[2] - times[1] >= 0.018, second = times[3] - times[2] >= 0.038,
      third = times[4] - times[3] >= 0.078 }
  end
  function ways.tries_used_up(job)
    local count = 0
    local r = raised(job, "a", { tries = 3, backoff = 0.001 }, function()
      count = count + 1
      return nil, "try " .. count, "EBUSY"
    end)
    r.count = count
    return r
  end

  function ways.timeout(job)
    local r = raised(job, "a", { timeout = 0.05 }, function()
      pcall(job.sleep, job, 3600)
      while true do end
    end)
    job:step("b", { timeout = 3600 }, function() end)
    return r
  end
  function ways.timeout_tries(job)
    local count, alive = 0, {}
    local pids = {}
    local r = raised(job, "a", { timeout = 1, tries = 2, backoff = 0.001 }, function()
      count = count + 1
      for _, pid in ipairs(pids) do alive[#alive + 1] = fs.stat("/proc/" .. pid) and pid end
      -- One that does not care for TERM, waited for, and one beside.
      local side = exec.spawn({ "sleep", "3600" })
      pids[#pids + 1] = tostring(side:pid())
      local deaf = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"
      exec.run({ "sh", "-c", deaf, grace = 0.05 })
    end)
    pids[#pids + 1] = (fs.read("pid"):gsub("%s", ""))
    for _, pid in ipairs(pids) do alive[#alive + 1] = fs.stat("/proc/" .. pid) and pid end
    r.count, r.alive, r.text = count, #alive, nil
    return r
  end
  function ways.critical(job)
    return { sum = job:critical(function(a, b) job:sleep(0.001) return a + b end, 1, 2) }
  end
  function ways.many(job)
    local sum = 0
    for i = 1, 200 do sum = sum + job:step("part " .. i, function() return i end) end
    return { sum = sum }
  end
  return { api = 1, run = function(job) return ways[job.document.way](job) end }
]]

describe("job:step", function()
  local world, gateway

  setup(function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ scripts = { ["ways.lua"] = WAYS } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
  end)

  local function execution_of(way)
    world:create(way, ('{"operation":"ways","way":"%s"}'):format(way))
    return world:ended(way)
  end
  local function details_of(way)
    local execution = execution_of(way)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    return execution.details
  end

  it("returns the decoded copy of what was saved, in the first run too", function()
    local details = details_of("copy")
    assert.equal("false", details.same)
    assert.equal("integer", details.n)
    assert.equal("x", details.s)
  end)

  it("keeps every one of many steps", function()
    assert.equal("20100", details_of("many").sum)
  end)

  describe("that fails raises an object", function()
    it("with message, code and step, which can be used as text", function()
      local details = details_of("error_object")
      assert.equal("no disk", details.text)
      assert.equal("so: no disk1", details.joined)
      assert.equal("ENODISK", details.code_is)
      assert.equal("a", details.at)
    end)

    it("with the code of a raised table, FAILED for its own word, LUA_ERROR else", function()
      assert.equal("EFULL", details_of("raised_code").code_is)
      assert.equal("FAILED", details_of("own_word").code_is)
      assert.equal("FAILED", details_of("odd_code").code_is)
      local details = details_of("lua_error")
      assert.equal("LUA_ERROR", details.code_is)
      assert.matches("ways%.lua:%d+: attempt to call a nil value", details.text)
    end)

    it("that ends the job with its reason, code and step when nobody catches it", function()
      for _, way in ipairs({ "uncaught", "returned" }) do
        local execution = execution_of(way)
        assert.equal("FAILED", execution.status)
        assert.equal("no disk", execution.details.reason)
        assert.equal("ENODISK", execution.details.code)
        assert.equal(way == "uncaught" and "second" or "a", execution.details.step)
      end
    end)

    it("that is forgotten once it was caught: the job's end is its own", function()
      local details = execution_of("caught_then_other").details
      assert.equal("something else", details.reason)
      assert.equal("FAILED", details.code)
      assert.is_nil(details.step)
    end)
  end)

  describe("whose result cannot be saved", function()
    it("has failed with BAD_RESULT, naming the path", function()
      local details = details_of("unsaveable")
      assert.equal("BAD_RESULT", details.code_is)
      assert.matches("step 'a': its result cannot be saved: list%[2%]%.f: function", details.text)
      details = details_of("big")
      assert.equal("BAD_RESULT", details.code_is)
      assert.matches("262144 bytes", details.text)
    end)

    it("has failed, too, when it is job.state that cannot", function()
      local details = details_of("bad_state")
      assert.equal("BAD_RESULT", details.code_is)
      assert.matches("^job%.state%.list%[2%]%.f: function", details.text)
      assert.matches("^job%.state: expected a table, got number", details_of("no_state").text)
      assert.matches("^job%.state: expected a table, got nil", details_of("nil_state").text)
      assert.matches("^job%.state: .*262144 bytes", details_of("big_state").text)
    end)
  end)

  it("refuses an unknown option and a wrong value, naming what it expects", function()
    local details = details_of("options")
    assert.matches("step 'a': unknown option 'timout'; known: backoff, interruptions, once, "
      .. "timeout, tries, valid", details.a)
    assert.matches("tries: expected a whole number from 1 to 1000, got 0|.*got 1001|.*got 1%.5",
      details.b)
    assert.matches("once: expected true or false, got 1|.*valid: expected a function, got true|"
      .. ".*timeout: expected seconds, over 0 and at most 604800, got 0", details.c)
    assert.matches("backoff: expected seconds.*got %-1|.*interruptions: expected a whole number "
      .. "from 1 to 1000, got \"3\"|.*options: expected a table, got number", details.d)
  end)

  it("refuses names that are Hob's own, empty, too long, or have a line break", function()
    local details = details_of("names")
    assert.matches("'hob:reboot 1': names that begin with 'hob:' are Hob's own", details.a)
    assert.matches("1 to 128 bytes.*|.*1 to 128 bytes", details.b)
    assert.matches("without control characters", details.c)
    assert.matches("step 'a': expected a function, got nil", details.d)
  end)

  it("stands in run() alone: not in a callback, and no reboot stands in it", function()
    assert.matches("a step cannot stand in a callback", details_of("in_callback").text)
    assert.matches("job:reboot cannot stand inside the step 'a'", details_of("reboot_in_step").text)
  end)

  describe("with tries", function()
    it("runs again after a failure, and waits twice as long each time", function()
      local details = details_of("tries")
      assert.equal("4", details.got)
      assert.equal("true", details.first)
      assert.equal("true", details.second)
      assert.equal("true", details.third)
      assert.matches("not yet; try 2 of 4 in 0%.02 s",
        gateway:wait_event("job.step_retry", { step = "a" }).msg)
      assert.equal("step 'a'", gateway:wait_event("job.step", { step = "a" }).msg)
    end)

    it("fails with the last failure when they are used up", function()
      local details = details_of("tries_used_up")
      assert.equal("3", details.count)
      assert.equal("try 3", details.text)
      assert.equal("EBUSY", details.code_is)
    end)
  end)

  describe("with a timeout", function()
    it("is ended when its time is up, whatever it catches, and fails with TIMED_OUT", function()
      local details = details_of("timeout")
      assert.equal("timed out after 0.05 s (the step's timeout)", details.text)
      assert.equal("TIMED_OUT", details.code_is)
      assert.equal("a", details.at)
    end)

    it("tries again only when its processes are gone (field failure 11)", function()
      local details = details_of("timeout_tries")
      assert.equal("2", details.count)
      assert.equal("0", details.alive)
      assert.equal("TIMED_OUT", details.code_is)
    end)
  end)

  it("has a sister for what must not be interrupted: job:critical", function()
    assert.equal("3", details_of("critical").sum)
  end)

  it("has a sister that gives up for now: job:retry_later, which checks its arguments", function()
    local details = details_of("retry_later_args")
    assert.matches("retry_later: expected seconds, over 0 and at most 2678400, got 0", details.a)
    assert.matches("retry_later: expected a reason as string, got nil", details.b)
  end)

  it("leaves nothing behind", function()
    assert.same({}, assert(fs.list(gateway.dir .. "/data/work")))
  end)
end)
