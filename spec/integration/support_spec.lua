-- `hob support`: one archive for whoever is asked for help, and no secret in it.

local archives = require("hob.support.archive")
local core = require("hob.doctor.core")
local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local masks = require("hob.support.mask")
local tar = require("hob.support.tar")
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

-- Everything that must not be seen has PLANTED in it, but for the keys.
local LEAKY = [[
  local exec, fs = require("hob.exec"), require("hob.fs")
  return { api = 1, args = { url = "string", key = "string", cert = "string", gate = "string?" },
    run = function(job, args)
      job.state.session_token = "PLANTED-state"
      job:step("login", function()
        job.log.info("using token=PLANTED-log for " .. args.url)
        job.log.warn("sent to https:\\/\\/host.example\\/x?sig=PLANTED-json-url")
        return { token = "PLANTED-step", at = args.url, list = { { api_key = "PLANTED-deep" } } }
      end)
      job:step("print", function()
        exec.check{ "sh", "-c", table.concat({ "echo password=PLANTED-out",
          "echo '{\"secret\":\"PLANTED-out-json\"}' >&2",
          "echo 'Authorization: Bearer PLANTED-bearer'",
          "echo 'GET /x?code=PLANTED-query HTTP/1.1'",
          "echo eyJhbGciOiJIUzI1NiJ9.eyJQTEFOVEVEIjoxfQ.PLANTED-jwt",
          "echo AKIAPLANTEDPLANTED12",
          "echo fetching https://user:PLANTED-user@host.example/y?X-Amz-Signature=PLANTED-sig",
          "cat " .. args.key, "cat " .. args.cert, "echo harmless words" }, "; ") }
        fs.write("image?token=PLANTED-file", "x")
        exec.run{ "sh", "-c", "exit 0", env = { PASSWORD = "PLANTED-child" } }
      end)
      while args.gate and not fs.stat(args.gate) do job:sleep(0.02) end
      return nil, "refused by https://host.example/z?token=PLANTED-reason password: PLANTED-why"
    end }
]]

describe("hob support", function()
  local world, gateway, out

  before_each(function()
    out = assert(fs.tempdir())
  end)
  after_each(function()
    world:stop()
    fs.remove(out, { recursive = true })
  end)

  --- @return string id
  local function start(options)
    world = worlds.start({ tls = options.tls })
    gateway = world:gateway({
      launch = false, scripts = { ["leaky.lua"] = LEAKY, ["plain.lua"] = options.plain },
      config = options.config, env = { HOB_SECRET = "PLANTED-env" },
    })
    return gateway
  end

  local function support(...)
    local command = { worlds.hob(), "support", "-o", out .. "/a.tar.gz", "--offline", ... }
    command.timeout, command.env = PATIENCE, { HOB_SECRET = "PLANTED-own-env" }
    local result = assert(exec.run(command))
    assert.is_false(result.timed_out, "it did not end: " .. result.stderr)
    return result
  end

  --- @return table<string, string> files  of the unpacked archive
  local function unpack_it()
    exec.check({ "tar", "-xf", out .. "/a.tar.gz", "-C", out })
    local files = {}
    local found = exec.check({ "find", out .. "/hob-support", "-type", "f" }).stdout
    for path in found:gmatch("[^\n]+") do
      files[path:sub(#out + #"/hob-support/" + 1)] = assert(fs.read(path))
    end
    return files
  end

  local function made(...)
    local result = support(...)
    assert.equal(0, result.code, result.stderr)
    assert.equal(out .. "/a.tar.gz\n", result.stdout)
    return unpack_it(), result
  end

  local function assert_no_secret(files, secrets)
    for name, text in pairs(files) do
      for _, secret in ipairs(secrets) do
        local at = text:find(secret, 1, true)
        assert.is_nil(at, ("%s in %s: %s"):format(secret, name,
          at and text:sub(math.max(at - 80, 1), at + 80)))
        assert.is_nil(name:find(secret, 1, true), name)
      end
    end
  end

  it("has what happened to a job and how the machine is, and no planted secret", function()
    start({ tls = true, config = { key_passphrase = "PLANTED-passphrase" } })
    local values = core.config({ "--config", gateway.config }):values().things[1]
    assert(fs.append(gateway.config, '-- password = [[PLANTED-1]], token = "a" .. "PLANTED-2"\n'))
    assert(fs.write(gateway.dir .. "/scripts/notes-password=PLANTED-name.txt", "x"))
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
    local gate = gateway.dir .. "/gate"
    world:create("fw-1", json.encode({ operation = "leaky", gate = gate, key = values.key,
      cert = values.cert, password = "PLANTED-document",
      url = "https://bucket.example/fw?X-Amz-Signature=PLANTED-url" }))
    gateway:wait_event("job.step", { step = "print" })
    local secrets = { "PLANTED" }
    for _, path in ipairs({ values.key, values.cert }) do
      for line in assert(fs.read(path)):gmatch("[^\n]+") do
        secrets[#secrets + 1] = not line:find("-----", 1, true) and #line > 8 and line or nil
      end
    end
    assert.is_true(#secrets > 6, "there are keys to be looked for")

    local files = made("fw-1", "--config", gateway.config)
    assert_no_secret(files, secrets)
    assert.truthy(files["job-fw-1/journal.json"]:find('"name":"login"', 1, true))
    assert.truthy(files["job-fw-1/journal.json"]:find('"token":"***"', 1, true))
    assert.truthy(files["hob.conf.lua"]:find('key_passphrase = "***"', 1, true))
    assert.truthy(files["status.json"]:find('"thing":"gw-1"', 1, true))
    assert.truthy(files["in-hand.json"]:find('"jobId":"fw-1"', 1, true))

    assert(fs.write(gate, ""))
    gateway:wait_event("job.reported", { job = "fw-1" })
    files = made("--data", gateway.dir .. "/data")
    assert_no_secret(files, secrets)
    local log = files["job-fw-1/log.txt"]
    assert.truthy(log:find("step 'login'", 1, true), log)
    assert.truthy(log:find("| sh: harmless words\n", 1, true), log)
    assert.truthy(log:find("https://bucket.example/fw?...", 1, true), log)
    assert.truthy(files["jobs.json"]:find('"FAILED"', 1, true))
    for name, pattern in pairs({ ["versions.txt"] = "^hob %d+%.%d+.*libuv.*kernel: Linux",
      ["doctor.json"] = "%S", ["clock.txt"] = "now: %d+.*boot id: %x+", ["disk.txt"] = "MB free",
      ["processes.txt"] = "this gateway", ["memory.txt"] = "MemTotal", ["store.txt"] = "^sound",
      ["metrics.txt"] = "hob_up 1", ["events.log"] = '"event":"job.finished"',
      ["scripts.txt"] = "%x+  leaky%.lua", ["data.txt"] = "hob%.db",
      ["README.txt"] = "Gateway: process %d+" }) do
      assert.truthy((files[name] or ""):find(pattern), ("%s in %s: %s"):format(pattern, name,
        files[name]))
    end
  end)

  it("is for its owner alone, and replaces what was there", function()
    start({ plain = "return { api = 1, run = function() end }" })
    assert(fs.write(out .. "/a.tar.gz", "old", { mode = "644" }))
    made("--config", gateway.config)
    assert.equal(tonumber("600", 8), fs.stat(out .. "/a.tar.gz").mode)
    local names = fs.list(out)
    table.sort(names)
    assert.same({ "a.tar.gz", "hob-support" }, names)
  end)

  it("is a plain archive where there is no gzip", function()
    start({})
    local result = assert(exec.run({ worlds.hob(), "support", "-o", out .. "/a.tar.gz", "--offline",
      "--config", gateway.config, timeout = PATIENCE, env = { PATH = out } }))
    assert.equal(0, result.code, result.stderr)
    assert.equal(tonumber("600", 8), fs.stat(out .. "/a.tar.gz").mode)
    assert.equal("hob-support/README.txt", assert(fs.read(out .. "/a.tar.gz")):match("^[^%z]+"))
    assert.truthy(unpack_it()["versions.txt"])
  end)

  local PLAIN = 'return { api = 1, run = function(job) job:step("one", function() end) end }'

  local function work_off(id)
    gateway:launch()
    gateway:wait_event("jobs.subscribed")
    world:create(id, '{"operation":"plain"}')
    gateway:wait_event("job.reported", { job = id })
  end

  it("works with the gateway stopped, and says what only a running one could", function()
    start({ plain = PLAIN })
    work_off("fw-1")
    gateway:kill()
    local files, result = made("--config", gateway.config)
    assert.truthy(files["jobs.json"]:find('"fw-1"', 1, true))
    assert.truthy(files["job-fw-1/log.txt"]:find("finished, SUCCEEDED", 1, true))
    assert.truthy(files["README.txt"]:find("status.json: no gateway runs there", 1, true))
    assert.truthy(result.stderr:find("status.json: no gateway runs there", 1, true))
  end)

  it("works with a damaged store, and leaves it as it is", function()
    start({ plain = PLAIN })
    work_off("fw-1")
    gateway:stop()
    local path = gateway.dir .. "/data/hob.db"
    local text = assert(fs.read(path))
    assert(fs.write(path, text:sub(1, 100) .. ("\xaa"):rep(#text - 100)))
    local files = made("--config", gateway.config)
    assert.truthy(files["store.txt"]:find("^not sound"), files["store.txt"])
    assert.truthy(files["README.txt"]:find("jobs.json: ", 1, true))
    assert.truthy(files["events.log"]:find("job.finished", 1, true))
    assert.equal(("\xaa"):rep(20), assert(fs.read(path)):sub(-20))
    local names = table.concat(fs.list(gateway.dir .. "/data"), " ")
    assert.is_nil(names:find("hob.db.damaged", 1, true), names)
    files = made("fw-1", "--config", gateway.config)
    assert.truthy(files["job-fw-1/log.txt"]:find("finished, SUCCEEDED", 1, true))
  end)

  it("works with a broken configuration, whose secrets are hidden, too", function()
    start({ plain = PLAIN })
    work_off("fw-1")
    gateway:stop()
    assert(fs.write(gateway.config, 'return {\n  data = "data",\n'
      .. '  key_passphrase = [[PLANTED and PLANTED]],\n  thing_name = = "x",\n'))
    local files = made("--config", gateway.config)
    assert_no_secret(files, { "PLANTED" })
    assert.truthy(files["hob.conf.lua"]:find("thing_name = =", 1, true))
    assert.truthy(files["README.txt"]:find("hob.conf.lua:4:", 1, true), files["README.txt"])
    assert.truthy(files["job-fw-1/log.txt"]:find("finished, SUCCEEDED", 1, true))
  end)

  it("works where nothing is, and says so", function()
    start({ plain = PLAIN })
    local files = made("--data", out .. "/nowhere")
    assert.truthy(files["README.txt"]:find("there is no store", 1, true))
    assert.truthy(files["versions.txt"])
  end)

  it("works beside a gateway that hangs", function()
    start({ plain = PLAIN })
    work_off("fw-1")
    gateway.process:kill("STOP")
    local files = made("--data", gateway.dir .. "/data")
    gateway.process:kill("CONT")
    local found = json.decode(files["doctor.json"])
    local hangs
    for _, one in ipairs(found.checks) do
      hangs = one.check == "gateway" and one or hangs
    end
    assert.equal("failed", hangs.state)
    assert.matches(("process %d, took the request and gave no answer within %%d+ s: it hangs")
      :format(gateway.process:pid()), hangs.text)
    assert.is_string(files["hob.conf.lua"]) -- found by the process at the other end
    assert.truthy(files["README.txt"]:find("runs and does not answer", 1, true))
    assert.truthy(files["store.txt"]:find("^sound"), files["store.txt"])
    assert.truthy(files["job-fw-1/log.txt"]:find("finished, SUCCEEDED", 1, true))
  end)

  it("is never larger than 5 MB: what is too much is cut from the front, with a note", function()
    start({ plain = [[return { api = 1, run = function()
      require("hob.exec").check{ "sh", "-c",
        "head -c 3000000 /dev/urandom | od -An -tx1 -w64; echo the last line" }
    end }]], config = { output_limit = "64M", output_total = "64M" } })
    work_off("fw-1")
    local files = made("fw-1", "--config", gateway.config)
    assert.is_true(fs.stat(out .. "/a.tar.gz").size <= 5000000)
    local bytes = 0
    for _, text in pairs(files) do
      bytes = bytes + #text
    end
    assert.is_true(bytes <= 5000000, bytes)
    local log = files["job-fw-1/log.txt"]
    assert.truthy(log:find("| sh: the last line\n", 1, true), log:sub(-300))
    assert.truthy(log:find("^%.%.%. "), log:sub(1, 200))
  end)

  it("says why it cannot be written, and is used wrongly with status 2", function()
    start({ plain = PLAIN })
    local result = exec.run({ worlds.hob(), "support", "-o", out .. "/no/such.tar", "--offline",
      "--config", gateway.config, timeout = PATIENCE })
    assert.equal(1, result.code)
    assert.truthy(result.stderr:find("hob support: .*No such file or directory"), result.stderr)
    assert.equal(2, support("--data", "x", "--socket", "y").code)
    assert.equal(2, support("a", "b").code)
  end)
end)

describe("hob.support.mask", function()
  local mask = masks.new({ "s3cr.t-of-config" })

  it("takes out what is known, wherever it stands", function()
    assert.equal("x *** y", mask("x s3cr.t-of-config y"))
    assert.equal("x s3crxt-of-config y", mask("x s3crxt-of-config y"))
  end)

  it("takes out words of a command line, of XML, and cookies", function()
    assert.equal('mysql --password *** -h db --no-token-cache 5 --auth-token "***"',
      mask('mysql --password PLANTED -h db --no-token-cache 5 --auth-token "PLANTED"'))
    assert.equal('{"msg":"x --client-secret \\"***\\" --token --verbose"}',
      mask('{"msg":"x --client-secret \\"PLANTED\\" --token --verbose"}'))
    assert.equal("<a><Password kind='x'>***</Password><b>c</b></a>",
      mask("<a><Password kind='x'>PLANTED</Password><b>c</b></a>"))
    assert.equal("Set-Cookie: ***\nCookie: ***",
      mask("Set-Cookie: s=PLANTED; Path=/\nCookie: s=PLANTED"))
  end)

  it("takes out keys and certificates, whole, cut off, in JSON or line by line", function()
    local code = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"):rep(2)
    for _, text in ipairs({
      "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
      "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n",
      '{"pem":"-----BEGIN CERTIFICATE-----\\n%s\\n-----END CERTIFICATE-----\\n"}',
      "-----BEGIN CERTIFICATE-----\n%s\n", "%s\n-----END PRIVATE KEY-----\n",
      "2026-11-23T10:00:00.000Z  step  | cat: %s\n",
    }) do
      local hidden = mask(text:format(code) .. "(after)")
      assert.is_nil(hidden:find("MII", 1, true), hidden)
      assert.truthy(hidden:find("after", 1, true) or text:find("BEGIN PRIVATE"), hidden)
    end
  end)

  it("takes them out of long texts, too, wherever pieces of these begin", function()
    local code = ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"):rep(50)
    local key = "-----BEGIN PRIVATE KEY-----\n" .. code .. "-----END PRIVATE KEY-----\n"
    local words = ("words and more words\n"):rep(1500)
    for shift = 0, 1700, 100 do
      local hidden = mask(("x\n"):rep(shift // 2) .. words .. key .. words .. "token=PLANTED\n")
      assert.is_nil(hidden:find("MII", 1, true), shift)
      assert.is_nil(hidden:find("PLANTED", 1, true), shift)
      assert.equal(("x\n"):rep(shift // 2) .. words .. "***\n" .. words .. "token=***\n", hidden)
    end
    assert.equal("*** a line of 999999 bytes is left out\n", mask(("x"):rep(1000000)))
  end)

  it("leaves digests, versions, paths and words alone", function()
    local text = ("0a1b"):rep(16) .. "\n/usr/lib/x86_64-linux-gnu/some/very/long/directory/name/x\n"
      .. "fw@0a1b2c3d4e5f took 12 s: what? a/b\n"
    assert.equal(text, mask(text))
  end)
end)

describe("hob.support.archive", function()
  it("stays below its limit: it cuts a part from the front, then leaves parts out", function()
    local mask = masks.new({})
    local archive = archives.new(function(text) return #text < 10000 and mask(text) or text end)
    local lines = ("a line of words\n"):rep(200000)
    archive:add("first", lines .. "the end\n", 1000000)
    archive:add("second", lines .. "the end\n")
    archive:add("third", lines)
    archive:add("fourth", lines)
    archive:add("missing", nil, "it is not there: https://host.example/?sig=PLANTED")
    archive:try("failing", function() error("an accident") end)
    local text = archive:pack("About it.")
    assert.is_true(#text <= archives.LIMIT, #text)
    assert.is_true(#text > archives.LIMIT - 200000, #text)
    assert.is_true(#archive.parts[1].text <= 1000000)
    assert.truthy(archive.parts[1].text:find("^%.%.%. %d+ bytes before this are left out[^\n]*\n"
      .. "a line of words\n"))
    assert.truthy(archive.parts[1].text:find("the end\n$"))
    local notes = table.concat(archive.notes, "\n")
    for _, words in ipairs({ "first: only its end, of 3200008 bytes", "fourth: left out",
      "missing: it is not there: https://host.example/?...", "failing: .*an accident" }) do
      assert.truthy(notes:find(words) or notes:find(words, 1, true), words .. " in " .. notes)
      assert.truthy(text:find(words) or text:find(words, 1, true), words)
    end
  end)
end)

describe("hob.support.tar", function()
  it("makes what tar unpacks, of any size and with any bytes", function()
    local dir = assert(fs.tempdir())
    finally(function() fs.remove(dir, { recursive = true }) end)
    local files = { ["a/empty"] = "", ["a/block"] = ("x"):rep(512), ["a/bytes"] = "\0\xff\n\r" }
    local text = ""
    for name, content in pairs(files) do
      text = text .. tar.entry(name, content, 1700000000)
      assert.equal(tar.size(#content), #tar.entry(name, content, 1700000000))
    end
    assert(fs.write(dir .. "/x.tar", text .. tar.END))
    exec.check({ "tar", "-xf", dir .. "/x.tar", "-C", dir })
    for name, content in pairs(files) do
      assert.equal(content, fs.read(dir .. "/" .. name))
      assert.equal(1700000000, math.floor(fs.stat(dir .. "/" .. name).mtime))
    end
  end)
end)
