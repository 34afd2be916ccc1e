--- The local Jobs service as `hob job` sees it: its control side over HTTP.
local http = require("hob.http")
local json = require("hob.json")

local M = {}
M.__index = M

M.TOO_LARGE = -1

--- @param url string  "http://127.0.0.1:8180"
function M.new(url)
  return setmetatable({ url = (url:gsub("/+$", "")) }, M)
end

local function escape(text)
  return (tostring(text):gsub("[^%w_.:~-]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end))
end

local function query_text(query)
  local words = {}
  for name, value in pairs(query or {}) do
    words[#words + 1] = name .. "=" .. escape(value)
  end
  table.sort(words)
  return words[1] and "?" .. table.concat(words, "&") or ""
end

--- Ask the service.
---@param method string
---@param path string[]   segments, unescaped
---@param query table<string, any>|nil
---@param body table|nil
---@return table|nil answer
---@return string|nil message
---@return integer|nil status  nil: the service was not reached; M.TOO_LARGE: its answer is no use
function M:call(method, path, query, body)
  local parts = {}
  for i, part in ipairs(path) do
    parts[i] = escape(part)
  end
  local text, unfit
  if body then
    text, unfit = json.encode(body)
    if not text then
      return nil, "the request cannot be sent: " .. unfit
    end
  end
  local answer, message = http.request{
    url = self.url .. "/" .. table.concat(parts, "/") .. query_text(query), method = method,
    body = text, timeout = 30, limit = 16 * 1024 * 1024,
    headers = { ["Content-Type"] = "application/json" },
  }
  if not answer then
    return nil, ("no local Jobs service at %s; start one with `hob service ...` (%s); for this "
      .. "gateway use `hob jobs`"):format(self.url, message)
  end
  local value, why, code = json.decode(answer.body)
  if code == "EMSGSIZE" then
    return nil, ("the answer of %s is too large (%s)"):format(self.url, why), M.TOO_LARGE
  elseif type(value) ~= "table" then
    return nil, ("%s answers, but not as a Jobs service does (%s)"):format(self.url,
      why or "no JSON object")
  elseif answer.status ~= 200 then
    return nil, tostring(value.message), answer.status
  end
  return value
end

--- All pages of a list; smaller ones where a page is too large to be read.
---@param member string  where the items are
---@return table[]|nil items
---@return string|nil message, integer|nil status
function M:list(path, query, member)
  local items, asked = {}, { maxResults = 250 }
  for name, value in pairs(query or {}) do
    asked[name] = value
  end
  repeat
    local answer, message, status = self:call("GET", path, asked)
    while status == M.TOO_LARGE and asked.maxResults > 1 do
      asked.maxResults = asked.maxResults // 2
      answer, message, status = self:call("GET", path, asked)
    end
    if not answer then
      return nil, message, status
    end
    if type(answer[member]) ~= "table" then
      return nil, ("%s answers, but not as a Jobs service does (no %s)"):format(self.url, member)
    end
    table.move(answer[member], 1, #answer[member], #items + 1, items)
    asked.nextToken = answer.nextToken
  until not asked.nextToken
  return items
end

return M
