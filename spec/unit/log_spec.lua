local fs = require("hob.fs")
local units = require("hob_units")
local logs, json = units.log, units.json

local STAMP = "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ "
local LINE_MAX = 8192

local function mask(text)
  local out = units.buf.new(100000)
  out:mask(text)
  return out:data()
end

describe("log", function()
  local path

  before_each(function()
    path = os.tmpname()
  end)

  after_each(function()
    os.remove(path)
  end)

  local function open(options)
    options.target = options.target or path
    return assert(logs.open(options))
  end

  describe("a line of text", function()
    local log

    before_each(function()
      log = open({})
    end)

    after_each(function()
      log:close()
    end)

    it("has time, level, event, what it is about, and the message, in this order", function()
      log:write("info", "job.finished", "all done", {
        thing = "gw-1", job = "j1", execution = 3, step = "install", code = "EEXEC",
        action = "look at the device",
      })
      local line = log:lines()
      assert.truthy(line:find(STAMP))
      assert.equal("INFO  job.finished thing=gw-1 job=j1 execution=3 step=install code=EEXEC "
        .. "all done (look at the device)\n", (line:gsub(STAMP, "")))
    end)

    it("leaves out what does not apply", function()
      log:write("error", "conn.lost", "reset by peer", { thing = "" })
      assert.equal("ERROR conn.lost reset by peer\n", (log:lines():gsub(STAMP, "")))
    end)

    it("quotes a value that has blanks or quotes", function()
      log:write("warn", "job.x", "m", { job = 'a "b"', step = "x=y", thing = "é" })
      assert.equal('WARN  job.x thing=é job="a \\"b\\"" step="x=y" m\n',
        (log:lines():gsub(STAMP, "")))
    end)

    it("stays one line, and writes control characters and invalid UTF-8 as escapes", function()
      log:write("info", "e.x", "a\nb\27[31m\127\xff\xc2\x9bé€😀")
      assert.equal("INFO  e.x a\\nb\\x1b[31m\\x7f\\xff\\u009bé€😀\n",
        (log:lines():gsub(STAMP, "")))
    end)

    it("has at most 8 KB, cuts at a character and keeps what to do", function()
      log:write("info", "e.x", ("€"):rep(10000), { action = "ask" })
      local line = log:lines()
      assert.is_true(#line <= LINE_MAX and #line > 5000, "it has " .. #line)
      assert.truthy(utf8.len(line))
      assert.equal("€... (ask)\n", line:sub(-#"€... (ask)\n"))
    end)

    it("has at most 8 KB also when everything in it is far too long", function()
      local long = ("\1"):rep(20000)
      log:write("info", "e.x", long, {
        thing = long, job = long, step = long, code = long, action = long, execution = 1,
      })
      assert.is_true(#log:lines() <= LINE_MAX)
    end)
  end)

  describe("a line of JSON", function()
    local log

    before_each(function()
      log = open({ json = true })
    end)

    after_each(function()
      log:close()
    end)

    it("is one object with these keys", function()
      log:write("warn", "job.finished", 'said "no"\n', {
        thing = "gw-1", job = "j1", execution = 3, step = "s", code = "EIO", action = "a",
      })
      local object = assert(json.decode(log:lines()))
      assert.truthy((object.ts .. " "):find(STAMP))
      assert.equal("number", type(object.mono))
      object.ts, object.mono = nil, nil
      assert.same({
        level = "warn", event = "job.finished", thing = "gw-1", job = "j1", execution = 3,
        step = "s", code = "EIO", msg = 'said "no"\n', action = "a",
      }, object)
    end)

    it("leaves out what does not apply", function()
      log:write("debug", "e.x", "m")
      local object = assert(json.decode(log:lines()))
      local keys = {}
      for key in pairs(object) do
        keys[#keys + 1] = key
      end
      table.sort(keys)
      assert.same({ "event", "level", "mono", "msg", "ts" }, keys)
    end)

    it("stays whole and under 8 KB whatever is in it", function()
      for _, long in ipairs({ ("x"):rep(50000), ("\1"):rep(50000), ("\xff"):rep(50000),
        ("é"):rep(50000), ('"'):rep(50000), ("\\"):rep(50000) }) do
        log:write("info", "e.x", long, {
          thing = long, job = long, step = long, code = long, action = long, execution = 1,
        })
        local line = log:lines()
        assert.is_true(#line <= LINE_MAX, "it has " .. #line)
        local object = assert(json.decode(line))
        assert.equal("...", object.msg:sub(-3))
        assert.equal("...", object.action:sub(-3))
        assert.equal("...", object.thing:sub(-3))
      end
    end)
  end)

  describe("secrets", function()
    local cases = {
      { "the query of a URL", "GET https://h/x?X-Amz-Signature=abc&y=1 failed",
        "GET https://h/x?... failed" },
      { "the query of a URL in JSON", '{"url":"https://h/x?sig=a\\u0026b=c","n":1}',
        '{"url":"https://h/x?...","n":1}' },
      { "a user and password in a URL", "mqtts://bob:pa@ss@broker:8883/",
        "mqtts://***@broker:8883/" },
      { "a password", "password=hunter2 next", "password=*** next" },
      { "a passphrase with blanks about the sign", "key_passphrase = s3cret, next",
        "key_passphrase = *** next" },
      { "a quoted secret with blanks in it", "SECRET='my own' x", "SECRET='***' x" },
      { "a quoted secret with an escaped quote", 'token="a\\"b" x', 'token="***" x' },
      { "a member in JSON", '{"accessToken": "abc","x":1}', '{"accessToken": "***","x":1}' },
      { "a credential of AWS", "X-Amz-Credential=AKIA/2026 X-Amz-Signature=00ff",
        "X-Amz-Credential=*** X-Amz-Signature=***" },
      { "a password after a colon", "password: hunter2 next", "password: *** next" },
      { "a token in a header", "X-Auth-Token: abc\r\nHost: h", "X-Auth-Token: ***\r\nHost: h" },
      { "a bearer's token", "Authorization: Bearer abc refused", "Authorization: *** refused" },
      { "a user and password in a header", "proxy-authorization:Basic  dTpw end",
        "proxy-authorization:*** end" },
      { "the parameters of any other scheme",
        "Authorization: AWS4-HMAC-SHA256 Credential=AK/1, Signature=0f\nHost: h",
        "Authorization: ***\nHost: h" },
      { "an Authorization in JSON", '{"Authorization":"Bearer abc","x":1}',
        '{"Authorization":"***","x":1}' },
      { "a key in JSON", '{"private_key":"abc","x":1}', '{"private_key":"***","x":1}' },
      { "an access key in JSON", '"access_key": "abc"', '"access_key": "***"' },
      { "a key of AWS's settings", "aws_secret_access_key = abc", "aws_secret_access_key = ***" },
      { "keys that are written otherwise", "x-api-key: a privateKey: b AccessKey=c",
        "x-api-key: *** privateKey: *** AccessKey=***" },
      { "a passwd", "PASSWD : 'a b' x", "PASSWD : '***' x" },
      { "a member of a Lua table", '["password"] = "a b" x', '["password"] = "***" x' },
      { "a member in JSON within a string", [[{\"token\":\"a\\\"b c\",\"x\":1}]],
        [[{\"token\":\"***\",\"x\":1}]] },
      { "a quoted secret that has no end", [[token="a b\]], 'token="***' },
      { "a secret at the very end", "token=abc", "token=***" },
      { "a private key",
        "k: -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end",
        "k: *** end" },
      { "a private key that is cut off", "-----BEGIN EC PRIVATE KEY-----\nMHcC", "***" },
    }
    for _, case in ipairs(cases) do
      it("never show " .. case[1], function()
        assert.equal(case[3], mask(case[2]))
      end)
    end

    it("are not seen where there are none", function()
      for _, text in ipairs({
        "an unexpected token '}'", "a password is needed", "token bucket: 5 a second",
        "passwords: see docs", "the private key of p: none", "authorization needed",
        "token", "secret:", "secret: ", "tokens=5", "token > 5", "token:\nx", "key: value",
        "https://h/x#y and what? nothing",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "token", "secret=",
        "cwd /etc/passwd: not a directory", "reading /etc/hob/token: No such file or directory",
        "codesign.signature: expected a string", "/run/secret: Permission denied",
        "a://b", "", "://", "2 > 1 ? yes : no", "mail bob@host",
      }) do
        assert.equal(text, mask(text))
      end
    end)

    it("are masked once: masking again changes nothing", function()
      for _, case in ipairs(cases) do
        assert.equal(case[3], mask(case[3]))
      end
    end)

    it("never reach a line, in no member of it", function()
      for _, as_json in ipairs({ false, true }) do
        local log = open({ json = as_json })
        log:write("info", "e.x", "password=hunter2", {
          thing = "password=hunter2", job = "https://h/?hunter2", step = "token=hunter2",
          code = "secret=hunter2", action = "try https://u:hunter2@h/",
        })
        assert.is_nil(log:lines():find("hunter2", 1, true))
        log:close()
        assert.is_nil(assert(fs.read(path)):find("hunter2", 1, true))
      end
    end)

    it("are not uncovered where a long line is cut", function()
      local log = open({})
      for pad = 6500, 8200, 7 do
        log:write("info", "e.x", ("x"):rep(pad) .. " password=hunter2hunter2")
      end
      assert.is_nil(log:lines():find("hunter", 1, true))
      log:close()
    end)
  end)

  describe("level", function()
    it("drops what is below it", function()
      local log = open({ level = "warn" })
      for _, level in ipairs({ "debug", "info", "warn", "error" }) do
        log:write(level, "e.x", level)
      end
      local _, count = log:lines():gsub("\n", "")
      assert.equal(2, count)
      log:close()
      assert.is_nil(assert(fs.read(path)):find("INFO", 1, true))
    end)

    it("off writes nothing at all", function()
      local log = open({ level = "off" })
      log:write("error", "e.x", "m")
      log:close()
      assert.equal("", assert(fs.read(path)))
    end)

    it("is named debug, info, warn, error or off", function()
      local numbers = {}
      for i, name in ipairs({ "debug", "info", "warn", "error", "off" }) do
        numbers[i] = logs.level_parse(name)
      end
      assert.same({ 0, 1, 2, 3, 4 }, numbers)
      local level, code = logs.level_parse("warning")
      assert.is_nil(level)
      assert.equal("EINVAL", code)
    end)
  end)

  describe("a file", function()
    it("is appended to, and has the same lines as the tap", function()
      local tapped = ""
      for i = 1, 2 do
        local log = open({})
        log:write("info", "e.x", "line " .. i)
        tapped = tapped .. log:lines()
        log:close()
      end
      assert.equal(tapped, assert(fs.read(path)))
    end)

    it("is opened again after a rotation", function()
      local log = open({})
      log:write("info", "e.x", "before")
      assert(os.rename(path, path .. ".1"))
      assert.is_true(log:reopen())
      log:write("info", "e.x", "after")
      log:close()
      local old = assert(fs.read(path .. ".1"))
      os.remove(path .. ".1")
      assert.truthy(old:find("before", 1, true))
      assert.is_nil(old:find("after", 1, true))
      assert.truthy(assert(fs.read(path)):find("after", 1, true))
    end)

    it("that cannot be opened is named with the reason", function()
      local log, message, code = logs.open({ target = path .. "/no/hob.log" })
      assert.is_nil(log)
      assert.equal("ENOENT", code)
      assert.truthy(message:find(path .. "/no/hob.log", 1, true))
    end)

    it("that is full never fails the caller: what was lost is said", function()
      local log = open({ target = "/dev/full" })
      for i = 1, 3 do
        log:write("info", "e.x", "line " .. i)
      end
      local _, count = log:lines():gsub("\n", "")
      assert.equal(3, count)
      log:close()
    end)

    it("says on recovery how many lines were lost, and why", function()
      local link = path .. ".link"
      assert(os.execute("ln -s /dev/full " .. link))
      finally(function()
        os.remove(link)
      end)
      for _, as_json in ipairs({ false, true }) do
        assert(os.execute("ln -sfn /dev/full " .. link))
        local log = open({ target = link, json = as_json })
        log:write("info", "e.x", "lost 1")
        log:write("info", "e.x", "lost 2")
        assert(os.execute("ln -sfn " .. path .. " " .. link))
        assert.is_true(log:reopen())
        log:write("info", "e.x", "kept")
        log:write("info", "e.x", "kept too")
        log:close()
        local text = assert(fs.read(path))
        local _, count = text:gsub("log%.recovered", "")
        assert.equal(1, count)
        assert.truthy(text:find("2 lines could not be written: No space left on device", 1, true))
        assert.is_nil(text:find("lost 1", 1, true))
        assert.truthy(text:find("kept too", 1, true))
        assert(io.open(path, "w")):close()
      end
    end)
  end)

  it("drops what a tap itself logs", function()
    local log = open({})
    log:write("info", "e.x", "m") -- the tap of hob_units logs "units.tap" each time
    assert.is_nil(log:lines():find("units.tap", 1, true))
    log:close()
    assert.is_nil(assert(fs.read(path)):find("units.tap", 1, true))
  end)
end)

describe("hob.log", function()
  local log = require("hob.log")

  it("raises on what is no message, no event or no field, and says what was expected", function()
    local function refused(words, ...)
      local ok, message = pcall(log.debug, ...)
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
    end
    refused("string expected", nil)
    refused("string expected", {})
    refused('expected an id such as "job.created", got "Hello %s"', "Hello %s", "world")
    refused("table expected", "text", 5)
    refused("unknown option 'jobs'", "text", { jobs = "j1" })
    refused("thing: expected string, got number", "text", { thing = 1 })
    refused("execution: expected a number from 0", "text", { execution = 0 / 0 })
    refused("execution: expected a number from 0", "text", { execution = -1 })
  end)

  it("takes a text, or an event and a text, and fields", function()
    log.debug("text")
    log.debug("text", { job = "j1" })
    log.debug("job.created", "text", {
      thing = "t", job = "j", execution = 1, step = "s", code = "c", action = "a",
    })
  end)
end)
