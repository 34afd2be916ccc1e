-- prepare.lua - a handler's table and a document that are not plain (core/work/job_plain.h), and
-- what is wrong with them. Specs: spec/integration/job_spec.lua, spec/unit/handlers_spec.lua

local contract = require("hob.job.contract")
local json = require("hob.json")
local limits = require("hob.job.limits")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, type = error, type

---@return table? document   nil: this can never work here,
---@return string? why
---@return table? args       for run()
---@return hob.requires? needs
---@return integer? memory   bytes
---@return number? cpu       seconds
function M.read(handler, facts)
  local wrong = contract.check(handler)
  if wrong then
    error(wrong, 0)
  end
  local document, message = json.decode(facts.document)
  if type(document) ~= "table" then
    return nil, "job document: " .. (message and "no JSON: " .. message
      or "expected an object, got " .. contract.describe(document))
  end
  local placeholder = contract.find_placeholder(document, "document")
  if placeholder then
    return nil, placeholder .. ": the placeholder ${aws:iot:...} was not filled in"
  end
  local args, why = contract.read_args(handler, document, facts)
  if args == nil then
    return nil, why or "the handler does not accept this document"
  end
  return document, nil, args, contract.requirements(handler), limits.of(handler)
end

return M
