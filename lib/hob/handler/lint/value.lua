--- What an expression of a tree stands for, as far as the text tells.
local M = {}

M.UNKNOWN = {} -- what only running it would tell

---A variable that is never changed stands for what it was made with; parentheses for what is in
---them.
---@param node table
---@param bound? table<table, table>  var -> expression: what the parameters are in this call
---@return table node
function M.resolve(node, bound)
  for _ = 1, 20 do -- `local a = a` is no endless way
    local var = node.tag == "Id" and node.var
    if node.tag == "Paren" then
      node = node[1]
    elseif var and bound and bound[var] and var.assigned == 0 then
      node = bound[var]
    elseif var and var.value and var.assigned == 0 then
      node = var.value
    else
      return node
    end
  end
  return node
end

--- A text, if it is always the same.
---@return string|nil text
function M.text(node, bound)
  node = M.resolve(node, bound)
  if node.tag == "String" then
    return node[1]
  elseif node.tag == "Op" and node[1] == "concat" then
    local left, right = M.text(node[2], bound), M.text(node[3], bound)
    return left and right and left .. right
  end
end

local function of_table(node)
  local result, known, n = {}, true, 0
  for _, item in ipairs(node) do
    local key, value
    if item.tag == "Pair" then
      key, value = M.value(item[1]), M.value(item[2])
    else
      n = n + 1
      key, value = n, M.value(item)
    end
    known = known and key ~= M.UNKNOWN and value ~= M.UNKNOWN
    if known and key ~= nil then
      result[key] = value
    end
  end
  return known and result or M.UNKNOWN
end

local NEGATED = { unm = true }

--- The value of a literal; a function is one that raises when it is called.
---@return any value  M.UNKNOWN: only running it would tell
function M.value(node)
  node = M.resolve(node)
  local tag = node.tag
  if tag == "String" then
    return node[1]
  elseif tag == "Number" then
    return tonumber(node[1]) or M.UNKNOWN
  elseif tag == "True" or tag == "False" then
    return tag == "True"
  elseif tag == "Nil" then
    return nil
  elseif tag == "Function" then
    return function() error("lint does not call it") end
  elseif tag == "Table" then
    return of_table(node)
  elseif tag == "Op" and NEGATED[node[1]] then
    local value = M.value(node[2])
    return type(value) == "number" and -value or M.UNKNOWN
  elseif tag == "Op" and node[1] == "concat" then
    return M.text(node) or M.UNKNOWN
  elseif tag == "Op" and node[1] == "mul" then
    local left, right = M.value(node[2]), M.value(node[3])
    return type(left) == "number" and type(right) == "number" and left * right or M.UNKNOWN
  end
  return M.UNKNOWN
end

--- The name of the module if it is `require("NAME")`, or a variable that holds it.
---@return string|nil name
---@return table|nil call
function M.module(node, bound)
  node = M.resolve(node, bound)
  if node.tag == "Call" and node[1].tag == "Id" and node[1][1] == "require" and not node[1].var
    and node[2] then
    local name = M.text(node[2], bound)
    return name, name and node
  end
end

--- Which member of which module or global an expression is: `exec.run`, `require("hob.fs").read`,
--- `os.time`, or a variable made of one.
---@return string|nil owner  "hob.exec", or "os"
---@return string|nil member
---@return table|nil index    the node
---@return boolean|nil global  the owner is a global
function M.member(node, bound)
  node = M.resolve(node, bound)
  if node.tag ~= "Index" then
    return nil
  end
  local member = M.text(node[2], bound)
  local owner = M.resolve(node[1], bound)
  if member and owner.tag == "Id" and not owner.var then
    return owner[1], member, node, true
  end
  local module = M.module(owner)
  if member and module then
    return module, member, node, false
  end
end

--- What a member of a local table was made with: `function M.run`, `M.run = ...`, `{ run = ... }`.
---@param node table  the table
---@return table|nil node
function M.field(node, name)
  local var = node.tag == "Id" and node.var
  if var and var.fields[name] then
    return var.fields[name]
  end
  node = M.resolve(node)
  local pair = node.tag == "Table" and M.members(node)[name]
  return pair and pair[2] or nil
end

--- The members of a table that is written out: name -> Pair, and all of them in their order.
---@return table<string, table> by_name
---@return table[] pairs
function M.members(node)
  local by_name, list = {}, {}
  for _, item in ipairs(node) do
    if item.tag == "Pair" and item[1].tag == "String" then
      by_name[item[1][1]] = item
      list[#list + 1] = item
    end
  end
  return by_name, list
end

return M
