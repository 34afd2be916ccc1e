--- The handler's table in a file: where each member stands, and what Hob says of it when it loads
--- the file.
local values = require("hob.handler.lint.value")

local M = {}

---@class hob.lint.header
---@field at table                        the `return`, or the table
---@field members table<string, table>    name -> { value = expression, at = node }

local function take_table(header, node)
  for name, pair in pairs((values.members(node))) do
    header.members[name] = { value = pair[2], at = pair }
  end
end

-- `function M.run(...)`, `M.run = ...`: what is set in the variable that is returned.
local function take_settings(header, tree, var)
  for _, statement in ipairs(tree) do
    for i, target in ipairs(statement.tag == "Set" and statement[1] or {}) do
      local owner = target.tag == "Index" and target[1]
      local name = owner and owner.tag == "Id" and owner.var == var and values.text(target[2])
      if name then
        header.members[name] = { value = statement[2][i], at = target }
      end
    end
  end
end

--- The table that the file returns, as far as it is written out.
---@param tree table
---@return hob.lint.header
function M.find(tree)
  local last = tree[#tree]
  local header = { at = last or { line = 1 }, members = {} }
  if not last or last.tag ~= "Return" or not last[1] then
    return header
  end
  local node = values.resolve(last[1])
  if node.tag == "Table" then
    header.at = node
    take_table(header, node)
  end
  if last[1].tag == "Id" and last[1].var then
    take_settings(header, tree, last[1].var)
  end
  return header
end

local function member_node(header, path)
  local member = header.members[path[1]]
  if not member then
    return header.at
  end
  local at, node = member.at, member.value
  for i = 2, #path do
    node = node and values.resolve(node)
    if not node or node.tag ~= "Table" then
      return at
    end
    local pair = values.members(node)[path[i]]
    if not pair then
      return node[tonumber(path[i])] or at
    end
    at, node = pair, pair[2]
  end
  return at
end

--- Where a complaint about the handler's table belongs.
---@param problem { path: string[] }
---@return integer line
---@return integer column
function M.place(source, header, problem)
  return source:place(member_node(header, problem.path))
end

local function code_of(path)
  if path[1] == "run" then
    return "missing-run"
  elseif path[1] == "args" or path[1] == "examples" then
    return path[1]
  end
  return "header"
end

--- Report what Hob says of the file when it loads it.
---@param found table  of inspect.lua
---@param lint table   of lint.lua
function M.check(found, header, lint)
  for _, problem in ipairs(found.problems or {}) do
    lint.report(member_node(header, problem.path), code_of(problem.path), problem.message)
  end
  if found.raised then
    local path, line, message = found.raised:match("^(.-):(%d+): (.*)$")
    if path == lint.path then
      lint.report_at(tonumber(line), 1, "load", message)
    else
      lint.report(header.at, "load", found.raised)
    end
  end
end

return M
