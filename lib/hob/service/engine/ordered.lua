--- Lists that ascend by a key.
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

return M
