-- Keys that a product keeps: docs/how-to/embed/pkcs11.c with a key in a PKCS #11 token (SoftHSM).
-- What a provider may do wrong is in spec/unit/tls_keys_spec.lua.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local fs = require("hob.fs")
local mbed = require("spec.support.mbed")
local tokens = require("spec.support.token")
local worlds = require("spec.support.world")

local GREET = [[
return {
  api = 1,
  run = function(job) return { greeting = "hello " .. job.thing } end,
}
]]

local KINDS = mbed.is_3() and { "rsa" } or { "rsa", "ec" }

describe("a product whose keys are in a PKCS #11 token", function()
  local world, token, program

  setup(function()
    world = worlds.start()
    token = tokens.new()
    program = embed.compile("docs/how-to/embed/pkcs11.c", world.dir, { packages = { "p11-kit-1" } })
  end)

  teardown(function()
    world:stop()
    token:remove()
  end)

  -- A pair whose key only the token has, under the thing's name.
  local function in_token(thing, kind)
    local pair = world.pki:issue{ cn = thing, san = {}, algorithm = kind }
    token:import(thing, pair.key)
    return pair
  end

  -- `key` is the label of the key that it signs with; default: the thing's.
  local function product(thing, pair, options)
    options = options or {}
    local gateway = world:gateway{ thing = thing, scripts = { ["greet.lua"] = GREET },
      program = program, env = token.env, launch = false,
      flags = { token.module, options.token or token.label, options.key or thing },
      config = { cert = pair.cert, key = { lua = options.key_file or "nil" } } }
    for name, value in pairs(options.env or {}) do
      gateway.env = setmetatable({ [name] = value }, { __index = gateway.env })
    end
    return gateway
  end

  local function greeted(job, thing)
    world:create(job, '{"operation":"greet"}', thing)
    local ended = world:ended(job, thing)
    assert.equal("SUCCEEDED", ended.status, ended.details.reason)
    assert.equal("hello " .. thing, ended.details.greeting)
  end

  -- It does not start; its reason.
  local function refusal(gateway)
    local result = assert(gateway:launch():wait_end())
    assert.equal(1, result.code)
    return table.concat(gateway.lines, "\n")
  end

  for _, kind in ipairs(KINDS) do
    it("runs jobs over mutual TLS with an " .. kind:upper() .. " key there", function()
      local thing = "in-token-" .. kind
      local gateway = product(thing, in_token(thing, kind)):launch()
      greeted("first-" .. kind, thing)
      assert.equal(0, gateway:stop())
    end)
  end

  it("opens no file with a private key in it", function()
    if embed.sanitized() then
      return pending("its runtime opens files before anything can look on")
    end
    local thing, spy, log = "watched", world.dir .. "/opens.so", world.dir .. "/opens.log"
    local pair = in_token(thing, "rsa")
    local source = world.dir .. "/opens.c"
    assert(fs.copy("spec/support/opens.c", source))
    exec.check{ "cc", "-shared", "-fPIC", "-o", spy, source, timeout = 120 }
    local gateway = product(thing, pair, { key_file = '"/no/such/key"' })
    gateway.env = { LD_PRELOAD = spy, OPENS_LOG = log, PKCS11_PIN = token.env.PKCS11_PIN,
      SOFTHSM2_CONF = token.env.SOFTHSM2_CONF }
    gateway:launch()
    greeted("watched", thing)
    assert.equal(0, gateway:stop())
    local opened, keys = {}, {}
    for path in assert(fs.read(log)):gmatch("[^\n]+") do
      opened[path] = true
      local text = not path:find("^/[dps][er][voy]/") and fs.exists(path) and fs.read(path)
      if text and text:find("PRIVATE KEY", 1, true) or path == "/no/such/key" then
        keys[#keys + 1] = path
      end
    end
    assert.is_true(opened[pair.cert], "it opens the certificate: the spy sees files")
    assert.same({}, keys)
  end)

  it("tells a handler that wants the key as a file", function()
    local thing = "asking"
    local gateway = product(thing, in_token(thing, "rsa"))
    assert(fs.write(gateway.dir .. "/scripts/ask.lua", [[
      local http = require("hob.http")
      return { api = 1, run = function()
        local _, message, code = http.get{ url = "https://localhost:1/", device_certificate = true }
        return { message = message, code_was = code }
      end }
    ]]))
    gateway:launch()
    world:create("asking", '{"operation":"ask"}', thing)
    local details = world:ended("asking", thing).details
    assert.equal("EUNSUPPORTED", details.code_was)
    assert.matches("this gateway's key is with a key provider of the product", details.message, 1,
      true)
    assert.equal(0, gateway:stop())
  end)

  describe("is refused at the start", function()
    it("when the key is not the certificate's", function()
      local first, second = in_token("first", "rsa"), in_token("second", "rsa")
      assert(second)
      local said = refusal(product("first", first, { key = "second" }))
      assert.matches("hob%.conf%.lua:%d+: cert: key provider \"PKCS #11\" of the certificate ",
        said)
      assert.matches(first.cert .. ": its signature does not fit the certificate: it signs with "
        .. "another key", said, 1, true)
    end)

    it("when there is no such key, or no such token", function()
      local pair = in_token("third", "rsa")
      assert.matches("it does not sign: no private key \"none\" in the token \"hob\" (ENOENT)",
        refusal(product("third", pair, { key = "none" })), 1, true)
      assert.matches("it does not sign: no token \"gone\" is there",
        refusal(product("third", pair, { token = "gone" })), 1, true)
    end)

    if mbed.is_3() then
      it("when the key is EC and mbedTLS is 3", function()
        local pair = in_token("ec", "ec")
        assert.matches("lets no key provider sign with one", refusal(product("ec", pair)), 1, true)
      end)
    end
  end)

  it("says so when the key is gone later, and goes on when it is back", function()
    local thing = "lost-key"
    local pair = world.pki:issue{ cn = thing, san = {}, algorithm = "rsa" }
    local kept = pair.key .. ".kept"
    assert(fs.copy(pair.key, kept))
    token:import(thing, pair.key)
    local gateway = product(thing, pair):launch()
    greeted("before", thing)
    token:remove_key(thing)
    world.broker:kill()
    world.broker:start_again() -- which has forgotten the session
    local refused = gateway:wait_event("conn.refused", { code = "ETLS" })
    assert.matches('key provider "PKCS #11" of the certificate ' .. pair.cert
      .. ": it does not sign: ", refused.msg, 1, true)
    token:import(thing, kept)
    greeted("after", thing)
    assert.equal(0, gateway:stop())
  end)
end)
