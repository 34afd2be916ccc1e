local sandbox = require("hob_units").sandbox
local exec = require("hob.exec")
local fs = require("hob.fs")

describe("hob_sandbox", function()
  describe("globals", function()
    it("are the language without what reaches past the job", function()
      for _, name in ipairs({ "io", "debug", "package", "dofile", "loadfile", "collectgarbage",
        "os.execute", "os.exit", "os.remove", "os.rename", "os.tmpname", "os.setlocale",
        "string.dump", "warn", "loadstring" }) do
        assert.equal("nil", sandbox("return " .. name), name)
      end
      for _, name in ipairs({ "pcall", "table.sort", "string.format", "math.floor", "utf8.len",
        "os.time", "coroutine.wrap", "require", "select" }) do
        assert.matches("function", sandbox("return " .. name), name)
      end
    end)

    it("are these, and none that a later Lua may bring along", function()
      assert.equal("_G _VERSION assert coroutine error getmetatable ipairs load math next os pairs "
        .. "pcall print rawequal rawget rawlen rawset require select setmetatable string table "
        .. "tonumber tostring type utf8 xpcall", sandbox([[
          local names = {}
          for name in pairs(_G) do names[#names + 1] = name end
          table.sort(names)
          return table.concat(names, " ")]]))
      assert.equal("clock date difftime getenv time", sandbox([[
          local names = {}
          for name in pairs(os) do names[#names + 1] = name end
          table.sort(names)
          return table.concat(names, " ")]]))
    end)

    it("load takes text only, and an environment", function()
      assert.equal("3", sandbox([[return load("return a + 1", "x", "bt", { a = 2 })()]]))
      assert.matches("binary chunk", sandbox([[return select(2, load("\27Lua"))]]))
    end)

    it("setmetatable refuses __gc", function()
      local ok, message = sandbox([[setmetatable({}, { __gc = function() end })]])
      assert.is_nil(ok)
      assert.matches("__gc is not available", message)
      assert.equal("7", sandbox([[return setmetatable({}, { __index = { a = 7 } }).a]]))
    end)
  end)

  it("runs no finalizer, however its metatable is put together", function()
    assert.equal("nil refused", sandbox([[
      local ran
      local function finalizer() ran = true end
      local later, inherited = {}, setmetatable({}, { __index = { __gc = finalizer } })
      setmetatable({}, later)
      later.__gc = finalizer -- too late for Lua
      setmetatable({}, inherited)
      rawset(inherited, "x", 1)
      local ok = pcall(setmetatable, {}, later)
      local first = setmetatable({}, { __metatable = later })
      first = nil
      for i = 1, 20000 do local garbage = { i } end
      return tostring(ran) .. (ok and " taken" or " refused")]]))
  end)

  it("keeps Hob's own metatables out of reach", function()
    assert.equal("false", sandbox([[
      local fs, json = require("hob.fs"), require("hob.json")
      return getmetatable(require("hob.time").after(100, print))
    ]]))
  end)

  describe("require", function()
    it("may take its time for each module, on a slow processor too", function()
      local dir = assert(fs.tempdir())
      for _, name in ipairs({ "one", "two", "three" }) do
        assert(fs.write(("%s/%s.lua"):format(dir, name),
          "local from = os.clock() while os.clock() - from < 0.12 do end return 1"))
      end
      assert.equal("3", sandbox([[return require("one") + require("two") + require("three")]], 0,
        dir))
      assert(fs.remove(dir, { recursive = true }))
    end)

    it("gives a module that fails its time once, not each time", function()
      local dir = assert(fs.tempdir())
      assert(fs.write(dir .. "/broken.lua", "error('broken')"))
      for _, code in ipairs({ "repeat until pcall(require, 'broken')",
        "table.sort({ 1, 2, 3 }, function() repeat until pcall(require, 'broken') end)" }) do
        local ok, message = sandbox(code, 0, dir)
        assert.is_nil(ok)
        assert.matches(":1: ran for over 200 ms where it cannot be interrupted", message)
      end
      assert(fs.remove(dir, { recursive = true }))
    end)

    it("says which modules require one another in a circle, and where", function()
      local dir = assert(fs.tempdir())
      assert(fs.write(dir .. "/one.lua", "\nreturn require('two')"))
      assert(fs.write(dir .. "/two.lua", "local M = {}\n\nM.one = require('one')\nreturn M"))
      local ok, message = sandbox("require('one')", 0, dir)
      assert.is_nil(ok)
      assert.matches("^%S*/two%.lua:3: module 'one' is required while it is being loaded", message)
      assert(fs.remove(dir, { recursive = true }))
    end)

    it("finds Hob's modules and the scripts' own, and nothing else", function()
      local dir = assert(fs.tempdir())
      assert(fs.mkdir(dir .. "/sub"))
      assert(fs.write(dir .. "/sub/shared.lua", "return { name = ... }"))
      assert.matches("function", sandbox([[return require("hob.json").encode]]))
      assert.equal("sub.shared", sandbox([[return require("sub.shared").name]], 0, dir))
      assert.equal("true",
        sandbox([[return require("sub.shared") == require("sub.shared")]], 0, dir))
      local ok, message = sandbox([[require("absent")]], 0, dir)
      assert.is_nil(ok)
      assert.matches("module 'absent' not found", message)
      assert.equal("nil nil", sandbox([[
        local mqtt = require("hob.mqtt") -- in a job: the gateway's own connection, no other
        return tostring(mqtt.connect) .. " " .. tostring(mqtt.agent())]], 0, dir))
      assert.matches("IotJobsClient", sandbox([[
        return require("iotjobs").IotJobsClient()]], 0, dir))
      for _, name in ipairs({ "../sub/shared", "..sub", "sub..shared", "/etc/passwd", "sub/shared",
        "sub\0shared", "", ".", "hob.process", "debug", "io", "package", "hob/../sub" }) do
        assert.is_nil((sandbox(("require(%q)"):format(name), 0, dir)), name)
      end
      fs.remove(dir, { recursive = true })
    end)

    it("follows symbolic links, and is not held by what is no regular file", function()
      local dir = assert(fs.tempdir())
      assert(fs.mkdir(dir .. "/lib"))
      assert(fs.write(dir .. "/there.lua", "return 'there'"))
      exec.check({ "ln", "-s", "../there.lua", dir .. "/lib/link.lua" })
      exec.check({ "mkfifo", dir .. "/lib/pipe.lua" })
      assert(fs.mkdir(dir .. "/lib/folder.lua"))
      assert.equal("there", sandbox([[return require("link")]], 0, dir .. "/lib"))
      for _, name in ipairs({ "pipe", "folder" }) do
        local ok, message = sandbox(("return require(%q)"):format(name), 0, dir .. "/lib")
        assert.is_nil(ok)
        assert.matches("^code:1: module '" .. name .. "': .*%.lua: no regular file$", message)
      end
      fs.remove(dir, { recursive = true })
    end)

    it("names file and line of a module that is broken, and refuses one over 1 MB", function()
      local dir = assert(fs.tempdir())
      assert(fs.write(dir .. "/broken.lua", "local x\nreturn = 1"))
      assert(fs.write(dir .. "/raises.lua", "\nerror('boom')"))
      assert(fs.write(dir .. "/big.lua", "return 1 --" .. ("x"):rep(1 << 20)))
      assert.matches("/broken%.lua:2: ", select(2, sandbox([[require("broken")]], 0, dir)))
      assert.matches("/raises%.lua:2: boom", select(2, sandbox([[require("raises")]], 0, dir)))
      assert.matches("module 'big': .*/big%.lua: larger than 1 MB",
        select(2, sandbox([[require("big")]], 0, dir)))
      fs.remove(dir, { recursive = true })
    end)
  end)

  it("tells the message of what is raised, a text or in a table", function()
    for code, message in pairs({
      ["error('words')"] = "code:1: words",
      ["error({ message = 'words', code = 'C' })"] = "words",
      ["error(setmetatable({}, { __tostring = function() return 'words' end }))"] = "words",
      ["error({ message = 5 })"] = "(error object is a table value)",
      ["error({})"] = "(error object is a table value)",
    }) do
      assert.equal(message, select(2, sandbox(code)))
    end
  end)

  describe("limits", function()
    it("end a chunk that takes more memory than allowed", function()
      local ok, message = sandbox([[local t = {} while true do t[#t + 1] = ("x"):rep(1000) end]],
        4 << 20)
      assert.is_nil(ok)
      assert.equal("more than 4 MB of memory (memory), at code:1", message)
      assert.equal("100000", sandbox([[return #("x"):rep(100000)]], 4 << 20))
    end)

    it("end a chunk that does not come to an end, also one that catches everything", function()
      for _, code in ipairs({
        "while true do end",
        "while true do pcall(error) end",
        "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "table.sort({ 1, 2, 3 }, function() while true do end end)",
        "xpcall(function() while true do end end, function() while true do end end)",
      }) do
        local ok, message = sandbox(code)
        assert.is_nil(ok, code)
        assert.matches("^code:1: ran for over 200 ms", message, code)
      end
    end)
  end)
end)
