--- Reads of the world between steps: the clock, files, programs, the network. After a restart the
--- handler would find another one and take another way than it took.
local values = require("hob.handler.lint.value")

local M = {}

-- Modules all of whose functions ask or change the world, but for those named.
local MODULES = {
  ["hob.aws"] = {}, ["hob.cloud"] = {}, ["hob.exec"] = {}, ["hob.fs"] = {}, ["hob.keys"] = {},
  ["hob.scripts"] = {}, ["hob.systemd"] = {},
  ["hob.http"] = { escape = true }, ["hob.verify"] = { sha256_text = true },
  ["hob.time"] = { sleep = true, text = true, after = true }, ["hob.mqtt"] = { agent = true },
}

local GLOBALS = {
  os = { time = true, date = true, clock = true, getenv = true },
  math = { random = true, randomseed = true },
}

local WITHOUT_ARGUMENTS = { time = 1, date = 2 } -- with these the clock is not asked

local function reads(owner, member, node)
  local module, library = MODULES[owner], GLOBALS[owner]
  if module then
    return not module[member]
  elseif library and library[member] then
    local enough = owner == "os" and WITHOUT_ARGUMENTS[member]
    return not (enough and node and #node - 1 >= enough)
  end
  return false
end

local BETWEEN = "%s between steps: after a restart it may answer otherwise; call it in a step"

local WORDS = {
  between = BETWEEN, callback = BETWEEN,
  load = "%s while the file is loaded, which Hob does at any time; call it in a step",
}

local function tell(flow, node, owner, member, where, report)
  local words = WORDS[where.place]
  if words then
    report(flow, node, where, "world-read", words:format(owner:gsub("^hob%.", "") .. "."
      .. member))
  end
end

--- A call of a member of a module or library.
---@return boolean told
function M.check_call(flow, node, owner, member, where, report)
  if not reads(owner, member, node) then
    return false
  end
  tell(flow, node, owner, member, where, report)
  return true
end

--- A function handed on, as in `pcall(fs.read, path)`.
function M.check_value(flow, node, where, report)
  local owner, member = values.member(node, where.bound)
  if owner and MODULES[owner] and reads(owner, member) then
    tell(flow, node, owner, member, where, report)
  end
end

local function find(node, fn)
  local found = fn(node)
  if found then
    return found
  end
  for _, part in ipairs(node) do
    if type(part) == "table" and part.tag ~= "Function" then
      found = find(part, fn)
      if found then
        return found
      end
    end
  end
end

--- `if job.attempt > 1`: another one after a restart, too.
function M.check_branch(flow, condition, where, report, is_job)
  if where.place ~= "between" then
    return
  end
  local name
  local node = find(condition, function(part)
    name = part.tag == "Index" and is_job(flow, part[1], where) and values.text(part[2])
    return (name == "attempt" or name == "state") and part or nil
  end)
  if node then
    report(flow, node, where, "world-read", ("a branch on job.%s between steps: it is another one "
      .. "after a restart"):format(name))
  end
end

return M
