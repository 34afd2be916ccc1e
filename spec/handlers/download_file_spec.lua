-- download-file: both forms of its document, what it refuses, and with whose rights it writes.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local peer = require("spec.support.peer")
local shipped = require("spec.support.shipped")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local FILE = ("0123456789abcdef"):rep(65536)

describe("the shipped handler download-file", function()
  local machine, server, url, digest

  lazy_setup(function()
    machine = shipped.new({ config = { users = { "nobody", shipped.me() } } })
    server = peer.start("http_bad")
    url = ("http://127.0.0.1:%d/whole"):format(server.port)
    digest = exec.check({ "sha256sum", stdin = FILE }).stdout:match("%x+")
  end)
  lazy_teardown(function()
    server:stop()
    machine:stop()
  end)

  local function run(document)
    document.operation = "download-file"
    return machine:run(json.encode(document))
  end

  it("puts the file in place, whole and with the right digest", function()
    local to = machine.world:path("file")
    local execution = run({ url = url, to = to, sha256 = digest:upper() })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(FILE, fs.read(to))
    assert.equal(to, execution.details.path)
    assert.equal(digest, execution.details.sha256)
  end)

  it("knows the names of AWS's parameters, too", function()
    local to = machine.world:path("file")
    local execution = run({ downloadUrl = url, filePath = to })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(FILE, fs.read(to))
  end)

  it("leaves nothing in place whose digest is wrong", function()
    local to = machine.world:path("file")
    local execution = run({ url = url, to = to, sha256 = ("0"):rep(64) })
    assert.equal("FAILED", execution.status)
    assert.equal("EDIGEST", execution.details.code)
    assert.is_nil(fs.stat(to))
  end)

  it("tells the server's answer", function()
    local execution = run({ url = url:gsub("/whole$", "/nothing-there"),
      to = machine.world:path("file") })
    assert.equal("FAILED", execution.status)
    assert.equal("EHTTP", execution.details.code)
    assert.matches("HTTP 404", execution.details.reason)
  end)

  it("refuses before it begins what can never work", function()
    for reason, document in pairs({
      ["args%.url: expected a URL"] = { url = "ftp://x/y", to = "/x" },
      ["args%.to: expected the absolute path"] = { url = url, to = "x" },
      ["args%.sha256: expected 64"] = { url = url, to = "/x", sha256 = "abc" },
    }) do
      local execution = run(document)
      assert.equal("REJECTED", execution.status)
      assert.matches(reason, execution.details.reason)
    end
  end)

  it("as a step of AWS's template asks for another URL when its own has expired (field failure 18)",
    function()
      local to = machine.world:path("file")
      local function document(signature)
        return shipped.managed("AWS-Download-File", { filePath = to,
          downloadUrl = ("http://127.0.0.1:%d/presigned?key=a%%2Fb&sig=%s"):format(server.port,
            signature) })
      end
      local id = machine:create(document("old%2B1"))
      wait_until(function()
        local part = fs.stat(to .. ".part")
        return part and part.size > 0
      end, worlds.PATIENCE, "the first part of the file")
      machine.gateway:kill()
      machine.world.engine.jobs[id].document = document("new%2B2")
      machine.gateway:launch()
      local execution = machine.world:ended(id)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(digest, execution.details.sha256)
      assert.equal(FILE, fs.read(to))
    end)

  describe("with the rights of the user whom the document names", function()
    local function run_as(user, to)
      return machine:run(shipped.managed("AWS-Download-File", { downloadUrl = url, filePath = to,
        runAsUser = user }))
    end

    it("writes the file", function()
      local to = machine.world:path("file")
      local execution = run_as(shipped.me(), to)
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal(FILE, fs.read(to))
      assert.is_nil(fs.stat(to .. ".part"))
      assert.equal(digest, execution.details.sha256)
    end)

    it("writes nothing where that user may not", function()
      local dir = machine.world:path("closed")
      assert(fs.mkdir(dir))
      if shipped.me() == "root" then
        local execution = run_as("nobody", dir .. "/file")
        assert.equal("FAILED", execution.status)
        assert.matches("Permission denied", execution.details.reason)
        exec.check({ "chown", "nobody", dir })
        execution = run_as("nobody", dir .. "/file")
        assert.equal("SUCCEEDED", execution.status, execution.details.reason)
        assert.equal("nobody", (exec.check({ "stat", "-c", "%U", dir .. "/file" }).stdout
          :gsub("\n$", "")))
      else
        local execution = run_as("root", dir .. "/file")
        assert.equal("REJECTED", execution.status)
        assert.matches("this Hob is not root", execution.details.reason)
      end
      assert.is_nil(fs.stat(dir .. "/file.part"))
    end)
  end)
end)
