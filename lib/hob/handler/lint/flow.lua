--- Follows a handler's functions as they are called: what stands between steps, in steps, and in
--- cleanup. Local functions and those of scripts/lib are followed where they are called.
local language = require("hob.handler.lint.language")
local nearest = require("hob.nearest")
local outcomes = require("hob.job.outcome")
local paths = require("hob.handler.lint.paths")
local values = require("hob.handler.lint.value")
local world = require("hob.handler.lint.world")
local api_list = require("hob.handler.api_list")

local M = {}

local CALLS_MAX = 5000 -- functions entered for one handler
local STEP_NAME_MAX = 128

---@class hob.lint.where       where in a run it is
---@field place string         "between" steps, in a "step", in "cleanup", in a "callback", in the
---                             "load" of the file, "free"; "told": there is no need to say more
---@field bound table          var -> expression, of the parameters in this call
---@field site table?          the call in the handler's own functions that led here
---@field root boolean         in the function itself, in none that it calls
---@field file string          that it is in

local walk, walk_block, enter

---------------------------------------------------------------- what is called

-- The function that an expression stands for.
---@return table|nil fn  the node
local function function_of(flow, node, where)
  node = values.resolve(node, where.bound)
  local name = node.tag == "Index" and values.text(node[2], where.bound)
  if name then
    local module = values.module(node[1], where.bound)
    local own = module and flow.lint.shared_member(module, name) or values.field(node[1], name)
    node = own and values.resolve(own) or node
  end
  return node.tag == "Function" and node or nil
end

local function is_job(flow, node, where)
  node = values.resolve(node, where.bound)
  return node.tag == "Id" and node.var ~= nil and flow.jobs[node.var] == true
end

local function with(where, changes)
  return setmetatable(changes, { __index = where })
end

-- Go through a function that is called here, with what it is given.
function enter(flow, fn, given, where, site)
  if flow.entered[fn] or flow.calls >= CALLS_MAX then
    return
  end
  if where.place ~= "between" and where.place ~= "callback" then
    local seen = flow.seen[where.place]
    if seen[fn] then
      return
    end
    seen[fn] = true
  end
  flow.calls = flow.calls + 1
  flow.entered[fn] = true
  local bound = setmetatable({}, { __index = where.bound })
  for i, id in ipairs(fn[1]) do
    if id.var and given[i] then
      bound[id.var] = given[i]
    end
  end
  flow.route:enter()
  walk_block(flow, fn[2], with(where, { bound = bound, site = where.site or site, root = false,
    file = fn.file }))
  flow.route:leave()
  flow.entered[fn] = nil
end

---------------------------------------------------------------- the job's methods

-- What is found in a function that is called: at the call, saying where it stands.
local function report(flow, node, where, code, message)
  if where.site then
    local file = where.file ~= flow.lint.path and where.file .. ":" or "line "
    message = ("%s (in what is called here, %s%d)"):format(message, file, node.line)
  end
  flow.lint.report(where.site or node, code, message)
end

local IN_STEP = {
  step = { "step-in-step", "a step inside a step: %s" },
  reboot = { "reboot-in-step", "job:%s inside a step: it cannot be done twice" },
  restart_hob = { "reboot-in-step", "job:%s inside a step: it cannot be done twice" },
}

local NOT_IN_CLEANUP = { step = true, reboot = true, restart_hob = true, retry_later = true,
  reject = true }

local function check_place(flow, node, method, where, name)
  local refused = IN_STEP[method]
  if where.place == "step" and refused then
    report(flow, node, where, refused[1], refused[2]:format(method == "step" and name or method))
  elseif where.place == "callback" and method == "step" then
    report(flow, node, where, "step-in-callback",
      ("a step in a coroutine or in a callback: %s"):format(name))
  elseif where.place == "cleanup" and NOT_IN_CLEANUP[method] then
    report(flow, node, where, "not-in-cleanup",
      ("job:%s is not available in cleanup: the job has ended"):format(method))
  elseif where.place == "free" and method == "step" then
    report(flow, node, where, "step-in-step", "already_done is asked before the steps: " .. name)
  end
end

local function check_name(flow, node, text, where)
  if text == "" or #text > STEP_NAME_MAX or text:sub(1, 4) == "hob:" then
    report(flow, node, where, "step-name", ("step '%s': a name has 1 to %d bytes and does not " ..
      "begin with hob:"):format(text, STEP_NAME_MAX))
    return
  end
  local earlier, loop = flow.route:add(text, node)
  if earlier then
    report(flow, node, where, "step-name", ("step '%s' is used twice; first in line %d"):format(
      text, earlier.line))
  elseif loop then
    report(flow, node, where, "step-name",
      ("step '%s' stands in a loop: add the index to its name"):format(text))
  end
end

local function step(flow, node, where)
  local name, options, fn = node[3], node[4], node[5]
  if not fn then
    options, fn = nil, options
  end
  local text = name and values.text(name, where.bound)
  local shown = text and ("'%s'"):format(text) or "its name is made while it runs"
  check_place(flow, node, "step", where, shown)
  if text and where.place == "between" then
    check_name(flow, name, text, where)
  end
  if name then
    walk(flow, name, where)
  end
  if options then
    language.check_options(options, flow.lint.api["hob.StepOptions"],
      text and "step " .. shown or "step", function(at, code, message)
        report(flow, at, where, code, message)
      end)
  end
  local body = fn and function_of(flow, fn, where)
  if body then
    enter(flow, body, {}, with(where, { place = where.place == "between" and "step"
      or where.place }), fn.tag ~= "Function" and fn or nil)
  elseif fn and fn.tag ~= "Function" then
    walk(flow, fn, with(where, { place = "step" }))
  end
end

-- A function that is handed on is called there: by what is not known, or `given` these arguments.
local function walk_function(flow, argument, fn, where, given)
  enter(flow, fn, given or {}, where, argument.tag ~= "Function" and argument or nil)
end

-- `followed`: what is called is gone through itself, and calls the functions that it is given.
local function walk_arguments(flow, node, first, where, followed)
  for i = first, #node do
    local argument = node[i]
    local fn = function_of(flow, argument, where)
    if fn and not followed then
      walk_function(flow, argument, fn, where)
    elseif fn then
      goto next
    elseif argument.tag == "Table" then
      for _, item in ipairs(argument) do
        local value = item.tag == "Pair" and item[2] or item
        local inside = function_of(flow, value, where)
        if inside then
          walk_function(flow, value, inside, where)
        else
          walk(flow, value, where)
        end
      end
    else
      world.check_value(flow, argument, where, report)
      walk(flow, argument, where)
    end
    ::next::
  end
end

-- pcall(fn, ...): `at` is where fn stands in the call, `first` where its arguments begin; between
-- them xpcall has its handler.
local function walk_protected(flow, node, at, first, where)
  local fn = node[at] and function_of(flow, node[at], where)
  if not fn then
    walk_arguments(flow, node, at, where)
    return
  end
  walk_arguments(flow, node, at + 1, where)
  walk_function(flow, node[at], fn, where, { table.unpack(node, first) })
end

local function call_job(flow, node, method, where)
  if method == "step" then
    step(flow, node, where)
    return
  end
  local class = flow.lint.api["hob.Job"]
  if not class.functions[method] then
    report(flow, node, where, "unknown-member", ("job has no function '%s'%s"):format(method,
      nearest.hint(method, api_list.names(class))))
  end
  check_place(flow, node, method, where)
  if method == "critical" then
    walk_protected(flow, node, 3, 4, where)
  else
    walk_arguments(flow, node, 3, where)
  end
end

---------------------------------------------------------------- the tree

local WALK = {}

function WALK.Function() end -- when it is called

function WALK.Invoke(flow, node, where)
  local method = node[2][1]
  if is_job(flow, node[1], where) then
    call_job(flow, node, method, where)
    return
  end
  walk(flow, node[1], where)
  local fn = function_of(flow, { tag = "Index", node[1], node[2] }, where)
  if fn then
    enter(flow, fn, { node[1], table.unpack(node, 3) }, where, node)
  end
  walk_arguments(flow, node, 3, where, fn ~= nil)
end

local LATER = { ["hob.time.after"] = true, ["hob.cloud.subscribe"] = true,
  ["coroutine.wrap"] = true, ["coroutine.create"] = true }

local PROTECTED = { pcall = 3, xpcall = 4 } -- where the function's arguments begin

local function protected(node)
  local callee = values.resolve(node[1])
  return callee.tag == "Id" and not callee.var and PROTECTED[callee[1]]
end

-- job.step(job, ...), as some write it.
local function as_method(flow, node, where)
  local callee = node[1]
  if callee.tag == "Index" and node[2] and is_job(flow, callee[1], where)
    and is_job(flow, node[2], where) then
    return values.text(callee[2])
  end
end

function WALK.Call(flow, node, where)
  local method = as_method(flow, node, where)
  if method then
    call_job(flow, { tag = "Invoke", line = node.line, offset = node.offset, node[2],
      { tag = "String", method }, table.unpack(node, 3) }, method, where)
    return
  end
  local fn = function_of(flow, node[1], where)
  if fn then
    walk_arguments(flow, node, 2, where, true)
    enter(flow, fn, { table.unpack(node, 2) }, where, node)
    return
  elseif protected(node) then
    walk_protected(flow, node, 2, protected(node), where)
    return
  end
  local owner, member = values.member(node[1], where.bound)
  local told = owner and world.check_call(flow, node, owner, member, where, report)
  local later = owner and LATER[owner .. "." .. member] and where.place ~= "cleanup"
  if not told then
    walk(flow, node[1], where)
  end
  local place = later and "callback" or told and "told" or where.place
  walk_arguments(flow, node, 2, with(where, { place = place }))
end

function WALK.If(flow, node, where)
  for i, part in ipairs(node) do
    if part.tag then
      world.check_branch(flow, part, where, report, is_job)
      walk(flow, part, where)
    else
      flow.route:branch(node, i, part)
      walk_block(flow, part, where)
      flow.route:join()
    end
  end
end

local function walk_loop(flow, body, where)
  flow.route:loop(body)
  walk_block(flow, body, where)
  flow.route:join()
end

function WALK.While(flow, node, where)
  world.check_branch(flow, node[1], where, report, is_job)
  walk(flow, node[1], where)
  walk_loop(flow, node[2], where)
end

function WALK.Repeat(flow, node, where)
  walk_loop(flow, node[1], where)
  world.check_branch(flow, node[2], where, report, is_job)
  walk(flow, node[2], where)
end

function WALK.Fornum(flow, node, where)
  for i = 2, #node - 1 do
    walk(flow, node[i], where)
  end
  walk_loop(flow, node[#node], where)
end

function WALK.Forin(flow, node, where)
  walk_block(flow, node[2], where)
  walk_loop(flow, node[3], where)
end

function WALK.Return(flow, node, where)
  if where.root and flow.root_is_run then
    M.check_details(node, flow.lint)
  end
  walk_block(flow, node, where)
end

function WALK.Localrec() end

function WALK.Index(flow, node, where)
  if is_job(flow, node[1], where) then
    local name = values.text(node[2])
    local class = flow.lint.api["hob.Job"]
    if name and not class.fields[name] and not class.functions[name]
      and not flow.lint.written[node] then
      report(flow, node, where, "unknown-member", ("job has no member '%s'%s"):format(name,
        nearest.hint(name, api_list.names(class))))
    end
  end
  walk_block(flow, node, where)
end

function walk(flow, node, where)
  local own = WALK[node.tag]
  if own then
    own(flow, node, where)
  else
    walk_block(flow, node, where)
  end
end

function walk_block(flow, block, where)
  for _, part in ipairs(block) do
    if type(part) == "table" then
      walk(flow, part, where)
    end
  end
end

---------------------------------------------------------------- what run returns

local function check_detail_table(node, lint)
  local count = 0
  for name, pair in pairs((values.members(node))) do
    if outcomes.OWN[name] then
      lint.report(pair, "detail", ("detail '%s': the name is Hob's own"):format(name))
    elseif #name > 128 or not name:find("^[%w:_-]+$") then
      lint.report(pair, "detail", ("detail '%s': a name is 1 to 128 of [a-zA-Z0-9:_-]"):format(
        name))
    else
      count = count + 1
    end
  end
  if count > outcomes.HANDLERS_DETAILS then
    lint.report(node, "detail", ("%d details: only %d of them are reported"):format(count,
      outcomes.HANDLERS_DETAILS))
  end
end

--- `return { ... }` and `return nil, "reason", { ... }`.
function M.check_details(node, lint)
  for _, i in ipairs({ 1, 3 }) do
    local value = node[i] and values.resolve(node[i])
    if value and value.tag == "Table" then
      check_detail_table(value, lint)
    end
  end
end

---------------------------------------------------------------- one handler

local PLACES = { run = "between", cleanup = "cleanup", already_done = "free" }

local function new_flow(lint)
  local flow = { lint = lint, jobs = {}, calls = 0, entered = {}, route = paths.new(),
    seen = { step = {}, cleanup = {}, free = {}, told = {}, load = {} } }
  flow.route:enter()
  return flow
end

local function follow(name, fn, lint)
  local flow = new_flow(lint)
  flow.root_is_run = name == "run"
  local job = fn[1][1]
  if job and job.var then
    flow.jobs[job.var] = true
  end
  flow.entered[fn] = true
  walk_block(flow, fn[2], { place = PLACES[name], bound = {}, root = true,
    file = lint.path })
end

--- Follow run, cleanup and already_done, and what is done while the file is loaded.
---@param tree table
---@param header hob.lint.header
---@param lint table  of lint.lua
function M.check(tree, header, lint)
  walk_block(new_flow(lint), tree, { place = "load", bound = {}, root = true, file = lint.path })
  for name in pairs(PLACES) do
    local member = header.members[name]
    local fn = member and member.value and values.resolve(member.value)
    if fn and fn.tag == "Function" then
      follow(name, fn, lint)
    end
  end
end

return M
