--- Faults over HTTP: paths of Hob's own. See hob.service.http_side for the form.
local control = require("hob.service.control")
local json_text = require("hob.service.json_text")

local function removed(side, id)
  return { removed = side.mqtt.faults:remove(id) }
end

return {
  ["GET /hob/faults"] = function(side)
    return { faults = json_text.list(side.mqtt.faults.list) }
  end,
  ["POST /hob/faults"] = function(side, request)
    local fault, message = side.mqtt.faults:add(request.json)
    if not fault then
      return control.fail("InvalidRequestException", "%s", message)
    end
    return fault
  end,
  ["DELETE /hob/faults"] = function(side) return removed(side) end,
  ["DELETE /hob/faults/*"] = function(side, _, _, text)
    local id = math.tointeger(tonumber(text))
    local answer = id and removed(side, id)
    if not answer or answer.removed == 0 then
      return control.fail("ResourceNotFoundException", "Fault %s cannot be found", text)
    end
    return answer
  end,
}
