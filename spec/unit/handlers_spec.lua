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
      for _, value in ipairs({ "../../x", "/etc/x", "a/b", "", "x y", ("x"):rep(200) }) do
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
      assert.matches("unknown member 'timout'", broken("return { api=1, timout=1, run=print }"))
      assert.matches("description: expected string, got number",
        broken("return { api=1, description=1, run=print }"))
      assert.matches("args.url: expected one of .*, got strnig",
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
      put("good.lua", "return { api = 1, timeout = 604800, max_runs = 1000, run = print }")
      assert.equal("good", (units.handlers(dir, '{"operation":"good"}')))
    end)

    it("leaves the others alone", function()
      put("good.lua", GOOD)
      broken("syntax error")
      assert.equal("good", (units.handlers(dir, '{"operation":"good"}')))
    end)
  end)
end)
