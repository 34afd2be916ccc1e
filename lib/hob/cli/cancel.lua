--- `hob cancel`: end a job of a running gateway, here.
local asking = require("hob.cli.asking")
local options = require("hob.cli.options")

local M = {}

local USAGE = [==[
usage: hob cancel JOB [--thing T] [--execution N] [--json]
                  [--data DIR | --config FILE | --socket PATH]

Ends a job here, without waiting for the cloud: its programs are ended, its `cleanup` is done, and
the service is told FAILED, with who did it as the reason. A job that was not begun is REJECTED.
What is in a critical section ends after that. This is for a person at the gateway; whoever has
access to the cloud cancels the job there.

  --thing T      which thing's, if several have a job of that name in hand
  --execution N  which execution of it, likewise
  --json         print JSON, for programs
]==] .. asking.USAGE .. [==[

Exit status: 0 if it is being ended, or was not begun and will not be; 1 if not: no such job is in
hand, it was ending already, no gateway runs there; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob cancel", usage = USAGE, words = 1,
  flags = asking.execution_flags(),
}

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  elseif not given[1] then
    return select(2, options.mistake("hob cancel", "expected the JOB; `hob jobs` shows them"))
  end
  local last
  last, code = asking.about_execution("cancel", given)
  if not last then
    return code
  end
  if not given.json then
    print(("%s %s, execution %d (%s): %s"):format(last.thing, last.jobId, last.executionNumber,
      last.state, last.what))
  end
  return last.cancelled and 0 or 1
end

return M
