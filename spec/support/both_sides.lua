-- both_sides.lua - what the gateway's store and the service know about a thing's jobs, compared.
--
--     local sides = require("spec.support.both_sides")
--     sides.query(gateway, "SELECT * FROM step")            -- of a copy of the store's file
--     assert.same({}, sides.differences(world, gateway, "gw-1", { "job-1", "job-2" }))

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")

local M = {}

---Rows of a query on the store as it is on disk now. A copy is read: opening the file itself would
---tidy up behind Hob's back.
---@param gateway table
---@param sql string
---@return table[] rows  none if there is no store yet
function M.query(gateway, sql)
  local data = gateway.dir .. "/data"
  if not fs.stat(data .. "/hob.db") then
    return {}
  end
  local copy = assert(fs.tempdir())
  exec.check({ "sh", "-c", 'cp "$1"/hob.db "$2" && if [ -e "$1"/hob.db-wal ]; then '
    .. 'cp "$1"/hob.db-wal "$2"; fi', "copy", data, copy })
  local result = exec.check({ "sqlite3", "-json", copy .. "/hob.db", sql, tail = 16 * 1024 * 1024 })
  fs.remove(copy, { recursive = true })
  return result.stdout ~= "" and json.decode(result.stdout) or {}
end

---@return boolean  the store's tables are there
function M.has_store(gateway)
  return #M.query(gateway, "SELECT 1 FROM sqlite_master WHERE name = 'execution'") > 0
end

local function same_details(ours, theirs)
  for key, value in pairs(ours) do
    if theirs[key] ~= value then
      return false
    end
  end
  for key in pairs(theirs) do
    if ours[key] == nil then
      return false
    end
  end
  return true
end

---What the store and the service do not agree on, in words. Call it when the gateway has stopped.
---@param world table
---@param gateway table
---@param thing string
---@param jobs string[]
---@return string[]
function M.differences(world, gateway, thing, jobs)
  local list, ours = {}, {}
  local function say(...)
    list[#list + 1] = string.format(...)
  end
  for _, row in ipairs(M.query(gateway, "SELECT job_id, state, status, details, told"
    .. " FROM execution")) do
    if ours[row.job_id] then
      say("%s: two executions in the store", row.job_id)
    end
    ours[row.job_id] = row
  end
  for _, job in ipairs(jobs) do
    local row, theirs = ours[job], world:describe(job, thing)
    if not row or not theirs then
      say("%s: %s", job, not row and "not in the store" or "not in the service")
    elseif row.state ~= 3 or row.told ~= "accepted" then
      say("%s: not told (state %s, told '%s')", job, row.state, row.told)
    elseif row.status ~= theirs.status then
      say("%s: %s in the store, %s in the service", job, row.status, theirs.status)
    elseif not same_details(json.decode(row.details), theirs.details) then
      say("%s: %s in the store, %s in the service", job, row.details, json.encode(theirs.details))
    end
    local updates = world:terminal_updates(job)
    if updates ~= 1 then
      say("%s: the service accepted %d terminal updates", job, updates)
    end
  end
  return list
end

return M
