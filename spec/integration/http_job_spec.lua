-- What hob.http, hob.aws and hob.verify take from the gateway's configuration: its certificate, the
-- credentials provider, the proxy, the signers, the directories that may be touched.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local http = require("hob.http")
local peer = require("spec.support.peer")
local shim = require("spec.support.shim")
local worlds = require("spec.support.world")

local HANDLERS = {
  ["ask.lua"] = [[
    local aws, http = require("hob.aws"), require("hob.http")
    return { api = 1, args = { alias = "string" }, run = function(job, args)
      local found = job:step("ask", function()
        local credentials, message = aws.credentials(args.alias)
        if not credentials then return nil, message end
        job.state.credentials = credentials
        job.log.info(tostring(credentials))
        return { id = credentials.access_key_id, credentials = credentials }
      end)
      return { id = found.id }
    end }]],
  ["fetch.lua"] = [[
    local http = require("hob.http")
    return { api = 1, args = { url = "string" }, run = function(job, args)
      local answer, message, code = http.get({ url = args.url })
      return { answer = answer and answer.status or message }
    end }]],
  ["check.lua"] = [[
    local verify = require("hob.verify")
    return { api = 1, args = { file = "string", codesign = "table" }, run = function(job, args)
      job:step("verify", function() return verify.codesign(args.codesign, args.file) end)
      return true
    end }]],
  ["touch.lua"] = [[
    local http, verify = require("hob.http"), require("hob.verify")
    return { api = 1, args = { url = "string", path = "string" }, run = function(job, args)
      local _, down = http.download({ url = args.url, to = args.path })
      local _, up = http.put({ url = args.url, file = args.path })
      local _, sum = verify.sha256(args.path)
      local file = assert(http.download({ url = args.url, to = "mine" }))
      return { down = down, up = up, sum = sum, own = file.path:match("[^/]*$") }
    end }]],
}

describe("in a job,", function()
  local world, gateway, provider, bad, signer, dir

  local function start_provider()
    local pair = world.pki:issue({ cn = "localhost" })
    return peer.start("tls_http", pair.cert, pair.key, world.pki.ca)
  end

  setup(function()
    world = worlds.start()
    provider, bad = start_provider(), peer.start("http_bad")
    signer = world.pki:issue({ cn = "Release", san = {} })
    dir = assert(fs.tempdir())
    gateway = world:gateway({ scripts = HANDLERS, config = {
      credentials_endpoint = "localhost:" .. provider.port,
      proxy = ("http://127.0.0.1:%d"):format(bad.port),
      signers = { signer.cert },
      fs_roots = { dir },
    } })
  end)

  teardown(function()
    world:stop()
    provider:stop()
    bad:stop()
    fs.remove(dir, { recursive = true })
  end)

  local function run(id, document)
    world:create(id, json.encode(document))
    return world:ended(id)
  end

  it("credentials come by the gateway's own certificate, and no secret is written anywhere",
    function()
      local execution = run("ask-1", { operation = "ask", alias = "hour" })
      assert.equal("SUCCEEDED", execution.status, execution.details.reason)
      assert.equal("ASIASPEC1", execution.details.id)
      provider:wait("^GET /role%-aliases/hour/credentials thing=gw%-1 ", 10)
      assert.is_nil(table.concat(gateway.lines, "\n"):find("very-secret", 1, true))
      local found = exec.run({ "grep", "-rlE", "very-secret|token==", gateway.dir .. "/data" })
      assert.equal("", found.stdout)
    end)

  it("a role that is refused ends the job with the IoT action that is missing", function()
    local details = run("ask-2", { operation = "ask", alias = "denied" }).details
    assert.matches("Access Denied; the IoT policy of this gateway's certificate must allow " ..
      "iot:AssumeRoleWithCertificate for the role alias 'denied'", details.reason, 1, true)
  end)

  it("the configured proxy is asked, but not for this host itself", function()
    local execution = run("fetch-1", { operation = "fetch", url = "http://name.invalid/whole" })
    assert.equal("200", execution.details.answer)
    bad:wait("^GET http://name.invalid/whole ", 10)
    local here = ("http://127.0.0.1:%d/empty"):format(bad.port)
    assert.equal("200", run("fetch-2", { operation = "fetch", url = here }).details.answer)
    bad:wait("^GET /empty ", 10)
  end)

  local function sign(pair, file)
    exec.check({ "openssl", "dgst", "-sha256", "-sign", pair.key, "-out", dir .. "/sig", file })
    return (exec.check({ "base64", "-w0", dir .. "/sig" }).stdout)
  end

  local function check(id, pair)
    local file = dir .. "/firmware"
    assert(fs.write(file, "firmware"))
    return run(id, { operation = "check", file = file, codesign = { rawPayloadSize = 8,
      signature = sign(pair, file), signatureAlgorithm = "SHA256withECDSA" } })
  end

  it("files are accepted by the configured signers only", function()
    local execution = check("check-1", signer)
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    local refused = check("check-2", world.pki:issue({ cn = "Somebody", san = {} }))
    assert.equal("FAILED", refused.status)
    assert.equal("ESIGNATURE", refused.details.code)
    assert.matches("firmware: the signature is not by the key in " .. signer.cert ..
      " (CN=Release)", refused.details.reason, 1, true)
  end)

  it("files outside of fs_roots are neither made nor sent nor read", function()
    local path = world:path("outside")
    local details = run("touch-1", { operation = "touch", path = path,
      url = ("http://127.0.0.1:%d/whole"):format(bad.port) }).details
    for _, name in ipairs({ "down", "up", "sum" }) do
      assert.matches("fs_roots", details[name], 1, true)
    end
    assert.equal("mine", details.own)
    assert.is_nil(fs.stat(path))
  end)
end)

describe("a disk that fills up during a download", function()
  it("ends it with the reason; the part gives its room back, and it works when there is room "
    .. "(field failure 13)", function()
    local world, bad = worlds.start({ tls = false }), peer.start("http_bad")
    finally(function()
      world:stop()
      bad:stop()
    end)
    local gateway = world:gateway({ launch = false, scripts = { ["fetch.lua"] = [[
      local fs, http = require("hob.fs"), require("hob.http")
      return { api = 1, args = { url = "string" }, run = function(job, args)
        local file, message, code = http.download({ url = args.url, to = "image" })
        if not file then return nil, message .. "; left: " .. #fs.list(job.dir), code end
        return { bytes = file.bytes }
      end }]] } })
    local spy = shim.on(gateway)
    spy:arm()
    gateway:launch()
    local url = ("http://127.0.0.1:%d/halves"):format(bad.port)
    local document = json.encode({ operation = "fetch", url = url })
    local function go_on(id, count)
      world:create(id, document)
      bad:wait("^half$", worlds.PATIENCE, count)
      return function()
        assert(http.request({ url = ("http://127.0.0.1:%d/go"):format(bad.port) }))
        return world:ended(id)
      end
    end
    local rest = go_on("full", 1)
    spy:break_disk("ENOSPC")
    local execution = rest()
    assert.equal("FAILED", execution.status)
    assert.equal("ENOSPC", execution.details.code)
    assert.matches("image.part: No space left on device; left: 0", execution.details.reason, 1,
      true)
    spy:mend_disk()
    assert.equal("1048576", go_on("room", 2)().details.bytes)
  end)
end)
