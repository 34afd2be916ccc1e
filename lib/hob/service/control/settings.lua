--- What is switched on for the whole fleet: Describe- and UpdateEventConfigurations, as functions
--- of the engine. Spec: spec/unit/service_events_spec.lua
local engine = require("hob.service.engine")
local members = require("hob.service.control.members")

-- Every kind that AWS has. Only the last two say anything here.
local KINDS = { "CA_CERTIFICATE", "CERTIFICATE", "POLICY", "THING", "THING_GROUP",
  "THING_GROUP_HIERARCHY", "THING_GROUP_MEMBERSHIP", "THING_TYPE", "THING_TYPE_ASSOCIATION",
  "JOB_EXECUTION", "JOB" }

--- DescribeEventConfigurations.
function engine:describe_events()
  local settings, shown = self.settings, {}
  for _, kind in ipairs(KINDS) do
    shown[kind] = { Enabled = settings.events[kind] or false }
  end
  return { eventConfigurations = shown, creationDate = settings.created_at,
    lastModifiedDate = settings.updated_at }
end

local function switches(body)
  local given = members.object(body.eventConfigurations, "eventConfigurations")
  local out = {}
  for kind, config in pairs(given or {}) do
    members.one_of(kind, "eventConfigurations: a key", KINDS)
    local name = "eventConfigurations." .. kind
    config = members.object(config, name) or {}
    out[kind] = members.boolean(config.Enabled, name .. ".Enabled") or false
  end
  return out
end

--- UpdateEventConfigurations: what is not named stays as it is.
function engine:update_events(body, now)
  local given, why = members.checked(switches, body)
  if not given then
    return nil, why
  end
  local settings = self.settings
  for kind, on in pairs(given) do
    settings.events[kind] = on
  end
  settings.created_at = settings.created_at or math.floor(now)
  settings.updated_at = math.floor(now)
  self:touch(settings)
  return {}
end
