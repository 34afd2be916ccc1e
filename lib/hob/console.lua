--- A session's connection, and requests to the gateway that it runs in. Only in the state of a
--- session (`hob repl`, `hob dap`); job handlers have no such module.
local core = require("hob.console.core")
local json = require("hob.json")

local M = {}

--- Who is at the other end.
---@type { pid: integer, uid: integer, user: string }
M.peer = { pid = core.pid, uid = core.uid, user = core.user }

--- As logs say it: "process 4711 of root".
---@type string
M.who = core.who

--- Whatever has come, at most 64 KB; waits for it.
---@param seconds number?  nil: as long as it takes
---@return string|nil bytes
---@return string|nil message
---@return string|nil code  "EOF": the other end has said all; "ETIMEDOUT"
function M.read(seconds)
  return core.read(seconds)
end

--- Send bytes. Never waits: a client that does not read is closed.
---@param text string
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.write(text)
  return core.write(text)
end

-- By the id of their requests: what goes on.
local followed = {}
local last_id = 0

local function next_id()
  last_id = last_id + 1
  return last_id
end

local function request_text(request, id)
  local copy = {}
  for key, value in pairs(request) do
    copy[key] = value
  end
  copy.id = id
  return json.encode(copy)
end

local function on_lines(text)
  for line in text:gmatch("[^\n]+") do
    local value = json.decode(line)
    local follower = value and followed[value.id]
    if follower then
      if value["end"] then
        followed[value.id] = nil
      end
      value.id = nil
      if follower.early then
        table.insert(follower.early, value)
      else
        follower.each(value)
      end
    end
  end
end

-- Give the lines of an answer but the last to `each`.
-- @return the last one, or nil if there is none yet; or nil, message, code
local function deal(text, each)
  for line in text:gmatch("[^\n]+") do
    local value, why = json.decode(line)
    if type(value) ~= "table" then
      return nil, why or "not an object", "EJSON"
    end
    value.id = nil
    if value.error then
      return nil, value.error.message, value.error.code
    elseif value["end"] then
      return value
    end
    each(value)
  end
end

--- Any command of the control socket, in this process.
---@param request table             such as { command = "jobs" }
---@param each fun(line: table)?    is called with each line of the answer but the last
---@return table|nil last           the last line
---@return string|nil message
---@return string|nil code
function M.ask(request, each)
  local text, why, code = core.ask(request_text(request, next_id()))
  if not text then
    return nil, why, code
  end
  local last
  last, why, code = deal(text, each or function() end)
  if not last and not why then
    return nil, ("%s goes on: use console.follow"):format(request.command), "EINVAL"
  end
  return last, why, code
end

---@class hob.console.following
local following = {}
following.__index = following

--- No more lines.
function following:close()
  if followed[self.id] == self then
    followed[self.id] = nil
    core.ask(json.encode({ command = "stop", id = self.id }))
  end
end

--- A command that goes on (`log`, `jobs` with `follow = true`): `each` is called with each line as
--- it comes, with those that there are already at once. One with `end` is the last, if it ends by
--- itself.
---@param request table
---@param each fun(line: table)
---@return hob.console.following|nil
---@return string|nil message
---@return string|nil code
function M.follow(request, each)
  -- `early`: what comes while `each` is still at work with what there was.
  local self = setmetatable({ id = next_id(), each = each, early = {} }, following)
  followed[self.id] = self
  local text, why, code = core.ask(request_text(request, self.id))
  local last
  if text then
    last, why, code = deal(text, each)
  end
  if last or why then
    followed[self.id] = nil
  end
  if why then
    return nil, why, code
  elseif last then
    each(last)
  end
  while self.early[1] do
    each(table.remove(self.early, 1))
  end
  self.early = nil
  return self
end

--- What the session's state runs: for the gateway itself.
---@param name string  of the module that serves
function M.serve_with(name)
  core.listen(on_lines)
  local server = require(name)
  return server.serve({ read = M.read, write = M.write, who = M.who, kind = "attach" })
end

return M
