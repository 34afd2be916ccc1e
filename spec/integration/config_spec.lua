-- What `hob run` says about its configuration: one clear line and exit status 2, or it starts.

local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local json = require("hob.json")
local pkis = require("spec.support.pki")
local wait_until = require("spec.support.wait").wait_until
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE
local ROOT = debug.getinfo(1, "S").source:match("^@(.*)/spec/integration/[^/]*$") or "."

local pki, pair, made, dir, config

-- A good configuration, with some keys set otherwise; `false` takes one out.
local function text_of(changes, extra)
  local values = {
    endpoint = '"localhost"', thing_name = '"gw-1"', ca = ("%q"):format(pki.ca),
    cert = ("%q"):format(pair.cert), key = ("%q"):format(pair.key), scripts = '"scripts"',
    data = '"data"', exec_user = exec_user.name() and '"root"',
  }
  for key, value in pairs(changes or {}) do
    values[key] = value or nil
  end
  local lines = {}
  for key, value in pairs(values) do
    lines[#lines + 1] = ("  %s = %s,"):format(key, value)
  end
  table.sort(lines)
  return "return {\n" .. table.concat(lines, "\n") .. (extra or "") .. "\n}\n"
end

local function write(text)
  assert(fs.write(config, text))
end

local function run(...)
  local result = assert(exec.run({ worlds.hob(), "run", timeout = PATIENCE, ... }))
  assert.is_false(result.timed_out, "it did not end: " .. result.stderr)
  return result
end

-- It ends with status 2 and says this one line.
local function assert_refused(expected, result)
  assert.equal("hob: " .. expected .. "\n", result.stderr)
  assert.equal("", result.stdout)
  assert.equal(2, result.code, result.words)
end

local function line_of(key)
  local number = 0
  for line in fs.read(config):gmatch("[^\n]*") do
    number = number + 1
    if line:match("^%s*" .. key .. "%s*=") then
      return number
    end
  end
  error("no line with " .. key)
end

-- `words` follow "FILE:LINE: "
local function refuses(changes, key, words)
  write(text_of(changes))
  assert_refused(("%s:%d: %s"):format(config, line_of(key), words), run("--config", config))
end

local function refuses_text(text, words)
  write(text)
  assert_refused(config .. words, run("--config", config))
end

-- Start it, wait for its first lines, end it. @return its events
local function start(flags, cwd)
  local events, errors = {}, {}
  local command = { worlds.hob(), "run", "--log-format", "json", cwd = cwd }
  if exec_user.name() then
    table.move({ "--exec-user", exec_user.name() }, 1, 2, #command + 1, command)
  end
  for _, flag in ipairs(flags) do
    command[#command + 1] = flag
  end
  command.on_line = function(line)
    local event = json.decode(line)
    if event then
      events[#events + 1], events[event.event] = event, events[event.event] or event
    else
      errors[#errors + 1] = line
    end
  end
  local process = assert(exec.spawn(command))
  local ok, why = pcall(wait_until, function()
    return events["conn.refused"] or process:wait(0)
  end, PATIENCE, "conn.refused")
  process:kill("TERM")
  local result = process:wait(PATIENCE) or process:kill("KILL")
  assert(ok, why)
  assert(events["hob.started"], "it did not start: " .. table.concat(errors, "\n"))
  assert.equal(0, result.code)
  return events
end

-- A port of this machine on which nothing listens.
local function closed_port()
  local httpd = require("hob.httpd")
  local server = httpd.listen({ address = "127.0.0.1", port = 0, on_request = function() end })
  local port = server:port()
  server:close()
  return port
end

describe("the configuration", function()
  setup(function()
    pki = pkis.new()
    pair = pki:issue({ cn = "gw-1", san = {} })
  end)
  teardown(function()
    pki:remove()
  end)
  before_each(function()
    dir = assert(fs.tempdir())
    made = dir
    config = dir .. "/hob.conf.lua"
    assert(fs.mkdir(dir .. "/scripts"))
  end)
  after_each(function()
    fs.remove(made, { recursive = true })
  end)

  describe("file", function()
    it("is refused when it is missing", function()
      assert_refused(config .. ": cannot read the configuration: No such file or directory",
        run("--config", config))
    end)

    it("is refused when it is a directory", function()
      assert_refused(dir .. ": cannot read the configuration: Is a directory",
        run("--config", dir))
    end)

    it("is refused when it is larger than 1 MB", function()
      refuses_text(text_of() .. ("-"):rep(1 << 20),
        ": cannot read the configuration: it is larger than 1 MB")
    end)

    it("is refused with file and line when its syntax is wrong", function()
      refuses_text("return {\n  endpoint = 'x'\n  port = 1,\n}",
        ":3: '}' expected (to close '{' at line 1) near 'port'")
    end)

    it("is named whole, however long its name is", function()
      dir = dir .. "/" .. ("long"):rep(20)
      assert(fs.mkdir(dir))
      config = dir .. "/hob.conf.lua"
      refuses_text("return return", ":1: unexpected symbol near 'return'")
    end)

    it("is refused when it is a compiled chunk", function()
      refuses_text(string.dump(load("return {}")),
        ": attempt to load a binary chunk (mode is 't')")
    end)

    it("is refused when it returns something else than a table", function()
      local words = ": expected the file to return a table (return { ... }), got "
      refuses_text("return 7", words .. "number")
      refuses_text("", words .. "nil")
      refuses_text("local port = 1", words .. "nil")
    end)

    it("is refused when it does not come to an end", function()
      refuses_text("while true do end", ":1: the configuration does not come to an end; the file "
        .. "is evaluated with nothing in reach: expected only return { ... }")
    end)

    it("is refused when it takes too much memory", function()
      refuses_text("local s = 'x' for _ = 1, 40 do s = s .. s end return {}",
        ": the configuration takes too much memory")
    end)

    it("has nothing in reach: no os, no require, no io", function()
      for _, call in ipairs({ "os.execute('touch %s')", "require('os')", "io.open('%s', 'w')",
        "load('x')", "dofile('%s')", "('').rep('x', 3)" }) do
        local trace = dir .. "/trace"
        write("\n" .. call:format(trace) .. "\nreturn {}")
        local result = run("--config", config)
        assert.equal(2, result.code)
        assert.matches("^hob: " .. config:gsub("%p", "%%%0") .. ":2: attempt to [^\n]*"
          .. "evaluated with nothing in reach: expected only return { ... }\n$", result.stderr)
        assert.is_nil(fs.stat(trace))
      end
    end)
  end)

  describe("key", function()
    it("that is unknown is refused, with the nearest one", function()
      refuses({ enpoint = '"x"' }, "enpoint", "enpoint: unknown key; did you mean endpoint?")
      refuses({ thingname = '"x"' }, "thingname",
        "thingname: unknown key; did you mean thing_name?")
      refuses({ colour = '"x"' }, "colour",
        "colour: unknown key; docs/reference/config.md lists them")
      refuses({ no_tls = "true" }, "no_tls", "no_tls: unknown key; did you mean tls = false?")
    end)

    it("is found on its own line, not in a comment or a text", function()
      write('-- port = 1\n--[[ port = 2\n]]\nreturn { alpn = "port = 3",\n ["port"] = "x" }')
      assert_refused(config .. ':5: port: expected an integer from 1 to 65535, got "x"',
        run("--config", config))
    end)

    it("without a name is refused", function()
      refuses_text(text_of({}, ' "tls"'), ": expected keys with names, got [1]")
      refuses_text(text_of({}, " [true] = 1"), ": expected keys with names, got a boolean as key")
    end)

    it("of a text refuses anything else", function()
      refuses({ endpoint = "7" }, "endpoint", "endpoint: expected a string, got 7")
      refuses({ thing_name = "{}" }, "thing_name", "thing_name: expected a string, got a table")
      refuses({ alpn = '"a\\0b"' }, "alpn",
        "alpn: expected a text without zero bytes, got one with them")
    end)

    it("of a passphrase never shows what it got", function()
      refuses({ key_passphrase = "31415" }, "key_passphrase",
        "key_passphrase: expected a string, got a number")
    end)

    it("of a file or a directory refuses anything else", function()
      refuses({ ca = "true" }, "ca", "ca: expected a file name, got true")
      refuses({ scripts = "7" }, "scripts", "scripts: expected a directory's name, or " ..
        "{ \"DIRECTORY\", ... }, got 7")
      refuses({ log_target = '""' }, "log_target",
        'log_target: expected "stderr", "syslog", "none" or the name of a file, got ""')
    end)

    it("of an integer refuses text, fractions and what is out of range", function()
      local words = "port: expected an integer from 1 to 65535, got "
      for value, got in pairs({ ['"1883"'] = '"1883"', ["1883.5"] = "1883.5", ["0"] = "0",
        ["65536"] = "65536", ["{}"] = "a table", ["0/0"] = "no number", ["1/0"] = "inf" }) do
        refuses({ port = value }, "port", words .. got)
      end
    end)

    it("of seconds refuses text and what is out of range", function()
      local words = "keep_alive: expected seconds from 5 to 3600, got "
      refuses({ keep_alive = '"60s"' }, "keep_alive", words .. '"60s"')
      refuses({ keep_alive = "4.9" }, "keep_alive", words .. "4.9")
      refuses({ keep_alive = "0/0" }, "keep_alive", words .. "no number")
      refuses({ keep_alive = "1e9" }, "keep_alive", words .. "1000000000")
    end)

    it("of true or false refuses anything else", function()
      refuses({ tls = '"no"' }, "tls", 'tls: expected true or false, got "no"')
      refuses({ tls = "0" }, "tls", "tls: expected true or false, got 0")
    end)

    it("of a size refuses other units and what is out of range", function()
      local words = 'memory: expected a size from 1M to 4G (bytes, or such as "64M"), got '
      for _, value in ipairs({ '"64MB"', '"lots"', '"5G"', '""', '"M"', '"-1M"' }) do
        refuses({ memory = value }, "memory", words .. value)
      end
      refuses({ memory = "1000" }, "memory", words .. "1000")
      refuses({ memory = "true" }, "memory", words .. "true")
    end)

    it("of commands refuses anything but allow = a list of strings", function()
      local words = 'commands: expected { allow = { "TEXT", ... } }, got '
      refuses({ commands = '"ls"' }, "commands", words .. '"ls"')
      for _, value in ipairs({ "{}", '{ "ls" }', '{ allow = "ls" }', '{ allwo = { "ls" } }',
        '{ allow = { "ls" }, deny = {} }', "{ allow = { 1 } }", '{ allow = { "ls", x = "y" } }',
        '{ allow = { "ls", { "id" } } }' }) do
        refuses({ commands = value }, "commands", words .. "a table with something else in it")
      end
    end)

    it("of a choice names the choices", function()
      refuses({ log_level = '"loud"' }, "log_level",
        'log_level: expected one of debug|info|warn|error|off, got "loud"')
      refuses({ unknown_jobs = "false" }, "unknown_jobs",
        "unknown_jobs: expected one of reject|ignore, got false")
      refuses({ log_format = '"tex"' }, "log_format",
        'log_format: expected one of text|json, got "tex"')
    end)

    it("that is required and missing is named, with its flag", function()
      for key, flag in pairs({ endpoint = "--endpoint", thing_name = "--thing-name",
        data = "--data", ca = "--ca", cert = "--cert", key = "--key" }) do
        refuses_text(text_of({ [key] = false }),
          (": %s is missing: set the key %s or give %s%s"):format(key, key, flag, key == "ca"
            and "; a broker without TLS needs tls = false or --no-tls" or ""))
      end
    end)

    it("keeps its message in one line, whatever is in the value", function()
      refuses({ log_level = '"a\\nb\\27[1m"' }, "log_level",
        'log_level: expected one of debug|info|warn|error|off, got "a?b?[1m"')
    end)
  end)

  describe("endpoint", function()
    it("is a host name, not a URL", function()
      refuses({ endpoint = '"mqtts://example.com"' }, "endpoint", "endpoint: expected a host name, "
        .. 'without a scheme or a path, got "mqtts://example.com"')
    end)
  end)

  describe("credentials_endpoint, proxy and signers", function()
    it("are a host name, a URL and files that are there", function()
      refuses({ credentials_endpoint = '"https://x/y"' }, "credentials_endpoint",
        'credentials_endpoint: expected a host name, without a scheme or a path, got "https://x/y"')
      refuses({ proxy = '"proxy:3128"' }, "proxy",
        'proxy: expected http://HOST:PORT, got "proxy:3128"')
      refuses({ proxy = '"socks5://me:secret@proxy"' }, "proxy",
        "proxy: expected http://HOST:PORT, got something else")
      refuses({ signers = '{ "/none.pem" }' }, "signers",
        "signers: expected a file that can be read, got /none.pem: No such file or directory")
    end)
  end)

  describe("thing_name", function()
    it("refuses blanks and more than 128 characters", function()
      refuses({ thing_name = '"my gateway"' }, "thing_name",
        'thing_name: expected 1 to 128 of [a-zA-Z0-9:_-], got "my gateway" (10 characters)')
      local long = ("g"):rep(129)
      refuses({ thing_name = '"' .. long .. '"' }, "thing_name", ('thing_name: expected 1 to 128 '
        .. 'of [a-zA-Z0-9:_-], got "%s" (129 characters)'):format(long:sub(1, 128)))
    end)
  end)

  describe("a file that it names", function()
    it("is refused when it is missing", function()
      for _, key in ipairs({ "ca", "cert", "key" }) do
        refuses({ [key] = '"none.pem"' }, key, ("%s: expected a file that can be read, got "
          .. "%s/none.pem: No such file or directory"):format(key, dir))
      end
    end)

    it("is refused when it is a directory or a device", function()
      refuses({ ca = '"scripts"' }, "ca", ("ca: expected a file that can be read, got %s/scripts: "
        .. "it is a directory"):format(dir))
      refuses({ key = '"/dev/null"' }, "key",
        "key: expected a file that can be read, got /dev/null: it is no file")
    end)

    it("is refused when this user may not read it", function()
      assert(fs.write(dir .. "/secret.key", "x"))
      assert(fs.chmod(dir .. "/secret.key", 0))
      write(text_of({ key = '"secret.key"', ca = '"ca.pem"', cert = '"gw.crt"' }))
      assert(fs.write(dir .. "/ca.pem", fs.read(pki.ca)))
      assert(fs.write(dir .. "/gw.crt", fs.read(pair.cert)))
      for _, name in ipairs({ "ca.pem", "gw.crt", "hob.conf.lua" }) do
        assert(fs.chmod(dir .. "/" .. name, tonumber("644", 8)))
      end
      local command = { worlds.hob(), "run", "--config", config, timeout = PATIENCE }
      if exec.check({ "id", "-u" }).stdout == "0\n" then -- root may read everything
        assert(fs.chmod(dir, tonumber("755", 8)))
        for i, word in ipairs({ "setpriv", "--reuid", "65534", "--clear-groups" }) do
          table.insert(command, i, word)
        end
      end
      assert_refused(("%s:%d: key: expected a file that can be read, got %s/secret.key: "
        .. "Permission denied"):format(config, line_of("key"), dir), exec.run(command))
    end)

    it("is the scripts directory, too", function()
      refuses({ scripts = '"none"' }, "scripts", ("scripts: expected a directory that can be read,"
        .. " got %s/none: No such file or directory"):format(dir))
      refuses({ scripts = '"hob.conf.lua"' }, "scripts", ("scripts: expected a directory that can "
        .. "be read, got %s: it is no directory"):format(config))
    end)
  end)

  describe("things", function()
    local function refuses_things(things, line, words)
      write("return { endpoint = 'localhost', tls = false,\n scripts = 'scripts', data = 'data',\n"
        .. " things = " .. things .. "}")
      assert_refused(("%s%s: %s"):format(config, line and ":" .. line or "", words),
        run("--config", config))
    end

    it("refuses anything but a list of tables", function()
      for _, value in ipairs({ "{ a = {} }", "{ {}, b = {} }" }) do
        refuses_things(value, 3, "things: expected a list of at most 10000 tables, got a table "
          .. "that is none")
      end
      refuses_things("7", 3, "things: expected a list of at most 10000 tables, got a number that "
        .. "is none")
      refuses_things("{ {thing_name='a'}, 7 }", 3,
        "things: expected a list of tables, got a number as things[2]")
    end)

    it("names the entry and the line of what is wrong in it", function()
      refuses_things("{\n{ thing_name = 'a', port = 1 },\n{ thing_name = 'b', prot = 1 } }", 5,
        "things[2].prot: unknown key; did you mean port?")
      refuses_things("{\n{ thing_name = 'a', port = 1 },\n{ thing_name = 'b', port = 0 } }", 5,
        "things[2].port: expected an integer from 1 to 65535, got 0")
      refuses_things("{\n{ thing_name = 'a' },\n{ thing_name = 'b c' } }", 5,
        'things[2].thing_name: expected 1 to 128 of [a-zA-Z0-9:_-], got "b c" (3 characters)')
      refuses_things("{\n{ thing_name = 'a' },\n{ 'b' } }", nil,
        "things[2]: expected keys with names, got [1]")
    end)

    it("refuses an entry without a name, and a name given twice", function()
      refuses_things("{ { thing_name = 'a' }, {} }", nil, "things[2]: thing_name is missing: set "
        .. "the key thing_name there, or beside things for all")
      refuses_things("{\n{ thing_name = 'a' },\n{ thing_name = 'a' } }", 5,
        'things[2].thing_name: expected each thing once, got "a" twice')
    end)

    it("refuses a client id that another thing connects with, which would throw it out", function()
      refuses_things("{\n{ thing_name = 'a' },\n{ thing_name = 'b', client_id = 'a' } }", 5,
        "things[2].client_id: expected another one for each: a broker closes the first connection "
        .. 'when a second one comes, got "a", with which things[1] connects, too')
    end)

    it("finds one that is there twice among many", function()
      local function refuses_among_many(number, entry, words)
        local entries = {}
        for i = 1, 1000 do
          entries[i] = ("{ thing_name = 'thing-%d', client_id = 'id-%d' },\n"):format(i, i)
        end
        entries[number] = entry .. ",\n"
        refuses_things("{\n" .. table.concat(entries) .. "}", 3 + number, words)
      end
      refuses_among_many(900, "{ thing_name = 'thing-7' }",
        'things[900].thing_name: expected each thing once, got "thing-7" twice')
      refuses_among_many(1000, "{ thing_name = 'thing-1000', connection = 'thing-1001' }",
        'things[1000].connection: expected the name of another of the things, one with a '
        .. 'connection of its own, got "thing-1001", which is not there')
      refuses_among_many(900, "{ thing_name = 'thing-900', client_id = 'id-950' }",
        "things[900].client_id: expected another one for each: a broker closes the first "
        .. 'connection when a second one comes, got "id-950", with which things[950] connects, too')
    end)

    it("takes many things of one client id that cannot throw each other out", function()
      local entries = {}
      for i = 1, 40 do
        entries[i] = ("{ thing_name = 'thing-%d', client_id = 'one', port = %d },"):format(i, i)
      end
      entries[40] = "{ thing_name = 'thing-40', client_id = 'one', port = 17 }"
      refuses_things("{\n" .. table.concat(entries) .. "}", 4,
        "things[17].client_id: expected another one for each: a broker closes the first "
        .. 'connection when a second one comes, got "one", with which things[40] connects, too')
    end)

    it("refuses a key of the whole gateway in an entry", function()
      refuses_things("{ { thing_name = 'a',\n data = 'x' } }", 4,
        "things[1].data: expected beside things: it holds for all")
    end)
  end)

  describe("flags", function()
    local function refuses_flags(words, ...)
      assert_refused(words, run(...))
    end

    it("that are unknown are refused, with the nearest one", function()
      refuses_flags("--end-point: unknown flag; did you mean --endpoint?", "--end-point", "x")
      refuses_flags("--colour: unknown flag; hob run --help lists them", "--colour", "x")
    end)

    it("without a value are refused", function()
      refuses_flags("--port: expected a value after it", "--port")
      refuses_flags("--config: expected a value after it", "--config")
      refuses_flags("--endpoint: expected a value after it", "--endpoint", "--no-tls")
      refuses_flags("--no-tls: expected no value", "--no-tls=yes")
    end)

    it("with a value that does not fit are refused", function()
      refuses_flags('--port: expected an integer from 1 to 65535, got "x1"', "--port", "x1")
      refuses_flags('--port: expected an integer from 1 to 65535, got "0"', "--port=0")
      refuses_flags('--log-level: expected one of debug|info|warn|error|off, got "loud"',
        "--log-level", "loud")
      refuses_flags('--stop-timeout: expected seconds from 0 to 86400, got "-1"',
        "--stop-timeout", "-1")
    end)

    it("for what has no flag say where it is set", function()
      refuses_flags("--commands: no flag; set the key commands in the configuration",
        "--commands", "ls")
      refuses_flags("--tls: no flag; set the key tls in the configuration, or give --no-tls",
        "--tls", "true")
    end)

    it("are all that is expected: a stray word is refused", function()
      refuses_flags("now: expected a flag; see hob run --help", "now")
      refuses_flags("-p: expected a flag; see hob run --help", "-p", "1")
    end)

    it("are named when what they gave cannot be used", function()
      write(text_of())
      refuses_flags("--ca: expected a file that can be read, got none.pem: No such file or "
        .. "directory", "--config", config, "--ca", "none.pem")
    end)

    it("without a file have the same needs", function()
      refuses_flags("endpoint is missing: set the key endpoint or give --endpoint")
      refuses_flags("--config: given twice", "--config", config, "--config", config)
    end)

    it("of a thing are refused where there are several", function()
      write(text_of({ thing_name = false, things = "{ {thing_name='a'}, {thing_name='b'} }" }))
      refuses_flags("--port: the configuration has several things; set port there",
        "--config", config, "--port", "1883")
    end)

    it("--help is answered on standard output, with status 0", function()
      local result = run("--help")
      assert.equal(0, result.code)
      assert.equal("", result.stderr)
      assert.matches("^usage: hob run", result.stdout)
    end)
  end)

  describe("good input", function()
    it("is a file with relative names, which belong to its directory", function()
      write(text_of({ port = tostring(closed_port()), memory = '"64M"', keep_alive = "7.5",
        log_target = '"hob.log"', ca = '"ca.pem"' }))
      assert(fs.write(dir .. "/ca.pem", fs.read(pki.ca)))
      local other = assert(fs.tempdir())
      local process = assert(exec.spawn({ worlds.hob(), "run", "--config", config, cwd = other }))
      finally(function()
        process:kill("KILL")
        fs.remove(other, { recursive = true })
      end)
      wait_until(function()
        return (fs.read(dir .. "/hob.log") or ""):find("conn.refused", 1, true)
      end, PATIENCE, "conn.refused in the log file")
      assert.equal("directory", fs.stat(dir .. "/data").type)
      process:kill("TERM")
      assert.equal(0, process:wait(PATIENCE).code)
      assert.same({}, fs.list(other))
    end)

    it("is overridden by flags, before or after --config", function()
      local port = closed_port()
      write(text_of({ endpoint = '"nowhere.invalid"', port = "1" }))
      local events = start({ "--endpoint=127.0.0.1", "--config", config, "--port",
        tostring(port), "--no-tls", "--thing-name", "gw-2" })
      assert.equal("gw-2", events["conn.refused"].thing)
      assert.matches("127.0.0.1:" .. port, events["conn.refused"].msg, 1, true)
    end)

    it("is flags alone; their names belong to the current directory", function()
      local events = start({ "--endpoint", "127.0.0.1", "--port", tostring(closed_port()),
        "--no-tls", "--thing-name", "gw-3", "--scripts", "scripts", "--data", "store" }, dir)
      assert.matches("data in /.+/store$", events["hob.started"].msg)
      assert.equal("directory", fs.stat(dir .. "/store").type)
    end)

    it("is several things, with what they share beside them", function()
      local port = closed_port()
      write(text_of({ thing_name = false, tls = "false", endpoint = '"127.0.0.1"',
        port = tostring(port), things = "{ {thing_name='a'}, {thing_name='b', port=1} }" }))
      local events = start({ "--config", config })
      assert.matches("2 things", events["hob.started"].msg, 1, true)
    end)

    it("is each bound of a range", function()
      for _, memory in ipairs({ '"1M"', '"4G"', '"1024K"', "1048576", "4294967296" }) do
        write(text_of({ port = tostring(closed_port()), memory = memory, keep_alive = "3600" }))
        start({ "--config", config })
      end
    end)
  end)

  describe("data directory", function()
    local function assert_cannot_start(words, result)
      assert.equal(1, result.code)
      assert.matches("^hob: " .. words .. "[^\n]*\n$", result.stderr)
    end

    it("is refused with status 1 when it is a file", function()
      assert(fs.write(dir .. "/data", "x"))
      write(text_of())
      assert_cannot_start(".*" .. dir:gsub("%p", "%%%0") .. "/data.*Not a directory",
        run("--config", config, "--log-level", "off"))
    end)

    it("is refused with status 1 when it cannot be made", function()
      write(text_of({ data = '"none/data"' }))
      assert_cannot_start("data directory .*/none/data: No such file or directory",
        run("--config", config))
    end)

    it("is refused with status 1 when it cannot be written", function()
      write(text_of({ data = '"/proc"' }))
      assert_cannot_start(".*/proc", run("--config", config, "--log-level", "off"))
    end)

    it("belongs to one process: a second one ends with status 1", function()
      write(text_of({ port = tostring(closed_port()) }))
      local process = assert(exec.spawn({ worlds.hob(), "run", "--config", config }))
      finally(function()
        process:kill("KILL")
      end)
      wait_until(function()
        return fs.stat(dir .. "/data/hob.db")
      end, PATIENCE, "the store")
      local result = run("--config", config, "--log-level", "off")
      assert_cannot_start(".*/data/hob.db: another hob %(pid %d+%) uses this data directory: end "
        .. "that one",
        result)
    end)
  end)

  describe("reference page", function()
    local function read_keys()
      local source = assert(fs.read(ROOT .. "/core/host/config_value.c"))
      local found = {}
      for name, type, low, high, choices, fallback in source:gmatch(
        '{"([%w_]+)", (%u+), OF_%u+%([%w_]+%),%s+([%d.]+), ([%d.]+),%s+([^,]-),%s+([^,}]-)},') do
        found[name] = { type = type, low = low, high = high,
          choices = choices:match('"(.*)"'), fallback = fallback:match('"(.*)"') }
      end
      return found
    end

    local WORDS = { STRING = "string", FILENAME = "file", DIRECTORY = "directory",
      DIRECTORIES = "directory, or `{ \"DIRECTORY\", … }`",
      TARGET = "string", INTEGER = "integer", SECONDS = "seconds", BOOLEAN = "boolean",
      SIZE = "size", ALLOW = "`{ allow = { … } }`", CHOICE = "string",
      COMMAND = '`{ "PROGRAM", … }`', FILTER = "string or function",
      LIST = "`{ \"TEXT\", … }`", FILES = "`{ \"FILE\", … }`",
      ROUTES = "`{ [\"TEXT\"] = \"HANDLER\", … }`" }

    local function range_of(key)
      if key.choices then
        return '`"' .. key.choices:gsub("|", '"`, `"') .. '"`'
      elseif key.type == "SIZE" then
        return ('`"%dM"` to `"%dG"`'):format(key.low // (1 << 20), key.high // (1 << 30))
      elseif key.high ~= "0" then
        return ("%s to %s"):format(key.low, key.high)
      end
    end

    it("has a row for each key, with its type, range and default, and no other", function()
      local keys, rows = read_keys(), {}
      assert.is_table(keys.stop_timeout)
      for name, type, range, default in assert(fs.read(ROOT .. "/docs/reference/config.md"))
        :gmatch("\n| `([%w_]+)` | ([^|]-) |%s*([^|]-)%s*| ([^|]-) |") do
        rows[name] = { type = type, range = range, default = default }
      end
      for name, key in pairs(keys) do
        local row = assert(rows[name], "no row for " .. name)
        assert.equal(WORDS[key.type], row.type, name)
        assert.equal(range_of(key) or row.range, row.range, name)
        if key.fallback then
          local textual = WORDS[key.type] == "string" or key.type:find("^DIRECTOR")
            or key.type == "SIZE"
          local text = textual and '`"' .. key.fallback .. '"`' or "`" .. key.fallback .. "`"
          assert.equal(text, row.default, name)
        end
      end
      for name in pairs(rows) do
        assert(keys[name], "a row without a key: " .. name)
      end
    end)
  end)
end)
