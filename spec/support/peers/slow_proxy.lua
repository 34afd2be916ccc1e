-- slow_proxy.lua - a TCP proxy to 127.0.0.1:PORT with a thin pipe; run by plain lua5.4.
--
--     lua5.4 slow_proxy.lua PORT CHUNK PAUSE_MS
--
-- Each way it reads at most CHUNK bytes, hands them on, and rests for PAUSE_MS; its buffers are as
-- small as the kernel allows. One connection at a time.

local socket = require("socket")

io.stdout:setvbuf("line")

local target, chunk, pause = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]) / 1000

local function tcp()
    local s = assert(socket.tcp4())
    s:setoption("recv-buffer-size", 4096)
    s:setoption("send-buffer-size", 4096)
    return s
end

local listener = tcp()
assert(listener:bind("127.0.0.1", 0))
assert(listener:listen(4))
print("port " .. select(2, listener:getsockname()))

-- One direction: what was read and is not yet written. False at its end.
local function step(from, to, way)
    if #way.rest == 0 then
        local data, why, part = from:receive(chunk)
        way.rest = data or part or ""
        if why == "closed" and #way.rest == 0 then return false end
    end
    if #way.rest > 0 then
        local sent, why, partly = to:send(way.rest)
        local last = sent or partly or 0
        way.rest = way.rest:sub(last + 1)
        way.total = way.total + last
        if why == "closed" then return false end
    end
    return true
end

while true do
    local near = assert(listener:accept())
    local far = tcp()
    assert(far:connect("127.0.0.1", target))
    near:settimeout(0)
    far:settimeout(0)
    local up, down = { rest = "", total = 0 }, { rest = "", total = 0 }
    while step(near, far, up) and step(far, near, down) do
        if up.rest == "" and down.rest == "" then
            socket.select({ near, far }, nil, 1)
        end
        socket.sleep(pause)
    end
    near:close()
    far:close()
    print(("carried %d up, %d down"):format(up.total, down.total))
end
