-- update-handler: the real handler in a real gateway, files from a real HTTP server, signed by
-- openssl as the how-to page says.

local exec = require("hob.exec")
local fs = require("hob.fs")
local httpd = require("hob.httpd")
local json = require("hob.json")
local pkis = require("spec.support.pki")
local process = require("hob.process")
local project = require("spec.support.source")
local shim = require("spec.support.shim")
local verify = require("hob.verify")
local worlds = require("spec.support.world")

local SELF = assert(fs.read(project.root .. "/scripts/update-handler.lua"))

local function greet(version, name)
  return ([[
    local words = require("words")
    return { api = 1, names = { "%s" }, run = function()
      return { version = "%s", words = words.text() }
    end }]]):format(name or "hello", version)
end

local function words(text)
  return ("return { text = function() return %q end }"):format(text)
end

-- Works only while the file at `path` has no text: when it is tried, and not when it is in place.
local function refused_in_place(path, rest)
  return ([[
    local stat = require("hob.fs").stat(%q)
    if stat and stat.size > 1000 then error("not in this place") end
    %s -- %s]]):format(path, rest, ("x"):rep(1000))
end

local function base64(bytes)
  return (exec.check({ "base64", "-w0", stdin = bytes }).stdout)
end

describe("the shipped handler update-handler", function()
  local world, gateway, pki, release, stranger, server, served, spy

  local function scripts(path)
    return gateway.dir .. "/scripts/" .. path
  end

  setup(function()
    pki = pkis.new()
    release = pki:issue({ cn = "Release", san = {} })
    stranger = pki:issue({ cn = "Somebody", san = {} })
    served = {}
    server = assert(httpd.listen({ on_request = function(request)
      local text = served[request.path]
      return { status = text and 200 or 404, body = text or "" }
    end }))
    world = worlds.start({ tls = false })
    gateway = world:gateway({ launch = false, config = { signers = { release.cert } }, scripts = {
      ["update-handler.lua"] = SELF, ["greet.lua"] = greet("1"), ["lib/words.lua"] = words("one"),
    } })
    spy = shim.on(gateway)
    gateway:launch():wait_event("jobs.subscribed")
  end)
  teardown(function()
    world:stop()
    server:close()
    pki:remove()
  end)

  local count = 0

  local function create(document, thing)
    count = count + 1
    world:create("job-" .. count, json.encode(document), thing)
    return "job-" .. count
  end

  local function run(document, thing)
    return world:ended(create(document, thing), thing)
  end

  local function sign(text, pair)
    return base64(exec.check({ "openssl", "dgst", "-sha256", "-sign", (pair or release).key,
      stdin = text }).stdout)
  end

  -- A job that brings this text; `changes` are to its document, false takes a member away.
  local function document(name, text, changes)
    local path = ("/%d/%s.lua"):format(count, name)
    served[path] = text
    local given = { operation = "update-handler", name = name, sha256 = verify.sha256_text(text),
      url = ("http://127.0.0.1:%d%s"):format(server:port(), path), signature = sign(text) }
    for member, value in pairs(changes or {}) do
      given[member] = value or nil
    end
    return given
  end

  local function module(name, text)
    return document(name, text, { kind = "module" })
  end

  local function removal(name, kind)
    return { operation = "update-handler", name = name, kind = kind, remove = true }
  end

  local function assert_status(status, execution, code)
    assert.equal(status, execution.status, json.encode(execution.details))
    assert.equal(code, execution.details.code)
    return execution.details
  end

  -- Of handler and module: what the next job says.
  local function in_use()
    local details = assert_status("SUCCEEDED", run({ operation = "hello" }))
    return details.version .. " " .. details.words
  end

  -- Not by anything but a new file would this be another one.
  local function stamp(file)
    return exec.check({ "stat", "-c", "%i %Y %Z %a", scripts(file) }).stdout
  end

  local function assert_refused(given, code, reason, file)
    local before, broken = stamp(file or "greet.lua"), gateway:count("handler.broken")
    local details = assert_status("FAILED", run(given), code)
    assert.matches(reason, details.reason, 1, true)
    assert.equal(before, stamp(file or "greet.lua"))
    assert.equal(broken, gateway:count("handler.broken"))
    assert.equal("1 one", in_use())
  end

  -- As at the beginning, whatever a spec has done.
  local function restore()
    for file, text in pairs({ greet = greet("1"), ["lib/words"] = words("one") }) do
      if fs.read(scripts(file .. ".lua")) ~= text then
        local name, is_module = file:gsub("^lib/", "")
        assert_status("SUCCEEDED", run(document(name, text,
          { kind = is_module > 0 and "module" or "handler" })))
      end
    end
  end

  after_each(restore)

  describe("puts in place", function()
    it("a signed handler, which the next job uses", function()
      assert(fs.chmod(scripts("greet.lua"), tonumber("640", 8)))
      assert.equal("1 one", in_use())
      local details = assert_status("SUCCEEDED", run(document("greet", greet("2"))))
      assert.equal("true", details.changed)
      assert.equal("greet.lua", details.file)
      assert.equal("CN=Release", details.signer)
      assert.equal(verify.sha256_text(greet("2")), details.sha256)
      assert.equal("2 one", in_use())
      assert.equal(greet("2"), fs.read(scripts("greet.lua")))
      assert.equal(tonumber("640", 8), fs.stat(scripts("greet.lua")).mode)
    end)

    it("a module, by AWS's member codesign", function()
      local text = words("two")
      local given = document("words.lua", text, { kind = "module", signature = false,
        codesign = { rawPayloadSize = #text, signature = sign(text),
          signatureAlgorithm = "SHA256withECDSA" } })
      assert_status("SUCCEEDED", run(given))
      assert.equal("1 two", in_use())
    end)

    it("nothing where it is in use already", function()
      local before = stamp("greet.lua")
      local details = assert_status("SUCCEEDED", run(document("greet", greet("1"))))
      assert.equal("false", details.changed)
      assert.equal(before, stamp("greet.lua"))
    end)

    it("a handler that was not there, and takes it away again", function()
      assert_status("SUCCEEDED", run(document("new.one", greet("3", "hallo"))))
      assert.equal(tonumber("644", 8), fs.stat(scripts("new.one.lua")).mode)
      assert.equal("3", assert_status("SUCCEEDED", run({ operation = "hallo" })).version)
      local details = assert_status("SUCCEEDED", run(removal("new.one")))
      assert.equal("true", details.changed)
      assert.is_false(fs.exists(scripts("new.one.lua")))
      assert_status("REJECTED", run({ operation = "hallo" }), "NO_HANDLER")
      details = assert_status("SUCCEEDED", run(removal("new.one")))
      assert.equal("false", details.changed)
    end)

    it("itself; the job goes on with the version that it began with", function()
      local function digest(details)
        return details.handler:match("@(%x+)$")
      end
      local text = SELF .. "-- another one\n"
      local details = assert_status("SUCCEEDED", run(document("update-handler", text)))
      assert.equal(verify.sha256_text(SELF):sub(1, 12), digest(details))
      details = assert_status("SUCCEEDED", run(document("update-handler", SELF)))
      assert.equal(verify.sha256_text(text):sub(1, 12), digest(details))
      assert.equal(SELF, fs.read(scripts("update-handler.lua")))
    end)
  end)

  describe("leaves the old one in place where the new one", function()
    it("is not what was signed", function()
      assert_refused(document("greet", greet("2"), { sha256 = false, signature = sign("other") }),
        "ESIGNATURE", "greet.lua: the signature is not by the key in " .. release.cert)
    end)

    it("is signed by somebody else", function()
      assert_refused(document("greet", greet("2"), { signature = sign(greet("2"), stranger) }),
        "ESIGNATURE", "the signature is not by the key in " .. release.cert)
    end)

    it("has another digest", function()
      assert_refused(document("greet", greet("2"), { sha256 = ("0"):rep(64) }), "EDIGEST", "sha256")
    end)

    it("has a syntax error", function()
      assert_refused(document("greet", "return {\n  api = = 1 }"), "EHANDLER",
        "scripts/greet.lua:2: unexpected symbol near '='")
      assert_refused(module("words", "return ("), "EHANDLER", "lib/words.lua:1: ", "lib/words.lua")
      assert_refused(module("of.nobody", "return ("), "EHANDLER", "lib/of/nobody.lua:1: ")
      assert.is_false(fs.exists(scripts("lib/of")))
    end)

    it("is no handler", function()
      assert_refused(document("greet", "return { api = 1, timout = 3, run = print }"), "EHANDLER",
        "unknown member 'timout'")
      assert_refused(document("greet", "require('nothing')"), "EHANDLER",
        "module 'nothing' not found")
      assert_refused(document("greet", "while true do end"), "EHANDLER", "greet.lua:1: ")
    end)

    it("has a name that another handler has", function()
      assert_refused(document("other", greet("2")), "EHANDLER",
        'other.lua and greet.lua both have "hello" among their names')
      assert.is_false(fs.exists(scripts("other.lua")))
    end)

    it("is a module with which another handler would not work", function()
      assert_refused(module("words", "error('no words')"), "EHANDLER",
        "greet.lua would not work with it: ", "lib/words.lua")
      assert_refused(removal("words", "module"), "EHANDLER", "module 'words' not found",
        "lib/words.lua")
    end)

    it("cannot be written", function()
      assert(fs.write(scripts("lib/way"), "")) -- no directory
      local details = assert_status("FAILED", run(module("way.deep", words("two"))),
        "EEXIST")
      assert.matches("making directory .*/scripts/lib/way: .*; it is not in place$", details.reason)
    end)
  end)

  describe("puts the old one back where the new one", function()
    it("is refused by hot reload", function()
      local broken = gateway:count("handler.broken")
      local text = refused_in_place(scripts("greet.lua"), greet("2"))
      local details = assert_status("FAILED", run(document("greet", text)), "EHANDLER")
      assert.matches("greet.lua is broken, and is not taken: .*not in this place; "
        .. "the former file is in place$", details.reason)
      assert.equal("confirm", details.step)
      assert.equal(broken + 1, gateway:count("handler.broken"))
      assert.equal(greet("1"), fs.read(scripts("greet.lua")))
      assert.equal("1 one", in_use())
    end)

    it("breaks another handler", function()
      local text = refused_in_place(scripts("lib/words.lua"), words("two"))
      local details = assert_status("FAILED", run(module("words", text)), "EHANDLER")
      assert.matches("greet.lua does not work any more: .*not in this place; "
        .. "the former file is in place$", details.reason)
      assert.equal(words("one"), fs.read(scripts("lib/words.lua")))
      assert.equal("1 one", in_use())
    end)

    it("was not there before", function()
      local text = refused_in_place(scripts("fresh.lua"), greet("2", "hallo"))
      local details = assert_status("FAILED", run(document("fresh", text)), "EHANDLER")
      assert.matches("not in this place; it is not in place$", details.reason)
      assert.is_false(fs.exists(scripts("fresh.lua")))
      assert_status("REJECTED", run({ operation = "hallo" }), "NO_HANDLER")
    end)
  end)

  it("refuses before it begins what can never work", function()
    for reason, changes in pairs({
      ["args.signature: not signed"] = { signature = false },
      ["expected either args.signature or args.codesign"] = { codesign = {} },
      ["args.url: expected a URL, got nothing"] = { url = false },
      ["args.name: expected the name of a handler"] = { name = "../greet" },
      ["args.name: expected the name of a handler: "] = { name = "lib/words" },
      ["args.name: expected the name of a handler: 1"] = { name = ".greet" },
      ["args.name: expected the name of a module"] = { name = "a..b", kind = "module" },
      ["args.name: expected the name of a module as"] = { name = "a/b", kind = "module" },
      ["args.name: modules of that name are Hob's own"] = { name = "hob.http", kind = "module" },
      ["args.remove: update-handler does not remove itself"] =
        { name = "update-handler", remove = true },
      ["args.sha256: "] = { sha256 = "abc" },
    }) do
      local details = assert_status("REJECTED", run(document("greet", greet("2"), changes)),
        "BAD_DOCUMENT")
      assert.matches(reason, details.reason, 1, true)
    end
    assert.equal("1 one", in_use())
  end)

  it("refuses where no signer is trusted, or nothing would take it", function()
    for thing, case in pairs({
      ["gw-2"] = { "REJECTED", "no signer is trusted: set the config key signers",
        { signers = { lua = "{}" } } },
      ["gw-3"] = { "REJECTED", "(reload = false in hob.conf.lua)",
        { signers = { release.cert }, reload = false } },
      ["gw-4"] = { "FAILED", "greet.lua: not within the directories that handlers may touch; "
        .. "add one to fs_roots", { signers = { release.cert }, fs_roots = { lua = "{}" } } },
    }) do
      local other = world:gateway({ thing = thing, config = case[3],
        scripts = { ["update-handler.lua"] = SELF, ["greet.lua"] = greet("1"),
          ["lib/words.lua"] = words("one") } })
      local execution = run(document("greet", greet("2")), thing)
      assert.equal(case[1], execution.status)
      assert.matches(case[2], execution.details.reason, 1, true)
      assert.equal(greet("1"), fs.read(other.dir .. "/scripts/greet.lua"))
      other:stop()
    end
  end)

  describe("after a power cut", function()
    local function arm(point)
      gateway:stop()
      spy:arm({ kill = point, power = true })
      gateway:launch()
    end

    -- Until the power goes.
    local function begin(given)
      local id = create(given)
      assert(gateway:wait_end(), "it was not killed")
      spy:disarm()
      return id
    end

    -- The commits of one update: the row, the claim, its steps, the outcome with the last of them.
    local ROW, CHECK, WRITE, OUTCOME = 1, 5, 6, 7
    local WRITE_AGAIN = 2 -- the first is that it goes on

    after_each(function()
      spy:disarm()
      gateway:kill()
      gateway:launch()
    end)

    it("goes on wherever it was, and the file is one or the other", function()
      arm(nil)
      assert_status("SUCCEEDED", run(document("greet", greet("0"))))
      assert.equal(OUTCOME, #spy:points("commit"))
      for n = ROW, OUTCOME do
        arm("commit before " .. n)
        local id = begin(document("greet", greet(n)))
        local text = fs.read(scripts("greet.lua"))
        assert.equal(greet(n < WRITE and n - 1 or n), text)
        gateway:launch()
        local details = assert_status("SUCCEEDED", world:ended(id))
        assert.equal("true", details.changed)
        assert.equal(n .. " one", in_use())
      end
    end)

    it("puts the old one back when Hob dies there again and again", function()
      arm("commit before " .. WRITE)
      local id = begin(document("greet", greet("2")))
      for _ = 2, 3 do
        assert.equal(greet("2"), fs.read(scripts("greet.lua")))
        spy:arm({ power = true, kill = "commit before " .. WRITE_AGAIN })
        gateway:launch()
        assert(gateway:wait_end(), "it was not killed")
      end
      spy:disarm()
      gateway:launch()
      assert_status("FAILED", world:ended(id), "CRASHED")
      assert.equal(greet("1"), fs.read(scripts("greet.lua")))
      assert.equal("1 one", in_use())
    end)

    it("does not write what was changed in the job's directory since it was checked", function()
      arm("commit before " .. CHECK)
      local id = begin(document("greet", greet("2")))
      local path = exec.check({ "find", gateway.dir .. "/data", "-name", "new.lua" }).stdout
      assert(fs.write(path:gsub("\n$", ""), greet("3")))
      gateway:launch()
      local details = assert_status("FAILED", world:ended(id), "EDIGEST")
      assert.matches("new.lua was changed", details.reason)
      assert.equal("1 one", in_use())
    end)
  end)

  it("says on a bench that no gateway runs there", function()
    local path = world:path("document.json")
    assert(fs.write(path, json.encode(document("greet", greet("2")))))
    local result = exec.run({ "/proc/" .. process.pid() .. "/exe", "handler", "run",
      "update-handler", "--document", path, "--scripts", project.root .. "/scripts" })
    assert.matches("no gateway runs here %(hob run%)", result.stdout .. result.stderr)
    assert.matches("FAILED", result.stdout)
  end)
end)
