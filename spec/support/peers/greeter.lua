-- greeter.lua - sends TEXT to whoever connects, then holds still, closes or resets; plain lua5.4.
--
--     lua5.4 greeter.lua TEXT [close|reset]

local socket = require("socket")

io.stdout:setvbuf("line")

local listener = assert(socket.tcp4())
assert(listener:bind("127.0.0.1", 0))
assert(listener:listen(8))
print("port " .. select(2, listener:getsockname()))

while true do
    local s = assert(listener:accept())
    s:send(arg[1])
    if arg[2] == "reset" then
        s:setoption("linger", { on = true, timeout = 0 })
    elseif not arg[2] then
        s:settimeout(5)
        s:receive("*a") -- until the other side closes
    end
    s:close()
end
