-- rounds.lua - rounds of several candidates in turn, and what is told of them.
--
-- Absolute times say nothing on a shared machine. So each round has every candidate once, every
-- other round in the reverse order, and a ratio is made of two figures of the same round; what is
-- told is the median of the rounds.
local M = {}

---@param numbers number[]
---@param part number  0.5: the median
---@return number
function M.quantile(numbers, part)
  local sorted = table.move(numbers, 1, #numbers, 1, {})
  table.sort(sorted)
  local at = 1 + part * (#sorted - 1)
  local low = math.floor(at)
  return sorted[low] + (at - low) * ((sorted[low + 1] or sorted[low]) - sorted[low])
end

---@return number
function M.median(numbers)
  return M.quantile(numbers, 0.5)
end

---@class rounds.candidate
---@field name string
---@field run fun(round: integer): table<string, number>

--- Each candidate once a round.
---@param count integer
---@param candidates rounds.candidate[]
---@return table<string, table<string, number>[]>  by the candidate's name, one a round
function M.alternate(count, candidates)
  local results = {}
  for _, candidate in ipairs(candidates) do
    results[candidate.name] = {}
  end
  for round = 1, count do
    local first, last, step = 1, #candidates, 1
    if round % 2 == 0 then
      first, last, step = last, first, -1
    end
    for i = first, last, step do
      results[candidates[i].name][round] = candidates[i].run(round)
    end
  end
  return results
end

--- One figure of all rounds.
---@param list table<string, number>[]
---@param key string
---@return number[]
function M.column(list, key)
  local out = {}
  for i, one in ipairs(list) do
    out[i] = assert(one[key], key)
  end
  return out
end

--- Of two candidates, round by round: the median ratio, and the lowest and the highest.
---@param mine table<string, number>[]
---@param others table<string, number>[]
---@param key string
---@return number median, number low, number high
function M.ratio(mine, others, key)
  local ratios = {}
  for i, one in ipairs(mine) do
    ratios[i] = one[key] / others[i][key]
  end
  return M.median(ratios), math.min(table.unpack(ratios)), math.max(table.unpack(ratios))
end

return M
