-- Many things in one process: added and taken out while it runs, looked at, and fair to each other.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local sockets = require("hob.local")
local things = require("spec.support.things")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local SCRIPTS = {
  ["say.lua"] = "return { api = 1, run = function(job) return { id = job.id } end }",
  -- Marks its beginning, then waits for a file.
  ["wait.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { dir = "string" }, run = function(job, args)
      fs.append(args.dir .. "/marks", job.id .. "\n")
      local done = job:step("wait", function()
        repeat job:sleep(0.02) until fs.stat(args.dir .. "/go-" .. job.id)
        return true
      end)
      return { waited = done }
    end }]],
  ["again.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, args = { dir = "string" }, run = function(job, args)
      if not fs.stat(args.dir .. "/again") then
        fs.append(args.dir .. "/marks", "later\n")
        job:retry_later(0.1, "not now")
      end
    end }]],
  ["spin.lua"] = "return { api = 1, cpu = 0, run = function() while true do end end }",
  -- So many processes, timers and callbacks as it can make.
  ["flood.lua"] = [[
    local time = require("hob.time")
    return { api = 1, cpu = 0, run = function(job)
      local function again() time.after(0, again) end
      for _ = 1, 2000 do again() end
      while true do job:sleep(0) end
    end }]],
  ["wakes.lua"] = [[
    local fs = require("hob.fs")
    return { api = 1, cpu = 0, args = { to = "string", times = "integer" },
      run = function(job, args)
        for _ = 1, args.times do job:sleep(0) end
        assert(fs.write(args.to, "done"))
      end }]],
}

describe("things", function()
  local world, gateway, dir

  before_each(function()
    world = worlds.start({ tls = false })
    dir = world:path("dir")
    assert(fs.mkdir(dir))
  end)
  after_each(function()
    world:stop()
  end)

  local function start(list, config, options)
    config = config or {}
    config.things, config.stop_grace = { lua = things.config(list) }, 0.1
    options = options or {}
    options.scripts, options.config = SCRIPTS, config
    gateway = world:gateway(options)
    return gateway
  end
  local function named(...)
    local list = {}
    for i, name in ipairs({ ... }) do
      list[i] = { name = name }
    end
    return list
  end
  local function numbered(count)
    local list = {}
    for i = 1, count do
      list[i] = { name = "thing-" .. i }
    end
    return list
  end
  local function subscribed(count)
    gateway:wait_event("jobs.subscribed", {}, count)
  end
  local function hob(...)
    local words = { worlds.hob(), ... }
    words[#words + 1], words[#words + 2] = "--config", gateway.config
    return exec.run(words)
  end
  local function as_json(...)
    local words = { ... }
    words[#words + 1] = "--json"
    local result = hob(table.unpack(words))
    assert.equal(0, result.code, result.stderr)
    return json.decode(result.stdout)
  end
  local function document(operation, more)
    local members = { operation = operation, dir = dir }
    for key, value in pairs(more or {}) do
      members[key] = value
    end
    return json.encode(members)
  end
  local function marks()
    local list = {}
    for mark in (fs.read(dir .. "/marks") or ""):gmatch("[^\n]+") do
      list[#list + 1] = mark
    end
    return list
  end
  local function marked(count)
    wait_until(function() return #marks() >= count end, PATIENCE, count .. " marks")
  end
  local function go(job)
    assert(fs.write(dir .. "/go-" .. job, ""))
  end

  describe("hob thing add", function()
    it("adds one to a running gateway: it connects, and its jobs are run", function()
      start(named("one"))
      subscribed(1)
      local result = hob("thing", "add", "two")
      assert.equal(0, result.code, result.stderr)
      gateway:wait_event("jobs.subscribed", { thing = "two" })
      world:create("j", document("say"), "two")
      assert.equal("SUCCEEDED", world:ended("j", "two").status)
    end)

    it("says that it is not kept, and what the configuration is to have", function()
      start(named("one"))
      subscribed(1)
      local result = hob("thing", "add", "two", "--client-id", "second", "--set", "keep_alive=30")
      assert.matches("after the next start of Hob, unless .*hob.conf.lua has in `things`",
        result.stdout)
      assert.matches('{ thing_name = "two", client_id = "second", keep_alive = 30 },',
        result.stdout, 1, true)
      gateway:wait_event("conn.up", { thing = "two" })
      assert.matches('as "second"', gateway:wait_event("conn.up", { thing = "two" }).msg)
      gateway:stop()
      gateway:launch()
      gateway:wait_event("jobs.subscribed", { thing = "one" }, 2)
      assert.equal(1, #as_json("thing", "list").things)
    end)

    it("says it so that the configuration can be read: texts stay texts", function()
      start(named("one"))
      subscribed(1)
      local entry = hob("thing", "add", "two", "--client-id", "42", "--set", "keep_alive=+30",
        "--set", "key_passphrase=0x1", "--set", "persistent_session=true", "--set", "ca=",
        "--set", "memory=8M").stdout:match("\n  ({.*}),\n")
      assert.equal('{ thing_name = "two", ca = "", client_id = "42", keep_alive = 30, '
        .. 'key_passphrase = "0x1", memory = "8M", persistent_session = true }', entry)
      gateway:stop()
      local config = fs.read(gateway.config):gsub("things = {", function(head)
        return head .. entry .. ","
      end)
      assert(fs.write(gateway.config, config))
      gateway:launch()
      gateway:wait_event("hob.started", {}, 2)
      assert.equal("42", as_json("status", "--thing", "two").things[1].clientId)
    end)

    it("takes settings in an object of texts only", function()
      start(named("one"))
      subscribed(1)
      local socket = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
      for _, settings in ipairs({ '"tls"', '["tls"]', '{"tls":false}', "7" }) do
        assert(socket:send('{"command":"thing-add","thing":"two","settings":' .. settings .. "}\n"))
        assert.matches('"EINVAL","message":"settings: .*expected', (socket:read_line(PATIENCE)))
      end
      socket:close()
      assert.equal(1, #as_json("thing", "list").things)
    end)

    it("is forgotten by a restart: what it had begun is in the log, and goes on when it is added",
      function()
        start(named("one"))
        subscribed(1)
        assert.equal(0, gateway:count("start.things_missing"))
        hob("thing", "add", "two")
        gateway:wait_event("jobs.subscribed", { thing = "two" })
        world:create("j", document("wait"), "two")
        marked(1)
        gateway:kill()
        gateway:launch()
        local event = gateway:wait_event("start.things_missing")
        assert.equal("warn", event.level)
        assert.matches("such as 'two', the store has jobs that were begun: 1, outcomes .*: 0$",
          event.msg)
        subscribed(3)
        assert.equal(0, hob("thing", "add", "two").code)
        go("j")
        assert.equal("SUCCEEDED", world:ended("j", "two").status)
      end)

    it("is logged, with who did it", function()
      start(named("one"))
      subscribed(1)
      hob("thing", "add", "two")
      local event = gateway:wait_event("control.command", { thing = "two" })
      assert.matches("^process %d+ of %S+: thing add$", event.msg)
      gateway:wait_event("thing.added", { thing = "two" })
    end)

    it("refuses what cannot be a thing, and says why", function()
      start(named("one"))
      subscribed(1)
      for _, case in ipairs({
        { { "one" }, "the thing 'one' is there already" },
        { { "a b" }, "thing_name: expected 1 to 128 of" },
        { { "two", "--set", "prot=1" }, "prot: unknown key; did you mean port%?" },
        { { "two", "--set", "port=many" },
          'port: expected an integer from 1 to 65535, got "many"' },
        { { "two", "--set", "scripts=/tmp" }, "scripts: it holds for all things, not for one" },
        { { "two", "--set", "tls=perhaps" }, "tls: expected true or false, got perhaps" },
        { { "two", "--set", "tls=true", "--ca", "/none" },
          "ca: expected a file that can be read, got /none: No such file or directory" },
        { { "two", "--cert", "/none", "--key", "/none" }, -- also without TLS
          "cert: expected a file that can be read, got /none: No such file or directory" },
        { { "two", "--set", "thing_name=three" },
          "settings: thing_name: expected the name beside the settings, and no other" },
        { { "two", "--client-id", "one" },
          "client_id: expected another one: the thing 'one' connects with it, too" },
        { { "two", "--connection", "three" }, "connection: expected the name of another thing" },
      }) do
        local result = hob("thing", "add", table.unpack(case[1]))
        assert.equal(1, result.code)
        assert.matches(case[2], result.stderr)
      end
      assert.equal(1, #as_json("thing", "list").things)
      for _, words in ipairs({ { "add" }, { "list", "one" }, { "remove" }, { "wipe", "one" },
        { "remove", "one", "--port", "1" }, { "add", "two", "--set", "port" } }) do
        assert.equal(2, hob("thing", table.unpack(words)).code)
      end
    end)

    it("begins with none: `things = {}`", function()
      start({})
      gateway:wait_event("hob.started")
      assert.matches("no things", hob("status").stdout)
      assert.equal(1, hob("repl").code)
      assert.equal(0, hob("thing", "add", "one").code)
      gateway:wait_event("jobs.subscribed", { thing = "one" })
    end)
  end)

  describe("hob thing remove", function()
    it("takes one out: it disconnects, the others go on", function()
      start(named("one", "two"))
      subscribed(2)
      local result = hob("thing", "remove", "one")
      assert.equal(0, result.code, result.stderr)
      assert.matches("process %d+ of %S+: thing remove$",
        gateway:wait_event("control.command", { thing = "one" }).msg)
      gateway:wait_event("thing.removed", { thing = "one" })
      world:create("j", document("say"), "two")
      assert.equal("SUCCEEDED", world:ended("j", "two").status)
      assert.same({ "two" }, { as_json("thing", "list").things[1].thing })
      assert.matches("has no thing 'one'", hob("thing", "remove", "one").stderr)
      assert.matches("has no thing 'one'", hob("status", "--thing", "one").stderr)
    end)

    it("gives up what runs at its next step; it goes on when the thing is there again", function()
      start(named("one", "two"))
      subscribed(2)
      world:create("j", document("wait"), "one")
      marked(1)
      assert.equal(0, hob("thing", "remove", "one").code)
      assert.equal("IN_PROGRESS", world:describe("j", "one").status)
      assert.equal("the store keeps its jobs that were begun: 1, outcomes that are not told: 0",
        gateway:wait_event("thing.removed", { thing = "one" }).msg)
      assert.equal(0, hob("thing", "add", "one").code)
      gateway:wait_event("job.resumed", { thing = "one", job = "j" })
      go("j")
      assert.equal("SUCCEEDED", world:ended("j", "one").status)
    end)

    it("lets the others go on if it was the one on probation", function()
      start(named("one", "two"))
      subscribed(2)
      for _, name in ipairs({ "one", "two" }) do
        world:create("j-" .. name, document("wait"), name)
      end
      marked(2)
      gateway:kill()
      gateway:launch()
      local first = gateway:wait_event("job.resumed").thing
      local other = first == "one" and "two" or "one"
      gateway:wait_event("job.started", { thing = first }, 2)
      assert.equal(0, hob("thing", "remove", first).code)
      gateway:wait_event("job.resumed", { thing = other })
      go("j-" .. other)
      assert.equal("SUCCEEDED", world:ended("j-" .. other, other).status)
    end)

    it("excuses only its own jobs: one that then takes Hob down is still found", function()
      start(named("one", "two"))
      subscribed(2)
      world:create("j", document("wait"), "one")
      marked(1)
      assert.equal(0, hob("thing", "remove", "two").code)
      gateway:kill()
      gateway:launch()
      gateway:wait_event("job.progress",
        { job = "j", msg = "goes on after it took the runtime down in step 'wait'" })
    end)

    it("and add in turns leave nothing behind", function()
      start(named("one"))
      subscribed(1)
      local descriptors
      for i = 1, 6 do
        assert.equal(0, hob("thing", "add", "two").code)
        gateway:wait_event("jobs.subscribed", { thing = "two" }, i)
        assert.equal(0, hob("thing", "remove", "two").code)
        descriptors = descriptors or as_json("status").descriptors
      end
      assert.equal(descriptors, as_json("status").descriptors)
      assert.equal(0, gateway:stop())
    end)

    it("ends sessions that look into it", function()
      start(named("one", "two"))
      subscribed(2)
      local socket = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
      assert(socket:send('{"command":"repl","thing":"one"}\n'))
      assert.matches('"session":"repl"', (assert(socket:read_line(PATIENCE))))
      assert.equal(0, hob("thing", "remove", "one").code)
      gateway:wait_event("session.ended")
      socket:close()
    end)
  end)

  describe("that are many", function()
    it("are summed up in `hob status`, which names those with trouble", function()
      local list = numbered(70)
      list[7].more = "port = 1" -- nobody listens there
      start(list, { connect_rate = 0 })
      subscribed(69)
      local text = hob("status").stdout
      assert.matches("70 things: 69 connected, 1 not", text)
      assert.matches("thing%-7: not connected", text)
      assert.not_matches("thing%-8", text)
      local found = as_json("status")
      assert.equal(1, #found.things)
      assert.equal(70, found.thingSummary.count)
      assert.matches("^HOB OK %- 69 of 70 things connected", hob("status", "--check").stdout)
      assert.equal(70, #as_json("thing", "list").things)
      assert.equal(1, #as_json("thing", "list", "--trouble").things)
      assert.equal(1, #as_json("jobs").things)
    end)

    it("are each shown on their own", function()
      start(named("one", "two"))
      subscribed(2)
      local text = hob("status", "--thing", "two").stdout
      assert.matches("two: connected to localhost:", text)
      assert.matches("client id two, connected 1 time so far", text)
      assert.not_matches("one:", text)
      assert.equal("two", as_json("status", "--thing", "two").things[1].clientId)
    end)

    it("begin to connect one after the other (connect_rate), and say so", function()
      start(numbered(30), { connect_rate = 1 })
      gateway:wait_event("jobs.subscribed", { thing = "thing-1" })
      assert.matches("thing%-30 +not connected .*its turn to connect has not come %(connect_rate%)",
        hob("thing", "list").stdout)
      assert.equal(0, gateway:stop())
    end)
  end)

  describe("the limits of an entry", function()
    it("are its own; what stands beside `things` holds for the others", function()
      start({ { name = "a" }, { name = "b", more = "max_concurrent_jobs = 1, job_timeout = 0.1" } },
        { max_concurrent_jobs = 2 })
      subscribed(2)
      for _, id in ipairs({ "a-1", "a-2" }) do
        world:create(id, document("wait"), "a")
      end
      marked(2)
      for _, id in ipairs({ "b-1", "b-2" }) do
        world:create(id, document("wait"), "b")
        local ended = world:ended(id, "b")
        assert.equal("FAILED", ended.status)
        assert.equal("TIMED_OUT", ended.statusDetails.detailsMap.code)
      end
      go("a-1")
      go("a-2")
      assert.equal("SUCCEEDED", world:ended("a-1", "a").status)
      assert.equal("SUCCEEDED", world:ended("a-2", "a").status)
    end)
  end)

  describe("max_running_jobs", function()
    it("lets so many run in the whole process; whoever has waited longest is next", function()
      start(named("a", "b", "c", "d"), { max_running_jobs = 1 })
      subscribed(4)
      for _, name in ipairs({ "a", "b", "c", "d" }) do
        world:create("j-" .. name, document("wait"), name)
        wait_until(function()
          for _, job in ipairs(as_json("jobs").jobs) do
            if job.jobId == "j-" .. name and (job.state == "running" or
              job.waitsFor == "max_running_jobs") then
              return true
            end
          end
        end, PATIENCE, "j-" .. name .. " to run, or to wait for its turn")
      end
      for i, name in ipairs({ "a", "b", "c", "d" }) do
        marked(i)
        go("j-" .. name)
        assert.equal("SUCCEEDED", world:ended("j-" .. name, name).status)
      end
      assert.same({ "j-a", "j-b", "j-c", "j-d" }, marks())
    end)

    it("does not count a job that waits for its time", function()
      start(named("a", "b"), { max_running_jobs = 1 })
      subscribed(2)
      world:create("j-a", document("again"), "a")
      marked(1)
      world:create("j-b", document("wait"), "b")
      wait_until(function()
        return (fs.read(dir .. "/marks") or ""):find("j-b", 1, true)
      end, PATIENCE, "j-b to begin beside one that waits")
      assert(fs.write(dir .. "/again", ""))
      wait_until(function()
        for _, job in ipairs(as_json("jobs").jobs) do
          if job.jobId == "j-a" and job.waitsFor == "max_running_jobs" then
            return true
          end
        end
      end, PATIENCE, "j-a to wait for its turn")
      go("j-b")
      assert.equal("SUCCEEDED", world:ended("j-b", "b").status)
      assert.equal("SUCCEEDED", world:ended("j-a", "a").status)
    end)

    it("passes on the turn of a job that was cancelled meanwhile", function()
      start(named("a", "b", "c"), { max_running_jobs = 1 })
      subscribed(3)
      world:create("j-a", document("wait"), "a")
      marked(1)
      for _, name in ipairs({ "b", "c" }) do
        world:create("j-" .. name, document("wait"), name)
        wait_until(function()
          for _, job in ipairs(as_json("jobs").jobs) do
            if job.jobId == "j-" .. name and job.waitsFor == "max_running_jobs" then
              return true
            end
          end
        end, PATIENCE, "j-" .. name .. " to wait")
      end
      world:control("cancel_job_execution", "b", "j-b", {}, true, require("hob.time").now())
      go("j-a")
      go("j-c")
      assert.equal("SUCCEEDED", world:ended("j-c", "c").status)
      assert.same({ "j-a", "j-c" }, marks())
    end)

    it("holds after a restart, too", function()
      start(named("a", "b"), { max_running_jobs = 2 })
      subscribed(2)
      for _, name in ipairs({ "a", "b" }) do
        world:create("j-" .. name, document("wait"), name)
      end
      marked(2)
      assert.equal(0, gateway:stop())
      gateway.flags = { "--max-running-jobs", "1" }
      gateway:launch()
      marked(3)
      wait_until(function()
        for _, job in ipairs(as_json("jobs").jobs) do
          if job.state == "resuming" and job.waitsFor == "max_running_jobs" then
            return true
          end
        end
      end, PATIENCE, "one of them to wait")
      go("j-a")
      go("j-b")
      assert.equal("SUCCEEDED", world:ended("j-a", "a").status)
      assert.equal("SUCCEEDED", world:ended("j-b", "b").status)
    end)
  end)

  describe("whose handlers misbehave", function()
    local TIMES = 150

    -- Processor time of the gateway while a job of another thing is woken TIMES times: what a wake
    -- has to wait for, whatever else the machine does.
    local function cpu()
      local fields = {}
      for field in fs.read(("/proc/%d/schedstat"):format(gateway.process:pid())):gmatch("%d+") do
        fields[#fields + 1] = tonumber(field)
      end
      return fields[1] / 1e6 -- ms
    end
    local function cost_of_wakes(id)
      local to = world:path("done")
      world:create(id, document("wakes", { to = to, times = TIMES }), "good")
      gateway:wait_event("job.started", { job = id })
      local before = cpu()
      wait_until(function() return fs.stat(to) end, PATIENCE, id)
      return (cpu() - before) / TIMES
    end

    it("cost another one no more with eight that spin than with one", function()
      start(named("good", "bad"), { max_concurrent_jobs = 8 })
      subscribed(2)
      world:create("spin-1", document("spin"), "bad")
      gateway:wait_event("job.started", { job = "spin-1" })
      local alone = cost_of_wakes("with-one")
      for i = 2, 8 do
        world:create("spin-" .. i, document("spin"), "bad")
        gateway:wait_event("job.started", { job = "spin-" .. i })
      end
      local crowd = cost_of_wakes("with-eight")
      -- On a busy machine a slice has less of the processor: then the one alone is no measure.
      assert.is_true(crowd < math.max(3 * alone, 12),
        ("%.3f ms, then %.3f ms"):format(alone, crowd))
    end)

    it("cost another one no more with thousands of timers than a slice a turn", function()
      start(named("good", "bad"), { max_concurrent_jobs = 4 })
      subscribed(2)
      world:create("flood", document("flood"), "bad")
      gateway:wait_event("job.started", { job = "flood" })
      local cost = cost_of_wakes("beside")
      assert.is_true(cost < 15, ("%.3f ms of processor time for each wake"):format(cost))
      assert.equal(0, gateway:count("conn.lost"))
    end)
  end)

  describe("too many for the file descriptors that are allowed", function()
    local function limited(soft, hard, more)
      local wrapper = world:path("limited")
      assert(fs.write(wrapper, ("#!/bin/sh\nulimit -Sn %d\nulimit -Hn %d\nexec %s %s \"$@\"\n")
        :format(soft, hard, more or "", worlds.hob())))
      assert(fs.chmod(wrapper, tonumber("755", 8)))
      return wrapper
    end
    local function unprivileged()
      return exec.check({ "id", "-u" }).stdout == "0\n"
        and "setpriv --bounding-set -sys_resource" or ""
    end
    local function launch(program, list, max_running_jobs)
      local real = worlds.hob()
      worlds.program = program
      start(list, { connect_rate = 0, max_running_jobs = max_running_jobs })
      worlds.program = real
    end

    it("raise the limit as far as they need", function()
      launch(limited(128, 4096), numbered(60))
      subscribed(60)
      assert.equal(0, gateway:count("start.few_descriptors"))
      local limits = fs.read(("/proc/%d/limits"):format(gateway.process:pid()))
      local soft = tonumber(limits:match("Max open files%s+(%d+)"))
      assert.is_true(soft >= 396 and soft < 4096, "raised to " .. soft)
    end)

    it("are told at start how many are needed, and what to do", function()
      launch(limited(128, 200, unprivileged()), numbered(60))
      local event = gateway:wait_event("start.few_descriptors")
      assert.equal("warn", event.level)
      assert.matches("^60 things need %d+ file descriptors with their jobs, 200 are allowed: about "
        .. "20 of them can connect$", event.msg)
      assert.matches("LimitNOFILE=", event.action)
    end)

    it("are not, where they use the connection of another one", function()
      local list = numbered(60)
      for i = 2, 60 do
        list[i].more = 'connection = "thing-1"'
      end
      launch(limited(128, 200, unprivileged()), list, 4)
      subscribed(60)
      assert.equal(0, gateway:count("start.few_descriptors"))
    end)
  end)
end)
