-- What a handler wants to hold before a job of it is begun, judged at a time that the spec gives.

local contract = require("hob.job.contract")
local fs = require("hob.fs")
local limits = require("hob.job.limits")
local requires = require("hob.job.requires")
local units = require("hob_units")

-- The time zone of this process, in which windows are: whatever it is, these are its hours.
local function at(hour, minute, day)
  return os.time({ year = 2026, month = 3, day = day or 10, hour = hour, min = minute }) * 1000
end

local function judge(handler, now_ms, queued_at)
  return units.requires(contract.requirements(handler), now_ms or at(12, 0),
    queued_at or at(11, 0) // 1000, "/")
end

describe("requires", function()
  it("is met by a handler that asks for nothing", function()
    assert.is_nil(contract.requirements({}))
    assert.equal("met", (units.requires(nil, at(12, 0), 0, "/")))
  end)

  describe("window", function()
    local function window(text, now_ms, otherwise)
      return judge({ requires = { window = text, otherwise = otherwise } }, now_ms)
    end

    it("is met from its first minute to before its last", function()
      for _, case in ipairs({ { 1, 59, "waits" }, { 2, 0, "met" }, { 3, 59, "met" },
        { 4, 0, "waits" }, { 12, 0, "waits" } }) do
        assert.equal(case[3], (window("02:00-04:00", at(case[1], case[2]))),
          ("%d:%02d"):format(case[1], case[2]))
      end
    end)

    it("may pass midnight", function()
      for _, case in ipairs({ { 21, 59, "waits" }, { 22, 0, "met" }, { 23, 59, "met" },
        { 0, 0, "met" }, { 3, 59, "met" }, { 4, 0, "waits" } }) do
        assert.equal(case[3], (window("22:00-04:00", at(case[1], case[2]))),
          ("%d:%02d"):format(case[1], case[2]))
      end
      assert.equal("met", (window("22:00-24:00", at(23, 59))))
      assert.equal("waits", (window("22:00-24:00", at(0, 0))))
    end)

    it("says when it begins, and what time it is", function()
      local _, reason, until_ms = window("02:00-04:00", at(1, 30) + 500)
      assert.equal("requires.window: waits for 02:00-04:00, it is 01:30", reason)
      assert.equal(30 * 60000 - 500, until_ms)
      _, _, until_ms = window("02:00-04:00", at(5, 0))
      assert.equal(at(2, 0, 11) - at(5, 0), until_ms)
    end)

    it("waits while the clock is not set: no hour is known then", function()
      local verdict, reason, until_ms = window("00:00-24:00", 5000)
      assert.equal("waits", verdict)
      assert.equal("requires.window: waits for 00:00-24:00, and the clock is not set", reason)
      assert.equal(-1, until_ms)
    end)

    it("refuses instead, if the handler says so", function()
      assert.equal("refused", (window("02:00-04:00", at(12, 0), "reject")))
      assert.equal("met", (window("02:00-04:00", at(3, 0), "reject")))
    end)
  end)

  describe("clock", function()
    it("waits until somebody has set it", function()
      local verdict, reason = judge({ requires = { clock = true } }, 86400000)
      assert.equal("waits", verdict)
      assert.equal("requires.clock: it is not set, it says 1970-01-02T00:00:00.000Z", reason)
      assert.equal("met", (judge({ requires = { clock = true } })))
      assert.equal("met", (judge({ requires = { clock = false, disk = 1 } }, 86400000)))
      assert.equal("refused", (judge({ requires = { clock = true, otherwise = "reject" } }, 0)))
    end)
  end)

  describe("disk", function()
    it("waits until there is so much room", function()
      local verdict, reason = judge({ requires = { disk = 2 ^ 52 } })
      assert.equal("waits", verdict)
      assert.matches("^requires.disk: .* free in the data directory, needs 4194304.0 GB$", reason)
      assert.equal("met", (judge({ requires = { disk = "1k" } })))
      assert.equal("refused", (judge({ requires = { disk = 2 ^ 52, otherwise = "reject" } })))
    end)

    it("waits and says why when the room cannot be known", function()
      local read = contract.requirements({ requires = { disk = 1 } })
      local verdict, reason = units.requires(read, at(12, 0), 0, "/nowhere")
      assert.equal("waits", verdict)
      assert.equal("requires.disk: /nowhere: No such file or directory", reason)
    end)

    it("is read as bytes", function()
      assert.equal(limits.bytes("200M"), requires.read({ disk = "200M" }).disk)
      assert.equal(200 * 1024 * 1024, requires.read({ disk = "200M" }).disk)
      assert.equal(4096, requires.read({ disk = 4096 }).disk)
    end)
  end)

  describe("commands", function()
    it("refuses when a program is missing: it does not come by itself", function()
      local verdict, reason = judge({ requires = { commands = { "sh", "rauc-of-no-one" } } })
      assert.equal("refused", verdict)
      assert.equal("requires.commands: rauc-of-no-one: not found in PATH", reason)
      assert.equal("met", (judge({ requires = { commands = { "sh", "/bin/sh" } } })))
    end)

    it("waits instead, if the handler says so", function()
      local wanted = { commands = { "rauc-of-no-one" }, otherwise = "wait" }
      assert.equal("waits", (judge({ requires = wanted })))
    end)

    it("may be a file, which must be executable", function()
      local dir = assert(fs.tempdir())
      assert(fs.write(dir .. "/tool", "#!/bin/sh\n"))
      local wanted = { requires = { commands = { dir .. "/tool" } } }
      assert(fs.chmod(dir .. "/tool", 420)) -- 0644
      local verdict, reason = judge(wanted)
      assert.equal("refused", verdict)
      assert.matches("/tool is not there, or not executable$", reason)
      assert(fs.chmod(dir .. "/tool", 493)) -- 0755
      assert.equal("met", (judge(wanted)))
      fs.remove(dir, { recursive = true })
    end)
  end)

  it("tells first what is refused, whatever else is missing", function()
    local wanted = { window = "02:00-04:00", commands = { "rauc-of-no-one" } }
    local verdict, reason = judge({ requires = wanted }, at(12, 0))
    assert.equal("refused", verdict)
    assert.matches("^requires.commands", reason)
  end)
end)

describe("max_age", function()
  local QUEUED = at(11, 0) // 1000

  local function age(seconds, now_ms, wanted)
    return judge({ max_age = seconds, requires = wanted }, now_ms, QUEUED)
  end

  it("refuses a job that was queued longer ago, with both times in words", function()
    assert.equal("met", (age(3600, at(12, 0))))
    local verdict, reason = age(3600, at(12, 0) + 1)
    assert.equal("too old", verdict)
    assert.matches("^too old: queued at 2026%-03%-%d%dT%d%d:00:00.000Z, and now it is "
      .. "2026%-03%-%d%dT%d%d:00:00.001Z: 1 h; the handler's max_age is 1 h$", reason)
  end)

  it("does not judge by a clock that was not set, or is before the job", function()
    for _, now_ms in ipairs({ 0, at(11, 0) - 1, at(0, 0, 1) }) do
      assert.equal("met", (age(1, now_ms)))
    end
    assert.equal("met", (judge({ max_age = 1 }, at(12, 0), 0))) -- the service did not say
  end)

  it("comes before what it would wait for", function()
    assert.equal("too old", (age(1, at(12, 0), { window = "02:00-04:00" })))
  end)
end)
