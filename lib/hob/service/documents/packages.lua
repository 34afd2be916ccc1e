--- Software packages, as far as job documents name them: their versions' attributes and artifacts,
--- from a JSON file:
---
---     { "sampler": { "$default": "2.1",
---                    "2.1": { "attributes": { "signature": "abc" },
---                             "artifact": { "s3Location": { "bucket": "b", "key": "k" } } } } }
---
--- Facts: AWS IoT Core Developer Guide, "Preparing AWS IoT Jobs" (Software Package Catalog).
--- Spec: spec/unit/service_documents_spec.lua
local json = require("hob.json")

local M = {}
M.__index = M

local function check_version(place, version)
  if type(version) ~= "table" then
    return nil, place .. ": expected { \"attributes\": { ... } }"
  end
  for key, value in pairs(version.attributes or {}) do
    if type(key) ~= "string" or type(value) ~= "string" then
      return nil, ("%s.attributes.%s: expected a string"):format(place, tostring(key))
    end
  end
  local at = version.artifact and version.artifact.s3Location
  if version.artifact and not (at and type(at.bucket) == "string" and type(at.key) == "string") then
    return nil, place .. ".artifact: expected { \"s3Location\": { \"bucket\": ..., \"key\": ... } }"
  end
  return true
end

local function check(packages)
  for name, versions in pairs(packages) do
    if type(versions) ~= "table" then
      return nil, name .. ": expected { VERSION: { ... } }"
    end
    for version, entry in pairs(versions) do
      if version ~= "$default" then
        local ok, message = check_version(name .. "." .. version, entry)
        if not ok then
          return nil, message
        end
      elseif type(entry) ~= "string" or type(versions[entry]) ~= "table" then
        return nil, name .. ".$default: expected the name of one of its versions"
      end
    end
  end
  return true
end

---@param text string|nil  the file's content; nil: there are no packages
---@return table|nil packages
---@return string|nil message
function M.new(text)
  if not text then
    return setmetatable({ packages = {} }, M)
  end
  local packages, message = json.decode(text)
  if type(packages) ~= "table" then
    return nil, message or "expected a JSON object"
  end
  local ok, why = check(packages)
  if not ok then
    return nil, why
  end
  return setmetatable({ packages = packages }, M)
end

--- The one package version that a job is for, of CreateJob's destinationPackageVersions.
local function destination(arns)
  if type(arns) ~= "table" or #arns ~= 1 then
    return nil, "expected exactly one of destinationPackageVersions to take the names from"
  end
  local name, version = tostring(arns[1]):match(":package/([^/]+)/version/([^/]+)$")
  if not name then
    return nil, "destinationPackageVersions: expected arn:aws:iot:REGION:ACCOUNT:package/NAME"
      .. "/version/VERSION"
  end
  return name, version
end

local function artifact_of(entry, name, version)
  local at = entry.artifact and entry.artifact.s3Location
  if not at then
    return nil, ("package %s version %s has no artifact"):format(name, version)
  end
  local key = at.key:gsub("[^%w_.~/-]", function(c) return ("%%%02X"):format(c:byte()) end)
  return ("${aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/%s/%s}"):format(
    at.bucket, key)
end

function M:find(name, version)
  local versions = self.packages[name]
  if not versions then
    return nil, ("there is no package %s (see --packages)"):format(name)
  elseif version == "$default" and versions["$default"] then
    version = versions["$default"]
  end
  local entry = version ~= "$default" and versions[version]
  if not entry then
    return nil, ("package %s has no version %s"):format(name, version)
  end
  return entry, version
end

--- What a placeholder names.
---@param reference string  "NAME:version:VERSION:attributes:KEY", "…:attributes" for all of them,
--- "…:artifact:s3-presigned-url"; NAME and VERSION may both be empty
---@param arns string[]|nil  destinationPackageVersions
---@return string|table|nil value
---@return string|nil message
function M:value(reference, arns)
  local name, version, what = reference:match("^([^:]*):version:([^:]*):(.+)$")
  if not name or (name == "") ~= (version == "") then
    return nil, "expected package:NAME:version:VERSION:attributes:KEY, both names or neither"
  end
  local entry
  if name == "" then
    name, version = destination(arns)
    if not name then
      return nil, version
    end
  end
  entry, version = self:find(name, version)
  if not entry then
    return nil, version
  elseif what == "artifact:s3-presigned-url" or what == "artifact-location:s3-presigned-url" then
    return artifact_of(entry, name, version)
  elseif what == "attributes" then
    return entry.attributes or {}
  end
  local key = what:match("^attributes:(.+)$")
  local value = key and (entry.attributes or {})[key]
  if not value then
    return nil, ("package %s version %s has no %s"):format(name, version, what)
  end
  return value
end

return M
