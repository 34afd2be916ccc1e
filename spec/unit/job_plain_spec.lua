-- The quick look at handlers and documents agrees with lib/hob/job/, or leaves it to it.
local contract = require("hob.job.contract")
local json = require("hob.json")
local plain = require("hob_units").plain

local FACTS = { id = "job", thing = "thing", execution_number = 1, attempt = 1 }

local function run() end

local function handler(more)
  local made = { api = 1, run = run }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

-- What the long way comes to: args, or nil.
local function by_contract(one, text)
  if contract.check(one) then
    return nil
  end
  local document = json.decode(text)
  if type(document) ~= "table" or contract.find_placeholder(document, "document") then
    return nil
  end
  return (contract.read_args(one, document, FACTS))
end

local VALUES = { '"text"', '""', "5", "5.5", "-1", '"5"', "1e300", "true", "false", '"true"',
  "null", "[]", "[1]", "{}", '{"a":1}', '"${aws:iot:parameter:x}"', '"\\u0024{aws:iot:x}"' }
local KINDS = { "string", "number", "integer", "boolean", "table", "any", "list", "enum", "text",
  "?", "" }

describe("the quick look at a job", function()
  it("gives the arguments that the long way gives, for each type and value", function()
    local taken = 0
    for _, kind in ipairs(KINDS) do
      for _, suffix in ipairs({ "", "?" }) do
        for _, value in ipairs(VALUES) do
          local one = handler({ args = { x = kind .. suffix, other = "any?" } })
          local text = ('{"operation":"x","x":%s,"more":[1,{"a":null}]}'):format(value)
          local document, args = plain(one, text)
          if document then
            taken = taken + 1
            local expected = by_contract(one, text)
            assert.same(expected, args, kind .. suffix .. " " .. value)
            assert.same(json.decode(text), document)
          end
        end
      end
    end
    assert.is_true(taken > 40, taken .. " were plain")
  end)

  it("takes a text where a text may be, without asking anybody", function()
    local document, args = plain(handler({ args = { text = "string" } }), '{"text":"hello"}')
    assert.same({ text = "hello" }, document)
    assert.same({ text = "hello" }, args)
    assert.are_not.equal(document, args)
    assert.same({ { a = 1 }, { a = 1 } }, { plain(handler(), '{"a":1}') })
  end)

  it("leaves what is absent, or of another type, to the words of the long way", function()
    local one = handler({ args = { text = "string" } })
    for _, text in ipairs({ "{}", '{"text":5}', '{"text":""}', '{"text":null}', "[]", "[1]", "5",
      "null", '"text"', "no JSON", "", '{"text":"a', '{"text":"${aws:iot:parameter:x}"}' }) do
      assert.is_nil((plain(one, text)), text)
    end
  end)

  it("leaves members that say more than their type, and mistakes, to the contract", function()
    for key, values in pairs({
      api = { 2, "1", 1.5 }, run = { 5, {} }, args = { run, { 5 }, { [""] = "string" }, "string",
        { x = { "string", max = 5 } }, { x = "strin" }, setmetatable({}, {}) },
      args_at = { "payload", "" }, timeout = { 0, -1, 604801, "5", 0 / 0 },
      max_runs = { 0, 1.5, 1001, "5" }, max_age = { 60 }, memory = { "16M" }, cpu = { 5 },
      names = { { "x" } }, positional = { { "x" } }, requires = { { clock = true } },
      examples = { {} }, description = { 5 }, rerun = { "true" }, cleanup = { 5 }, doctor = { 5 },
      already_done = { true }, unknown = { 1 }, [1] = { 1 },
    }) do
      for _, value in ipairs(values) do
        assert.is_nil((plain(handler({ [key] = value }), "{}")), ("%s = %s"):format(key, value))
      end
    end
    for _, no_table in ipairs({ 5, "run", run, setmetatable(handler(), {}) }) do
      assert.is_nil((plain(no_table, "{}")))
    end
    assert.is_nil((plain({ api = 1 }, "{}")))
    assert.is_nil((plain({ run = run }, "{}")))
  end)

  it("knows no member that the contract does not know", function()
    local one = handler({ description = "d", timeout = 604800, max_runs = 1000, rerun = true,
      cleanup = run, already_done = run, doctor = run, args = { x = "any?" } })
    assert.is_nil(contract.check(one))
    assert.is_truthy(plain(one, "{}"))
  end)
end)
