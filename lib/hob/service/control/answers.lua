--- How the control plane answers: its errors in AWS's words, and lists page by page.
local json_text = require("hob.service.json_text")
local ordered = require("hob.service.engine.ordered")

local M = {}

-- As the service model of AWS IoT has it.
local STATUS = {
  InvalidRequestException = 400, ThrottlingException = 400, ResourceNotFoundException = 404,
  ResourceAlreadyExistsException = 409, InvalidStateTransitionException = 409,
  VersionConflictException = 409, LimitExceededException = 410,
  InternalFailureException = 500, ServiceUnavailableException = 503,
}

--- @return nil
--- @return table error  {type, status, message}
function M.fail(kind, format, ...)
  return nil, { type = kind, status = STATUS[kind], message = format:format(...) }
end

function M.no_job(id)
  return M.fail("ResourceNotFoundException", "Job %s cannot be found", id)
end

function M.no_execution(thing, job, number)
  return M.fail("ResourceNotFoundException", "No execution%s of job %s exists for thing %s",
    number and " " .. number or "", job, thing)
end

local PAGE_MAX = 250

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function unhex(text)
  if #text % 2 == 0 and not text:find("[^0-9a-f]") then
    return (text:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
  end
  return ""
end

--- Which list a token belongs to: its name and what it was asked for.
local function scope_of(name, query)
  local parts = {}
  for key, value in pairs(query) do
    if key ~= "nextToken" and key ~= "maxResults" then
      parts[#parts + 1] = ("%s=%s"):format(key, value)
    end
  end
  table.sort(parts)
  return name .. "?" .. table.concat(parts, "&")
end

--- @return string|integer|nil key  the last that was told; "" or 0 for none
local function last_told(token, scope, kind)
  if token == nil then
    return kind == "number" and 0 or ""
  end
  local head, key = unhex(token):match("^(.*)\n([^\n]*)$")
  key = kind == "number" and math.tointeger(tonumber(key)) or kind == "string" and key or nil
  return head == scope and key or nil
end

local function limit_of(text)
  if text == nil then
    return PAGE_MAX
  end
  local limit = text:find("^%d%d?%d?$") and math.tointeger(tonumber(text))
  return limit and limit >= 1 and limit <= PAGE_MAX and limit or nil
end

---@class hob.service.list
---@field name string       which list: its tokens are good for no other one
---@field member string     what the answer calls it
---@field kind "number"|"string"  of the keys
---@field key fun(item: any): number|string  `items` ascend by it
---@field view fun(item: any): any
---@field keep (fun(item: any): boolean|nil)?

--- One page of a list, by AWS's maxResults and nextToken. A token says after which item the next
--- page begins: what is added or deleted meanwhile repeats and hides nothing else.
---@param items any[]|fun(key: number|string, count: integer): any[]  all of them; or a function
--- that gives `count` of those after a key, or as many as there are (there is no `keep` then)
---@param query table<string, string>
---@param list hob.service.list
---@return table|nil answer
---@return table|nil error
function M.page(items, query, list)
  local limit = limit_of(query.maxResults)
  local scope = scope_of(list.name, query)
  local key = last_told(query.nextToken, scope, list.kind)
  if not limit then
    return M.fail("InvalidRequestException", "maxResults: expected 1-250, got %s", query.maxResults)
  elseif not key then
    return M.fail("InvalidRequestException", "nextToken: none that this list gave out")
  end
  local out, token = {}, nil
  if type(items) == "function" then
    items = items(key, limit + 1)
  end
  for i = ordered.place_after(items, key, list.key), #items do
    if not list.keep or list.keep(items[i]) then
      if #out == limit then
        token = hex(scope .. "\n" .. key)
        break
      end
      out[#out + 1], key = list.view(items[i]), list.key(items[i])
    end
  end
  return { [list.member] = json_text.list(out), nextToken = token }
end

return M
