-- The program from outside: its commands, and `hob lua` as an interpreter.

local exec = require("hob.exec")
local fs = require("hob.fs")
local worlds = require("spec.support.world")

local PATIENCE = worlds.PATIENCE

local function hob(options)
  table.insert(options, 1, worlds.hob())
  options.timeout = PATIENCE
  local result = assert(exec.run(options))
  assert.is_false(result.timed_out, "it did not end: " .. result.stderr)
  return result
end

local function assert_ended(code, stdout, stderr, result)
  assert.equal(stderr, result.stderr)
  assert.equal(stdout, result.stdout)
  assert.equal(code, result.code, result.words)
end

describe("hob", function()
  it("--version names itself and every library, with both TLS libraries", function()
    local result = hob({ "--version" })
    assert.equal(0, result.code)
    assert.matches("^hob %d+%.%d+%.%d+\n", result.stdout)
    for _, library in ipairs({ "Lua 5%.4", "libuv 1", "libmosquitto 2",
      "mbed TLS %d[%d.]+ %(MQTT%)", "SQLite 3", "libcurl/[%d.]+ %a+/%d[^\n]*own TLS" }) do
      assert.matches(library, result.stdout)
    end
  end)

  it("--version says why downloads are not there, and is still answered", function()
    local dir = assert(fs.tempdir())
    finally(function()
      fs.remove(dir, { recursive = true })
    end)
    assert(fs.write(dir .. "/hob_download.so", "no library"))
    local result = hob({ "--version", env = { HOB_MODULE_DIR = dir } })
    assert.equal(0, result.code)
    assert.matches("no downloads: loading " .. dir:gsub("%p", "%%%0") .. "/hob_download.so: [^\n]*"
      .. "it needs libcurl", result.stdout)
  end)

  it("--help shows the commands on standard output", function()
    for _, flag in ipairs({ "--help", "-h" }) do
      local result = hob({ flag })
      assert.equal(0, result.code)
      assert.equal("", result.stderr)
      assert.matches("usage: hob run %-%-config FILE", result.stdout)
    end
  end)

  it("without a command shows them on standard error, with status 2", function()
    local result = hob({})
    assert.equal(2, result.code)
    assert.equal("", result.stdout)
    assert.matches("usage: hob run", result.stderr)
  end)

  it("names a command that it does not know", function()
    for _, word in ipairs({ "rnu", "--verison" }) do
      local result = hob({ word })
      assert.equal(2, result.code)
      local words = "^hob: no command '" .. word:gsub("%p", "%%%0") .. "'\n[^\n]*\n"
      assert.matches(words, result.stderr)
    end
  end)

  it("carries neither libcurl nor libmicrohttpd, GnuTLS or libedit", function()
    local libraries = exec.check({ "ldd", worlds.hob() }).stdout
    assert.matches("libmosquitto", libraries)
    for _, name in ipairs({ "libcurl", "libmicrohttpd", "libgnutls", "libedit" }) do
      assert.is_nil(libraries:find(name, 1, true), name)
    end
  end)
end)

describe("hob lua", function()
  local dir

  setup(function()
    dir = assert(fs.tempdir())
  end)
  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  local function script(text)
    local path = dir .. "/script.lua"
    assert(fs.write(path, text))
    return path
  end

  it("runs a file, with its arguments in arg and ...", function()
    local path = script("print(arg[0], #arg, arg[1], arg[2], ...)")
    assert_ended(0, path .. "\t2\ta b\t-x\ta b\t-x\n", "", hob({ "lua", path, "a b", "-x" }))
  end)

  it("leaves out a first line with #!, and counts it", function()
    local path = script("#!/usr/bin/env -S hob lua\nprint(1)\nerror('here')")
    local result = hob({ "lua", path })
    assert.equal("1\n", result.stdout)
    assert.matches("script.lua:3: here\n", result.stderr)
  end)

  it("runs -e in order, then the file", function()
    assert_ended(0, "1\n2\n3\n", "", hob({ "lua", "-e", "print(1) x = 2", "-e", "print(x)",
      script("print(3)") }))
  end)

  it("requires -m", function()
    assert(fs.write(dir .. "/mine.lua", "print('mine') return {}"))
    assert_ended(0, "mine\n", "", hob({ "lua", "-m", "mine", cwd = dir }))
  end)

  it("runs - from standard input as one script", function()
    local script_text = "local x = 1 + 2\nprint(x, ...)"
    assert_ended(0, "3\ta\n", "", hob({ "lua", "-", "a", stdin = script_text }))
  end)

  it("without a file runs what comes from a pipe, as a whole", function()
    assert_ended(0, "3\n", "", hob({ "lua", stdin = "local a = 1\nprint(a + 2)\n" }))
    local result = hob({ "lua", stdin = "error('oh')\nprint(4)\n" })
    assert.matches("^hob lua: stdin:1: oh\n", result.stderr)
    assert.equal("", result.stdout)
    assert.equal(1, result.code)
  end)

  it("says what ended it, also when nothing could catch it", function()
    local result = hob({ "lua", "-e", "pcall(table.sort, {1,2,3}, function() while 1 do end end)" })
    assert.equal(1, result.code)
    assert.matches("^hob: %(command line%):1: ran for over 200 ms", result.stderr)
  end)

  it("has Hob's modules, whose calls may wait anywhere", function()
    assert_ended(0, "out\n", "", hob({ "lua", "-e", [[
      require("hob.time").sleep(0.001)
      io.write(require("hob.exec").check{ "echo", "out" }.stdout)
    ]] }))
  end)

  it("lets each module of a chain take its time, on a slow processor too", function()
    local busy = "local from = os.clock() while os.clock() - from < 0.12 do end "
    assert(fs.write(dir .. "/one.lua", busy .. "return require('two') + 1"))
    assert(fs.write(dir .. "/two.lua", busy .. "return require('three') + 1"))
    assert(fs.write(dir .. "/three.lua", busy .. "return 1"))
    assert_ended(0, "3\n", "", hob({ "lua", "-e",
      ("package.path = '%s/?.lua;' .. package.path print((require('one')))"):format(dir) }))
  end)

  it("ends with the status of os.exit", function()
    assert.equal(7, hob({ "lua", "-e", "os.exit(7)" }).code)
    assert.equal(0, hob({ "lua", "-e", "os.exit(true)" }).code)
    assert.equal(1, hob({ "lua", "-e", "os.exit(false)" }).code)
    assert.equal(0, hob({ "lua", "-e", "os.exit()" }).code)
  end)

  it("ends with the status of os.exit in a callback, whatever else waits", function()
    local result = hob({ "lua", "-e", [[
      local time = require("hob.time")
      time.after(0.001, function() io.write("bye") os.exit(9) end)
      time.sleep(3600)
      print("not reached")
    ]] })
    assert_ended(9, "bye", "", result)
  end)

  it("shows an error with its traceback on standard error, with status 1", function()
    local result = hob({ "lua", script("local function f()\n  error('boom')\nend\nf()") })
    assert.equal(1, result.code)
    assert.matches("^hob lua: [^\n]*script.lua:2: boom\nstack traceback:\n", result.stderr)
    assert.matches("script.lua:4: in ", result.stderr)
  end)

  it("shows an error that is no text", function()
    local result = hob({ "lua", "-e", "error(setmetatable({}, { __tostring = function() "
      .. "return 'mine' end }))" })
    assert.equal(1, result.code)
    assert.matches("^hob lua: mine\n", result.stderr)
  end)

  it("shows a syntax error in one line, with status 1", function()
    local path = script("print(1)\nx = = 2")
    assert_ended(1, "", ("hob lua: %s:2: unexpected symbol near '='\n"):format(path),
      hob({ "lua", path }))
  end)

  it("shows a file or a module that is not there", function()
    assert_ended(1, "", "hob lua: none.lua: No such file or directory\n",
      hob({ "lua", "none.lua", cwd = dir }))
    assert.matches("module 'none' not found", hob({ "lua", "-m", "none" }).stderr)
    local result = hob({ "lua", dir })
    assert.equal(1, result.code)
    assert.matches("^hob lua: [^\n]*Is a directory", result.stderr)
  end)

  it("refuses a flag that it does not know, with status 2", function()
    for _, flags in ipairs({ { "-x" }, { "-e" }, { "-m" } }) do
      local result = hob({ "lua", table.unpack(flags) })
      assert.equal(2, result.code)
      assert.matches("^hob lua: " .. flags[1]:gsub("%p", "%%%0") .. " is not understood",
        result.stderr)
    end
  end)

  it("--help is answered with status 0", function()
    local result = hob({ "lua", "--help" })
    assert.equal(0, result.code)
    assert.matches("^usage: hob lua", result.stdout)
  end)

  it("logs an error in a callback, and goes on", function()
    local result = hob({ "lua", "-e", [[
      local time = require("hob.time")
      time.after(0, function() error("in the callback") end)
      time.sleep(0.01)
      print("on")
    ]] })
    assert.equal(0, result.code)
    assert.equal("on\n", result.stdout)
    assert.matches("lua.error.*in the callback", result.stderr)
  end)

  it("does not crash when nobody reads its output", function()
    local result = exec.run({ "bash", "-o", "pipefail", "-c",
      [["$0" lua -e 'for i = 1, 1e5 do print(i) end' | head -1; echo ${PIPESTATUS[0]}]],
      worlds.hob(), timeout = PATIENCE })
    assert.matches("^1\n[01]\n$", result.stdout)
    assert.is_nil(result.stderr:find("Sanitizer", 1, true), result.stderr)
  end)

  it("finds its Lua files by HOB_LIB_DIR, and says where it looked", function()
    assert(fs.mkdir(dir .. "/bin"))
    exec.check({ "cp", worlds.hob(), dir .. "/bin/hob" })
    exec.check({ "cp", (worlds.hob():gsub("[^/]*$", "libhob.so.1")), dir .. "/bin" })
    local env = { LD_LIBRARY_PATH = dir .. "/bin" }
    local result = exec.run({ dir .. "/bin/hob", "lua", "-e", "print(1)", env = env })
    assert.equal(1, result.code)
    assert.matches("^hob: Hob's Lua files are not in [^\n]*set HOB_LIB_DIR[^\n]*\n$", result.stderr)
    local lib = package.searchpath("hob.job", package.path):gsub("/hob/job%.lua$", "")
    env.HOB_LIB_DIR = lib
    result = exec.run({ dir .. "/bin/hob", "lua", "-e", "print(1)", env = env })
    assert_ended(0, "1\n", "", result)
  end)
end)
