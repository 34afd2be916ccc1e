-- `hob status --check`: one line, perfdata and an exit status, as monitoring plugins have them.

local check = require("hob.cli.status_check")
local exec = require("hob.exec")
local fs = require("hob.fs")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

-- Of the guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
local function perfdata(line)
  local found = {}
  for datum in assert(line:match("^[^|]+ | ([^|]*)$"), line):gmatch("%S+") do
    local label, value, unit, warn, crit, low =
      datum:match("^([%w_]+)=(%-?[%d.]+)([sB]?);([%d.:]*);([%d.:]*);(%d*)$")
    assert(label and not found[label], datum)
    found[label] = { value = tonumber(value), unit = unit, warn = warn, crit = crit, low = low }
  end
  return found
end

describe("hob status --check, of what a gateway says", function()
  local found

  before_each(function()
    found = {
      things = { { thing = "lamp", online = true, forSeconds = 500, untold = 0 } },
      handlers = {}, modules = {}, broken = 0, jobs = 2, pending = 1, data = "/var/lib/hob",
      store = { bytes = 1000, walBytes = 24, damaged = false }, freeBytes = 1e9, clockSet = true,
      now = 1795448984, memoryBytes = 5e6, uptimeSeconds = 60, draining = false,
    }
  end)

  local function judge(given)
    return check.judge(found, assert(check.limits(given or {})))
  end

  local function certificate(left, which)
    found.things[1].certificates = { { which = which or "own", path = "/c.pem",
      leftSeconds = left, endsAt = found.now + left } }
  end

  it("is OK, and sums up", function()
    local line, level = judge()
    assert.equal(0, level)
    assert.matches("^HOB OK %- 1 of 1 thing connected, 2 jobs in hand, up for 60 s | ", line)
    local data = perfdata(line)
    assert.same({ value = 0, unit = "s", warn = "300", crit = "3600", low = "0" }, data.offline)
    assert.same({ value = 1e9, unit = "B", warn = "67108864:", crit = "16777216:", low = "0" },
      data.free)
    assert.equal(1024, data.store.value)
    assert.equal(1, data.pending.value)
  end)

  it("grades the time without a connection", function()
    local thing = found.things[1]
    thing.online, thing.why = false, "localhost:8883: refused"
    for seconds, expected in pairs({ [299] = 0, [300] = 1, [3599] = 1, [3600] = 2 }) do
      thing.forSeconds = seconds
      local line, level = judge()
      assert.equal(expected, level, seconds)
      assert.equal(seconds, perfdata(line).offline.value)
    end
    thing.forSeconds = 3600
    assert.matches("^HOB CRITICAL %- lamp: not connected for 60 min: localhost:8883: refused | ",
      (judge()))
    local _, level = judge({ offline = "4000,5000" })
    assert.equal(0, level)
  end)

  it("grades the age of the oldest outcome that is not told", function()
    local thing = found.things[1]
    thing.untold = 3
    for seconds, expected in pairs({ [899] = 0, [900] = 1, [14399] = 1, [14400] = 2 }) do
      thing.oldestSeconds = seconds
      local line, level = judge()
      assert.equal(expected, level, seconds)
      assert.same({ 3, seconds }, { perfdata(line).untold.value, perfdata(line).outbox_age.value })
    end
    thing.oldestSeconds = 14400
    assert.matches("lamp: 3 outcomes are not told, the oldest for 4 h 0 min", (judge()))
  end)

  it("grades the days that certificates are still good for, the CA's, too", function()
    for _, which in ipairs({ "own", "ca" }) do
      for days, expected in pairs({ [30.5] = 0, [29.9] = 1, [7.1] = 1, [6.9] = 2, [-1] = 2 }) do
        certificate(days * 86400, which)
        local line, level = judge()
        assert.equal(expected, level, which .. days)
        assert.is_true(math.abs(perfdata(line).certificate_days.value - days) < 0.11)
      end
    end
    assert.matches("lamp: CA file /c%.pem ends in", (judge({ certificate_days = "900,800" })))
    certificate(-2 * 86400)
    assert.matches("lamp: certificate /c%.pem ended 2 days ago", (judge()))
  end)

  it("is CRITICAL for a certificate that cannot be read", function()
    found.things[1].certificates = { { which = "own", path = "/c.pem", error = "no such file" } }
    local line, level = judge()
    assert.equal(2, level)
    assert.matches("lamp: certificate /c%.pem: no such file", line)
    assert.is_nil(perfdata(line).certificate_days)
  end)

  it("grades the room on the disk", function()
    for mb, expected in pairs({ [64] = 0, [63] = 1, [16] = 1, [15] = 2 }) do
      found.freeBytes = mb * 1024 * 1024
      local line, level = judge()
      assert.equal(expected, level, mb)
      assert.equal(mb << 20, perfdata(line).free.value)
    end
    found.freeBytes = 15 * 1024 * 1024
    assert.matches("^HOB CRITICAL %- 15%.0 MB free for /var/lib/hob | ", (judge()))
  end)

  it("is CRITICAL for a store that fails, or is damaged", function()
    found.store.failing = "ENOSPC"
    assert.matches("^HOB CRITICAL %- the store cannot be written: ENOSPC", (judge()))
    found.store.failing, found.store.damaged = nil, true
    assert.matches("^HOB CRITICAL %- the store is damaged", (judge()))
  end)

  it("is WARNING for a drain, a held job, a clock nobody has set and what is broken", function()
    found.draining, found.drain = true, { since = 1795448984, who = "process 1 of root" }
    assert.matches("^HOB WARNING %- draining since 2026%-.*: no new jobs are taken | ", (judge()))
    found.drain.reason = "pump is out"
    assert.matches("taken: pump is out | ", (judge()))
    found.draining = false
    found.held = 1
    assert.matches("^HOB WARNING %- 1 job is held by a debugger | ", (judge()))
    found.held = 0
    found.clockSet, found.now = false, 12
    assert.matches("^HOB WARNING %- the clock says 1970%-01%-01T00:00:12Z", (judge()))
    found.clockSet = true
    found.broken = 2
    found.handlers = { { name = "a", state = "broken" }, { name = "b", state = "ok" } }
    found.modules = { { name = "lib", state = "last_good" } }
    assert.matches("^HOB WARNING %- broken: a, lib | ", (judge()))
  end)

  it("says the worst first, and all of it", function()
    found.broken, found.handlers = 1, { { name = "a", state = "broken" } }
    found.store.failing = "EIO"
    local line, level = judge()
    assert.equal(2, level)
    assert.matches("^HOB CRITICAL %- the store cannot be written: EIO; broken: a | ", line)
  end)

  it("takes the worst of several things", function()
    found.things[2] = { thing = "pump", online = false, forSeconds = 400, untold = 2,
      oldestSeconds = 5,
      certificates = { { which = "own", path = "/p", leftSeconds = 40 * 86400 } } }
    certificate(50 * 86400)
    local line, level = judge()
    assert.equal(1, level)
    local data = perfdata(line)
    assert.same({ 400, 2, 5, 40 }, { data.offline.value, data.untold.value, data.outbox_age.value,
      data.certificate_days.value })
  end)

  it("stays one line, with one |, whatever a reason holds", function()
    found.things[1].online, found.things[1].forSeconds = false, 1e6
    found.things[1].why = "a | b\nc"
    local line = judge()
    assert.is_nil(line:find("\n"))
    assert.matches("277 h 46 min: a / b c | offline=", line)
    perfdata(line)
  end)

  it("refuses thresholds that cannot be meant", function()
    for given, pattern in pairs({
      ["300"] = "expected WARNING,CRITICAL such as 300,3600, got '300'",
      ["a,b"] = "expected WARNING,CRITICAL", ["10,5"] = "CRITICAL %(5%) must be more",
      ["1,2,3"] = "expected WARNING,CRITICAL", ["-1,2"] = "expected WARNING,CRITICAL",
    }) do
      local limits, message = check.limits({ offline = given })
      assert.is_nil(limits)
      assert.matches("^%-%-offline: .*" .. pattern, message)
    end
    assert.matches("must be less", select(2, check.limits({ free_mb = "16,64" })))
  end)
end)

describe("hob status --check, at a gateway", function()
  local world, gateway

  after_each(function()
    world:stop()
  end)

  local function start(scripts, options)
    world = worlds.start(options or { tls = false })
    gateway = world:gateway({ scripts = scripts or {}, config = { reload = false } })
    gateway:wait_event("jobs.subscribed")
  end

  local function run(...)
    local result = exec.run({ worlds.hob(), "status", "--check", "--config", gateway.config, ... })
    return result.code, result.stdout, result.stderr
  end

  it("is OK with exit status 0", function()
    start()
    local code, out, err = run("--free-mb", "1,0")
    assert.same({ 0, "" }, { code, err })
    assert.matches("^HOB OK %- 1 of 1 thing connected, .-\n$", out)
    assert.equal(0, perfdata(out:gsub("\n", "")).offline.value)
  end)

  it("is WARNING for a broken handler, CRITICAL after a while without a connection", function()
    start({ ["bad.lua"] = "return {" }, {})
    local code, out = run("--free-mb", "1,0", "--certificate-days", "9,5")
    assert.equal(1, code)
    assert.matches("^HOB WARNING %- broken: bad | ", out)
    local days = perfdata(out:gsub("\n", "")).certificate_days.value
    assert.is_true(days > 29 and days <= 30)
    code, out = run("--free-mb", "1,0", "--certificate-days", "900,31")
    assert.equal(2, code)
    assert.matches("gw%-1: certificate .- ends in %d%d days", out)
    world.broker:kill()
    wait_until(function()
      code, out = run("--free-mb", "1,0", "--offline", "0.5,1")
      return code == 2
    end, worlds.PATIENCE, function() return out end)
    assert.matches("^HOB CRITICAL %- gw%-1: not connected for %d+ s: ", out)
    world.broker:start_again()
  end)

  it("is CRITICAL when nobody answers", function()
    start()
    gateway:stop()
    local code, out = run()
    assert.equal(2, code)
    assert.matches("^HOB CRITICAL %- .*hob%.sock.*does a gateway run there", out)
    assert.equal(1, select(2, out:gsub("\n", "")))
  end)

  it("is UNKNOWN for misuse", function()
    start()
    for _, words in ipairs({ { "--offline", "5" }, { "--nonsense" }, { "--json" },
      { "--socket", "/x" } }) do
      local code, out = run(table.unpack(words))
      assert.equal(3, code, table.concat(words, " "))
      assert.matches("^HOB UNKNOWN %- [^\n]+\n$", out)
    end
    local result = exec.run({ worlds.hob(), "status", "--offline", "1,2" })
    assert.equal(2, result.code)
    assert.matches("%-%-offline goes with %-%-check", result.stderr)
  end)

  it("is CRITICAL, not a hang, for what is no gateway", function()
    start()
    local path = world:path("file")
    assert(fs.write(path, ""))
    local result = exec.run({ worlds.hob(), "status", "--check", "--socket", path })
    assert.equal(2, result.code)
    assert.matches("^HOB CRITICAL %- ", result.stdout)
  end)
end)
