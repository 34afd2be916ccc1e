-- hob.mqtt against a real mosquitto, and against a broker that misbehaves as told.

local exec = require("hob.exec")
local fs = require("hob.fs")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local brokers = require("spec.support.broker")
local peer = require("spec.support.peer")
local pkis = require("spec.support.pki")
local shims = require("spec.support.shim")
local wait_until = require("spec.support.wait").wait_until

local TIMEOUT = 30 -- seconds; only a hang takes so long

local opened = {} -- taken down after each spec

local function later(thing, method)
    opened[#opened + 1] = function() thing[method](thing) end
    return thing
end

-- A connection that collects what it is told.
local function connect(options)
    local told = { messages = {}, ups = {}, downs = {} }
    options.backoff_base = options.backoff_base or 0.02
    options.on_message = function(topic, payload, qos, retain)
        table.insert(told.messages, { topic = topic, payload = payload, qos = qos,
            retain = retain })
    end
    options.on_up = function(present) table.insert(told.ups, { present = present }) end
    options.on_down = function(message, code, retry)
        table.insert(told.downs, { message = message, code = code, retry = retry })
    end
    return later(mqtt.connect(options), "close"), told
end

local function up(options)
    local conn, told = connect(options)
    assert(conn:wait_up(TIMEOUT))
    return conn, told
end

local function fake(code)
    return later(peer.start("fake_broker", code), "stop")
end

local function to(broker, more)
    local options = { host = "127.0.0.1", port = broker.port, tls = false, client_id = "spec" }
    for k, v in pairs(more or {}) do options[k] = v end
    return options
end

describe("hob.mqtt", function()
    local pki, tls_broker, plain_broker

    setup(function()
        pki = pkis.new()
        tls_broker = brokers.start{ pki = pki }
        plain_broker = brokers.start()
    end)

    teardown(function()
        tls_broker:stop()
        plain_broker:stop()
        pki:remove()
    end)

    after_each(function()
        for i = #opened, 1, -1 do opened[i]() end
        opened = {}
    end)

    describe("connect", function()
        it("raises on misuse, and says what was expected", function()
            local function says(options, words)
                local ok, message = pcall(mqtt.connect, options)
                assert.is_false(ok)
                assert.matches(words, message, 1, true)
            end
            says({ host = "h", port = 1, client_id = "c", hots = "x" }, "unknown option 'hots'")
            says({ port = 1, client_id = "c" }, "host: expected a name")
            says({ host = "h", client_id = "c", port = 70000 }, "port: expected 1 to 65535")
            says({ host = "h", client_id = "c", port = 1, keep_alive = 4 },
                "keep_alive: expected 5 to 65535 s, got 4")
            says({ host = "h", client_id = "c", port = 1, protocol = 3 },
                "protocol: expected 4 (MQTT 3.1.1) or 5")
            says({ host = "h", client_id = "c", port = 1, on_message = 1 },
                "on_message: expected function")
        end)

        for _, protocol in ipairs{ 4, 5 } do
            it(("carries messages both ways over TLS with MQTT protocol level %d"):format(protocol),
                function()
                    local conn, told = up(tls_broker:options{ client_id = "tls" .. protocol,
                        protocol = protocol })
                    assert.same({ 1, 0 }, { conn:subscribe({ "spec/a/#" }, 1)[1],
                        conn:subscribe("spec/b", 0)[1] })
                    assert.is_true(conn:publish("spec/a/1", "one"))
                    assert.is_true(conn:publish("spec/b", "\0two", { qos = 0 }))
                    wait_until(function() return #told.messages == 2 end, TIMEOUT, "messages")
                    table.sort(told.messages, function(a, b) return a.topic < b.topic end)
                    assert.same({
                        { topic = "spec/a/1", payload = "one", qos = 1, retain = false },
                        { topic = "spec/b", payload = "\0two", qos = 0, retain = false },
                    }, told.messages)
                    assert.same({ { present = false } }, told.ups)
                    assert.matches("^TLSv1%.[23], TLS1?%-", conn:describe())
                    assert.is_true(conn:unsubscribe("spec/b"))
                end)
        end

        it("lets no small packet wait for another one (TCP_NODELAY)", function()
            assert.is_true(up(to(plain_broker)):stats().no_delay)
        end)

        it("leaves no socket and no directory behind", function()
            local dir = assert(fs.tempdir())
            finally(function() fs.remove(dir, { recursive = true }) end)
            local code = ([[
                local conn = require("hob.mqtt").connect{ host = "127.0.0.1", port = %d,
                    tls = false, client_id = "tidy" }
                assert(conn:wait_up(%d))
                local list = require("hob.fs").list(%q)
                assert(#list == 0, list[1])
                conn:close()
            ]]):format(plain_broker.port, TIMEOUT, dir)
            local run = exec.run{ "/proc/self/exe", "lua", "-e", code,
                env = { RUNTIME_DIRECTORY = dir } }
            assert.equal("", run.stderr)
            assert.same({}, fs.list(dir))
        end)

        it("keeps the session with clean = false, also with MQTT 5", function()
            for _, protocol in ipairs{ 4, 5 } do
                local options = to(plain_broker, { client_id = "kept" .. protocol, clean = false,
                    protocol = protocol })
                local first = up(options)
                first:subscribe("spec/kept" .. protocol, 1)
                first:close()
                local other = up(to(plain_broker, { client_id = "other" }))
                other:publish("spec/kept" .. protocol, "while away")
                local _, told = up(options)
                wait_until(function() return told.messages[1] end, TIMEOUT, "the kept message")
                assert.is_true(told.ups[1].present)
                assert.equal("while away", told.messages[1].payload)
                other:close()
            end
        end)

        it("says in words why the broker refused", function()
            for code, words in pairs{ [2] = "does not take this client id",
                [4] = "check username and password", [5] = "not authorised" } do
                local broker = fake(("function on.connect(c) c:send(mqtt.connack(%d)) end")
                    :format(code))
                local conn, told = connect(to(broker, { client_id = "no" }))
                wait_until(function() return told.downs[1] end, TIMEOUT, "the refusal")
                assert.matches(words, told.downs[1].message, 1, true)
                assert.equal("EREFUSED", told.downs[1].code)
                local _, message, why = conn:wait_up(0.001)
                assert.matches(words, message, 1, true)
                assert.equal("EREFUSED", why)
                conn:close()
                broker:stop()
            end
        end)

        it("says that nobody listens, that a name is unknown, that no answer comes", function()
            local broker = fake("function on.connect() end")
            local conn, told = connect(to(broker, { connect_timeout = 0.05 }))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the silence")
            local _, message, code = conn:wait_up(0.001)
            assert.matches("no answer to CONNECT within 0.05 s", message, 1, true)
            assert.equal("ETIMEDOUT", code)
            broker:stop()
            conn, told = connect(to(broker))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the refusal")
            _, message, code = conn:wait_up(0.001)
            assert.matches("127.0.0.1:" .. broker.port .. ": connection refused",
                message, 1, true)
            assert.equal("ECONNREFUSED", code)
            _, told = connect(to(broker, { host = "no-such-host.invalid" }))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the unknown name")
            assert.matches("^no%-such%-host%.invalid:%d+: name not resolved", told.downs[1].message)
            assert.equal("ERESOLVE", told.downs[1].code)
        end)

        it("says that the other side is not an MQTT broker", function()
            local broker = fake([[
                function on.connect(c) c:send("HTTP/1.1 400 Bad Request" .. (" "):rep(100)) end
            ]])
            local _, told = connect(to(broker))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end")
            assert.matches("is it an MQTT broker", told.downs[1].message, 1, true)
            assert.equal("EPROTO", told.downs[1].code)
        end)

        it("says that the broker closed instead of answering CONNECT", function()
            local broker = fake("function on.connect(c) c:close() end")
            local _, told = connect(to(broker))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end")
            assert.matches("closed the connection before it answered CONNECT: does it take "
                .. 'client id "spec"', told.downs[1].message, 1, true)
        end)

        it("tries IPv4 in time where the network swallows IPv6", function()
            if shims.is_sanitized() then
                pending("nothing can be preloaded beside a sanitizer")
                return
            elseif not (fs.read("/proc/net/if_inet6") or ""):find("^0+1 ") then
                pending("there is no IPv6 here")
                return
            end
            later(peer.start("black_hole", tostring(plain_broker.port)), "stop")
            local dir = fs.tempdir()
            later({ remove = function() fs.remove(dir, { recursive = true }) end }, "remove")
            local library = dir .. "/two_families.so"
            exec.check{ "cc", "-shared", "-fPIC", "-o", library, "spec/support/two_families.c" }
            local run = exec.check{ "/proc/self/exe", "lua", "-e", ([[
                local conn = require("hob.mqtt").connect{ host = "two-families.test", port = %d,
                    tls = false, client_id = "c", connect_timeout = 10 }
                assert(conn:wait_up(%d))
                conn:close()
            ]]):format(plain_broker.port, TIMEOUT), env = { LD_PRELOAD = library },
                timeout = 2 * TIMEOUT }
            assert.equal("", run.stderr) -- at the first attempt
        end)
    end)

    describe("the pump", function()
        it("delivers five packets that come in one read, in order", function()
            local broker = fake([[
                function on.connect(c)
                    local all = mqtt.connack(0)
                    for i = 1, 5 do all = all .. mqtt.publish("spec/t", "p" .. i, 1, i) end
                    c:send(all)
                end
                function on.other(c, p)
                    if p.kind == 4 then print("puback " .. string.unpack(">I2", p.body)) end
                end
            ]])
            local _, told = up(to(broker))
            wait_until(function() return #told.messages == 5 end, TIMEOUT, "five messages")
            for i = 1, 5 do assert.equal("p" .. i, told.messages[i].payload) end
            broker:wait("puback (%d+)", TIMEOUT, 5)
            assert.same({ "1", "2", "3", "4", "5" }, broker:lines("puback (%d+)"))
        end)

        for _, over in ipairs{ "TCP", "TLS" } do
            it("carries 1 MB each way through a slow peer, whole, over " .. over, function()
                local broker = over == "TLS" and tls_broker or plain_broker
                local proxy = later(peer.start("slow_proxy", tostring(broker.port), "4096",
                    "0.2"), "stop")
                local conn, told = up(broker:options{ client_id = "slow", port = proxy.port })
                conn:subscribe("spec/slow/#", 1)
                local sent, size = {}, 0
                for i = 1, 40 do
                    local len = i % 8 == 0 and 100 * 1024 or 16 * 1024 + i
                    sent[i] = ("%d:"):format(i) .. (string.char(i + 32)):rep(len)
                    size = size + len
                    assert(conn:post("spec/slow/" .. i, sent[i]))
                end
                assert.is_true(size > 1024 * 1024)
                wait_until(function() return #told.messages == 40 end, 120, "all the messages")
                for i, message in ipairs(told.messages) do
                    assert.is_true(message.payload == sent[i], "message " .. i .. " differs")
                end
                assert.same({}, told.downs)
                wait_until(function() return conn:stats().pending == 0 end, TIMEOUT, "PUBACKs")
            end)
        end

        it("does not spin while it is full, and goes on when the peer reads again", function()
            local broker = fake([[
                small_buffers = true
                function on.publish(c, p)
                    if p.topic == "stop" then
                        print("stopped")
                        local go = io.open(p.payload .. "/go")
                        while not go do socket.sleep(0.01); go = io.open(p.payload .. "/go") end
                        go:close()
                    elseif p.qos > 0 then
                        c:send(mqtt.puback(p.id))
                    end
                end
                socket = require("socket")
            ]])
            local dir = assert(fs.tempdir())
            finally(function() fs.remove(dir, { recursive = true }) end)
            local conn, told = up(to(broker, { keep_alive = 3600 })) -- nothing else may help
            local other = up(to(plain_broker, { client_id = "busy" }))
            conn:post("stop", dir, { qos = 0 })
            broker:wait("^stopped", TIMEOUT)
            for _ = 1, 60 do assert(conn:post("spec/full", ("x"):rep(100 * 1024), { qos = 0 })) end
            local before
            wait_until(function() -- until no more goes out
                local same = before == conn:stats().bytes_out
                before = conn:stats().bytes_out
                for _ = 1, 10 do other:publish("spec/beat", "x") end
                return same
            end, TIMEOUT, "the pump to be full")
            assert.is_true(conn:stats().pending > 0, "the peer took everything: it was never full")
            local turns, cpu = conn:stats().turns, os.clock()
            for _ = 1, 200 do other:publish("spec/beat", "x") end
            assert.equal(turns, conn:stats().turns)
            cpu = os.clock() - cpu
            assert.is_true(cpu < 2, ("200 round trips took %.1f s of CPU"):format(cpu))
            assert(fs.write(dir .. "/go", ""))
            assert.is_true(conn:post("spec/last", "done"))
            broker:wait("publish .* topic=spec/last", TIMEOUT)
            assert.equal(60, #broker:lines("topic=spec/full size=102400"))
            assert.same({}, told.downs)
        end)

        it("stops reading from a peer that takes no answers, and loses nothing by it", function()
            local broker = fake([[
                local socket, total, rest = require("socket"), 3000, nil
                small_buffers = true
                local all = {}
                for i = 1, total do
                    all[i] = mqtt.publish("spec/in", ("%5d"):format(i) .. ("x"):rep(1000), 1, i)
                end
                rest = table.concat(all)
                local function send_some(c, seconds)
                    c.socket:settimeout(seconds)
                    local last, _, partly = c.socket:send(rest)
                    c.socket:settimeout(nil)
                    rest = rest:sub((last or partly) + 1)
                end
                function on.publish(c, p)
                    if p.topic == "stop" then
                        print("stopped")
                        while not io.open(p.payload .. "/fill") do socket.sleep(0.01) end
                        send_some(c, 0.5)
                        print("filled " .. #rest)
                        while not io.open(p.payload .. "/go") do socket.sleep(0.01) end
                    else
                        send_some(c, p.topic == "spec/last" and 60 or 0)
                    end
                    if p.qos > 0 then c:send(mqtt.puback(p.id)) end
                end
            ]])
            local dir = assert(fs.tempdir())
            finally(function() fs.remove(dir, { recursive = true }) end)
            local conn, told = up(to(broker, { keep_alive = 3600 })) -- nothing else may help
            conn:post("stop", dir, { qos = 0 })
            broker:wait("^stopped", TIMEOUT)
            for _ = 1, 60 do assert(conn:post("spec/full", ("x"):rep(100 * 1024), { qos = 0 })) end
            assert(fs.write(dir .. "/fill", ""))
            broker:wait("^filled", TIMEOUT)
            assert.is_true(conn:stats().pending > 0, "the peer took everything: it was never full")
            assert.is_true(conn:stats().bytes_in <= 320 * 1024, conn:stats().bytes_in)
            assert(fs.write(dir .. "/go", ""))
            assert.is_true(conn:post("spec/last", "done"))
            wait_until(function() return #told.messages == 3000 end, TIMEOUT, "all messages")
            for i, message in ipairs(told.messages) do
                assert(message.payload:sub(1, 5) == ("%5d"):format(i), "message " .. i)
            end
            assert.same({}, told.downs)
        end)

        it("costs no wake-up while nothing happens", function()
            local conn = up(to(plain_broker, { client_id = "idle" }))
            local other = up(to(plain_broker, { client_id = "not-idle" }))
            local turns = conn:stats().turns
            for _ = 1, 50 do other:publish("spec/beat", "x") end
            assert.equal(turns, conn:stats().turns)
        end)

        it("drops a message that is larger than payload_max, and goes on", function()
            local conn, told = up(to(plain_broker, { client_id = "small", payload_max = 1000 }))
            local other = up(to(plain_broker, { client_id = "large" }))
            conn:subscribe("spec/size", 1)
            assert.is_true(other:publish("spec/size", ("x"):rep(1001)))
            assert.is_true(other:publish("spec/size", ("y"):rep(1000)))
            wait_until(function() return told.messages[1] end, TIMEOUT, "the smaller one")
            assert.equal(1, #told.messages)
            assert.equal(("y"):rep(1000), told.messages[1].payload)
        end)

        it("ends the link before a packet of 200 MB takes memory, and connects again", function()
            local broker = fake([[
                function on.subscribe(c, p)
                    c:send(mqtt.suback(p.id, { 1 }))
                    if c.number > 1 then return end
                    -- its header comes in two reads, behind a good message
                    c:send(mqtt.publish("spec/good", "x", 0) .. "\x30\x80")
                    require("socket").sleep(0.02)
                    c:send("\x84\xaf\x5f\0\4spec")
                    local chunk = ("x"):rep(1 << 20)
                    for _ = 1, 48 do if not c.socket:send(chunk) then break end end
                end
            ]])
            local run = exec.run{ "/proc/self/exe", "lua", "-e", ([[
                local function peak() -- kB
                    local status = require("hob.fs").read("/proc/self/status")
                    return tonumber(status:match("VmHWM:%%s*(%%d+)"))
                end
                local downs, got = {}, {}
                local conn = require("hob.mqtt").connect{ host = "127.0.0.1", port = %d,
                    tls = false, client_id = "big", backoff_base = 0.02,
                    on_down = function(message, code)
                        downs[#downs + 1] = code .. " " .. message
                    end,
                    on_message = function(topic) got[#got + 1] = topic end }
                assert(conn:wait_up(%d))
                local before = peak()
                conn:subscribe("spec/#")
                while #downs == 0 do require("hob.time").sleep(0.005) end
                assert(conn:wait_up(%d))
                assert(conn:subscribe("spec/#"))
                print(got[1], #downs, downs[1], peak() - before)
                conn:close()
            ]]):format(broker.port, TIMEOUT, TIMEOUT), timeout = 2 * TIMEOUT }
            local message, grown = run.stdout:match("^spec/good\t1\t(.*)\t(%d+)\n$")
            assert(message, run.stdout .. run.stderr)
            assert.matches(" a packet of 200000005 bytes: the limit is 1179648$", message)
            assert.matches("^EMSGSIZE 127.0.0.1:", message)
            -- A sanitizer keeps what was freed for a while; 200 MB it would still show.
            local limit = shims.is_sanitized() and 120 or 12
            assert.is_true(tonumber(grown) < limit * 1024, grown .. " kB more")
            assert.matches("WARN +conn%.lost code=EMSGSIZE .*a packet of 200000005 bytes",
                run.stderr)
        end)

        it("drops what is only somewhat larger than payload_max, up to 1 MB", function()
            local broker = fake([[
                function on.subscribe(c, p)
                    c:send(mqtt.publish("spec/size", ("x"):rep((1 << 20) + (1 << 17) - 16), 0))
                    c:send(mqtt.suback(p.id, { 1 }) .. mqtt.publish("spec/size", "small", 0))
                    c:send(mqtt.publish("spec/size", ("x"):rep((1 << 20) + (1 << 17)), 0))
                end
            ]])
            local conn, told = up(to(broker, { payload_max = 1000 }))
            assert.same({ 1 }, conn:subscribe("spec/size"))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end by the larger one")
            assert.equal(1, #told.messages)
            assert.equal("small", told.messages[1].payload)
            assert.equal("EMSGSIZE", told.downs[1].code)
        end)

        it("ends the link at a message of QoS 2, or of the QoS that does not exist", function()
            for _, first in ipairs{ 0x34, 0x36, 0x3d } do
                local broker = fake(([[
                    function on.subscribe(c, p)
                        c:send(mqtt.publish("spec/good", "x", 0)
                            .. mqtt.packet(%d, "\0\4spec\0\1x") .. mqtt.suback(p.id, { 1 }))
                    end
                ]]):format(first))
                local conn, told = up(to(broker))
                assert.equal("ENOTCONN", select(3, conn:subscribe("spec/#")))
                wait_until(function() return told.downs[1] end, TIMEOUT, "the end")
                assert.matches(": the broker sent a QoS 2 message, which was never asked for$",
                    told.downs[1].message)
                assert.equal("EPROTO", told.downs[1].code)
                assert.equal(1, #told.messages)
                wait_until(function() return #told.ups == 2 end, TIMEOUT, "the next connection")
                assert.same({}, broker:lines("^packet 5")) -- PUBREC
            end
        end)

        it("ends the link at a length that has no end", function()
            local broker = fake([[
                function on.subscribe(c) c:send("\x30\x80\x80\x80\x80\x80\1") end
            ]])
            local conn, told = up(to(broker))
            assert.equal("ENOTCONN", select(3, conn:subscribe("a")))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end")
            assert.matches(": a packet whose length has no end$", told.downs[1].message)
            assert.equal("EPROTO", told.downs[1].code)
            wait_until(function() return #told.ups == 2 end, TIMEOUT, "the second connection")
        end)
    end)

    describe("publish", function()
        it("gives EMSGSIZE, EINVAL and ENOTCONN without asking the broker", function()
            local conn = up(to(plain_broker, { client_id = "limits" }))
            local _, message, code = conn:publish("t", ("x"):rep(256 * 1024 + 1))
            assert.equal("EMSGSIZE", code)
            assert.matches("larger than", message, 1, true)
            assert.equal("EINVAL", select(3, conn:publish("t/+", "x")))
            assert.equal("EINVAL", select(3, conn:publish("", "x")))
            local nobody = connect(to(plain_broker, { client_id = "down", port = 1 }))
            assert.equal("ENOTCONN", select(3, nobody:publish("t", "x")))
            assert.equal("ENOTCONN", select(3, nobody:post("t", "x")))
        end)

        it("takes a burst of thousands", function()
            local conn, told = up(to(plain_broker, { client_id = "burst" }))
            conn:subscribe("spec/burst", 1)
            for i = 1, 4000 do assert(conn:post("spec/burst", tostring(i))) end
            wait_until(function() return #told.messages == 4000 end, 60, "the burst")
            for i = 1, 4000 do assert(told.messages[i].payload == tostring(i)) end
            wait_until(function() return conn:stats().pending == 0 end, TIMEOUT, "PUBACKs")
        end)

        it("refuses with EBUSY what it cannot hold any more", function()
            local broker = fake("function on.publish() end")
            local conn = up(to(broker))
            for _ = 1, 4096 do assert(conn:post("spec/never", "x")) end
            local _, message, code = conn:post("spec/never", "x")
            assert.equal("EBUSY", code)
            assert.matches("too many messages wait", message, 1, true)
            conn:reconnect("start again")
            assert(conn:wait_up(TIMEOUT))
            for _ = 1, 32 do assert(conn:post("spec/never", ("x"):rep(256 * 1024))) end
            assert.equal("EBUSY", select(3, conn:post("spec/never", "x")))
        end)

        it("ends with ENOTCONN when the link breaks first, and is not sent again", function()
            local broker = fake([[
                function on.publish(c, p)
                    if c.number == 1 then c:reset() else c:send(mqtt.puback(p.id)) end
                end
            ]])
            local conn, told = up(to(broker))
            local done, message, code = conn:publish("spec/cut", "only once")
            assert.is_nil(done)
            assert.equal("ENOTCONN", code)
            assert.matches("not connected", message, 1, true)
            wait_until(function() return #told.ups == 2 end, TIMEOUT, "the second connection")
            assert.is_true(conn:publish("spec/after", "x"))
            broker:wait("topic=spec/after", TIMEOUT)
            assert.equal(1, #broker:lines("topic=spec/cut"))
            assert.is_true(conn:publish("spec/cut", "again, by us"))
            broker:wait("dup=false qos=1 topic=spec/cut", TIMEOUT, 2)
        end)

        it("ends with ECANCELED when the connection is closed", function()
            local broker = fake("function on.publish(c, p) end")
            local conn = up(to(broker))
            local code
            time.after(0, function() code = select(3, conn:publish("spec/never", "x")) end)
            broker:wait("topic=spec/never", TIMEOUT)
            conn:close()
            wait_until(function() return code end, TIMEOUT, "the publish to end")
            assert.equal("ECANCELED", code)
        end)

        it("queues nothing while the broker has not said CONNACK", function()
            local dir = assert(fs.tempdir())
            finally(function() fs.remove(dir, { recursive = true }) end)
            local broker = fake(([[
                function on.connect(c)
                    while not io.open("%s/go") do require("socket").sleep(0.01) end
                    c:send(mqtt.connack(0))
                end
            ]]):format(dir))
            local conn = connect(to(broker))
            broker:wait("^connect", TIMEOUT)
            assert.equal("ENOTCONN", select(3, conn:publish("spec/early", "x")))
            assert(fs.write(dir .. "/go", ""))
            assert(conn:wait_up(TIMEOUT))
            assert.is_true(conn:publish("spec/late", "x"))
            broker:wait("topic=spec/late", TIMEOUT)
            assert.same({ "spec/late" }, broker:lines("topic=(%S+)"))
        end)
    end)

    describe("subscribe", function()
        it("gives what the broker granted, filter by filter", function()
            local broker = fake([[
                function on.subscribe(c, p) c:send(mqtt.suback(p.id, { 1, 128, 0 })) end
            ]])
            local conn = up(to(broker))
            assert.same({ 1, 128, 0 }, conn:subscribe({ "a", "b", "c" }, 1))
            assert.equal("a,b,c", broker:wait("filters=(%S+)", TIMEOUT))
        end)

        it("ends with ENOTCONN when the broker closes instead of answering", function()
            local broker = fake("function on.subscribe(c) c:close() end")
            assert.equal("ENOTCONN", select(3, up(to(broker)):subscribe("a")))
        end)
    end)

    describe("keep-alive", function()
        it("goes by the broker's own interval with MQTT 5", function()
            local broker = fake([[
                function on.connect(c) c:send("\x20\x06\0\0\3\x13\0\3") end
            ]])
            local _, told = up(to(broker, { protocol = 5, keep_alive = 60 }))
            assert.equal("60", broker:wait("keep_alive=(%d+)", TIMEOUT))
            broker:wait("^ping", TIMEOUT, 2)
            assert.same({}, told.downs)
        end)

        it("stops when the broker wants none (MQTT 5), and does not spin", function()
            local broker = fake([[
                function on.connect(c) c:send("\x20\x06\0\0\3\x13\0\0") end
            ]])
            local conn = up(to(broker, { protocol = 5 }))
            local other = up(to(plain_broker, { client_id = "busy" }))
            local turns, start = conn:stats().turns, time.mono()
            wait_until(function()
                other:publish("spec/beat", "x")
                return time.mono() - start > 0.1
            end, TIMEOUT, "ten looks of a timer gone wild")
            assert.equal(turns, conn:stats().turns)
        end)

        it("pings a quiet broker, and gives up one that does not answer", function()
            local broker = fake([[
                local pings = 0
                function on.ping(c)
                    pings = pings + 1
                    if pings == 1 then c:send(mqtt.packet(0xD0, "")) end
                end
            ]])
            local _, told = up(to(broker, { keep_alive = 5 }))
            assert.equal("5", broker:wait("keep_alive=(%d+)", TIMEOUT))
            broker:wait("^ping", TIMEOUT)
            assert.same({}, told.downs)
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end of a dead link")
            broker:wait("^ping", TIMEOUT, 2)
            assert.matches("did not answer a ping within 5 s", told.downs[1].message, 1, true)
            assert.equal("ETIMEDOUT", told.downs[1].code)
        end)
    end)

    describe("reconnecting", function()
        it("begins again with short waits after a link that stood for 5 s", function()
            local broker = fake([[
                function on.connect(c)
                    c:send(mqtt.connack(0))
                    if c.number <= 12 then c:close() end
                end
                function on.publish(c) c:close() end
            ]])
            local base = 0.001
            local conn, told = connect(to(broker, { backoff_base = base, backoff_cap = 0.3 }))
            broker:wait("number=13", TIMEOUT)
            assert(conn:wait_up(TIMEOUT))
            local since = time.mono() -- at the earliest: it was up before
            wait_until(function() return time.mono() - since > 5 end, TIMEOUT, "a stable link")
            local failures = #told.downs
            conn:post("spec/end", "x", { qos = 0 })
            wait_until(function() return #told.downs > failures end, TIMEOUT, "the end")
            local retry = told.downs[failures + 1].retry
            assert.is_true(retry <= base + 1e-9, ("it waits %g s"):format(retry))
            assert(conn:wait_up(TIMEOUT))
        end)

        it("comes back by itself after the broker was killed and started again", function()
            local broker = later(brokers.start(), "stop")
            local conn, told = up(broker:options{ client_id = "phoenix" })
            broker:kill()
            wait_until(function() return #told.downs >= 2 end, TIMEOUT, "a failed attempt")
            assert.equal("ECONNRESET", told.downs[1].code)
            assert.equal("ECONNREFUSED", told.downs[2].code)
            assert.is_false(conn:is_up())
            broker:start_again()
            assert.is_true(conn:wait_up(TIMEOUT))
            assert.is_true(conn:publish("spec/back", "x"))
        end)

        it("waits longer and longer for a broker that accepts and closes at once", function()
            local broker = fake("function on.connect(c) c:send(mqtt.connack(0)) c:close() end")
            local _, told = connect(to(broker, { backoff_base = 0.001, backoff_cap = 0.3 }))
            wait_until(function() return #told.downs >= 12 end, TIMEOUT, "a dozen failures")
            local longest = 0
            for i = 1, 12 do
                local retry, ceiling = told.downs[i].retry, math.min(0.3, 0.001 * 2 ^ (i - 1))
                assert.is_true(retry <= ceiling + 1e-9, ("%d: %g"):format(i, retry))
                longest = math.max(longest, retry)
            end
            assert.is_true(longest > 0.016, "the delays did not grow")
        end)

        it("drops a link that its owner does not trust, and connects at once", function()
            local conn, told = up(to(plain_broker, { client_id = "again", backoff_base = 100,
                backoff_cap = 100 }))
            conn:reconnect("no answer to a request")
            wait_until(function() return #told.ups == 2 end, TIMEOUT, "the second connection")
            assert.same({ { message = "no answer to a request", code = "ENOTCONN", retry = 0 } },
                told.downs)
        end)

        it("says why the broker ended the session (MQTT 5)", function()
            local broker = fake([[
                function on.connect(c) c:send("\x20\x03\x00\x00\x00\xE0\x01\x8E") end
            ]])
            local _, told = connect(to(broker, { protocol = 5 }))
            wait_until(function() return told.downs[1] end, TIMEOUT, "the end")
            assert.equal("EREFUSED", told.downs[1].code)
            assert.matches("the broker ended the session: .*: another client uses the same "
                .. "client id", told.downs[1].message)
        end)
    end)

    describe("close", function()
        it("says DISCONNECT to the broker, and returns when all is closed", function()
            local broker = fake("")
            local conn = up(to(broker))
            assert.is_true(conn:close())
            broker:wait("packet 14", TIMEOUT)
            assert.is_true(conn:close())
            assert.is_false(conn:is_up())
        end)

        it("is told to all who ask for something afterwards", function()
            local conn = up(to(fake("")))
            conn:close()
            local function told(nothing, message, code)
                assert.is_nil(nothing)
                assert.equal("the connection was closed", message)
                assert.equal("ECANCELED", code)
            end
            told(conn:wait_up(1))
            told(conn:wait_up())
            told(conn:post("a", "b"))
            told(conn:publish("a", "b"))
            told(conn:subscribe("a"))
            told(conn:unsubscribe("a"))
            told(conn:listen("a", print))
            told(conn:on_state(print))
            assert.has_error(function() conn:stats() end, "the connection is closed")
        end)

        it("does not take a time to wait that is none", function()
            local conn = up(to(fake("")))
            for _, seconds in ipairs({ -1, 0 / 0, math.huge }) do
                assert.error_matches(function() conn:wait_up(seconds) end,
                    "timeout: expected seconds from 0")
            end
        end)

        -- That a message's delivery collects garbage shows under AddressSanitizer for sure.
        it("may happen to a connection that is garbage while messages come to it", function()
            local sender, going, made = up(plain_broker:options{ client_id = "sender" }), true, 0
            time.after(0, function()
                while going do
                    for _ = 1, 20 do sender:post("garbage", "x") end
                    sender:publish("garbage", "x")
                end
            end)
            for i = 1, 12 do
                time.after(0, function()
                    local conn = mqtt.connect(plain_broker:options{ client_id = "garbage-" .. i })
                    assert(conn:wait_up(TIMEOUT))
                    for _ = 1, 5 do
                        conn:listen("garbage", function() return { {}, {}, {} } end)
                            :subscribe(0, function() end)
                    end
                    made = made + 1
                end)
            end
            wait_until(function() return made == 12 end, TIMEOUT, "the connections")
            local from = sender:stats().bytes_out
            wait_until(function() return sender:stats().bytes_out > from + 20000 end, TIMEOUT,
                "messages to all of them")
            assert.is_true(sender:is_up())
            going = false
        end)

        it("leaves what another object's __gc still does with it without harm", function()
            local said = {}
            local holder_meta = { __gc = function(self)
                for _, fn in ipairs({
                    function() return self.conn:is_up() end,
                    function() return self.conn:post("a", "b") end,
                    function() return tostring(self.conn) end,
                    function() return self.listener:subscribe(1, print) end,
                    function() return self.listener:close() end,
                }) do
                    said[#said + 1] = table.pack(pcall(fn))
                end
            end }
            local broker, made = fake(""), false
            time.after(0, function() -- whose stack keeps nothing afterwards
                local holder = setmetatable({}, holder_meta)
                holder.conn = mqtt.connect(to(broker))
                assert(holder.conn:wait_up(TIMEOUT))
                holder.listener = holder.conn:listen("a", print)
                made = true
            end)
            wait_until(function() return made end, TIMEOUT, "the connection")
            wait_until(function()
                collectgarbage()
                return said[5]
            end, TIMEOUT, "the end of the garbage")
            assert.matches("the connection is garbage", said[1][2])
            assert.matches("the connection is garbage", said[2][2])
            assert.matches("the connection is garbage", said[3][2])
            assert.matches("the listener is garbage", said[4][2])
            assert.is_true(said[5][1])
        end)

        it("first sends what it has taken", function()
            local broker = fake([[
                local socket = require("socket")
                small_buffers = true
                function on.publish(c, p)
                    print("stopped")
                    while not io.open(p.payload .. "/go") do socket.sleep(0.01) end
                    local total = 0
                    repeat
                        local data, ended, part = c.socket:receive(65536)
                        total = total + #(data or part)
                    until ended
                    print("drained " .. total)
                end
            ]])
            local dir = assert(fs.tempdir())
            finally(function() fs.remove(dir, { recursive = true }) end)
            local conn = up(to(broker, { keep_alive = 3600 }))
            conn:post("stop", dir, { qos = 0 })
            broker:wait("^stopped", TIMEOUT)
            local before = conn:stats().bytes_out
            local posted = 0
            repeat -- until neither the kernel nor the connection takes any more
                local out = conn:stats().bytes_out
                assert(conn:post("spec/full", ("x"):rep(200 * 1024), { qos = 0 }))
                posted = posted + 1
                time.sleep(0.01)
            until conn:stats().bytes_out == out
            local taken = conn:stats().bytes_out - before
            assert.is_true(taken < posted * 200 * 1024)
            assert(fs.write(dir .. "/go", ""))
            conn:close()
            local drained = tonumber(broker:wait("^drained (%d+)", TIMEOUT))
            assert.is_true(drained >= taken, ("%d bytes came of %d"):format(drained, taken))
        end)

        it("does not keep a process that ends, whatever the peer does", function()
            for how, code in pairs{ ["error('the end', 0)"] = 1, ["return"] = 0,
                ["conn:post('spec/t', 'x')"] = 0 } do
                local broker = fake([[
                    function on.other(c, p) -- DISCONNECT: never close
                        if p.kind == 14 then require("socket").sleep(1000) end
                    end
                ]])
                local run = exec.run{ "/proc/self/exe", "lua", "-e", ([[
                    local conn = require("hob.mqtt").connect{ host = "127.0.0.1", port = %d,
                        tls = false, client_id = "ends" }
                    assert(conn:wait_up(%d))
                    %s
                ]]):format(broker.port, TIMEOUT, how), timeout = TIMEOUT }
                assert.is_false(run.timed_out, how)
                assert.equal(code, run.code, how .. ": " .. run.stderr)
            end
        end)

        it("works at any moment of connecting", function()
            local broker = fake("function on.connect() end")
            local conn = connect(to(broker))
            conn:close()
            conn = connect(to(broker))
            broker:wait("^connect", TIMEOUT)
            conn:close()
            connect(to(broker, { port = 1 })):close()
            connect(to(broker, { host = "no-such-host.invalid" })):close()
        end)

        it("happens in the background when the object is garbage", function()
            local broker = fake("")
            do
                local conn = mqtt.connect(to(broker))
                assert(conn:wait_up(TIMEOUT))
            end
            wait_until(function()
                collectgarbage()
                return broker:lines("packet 14")[1]
            end, TIMEOUT, "DISCONNECT")
        end)
    end)
end)
