-- A product that accepts, defers or refuses jobs (hob_runtime_decide), reboots the device in its
-- own way, and makes another runtime when a job wants one.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local products = require("spec.support.product")
local worlds = require("spec.support.world")

local SCRIPTS = {
  ["greet.lua"] = [[return { api = 1, run = function() return { said = "hello" } end }]],
  ["reboot.lua"] = [[return { api = 1, run = function(job)
    job:reboot("into the other slot")
    return { said = "rebooted" }
  end }]],
  ["restart.lua"] = [[return { api = 1, run = function(job)
    job:restart_hob("a new libhob is there")
    return { said = "restarted" }
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

  local function jobs_of(product)
    local out = exec.check({ worlds.hob(), "jobs", "--json", "--data",
      product.gateway.dir .. "/data" }).stdout
    local list = {}
    for line in out:gmatch("[^\n]+") do
      local value = json.decode(line)
      for _, job in ipairs(value.jobs or { value }) do
        list[#list + 1] = job
      end
    end
    return list, out
  end

  describe("deciding", function()
    it("is asked about a job before it is claimed, with its document and handler", function()
      local product = product_with({ "poll", "observe", "decide=accept" })
      world:create("asked", '{"operation":"greet","channel":3}')
      world:ended("asked")
      local asked = product:said("decides")
      assert.same({ "asked", "gw-1", "1", "main" },
        { asked.job, asked.thing, asked.number, asked.thread })
      assert.matches("^greet@%x+$", asked.handler)
      assert.equal(3, json.decode(asked.document).channel)
      assert.equal(1, product:count("decides"))
      world:create("asked-nobody", '{"operation":"unheard-of"}')
      assert.equal("NO_HANDLER", world:ended("asked-nobody").details.code)
      assert.equal("", product:said("decides", { job = "asked-nobody" }).handler)
      assert.equal(0, product:quit())
    end)

    it("leaves what it defers QUEUED, says why to hob jobs, and asks again when told to", function()
      local product = product_with({ "poll", "observe" })
      product:tell("decide defer the pump runs")
      world:create("deferred", '{"operation":"greet"}')
      product:said("decides", { job = "deferred" })
      local waits = product.gateway:wait_event("job.waits", { job = "deferred" })
      assert.same({ "PUT_OFF", "the pump runs" }, { waits.code, waits.msg })
      local jobs, text = jobs_of(product)
      assert.equal(1, #jobs, text)
      assert.same({ "deferred", "waiting", "the pump runs", "decision" },
        { jobs[1].jobId, jobs[1].state, jobs[1].why, jobs[1].waitsFor })
      assert.equal("QUEUED", world:describe("deferred").status)
      world:create("deferred-too", '{"operation":"greet"}')
      product.gateway:wait_event("job.waits", { job = "deferred-too" })
      product:tell("status gw-1")
      product:said("status")
      assert.equal(2, product:count("decides")) -- about each of them once
      product:tell("reconsider")
      product:said("decides", { job = "deferred" }, 2)
      product:tell("decide accept")
      assert.equal("SUCCEEDED", world:ended("deferred").status)
      assert.equal("SUCCEEDED", world:ended("deferred-too").status)
      assert.equal(2, product:count("job_offered"))
      assert.equal(0, product:quit())
    end)

    it("does not let a deferred job hold up what lies behind it", function()
      local product = product_with({ "poll", "observe" })
      product:tell("decide defer not now")
      world:create("in-front", '{"operation":"greet"}')
      product.gateway:wait_event("job.waits", { job = "in-front" })
      product:tell("decide accept")
      world:create("behind", '{"operation":"greet"}')
      world:ended("behind")
      world:ended("in-front")
      assert.equal(0, product:quit())
    end)

    it("asks again after a reconnect, and keeps what was deferred", function()
      local product = product_with({ "poll" })
      product:tell("decide defer still busy")
      world:create("across", '{"operation":"greet"}')
      product:said("decides", { job = "across" })
      world.broker:kill()
      product.gateway:wait_event("conn.lost")
      world.broker:start_again()
      product:said("decides", { job = "across" }, 2)
      product.gateway:wait_event("job.waits", { job = "across" }, 2)
      assert.equal("QUEUED", world:describe("across").status)
      product:tell("decide accept")
      assert.equal("SUCCEEDED", world:ended("across").status)
      assert.equal(0, product:quit())
    end)

    it("rejects what it refuses, with its reason, also across a lost connection", function()
      local product = product_with({ "poll", "observe" })
      product:tell("decide refuse not on\ta Friday")
      world:create("refused", '{"operation":"greet"}')
      local execution = world:ended("refused")
      assert.equal("REJECTED", execution.status)
      assert.same({ "not on a Friday", "REFUSED" },
        { execution.details.reason, execution.details.code })
      assert.equal("REJECTED", product:said("job_ended", { job = "refused" }).status)
      local dropped = 0
      world:after(function(topic)
        if topic:find("/jobs/kept/update", 1, true) and dropped == 0 then
          dropped = 1
          world.broker:kill()
          return "drop"
        end
      end)
      world:create("kept", '{"operation":"greet"}')
      product:said("job_ended", { job = "kept" })
      product.gateway:wait_event("conn.lost")
      world.broker:start_again()
      assert.equal("REJECTED", world:ended("kept").status)
      world:after(nil)
      assert.equal(1, product:count("job_ended") - 1)
      assert.equal(0, product:quit())
    end)

    it("has words of its own where the product gives none", function()
      local product = product_with({ "uv", "decide=refuse" })
      world:create("wordless", '{"operation":"greet"}')
      assert.equal("the program that Hob is part of has refused it",
        world:ended("wordless").details.reason)
      assert.equal(0, product:quit())
    end)

    it("is asked again about a claim that was lost with the process before", function()
      local product = product_with({ "poll" })
      local claimed = false
      world:answer_with(function(topic)
        if topic:find("/jobs/claimed/update", 1, true) then
          claimed = true
          return "drop"
        end
      end)
      world:create("claimed", '{"operation":"greet"}')
      products.wait_until(function()
        return claimed
      end, worlds.PATIENCE, "the claim")
      product:tell("stop")
      assert.equal(0, product:ended())
      world:answer_with(nil)
      product.gateway.flags[#product.gateway.flags + 1] = "decide=refuse"
      product.gateway:launch()
      local execution = world:ended("claimed")
      assert.equal("REJECTED", execution.status)
      product:tell("stop")
      product:said("driven", nil, 2)
      product:tell("quit")
      assert.equal(0, assert(product.gateway:wait_end()).code)
    end)
  end)

  describe("rebooting the device", function()
    it("does it in place of a command, and the job goes on after it", function()
      local boot = world:path("boot-id")
      assert(fs.write(boot, "11111111-2222-3333-4444-555555555555\n"))
      local product = product_with({ "poll", "observe", "reboot" },
        { boot_id_file = boot, reboot_command = { "/nowhere/reboot" } })
      world:create("reboots", '{"operation":"reboot"}')
      assert.equal("into the other slot", product:said("reboot").text)
      product:tell("stop it goes down")
      assert.equal(0, product:ended())
      assert(fs.write(boot, "99999999-2222-3333-4444-555555555555\n"))
      product.gateway:launch()
      local execution = world:ended("reboots")
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(1, product:count("reboot"))
      product:tell("stop")
      product:said("driven", nil, 2)
      product:tell("quit")
      assert.equal(0, assert(product.gateway:wait_end()).code)
    end)

    it("fails the job with the product's reason when it cannot", function()
      local product = product_with({ "poll", "reboot=fail" }, { reboot_wait = 0.1 })
      world:create("stays-up", '{"operation":"reboot"}')
      local execution = world:ended("stays-up")
      assert.same({ "FAILED", "REBOOT_FAILED" }, { execution.status, execution.details.code })
      assert.matches("the watchdog does not let go", execution.details.reason)
      assert.equal(3, product:count("reboot"))
      assert.equal(0, product:quit())
    end)
  end)

  describe("making another runtime", function()
    it("is told when a job wants one; this one stops", function()
      local product = product_with({ "run", "restart" })
      world:create("restarts", '{"operation":"restart"}')
      assert.equal("a new libhob is there", product:said("restart").text)
      assert.equal(0, product:ended())
      assert.equal(0, product:count("stopped"))
      product.gateway:launch()
      assert.equal("restarted", world:ended("restarts").details.said)
      product:tell("stop")
      product:said("driven", nil, 2)
      product:tell("quit")
      assert.equal(0, assert(product.gateway:wait_end()).code)
    end)
  end)
end)
