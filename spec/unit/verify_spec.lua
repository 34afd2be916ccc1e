local exec = require("hob.exec")
local fs = require("hob.fs")
local pki_of = require("spec.support.pki")
local verify = require("hob.verify")

local DATA = ("firmware"):rep(100000)

describe("hob.verify", function()
    local pki, dir, file
    local ec, rsa, other

    setup(function()
        pki = pki_of.new()
        local signing = "extendedKeyUsage = codeSigning"
        ec = pki:issue({ cn = "Release", san = {}, extensions = signing })
        rsa = pki:issue({ cn = "Release RSA", san = {}, algorithm = "rsa", extensions = signing })
        other = pki:issue({ cn = "Somebody", san = {} })
        dir = assert(fs.tempdir())
        file = dir .. "/image"
        assert(fs.write(file, DATA))
    end)

    teardown(function()
        fs.remove(dir, { recursive = true })
        pki:remove()
    end)

    -- What openssl makes of it: base64 without line ends.
    local function sign(pair, hash, path)
        exec.check({ "openssl", "dgst", "-" .. hash, "-sign", pair.key, "-out", dir .. "/sig",
            path or file })
        return (exec.check({ "base64", "-w0", dir .. "/sig" }).stdout)
    end

    local function public_key(pair)
        local path = pair.key .. ".pub"
        fs.write(path, exec.check({ "openssl", "pkey", "-in", pair.key, "-pubout" }).stdout)
        return path
    end

    local function with(base, changes)
        local copy = {}
        for name, value in pairs(base) do copy[name] = value end
        for name, value in pairs(changes or {}) do copy[name] = value end
        return copy
    end

    describe("sha256", function()
        it("is the digest of a file, or of a text", function()
            local expected = exec.check({ "sha256sum", file }).stdout:match("^%x+")
            assert.equals(expected, verify.sha256(file))
            assert.equals(expected, verify.sha256_text(DATA))
        end)

        it("lets other tasks run meanwhile", function()
            local time = require("hob.time")
            exec.check({ "truncate", "-s", "20M", dir .. "/large" })
            local turns = 0
            local stop
            time.after(0, function()
                while not stop do
                    time.sleep(0.001)
                    turns = turns + 1
                end
            end)
            assert(verify.sha256(dir .. "/large"))
            stop = true
            assert.is_true(turns > 3, tostring(turns))
        end)

        it("says what is wrong with a file", function()
            for path, code in pairs({ [dir .. "/none"] = "ENOENT", [dir] = "EINVAL",
                ["/dev/zero"] = "EINVAL" }) do
                local result, message, got = verify.sha256(path)
                assert.is_nil(result)
                assert.equals(code, got)
                assert.matches(path, message, 1, true)
            end
        end)

        it("raises on misuse", function()
            assert.error_matches(function() verify.sha256() end, "sha256: expected the path")
            assert.error_matches(function() verify.sha256_text(1) end, "expected string")
        end)
    end)

    describe("signature", function()
        it("is accepted by certificate or public key, as file or text, ECDSA or RSA", function()
            for _, case in ipairs({ { ec, "ECDSA" }, { rsa, "RSA" } }) do
                local pair, kind = case[1], case[2]
                for _, hash in ipairs({ "SHA256", "SHA384", "SHA1" }) do
                    local signature = sign(pair, hash:lower())
                    local base = { file = file, signature = signature,
                        algorithm = hash .. "-" .. kind }
                    local ok, signer = verify.signature(with(base, { certificate = pair.cert }))
                    assert.is_true(ok, signer)
                    assert.matches("^CN=Release", signer.name)
                    assert.is_false(signer.expired)
                    assert.is_true(verify.signature(with(base, { key = public_key(pair) })))
                    assert.is_true(verify.signature(with(base,
                        { certificate = fs.read(pair.cert) })))
                end
            end
        end)

        it("may be bytes, over data in memory, and is called by many names", function()
            sign(ec, "sha256")
            local bytes = fs.read(dir .. "/sig")
            for _, name in ipairs({ "SHA256-ECDSA", "SHA256withECDSA", "sig-sha256-ecdsa",
                "ECDSA-SHA256", "ECDSA_SHA_256", "sha256-ecdsa" }) do
                assert.is_true(verify.signature({ data = DATA, signature = bytes,
                    algorithm = name, certificate = ec.cert }))
            end
        end)

        local function refused(changes, pattern, code)
            local base = { file = file, signature = sign(ec, "sha256"),
                algorithm = "SHA256-ECDSA", certificate = ec.cert }
            local ok, message, got = verify.signature(with(base, changes))
            assert.is_nil(ok)
            assert.equals(code or "ESIGNATURE", got)
            assert.matches(pattern, message)
            return message
        end

        it("is refused when the file was changed, naming file and key", function()
            local changed = dir .. "/changed"
            fs.write(changed, DATA:sub(1, -2) .. "x")
            local message = refused({ file = changed }, "the signature is not by the key in ")
            assert.equals(("%s: the signature is not by the key in %s (CN=Release)")
                :format(changed, ec.cert), message)
        end)

        it("is refused when it is by another key, or of another kind", function()
            refused({ certificate = other.cert }, "is not by the key in .* %(CN=Somebody%)")
            refused({ certificate = rsa.cert },
                "the signature is said to be ECDSA, but the key in .* is of another kind")
            refused({ algorithm = "SHA384-ECDSA" }, "is not by the key")
        end)

        it("is refused when it is cut or no base64", function()
            local signature = sign(ec, "sha256")
            refused({ signature = signature:sub(1, 20) }, "is not by the key")
            refused({ signature = "A===" }, "signature: expected base64")
            refused({ signature = "" }, "signature: expected base64")
            refused({ signature = ("\0"):rep(2000) }, "at most 1024 bytes, got 2000 characters")
        end)

        it("is refused when its algorithm is not known", function()
            refused({ algorithm = "MD5-RSA" }, "expected one such as SHA256%-ECDSA or " ..
                "SHA256%-RSA, got 'MD5%-RSA'")
            refused({ algorithm = "SHA256-DSA" }, "got 'SHA256%-DSA'")
            refused({ algorithm = "" }, "got ''")
        end)

        it("is refused by a key that is none, and says what it is", function()
            refused({ certificate = ec.key }, "expected a certificate or a public key %(PEM%), " ..
                "got a private key", "EINVAL")
            refused({ certificate = file }, "has 800000 bytes, expected a PEM file", "EMSGSIZE")
            refused({ certificate = dir .. "/none" }, "certificate: .*none: No such", "ENOENT")
        end)

        it("is refused by an RSA key that is too short", function()
            local path = dir .. "/short.key"
            exec.check({ "openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt",
                "rsa_keygen_bits:1024", "-out", path })
            refused({ algorithm = "SHA256-RSA" }, "another kind")
            local ok, message = verify.signature({ file = file, key = public_key({ key = path }),
                signature = sign({ key = path }, "sha256"), algorithm = "SHA256-RSA" })
            assert.is_nil(ok)
            assert.matches("an RSA key of 1024 bits, expected 2048 or more", message)
        end)

        it("is accepted by a certificate of a CA, if it is for code signing and in time", function()
            local base = { file = file, signature = sign(ec, "sha256"),
                algorithm = "SHA256-ECDSA", certificate = ec.cert, ca = pki.ca }
            assert.is_true(verify.signature(base))
            local strange = pki_of.new()
            finally(function() strange:remove() end)
            refused({ ca = strange.ca }, "not trusted by ")
            refused({ certificate = other.cert, signature = sign(other, "sha256"), ca = pki.ca },
                "not for code signing")
            local old = pki:issue({ cn = "Old", san = {}, from = -900, to = -600,
                extensions = "extendedKeyUsage = codeSigning" })
            refused({ certificate = old.cert, signature = sign(old, "sha256"), ca = pki.ca },
                "not trusted by .*expired")
        end)

        it("raises on misuse", function()
            local function misused(options, pattern)
                assert.error_matches(function() verify.signature(options) end, pattern)
            end
            misused(nil, "expected a table of options, got nil")
            misused({ fil = 1 }, "unknown option 'fil'")
            misused({ signature = "x", algorithm = "y", key = "z" }, "expected file or data")
            misused({ file = file, signature = "x", algorithm = "y" },
                "expected key or certificate")
            misused({ file = file, key = "z", ca = "z" }, "certificate beside ca")
            misused({ file = file, key = "z" }, "expected signature and algorithm")
            misused({ file = 1 }, "file: expected string, got number")
        end)
    end)

    describe("codesign", function()
        local function member(changes)
            return with({ rawPayloadSize = #DATA, signature = sign(ec, "sha256"),
                signatureAlgorithm = "SHA256withECDSA",
                payloadLocation = { s3 = { bucketName = "b", key = "k", version = "v" } } },
                changes)
        end

        local function refused(changes, pattern, options)
            local ok, message, code = verify.codesign(
                type(changes) == "table" and member(changes) or changes, file,
                options or { signers = { ec.cert } })
            assert.is_nil(ok)
            assert.equals("ESIGNATURE", code)
            assert.matches(pattern, message)
        end

        it("accepts what AWS Signer writes", function()
            local ok, signer = verify.codesign(member(), file, { signers = { ec.cert } })
            assert.is_true(ok, signer)
            assert.equals(ec.cert, signer.key)
        end)

        it("accepts a file's entry of an OTA document, and of custom signing", function()
            assert.is_true(verify.codesign({ filepath = "x", filesize = #DATA,
                certfile = ec.cert, ["sig-sha256-ecdsa"] = sign(ec, "sha256") }, file,
                { signers = { ec.cert } }))
            assert.is_true(verify.codesign({ signature = { inlineDocument = sign(rsa, "sha256") },
                hashAlgorithm = "SHA256", signatureAlgorithm = "RSA" }, file,
                { signers = { rsa.cert } }))
        end)

        it("accepts the certificate in the document only from a CA that is a signer", function()
            local chain = { certificateChain = { inlineDocument = fs.read(ec.cert) } }
            assert.is_true(verify.codesign(member(chain), file, { signers = { pki.ca } }))
            refused(chain, "not trusted by " .. other.cert:gsub("%p", "%%%0"),
                { signers = { other.cert } })
            refused({ certificateChain = { inlineDocument = fs.read(other.cert) },
                signature = sign(other, "sha256") }, "not for code signing",
                { signers = { pki.ca } })
        end)

        it("takes any of several signers", function()
            assert.is_true(verify.codesign(member(), file,
                { signers = { other.cert, public_key(ec) } }))
        end)

        it("accepts a configured signer whose certificate has expired, and says so", function()
            local old = pki:issue({ cn = "Old", san = {}, from = -900, to = -600 })
            local ok, signer = verify.codesign(member({ signature = sign(old, "sha256") }), file,
                { signers = { old.cert } })
            assert.is_true(ok, signer)
            assert.is_true(signer.expired)
        end)

        it("takes the size as a string, as parameters of AWS's documents are", function()
            local given = member({ rawPayloadSize = tostring(#DATA) })
            assert.is_true(verify.codesign(given, file, { signers = { ec.cert } }))
        end)

        it("refuses a file of another size, before it looks at the signature", function()
            refused({ rawPayloadSize = 5 },
                "has 800000 bytes, but 5 were signed %(codesign.rawPayloadSize%)")
            refused({ rawPayloadSize = "5" }, "has 800000 bytes, but 5 were signed")
            refused({ rawPayloadSize = "5k" },
                'rawPayloadSize: expected a number of bytes, got "5k"')
        end)

        it("refuses another signer, naming the keys that it tried", function()
            refused({ signature = sign(other, "sha256") },
                "is not by the key in .*%(CN=Release%); .* is not by the key in .*pub",
                { signers = { ec.cert, public_key(ec) } })
        end)

        it("refuses a signer that only the document names", function()
            refused({ certfile = other.cert, signature = sign(other, "sha256") },
                "is not among the trusted signers %(config key signers%)")
        end)

        it("refuses a tampered file, a cut signature, an unknown algorithm, SHA-1", function()
            local tampered = dir .. "/tampered"
            fs.write(tampered, "X" .. DATA:sub(2))
            local ok, message, code = verify.codesign(member(), tampered,
                { signers = { ec.cert } })
            assert.is_nil(ok)
            assert.equals("ESIGNATURE", code)
            assert.matches("tampered: the signature is not by the key", message)
            refused({ signature = sign(ec, "sha256"):sub(1, 40) }, "is not by the key")
            refused({ signatureAlgorithm = "SHA256withMAGIC" },
                "codesign.algorithm: expected one such as .*got 'SHA256withMAGIC'")
            refused({ signatureAlgorithm = "SHA1withECDSA" }, "SHA1 is too weak for code")
        end)

        it("accepts SHA-1 where the handler allows it", function()
            assert.is_true(verify.codesign(member({ signatureAlgorithm = "SHA1withECDSA",
                signature = sign(ec, "sha1") }), file, { signers = { ec.cert }, sha1 = true }))
        end)

        it("refuses a member that is none, naming what it lacks", function()
            refused("text", "codesign: expected an object, got string")
            refused({ signature = 5 }, "codesign.signature: expected a string of 1 to 8192 " ..
                "characters, got number")
            refused({ signatureAlgorithm = false }, "codesign.signatureAlgorithm: ")
            refused({ signature = "${aws:iot:code-sign-signature:s3://x}" }, "placeholder")
        end)

        it("names the config key when no signer is configured", function()
            local ok, message, code = verify.codesign(member(), file)
            assert.is_nil(ok)
            assert.equals("ESIGNATURE", code)
            assert.matches("no signer is trusted: set the config key signers", message)
        end)

        it("checks bytes that were read, in the place of the file", function()
            local options = { signers = { ec.cert }, data = DATA }
            assert.is_true(verify.codesign(member(), "/no/such/file", options))
            options.data = DATA:sub(1, -2) .. "!"
            refused({}, "the signature is not by the key in ", options)
            options.data = DATA .. "!"
            refused({}, "has 800001 bytes, but 800000 were signed", options)
        end)

        it("raises on misuse", function()
            assert.error_matches(function()
                verify.codesign({}, file, { data = 5 })
            end, "data: expected string, got number")
            assert.error_matches(function() verify.codesign({}, nil) end, "expected the path")
            assert.error_matches(function()
                verify.codesign({}, file, { signers = {} })
            end, "signers: expected a list")
        end)
    end)
end)
