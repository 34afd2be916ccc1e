--- Whose support archive it is to be: where the gateway's data is, its configuration, its process;
--- each as far as it can be found, with the reasons where it cannot.
local core = require("hob.doctor.core")
local fs = require("hob.fs")
local gateways = require("hob.cli.gateway")
local process = require("hob.process")

local M = {}

local PATIENCE = 5 -- seconds that a gateway may be busy

M.DEFAULT_CONFIG = "/etc/hob/hob.conf.lua"

---@class hob.support.place
---@field data string
---@field socket string
---@field config string?        the file
---@field config_text string?
---@field values table?         what is in it, as far as it can be read
---@field problems string[]     of the configuration
---@field gateway hob.cli.gateway?  that answers
---@field pid integer?          of the running gateway, also of one that does not answer
---@field silent string?        a gateway runs and does not answer: why
---@field exe string            this program
---@field notes string[]

local function words_of(pid)
  local words = {}
  for word in (fs.read(("/proc/%d/cmdline"):format(pid)) or ""):gmatch("[^%z]+") do
    words[#words + 1] = word
  end
  return words
end

--- What a process was started with: the value of a flag.
local function flag_of(words, name)
  for i, word in ipairs(words) do
    local value = word:match("^%-%-" .. name .. "=(.*)$")
    if value or word == "--" .. name then
      return value or words[i + 1]
    end
  end
end

--- A gateway's processes on this machine, whatever they work on.
---@return table[]  { pid =, words = }
function M.processes()
  local found = {}
  for _, name in ipairs(fs.list("/proc") or {}) do
    local pid = math.tointeger(tonumber(name))
    local comm = pid and pid ~= process.pid() and fs.read(("/proc/%d/comm"):format(pid))
    if comm and comm:find("^hob") then
      local words = words_of(pid)
      found[#found + 1] = { pid = pid, words = words, runs = words[2] == "run" }
    end
  end
  table.sort(found, function(a, b) return a.pid < b.pid end)
  return found
end

local function in_cwd(pid, path)
  return path:sub(1, 1) == "/" and path or ("/proc/%d/cwd/%s"):format(pid, path)
end

--- Ask who answers at the socket. What hangs is not asked again.
local function find_gateway(place)
  local gateway, why, code = gateways.connect(place.socket)
  if not gateway then
    if code ~= "ENOENT" and code ~= "EREFUSED" and code ~= "ECONNREFUSED" then
      place.silent = why
    end
    return
  end
  local version
  version, why = gateway:ask({ command = "version" }, function() end, PATIENCE)
  if version then
    place.gateway, place.pid = gateway, version.pid
  else
    place.silent, place.pid = why, gateway.connection:peer()
  end
end

local function find_config(place, given)
  place.config = given.config
  local words = place.pid and words_of(place.pid) or {}
  local flag = flag_of(words, "config")
  if not place.config and flag then
    place.config = in_cwd(place.pid, flag)
  elseif not place.config and fs.exists(M.DEFAULT_CONFIG) then
    place.config = M.DEFAULT_CONFIG
  end
  if not place.config then
    place.notes[#place.notes + 1] = "which configuration it is is not known: give --config FILE"
    return
  end
  local why
  place.config_text, why = fs.read(place.config)
  if not place.config_text then
    place.notes[#place.notes + 1] = "the configuration cannot be read: " .. why
    return
  end
  local config
  config, place.problems = core.config({ "--config", place.config })
  place.values = config:values()
end

--- `data` of a configuration that is broken further down.
local function guess_data(path)
  local text = fs.read(path) or ""
  local data = text:match("%f[%w_]data%s*=%s*[\"']([^\"'\n]+)[\"']")
  if data and data:sub(1, 1) ~= "/" then
    data = (path:match("^(.*)/[^/]*$") or ".") .. "/" .. data
  end
  return data
end

local function find_data(place, given)
  local found, why = gateways.find(given)
  if found then
    place.socket, place.data = found.socket, found.data or found.socket:match("^(.*)/[^/]*$") or "."
    return
  end
  place.notes[#place.notes + 1] = why
  place.data = given.config and guess_data(given.config) or gateways.DATA
  place.socket = place.data .. "/hob.sock"
end

---@param given table  flags
---@return hob.support.place|nil
---@return string|nil message  it was used wrongly
function M.find(given)
  local count = (given.data and 1 or 0) + (given.socket and 1 or 0) + (given.config and 1 or 0)
  if count > 1 then
    return nil, "expected one of --data, --socket and --config"
  end
  local place = { notes = {}, problems = {}, exe = ("/proc/%d/exe"):format(process.pid()) }
  find_data(place, given)
  find_gateway(place)
  find_config(place, given)
  if not given.data and not given.socket and not given.config and place.values and
    place.values.data ~= "" then
    place.data = place.values.data
  end
  return place
end

--- What of the configuration must not be seen, wherever it stands.
---@param place hob.support.place
---@return string[]
function M.secrets(place)
  local list = {}
  for _, thing in ipairs((place.values or {}).things or {}) do
    list[#list + 1] = thing.key_passphrase
  end
  return list
end

return M
