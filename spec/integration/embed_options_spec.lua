-- The options of a runtime: through the same checks as the configuration's file and flags.

local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local products = require("spec.support.product")
local worlds = require("spec.support.world")

local GREET = [[return { api = 1, run = function() return { said = "hello" } end }]]

describe("the options of a runtime", function()
  local world, dir

  setup(function()
    world = worlds.start()
  end)

  before_each(function()
    dir = world:path("product")
    assert(fs.mkdir(dir .. "/scripts"))
    assert(fs.write(dir .. "/scripts/greet.lua", GREET))
  end)

  after_each(function()
    products.end_all(world)
  end)

  teardown(function()
    world:stop()
  end)

  local function whole(more)
    local pair = world.pki:issue({ cn = "gw-1", san = {} })
    local words = {
      "poll", "nofile", "endpoint=" .. world.broker.host, "port=" .. world.broker.port,
      "thing=gw-1", "ca=" .. world.pki.ca, "cert=" .. pair.cert, "key=" .. pair.key,
      "scripts=" .. dir .. "/scripts", "data=" .. dir .. "/data", "set=log_format=json",
    }
    if exec_user.name() then
      words[#words + 1] = "set=exec_user=" .. exec_user.name()
    end
    return table.move(more or {}, 1, #(more or {}), #words + 1, words)
  end

  -- What hob_runtime_new says when it is made with these words besides.
  local function refusal(more, given)
    local product = products.new(world, given or whole(more), { launch = false })
    product.gateway:launch()
    local refused = product:said("result", { of = "new" })
    assert.equal(1, assert(product.gateway:wait_end()).code)
    return refused.code, refused.text
  end

  it("need no file", function()
    local product = products.new(world, whole({ "set=poll=60" }))
    world:create("whole-1", '{"operation":"greet"}')
    assert.equal("SUCCEEDED", world:ended("whole-1").status)
    assert.equal(0, product:quit())
  end)

  it("override the file", function()
    local words = { "run", "data=" .. dir .. "/elsewhere", "set=log_level=info" }
    local product = products.new(world, words, { scripts = { ["greet.lua"] = GREET } })
    world:create("file-1", '{"operation":"greet"}')
    assert.equal("SUCCEEDED", world:ended("file-1").status)
    assert.truthy(fs.stat(dir .. "/elsewhere/hob.db"))
    for _, event in ipairs(product.gateway.events) do
      assert.not_equal("debug", event.level)
    end
    assert.equal(0, product:quit())
  end)

  for setting, words in pairs({
    ["poll=often"] = 'settings: poll: expected seconds from 1 to 10000000, got "often"',
    ["pol=60"] = "settings: pol: unknown key; did you mean poll?",
    ["reload=maybe"] = "settings: reload: expected true or false, got maybe",
    ["log_level=loud"] = "settings: log_level: expected one of debug|info|warn|error|off, got "
      .. '"loud"',
    ["topics=all"] = "settings: topics: expected a table, as the file has it, got all",
    ["topics={ allow = 7 }"] = "settings: settings:1: topics: expected",
    ["poll"] = "settings: poll: expected a value after it",
    ["signers={ '/nowhere.pem' }"] = "signers: expected a file that can be read, got /nowhere.pem",
  }) do
    it("refuse the setting " .. setting .. " and name it", function()
      local code, text = refusal({ "set=" .. setting })
      assert.equal(setting == "poll" and "EINVAL" or "ECONFIG", code)
      assert.equal(words, text:sub(1, #words))
    end)
  end

  for option, words in pairs({
    ["port=70000"] = 'port: expected an integer from 1 to 65535, got "70000"',
    ["endpoint=tls://x/"] = "endpoint: expected a host name, without a scheme or a path, got "
      .. '"tls://x/"',
    ["thing=a/b"] = 'thing_name: expected 1 to 128 of [a-zA-Z0-9:_-], got "a/b" (3 characters)',
    ["key=/nowhere.key"] = "key: expected a file that can be read, got /nowhere.key: "
      .. "No such file or directory",
    ["scripts=/nowhere"] = "scripts: expected a directory that can be read, got /nowhere: "
      .. "No such file or directory",
  }) do
    it("refuse the member " .. option .. " and name it", function()
      local code, text = refusal({ option })
      assert.equal("ECONFIG", code)
      assert.equal(words, text)
    end)
  end

  it("must have a data directory", function()
    local code, text = refusal(nil, { "poll", "nofile", "no_tls", "scripts=" .. dir .. "/scripts" })
    assert.equal("ECONFIG", code)
    assert.equal("data is missing", text)
  end)

  it("say what is wrong in the file as hob run does", function()
    local product = products.new(world, { "poll" }, { launch = false, config = { poll = "never" } })
    product.gateway:launch()
    local refused = product:said("result", { of = "new" })
    assert.equal("ECONFIG", refused.code)
    assert.matches("hob%.conf%.lua:%d+: poll: expected", refused.text)
  end)

  it("take tables as the file has them", function()
    assert(fs.write(dir .. "/scripts/said.lua", [[return { api = 1, run = function()
      return { said = require("hob.exec").check({ "echo", "yes" }).stdout }
    end }]]))
    local product = products.new(world, whole({ 'set=commands={ allow = { "echo" } }',
      'set=routes={ ["say-it"] = "said" }' }))
    world:create("tables-1", '{"operation":"say-it"}')
    local ended = world:ended("tables-1")
    assert.equal("yes ", ended.details.said, ended.details.reason)
    assert.equal(0, product:quit())
  end)

  it("may have no thing at first", function()
    local product = products.new(world, { "uv", "nofile", "scripts=" .. dir .. "/scripts",
      "data=" .. dir .. "/data", "set=log_format=json", "set=ca=" .. world.pki.ca,
      "set=endpoint=" .. world.broker.host, "set=port=" .. world.broker.port,
      "set=exec_user=" .. (exec_user.name() or "nobody") })
    assert.matches("0 things", product.gateway:wait_event("hob.started").msg)
    local pair = world.pki:issue({ cn = "gw-9", san = {} })
    product:tell(("add gw-9 cert=%s key=%s"):format(pair.cert, pair.key))
    product:said("result", { of = "add", code = "OK" })
    world:create("late-1", '{"operation":"greet"}', "gw-9")
    assert.equal("SUCCEEDED", world:ended("late-1", "gw-9").status)
    assert.equal(0, product:quit())
  end)

  it("may do without a control socket", function()
    local product = products.new(world, whole({ "no_control" }))
    assert.falsy(fs.stat(dir .. "/data/hob.sock"))
    assert.equal(0, product:quit())
    product = products.new(world, whole())
    assert.truthy(fs.stat(dir .. "/data/hob.sock"))
    assert.equal(0, product:quit())
  end)

  it("say where Hob's own files are, and are believed", function()
    local code, text = refusal({ "lib=/nowhere" })
    assert.equal("ENOENT", code)
    assert.matches("/nowhere", text)
  end)

  it("refuse a data directory that others may write to", function()
    assert(fs.mkdir(dir .. "/open", { mode = 511 }))
    require("hob.exec").check({ "chmod", "0777", dir .. "/open" })
    local code, text = refusal({ "data=" .. dir .. "/open" })
    assert.equal("ECONFIG", code)
    assert.matches("can be changed by every user", text)
  end)

  describe("of a program that was compiled with another hob.h", function()
    it("are taken as if what an older one does not have were zero", function()
      local product = products.new(world, whole({ "header=older", "reboot", "log" }))
      assert.equal(0, product:quit())
      assert.equal(0, product:count("log"))
    end)

    it("are taken from a newer one that uses nothing new, and refused if it does", function()
      local product = products.new(world, whole({ "header=newer", "log" }))
      assert.equal(0, product:quit())
      assert.is_true(product:count("log") > 0)
      local code, text = refusal({ "header=newer-set" })
      assert.equal("EINVAL", code)
      assert.matches("members are set that this libhob %(.*%) does not know", text)
    end)

    it("are refused without their size", function()
      local code, text = refusal({ "header=none" })
      assert.equal("EINVAL", code)
      assert.equal("hob_runtime_options: size: expected sizeof(struct hob_runtime_options), got 0",
        text)
    end)
  end)

  describe("for the log", function()
    it("give the product each line, masked; with log_target = none nobody else", function()
      assert(fs.write(dir .. "/scripts/secret.lua", [[return { api = 1, run = function(job)
        require("hob.log").info("password=geheim at https://x.example/a?sig=abc")
      end }]]))
      local product = products.new(world, whole({ "log", "set=log_target=none" }))
      world:create("secret-1", '{"operation":"secret"}')
      local ended = world:ended("secret-1")
      assert.equal("SUCCEEDED", ended.status, ended.details.reason)
      local line = product:said("log", { of = "job.reported", job = "secret-1", severity = "info" })
      assert.equal("gw-1", line.thing)
      assert.equal("fits", line.len)
      assert.equal(0, product:quit())
      assert.equal(0, product.gateway:count("job.reported"))
      local all = table.concat(product.gateway.lines, "\n")
      assert.matches("password=%*%*%*", all)
      assert.falsy(all:find("geheim", 1, true) or all:find("sig=abc", 1, true))
    end)

    -- Who posts each line to his own thread has no runtime yet to post to.
    it("give it those of hob_runtime_new, too, inside of it", function()
      assert(fs.mkdir(dir .. "/data"))
      assert(fs.write(dir .. "/data/hob.db", ("no store "):rep(1000)))
      local product = products.new(world, whole({ "log" }))
      product:said("log", { of = "store.damaged" })
      assert.equal(0, product:quit())
    end)

    it("give it what log_level lets through, besides the target", function()
      local product = products.new(world, whole({ "log", "set=log_level=warn" }))
      product:tell("stop")
      assert.equal(0, product:ended())
      assert.equal(0, product:count("log"))
    end)
  end)
end)
