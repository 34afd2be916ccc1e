--- `hob retry-report`: have a running gateway tell the service now what that does not have yet.
local asking = require("hob.cli.asking")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob retry-report [JOB] [--thing T] [--execution N] [--json]
                        [--data DIR | --config FILE | --socket PATH]

Outcomes that the service does not have yet are sent now, without waiting for the next try (a
gateway tries again by itself, for ever). With JOB also an outcome that the service refused, once
more: what kept it from taking that may have passed. Waits a few seconds for the answers and says
what came of it.

  --thing T      which thing's, if several had a job of that name (else the latest)
  --execution N  which execution of it, likewise
  --json         print JSON, for programs
]==] .. asking.USAGE .. [==[

Exit status: 0 if the service has everything, or has the JOB's outcome; 1 if not, or no gateway runs
there; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob retry-report", usage = USAGE, words = 1,
  flags = asking.execution_flags(),
}

local function later(last)
  return last.againInSeconds and ("again in %d s"):format(last.againInSeconds)
    or "sent when there is a connection"
end

local SAID = {
  accepted = function(job)
    return ("the service has %s (%s)"):format(job.status, job.toldAs)
  end,
  theirs = function(job)
    return ("nothing to tell: the service had ended it%s"):format(
      job.theirs and " as " .. job.theirs or "")
  end,
  refused = function(job)
    return ("refused: %s%s"):format(job.toldAs,
      job.theirs and "; the service has " .. job.theirs or "")
  end,
  waiting = function(job, last)
    return ("%s is not told yet: %s; %s"):format(job.status, last.why or "no answer yet",
      later(last))
  end,
}

local function show_one(last)
  local job = last.job
  print(("%s %s, execution %d: %s"):format(job.thing, job.jobId, job.executionNumber,
    (last.why and SAID.waiting or SAID[job.told])(job, last)))
end

local function show_all(last)
  if last.untoldBefore == 0 then
    print("nothing waits: the service has every outcome")
  elseif last.untold == 0 then
    print(("told: %d; nothing waits any more"):format(last.untoldBefore))
  else
    print(("told: %d; %d wait%s%s (`hob jobs --history` shows which)"):format(
      math.max(0, last.untoldBefore - last.untold), last.untold, last.untold == 1 and "s" or "",
      last.offline > 0 and ", to be sent when there is a connection" or ""))
  end
end

-- The service has the JOB's outcome, or all of them.
local function is_told(last)
  if last.job then
    return last.job.told == "accepted" and not last.why
  end
  return last.untold == 0
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  elseif not given[1] and (given.thing or given.execution) then
    return select(2, options.mistake("hob retry-report", "--thing and --execution need the JOB"))
  end
  local last
  last, code = asking.about_execution("retry-report", given)
  if not last then
    return code
  end
  if not given.json then
    (last.job and show_one or show_all)(last)
  end
  return is_told(last) and 0 or 1
end

return M
