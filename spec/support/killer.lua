-- killer.lua - kills a gateway at a chosen moment of a job, starts it again, and judges what became
-- of the job: by the lines that its steps appended outside Hob, by the store's file as the kill
-- left it, and by both sides' states at the end.
--
--     local killer = require("spec.support.killer")
--     local case = killer.prepare(world, "gw-7", { job = killer.JOBS.five, power = true })
--     case:run("commit before 3")       -- until both sides know the end
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

-- Each step does its work outside Hob, durably, and nothing else. Stands before each script.
M.MARK = [[
  local exec = require("hob.exec")
  local function mark(args, name)
    exec.check({ "sh", "-c", 'printf "%s\n" "$1" >> "$2" && sync "$2"', "mark", name, args.marks })
  end
]]

---@class killer.job
---@field status string    as which it ends
---@field steps string[]   the lines that it appends, in order
---@field once? string     the one of them that must not run twice
---@field reboots? boolean it asks for a reboot, once
---@field script string
---@field document? string  more members of it

---@type table<string, killer.job>
M.JOBS = {
  five = {
    status = "SUCCEEDED", steps = { "one", "two", "three", "four", "five" }, once = "three",
    script = [[
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
    ]],
  },
  -- Its third step fails for good, the handler takes the other branch, and that fails, too.
  fails = {
    status = "FAILED", steps = { "one", "two", "back", "cleanup" },
    script = [[
      return { api = 1, args = { marks = "string" }, run = function(job, args)
        job:step("one", function() mark(args, "one") end)
        local ok = pcall(job.step, job, "two", function()
          mark(args, "two")
          error("no good", 0)
        end)
        if not ok then
          job:step("back", function() mark(args, "back") end)
          return nil, "rolled back"
        end
        job:step("forward", function() mark(args, "forward") end)
      end, cleanup = function(job, args) mark(args, "cleanup") end }
    ]],
  },
  refused = {
    status = "REJECTED", steps = {}, document = ',"count":"many"',
    script = [[
      return { api = 1, args = { marks = "string", count = "integer" }, run = function(job, args)
        job:step("one", function() mark(args, "one") end)
      end }
    ]],
  },
  reboots = {
    status = "SUCCEEDED", steps = { "install", "confirm" }, reboots = true,
    script = [[
      return { api = 1, args = { marks = "string" },
        already_done = function(job, args) return false end,
        run = function(job, args)
          job:step("install", function() mark(args, "install") end)
          job:reboot("into the new slot")
          job:step("confirm", function() mark(args, "confirm") end)
        end }
    ]],
  },
}

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
---@field job? killer.job   default: five
---@field power? boolean    as a power cut: unsynced bytes are lost, the next boot is another one
---@field certain? boolean  the kill cannot come too late
---@field process? integer  of a job that reboots: kill the first one (default) or the second

-- What reboots: the boot id changes, and then the power goes, which is up to us.
local REBOOT = 'echo "asked for $$" > "$0" && echo asked >> "$0.asked"'

---@param world table
---@param thing string  a fresh one
---@param options killer.options
function M.prepare(world, thing, options)
  local self = setmetatable({ world = world, thing = thing, options = options, runs = {},
    kind = options.job or M.JOBS.five, marks = world:path("marks"), boot = world:path("boot-id"),
    rebooted = 0, boots = 1 }, case)
  assert(fs.write(self.boot, "boot 1\n"))
  self.gateway = world:gateway({ launch = false, thing = thing, config = {
    boot_id_file = self.boot, request_timeout = 2, reboot_wait = 10,
    reboot_command = { "sh", "-c", REBOOT, self.boot },
  }, scripts = { ["marks.lua"] = M.MARK .. self.kind.script } })
  self.spy = shim.on(self.gateway)
  self.job = "job-" .. thing
  world:create(self.job, ('{"operation":"marks","marks":"%s"%s}'):format(self.marks,
    self.kind.document or ""), thing)
  return self
end

-- The machine goes down now, because the job has asked for it.
local function goes_down(self)
  local _, asked = (fs.read(self.boot .. ".asked") or ""):gsub("\n", "")
  if asked == self.rebooted then
    return false
  end
  self.rebooted = asked
  self.gateway:kill()
  return true
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
    for _, name in ipairs(row.state >= 2 and self.kind.steps or {}) do
      stored[name] = true
    end
  end
  for _, row in ipairs(sides.query(self.gateway, "SELECT name FROM step")) do
    stored[row.name] = true
  end
  return stored, told
end

-- Go through the reboot without a kill, so that the next process can be killed.
local function pass_reboot(self)
  self.gateway:launch()
  wait_until(function() return goes_down(self) end, PATIENCE, "the reboot")
end

---Launch it, and wait until the shim has ended it, or the job has ended before. What it came to is
---remembered in `runs`.
---@param kill string  "": nobody does
function case:kill(kill)
  if #self.runs == 0 and self.options.process == 2 then
    pass_reboot(self)
  end
  self.spy:arm({ kill = kill, power = self.options.power })
  local reported = self.gateway:count("job.reported")
  self.gateway:launch()
  local reboots = false
  wait_until(function()
    reboots = goes_down(self)
    return reboots or self.gateway:wait_end(0)
      or not self.options.certain and self.gateway:count("job.reported") > reported
  end, PATIENCE, function()
    return ("the kill at %s; the gateway's lines:\n%s"):format(kill,
      table.concat(self.gateway.lines, "\n"))
  end)
  local in_time = not reboots and self.gateway.process == nil
  self.gateway:kill() -- came too late: then here
  wait_children(self)
  goes_down(self) -- what it had asked for just before the kill
  local stored, told = journal_of(self)
  self.runs[#self.runs + 1] = { lines = lines_of(self), stored = stored, in_time = in_time,
    kill = kill }
  self.told = told
  if self.options.power then
    self.boots = self.boots + 1
    assert(fs.write(self.boot, ("boot %d\n"):format(self.boots)))
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
  wait_until(function()
    if goes_down(self) then
      self.reported = self.gateway:count("job.reported")
      self.gateway:launch()
    end
    local theirs = self.world:describe(self.job, self.thing)
    return theirs.status ~= "QUEUED" and theirs.status ~= "IN_PROGRESS"
  end, PATIENCE, function()
    return ("the end (%s); the gateway's lines:\n%s"):format(self:words(),
      table.concat(self.gateway.lines, "\n"))
  end)
  self.theirs = self.world:ended(self.job, self.thing)
  if not self.told then
    self.gateway:wait_event("job.reported", { job = self.job }, self.reported + 1)
  end
  self.exit_code = self.gateway:stop()
  self.runs[#self.runs + 1] = { lines = lines_of(self), stored = {} }
  self.ours = sides.query(self.gateway, "SELECT state, status, told FROM execution")
end

---All of it, with these kills, each in a process of its own.
---@param ... string
function case:run(...)
  for i, kill in ipairs({ ... }) do
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
  local is_once = name == self.kind.once
  if is_once and before > 1 then
    say("the once step ran %d times", before)
  elseif before == 0 and (not is_once or self.theirs.details.three ~= "interrupted") then
    say("step %s did not run", name)
  end
end

function case:judge_order(say)
  local last = 0
  for i, line in ipairs(self.runs[#self.runs].lines) do
    local rank = 0
    for j, name in ipairs(self.kind.steps) do
      rank = name == line and j or rank
    end
    if rank == 0 then
      say("'%s' should never have run", line)
    elseif rank < last then
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
  if self.theirs.status ~= self.kind.status then
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
  if self.kind.reboots and self.rebooted > 2 then
    say("it was rebooted %d times", self.rebooted)
  end
  if self.exit_code ~= 0 then
    say("the gateway ended with %d", self.exit_code)
  end
  for _, name in ipairs(self.kind.steps) do
    self:judge_step(name, say)
  end
  self:judge_order(say)
  return list
end

return M
