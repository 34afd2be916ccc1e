local units = require("hob_units")
local fs = require("hob.fs")

describe("hob_handlers", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir())
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function put(name, text)
    assert(fs.write(dir .. "/" .. name, text))
  end
  local GOOD = "return { api = 1, run = function() end }"

  describe("choosing", function()
    it("goes by operation, jobType, type, action, command, in this order", function()
      put("a.lua", GOOD)
      put("b.lua", GOOD)
      for _, member in ipairs({ "operation", "jobType", "type", "action", "command" }) do
        assert.equal("a", (units.handlers(dir, ('{"%s":"a"}'):format(member))))
      end
      assert.equal("a", (units.handlers(dir, '{"type":"b","operation":"a"}')))
      assert.equal("b", (units.handlers(dir, '{"command":"a","action":"b"}')))
    end)

    it("drops a final .sh and knows a handler's other names", function()
      put("reboot.lua", GOOD)
      put("copy.lua", 'return { api = 1, names = { "cp", "copy-file" }, run = function() end }')
      assert.equal("reboot", (units.handlers(dir, '{"operation":"reboot.sh"}')))
      assert.equal("copy", (units.handlers(dir, '{"operation":"cp"}')))
      assert.equal("copy", (units.handlers(dir, '{"operation":"copy-file"}')))
    end)

    it("gives documents with steps to the built-in handler", function()
      assert.equal("aws-steps", (units.handlers(dir, '{"version":"1.0","steps":[]}')))
      put("own.lua", GOOD)
      assert.equal("own", (units.handlers(dir, '{"operation":"own","steps":5}')))
      assert.equal("aws-steps", (units.handlers(dir, '{"operation":"own","steps":[{}]}')))
    end)

    it("names what was asked for when there is no such handler", function()
      local name, message = units.handlers(dir, '{"operation":"frobnicate"}')
      assert.is_nil(name)
      assert.equal(('no handler for operation "frobnicate": there is no frobnicate.lua in %s')
        :format(dir), message)
    end)

    it("never takes a path", function()
      put("x.lua", GOOD)
      for _, value in ipairs({ "../../x", "/etc/x", "a/b", "x y", ("x"):rep(200) }) do
        local name, message = units.handlers(dir, ('{"operation":"%s"}'):format(value))
        assert.is_nil(name)
        assert.matches("operation: expected the name of a handler", message)
      end
    end)

    it("takes no hidden file, nor one that is not Lua, as a handler", function()
      put(".hidden.lua", GOOD)
      put("notes.txt", GOOD)
      for _, value in ipairs({ ".hidden", "notes", "notes.txt" }) do
        assert.is_nil((units.handlers(dir, ('{"operation":"%s"}'):format(value))))
      end
    end)

    it("says which members name a handler when the document has none of them", function()
      local _, message = units.handlers(dir, '{"operation":7}')
      assert.matches("operation, jobType, type, action, command, or a list in steps", message)
    end)

    it("takes an empty text for absent (field failure 26)", function()
      put("a.lua", GOOD)
      assert.equal("a", (units.handlers(dir, '{"operation":"","type":"a"}')))
      assert.matches("the document names no handler",
        select(2, units.handlers(dir, '{"operation":""}')))
    end)

    it("takes any text among a handler's names, which no file could have", function()
      put("update.lua", [[return { api = 1, run = print,
        names = { "Firmware Update", "fw/update", "Gerät aktualisieren", "../../x" } }]])
      local names = { "Firmware Update", "fw/update", "Gerät aktualisieren", "../../x" }
      for _, value in ipairs(names) do
        assert.equal("update", (units.handlers(dir, ('{"operation":"%s"}'):format(value))))
      end
    end)

    it("goes by a member that is there, when no text names a handler", function()
      put("install.lua", 'return { api = 1, names = { "?firmwareUrl" }, run = print }')
      put("other.lua", 'return { api = 1, names = { "?config" }, run = print }')
      assert.equal("install", (units.handlers(dir, '{"firmwareUrl":"x"}')))
      assert.equal("other", (units.handlers(dir, '{"config":{"a":1}}')))
      for _, document in ipairs({ '{"firmwareUrl":""}', '{"firmwareUrl":null}', '{"x":1}' }) do
        assert.matches("names no handler", select(2, units.handlers(dir, document)))
      end
      assert.matches('no handler for operation "reboot"',
        select(2, units.handlers(dir, '{"operation":"reboot","firmwareUrl":"x"}')))
      assert.equal("the document has firmwareUrl (handler install) and config (handler other): "
        .. "which is meant?", select(2, units.handlers(dir, '{"firmwareUrl":"x","config":1}')))
    end)

    describe("with routes of the configuration", function()
      it("sends what a document says to a handler, before anything else", function()
        put("a.lua", GOOD)
        put("b.lua", 'return { api = 1, names = { "x" }, run = print }')
        local routes = { "x", "a", "Neu starten", "a", "a", "b", "../../x", "a" }
        local function chosen(value)
          return (units.handlers(dir, ('{"operation":"%s"}'):format(value), routes))
        end
        assert.equal("a", chosen("x"))
        assert.equal("a", chosen("x.sh"))
        assert.equal("a", chosen("Neu starten"))
        assert.equal("a", chosen("../../x"))
        assert.equal("b", chosen("a"))
        assert.equal("b", chosen("b"))
      end)

      it("sends a document that has a member to a handler", function()
        put("a.lua", GOOD)
        put("b.lua", 'return { api = 1, names = { "?url" }, run = print }')
        assert.equal("a", (units.handlers(dir, '{"url":"u"}', { "?url", "a" })))
        assert.equal("b", (units.handlers(dir, '{"url":"u"}', { "?other", "a" })))
      end)

      it("says so when a route leads nowhere", function()
        assert.equal(("no handler for \"x\": routes lead it to 'gone', and there is no gone.lua in "
          .. "%s"):format(dir), select(2, units.handlers(dir, '{"type":"x"}', { "x", "gone" })))
      end)
    end)

    describe("with job_types of the configuration", function()
      it("looks at these members and no others", function()
        put("a.lua", GOOD)
        local types = { "task", "meta.kind" }
        assert.equal("a", (units.handlers(dir, '{"task":"a"}', nil, types)))
        local nested = '{"operation":"b","meta":{"kind":"a"}}'
        assert.equal("a", (units.handlers(dir, nested, nil, types)))
        assert.matches("in one of its members task, meta.kind, or a list in steps",
          select(2, units.handlers(dir, '{"operation":"a"}', nil, types)))
      end)
    end)

    describe("a name that two handlers have", function()
      it("belongs to the one whose file is called so", function()
        put("a.lua", 'return { api = 1, names = { "reboot" }, run = print }')
        put("reboot.lua", GOOD)
        assert.equal("reboot", (units.handlers(dir, '{"operation":"reboot"}')))
      end)

      it("else to neither, and the message names both files", function()
        put("a.lua", 'return { api = 1, names = { "x", "mine" }, run = print }')
        put("b.lua", 'return { api = 1, names = { "x" }, run = print }')
        local name, message = units.handlers(dir, '{"operation":"x"}')
        assert.is_nil(name)
        assert.equal('a.lua and b.lua both have "x" among their names; neither gets its jobs until '
          .. "one of them gives it up", message)
        assert.equal("a", (units.handlers(dir, '{"operation":"mine"}')))
        assert.equal("b", (units.handlers(dir, '{"operation":"b"}')))
      end)
    end)
  end)

  describe("a broken file", function()
    local function broken(text)
      put("x.lua", text)
      local name, message = units.handlers(dir, '{"operation":"x"}')
      assert.is_nil(name)
      return message
    end

    it("is told with file, line and reason", function()
      assert.matches("/x%.lua:2: ", broken("return {\n  api = = 1 }"))
      assert.matches("/x%.lua:1: boom", broken("error('boom')"))
      assert.matches("expected the file to return a table with a function `run`, got nil",
        broken("local x = 1"))
      assert.matches("run: expected a function", broken("return { api = 1 }"))
      assert.matches("api: expected 1, got 2", broken("return { api = 2, run = print }"))
      assert.matches("unknown member 'timout' in the handler's table; did you mean timeout%? %(",
        broken("return { api=1, timout=1, run=print }"))
      assert.matches("description: expected string, got number",
        broken("return { api=1, description=1, run=print }"))
      assert.matches("/x.lua: args.url: unknown type 'strnig'; did you mean string%?",
        broken("return { api=1, args={ url='strnig' }, run=print }"))
      assert.matches("ran for over 200 ms", broken("while true do end"))
    end)

    it("is told which values of its members cannot be", function()
      local function with(member)
        return broken(("return { api = 1, %s, run = print }"):format(member))
      end
      for _, value in ipairs({ "0", "-1", "604801", "0/0", "1/0" }) do
        assert.matches("/x%.lua: timeout: expected seconds, over 0 and at most 604800, got ",
          with("timeout = " .. value))
      end
      for _, value in ipairs({ "0", "1.5", "1001" }) do
        assert.matches("max_runs: expected a whole number from 1 to 1000, got ",
          with("max_runs = " .. value))
      end
      assert.matches("timeout: expected number, got string", with('timeout = "1"'))
      assert.matches("cleanup: expected function, got table", with("cleanup = {}"))
      assert.matches("already_done: expected function, got boolean", with("already_done = true"))
      assert.matches("rerun: expected boolean, got number", with("rerun = 1"))
      assert.matches("max_age: expected seconds, 1 to 31622400, got 0", with("max_age = 0"))
      assert.matches("doctor: expected function, got table", with("doctor = {}"))
      assert.matches("args_at: expected the name", with('args_at = ""'))
      assert.matches("names: expected a list of 1 to 8", with("names = {}"))
      assert.matches("names: expected a list of 1 to 8", with("names = { a = 1 }"))
      assert.matches("names%[2%]: expected a text of 1 to 128 bytes, got 5",
        with('names = { "a", 5 }'))
      assert.matches('names%[1%]: expected a text of 1 to 128 bytes, got "%?"',
        with('names = { "?" }'))
      put("good.lua", "return { api = 1, timeout = 604800, max_runs = 1000, run = print }")
      assert.equal("good", (units.handlers(dir, '{"operation":"good"}')))
    end)

    it("is told what is wrong with positional", function()
      local function with(words, args)
        return broken(("return { api = 1, positional = %s, %s run = print }"):format(words,
          args and "args = " .. args .. "," or ""))
      end
      assert.matches("positional: expected a list of 1 to 32 names", with("{ x = 1 }"))
      assert.matches("positional%[1%]: expected a name, got 5", with("{ 5 }"))
      assert.matches("positional%[2%]: 'a' is there twice", with('{ "a", "a" }'))
      assert.matches("positional%[1%]: 'a...' takes all that is left: it can only be the last",
        with('{ "a...", "b" }'))
      assert.matches("positional%[1%]: args has no 'mesage'; did you mean message%?",
        with('{ "mesage" }', '{ message = "string" }'))
      assert.matches("positional%[1%]: 'words...' gives a list, but args.words is none",
        with('{ "words..." }', '{ words = "string" }'))
    end)

    it("is told what is wrong with requires", function()
      local function with(requires)
        return broken(("return { api = 1, requires = %s, run = print }"):format(requires))
      end
      assert.matches("requires: unknown member 'dsik'; did you mean disk%?", with("{ dsik = 1 }"))
      assert.matches("requires: expected one of disk, clock, commands, window, got n", with("{}"))
      assert.matches('requires.disk: expected a size such as "200M" .*, got "much"',
        with('{ disk = "much" }'))
      assert.matches('requires.clock: expected true or false, got "yes"', with('{ clock = "yes" }'))
      assert.matches("requires.commands: expected a list of 1 to 8 names of programs",
        with('{ commands = "rauc" }'))
      assert.matches("requires.commands: expected a list.*, got a table",
        with('{ commands = { "a/b" } }'))
      assert.matches("requires.commands: .*, got an empty table", with("{ commands = {} }"))
      assert.matches('requires.otherwise: expected "wait" or "reject", got "later"',
        with('{ clock = true, otherwise = "later" }'))
      for _, window in ipairs({ "02:00", "25:00-04:00", "02:60-04:00", "02:00-02:00", "2-4" }) do
        assert.matches('requires.window: expected two different times of day such as "02:00%-04',
          with(('{ window = "%s" }'):format(window)))
      end
    end)

    it("leaves the others alone", function()
      put("good.lua", GOOD)
      broken("syntax error")
      assert.equal("good", (units.handlers(dir, '{"operation":"good"}')))
    end)
  end)
end)
