-- What `cmake --install` brings, and that it works from wherever it lies.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local fs = require("hob.fs")
local source = require("spec.support.source")

local LIMIT = 60 -- seconds

local function sorted(set)
  return source.sorted_keys(set)
end

-- The functions that the header declares.
local function declared()
  local found = {}
  local text = source.read("core/hob.h"):gsub("/%*.-%*/", "")
    :gsub("#define[^\n]*", "")
  for declaration in text:gmatch("HOB_EXTERN ([^;{]-%b())") do
    found[assert(declaration:match("(hob_[%w_]+)%s*%("), declaration)] = true
  end
  return found
end

describe("an installed Hob", function()
  local prefix, dir

  setup(function()
    prefix = embed.prefix()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/scripts"))
  end)
  teardown(function() fs.remove(dir, { recursive = true }) end)

  it("exports exactly the functions of hob.h", function()
    local exported = {}
    local said = exec.check({ "nm", "-D", "--defined-only", embed.libdir() .. "/libhob.so" })
    for line in said.stdout:gmatch("[^\n]+") do
      exported[line:match("(%S+)$")] = true
    end
    assert.same(sorted(declared()), sorted(exported))
  end)

  it("has one header, which is legal by itself in C11 and C++", function()
    assert.same({ "hob.h" }, fs.list(prefix .. "/include"))
    for _, way in ipairs({ { "cc", "-std=c11", "-xc" }, { "c++", "-std=c++11", "-xc++" } }) do
      exec.check({ way[1], way[2], way[3], "-Wall", "-Wextra", "-Wpedantic", "-Werror",
        "-fsyntax-only", prefix .. "/include/hob.h", timeout = LIMIT })
    end
  end)

  it("has the version of its header in the library and in hob.pc", function()
    local header = source.read("core/hob.h")
    local version = ("%s.%s.%s"):format(header:match("VERSION_MAJOR (%d+)"),
      header:match("VERSION_MINOR (%d+)"), header:match("VERSION_PATCH (%d+)"))
    assert.same({ version }, embed.pkg_config("--modversion", "hob"))
    local said = exec.check({ prefix .. "/bin/hob", "--version", timeout = LIMIT }).stdout
    assert.equal("hob " .. version, said:match("^[^\n]*"))
  end)

  it("has a library whose name counts its ABI", function()
    local said = exec.check({ "readelf", "-d", embed.libdir() .. "/libhob.so" }).stdout
    assert.matches("%[libhob%.so%.1%]", said)
  end)

  it("works when it was moved: program, Lua files and modules", function()
    local moved = dir .. "/elsewhere"
    exec.check({ "cp", "-a", prefix, moved, timeout = LIMIT })
    local said = exec.check({ moved .. "/bin/hob", "lua", "-e", "print(package.path)", cwd = "/",
      timeout = LIMIT }).stdout
    assert.equal(1, said:find(moved .. "/", 1, true), said)
    said = exec.check({ moved .. "/bin/hob", "--version", cwd = "/", timeout = LIMIT }).stdout
    assert.is_truthy(said:find("libcurl/", 1, true), said)
  end)

  it("takes its modules from beside the library, and says where it looked", function()
    local moved = dir .. "/without"
    exec.check({ "cp", "-a", prefix, moved, timeout = LIMIT })
    local modules = moved .. embed.libdir():sub(#prefix + 1) .. "/hob"
    assert(fs.remove(modules .. "/hob_download.so"))
    local said = exec.check({ moved .. "/bin/hob", "--version", timeout = LIMIT }).stdout
    assert.is_truthy(said:find("no downloads: module hob_download was not found", 1, true), said)
    assert.is_truthy(said:find("/hob/hob_download.so", 1, true), said)
  end)

  describe("in a product", function()
    it("is found by pkg-config, shared", function()
      local program = embed.compile("spec/support/embed_places.c", dir)
      assert.matches("libhob%.so%.1", exec.check({ "ldd", program }).stdout)
      local said = exec.check({ program, dir .. "/data-1", dir .. "/scripts",
        timeout = LIMIT }).stdout
      assert.equal("no error\n", said)
    end)

    it("is found by pkg-config, static; then the product says where its Lua files are", function()
      local program = embed.compile("spec/support/embed_places.c", dir,
        { static = true, name = "places-static" })
      assert.is_nil(exec.check({ "ldd", program }).stdout:find("libhob", 1, true))
      local said = exec.check({ program, dir .. "/data-2", dir .. "/scripts",
        prefix .. "/share/hob/lib", timeout = LIMIT }).stdout
      assert.equal("no error\n", said)
    end)

    it("refuses a lib_dir that does not hold its Lua files", function()
      local program = embed.compile("spec/support/embed_places.c", dir)
      local result = exec.run({ program, dir .. "/data-3", dir .. "/scripts", dir,
        timeout = LIMIT })
      assert.equal(("ENOENT: lib_dir '%s' does not hold hob/job.lua: name the directory of Hob's "
        .. "Lua files, or leave it out\n"):format(dir), result.stdout)
    end)
  end)
end)
