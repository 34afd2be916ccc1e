-- native.lua - a handler whose `run` is a C function of the product that Hob is a part of. The core
-- writes the few lines of Lua that call it (core/work/native.c), so that all else is that of any
-- handler. Specs: spec/unit/native_spec.lua, spec/integration/native_spec.lua

local core = require("hob.native.core")
local json = require("hob.json")

local M = {}

-- The language's own, whatever a handler does to its globals.
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local format = string.format

---------------------------------------------------------------- args

local read_fields

-- JSON has no table with both a list and members: options of a type are an object after it.
--   ["integer?", {"min": 1}]   ["enum", "low", "high", {"default": "low"}]   ["list", {"of": ...}]
local function read_kind(kind)
  if type(kind) ~= "table" then
    return kind
  elseif kind[1] == nil then
    return read_fields(kind)
  end
  local list, options = {}, nil
  for i, part in ipairs(kind) do
    if type(part) == "table" and part[1] == nil and i == #kind and i > 1 then
      options = part
    else
      list[i] = part
    end
  end
  for name, value in pairs(options or {}) do
    if name == "of" then
      value = read_kind(value)
    elseif name == "fields" and type(value) == "table" then
      value = read_fields(value)
    end
    list[name] = value
  end
  return list
end

function read_fields(fields)
  local read = {}
  for name, kind in pairs(fields) do
    read[name] = read_kind(kind)
  end
  return read
end

local function read_args(text)
  if text == nil then
    return nil
  end
  local fields, message = json.decode(text)
  if message then
    error("args: no JSON: " .. message, 0)
  elseif type(fields) ~= "table" then
    error(format('args: expected a JSON object such as {"url":"string"}, got %s', tostring(fields)),
      0)
  end
  return read_fields(fields)
end

---------------------------------------------------------------- run

local ENDS = {}

function ENDS.succeeded(_, _, _, details)
  return details
end

function ENDS.failed(_, reason, code, details)
  return nil, { message = reason, code = code }, details
end

function ENDS.rejected(job, reason)
  job:reject(reason)
end

function ENDS.retry(job, reason, seconds)
  job:retry_later(seconds, reason)
end

---@class hob.native.options
---@field name string
---@field description? string
---@field args? string      JSON
---@field timeout? number
---@field max_runs? integer

---@param options hob.native.options
---@return table handler
function M.handler(options)
  local args = read_args(options.args)
  return {
    api = 1,
    description = options.description,
    args = args,
    timeout = options.timeout,
    max_runs = options.max_runs,
    run = function(job, given)
      local ending, reason, extra, details = core.run(options.name, args and given)
      if not ending then
        return nil, { message = reason, code = "NOT_REGISTERED" }
      end
      return ENDS[ending](job, reason, extra, details)
    end,
  }
end

return M
