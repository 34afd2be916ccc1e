--- `hob log`: what happened, to a job or in the gateway, and what happens.
local following = require("hob.cli.log_follow")
local gateways = require("hob.cli.gateway")
local json = require("hob.json")
local options = require("hob.cli.options")
local screens = require("hob.cli.log_screen")
local storeds = require("hob.support.stored")
local timeline = require("hob.timeline")

local M = {}

local USAGE = [==[
usage: hob log [JOB] [--follow] [--lines N] [--thing T] [--execution N] [--json]
               [--data DIR | --config FILE | --socket PATH]

What happened to a job, in order: its events, and what its programs printed ("|" their standard
output, "!" their standard error). Without JOB: the gateway's newest events. Also of a gateway that
does not run.

  --follow       and what happens from now on; of a job until it has ended and the service knows
  --lines N      only the newest N lines (1-100000; without JOB 100 unless it is given)
  --thing T      of this thing only
  --execution N  of this execution of the job only
  --json         a JSON object a line, for programs
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

Only root and the user that the gateway runs as may look. Exit status: 0; 1 if there is no such job,
or nothing can be read or followed; 2 for misuse.
]==]

local SYNTAX = {
  command = "hob log", usage = USAGE, words = 1,
  flags = {
    follow = {}, json = {}, thing = { value = "T" },
    lines = { value = "N", low = 1, high = 100000 },
    execution = { value = "N", low = 1, high = 1000000000 },
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local LINES = 100 -- without a job
local NAMED = 10  -- jobs, to somebody who asked for one that is not there
local PAGE = 200
local NOT_BEGUN = { pending = true, ignored = true } -- states of `hob jobs`

local function say(format, ...)
  io.stderr:write(("hob log: %s\n"):format(format:format(...)))
end

---------------------------------------------------------------- which jobs there are

--- Jobs that the gateway or its store knows, the newest first.
--- @return table[]|nil jobs, string|nil message
local function known_jobs(place)
  local gateway = gateways.connect(place.socket)
  local jobs = {}
  if gateway then
    local function add(line)
      jobs[#jobs + 1] = line.job
    end
    local last, why = gateway:ask({ command = "jobs" }, add)
    if last then
      last, why = gateway:ask({ command = "jobs", history = true, limit = PAGE }, add)
    end
    return last and jobs, why
  end
  local stored, why = storeds.open(place.data)
  if not stored then
    return nil, why
  end
  jobs, why = stored:executions(PAGE)
  stored:close()
  return jobs, why
end

local function ids_of(jobs)
  local ids, seen = {}, {}
  for _, job in ipairs(jobs) do
    if not seen[job.jobId] then
      seen[job.jobId] = job
      ids[#ids + 1] = job.jobId
    end
  end
  return ids, seen
end

--- Nothing is kept of it: why?
--- @return integer code
local function explain(place, given)
  local job = given[1]
  local jobs, why = known_jobs(place)
  if not jobs then
    say("nothing is kept of a job '%s'; which jobs there are is not known: %s", job, why)
    return 1
  end
  local ids, seen = ids_of(jobs)
  if seen[job] and NOT_BEGUN[seen[job].state] then
    say("nothing has happened to %s yet: it is %s (hob jobs says why)", job, seen[job].state)
    return 0
  elseif seen[job] then
    say("nothing is kept %sof %s%s", (given.thing or given.execution) and "" or "any more ", job,
      (given.thing or given.execution) and " with this --thing or --execution" or "")
    return given.thing and 1 or given.execution and 1 or 0
  end
  local named = table.concat(ids, ", ", 1, math.min(#ids, NAMED))
  say("there is no job '%s' here; %s", job, ids[1]
    and ("known are: %s%s"):format(named, #ids > NAMED and ", ... (hob jobs --history)" or "")
    or "no job is known")
  return 1
end

---------------------------------------------------------------- what was

--- @return string|nil data, string|nil message
local function data_of(place)
  if place.data then
    return place.data
  end
  local gateway, why = gateways.connect(place.socket)
  local last
  if gateway then
    last, why = gateway:ask({ command = "status" }, function() end)
  end
  return last and last.data, why
end

local function show_past(place, given)
  local data, why = data_of(place)
  local texts
  if data then
    texts, why = timeline.read(data, { job = given[1], thing = given.thing,
      execution = given.execution, lines = given.lines or (not given[1] and LINES or nil) })
  end
  if not texts then
    say("%s", why)
    return 1
  elseif not texts[1] and given[1] then
    return explain(place, given)
  elseif not texts[1] and given.thing then
    say("nothing is kept of a thing '%s' in %s", given.thing, data)
    return 1
  elseif not texts[1] then
    say("%s: no events are kept there; is it the data directory of a gateway?", data)
    return 1
  end
  local screen = screens.new({ job = given[1], json = given.json })
  for _, text in ipairs(texts) do
    if not screen:show(json.decode(text), text) then
      return 0
    end
  end
  screen:finish()
  return 0
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, SYNTAX)
  if not given then
    return code
  elseif given.execution and not given[1] then
    return select(2, options.mistake("hob log", "--execution goes with a job"))
  end
  local place, misuse = gateways.find(given)
  if not place then
    return select(2, options.mistake("hob log", "%s", misuse))
  elseif not given.follow then
    return show_past(place, given)
  end
  local gateway, why = gateways.connect(place.socket)
  if not gateway then
    code = place.data and show_past(place, given)
    say("nothing can be followed: %s", why)
    return code and 1 or 1
  end
  given.lines = given.lines or (not given[1] and LINES or 0)
  return following.run(gateway, place, given, explain)
end

return M
