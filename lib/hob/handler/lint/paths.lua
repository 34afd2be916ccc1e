--- Which way a run takes to a step: two steps of one name are a mistake, unless only one of them
--- can be reached in a run.
local M = {}

---@class hob.lint.route
local Route = {}
Route.__index = Route

--- @return hob.lint.route
function M.new()
  return setmetatable({ turns = {}, frames = {}, steps = {} }, Route)
end

local ENDS = { Return = true, Break = true, Goto = true }
local ENDING_METHODS = { reject = true, retry_later = true }

local function always_ends(block)
  local last = block[#block]
  if not last then
    return false
  elseif ENDS[last.tag] then
    return true
  elseif last.tag == "Call" then
    return last[1].tag == "Id" and last[1][1] == "error"
  elseif last.tag == "Invoke" then
    return ENDING_METHODS[last[2][1]] == true
  elseif last.tag == "Do" then
    return always_ends(last)
  elseif last.tag ~= "If" or #last % 2 == 0 then -- without else
    return false
  end
  for _, part in ipairs(last) do
    if not part.tag and not always_ends(part) then
      return false
    end
  end
  return true
end

--- A function is entered, and left.
function Route:enter()
  self.frames[#self.frames + 1] = {}
end

function Route:leave()
  self.frames[#self.frames] = nil
end

--- A branch of an `if`, until join.
function Route:branch(node, number, block)
  self.turns[#self.turns + 1] = { node = node, number = number, ends = always_ends(block),
    frame = self.frames[#self.frames] }
end

--- The body of a loop, until join; one that always ends is none.
function Route:loop(block)
  local last = block[#block]
  local once = always_ends(block) and last.tag ~= "Goto"
  self.turns[#self.turns + 1] = { node = block, number = 0, loop = not once }
end

function Route:join()
  self.turns[#self.turns] = nil
end

local function contains(list, value)
  for _, one in ipairs(list) do
    if one == value then
      return true
    end
  end
  return false
end

-- Whether a run that has asked for `earlier` cannot come to here.
local function excludes(earlier, route)
  local here = {}
  for _, turn in ipairs(route.turns) do
    here[turn.node] = turn.number
  end
  for _, turn in ipairs(earlier.turns) do
    if here[turn.node] and here[turn.node] ~= turn.number then
      return true
    elseif not here[turn.node] and turn.ends and contains(route.frames, turn.frame) then
      return true
    end
  end
  return false
end

--- A step is asked for here.
---@param name string
---@param node table
---@return table|nil earlier  the node of another one of that name, in the same run
---@return boolean|nil loop   it stands in a loop
function Route:add(name, node)
  local steps = self.steps[name] or {}
  self.steps[name] = steps
  local earlier
  for _, other in ipairs(steps) do
    if not excludes(other, self) then
      earlier = other.node
      break
    end
  end
  steps[#steps + 1] = { node = node, turns = table.move(self.turns, 1, #self.turns, 1, {}) }
  for _, turn in ipairs(self.turns) do
    if turn.loop then
      return earlier, true
    end
  end
  return earlier, false
end

return M
