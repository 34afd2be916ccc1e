--- Values as a person reads them: tables with their members to a depth, cycles said, long ones cut.
---
--- What is shown is a node, so that values of this state and those in a job look alike:
---     { text = "42" }
---     { text = "{...} 3 items", identity = "0x...", total = 3, members = function(first, count) }
--- where members gives a list of { key = "x" | "[1]", node = node }: at most `count`, from `first`
--- (0 is the first) on, those of a list before all others.
--- Spec: spec/unit/repl_values_spec.lua
local texts = require("hob.repl.text")

local M = {}

M.DEPTH = 4
M.ITEMS = 40
M.STRING = 200

local WALK_MAX = 20000 -- members of a table that are looked at, and sorted

---@class hob.repl.node
---@field text string
---@field identity? string|table
---@field total? integer
---@field members? fun(first: integer, count: integer): table[]

---------------------------------------------------------------- values of this state

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while]]):gmatch("%a+") do
  KEYWORDS[word] = true
end

local function number_text(value)
  if value ~= value then
    return "nan"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "inf" or "-inf"
  elseif math.type(value) == "integer" then
    return ("%d"):format(value)
  end
  local text = ("%.14g"):format(value)
  return text:find("^-?%d+$") and text .. ".0" or text
end

local function short_text(value)
  local kind = type(value)
  if kind == "string" then
    return texts.quote(value, M.STRING)
  elseif kind == "number" then
    return number_text(value)
  elseif kind == "userdata" then -- of Hob's own, made in C: a script cannot give one a metatable
    local ok, text = pcall(tostring, value)
    return texts.clean(ok and text or "userdata")
  end
  return tostring(value)
end

local function key_text(key)
  if type(key) == "string" then
    if key:find("^[%a_][%w_]*$") and not KEYWORDS[key] then
      return key
    end
    return "[" .. texts.quote(key, 60) .. "]"
  elseif type(key) == "table" then
    return "[{...}]"
  end
  return "[" .. short_text(key) .. "]"
end

-- What a table says that it has: the objects of iotjobs keep their fields elsewhere.
local function as_it_says(value)
  local meta = getmetatable(value)
  if type(meta) ~= "table" or type(rawget(meta, "__pairs")) ~= "function" then
    return value
  end
  local copy, count = {}, 0
  local ok = pcall(function()
    for key, member in pairs(value) do
      count = count + 1
      if count > WALK_MAX then
        break
      end
      copy[key] = member
    end
  end)
  return ok and copy or value
end

-- Places from 1 on, then the other keys: names, numbers, the rest. Sorted without a function of
-- ours: inside one nothing could be preempted.
local function keys_of(value)
  local length, walked = 0, 0
  local names, numbers, others = {}, {}, {}
  while rawget(value, length + 1) ~= nil and length < WALK_MAX do
    length = length + 1
  end
  for key in next, value do
    walked = walked + 1
    if walked > WALK_MAX then
      break
    elseif type(key) == "string" then
      names[#names + 1] = key
    elseif type(key) ~= "number" then
      others[#others + 1] = key
    elseif math.type(key) ~= "integer" or key < 1 or key > length then
      numbers[#numbers + 1] = key
    end
  end
  table.sort(names)
  table.sort(numbers)
  table.move(numbers, 1, #numbers, #names + 1, names)
  table.move(others, 1, #others, #names + 1, names)
  return length, names, walked > WALK_MAX
end

--- A value of this state. Of a table's metamethods only __pairs is run.
---@param value any
---@return hob.repl.node
function M.node(value)
  if type(value) ~= "table" then
    return { text = short_text(value) }
  end
  local length, others, cut, shown
  local function look()
    if not length then
      shown = as_it_says(value)
      length, others, cut = keys_of(shown)
    end
  end
  local node = { identity = value }
  setmetatable(node, { __index = function(_, name)
    if name == "total" then
      look()
      return length + #others
    elseif name == "text" then
      look()
      local count = length + #others
      return ("{...} %s%d item%s"):format(cut and "more than " or "", count,
        count == 1 and "" or "s")
    end
  end })
  function node.members(first, count)
    look()
    local list = {}
    for i = first + 1, math.min(first + count, length + #others) do
      local key = i
      if i > length then
        key = others[i - length]
      end
      list[#list + 1] = { key = i <= length and ("[%d]"):format(i) or key_text(key),
        node = M.node(rawget(shown, key)) }
    end
    return list
  end
  return node
end

---------------------------------------------------------------- showing

local function starts_block(text)
  return text:find("\n", 1, true) ~= nil
end

-- Those that stand at their place need no key.
local function item_text(member, place, text)
  if member.key == ("[%d]"):format(place) then
    return text
  end
  return texts.clean(member.key) .. " = " .. text
end

local function one_line(parts, room)
  local total = 4
  for _, part in ipairs(parts) do
    total = total + texts.width(part) + 2
    if starts_block(part) or total > room then
      return nil
    end
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- Nothing but functions: a module, of which nobody wants to see them all.
local function is_library(node)
  local members = node.members(0, 5)
  for _, member in ipairs(members) do
    if not member.node.text:find("^function") then
      return false
    end
  end
  return members[1] ~= nil
end

local show

local function show_members(node, state, level)
  local inner = {}
  local members = node.members(0, state.items)
  for place, member in ipairs(members) do
    inner[place] = item_text(member, place, show(member.node, state, level + 1))
  end
  local left = (node.total or #members) - #members
  if left > 0 then
    inner[#inner + 1] = ("... %d more"):format(left)
    state.cut = true
  end
  return inner
end

function show(node, state, level)
  if not node.members then
    return texts.clean(node.text)
  elseif node.total == 0 then
    return "{}"
  end
  local above = node.identity and state.path[node.identity]
  if above then
    return ("<itself, %d up>"):format(level - above)
  elseif level >= state.depth then
    state.cut = true
    return texts.clean(node.text)
  end
  if state.fold and is_library(node) then
    return texts.clean(node.text)
  elseif node.identity then
    state.path[node.identity] = level
  end
  local parts = show_members(node, state, level)
  if node.identity then
    state.path[node.identity] = nil
  end
  local line = one_line(parts, state.width - 2 * level)
  if line then
    return line
  end
  local indent = ("  "):rep(level + 1)
  return ("{\n%s%s\n%s}"):format(indent, table.concat(parts, ",\n" .. indent), ("  "):rep(level))
end

---@param node hob.repl.node
---@param options? { depth: integer?, items: integer?, width: integer?, fold: boolean? }
---@return string text  clean; several lines, where one is not enough
---@return boolean cut  there is more of it
function M.show(node, options)
  options = options or {}
  local state = {
    depth = options.depth or M.DEPTH, items = options.items or M.ITEMS,
    width = math.max(options.width or 80, 20), path = {}, cut = false,
    fold = options.fold,
  }
  local text = show(node, state, 0)
  return text, state.cut
end

return M
