--- What things and groups have in common: attributes and versions.
local answers = require("hob.service.control.answers")
local members = require("hob.service.control.members")

local M = {}

local KEY = { min = 1, max = 128, pattern = "[%w_.,@/:#-]+",
  words = "1-128 of [a-zA-Z0-9_.,@/:#-]" }
local VALUE = { max = 800, pattern = "[%w_.,@/:#=%[%]-]*",
  words = "at most 800 of [a-zA-Z0-9_.,@/:#=[]-]" }
local ATTRIBUTES_MAX = 50

function M.attributes(given, name)
  return members.map(given, name, KEY, VALUE, ATTRIBUTES_MAX)
end

--- Whether two maps of texts are equal.
function M.same(a, b)
  for key, value in pairs(a) do
    if b[key] ~= value then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

--- Attributes after an update: an empty value removes one.
function M.merged(old, new, merge)
  local out = {}
  for _, from in ipairs{ merge and old or {}, new } do
    for key, value in pairs(from) do
      out[key] = value ~= "" and value or nil
    end
  end
  return out
end

function M.conflict(expected, found)
  return answers.fail("VersionConflictException", "Expected version %d but found version %d",
    expected, found)
end

--- `expectedVersion` of a query.
function M.expected_version(query)
  local text = query.expectedVersion
  if text and not text:find("^%d+$") then
    members.refuse("expectedVersion: expected an integer, got %s", members.shown(text))
  end
  return text and members.integer(tonumber(text), "expectedVersion", 0, 1 << 53)
end

function M.no_thing(name)
  return answers.fail("ResourceNotFoundException", "Thing %s cannot be found", name)
end

return M
