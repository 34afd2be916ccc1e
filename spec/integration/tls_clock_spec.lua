-- Certificates are judged by the product's clock (hob_set_clock), and by no other.

local embed = require("spec.support.embed")
local worlds = require("spec.support.world")

local YEAR = 366 * 86400

describe("a product with a clock of its own", function()
  local world, program

  setup(function()
    world = worlds.start()
    program = embed.compile("spec/support/clock_product.c", world.dir)
  end)

  teardown(function()
    world:stop()
  end)

  local function launch(seconds_off)
    return world:gateway{ program = program, flags = { ("%d"):format(seconds_off) } }
  end

  it("connects while the certificates are valid by it", function()
    local gateway = launch(30)
    gateway:wait_event("conn.up")
    assert.equal(0, gateway:stop())
  end)

  it("takes a certificate for expired, or not begun, by it", function()
    local late = launch(100 * YEAR)
    local refused = late:wait_event("conn.refused", { code = "ETLS" })
    assert.matches("the server's certificate expired .- ago, on 20.-; the clock says 21",
      refused.msg)
    local early = launch(-2 * YEAR)
    refused = early:wait_event("conn.refused", { code = "ETLS" })
    assert.matches("the server's certificate is not valid yet: it begins in ", refused.msg, 1, true)
  end)
end)
