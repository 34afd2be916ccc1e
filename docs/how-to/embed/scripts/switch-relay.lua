-- switch-relay.lua - pulse a relay, then leave it on or off. `relay` is a module of the product
-- that Hob is a part of (../relay.c): its functions are C.
local relay = require("relay")

return {
  api = 1,
  description = "Pulse a relay, then leave it on or off",
  args = {
    channel = { "integer", min = 1, max = 8 },
    on = "boolean",
    pulse_ms = { "integer", min = 1, max = 60000, default = 200 },
  },
  timeout = 120,
  run = function(job, args)
    job:step("pulse", function()
      return relay.pulse(args.channel, args.pulse_ms) -- waits; nil, message fails the step
    end)
    local on = job:step("leave", function()
      return relay.set(args.channel, args.on)
    end)
    return { channel = args.channel, on = on }
  end,
  examples = { { operation = "switch-relay", channel = 3, on = true } },
}
