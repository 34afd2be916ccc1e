-- What all sandboxes of a runtime are made from, and that none of them can change it.
local fs = require("hob.fs")
local shim = require("spec.support.shim")
local units = require("hob_units")

local sandbox, sandboxes = units.sandbox, units.sandboxes

-- Names and kinds of all that can be reached from the globals, and from a string.
local INVENTORY = [[
  local lines = {}
  local function list(name, t)
    for key, value in pairs(t) do
      lines[#lines + 1] = name .. "." .. tostring(key) .. " " .. type(value)
      if type(value) == "table" and value ~= _G then list(key, value) end
    end
  end
  list("", _G)
  list("''", getmetatable(""))
  table.sort(lines)
  return #lines .. " " .. table.concat(lines, " "):sub(1, 900)]]

describe("a kit of sandboxes", function()
  it("gives each the same language, its own tables of it, and what `require` finds", function()
    local results = assert(sandboxes({ INVENTORY, INVENTORY,
      "return tostring(string) .. tostring(_G) .. tostring(getmetatable('').__index)",
      "return tostring(string) .. tostring(_G) .. tostring(getmetatable('').__index)",
      [[return tostring(require("string") == string and require("_G") == _G
        and getmetatable("").__index == string and ("x"):rep(3) == "xxx" and "10" + 1 == 11)]] }))
    assert.equal(results[1], results[2])
    assert.is_true(tonumber(results[1]:match("^%d+")) > 100)
    assert.are_not.equal(results[3], results[4])
    assert.equal("true", results[5])
  end)

  it("is changed by nothing that a job does to its language, or to Hob's modules", function()
    local spoil = [[
      local schema, json, time = require("hob.job.schema"), require("hob.json"), require("hob.time")
      schema.read, schema.planted, json.decode, time.planted = nil, 1, nil, 1
      for name in pairs(string) do string[name] = nil end
      for name in pairs(table) do table[name] = function() return "spoilt" end end
      getmetatable("").__add, math.pi, utf8.charpattern, planted = nil, 3, nil, true
      pcall, type, coroutine.wrap = nil, nil, nil
      return "spoilt"]]
    local look = [[
      local schema, json, time = require("hob.job.schema"), require("hob.json"), require("hob.time")
      return table.concat({ type(schema.read), tostring(schema.planted), type(json.decode),
        tostring(time.planted), ("x"):upper(), tostring(planted), ("%.2f"):format(math.pi),
        type(pcall), type(coroutine.wrap), "1" + 1, utf8.charpattern and "there" }, " ")]]
    local whole = "function nil function nil X nil 3.14 function function 2 there"
    assert.same({ whole, "spoilt", whole, whole }, sandboxes({ look, spoil, look, look }))
  end)

  it("has the texts of the language whole, also with a zero in them", function()
    local results = assert(sandboxes({ [[
      local count = 0
      for _ in ("a\u{e4}\u{1F600}"):gmatch(utf8.charpattern) do count = count + 1 end
      return #utf8.charpattern .. " " .. count]] }))
    assert.equal(#utf8.charpattern .. " 3", results[1])
  end)

  it("has read what surrounds a job before that is replaced on disk", function()
    local dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/hob/job", { parents = true }))
    assert(fs.write(dir .. "/hob/job/replay.lua", "return 'as it was begun with'"))
    local results = assert(sandboxes({ [[return require("hob.job.replay")]] }, dir, function()
      assert(fs.write(dir .. "/hob/job/replay.lua", "return 'of a later version'"))
    end))
    assert.equal("as it was begun with", results[1])
    assert(fs.remove(dir, { recursive = true }))
  end)

  it("has different random numbers for each", function()
    local code = "return math.random(1 << 40) .. ' ' .. math.random(1 << 40)"
    local first, second, third = table.unpack(assert(sandboxes({ code, code, code })))
    assert.are_not.equal(first, second)
    assert.are_not.equal(second, third)
    local seeded = "math.randomseed(42) return math.random(1 << 40)"
    local results = assert(sandboxes({ seeded, code, seeded }))
    assert.equal(results[1], results[3])
  end)

  it("keeps files and lines in the errors of what is loaded a second time", function()
    local code = [[
      local ok, message = pcall(require("hob.job.limits").check, 5)
      return message]]
    local results = assert(sandboxes({ code, code }))
    assert.matches("/hob/job/limits%.lua:%d+: attempt to index a number value", results[1])
    assert.equal(results[1], results[2])
  end)

  it("gives what is loaded after a job has changed its globals those of the language", function()
    assert.equal("step 'x': expected a function, got number", sandbox([[
      local get, all, pairs_of = require, _G, pairs
      for _, library in pairs_of({ table, math, utf8, coroutine, os }) do
        for name in pairs_of(library) do library[name] = nil end
      end
      string.format = nil
      for name in pairs_of(all) do all[name] = nil end
      return get("hob.job.replay").check_step({ _asked = {} }, "x", {}, 5)]]))
    assert.equal("; did you mean string?", sandbox([[
      local get = require
      string, math, ipairs = nil, nil, nil
      return get("hob.job.schema") and get("hob.nearest").hint("strin", { "string" })]]))
  end)

  it("refuses compiled code from outside, in a script's file and in its library", function()
    local dir = assert(fs.tempdir())
    local compiled = string.dump(function() return 1 end)
    assert(fs.write(dir .. "/compiled.lua", compiled))
    local ok, message = sandbox([[return require("compiled")]], 0, dir)
    assert.is_nil(ok)
    assert.matches("attempt to load a binary chunk", message)
    assert(fs.remove(dir, { recursive = true }))
  end)
end)

describe("the memory of a sandbox", function()
  it("counts what its blocks were asked for, of all sizes, and gives their places to others",
    function()
      assert.equal("ok", sandbox([[
        local kept = {}
        for round = 1, 40 do
          for size = 1, 700, 13 do
            kept[size] = ("x"):rep(size) .. round
            assert(#kept[size] == size + #tostring(round))
          end
          for size = 1, 700, 26 do kept[size] = nil end
        end
        for size = 14, 700, 26 do assert(kept[size] == ("x"):rep(size) .. "40") end
        return "ok"]], 1 << 20))
    end)

  it("is collected once there is garbage, not only at the limit", function()
    assert.equal("true", sandbox([[
      local weak = setmetatable({ {} }, { __mode = "v" })
      for i = 1, 5000 do local garbage = { i } end
      return weak[1] == nil]]))
  end)

  it("is not kept for each size anew, where a job takes and frees blocks of many sizes", function()
    local function highest_kb()
      local text = assert(fs.read("/proc/self/status"))
      return tonumber(text:match("VmHWM:%s+(%d+) kB"))
    end
    local reset <close> = assert(io.open("/proc/self/clear_refs", "w"))
    assert(reset:write("5"))
    assert(reset:flush())
    local before = highest_kb()
    assert.equal("ok", sandbox([[
      for size = 48, 440, 24 do
        local kept, filling = {}, ("x"):rep(size)
        for i = 1, (512 << 10) // (size + 64) do kept[i] = filling .. i end
      end
      return "ok"]], 1 << 20))
    local more = highest_kb() - before -- a sanitizer keeps what was freed
    assert.is_true(more < 4 * 1024 or shim.is_sanitized(), more .. " KB")
  end)

  it("ends at its limit, however small the blocks are", function()
    local ok, message = sandbox([[
      local kept = {}
      for i = 1, 1e7 do kept[i] = { i } end]], 4 << 20)
    assert.is_nil(ok)
    assert.matches("4 MB", message)
  end)
end)
