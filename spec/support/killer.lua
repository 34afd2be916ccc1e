-- killer.lua - kills a gateway at a chosen moment of a five-step job, starts it again, and judges
-- what became of the job: by the lines that its steps appended outside Hob, by the store's file as
-- the kill left it, and by both sides' states at the end.
--
--     local killer = require("spec.support.killer")
--     local case = killer.prepare(world, "gw-7", { kill = "commit before 3", power = true })
--     case:run()                        -- until both sides know the end
--     assert.same({}, case:problems())  -- what was broken, in words
--

local exec = require("hob.exec")
local fs = require("hob.fs")
local futures = require("hob.future")
local json = require("hob.json")
local shim = require("spec.support.shim")
local sides = require("spec.support.both_sides")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local M = {}

local PATIENCE = require("spec.support.world").PATIENCE

-- Each step does its work outside Hob, durably, and nothing else.
M.SCRIPT = [[
  local exec = require("hob.exec")
  local function mark(args, name)
    exec.check({ "sh", "-c", 'printf "%s\n" "$1" >> "$2" && sync "$2"', "mark", name, args.marks })
  end
  return { api = 1, args = { marks = "string" }, run = function(job, args)
    job:step("one", function() mark(args, "one") end)
    job:step("two", function() mark(args, "two") end)
    local ok, err = pcall(job.step, job, "three", { once = true }, function()
      mark(args, "three")
    end)
    if not ok and (type(err) ~= "table" or err.code ~= "INTERRUPTED") then
      error(err)
    end
    job:step("four", function() mark(args, "four") end)
    job:step("five", function() mark(args, "five") end)
    return { three = ok and "done" or "interrupted" }
  end }
]]
M.STEPS = { "one", "two", "three", "four", "five" }
M.ONCE = "three"

---------------------------------------------------------------- what the kill left

local function lines_of(case)
  local lines = {}
  for line in (fs.read(case.marks) or ""):gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

local function count_in(list, wanted)
  local count = 0
  for _, entry in ipairs(list) do
    count = count + (entry == wanted and 1 or 0)
  end
  return count
end

-- A child outlives the SIGKILL: what it still appends belongs to the run that was killed.
local function wait_children(case)
  wait_until(function()
    return exec.run({ "pgrep", "-f", "--", case.marks }).code ~= 0
  end, PATIENCE, "the end of the killed gateway's programs")
end

---------------------------------------------------------------- a case

local case = {}
case.__index = case

---@class killer.options
---@field kill? string      see spec.support.shim; nil: is not killed
---@field power? boolean    as a power cut: unsynced bytes are lost, the next boot is another one
---@field certain? boolean  the kill cannot come too late
---@field script? string
---@field config? table

---@param world table
---@param thing string  a fresh one
---@param options killer.options
function M.prepare(world, thing, options)
  local self = setmetatable({ world = world, thing = thing, options = options, runs = {},
    marks = world:path("marks"), boot = world:path("boot-id") }, case)
  assert(fs.write(self.boot, "boot-1\n"))
  local config = { boot_id_file = self.boot, request_timeout = 2 }
  for key, value in pairs(options.config or {}) do
    config[key] = value
  end
  self.gateway = world:gateway({ launch = false, thing = thing, config = config,
    scripts = { ["five.lua"] = options.script or M.SCRIPT } })
  self.spy = shim.on(self.gateway)
  self.job = "job-" .. thing
  world:create(self.job, ('{"operation":"five","marks":"%s"}'):format(self.marks), thing)
  return self
end

-- What the journal holds: finished steps (all, once the job has ended: they may be dropped then),
-- and whether the outcome was told.
local function journal_of(self)
  local stored, told = {}, false
  if not sides.has_store(self.gateway) then
    return stored, told
  end
  for _, row in ipairs(sides.query(self.gateway, "SELECT state FROM execution")) do
    told = row.state == 3
    for _, name in ipairs(row.state >= 2 and M.STEPS or {}) do
      stored[name] = true
    end
  end
  for _, row in ipairs(sides.query(self.gateway, "SELECT name FROM step")) do
    stored[row.name] = true
  end
  return stored, told
end

---Launch it, and wait until the shim has ended it, or the job has ended before. What it came to is
---remembered in `runs`.
---@param kill string  "": nobody does
function case:kill(kill)
  self.spy:arm({ kill = kill, power = self.options.power })
  local reported = self.gateway:count("job.reported")
  self.gateway:launch()
  wait_until(function()
    return self.gateway:wait_end(0)
      or not self.options.certain and self.gateway:count("job.reported") > reported
  end, PATIENCE, function()
    return ("the kill at %s; the gateway's lines:\n%s"):format(kill,
      table.concat(self.gateway.lines, "\n"))
  end)
  local in_time = self.gateway.process == nil
  self.gateway:kill() -- came too late: then here
  wait_children(self)
  local stored, told = journal_of(self)
  self.runs[#self.runs + 1] = { lines = lines_of(self), stored = stored, in_time = in_time,
    kill = kill }
  self.told = told
  if self.options.power then
    assert(fs.write(self.boot, ("boot-%d\n"):format(#self.runs + 1)))
  end
end

---Start it again.
function case:resume()
  self.spy:disarm()
  self.reported = self.gateway:count("job.reported")
  self.gateway:launch()
end

---Wait until both sides have the end, and read both.
function case:settle()
  self.theirs = self.world:ended(self.job, self.thing)
  if not self.told then
    self.gateway:wait_event("job.reported", { job = self.job }, self.reported + 1)
  end
  self.exit_code = self.gateway:stop()
  self.runs[#self.runs + 1] = { lines = lines_of(self), stored = {} }
  self.ours = sides.query(self.gateway, "SELECT state, status, told FROM execution")
end

---All of it, with the kills that are given (default: the one that it was prepared with).
---@param ... string
function case:run(...)
  local kills = select("#", ...) > 0 and { ... } or { self.options.kill or "" }
  for i, kill in ipairs(kills) do
    if i == 1 or self.runs[i - 1].in_time then
      self:kill(kill)
    end
  end
  self:resume()
  self:settle()
  return self
end

local AT_ONCE = 4

---Run many, some of them at the same time.
---@param count integer
---@param run fun(i: integer)
function M.each(count, run)
  local next_one, problem, workers = 1, nil, {}
  local function work()
    while next_one <= count and not problem do
      local i = next_one
      next_one = i + 1
      run(i)
    end
  end
  for i = 1, AT_ONCE do
    local worker = futures.new()
    workers[i] = worker
    time.after(0, function()
      local ok, why = pcall(work)
      problem = problem or not ok and why or nil
      worker:resolve(true)
    end)
  end
  for _, worker in ipairs(workers) do
    worker:result()
  end
  if problem then
    error(problem, 0)
  end
end

-- In each process a step runs at most once, and never again once the journal has it: its line
-- stands twice only where a kill fell between the line and the commit.
function case:judge_step(name, say)
  local before, stored = 0, {}
  for i, run in ipairs(self.runs) do
    local lines = count_in(run.lines, name) - before
    if lines > 1 then
      say("step %s ran %d times in process %d", name, lines, i)
    elseif lines > 0 and stored[name] then
      say("step %s was finished and ran again in process %d", name, i)
    end
    before, stored = before + lines, run.stored
  end
  if name == M.ONCE and before > 1 then
    say("the once step ran %d times", before)
  elseif before == 0 and (name ~= M.ONCE or self.theirs.details.three ~= "interrupted") then
    say("step %s did not run", name)
  end
end

function case:judge_order(say)
  local last = 0
  for i, line in ipairs(self.runs[#self.runs].lines) do
    local rank = 0
    for j, name in ipairs(M.STEPS) do
      rank = name == line and j or rank
    end
    if rank < last then
      say("line %d, '%s', came after a later step", i, line)
    end
    last = rank
  end
end

---What was done to it: "commit before 3, then call - 17, as power cuts".
function case:words()
  local kills = {}
  for _, run in ipairs(self.runs) do
    kills[#kills + 1] = run.kill ~= "" and run.kill or nil
  end
  return (#kills > 0 and table.concat(kills, ", then ") or "no kill")
    .. (self.options.power and ", as power cuts" or "")
end

---What is not as it must be.
---@return string[]
function case:problems()
  local list = {}
  local function say(...)
    list[#list + 1] = ("%s (%s): "):format(self:words(), self.thing) .. string.format(...)
  end
  if self.theirs.status ~= "SUCCEEDED" then
    say("the service has %s: %s", self.theirs.status, json.encode(self.theirs.details))
  end
  local row = self.ours[1] or {}
  if #self.ours ~= 1 or row.status ~= self.theirs.status or row.state ~= 3 then
    say("the store has %s", json.encode(self.ours))
  end
  local updates = self.world:terminal_updates(self.job)
  if updates ~= 1 then
    say("the service accepted %d terminal updates", updates)
  end
  if self.exit_code ~= 0 then
    say("the gateway ended with %d", self.exit_code)
  end
  for _, name in ipairs(M.STEPS) do
    self:judge_step(name, say)
  end
  self:judge_order(say)
  return list
end

return M
