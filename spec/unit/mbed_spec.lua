local mbed = require("hob_units").mbed

local EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
local ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
local MILLION_A = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

describe("mbed", function()
  it("digests as FIPS 180-4 says", function()
    assert.equal(EMPTY, mbed.sha256(""))
    assert.equal(ABC, mbed.sha256("abc"))
    assert.equal(MILLION_A, mbed.sha256(("a"):rep(1000000)))
  end)

  it("digests piece by piece alike", function()
    assert.equal(EMPTY, mbed.sha256_pieces())
    assert.equal(ABC, mbed.sha256_pieces("a", "", "bc"))
    local piece = ("a"):rep(100000)
    assert.equal(MILLION_A, mbed.sha256_pieces(piece, piece, piece, piece, piece, piece, piece,
      piece, piece, piece))
  end)

  it("has words for mbedTLS's codes", function()
    assert.truthy(mbed.words(-0x2700):lower():find("certificate verification failed", 1, true))
    assert.truthy(#mbed.words(-1) > 0)
  end)

  it("names its version", function()
    assert.truthy(mbed.version():lower():find("^mbed tls %d+%.%d+%.%d+$"))
  end)
end)
