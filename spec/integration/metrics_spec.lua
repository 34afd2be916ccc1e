-- `hob metrics`: what a monitoring system learns of a running gateway.

local exec = require("hob.exec")
local exposition = require("spec.support.exposition")
local fs = require("hob.fs")
local json = require("hob.json")
local project = require("spec.support.source")
local shim = require("spec.support.shim")
local sockets = require("hob.local")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local QUICK = "return { api = 1, run = function() return true end }"
local FAILS = 'return { api = 1, run = function() return nil, "no" end }'
local SLEEPS = "return { api = 1, run = function(job) job:sleep(600) end }"

describe("hob metrics", function()
  local world, gateway

  after_each(function()
    world:stop()
  end)

  local function start(scripts, config, options)
    world = worlds.start(options or { tls = false })
    gateway = world:gateway({ scripts = scripts, config = config or {} })
    gateway:wait_event("jobs.subscribed")
  end

  local function hob(...)
    local words = { worlds.hob(), "metrics", "--config", gateway.config, ... }
    words.tail = 4 * 1024 * 1024
    return exec.run(words)
  end

  local function metrics()
    local result = hob()
    assert.equal(0, result.code, result.stderr)
    return exposition.parse(result.stdout)
  end

  -- Wait until one of them has this value.
  local function becomes(expected, name, labels)
    local found
    wait_until(function()
      found = metrics().value(name, labels)
      return found == expected
    end, worlds.PATIENCE, function()
      return ("%s = %s; it is %s"):format(name, expected, found)
    end)
  end

  local function do_job(id, operation)
    world:create(id, ('{"operation":"%s"}'):format(operation))
    return world:ended(id)
  end

  it("holds exactly the metrics of the reference, with their types and labels", function()
    start({ ["quick.lua"] = QUICK }, nil, {})
    do_job("job", "quick")
    local documented, there = {}, {}
    local page = project.read("docs/reference/metrics.md")
    for name, kind, labels in page:gmatch("\n| `(hob_[%w_]+)` | (%w+) |([^|]*)|") do
      local list = {}
      for label in labels:gmatch("`([%w_]+)`") do
        list[#list + 1] = label
      end
      table.sort(list)
      documented[name] = kind .. " " .. table.concat(list, ",")
    end
    for name, family in pairs(metrics().families) do
      local list = {}
      for label in pairs((family.samples[1] or { labels = {} }).labels) do
        list[#list + 1] = label
      end
      table.sort(list)
      there[name] = family.type .. " " .. table.concat(list, ",")
    end
    assert.same(there, documented)
  end)

  it("names the values of the labels that the reference names", function()
    start({ ["quick.lua"] = QUICK })
    local page = project.read("docs/reference/metrics.md")
    local found = metrics()
    for metric, label in pairs({ hob_reconnects_total = "cause", hob_limit_breaches_total = "limit",
      hob_jobs = "state" }) do
      for _, sample in ipairs(found.families[metric].samples) do
        local value = "`" .. sample.labels[label] .. "`"
        assert.truthy(page:find(value, 1, true), metric .. " " .. value)
      end
    end
  end)

  it("counts jobs by handler, outcome and kind of end", function()
    start({ ["quick.lua"] = QUICK, ["fails.lua"] = FAILS })
    do_job("one", "quick")
    do_job("two", "quick")
    do_job("three", "fails")
    do_job("four", "nobody")
    local found = metrics()
    local function ended(handler, status, kind)
      return found.value("hob_jobs_ended_total",
        { handler = handler, status = status, kind = kind })
    end
    assert.equal(2, ended("quick", "SUCCEEDED", "succeeded"))
    assert.equal(1, ended("fails", "FAILED", "failed"))
    assert.equal(1, ended("", "REJECTED", "rejected"))
    assert.equal(3, #found.families.hob_jobs_ended_total.samples)
  end)

  it("counts a cancel as the service's status, and jobs in hand by state", function()
    start({ ["sleeps.lua"] = SLEEPS })
    world:create("job", '{"operation":"sleeps"}')
    gateway:wait_event("job.started")
    world:create("next", '{"operation":"sleeps"}')
    becomes(1, "hob_jobs_pending", { thing = "gw-1" })
    local labels = { thing = "gw-1", state = "running" }
    assert.equal(1, metrics().value("hob_jobs", labels))
    world:control("cancel_job_execution", "gw-1", "job", {}, true, time.now())
    becomes(1, "hob_jobs_ended_total",
      { handler = "sleeps", status = "CANCELED", kind = "cancelled" })
    becomes(0, "hob_jobs_pending", { thing = "gw-1" })
  end)

  it("counts the limits that jobs run into", function()
    start({
      ["eats.lua"] = "return { api = 1, memory = 4194304, run = function() local t = {} "
        .. 'for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end }',
      ["spins.lua"] = "return { api = 1, cpu = 0.05, run = function() while true do end end }",
      ["late.lua"] = "return { api = 1, timeout = 0.05, run = function(job) job:sleep(600) end }",
      ["prints.lua"] = 'return { api = 1, run = function() '
        .. 'require("hob.exec").run{ "seq", "300000" } return true end }',
    }, { output_limit = "1M" })
    for _, name in ipairs({ "eats", "spins", "late", "prints" }) do
      do_job(name, name)
    end
    local found = metrics()
    for limit, count in pairs({ memory = 1, cpu = 1, timeout = 1, output = 1, held = 0 }) do
      assert.equal(count, found.value("hob_limit_breaches_total", { limit = limit }), limit)
    end
    assert.equal(1, found.value("hob_jobs_ended_total",
      { handler = "late", status = "FAILED", kind = "timed_out" }))
    assert.is_true(found.value("hob_output_bytes") > 500000)
  end)

  it("tells of outcomes that wait, and of the loss of the connection by its cause", function()
    start({ ["waits.lua"] = [[
      local fs, time = require("hob.fs"), require("hob.time")
      return { api = 1, args = { go = "string" }, run = function(job, args)
        while not fs.exists(args.go) do time.sleep(0.02) end
      end }
    ]] }, { request_timeout = 0.5 })
    local go = gateway.dir .. "/go"
    world:create("job", ('{"operation":"waits","go":"%s"}'):format(go))
    gateway:wait_event("job.started")
    local before = metrics()
    assert.equal(1, before.value("hob_connected", { thing = "gw-1" }))
    assert.equal(0, before.value("hob_outbox_depth", { thing = "gw-1" }))
    assert.equal(0, before.value("hob_outbox_oldest_age_seconds", { thing = "gw-1" }))
    world.broker:kill()
    becomes(0, "hob_connected", { thing = "gw-1" })
    assert(fs.write(go, ""))
    gateway:wait_event("job.finished")
    becomes(1, "hob_outbox_depth", { thing = "gw-1" })
    local age
    wait_until(function()
      age = metrics().value("hob_outbox_oldest_age_seconds", { thing = "gw-1" })
      return age > 0
    end, worlds.PATIENCE, "an age")
    local found = metrics()
    assert.is_true(found.value("hob_outbox_oldest_age_seconds", { thing = "gw-1" }) >= age)
    assert.equal(1, found.value("hob_reconnects_total", { thing = "gw-1", cause = "network" }))
    assert.equal(1, found.value("hob_connections_total", { thing = "gw-1" }))
    wait_until(function()
      return metrics().value("hob_connect_failures_total",
        { thing = "gw-1", cause = "network" }) >= 1
    end, worlds.PATIENCE, "an attempt that failed")
    world.broker:start_again()
    becomes(0, "hob_outbox_depth", { thing = "gw-1" })
    assert.is_true(metrics().value("hob_connections_total", { thing = "gw-1" }) >= 2)
  end)

  it("knows the age of an outcome that an earlier process left", function()
    start({ ["quick.lua"] = QUICK })
    world:answer_with(function(_, request)
      return request.status == "SUCCEEDED" and "drop" or nil
    end)
    world:create("job", '{"operation":"quick"}')
    gateway:wait_event("job.finished")
    gateway:kill()
    exec.check({ "sqlite3", gateway.dir .. "/data/hob.db",
      "UPDATE execution SET ended_at_s = ended_at_s - 3600" })
    gateway:launch()
    wait_until(function()
      return hob().code == 0
    end, worlds.PATIENCE, "the gateway")
    local found = metrics()
    assert.equal(1, found.value("hob_outbox_depth", { thing = "gw-1" }))
    local age = found.value("hob_outbox_oldest_age_seconds", { thing = "gw-1" })
    assert.is_true(age >= 3600 and age < 4200, age)
  end)

  it("counts messages and bytes over all connections", function()
    start({ ["quick.lua"] = QUICK })
    local function count(name, direction)
      return metrics().value(name, { thing = "gw-1", direction = direction })
    end
    local messages, bytes = count("hob_mqtt_messages_total", "out"),
      count("hob_mqtt_bytes_total", "in")
    do_job("job", "quick")
    wait_until(function()
      return count("hob_mqtt_messages_total", "out") >= messages + 2
    end, worlds.PATIENCE, "claim and result")
    bytes = math.max(bytes, count("hob_mqtt_bytes_total", "in"))
    world.broker:kill()
    becomes(0, "hob_connected", { thing = "gw-1" })
    assert.is_true(count("hob_mqtt_bytes_total", "in") >= bytes)
    assert.is_true(count("hob_mqtt_messages_total", "out") >= messages + 2)
    world.broker:start_again()
  end)

  it("reads a certificate again when its file has changed", function()
    start({ ["quick.lua"] = QUICK }, nil, {})
    local own = { thing = "gw-1", certificate = "own" }
    local left = metrics().value("hob_certificate_left_seconds", own)
    assert.is_true(left > 29 * 86400 and left <= 30 * 86400)
    local path = assert(fs.read(gateway.config)):match('cert = "(.-)"')
    local short = exec.check({ "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-days", "3" })
    assert(fs.write(path, short.stdout))
    left = metrics().value("hob_certificate_left_seconds", own)
    assert.is_true(left > 2 * 86400 and left <= 3 * 86400)
    assert(fs.write(path, "no certificate"))
    assert.is_nil(metrics().value("hob_certificate_left_seconds", own))
    assert.is_number(metrics().value("hob_certificate_left_seconds",
      { thing = "gw-1", certificate = "ca" }))
  end)

  it("tells of the process, of handlers and of the store", function()
    start({ ["quick.lua"] = QUICK, ["bad.lua"] = "return {" })
    local found = metrics()
    assert.is_true(found.value("hob_process_resident_memory_bytes") > 1e6)
    assert.is_true(found.value("hob_process_cpu_seconds_total") > 0)
    local fds = #assert(fs.list("/proc/" .. gateway.process:pid() .. "/fd"))
    assert.is_true(math.abs(found.value("hob_process_open_fds") - fds) <= 2)
    assert.equal(1, found.value("hob_handlers", { state = "broken" }))
    assert.equal(1, found.value("hob_handlers", { state = "ok" }))
    assert.equal(0, found.value("hob_draining"))
    assert.is_true(math.abs(found.value("hob_start_time_seconds") - time.now()) < 600)
    assert.is_true(found.value("hob_data_free_bytes") > 0)
    local stat = assert(fs.stat(gateway.dir .. "/data/hob.db"))
    assert.equal(stat.size, found.value("hob_store_bytes", { file = "db" }))
    assert.equal(0, found.value("hob_store_failing"))
    do_job("job", "quick")
    local writes = found.value("hob_store_writes_total")
    assert.is_true(metrics().value("hob_store_writes_total") > writes)
  end)

  it("tells that the store cannot be written, and so do status, its check and jobs "
    .. "(field failure 13)", function()
    world = worlds.start({ tls = false })
    gateway = world:gateway({ launch = false, scripts = { ["quick.lua"] = QUICK },
      config = { poll = 1 } })
    local spy = shim.on(gateway)
    spy:arm()
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
    do_job("before", "quick")
    gateway:wait_event("job.reported")
    assert.equal(0, metrics().value("hob_store_failing"))
    spy:break_disk("ENOSPC")
    world:create("job", '{"operation":"quick"}')
    gateway:wait_event("store.failed")
    becomes(1, "hob_store_failing")
    assert.is_true(metrics().value("hob_store_failures_total") >= 1)
    local result = exec.run({ worlds.hob(), "status", "--check", "--config", gateway.config })
    assert.equal(2, result.code)
    assert.matches("^HOB CRITICAL %- .*the store cannot be written: ENOSPC", result.stdout)
    result = exec.run({ worlds.hob(), "status", "--config", gateway.config })
    assert.matches("\nstore: the latest change could not be written %(ENOSPC%)", result.stdout)
    wait_until(function()
      result = exec.run({ worlds.hob(), "jobs", "--json", "--config", gateway.config })
      local job = json.decode(result.stdout).jobs[1]
      return job and job.jobId == "job" and job.waitsFor == "store"
    end, worlds.PATIENCE, function() return result.stdout end)
    spy:mend_disk()
    assert.equal("SUCCEEDED", world:ended("job").status)
    becomes(0, "hob_store_failing")
  end)

  it("is given in pages when there are many things, each family in one piece", function()
    world = worlds.start({ tls = false })
    local things = {}
    for i = 1, 250 do
      things[i] = ('{ thing_name = "thing-%03d-%s" }'):format(i, ("x"):rep(100))
    end
    gateway = world:gateway({ scripts = {}, config = {
      endpoint = "localhost", backoff_base = 60, backoff_cap = 120, port = 1,
      things = { lua = "{" .. table.concat(things, ",") .. "}" } } })
    gateway:wait_event("hob.started")
    local connection = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
    assert(connection:send('{"command":"metrics"}\n'))
    local size, last = 0
    repeat
      local line = assert(connection:read_line(worlds.PATIENCE))
      size = size + #line
      last = assert(json.decode(line))
    until last["end"]
    connection:close()
    assert.is_number(last.next)
    assert.is_true(size < 1024 * 1024)
    local found = metrics()
    for _, name in ipairs({ "hob_connected", "hob_outbox_depth", "hob_jobs_pending" }) do
      assert.equal(250, #found.families[name].samples, name)
    end
    assert.equal(2000, #found.families.hob_reconnects_total.samples)
  end)

  it("refuses a page that no answer named", function()
    start({})
    local connection = assert(sockets.connect(gateway.dir .. "/data/hob.sock"))
    for _, from in ipairs({ -1, 1 << 40 }) do
      assert(connection:send(('{"command":"metrics","from":%d}\n'):format(from)))
      local answer = json.decode(connection:read_line(worlds.PATIENCE))
      assert.equal("EINVAL", answer.error.code)
    end
    connection:close()
  end)

  it("is written to a file whole, readable by all; hob_up is 0 when no gateway runs", function()
    start({ ["quick.lua"] = QUICK })
    local path = gateway.dir .. "/hob.prom"
    local result = hob("--output", path)
    assert.same({ 0, "", "" }, { result.code, result.stdout, result.stderr })
    assert.equal(1, exposition.parse(assert(fs.read(path))).value("hob_up"))
    assert.equal("644", ("%o"):format(assert(fs.stat(path)).mode & 511))
    gateway:stop()
    result = hob("--output", path)
    assert.equal(1, result.code)
    assert.matches("does a gateway run there", result.stderr)
    local found = exposition.parse(assert(fs.read(path)))
    assert.equal(0, found.value("hob_up"))
    assert.is_nil(found.value("hob_connected", { thing = "gw-1" }))
    result = hob("--output", gateway.dir .. "/none/hob.prom")
    assert.equal(1, result.code)
    assert.matches("%-%-output: .*none/hob%.prom", result.stderr)
  end)

  it("is JSON for other programs", function()
    start({ ["quick.lua"] = QUICK })
    do_job("job", "quick")
    local found = json.decode(hob("--json").stdout)
    assert.same({ labels = {}, value = 1 }, found.hob_up.samples[1])
    assert.equal("counter", found.hob_jobs_ended_total.type)
    assert.same({ handler = "quick", status = "SUCCEEDED", kind = "succeeded" },
      found.hob_jobs_ended_total.samples[1].labels)
    assert.equal(2, hob("--nonsense").code)
  end)
end)
