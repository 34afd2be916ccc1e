--- One thing's pending executions in AWS's order: IN_PROGRESS before QUEUED, each by queue time.
--- Two linked lists, so that nothing is searched: an execution carries its own links.
local M = {}
M.__index = M

---@return table
function M.new()
  return setmetatable({ IN_PROGRESS = {}, QUEUED = {} }, M)
end

--- Insert by `seq`, from the end: the newest is nearly always the last.
---@param execution table  its `status` names the list
function M:add(execution)
  local list = self[execution.status]
  local before = list.last
  while before and before.seq > execution.seq do
    before = before.prev
  end
  local after = list.first
  if before then
    after = before.next
    before.next = execution
  else
    list.first = execution
  end
  execution.prev, execution.next, execution.list = before, after, list
  if after then
    after.prev = execution
  else
    list.last = execution
  end
end

---@param execution table
---@return boolean  it was pending
function M.remove(_, execution)
  local list, before, after = execution.list, execution.prev, execution.next
  if not list then
    return false
  end
  if before then
    before.next = after
  else
    list.first = after
  end
  if after then
    after.prev = before
  else
    list.last = before
  end
  execution.list, execution.prev, execution.next = nil, nil, nil
  return true
end

--- What `$next` names.
---@return table|nil
function M:front()
  return self.IN_PROGRESS.first or self.QUEUED.first
end

--- The first `limit` of both lists together.
---@return table[] in_progress
---@return table[] queued
function M:head(limit)
  local found = {}
  for i, name in ipairs{ "IN_PROGRESS", "QUEUED" } do
    local items, execution = {}, self[name].first
    while execution and limit > 0 do
      items[#items + 1] = execution
      execution, limit = execution.next, limit - 1
    end
    found[i] = items
  end
  return found[1], found[2]
end

return M
