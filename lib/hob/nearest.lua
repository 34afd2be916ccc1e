-- nearest.lua - which of the known words was meant? For "did you mean ...".
-- Spec: spec/unit/schema_spec.lua

local M = {}

-- The language's own, whatever a handler does to its globals.
local ipairs = ipairs
local byte, floor, min = string.byte, math.floor, math.min

local FAR = 3 -- so many changes make another word
local LONGEST = 64

-- How many letters must be put in, left out, exchanged, or swapped with their neighbour.
local function distance(a, b)
  local before, row = {}, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local last = row
    row = { [0] = i }
    for j = 1, #b do
      local same = byte(a, i) == byte(b, j)
      row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and byte(a, i) == byte(b, j - 1) and byte(a, i - 1) == byte(b, j) then
        row[j] = min(row[j], before[j - 2] + 1)
      end
    end
    before = last
  end
  return row[#b]
end

---The known word that differs least: by a typo, not by more than half of its letters.
---@param word string
---@param known string[]
---@return string? nearest  nil: none is near
function M.of(word, known)
  local best, least
  for _, one in ipairs(known) do
    if #word <= LONGEST and #one <= LONGEST then
      local d = distance(word, one)
      if d < FAR and d <= floor(#one / 2) and (not least or d < least) then
        best, least = one, d
      end
    end
  end
  return best
end

---For the end of a message.
---@param word string
---@param known string[]
---@return string hint  "; did you mean WORD?", or ""
function M.hint(word, known)
  local best = M.of(word, known)
  return best and "; did you mean " .. best .. "?" or ""
end

return M
