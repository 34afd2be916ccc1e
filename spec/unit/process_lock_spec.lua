-- hob.process.lock: one process at a time.

local fs = require("hob.fs")
local process = require("hob.process")

describe("hob.process.lock", function()
  local dir, path

  before_each(function()
    dir = assert(fs.tempdir())
    path = dir .. "/x.lock"
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("is held by one, and its file goes with it", function()
    local lock = assert(process.lock(path))
    local second, why, code = process.lock(path)
    assert.is_nil(second)
    assert.equal("locking " .. path .. ": another process has it", why)
    assert.equal("EBUSY", code)
    lock:close()
    lock:close()
    assert.is_false(fs.exists(path))
    assert(process.lock(path)):close()
  end)

  it("ends with its scope, also where an error ends that", function()
    pcall(function()
      local _ <close> = assert(process.lock(path))
      error("oops")
    end)
    assert(process.lock(path)):close()
  end)

  it("is not held by a file that a cut has left", function()
    assert(fs.write(path, ""))
    assert(process.lock(path)):close()
    assert.is_false(fs.exists(path))
  end)

  it("says why it cannot be", function()
    local lock, why, code = process.lock(dir .. "/none/x")
    assert.is_nil(lock)
    assert.matches("locking " .. dir .. "/none/x: No such file", why, 1, true)
    assert.equal("ENOENT", code)
    assert.error_matches(function() process.lock() end, "string expected", 1, true)
  end)
end)
