--- A heap of executions by `deadline`, in which each knows its place: timers are set, moved and
--- dropped without a search, and nothing is left behind by a device that re-arms its timer often.
local M = {}
M.__index = M

---@return table
function M.new()
  return setmetatable({ n = 0 }, M)
end

local function place(heap, index, item)
  heap[index], item.heap_index = item, index
end

local function up(heap, index, item)
  while index > 1 do
    local parent = index // 2
    if heap[parent].deadline <= item.deadline then
      break
    end
    place(heap, index, heap[parent])
    index = parent
  end
  place(heap, index, item)
end

local function down(heap, index, item)
  while true do
    local child = index * 2
    if child < heap.n and heap[child + 1].deadline < heap[child].deadline then
      child = child + 1
    end
    if child > heap.n or heap[child].deadline >= item.deadline then
      break
    end
    place(heap, index, heap[child])
    index = child
  end
  place(heap, index, item)
end

---@param item table
function M:drop(item)
  local index = item.heap_index
  if not index then
    return
  end
  local last = self[self.n]
  self[self.n] = nil
  self.n = self.n - 1
  item.heap_index = nil
  if last ~= item then
    down(self, index, last)
    up(self, last.heap_index, last)
  end
end

---@param item table
---@param deadline number|nil  nil: no timer
function M:set(item, deadline)
  self:drop(item)
  item.deadline = deadline
  if deadline then
    self.n = self.n + 1
    up(self, self.n, item)
  end
end

--- When the next timer ends.
---@return number|nil
function M:next()
  return self[1] and self[1].deadline
end

--- Take out one that is due.
---@return table|nil
function M:due(now)
  local item = self[1]
  if item and item.deadline <= now then
    self:drop(item)
    return item
  end
  return nil
end

return M
