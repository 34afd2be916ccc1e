-- hob.http: what it does when a server or a link is not as it should be, and sending. One try each
-- is in download_spec.

local exec = require("hob.exec")
local fs = require("hob.fs")
local http = require("hob.http")
local httpd = require("hob.httpd")
local peer = require("spec.support.peer")
local pki_of = require("spec.support.pki")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

local FILE = ("0123456789abcdef"):rep(65536) -- as spec/support/peers/http_bad.lua has it
local CUT = #FILE * 3 // 10
local SECRET = "X-Amz-Signature=secret0"
local SOON = 0.001

describe("hob.http", function()
    local server, dir, to, digest

    setup(function()
        server = peer.start("http_bad")
        digest = exec.check({ "sha256sum", stdin = FILE }).stdout:match("%x+")
    end)

    teardown(function()
        server:stop()
    end)

    before_each(function()
        dir = assert(fs.tempdir())
        to = dir .. "/image"
    end)

    after_each(function()
        fs.remove(dir, { recursive = true })
    end)

    local function url(path)
        return ("http://127.0.0.1:%d%s"):format(server.port, path)
    end

    local function requests(path)
        return server:lines("^GET " .. path .. ".*")
    end

    -- `to` is whole or absent, and no message holds a signature.
    local function get(path, options)
        options = options or {}
        options.url = options.url or url(path .. "?" .. SECRET)
        options.to, options.backoff = to, SOON
        local result, message, code, refusal = http.download(options)
        if result then
            assert.is_true(FILE == fs.read(to))
        else
            assert.is_nil(fs.stat(to))
            assert.is_nil(message:find("secret0", 1, true), message)
        end
        return result, message, code, refusal
    end

    describe("download", function()
        it("goes on after a connection that broke at 30 % (field failure 18)", function()
            local result = assert(get("/cut", { sha256 = digest }))
            assert.equals(CUT, result.resumed_from)
            assert.equals(2, #requests("/cut"))
        end)

        it("gives up after so many tries that brought nothing, keeping the part", function()
            local result, message, code = get("/drops", { tries = 4 })
            assert.is_nil(result)
            assert.equals("ECONNRESET", code)
            assert.equals(("%s: the connection broke after %d of %d bytes; gave up after 4 tries")
                :format(url("/drops"), CUT, #FILE), message)
            assert.equals(4, #requests("/drops"))
            assert.equals(CUT, fs.stat(to .. ".part").size)
        end)

        it("does not give up while each try brings more", function()
            local result = assert(get("/flaky", { sha256 = digest, tries = 2 }))
            assert.equals(#FILE, result.bytes)
            assert.equals(math.ceil(#FILE / 100000), #requests("/flaky"))
        end)

        it("begins again when the server takes no Range", function()
            local result = assert(get("/norange", { sha256 = digest }))
            assert.equals(0, result.resumed_from)
        end)

        it("begins again when the parts were of two files", function()
            assert(get("/mixed", { sha256 = digest }))
            assert.equals(3, #requests("/mixed"))
        end)

        it("tries again when the server is busy, but not when it refuses", function()
            assert(get("/busy"))
            assert.equals(2, #requests("/busy"))
            fs.remove(to)
            local before = #requests("/nowhere")
            local _, message, code = get("/nowhere")
            assert.equals("EHTTP", code)
            assert.equals("HTTP 404 from " .. url("/nowhere") .. ": none", message)
            assert.equals(before + 1, #requests("/nowhere"))
        end)

        it("leaves no time for another try when the time is up", function()
            local _, message, code = http.download({ url = url("/drops"), to = to, timeout = 5,
                tries = 100, backoff = 1000 })
            assert.equals("ECONNRESET", code)
            assert.matches("no time for another try within 5 s", message, 1, true)
        end)

        it("refuses a file of another size than the one that is asked for", function()
            local _, message, code = get("/whole", { size = #FILE + 1 })
            assert.equals("ELENGTH", code)
            assert.equals(("%s has %d bytes, expected %d"):format(url("/whole"), #FILE, #FILE + 1),
                message)
            _, message, code = get("/short", { size = 20 }) -- says 10, sends 20
            assert.equals("ELENGTH", code)
            assert.matches("has 10 bytes, expected 20", message, 1, true)
            assert.same({}, fs.list(dir))
        end)

        it("says how much came if the server promised more", function()
            local _, message, code = get("/lie")
            assert.equals("ECONNRESET", code)
            assert.matches(("after %d of %d bytes; gave up after 3 tries")
                :format(#FILE, 2 * #FILE), message, 1, true)
        end)

        it("hands the URL on as it came (field failure 18)", function()
            local odd = "/whole/a%2Fb%zz/../%20+?x=%2B%3d&y=%&" .. SECRET .. "%2F=="
            assert(get(nil, { url = url(odd) }))
            assert.equals(1, #server:lines("^GET " .. odd:gsub("%p", "%%%0") .. " "))
        end)

        it("refuses a URL with what no URL holds, and says where it is", function()
            for bad, at in pairs({ ["/a b?" .. SECRET] = 24, ["/a\nHost:x"] = 24, ["/\127"] = 23 })
            do
                local address = "http://127.0.0.1:4242" .. bad
                local result, message, code = http.download({ url = address, to = to })
                assert.is_nil(result)
                assert.equals("EINVAL", code)
                assert.equals("url: expected neither blanks nor control characters, got one at " ..
                    "character " .. at .. " (a blank is written %20)", message)
            end
        end)

        it("says before the first byte that the file has no room (field failure 13)", function()
            local _, message, code = get("/huge")
            assert.equals("ENOSPC", code)
            assert.equals(to .. ": needs 1000000000000000 bytes, N are free",
                (message:gsub(", %d+ are", ", N are")))
            assert.same({}, fs.list(dir))
        end)
    end)

    describe("refresh", function()
        local asked

        local function fresh(path)
            asked = 0
            return function()
                asked = asked + 1
                time.sleep(0) -- it may wait, as job:fresh_args does
                return url(path .. "?sig=new&" .. SECRET)
            end
        end

        it("asks for another URL when it has expired, and goes on by Range (field failure 18)",
            function()
                local result = assert(get("/midway", { refresh = fresh("/midway"),
                    sha256 = digest }))
                assert.equals(CUT, result.resumed_from)
                assert.equals(1, asked)
            end)

        it("takes 403 and ExpiredToken for that", function()
            assert(get("/s3", { refresh = fresh("/s3") }))
            assert(get("/token", { refresh = fresh("/token") }))
            assert.equals(1, asked)
        end)

        it("names the server's reason, and why there is no other URL", function()
            local function refused(refresh, why)
                local result, message, code, refusal = get("/s3", { refresh = refresh })
                assert.is_nil(result)
                assert.equals("EHTTP", code)
                assert.equals(("HTTP 403 from %s: AccessDenied: Request has expired%s")
                    :format(url("/s3"), why), message)
                assert.equals(403, refusal.status)
            end
            refused(nil, "")
            refused(function() return nil, "the job is gone" end,
                "; no fresh URL: the job is gone")
            refused(function() return url("/s3?" .. SECRET) end, "; the fresh URL is the same")
            local n = 0
            refused(function()
                n = n + 1
                return url("/s3?" .. n)
            end, "; so it was with 3 fresh URLs")
            assert.equals(3, n)
        end)

        it("does not ask for other refusals", function()
            local _, _, code = get("/nowhere", { refresh = fresh("/nowhere") })
            assert.equals("EHTTP", code)
            assert.equals(0, asked)
        end)

        it("passes an error of its own on", function()
            assert.error_matches(function()
                get("/s3", { refresh = function() error("oh", 0) end })
            end, "^oh$")
            assert.error_matches(function()
                get("/s3", { refresh = function() return 42 end })
            end, "refresh: expected it to return a string, got number")
        end)
    end)

    describe("the words of a refusal", function()
        it("come from S3's XML, AWS's JSON, a page or a text, without queries", function()
            local function words(path)
                local _, message = get(path)
                return message:match(": ([^/].*)$")
            end
            assert.equals("AccessDenied: Request has expired", words("/s3"))
            assert.equals("Under repair; gave up after 3 tries", words("/page"))
            assert.equals(("no such thing: http://here/repeats~ sorry"), words("/repeats"))
        end)
    end)

    describe("TLS", function()
        local pki, tls

        setup(function()
            pki = pki_of.new()
            local pair = pki:issue({ cn = "localhost" })
            tls = peer.start("tls_http", pair.cert, pair.key, pki.ca)
        end)

        teardown(function()
            tls:stop()
            pki:remove()
        end)

        local function secure(path, options)
            local client = pki:issue({ cn = "thing-1", san = {}, passphrase = options.passphrase })
            return http.get({ url = ("https://localhost:%d%s"):format(tls.port, path), ca = pki.ca,
                cert = client.cert, key = client.key, key_passphrase = options.key_passphrase,
                allow_http = options.allow_http })
        end

        it("shows a certificate, also with an encrypted key", function()
            assert.equals("over TLS", assert(secure("/file", {})).body)
            local hidden = { passphrase = "hush", key_passphrase = "hush" }
            assert.equals("over TLS", assert(secure("/file", hidden)).body)
            local _, message, code = secure("/file", { passphrase = "hush",
                key_passphrase = "loud" })
            assert.equals("ETLS", code)
            assert.is_nil(message:find("loud", 1, true))
            assert.matches("private key", message)
        end)

        it("follows a redirect to http only where that is allowed", function()
            local path = "/to?" .. url("/whole")
            local result, message, code = secure(path, {})
            assert.is_nil(result)
            assert.equals("EHTTP", code)
            assert.matches("redirect from https to http://127.0.0.1:%d+/whole refused", message)
            assert.is_true(FILE == assert(secure(path, { allow_http = true })).body)
        end)

        it("names what is wrong with the other side's certificate", function()
            local other = pki_of.new()
            finally(function() other:remove() end)
            local function refused(pair, ca, pattern)
                local here = peer.start("tls_http", pair.cert, pair.key)
                local _, message, code = http.get({ ca = ca,
                    url = ("https://localhost:%d/file?%s"):format(here.port, SECRET) })
                here:stop()
                assert.equals("ETLS", code)
                assert.matches(pattern, message)
                assert.is_nil(message:find("secret0", 1, true))
            end
            refused(pki:issue({ cn = "localhost" }), other.ca, "unable to get local issuer")
            refused(pki:issue({ cn = "x", san = { "DNS:elsewhere" } }), pki.ca,
                "localhost")
            refused(pki:issue({ cn = "localhost", from = -900, to = -600 }), pki.ca,
                "certificate has expired %(the clock here says %d%d%d%d%-%d%d%-%d%d ")
            refused(pki:issue({ cn = "localhost", from = 86400, to = 2 * 86400 }), pki.ca,
                "not yet valid %(the clock here says ")
            refused(pki:issue({ cn = "localhost" }), dir .. "/none.pem", "none.pem")
        end)
    end)

    describe("proxy", function()
        it("is asked instead of the server, which it alone resolves", function()
            local answer = assert(http.get({ url = "http://name.invalid/whole?a=b",
                proxy = ("http://127.0.0.1:%d"):format(server.port) }))
            assert.equals(200, answer.status)
            assert.equals(1, #server:lines("^GET http://name.invalid/whole%?a=b "))
        end)

        it("is named when it cannot be reached, and its password is not", function()
            local _, message, code = http.get({ url = "https://name.invalid/x",
                proxy = "http://me:secret0@127.0.0.1:1" })
            assert.equals("ECONNREFUSED", code)
            assert.is_nil(message:find("secret0", 1, true), message)
            _, message, code = http.get({ url = "https://name.invalid/x",
                proxy = "http://nobody.invalid:3128" })
            assert.equals("ERESOLVE", code)
            assert.matches("^proxy: nobody.invalid: the name could not be resolved", message)
            _, message, code = http.get({ url = "http://x/", proxy = "socks5://127.0.0.1:1" })
            assert.equals("EINVAL", code)
            assert.equals("proxy: expected http://HOST:PORT", message)
        end)

        it("says so when it refuses to connect", function()
            local _, message, code = http.get({ url = "https://name.invalid/x",
                proxy = ("http://127.0.0.1:%d"):format(server.port) })
            assert.equals("EHTTP", code)
            assert.matches("the proxy refused to connect: HTTP 404", message, 1, true)
        end)
    end)

    describe("get and post", function()
        local here, base

        before_each(function()
            here = assert(httpd.listen({ on_request = function(request)
                return {
                    status = tonumber(request.path:match("%d+")) or 200,
                    headers = { ["X-Twice"] = "a" },
                    body = ("%s %s %s"):format(request.method, request.headers["content-type"],
                        request.body),
                }
            end }))
            base = ("http://127.0.0.1:%d"):format(here:port())
        end)

        after_each(function()
            here:close()
        end)

        it("give the answer", function()
            local answer = assert(http.get({ url = base .. "/" }))
            assert.equals(200, answer.status)
            assert.equals("GET nil ", answer.body)
            assert.equals("a", answer.headers["x-twice"])
        end)

        it("send JSON, a form or bytes", function()
            local function post(options)
                options.url = base .. "/"
                return assert(http.post(options)).body
            end
            assert.equals('POST application/json {"a":[1]}', post({ json = { a = { 1 } } }))
            assert.equals("POST application/x-www-form-urlencoded a%20b=%26%C3%A9&n=1",
                post({ form = { n = 1, ["a b"] = "&é" } }))
            assert.equals("POST text/x a\0b",
                post({ body = "a\0b", headers = { ["content-type"] = "text/x" } }))
        end)

        it("return nil, EHTTP and the refusal unless the status is 2xx", function()
            for _, name in ipairs({ "get", "post" }) do
                local result, message, code, refusal = http[name]({ url = base .. "/404?" ..
                    SECRET })
                assert.is_nil(result)
                assert.equals("EHTTP", code)
                assert.equals(("HTTP 404 from %s/404: %s nil"):format(base, name:upper()), message)
                assert.equals(404, refusal.status)
                assert.equals(name:upper() .. " nil ", refusal.body)
            end
        end)

        it("raise on misuse, at the line of the caller", function()
            local function misused(pattern, name, options)
                local ok, message = pcall(function() http[name](options) end)
                assert.is_false(ok)
                assert.matches("http_spec.lua:%d+: " .. pattern, message)
            end
            misused("unknown option 'methd'; known: ", "request", { methd = "GET" })
            misused("url: expected string, got nil", "get", {})
            misused("url: expected string, got number", "get", { url = 1 })
            misused("expected one of body and json, got both", "post", { body = "", json = {} })
            misused("json: ", "post", { url = base, json = { a = print } })
            misused("put: expected file, body or json", "put", { url = base })
            misused("tries: expected a number from 1 to 1000, got 0", "get", { tries = 0 })
            misused("http.get: expected a table of options, got string", "get", base)
            misused("aws: expected ", "get", { url = base, aws = { region = "EU" } })
        end)
    end)

    describe("put", function()
        local file

        before_each(function()
            file = dir .. "/log"
            fs.write(file, FILE)
        end)

        local function sink()
            local got = {}
            local here = assert(httpd.listen({ limit = 2 * #FILE, on_request = function(request)
                got[#got + 1] = request
                return { status = 201, headers = { ETag = '"e"' }, body = "" }
            end }))
            finally(function() here:close() end)
            return ("http://127.0.0.1:%d/log"):format(here:port()), got
        end

        it("sends a file with its length, and tells how far it is", function()
            local address, got = sink()
            local told = {}
            local answer = assert(http.put({ url = address, file = file,
                on_progress = function(bytes, total) told[#told + 1] = { bytes, total } end }))
            assert.equals(201, answer.status)
            assert.equals('"e"', answer.headers.etag)
            assert.is_true(FILE == got[1].body)
            assert.equals("PUT", got[1].method)
            assert.equals(tostring(#FILE), got[1].headers["content-length"])
            assert.is_nil(got[1].headers.expect)
            wait_until(function() return told[1] and told[#told][1] == #FILE end, 10, "progress")
            assert.equals(#FILE, told[#told][2])
        end)

        it("sends an empty file, and a text", function()
            local address, got = sink()
            fs.write(file, "")
            assert(http.put({ url = address, file = file }))
            assert.equals("", got[1].body)
            assert(http.put({ url = address, body = "text" }))
            assert.equals("text", got[2].body)
        end)

        it("sends nothing that is larger than the limit", function()
            local address, got = sink()
            for _, what in ipairs({ { file = file }, { body = FILE } }) do
                local result, message, code = http.put({ url = address, file = what.file,
                    body = what.body, limit = 1000 })
                assert.is_nil(result)
                assert.equals("EMSGSIZE", code)
                assert.matches("has 1048576 bytes, more than the limit of 1000: nothing was sent",
                    message, 1, true)
            end
            assert.same({}, got)
        end)

        it("sends no file that is none", function()
            local address = sink()
            local function refused(path, code)
                local result, message, got = http.put({ url = address, file = path })
                assert.is_nil(result)
                assert.equals(code, got)
                assert.matches(path, message, 1, true)
            end
            refused(dir .. "/none", "ENOENT")
            refused(dir, "EINVAL")
            refused("/dev/zero", "EINVAL")
        end)

        -- Large enough not to fit into the kernel's buffers at once.
        local function send_while(change)
            local big = FILE:rep(16)
            fs.write(file, big)
            local held, ended = #server:lines("^held$"), nil
            time.after(0, function()
                ended = { http.put({ url = url("/hold?" .. SECRET), file = file, tries = 1 }) }
            end)
            server:wait("^held$", 10, held + 1)
            change()
            assert(http.request({ url = url("/go") }))
            wait_until(function() return ended end, 20, "the end of the upload")
            return ended
        end

        it("ends when the file became shorter while it was sent", function()
            local ended = send_while(function()
                exec.check({ "truncate", "-s", "10", file })
            end)
            assert.is_nil(ended[1])
            assert.equals("EBUSY", ended[3])
            assert.equals(file .. " was changed while it was sent, after N of N bytes",
                (ended[2]:gsub("%d+ of %d+ bytes", "N of N bytes")))
        end)

        it("ends when the file was written to while it was sent", function()
            local ended = send_while(function()
                fs.append(file, "more")
            end)
            assert.is_nil(ended[1])
            assert.equals("EBUSY", ended[3])
            assert.matches("body " .. 16 * #FILE, server:wait("^body.*", 10), 1, true)
        end)

        it("gives the server's reason when it refuses before it has all", function()
            fs.write(file, FILE:rep(16))
            local result, message, code, refusal = http.put({ url = url("/early?" .. SECRET),
                file = file, tries = 1 })
            assert.is_nil(result)
            assert.equals("EHTTP", code)
            assert.equals(("HTTP 403 from %s: AccessDenied: Access Denied"):format(url("/early")),
                message)
            assert.equals(403, refusal.status)
        end)

        it("tries again from the beginning when the connection breaks", function()
            local before = #server:lines("^PUT /reset")
            local _, message, code = http.put({ url = url("/reset"), file = file, backoff = SOON })
            assert.equals("ECONNRESET", code)
            assert.matches("gave up after 3 tries", message)
            server:wait("^PUT /reset.*", 10, before + 3)
        end)
    end)
end)
