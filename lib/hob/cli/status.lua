--- `hob status`: how the gateway of this machine does.
local check = require("hob.cli.status_check")
local gateways = require("hob.cli.gateway")
local json_text = require("hob.service.json_text")
local options = require("hob.cli.options")
local scripts = require("hob.cli.scripts")
local words = require("hob.cli.words")

local M = {}

local USAGE = [==[
usage: hob status [--thing NAME] [--json] [--data DIR | --config FILE | --socket PATH]
       hob status --check [--offline W,C] [--outbox-age W,C] [--certificate-days W,C]
                  [--free-mb W,C] [--data DIR | --config FILE | --socket PATH]

How the running gateway does: since when, whether its things reach the service, what it has done,
its memory, store and disk, and its handlers with the version in use. (`hob jobs` shows its jobs.)
Of many things those are named that have trouble; `hob thing list` has them all.

  --thing NAME   only this thing: its connection, its jobs, its certificates
  --json         print JSON, for programs: digests in full, libraries, certificates
  --data DIR     the gateway's data directory (default /var/lib/hob)
  --config FILE  or its configuration, which names that
  --socket PATH  or its control socket

  --check                 one line and an exit status for a monitoring system; the thresholds are
                          WARNING,CRITICAL:
  --offline 300,3600      seconds without a connection
  --outbox-age 900,14400  seconds that the oldest outcome waits to be told
  --certificate-days 30,7 days until a certificate ends
  --free-mb 64,16         MB on the file system of the data directory
                          A store that cannot be written, or no answer, is CRITICAL; a drain, a job
                          held by a debugger, a broken handler, a clock nobody has set: WARNING.

Exit status: 0; 1 if no gateway runs there; 2 for misuse. With --check: 0 OK, 1 WARNING,
2 CRITICAL, 3 misuse, or the gateway may not be asked.
]==]

M.SYNTAX = {
  command = "hob status", usage = USAGE,
  flags = {
    json = {}, thing = { value = "T" }, check = {}, offline = { value = "W,C" },
    ["outbox-age"] = { value = "W,C" },
    ["certificate-days"] = { value = "W,C" }, ["free-mb"] = { value = "W,C" },
    data = gateways.FLAGS.data, socket = gateways.FLAGS.socket, config = gateways.FLAGS.config,
  },
}

local MB = 1024 * 1024
local DAY = 86400
local CHECK_SECONDS = 8 -- monitoring systems wait ten for a plugin
local DAYS_SAID = 30 -- a certificate that is good for longer is not spoken of

local WATCH = {
  events = "changes are loaded by themselves",
  polling = "changes are looked for every few seconds: they cannot be watched",
  off = "changes are loaded by `hob reload`",
}

---------------------------------------------------------------- for people

local function plural(count, one, many)
  return ("%d %s"):format(count, count == 1 and one or many)
end

local function size(bytes)
  if bytes < 10 * 1024 then
    return ("%d bytes"):format(bytes)
  elseif bytes < 10 * MB then
    return ("%d KB"):format(bytes // 1024)
  elseif bytes < 10 * 1024 * MB then
    return ("%d MB"):format(bytes // MB)
  end
  return ("%d GB"):format(bytes // (1024 * MB))
end

local function show_certificate(thing, one)
  local who = one.which == "ca" and "the CA file" or "its certificate"
  if one.error then
    print(("%s: %s %s: %s"):format(thing.thing, who, one.path, one.error))
  elseif one.leftSeconds < 0 then
    print(("%s: %s %s ended %s"):format(thing.thing, who, one.path, words.clock(one.endsAt)))
  elseif one.leftSeconds < DAYS_SAID * DAY then
    print(("%s: %s %s ends in %d days, %s"):format(thing.thing, who, one.path,
      one.leftSeconds // DAY, words.clock(one.endsAt)))
  end
end

local function show_thing(thing)
  local place = thing.via and " via " .. thing.via
    or thing.online and thing.endpoint and (" to %s:%d"):format(thing.endpoint, thing.port) or ""
  print(("%s: %s%s for %s%s"):format(thing.thing, thing.online and "connected" or "not connected",
    place, words.span(thing.forSeconds), thing.why and ": " .. thing.why or ""))
  if thing.untold > 0 then
    print(("%s: %d outcome%s the service does not have yet%s"):format(thing.thing, thing.untold,
      thing.untold == 1 and " that" or "s that",
      thing.oldestSeconds and "; the oldest waits for " .. words.span(thing.oldestSeconds) or ""))
  end
  for _, one in ipairs(thing.certificates or {}) do
    show_certificate(thing, one)
  end
end

-- Of many only those with trouble came.
local function show_things(found)
  local sum = check.sum(found)
  if sum.shown < sum.count then
    print(("%d things: %d connected, %d not; %s that the service does not have yet"):format(
      sum.count, sum.online, sum.count - sum.online, plural(sum.untold, "outcome", "outcomes")))
  elseif sum.count == 0 then
    print("no things: `hob thing add` adds one")
  end
  for _, thing in ipairs(found.things) do
    show_thing(thing)
  end
  if sum.shown < sum.count and sum.trouble > sum.shown then
    print(("and %d more with trouble: `hob thing list --trouble`"):format(sum.trouble - sum.shown))
  end
end

local function show_one(thing)
  print(("client id %s, connected %s so far"):format(thing.clientId,
    plural(thing.connections or 0, "time", "times")))
  if thing.answeredSeconds then
    print(("the service answered %s ago"):format(words.span(thing.answeredSeconds)))
  end
  print(("%s in hand: `hob jobs` shows them"):format(plural(thing.jobs, "job", "jobs")))
end

local function show_work(found)
  local pending = found.pending > 0
    and (", %d not begun (`hob jobs` says why)"):format(found.pending) or ""
  print(("%s in hand%s"):format(plural(found.jobs, "job", "jobs"), pending))
  if found.held and found.held > 0 then
    print(("%s held by a debugger"):format(plural(found.held, "job is", "jobs are")))
  end
  if found.draining then
    print(("draining: no new jobs are taken, since %s, by %s%s"):format(
      words.clock(found.drain.since), found.drain.who,
      found.drain.reason and ": " .. found.drain.reason or ""))
  end
  if found.succeeded + found.failed > 0 then
    print(("since the start %s SUCCEEDED, %d ended otherwise"):format(
      plural(found.succeeded, "job", "jobs"), found.failed))
  end
end

local function show_machine(found)
  print(("memory %s, processor %.1f s, %d of %d file descriptors"):format(size(found.memoryBytes),
    found.cpuSeconds, found.descriptors, found.mostDescriptors))
  print(("store %s, output of jobs %s, %s free"):format(
    size(found.store.bytes + found.store.walBytes), size(found.outputBytes),
    size(found.freeBytes)))
  if found.store.damaged then
    print("store: damaged; Hob begins a new one when it starts again")
  elseif found.store.failing then
    print(("store: the latest change could not be written (%s); it is tried again"):format(
      found.store.failing))
  end
  if not found.clockSet then
    print(("clock: it says %s; nobody has set it"):format(words.clock(found.now)))
  end
end

local function show(found)
  print(("hob %s, process %d, up for %s, since %s"):format(found.version, found.pid,
    words.span(found.uptimeSeconds), words.clock(found.startedAt)))
  print("data in " .. found.data)
  show_things(found)
  show_work(found)
  show_machine(found)
  local places = found.scripts:gsub("\n", ", ")
  print(("handlers in %s; %s"):format(places, WATCH[found.watch] or found.watch))
  scripts.print_handlers(found)
  scripts.print_broken(io.stdout, found)
end

local function show_json(found)
  found["end"] = nil
  scripts.mark_lists(found)
  for _, thing in ipairs(found.things) do
    thing.certificates = json_text.list(thing.certificates or {})
  end
  found.things = json_text.list(found.things)
  print(json_text.encode(found))
end

---------------------------------------------------------------- for a monitoring system

local function misused(message)
  print(check.line(check.UNKNOWN, message))
  return check.UNKNOWN
end

local function run_check(given)
  local limits, message = check.limits(given)
  local place
  if limits then
    place, message = gateways.find(given)
  end
  if not place then
    return misused(message)
  end
  local found, why, code = scripts.look("status", place, CHECK_SECONDS)
  if not found then
    local level = code == "EACCES" and check.UNKNOWN or check.CRITICAL
    print(check.line(level, why))
    return level
  end
  local line, level = check.judge(found, limits)
  print(line)
  return level
end

---------------------------------------------------------------- the command

local function wants_check(argv)
  for _, word in ipairs(argv) do
    if word == "--check" then
      return true
    end
  end
  return false
end

local function needs_check(given)
  for name in pairs(check.DEFAULTS) do
    if given[name:gsub("-", "_")] and not given.check then
      return name
    end
  end
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local given, code = options.parse(argv, M.SYNTAX)
  if not given then
    return code ~= 0 and wants_check(argv) and misused("used wrongly; see `hob status --help`")
      or code
  end
  local lonely = needs_check(given)
  if lonely then
    return select(2, options.mistake("hob status", "--%s goes with --check", lonely))
  elseif given.check and given.json then
    return misused("--check and --json are two different things")
  elseif given.check and given.thing then
    return misused("--check is about the whole gateway: not with --thing")
  elseif given.check then
    return run_check(given)
  end
  local found
  found, code = scripts.ask("status", given, { thing = given.thing })
  if not found then
    return code
  end
  if given.json then
    show_json(found)
  elseif given.thing then
    show_thing(found.things[1])
    show_one(found.things[1])
  else
    show(found)
  end
  return 0
end

return M
