-- The handler rotate-certificate and power cuts: wherever one comes, the names in the configuration
-- lead to one whole pair with which the gateway connects, and the job comes to its end.

local fs = require("hob.fs")
local future = require("hob.future")
local httpd = require("hob.httpd")
local json = require("hob.json")
local keys = require("hob.keys")
local shim = require("spec.support.shim")
local shipped = require("spec.support.shipped")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local WORKERS = 3

describe("a power cut while a certificate is rotated", function()
  local world, server, served

  setup(function()
    world = worlds.start()
    served = {}
    server = assert(httpd.listen({ on_request = function(request)
      local text = served[request.path]
      return { status = text and 200 or 404, body = text or "" }
    end }))
  end)
  teardown(function()
    server:close()
    world:stop()
  end)

  -- Its identity lies where the shim sees it, and takes back what was not synced.
  local function start(number)
    local thing = "cut-" .. number
    local gateway = world:gateway({ thing = thing, launch = false, scripts = shipped.scripts(),
      config = { cert = "data/identity/gateway.crt", key = "data/identity/gateway.key",
        backoff_base = 0.02, backoff_cap = 0.1 } })
    local dir = gateway.dir .. "/data/identity"
    assert(fs.mkdir(dir))
    local pair = world.pki:issue({ cn = thing, san = {} })
    assert(fs.copy(pair.cert, dir .. "/gateway.crt"))
    assert(fs.copy(pair.key, dir .. "/gateway.key", { mode = "600" }))
    -- One for the other, again and again; the openssl of the PKI issues one at a time.
    local others = {}
    for i = 1, 2 do
      local other = world.pki:issue({ cn = thing, san = {} })
      others[i] = { cert = fs.read(other.cert), key = fs.read(other.key) }
    end
    return { thing = thing, others = others, gateway = gateway, spy = shim.on(gateway), count = 0,
      cert = dir .. "/gateway.crt", key = dir .. "/gateway.key" }
  end

  local function create(one)
    one.count = one.count + 1
    local id = ("%s-%d"):format(one.thing, one.count)
    local pair = one.others[one.count % 2 + 1]
    served["/" .. id .. ".crt"], served["/" .. id .. ".key"] = pair.cert, pair.key
    local url = ("http://127.0.0.1:%d/%s"):format(server:port(), id)
    world:create(id, json.encode({ operation = "rotate-certificate", wait = 20,
      allowEarlierEnd = true, -- one for the other, again and again
      certificateUrl = url .. ".crt", privateKeyUrl = url .. ".key" }), one.thing)
    return id, pair.cert
  end

  local function launch(one)
    one.gateway.events = {}
    one.gateway:launch()
  end

  -- Cut the power there, look, go on.
  local function cut(one, point)
    one.spy:arm({ kill = point, power = true })
    local id, wanted = create(one)
    launch(one)
    local where = ("%s, %s: "):format(one.thing, point)
    wait_until(function()
      return one.gateway:wait_end(0) or world:describe(id, one.thing).status == "SUCCEEDED"
    end, worlds.PATIENCE, where .. "the cut, or the end")
    one.gateway:kill()
    one.struck = (one.struck or 0) + (one.spy:has_killed() and 1 or 0)
    assert(keys.matches(one.cert, one.key), where .. "the pair is torn")
    one.spy:disarm()
    launch(one)
    one.gateway:wait_event("jobs.subscribed")
    local execution = world:ended(id, one.thing)
    assert(execution.status == "SUCCEEDED", where .. json.encode(execution.details))
    assert(fs.read(one.cert) == wanted, where .. "the certificate is another one")
    assert(#fs.list(one.cert .. ".pairs") == 2, where .. "pairs are left over")
    one.gateway:stop()
  end

  -- The points of one rotation: each commit, and each file of a pair that is written.
  local function survey(one)
    launch(one) -- its store is made
    one.gateway:wait_event("jobs.subscribed")
    one.gateway:stop()
    one.spy:arm()
    local id = create(one)
    launch(one)
    assert.equal("SUCCEEDED", world:ended(id, one.thing).status)
    one.gateway:stop()
    local points = {}
    for n = 1, #one.spy:points("commit") do
      points[#points + 1] = "commit before " .. n
      points[#points + 1] = "commit after " .. n
    end
    for i, point in ipairs(one.spy:points("sync")) do
      if point.detail:find("identity", 1, true) and i % 2 == 0 then
        points[#points + 1] = "call - " .. point.call
      end
    end
    return points
  end

  it("leaves a pair that works, at each point, and the job ends well", function()
    local gateways = {}
    for i = 1, WORKERS do
      gateways[i] = start(i)
    end
    local points = survey(gateways[1])
    assert(#points > 20, "too few points")
    local count, done = #points, {}
    for i, one in ipairs(gateways) do
      done[i] = future.new()
      time.after(0, function()
        local ok, why = pcall(function()
          local point = table.remove(points)
          while point do
            cut(one, point)
            point = table.remove(points)
          end
        end)
        done[i]:resolve(ok, why)
      end)
    end
    local struck = 0
    for i, one in ipairs(done) do
      local ok, why = one:result()
      assert(ok, tostring(why))
      struck = struck + gateways[i].struck
    end
    assert(struck > count * 0.8, ("only %d of %d cuts came in time"):format(struck, count))
  end)
end)
