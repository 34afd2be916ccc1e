-- tls_http.lua - HTTP over TLS, by openssl's s_server; plain lua5.4.
--
--     lua5.4 tls_http.lua CERT KEY [CA]
--
-- With CA a client must show a certificate of it. Prints "port N", then for each request "METHOD
-- path thing=T auth=A". The answers are below; one connection at a time.

io.stdout:setvbuf("line")

local cert, key, ca = arg[1], arg[2], arg[3]

local fifo = os.tmpname()
os.remove(fifo)
assert(os.execute("mkfifo -m 600 " .. fifo))
local command = ("exec openssl s_server -accept 127.0.0.1:0 -cert %s -key %s %s <%s 2>&1"):format(
    cert, key, ca and ("-CAfile %s -Verify 2 -verify_return_error"):format(ca) or "", fifo)
local said = assert(io.popen(command, "r"))
local say = assert(io.open(fifo, "w"))
os.remove(fifo)

local CREDENTIALS = [[{"credentials":{"accessKeyId":"ASIASPEC%d","secretAccessKey":"%s",]] ..
    [["sessionToken":"%s","expiration":"%s"}}]]

local asked = 0

local function credentials(seconds)
    asked = asked + 1
    return "200 OK", CREDENTIALS:format(asked, "very-secret/" .. asked, "token==" .. asked,
        os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds))
end

local answers = {
    ["/role-aliases/hour/credentials"] = function() return credentials(3600) end,
    ["/role-aliases/minute/credentials"] = function() return credentials(60) end,
    ["/role-aliases/denied/credentials"] = function()
        return "403 Forbidden", '{"message":"Access Denied"}'
    end,
    ["/role-aliases/none/credentials"] = function()
        return "404 Not Found", '{"message":"Role alias does not exist"}'
    end,
    ["/role-aliases/odd/credentials"] = function() return "200 OK", '{"credentials":{}}' end,
    ["/role-aliases/text/credentials"] = function() return "200 OK", "hello" end,
    ["/file"] = function() return "200 OK", "over TLS" end,
}

local function answer(request)
    local path, query = request.target:match("^([^?]*)%??(.*)$")
    if path == "/to" then
        return "302 Found", "", "Location: " .. query .. "\r\n"
    end
    local act = answers[path]
    if act then
        return act()
    end
    return "404 Not Found", "nothing here"
end

local request
for line in said:lines() do
    line = line:gsub("\r$", "")
    local port = line:match("^ACCEPT .*:(%d+)$")
    local method, target = line:match("^(%u+) (/%S*) HTTP/1%.1$")
    if port then
        print("port " .. port)
    elseif method then
        request = { method = method, target = target, headers = {} }
    elseif request and line == "" then
        print(("%s %s thing=%s auth=%s"):format(request.method, request.target,
            request.headers["x-amzn-iot-thingname"], request.headers.authorization))
        local status, body, more = answer(request)
        say:write(("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"):format(status, #body,
            more or "", body))
        say:flush()
        request = nil
    elseif request then
        local name, value = line:match("^([^:]+):%s*(.*)$")
        if name then
            request.headers[name:lower()] = value
        end
    else
        print("openssl: " .. line)
    end
end
