-- peer.lua - the other side of a connection, as a process of its own: plain lua5.4 with lua-socket.
--
--     local peer = require("spec.support.peer")
--     local broker = peer.start("fake_broker", [[ function on.publish(c, p) c:close() end ]])
--     broker.port                              -- of 127.0.0.1
--     broker:wait("publish .* topic=a/b", 10)  -- until it has printed such a line
--     broker:lines("publish")                  -- all such lines so far
--     broker:stop()
--
-- A peer prints "port N" first, then one line for each thing that it saw.

local exec = require("hob.exec")
local wait_until = require("spec.support.wait").wait_until

local M = {}

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "spec/support"

---@class peer
---@field port integer
local peer = {}
peer.__index = peer

--- Start spec/support/peers/NAME.lua with these arguments; returns when it listens.
---@param name string
---@param ... string
---@return peer
function M.start(name, ...)
    local self = setmetatable({ name = name, seen = {} }, peer)
    local command = { "lua5.4", ("%s/peers/%s.lua"):format(here, name), ... }
    command.on_line = function(line, is_err)
        self.seen[#self.seen + 1] = is_err and "stderr: " .. line or line
    end
    self.process = assert(exec.spawn(command))
    self.port = tonumber(self:wait("^port (%d+)", 30))
    return self
end

--- All lines that match a pattern, or what it captures of them.
---@param pattern string
---@return string[]
function peer:lines(pattern)
    local found = {}
    for _, line in ipairs(self.seen) do
        found[#found + 1] = line:match(pattern)
    end
    return found
end

--- Wait until `count` (1) lines match; gives the last match.
---@param pattern string
---@param seconds number
---@param count? integer
---@return string
function peer:wait(pattern, seconds, count)
    local found
    local ok = pcall(wait_until, function()
        found = self:lines(pattern)
        return #found >= (count or 1)
    end, seconds, pattern)
    if not ok then
        error(("waited %g s in vain for %s to print '%s'; it printed:\n%s"):format(seconds,
            self.name, pattern, table.concat(self.seen, "\n")), 2)
    end
    return found[#found]
end

function peer:stop()
    if self.process then
        self.process:kill("KILL")
        self.process:wait(30)
        self.process = nil
    end
end

return M
