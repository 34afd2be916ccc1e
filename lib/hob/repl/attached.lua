--- The job that a REPL session is attached to: where it stands, its values, its breakpoints, what
--- happens to it. Over hob.debug; what a person types is in lib/hob/repl/commands/.
local futures = require("hob.future")
local texts = require("hob.repl.text")

local M = {}

local PAGE = 100
local TRIES = 5   -- to read something of a job that goes on meanwhile
local CONTEXT = 3 -- lines of source before and behind the current one

---@class hob.repl.attached
---@field job table|nil      { thread, jobId, thing, executionNumber, handler }
---@field held boolean       it stands, and its values can be looked at for as long as one likes
---@field level integer      which frame is looked at; 1 is the innermost
---@field writes boolean     assignments are allowed
---@field breaks table[]     { number, file, line, condition } or { number, step, condition }
local attached = {}
attached.__index = attached

---@param session hob.repl.session
function M.new(session)
  return setmetatable({ session = session, breaks = {}, level = 1, last_number = 0 }, attached)
end

---------------------------------------------------------------- the debugger's session

local on_event

--- @return table|nil debug_session, string|nil message, string|nil code
function attached:debugger()
  if not self.debug then
    local debug, why, code = require("hob.debug").open({
      who = self.session.who,
      on_event = function(event)
        on_event(self, event)
      end,
    })
    if not debug then
      return nil, why, code
    end
    self.debug = debug
  end
  return self.debug
end

function attached:close()
  if self.debug then
    self.debug:close()
    self.debug, self.job = nil, nil
  end
end

function attached:is_attached()
  return self.job ~= nil
end

function attached:about()
  local job = self.job
  return job and { job = job.jobId, thing = job.thing, execution = job.executionNumber } or nil
end

local function base_name(path)
  return path:match("[^/]*$")
end

---@return string|nil
function attached:prompt()
  if not self.job then
    return nil
  elseif self.held and self.file and self.file ~= "" then
    return ("%s %s:%d> "):format(self.job.jobId, base_name(self.file), self.line)
  end
  return ("%s%s> "):format(self.job.jobId, self.held and " (held)" or "")
end

---------------------------------------------------------------- what happens to it

local function where(event)
  if (event.file or "") == "" then
    return ""
  end
  return (" at %s:%d"):format(event.file, event.line)
end

local function limit_of(seconds)
  if not seconds or seconds < 0 then
    return ""
  elseif seconds < 120 then
    return ("; held for at most %d s"):format(math.ceil(seconds))
  end
  return ("; held for at most %d min"):format(math.ceil(seconds / 60))
end

function attached:numbers_of(ids)
  local numbers = {}
  for _, id in ipairs(ids or {}) do
    for _, breakpoint in ipairs(self.breaks) do
      if breakpoint.id == id then
        numbers[#numbers + 1] = ("%d"):format(breakpoint.number)
      end
    end
  end
  return table.concat(numbers, ", ")
end

local STOPS = { step = "after a step", pause = "paused", entry = "at its beginning",
  break_here = "job:break_here()", exception = "an error is raised" }

-- What is said of an event. @return string text, clean
local function describe(self, event)
  local session = self.session
  local text = event.text or ""
  if event.event == "stopped" then
    local numbers = self:numbers_of(event.breakpoints)
    local why = STOPS[event.reason] or event.reason
    if numbers ~= "" then
      why = (numbers:find(",") and "breakpoints " or "breakpoint ") .. numbers
    end
    local lines = { session:paint("event", ("%s stopped%s (%s%s)%s"):format(self.job.jobId,
      where(event), why, text ~= "" and ": " .. text or "", limit_of(event.holdLeft))) }
    local source = self:source_lines(event.file, event.line, 0)
    lines[2] = source and source[1]
    return table.concat(lines, "\n")
  elseif event.event == "continued" then
    return session:paint("event", ("%s goes on%s"):format(self.job.jobId,
      text ~= "" and ": " .. text or ""))
  elseif event.event == "ended" then
    return session:paint("event", ("%s has ended; `:jobs` and `hob jobs --history` say how")
      :format(self.job.jobId))
  end
  return texts.clean(text)
end

local function take_in(self, event)
  if event.event == "stopped" then
    self.held, self.level = true, 1
    self.file, self.line = event.file, event.line
  elseif event.event == "continued" then
    self.held = false
  elseif event.event == "ended" then
    self.job, self.held = nil, false
    self.breaks = {}
  end
end

-- Somebody waits for a stop or an end, and will say it; else it is told by itself.
function on_event(self, event)
  if not self.job or event.thread ~= self.job.thread then
    return
  end
  local silent = event.event == "continued" and self.going
  self.going = false
  local ok, text = pcall(describe, self, event)
  text = ok and text or texts.clean(tostring(text))
  take_in(self, event)
  local is_stop = event.event == "stopped" or event.event == "ended"
  if self.stop and is_stop then
    self.stop:resolve(text)
  elseif not silent and text ~= "" then
    self.session:tell(event.event, text)
  end
end

--- Have the job go on, and wait for its next stop, or its end.
---@param go fun(): boolean|nil, string|nil  lets it go on
---@param seconds number|nil  how long to wait; nil: as long as it takes; 0: not at all
---@return boolean|nil ok
---@return string|nil text  what happened; nil: nothing yet. Or the message
function attached:go_on(go, seconds)
  local stop = futures.new()
  self.stop = seconds ~= 0 and stop or nil
  local _ <close> = setmetatable({}, { __close = function()
    self.stop = nil
  end })
  self.going = true
  local ok, why = go()
  if not ok then
    self.going = false
    return nil, why
  elseif seconds == 0 then
    return true
  end
  local text = stop:result(seconds)
  return true, text
end

---------------------------------------------------------------- attaching

-- The jobs that a word means: an id, or THING/ID.
local function matching(jobs, word)
  local found = {}
  for _, job in ipairs(jobs) do
    if job.jobId == word or job.thing .. "/" .. job.jobId == word then
      found[#found + 1] = job
    end
  end
  return found
end

local function names(jobs)
  local list = {}
  for i, job in ipairs(jobs) do
    list[i] = ("%s/%s"):format(job.thing, job.jobId)
  end
  return table.concat(list, ", ")
end

--- @return table|nil job, string|nil message
function attached:find(word)
  local debug, why = self:debugger()
  if not debug then
    return nil, why
  end
  local jobs
  jobs, why = debug:jobs()
  if not jobs then
    return nil, why
  end
  local found = matching(jobs, word)
  if #found == 1 then
    return found[1]
  elseif found[1] then
    return nil, ("there are several: %s; say THING/ID"):format(names(found))
  elseif jobs[1] then
    return nil, ("no job '%s' runs; these do: %s"):format(word, names(jobs))
  end
  return nil, ("no job '%s' runs, and no other does"):format(word)
end

local function is_held(info)
  return info.state == "held"
end

--- Look at where it is now.
--- @return table|nil info, string|nil message
function attached:refresh()
  local info, why = self.debug:info(self.job.thread)
  if not info then
    return nil, why
  end
  self.held, self.file, self.line = is_held(info), info.file, info.line
  return info
end

---@param word string
---@return table|nil info  as hob.debug has it
---@return string|nil message
function attached:attach(word)
  local job, why = self:find(word)
  if not job then
    return nil, why
  elseif self.job and self.job.thread ~= job.thread then
    self:detach()
  end
  local info
  info, why = self.debug:attach(job.thread)
  if not info then
    return nil, why
  end
  self.job, self.level = job, 1
  self.held, self.file, self.line = is_held(info), info.file, info.line
  return info
end

--- It goes on, if nobody else holds it.
function attached:detach()
  local job = self.job
  self:clear_breaks()
  self:set_writes(false)
  self.job, self.held = nil, false
  return self.debug:detach(job.thread)
end

function attached:set_writes(allowed)
  if self.writes ~= allowed and self.debug then
    self.debug:write(allowed)
  end
  self.writes = allowed
end

---------------------------------------------------------------- frames and source

---@return table[]|nil frames  innermost first
---@return any total_or_message
---@return string|nil code
function attached:frames(first, count)
  return self.debug:stack(self.job.thread, { first = first, count = count })
end

--- The frame that is looked at.
---@return table|nil frame  nil without a message: it has none
---@return string|nil message
---@return string|nil code
function attached:frame()
  local frames, why, code = self:frames(self.level - 1, 1)
  if not frames then
    return nil, why, code
  end
  return frames[1]
end

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    lines[#lines + 1] = line
  end
  return lines
end

--- Lines of a file around one, which is marked.
---@return string[]|nil lines  clean
---@return string|nil message
function attached:source_lines(file, line, around)
  if (file or "") == "" or not line or line < 1 then
    return nil
  end
  local text, why = self.debug:source(self.job.thread, file)
  if not text then
    return nil, why
  end
  local lines, shown = split(text), {}
  for at = math.max(1, line - around), math.min(#lines, line + around) do
    local here = at == line
    shown[#shown + 1] = self.session:paint(here and "here" or "dim",
      ("%s%5d  %s"):format(here and ">" or " ", at, lines[at]))
  end
  return shown
end

function attached:context(file, line)
  return self:source_lines(file, line, CONTEXT)
end

---------------------------------------------------------------- values

--- A variable of hob.debug as something to be shown.
---@return hob.repl.node
function attached:node(variable)
  local node = { text = variable.value, identity = variable.identity }
  if variable.ref and variable.ref > 0 and variable.type ~= "function" then
    node.total = (variable.indexed or 0) + (variable.named or 0)
    node.members = function(first, count)
      local members = {}
      count = math.min(count, math.max(node.total - first, 0))
      while #members < count do
        local some = self.debug:variables(variable.ref, {
          first = first + #members, count = math.min(PAGE, count - #members),
        })
        for _, member in ipairs(some or {}) do
          members[#members + 1] = { key = member.name, node = self:node(member) }
        end
        if not some then -- it is not held
          members[#members + 1] = { key = "...", node = { text = "<the job went on>" } }
        end
        if not some or #some == 0 then
          break
        end
      end
      return members
    end
  end
  return node
end

local function evaluate_once(self, text)
  local frame, problem, code = self:frame()
  if not frame and problem then
    return nil, problem, code
  end
  return self.debug:evaluate(text, {
    thread = self.job.thread, frame = frame and frame.id, write = self.writes,
  })
end

---@param text string
---@return hob.repl.node[]|nil nodes
---@return string|nil message
function attached:evaluate(text)
  local results, why, code
  for _ = 1, TRIES do
    results, why, code = evaluate_once(self, text)
    if results or code ~= "ESTALE" or self.writes then
      break
    end
  end
  if not results then
    return nil, code == "ESTALE" and why .. "; `:pause` holds it" or why
  end
  local nodes = {}
  for i, variable in ipairs(results) do
    nodes[i] = self:node(variable)
  end
  return nodes
end

---------------------------------------------------------------- breakpoints

-- All of a file's are given at once: that is how hob.debug takes them.
local function tell_debugger(self, file)
  local list, mine = {}, {}
  for _, breakpoint in ipairs(self.breaks) do
    if breakpoint.file == file then
      mine[#mine + 1] = breakpoint
      list[#list + 1] = { line = breakpoint.wanted, name = breakpoint.step,
        condition = breakpoint.condition }
    end
  end
  local set, why
  if file then
    set, why = self.debug:breakpoints(file, list)
  else
    set, why = self.debug:function_breakpoints(list)
  end
  for i, breakpoint in ipairs(set and mine or {}) do
    breakpoint.id, breakpoint.verified = set[i].id, set[i].verified
    breakpoint.line, breakpoint.message = set[i].line, set[i].message
  end
  return set ~= nil, why
end

local function remove(self, number)
  for i, breakpoint in ipairs(self.breaks) do
    if breakpoint.number == number then
      return table.remove(self.breaks, i)
    end
  end
end

---@param breakpoint { file: string?, wanted: integer?, step: string?, condition: string? }
---@return table|nil breakpoint
---@return string|nil message
function attached:add_break(breakpoint)
  self.last_number = self.last_number + 1
  breakpoint.number = self.last_number
  table.insert(self.breaks, breakpoint)
  local ok, why = tell_debugger(self, breakpoint.file)
  local wrong = ok and not breakpoint.verified and breakpoint.message or ""
  if ok and not wrong:find("^condition: ") then
    return breakpoint
  end
  remove(self, breakpoint.number)
  if ok then -- it would never stop; a file that is not there may come yet
    ok, why = tell_debugger(self, breakpoint.file)
  end
  return nil, ok and wrong or why
end

---@return boolean|nil
---@return string|nil message
function attached:delete_break(number)
  local breakpoint = remove(self, number)
  if not breakpoint then
    return nil, ("there is no breakpoint %d"):format(number)
  end
  return tell_debugger(self, breakpoint.file)
end

function attached:clear_breaks()
  local gone = self.breaks
  self.breaks = {}
  for _, breakpoint in ipairs(gone) do
    tell_debugger(self, breakpoint.file)
  end
end

return M
