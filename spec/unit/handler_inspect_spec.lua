-- hob.sandbox: Hob's own modules at work in a throw-away sandbox; and what lib/hob/handler/inspect
-- says there of handlers.

local json = require("hob.json")
local look = require("hob.handler.look")
local place = require("hob.handler.place")
local sandbox = require("hob.sandbox")

local function call(...)
  return sandbox.call({ module = "hob.handler.inspect", lib = place.lib() }, ...)
end

describe("hob.sandbox", function()
  it("gives the text that a module's run gives", function()
    local globals = json.decode(assert(call("globals")))
    assert.equal("function", globals.print.kind)
    assert.is_nil(globals.io)
    assert.is_nil(globals.describe, "the caller's own globals are not there")
  end)

  it("starts anew each time", function()
    assert.is_nil(look.at_text(nil, "a.lua", "x = 1 return { api = 1, run = print }").raised)
    assert.matches("nil value %(global 'x'%)",
      look.at_text(nil, "a.lua", "return { api = x.y, run = print }").raised)
  end)

  it("ends what does not end, and what takes too much memory", function()
    local from = os.clock()
    local found = look.at_text(nil, "a.lua", "while true do end")
    assert.matches("a%.lua:1", found.raised)
    assert.is_true(os.clock() - from < 20)
    local text, message = sandbox.call({ module = "hob.handler.inspect", lib = place.lib(),
      memory = 2^21 }, "handler", "a.lua", "local t = {} for i = 1, 1e7 do t[i] = { i } end")
    assert.matches("memory", text and json.decode(text).raised or message)
  end)

  it("says what went wrong outside of the module's own care", function()
    local text, message, code = sandbox.call({ module = "hob.gone", lib = place.lib() })
    assert.is_nil(text)
    assert.matches("module 'hob%.gone' not found", message)
    assert.is_string(code)
    text, message = call("no such action")
    assert.is_nil(text)
    assert.matches("inspect%.lua", message)
  end)

  it("refuses what it does not understand", function()
    assert.has_error(function() sandbox.call({ lib = "x" }) end,
      "bad argument #1 to 'call' (module)")
    assert.has_error(function() sandbox.call({ module = "x", lib = "x", zzz = 1 }) end,
      "unknown option 'zzz'; known: module, lib, scripts, memory")
    assert.has_error(function() call({}) end)
    assert.has_error(function() call("1", "2", "3", "4", "5") end)
  end)

  it("names a text by its SHA-256", function()
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      sandbox.digest("abc"))
  end)
end)

describe("hob.handler.inspect", function()
  local function problems(text)
    local list = {}
    for i, one in ipairs(look.at_text(nil, "a.lua", text).problems) do
      list[i] = table.concat(one.path, ".")
    end
    return list
  end

  it("tells all that is wrong with a handler's table, and where", function()
    assert.same({ "cleanup", "timout", "run", "api", "args.a", "args.b" }, problems([[
      return { timout = 1, cleanup = 2, args = { a = "x", b = "y", c = "string" } }]]))
    assert.same({ "expected" }, problems("return 5"))
  end)

  it("tells what a handler says of itself", function()
    local about = look.at_text(nil, "a.lua", [[return { api = 1, run = print, names = { "b" },
      args = { files = { "list", of = { url = "string" } } }, memory = "8M" }]]).handler
    assert.same({ "api", "args", "memory", "names", "run" }, about.has)
    assert.same({ "files", "files[].url" }, { about.args[1].path, about.args[2].path })
    assert.same({ "b" }, about.names)
    assert.equal("8M", about.memory)
  end)

  it("stands a handler that turns the language's own functions off", function()
    local found = look.at_text(nil, "a.lua", [[
      pcall, ipairs, type, tostring, table.sort = nil, nil, nil, nil, nil
      return { api = 1, run = print }]])
    assert.is_table(found.handler)
  end)
end)
