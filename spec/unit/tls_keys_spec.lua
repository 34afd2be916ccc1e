-- core/net/tls_config, tls_files, tls_signer: what connections share of their files, and keys that
-- somebody else keeps.

local fs = require("hob.fs")
local pkis = require("spec.support.pki")
local tls = require("hob_units").tls

-- mbedTLS 3 has no way to sign with somebody else's EC key.
local MBED_3 = require("spec.support.mbed").is_3()

describe("what TLS reads from files", function()
  local pki, own

  setup(function()
    pki = pkis.new()
    own = pki:issue{ cn = "gw-1", san = {} }
  end)

  teardown(function()
    pki:remove()
  end)

  local function config(options)
    options.ca = options.ca or pki.ca
    return assert(tls.config(options))
  end

  local function copy_of(pair)
    local copy = { cert = pair.cert .. ".copy", key = pair.key .. ".copy" }
    assert(fs.copy(pair.cert, copy.cert))
    assert(fs.copy(pair.key, copy.key))
    return copy
  end

  it("is held once by all that read the same at the time", function()
    local cache = tls.cache()
    local first = config{ cache = cache, cert = own.cert, key = own.key }
    local second = config{ cache = cache, cert = own.cert, key = own.key }
    assert.same({ true, true }, { first:shares(second) })
    assert.equal(2, cache:count())
  end)

  it("is compared by what is in the files, wherever they lie", function()
    local cache, copy = tls.cache(), copy_of(own)
    local first = config{ cache = cache, cert = own.cert, key = own.key }
    local second = config{ cache = cache, cert = copy.cert, key = copy.key }
    assert.same({ true, true }, { first:shares(second) })
  end)

  it("is read anew by each, so that a file that was replaced is seen at once", function()
    local cache, changing = tls.cache(), copy_of(own)
    local before = config{ cache = cache, cert = changing.cert, key = changing.key }
    local new = pki:issue{ cn = "gw-2", san = {} }
    assert(fs.write(changing.cert, fs.read(new.cert)))
    assert(fs.write(changing.key, fs.read(new.key)))
    local after = config{ cache = cache, cert = changing.cert, key = changing.key }
    assert.same({ true, false }, { before:shares(after) })
    assert.equal(3, cache:count())
  end)

  it("is not shared under another passphrase, nor where the key is not wanted", function()
    local locked = pki:issue{ cn = "locked", san = {}, passphrase = "abracadabra" }
    local cache = tls.cache()
    local first = config{ cache = cache, cert = locked.cert, key = locked.key,
      passphrase = "abracadabra" }
    local ok, message = tls.config{ ca = pki.ca, cache = cache, cert = locked.cert,
      key = locked.key, passphrase = "wrong" }
    assert.is_nil(ok)
    assert.matches("the passphrase is wrong", message, 1, true)
    local rsa = pki:issue{ cn = "rsa", san = {}, algorithm = "rsa" }
    local whole = config{ cache = cache, cert = rsa.cert, key = rsa.key }
    local bare = config{ cache = cache, cert = rsa.cert, provider = "fails" }
    assert.same({ true, false }, { whole:shares(bare) })
    assert.same({ true, false }, { first:shares(whole) })
  end)

  it("goes with its last user, and when the server has spoken", function()
    local cache = tls.cache()
    local first = config{ cache = cache, cert = own.cert, key = own.key }
    local second = config{ cache = cache, cert = own.cert, key = own.key }
    first:settle()
    assert.equal(2, cache:count())
    second:free()
    assert.equal(0, cache:count())
    first:free()
  end)

  it("may outlive the cache", function()
    local cache = tls.cache()
    local first = config{ cache = cache, cert = own.cert, key = own.key }
    cache:free()
    first:free()
  end)

  it("is not kept when it does not belong together", function()
    local cache, other = tls.cache(), pki:issue{ cn = "other", san = {} }
    local ok, message = tls.config{ ca = pki.ca, cache = cache, cert = own.cert, key = other.key }
    assert.is_nil(ok)
    assert.matches("the key does not match the certificate", message, 1, true)
    assert.equal(0, cache:count())
  end)

  it("is known to belong together when it comes again, until a byte of it has changed", function()
    local cache, changing = tls.cache(), copy_of(own)
    local function connect()
      local made, message = tls.config{ ca = pki.ca, cache = cache, cert = changing.cert,
        key = changing.key }
      if made then
        made:free()
      end
      return message
    end
    assert.is_nil(connect())
    assert.is_nil(connect())
    assert.same({ 1, 0 }, { cache:computed(), cache:count() })
    assert(fs.write(changing.key, fs.read(pki:issue{ cn = "other", san = {} }.key)))
    for times = 2, 3 do -- what does not match is not remembered
      assert.matches("the key does not match the certificate", connect(), 1, true)
      assert.equal(times, cache:computed())
    end
    assert(fs.write(changing.key, fs.read(own.key)))
    assert.is_nil(connect())
    assert.equal(3, cache:computed())
    for i = 1, 1024 do -- others push it out; a passphrase makes another one of a pair
      config{ cache = cache, cert = own.cert, key = own.key, passphrase = "no. " .. i }:free()
    end
    assert.equal(1027, cache:computed())
    assert.is_nil(connect())
    assert.equal(1028, cache:computed())
  end)
end)

describe("a key provider", function()
  local pki, pairs_of

  setup(function()
    pki = pkis.new()
    pairs_of = { rsa = pki:issue{ cn = "rsa", san = {}, algorithm = "rsa" } }
    pairs_of.ec = pki:issue{ cn = "ec", san = {} }
  end)

  teardown(function()
    pki:remove()
  end)

  local KINDS = MBED_3 and { "rsa" } or { "rsa", "ec" }

  local function probe(kind, how, more)
    local options = { ca = pki.ca, cert = pairs_of[kind].cert, provider = how, name = "TPM",
      thing = "gw-1" }
    for key, value in pairs(more or {}) do
      options[key] = value
    end
    local config = assert(tls.config(options))
    local ok, message, code = config:probe()
    return ok, message, code, config
  end

  local function refused(kind, how, words, more)
    local ok, message, code = probe(kind, how, more)
    assert.is_nil(ok)
    assert.equal("ETLS", code)
    assert.equal(("key provider \"TPM\" of the certificate %s: %s"):format(pairs_of[kind].cert,
      words), message)
  end

  for _, kind in ipairs(KINDS) do
    describe("of an " .. kind:upper() .. " key", function()
      it("is asked to sign a hash for the thing, and what it gives is compared", function()
        local ok, _, _, config = probe(kind, "signs", { keeps = pairs_of[kind].key })
        assert.is_true(ok)
        local scheme = kind == "rsa" and "RSA_PKCS1" or "ECDSA"
        assert.same({ 1, "SHA256", 32, scheme, "gw-1" }, { config:asked() })
      end)

      it("is not asked before somebody wants it, and no file of a key is needed", function()
        local config = assert(tls.config{ ca = pki.ca, cert = pairs_of[kind].cert,
          key = "/no/such/key", provider = "signs", keeps = pairs_of[kind].key })
        assert.equal(0, (config:asked()))
      end)

      it("that fails is told with its reason", function()
        refused(kind, "fails", "it does not sign: the token was taken out (EIO)")
        refused(kind, "says nothing", "it does not sign: it gives no reason (EBUSY)")
      end)

      it("that has the key of another certificate is told", function()
        local other = pki:issue{ cn = "other", san = {}, algorithm = kind }
        refused(kind, "signs", "its signature does not fit the certificate: it signs with another "
          .. "key, or what it gave is no signature of the hash (" .. (kind == "rsa"
          and "RSA, PKCS #1 v1.5, with the hash's DigestInfo)" or "ECDSA)"), { keeps = other.key })
      end)

      it("that gives nothing, or says it gave more than there is room for, is told", function()
        local room = kind == "rsa" and 256 or 1024
        refused(kind, "nothing", ("it says that it gave 0 bytes, expected at most %d"):format(room))
        refused(kind, "too much", ("it says that it gave %d bytes, expected at most %d"):format(
          room + 1, room))
      end)
    end)
  end

  it("of an RSA key that gives another length, or no signature, is told", function()
    refused("rsa", "short", "it gave 3 bytes, expected 256 (RSA with 2048 bits)")
    refused("rsa", "garbage", "its signature does not fit the certificate: it signs with another "
      .. "key, or what it gave is no signature of the hash (RSA, PKCS #1 v1.5, with the hash's "
      .. "DigestInfo)")
  end)

  if MBED_3 then
    it("of an EC key is refused by mbedTLS 3, in words", function()
      local ok, message, code = tls.config{ ca = pki.ca, cert = pairs_of.ec.cert,
        provider = "signs", keeps = pairs_of.ec.key }
      assert.is_nil(ok)
      assert.equal("EUNSUPPORTED", code)
      assert.matches("has an EC key, and .- lets no key provider sign with one: use an RSA key",
        message)
    end)
  else
    it("of an EC key that forgets DER, or gives anything else, is told", function()
      refused("ec", "raw", "it gave 64 bytes, which look like r and s one after the other; "
        .. "expected them in DER (SEQUENCE { r INTEGER, s INTEGER })")
      refused("ec", "garbage", "what it gave is no ECDSA signature in DER (70 bytes, the first is "
        .. "0x5a)")
      refused("ec", "short", "what it gave is no ECDSA signature in DER (3 bytes, the first is "
        .. "0x5a)")
    end)
  end

  it("without a name is the product's", function()
    local ok, message = probe("rsa", "fails", { name = false })
    assert.is_nil(ok)
    assert.matches("^key provider of the certificate ", message)
  end)

  it("needs a certificate", function()
    local config = assert(tls.config{ ca = pki.ca, provider = "fails" })
    assert.is_true(config:probe()) -- a thing without one has nothing to sign
    local ok, message = tls.config{ ca = pki.ca, key = "/no/such/key", provider = "fails" }
    assert.is_nil(ok)
    assert.equal("a client certificate needs its file, cert", message)
  end)
end)
