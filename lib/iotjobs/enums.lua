--- The enumerations of AWS IoT Jobs. Reading a name that does not exist raises, so that a slip of
--- the pen does not become nil on its way to the service.
--- Spec: spec/unit/iotjobs_models_spec.lua
local M = {}

local function enumeration(name, members)
  local names = {}
  for member in pairs(members) do
    names[#names + 1] = member
  end
  table.sort(names)
  local known = table.concat(names, ", ")
  M[name] = setmetatable(members, {
    __index = function(_, key)
      error(("%s has no %s; known: %s"):format(name, tostring(key), known), 2)
    end,
    __newindex = function(_, key)
      error(("%s cannot be changed: %s"):format(name, tostring(key)), 2)
    end,
    __name = "iotjobs." .. name,
  })
end

enumeration("JobStatus", {
  QUEUED = "QUEUED",
  IN_PROGRESS = "IN_PROGRESS",
  SUCCEEDED = "SUCCEEDED",
  FAILED = "FAILED",
  TIMED_OUT = "TIMED_OUT",
  REJECTED = "REJECTED",
  REMOVED = "REMOVED",
  CANCELED = "CANCELED",
})

enumeration("RejectedErrorCode", {
  INTERNAL_ERROR = "InternalError",
  INVALID_JSON = "InvalidJson",
  INVALID_REQUEST = "InvalidRequest",
  INVALID_STATE_TRANSITION = "InvalidStateTransition",
  RESOURCE_NOT_FOUND = "ResourceNotFound",
  VERSION_MISMATCH = "VersionMismatch",
  INVALID_TOPIC = "InvalidTopic",
  REQUEST_THROTTLED = "RequestThrottled",
  TERMINAL_STATE_REACHED = "TerminalStateReached",
})

return M
