-- Certificates are judged by the product's clock (hob_set_clock), and by no other.

local embed = require("spec.support.embed")
local json = require("hob.json")
local peer = require("spec.support.peer")
local worlds = require("spec.support.world")

local YEAR = 366 * 86400

local FETCH = [[return { api = 1, args = { url = "string", ca = "string" },
run = function(job, args)
  assert(require("hob.http").download({ url = args.url, to = "file", ca = args.ca }))
end }]]

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

  it("may set another one for its next runtime, loaded modules have that, too", function()
    local pair = world.pki:issue({ cn = "localhost" })
    local server = peer.start("tls_http", pair.cert, pair.key)
    local gateway = world:gateway{ program = program, thing = "gw-2", flags = { "0", "twice" },
      scripts = { ["fetch.lua"] = FETCH } }
    for life = 1, 2 do
      gateway:wait_event("conn.up", nil, life)
      local id = "clock-" .. life
      world:create(id, json.encode({ operation = "fetch", ca = world.pki.ca,
        url = ("https://localhost:%d/file"):format(server.port) }), "gw-2")
      assert.equal("SUCCEEDED", world:ended(id, "gw-2").status)
      gateway.process:kill("TERM")
      gateway:wait_event("hob.stopped", nil, life)
    end
    assert.equal(0, assert(gateway:wait_end()).code)
    server:stop()
  end)
end)
