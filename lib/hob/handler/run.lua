-- run.lua - `hob handler run`: a handler for a document, without a cloud.
-- Specs: spec/integration/handler_run_spec.lua, spec/integration/rehearse_spec.lua

local answering = require("hob.handler.answers")
local benches = require("hob.handler.bench")
local fs = require("hob.fs")
local options = require("hob.cli.options")
local places = require("hob.handler.place")
local process = require("hob.process")
local screens = require("hob.handler.screen")
local settings = require("hob.handler.settings")

local M = {}

local USAGE = [==[
usage: hob handler run NAME [--document FILE] [--args KEY=VALUE ...]
  Run the handler NAME here, without a cloud: its steps, progress, log lines, and the outcome as it
  would be sent. What it does is done for real on this machine, but for a reboot, a restart of Hob
  and hob.cloud, which are simulated.

  --document FILE   the job document; `-` is standard input; default {"operation":"NAME"}
  --args KEY=VALUE  a member of it, as a string; `a.b=v` is a member of a member; many
  --dry-run         do not run programs, talk HTTP, or change files outside of the job's own
                    directory: say what would be done, in order. Sleeping takes no time
  --answers FILE    what they find in a dry run: a Lua file that returns
                    { exec = { { "systemctl is-active *", code = 3 } }, http = {…}, files = {…} }
  --rehearse        run it again and again, with a power cut after and inside every step
  --reset COMMAND   with --rehearse: a shell command that sets everything back before each run
  --retries         after job:retry_later, run it again at once
  --calls           show each call of the library, too
  --thing T         the thing's name; default: the configuration's, or "bench"
  --keep            keep the store, the job's directory and the programs' output, and say where
  --json            one JSON object in place of the text
  --scripts DIR     the handlers; see hob handler --help
  --config FILE     a gateway's configuration: what handlers may do, and their limits

  Exit code 0: SUCCEEDED (of a rehearsal: nothing to mend); 1: FAILED; 2: it was used wrongly;
  3: REJECTED; 4: job:retry_later put it off.
]==]

local FLAGS = {
  document = { value = "FILE" }, args = { value = "KEY=VALUE", many = true },
  answers = { value = "FILE" }, reset = { value = "COMMAND" }, thing = { value = "T" },
  ["dry-run"] = {}, rehearse = {}, retries = {}, calls = {}, keep = {}, json = {},
  scripts = places.FLAGS.scripts, config = places.FLAGS.config,
}

local EXIT = { SUCCEEDED = 0, FAILED = 1, REJECTED = 3, RETRY_LATER = 4 }

local function mistake(...)
  return options.mistake("hob handler run", ...)
end

---------------------------------------------------------------- what was asked for

---@return table|nil request
---@return integer|nil code
local function read(argv)
  local given, code = options.parse(argv, { command = "hob handler run", usage = USAGE,
    flags = FLAGS, words = 1 })
  if not given then
    return nil, code
  elseif not given[1] then
    return mistake("expected the name of a handler")
  elseif given.answers and not given.dry_run then
    return mistake("--answers is for --dry-run")
  elseif given.reset and not given.rehearse then
    return mistake("--reset is for --rehearse")
  end
  local place, message = places.find(given)
  local request = { name = given[1], given = given }
  if place then
    request.config = place.config
    request.options, message = settings.options(place, given.thing, given.config)
  end
  if request.options then
    request.document, message = settings.document(request.name, given.document, given.args)
  end
  if request.document and given.answers then
    request.answers, message = settings.answers(given.answers)
  end
  if message then
    return mistake("%s", message)
  end
  return request
end

---------------------------------------------------------------- running

--- What the calls of one run get in place of the world, and what a sleep does.
---@return table|nil answers  nil: the world
local function new_answers(request)
  if request.given.dry_run then
    return answering.new(request.answers or {}, "dry")
  end
end

--- Options of a run on the bench that the command line means; shared with the rehearsal.
function M.run_options(request, bench)
  local answers = new_answers(request)
  return {
    retries = request.given.retries,
    quick = request.given.dry_run,
    answer = function(call)
      if answers then
        answers.files:set_work(bench.work)
        return answers:answer(call)
      end
      return answering.of_bench(call)
    end,
    on_sleep = answers and function(seconds)
      answers:sleep(seconds)
    end,
  }
end

local function watch_signal(request, bench)
  return process.on_signal("INT", function()
    request.interrupted = true
    bench:cancel("by Ctrl-C")
  end)
end

--- NAME is run, whatever the document says; on a device the document decides.
---@return string|nil warning
function M.other_handler(request, bench)
  local given, config = request.given, request.config or {}
  if not given.document or config.routes or config.job_types then
    return nil
  end
  local name, message = bench:choose(request.document)
  if name ~= request.name then
    return ("on a device this document is not for %s: %s"):format(request.name,
      name and "it is for " .. name or message)
  end
end

local function run_once(request, bench, keep)
  local given = request.given
  local run_options = M.run_options(request, bench)
  if not given.json then
    local screen = screens.new({ dry = given.dry_run, calls = given.calls,
      retries = given.retries })
    run_options.hear = function(kind, event)
      screen:hear(kind, event)
    end
  end
  run_options.keep = keep
  local record, message = bench:run(request.name, request.document, run_options)
  if not record then
    return mistake("%s", message)
  end
  screens[given.json and "json" or "outcome"](record)
  local other = not given.json and M.other_handler(request, bench)
  if other then
    io.stdout:write("warning: ", other, "\n")
  end
  if keep and not given.json then
    io.stdout:write("kept: ", keep, "\n")
  end
  return EXIT[record.status] or 1
end

---@param argv string[]
---@return integer code
function M.run(argv)
  local request, code = read(argv)
  if not request then
    return code
  end
  local keep, message, bench
  if request.given.keep then
    keep, message = fs.tempdir()
  end
  if not message then
    bench, message = benches.open(request.options, keep)
  end
  if not bench then
    return select(2, mistake("%s", message))
  end
  local watch = watch_signal(request, bench)
  if request.given.rehearse then
    code = require("hob.handler.rehearse").run(request, bench)
  else
    local failed
    code, failed = run_once(request, bench, keep)
    code = code or failed
  end
  watch:close()
  bench:close()
  return code
end

return M
