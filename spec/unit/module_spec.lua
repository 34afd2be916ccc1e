local fs = require("hob.fs")
local module = require("hob_units").module

describe("module", function()
  it("knows the directory of the running program", function()
    local pipe = assert(io.popen("readlink /proc/$PPID/exe"))
    local program = pipe:read("l")
    pipe:close()
    assert.equal(program:match("^(.*)/"), module.program_dir())
  end)

  it("says so when that does not fit", function()
    local dir, message, code = module.program_dir(2)
    assert.is_nil(dir)
    assert.equal("EMSGSIZE", code)
    assert.truthy(message:find("directory", 1, true))
  end)

  it("names every file it looked for, and what to do", function()
    local ok, message, code = module.open("hob_nothing")
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
    local dir = module.program_dir()
    assert.truthy(message:find(dir .. "/modules/hob_nothing.so", 1, true))
    assert.truthy(message:find(dir .. "/../lib/hob/hob_nothing.so", 1, true))
    assert.truthy(message:find("HOB_MODULE_DIR", 1, true))
  end)

  it("opens a module that was built beside the program", function()
    assert.is_true(module.open("hob_download"))
    assert.is_true(module.open("hob_download")) -- it stays open
  end)

  it("looks first into the directory that a product names", function()
    local _, message = module.open("hob_nothing", "/opt/product/modules")
    assert.truthy(message:find("looked for /opt/product/modules/hob_nothing.so, ", 1, true))
  end)

  it("opens a module once, wherever it was found", function()
    assert.is_true(module.open("hob_download"))
    local dir = assert(fs.tempdir())
    finally(function() fs.remove(dir, { recursive = true }) end)
    assert(fs.write(dir .. "/hob_download.so", "no library"))
    assert.is_true(module.open("hob_download", dir))
    assert(fs.write(dir .. "/hob_other.so", "no library"))
    assert.is_nil(module.open("hob_other", dir))
  end)

  it("refuses a file that is no module of Hob, and names it", function()
    local ok, message, code = module.open("hob_units")
    assert.is_nil(ok)
    assert.equal("EUNSUPPORTED", code)
    assert.truthy(message:find("modules/hob_units.so: it has no symbol hob_module", 1, true))
  end)

  it("takes no path for a name", function()
    for _, name in ipairs({ "../hob_download", "", "hob download", "/etc/passwd" }) do
      local ok, message, code = module.open(name)
      assert.is_nil(ok)
      assert.equal("EINVAL", code)
      assert.truthy(message:find("'" .. name .. "'", 1, true))
    end
  end)
end)
