-- fake_broker.lua - an MQTT broker that does what a spec tells it; run by plain lua5.4.
--
--     lua5.4 fake_broker.lua CODE [PORT]
--
-- CODE is Lua and may replace the members of `on`: on.connect(c, packet), on.publish(c, packet),
-- on.subscribe(c, packet), on.ping(c), on.other(c, packet). The defaults answer as a broker would.
-- c has :send(bytes), :close(), :reset(), .number (1 for the first connection), and `mqtt` builds
-- packets. `print` tells the spec; `small_buffers = true` makes the receive buffer as small as can
-- be. One connection at a time is served; others wait.

-- luacheck: globals mqtt on small_buffers

local socket = require("socket")

io.stdout:setvbuf("line")

mqtt = {} -- packets

local function length(n)
    local out = ""
    repeat
        local digit = n % 128
        n = n // 128
        out = out .. string.char(n > 0 and digit + 128 or digit)
    until n == 0
    return out
end

function mqtt.packet(first, body)
    return string.char(first) .. length(#body) .. body
end

function mqtt.connack(code, session_present)
    return mqtt.packet(0x20, string.char(session_present and 1 or 0, code or 0))
end

function mqtt.publish(topic, payload, qos, id)
    local head = string.pack(">s2", topic)
    if (qos or 0) > 0 then head = head .. string.pack(">I2", id) end
    return mqtt.packet(0x30 | (qos or 0) << 1, head .. payload)
end

function mqtt.puback(id) return mqtt.packet(0x40, string.pack(">I2", id)) end

function mqtt.suback(id, codes)
    return mqtt.packet(0x90, string.pack(">I2", id) .. string.char(table.unpack(codes)))
end

on = {}

function on.connect(c) c:send(mqtt.connack(0)) end

function on.publish(c, p)
    if p.qos > 0 then c:send(mqtt.puback(p.id)) end
end

function on.subscribe(c, p)
    local codes = {}
    for i in ipairs(p.filters) do codes[i] = p.qos[i] end
    c:send(mqtt.suback(p.id, codes))
end

function on.ping(c) c:send(mqtt.packet(0xD0, "")) end

function on.other() end

local conn = {}
conn.__index = conn

function conn:send(bytes) self.socket:send(bytes) end

function conn:close() self.socket:close() self.closed = true end

-- Close with RST instead of FIN.
function conn:reset()
    self.socket:setoption("linger", { on = true, timeout = 0 })
    self:close()
end

local function parse_publish(first, body)
    local p = { qos = first >> 1 & 3, dup = first & 8 ~= 0 }
    local at
    p.topic, at = string.unpack(">s2", body)
    if p.qos > 0 then p.id, at = string.unpack(">I2", body, at) end
    p.payload = body:sub(at)
    print(("publish id=%s dup=%s qos=%d topic=%s size=%d payload=%s"):format(p.id or 0, p.dup,
        p.qos, p.topic, #p.payload, p.payload:sub(1, 60)))
    return p
end

local function parse_subscribe(body)
    local p = { filters = {}, qos = {} }
    local at
    p.id, at = string.unpack(">I2", body)
    while at <= #body do
        p.filters[#p.filters + 1], at = string.unpack(">s2", body, at)
        p.qos[#p.qos + 1], at = string.unpack("B", body, at)
    end
    print(("subscribe id=%d filters=%s"):format(p.id, table.concat(p.filters, ",")))
    return p
end

local function serve(c, first, body)
    local kind = first >> 4
    if kind == 1 then
        local level, keep_alive, at = string.unpack(">BxI2", body, 7)
        if level == 5 then at = at + 1 + body:byte(at) end -- properties
        local id = string.unpack(">s2", body, at)
        print(("connect id=%s keep_alive=%d number=%d"):format(id, keep_alive, c.number))
        on.connect(c, { id = id, keep_alive = keep_alive })
    elseif kind == 3 then
        on.publish(c, parse_publish(first, body))
    elseif kind == 8 then
        on.subscribe(c, parse_subscribe(body))
    elseif kind == 12 then
        print("ping")
        on.ping(c)
    else
        print("packet " .. kind)
        on.other(c, { kind = kind, body = body })
    end
end

local function read_packet(s)
    local first = s:receive(1)
    if not first then return nil end
    local len, factor = 0, 1
    repeat
        local digit = s:receive(1)
        if not digit then return nil end
        len = len + (digit:byte() & 127) * factor
        factor = factor * 128
    until digit:byte() < 128
    local body = len > 0 and s:receive(len) or ""
    return first:byte(), body
end

local listener = assert(socket.tcp4())
listener:setoption("reuseaddr", true)
assert(load(arg[1] or "", "=code"))()
if small_buffers then listener:setoption("recv-buffer-size", 4096) end
assert(listener:bind("127.0.0.1", tonumber(arg[2] or 0)))
assert(listener:listen(8))
print("port " .. select(2, listener:getsockname()))

local number = 0
while true do
    local s = assert(listener:accept())
    number = number + 1
    s:setoption("tcp-nodelay", true)
    local c = setmetatable({ socket = s, number = number }, conn)
    repeat
        local first, body = read_packet(s)
        if first then serve(c, first, body) end
    until not first or c.closed
    if not c.closed then s:close() end
    print("closed " .. number)
end
