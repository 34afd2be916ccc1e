-- http_bad.lua - an HTTP server that misbehaves as its path says; plain lua5.4 with lua-socket.
--
--     lua5.4 http_bad.lua
--
-- Prints "port N", then for each request "METHOD path range=R if-range=I auth=A cookie=C agent=U".
-- What "the file" is: 1 MB, the same each time. One connection at a time, but for /hold.

local socket = require("socket")

io.stdout:setvbuf("line")

local FILE = ("0123456789abcdef"):rep(65536)
local CUT = #FILE * 3 // 10
local seen = {}

local listener = assert(socket.tcp4())
assert(listener:setoption("reuseaddr", true))
assert(listener:bind("127.0.0.1", 0))
assert(listener:listen(16))
local port = select(2, listener:getsockname())
print("port " .. port)

local function answer(s, status, headers, body)
    local lines = { "HTTP/1.1 " .. status, "Connection: close" }
    for _, header in ipairs(headers) do
        lines[#lines + 1] = header
    end
    s:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or ""))
end

local function reset(s)
    s:setoption("linger", { on = true, timeout = 0 })
end

local function whole(s, _, tag, body)
    body = body or FILE
    answer(s, "200 OK", { "ETag: " .. (tag or '"v1"'), "Content-Length: " .. #body }, body)
end

local function rest(s, request, tag)
    local first = tonumber(request.headers.range:match("bytes=(%d+)%-"))
    if first >= #FILE then
        answer(s, "416 Range Not Satisfiable", { "Content-Range: bytes */" .. #FILE })
        return
    end
    answer(s, "206 Partial Content", {
        "ETag: " .. (tag or '"v1"'),
        ("Content-Range: bytes %d-%d/%d"):format(first, #FILE - 1, #FILE),
        "Content-Length: " .. #FILE - first,
    }, FILE:sub(first + 1))
end

-- The header and the first part of the file, then the end of the connection.
local function cut(s, _, headers)
    headers = headers or { 'ETag: "v1"' }
    headers[#headers + 1] = "Content-Length: " .. #FILE
    answer(s, "200 OK", headers, FILE:sub(1, CUT))
end

local paths = {}

function paths.whole(s, request)
    if request.headers.range then
        return rest(s, request)
    end
    whole(s)
end

-- Nothing says how large it is.
function paths.unsized(s)
    answer(s, "200 OK", {}, FILE)
end

function paths.cut(s, request)
    if request.headers.range then
        return rest(s, request)
    end
    cut(s)
end

function paths.untagged(s, request)
    if request.headers.range then
        return rest(s, request)
    end
    cut(s, request, {})
end

function paths.norange(s)
    if seen.norange > 1 then
        return whole(s)
    end
    cut(s)
end

function paths.changed(s, request)
    if seen.changed == 1 then
        return cut(s)
    end
    if request.headers["if-range"] == '"v2"' then
        return rest(s, request, '"v2"')
    end
    whole(s, request, '"v2"', "the new version")
end

function paths.wrongrange(s, request)
    if request.headers.range then
        answer(s, "206 Partial Content",
            { "Content-Range: bytes 0-9/" .. #FILE, "Content-Length: 10" }, "0123456789")
        return
    end
    cut(s)
end

-- A rest that is well-formed but ends before the file does; then the remainder.
function paths.shortrest(s, request)
    if not request.headers.range then
        return cut(s)
    end
    if seen.shortrest > 2 then
        return rest(s, request)
    end
    answer(s, "206 Partial Content",
        { ("Content-Range: bytes %d-%d/%d"):format(CUT, CUT + 19, #FILE), "Content-Length: 20" },
        FILE:sub(CUT + 1, CUT + 20))
end

-- The same of a file whose size is not said, with less than the range that is announced.
function paths.shortstar(s, request)
    if not request.headers.range then
        return cut(s)
    end
    answer(s, "206 Partial Content", { ("Content-Range: bytes %d-%d/*"):format(CUT, CUT + 19) },
        FILE:sub(CUT + 1, CUT + 10))
end

-- More than there is, by its own word.
function paths.longrest(s, request)
    if not request.headers.range then
        return cut(s)
    end
    answer(s, "206 Partial Content",
        { ("Content-Range: bytes %d-%d/%d"):format(CUT, CUT, CUT + 1) }, "0123456789")
end

function paths.emptyrest(s, request)
    if not request.headers.range then
        return cut(s)
    end
    answer(s, "206 Partial Content",
        { ("Content-Range: bytes %d-%d/%d"):format(CUT, CUT + 19, #FILE), "Content-Length: 0" })
end

function paths.unasked(s)
    answer(s, "206 Partial Content", { "Content-Range: bytes 0-9/100", "Content-Length: 10" },
        "0123456789")
end

paths["nothing"] = function(s)
    answer(s, "204 No Content", {})
end

function paths.accepted(s)
    answer(s, "202 Accepted", { "Content-Length: 5" }, "later")
end

function paths.weak(s, request)
    if request.headers.range then
        return rest(s, request)
    end
    cut(s, request, { 'ETag: W/"v1"' })
end

function paths.dated(s, request)
    if request.headers.range then
        return rest(s, request)
    end
    cut(s, request, { 'ETag: W/"v1"', "Last-Modified: Sun, 01 Nov 2026 10:00:00 GMT" })
end

-- A presigned URL: `sig=old` stops in the middle once, until the other side is gone; then it has
-- expired.
function paths.presigned(s, request)
    local old = request.query:find("sig=old", 1, true)
    if old and seen.presigned == 1 then
        cut(s)
        s:settimeout(30)
        s:receive("*a")
    elseif old then
        answer(s, "403 Forbidden", { "Content-Length: 0" })
    else
        paths.whole(s, request)
    end
end

function paths.lie(s)
    answer(s, "200 OK", { "Content-Length: " .. 2 * #FILE }, FILE)
end

function paths.short(s)
    answer(s, "200 OK", { "Content-Length: 10" }, FILE:sub(1, 20))
end

function paths.chunked(s)
    answer(s, "200 OK", { "Transfer-Encoding: chunked" }, "5\r\nhello\r\n5\r\nwo")
end

function paths.stall(s)
    answer(s, "200 OK", { "Content-Length: 100" }, "0123456789")
    s:settimeout(30)
    s:receive("*a") -- until the other side gives up
end

function paths.silent(s)
    s:settimeout(30)
    s:receive("*a")
end

paths["loop"] = function(s, request)
    answer(s, "302 Found", { "Location: /loop?" .. request.query, "Content-Length: 0" })
end

paths["to"] = function(s, request)
    local headers = { "Location: " .. request.query, "Content-Length: 4" }
    answer(s, "307 Temporary Redirect", headers, "away")
end

function paths.empty(s)
    answer(s, "200 OK", { "Content-Length: 0" })
end

function paths.reset(s)
    reset(s)
end

function paths.garbage(s)
    s:send("220 mail.example ESMTP\r\n")
end

-- Never more than the first part, however often it is asked.
function paths.drops(s, request)
    if request.headers.range then
        answer(s, "206 Partial Content", {
            'ETag: "v1"',
            ("Content-Range: bytes %d-%d/%d"):format(CUT, #FILE - 1, #FILE),
            "Content-Length: " .. #FILE - CUT,
        })
        return
    end
    cut(s)
end

-- 100,000 bytes more each time: a poor link, but one that gets there.
function paths.flaky(s, request)
    local first = tonumber((request.headers.range or "bytes=0-"):match("bytes=(%d+)%-"))
    local status = request.headers.range and "206 Partial Content" or "200 OK"
    answer(s, status, {
        'ETag: "v1"',
        ("Content-Range: bytes %d-%d/%d"):format(first, #FILE - 1, #FILE),
        "Content-Length: " .. #FILE - first,
    }, FILE:sub(first + 1, first + 100000))
end

-- Another file each time, and nothing that tells them apart.
function paths.mixed(s, request)
    local first = tonumber((request.headers.range or ""):match("bytes=(%d+)%-"))
    if first then
        answer(s, "206 Partial Content", {
            ("Content-Range: bytes %d-%d/%d"):format(first, #FILE - 1, #FILE),
            "Content-Length: " .. #FILE - first,
        }, ("x"):rep(#FILE - first))
    elseif seen.mixed == 1 then
        cut(s, request, {})
    else
        whole(s)
    end
end

local EXPIRED = [[<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>%s</Message><AWSAccessKeyId>AKIASHOWNTONOBODY</AWSAccessKeyId>
</Error>]]

local function refuse(s, status, code, message)
    local body = EXPIRED:format(code, message)
    answer(s, status, { "Content-Type: application/xml", "Content-Length: " .. #body }, body)
end

-- Presigned: `sig=old` has expired, `sig=new` has not.
paths["s3"] = function(s, request)
    if request.query:find("sig=new", 1, true) then
        return paths.whole(s, request)
    end
    refuse(s, "403 Forbidden", "AccessDenied", "Request has expired")
end

function paths.token(s, request)
    if request.query:find("sig=new", 1, true) then
        return paths.whole(s, request)
    end
    refuse(s, "400 Bad Request", "ExpiredToken", "The provided token has expired.")
end

-- The URL expires when a part is there.
function paths.midway(s, request)
    if request.query:find("sig=new", 1, true) then
        return paths.whole(s, request)
    elseif seen.midway > 1 then
        return refuse(s, "403 Forbidden", "AccessDenied", "Request has expired")
    end
    cut(s)
end

function paths.page(s)
    local body = "<html><head><title>Under repair</title></head></html>"
    answer(s, "500 Internal Server Error", { "Content-Length: " .. #body }, body)
end

function paths.repeats(s, request)
    local body = "no such thing: http://here" .. request.target .. " sorry\n"
    answer(s, "404 Not Found", { "Content-Length: " .. #body }, body)
end

function paths.busy(s, request)
    if seen.busy == 1 then
        return answer(s, "503 Service Unavailable", { "Content-Length: 0" })
    end
    paths.whole(s, request)
end

function paths.huge(s)
    answer(s, "200 OK", { "Content-Length: 1000000000000000" }, "0123456789")
end

-- The second half comes only when somebody has asked for something else meanwhile; no length.
function paths.halves(s)
    s:send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" .. FILE:sub(1, CUT))
    print("half")
    local other = listener:accept()
    other:settimeout(10)
    other:receive("*l")
    answer(other, "200 OK", { "Content-Length: 0" })
    other:close()
    s:send(FILE:sub(CUT + 1))
end

local function wait_for_another()
    local other = listener:accept()
    other:settimeout(10)
    other:receive("*l")
    answer(other, "200 OK", { "Content-Length: 0" })
    other:close()
end

-- A part, and an end when somebody has asked for something else meanwhile.
function paths.part(s)
    answer(s, "200 OK", { "Content-Length: 100" }, "0123456789")
    wait_for_another()
end

-- A body that is taken only when somebody has asked for something else meanwhile.
function paths.hold(s, request)
    print("held")
    wait_for_another()
    local body = s:receive(tonumber(request.headers["content-length"]))
    print("body " .. (body and #body or "broken"))
    answer(s, "200 OK", { "Content-Length: 0" })
end

-- Refused before the body is there.
function paths.early(s)
    refuse(s, "403 Forbidden", "AccessDenied", "Access Denied")
    s:shutdown("send")
    while s:receive(65536) do end
end

local function read_request(s)
    local line = s:receive("*l")
    if not line then
        return nil
    end
    local request = { headers = {} }
    request.method, request.target = line:match("^(%u+) (%S+)")
    if not request.target then
        return nil -- a greeting of TLS
    end
    local path = request.target:gsub("^http://[^/]*", "") -- as a proxy gets it
    request.name = path:match("^/([^?]*)") or "CONNECT"
    request.query = request.target:match("%?(.*)$") or ""
    for header in function() return s:receive("*l") end do
        if header == "" then
            return request
        end
        local name, value = header:match("^([^:]+):%s*(.*)$")
        request.headers[name:lower()] = value
    end
end

while true do
    local s = assert(listener:accept())
    s:settimeout(10)
    local request = read_request(s)
    if request then
        local h = request.headers
        local name = request.name:match("^[^/]*")
        seen[name] = (seen[name] or 0) + 1
        print(("%s %s range=%s if-range=%s auth=%s cookie=%s agent=%s"):format(request.method,
            request.target, h.range, h["if-range"], h.authorization, h.cookie, h["user-agent"]))
        local act = paths[name]
        if act then
            act(s, request)
        else
            answer(s, "404 Not Found", { "Content-Length: 5" }, "none\n")
        end
    end
    s:close()
end
