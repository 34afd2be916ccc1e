-- hob.keys: private keys made here, certificate requests, do a certificate and a key match.

local exec = require("hob.exec")
local fs = require("hob.fs")
local keys = require("hob.keys")
local pkis = require("spec.support.pki")
local time = require("hob.time")

local function openssl(...)
  return exec.check{ timeout = 60, "openssl", ... }.stdout
end

describe("hob.keys", function()
  local dir, pki

  setup(function()
    dir = assert(fs.tempdir())
    pki = pkis.new()
  end)

  teardown(function()
    fs.remove(dir, { recursive = true })
    pki:remove()
  end)

  local function refused(code, words, ok, message, got)
    assert.is_nil(ok)
    assert.matches(words, message, 1, true)
    assert.equal(code, got)
  end

  describe("generate", function()
    it("makes an EC key on P-256 that only its owner can read", function()
      local path = dir .. "/ec.key"
      assert.is_true(keys.generate{ to = path })
      assert.matches("ASN1 OID: prime256v1", openssl("pkey", "-in", path, "-noout", "-text"), 1,
        true)
      assert.equal("600", ("%o"):format(assert(fs.stat(path)).mode & 511))
    end)

    it("makes an RSA key of 2048 bits, and other things go on meanwhile", function()
      local path, turns, over = dir .. "/rsa.key", 0, false
      local function turn()
        turns = turns + 1
        if not over then
          time.after(0, turn)
        end
      end
      turn()
      assert.is_true(keys.generate{ to = path, type = "rsa" })
      over = true
      assert.is_true(turns > 5)
      assert.matches("Private-Key: (2048 bit", openssl("pkey", "-in", path, "-noout", "-text"), 1,
        true)
    end)

    it("makes another one each time", function()
      assert.is_true(keys.generate{ to = dir .. "/one.key" })
      assert.is_true(keys.generate{ to = dir .. "/two.key" })
      assert.not_equal(fs.read(dir .. "/one.key"), fs.read(dir .. "/two.key"))
    end)

    it("does not replace a file unless it is told to, and then all of it", function()
      local path = dir .. "/old.key"
      assert(fs.write(path, "the only copy", { mode = "644" }))
      refused("EEXIST", path .. ": there is a file, perhaps a key that is in use",
        keys.generate{ to = path })
      assert.equal("the only copy", fs.read(path))
      assert.is_true(keys.generate{ to = path, replace = true })
      assert.matches("BEGIN EC PRIVATE KEY", fs.read(path), 1, true)
      assert.equal("600", ("%o"):format(assert(fs.stat(path)).mode & 511))
    end)

    it("says where it could not write, and leaves nothing there", function()
      refused("ENOENT", "writing " .. dir .. "/none/x.key",
        keys.generate{ to = dir .. "/none/x.key" })
      assert.is_false(fs.exists(dir .. "/none"))
    end)

    it("refuses misuse in words", function()
      for words, options in pairs({
        ["type: expected \"ec\" or \"rsa\", got \"dsa\""] = { to = "x", type = "dsa" },
        ["bits: expected 2048, 3072 or 4096"] = { to = "x", type = "rsa", bits = 1024 },
        ["for type = \"rsa\""] = { to = "x", bits = 256 },
        ["to: expected the path of a file, got nil"] = {},
        ["unknown option 'file'; known: to, type, bits, replace"] = { file = "x" },
      }) do
        assert.error_matches(function() keys.generate(options) end, words, 1, true)
      end
    end)
  end)

  describe("csr", function()
    it("asks for a certificate for the subject, signed by the key", function()
      for _, algorithm in ipairs{ "ec", "rsa" } do
        local path = dir .. "/csr-" .. algorithm
        assert.is_true(keys.generate{ to = path, type = algorithm })
        local pem = assert(keys.csr{ key = path, subject = "CN=gateway-7, O=Example" })
        assert(fs.write(path .. ".csr", pem))
        local text = openssl("req", "-in", path .. ".csr", "-noout", "-subject", "-verify",
          "-pubkey")
        assert.matches("CN ?= ?gateway%-7", text)
        assert.matches("O ?= ?Example", text)
        assert.matches(openssl("pkey", "-in", path, "-pubout"), text, 1, true)
      end
    end)

    it("takes the key as a text, and an encrypted one with its passphrase", function()
      local own = pki:issue{ cn = "locked", san = {}, passphrase = "abracadabra" }
      local text = fs.read(own.key)
      assert(keys.csr{ key = text, passphrase = "abracadabra", subject = "CN=x" })
      refused("ETLS", "key file (given as a text): the passphrase is wrong",
        keys.csr{ key = text, passphrase = "wrong", subject = "CN=x" })
      refused("ETLS", own.key .. ": the key is encrypted and no passphrase is given",
        keys.csr{ key = own.key, subject = "CN=x" })
    end)

    it("says what is wrong with the subject or the key", function()
      local own = pki:issue{ cn = "x", san = {} }
      for _, subject in ipairs{ "gateway", "CN=", "CN=x,gateway", "CN=x,", "CN=,O=x", "NONE=x" } do
        refused("EINVAL", 'subject: expected one such as "CN=gateway-7, O=Example", got "' ..
          subject .. '"', keys.csr{ key = own.key, subject = subject })
      end
      refused("ENOENT", "key file " .. dir .. "/none: ", keys.csr{ key = dir .. "/none",
        subject = "CN=x" })
      refused("ETLS", 'no private key in it, but "CERTIFICATE"', keys.csr{ key = own.cert,
        subject = "CN=x" })
      assert.error_matches(function() keys.csr{ key = own.key } end, "subject: expected one such",
        1, true)
      assert.error_matches(function() keys.csr{ subject = "CN=x" } end,
        "key: expected the path of a file, or a PEM text, got nil", 1, true)
    end)
  end)

  describe("dates", function()
    it("are seconds since 1970, of the first certificate in a file or a text", function()
      local own = pki:issue{ cn = "own", san = {}, from = -3600, to = 7200 }
      local near = function(wanted, got)
        assert.is_true(math.abs(time.now() + wanted - got) < 600, tostring(got))
      end
      for _, certificate in ipairs{ own.cert, fs.read(own.cert) .. fs.read(pki.ca) } do
        local dates = assert(keys.dates(certificate))
        assert.equal("integer", math.type(dates.not_after))
        near(-3600, dates.not_before)
        near(7200, dates.not_after)
        assert.equal(10800, dates.not_after - dates.not_before)
      end
    end)

    it("say what cannot be read", function()
      refused("ENOENT", "certificate file " .. dir .. "/none: ", keys.dates(dir .. "/none"))
      refused("ETLS", "no certificate in it", keys.dates(pki:issue{ cn = "x", san = {} }.key))
      assert.error_matches(function() keys.dates() end,
        "certificate: expected the path of a file, or a PEM text, got nil", 1, true)
    end)
  end)

  describe("matches", function()
    it("is true for a certificate and its key, false for another key", function()
      for _, algorithm in ipairs{ "ec", "rsa" } do
        local own = pki:issue{ cn = "own", san = {}, algorithm = algorithm }
        local other = pki:issue{ cn = "other", san = {}, algorithm = algorithm }
        assert.is_true(keys.matches(own.cert, own.key))
        assert.is_true(keys.matches(fs.read(own.cert), fs.read(own.key)))
        assert.is_false(keys.matches(own.cert, other.key))
      end
    end)

    it("is false for keys of two kinds", function()
      local ec, rsa = pki:issue{ cn = "a", san = {} }, pki:issue{ cn = "b", san = {},
        algorithm = "rsa" }
      assert.is_false(keys.matches(ec.cert, rsa.key))
      assert.is_false(keys.matches(rsa.cert, ec.key))
    end)

    it("says which of them cannot be read", function()
      local own = pki:issue{ cn = "own", san = {} }
      refused("ETLS", 'certificate file ' .. own.key .. ': no certificate in it, but ',
        keys.matches(own.key, own.key))
      refused("ETLS", "key file " .. own.cert, keys.matches(own.cert, own.cert))
    end)
  end)
end)
