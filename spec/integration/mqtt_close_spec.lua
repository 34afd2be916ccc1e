-- Closing a connection, in whatever state it is: every close must return. The moments are spread
-- over an attempt by closing many connections, each a little later than the one before.
local brokers = require("spec.support.broker")
local httpd = require("hob.httpd")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local COUNT = 400
local SPREAD = 0.00005 -- seconds between the moments; an attempt on loopback takes some 5 ms

describe("hob.mqtt", function()
  describe("close", function()
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

    --- Connect to `port` and close, COUNT times at once, each at another moment of the attempt.
    local function close_at_every_moment(host, port)
      local open = 0
      for i = 1, COUNT do
        open = open + 1
        time.after(0, function()
          local connection = mqtt.connect{
            host = host, port = port, tls = false, client_id = "close-" .. i,
            backoff_base = 0.001, backoff_cap = 0.002,
          }
          time.sleep(i * SPREAD)
          connection:close()
          open = open - 1
        end)
      end
      wait_until(function() return open == 0 end, 30, "every close to return")
      assert.equal(0, open)
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
end)
