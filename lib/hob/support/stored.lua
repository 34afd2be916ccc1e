--- The store of a gateway, running or not, read from a copy: nobody is disturbed, and a damaged
--- file stays where it is. A copy that was made while somebody wrote may look damaged: then it is
--- made again.
local core = require("hob.doctor.core")
local fs = require("hob.fs")
local json = require("hob.json")
local store = require("hob.store")
local time = require("hob.time")

local M = {}

local COPIES = 3
local PAUSE = 0.3
local CHECK_SECONDS = 20
local MOST = 64 * 1024 * 1024

---@class hob.support.stored
---@field path string      of the copy
---@field found table?     of hob.doctor.core: sound
---@field why string?      not sound, or not checked
local stored = {}
stored.__index = stored

local function copy(data, dir)
  local size = (fs.stat(data .. "/hob.db") or {}).size
  if not size then
    return nil, data .. "/hob.db: there is no store"
  elseif size > MOST then
    return nil, ("%s/hob.db: %d MB are too much to be copied"):format(data, size >> 20)
  end
  for _, name in ipairs({ "hob.db-wal", "hob.db" }) do
    fs.remove(dir .. "/" .. name)
    if fs.exists(data .. "/" .. name) then
      local ok, why = fs.copy(data .. "/" .. name, dir .. "/" .. name, { mode = "600" })
      if not ok then
        return nil, why
      end
    end
  end
  return true
end

--- @param data string  the directory
---@return hob.support.stored|nil
---@return string|nil why
function M.open(data)
  local dir, why = fs.tempdir()
  if not dir then
    return nil, "no room for a copy of the store: " .. why
  end
  local self = setmetatable({ dir = dir, path = dir .. "/hob.db" }, stored)
  for try = 1, COPIES do
    local ok
    ok, why = copy(data, dir)
    if ok then
      self.found, why = core.store(self.path, CHECK_SECONDS)
    elseif try == 1 then
      break
    end
    if self.found then
      break
    end
    time.sleep(PAUSE)
  end
  why = why and why:gsub(self.path:gsub("%W", "%%%0"), function()
    return data .. "/hob.db"
  end) -- the copy is gone when somebody reads this
  self.why = why
  if not self.found and not fs.exists(self.path) then
    self:close()
    return nil, why
  end
  return self
end

function stored:close()
  fs.remove(self.dir, { recursive = true })
end

--- Its executions, the newest first; those in hand come before those that have ended.
---@param limit integer
---@return table[]|nil
---@return string|nil why
function stored:executions(limit)
  if not self.found then
    return nil, self.why
  end
  local list = {}
  for _, ended in ipairs({ false, true }) do
    local texts, why = store.executions(self.path, ended, 0, limit)
    if not texts then
      return nil, why
    end
    for _, text in ipairs(texts) do
      list[#list + 1] = json.decode(text)
    end
  end
  return list
end

--- @return string|nil text  JSON
---@return string|nil why
function stored:journal(job, thing, execution)
  if not self.found then
    return nil, self.why
  end
  return store.journal(self.path, job, thing, execution)
end

return M
