-- `hob handler lint`: what it finds, where, and what it leaves alone. docs/reference/lint.md lists
-- the codes.

local fs = require("hob.fs")
local lint = require("hob.handler.lint")
local project = require("spec.support.source")

-- What lint finds in files, as "FILE:LINE CODE"; and all of it.
local function look(files)
  local dir = assert(fs.tempdir())
  assert(fs.mkdir(dir .. "/lib"))
  for name, text in pairs(files) do
    assert(fs.write(dir .. "/" .. name, text))
  end
  local findings, why = lint.check(dir)
  assert(fs.remove(dir, { recursive = true }))
  assert(findings, why)
  local short = {}
  for i, one in ipairs(findings) do
    one.file = one.file:sub(#dir + 2)
    short[i] = ("%s:%d %s"):format(one.file, one.line, one.code)
  end
  return short, findings
end

-- One handler a.lua: finds exactly `expected`, "LINE CODE" each; then the messages.
local function assert_finds(expected, text, ...)
  local short, findings = look({ ["a.lua"] = text })
  for i, one in ipairs(expected) do
    expected[i] = "a.lua:" .. one
  end
  assert.same(expected, short)
  for i, words in ipairs({ ... }) do
    assert.equal(words, findings[i].message)
  end
  return findings
end

-- A handler with these lines as its run; they begin in line 4.
local function in_run(lines)
  return "local exec, fs, http = require('hob.exec'), require('hob.fs'), require('hob.http')\n" ..
    "local unused = { exec, fs, http }\n" ..
    "return { api = 1, description = tostring(#unused), run = function(job, args)\n" ..
    lines .. "\nend }\n"
end

local function run_finds(expected, lines, ...)
  return assert_finds(expected, in_run(lines), ...)
end

local function run_is_clean(lines)
  assert_finds({}, in_run(lines))
end

local HEADER = "return {\n  api = 1,\n%s\n  run = function(job, args) end,\n}\n"

describe("hob handler lint", function()
  describe("the language", function()
    it("names a syntax error in Lua's own words, with its column", function()
      local findings = assert_finds({ "2 syntax" }, "local x = 1\nlocal y = = 2\n",
        "unexpected symbol near '='")
      assert.equal(11, findings[1].column)
    end)

    it("says so of a byte order mark, as editors on Windows write it", function()
      assert_finds({ "1 syntax" }, "\xEF\xBB\xBFreturn { api = 1, run = function() end }",
        "the file begins with a byte order mark: save it as UTF-8 without one")
    end)

    it("names what only the compiler sees", function()
      assert_finds({ "2 syntax" }, "local x <const> = 1\nx = 2\nreturn {}\n",
        "attempt to assign to const variable 'x'")
      assert_finds({ "1 syntax" }, "goto nowhere\n",
        "no visible label 'nowhere' for <goto> at line 1")
    end)

    it("names an unknown global that is read, and what may have been meant", function()
      run_finds({ "4 unknown-global" }, "pritn(args.url)",
        "unknown global 'pritn'; did you mean print?")
      run_finds({ "5 unknown-global" }, "local version = args.version\nprint(versoin)",
        "unknown global 'versoin'; did you mean version?")
      run_is_clean("local version = args.version print(version, math.pi, _VERSION, #_G)")
    end)

    it("says so when a local of that name is declared elsewhere", function()
      assert_finds({ "1 unknown-global" }, "local function f() return g() end\n" ..
        "local function g() return f() end\nreturn { api = 1, run = g }\n",
        "unknown global 'g'; the local of this name is not known in this line: declare it above")
    end)

    it("names a global that is written", function()
      run_finds({ "4 global-write" }, "version = args.version",
        "'version' is set as a global; is `local` missing?")
      run_finds({ "4 global-write" }, "function helper() end")
      run_is_clean("local version version = args.version\nlocal function helper() end helper()")
    end)

    it("names functions that handlers do not have, and what to use", function()
      run_finds({ "4 unavailable", "5 unavailable", "6 unavailable", "7 unavailable",
        "8 unavailable" }, [[
          os.execute("reboot")
          io.open("x")
          debug.traceback()
          collectgarbage()
          return string.dump(print)]],
        "os.execute is not available to handlers: use hob.exec",
        "io.open is not available to handlers: use hob.fs",
        "debug.traceback is not available to handlers",
        "collectgarbage is not available to handlers",
        "string.dump is not available to handlers")
      for _, name in ipairs({ "dofile", "loadfile", "package", "io", "debug" }) do
        run_finds({ "4 unavailable" }, "print(" .. name .. ")")
      end
      run_is_clean("job:step('a', function() exec.check{ 'true' } fs.read('x') end)")
    end)

    it("does not take a local of the same name for the library", function()
      run_is_clean("local io = { open = print } io.open()\nlocal os = {} os.execute = print")
    end)

    it("names a function that a library does not have, or no longer has", function()
      run_finds({ "4 unknown-member" }, "print(string.spilt)",
        "unknown function 'string.spilt'")
      run_finds({ "4 unknown-member" }, "print(table.getn(args))",
        "unknown function 'table.getn'; in Lua 5.4: #")
      run_finds({ "4 unknown-global" }, "print(unpack(args))",
        "unknown global 'unpack'; in Lua 5.4: table.unpack")
      run_is_clean("print(table.unpack(args), ('x'):rep(3))")
    end)
  end)

  describe("modules", function()
    it("names one that is not there, once", function()
      assert_finds({ "2 missing-module" },
        "\nlocal shared = require('gone')\nreturn { api = 1, run = function() shared.x() end }\n")
      local _, findings = look({ ["a.lua"] = "local x = require('lib.x') return x" })
      assert.matches("^module 'lib%.x' not found: it is none of Hob's, and there is no such file",
        findings[1].message)
    end)

    it("knows those of scripts/lib, and what is in them", function()
      local handler = "local shared = require('sub.shared')\n" ..
        "return { api = 1, run = function() print(shared.name, shared.nmae) end }\n"
      local found, findings = look({ ["a.lua"] = handler,
        ["lib/sub.lua"] = "return 1", ["lib/.sub.lua.swp"] = "=" })
      assert.same({ "a.lua:1 missing-module" }, found)
      assert.is_truthy(findings)
      local dir = assert(fs.tempdir())
      assert(fs.mkdir(dir .. "/lib/sub"))
      assert(fs.write(dir .. "/lib/sub/shared.lua", "return { name = 'x' }"))
      assert(fs.write(dir .. "/a.lua", handler))
      findings = assert(lint.check(dir))
      assert(fs.remove(dir, { recursive = true }))
      assert.equal(1, #findings)
      assert.equal("sub.shared has no member 'nmae'; did you mean name?", findings[1].message)
    end)

    it("lets a handler add to a module", function()
      assert.same({}, (look({
        ["a.lua"] = "local shared = require('shared')\nshared.seen = true\n" ..
          "return { api = 1, run = function() end }\n", ["lib/shared.lua"] = "return {}" })))
    end)

    it("says where one of scripts/lib is broken, there and where it is required", function()
      local found = look({ ["a.lua"] = "require('x')\nreturn { api = 1, run = print }\n",
        ["lib/x.lua"] = "local a = 1\na = = 2" })
      assert.same({ "a.lua:1 missing-module", "lib/x.lua:2 syntax" }, found)
    end)

    it("names a function that Hob's modules do not have", function()
      run_finds({ "4 unknown-member" }, "job:step('a', function() exec.runn{ 'true' } end)",
        "hob.exec has no member 'runn'; did you mean run?")
      run_finds({ "5 unknown-member" }, "local f = fs\njob:step('a', function() f.raed('x') end)")
      run_finds({ "4 unknown-member" }, "job:step('a', require('hob.json').encod)")
      run_is_clean("job:step('a', function() exec.run{ 'true' } fs.read('x') end)")
    end)

    it("names an option that a function does not have", function()
      run_finds({ "4 unknown-option" },
        "job:step('a', function() exec.run{ 'true', timout = 5 } end)")
      run_finds({ "4 unknown-option" },
        "local how = { recursiv = true }\njob:step('a', function() fs.remove('x', how) end)")
      run_is_clean("job:step('a', function() exec.run{ 'true', timeout = 5, env = { A = 'b' } } " ..
        "end)")
    end)

    it("names a member that the job does not have", function()
      run_finds({ "4 unknown-member", "5 unknown-member" }, "job:progres(5)\nprint(job.idd)",
        "job has no function 'progres'; did you mean progress?",
        "job has no member 'idd'; did you mean id?")
      run_is_clean("job:progress(5)\nprint(job.id)\njob.log.info('x')")
    end)
  end)

  describe("the handler's table", function()
    it("names a member that there is not, in the words of loading", function()
      local text = HEADER:format("  timout = 5,")
      local findings = assert_finds({ "3 header" }, text)
      assert.matches("^unknown member 'timout' in the handler's table; did you mean timeout%?",
        findings[1].message)
      assert_finds({}, (HEADER:format("  timeout = 5,")))
    end)

    it("names each of them, not only the first", function()
      assert_finds({ "3 header", "4 header", "5 args", "5 args" }, (HEADER:format(
        "  timout = 5,\n  cleanup = 7,\n  args = { a = 'sting', b = 'number', c = { 'enum' } },")))
    end)

    it("names an unknown type in args, where it stands", function()
      local findings = assert_finds({ "5 args" }, (HEADER:format(
        "  args = {\n    url = 'string',\n    size = 'nubmer' },")))
      assert.matches("^args%.size: unknown type 'nubmer'; did you mean number%?",
        findings[1].message)
      assert_finds({}, (HEADER:format("  args = { url = 'string', size = 'number?' },")))
    end)

    it("names an example that its args refuse", function()
      local args = "  args = { url = 'string' },\n" ..
        "  examples = { { url = 'x' },\n    { ulr = 'x' } },"
      local findings = assert_finds({ "5 examples" }, (HEADER:format(args)))
      assert.matches("^examples%[2%]: args%.url: expected string, got nothing", findings[1].message)
      assert_finds({}, (HEADER:format(args:gsub("ulr", "url"))))
    end)

    it("names a missing run", function()
      assert_finds({ "2 missing-run" }, "local M = {}\nreturn { api = 1, description = 'x' }\n",
        "run: expected a function run(job, args), got nil")
      assert_finds({ "1 missing-run" }, "local M = { api = 1 }\nreturn M\n")
      assert_finds({}, "local M = { api = 1 }\nfunction M.run() end\nreturn M\n")
    end)

    it("names a file that gives no table", function()
      assert_finds({ "1 header" }, "print('x')\n",
        "expected the file to return a table with a function `run`, got nil")
    end)

    it("names what loading raises, with its line", function()
      assert_finds({ "2 load" }, "local x\nx = x.y\nreturn { api = 1, run = print }\n",
        "attempt to index a nil value (local 'x')")
    end)

    it("goes on past a missing module to what else is wrong", function()
      assert_finds({ "1 missing-module", "2 header" },
        "local x = require('gone')\nreturn { api = 1, timout = x.time, run = x.run }\n")
    end)

    it("ends a file that does not come to its end", function()
      assert_finds({ "2 load" }, "local x = 1\nreturn (function() while x do end end)()")
    end)

    it("names a file that is too large, or nested too deep", function()
      local findings = assert_finds({ "1 load" }, "return 1 --" .. ("x"):rep(1 << 20))
      assert.matches("larger than 1 MB", findings[1].message)
      findings = assert_finds({ "1 syntax" }, "return " .. ("("):rep(100000))
      assert.matches("C stack overflow", findings[1].message)
    end)

    it("names a file that cannot be read, and goes on to the others", function()
      local dir = assert(fs.tempdir())
      assert(fs.mkdir(dir .. "/folder.lua"))
      assert(require("hob.exec").check{ "ln", "-s", "/no/such", dir .. "/link.lua" })
      assert(fs.write(dir .. "/typo.lua", "return {"))
      local findings = assert(lint.check(dir))
      assert(fs.remove(dir, { recursive = true }))
      local codes = {}
      for i, one in ipairs(findings) do
        codes[i] = one.file:match("[^/]*$") .. " " .. one.code
      end
      assert.same({ "folder.lua load", "link.lua load", "typo.lua syntax" }, codes)
      assert.matches("No such file", findings[2].message, 1, true)
    end)

    it("names two handlers for one name", function()
      local files = {
        ["reboot.lua"] = "return { api = 1, run = function() end }\n",
        ["restart.lua"] = "return { api = 1,\n  names = { 'again', 'reboot' }, run = print }\n",
        ["turn.lua"] = "return { api = 1, names = { 'again' }, run = print }\n",
      }
      local found, findings = look(files)
      assert.same({ "restart.lua:2 duplicate-name", "turn.lua:1 duplicate-name" }, found)
      assert.matches("^'reboot' also names .*/reboot%.lua$", findings[1].message)
      files["restart.lua"] = files["restart.lua"]:gsub("'reboot'", "'boot'")
      files["turn.lua"] = files["turn.lua"]:gsub("again", "turn-it")
      assert.same({}, (look(files)))
    end)

    it("names a file that Hob does not load", function()
      assert.same({ "my handler.lua:1 file-name" }, (look({
        ["my handler.lua"] = "return 1", [".#a.lua"] = "=", ["notes.txt"] = "=" })))
    end)
  end)

  describe("steps", function()
    it("names one that is used twice", function()
      run_finds({ "5 step-name" }, "job:step('a', print)\njob:step('a', print)",
        "step 'a' is used twice; first in line 4")
      run_finds({ "6 step-name" },
        "local NAME = 'a'\njob:step(NAME, print)\njob:step(NAME, { tries = 2 }, print)")
      run_is_clean("job:step('a', print)\njob:step('b', print)")
    end)

    it("names one that a helper makes twice", function()
      run_finds({ "7 step-name" }, [[
local function install() job:step("install", print) end
install()
if args.again then
  install()
end]], "step 'install' is used twice; first in line 4 (in what is called here, line 4)")
      run_is_clean([[
local function install(what) job:step("install " .. what, print) end
install("a")
install("b")]])
      run_finds({ "6 step-name" }, [[
local function install(what) job:step("install " .. what, print) end
install("a")
install("a")]])
    end)

    it("follows functions that are handed on to where they are called", function()
      run_is_clean([[
local function each(change) for i = 1, 2 do change(i) end end
local function all(this) each(function(i) this:step("a " .. i, function() fs.read("x") end) end)
end
local function once(fn) return fn() end
once(function() job:step("b", function() exec.run{ "true" } end) end)
local ok = pcall(all, job)
return job:critical(function(this) this:step("c", print) return ok end, job)]])
      run_finds({ "6 step-name" }, [[
local function twice(fn) fn() fn()
end
twice(function() job:step("b", print) end)]])
    end)

    it("leaves those alone of which a run meets only one", function()
      run_is_clean([[
if args.force then
  job:step("a", print)
elseif args.soft then
  job:step("a", print)
else
  job:step("a", print)
end
if args.early then
  job:step("b", print)
  return true
end
job:step("b", print)]])
      run_finds({ "7 step-name" }, [[
if args.early then
  job:step("b", print)
end
job:step("b", print)]])
    end)

    it("names one in a loop without an index", function()
      run_finds({ "5 step-name" }, "for _ in ipairs(args.urls) do\n  job:step('get', print) end",
        "step 'get' stands in a loop: add the index to its name")
      run_finds({ "4 step-name" }, "while args.more do job:step('get', print) end")
      run_finds({ "5 step-name" }, "repeat local ok = \njob:step('get', print) until ok")
      run_is_clean("for i, url in ipairs(args.urls) do job:step('get ' .. i .. url, print) end")
      run_is_clean("while args.more do job:step('get', print) break end")
    end)

    it("names a name that a step cannot have", function()
      run_finds({ "4 step-name" }, "job:step('hob:x', print)")
      run_finds({ "4 step-name" }, "job:step('', print)")
      run_finds({ "4 step-name" }, "job:step('" .. ("x"):rep(129) .. "', print)")
      run_is_clean("job:step(args.name, print)") -- only a run would tell
    end)

    it("names an option that a step does not have", function()
      local findings = run_finds({ "4 unknown-option" }, "job:step('a', { trys = 5 }, print)")
      assert.matches("^step 'a': unknown option 'trys'; did you mean tries%?", findings[1].message)
      run_is_clean("job:step('a', { tries = 5, once = true }, print)")
    end)

    it("names a step inside a step, also through a helper", function()
      run_finds({ "5 step-in-step" }, "job:step('a', function()\n  job:step('b', print) end)",
        "a step inside a step: 'b'")
      run_finds({ "5 step-in-step" }, [[
local function helper() job:step("b", print) end
job:step("a", function() helper() end)]],
        "a step inside a step: 'b' (in what is called here, line 4)")
      run_finds({ "5 step-in-step" }, [[
local function helper() job:step("b", print) end
job:step("a", helper)]])
      run_is_clean("job:step('a', function() end)\njob:step('b', function() end)")
    end)

    it("names a step in a coroutine or a callback", function()
      run_finds({ "4 step-in-callback" }, "coroutine.wrap(function() job:step('a', print) end)()")
      run_finds({ "4 step-in-callback", "5 world-read" }, [[
require("hob.time").after(5, function() job:step("a", print)
  fs.read("x") end)]])
    end)

    it("names a reboot inside a step, and what cleanup cannot do", function()
      run_finds({ "4 reboot-in-step" }, "job:step('a', function() job:reboot('x') end)",
        "job:reboot inside a step: it cannot be done twice")
      run_is_clean("job:step('a', print)\njob:reboot('x')")
      assert_finds({ "3 not-in-cleanup", "4 not-in-cleanup" }, [[
return { api = 1, run = function() end,
  cleanup = function(job)
    job:step("a", print)
    job:reject("x")
  end }]], "job:step is not available in cleanup: the job has ended")
    end)
  end)

  describe("the world between steps", function()
    it("is named where it is read (field failure 19)", function()
      run_finds({ "4 world-read" }, "if fs.read('/version') == args.version then return true end",
        "fs.read between steps: after a restart it may answer otherwise; call it in a step")
      run_is_clean("job:step('look', function() return fs.read('/etc/version') end)")
    end)

    it("is programs, files, the network, the clock, the environment and chance", function()
      for _, call in ipairs({ "exec.run{ 'true' }", "exec.check{ 'true' }", "fs.stat('x')",
        "http.request{ url = 'x' }", "require('hob.time').now()", "os.time()", "os.date()",
        "os.date('%F')", "os.clock()", "os.getenv('HOME')", "math.random(6)" }) do
        run_finds({ "4 world-read" }, "print(" .. call .. ")")
        run_is_clean("job:step('a', function() return " .. call .. " end)")
      end
    end)

    it("is not what always answers the same, or only waits", function()
      run_is_clean([[
print(os.time{ year = 2026, month = 1, day = 1 }, os.date("!%F", 0))
require("hob.time").sleep(1)
print(require("hob.time").text(5), require("hob.json").encode(args))
job:sleep(1)
job:progress(5)]])
    end)

    it("is found in what run calls, and told at the call", function()
      assert_finds({ "4 world-read", "6 world-read" }, [[
local fs = require("hob.fs")
local function version() return fs.read("/etc/version") end
local function newer(than) return version() > than end
local function run(job, args) if version() == "1" then return true end
  job:step("look", version)
  if newer("1") then return true end
end
return { api = 1, run = run }]],
        "fs.read between steps: after a restart it may answer otherwise; call it in a step " ..
        "(in what is called here, line 2)")
    end)

    it("is found in functions of scripts/lib", function()
      local found, findings = look({
        ["a.lua"] = "local shared = require('shared')\nreturn { api = 1, run = function(job)\n" ..
          "  print(shared.version())\n  job:step('a', shared.version) end }\n",
        ["lib/shared.lua"] = "local M = {}\nlocal fs = require('hob.fs')\n" ..
          "function M.version()\n  return fs.read('/etc/version') end\nreturn M\n" })
      assert.same({ "a.lua:3 world-read" }, found)
      assert.matches("in what is called here, .*/lib/shared%.lua:4%)$", findings[1].message)
    end)

    it("is found in critical sections, pcall and callbacks, which are no steps", function()
      run_finds({ "4 world-read" }, "job:critical(function() fs.write('x', 'y') end)")
      run_finds({ "4 world-read" }, "pcall(function() return fs.read('x') end)")
      run_finds({ "4 world-read" }, "print(pcall(fs.read, 'x'))")
      run_finds({ "5 world-read" }, "local read = fs.read\nprint(read('x'))")
      run_is_clean("job:step('a', function() pcall(fs.read, 'x') end)")
      run_is_clean("job:step('a', function() job:critical(function() fs.read('x') end) end)")
    end)

    it("is not what a variable that changes may stand for", function()
      run_is_clean("local read = fs.read\nread = tostring\nprint(read('x'))")
    end)

    it("may be read by already_done, cleanup, doctor and args", function()
      assert_finds({}, [[
local fs = require("hob.fs")
local function version() return fs.read("/etc/version") end
return { api = 1, run = function() end,
  already_done = function(job, args) return version() == args.version end,
  cleanup = function() fs.remove(version()) end,
  doctor = function() return version() end,
  args = function(document) return document.x or version() end }]])
    end)

    it("is not to be read while the file is loaded", function()
      assert_finds({ "2 world-read" }, [[
local fs = require("hob.fs")
local VERSION = fs.exists("/etc/os-version")
return { api = 1, run = function() return { version = VERSION } end }]],
        "fs.exists while the file is loaded, which Hob does at any time; call it in a step")
    end)

    it("is also a branch on job.attempt and job.state", function()
      run_finds({ "4 world-read" }, "if job.attempt > 1 then job:step('a', print) end",
        "a branch on job.attempt between steps: it is another one after a restart")
      run_finds({ "4 world-read" }, "while job.state.left do job:sleep(1) end")
      run_is_clean("job:step('a', function() if job.attempt > 1 then return job.state.a end end)")
    end)
  end)

  describe("details", function()
    it("names a key that is Hob's, and a fifth one", function()
      run_finds({ "4 detail" }, "return { version = 1, reason = 'x' }",
        "detail 'reason': the name is Hob's own")
      run_finds({ "4 detail" }, "return { a = 1, b = 2, c = 3, d = 4, e = 5 }",
        "5 details: only 4 of them are reported")
      run_finds({ "4 detail" }, "return nil, 'x', { ['a b'] = 1 }")
      run_is_clean("return { a = 1, b = 2, c = 3, d = 4 }")
    end)

    it("does not take what other functions return for them", function()
      run_is_clean("return { a = (function() return { code = 1 } end)().code }")
      run_is_clean("job:step('a', function() return { code = 1, reason = 'x' } end)")
    end)
  end)

  it("leaves alone what a comment allows, in its line or above it", function()
    run_is_clean("print(os.time()) -- lint: allow world-read")
    run_is_clean("-- it is shown; lint: allow world-read, unknown-global\nprint(os.time(), xx)")
    run_finds({ "4 world-read" }, "print(os.time()) -- lint: allow step-name")
    run_finds({ "6 world-read" }, "-- lint: allow world-read\nprint()\nprint(os.time())")
  end)

  it("finds nothing in the handlers that come with Hob", function()
    local findings = assert(lint.check(project.root .. "/scripts"))
    local lines = {}
    for i, one in ipairs(findings) do
      lines[i] = ("%s:%d: %s"):format(one.file, one.line, one.message)
    end
    assert.same({}, lines)
  end)

  it("finds nothing in the handlers that the documentation shows", function()
    local files, count = {}, 0
    for _, page in ipairs({ "../README", "how-to/code-signed-files", "how-to/durable-handlers",
      "how-to/reboot", "how-to/test-handlers", "how-to/write-handlers",
      "reference/handlers", "tutorial/first-handler" }) do
      for example in project.read("docs/" .. page .. ".md"):gmatch("```lua\n(.-)```") do
        if example:find("api = 1", 1, true) then
          count = count + 1
          files[page:gsub("[/.]", "-") .. "-" .. count .. ".lua"] = example
        end
      end
    end
    assert.is_true(count >= 4)
    local _, findings = look(files)
    local lines = {}
    for i, one in ipairs(findings) do
      lines[i] = ("%s:%d: %s (%s)"):format(one.file, one.line, one.message, one.code)
    end
    assert.same({}, lines)
  end)

  it("has a row in docs/reference/lint.md for each code, and no other", function()
    local told, known = {}, {}
    for code in project.read("docs/reference/lint.md"):gmatch("\n| `([%w-]+)` |") do
      told[code] = true
    end
    for _, file in ipairs({ "lint", "lint/file", "lint/flow", "lint/header", "lint/language",
      "lint/world" }) do
      local text = project.read("lib/hob/handler/" .. file .. ".lua")
      for code in text:gmatch('"([%l]+%-[%l-]+)"') do
        known[code] = not code:find("^lint%-") or nil
      end
    end
    for _, code in ipairs({ "syntax", "unavailable", "header", "args", "examples", "load",
      "detail" }) do
      known[code] = true
    end
    assert.same(project.sorted_keys(known), project.sorted_keys(told))
  end)
end)
