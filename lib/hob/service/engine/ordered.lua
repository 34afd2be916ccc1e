--- Lists that ascend by a key.
--- Spec: spec/unit/service_ordered_spec.lua
local M = {}

--- The first place in `items` whose key is above `key`.
---@param items table
---@param key number|string
---@param key_of fun(item: any): number|string
---@return integer
function M.place_after(items, key, key_of)
  local low, high = 1, #items + 1
  while low < high do
    local middle = (low + high) // 2
    if key_of(items[middle]) > key then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

--- Merge two runs of `from`, `first` to `middle - 1` and `middle` to `last`, into `to`.
local function merge(from, to, first, middle, last, key_of)
  local left, right = first, middle
  for at = first, last do
    local takes_left = left < middle
      and (right > last or key_of(from[left]) <= key_of(from[right]))
    if takes_left then
      to[at], left = from[left], left + 1
    else
      to[at], right = from[right], right + 1
    end
  end
end

--- A sorted list of the same items. `table.sort` calls its comparison from C, where a task cannot
--- be interrupted: ten thousand items stop everything else, a hundred thousand end the task.
---@generic T
---@param items T[]  may be changed
---@param key_of fun(item: T): number|string
---@return T[]
function M.sorted(items, key_of)
  local from, to, count, width = items, {}, #items, 1
  while width < count do
    for first = 1, count, 2 * width do
      merge(from, to, first, math.min(first + width, count + 1),
        math.min(first + 2 * width - 1, count), key_of)
    end
    from, to, width = to, from, 2 * width
  end
  return from
end

return M
