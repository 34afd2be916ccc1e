-- The table functions of a job's sandbox against those of this Lua, which are Lua's own: the same
-- results, the same errors; and an end where Lua's own would have none.

local sandbox = require("hob_units").sandbox

-- The outcomes of many calls, one a line; both sides run it and give a sum over all, since the
-- sandbox hands out short texts only.
local HEAD = [[
  local lines = {}
  local function shown(t)
    local parts = {}
    for i = -2, 8 do parts[#parts + 1] = tostring(rawget(t, i)) end
    return table.concat(parts, " ")
  end
  local function try(name, list, ...)
    local results = table.pack(pcall(table[name], list, ...))
    for i = 1, results.n do
      results[i] = type(results[i]) == "table" and shown(results[i]) or tostring(results[i])
      results[i] = results[i]:gsub("#1 (.*position out of)", "#2 %1") -- as from Lua 5.4.7 on
    end
    lines[#lines + 1] = name .. " " .. table.concat(results, " ") .. ": "
      .. (type(list) == "table" and shown(list) or "")
  end
  local seen = {}
  local function proxy(length)
    return setmetatable({}, { __len = function() return length end,
      __index = function(_, k) return k * 10 end,
      __newindex = function(_, k, v) seen[#seen + 1] = tostring(k) .. "=" .. tostring(v) end })
  end
]]
local TAIL = [[
  lines[#lines + 1] = table.concat(seen, " ")
  local sum = 0
  for _, line in ipairs(lines) do
    for i = 1, #line do sum = (sum * 31 + line:byte(i)) % 2147483647 end
  end
  return #lines .. " " .. sum
]]

local function agree(code)
  code = HEAD .. code .. TAIL
  assert.equal(assert(load(code))(), (sandbox(code)))
end

describe("the sandbox's functions on tables", function()
  it("agree with Lua's on what table.move does", function()
    agree([[
      for from = -1, 3 do for to = -1, 4 do for at = -1, 4 do
        try("move", { 1, 2, 3 }, from, to, at)
        try("move", { 1, 2, 3 }, from, to, at, { "a", "b", "c" })
      end end end
      try("move", proxy(0), 1, 3, 2)
      local same = { 1, 2, 3 }
      lines[#lines + 1] = tostring(table.move(same, 1, 3, 2, same) == same) .. shown(same)
      for _, bad in ipairs({ { 1, 1, 1, 1 }, { {}, 1, 2 }, { {}, "x", 1, 1 }, { {}, 1, 1, 1, 5 },
        { {}, math.mininteger, math.maxinteger, 1 }, { {}, 1, math.maxinteger, 2 } }) do
        try("move", table.unpack(bad))
      end
    ]])
  end)

  it("agree with Lua's on what table.insert and table.remove do", function()
    agree([[
      for _, list in ipairs({ {}, { 1 }, { 1, 2, 3 } }) do
        for position = -1, 5 do
          try("insert", { table.unpack(list) }, position, "new")
          try("remove", { table.unpack(list) }, position)
        end
        try("insert", { table.unpack(list) }, "new")
        try("insert", { table.unpack(list) }, nil)
        try("remove", { table.unpack(list) })
        try("remove", { table.unpack(list) }, nil)
      end
      try("insert", proxy(3), 1, "new")
      try("insert", proxy(3), "new")
      try("remove", proxy(3), 1)
      try("remove", proxy(3))
      try("remove", proxy(0))
      try("remove", proxy(0), 0)
      try("remove", proxy(-5))
      try("insert", proxy(-5), "x")
      try("remove", proxy(math.mininteger), 1)
      try("insert", proxy(math.maxinteger), "x")
      try("insert", proxy(math.maxinteger - 1), math.maxinteger, "x")
      for _, bad in ipairs({ {}, { 1 }, { 1, 2, 3 }, { {} }, { {}, 1, 2, 3 }, { {}, "x", 1 },
        { {}, 1.5, 1 }, { setmetatable({}, { __len = function() return "x" end }), 1 },
        { "text", 1 } }) do
        try("insert", table.unpack(bad))
        try("remove", table.unpack(bad))
      end
    ]])
  end)

  it("refuse what would go on for years", function()
    local function is_refused(code, words)
      local ok, message = sandbox("local long = setmetatable({}, { __len = function() "
        .. "return 1 << 50 end })\n" .. code)
      assert.is_nil(ok, code)
      assert.matches(words, message)
    end
    is_refused("return table.move({}, 1, 1 << 50, 2)",
      "^code:2: table%.move: 1125899906842624 elements: one call moves at most 16777216$")
    is_refused("return table.insert(long, 1, 'x')",
      "^code:2: table%.insert: 1125899906842624 elements: one call moves at most 16777216$")
    is_refused("return table.remove(long, 1)",
      "^code:2: table%.remove: 1125899906842623 elements: one call moves at most 16777216$")
  end)
end)
