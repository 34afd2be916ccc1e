-- What is the whole process's belongs to the product: a runtime inside of it leaves signals,
-- threads, environment, directory, umask, locale, rand(), descriptors and the standard streams as
-- they are, while it runs programs, downloads over TLS, and after it.

local embed = require("spec.support.embed")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local worlds = require("spec.support.world")

local WORKERS = 3 -- UV_THREADPOOL_SIZE

-- `true` reads none of its input: writing it is what SIGPIPE is for.
local SCRIPT = [[
local exec, fs, http = require("hob.exec"), require("hob.fs"), require("hob.http")
return { api = 1, args = { url = "string", ca = "string", code = "integer?" },
run = function(job, args)
  job:step("download", function()
    return assert(http.download({ url = args.url, to = "file", ca = args.ca }))
  end)
  job:step("programs", function()
    exec.run{ "true", stdin = ("x"):rep(1024 * 1024) }
    local signals = exec.check{ "cat", "/proc/self/status" }.stdout
    local files = exec.check{ "ls", "/proc/self/fd" }.stdout
    local mask = exec.check{ "sh", "-c", "umask" }.stdout
    job.state.shown = ("blocked %s ignored %s caught %s files %s umask %s"):format(
      signals:match("SigBlk:%s*(%x+)"), signals:match("SigIgn:%s*(%x+)"),
      signals:match("SigCgt:%s*(%x+)"), files, mask)
  end)
  job:progress(50)
  if args.code then
    exec.check{ "sh", "-c", "exit " .. args.code }
  end
  return { shown = job.state.shown:gsub("%s+", " ") }
end }
]]

describe("a process that Hob is a guest in", function()
  local world, pki, server, program

  setup(function()
    world = worlds.start()
    pki = world.pki
    local pair = pki:issue({ cn = "localhost" })
    server = peer.start("tls_http", pair.cert, pair.key)
    program = embed.compile("spec/support/embed_guest.c", world.dir, { packages = { "libuv" } })
  end)

  teardown(function()
    server:stop()
    world:stop()
  end)

  local count = 0

  -- A product that has had so many rounds, with what it said.
  local function run(rounds, words, code)
    local ids = {}
    for round = 1, rounds do
      count = count + 1
      ids[round] = "guest-" .. count
      world:create(ids[round], json.encode({ operation = "visit", ca = pki.ca, code = code,
        url = ("https://localhost:%d/file"):format(server.port) }))
    end
    local out = world:path("out")
    local guest = world:gateway({
      program = program, flags = { out, tostring(rounds), table.unpack(words) },
      scripts = { ["visit.lua"] = SCRIPT }, launch = false,
      env = { UV_THREADPOOL_SIZE = tostring(WORKERS) },
    })
    guest:launch()
    local over = guest:wait_event("guest.over")
    assert.equal(0, assert(guest:wait_end()).code)
    return guest, {
      over = over, out = fs.read(out), jobs = ids, before = guest:wait_event("guest.before"),
      after = guest:wait_event("guest.after"),
      during = guest:count("guest.during") > 0 and guest:wait_event("guest.during"),
      last = guest:wait_event("guest.after", { round = rounds }),
    }
  end

  -- Without those that the C library keeps for itself (it handles one once there is a thread).
  local function mask(text)
    return tonumber(text, 16) & ~(3 << (32 - 1))
  end

  local SIGPIPE, SIGURG = 1 << (13 - 1), 1 << (23 - 1)

  -- SIGURG is what the product itself blocks while a job of its first round runs.
  local function assert_signals_kept(saw, when)
    for _, set in ipairs({ "SigCgt", "SigIgn", "SigBlk" }) do
      local own = set == "SigBlk" and when ~= "during" and SIGURG or 0
      assert.equal(mask(saw.before[set]) | own, mask(saw[when][set]), when .. " " .. set)
    end
  end

  describe("that drives it by poll()", function()
    local guest, saw

    setup(function()
      guest, saw = run(2, {})
    end)

    it("has its jobs done", function()
      for _, id in ipairs(saw.jobs) do
        assert.equal("SUCCEEDED", world:ended(id).status)
      end
      assert.equal(0, guest:count("guest.failed"))
    end)

    it("keeps its signals: handlers, what is ignored, what is blocked", function()
      for _, when in ipairs({ "after", "last" }) do
        assert_signals_kept(saw, when)
        assert.is_false(saw[when].sigpipe)
      end
      assert.equal(mask(saw.before.SigCgt), mask(saw.during.SigCgt))
      assert.equal(mask(saw.before.SigIgn), mask(saw.during.SigIgn))
      assert.equal(mask(saw.before.SigBlk) | SIGPIPE, mask(saw.during.SigBlk))
      assert.equal(0, mask(saw.before.SigIgn) & SIGPIPE)
    end)

    it("has no thread besides libuv's workers", function()
      assert.equal(1, saw.before.threads)
      for _, when in ipairs({ "during", "after", "last" }) do
        assert.is_true(saw[when].threads <= 1 + WORKERS, when .. ": " .. saw[when].threads)
      end
    end)

    it("keeps its environment, directory, umask, locale and random numbers", function()
      for _, when in ipairs({ "during", "after", "last" }) do
        for _, name in ipairs({ "environ", "cwd", "umask", "locale" }) do
          assert.equal(saw.before[name], saw[when][name], when .. " " .. name)
        end
      end
      assert.is_true(saw.over.rand)
    end)

    it("gets its descriptors back, but for a pipe of libuv's; they are closed on exec", function()
      assert.is_true(saw.after.descriptors <= saw.before.descriptors + 2, saw.after.files)
      assert.equal(saw.after.files, saw.last.files)
      assert.equal(saw.before.inherited, saw.last.inherited, saw.last.files)
      -- A pair of sockets that libmosquitto opens, which nobody else can get at.
      assert.is_true(saw.during.inherited <= saw.before.inherited + 2, saw.during.files)
    end)

    it("finds nothing on its standard streams", function()
      assert.equal("", saw.out)
      assert.equal(0, saw.last.written)
    end)

    -- The fourth is that of `ls` itself.
    it("starts programs with no signal blocked or ignored, and three descriptors", function()
      local shown = world:ended(saw.jobs[1]).details.shown
      assert.matches("^blocked 0+ ignored 0+ caught 0+ files 0 1 2 3 umask 0?027", shown)
    end)
  end)

  it("keeps its signals on its own uv_loop_t, too", function()
    local _, saw = run(2, { "uv" })
    assert.equal("SUCCEEDED", world:ended(saw.jobs[2]).status)
    for _, when in ipairs({ "during", "after", "last" }) do
      assert_signals_kept(saw, when)
    end
    assert.is_true(saw.over.loop, "something of Hob's was left on it")
    assert.equal(saw.after.files, saw.last.files)
  end)

  it("may wait for all its children: then nobody knows how those of a job ended", function()
    local _, saw = run(1, { "reap" }, 0)
    local ended = world:ended(saw.jobs[1])
    if saw.last.children == 0 then
      assert.equal("SUCCEEDED", ended.status) -- Hob was always the first to look
    else
      assert.equal("FAILED", ended.status)
      assert.equal("STATUS_TAKEN", ended.details.code)
      assert.matches("waits for all its children", ended.details.reason)
    end
  end)
end)
