--- The jobs of a support archive: the store, and of some jobs what happened and what they stored.
local fs = require("hob.fs")
local json = require("hob.json")
local screens = require("hob.cli.log_screen")
local storeds = require("hob.support.stored")
local timeline = require("hob.timeline")

local M = {}

local HISTORY = 200
local NEWEST = 5 -- jobs, where none is asked for
local ASKED_BYTES, OTHER_BYTES = 2 * 1024 * 1024, 200 * 1024

--- What `hob log JOB` prints.
--- @return string|nil text, string|nil why
local function log_of(data, job, bytes)
  local texts, why = timeline.read(data, { job = job, limit = bytes })
  if not texts then
    return nil, why
  elseif not texts[1] then
    return nil, "nothing is kept of it"
  end
  local lines = {}
  local screen = screens.new({ job = job, terminal = false, write = function(line)
    lines[#lines + 1] = line
    return true
  end })
  for _, text in ipairs(texts) do
    screen:show(json.decode(text), text)
  end
  screen:finish()
  return table.concat(lines, "\n") .. "\n"
end

--- @return string[] ids  which jobs are looked into
local function chosen(executions, asked)
  if asked then
    return { asked }
  end
  local ids, seen = {}, {}
  for _, one in ipairs(executions or {}) do
    if #ids < NEWEST and not seen[one.jobId] then
      seen[one.jobId] = true
      ids[#ids + 1] = one.jobId
    end
  end
  return ids
end

local function add_store(archive, stored, why)
  local found = stored and stored.found
  local text = found and ("sound, by SQLite's quick_check of a copy\n%s\n"):format(
    json.encode(found)) or ("not sound, or not checked: %s\n"):format(stored and stored.why
    or why)
  archive:add("store.txt", text)
  if not found then
    archive:note("the store: %s", stored and stored.why or why)
  end
end

local function add_job(archive, place, stored, id, bytes)
  local folder = ("job-%s/"):format(id:sub(1, 64))
  local text, why = log_of(place.data, id, bytes)
  archive:add(folder .. "log.txt", text, text and bytes or why)
  if stored then
    text, why = stored:journal(id)
    archive:add(folder .. "journal.json", text and text .. "\n", text and 512 * 1024 or why)
  end
end

---@param archive hob.support.archive
---@param place hob.support.place
---@param asked string|nil  a job
function M.add(archive, place, asked)
  local stored, why = storeds.open(place.data)
  add_store(archive, stored, why)
  local executions
  if stored then
    executions, why = stored:executions(HISTORY)
  end
  local lines = {}
  for i, one in ipairs(executions or {}) do
    lines[i] = json.encode(one) .. "\n"
  end
  archive:add("jobs.json", executions and table.concat(lines), executions and 512 * 1024 or why)
  for i, id in ipairs(chosen(executions, asked)) do
    archive:try(id, add_job, place, stored, id, (asked and i == 1) and ASKED_BYTES or OTHER_BYTES)
  end
  if stored then
    stored:close()
  end
end

--- The gateway's newest events, as they are kept.
function M.events(archive, place)
  local former = fs.read(place.data .. "/events.log.1") or ""
  local present, why = fs.read(place.data .. "/events.log")
  archive:add("events.log", present and former .. present, present and 1024 * 1024 or why)
end

return M
