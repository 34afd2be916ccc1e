-- dap_client.lua - an editor, as far as the Debug Adapter Protocol goes: raw frames over the
-- control socket of a gateway, or over standard input and output of `hob dap`.
--
--     local editor <close> = dap_client.socket(path)         -- or dap_client.stdio(dir, flags...)
--     local body = editor:ask("initialize", {})              -- raises if it is refused
--     local stop = editor:event("stopped")                   -- its body; waits for it
--     assert.matches("words", editor:refused("attach", { job = "x" }))

local exec = require("hob.exec")
local framing = require("hob.dap.framing")
local fs = require("hob.fs")
local json = require("hob.json")
local sockets = require("hob.local")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local M = {}

local editor = {}
editor.__index = editor

---------------------------------------------------------------- messages

--- Send bytes as they are.
function editor:send(bytes)
    assert(self.write(bytes))
end

--- Send a request. @return its number
function editor:request(command, arguments)
    self.seq = self.seq + 1
    self:send(framing.frame(assert(json.encode({ seq = self.seq, type = "request",
        command = command, arguments = arguments }))))
    return self.seq
end

-- Take one more message in; false at the end of the stream.
local function take(self)
    local message, why = self.reader:next()
    if not message then
        self.ended = why
        return false
    elseif message.type == "response" then
        self.responses[message.request_seq] = message
    else
        table.insert(self.events, message)
    end
    return true
end

local function shown(self)
    local lines = {}
    for i, event in ipairs(self.events) do
        lines[i] = json.encode(event)
    end
    return table.concat(lines, "\n")
end

--- The answer to a request, whatever it is.
function editor:answer(seq)
    while not self.responses[seq] do
        if not take(self) then
            error(("no answer to %d: %s; events:\n%s"):format(seq, self.ended, shown(self)), 2)
        end
    end
    return self.responses[seq]
end

--- @return table body  raises if it was refused
function editor:ask(command, arguments)
    local response = self:answer(self:request(command, arguments))
    if not response.success then
        error(("%s was refused: %s"):format(command, response.message), 2)
    end
    return response.body or {}
end

--- @return string message  of a request that must be refused
function editor:refused(command, arguments)
    local response = self:answer(self:request(command, arguments))
    if response.success then
        error(command .. " was not refused", 2)
    end
    return response.message
end

--- The body of the next event of that name which fits and was not taken yet.
function editor:event(name, fits)
    local at = 1
    while true do
        while self.events[at] do
            local event = self.events[at]
            if event.event == name and (not fits or fits(event.body or {})) then
                return table.remove(self.events, at).body or {}
            end
            at = at + 1
        end
        if not take(self) then
            error(("no event %s: %s; there were:\n%s"):format(name, self.ended, shown(self)), 2)
        end
    end
end

--- Read to the end of the stream. @return string why
function editor:drain()
    while take(self) do
        assert(not self.ended)
    end
    return self.ended
end

---------------------------------------------------------------- what one does with it

--- initialize, attach or launch, breakpoints by file, configurationDone.
---@param how "attach"|"launch"
---@param breaks? table<string, table[]>
function editor:begin(how, arguments, breaks)
    self:ask("initialize", {})
    self:ask(how, arguments)
    self:event("initialized")
    for file, list in pairs(breaks or {}) do
        local set = self:ask("setBreakpoints", { source = { path = file },
            breakpoints = list })
        for _, one in ipairs(set.breakpoints) do
            assert(one.verified, one.message)
        end
    end
    self:ask("configurationDone")
end

--- Wait for a stop. @return the event's body, the innermost frame
function editor:stopped(reason)
    local stop = self:event("stopped")
    assert(not reason or stop.reason == reason, json.encode(stop))
    self.thread = stop.threadId
    local frames = self:ask("stackTrace", { threadId = stop.threadId }).stackFrames
    self.frame = frames[1].id
    return stop, frames[1]
end

--- Locals of the innermost frame, by name.
function editor:locals()
    local scopes = self:ask("scopes", { frameId = self.frame }).scopes
    self.ref = scopes[1].variablesReference
    local found = {}
    for _, one in ipairs(self:ask("variables", { variablesReference = self.ref }).variables) do
        found[one.name] = one.value
    end
    return found
end

function editor:go_on()
    self:ask("continue", { threadId = self.thread })
end

---------------------------------------------------------------- both ways

local function new(members)
    members.seq, members.responses, members.events = 0, {}, {}
    local self = setmetatable(members, editor)
    self.reader = framing.reader(function() return self.read() end)
    return self
end

--- A session of a gateway's control socket.
function M.socket(path)
    local connection = assert(sockets.connect(path))
    assert(connection:send('{"command":"dap"}\n'))
    local line = assert(json.decode((assert(connection:read_line(worlds.PATIENCE)))))
    assert(line["end"], json.encode(line))
    return new({
        connection = connection,
        write = function(bytes) return connection:send(bytes) end,
        read = function() return connection:read(worlds.PATIENCE) end,
        close = function() connection:close() end,
    })
end

-- What a file got since the last time; waits for more, or for the end of the program.
local function follow(process, path)
    local at, deadline = 0, nil
    return function()
        deadline = time.mono() + worlds.PATIENCE
        while true do
            local over = process:wait(0)
            local text = fs.read(path) or ""
            if #text > at then
                text, at = text:sub(at + 1), #text
                return text
            elseif over then
                return nil, "the program has ended", "EOF"
            elseif time.mono() > deadline then
                return nil, "nothing came in time", "ETIMEDOUT"
            end
            time.sleep(0.005)
        end
    end
end

--- `hob dap` with these flags, in a directory of its own for its streams.
function M.stdio(dir, ...)
    local input, output, errors = dir .. "/in", dir .. "/out", dir .. "/err"
    local temporary = dir .. "/tmp"
    assert(fs.mkdir(temporary))
    exec.check({ "mkfifo", input })
    -- Open for both, so that nobody waits for the other end.
    local pipe = assert(io.open(input, "r+"))
    pipe:setvbuf("no")
    local command = { "sh", "-c", 'exec <"$1" >"$2" 2>"$3"; shift 3; exec "$@"', "sh", input,
        output, errors, worlds.hob(), "dap", ... }
    command.env = { TMPDIR = temporary }
    local process = assert(exec.spawn(command))
    local self = new({
        process = process, temporary = temporary,
        write = function(bytes) return pipe:write(bytes) end,
        read = follow(process, output),
    })
    --- The editor goes away.
    function self.hang_up()
        if pipe then
            pipe:close()
            pipe = nil
        end
    end
    --- @return table result, as of hob.exec; what it said on standard error
    function self.finish()
        self.hang_up()
        local result = assert(process:wait(worlds.PATIENCE), "hob dap did not end")
        return result, fs.read(errors) or ""
    end
    function self.close()
        self.hang_up()
        if not process:wait(0) then
            process:kill("KILL")
            wait_until(function() return process:wait(0) end, worlds.PATIENCE, "its end")
        end
        fs.remove(input)
    end
    return self
end

editor.__close = function(self) self.close() end

return M
