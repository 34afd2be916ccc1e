-- What the demo shows: on a terminal one bar a job, redrawn in place; otherwise a line a change.

local process = require("hob.process")
local tables = require("hob.cli.table")

local M = {}

local TERMINAL = { SUCCEEDED = true, FAILED = true, REJECTED = true, TIMED_OUT = true,
    CANCELED = true, REMOVED = true }
local COLOUR = { SUCCEEDED = "32", FAILED = "31", REJECTED = "33", IN_PROGRESS = "36" }
local BAR = 24

---@param status? string
---@return boolean
function M.is_terminal_status(status)
    return TERMINAL[status] == true
end

local screen = {}
screen.__index = screen

function M.new()
    local live = process.is_terminal() and os.getenv("TERM") ~= "dumb"
    return setmetatable({ live = live, rows = {}, drawn = 0, last = {} }, screen)
end

function screen.say(_, format, ...)
    io.stdout:write(format:format(...), "\n")
    io.stdout:flush()
end

local function progress_of(execution)
    local text = (execution.details or {}).progress
    local percent = text and tonumber(text:match("%d+")) or 0
    if execution.status == "SUCCEEDED" then
        percent = 100
    end
    return math.min(percent, 100), text
end

local function note_of(execution)
    local details = execution.details or {}
    if TERMINAL[execution.status] then
        return details.reason or ""
    end
    return details.progress or ""
end

local function bar(execution)
    local percent = progress_of(execution)
    local full = percent * BAR // 100
    return ("#"):rep(full) .. ("."):rep(BAR - full)
end

function screen:paint(code, text)
    return self.live and code and ("\27[%sm%s\27[0m"):format(code, text) or text
end

function screen:draw_live(jobs, seen)
    if self.drawn > 0 then
        io.stdout:write(("\27[%dA"):format(self.drawn))
    end
    local room = process.columns() - BAR - 36
    for _, job in ipairs(jobs) do
        local execution = seen[job.id] or { status = "QUEUED" }
        io.stdout:write("\27[2K", ("%-15s "):format(job.id), "[", bar(execution), "] ",
            self:paint(COLOUR[execution.status], ("%-11s"):format(execution.status)), " ",
            tables.cut(note_of(execution), math.max(room, 8)), "\n")
    end
    self.drawn = #jobs
    io.stdout:flush()
end

function screen:draw_plain(jobs, seen)
    for _, job in ipairs(jobs) do
        local execution = seen[job.id]
        local line = execution and ("%-15s %-11s %s"):format(job.id, execution.status,
            note_of(execution)):gsub("%s+$", "")
        if line and line ~= self.last[job.id] then
            self.last[job.id] = line
            self:say("%s", line)
        end
    end
end

---@param jobs demo.job[]
---@param seen table<string, { status: string, details: table }>  by job id
function screen:draw(jobs, seen)
    if self.live then
        self:draw_live(jobs, seen)
    else
        self:draw_plain(jobs, seen)
    end
end

---@param head string[]
---@param rows string[][]
function screen:table(head, rows)
    local width = self.live and process.columns() or nil
    for _, line in ipairs(tables.lines(head, rows, { width = width })) do
        self:say("%s", line)
    end
end

return M
