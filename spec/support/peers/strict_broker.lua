-- strict_broker.lua - a broker that, as AWS does, closes the connection where a plain one refuses.
--
--     lua5.4 strict_broker.lua FORBIDDEN-FILTER [mute]
--
-- Runs in a process of its own. Prints "port N", then "connect", "subscribe FILTER FILTER ..." and
-- "publish TOPIC" as they come, one client at a time. A SUBSCRIBE that holds FORBIDDEN-FILTER is
-- not answered: the connection is closed, or with "mute" left as it is. Every PUBLISH is
-- acknowledged, none is passed on.
local socket = require("socket")

local forbidden, mute = arg[1], arg[2] == "mute"

local function say(...)
    print(table.concat({ ... }, " "))
    io.stdout:flush()
end

local function read_length(client)
    local length, shift = 0, 0
    repeat
        local byte = client:receive(1)
        if not byte then
            return nil
        end
        length = length | (byte:byte() & 0x7f) << shift
        shift = shift + 7
    until byte:byte() < 0x80
    return length
end

local function read_packet(client)
    local head = client:receive(1)
    local length = head and read_length(client)
    if not length then
        return nil
    end
    return head:byte(), length > 0 and client:receive(length) or ""
end

local function on_subscribe(client, body)
    local filters, codes, at = {}, {}, 3
    while at <= #body do
        local filter
        filter, at = string.unpack(">s2", body, at)
        filters[#filters + 1] = filter
        codes[#codes + 1] = body:sub(at, at)
        at = at + 1
    end
    say("subscribe", table.unpack(filters))
    for _, filter in ipairs(filters) do
        if filter == forbidden then
            return mute
        end
    end
    client:send(string.pack(">BB", 0x90, 2 + #codes) .. body:sub(1, 2) .. table.concat(codes))
    return true
end

local function on_publish(client, head, body)
    local topic, at = string.unpack(">s2", body)
    say("publish", topic)
    if head & 0x06 ~= 0 then
        client:send("\x40\x02" .. body:sub(at, at + 1))
    end
    return true
end

local function on_packet(client, head, body)
    local kind = head & 0xf0
    if kind == 0x10 then
        say("connect")
        client:send("\x20\x02\0\0")
    elseif kind == 0x80 then
        return on_subscribe(client, body)
    elseif kind == 0x30 then
        return on_publish(client, head, body)
    elseif kind == 0xc0 then
        client:send("\xd0\0")
    end
    return kind ~= 0xe0
end

local server = assert(socket.bind("127.0.0.1", 0))
say("port", (select(2, server:getsockname())))
while true do
    local client = server:accept()
    local head, body = read_packet(client)
    while head and body and on_packet(client, head, body) do
        head, body = read_packet(client)
    end
    client:close()
end
