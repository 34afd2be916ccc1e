-- collect-logs: what is gathered, where it goes, and what survives a power cut.

local exec = require("hob.exec")
local fs = require("hob.fs")
local httpd = require("hob.httpd")
local json = require("hob.json")
local peer = require("spec.support.peer")
local shipped = require("spec.support.shipped")
local sigv4 = require("spec.support.sigv4")
local worlds = require("spec.support.world")

local JOURNALCTL = [[
#!/bin/sh
echo "$*" >> '%s'
case "$*" in *unit=secret*) echo "no permission" >&2; exit 1;; esac
echo "newest line"; echo "oldest line"
]]

describe("collect-logs", function()
  local world, gateway, provider, server, logs, bin, puts, answer, count

  setup(function()
    world = worlds.start()
    assert(fs.chmod(world.dir, tonumber("711", 8)))
    local pair = world.pki:issue({ cn = "localhost" })
    provider = peer.start("tls_http", pair.cert, pair.key, world.pki.ca)
    logs, bin, count = world:path("logs"), world:path("bin"), 0
    assert(fs.mkdir(bin))
    assert(fs.write(bin .. "/journalctl", JOURNALCTL:format(bin .. "/calls")))
    assert(fs.chmod(bin .. "/journalctl", tonumber("755", 8)))
    assert(fs.write(bin .. "/calls", ""))
    assert(fs.chmod(bin .. "/calls", tonumber("666", 8)))
    server = assert(httpd.listen({ limit = 2 ^ 22, on_request = function(request)
      puts[#puts + 1] = request
      return answer(request)
    end }))
    gateway = world:gateway({ scripts = shipped.scripts(),
      config = { credentials_endpoint = "localhost:" .. provider.port },
      env = { PATH = bin .. ":" .. os.getenv("PATH") } })
    gateway:wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
    provider:stop()
    server:close()
  end)

  before_each(function()
    puts = {}
    answer = function() return { status = 200, body = "" } end
    fs.remove(logs, { recursive = true })
    assert(fs.mkdir(logs .. "/old"))
    for i, name in ipairs({ "old/c.log", "b.log", "a.log", "a.txt", ".hidden.log" }) do
      assert(fs.write(logs .. "/" .. name, name .. "\n" .. ("x"):rep(1000)))
      exec.check({ "touch", "-d", "@" .. 1700000000 + i, logs .. "/" .. name })
    end
  end)

  local function base()
    return ("http://127.0.0.1:%d"):format(server:port())
  end

  local function run(document)
    count = count + 1
    document.operation = "collect-logs"
    world:create("job-" .. count, json.encode(document))
    return world:ended("job-" .. count)
  end

  local function to_url(document)
    document.uploadUrl = base() .. "/up?X-Amz-Signature=secret0"
    return run(document)
  end

  -- The files in the archive that came last: name -> text.
  local function archive()
    local dir = assert(fs.tempdir())
    finally(function() fs.remove(dir, { recursive = true }) end)
    exec.check({ "tar", "-xzf", "-", "-C", dir, stdin = puts[#puts].body })
    local found = {}
    for path in exec.check({ "find", dir, "-type", "f" }).stdout:gmatch("[^\n]+") do
      found[path:sub(#dir + 1)] = fs.read(path)
    end
    return found
  end

  it("uploads what the patterns name, with a list of it", function()
    local execution = to_url({ files = { logs .. "/*.log", logs .. "/ol?/c.log",
      logs .. "/a.log" } })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("3", execution.details.collected)
    assert.equal(base() .. "/up", execution.details.url)
    local found = archive()
    assert.matches("^a.log\n", found["/logs" .. logs .. "/a.log"])
    assert.matches("^b.log\n", found["/logs" .. logs .. "/b.log"])
    assert.matches("^old/c.log\n", found["/logs" .. logs .. "/old/c.log"])
    assert.matches(logs .. "/a.log: 1006 bytes", found["/logs/COLLECTED.txt"], 1, true)
    assert.is_nil(found["/logs" .. logs .. "/.hidden.log"])
  end)

  it("takes the newest first, and says what the limit left out", function()
    local execution = to_url({ files = { logs .. "/*.log", logs .. "/old/*", logs .. "/none*" },
      limit = 2100 })
    assert.equal("2", execution.details.collected)
    assert.equal("2", execution.details.left_out)
    local list = archive()["/logs/COLLECTED.txt"]
    assert.matches("a.log: 1006 bytes\n.*b.log: 1006 bytes\n\nleft out:\n", list)
    assert.matches("old/c.log: 1010 bytes, over the limit", list, 1, true)
    assert.matches(logs .. "/none*: no such file", list, 1, true)
  end)

  it("takes the journal, newest first, within the limit", function()
    local execution = to_url({
      journal = { units = { "app.service" }, since = "-2h", lines = "50" } })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal("newest line\noldest line\n", archive()["/logs/journal.txt"])
    assert.equal("--no-pager --output=short-iso --reverse --lines=50 --unit=app.service " ..
      "--since=-2h\n", fs.read(bin .. "/calls"))
  end)

  it("says why there is no journal, and goes on with the files", function()
    local execution = to_url({ files = { logs .. "/a.log" }, journal = { units = { "secret" } } })
    assert.equal("1", execution.details.collected)
    assert.matches("journal: no permission", archive()["/logs/COLLECTED.txt"], 1, true)
  end)

  it("fails when there is nothing at all", function()
    local execution = to_url({ files = { logs .. "/none" } })
    assert.equal("FAILED", execution.status)
    assert.equal("nothing to collect: " .. logs .. "/none: no such file", execution.details.reason)
    assert.same({}, puts)
  end)

  it("writes to the bucket under thing and job, with the gateway's own credentials", function()
    answer = function(request)
      local signature = sigv4.of({ method = request.method, path = request.path, query = "",
        headers = request.headers }, "very-secret/1")
      local fits = sigv4.parse(request.headers.authorization).signature == signature
      return { status = fits and 200 or 403, body = "" }
    end
    local execution = run({ files = { logs .. "/a.log" }, destination = "s3://fleet-logs/x/y/",
      region = "eu-central-1", roleAlias = "hour", endpoint = base() })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    local key = ("fleet-logs/x/y/gw-1/job-%d.tar.gz"):format(count)
    assert.equal("s3://" .. key, execution.details.url)
    assert.equal("/" .. key, puts[1].path)
    assert.equal("application/gzip", puts[1].headers["content-type"])
    assert.matches("^a.log\n", archive()["/logs" .. logs .. "/a.log"])
  end)

  it("tells the role's refusal", function()
    local reason = run({ files = { logs .. "/a.log" }, destination = "s3://fleet-logs",
      region = "eu-central-1", roleAlias = "none", endpoint = base() }).details.reason
    assert.matches("there must be a role alias 'none'", reason, 1, true)
  end)

  it("asks for another URL when the first has expired (field failure 18)", function()
    answer = function(request)
      return { status = request.query.sig == "new" and 200 or 403, body = "" }
    end
    local document = { operation = "collect-logs", files = { logs .. "/a.log" },
      uploadUrl = base() .. "/up?sig=old" }
    world:after(function(topic, request)
      if topic:find("/jobs/fresh/update$") and request.status == "IN_PROGRESS" then
        document.uploadUrl = base() .. "/up?sig=new"
        world.engine.jobs.fresh.document = json.encode(document)
      end
    end)
    finally(function() world:after(nil) end)
    world:create("fresh", json.encode(document))
    local execution = world:ended("fresh")
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(2, #puts)
  end)

  it("does not collect again after a power cut during the upload", function()
    local cut = false
    answer = function()
      if not cut then
        cut = true
        gateway:kill()
        fs.write(logs .. "/a.log", "another file")
        gateway:launch()
      end
      return { status = 200, body = "" }
    end
    local execution = to_url({ files = { logs .. "/a.log" } })
    assert.equal("SUCCEEDED", execution.status, execution.details.reason)
    assert.equal(2, #puts)
    assert.matches("^a.log\n", archive()["/logs" .. logs .. "/a.log"])
  end)

  it("rejects what cannot work, naming the argument", function()
    local function rejected(document, reason)
      local execution = run(document)
      assert.equal("REJECTED", execution.status)
      assert.matches(reason, execution.details.reason, 1, true)
    end
    local url = base() .. "/x"
    rejected({ uploadUrl = url }, "args.files: expected at least one, or journal")
    rejected({ files = { "a.log" }, uploadUrl = url }, "args.files[1]: expected an absolute path")
    rejected({ files = { "/a/../etc/shadow" }, uploadUrl = url }, "args.files[1]: expected")
    rejected({ files = { "/a" } }, "expected destination or uploadUrl")
    rejected({ files = { "/a" }, destination = "s3://bucket" }, "region and roleAlias")
    rejected({ files = { "/a" }, destination = "bucket", region = "r", roleAlias = "x" },
      "args.destination")
    rejected({ journal = { units = { "a b" } }, uploadUrl = url }, "args.journal.units[1]")
    assert.same({}, puts)
  end)
end)
