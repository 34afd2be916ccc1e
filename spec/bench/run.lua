-- run.lua - `./dev bench [NAME...]`: what Hob takes beside others that do the same, as ratios of
-- one run. It prints a table and writes JSON.
--
--     build/release/hob lua spec/bench/run.lua [--quick] [--rounds N] [--json FILE] [NAME...]
--
-- A bench is a module of spec/bench/rows: { name, what, run = function(bench) }, with `limit` if it
-- may take more seconds than runner.lua says. Exit status 1: a goal was not reached (with --quick:
-- by a factor of two), or a bench could not be run. docs/explanation/performance.md says how to
-- read the table.

local root = (arg[0]:match("^(.*)/spec/[^/]*/[^/]*$") or ".")
package.path = ("%s/?.lua;%s/lib/?.lua;%s/lib/?/init.lua;"):format(root, root, root) .. package.path

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local options = require("hob.cli.options")
local plot = require("spec.bench.plot")
local process = require("hob.process")
local report = require("spec.bench.report")
local runner = require("spec.bench.runner")
local time = require("hob.time")

-- What a run has started ends with it, also when it is broken off.
for _, signal in ipairs({ "INT", "TERM", "HUP" }) do
  process.on_signal(signal, function() process.exit(130) end)
end

local NAMES = { "ops", "jobs", "exec", "messages", "bytes", "flash", "idle", "start", "reconnect",
  "vm", "busy", "reload", "things", "service", "outbox", "growth" }
local ROUNDS = 5

local USAGE = ([[
usage: ./dev bench [flags] [NAME...]

  --quick        fewer rounds and smaller ones; fails only beyond a factor of two
  --rounds N     (5; with --quick 3)
  --seconds N    after so many begin no other bench: those that are left are named, not judged
  --json FILE    the figures for programs (default build/bench/figures.json)
  --plots DIR    draw the scaling curves as DIR/NAME.svg, by gnuplot

NAME is one of: %s
]]):format(table.concat(NAMES, " "))

local function say(line)
  io.stderr:write(line, "\n")
end

local function save(path, given, result)
  assert(fs.mkdir(path:match("^(.*)/[^/]*$") or "."))
  assert(fs.write(path, json.encode({
    at = time.text(time.now()), quick = given.quick or false, rounds = given.rounds,
    processors = math.tointeger(tonumber((exec.check({ "nproc" }).stdout:gsub("%s", "")))),
    figures = result.figures, curves = result.curves, broken = result.broken,
    skipped = result.skipped,
  }) .. "\n"))
end

local function draw(curves, dir)
  assert(fs.mkdir(dir))
  for _, curve in ipairs(curves) do
    say("drawn: " .. plot.draw(curve, dir))
  end
end

local function known(names)
  local all = " " .. table.concat(NAMES, " ") .. " "
  for _, name in ipairs(names) do
    if not all:find(" " .. name .. " ", 1, true) then
      return options.mistake("./dev bench", "no bench '%s'; there are: %s", name,
        table.concat(NAMES, " "))
    end
  end
  return true
end

local function main()
  local given, code = options.parse(arg, { command = "./dev bench", usage = USAGE, flags = {
    quick = {}, rounds = { value = "N", low = 1, high = 100 }, json = { value = "FILE" },
    seconds = { value = "N", low = 1, high = 86400 }, plots = { value = "DIR" },
  }, words = #NAMES })
  if not given then
    return code
  end
  local ok, misuse = known(given)
  if not ok then
    return misuse
  end
  given.rounds = given.rounds or given.quick and 3 or ROUNDS
  local result = runner.run(#given > 0 and given or NAMES, {
    quick = given.quick, rounds = given.rounds, seconds = given.seconds, say = say,
    load = function(name) return require("spec.bench.rows." .. name) end,
  })
  report.print(result.figures, given.quick)
  report.print_rest(result)
  save(given.json or root .. "/build/bench/figures.json", given, result)
  if given.plots then
    draw(result.curves, given.plots)
  end
  return runner.status(result, given.quick)
end

os.exit(main())
