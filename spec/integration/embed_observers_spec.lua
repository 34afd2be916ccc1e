-- What a product hears of its runtime (hob_runtime_observe), what it changes in it, and hob_post.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local products = require("spec.support.product")
local wait_until = products.wait_until
local worlds = require("spec.support.world")

local SCRIPTS = {
  ["greet.lua"] = [[return { api = 1, run = function(job)
    job:progress(50, "half way")
    return { said = "hello" }
  end }]],
  ["quiet.lua"] = "return { api = 1, run = function() end }",
  ["fail.lua"] = [[return { api = 1, run = function() error("no paper") end }]],
  ["wait.lua"] = [[return { api = 1, run = function(job)
    job:step("wait", function() require("hob.time").sleep(3600) end)
  end }]],
}

describe("a product", function()
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

  local function product_with(words, config)
    return products.new(world, words, { scripts = SCRIPTS, config = config })
  end

  local function events_of(product, job)
    local list = {}
    for _, event in ipairs(product.gateway.events) do
      local name = event.event:match("^product%.(.*)")
      if name and event.job == job then
        list[#list + 1] = ("%s %s"):format(name, event.status)
      end
    end
    return list
  end

  describe("observing", function()
    it("hears of each moment of a job, in order, on its own thread", function()
      local product = product_with({ "poll", "observe" })
      product:said("connection_up", { thing = "gw-1" })
      world:create("moments", '{"operation":"quiet"}')
      world:ended("moments")
      product:said("update_accepted", { job = "moments", status = "SUCCEEDED" })
      assert.same({ "job_offered QUEUED", "update_accepted IN_PROGRESS", "job_started IN_PROGRESS",
        "job_ended SUCCEEDED", "update_accepted SUCCEEDED" }, events_of(product, "moments"))
      local offered = product:said("job_offered", { job = "moments" })
      assert.matches("^quiet@%x%x%x%x%x%x%x%x%x%x%x%x$", offered.handler)
      assert.equal("1", offered.number)
      assert.equal("main", offered.thread)
      local ended = product:said("job_ended", { job = "moments" })
      assert.equal(offered.handler, ended.handler)
      world:create("half", '{"operation":"greet"}')
      assert.matches("half way", product:said("job_progress", { job = "half" }).text)
      product:said("update_accepted", { job = "half", status = "IN_PROGRESS" }, 2)
      world:ended("half")
      assert.equal(0, product:quit())
    end)

    it("hears why a job failed, or was refused", function()
      local product = product_with({ "run", "observe" })
      world:create("fails", '{"operation":"fail"}')
      local failed = product:said("job_ended", { job = "fails" })
      assert.equal("FAILED", failed.status)
      assert.equal("LUA_ERROR", failed.code)
      assert.matches("fail.lua:1: no paper", failed.text)
      world:create("nobodys", '{"operation":"unheard-of"}')
      local refused = product:said("job_ended", { job = "nobodys" })
      assert.same({ "REJECTED", "NO_HANDLER" }, { refused.status, refused.code })
      assert.equal(0, product:quit())
    end)

    it("hears of a lost connection, and of each attempt that fails", function()
      local product = product_with({ "uv", "observe" })
      product:said("connection_up")
      world.broker:kill()
      local down = product:said("connection_down")
      assert.equal("gw-1", down.thing)
      assert.truthy(#down.text > 0 and down.code ~= "OK")
      product:said("connection_down", { code = "ECONNREFUSED" })
      product:tell("status gw-1")
      assert.equal("no", product:said("status").online)
      world.broker:start_again()
      product:said("connection_up", nil, 2)
      assert.equal(0, product:quit())
    end)

    it("hears of handlers that were loaded again", function()
      local product = product_with({ "poll", "observe" })
      local path = product.gateway.dir .. "/scripts/greet.lua"
      assert(fs.write(path, (SCRIPTS["greet.lua"]:gsub("hello", "good day"))))
      product:tell("reload")
      product:said("result", { of = "reload", code = "OK" })
      assert.matches("^greet@%x+$", product:said("handler_reloaded").handler)
      assert.equal(0, product:quit())
    end)

    it("may call the runtime from an observer, and add another one there", function()
      local product = product_with({ "poll", "observe" })
      world:create("adds", '{"operation":"greet"}')
      product:said("result", { of = "observe inside", code = "OK" })
      product:said("result", { of = "status inside", code = "OK" })
      assert.equal(0, product:count("second_observer"))
      world:create("after-adds", '{"operation":"greet"}')
      product:said("second_observer", { job = "after-adds" })
      world:create("stops", '{"operation":"greet"}')
      product:said("driven")
      assert.equal(0, product:ended())
      assert.equal("an observer wants it: taking no more jobs",
        product.gateway:wait_event("hob.stopping").msg)
      assert.equal("SUCCEEDED", world:describe("stops").status)
    end)
  end)

  describe("changing things", function()
    it("drains and goes on, which the control socket shows", function()
      local product = product_with({ "poll" })
      product:tell("drain on the door is open")
      product:said("result", { of = "drain", code = "OK" })
      local out = exec.check({ worlds.hob(), "drain", "status", "--json", "--data",
        product.gateway.dir .. "/data" }).stdout
      local drain = json.decode(out).drain
      assert.equal("the door is open", drain.reason)
      assert.equal("the program that Hob is part of", drain.who)
      world:create("drained", '{"operation":"greet"}')
      product:tell("drain off")
      assert.equal("SUCCEEDED", world:ended("drained").status)
      assert.equal(0, product:quit())
    end)

    it("cancels a job, saying who wants it", function()
      local product = product_with({ "poll", "observe" })
      world:create("cancelled", '{"operation":"wait"}')
      product:said("job_started", { job = "cancelled" })
      product:tell("cancel nothing-of-that-name")
      assert.equal("job 'nothing-of-that-name' is not in hand here",
        product:said("result", { of = "cancel", code = "ENOENT" }).text)
      product:tell("cancel cancelled the service key")
      product:said("result", { of = "cancel", code = "OK" })
      local execution = world:ended("cancelled")
      assert.equal("FAILED", execution.status)
      assert.equal("cancelled by the service key", execution.details.reason)
      assert.equal(0, product:quit())
    end)

    it("is told when a reload cannot be", function()
      local product = product_with({ "poll" })
      exec.check({ "mv", product.gateway.dir .. "/scripts", product.gateway.dir .. "/elsewhere" })
      product:tell("reload")
      assert.matches("scripts", product:said("result", { of = "reload" }).text)
      assert.equal(0, product:quit())
    end)
  end)

  describe("hob_post", function()
    it("runs what other threads want, on the runtime's thread, each once", function()
      for _, how in ipairs({ "run", "poll", "uv" }) do
        local product = product_with({ how })
        product:tell("posts 500")
        local last = product:said("posted", nil, 4)
        assert.equal("2000", last.count)
        assert.equal("main", last.thread)
        assert.equal(0, product:quit())
      end
    end)
  end)

  it("leaves a job as it is when it stops, and goes on with it", function()
    local product = product_with({ "run", "observe" }, { stop_grace = 0.1 })
    world:create("goes-on", '{"operation":"wait"}')
    product:said("job_started", { job = "goes-on" })
    product:tell("stop for the night")
    assert.equal(0, product:ended())
    product.gateway:launch()
    product:said("job_started", { job = "goes-on" }, 2)
    wait_until(function()
      return product:count("job_progress") > 0
    end, worlds.PATIENCE, "the word that it goes on")
    product:tell("cancel goes-on")
    world:ended("goes-on")
    product:tell("stop")
    product:said("driven", nil, 2)
    product:tell("quit")
    assert.equal(0, assert(product.gateway:wait_end()).code)
  end)
end)
