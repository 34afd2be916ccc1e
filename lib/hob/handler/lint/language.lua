--- Names that are not there: globals, members of libraries and modules, options of calls, modules.
local api_list = require("hob.handler.api_list")
local nearest = require("hob.nearest")
local scope = require("hob.handler.lint.scope")
local values = require("hob.handler.lint.value")

local M = {}

-- What Lua 5.4 has; a handler's own are asked of a sandbox.
local LANGUAGE = { io = io, os = os, debug = debug, package = package, string = string,
  table = table, math = math, utf8 = utf8, coroutine = coroutine, dofile = true, loadfile = true,
  collectgarbage = true }

-- What older versions had.
local OLD = { unpack = "table.unpack", loadstring = "load", setfenv = "load with an environment",
  getfenv = "_ENV", ["table.getn"] = "#", ["math.pow"] = "^", ["string.gfind"] = "string.gmatch" }

local INSTEAD = {
  io = "use hob.fs", ["io.popen"] = "use hob.exec",
  ["os.execute"] = "use hob.exec", ["os.remove"] = "use hob.fs", ["os.rename"] = "use hob.fs",
  ["os.tmpname"] = "use hob.fs.tempdir", ["os.exit"] = "return from run instead",
  dofile = "use require and scripts/lib", loadfile = "use require and scripts/lib",
  package = "use require and scripts/lib",
}

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local function unavailable(path)
  local hint = INSTEAD[path] or INSTEAD[path:match("^[^.]*")]
  return ("%s is not available to handlers%s"):format(path, hint and ": " .. hint or "")
end

local function did_you_mean(path, name, known)
  if OLD[path] then
    return "; in Lua 5.4: " .. OLD[path]
  end
  for _, one in ipairs(known) do
    if one == name then
      return "; the local of this name is not known in this line: declare it above"
    end
  end
  return nearest.hint(name, known)
end

---------------------------------------------------------------- globals

-- What Lua has and a handler has not is left out on purpose; else it is a slip.
local function check_read(node, lint)
  local name = node[1]
  if lint.globals[name] or name == "_ENV" then
    return
  elseif LANGUAGE[name] then
    if not lint.told[node] then
      lint.report(node, "unavailable", unavailable(name))
    end
  else
    lint.report(node, "unknown-global", ("unknown global '%s'%s"):format(name,
      did_you_mean(name, name, lint.names_here())))
  end
end

local function check_library(node, lint)
  local owner, member, index, global = values.member(node)
  local library = global and lint.globals[owner]
  if not global or index ~= node then
    return
  elseif not library then
    local whole = LANGUAGE[owner]
    if type(whole) == "table" and whole[member] ~= nil then
      lint.told[values.resolve(node[1])] = true
      lint.report(node, "unavailable", unavailable(owner .. "." .. member))
    end
    return
  elseif library.kind ~= "table" or owner == "_G" or library.set[member] then
    return
  end
  local whole = LANGUAGE[owner]
  local path = owner .. "." .. member
  if type(whole) == "table" and whole[member] ~= nil then
    lint.report(node, "unavailable", unavailable(path))
  else
    lint.report(node, "unknown-member", ("unknown function '%s'%s"):format(path,
      did_you_mean(path, member, library.members)))
  end
end

local function check_writes(node, lint)
  for _, target in ipairs(node[1]) do
    if target.tag == "Id" and not target.var then
      lint.written[target] = true
      lint.report(target, "global-write",
        ("'%s' is set as a global; is `local` missing?"):format(target[1]))
    end
  end
end

---------------------------------------------------------------- modules

local function check_require(node, lint)
  local name, call = values.module(node)
  if not name or call ~= node then
    return
  end
  local found = lint.module(name)
  if found.error then
    lint.report(node, "missing-module", found.error)
  end
end

local function check_member(node, lint)
  local owner, member, index, global = values.member(node)
  if not owner or global or index ~= node then
    return
  end
  local found = lint.module(owner)
  if not found.members or found.members[member] or lint.written[node] then
    return
  end
  lint.report(node, "unknown-member", ("%s has no member '%s'%s"):format(owner, member,
    nearest.hint(member, sorted_keys(found.members))))
end

---------------------------------------------------------------- options

--- Report members of a table that is written out and that its class does not have.
---@param node table     the table
---@param class hob.api.class
---@param what string    for the message: "exec.run"
---@param report fun(node: table, code: string, message: string)
function M.check_options(node, class, what, report)
  node = values.resolve(node)
  if node.tag ~= "Table" or not class then
    return
  end
  for name, pair in pairs((values.members(node))) do
    if not class.fields[name] then
      local known = api_list.names(class)
      report(pair, "unknown-option", ("%s: unknown option '%s'%s (options: %s)"):format(what,
        name, nearest.hint(name, known), table.concat(known, ", ")))
    end
  end
end

local function check_call(node, lint)
  local owner, member = values.member(node[1])
  local class = owner and lint.api[owner]
  local params = class and class.functions[member]
  for i, param in ipairs(params or {}) do
    local options = lint.api[param.type]
    if node[i + 1] and options and next(options.fields) then
      M.check_options(node[i + 1], options, owner:gsub("^hob%.", "") .. "." .. member,
        lint.report)
    end
  end
end

---------------------------------------------------------------- one file

local CHECKS = {
  Set = { check_writes },
  Call = { check_require, check_call },
  Index = { check_library, check_member },
}

local function mark_members_that_are_set(tree, lint)
  scope.each(tree, function(node)
    for _, target in ipairs(node.tag == "Set" and node[1] or {}) do
      lint.written[target] = true
    end
  end)
end

--- Look at all of a file.
---@param source hob.lint.source
---@param lint table  of lint.lua
function M.check(source, lint)
  mark_members_that_are_set(source.tree, lint)
  scope.each(source.tree, function(node)
    for _, check in ipairs(CHECKS[node.tag] or {}) do
      check(node, lint)
    end
  end)
  scope.each(source.tree, function(node)
    if node.tag == "Id" and not node.var and not lint.written[node] then
      check_read(node, lint)
    end
  end)
end

return M
