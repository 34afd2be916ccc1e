--- The gateway of this machine as its commands see it: where its data is, its control socket, and
--- its store where no gateway runs.
local core = require("hob.doctor.core")
local fs = require("hob.fs")
local json = require("hob.json")
local sockets = require("hob.local")
local store = require("hob.store")

local M = {}

M.DATA = "/var/lib/hob"

local PATIENCE = 30 -- seconds
local CHECK_SECONDS = 20

--- The flags of every command that talks to a gateway.
M.FLAGS = {
  data = { value = "DIR" },
  socket = { value = "PATH" },
  config = { value = "FILE" },
}

--- `data` as a configuration says it, whatever else is wrong with that.
---@return string|nil data
---@return string|nil message
local function data_of(path)
  local config, problems, readable = core.config({ "--config", path })
  local data = readable and config:values().data
  if not readable then
    return nil, problems[1]
  elseif data == "" then
    return nil, path .. ": has no `data`; give the directory as --data DIR"
  end
  return data
end

--- Where the gateway is that the flags mean.
---@param given table
---@return table|nil gateway  { data = string|nil, socket = string }
---@return string|nil message
function M.find(given)
  local count = (given.data and 1 or 0) + (given.socket and 1 or 0) + (given.config and 1 or 0)
  if count > 1 then
    return nil, "expected one of --data, --socket and --config"
  elseif given.socket then
    return { socket = given.socket }
  end
  local data = given.data or M.DATA
  if given.config then
    local why
    data, why = data_of(given.config)
    if not data then
      return nil, "--config: " .. why
    end
  end
  data = data:gsub("(.)/+$", "%1")
  return { data = data, socket = data .. "/hob.sock" }
end

---@class hob.cli.gateway
local gateway = {}
gateway.__index = gateway

--- Ask a running gateway.
---@return hob.cli.gateway|nil
---@return string|nil message
---@return string|nil code  ENOENT, EREFUSED: no gateway runs
function M.connect(path)
  local connection, why, code = sockets.connect(path)
  if not connection then
    return nil, why, code
  end
  return setmetatable({ connection = connection, path = path }, gateway)
end

function gateway:hangs(seconds)
  return ("%s: the gateway, process %s, took the request and gave no answer within %d s: it hangs, "
    .. "or the machine is overloaded"):format(self.path, self.connection:peer() or "?", seconds)
end

--- A request as a line.
---@param request table
---@return string|nil line
---@return string|nil message  a word of the command line is not UTF-8
function M.line(request)
  local text, why = json.encode(request)
  if not text then
    return nil, "this cannot be asked: " .. why
  end
  return text .. "\n"
end

--- Send a request; give each line of its answer but the last to `each`.
---@param request table
---@param each fun(line: table)
---@param seconds number?  how long to wait for each line; default 30
---@return table|nil last
---@return string|nil message
---@return string|nil code  ETIMEDOUT: it does not answer
function gateway:ask(request, each, seconds)
  local text, wrong = M.line(request)
  if not text then
    return nil, wrong, "EINVAL"
  end
  local ok, why, code = self.connection:send(text)
  while ok do
    local line, value
    line, why, code = self.connection:read_line(seconds or PATIENCE)
    if not line then
      break
    end
    value, why = json.decode(line)
    if type(value) ~= "table" then
      break
    elseif value.error then
      return nil, value.error.message, value.error.code
    elseif value["end"] then
      return value
    end
    each(value)
  end
  if code == "ETIMEDOUT" then
    return nil, self:hangs(seconds or PATIENCE), code
  end
  return nil, ("%s: %s"):format(self.path, why), code
end

--- Read the store of a gateway that does not run. A damaged one is left as it is: what becomes of
--- it is for the gateway's next start.
---@param ended boolean
---@param before integer
---@param limit integer
---@return table[]|nil executions
---@return any next_or_message
---@return string|nil code
function M.stored(data, ended, before, limit)
  local path = data .. "/hob.db"
  if fs.exists(path) then
    local sound, why, bad = core.store(path, CHECK_SECONDS)
    if not sound then
      return nil, why, bad
    end
  end
  local lines, following, code = store.executions(path, ended, before, limit)
  if not lines then
    return nil, following, code
  end
  for i, line in ipairs(lines) do
    lines[i] = assert(json.decode(line))
  end
  return lines, following
end

return M
