--- `hob jobs`: what this gateway has in hand, and what became of the rest.
local gateways = require("hob.cli.gateway")
local jobs_follow = require("hob.cli.jobs_follow")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local process = require("hob.process")
local tables = require("hob.cli.table")
local words = require("hob.cli.words")

local M = {}

local clock, span = words.clock, words.span

local USAGE = [==[
usage: hob jobs [--history [--limit N] | --follow] [--json]
                [--data DIR | --config FILE | --socket PATH]

This gateway's jobs: what runs, waits or ends; with --history those that have ended, the newest
first, as this gateway sees them and as the service does. (`hob job` talks to a local Jobs service.)

  --history      jobs that have ended
  --limit N      so many of them (1-10000, default 50)
  --follow       what there is, then a line for each change, until Ctrl-C
  --json         print JSON, for programs
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

A running gateway is asked through its control socket; of one that does not run, the store is read.
Only root and the user that the gateway runs as may look. Exit status: 0; 1 if neither can be
reached; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob jobs", usage = USAGE,
  flags = {
    follow = {}, history = {}, json = {}, limit = { value = "N", low = 1, high = 10000 },
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local PAGE = 100
local LEAST = 48 -- columns in which a reason can be read

---------------------------------------------------------------- asking

--- All pages, each by page(before, count) -> jobs, next | nil, message, code.
local function collect(limit, page)
  local jobs, before = {}, 0
  repeat
    local some, following, code = page(before, math.min(limit - #jobs, PAGE))
    if not some then
      return nil, following, code
    end
    table.move(some, 1, #some, #jobs + 1, jobs)
    before = following
  until not before or #jobs >= limit
  return jobs
end

local function ask_running(gateway, given)
  local things, drain
  local function page(before, count)
    local jobs = {}
    local request = { command = "jobs" }
    if given.history then
      request = { command = "jobs", history = true, before = before, limit = count }
    end
    local last, why = gateway:ask(request, function(line)
      jobs[#jobs + 1] = line.job
    end)
    if not last then
      return nil, why
    end
    things, drain = last.things, last.drain
    return jobs, last.next
  end
  local jobs, why = collect(given.limit or 50, page)
  return jobs and { gateway = "running", jobs = jobs, things = things, drain = drain }, why
end

local function read_stored(place, given)
  local jobs, why, code = collect(given.history and given.limit or 50, function(before, count)
    return gateways.stored(place.data, given.history == true, before, count)
  end)
  return jobs and { gateway = "stopped", jobs = jobs }, why, code
end

--- @return table|nil found  { gateway = "running"|"stopped", jobs, things }
--- @return string|nil message
local function look(place, given)
  local gateway, why, code = gateways.connect(place.socket)
  if gateway then
    return ask_running(gateway, given)
  elseif code == "EACCES" then
    return nil, why .. "; only root and the user that the gateway runs as may look"
  elseif not place.data then
    return nil, why .. "; is that the control socket of a gateway that runs?"
  end
  local found, message, store_code = read_stored(place, given)
  if not found and store_code == "EBUSY" then
    message = ("a gateway uses %s, but its control socket cannot be reached (%s)"):format(
      place.data, why)
  elseif not found and store_code == "ENOENT" then
    message = message .. "; give the gateway's --data DIR or --config FILE"
  end
  return found, message
end

---------------------------------------------------------------- showing

local function name_of(job)
  return job.executionNumber > 1 and ("%s#%d"):format(job.jobId, job.executionNumber) or job.jobId
end

local function why_of(job)
  if job.resumeInSeconds then
    return ("again in %s%s"):format(span(job.resumeInSeconds), job.why and ": " .. job.why or "")
  elseif job.resumeAt then
    return "again at " .. clock(job.resumeAt)
  elseif job.state == "interrupted" then
    return "goes on when the gateway runs again"
  end
  return job.why or ""
end

--- What the service has, in words.
local function theirs_of(job)
  if job.told == "waiting" then
    return "not told yet"
  elseif job.told == "accepted" then
    return ("%s %s"):format(job.toldAs, clock(job.toldAt))
  elseif job.told == "theirs" then
    return "had ended it: " .. (job.theirs or "it was deleted")
  end
  local code = job.toldAs:match("^(%a+):") or "refused"
  return ("%s %s; %s"):format(code, clock(job.toldAt), job.theirs and "it has " .. job.theirs
    or code == "ResourceNotFound" and "it has no such execution" or "it did not say what it has")
end

local function live_rows(jobs)
  local rows = {}
  for i, job in ipairs(jobs) do
    local begun = (job.attempt or 0) > 0
    rows[i] = { name_of(job), job.thing, job.state, job.step or "-", job.handler or "-",
      begun and job.attempt or "-", begun and span(job.elapsedSeconds) or "-", why_of(job) }
  end
  return { "JOB", "THING", "STATE", "STEP", "HANDLER", "RUN", "FOR", "WHY" }, rows
end

local function history_rows(jobs)
  local rows = {}
  for i, job in ipairs(jobs) do
    rows[i] = { name_of(job), job.thing, job.status or "-", job.code or "-",
      job.endedAt and clock(job.endedAt) or "-", theirs_of(job), job.reason or "" }
  end
  return { "JOB", "THING", "OURS", "CODE", "ENDED", "SERVICE", "REASON" }, rows
end

local function show_things(things)
  for _, thing in ipairs(things or {}) do
    if not thing.online then
      print(("%s: not connected to the service"):format(thing.thing))
    end
    if thing.untold > 0 then
      print(("%s: %d outcome%s the service does not have yet"):format(thing.thing, thing.untold,
        thing.untold == 1 and " that" or "s that"))
    end
  end
end

local function show(found, given)
  local head, rows
  if given.history then
    head, rows = history_rows(found.jobs)
  else
    head, rows = live_rows(found.jobs)
  end
  if rows[1] then
    tables.print(head, rows, process.is_terminal() and { width = process.columns(), least = LEAST }
      or nil)
  else
    print(given.history and "no job has ended here yet" or "no job in hand")
  end
  if found.drain then
    print(("draining: no new jobs are taken, since %s, by %s%s"):format(
      words.clock(found.drain.since), found.drain.who,
      found.drain.reason and ": " .. found.drain.reason or ""))
  end
  show_things(found.things)
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  elseif given.limit and not given.history then
    return select(2, options.mistake("hob jobs", "--limit goes with --history"))
  end
  local place, misuse = gateways.find(given)
  if not place then
    return select(2, options.mistake("hob jobs", "%s", misuse))
  end
  if given.follow and given.history then
    return select(2, options.mistake("hob jobs", "what has ended does not change: --follow goes "
      .. "without --history"))
  elseif given.follow then
    return jobs_follow.run(place, given)
  end
  local found, why = look(place, given)
  if not found then
    io.stderr:write(("hob jobs: %s\n"):format(why))
    return 1
  end
  if given.json then
    found.jobs, found.things = json_text.list(found.jobs), json_text.list(found.things or {})
    print(json_text.encode(found))
    return 0
  end
  if found.gateway == "stopped" then
    io.stderr:write(("hob jobs: no gateway runs with %s; this is what its store knows\n"):format(
      place.data))
  end
  show(found, given)
  return 0
end

return M
