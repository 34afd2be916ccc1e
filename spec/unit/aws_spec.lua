local aws = require("hob.aws")
local fs = require("hob.fs")
local http = require("hob.http")
local httpd = require("hob.httpd")
local json = require("hob.json")
local keys = require("hob.aws.keys")
local peer = require("spec.support.peer")
local pki_of = require("spec.support.pki")
local sigv4 = require("spec.support.sigv4")

local SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

describe("the check of signatures in these specs", function()
    -- "GET Object" in "Signature Calculations for the Authorization Header" of AWS's S3 reference.
    it("comes to the signature of AWS's own example", function()
        local signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        local request = { method = "GET", path = "/test.txt", query = "", headers = {
            authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/" ..
                "us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;" ..
                "x-amz-date,Signature=" .. signature,
            host = "examplebucket.s3.amazonaws.com", range = "bytes=0-9",
            ["x-amz-content-sha256"] =
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ["x-amz-date"] = "20130524T000000Z",
        } }
        assert.equals(signature, sigv4.of(request, SECRET))
    end)
end)

describe("hob.aws", function()
    local pki, provider, client, dir

    setup(function()
        pki = pki_of.new()
        local pair = pki:issue({ cn = "localhost" })
        client = pki:issue({ cn = "gw-1", san = {} })
        provider = peer.start("tls_http", pair.cert, pair.key, pki.ca)
        dir = assert(fs.tempdir())
    end)

    teardown(function()
        provider:stop()
        pki:remove()
        fs.remove(dir, { recursive = true })
    end)

    local function options(changes)
        local o = { endpoint = "localhost:" .. provider.port, thing = "gw-1", ca = pki.ca,
            cert = client.cert, key = client.key }
        for name, value in pairs(changes or {}) do o[name] = value end
        return o
    end

    local function asked(alias)
        return provider:lines("^GET /role%-aliases/" .. alias .. "/credentials .*")
    end

    describe("credentials", function()
        it("come from the credentials provider, by the device's certificate and thing", function()
            local credentials = assert(aws.credentials("hour", options()))
            assert.matches("^ASIASPEC%d+$", credentials.access_key_id)
            assert.is_true(math.abs(credentials.expires - os.time() - 3600) < 60)
            provider:wait("^GET /role%-aliases/hour/credentials thing=gw%-1 ", 10)
            assert.equals("very-secret/1", keys.of(credentials).secret_access_key)
        end)

        it("are kept until shortly before they expire", function()
            local first = assert(aws.credentials("hour", options()))
            assert.equals(first, aws.credentials("hour", options()))
            assert.equals(first, aws.credentials("hour", options()))
            local short = assert(aws.credentials("minute", options()))
            assert.not_equals(short, aws.credentials("minute", options()))
            provider:wait("^GET /role%-aliases/minute/credentials .*", 10, 2)
            assert.equals(1, #asked("hour"))
        end)

        it("do not show their secrets to anything that prints or saves them", function()
            local credentials = assert(aws.credentials("hour", options()))
            local shown = tostring(credentials)
            assert.matches("^AWS credentials ASIASPEC%d+ %(secret hidden%)$", shown)
            assert.is_nil(next(credentials))
            local text = json.encode({ saved = credentials })
            assert.is_nil(text:find("secret/", 1, true))
            assert.is_nil(credentials.secret_access_key)
            assert.is_nil(credentials.session_token)
            assert.is_false(getmetatable(credentials))
            assert.error_matches(function() credentials.x = 1 end, "cannot be changed")
        end)

        it("are refused with what is to be done", function()
            local function refused(alias, code, pattern)
                local result, message, got = aws.credentials(alias, options())
                assert.is_nil(result)
                assert.equals(code, got)
                assert.matches(pattern, message)
            end
            refused("denied", "EHTTP", "^credentials: HTTP 403 from https://localhost:%d+/" ..
                "role%-aliases/denied/credentials: Access Denied; the IoT policy of this " ..
                "gateway's certificate must allow iot:AssumeRoleWithCertificate for the role " ..
                "alias 'denied', and the certificate must be attached to the thing 'gw%-1'$")
            refused("none", "EHTTP", "Role alias does not exist; there must be a role alias 'none'")
            refused("odd", "EPROTO", "the answer of localhost:%d+ holds none")
            refused("text", "EPROTO", "the answer of localhost:%d+ holds none")
        end)

        it("need a certificate", function()
            local _, message, code = aws.credentials("hour2", {
                endpoint = "localhost:" .. provider.port })
            assert.equals("EINVAL", code)
            assert.matches("device_certificate: no gateway runs here", message)
            local stranger = pki_of.new()
            finally(function() stranger:remove() end)
            local pair = stranger:issue({ cn = "gw-1", san = {} })
            local _, why, problem = aws.credentials("hour2", options({ cert = pair.cert,
                key = pair.key }))
            assert.is_true(problem == "ETLS" or problem == "ECONNRESET", why)
        end)

        it("need an endpoint, and name the config key", function()
            local result, message, code = aws.credentials("hour")
            assert.is_nil(result)
            assert.equals("EINVAL", code)
            assert.matches("set the config key credentials_endpoint to what 'aws iot " ..
                "describe%-endpoint %-%-endpoint%-type iot:CredentialProvider' says", message)
        end)

        it("raise on misuse", function()
            assert.error_matches(function() aws.credentials("a/b") end, "name of a role alias")
            assert.error_matches(function() aws.credentials("a", { thng = 1 }) end,
                "unknown option 'thng'")
        end)
    end)

    -- An S3 that takes what is signed rightly.
    local function fake_s3(secret)
        local got = {}
        local server = assert(httpd.listen({ limit = 2 ^ 22, on_request = function(request)
            got[#got + 1] = request
            -- httpd decodes the path; these are of unreserved characters but for what is given.
            local signed = { method = request.method, path = request.headers["x-spec-path"],
                query = "", headers = request.headers }
            local auth = request.headers.authorization
            if not auth or sigv4.parse(auth).signature ~= sigv4.of(signed, secret) then
                return { status = 403, body = "<Error><Code>SignatureDoesNotMatch</Code>" ..
                    "<Message>The signature we calculated does not match</Message></Error>" }
            end
            return { status = 200, headers = { ETag = '"abc"' }, body = "" }
        end }))
        finally(function() server:close() end)
        return ("http://127.0.0.1:%d"):format(server:port()), got
    end

    local function plain(more)
        local of = { access_key_id = "AKIAIOSFODNN7EXAMPLE", secret_access_key = SECRET }
        for name, value in pairs(more or {}) do of[name] = value end
        return of
    end

    describe("put_s3", function()
        it("sends a file, signed as S3 wants it", function()
            local endpoint, got = fake_s3(SECRET)
            local file = dir .. "/log.tar.gz"
            assert(fs.write(file, ("x"):rep(300000)))
            local object = assert(aws.put_s3({ bucket = "fleet-logs", file = file,
                key = "logs/gw-1/job 7+ä.tar.gz", region = "eu-central-1", endpoint = endpoint,
                headers = { ["X-Spec-Path"] = "/fleet-logs/logs/gw-1/job%207%2B%C3%A4.tar.gz" },
                credentials = plain({ session_token = "the/token==" }) }))
            assert.equals("s3://fleet-logs/logs/gw-1/job 7+ä.tar.gz", object.url)
            assert.equals('"abc"', object.etag)
            assert.equals(300000, #got[1].body)
            local auth = sigv4.parse(got[1].headers.authorization)
            assert.equals("AKIAIOSFODNN7EXAMPLE", auth.id)
            assert.matches("^%d+/eu%-central%-1/s3/aws4_request$", auth.scope)
            assert.matches("x-amz-security-token", auth.signed, 1, true)
            assert.equals("the/token==", got[1].headers["x-amz-security-token"])
        end)

        it("sends a text with what the credentials provider gave", function()
            local endpoint, got = fake_s3("very-secret/1")
            assert(aws.put_s3({ bucket = "fleet-logs", key = "a/b", body = "text",
                region = "us-east-1", endpoint = endpoint,
                headers = { ["X-Spec-Path"] = "/fleet-logs/a/b" },
                credentials = aws.credentials("hour", options()) }))
            assert.equals("text", got[1].body)
            assert.equals("token==1", got[1].headers["x-amz-security-token"])
        end)

        it("gives S3's reason when it refuses, and no secret", function()
            local endpoint = fake_s3("another")
            local result, message, code = aws.put_s3({ bucket = "fleet-logs", key = "a", body = "b",
                region = "us-east-1", endpoint = endpoint, credentials = plain(),
                headers = { ["X-Spec-Path"] = "/fleet-logs/a" } })
            assert.is_nil(result)
            assert.equals("EHTTP", code)
            assert.equals(("HTTP 403 from %s/fleet-logs/a: SignatureDoesNotMatch: The signature " ..
                "we calculated does not match"):format(endpoint), message)
            assert.is_nil(message:find(SECRET, 1, true))
        end)

        it("raises on misuse", function()
            local function misused(changes, pattern)
                local o = { bucket = "fleet-logs", key = "a", body = "b", region = "us-east-1",
                    credentials = plain() }
                for name, value in pairs(changes) do o[name] = value end
                assert.error_matches(function() aws.put_s3(o) end, pattern)
            end
            misused({ bucket = "a/b" }, "put_s3: bucket: expected the name of a bucket, got a/b")
            misused({ key = "/a" }, "put_s3: key: expected")
            misused({ region = "eu central" }, "put_s3: region: expected one such as")
            misused({ file = "x" }, "put_s3: expected file or body")
            misused({ credentials = {} }, "expected a string in access_key_id, got nil")
            misused({ bukket = 1 }, "unknown option 'bukket'")
            for _, key in ipairs({ "a/../b", "..", "./a", "a/." }) do
                misused({ key = key }, "aws: expected a url without . and .. in its path, got http")
            end
        end)
    end)

    it("signs requests of http.get, which hands no signature on to another host", function()
        local endpoint, got = fake_s3(SECRET)
        local bad = peer.start("http_bad")
        finally(function() bad:stop() end)
        local signing = { credentials = plain(), region = "eu-central-1", service = "s3" }
        assert(http.get({ url = endpoint .. "/b/k", aws = signing,
            headers = { ["X-Spec-Path"] = "/b/k" } }))
        assert.equals("GET", got[1].method)
        local _, message = http.get({ aws = signing,
            url = ("http://127.0.0.1:%d/to?%s/b/k"):format(bad.port, endpoint),
            headers = { ["X-Spec-Path"] = "/b/k" } })
        assert.matches("auth=AWS4%-HMAC", bad:wait("^GET /to.*", 10))
        assert.is_nil(got[2].headers.authorization, message)
    end)
end)
