-- keys.lua - AWS credentials whose secrets nothing prints: they lie beside the object, not in it,
-- so that no log line, no `job.state` and no step's result ever holds them.
-- Spec: spec/unit/aws_spec.lua

local M = {}

local secrets = setmetatable({}, { __mode = "k" })

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, rawget, setmetatable = error, ipairs, pairs, rawget, setmetatable
local format, type = string.format, type

---@class hob.aws.Credentials
---@field access_key_id string
---@field expires? number      seconds of the clock (os.time)

local meta = { __metatable = false, __name = "hob.aws.Credentials" }

function meta.__index(self, name)
  local of = secrets[self]
  return of and (name == "access_key_id" or name == "expires") and of[name] or nil
end

function meta.__newindex()
  error("credentials cannot be changed", 2)
end

function meta.__tostring(self)
  return format("AWS credentials %s (secret hidden)", secrets[self].access_key_id)
end

---@param of { access_key_id: string, secret_access_key: string, session_token?: string,
---  expires?: number }
---@return hob.aws.Credentials
function M.new(of)
  local copy = {}
  for name, value in pairs(of) do
    copy[name] = value
  end
  local self = setmetatable({}, meta)
  secrets[self] = copy
  return self
end

---The secrets of what `new` made, or of a plain table with the same members.
---@return table? of
---@return string? message
function M.of(credentials)
  if type(credentials) ~= "table" then
    return nil, "expected what hob.aws.credentials gives, got " .. type(credentials)
  end
  local of = secrets[credentials] or {
    access_key_id = rawget(credentials, "access_key_id"),
    secret_access_key = rawget(credentials, "secret_access_key"),
    session_token = rawget(credentials, "session_token"),
  }
  for _, name in ipairs({ "access_key_id", "secret_access_key" }) do
    if type(of[name]) ~= "string" or of[name] == "" then
      return nil, format("expected a string in %s, got %s (credentials are not saved with a " ..
        "step: ask for them in the step that uses them)", name, type(of[name]))
    end
  end
  return of
end

return M
