--- Job documents: where one comes from when a job is created, and how it goes out to a device.
local json_text = require("hob.service.json_text")
local rules = require("hob.service.rules")

local M = {}

--- The document of a CreateJob request.
---@param body table  the request, decoded
---@return string|nil text
---@return string|nil message  what is wrong with the request
function M.from_request(body)
  return rules.document(body.document)
end

--- The document as a device gets it, for `json_text.encode`. Placeholders are replaced anew each
--- time it is handed out.
---@param execution table
---@return table
function M.hand_out(execution)
  return json_text.raw(execution.job.document)
end

return M
