-- libhob in a product's own program: made, started, driven in three ways, stopped, freed.

local exec = require("hob.exec")
local fs = require("hob.fs")
local products = require("spec.support.product")
local wait_until = products.wait_until
local worlds = require("spec.support.world")

local GREET_JOB = '{"operation":"greet"}'
local GREET = [[return { api = 1, run = function() return { said = "hello" } end }]]
local WAIT = [[return { api = 1, run = function(job)
  job:step("wait", function() require("hob.time").sleep(3600) end)
end }]]

describe("a runtime in a product", function()
  local world

  setup(function()
    world = worlds.start()
  end)

  after_each(function()
    products.end_all(world)
  end)

  teardown(function()
    world:stop()
  end)

  local id_count = 0
  local function run_a_job(product)
    id_count = id_count + 1
    local id = "life-" .. id_count
    world:create(id, '{"operation":"greet"}')
    local execution = world:ended(id)
    assert.equal("SUCCEEDED", execution.status, product.gateway.lines[#product.gateway.lines])
    assert.equal("hello", execution.details.said)
  end

  for _, how in ipairs({ "run", "poll", "uv" }) do
    local words = { run = "its own loop", poll = "the product's poll()", uv = "its uv_loop_t" }
    describe("on " .. words[how], function()
      it("runs a job over TLS, stops in order, and leaves nothing open", function()
        local product = products.new(world, { how, "observe" },
          { scripts = { ["greet.lua"] = GREET } })
        run_a_job(product)
        assert.equal(0, product:quit())
        assert.equal(1, product:count("stopped"))
        assert.equal(1, product.gateway:count("hob.stopped"))
        assert.equal(0, product:count("loop_left"))
      end)

      it("gives up at the second stop what would hold up the first", function()
        local product = products.new(world, { how, "observe" }, {
          scripts = { ["wait.lua"] = WAIT }, config = { stop_grace = 3600, stop_timeout = 3600 },
        })
        id_count = id_count + 1
        local id = "life-" .. id_count
        world:create(id, '{"operation":"wait"}')
        product:said("job_started", { job = id })
        product:tell("stop once")
        product.gateway:wait_event("hob.stopping")
        product:tell("stop twice")
        assert.equal(0, product:ended())
        assert.equal(2, product:count("stopped"))
        assert.equal(1, product.gateway:count("job.suspended"))
        world:control("cancel_job", id, {}, true, os.time())
      end)
    end)
  end

  it("wakes a poll() only when there is something to do", function()
    local product = products.new(world, { "poll" }, { scripts = { ["greet.lua"] = GREET } })
    product.gateway:wait_event("jobs.subscribed")
    product:tell("wakes")
    local before = product:said("wakes").count
    for _ = 1, 3 do
      run_a_job(product)
    end
    product:tell("wakes")
    local after = product:said("wakes", nil, 2).count
    assert.is_true(tonumber(after) - tonumber(before) < 1000, "it spins: " .. after)
    assert.equal(0, product:quit())
  end)

  it("ends by a signal where that was asked for", function()
    local product = products.new(world, { "run", "signals" })
    product.gateway.process:kill("TERM")
    product:said("driven")
    assert.equal(0, product:ended())
    assert.equal("SIGTERM: taking no more jobs", product.gateway:wait_event("hob.stopping").msg)
  end)

  it("leaves signals alone where it was not", function()
    local product = products.new(world, { "run" })
    product.gateway.process:kill("TERM")
    local result = assert(product.gateway:wait_end())
    assert.equal(15, result.signal)
    assert.equal(0, product.gateway:count("hob.stopping"))
  end)

  it("may be freed without having been started; it cannot be run then", function()
    local product = products.new(world, { "run", "never_start" })
    product:said("result", { of = "run", code = "EINVAL" })
    product:tell("quit")
    assert.equal(0, assert(product.gateway:wait_end()).code)
    assert.equal(0, product.gateway:count("hob.started"))
  end)

  it("may be stopped before it is started", function()
    local product = products.new(world, { "poll", "never_start" })
    product:tell("stop early")
    product:said("stopped")
    assert.equal(0, product:ended())
    assert.equal(0, product.gateway:count("hob.stopped"))
  end)

  it("is freed also by one whose posts never end; the last of them is refused", function()
    local product = products.new(world, { "poll" })
    product:tell("endless")
    product:said("command", { text = "endless" })
    assert.equal(0, product:quit())
    product:said("refused", { code = "ECANCELED" })
  end)

  it("is started once, and not after a stop", function()
    local product = products.new(world, { "poll" }, {
      scripts = { ["wait.lua"] = WAIT }, config = { stop_grace = 3600, stop_timeout = 3600 },
    })
    product:tell("start")
    local refused = product:said("result", { of = "start", code = "EBUSY" })
    assert.equal("it was started before", refused.text)
    id_count = id_count + 1
    local id = "life-" .. id_count
    world:create(id, '{"operation":"wait"}')
    product.gateway:wait_event("job.started", { job = id })
    product:tell("stop")
    product.gateway:wait_event("hob.stopping")
    product:tell("start")
    product:said("result", { of = "start", code = "ECANCELED" })
    product:tell("stop")
    assert.equal(0, product:ended())
    world:control("cancel_job", id, {}, true, os.time())
  end)

  it("says in words why it cannot be freed inside a callback, and ends the process", function()
    local product = products.new(world, { "poll" })
    product:tell("free")
    local result = assert(product.gateway:wait_end())
    assert.equal(6, result.signal)
    assert.matches("hob_runtime_free was called inside a callback of the runtime",
      table.concat(product.gateway.lines, "\n"))
  end)

  describe("beside another one in the same process", function()
    for _, how in ipairs({ "poll", "uv" }) do
      it("shares nothing with it (" .. how .. ")", function()
        local other = world:gateway({ thing = "gw-2", launch = false,
          scripts = { ["greet.lua"] = [[return { api = 1,
            run = function() return { said = "from two" } end }]] } })
        local product = products.new(world, { how, "observe", "second=" .. other.config }, {
          scripts = { ["greet.lua"] = GREET },
        })
        product:said("result", { of = "start", runtime = 2 })
        world:create("two-" .. how, GREET_JOB, "gw-2")
        run_a_job(product)
        assert.equal("from two", world:ended("two-" .. how, "gw-2").details.said)
        product:said("job_ended", { runtime = 2, job = "two-" .. how })
        for _, event in ipairs(product.gateway.events) do
          if event.event == "product.job_ended" then
            assert.equal(event.runtime == 2, event.thing == "gw-2")
          end
        end
        product:tell("2:stop")
        product:said("stopped", { runtime = 2 })
        run_a_job(product)
        assert.equal(0, product:quit())
      end)
    end

    it("does not get its data directory", function()
      local product = products.new(world, { "poll", "second=SAME" }, { launch = false })
      product.gateway.flags[2] = "second=" .. product.gateway.config
      product.gateway:launch()
      local refused = product:said("result", { of = "new", runtime = 2 })
      assert.equal("EBUSY", refused.code)
      assert.matches("another runtime of this process uses this data directory", refused.text)
      assert.equal(1, assert(product.gateway:wait_end()).code)
    end)

    it("does not let it go when another one was refused", function()
      local product = products.new(world, { "poll" })
      local result = exec.run({ worlds.hob(), "run", "--config", product.gateway.config })
      assert.equal(1, result.code)
      assert.matches("uses this data directory", result.stderr)
      assert.equal(0, product:quit())
    end)
  end)

  it("is made again after its end, with what it has stored", function()
    local product = products.new(world, { "uv" }, { scripts = { ["greet.lua"] = GREET } })
    run_a_job(product)
    assert.equal(0, product:quit())
    product.gateway:launch()
    product:said("result", { of = "start" }, 2)
    wait_until(function()
      return fs.stat(product.fifo)
    end, worlds.PATIENCE, "its commands")
    run_a_job(product)
    product:tell("stop")
    product:said("driven", nil, 2)
    product:tell("quit")
    assert.equal(0, assert(product.gateway:wait_end()).code)
  end)
end)
