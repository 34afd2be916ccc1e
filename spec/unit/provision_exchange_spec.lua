-- What the service answers in fleet provisioning, where it is not what it should be.

local exchange = require("hob.provision.exchange")
local json = require("hob.json")

describe("an answer of fleet provisioning", function()
  -- Answers at once, on the topic with that ending.
  local function link_with(ending, payload)
    local listeners = {}
    return {
      subscribe = function(topic, fn)
        listeners[topic] = fn
        return { close = function() listeners[topic] = nil end }
      end,
      publish = function(topic)
        listeners[topic .. ending](topic .. ending, payload)
        return true
      end,
    }
  end

  local function register(ending, answer)
    return exchange.register(link_with(ending, answer), "T", "token", {}, 5)
  end

  it("gives no thing a name that cannot be one", function()
    assert.equal("gateway-7", register("/accepted", '{"thingName":"gateway-7"}').thingName)
    for _, name in ipairs{ "../../etc", "a b", ("x"):rep(129), "a\27[2J", "a/#" } do
      local answer, why = register("/accepted", json.encode({ thingName = name }))
      assert.is_nil(answer, name)
      assert.equal("EPROTO", why.code)
      assert.is_false(why.retry)
      assert.matches("thingName is none: ", why.message, 1, true)
      assert.is_nil(why.message:find("%c"))
    end
  end)

  it("that was cut off is told without its text, in which a private key may be", function()
    local _, why = exchange.create_keys(link_with("/accepted",
      '{"privateKey":"-----BEGIN RSA PRIVATE KEY-----\\nMIIE'), 5)
    assert.equal("EPROTO", why.code)
    assert.is_nil(why.message:find("MIIE", 1, true))
    assert.matches("is no JSON object (52 bytes)", why.message, 1, true)
  end)

  it("is refused if the id of its certificate is none", function()
    local _, why = exchange.create_keys(link_with("/accepted", json.encode({
      certificateId = "x\27]0;", certificatePem = "p", certificateOwnershipToken = "t",
      privateKey = "k" })), 5)
    assert.matches("certificateId is none: 'x?]0;'", why.message, 1, true)
  end)

  it("that is a refusal keeps the service's words, cut off, without signs of a terminal", function()
    local _, why = register("/rejected", json.encode({ statusCode = 400, errorCode = "Bad\27",
      errorMessage = "no\n\27[2J" .. ("x"):rep(5000) }))
    assert.matches("400 Bad?: no??[2Jx", why.message, 1, true)
    assert.is_true(#why.message < 700)
    assert.is_true(#select(2, register("/rejected", ("\0"):rep(9000))).message < 700)
  end)
end)
