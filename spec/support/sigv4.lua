-- sigv4.lua - AWS's Signature Version 4 of a request that came in, computed anew, as AWS's
-- documentation describes it.
--
--     sigv4.of(request, secret)   -- the signature that its Authorization header should have

local httpd = require("hob.httpd")
local verify = require("hob.verify")

local M = {}

local function bytes(hex)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function hmac(key, text)
    return bytes(httpd.hmac(key, text))
end

--- What an Authorization header says.
function M.parse(header)
    local id, scope, signed, signature = header:match(
        "^AWS4%-HMAC%-SHA256 Credential=([^/]+)/([^,]+), *SignedHeaders=([^,]+), *Signature=(%x+)$")
    return { id = id, scope = scope, signed = signed, signature = signature }
end

---@param request { method: string, path: string, query: string, headers: table<string, string> }
---@param secret string
---@return string
function M.of(request, secret)
    local auth = M.parse(request.headers.authorization)
    local lines = {}
    for name in auth.signed:gmatch("[^;]+") do
        lines[#lines + 1] = name .. ":" .. assert(request.headers[name], name) .. "\n"
    end
    local canonical = table.concat({ request.method, request.path, request.query,
        table.concat(lines), auth.signed, request.headers["x-amz-content-sha256"] }, "\n")
    local to_sign = table.concat({ "AWS4-HMAC-SHA256", request.headers["x-amz-date"], auth.scope,
        verify.sha256_text(canonical) }, "\n")
    local key = "AWS4" .. secret
    for part in auth.scope:gmatch("[^/]+") do
        key = hmac(key, part)
    end
    return httpd.hmac(key, to_sign)
end

return M
