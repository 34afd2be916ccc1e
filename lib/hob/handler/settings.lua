-- settings.lua - what a bench takes of a gateway's configuration, and the job document of its
-- command line. Spec: spec/integration/handler_run_spec.lua

local fs = require("hob.fs")
local json = require("hob.json")
local process = require("hob.process")

local M = {}

---------------------------------------------------------------- the configuration

-- Key of the configuration -> member of the policy, and where in the key it is.
local LISTS = {
  { "privileged", "privileged" }, { "users", "users" }, { "commands", "commands", "allow" },
  { "fs_roots", "roots" }, { "topics", "topics", "allow" }, { "signers", "signers" },
}
local TEXTS = { exec_user = "hob", handler_dir = "", proxy = "" }

local function list_of(config, key, inner)
  local value = config[key]
  if value ~= nil and inner then
    value = type(value) == "table" and (value[inner] or {}) or value
  end
  if value == nil then
    return nil
  end
  local name = inner and key .. "." .. inner or key
  if type(value) ~= "table" then
    return nil, ("%s: expected a list, got %s"):format(name, type(value))
  end
  for i, item in ipairs(value) do
    if type(item) ~= "string" then
      return nil, ("%s[%d]: expected string, got %s"):format(name, i, type(item))
    end
  end
  return value
end

local function in_folder(folder, path)
  return (path == "" or path:sub(1, 1) == "/") and path or folder .. "/" .. path
end

-- File names are relative to the configuration, as in `hob run`.
local function place_files(policy, folder)
  policy.handler_dir = in_folder(folder, policy.handler_dir)
  local signers = {}
  for i, path in ipairs(policy.signers) do
    signers[i] = in_folder(folder, path)
  end
  policy.signers = signers
  return policy
end

local function policy_of(config, folder)
  local policy = {}
  for key, default in pairs(TEXTS) do
    local value = config[key]
    if value ~= nil and type(value) ~= "string" then
      return nil, ("%s: expected string, got %s"):format(key, type(value))
    end
    policy[key] = value or default
  end
  for _, list in ipairs(LISTS) do
    local value, wrong = list_of(config, list[1], list[3])
    if wrong then
      return nil, wrong
    end
    policy[list[2]] = value or {}
  end
  if not config.fs_roots then
    policy.roots = { "/" }
  end
  return place_files(policy, folder)
end

local UNITS = { k = 1024, K = 1024, M = 1024 * 1024, G = 1024 * 1024 * 1024 }

local function bytes_of(value)
  if type(value) == "string" then
    local number, unit = value:match("^(%d+)([kKMG]?)$")
    return number and math.tointeger(number) * (UNITS[unit] or 1)
  end
  return math.type(value) == "integer" and value or nil
end

local function number_of(config, key, default)
  local value = config[key]
  if value ~= nil and (type(value) ~= "number" or value < 0) then
    return nil, ("%s: expected seconds, got %s"):format(key, tostring(value))
  end
  return value or default
end

--- What a bench needs, with the limits and the policy of a configuration if there is one.
---@param place hob.handler.place
---@param thing? string
---@param config_path? string
---@return hob.bench.options|nil
---@return string|nil message
function M.options(place, thing, config_path)
  local config = place.config
  local options = { scripts = place.scripts, thing = thing }
  if not config then
    return options
  end
  local message
  options.policy, message = policy_of(config, (config_path or ""):match("^(.*)/[^/]*$") or ".")
  options.memory = config.memory ~= nil and bytes_of(config.memory) or nil
  if config.memory ~= nil and not options.memory then
    message = ("memory: expected a size such as \"64M\", got %s"):format(tostring(config.memory))
  end
  for key, name in pairs({ cpu = "cpu", job_timeout = "timeout",
    cleanup_timeout = "cleanup_timeout" }) do
    local value, wrong = number_of(config, key)
    options[name], message = value, message or wrong
  end
  if message then
    return nil, "--config: " .. message
  end
  options.thing = thing or type(config.thing_name) == "string" and config.thing_name or nil
  return options
end

---------------------------------------------------------------- the document

local BYTES_MAX = 256 * 1024 -- as the store takes them

local function read_input()
  local lines = {}
  for line in process.read_line do
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n")
end

-- `a.b=v`: a member of a member.
local function put(document, path, value)
  local keys = {}
  for key in path:gmatch("[^.]+") do
    keys[#keys + 1] = key
  end
  local at = document
  for i = 1, #keys - 1 do
    if at[keys[i]] == nil then
      at[keys[i]] = {}
    elseif type(at[keys[i]]) ~= "table" then
      return nil, ("--args %s: '%s' is no object in the document"):format(path, keys[i])
    end
    at = at[keys[i]]
  end
  at[keys[#keys]] = value
  return true
end

--- The job document that --document and --args mean.
---@param name string         the handler's: without a document it is `{"operation": NAME}`
---@param path string|nil     a file; "-": standard input
---@param args string[]|nil   "key=value"
---@return string|nil json
---@return string|nil message
function M.document(name, path, args)
  local text, message
  if path == "-" then
    text = read_input()
  elseif path then
    text, message = fs.read(path)
    if not text then
      return nil, "--document: " .. message
    end
  end
  if text and #text > BYTES_MAX then
    return nil, ("--document: %d bytes, a job document may have %d"):format(#text, BYTES_MAX)
  elseif text and not args then
    return text -- its bytes, as they are
  end
  local document = { operation = name }
  if text then
    local why
    document, why = json.decode(text)
    if type(document) ~= "table" then
      return nil, "--document: expected a JSON object" .. (why and ": " .. why or "")
    end
  end
  for _, arg in ipairs(args or {}) do
    local key, value = arg:match("^([^=]+)=(.*)$")
    if not key then
      return nil, ("--args: expected KEY=VALUE, got '%s'"):format(arg)
    end
    local ok, wrong = put(document, key, value)
    if not ok then
      return nil, wrong
    end
  end
  return json.encode(document)
end

--- A script of answers: a Lua file that returns a table, evaluated with nothing in reach.
---@return table|nil
---@return string|nil message
function M.answers(path)
  local answering = require("hob.handler.answers")
  local text, message = fs.read(path)
  local chunk, script, ok
  if text then
    chunk, message = load(text, "@" .. path, "t", {})
  end
  if not chunk then
    return nil, "--answers: " .. message
  end
  ok, script = pcall(chunk)
  message = ok and answering.check(script) or not ok and tostring(script) or nil
  if message then
    return nil, ("--answers: %s: %s"):format(path, message)
  end
  return script
end

return M
