local exec = require("hob.exec")
local fs = require("hob.fs")
local http = require("hob.http")
local httpd = require("hob.httpd")
local process = require("hob.process")
local time = require("hob.time")
local wait_until = require("spec.support.wait").wait_until

describe("hob.httpd", function()
    local server

    local function listen(on_request, options)
        options = options or {}
        options.on_request = on_request
        server = assert(httpd.listen(options))
        return server
    end

    local function ask(path, options)
        options = options or {}
        options.url = ("http://127.0.0.1:%d%s"):format(server:port(), path)
        return http.request(options)
    end

    after_each(function()
        if server then
            server:close()
            server = nil
        end
    end)

    -- A client that is not ours: sends `text` as it is, prints what comes.
    local function raw(text, more)
        local script = ([[
            local s = assert(require("socket").connect("127.0.0.1", %d))
            s:settimeout(20)
            s:send(%q)
            %s
            print((s:receive("*a")))]]):format(server:port(), text, more or "")
        return { "lua5.4", "-e", script, timeout = 30 }
    end

    -- A program with many connections, each of which sends `text`; then it does `more`.
    local function crowd(count, text, more)
        return ([[
            local socket, all = require("socket"), {}
            local function ask() -- what was sent before is read when this is answered
                local s = assert(socket.connect("127.0.0.1", %d))
                s:settimeout(20)
                s:send("GET / HTTP/1.0\r\n\r\n")
                s:receive("*a")
            end
            for i = 1, %d do
                all[i] = assert(socket.connect("127.0.0.1", %d))
                all[i]:settimeout(20)
                all[i]:send(%q)
            end
            %s]]):format(server:port(), count, server:port(), text, more)
    end

    describe("listen", function()
        it("takes any free port, and tells which", function()
            local one = listen(function() return {} end)
            local two = assert(httpd.listen({ port = 0, on_request = print }))
            assert.is_true(one:port() > 0)
            assert.are_not.equal(one:port(), two:port())
            assert.equals(("hob.httpd.server (port %d)"):format(two:port()), tostring(two))
            two:close()
            assert.equals("hob.httpd.server (closed)", tostring(two))
            assert.error_matches(function() two:port() end, "closed")
        end)

        it("gives method, path, query, headers and body", function()
            local seen = {}
            listen(function(request)
                table.insert(seen, request)
                return {}
            end)
            for _, method in ipairs({ "GET", "POST", "PUT", "DELETE" }) do
                assert.equals(200, ask("/things/a%20b?x=1%26&y", {
                    method = method,
                    body = method ~= "GET" and "a\0b" or nil,
                    headers = { ["X-Some-Name"] = "Value" },
                }).status)
                local request = table.remove(seen)
                assert.equals(method, request.method)
                assert.equals("/things/a b", request.path)
                assert.same({ x = "1&", y = "" }, request.query)
                assert.equals("Value", request.headers["x-some-name"])
                assert.equals(method ~= "GET" and "a\0b" or "", request.body)
            end
        end)

        -- Else "/jobs/a%00b" would mean the job "a", and "%2F" would cut a name in two.
        it("leaves %2F and %00 in a path as they are, and takes a whole URL", function()
            listen(function(request) return { body = request.path } end)
            for path, seen in pairs({ ["/a%2Fb%2fc"] = "/a%2Fb%2fc", ["/a%00b?c"] = "/a%00b",
                ["/%zz%4%41%"] = "/%zz%4A%", ["/%c3%a9"] = "/é", ["http://x/y?z"] = "/y" }) do
                local got = exec.check(raw(("GET %s HTTP/1.0\r\n\r\n"):format(path))).stdout
                assert.equals(seen, got:match("\r\n\r\n(.*)\n$"))
            end
        end)

        it("answers 431 to more than 100 headers or members of a query", function()
            listen(function() return {} end)
            local fields, members = {}, {}
            for i = 1, 99 do
                fields[i], members[i] = ("X-%d: y\r\n"):format(i), ("m%d=1&"):format(i)
            end
            local headers, query = table.concat(fields), table.concat(members)
            local function status(more_query, more_headers)
                return exec.check(raw("GET /?" .. query .. more_query .. " HTTP/1.0\r\n" .. headers
                    .. more_headers .. "\r\n")).stdout:match("^HTTP/1%.%d (%d+)")
            end
            assert.equals("200", status("last=1", "Last: 1\r\n"))
            assert.equals("431", status("last=1&more=1", "Last: 1\r\n"))
            assert.equals("431", status("last=1", "Last: 1\r\nMore: 1\r\n"))
        end)

        it("holds the bodies of 64 full requests at a time, and answers 503 to more", function()
            listen(function() return {} end, { limit = 1000 })
            local head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            local out = exec.check({ "lua5.4", "-e", crowd(70, head .. ("x"):rep(999), [[
                ask()
                ask()
                local codes = {}
                for i = 1, 70 do
                    all[i]:send("x")
                    local code = all[i]:receive("*l"):match("%d%d%d")
                    codes[code] = (codes[code] or 0) + 1
                end
                print(codes["200"], codes["503"])]]), timeout = 60 }).stdout
            assert.equals("64\t6\n", out)
            assert.equals(200, ask("/", { method = "POST", body = ("x"):rep(1000) }).status)
        end)

        it("has at most 256 connections, so that descriptors are left for others", function()
            listen(function() return {} end)
            local function descriptors()
                return #fs.list(("/proc/%d/fd"):format(process.pid()))
            end
            local before, there = descriptors(), false
            local client = assert(exec.spawn({ "lua5.4", "-e", crowd(300, "G", [[
                print("there")
                io.stdout:flush()
                socket.sleep(60)]]), on_line = function() there = true end }))
            wait_until(function() return there and descriptors() >= before + 250 end, 30,
                "the crowd")
            assert.is_true(descriptors() < before + 270, "too many are held")
            client:kill("KILL")
            client:wait(20)
            assert.equals(200, ask("/").status)
        end)

        it("answers with status, headers and body", function()
            listen(function()
                return { status = 404, headers = { ["Content-Type"] = "a/b" }, body = "n\0ne" }
            end)
            local answer = ask("/")
            assert.equals(404, answer.status)
            assert.equals("n\0ne", answer.body)
            assert.equals("a/b", answer.headers["content-type"])
        end)

        it("takes a body up to the limit and answers 413 to a larger one", function()
            local bodies = 0
            listen(function(request)
                bodies = bodies + 1
                return { body = tostring(#request.body) }
            end, { limit = 1000 })
            assert.equals("1000", ask("/", { method = "POST", body = ("x"):rep(1000) }).body)
            local answer = ask("/", { method = "POST", body = ("x"):rep(1001) })
            assert.equals(413, answer.status)
            assert.matches("over the limit of 1000 bytes", answer.body)
            assert.equals(413, ask("/", { method = "PUT", body = ("x"):rep(3000000) }).status)
            assert.equals(1, bodies)
        end)

        it("answers later, others meanwhile", function()
            local go = false
            listen(function(request)
                if request.path == "/slow" then
                    wait_until(function() return go end, 20, "the go")
                end
                return { body = request.path }
            end)
            local slow
            time.after(0, function() slow = ask("/slow") end)
            assert.equals("/fast", ask("/fast").body)
            assert.is_nil(slow)
            go = true
            assert.equals("/slow", wait_until(function() return slow end, 20, "the answer").body)
        end)

        it("answers 500 with the message of an error", function()
            listen(function() error("out of paper") end)
            local answer = ask("/")
            assert.equals(500, answer.status)
            assert.matches("httpd_spec.lua:%d+: out of paper", answer.body)
        end)

        it("answers 500 to an answer that is none, saying what was expected", function()
            local answers = {
                ["/string"] = "text",
                ["/status"] = { status = 99 },
                ["/body"] = { body = 7 },
                ["/headers"] = { headers = { 1 } },
            }
            listen(function(request) return answers[request.path] end)
            assert.matches("expected { status =.*got string", ask("/string").body)
            assert.matches("expected { status =.*got nil", ask("/nothing").body)
            assert.matches("status: expected 200 to 599, got 99", ask("/status").body)
            assert.matches("body: expected string, got number", ask("/body").body)
            assert.matches("headers: expected", ask("/headers").body)
        end)

        it("outlives a client that goes away before its answer", function()
            local waiting, go, ended = false, false, false
            listen(function(request)
                if request.path == "/gone" then
                    waiting = true
                    wait_until(function() return go end, 20, "the go")
                    ended = true
                end
                return { body = "here" }
            end)
            local client = exec.spawn(raw("GET /gone HTTP/1.1\r\nHost: x\r\n\r\n"))
            wait_until(function() return waiting end, 20, "the request")
            client:kill("KILL")
            client:wait(20)
            go = true
            wait_until(function() return ended end, 20, "the handler's end")
            assert.equals("here", ask("/").body)
        end)

        it("outlives a client that goes away in its body", function()
            listen(function() return { body = "here" } end)
            exec.run(raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
                "s:close() os.exit(0)"))
            assert.equals("here", ask("/").body)
        end)

        it("outlives what is no HTTP", function()
            listen(function() return { body = "here" } end)
            assert.is_not_nil(exec.run(raw("nonsense\r\n\r\n")).code)
            assert.equals("here", ask("/").body)
        end)

        it("returns nil and the reason when it cannot listen", function()
            listen(print)
            local result, message = httpd.listen({ port = server:port(), on_request = print })
            assert.is_nil(result)
            assert.matches("listening on 127.0.0.1 port %d+: Address already in use", message)
            local _, text, code = httpd.listen({ address = "here", on_request = print })
            assert.equals("EINVAL", code)
            assert.matches("expected an IP address such as 127.0.0.1, got 'here'", text)
        end)

        it("raises on misuse", function()
            assert.error_matches(function() httpd.listen({}) end, "on_request: expected function")
            assert.error_matches(function() httpd.listen({ prt = 1 }) end, "unknown option 'prt'")
        end)
    end)

    describe("open", function()
        local dir

        before_each(function()
            dir = assert(fs.tempdir())
            assert(fs.mkdir(dir .. "/root/below"))
            assert(fs.write(dir .. "/root/below/file", "0123456789"))
            assert(fs.write(dir .. "/outside", "outside"))
        end)

        after_each(function()
            fs.remove(dir, { recursive = true })
        end)

        it("opens a file below a directory; an answer takes it over, or a part of it", function()
            listen(function(request)
                local file = assert(httpd.open(dir .. "/root", "below/file"))
                local offset, length = request.query.o, request.query.l
                return { file = file, offset = tonumber(offset), length = tonumber(length) }
            end)
            assert.equals("0123456789", ask("/").body)
            assert.equals("345", ask("/?o=3&l=3").body)
            assert.equals("6789", ask("/?o=6").body)
            assert.equals("", ask("/?o=10").body)
            for _, query in ipairs({ "o=11", "o=5&l=6", "o=-1", "l=-1", "l=11" }) do
                local answer = ask("/?" .. query)
                assert.equals(500, answer.status)
                assert.matches("a part of the file's 10 bytes", answer.body)
            end
        end)

        it("tells size, time and content, until it is closed or taken over", function()
            local file = assert(httpd.open(dir .. "/root", "below/file"))
            assert.equals(10, file:size())
            assert.near(fs.stat(dir .. "/root/below/file").mtime, file:mtime(), 0.001)
            assert.equals("0123", file:read(4))
            assert.equals("0123456789", file:read(100))
            assert.error_matches(function() file:read(0) end, "expected 1 to 1048576")
            file:close()
            file:close()
            assert.error_matches(function() file:size() end, "the file is closed")
            local taken = assert(httpd.open(dir .. "/root", "below/file"))
            listen(function() return { file = taken } end)
            assert.equals("0123456789", ask("/").body)
            assert.error_matches(function() taken:size() end, "the file is closed")
            assert.equals(500, ask("/").status)
        end)

        it("goes through no link and no '..', and opens nothing but files", function()
            os.execute(("cd %s/root; ln -s ../outside link; ln -s .. up; ln -s below in;"
                .. " mkfifo pipe"):format(dir))
            for name, expected in pairs({
                ["../outside"] = "EACCES", ["below/../../outside"] = "EACCES", link = "EACCES",
                ["up/outside"] = "ENOENT", ["in/file"] = "ENOENT", pipe = "EACCES",
                ["below//file"] = "EACCES", ["./below/file"] = "EACCES", ["/below"] = "EACCES",
                [""] = "EACCES", ["."] = "EACCES", below = "ENOENT", none = "ENOENT",
                ["below/file/"] = "ENOENT", [("x"):rep(5000)] = "EMSGSIZE",
                [("x"):rep(300)] = "EMSGSIZE",
            }) do
                local file, message, code = httpd.open(dir .. "/root", name)
                assert.is_nil(file, name)
                assert.equals(expected, code, name:sub(1, 20) .. ": " .. message)
            end
            assert.error_matches(function() httpd.open(dir, "a\0b") end, "holds no NUL")
        end)
    end)

    describe("hmac", function()
        it("is HMAC-SHA-256", function() -- RFC 4231, cases 2 and 6
            assert.equals("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                httpd.hmac("Jefe", "what do ya want for nothing?"))
            assert.equals("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                httpd.hmac(("\xaa"):rep(131),
                    "Test Using Larger Than Block-Size Key - Hash Key First"))
        end)
    end)

    describe("close", function()
        it("ends open requests; their answers go nowhere", function()
            local waiting, go, ended = false, false, false
            listen(function()
                waiting = true
                wait_until(function() return go end, 20, "the go")
                ended = true
                return { body = "too late" }
            end)
            local answer
            time.after(0, function() answer = { ask("/") } end)
            wait_until(function() return waiting end, 20, "the request")
            server:close()
            wait_until(function() return answer end, 20, "the client's end")
            assert.is_nil(answer[1])
            assert.equals("ECONNRESET", answer[3])
            go = true
            wait_until(function() return ended end, 20, "the handler's end")
        end)

        it("ends what has sent half a header", function()
            listen(function() return {} end)
            local there = false
            local half = "GET /half HTTP/1.1\r\nX: "
            local client = assert(exec.spawn({ "lua5.4", "-e", crowd(1, half, [[
                ask()
                print("there")
                io.stdout:flush()
                print(all[1]:receive("*a"))]]), on_line = function() there = true end }))
            wait_until(function() return there end, 20, "half a header")
            server:close()
            server = nil
            assert.equals(0, assert(client:wait(20)).code)
        end)

        it("works from within a request, and twice", function()
            listen(function()
                server:close()
                server:close()
                return { body = "bye" }
            end)
            assert.is_nil(ask("/"))
        end)

        it("frees the port", function()
            local port = listen(print):port()
            server:close()
            listen(function() return { body = "again" } end, { port = port })
            assert.equals("again", ask("/").body)
        end)
    end)
end)
