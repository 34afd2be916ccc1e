--- Commands that look at a job: its stack, its variables.
local values = require("hob.repl.values")

local FRAMES = 30
local LOCALS_DEPTH = 2
local LOCALS_ITEMS = 10

local function place_of(frame)
  if frame.kind == "C" or (frame.file or "") == "" then
    return "in C"
  end
  return frame.line and frame.line > 0 and ("%s:%d"):format(frame.file, frame.line) or frame.file
end

local function show_frames(session, frames, total)
  local widest = 0
  for _, frame in ipairs(frames) do
    widest = math.max(widest, #frame.name)
  end
  for i, frame in ipairs(frames) do
    local here = i == session.jobs.level
    local text = ("%s%3d  %-" .. math.min(widest, 40) .. "s  %s%s"):format(here and "*" or " ", i,
      frame.name, place_of(frame), (frame.coroutine or 1) > 1
      and ("  (coroutine %d)"):format(frame.coroutine) or "")
    session:put(session:paint(here and "here" or "dim", text) .. "\n")
  end
  if total > #frames then
    session:line("     ... %d more", total - #frames)
  end
end

local function show_source(session, frame)
  local lines = session.jobs:context(frame.file, frame.line)
  for _, line in ipairs(lines or {}) do
    session:put(line .. "\n")
  end
end

local function say_state(session)
  local info, why = session.jobs:refresh()
  if not info then
    return nil, why
  end
  local state = info.state
  if state == "held" then
    state = ("held for at most %d s more"):format(math.floor(math.max(info.holdLeft or 0, 0)))
  elseif state == "waiting" and (info.waitingIn or "") ~= "" then
    state = "waits in " .. info.waitingIn
  end
  session:line("%s%s: %s", info.jobId, (info.step or "") ~= "" and ", step " .. info.step or "",
    state)
  return true
end

local function where(session)
  local ok, why = say_state(session)
  if not ok then
    return nil, why
  end
  local jobs = session.jobs
  local frames, total = jobs:frames(0, FRAMES)
  if not frames then
    return nil, total
  elseif not frames[1] then
    session:line("nothing of its handler is on the stack just now")
    return true
  end
  show_frames(session, frames, total)
  show_source(session, frames[jobs.level] or frames[1])
  return true
end

---------------------------------------------------------------- frames

local function go_to(session, level)
  local jobs = session.jobs
  local frames, total = jobs:frames(math.max(level - 1, 0), 1)
  if not frames then
    return nil, total
  elseif level < 1 or not frames[1] then
    return nil, total == 0 and "nothing of its handler is on the stack just now"
      or ("there are frames 1 to %d"):format(total)
  end
  jobs.level = level
  session:line("%d  %s  %s", level, frames[1].name, place_of(frames[1]))
  show_source(session, frames[1])
  return true
end

local function moved_by(direction)
  return function(session, rest)
    local count = rest == "" and 1 or math.tointeger(tonumber(rest))
    if not count or count < 1 then
      return nil, "expected a number of frames from 1 on"
    end
    return go_to(session, session.jobs.level + direction * count)
  end
end

local function frame(session, rest)
  local level = math.tointeger(tonumber(rest))
  if not level then
    return nil, "expected the number of a frame: `:frame N`; `:where` lists them"
  end
  return go_to(session, level)
end

---------------------------------------------------------------- variables

local function show_scope(session, scope)
  local jobs = session.jobs
  local list, why = jobs.debug:variables(scope.ref, { first = 0, count = 200 })
  if not list then
    return nil, why
  elseif not list[1] then
    return true
  end
  session:put(session:paint("dim", scope.name) .. "\n")
  for _, variable in ipairs(list) do
    if variable.name ~= "_ENV" then -- the handler's globals, which nobody means by locals
      local text = values.show(jobs:node(variable), { depth = LOCALS_DEPTH,
        items = LOCALS_ITEMS, fold = true, width = session.options.columns - #variable.name - 6 })
      session:put(("  %s = %s\n"):format(variable.name, (text:gsub("\n", "\n  "))))
    end
  end
  return true
end

local function locals(session)
  local jobs = session.jobs
  local here, why = jobs:frame()
  if not here then
    return nil, why or "nothing of its handler is on the stack just now"
  end
  local scopes
  scopes, why = jobs.debug:scopes(here.id)
  if not scopes then
    return nil, why
  end
  local some = false
  for _, scope in ipairs(scopes) do
    if scope.name ~= "Globals" and (scope.count or 1) > 0 then
      some = true
      local ok
      ok, why = show_scope(session, scope)
      if not ok then
        return nil, why
      end
    end
  end
  if not some then
    session:line("it has no locals here")
  end
  return true
end

---@type hob.repl.command[]
return {
  { name = "where", about = "its stack, and the source around the line", needs_job = true,
    run = where },
  { name = "locals", about = "locals and upvalues of the frame looked at",
    needs_job = true, run = locals },
  { name = "up", args = "[N]", about = "look at the caller", needs_job = true,
    run = moved_by(1) },
  { name = "down", args = "[N]", about = "look at what it called", needs_job = true,
    run = moved_by(-1) },
  { name = "frame", args = "N", about = "look at frame N of `:where`", needs_job = true,
    run = frame },
}
