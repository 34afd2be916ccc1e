-- Things that a product adds to its runtime, takes out of it, and looks at.

local fs = require("hob.fs")
local products = require("spec.support.product")
local worlds = require("spec.support.world")

local SCRIPTS = {
  ["greet.lua"] = [[return { api = 1, run = function() return { said = "hello" } end }]],
  ["wait.lua"] = [[return { api = 1, run = function(job)
    job:step("first", function() require("hob.time").sleep(3600) end)
  end }]],
}

describe("things of a product", function()
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

  local function add(product, name)
    local pair = world.pki:issue({ cn = name, san = {} })
    product:tell(("add %s cert=%s key=%s"):format(name, pair.cert, pair.key))
  end

  it("are added while it runs, with the file's endpoint and what is their own", function()
    local product = product_with({ "poll", "observe" })
    add(product, "lamp-1")
    product:said("result", { of = "add", code = "OK" })
    product:said("connection_up", { thing = "lamp-1" })
    world:create("lamp-job", '{"operation":"greet"}', "lamp-1")
    assert.equal("SUCCEEDED", world:ended("lamp-job", "lamp-1").status)
    product:said("job_ended", { thing = "lamp-1" })
    product:tell("status lamp-1")
    local status = product:said("status", { thing = "lamp-1" })
    assert.same({ "yes", "", "0" }, { status.online, status.why, status.running })
    assert.equal(0, product:quit())
  end)

  it("are refused with the reason", function()
    local product = product_with({ "poll" })
    add(product, "gw-1")
    assert.equal("the thing 'gw-1' is there already",
      product:said("result", { of = "add", code = "EEXIST" }).text)
    product:tell("add lamp-2 cert=/nowhere.pem")
    assert.matches("^cert: expected a file that can be read, got /nowhere.pem",
      product:said("result", { of = "add", code = "ECONFIG" }).text:gsub("^key.-; ", ""))
    product:tell("add lamp-2 pol=7")
    assert.matches("^pol: unknown key", product:said("result",
      { of = "add", code = "ECONFIG" }, 2).text)
    product:tell("remove nobody")
    product:said("result", { of = "remove", code = "ENOENT" })
    product:tell("status nobody")
    product:said("result", { of = "status", code = "ENOENT" })
    assert.equal(0, product:quit())
  end)

  it("are taken out in order, and go on with their jobs when they are back", function()
    local product = product_with({ "uv", "observe" })
    add(product, "lamp-3")
    product:said("connection_up", { thing = "lamp-3" })
    world:create("kept", '{"operation":"wait"}', "lamp-3")
    product:said("job_started", { thing = "lamp-3" })
    product:tell("status lamp-3")
    assert.equal("1", product:said("status").running)
    assert(fs.write(product.gateway.dir .. "/scripts/wait.lua", SCRIPTS["greet.lua"]))
    product:tell("remove lamp-3")
    product:said("result", { of = "remove", code = "OK" })
    product:tell("stop") -- what is on its way out is hurried, too
    product:tell("stop")
    assert.equal(0, product:ended())
    assert.equal(1, product:count("removed"))
    assert.equal("IN_PROGRESS", world:describe("kept", "lamp-3").status)
    product.gateway:launch()
    product:said("result", { of = "start" }, 2)
    add(product, "lamp-3")
    product:said("job_started", { thing = "lamp-3" }, 2)
    product:tell("status lamp-3")
    product:said("status", nil, 2)
    product:tell("stop")
    product:tell("stop")
    product:said("driven", nil, 2)
    product:tell("quit")
    assert.equal(0, assert(product.gateway:wait_end()).code)
  end)

  it("may all go, which does not end the runtime", function()
    local product = product_with({ "run" })
    product.gateway:wait_event("jobs.subscribed", { thing = "gw-1" })
    product:tell("remove gw-1")
    product:said("removed")
    add(product, "gw-1")
    product:said("result", { of = "add", code = "OK" })
    product.gateway:wait_event("jobs.subscribed", { thing = "gw-1" }, 2)
    assert.equal(0, product:quit())
  end)
end)
