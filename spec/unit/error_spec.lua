local err = require("hob_units").error

local MESSAGE_MAX = 1023

describe("error", function()
  describe("name and words", function()
    it("know every code", function()
      for name, code in pairs(err.all()) do
        assert.is_true(code < 0)
        assert.equal(name, err.name(code))
        assert.not_equal("unknown error", err.words(code))
      end
    end)

    it("give each code a number of its own", function()
      local seen = {}
      for name, code in pairs(err.all()) do
        assert.is_nil(seen[code], name .. " has the number of " .. tostring(seen[code]))
        seen[code] = name
      end
    end)

    it("know 0 and what is no code", function()
      assert.equal("OK", err.name(0))
      assert.equal("no error", err.words(0))
      assert.equal("EUNKNOWN", err.name(-9999))
      assert.equal("unknown error", err.words(7))
    end)
  end)

  describe("set", function()
    it("fills code and message, and returns the code", function()
      local returned, code, message = err.set(-7, "no answer from gw-1 in 10 s")
      assert.equal(-7, returned)
      assert.equal(-7, code)
      assert.equal("no answer from gw-1 in 10 s", message)
    end)

    it("cuts a message that does not fit, and ends it in dots", function()
      local _, _, message = err.set(-1, ("x"):rep(5000))
      assert.equal(("x"):rep(MESSAGE_MAX - 3) .. "...", message)
    end)

    it("keeps a message that just fits", function()
      local _, _, message = err.set(-1, ("x"):rep(MESSAGE_MAX))
      assert.equal(("x"):rep(MESSAGE_MAX), message)
    end)

    it("never cuts a character in two", function()
      for pad = 0, 3 do
        local _, _, message = err.set(-1, ("x"):rep(pad) .. ("€"):rep(2000))
        assert.truthy(utf8.len(message), "cut within a character with " .. pad .. " bytes before")
        assert.equal("...", message:sub(-3))
        assert.is_true(#message > MESSAGE_MAX - 3)
      end
    end)

    it("takes no struct at all", function()
      assert.equal(-3, err.set_nowhere(-3))
    end)
  end)

  describe("prefix", function()
    it("puts words before the message and keeps the code", function()
      local returned, code, message = err.set(-19, "disk I/O error", "opening the store: ")
      assert.equal(-19, returned)
      assert.equal(-19, code)
      assert.equal("opening the store: disk I/O error", message)
    end)

    it("cuts the end, not the prefix", function()
      local _, _, message = err.set(-19, ("x"):rep(MESSAGE_MAX), "opening the store: ")
      assert.equal("opening the store: x", message:sub(1, 20))
      assert.equal("x...", message:sub(-4))
      assert.equal(MESSAGE_MAX, #message)
    end)
  end)

  describe("from_errno and from_uv", function()
    local all = err.all()

    it("name what has a code of its own", function()
      assert.equal(all.ENOENT, err.from_errno(2))
      assert.equal(all.EACCES, err.from_errno(13))
      assert.equal(all.ENOSPC, err.from_errno(28))
      assert.equal(all.ECONNREFUSED, err.from_uv(-111))
      assert.equal(all.ETIMEDOUT, err.from_uv(-110))
      assert.equal(all.ECANCELED, err.from_uv(-125))
    end)

    it("say EIO for what has none", function()
      assert.equal(all.EIO, err.from_errno(99999))
      assert.equal(all.EIO, err.from_uv(-99999))
    end)

    it("know libuv's own codes: end of file, and every failure of name resolution", function()
      assert.equal(all.ECONNRESET, err.from_uv(-4095))
      for status = -3014, -3000 do
        assert.equal(all.ERESOLVE, err.from_uv(status))
      end
    end)

    it("say 0 for success", function()
      assert.equal(0, err.from_uv(0))
    end)
  end)
end)
