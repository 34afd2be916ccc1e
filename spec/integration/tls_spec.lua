-- Mutual TLS: what works, and that each refusal is told in words of its own.

local exec = require("hob.exec")
local fs = require("hob.fs")
local mqtt = require("hob.mqtt")
local time = require("hob.time")
local brokers = require("spec.support.broker")
local peer = require("spec.support.peer")
local mbed_is_3 = require("spec.support.mbed").is_3
local pkis = require("spec.support.pki")
local wait_until = require("spec.support.wait").wait_until

local TIMEOUT = 30 -- seconds; only a hang takes so long
local DAY = 86400

local opened = {}

local function later(thing, method)
    opened[#opened + 1] = function() thing[method](thing) end
    return thing
end

local function connect(options)
    local told = { ups = 0, downs = {} }
    options.backoff_base = options.backoff_base or 0.02
    options.on_up = function() told.ups = told.ups + 1 end
    options.on_down = function(message, code, retry)
        table.insert(told.downs, { message = message, code = code, retry = retry })
    end
    return later(mqtt.connect(options), "close"), told
end

-- Why the first attempt failed.
local function refusal(options)
    options.backoff_base, options.backoff_cap = 30, 30 -- one attempt is enough
    local conn, told = connect(options)
    wait_until(function() return told.downs[1] or told.ups > 0 end, TIMEOUT, "an end")
    assert.equal(0, told.ups, "it connected")
    assert.is_false(conn:is_up())
    return told.downs[1].message, told.downs[1].code
end

describe("TLS to the broker", function()
    local pki, other_pki, broker

    setup(function()
        pki = pkis.new{ cn = "Spec CA" }
        other_pki = pkis.new{ cn = "Other CA" }
        broker = brokers.start{ pki = pki }
    end)

    teardown(function()
        broker:stop()
        pki:remove()
        other_pki:remove()
    end)

    after_each(function()
        for i = #opened, 1, -1 do opened[i]() end
        opened = {}
    end)

    local function options(more)
        more.client_id = more.client_id or "tls"
        return broker:options(more)
    end

    -- A broker whose own certificate is `server`.
    local function broker_with(server)
        return later(brokers.start{ pki = pki, server = server }, "stop")
    end

    local function says(message, ...)
        for _, words in ipairs{ ... } do
            assert.matches(words, message, 1, true)
        end
    end

    describe("connects", function()
        it("with EC and with RSA certificates", function()
            for _, algorithm in ipairs{ "ec", "rsa" } do
                local own = pki:issue{ cn = algorithm, san = {}, algorithm = algorithm }
                local server = broker_with(pki:issue{ cn = "localhost", algorithm = algorithm })
                local conn = connect(server:options{ client_id = algorithm, cert = own.cert,
                    key = own.key })
                assert.is_true(conn:wait_up(TIMEOUT))
                if conn:describe():find("^TLSv1.2") then -- the suites of TLS 1.3 do not say it
                    assert.matches(algorithm == "ec" and "ECDSA" or "RSA", conn:describe(), 1, true)
                end
            end
        end)

        -- With TLS 1.3 suites are another list.
        it("by ChaCha20-Poly1305 where the broker prefers it, and by AES where it has only that",
            function()
            for suite, words in pairs{ CHACHA20 = "CHACHA20-POLY1305", AESGCM = "GCM" } do
                for _, algorithm in ipairs{ "ec", "rsa" } do
                    local server = later(brokers.start{ pki = pki,
                        server = pki:issue{ cn = "localhost", algorithm = algorithm },
                        conf = "tls_version tlsv1.2\nciphers ECDHE+" .. suite }, "stop")
                    local conn = connect(server:options{ client_id = algorithm })
                    assert.is_true(conn:wait_up(TIMEOUT))
                    if conn:describe():find("^TLSv1.2") then
                        assert.matches(words, conn:describe(), 1, true)
                    end
                end
            end
        end)

        it("with an encrypted key and its passphrase", function()
            for _, algorithm in ipairs{ "ec", "rsa" } do
                local own = pki:issue{ cn = "locked", san = {}, algorithm = algorithm,
                    passphrase = "abracadabra" }
                local conn = connect(options{ cert = own.cert, key = own.key,
                    key_passphrase = "abracadabra" })
                assert.is_true(conn:wait_up(TIMEOUT))
            end
        end)

        it("resumes the session when it connects again", function()
            local conn, told = connect(options{})
            assert(conn:wait_up(TIMEOUT))
            assert.not_matches("resumed", conn:describe())
            conn:reconnect("to see")
            wait_until(function() return told.ups == 2 end, TIMEOUT, "the second connection")
            assert.matches(", resumed$", conn:describe())
            assert.is_true(conn:publish("spec/resumed", "x"))
        end)

        it("does not resume a session of a certificate that was replaced since", function()
            local own = pki:issue{ cn = "first", san = {} }
            local conn, told = connect(options{ cert = own.cert, key = own.key })
            assert(conn:wait_up(TIMEOUT))
            local new = pki:issue{ cn = "second", san = {} }
            assert(fs.write(own.cert, fs.read(new.cert)))
            assert(fs.write(own.key, fs.read(new.key)))
            conn:reconnect("the certificate was replaced")
            wait_until(function() return told.ups == 2 end, TIMEOUT, "the second connection")
            assert.not_matches("resumed", conn:describe())
        end)

        it("does not resume a session when the list of CAs is another one", function()
            local list = pki.dir .. "/list.crt"
            assert(fs.write(list, fs.read(pki.ca)))
            local conn, told = connect(options{ ca = list })
            assert(conn:wait_up(TIMEOUT))
            assert(fs.write(list, fs.read(other_pki.ca) .. fs.read(pki.ca)))
            conn:reconnect("the list was replaced")
            wait_until(function() return told.ups == 2 end, TIMEOUT, "the second connection")
            assert.not_matches("resumed", conn:describe())
        end)

        it("does not resume a session of a server whose certificate has expired since", function()
            local ends_in = 5
            local server = later(brokers.start{ pki = pki,
                server = pki:issue{ cn = "localhost", to = ends_in } }, "stop")
            local ends_at = time.now() + ends_in
            local conn, told = connect(server:options{ client_id = "late" })
            assert(conn:wait_up(TIMEOUT))
            conn:reconnect("it is valid yet")
            wait_until(function() return told.ups == 2 end, TIMEOUT, "the second connection")
            assert.matches(", resumed$", conn:describe())
            wait_until(function() return time.now() > ends_at + 1 end, TIMEOUT, "its end")
            conn:reconnect("it is valid no more")
            wait_until(function() return told.downs[3] or told.ups == 3 end, TIMEOUT, "an answer")
            assert.equal(2, told.ups)
            assert.matches("the server's certificate expired", told.downs[3].message, 1, true)
        end)
    end)

    describe("holds", function()
        -- A list of CAs takes 2 KB for each, and a connection about 45 KB.
        it("nothing of its files once the server has spoken", function()
            local heap = require("hob_units").tls.heap
            if heap() == 0 then return pending("another allocator counts nothing") end
            local many, COUNT = pki.dir .. "/many.crt", 10
            assert(fs.write(many, fs.read(pki.ca):rep(200)))
            local function all_of(name)
                local list = {}
                for i = 1, COUNT do
                    list[i] = connect(options{ client_id = name .. i, ca = many })
                    assert(list[i]:wait_up(TIMEOUT))
                end
                return list
            end
            all_of("first") -- what is made once is made
            collectgarbage()
            collectgarbage()
            local before = heap()
            all_of("second")
            local each = (heap() - before) / COUNT
            assert.is_true(each > 30000 and each < 100000, ("%.0f bytes each"):format(each))
        end)
    end)

    describe("refuses the broker", function()
        it("whose issuer is not in the CA file, and names the issuer", function()
            local message, code = refusal(options{ ca = other_pki.ca })
            assert.equal("ETLS", code)
            says(message, "localhost:" .. broker.port .. ": the server's certificate comes from "
                .. 'the issuer "CN=Spec CA", which is not in the CA file ' .. other_pki.ca)
            local self = later(pkis.new{ cn = "localhost" }, "remove")
            local alone = broker_with{ cert = self.ca, key = self.dir .. "/ca.key" }
            says(refusal(alone:options{ client_id = "c" }),
                '"CN=localhost" (it signed itself), which is not in the CA file')
        end)

        it("whose issuer only has the name of one in the CA file", function()
            local namesake = pkis.new{ cn = "Spec CA" }
            finally(function() namesake:remove() end)
            says(refusal(options{ ca = namesake.ca }),
                '"CN=Spec CA", which is not the one of that name (another key) in the CA file')
        end)

        it("whose certificate has expired, and says since when", function()
            local server = broker_with(pki:issue{ cn = "localhost", from = -9 * DAY,
                to = -3 * DAY })
            local message = refusal(server:options{ client_id = "c" })
            says(message, "the server's certificate expired 3 days ago, on 20")
        end)

        it("whose certificate is not valid yet, and says what the clock says", function()
            local server = broker_with(pki:issue{ cn = "localhost", from = 2 * DAY + 60 })
            local message = refusal(server:options{ client_id = "c" })
            says(message, "the server's certificate is not valid yet: it begins in 2 days, on 20",
                "the clock says " .. os.date("!%Y-%m-%dT"))
        end)

        it("whose certificate is for another name, and lists its names", function()
            local server = broker_with(pki:issue{ cn = "ignored",
                san = { "DNS:gateway.example", "DNS:*.b.example", "IP:10.1.2.3" } })
            says(refusal(server:options{ client_id = "c" }), "the server's certificate is for "
                .. "gateway.example, *.b.example, 10.1.2.3, not for localhost")
            server = broker_with(pki:issue{ cn = "only-a-cn", san = {} })
            says(refusal(server:options{ client_id = "c" }),
                "the server's certificate is for CN=only-a-cn, not for localhost")
        end)

        it("for several causes at once, and names them all", function()
            local server = broker_with(pki:issue{ cn = "x", san = { "DNS:x" }, from = -9 * DAY,
                to = -2 * DAY })
            says(refusal(server:options{ client_id = "c", ca = other_pki.ca }),
                "expired 2 days ago", "is for x, not for localhost", "which is not in the CA file")
        end)

        it("that is addressed by an IP address which its certificate lacks", function()
            local server = broker_with(pki:issue{ cn = "x", san = { "DNS:x" } })
            local message = refusal(server:options{ client_id = "c", host = "127.0.0.1" })
            says(message, "is for x, not for 127.0.0.1")
            if not mbed_is_3() then
                says(message, "does not compare IP addresses: connect by a name")
                says(refusal(options{ host = "127.0.0.1" }), "not for 127.0.0.1")
            end
        end)

        it("that speaks nothing newer than TLS 1.1", function()
            local newest = pki.dir .. "/openssl.cnf" -- mosquitto's tls_version says the oldest
            assert(fs.write(newest, "openssl_conf = a\n[a]\nssl_conf = b\n[b]\n"
                .. "system_default = c\n[c]\nMaxProtocol = TLSv1.1\n"))
            local old = later(brokers.start{ pki = pki, env = { OPENSSL_CONF = newest },
                conf = "tls_version tlsv1.1\nciphers DEFAULT@SECLEVEL=0" }, "stop")
            exec.check{ "openssl", "s_client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0",
                "-verify_return_error", "-CAfile", pki.ca, "-cert", old.client.cert, "-key",
                old.client.key, "-connect", "localhost:" .. old.port, stdin = "",
                timeout = TIMEOUT } -- it does speak that
            local message, code = refusal(old:options{ client_id = "c" })
            assert.equal("ETLS", code)
            says(message, "does not speak TLS 1.2, the oldest that Hob takes")
        end)

        it("that does not speak TLS", function()
            local plain = later(brokers.start(), "stop")
            local message, code = refusal(options{ port = plain.port })
            assert.equal("ETLS", code)
            says(message, "does it speak TLS on this port?")
            local chatty = later(peer.start("greeter", "SSH-2.0-OpenSSH_9.2\r\n"), "stop")
            says(refusal(options{ port = chatty.port }),
                'the server does not speak TLS on this port: it answered "SSH-2.0-OpenSSH_9.2..')
        end)
    end)

    describe("says what the broker disliked about us", function()
        it("when it wants a client certificate and we have none", function()
            local o = options{}
            o.cert, o.key = nil, nil
            local message, code = refusal(o)
            assert.equal("ETLS", code)
            says(message, "it wants a client certificate, and none is configured: set cert and key")
        end)

        it("when it does not know the issuer of our certificate", function()
            local own = other_pki:issue{ cn = "stranger", san = {} }
            local message = refusal(options{ cert = own.cert, key = own.key })
            says(message, "did not accept our certificate " .. own.cert,
                'issued by "CN=Other CA"', "unknown CA")
        end)

        it("when our certificate has expired", function()
            local own = pki:issue{ cn = "late", san = {}, from = -9 * DAY, to = -4 * DAY }
            says(refusal(options{ cert = own.cert, key = own.key }),
                "our certificate expired 4 days ago", own.cert)
        end)

        it("when it closes or resets during the handshake without a word", function()
            for _, how in ipairs{ "close", "reset" } do
                local rude = later(peer.start("greeter", "", how), "stop")
                says(refusal(options{ port = rude.port }),
                    "closed the connection before it answered the TLS handshake")
            end
        end)
    end)

    describe("names the file", function()
        local function with(name, path, words, wanted)
            local message, code = refusal(options{ [name] = path })
            says(message, path .. ": ", words)
            assert.equal(wanted or "ETLS", code)
        end

        local function file(text)
            local path = ("%s/bad-%d.pem"):format(pki.dir, math.random(1 << 40))
            assert(fs.write(path, text))
            return path
        end

        it("that is missing", function()
            for _, name in ipairs{ "ca", "cert", "key" } do
                with(name, "/nonexistent/" .. name .. ".pem", "No such file", "ENOENT")
            end
        end)

        it("that is a directory", function()
            with("ca", pki.dir, "Is a directory", "EIO")
        end)

        it("that is not PEM, or holds something else", function()
            local noise, empty = file("\0\1\2noise"), file("")
            for _, name in ipairs{ "ca", "cert", "key" } do
                with(name, noise, "not a PEM file")
                with(name, empty, "not a PEM file")
            end
            with("ca", broker.client.key, 'no certificate in it, but "PRIVATE KEY"')
            with("cert", broker.client.key, 'no certificate in it, but "PRIVATE KEY"')
            with("key", broker.client.cert, 'no private key in it, but "CERTIFICATE"')
            with("ca", file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "damaged certificate")
            with("key", file("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                "damaged key")
        end)

        it("of a key that does not match the certificate", function()
            local other = pki:issue{ cn = "other", san = {} }
            with("key", other.key, "the key does not match the certificate " .. broker.client.cert)
            other = pki:issue{ cn = "other", san = {}, algorithm = "rsa" }
            with("key", other.key, "the key does not match the certificate")
        end)

        it("of an encrypted key whose passphrase is missing or wrong", function()
            local own = pki:issue{ cn = "locked", san = {}, passphrase = "abracadabra" }
            local function locked(passphrase)
                return (refusal(options{ cert = own.cert, key = own.key,
                    key_passphrase = passphrase }))
            end
            says(locked(nil), own.key .. ": the key is encrypted and no passphrase is given: "
                .. "set key_passphrase")
            says(locked("simsalabim"), own.key .. ": the passphrase is wrong")
        end)

        it("of a key in an encryption that cannot be read, and says how to convert it", function()
            local path = pki.dir .. "/pbes2.key"
            exec.check{ "openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x",
                "-in", broker.client.key, "-out", path }
            local o = options{ key = path, key_passphrase = "x" }
            if mbed_is_3() then -- it reads this one
                assert.is_true(connect(o):wait_up(TIMEOUT))
                o.key_passphrase = "y"
                says(refusal(o), path .. ": the passphrase is wrong")
            else
                says(refusal(o), path .. ": ", "openssl pkey")
            end
        end)

        it("that is needed: a CA always, a certificate and its key together", function()
            local o = options{}
            o.ca = nil
            says(refusal(o), "TLS needs a CA file: set ca")
            o = options{}
            o.key = nil
            says(refusal(o), "needs both files, cert and key; only cert is given")
        end)
    end)

    describe("tries again", function()
        it("and connects once the bad file is replaced (field failure 15)", function()
            local own = pki:issue{ cn = "mended", san = {} }
            local good_key, other = fs.read(own.key), pki:issue{ cn = "other", san = {} }
            assert(fs.write(own.key, fs.read(other.key)))
            local conn, told = connect(options{ cert = own.cert, key = own.key,
                backoff_cap = 0.05 })
            wait_until(function() return #told.downs >= 2 end, TIMEOUT, "two refusals")
            assert(fs.write(own.key, good_key))
            assert.is_true(conn:wait_up(TIMEOUT))
        end)

        it("and connects in the same process once the bad CA file is replaced", function()
            local ca = pki.dir .. "/replaced.crt"
            assert(fs.write(ca, fs.read(other_pki.ca)))
            local conn, told = connect(options{ ca = ca, backoff_cap = 0.05 })
            wait_until(function() return #told.downs >= 2 end, TIMEOUT, "two refusals")
            assert(fs.write(ca, fs.read(pki.ca)))
            assert.is_true(conn:wait_up(TIMEOUT))
        end)

        it("after delays that grow, and differ between processes (field failure 9)", function()
            local code = ([[
                local time, delays = require("hob.time"), {}
                local conn = require("hob.mqtt").connect{ host = "localhost", port = %d,
                    client_id = "c", ca = "/nonexistent", backoff_base = 0.001, backoff_cap = 0.1,
                    on_down = function(_, _, retry) delays[#delays + 1] = retry end }
                while #delays < 12 do time.sleep(0.005) end
                conn:close()
                print(table.concat(delays, " ", 1, 12))
            ]]):format(broker.port)
            local delays = {}
            for i = 1, 2 do
                local run = exec.check{ "/proc/self/exe", "lua", "-e", code, timeout = TIMEOUT }
                delays[i] = run.stdout
                assert.matches("WARN +conn%.refused code=ENOENT .*no connection: CA file "
                    .. "/nonexistent: No such file or directory: check the path; next try in "
                    .. "0%.%d s", run.stderr)
                local n, longest = 0, 0
                for delay in run.stdout:gmatch("%S+") do
                    local ceiling = math.min(0.1, 0.001 * 2 ^ n)
                    n = n + 1
                    longest = math.max(longest, tonumber(delay))
                    assert.is_true(tonumber(delay) <= ceiling, run.stdout)
                end
                assert.equal(12, n)
                assert.is_true(longest > 0.008, "they did not grow: " .. run.stdout)
            end
            assert.not_equal(delays[1], delays[2])
        end)
    end)
end)
