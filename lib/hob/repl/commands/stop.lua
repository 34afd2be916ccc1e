--- Commands that hold a job, let it go on, and say where it is to stop.
local STEP_SECONDS = 5 -- how long a person waits for the stop that a step ends in

---------------------------------------------------------------- going on

local function say_stop(session, ok, text, otherwise)
  if not ok then
    return nil, text
  elseif text then
    session:put(text .. "\n")
  elseif otherwise then
    session:line("%s", otherwise)
  end
  return true
end

-- A person sees the stop when it comes; a script goes on with it.
local function patience(session)
  return session.options.terminal and STEP_SECONDS or nil
end

local function stepping(how)
  return function(session)
    local jobs = session.jobs
    local info = jobs:refresh()
    if info and info.state ~= "held" then
      return nil, ("%s is not held: `:pause` first, or `:break`"):format(jobs.job.jobId)
    end
    local ok, text = jobs:go_on(function()
      return jobs.debug:step(jobs.job.thread, how)
    end, patience(session))
    return say_stop(session, ok, text, "it has not stopped yet; it is said when it does")
  end
end

local function continue(session)
  local jobs = session.jobs
  local seconds = session.options.terminal and 0 or nil
  local ok, text = jobs:go_on(function()
    return jobs.debug:continue(jobs.job.thread)
  end, seconds)
  jobs.held = jobs.held and not (ok and seconds == 0)
  return say_stop(session, ok, text)
end

local function pause(session)
  local jobs = session.jobs
  local info = jobs:refresh()
  if info and info.state == "held" then
    session:line("it is held already")
    return true
  end
  local ok, text = jobs:go_on(function()
    return jobs.debug:pause(jobs.job.thread)
  end, patience(session))
  return say_stop(session, ok, text, "it has not stopped yet; it is said when it does")
end

local function wait(session, rest)
  local seconds = rest ~= "" and tonumber(rest) or nil
  if rest ~= "" and not (seconds and seconds >= 0 and seconds < math.huge) then
    return nil, "expected seconds: `:wait 60`"
  end
  local jobs = session.jobs
  local info, why = jobs:refresh()
  if not info then
    return nil, why
  elseif info.state == "held" then
    session:line("it is held already")
    return true
  end
  local ok, text = jobs:go_on(function()
    return true
  end, seconds)
  if ok and not text then
    return nil, ("it has not stopped within %s s"):format(rest)
  end
  return say_stop(session, ok, text)
end

---------------------------------------------------------------- breakpoints

local function said(breakpoint)
  local place = breakpoint.step and "step " .. breakpoint.step
    or ("%s:%d"):format(breakpoint.file, breakpoint.line or breakpoint.wanted)
  return ("%d  %s%s%s"):format(breakpoint.number, place,
    breakpoint.condition and " if " .. breakpoint.condition or "",
    breakpoint.verified and "" or "  (not set yet: "
      .. ((breakpoint.message or "") ~= "" and breakpoint.message or "no such code is loaded")
      .. ")")
end

local function here_file(jobs)
  local frame, why = jobs:frame()
  if not frame or (frame.file or "") == "" then
    return nil, why or "it is in no file just now: `:break FILE:LINE`"
  end
  return frame.file
end

-- FILE:LINE, LINE of the file that is looked at, or `step NAME`.
local function parse(jobs, rest)
  local place, condition = rest:match("^(.-)%s+if%s+(.+)$")
  place = place or rest
  local step = place:match("^step%s+(.+)$")
  if step then
    return { step = step, condition = condition }
  end
  local file, line = place:match("^(.-):?(%d+)$")
  line = line and math.tointeger(tonumber(line))
  if not line or line < 1 then
    return nil, "expected FILE:LINE, LINE or `step NAME`, and `if EXPR` behind it if you like"
  elseif file == "" then
    local why
    file, why = here_file(jobs)
    if not file then
      return nil, why
    end
  end
  return { file = file, wanted = line, condition = condition }
end

local function add_break(session, rest)
  local jobs = session.jobs
  local breakpoint, why = parse(jobs, rest)
  if breakpoint then
    breakpoint, why = jobs:add_break(breakpoint)
  end
  if not breakpoint then
    return nil, why
  end
  session:line("breakpoint %s", said(breakpoint))
  return true
end

local function list_breaks(session)
  for _, breakpoint in ipairs(session.jobs.breaks) do
    session:line("%s", said(breakpoint))
  end
  if not session.jobs.breaks[1] then
    session:line("no breakpoints")
  end
  return true
end

local function delete(session, rest)
  local number = math.tointeger(tonumber(rest))
  if not number then
    return nil, "expected the number of a breakpoint: `:delete N`; `:breaks` lists them"
  end
  return session.jobs:delete_break(number)
end

---------------------------------------------------------------- assignments

local function write(session, rest)
  local jobs = session.jobs
  if rest == "on" or rest == "off" then
    jobs:set_writes(rest == "on")
  elseif rest ~= "" then
    return nil, "expected `:write on` or `:write off`"
  end
  session:line(jobs.writes and "assignments are allowed, and the log says so"
    or "values are only read; `:write on` allows assignments")
  return true
end

---@type hob.repl.command[]
return {
  { name = "pause", about = "hold it where it is, or at its next line", needs_job = true,
    run = pause,
    more = "What it waits for goes on (a program, a download), its time-outs are held. How long\n"
      .. "it may be held is said on `:attach` and by `:where`." },
  { name = "continue", about = "let it go on", needs_job = true, run = continue,
    more = "On a terminal the next stop is shown when it comes; in a script `:continue` waits\n"
      .. "for it, or for the job's end." },
  { name = "step", about = "to the next line, also into what it calls",
    needs_job = true, run = stepping("in") },
  { name = "next", about = "to the next line of this function", needs_job = true,
    run = stepping("over") },
  { name = "finish", about = "until this function returns", needs_job = true,
    run = stepping("out") },
  { name = "wait", args = "[SECONDS]", about = "until it stops or ends", needs_job = true,
    run = wait },
  { name = "break", args = "FILE:LINE [if EXPR]", about = "stop there", needs_job = true,
    run = add_break,
    more = "FILE is a path or its end, such as install.lua; without it the file that is looked\n"
      .. "at. `:break step NAME` stops where the job's step NAME begins. A line without code\n"
      .. "means the next one that has some." },
  { name = "breaks", about = "the breakpoints", needs_job = true, run = list_breaks },
  { name = "delete", args = "N", about = "breakpoint N goes", needs_job = true, run = delete },
  { name = "write", args = "[on|off]", about = "allow assignments; the log says so",
    needs_job = true, words = function() return { "on", "off" } end, run = write },
}
