-- black_hole.lua - on this port of ::1 no connection is answered: the kernel drops what comes,
-- since the queue of those that wait is full; plain lua5.4.
--
--     lua5.4 black_hole.lua PORT

local socket = require("socket")

io.stdout:setvbuf("line")

local listener = assert(socket.tcp6())
assert(listener:bind("::1", tonumber(arg[1])))
assert(listener:listen(0))
local kept = {}
for i = 1, 4 do
    kept[i] = assert(socket.tcp6())
    kept[i]:settimeout(0.2)
    kept[i]:connect("::1", tonumber(arg[1]))
end
print("port " .. arg[1])
while true do
    socket.sleep(60) -- until it is stopped
end
