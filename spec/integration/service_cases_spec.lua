-- The table of cases on `hob service` as a process, behind a real broker.
local cases = require("spec.conformance.cases")
local player = require("spec.support.case_player")
local services = require("spec.support.jobs_service")

describe("hob service says what the table of cases says:", function()
  local service

  setup(function() service = services.start{ flags = { "--minute-ms", "100" } } end)

  teardown(function()
    if service then
      service:stop()
    end
  end)

  local function control(method, path, body)
    local answer, status = service:call(method, path, body)
    assert(status == 200, answer.message)
  end

  local STEPS = {
    create = function(peer, job, more) service:create(job, peer.thing, more) end,
    ask = function(peer, topic, payload) peer:ask(topic, payload) end,
    cancel = function(_, job, force)
      control("PUT", ("/jobs/%s/cancel?force=%s"):format(job, tostring(force or false)), {})
    end,
    delete = function(_, job) control("DELETE", ("/jobs/%s?force=true"):format(job)) end,
    expire = function(peer)
      repeat
        local left = peer:hear("notify").body.jobs
      until next(left) == nil
      peer:hear("notify-next")
    end,
    fault = function(peer, fault)
      local body = { thing = peer.thing, count = 1 }
      for name, value in pairs(fault) do
        body[name] = value
      end
      control("POST", "/hob/faults", body)
    end,
  }

  for i, case in ipairs(cases.rows) do
    it(case.name, function()
      local row = player.ready(case, "thing-" .. i, ("c%d-"):format(i))
      local peer <close> = service:peer("thing-" .. i)
      for _, step in ipairs(row.given) do
        STEPS[step[1]](peer, table.unpack(step, 2))
      end
      peer:settle()
      peer:publish(row.ask, row.payload)
      player.check(row, peer:settle())
    end)
  end
end)
