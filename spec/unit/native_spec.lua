local units = require("hob_units")
local fs = require("hob.fs")

describe("hob_native", function()
  local dir, native

  before_each(function()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/scripts/lib"))
    native = assert(units.native.new(dir .. "/log"))
  end)
  after_each(function()
    native = nil
    collectgarbage() -- closes its log
    fs.remove(dir, { recursive = true })
  end)

  local function put(name, text)
    assert(fs.write(dir .. "/scripts/" .. name, text))
  end

  local function load(document)
    return native:load(dir .. "/scripts", document or "{}")
  end

  local GOOD = "return { api = 1, run = function() end }"

  local function refused(options)
    local ok, message, code = native:handler(options)
    assert.is_nil(ok)
    return message, code
  end

  describe("hob_native_add_handler", function()
    it("makes Lua of it, whose path is C, and whose digest is that of what was given", function()
      assert(native:handler({ name = "switch", description = 'Says "on"\nor off',
        args = '{"channel":"integer"}', timeout_s = 1.5, max_runs = 3 }))
      local text, path, digest = native:source("switch")
      assert.equal("C", path)
      assert.equal(64, #digest)
      local given
      assert(_G.load(text, "=text", "t", { require = function(name)
        assert.equal("hob.native", name)
        return { handler = function(options) given = options end }
      end }))()
      assert.same({ name = "switch", description = 'Says "on"\nor off',
        args = '{"channel":"integer"}', timeout = 1.5, max_runs = 3 }, given)
      local again = assert(units.native.new(dir .. "/log2"))
      assert(again:handler({ name = "switch" }))
      assert.not_equal(digest, (select(3, again:source("switch"))))
    end)

    it("takes args in the notation of a Lua handler, with a type's options in an object after it",
      function()
        assert(native:handler({ name = "a", args = [[{
          "level": ["enum", "low", "high", {"default": "low"}],
          "port": ["integer?", {"min": 1, "max": 65535}],
          "files": ["list", {"of": {"url": "string"}}],
          "tls": ["table?", {"fields": {"ca": "string"}}],
          "proxy": {"host": "string", "port": "integer?"}
        }]] }))
      end)

    it("names the member of args that is wrong", function()
      assert.matches("^handler a: args.channel: .*intger.*did you mean integer",
        (refused({ name = "a", args = '{"channel":"intger"}' })))
      assert.matches("^handler a: args.port.min: expected number, got string",
        (refused({ name = "a", args = '{"port":["integer",{"min":"1"}]}' })))
      assert.matches("^handler a: args: no JSON: ", (refused({ name = "a", args = "{nonsense" })))
      assert.matches("^handler a: args: expected a JSON object such as .*, got 5",
        (refused({ name = "a", args = "5" })))
      assert.equal("EINVAL", select(2, refused({ name = "a", args = "5" })))
    end)

    it("refuses what a Lua handler's table refuses, and what could not be one", function()
      assert.matches("^handler a: timeout: expected seconds, .*, got 1000000",
        (refused({ name = "a", timeout_s = 1e6 })))
      assert.matches("^handler a: timeout_s: expected seconds, got %-1",
        (refused({ name = "a", timeout_s = -1 })))
      assert.matches("^handler a: timeout_s: expected seconds, got %-?nan",
        (refused({ name = "a", timeout_s = 0 / 0 })))
      assert.matches("^handler a: max_runs: expected a whole number",
        (refused({ name = "a", max_runs = -2 })))
      assert.matches("^handler a: run: expected a function, got NULL",
        (refused({ name = "a", without_run = "yes" })))
      for _, name in ipairs({ "", "a b", "../a", ("x"):rep(65) }) do
        assert.matches("^handler: name: expected 1 to 64 of ", (refused({ name = name })))
      end
      assert.matches("leave out .sh", (refused({ name = "a.sh" })))
      assert.equal("EMSGSIZE", select(2, refused({ name = "a", description = ("x"):rep(70000) })))
    end)

    it("refuses a name that is taken", function()
      assert(native:handler({ name = "a" }))
      assert.same({ "handler a: there is a C handler of that name", "EEXIST" },
        { refused({ name = "a" }) })
      assert.equal("EEXIST", select(2, refused({ name = "aws-steps" })))
    end)

    it("refuses a struct of a size that there never was", function()
      assert.matches("^hob_handler: size: expected sizeof%(struct hob_handler%), got 0",
        (refused({ name = "a", size = "0" })))
    end)

    it("takes the struct of a later version, and refuses what it sets there", function()
      assert(native:handler({ name = "a", newer = "0" }))
      assert.matches("^hob_handler: members are set that this libhob",
        (refused({ name = "b", newer = "1" })))
    end)
  end)

  describe("hob_native_add_module", function()
    local function wrong(...)
      local ok, message, code = native:module(...)
      assert.is_nil(ok)
      return message, code
    end

    it("takes the names that require and Lua know", function()
      assert(native:module("acme.relay-2", { "set", "get_all" }))
      assert.matches('^module: name: expected one for `require`, .*got ""', (wrong(nil, { "a" })))
      for _, name in ipairs({ ".a", "a.", "a..b", "a/b", "a b" }) do
        assert.matches("^module: name: ", (wrong(name, { "a" })))
      end
      for _, name in ipairs({ "string", "hob", "hob.fs", "iotjobs", "iotjobs.x", "debug" }) do
        assert.matches("the name is Lua's or Hob's own", (wrong(name, { "a" })))
      end
      assert.same({ "module acme.relay-2: there is one of that name", "EEXIST" },
        { wrong("acme.relay-2", { "a" }) })
    end)

    it("refuses functions that no handler could call", function()
      for _, name in ipairs({ "", "1st", "a-b", "end", ("x"):rep(65) }) do
        assert.matches("^module m: functions%[1%].name: expected a name as Lua has them",
          (wrong("m", { "good", name })))
      end
      assert.matches("^module m: set is there twice", (wrong("m", { "set", "get", "set" })))
      assert.matches("^module m: functions: expected at least one", (wrong("m", {})))
    end)
  end)

  describe("among the files", function()
    it("C handlers stand first, by name, and are chosen as files are", function()
      assert(native:handler({ name = "b" }))
      assert(native:handler({ name = "a" }))
      put("c.lua", GOOD)
      local list, path = load('{"operation":"a"}')
      assert.same({ "a", "b", "c" }, { list[1].name, list[2].name, list[3].name })
      assert.equal("C", path)
      assert.equal(dir .. "/scripts/c.lua", select(2, load('{"operation":"c"}')))
    end)

    it("a file of a C handler's name is not used, broken or not, and that is said", function()
      assert(native:handler({ name = "a" }))
      put("a.lua", "return {{{")
      local list, path = load('{"operation":"a"}')
      assert.equal(1, #list)
      assert.equal("C", path)
      local log = assert(fs.read(dir .. "/log"))
      assert.matches("handler.name_taken.*a.lua is not used: the product has a handler 'a'", log)
      assert.is_nil(log:find("handler.broken", 1, true))
    end)

    it("another handler's name for itself does not win against it", function()
      assert(native:handler({ name = "a" }))
      put("b.lua", 'return { api = 1, names = { "a" }, run = function() end }')
      assert.equal("C", select(2, load('{"operation":"a"}')))
      assert.matches('b.lua has "a" among its names, but a gets those jobs',
        (assert(fs.read(dir .. "/log"))))
    end)

    it("what would be a file of that name is refused before it is written", function()
      assert(native:handler({ name = "a" }))
      local ok, message, code = native:try(dir .. "/scripts", "a")
      assert.is_nil(ok)
      assert.equal("EEXIST", code)
      assert.matches("^the product has a handler 'a' of its own, in C", message)
      assert.is_true(native:try(dir .. "/scripts", "b"))
    end)
  end)

  describe("a product's module, while handlers are checked", function()
    before_each(function()
      assert(native:module("relay", { "set" }))
    end)

    it("can be required at the top of a file", function()
      put("a.lua", 'assert(type(require("relay").set) == "function")\n' .. GOOD)
      local list = load()
      assert.equal("", list[1].error)
    end)

    it("wins against a file of that name in lib, which is said", function()
      put("lib/relay.lua", "error('the file is used')")
      put("a.lua", 'require("relay")\n' .. GOOD)
      assert.equal("", load()[1].error)
      assert.matches("lib/relay.lua is not used: the product has a module 'relay'",
        (assert(fs.read(dir .. "/log"))))
    end)

    it("cannot be called there, which names file, line and function", function()
      put("a.lua", 'local relay = require("relay")\nrelay.set(1, true)\n' .. GOOD)
      assert.matches("scripts/a.lua:2: relay.set: a function of the product works only while a job "
        .. "runs", load()[1].error)
    end)
  end)

  it("a module that there is not says that a product may have it", function()
    put("a.lua", 'local relay = require("relay")\n' .. GOOD)
    assert.matches("a.lua:1: module 'relay' not found: it is none of Hob's, and there is no such "
      .. "file in .*/scripts/lib; one that a product has in C is there only inside of it",
      load()[1].error)
  end)
end)
