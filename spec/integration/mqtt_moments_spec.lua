-- Closing a connection, or asking it to connect anew, in whatever state it is: every close must
-- return, and every connection come up again. The moments are spread over an attempt by doing it to
-- many connections, each a little later than the one before.
local brokers = require("spec.support.broker")
local httpd = require("hob.httpd")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local COUNT = 400
local SPREAD = 0.00005 -- seconds between the moments; an attempt on loopback takes some 5 ms

describe("hob.mqtt", function()
  local broker, server

  before_each(function()
    broker = brokers.start()
    server = assert(httpd.listen{
      address = "127.0.0.1", port = 0, on_request = function() return { status = 200 } end,
    })
  end)
  after_each(function()
    server:close()
    broker:stop()
  end)

  --- Connect to `port` COUNT times at once, and do something to each at another moment of the
  --- attempt.
  local function at_every_moment(host, port, act)
    local open = 0
    for i = 1, COUNT do
      open = open + 1
      time.after(0, function()
        local connection = mqtt.connect{
          host = host, port = port, tls = false, client_id = "moment-" .. i,
          backoff_base = 0.001, backoff_cap = 0.002,
        }
        time.sleep(i * SPREAD)
        act(connection)
        open = open - 1
      end)
    end
    wait_until(function() return open == 0 end, 30, "all of them")
    assert.equal(0, open)
  end

  describe("close", function()
    local function close_at_every_moment(host, port)
      at_every_moment(host, port, function(connection) connection:close() end)
    end

    for _, host in ipairs{ "127.0.0.1", "localhost" } do
      it("returns while a broker at " .. host .. " is being connected to", function()
        close_at_every_moment(host, broker.port)
      end)

      it("returns while " .. host .. " refuses", function()
        close_at_every_moment(host, 1)
      end)
    end

    it("returns while the other side is no broker", function()
      close_at_every_moment("127.0.0.1", server:port())
    end)
  end)

  describe("reconnect", function()
    for _, host in ipairs{ "127.0.0.1", "localhost" } do
      it("comes up again when it was being connected to " .. host, function()
        local deaf = {}
        at_every_moment(host, broker.port, function(connection)
          connection:reconnect("the spec says so")
          local done, why = connection:wait_up(20)
          if done then
            done, why = connection:publish("spec/moment", "x")
          end
          -- The answer may still be lost with the link that is being given up.
          if not done and connection:wait_up(20) then
            done, why = connection:publish("spec/moment", "x")
          end
          deaf[#deaf + 1] = not done and why or nil
          connection:close()
        end)
        assert.same({}, deaf)
      end)
    end
  end)
end)
