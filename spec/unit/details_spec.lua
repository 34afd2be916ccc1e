-- statusDetails of any kind, made to fit: the local service's own checks, which are AWS's, always
-- take them.

local json = require("hob.json")
local protocol = require("hob_units").protocol
local rules = require("hob.service.rules")

local PIECES = {
  "a", "Z", "0", "-", " ", "\n", "\t", "\0", "\27[31m", "\127", "\"", "\\", "{", "é", "€", "漢",
  "\u{1F600}", "\u{200B}", "\u{202E}", "\u{FEFF}", "\u{E000}", "\u{FFFE}", "\u{85}", "\u{2028}",
  "\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", ("x"):rep(200), ("€"):rep(90),
  ("\u{1F600}"):rep(70), ("\0"):rep(50), ("\xfe"):rep(60),
}
local KEYS = { "a", "key", "progress", "with space", "ümlaut", "", ("k"):rep(128), ("k"):rep(129),
  "a:b_c-D", "a.b", "stdout" }

local function pick(list)
  return list[math.random(#list)]
end

local function any_value()
  local parts = {}
  for i = 1, math.random(0, 40) do
    parts[i] = pick(PIECES)
  end
  return table.concat(parts)
end

local function any_details()
  local details = {}
  for i = 1, math.random(0, 16) do
    local key = math.random() < 0.5 and pick(KEYS) or ("key-%d"):format(math.random(20))
    details[i] = { key = key, value = any_value(), keep_tail = math.random() < 0.5 }
  end
  return details
end

local function fit(details)
  local text, dropped = protocol.details_fit(details)
  return (text:gsub("^before:", "")), dropped
end

local function count(map)
  local n = 0
  for _ in pairs(map) do
    n = n + 1
  end
  return n
end

describe("details of any kind", function()
  local SEED = os.time()

  it("are always taken by the service, once they were made to fit", function()
    math.randomseed(SEED)
    for round = 1, 400 do
      local given = any_details()
      local text, dropped = fit(given)
      local where = ("round %d of seed %d: %s"):format(round, SEED, text)
      local map = assert(json.decode(text), where)
      local _, why = rules.status_details(map)
      assert.is_nil(why, where)
      assert.is_true(count(map) <= 10, where)
      assert.equal(#given, count(map) + dropped, where)
      for key, value in pairs(map) do
        assert.is_true(utf8.len(value) <= 1024 and utf8.len(value) >= 1, where)
        assert.is_nil(value:find("%c"), where)
        assert.is_true(#key <= 128, where)
      end
    end
  end)

  it("say what was cut of them, and how much", function()
    local map = json.decode((fit({
      { key = "stdout", value = ("é"):rep(3000), keep_tail = true },
      { key = "reason", value = ("é"):rep(3000) },
    })))
    local front = tonumber(map.stdout:match("^%[cut (%d+) characters%] "))
    local back = tonumber(map.reason:match(" %[cut (%d+) characters%]$"))
    assert.equal(3000, front + select(2, map.stdout:gsub("é", "")))
    assert.equal(3000, back + select(2, map.reason:gsub("é", "")))
    assert.is_true(utf8.len(map.stdout) > 1000 and utf8.len(map.stdout) <= 1024)
  end)

  it("beyond the tenth are dropped, and counted for the log", function()
    local given = {}
    for i = 1, 13 do
      given[i] = { key = "key-" .. i, value = "value" }
    end
    local text, dropped = fit(given)
    assert.equal(3, dropped)
    assert.equal(10, count(json.decode(text)))
  end)
end)
