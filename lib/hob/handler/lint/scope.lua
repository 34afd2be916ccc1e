--- Binds names: each `Id` of a tree that is a local variable's gets `var`, shared by all its uses.
--- A name without one is a global.
local M = {}

---@class hob.lint.var
---@field name string
---@field node table        where it was made
---@field value table?      the expression it was made with, if it is one alone
---@field assigned integer  how often it is assigned later
---@field param boolean?    of a function
---@field fields table<string, table>  what is set in it by name: `function M.run`

local visit_block, visit_function, visit

local function declare(names, node, value)
  local var = { name = node[1], node = node, value = value, assigned = 0, fields = {} }
  names[node[1]] = var
  node.var = var
  return var
end

local function inner(names)
  return setmetatable({}, { __index = names })
end

local function visit_list(list, names)
  for _, node in ipairs(list or {}) do
    visit(node, names)
  end
end

local VISIT = {}

function VISIT.Id(node, names)
  node.var = names[node[1]]
end

function VISIT.Local(node, names)
  visit_list(node[2], names)
  for i, id in ipairs(node[1]) do
    declare(names, id, node[2] and node[2][i])
  end
end

function VISIT.Localrec(node, names)
  declare(names, node[1][1], node[2][1])
  visit(node[2][1], names)
end

local function assign(target, value)
  if target.tag == "Id" and target.var then
    local var = target.var
    -- `local f` and later `f = function`: made there.
    if not var.value and not var.param and var.assigned == 0 and not var.loop then
      var.value = value
    else
      var.assigned = var.assigned + 1
    end
  elseif target.tag == "Index" and target[1].tag == "Id" and target[1].var
    and target[2].tag == "String" then
    local fields, name = target[1].var.fields, target[2][1]
    fields[name] = fields[name] or value
  end
end

function VISIT.Set(node, names)
  visit_list(node[1], names)
  visit_list(node[2], names)
  for i, target in ipairs(node[1]) do
    assign(target, node[2][i])
  end
end

function VISIT.Function(node, names)
  visit_function(node, names)
end

function VISIT.Do(node, names)
  visit_block(node, inner(names))
end

function VISIT.While(node, names)
  visit(node[1], names)
  visit_block(node[2], inner(names))
end

function VISIT.Repeat(node, names)
  local inside = inner(names)
  visit_block(node[1], inside)
  visit(node[2], inside)
end

function VISIT.If(node, names)
  for _, part in ipairs(node) do
    if part.tag then
      visit(part, names)
    else
      visit_block(part, inner(names))
    end
  end
end

function VISIT.Fornum(node, names)
  for i = 2, #node - 1 do
    visit(node[i], names)
  end
  local inside = inner(names)
  declare(inside, node[1]).loop = true
  visit_block(node[#node], inside)
end

function VISIT.Forin(node, names)
  visit_list(node[2], names)
  local inside = inner(names)
  for _, id in ipairs(node[1]) do
    declare(inside, id).loop = true
  end
  visit_block(node[3], inside)
end

function VISIT.Goto() end

VISIT.Label = VISIT.Goto

function visit(node, names)
  local own = VISIT[node.tag]
  if own then
    own(node, names)
    return
  end
  for _, part in ipairs(node) do
    if type(part) == "table" then
      visit(part, names)
    end
  end
end

function visit_block(block, names)
  for _, statement in ipairs(block) do
    visit(statement, names)
  end
end

function visit_function(node, names)
  local inside = inner(names)
  for _, id in ipairs(node[1]) do
    if id.tag == "Id" then
      declare(inside, id).param = true
    end
  end
  visit_block(node[2], inside)
end

--- Bind all names of a file; each function gets `file`.
---@param tree table
---@param path string
function M.bind(tree, path)
  visit_block(tree, {})
  M.each(tree, function(node)
    if node.tag == "Function" then
      node.file = path
    end
  end)
end

--- Call fn(node) for each node below a list or a node, from the outside in.
---@param part table
---@param fn fun(node: table)
function M.each(part, fn)
  if part.tag then
    fn(part)
  end
  for _, child in ipairs(part) do
    if type(child) == "table" then
      M.each(child, fn)
    end
  end
end

return M
