--- `hob drain`: have a running gateway begin no new job, while a person works on it.
local asking = require("hob.cli.asking")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local words = require("hob.cli.words")

local M = {}

local USAGE = [==[
usage: hob drain [on|off|status] [--reason TEXT] [--json]
                 [--data DIR | --config FILE | --socket PATH]

on (what is done without a word): the gateway begins no new job from now on. Jobs that have begun go
on to their end, also those that wait for their time or for a reboot; what the service announces
stays QUEUED there. It is remembered when Hob starts again, and shown by `hob status`, `hob jobs`
and `hob doctor`.
off: it takes jobs again. status: says how it is, and changes nothing.

  --reason TEXT  why, for others who look: one line of at most 200 bytes; with `on`
  --json         print JSON, for programs
]==] .. asking.USAGE .. [==[

Exit status: 0; 1 if it did not work, such as no gateway runs there; 2 for misuse.
]==]

M.SYNTAX = {
  command = "hob drain", usage = USAGE, words = 1,
  flags = asking.flags({ json = {}, reason = { value = "TEXT" } }),
}

local WANTED = { on = true, off = false }

local function plural(count, one, many)
  return ("%d %s"):format(count, count == 1 and one or many)
end

local function show(last)
  if last.drain then
    print(("draining since %s, by %s%s"):format(words.clock(last.drain.since), last.drain.who,
      last.drain.reason and ": " .. last.drain.reason or ""))
  else
    print("not draining: jobs are taken")
  end
  if last.draining then
    print(("%s begun and %s on to the end; %s for `hob drain off`"):format(
      plural(last.begun, "job has", "jobs have"), last.begun == 1 and "goes" or "go",
      plural(last.waiting, "waits", "wait")))
  end
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code
  end
  local word = given[1] or "on"
  if word ~= "status" and WANTED[word] == nil then
    return select(2, options.mistake("hob drain", "expected on, off or status, got '%s'", word))
  elseif given.reason and word ~= "on" then
    return select(2, options.mistake("hob drain", "--reason goes with `on`"))
  end
  local last
  last, code = asking.ask("hob drain", given,
    { command = "drain", on = WANTED[word], reason = given.reason })
  if not last then
    return code
  end
  if given.json then
    print(json_text.encode({ draining = last.draining, drain = last.drain, begun = last.begun,
      waiting = last.waiting }))
  else
    show(last)
  end
  return 0
end

return M
