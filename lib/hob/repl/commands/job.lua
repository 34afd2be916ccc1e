--- Commands about jobs: which there are, attaching, what is known and stored of one, its end.
local console = require("hob.console")
local json = require("hob.json")
local tables = require("hob.cli.table")
local values = require("hob.repl.values")
local words = require("hob.cli.words")

local LOG_LINES = 20
local LOG_MAX = 1000

---------------------------------------------------------------- which there are

local function ask_jobs()
  local jobs = {}
  local last, why = console.ask({ command = "jobs" }, function(line)
    jobs[#jobs + 1] = line.job
  end)
  return last and jobs, why
end

local function job_rows(session, jobs)
  local rows = {}
  local mine = session.jobs.job
  for i, job in ipairs(jobs) do
    local is_mine = mine and mine.jobId == job.jobId and mine.thing == job.thing
    rows[i] = { (is_mine and "* " or "  ") .. job.jobId, job.thing, job.state, job.step or "-",
      job.handler or "-", words.span(job.elapsedSeconds), job.why or "" }
  end
  return rows
end

local function jobs(session)
  local list, why = ask_jobs()
  if not list then
    return nil, why
  elseif not list[1] then
    session:line("no job in hand")
    return true
  end
  local head = { "  JOB", "THING", "STATE", "STEP", "HANDLER", "FOR", "WHY" }
  for _, line in ipairs(tables.lines(head, job_rows(session, list))) do
    session:line("%s", line)
  end
  return true
end

---------------------------------------------------------------- attaching

-- THING/ID where things share an id.
local function ids()
  local found, times, list = ask_jobs() or {}, {}, {}
  for _, job in ipairs(found) do
    times[job.jobId] = (times[job.jobId] or 0) + 1
  end
  for i, job in ipairs(found) do
    list[i] = times[job.jobId] > 1 and job.thing .. "/" .. job.jobId or job.jobId
  end
  return list
end

local function stands(info)
  local waiting = info.waitingIn and info.waitingIn ~= "" and " in " .. info.waitingIn or ""
  if info.state == "held" then
    return "it is held"
  elseif info.state == "waiting" then
    return "it waits" .. waiting
  end
  return "it computes"
end

-- @return string id, string|nil thing  of "ID" or "THING/ID"
local function id_and_thing(word)
  local thing, id = word:match("^([^/]*)/(.*)$")
  return id or word, thing
end

-- A job that does not run cannot be looked into: why not, and what there is instead?
local function explain(word, why)
  local id, thing = id_and_thing(word)
  for _, job in ipairs(ask_jobs() or {}) do
    if job.jobId == id and job.thing == (thing or job.thing) and job.state ~= "running" then
      return ("job '%s' does not run: it is %s%s"):format(word, job.state,
        job.why and ": " .. job.why or "")
    end
  end
  local head
  console.ask({ command = "journal", jobId = id, thing = thing }, function(line)
    head = line.journal or head
  end)
  if head and head.status then
    return ("job '%s' has ended: %s; `:log %s` shows what happened"):format(word, head.status, word)
  end
  return why
end

local function attach(session, rest)
  if rest == "" then
    return nil, "expected the id of a job: `:attach ID`; `:jobs` lists them"
  end
  local info, why = session.jobs:attach(rest)
  if not info then
    return nil, explain(rest, why)
  end
  session:line("attached to %s of %s: %s%s; %s", info.jobId, info.thing, info.handler,
    (info.step or "") ~= "" and ", in step " .. info.step or "", stands(info))
  if (info.text or "") ~= "" then
    session:line("%s", info.text)
  end
  return true
end

local function detach(session)
  local id = session.jobs.job.jobId
  local ok, why = session.jobs:detach()
  if not ok then
    return nil, why
  end
  session:line("detached from %s; it goes on", id)
  return true
end

---------------------------------------------------------------- journal and log

-- Of the job that is named, else of the one that is attached.
local function request_for(session, command, rest)
  local job = session.jobs.job
  if rest ~= "" then
    local id, thing = id_and_thing(rest)
    return { command = command, jobId = id, thing = thing }
  elseif job then
    return { command = command, jobId = job.jobId, thing = job.thing,
      executionNumber = job.executionNumber }
  end
  return nil, ("expected the id of a job: `:%s ID`; `:jobs` lists them"):format(command)
end

local function result_text(step, session)
  if step.resultBegins then
    return ("%s... (%d bytes)"):format(step.resultBegins, step.resultBytes)
  elseif step.result == nil then
    return "nil"
  end
  return (values.show(values.node(step.result), { width = session.options.columns - 4 }))
end

local function show_journal(session, head)
  session:line("%s of %s, execution %d: %s%s, run %d%s", head.jobId, head.thing,
    head.executionNumber, head.handler or "no handler",
    head.digest and "@" .. head.digest:sub(1, 12) or "", head.runs or 0,
    (head.interrupted or 0) > 0 and (", interrupted %d times"):format(head.interrupted) or "")
end

local function show_step(session, step)
  session:line("%-8s  %s", step.failed and "failed" or "finished", step.name)
  session:line("    %s", (result_text(step, session):gsub("\n", "\n    ")))
end

local function journal(session, rest)
  local request, problem = request_for(session, "journal", rest)
  if not request then
    return nil, problem
  end
  local head, steps = nil, 0
  local last, why = console.ask(request, function(line)
    if line.journal then
      head = line.journal
      show_journal(session, head)
    elseif line.step then
      steps = steps + 1
      show_step(session, line.step)
    end
  end)
  if not last then
    return nil, why
  elseif head and head.step and head.step ~= json.null then
    session:line("current   %s", head.step)
  elseif head and head.told then
    session:line("it has ended: %s; its steps are not kept any more", head.status)
  elseif head and head.status then
    session:line("it has ended: %s", head.status)
  elseif steps == 0 then
    session:line("no step has finished yet")
  end
  if head and head.state ~= nil and head.state ~= json.null then
    session:line("job.state %s", (values.show(values.node(head.state))))
  end
  return true
end

local function event_text(event)
  local name = event.event:match("^job%.(.*)$") or event.event
  local level = event.level ~= "info" and event.level:upper() .. " " or ""
  return ("%s  %-10s %s%s: %s"):format((event.ts or ""):sub(12, 19), event.step or "-", level,
    name, event.msg or "")
end

local function log_line(session, line)
  if line.event then
    session:line("%s", event_text(line.event))
  elseif line.output then
    local output = line.output
    for text in output.text:gmatch("[^\n]+") do
      session:line("%s  %s %s: %s", (output.ts or ""):sub(12, 19),
        output.stream == "stderr" and "!" or "|", output.program or "", text)
    end
  elseif line.note then
    session:line("... %s", line.note.text or line.note.code or "")
  end
end

local function show_log(session, rest)
  local id, digits = rest:match("^(%S+)%s+(%d+)$")
  if not id then
    digits = rest:match("^%d+$")
    id = digits and "" or rest
  end
  local count = digits and math.tointeger(tonumber(digits))
  local request, problem = request_for(session, "log", id)
  if not request then
    return nil, problem
  end
  count = math.min(math.max(count or LOG_LINES, 1), LOG_MAX)
  request.lines = LOG_MAX
  local lines = {}
  local last, why = console.ask(request, function(line)
    if not line.event or line.event.event ~= "repl.command" then -- what was typed here
      lines[#lines + 1] = line
    end
  end)
  for i = math.max(1, #lines - count + 1), #lines do
    log_line(session, lines[i])
  end
  if last and not lines[1] then
    session:line("nothing is kept of it")
  end
  return last ~= nil or nil, why
end

---------------------------------------------------------------- changing something

local function cancel(session, rest)
  local request, problem = request_for(session, "cancel", rest)
  if not request then
    return nil, problem
  end
  local last, why = console.ask(request)
  if not last then
    return nil, why
  end
  local said = ("%s of %s (%s): %s"):format(last.jobId, last.thing, last.state, last.what)
  if not last.cancelled then
    return nil, said
  end
  session:line("%s", said)
  return true
end

local function reload(session)
  local last, why = console.ask({ command = "reload" }, function(line)
    local one = line.handler or line.module
    if one and one.state ~= "ok" then
      session:line("%s: %s", one.name, one.error or one.state)
    end
  end)
  if not last then
    return nil, why
  elseif (last.broken or 0) > 0 then
    return nil, ("%d broken; jobs that run keep the version that they began with"):format(
      last.broken)
  end
  session:line("handlers are loaded; jobs that run keep the version that they began with")
  return true
end

---@type hob.repl.command[]
return {
  { name = "jobs", about = "what this gateway has in hand", run = jobs },
  { name = "attach", args = "ID", about = "look into a job that runs", words = ids, run = attach,
    more = "ID, or THING/ID. A job that waits can be looked at where it waits; one that computes\n"
      .. "is stopped for that at its next yield. `:pause` holds it." },
  { name = "detach", about = "leave the job; it goes on", needs_job = true, run = detach },
  { name = "journal", args = "[ID]", about = "its durable steps, and what they gave", words = ids,
    run = journal,
    more = "What a resumed run would find: finished and failed steps with their saved results,\n"
      .. "the one it is in, and job.state." },
  { name = "log", args = "[ID] [N]", about = "its newest events, and what programs printed",
    words = ids, run = show_log,
    more = "ID, or THING/ID; without it the job that is attached. N: how many lines (20)." },
  { name = "cancel", args = "[ID]", about = "end it as `hob cancel` does", words = ids,
    run = cancel,
    more = "Its programs are ended, its cleanup runs, and the cloud is told. ID, or THING/ID;\n"
      .. "without it the job that is attached." },
  { name = "reload", about = "read the handlers again", run = reload,
    more = "Jobs that run keep the version that they began with." },
}
