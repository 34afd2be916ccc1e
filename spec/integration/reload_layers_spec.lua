-- Two directories of handlers: local ones on a writable partition, and below them those of a
-- read-only image. The first one that has a name wins, and both are watched.

local exec = require("hob.exec")
local fs = require("hob.fs")
local httpd = require("hob.httpd")
local json = require("hob.json")
local pkis = require("spec.support.pki")
local project = require("spec.support.source")
local verify = require("hob.verify")
local worlds = require("spec.support.world")

local SIMPLE = 'return { api = 1, run = function() return { version = "%s" } end }\n'
local function simple(version)
  return SIMPLE:format(version)
end

local SHARING = [[
local shared = require("shared")
return { api = 1, run = function() return { version = shared.version } end }
]]

describe("two directories of handlers", function()
  local world, gateway, locals, shipped

  before_each(function()
    world = worlds.start({ tls = false })
  end)
  after_each(function()
    world:stop()
  end)

  -- `above`: files of the local directory, nil: it is not there.
  local function start(below, above, config)
    config = config or {}
    config.scripts = { "local/scripts", "scripts" }
    gateway = world:gateway({ scripts = below, config = config, launch = false })
    locals, shipped = gateway.dir .. "/local/scripts/", gateway.dir .. "/scripts/"
    for name, text in pairs(above or {}) do
      assert(fs.mkdir((locals .. name):match("^(.*)/")))
      assert(fs.write(locals .. name, text))
    end
    return gateway:launch():wait_event("jobs.subscribed")
  end

  local made = 0
  local function run(document)
    made = made + 1
    local id = "job-" .. made
    world:create(id, type(document) == "table" and json.encode(document)
      or ('{"operation":"%s"}'):format(document))
    return world:ended(id)
  end

  local function version()
    return run("greet").details.version
  end

  -- What `fn` does to the files is in use when this returns.
  local function reloaded(fn, event)
    local before = gateway:count(event or "handler.reloaded")
    fn()
    return gateway:wait_event(event or "handler.reloaded", nil, before + 1)
  end

  local function handlers(...)
    return exec.check({ worlds.hob(), "handlers", "--config", gateway.config, ... }).stdout
  end

  local function handler(name)
    for _, one in ipairs(assert(json.decode(handlers("--json"))).handlers) do
      if one.name == name then
        return one
      end
    end
  end

  it("use the first one's file, and say so once", function()
    start({ ["greet.lua"] = simple("shipped"), ["other.lua"] = simple("other") },
      { ["greet.lua"] = simple("local") })
    assert.equal("local", version())
    assert.equal("other", run("other").details.version)
    local event = gateway:wait_event("handler.shadowed")
    assert.equal(("%sgreet.lua is used in place of %sgreet.lua"):format(locals, shipped), event.msg)
    reloaded(function() assert(fs.write(shipped .. "other.lua", simple("2"))) end)
    assert.equal(1, gateway:count("handler.shadowed"))
    local greet = handler("greet")
    assert.equal(locals .. "greet.lua", greet.path)
    assert.equal(shipped .. "greet.lua", greet.shadows)
    assert.equal(shipped .. "other.lua", handler("other").path)
    assert.is_nil(handler("other").shadows)
    local shown = handlers()
    assert.matches("FILE", shown, 1, true)
    assert.matches(("%sgreet.lua over %sgreet.lua"):format(locals, shipped), shown, 1, true)
  end)

  it("let the first one come later, with the directories above it", function()
    start({ ["greet.lua"] = simple("shipped") })
    assert.equal("shipped", version())
    local event = reloaded(function()
      assert(fs.mkdir(locals))
      assert(fs.write(locals .. "greet.lua", simple("local")))
    end)
    assert.matches("greet.lua: %x+ is in use in place of %x+ of .*/scripts/greet.lua$", event.msg)
    assert.equal("local", version())
  end)

  it("bring the shipped file back when the local one is removed, also with the same text",
    function()
    for i, text in ipairs({ "other", "shipped" }) do
      start({ ["greet.lua"] = simple("shipped") }, { ["greet.lua"] = simple(text) })
      assert.equal(text, version())
      reloaded(function() os.remove(locals .. "greet.lua") end)
      assert.equal("shipped", version())
      assert.equal(shipped .. "greet.lua", handler("greet").path)
      assert.equal(0, gateway:count("handler.removed"))
      assert.equal(0, gateway:stop())
      if i == 1 then
        world:stop()
        world = worlds.start({ tls = false })
      end
    end
  end)

  it("notice nothing of what happens to a shadowed file, until it is used", function()
    start({ ["greet.lua"] = simple("shipped"), ["other.lua"] = simple("1") },
      { ["greet.lua"] = simple("local") })
    local count = gateway:count("handler.reloaded")
    reloaded(function()
      assert(fs.write(shipped .. "greet.lua", "not Lua"))
      assert(fs.write(shipped .. "other.lua", simple("2")))
    end)
    assert.equal(count + 1, gateway:count("handler.reloaded"))
    assert.equal(0, gateway:count("handler.broken"))
    assert.equal("local", version())
  end)

  it("keep the last good version when a broken local file appears", function()
    start({ ["greet.lua"] = simple("shipped") })
    local event = reloaded(function()
      assert(fs.mkdir(locals))
      assert(fs.write(locals .. "greet.lua", "not Lua"))
    end, "handler.broken")
    assert.matches("local/scripts/greet.lua:1: .* stays in use$", event.msg)
    assert.equal("shipped", version())
  end)

  it("have modules of their own: the first lib/ that has one wins, for handlers of both", function()
    start({ ["greet.lua"] = SHARING, ["lib/shared.lua"] = 'return { version = "shipped" }' })
    assert.equal("shipped", version())
    reloaded(function()
      assert(fs.mkdir(locals .. "lib"))
      assert(fs.write(locals .. "lib/shared.lua", 'return { version = "local" }'))
    end, "handlers.lib_reloaded")
    assert.equal("local", version())
    reloaded(function() os.remove(locals .. "lib/shared.lua") end, "handlers.lib_reloaded")
    assert.equal("shipped", version())
  end)

  it("are looked at by the commands at a desk, too", function()
    start({ ["greet.lua"] = SHARING, ["lib/shared.lua"] = 'return { version = "shipped" }',
      ["other.lua"] = simple("other") }, { ["lib/shared.lua"] = 'return { version = "local" }' })
    local list = exec.check({ worlds.hob(), "handler", "list", "--json", "--config",
      gateway.config }).stdout
    local paths = {}
    for _, one in ipairs(assert(json.decode(list))) do
      paths[one.name] = one.path
    end
    assert.equal(shipped .. "greet.lua", paths.greet)
    local ran = exec.run({ worlds.hob(), "handler", "run", "greet", "--scripts",
      locals:sub(1, -2) .. ":" .. shipped:sub(1, -2), "--document", "-", stdin = "{}" })
    assert.matches("local", ran.stdout .. ran.stderr, 1, true)
    assert.equal(0, exec.run({ worlds.hob(), "handler", "lint", "--config", gateway.config }).code)
  end)

  it("are refused when the last one is missing, or one can be changed by everybody", function()
    start({}, {}, nil)
    assert.equal(0, gateway:stop())
    local function refused(dirs)
      local found = exec.run({ worlds.hob(), "run", "--config", gateway.config, "--scripts", dirs })
      assert.equal(2, found.code)
      return found.stderr
    end
    assert.matches("--scripts: expected a directory that can be read, got /none: No such file",
      refused(shipped .. ":/none"), 1, true)
    assert(fs.mkdir(locals))
    exec.check({ "chmod", "o+w", locals })
    assert.matches(locals:sub(1, -2) .. " can be changed by every user",
      refused(locals:sub(1, -2) .. ":" .. shipped), 1, true)
  end)

  it("let update-handler write into the first, and take away what shadows", function()
    local pki = pkis.new()
    local release = pki:issue({ cn = "Release", san = {} })
    local text = simple("brought")
    local server = assert(httpd.listen({ on_request = function()
      return { status = 200, body = text }
    end }))
    assert(fs.write(pki.dir .. "/text", text))
    local signature = exec.check({ "sh", "-c", 'openssl dgst -sha256 -sign "$1" "$2" | base64 -w0',
      "sh", release.key, pki.dir .. "/text" }).stdout
    start({ ["greet.lua"] = simple("shipped"), ["update-handler.lua"] =
      assert(fs.read(project.root .. "/scripts/update-handler.lua")) }, nil,
      { signers = { release.cert } })
    local document = { operation = "update-handler", name = "greet", signature = signature,
      url = ("http://127.0.0.1:%d/greet.lua"):format(server:port()),
      sha256 = verify.sha256_text(text) }
    local ended = run(document)
    assert.equal("SUCCEEDED", ended.status, ended.details.reason)
    assert.equal(text, fs.read(locals .. "greet.lua"))
    assert.equal(simple("shipped"), fs.read(shipped .. "greet.lua"))
    assert.equal("brought", version())

    ended = run({ operation = "update-handler", name = "greet", remove = true })
    assert.equal("SUCCEEDED", ended.status, ended.details.reason)
    assert.equal(shipped .. "greet.lua", ended.details.in_use)
    assert.equal("shipped", version())
    ended = run({ operation = "update-handler", name = "greet", remove = true })
    assert.equal("false", ended.details.changed)
    assert.equal("shipped", version())
    server:close()
    pki:remove()
  end)
end)
