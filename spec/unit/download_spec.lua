local exec = require("hob.exec")
local fs = require("hob.fs")
local http = require("hob.http")
local httpd = require("hob.httpd")
local peer = require("spec.support.peer")
local wait_until = require("spec.support.wait").wait_until

local FILE = ("0123456789abcdef"):rep(65536)
local CUT = #FILE * 3 // 10
local SECRET = "X-Amz-Signature=secret0"

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

    -- What came, and what stands on disk: `to` is whole or absent.
    local function get(path, options)
        options = options or {}
        options.url = options.url or url(path .. "?" .. SECRET)
        options.to = to
        options.tries = options.tries or 1
        local result, message, code = http.download(options)
        if not result then
            assert.is_nil(fs.read(to))
            assert.is_nil(message:find("secret0", 1, true), message)
        end
        return result, message, code
    end

    local function last_request(path)
        local lines = server:lines("^GET " .. path .. ".*")
        return lines[#lines]
    end

    -- The part that a broken transfer leaves.
    local function break_off(path)
        local result, message, code = get(path)
        assert.is_nil(result)
        assert.equals("ECONNRESET", code)
        assert.matches(("after %d of %d bytes"):format(CUT, #FILE), message, 1, true)
        assert.equals(CUT, #assert(fs.read(to .. ".part")))
    end

    describe("download", function()
        it("makes the file and gives its digest", function()
            local result = assert(get("/whole", { sha256 = digest:upper() }))
            local expected = { path = to, bytes = #FILE, sha256 = digest, status = 200,
                resumed_from = 0 }
            assert.same(expected, result)
            assert.equals(FILE, fs.read(to))
            assert.same({ "image" }, fs.list(dir))
        end)

        it("replaces the file that was there", function()
            fs.write(to, "old")
            assert(http.download({ url = url("/whole"), to = to }))
            assert.equals(FILE, fs.read(to))
        end)

        it("takes an empty file", function()
            assert.equals(0, assert(get("/empty")).bytes)
            assert.equals("", fs.read(to))
        end)

        it("resolves names without a thread of libcurl's", function()
            local named = ("http://localhost:%d/whole"):format(server.port)
            assert(http.download({ url = named, to = to }))
            local names = exec.check({ "sh", "-c", "cat /proc/$PPID/task/*/comm | wc -l" }).stdout
            assert.is_true(tonumber(names) <= 1 + 4, names) -- us and libuv's workers
        end)

        it("refuses a file with another digest and leaves nothing (field failure 18)", function()
            local other = ("0"):rep(64)
            local _, message, code = get("/whole", { sha256 = other })
            assert.equals("EDIGEST", code)
            assert.equals(("%s: sha256 is %s, expected %s"):format(url("/whole"), digest, other),
                message)
            assert.same({}, fs.list(dir))
        end)

        it("goes on by Range after a connection that broke (field failure 18)", function()
            break_off("/cut")
            local result = assert(get("/cut", { sha256 = digest }))
            assert.equals(CUT, result.resumed_from)
            assert.equals(#FILE, result.bytes)
            assert.equals(206, result.status)
            assert.equals(FILE, fs.read(to))
            assert.matches(('range=bytes=%d%%- if%%-range="v1"'):format(CUT), last_request("/cut"))
            assert.same({ "image" }, fs.list(dir))
        end)

        it("begins again if the server takes no Range", function()
            break_off("/norange")
            local result = assert(get("/norange", { sha256 = digest }))
            assert.equals(0, result.resumed_from)
            assert.equals(FILE, fs.read(to))
        end)

        it("begins again if the file has changed meanwhile", function()
            break_off("/changed")
            assert(get("/changed"))
            assert.equals("the new version", fs.read(to))
        end)

        it("asks for no rest if neither a version nor a digest could tell that it fits", function()
            break_off("/untagged")
            get("/untagged")
            assert.matches("range=nil", last_request("/untagged"))
            assert(get("/untagged", { sha256 = digest }))
            assert.matches("range=bytes=", last_request("/untagged"))
            assert.equals(FILE, fs.read(to))
        end)

        it("refuses a rest that is not the one that it asked for", function()
            break_off("/wrongrange")
            local _, message, code = get("/wrongrange")
            assert.equals("EPROTO", code)
            assert.matches("bytes 0%-9/", message)
        end)

        it("does not take a rest that ends early for the end of the file, and goes on from there",
            function()
                break_off("/shortrest")
                local _, message, code = get("/shortrest")
                assert.equals("ELENGTH", code)
                assert.equals(("%s: the answer ended after %d of %d bytes")
                    :format(url("/shortrest"), CUT + 20, #FILE), message)
                assert.equals(CUT + 20, fs.stat(to .. ".part").size)
                assert.equals(CUT + 20, assert(get("/shortrest")).resumed_from)
                assert.equals(FILE, fs.read(to))
            end)

        it("compares with the announced range if the size of the whole is not said", function()
            break_off("/shortstar")
            local _, message, code = get("/shortstar")
            assert.equals("ELENGTH", code)
            assert.matches(("after %d of %d bytes"):format(CUT + 10, CUT + 20), message, 1, true)
        end)

        it("refuses a rest that is empty", function()
            break_off("/emptyrest")
            local _, message, code = get("/emptyrest")
            assert.equals("ELENGTH", code)
            assert.matches(("after %d of %d bytes"):format(CUT, #FILE), message, 1, true)
        end)

        it("keeps no part that is longer than the file", function()
            break_off("/longrest")
            local _, message, code = get("/longrest")
            assert.equals("ELENGTH", code)
            assert.matches(("after %d of %d bytes"):format(CUT + 10, CUT + 1), message, 1, true)
            assert.same({}, fs.list(dir))
        end)

        it("refuses a part that it did not ask for", function()
            local _, message, code = get("/unasked")
            assert.equals("EHTTP", code)
            assert.equals(("HTTP 206 from %s: expected 200 and the whole file")
                :format(url("/unasked")), message)
            assert.same({}, fs.list(dir))
        end)

        it("makes no file of an answer that has none", function()
            for path, status in pairs({ ["/nothing"] = 204, ["/accepted"] = 202 }) do
                local _, message, code = get(path)
                assert.equals("EHTTP", code)
                assert.matches(("^HTTP %d from "):format(status), message)
                assert.same({}, fs.list(dir))
            end
        end)

        it("does not trust a weak ETag to name the same bytes", function()
            break_off("/weak")
            get("/weak")
            assert.matches("range=nil if%-range=nil", last_request("/weak"))
        end)

        it("takes Last-Modified beside a weak ETag", function()
            break_off("/dated")
            assert(get("/dated"))
            local request = last_request("/dated")
            assert.matches("if-range=Sun, 01 Nov 2026 10:00:00 GMT", request, 1, true)
            assert.equals(FILE, fs.read(to))
        end)

        it("finishes a file that was complete but for its name", function()
            fs.write(to .. ".part", FILE)
            local result = assert(get("/whole", { sha256 = digest }))
            assert.equals(#FILE, result.resumed_from)
            assert.equals(FILE, fs.read(to))
        end)

        it("begins again if what was there is no part of the file", function()
            fs.write(to .. ".part", ("x"):rep(#FILE))
            local result = assert(get("/whole", { sha256 = digest }))
            assert.equals(0, result.resumed_from)
            assert.equals(FILE, fs.read(to))
        end)

        it("says how much came if the server promised more", function()
            local _, message, code = get("/lie")
            assert.equals("ECONNRESET", code)
            assert.matches(("after %d of %d bytes"):format(#FILE, 2 * #FILE), message)
            assert.same({ "image.part" }, fs.list(dir))
        end)

        it("fails on a chunked body that breaks off", function()
            local _, _, code = get("/chunked")
            assert.equals("ECONNRESET", code)
        end)

        it("follows redirects, to another port too, but hands no secrets on", function()
            local other = peer.start("http_bad")
            finally(function() other:stop() end)
            assert(get(nil, {
                url = url("/to?") .. ("http://localhost:%d/whole"):format(other.port),
                sha256 = digest,
                headers = { Authorization = "Bearer t", Cookie = "c=1", ["X-Other"] = "y" },
            }))
            assert.equals(FILE, fs.read(to))
            assert.matches("auth=Bearer t cookie=c=1", last_request("/to"))
            assert.matches("auth=nil cookie=nil", other:lines(".*whole.*")[1])
        end)

        it("keeps them in a redirect to the same origin", function()
            assert(get(nil, {
                url = url("/to?/whole"),
                headers = { Authorization = "Bearer t", Cookie = "c=1" },
            }))
            assert.matches("auth=Bearer t cookie=c=1", last_request("/whole"))
        end)

        it("ends a redirect loop", function()
            local _, message, code = get("/loop")
            assert.equals("EHTTP", code)
            assert.matches("more than 10 redirects", message)
            assert.equals(11, #server:lines("^GET /loop"))
        end)

        it("refuses a redirect to anything but http", function()
            local _, message, code = get(nil, { url = url("/to?file:///etc/passwd") })
            assert.equals("EINVAL", code)
            assert.matches("expected http or https, got file", message)
        end)

        it("returns EHTTP for a status of 400 and more", function()
            local _, message, code = get("/nowhere")
            assert.equals("EHTTP", code)
            assert.equals("HTTP 404 from " .. url("/nowhere") .. ": none", message)
            assert.same({}, fs.list(dir))
        end)

        it("keeps within the limit, and says what the file has", function()
            local _, message, code = get("/whole", { limit = 1000 })
            assert.equals("EMSGSIZE", code)
            assert.matches("has 1048576 bytes, more than the limit of 1000", message)
            assert.same({}, fs.list(dir))
        end)

        it("gives up when nothing comes", function()
            local _, message, code
            local seconds = 0.025
            repeat -- until the peer was not too slow for the bytes that do come
                seconds = 4 * seconds
                fs.remove(to .. ".part")
                _, message, code = get("/stall", { stall = seconds })
                assert.equals("ETIMEDOUT", code)
            until seconds > 20 or message:find("after 10 of", 1, true)
            assert.matches(("nothing came for %.3g s, after 10 of 100 bytes"):format(seconds),
                message, 1, true)
            _, message, code = get("/silent", { stall = 0.1 })
            assert.equals("ETIMEDOUT", code)
            assert.matches("nothing came for 0.1 s", message, 1, true)
        end)

        it("gives up at its time-out", function()
            local _, message, code = get("/stall", { timeout = 0.1 })
            assert.equals("ETIMEDOUT", code)
            assert.matches("timed out after 0%.1%d* s", message)
        end)

        it("says what went wrong with the connection", function()
            local _, message, code = get(nil, { url = "http://127.0.0.1:1/x?" .. SECRET })
            assert.equals("ECONNREFUSED", code)
            assert.matches("^http://127.0.0.1:1/x: ", message)
            _, message, code = get(nil, { url = "http://name.invalid/x?" .. SECRET })
            assert.equals("ERESOLVE", code)
            assert.matches("name.invalid: the name could not be resolved", message, 1, true)
            _, _, code = get("/reset")
            assert.equals("ECONNRESET", code)
            _, _, code = get("/garbage")
            assert.equals("EPROTO", code)
        end)

        it("says so when the other side speaks no TLS", function()
            local _, message, code = get(nil, { url = url("/whole"):gsub("^http", "https") })
            assert.equals("ETLS", code)
            assert.matches("^https://127.0.0.1", message)
        end)

        it("says where the file could not be made", function()
            local result, message, code = http.download({ url = url("/whole"),
                to = dir .. "/none/image" })
            assert.is_nil(result)
            assert.equals("ENOENT", code)
            assert.matches("none/image.part: No such file", message, 1, true)
        end)

        it("refuses a second download of the same file at a time", function()
            local first
            require("hob.time").after(0, function()
                first = { http.download({ url = url("/part"), to = to, tries = 1 }) }
            end)
            wait_until(function() return fs.stat(to .. ".part") end, 10, "the first download")
            local result, message, code = http.download({ url = url("/whole"), to = to })
            assert.is_nil(result)
            assert.equals("EBUSY", code)
            assert.matches("another download", message)
            assert(http.request({ url = url("/go") }))
            wait_until(function() return first end, 10, "the first one's end")
        end)

        it("tells its progress", function()
            local told = {}
            assert(get("/whole", { on_progress = function(bytes, total)
                table.insert(told, { bytes, total })
            end }))
            wait_until(function() return told[1] end, 10, "progress")
            wait_until(function() return told[#told][1] == #FILE end, 10, "the last of it")
            assert.equals(#FILE, told[#told][2])
        end)

        it("returns nil and EINVAL for values that cannot be", function()
            local function refused(options, pattern)
                options.to = to
                options.url = options.url or url("/whole")
                local result, message, code = http.download(options)
                assert.is_nil(result)
                assert.equals("EINVAL", code)
                assert.matches(pattern, message)
                assert.is_nil(message:find("secret0", 1, true))
            end
            refused({ url = "ftp://host/x?" .. SECRET }, "expected http or https, got ftp")
            refused({ url = "no url " .. SECRET }, "url: expected")
            refused({ sha256 = "abc" }, "sha256: expected 64 hexadecimal digits")
            refused({ headers = { ["A"] = "b\r\nC: d" } }, "headers: expected")
        end)

        it("raises on misuse", function()
            assert.error_matches(function() http.download({ url = "http://x/" }) end, "to: ")
            assert.error_matches(function() http.download({ to = to }) end, "url: expected")
            assert.error_matches(function() http.download({ ur = 1 }) end, "unknown option 'ur'")
        end)
    end)

    describe("request", function()
        local function echo(request)
            return {
                status = 418,
                headers = { ["Content-Type"] = "text/plain" },
                body = ("%s %s %s"):format(request.method, request.headers["content-type"],
                    request.body),
            }
        end

        it("gives status, body and content type, whatever the status", function()
            local here = assert(httpd.listen({ on_request = echo }))
            finally(function() here:close() end)
            local base = ("http://127.0.0.1:%d/"):format(here:port())
            local teapot = assert(http.request({ url = base }))
            assert.equals(418, teapot.status)
            assert.equals("GET nil ", teapot.body)
            assert.equals("text/plain", teapot.content_type)
            assert.equals("8", teapot.headers["content-length"])
            for _, method in ipairs({ "POST", "PUT", "PATCH", "DELETE" }) do
                local answer = assert(http.request({ url = base, method = method, body = "a\0b",
                    headers = { ["Content-Type"] = "x/y" } }))
                assert.equals(method .. " x/y a\0b", answer.body)
            end
        end)

        it("names itself", function()
            assert(http.request({ url = url("/empty?agent") }))
            assert.matches("agent=hob/%d", last_request("/empty%?agent"))
        end)

        it("follows redirects of a GET, and gives others as they are", function()
            assert.equals(FILE, assert(http.request({ url = url("/to?/whole") })).body)
            local answer = assert(http.request({ url = url("/to?/whole"), method = "POST",
                body = "x" }))
            assert.equals(307, answer.status)
            assert.equals("away", answer.body)
        end)

        it("keeps within the limit", function()
            local result, message, code = http.request({ url = url("/whole"), limit = 1000 })
            assert.is_nil(result)
            assert.equals("EMSGSIZE", code)
            assert.matches("the limit of 1000", message)
        end)
    end)
end)
