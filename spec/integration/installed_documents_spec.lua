-- What lies beside the program when it is installed: manual pages, completion, and the software
-- bill of materials.

local embed = require("spec.support.embed")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local source = require("spec.support.source")
local worlds = require("spec.support.world")

local function installed(path)
  return assert(fs.read(embed.prefix() .. "/" .. path))
end

local function version()
  return exec.check({ worlds.hob(), "--version" }).stdout:match("%d+%.%d+%.%d+")
end

describe("the manual page", function()
  -- As man shows it, one word after the other.
  local function shown(page)
    local text = exec.check({ "man", "-l", "-Tascii", embed.prefix() .. "/share/man/" .. page,
      env = { MANWIDTH = "100", LC_ALL = "C", MAN_KEEP_FORMATTING = "", PAGER = "cat" } }).stdout
    return (text:gsub(".\8", ""):gsub("\27%[[%d;]*m", ""))
  end

  it("hob(1) has the commands that `hob --help` has, and no other", function()
    local told, found = {}, {}
    local help = exec.check({ worlds.hob(), "--help" }).stdout
    for command in help:gmatch("\n[ usage:]+hob (%l[%l%-]+)") do
      told[command] = true
    end
    assert.is_true(told.run and told.status and told["retry-report"])
    local page = assert(shown("man1/hob.1"):match("\nCOMMANDS\n(.-)\nEXIT STATUS\n"))
    for command in page:gmatch("\n       hob (%l[%l%-]+)") do
      found[command] = true
    end
    assert.same(told, found)
  end)

  it("hob(1) has the exit status, files and environment, and the version", function()
    local page = shown("man1/hob.1")
    for _, words in ipairs({ "EXIT STATUS", "ENVIRONMENT", "HOB_LIB_DIR", "FILES",
      "/etc/hob/hob.conf.lua", "Hob " .. version():gsub("%W", "%%%0") }) do
      assert.matches(words, page)
    end
  end)

  it("hob.conf.lua(5) is made of the configuration's reference, by ./dev docs", function()
    local make = loadfile(source.root .. "/packaging/man/generate.lua")("generate")
    assert.equal(make.page(assert(fs.read(source.root .. "/docs/reference/config.md"))),
      assert(fs.read(source.root .. "/packaging/man/hob.conf.lua.5.in")))
    assert.matches("\n       thing_name\n", shown("man5/hob.conf.lua.5"))
  end)

  it("is understood by man without a warning", function()
    for _, page in ipairs({ "man1/hob.1", "man5/hob.conf.lua.5" }) do
      local found = exec.run({ "man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z",
        embed.prefix() .. "/share/man/" .. page, env = { MANWIDTH = "80", LC_ALL = "C.UTF-8" } })
      assert.equal(0, found.code)
      assert.equal("", found.stderr)
    end
  end)
end)

describe("the completion that is installed", function()
  it("is what the program prints, for bash and zsh", function()
    for shell, path in pairs({ bash = "share/bash-completion/completions/hob",
      zsh = "share/zsh/vendor-completions/_hob" }) do
      assert.equal(exec.check({ worlds.hob(), "completion", shell }).stdout, installed(path))
    end
  end)
end)

describe("the software bill of materials", function()
  local bill

  setup(function()
    bill = assert(json.decode(installed("share/doc/hob/hob.spdx.json")))
  end)

  -- The package of each library's file.
  local function by_file()
    local found = {}
    for _, package in ipairs(bill.packages) do
      found[package.packageFileName or package.name] = package
    end
    return found
  end

  it("has what SPDX 2.3 asks of a document", function()
    assert.equal("SPDX-2.3", bill.spdxVersion)
    assert.equal("CC0-1.0", bill.dataLicense)
    assert.equal("SPDXRef-DOCUMENT", bill.SPDXID)
    assert.equal("hob-" .. version(), bill.name)
    assert.matches("^https://[^#%s]+$", bill.documentNamespace)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", bill.creationInfo.created)
    assert.matches("^Tool: %S+$", bill.creationInfo.creators[1])
    assert.same({ "SPDXRef-Package-hob" }, bill.documentDescribes)
  end)

  it("has what SPDX 2.3 asks of a package, each id once", function()
    local ids = {}
    for _, package in ipairs(bill.packages) do
      assert.matches("^SPDXRef%-[%w.-]+$", package.SPDXID)
      assert.is_nil(ids[package.SPDXID])
      ids[package.SPDXID] = true
      assert.is_true(#package.name > 0)
      for _, member in ipairs({ "downloadLocation", "licenseConcluded", "licenseDeclared",
        "copyrightText" }) do
        assert.is_string(package[member], package.name .. "." .. member)
      end
      assert.is_false(package.filesAnalyzed)
    end
    for _, relation in ipairs(bill.relationships) do
      assert.is_true(relation.spdxElementId == "SPDXRef-DOCUMENT" or ids[relation.spdxElementId])
      assert.is_true(ids[relation.relatedSpdxElement])
      assert.matches("^[%u_]+$", relation.relationshipType)
    end
  end)

  it("names every library that ldd finds, with its version, and Hob with its licence", function()
    local files = by_file()
    local libraries = exec.check({ "sh", "-c", 'ldd "$1" "$2"', "sh", worlds.hob(),
      embed.build .. "/libhob.so" }).stdout
    local count = 0
    for library in libraries:gmatch("\n%s+(%S+)[^\n]*") do
      library = library:match("[^/]+$")
      local skipped = library:find("^libhob%.") or library:find("^linux%-vdso")
        or library:find("^lib[atu]*bsan") or library:find("^lib[alt]san")
      if not skipped then
        count = count + 1
        assert.is_table(files[library], library)
        assert.is_string(files[library].versionInfo, library)
      end
    end
    assert.is_true(count > 8)
    assert.equal("MIT", files.hob.licenseDeclared)
    assert.equal(version(), files.hob.versionInfo)
    for name, licence in pairs({ ["libuv.so.1"] = "MIT", ["libsqlite3.so.0"] = "blessing" }) do
      assert.equal(licence, files[name].licenseDeclared)
    end
  end)

  it("tells what only the loadable modules need from what every gateway loads", function()
    local how = {}
    for _, relation in ipairs(bill.relationships) do
      how[relation.spdxElementId .. " " .. relation.relatedSpdxElement] = relation.relationshipType
    end
    local files = by_file()
    assert.equal("DYNAMIC_LINK", how["SPDXRef-Package-hob " .. files["libuv.so.1"].SPDXID])
    assert.equal("OPTIONAL_DEPENDENCY_OF",
      how[files["libcurl.so.4"].SPDXID .. " SPDXRef-Package-hob"])
  end)
end)
